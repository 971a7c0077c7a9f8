import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return path


FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    asked = (*FAST, "--layer", "conv1", "--nonlinearity", "tanh, sigmoid", "--pool", "max,sum", "--window", 2)
    done = netviz("stages", photo, *asked, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    names = ["conv1", "relu1", "pool1", "what_if_tanh", "what_if_sigmoid", "what_if_max", "what_if_sum"]
    assert [column[0] for column in facts["columns"]] == names
    assert (facts["window"], facts["step"], facts["sort"], facts["next"]) == (
        2, 2, "activity", "features.3.squeeze (conv2)",
    )  # fmt: skip
    with np.load(tmp_path / "a.npz") as saved:
        assert {name: saved[name].shape for name in names} == {
            name: tuple(facts["arrays"][name]) for name in names
        }
        assert saved["filters"].shape == (8, 3, 3, 3)
        assert np.array_equal(saved["relu1"], np.maximum(saved["conv1"], 0))
        zero = facts["columns"][1][5]
        assert zero == np.mean(saved["relu1"] == 0)
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("stages", photo, *asked, "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_same_input_same_bytes(netviz, tmp_path, photo):
    for name in ("a.npz", "b.npz"):
        done = netviz("stages", photo, *FAST, "-l", "conv3", "--units", "3,0:2", "-o", tmp_path / name)
        assert done.status == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["units"].tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "--layer"),
        (("-l", "conv1", "--pool", "median"), 2, "'median' is none of max, sum, average"),
        (("-l", "conv1", "--pool", ","), 2, "is none of max"),
        (("-l", "conv1", "--nonlinearity", "tanh,step"), 2, "'step' is none of relu, tanh"),
        (("-l", "conv1", "--window", 0), 2, "0 is not in the range"),
        (("-l", "conv1", "--step", 0), 2, "0 is not in the range"),
        (
            ("-l", "conv1", "--pool", "max", "--window", 32),
            1,
            "larger than the maps of relu1 (features.0), 31×31",
        ),
        (("-l", "relu1"), 1, "is no convolution"),
        (("-l", "conv99"), 1, "no convolution 'conv99'"),
        (("-l", "conv1", "--units", "64"), 1, "its units are 0 to 63"),
    ],
)
def test_bad_input_is_one_line(netviz, tmp_path, photo, arguments, status, message):
    done = netviz("stages", photo, *FAST, *arguments, "-o", tmp_path / "a.png")
    assert done.status == status
    assert message in done.err
    assert "Traceback" not in done.err
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "a.png").exists()


def test_a_layer_after_which_nothing_follows(netviz, tmp_path, photo):
    done = netviz("stages", photo, "--model", "hed", "--weights", "none", "-l", "side1")
    assert done.status == 1
    assert "no stage follows layer side1 (conv14) of hed: next comes a concatenation" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_the_names_offered_are_those_that_exist():
    from netviz.cli import stages
    from netviz.questions.stages.measure import NONLINEARITIES, POOLS

    assert tuple(NONLINEARITIES) == stages._NONLINEARITIES
    assert stages._POOLS == POOLS
