import json

import numpy as np

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
