import json

import numpy as np
from PIL import Image

from netviz.questions.reader import load_result

NETWORK = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")


def test_one_image(netviz, tmp_path):
    done = netviz("votes", "skimage:chelsea", *NETWORK, "-o", tmp_path / "a.npz", "--json", "--top", "2")
    assert done.status == 0, done.err
    facts = json.loads(done.out)
    result = load_result(tmp_path / "a.npz")
    assert facts["layer"] == result.layer
    assert len(facts["for"]) <= 2
    for told in (*facts["for"], *facts["against"]):
        assert told["share"] == float(result.share[told["unit"]])
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "a.png").status == 0


def test_from_images_to_a_report(netviz, tmp_path):
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(
            tmp_path / "photos" / f"{number}.png"
        )
    (tmp_path / "photos" / "3.png").write_text("no image")
    run = tmp_path / "run"
    options = ("--workers", "0", "--device", "cpu", "-l", "relu25", "-o", run)
    done = netviz("votes", "-i", tmp_path / "photos", *NETWORK, *options)
    assert done.status == 0, done.err
    assert done.out == ""
    assert "3 images, 1 skipped (see run.json)" in done.err
    assert f"netviz draw {run}" in done.err
    facts = json.loads(netviz("report", run, "--json").out)
    (layer,) = facts["layers"]
    result = load_result(run / layer["file"])
    said = netviz("report", run).out
    assert "images: 3 counted of 4 listed, 1 skipped" in said
    strongest = int(result.change.min(axis=1).argmin())
    line = next(line for line in said.splitlines() if line.split()[:1] == [str(strongest)])
    assert f"{result.name(int(result.change[strongest].argmin()))} {result.change.min():.4g}" in line
    assert any(line.startswith("skipped") and "3.png" in line for line in said.splitlines())
    done = netviz("draw", run, "-o", tmp_path / "a.svg")
    assert done.status == 0, done.err
    assert (tmp_path / "a.svg").stat().st_size > 1000
