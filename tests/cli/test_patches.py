import json

import numpy as np
import pytest
from PIL import Image

from netviz.images import read_image
from netviz.questions.reader import load_result
from support.patches import facts_of, make_run

NETWORK = ("squeezenet1_1", "--weights", "none", "--size", "64", "--workers", "0", "--device", "cpu")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        Image.fromarray(read_image(f"skimage:{name}").pixels[:240, :300]).save(folder / f"{name}.png")
    return folder


def test_from_images_to_pictures(netviz, tmp_path, photos):
    run = tmp_path / "run"
    (photos / "broken.png").write_bytes(b"no image")
    done = netviz("patches", *NETWORK, "-i", photos, "-l", "conv1", "-l", "relu3", "--top", 2, "-o", run)
    assert done.status == 0, done.err
    assert done.out == ""
    assert f"wrote {run}: 2 layers, 3 images, 1 skipped" in done.err
    assert f"netviz draw {run} --layer relu3 -o patches.png" in done.err

    facts = json.loads(netviz("report", run, "--json").out)
    assert facts["images"] == {"listed": 4, "counted": 3, "skipped": 1}
    assert "broken.png" in facts["skipped"][0]["image"]
    assert [layer["alias"] for layer in facts["layers"]] == ["conv1", "relu3"]
    first = load_result(run / facts["layers"][0]["file"])
    assert facts["layers"][0]["largest"] == float(first.max.max())
    assert facts["layers"][0]["largest_unit"] == int(first.max.argmax())
    assert facts["layers"][0]["units"] == first.score.shape[0] == 64
    assert first.score.shape == (64, 2)
    said = netviz("report", run).out
    assert "images: 3 counted of 4 listed, 1 skipped" in said
    assert "skipped" in said.splitlines()[-1]

    done = netviz("draw", run, "--layer", "relu3", "--units", "0:3", "-o", tmp_path / "a.png")
    assert done.status == 0, done.err
    assert done.err == f"wrote {tmp_path / 'a.png'}\n"
    npz = run / facts["layers"][1]["file"]
    assert netviz("draw", npz, "--units", "0:3", "-o", tmp_path / "b.png").status == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert netviz("draw", run, "-l", "relu3", "-o", tmp_path / "c.npz").status == 0
    assert (tmp_path / "c.npz").read_bytes() == npz.read_bytes()

    done = netviz("patches", *NETWORK, "-i", photos, "-o", run)
    assert done.status == 1
    assert "exists already and is not empty" in done.err
    done = netviz("patches", *NETWORK, "-i", photos, "--strict", "-l", "conv1", "-o", tmp_path / "other")
    assert done.status == 1
    assert "broken.png" in done.err


def test_a_box_is_what_the_unit_saw(netviz, tmp_path, photos):
    """Nothing but the box is left of the image, and the score there is the same."""
    arguments = (*NETWORK, "-l", "conv1", "--top", 1)
    netviz("patches", *arguments, "-i", photos / "coffee.png", "-o", tmp_path / "a")
    before = load_result(next((tmp_path / "a" / "layers").glob("*.npz")))
    unit = int(before.score[:, 0].argmax())
    top, left, bottom, right = before.box[unit, 0].tolist()
    pixels = np.array(Image.open(photos / "coffee.png"))
    other = np.full_like(pixels, pixels.mean())
    other[top:bottom, left:right] = pixels[top:bottom, left:right]
    Image.fromarray(other).save(tmp_path / "other.png")
    netviz("patches", *arguments, "-i", tmp_path / "other.png", "-o", tmp_path / "b")
    after = load_result(next((tmp_path / "b" / "layers").glob("*.npz")))
    assert after.score[unit, 0] >= before.score[unit, 0] - 1e-5


def test_images_that_have_gone(netviz, tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "pictures" / "photo1.png").unlink()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "photo2.png")
    done = netviz("draw", run, "-l", "conv1", "-o", tmp_path / "a.png")
    assert done.status == 0
    first, second = done.err.splitlines()
    assert first.startswith("2 of 3 images cannot be read; the first: no such image:")
    assert second == f"wrote {tmp_path / 'a.png'}"
    (tmp_path / "pictures" / "photo0.png").unlink()
    done = netviz("draw", run, "-l", "conv1", "-o", tmp_path / "b.png")
    assert done.status == 1
    assert "none of the 3 images" in done.err
    assert not (tmp_path / "b.png").exists()


def test_the_picture_is_named_after_the_layer(netviz, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert netviz("draw", run, "-l", "conv2").err == "wrote features.3.png\n"
    assert (tmp_path / "features.3.png").exists()


def test_a_run_from_elsewhere_steers_neither_terminal_nor_files(netviz, tmp_path):
    run = make_run(tmp_path / "run")
    facts = facts_of(("features.0", "conv1", 2))
    facts["network"] = "\x1b[31mred\x07"
    facts["options"]["odd"] = {"a": 1}
    facts["skipped"][0]["reason"] = "two\nlines"
    (run / "run.json").write_text(json.dumps(facts))
    done = netviz("report", run)
    assert done.status == 0
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert done.out.splitlines()[-1].startswith("skipped /x/broken.png: two")
    (run / "images.txt").write_text("/dev/zero\n/\n\n")
    done = netviz("draw", run, "-o", tmp_path / "a.png")
    assert done.status == 1
    assert "no such image: /dev/zero" in done.err
    (run / "run.json").write_text("[")
    for verb in ("draw", "report"):
        done = netviz(verb, run)
        assert done.status == 1
        assert len(done.err.splitlines()) == 1


def test_what_made_units_answer_is_measured_and_drawn(netviz, photo, tmp_path):
    network = (
        "squeezenet1_1",
        "--weights",
        "none",
        "--size",
        "64",
        "-i",
        photo,
        "-l",
        "conv1",
        "--workers",
        0,
    )
    done = netviz("patches", *network, "--deconv", "--deconv-units", "0:2", "-o", tmp_path / "run")
    assert done.status == 0
    assert "--layer conv1 --with deconv -o patches.png" in done.err
    for rule in ("deconv", "guided"):
        assert netviz("draw", tmp_path / "run", "--with", rule, "-o", tmp_path / f"{rule}.png").status == 0
    assert (tmp_path / "deconv.png").read_bytes() != (tmp_path / "guided.png").read_bytes()
    done = netviz("draw", tmp_path / "run", "--with", "deconv", "--units", "5", "-o", tmp_path / "a.png")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "what made unit 5 answer was not measured" in done.err
    for wrong in (("--deconv-units", "3"), ("--class", "3"), ("--by", "relevance", "--dtype", "bfloat16")):
        assert netviz("patches", *network, *wrong, "-o", tmp_path / "other").status == 2
    done = netviz("patches", *network, "--by", "relevance", "--class", "7", "-o", tmp_path / "relevant")
    assert done.status == 0
