import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return path


FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64", "--layer", "conv1")


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    done = netviz("contrast", photo, *FAST, "--units", "0:4", "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["method"], facts["window"], facts["across"], facts["channels"]) == ("lcn", 7, "maps", 64)
    assert facts["arrays"]["before"] == facts["arrays"]["after"] == [64, 31, 31]
    with np.load(tmp_path / "a.npz") as saved:
        for when in ("before", "after"):
            for what in ("mean", "std"):
                assert saved[f"local_{what}_{when}"].shape == (31, 31)
                assert saved[f"local_{what}_{when}"].dtype == np.float32
        assert np.abs(saved["local_mean_after"]).max() < np.abs(saved["after"]).max() / 4
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("contrast", photo, *FAST, "--units", "0:4", "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_every_option_reaches_the_result(netviz, photo):
    done = netviz(
        *("contrast", photo, *FAST, "--window", 5, "--sigma", 0.9, "--across", "each", "--json"),
    )
    facts = json.loads(done.out)
    assert (facts["window"], facts["sigma"], facts["across"]) == (5, 0.9, "each")
    facts = json.loads(
        netviz("contrast", photo, *FAST, "--method", "lrn", "--constants", "pytorch", "--json").out
    )
    assert (facts["method"], facts["constants"], facts["c"]) == ("lrn", "pytorch", None)


def test_maps_have_a_short_form(netviz, tmp_path, photo):
    assert netviz("contrast", photo, *FAST, "-o", tmp_path / "a.npz").status == 0
    done = netviz("maps", photo, *FAST, "--normalize", "lcn", "-o", tmp_path / "b.npz", "--json")
    assert json.loads(done.out)["normalize"] == "lcn"
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as other:
        assert np.array_equal(one["after"], other["maps"])
    assert netviz("draw", tmp_path / "b.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("maps", photo, *FAST, "--normalize", "batch").status == 2


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--window", 4), 2, "4 is even; give an odd number such as 5"),
        (("--window", 0), 2, "0 is not in the range"),
        (("--sigma", 0), 2, "0.0 is not in the range"),
        (("--method", "zca"), 2, "zca"),
        (("--window", 33), 1, "window 33 is larger than the maps of features.0 (conv1), 31×31"),
        (("--method", "batch"), 1, "the network has none"),
        (("--units", "64"), 1, "its units are 0 to 63"),
    ],
)
def test_bad_input_is_one_line(netviz, tmp_path, photo, arguments, status, message):
    done = netviz("contrast", photo, *FAST, *arguments, "-o", tmp_path / "a.png")
    assert done.status == status
    assert message in done.err
    assert "Traceback" not in done.err
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "a.png").exists()
