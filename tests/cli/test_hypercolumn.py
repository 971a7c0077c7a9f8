import json

import numpy as np
import pytest
from PIL import Image

FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(path)
    return path


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


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("-l", "conv1,none"), 1, "none"),
        (("-l", "conv1", "-k", "1"), 2, "2<=x<=24"),
        ((), 2, "--layers"),
    ],
)
def test_mistakes_in_one_line(netviz, photo, options, status, said):
    done = netviz("hypercolumn", photo, *FAST, *options)
    assert done.status == status
    assert said in done.err
