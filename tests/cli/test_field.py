import json

import numpy as np
from PIL import Image


def test_picture_arrays_and_facts(netviz, tmp_path):
    options = ("field", "alexnet", "--weights", "none", "--layer", "conv2", "--images", "skimage:chelsea")
    done = netviz(*options, "-k", "effective", "--unit", "3", "-o", tmp_path / "a.npz", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert facts["kind"] == "field"
    assert facts["units"] == [3]
    assert facts["status"] == "exact"
    assert facts["position"] == [13, 13]
    # conv1 pads 2 and strides 4, pool1 strides 2, conv2 pads 2 of its 8-pixel steps: -2 - 16 + 13·8 = 86.
    assert facts["box"] == [86, 86, 137, 137]
    assert facts["center"] == [111, 111]
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["theoretical"][0].tolist() == [51, 51]
        assert saved["theoretical"][1].tolist() == [8, 8]
        assert saved["theoretical"].shape == (3, 2)
        assert saved["effective"].shape == (224, 224)
        assert "empirical" not in saved.files
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts


def test_drawn_at_once_or_later_is_the_same(netviz, tmp_path):
    options = ("field", "pnet", "-l", "conv3", "-i", "skimage:chelsea", "--size", "60x80", "-k", "effective")
    assert netviz(*options, "-o", tmp_path / "a.npz").status == 0
    for suffix in ("png", "svg", "pdf"):
        assert netviz(*options, "-o", tmp_path / f"b.{suffix}").status == 0
        assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / f"c.{suffix}").status == 0
        assert (tmp_path / f"b.{suffix}").read_bytes() == (tmp_path / f"c.{suffix}").read_bytes()
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.width > 600


def test_all_three(netviz, tmp_path):
    done = netviz(
        "field", "pnet", "-l", "conv3", "-k", "all", "-u", "0:3", "-i", "skimage:coffee", "-i", "skimage:coins",
        "--size", "48x64", "--top", "1", "-o", tmp_path / "a.npz", "--json",
    )  # fmt: skip
    facts = json.loads(done.out)
    assert facts["images"] == ["coffee", "coins"]
    measured = len(facts["empirical_units"])
    assert sorted(facts["empirical_units"] + facts["dead"] + facts["still"]) == [0, 1, 2]
    assert measured > 0
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["effective"].shape == (48, 64)
        assert saved["empirical"].shape == (measured, 48, 64)
    assert all(0 < size <= 12 for size in facts["empirical_sizes"])
    assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / "a.png").status == 0


def test_theoretical_is_the_default_and_position_is_row_column(netviz):
    done = netviz("field", "pnet", "-l", "conv3", "-i", "skimage:coffee", "--position", "3, 50", "--json")
    facts = json.loads(done.out)
    # P-Net: 12 pixels every 2, no padding.
    assert facts["box"] == [6, 100, 18, 112]
    assert facts["effective"] is None
    assert done.err == ""


def test_notes_go_to_stderr(netviz, tmp_path, monkeypatch):
    (tmp_path / "shut.py").write_text(
        "import torch\n"
        "def network():\n"
        "    made = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())\n"
        "    torch.nn.init.constant_(made[0].weight, 0.0)\n"
        "    torch.nn.init.constant_(made[0].bias, -1.0)\n"
        "    return made\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = netviz(
        "field", "shut:network", "-l", "relu1", "-k", "effective", "-o", tmp_path / "a.png", "--json"
    )
    assert done.status == 0
    assert json.loads(done.out)["effective"] is None
    note, wrote = done.err.splitlines()
    assert note.startswith(
        "netviz: the effective field of all units of layer 1 at position 111,111 is zero on every image"
    )
    assert wrote == f"wrote {tmp_path / 'a.png'}"


def test_layers_show_the_field(netviz):
    rows = json.loads(netviz("layers", "alexnet", "--weights", "none", "--json").out)
    fields = {row["alias"]: row["receptive_field"] for row in rows}
    assert fields["conv1"] == {"size": [11, 11], "stride": [4, 4], "start": [-2, -2], "status": "exact"}
    assert fields["pool5"]["size"] == [195, 195]
    assert fields["fc6"] is None
    table = netviz("layers", "alexnet", "--weights", "none").out.splitlines()
    assert "sees" in table[0]
    assert "every" in table[0]
    assert next(line for line in table if line.startswith("pool5 ")).split()[-2:] == ["195×195", "32"]
    table = netviz("layers", "mobilenet_v2", "--weights", "none").out.splitlines()
    assert next(line for line in table if line.startswith("pool52 ")).endswith("all 224×224")
    assert next(line for line in table if line.startswith("conv52 ")).split()[-2:] == ["491×491", "32"]
    assert not any("≤" in line for line in table[1:])
