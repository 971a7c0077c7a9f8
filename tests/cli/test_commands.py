import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from netviz.cli.main import netviz as group
from netviz.cli.messages import messages
from netviz.cli.reference import python, reference, stub
from netviz.errors import NetvizError
from support.patches import make_run

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")


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
    asked = ("filters", "mobilenet_v2", "--weights", "none", "-l", "conv2")
    done = netviz(*asked, "-o", tmp_path / "a.npz", "--json")
    facts = json.loads(done.out)
    assert facts["arrays"] == {"weight": [32, 1, 3, 3], "units": [32]}
    assert facts["groups"] == 32
    assert "a.npz" in done.err
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["weight"].shape == (32, 1, 3, 3)
        assert json.loads(str(saved["facts"]))["layer"] == "features.1.conv.0.0"
    for suffix in ("png", "svg", "pdf"):
        assert netviz("draw", tmp_path / "a.npz", "-o", tmp_path / f"b.{suffix}").status == 0
        assert netviz(*asked, "-o", tmp_path / f"c.{suffix}").status == 0
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


def test_same_input_same_bytes(netviz, tmp_path, photo):
    for name in ("a", "b"):
        for suffix in ("npz", "png", "svg", "pdf"):
            out = tmp_path / f"{name}.{suffix}"
            netviz("maps", photo, *SMALL, "-l", "conv3", "--units", "0:6", "-o", out)
    for suffix in ("npz", "png", "svg", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


ONE_BY_ONE = """
import contextlib, io, json, sys
from netviz.cli.main import run
told = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            run(words)
        except SystemExit as stop:
            assert not stop.code, words
    told.append([said.getvalue(), [name for name in json.loads(sys.argv[2]) if name in sys.modules]])
json.dump(told, sys.stdout)
"""


def one_by_one(folder, commands, heavy):
    """Run commands in a new process, and return what each said, and what of the heavy it or one before it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(commands), json.dumps(heavy)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_help_of_every_command_needs_no_torch(tmp_path):
    commands = [[*verb, "--help"] for verb in ([], *([name] for name in group.commands))]
    heavy = ["torch", "numpy", "matplotlib", "PIL", "jinja2"]
    for said, loaded in one_by_one(tmp_path, commands, heavy):
        assert "Usage:" in said
        assert loaded == []


def test_what_is_kept_is_drawn_and_told_without_torch(netviz, tmp_path):
    assert netviz("maps", "skimage:coffee", "-l", "conv3", *SMALL, "-o", tmp_path / "m.npz").status == 0
    make_run(tmp_path / "run")
    (tmp_path / "a.csv").write_text(
        "unit,category,label,score\n1,object,\x1b[31msky,0.5\n2,object,sea,0.01\n"
    )
    commands = [
        ["draw", "m.npz", "-o", "m.png"],
        ["report", "m.npz"],
        ["draw", "run", "-l", "conv1", "-o", "run.png"],
        ["report", "run", "--json"],
        ["report", "a.csv"],
    ]
    told = one_by_one(tmp_path, commands, ["torch"])
    assert [loaded for _, loaded in told] == [[]] * 5
    assert all((tmp_path / name).stat().st_size for name in ("m.png", "run.png"))
    assert "\x1b" not in told[-1][0]
    assert "detectors                 1" in told[-1][0]


def test_the_reference_in_docs_is_the_commands_own():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()


def test_the_types_of_netviz_are_the_tables_own():
    assert (ROOT / "netviz" / "__init__.pyi").read_text(encoding="utf-8") == stub()


def test_the_reference_of_python_names_every_function():
    assert (ROOT / "docs" / "python.md").read_text(encoding="utf-8") == python()


def test_the_page_of_messages_is_the_sources_own():
    page = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    assert page == messages()


def test_the_page_of_messages_holds_what_is_said(netviz, tmp_path):
    """Each kind of message once, said by a command, is found there: values stand for what they are."""
    page = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    shown = [line[3:-1] for line in page.splitlines() if line.startswith("- `")]
    patterns = [re.compile(".*".join(map(re.escape, re.split(r"{[^}]*}", line)))) for line in shown]
    for line, beginning in (
        ("filters mobilnet", "no file and no network"),
        ("filters mobilenet_v2 --weights none -l covn1", "no layer"),
        ("maps no.png --model pnet --weights none -l conv1", "no such image"),
        ("report no.npz", "no such file"),
        ("filters pnet --weights none -o a.bmp", "cannot write"),
    ):
        said = netviz(*line.split()).err.strip().removeprefix("netviz: ")
        assert said.startswith(beginning)
        assert any(pattern.fullmatch(said) for pattern in patterns), said
    for kind in NetvizError.__subclasses__():
        assert f"## {kind.__name__}" in page


def test_debug_shows_the_traceback(netviz):
    done = netviz("filters", "mobilenet_v2", "-l", "conv99", "--debug")
    assert done.status == 1
    assert "Traceback" in done.err
