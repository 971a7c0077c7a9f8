import json

import numpy as np

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


def test_the_names_offered_are_those_that_exist():
    from netviz.cli import stages
    from netviz.questions.stages.measure import NONLINEARITIES, POOLS

    assert tuple(NONLINEARITIES) == stages._NONLINEARITIES
    assert stages._POOLS == POOLS
