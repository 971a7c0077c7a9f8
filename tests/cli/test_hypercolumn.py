import json

import numpy as np
import pytest

FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")


def test_picture_arrays_and_facts(netviz, photo, tmp_path):
    done = netviz(
        "hypercolumn",
        photo,
        *FAST,
        "--layers",
        "conv1, conv4,conv7",
        "-k",
        4,
        "-o",
        tmp_path / "h.npz",
        "--json",
    )
    assert done.status == 0, done.err
    facts = json.loads(done.out)
    assert [one["alias"] for one in facts["layers"]] == ["conv1", "conv4", "conv7"]
    assert sum(facts["cluster_share"]) == pytest.approx(1)
    with np.load(tmp_path / "h.npz") as file:
        assert file["components"].shape == (3, 64, 64)
        assert file["components"].dtype == np.float32
        assert file["explained"].shape == (3,)
        assert set(np.unique(file["clusters"])) == {0, 1, 2, 3}
    assert netviz("draw", tmp_path / "h.npz", "-o", tmp_path / "h.png").status == 0
    assert netviz("hypercolumn", photo, *FAST, "-l", "conv1", "-o", tmp_path / "h.svg").status == 0
