import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    Image.fromarray(np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)).save(path)
    return path


FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64", "--segments", 6)


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    done = netviz("minimal", photo, *FAST, "--fill", "mean", "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["fill"], facts["asked"]) == ("mean", 6)
    assert facts["arrays"]["minimal"] == [64, 64, 3]
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["segments"].max() + 1 == facts["count"]
        assert len(saved["order"]) == len(saved["scores"]) == len(saved["predictions"])
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("minimal", photo, *FAST, "--fill", "mean", "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts
    again = netviz("minimal", photo, *FAST, "--class", facts["class_index"], "-o", tmp_path / "d.npz")
    assert again.status == 0


def test_many_images(netviz, tmp_path, photo):
    bad = tmp_path / "z.png"
    bad.write_bytes(b"")
    done = netviz("minimal", "--images", tmp_path, *FAST, "-o", tmp_path / "a.npz")
    assert done.status == 0
    header, *rows = done.out.splitlines()
    assert header.split() == ["class", "images", "mean", "least", "most"]
    assert len(rows) == 2
    assert rows[-1].startswith("all")
    assert "left out" in done.err
    assert "z.png is empty" in done.err
    done = netviz("minimal", "--images", tmp_path, *FAST, "-o", tmp_path / "b.png", "--json")
    facts = json.loads(done.out)
    assert facts["by_class"][0]["images"] == 1
    assert facts["mean_share"] == pytest.approx(facts["by_class"][0]["mean"])
    assert netviz("minimal", "-i", tmp_path, *FAST, "--strict", "-o", tmp_path / "c.png").status == 1


def test_another_class_than_the_predicted_one(netviz, tmp_path, photo):
    facts = json.loads(netviz("minimal", photo, *FAST, "--json").out)
    done = netviz("minimal", photo, *FAST, "--class", (facts["class_index"] + 1) % 1000)
    assert done.status == 1
    assert f"class {facts['class_index']}" in done.err
    assert "nothing to keep" in done.err
