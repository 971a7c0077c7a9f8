import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return path


FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64", "--patch", "32", "--stride", "32")


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    done = netviz("occlusion", photo, *FAST, "--class", 3, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert facts["class_index"] == 3
    assert (facts["patch"], facts["stride"], facts["fill"]) == (32, 32, "mean")
    assert facts["arrays"]["map"] == [64, 64]
    assert facts["arrays"]["drops"] == [2, 2]
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["map"].dtype == np.float32
        assert np.isfinite(saved["map"]).all()
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("occlusion", photo, *FAST, "--class", 3, "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_same_input_same_bytes(netviz, tmp_path, photo):
    for name in ("a.npz", "b.npz"):
        assert netviz("occlusion", photo, *FAST, "--fill", "noise", "-o", tmp_path / name).status == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    netviz("occlusion", photo, *FAST, "--fill", "noise", "--seed", 1, "-o", tmp_path / "c.npz")
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "c.npz").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--stride", 0), 2, "0 is not in the range"),
        (("--patch", 8, "--stride", 9), 2, "uncovered"),
        (("--fill", "black"), 2, "black"),
        (("--patch", 65), 1, "patch of 65 pixels is larger than photo"),
        (("--class", 1000), 1, "its classes are 0 to 999"),
        (("--class", "no such thing"), 1, "no such thing"),
        (("--size", "8"), 1, "--size"),
    ],
)
def test_bad_input_is_one_line(netviz, tmp_path, photo, arguments, status, message):
    done = netviz("occlusion", photo, *FAST, *arguments, "-o", tmp_path / "a.png")
    assert done.status == status
    assert message in done.err
    assert "Traceback" not in done.err
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "a.png").exists()


def test_no_such_image(netviz, tmp_path):
    done = netviz("occlusion", tmp_path / "none.png", *FAST)
    assert done.status == 1
    assert "no such image" in done.err
