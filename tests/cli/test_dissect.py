import json

import numpy as np
import pytest
from PIL import Image

from netviz.questions.reader import load_result
from support.dissection import make_dissection_run
from support.scenes import make_scenes

NETWORK = ("squeezenet1_1", "--weights", "none", "--size", "64", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"))


def test_from_labelled_images_to_a_report(netviz, tmp_path, scenes):
    run = tmp_path / "run"
    done = netviz("dissect", *NETWORK, "-d", scenes, "-l", "conv1", "-l", "relu3", "--void", "1", "-o", run)
    assert done.status == 0, done.err
    assert done.out == ""
    assert f"wrote {run}: 2 layers, 20 images\n" in done.err
    assert f"netviz report {run}" in done.err
    facts = json.loads(netviz("report", run, "--json").out)
    results = [load_result(run / layer["file"]) for layer in facts["layers"]]
    assert results[0].concepts == (("sky", "class"), ("tree", "class"))
    for result, layer in zip(results, facts["layers"], strict=True):
        best = result.iou.max(axis=1)
        assert layer["units"] == len(best)
        assert layer["detectors"] == (best > 0.04).sum()
        assert layer["unique"] == len(set(result.iou.argmax(axis=1)[best > 0.04]))
        assert layer["by_category"] == {"class": layer["unique"]}
    assert facts["units"] == sum(layer["units"] for layer in facts["layers"])
    said = netviz("report", run).out
    assert "images: 20 counted of 20 listed, 0 skipped" in said
    line = next(line for line in said.splitlines() if line.startswith("detectors"))
    assert line.split()[1:] == [str(layer["detectors"]) for layer in facts["layers"]]

    table = (run / facts["layers"][0]["file"]).with_suffix(".csv")
    told = json.loads(netviz("report", table, "--json").out)
    assert {key: told[key] for key in ("units", "detectors", "unique", "by_category")} == {
        key: facts["layers"][0][key] for key in ("units", "detectors", "unique", "by_category")
    }
    both = netviz("report", run, table).out
    line = next(line for line in both.splitlines() if line.startswith("units "))
    assert line.split()[1:] == [str(layer["units"]) for layer in facts["layers"]] + [str(told["units"])]
    assert len(json.loads(netviz("report", run, table, "--json").out)) == 2
    # The file of a layer, and its patches, are results like any other.
    assert "unique detectors" in netviz("report", run / facts["layers"][0]["file"]).out
    assert "largest" in netviz("report", run / "patches").out
    assert netviz("draw", run / "patches", "-l", "conv1", "-o", tmp_path / "a.png").status == 0
    for show in ("concepts", "units", "matrix"):
        done = netviz("draw", run, "-l", "conv1", "--show", show, "-o", tmp_path / f"{show}.png")
        assert done.status == 0, done.err
    assert netviz("draw", run, table, "-o", tmp_path / "both.png").status == 0

    done = netviz("dissect", *NETWORK, "-d", scenes, "-l", "conv1", "-o", run)
    assert done.status == 1
    assert "exists already and is not empty" in done.err


def test_labels_that_do_not_fit_are_noted_or_stop_the_run(netviz, tmp_path, scenes):
    data = tmp_path / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
        for path in sorted((scenes / kind).iterdir())[:3]:
            (data / kind / path.name).write_bytes(path.read_bytes())
    Image.fromarray(np.full((40, 44), 77, dtype=np.uint8)).save(data / "labels" / "02.png")
    (data / "classes.txt").write_text("a\nb\nc\nd\n")
    arguments = ("dissect", *NETWORK, "-d", data, "-l", "conv1")
    done = netviz(*arguments, "-o", tmp_path / "run")
    assert done.status == 0
    assert "2 images, 1 skipped (see run.json)" in done.err
    assert "unknown label values: 77" in netviz("report", tmp_path / "run").out.splitlines()[-1]
    done = netviz(*arguments, "-o", tmp_path / "strict", "--strict")
    assert done.status == 1
    assert "02.png holds unknown label values: 77" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_layer_whose_positions_see_everything_needs_more_than_one(netviz, tmp_path, scenes):
    arguments = ("mobilenet_v3_small", *NETWORK[1:], "-d", scenes, "-o", tmp_path / "run")
    done = netviz("dissect", *arguments, "-l", "features.4.block.3")
    assert done.status == 0, done.err
    assert "spread evenly" not in done.err  # behind a gate, a position still has its place
    done = netviz("dissect", *arguments[:-1], tmp_path / "b", "-l", "features.4.block.2.avgpool")
    assert done.status == 1
    assert "is not spatial: its maps are 1×1" in done.err


def test_pictures_of_a_run_have_names_of_their_own(netviz, tmp_path, monkeypatch):
    run = make_dissection_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    for arguments, name in (
        ((run,), "run.png"),
        ((run, "-l", "conv1"), "features.0.png"),
        ((run, "-l", "conv1", "--show", "concepts"), "features.0.png"),
        ((run, "-l", "conv2", "--show", "units", "--units", "0:3"), "features.3-units.png"),
        ((run / "layers" / "features.3.npz", "--show", "matrix"), "features.3-matrix.png"),
        ((run, run / "layers" / "features.3.npz"), "comparison.png"),
        ((run / "patches", "-l", "conv2"), "features.3.png"),
    ):
        done = netviz("draw", *arguments)
        assert (done.status, done.out, done.err) == (0, "", f"wrote {name}\n")
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        (tmp_path / name).unlink()


def test_pictures_that_have_gone(netviz, tmp_path):
    run, out = make_dissection_run(tmp_path / "run"), tmp_path / "a.png"
    pictures = sorted((run / "pictures").iterdir())
    pictures[0].unlink()
    arguments = ("draw", run, "-l", "conv1", "--show", "units", "-o", out)
    done = netviz(*arguments)
    assert done.status == 0
    assert f"1 of 3 images cannot be read; the first: no such image: {pictures[0]}\n" in done.err
    for path in pictures[1:]:
        path.unlink()
    done = netviz(*arguments)
    assert done.status == 1
    assert "none of the 3 images of these patches can be read" in done.err
