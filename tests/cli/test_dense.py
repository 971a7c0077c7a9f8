import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(path)
    return path


PNET = ("--model", "pnet", "--weights", "none")


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    asked = (*PNET, "--class", "face", "--pyramid", "1,0.5")
    done = netviz("dense", photo, *asked, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["kind"], facts["labels"], facts["scales"]) == ("dense", ["face"], [1.0, 0.5])
    assert facts["arrays"]["scores"] == [1, 15, 19]
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["center_y"].shape == (15,)
        assert saved["center_x"].shape == (19,)
        assert saved["classes"].tolist() == [1]
        assert saved["scores_1"].shape == (1, 5, 7)
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("dense", photo, *asked, "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts
    assert netviz("dense", photo, *asked, "-o", tmp_path / "d.npz").status == 0
    assert (tmp_path / "d.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()


def test_comparison(netviz, tmp_path, photo):
    done = netviz(
        "dense", photo, "--model", "squeezenet1_1", "--weights", "none", "--short-side", 224, "--compare",
        "--regions", 2, "--class", 3, "--json", "-o", tmp_path / "a.npz",
    )  # fmt: skip
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["kind"], facts["class_index"], facts["per_image"]) == ("dense-compare", 3, 2000)
    assert [row["evaluations"] for row in facts["table"]][-1] == 2000
    assert facts["table"][0]["ratio"] == 1
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["evaluations"][0] == 1
        assert len(saved["boxes"]) == saved["evaluations"][3] <= 2
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "a.png").status == 0
