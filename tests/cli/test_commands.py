import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netviz.cli.main import netviz as group
from netviz.cli.reference import reference, stub

ROOT = Path(__file__).resolve().parents[2]


def test_layers_as_table_and_json(netviz):
    done = netviz("layers", "alexnet", "--weights", "none", "--json")
    rows = json.loads(done.out)
    assert done.status == 0
    assert {"name", "alias", "kind", "channels", "shape", "parameters", "calls"} <= set(rows[0])
    assert [row["shape"] for row in rows if row["kind"] == "conv"] == [
        [64, 55, 55],
        [192, 27, 27],
        [384, 13, 13],
        [256, 13, 13],
        [256, 13, 13],
    ]
    table = netviz("layers", "alexnet", "--weights", "none", "--size", "127x95")
    assert "conv1   features.0    conv        64×31×23      23,296" in table.out
    assert "input 3×127×95" in table.err
    assert len(table.out.splitlines()) == len(rows) + 1


def test_filters_picture_arrays_and_facts(netviz, tmp_path):
    done = netviz("filters", "mobilenet_v2", "--layer", "conv2", "-o", tmp_path / "a.npz", "--json")
    facts = json.loads(done.out)
    assert facts["arrays"] == {"weight": [32, 1, 3, 3], "units": [32]}
    assert facts["groups"] == 32
    assert "a.npz" in done.err
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["weight"].shape == (32, 1, 3, 3)
        assert json.loads(str(saved["facts"]))["layer"] == "features.1.conv.0.0"
    for suffix in ("png", "svg", "pdf"):
        assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / f"b.{suffix}").status == 0
        assert netviz("filters", "mobilenet_v2", "-l", "conv2", "-o", tmp_path / f"c.{suffix}").status == 0
        assert (tmp_path / f"b.{suffix}").read_bytes() == (tmp_path / f"c.{suffix}").read_bytes()
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out) == facts
    assert "layer: features.1.conv.0.0" in netviz("report", tmp_path / "a.npz").out


def test_maps_of_one_and_of_several_images(netviz, tmp_path):
    done = netviz("maps", "skimage:chelsea", "--layer", "-1", "-o", tmp_path / "m.npz")
    assert done == (0, "", f"wrote {tmp_path / 'm.npz'}\n")
    with np.load(tmp_path / "m.npz") as saved:
        assert saved["maps"].dtype == np.float32
        assert saved["image"].shape == (224, 224, 3)
    done = netviz(
        "maps", "skimage:chelsea", "skimage:coffee", "-l", "conv1", "--units", "0:4", "-o", tmp_path / "x.png"
    )
    assert sorted(path.name for path in tmp_path.glob("x*")) == ["x-chelsea.png", "x-coffee.png"]
    facts = json.loads(netviz("maps", "skimage:coins", "-l", "conv1", "--json", "--sort", "max").out)
    assert facts["image_name"] == "coins"


