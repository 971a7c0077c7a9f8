import json

import numpy as np
import pytest
from PIL import Image

FAST = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")
ONE = (*FAST, "--layer", "conv1", "--unit", 3)


def test_arrays_facts_and_picture(netviz, tmp_path, photo):
    done = netviz("segment", photo, *ONE, "--images", photo, "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["unit"], facts["alias"], facts["images"]) == (3, "conv1", 1)
    assert (facts["threshold_of"], facts["level"]) == ("quantile", 0.995)
    assert facts["arrays"]["mask"] == [64, 80]
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["mask"].dtype == np.bool_
        assert saved["mask"].shape == saved["heat"].shape == (64, 80)
        # 64×80 is cropped to 64×64: 8 columns on each side were not shown.
        assert np.isnan(saved["heat"]).sum() == 64 * 16
        np.testing.assert_array_equal(saved["image"], np.asarray(Image.open(photo)))
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "b.png").status == 0
    assert netviz("segment", photo, *ONE, "-i", photo, "-o", tmp_path / "c.png").status == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_fraction_and_run(netviz, tmp_path, photo):
    done = netviz("segment", photo, *ONE, "--threshold", 0.5, "--json")
    assert done.status == 0
    assert (json.loads(done.out)["threshold_of"], json.loads(done.out)["level"]) == ("fraction", 0.5)
    run = tmp_path / "run"
    made = netviz(
        "patches", "squeezenet1_1", "--weights", "none", "--size", 64, "-i", photo, "-l", "conv1", "--workers", 0,
        "-o", run,
    )  # fmt: skip
    assert made.status == 0
    done = netviz("segment", photo, *ONE, "--run", run, "--json")
    assert done.status == 0
    direct = netviz("segment", photo, *ONE, "--images", photo, "--json")
    assert json.loads(done.out)["threshold"] == pytest.approx(json.loads(direct.out)["threshold"], abs=1e-6)
