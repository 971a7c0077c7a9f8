import json

import numpy as np
import pytest
from PIL import Image

from netviz.images import read_image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(read_image("skimage:astronaut").pixels[20:148, 150:278]).save(path)
    return path


FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "96")
LAYER = ("--layer", "conv1")


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    done = netviz("sift", photo, *LAYER, *FAST, "--keypoints", 4, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert facts["kind"] == "sift"
    assert facts["window"] == 7
    assert facts["field_stride"] == [2, 2]
    assert facts["arrays"]["descriptors"] == [4, 4, 4, 8]
    assert facts["arrays"]["layer_raw"] == facts["arrays"]["layer_normalized"] == [4, 64]
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["keypoints"].shape == (4, 2)
        assert saved["patches"].dtype == np.uint8
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("sift", photo, *LAYER, *FAST, "--keypoints", 4, "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_match_prints_its_table(netviz, tmp_path, photo):
    out = tmp_path / "m.npz"
    done = netviz("sift", photo, *LAYER, *FAST, "--size", 64, "--match", "--window", 5, "-o", out, "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert facts["kind"] == "match"
    assert facts["window"] == 5
    assert len(facts["rows"]) == 69
    assert {row["method"] for row in facts["rows"]} == {"SIFT", "layer", "normalized"}
    assert {"kind", "strength", "matches", "right", "precision", "matchable"} <= set(facts["rows"][0])
    assert facts["totals"][-1]["kind"] == "all"
    assert json.loads(netviz("report", out, "--json").out) == facts
    assert netviz("draw", out, "-o", tmp_path / "m.png").status == 0
