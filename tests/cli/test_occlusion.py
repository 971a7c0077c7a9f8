import json

import numpy as np

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
