import json

import numpy as np
import pytest

FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    some = ("--method", "gradcam, guided,smoothgrad", "--samples", 2, "--class", 3)
    done = netviz("attribute", photo, *FAST, *some, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert facts["class_index"] == 3
    assert facts["methods"] == ["gradcam", "guided", "smoothgrad"]
    assert facts["arrays"] | {"maps": None} == {
        "attribution": [3, 64, 64], "bands": [2, 64, 64, 3], "maps": None, "image": [64, 64, 3]
    }  # fmt: skip
    assert facts["rectifiers"] == {"relu": 26}
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["attribution"].dtype == np.float32
        assert np.isfinite(saved["attribution"]).all()
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("attribute", photo, *FAST, *some, "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_a_unit_and_a_layer(netviz, tmp_path, photo):
    for unit, target in (("-1", "unit"), ("all", "layer")):
        done = netviz(
            "attribute", photo, *FAST, "-l", "conv2", "-u", unit, "-o", tmp_path / "a.png", "--json"
        )
        assert done.status == 0
        facts = json.loads(done.out)
        assert (facts["target"], facts["methods"], facts["channels"]) == (target, ["guided"], 16)
        assert facts["unit"] == (15 if unit == "-1" else -1)


def test_a_check(netviz, tmp_path, photo):
    five = ("--model", "support.network:Five", "--size", 64)
    done = netviz(
        "attribute", photo, *five, "--check", "--method", "gradient", "-o", tmp_path / "a.png", "--json"
    )
    assert done.status == 0
    facts = json.loads(done.out)
    assert facts["kind"] == "attribute-check"
    assert facts["orders"] == ["gradient", "occlusion", "random"]
    assert len(facts["deletion_area"]) == 3
    assert facts["arrays"]["correlation"] == [1, 2]
    assert (tmp_path / "a.png").stat().st_size > 0
    done = netviz("attribute", photo, *FAST, "--check", "-l", "conv2", "-u", 1, "-o", tmp_path / "b.png")
    assert done.status == 2
    assert "--check is of a class's score; leave --unit out" in done.err


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--method", "gradcan"), 2, "no method 'gradcan'; choose of cam, gradcam"),
        (("--unit", "x", "--layer", "conv1"), 1, "'x' is no list of units"),
        (("--unit", "1"), 2, "a unit belongs to a layer: give --layer too"),
        (("--class", "1000"), 1, "squeezenet1_1 has no class 1000"),
    ],
)
def test_mistakes_are_told_in_one_line(netviz, tmp_path, photo, options, status, said):
    done = netviz("attribute", photo, *FAST, *options, "-o", tmp_path / "a.png")
    assert (done.status, done.out) == (status, "")
    assert status == 2 or done.err.count("\n") == 1
    assert said in done.err
    assert not (tmp_path / "a.png").exists()