def test_same_input_same_bytes(netviz, tmp_path):
    for name in ("a", "b"):
        for suffix in ("npz", "png", "svg", "pdf"):
            out = tmp_path / f"{name}.{suffix}"
            netviz("maps", "skimage:coffee", "-l", "conv3", "--units", "0:6", "-o", out)
    for suffix in ("npz", "png", "svg", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_help_of_every_command_needs_no_torch():
    code = (
        "import sys\n"
        "from netviz.cli.main import run\n"
        "try: run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'PIL', 'jinja2'} & set(sys.modules)\n"
        "sys.stderr.write(repr(sorted(heavy)))\n"
    )
    for verb in ([], *([name] for name in group.commands)):
        done = subprocess.run(
            [sys.executable, "-c", code, *verb, "--help"], capture_output=True, text=True, check=True
        )
        assert "Usage:" in done.stdout
        assert done.stderr == "[]"


def test_draw_and_report_need_no_torch(netviz, tmp_path):
    netviz("maps", "skimage:coffee", "-l", "conv3", "-o", tmp_path / "m.npz")
    code = (
        "import sys\n"
        "from netviz.cli.main import run\n"
        "try: run(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    for args in (["draw", "m.npz", "-o", "m.png"], ["report", "m.npz"]):
        subprocess.run([sys.executable, "-c", code, *args], cwd=tmp_path, check=True, capture_output=True)


def test_the_reference_in_docs_is_the_commands_own():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()


def test_the_types_of_netviz_are_the_tables_own():
    assert (ROOT / "netviz" / "__init__.pyi").read_text(encoding="utf-8") == stub()


@pytest.mark.parametrize(
    "args",
    [
        ["maps", "a.png"],
        ["maps", "--layer", "conv1"],
        ["filters", "--scale", "other"],
        ["layers", "alexnet", "--size", "0x3"],
        ["nonsense"],
        ["filters", "--max", "0"],
    ],
)
def test_wrong_usage_is_2(netviz, args):
    done = netviz(*args)
    assert done.status == 2
    assert done.out == ""
    assert "Usage:" in done.err


def bad(folder: Path) -> dict[str, tuple[list[object], str]]:
    image = folder / "image.png"
    Image.new("RGB", (9, 9)).save(image)
    junk = folder / "junk.pth"
    junk.write_bytes(b"\x00\x01junk" * 50)
    torch.save({"a": 1}, folder / "empty.pth")
    (folder / "file").write_text("x")
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 no zip")
    np.savez(folder / "other.npz", a=np.zeros(3))
    return {
        "no such layer": (["filters", "mobilenet_v2", "-l", "conv99"], "conv"),
        "corrupt checkpoint": (["filters", junk], "junk.pth"),
        "checkpoint without tensors": (["layers", folder / "empty.pth"], "empty.pth"),
        "no such file": (["layers", folder / "none.pth"], "none.pth"),
        "no such network": (["layers", "resnet19"], "resnet18"),
        "no image": (["maps", folder / "file", "-l", "conv1"], "file"),
        "no such image": (["maps", folder / "imagee.png", "-l", "conv1"], "image.png"),
        "image too small": (["maps", image, "-l", "conv1", "--model", "pnet"], "9×9"),
        "no maps": (["maps", image, "-l", "fc53"], "no maps"),
        "no such unit": (["maps", image, "-l", "conv1", "--units", "32"], "0 to 31"),
        "unwritable": (["filters", "mobilenet_v2", "-o", folder / "file" / "x.png"], "x.png"),
        "unknown suffix": (["filters", "mobilenet_v2", "-o", folder / "x.jpeg"], ".png"),
        "site in a file": (["gallery", "pnet", "-i", "skimage:coins", "-o", folder / "file"], "file"),
        "site in a full folder": (["gallery", "pnet", "-i", "skimage:coins", "-o", folder], str(folder)),
        "damaged result": (["draw", folder / "bad.npz"], "bad.npz"),
        "no result": (["report", folder / "other.npz"], "other.npz"),
        "missing result": (["report", folder / "nothing.npz"], "nothing.npz"),
        "size too small": (["layers", "alexnet", "--weights", "none", "--size", "9"], "3×9×9"),
        "unknown factory": (["layers", "no.module:net"], "no.module"),
    }


BAD = [
    "no such layer",
    "corrupt checkpoint",
    "checkpoint without tensors",
    "no such file",
    "no such network",
    "no image",
    "no such image",
    "image too small",
    "no maps",
    "no such unit",
    "unwritable",
    "unknown suffix",
    "site in a file",
    "site in a full folder",
    "damaged result",
    "no result",
    "missing result",
    "size too small",
    "unknown factory",
]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(netviz, tmp_path, kind):
    args, message = bad(tmp_path)[kind]
    before = sorted(tmp_path.rglob("*"))
    done = netviz(*args)
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith("netviz: ")
    assert len(done.err.splitlines()) == 1
    assert message in done.err
    assert "unexpected" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_debug_shows_the_traceback(netviz):
    done = netviz("filters", "mobilenet_v2", "-l", "conv99", "--debug")
    assert done.status == 1
    assert "Traceback" in done.err
