import json

import numpy as np
import pytest
from PIL import Image

FAST = ("squeezenet1_1", "--weights", "none", "--size", "64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classed")
    rng = np.random.default_rng(0)
    for number in range(8):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        coarse = rng.integers(0, 256, (8, 8, 3))
        Image.fromarray(np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)).save(path)
    return folder


def test_arrays_facts_and_picture(netviz, tmp_path, folder):
    done = netviz("units", *FAST, "-l", "relu1", "-i", folder, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["channels"], facts["images"], facts["classes"]) == (64, 8, ["cat", "dog"])
    assert facts["top"] == 2
    assert facts["arrays"]["correlation"] == facts["arrays"]["common"] == [64, 64]
    with np.load(tmp_path / "a.npz") as saved:
        index = saved["selectivity"]
        assert facts["mean_selectivity"] == pytest.approx(index.mean())
        unit, most, name = facts["most_selective"][0]
        assert most == index.max() == index[unit]
        assert name == ("cat", "dog")[saved["class_means"][unit].argmax()]
        assert sorted(saved["order"].tolist()) == list(range(64))
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    done = netviz("units", *FAST, "-l", "relu1", "-i", folder, "-o", tmp_path / "c.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert (
        done.out.splitlines()[0]
        == "squeezenet1_1, features.1 (relu1): 64 units, 8 images, 7688 of 7688 positions"
    )
    assert f"  unit {unit}: {most:.3f} {name}" in done.out.splitlines()
    assert netviz("report", tmp_path / "a.npz").out == done.out
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_a_damaged_image_is_named_or_stops(netviz, tmp_path, folder):
    bad = tmp_path / "z.png"
    bad.write_bytes(b"")
    asked = (*FAST, "-l", "conv1", "-i", folder / "cat", "-i", bad, "-o", tmp_path / "a.npz")
    done = netviz("units", *asked)
    assert done.status == 0
    assert "left out" in done.err
    assert "z.png is empty" in done.err
    assert "skipped: 1 images" in done.out
    done = netviz("units", *asked, "--strict")
    assert done.status == 1
    assert "z.png" in done.err
