"""No name out of a file, of a file or of a folder steers the terminal, wherever it is shown."""

import ast
import json
import re
import struct
import traceback
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from netviz.cli import main
from netviz.errors import NetvizError
from netviz.questions.filters.measure import filters
from support.dissection import make_dissection_run
from support.patches import make_run

EVIL = "x\x1b]0;x\x07\x9b31m\n\r\u202ey"
"""A title for the terminal's window, a colour, ends of lines, text from right to left."""

NETWORK = f"""
from torch import nn

class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module({EVIL!r}, nn.Conv2d(3, 4, 3))

    def forward(self, x):
        return self.get_submodule({EVIL!r})(x)

def fails():
    raise ValueError({EVIL!r})
"""


def with_globals(module: str, name: str) -> bytes:
    """Return a pickle of a class of this name."""
    strings = [text.encode() for text in (module, name)]
    return b"\x80\x04" + b"".join(b"X" + struct.pack("<I", len(one)) + one for one in strings) + b"\x93."


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def poison(path: Path) -> None:
    """Put the name behind the texts in the facts of a run that are only shown."""
    facts = json.loads(path.read_text())
    for key in ("network", "origin", "torch", "netviz", "data"):
        facts[key] = f"{facts.get(key)}{EVIL}"
    facts["options"] = {EVIL: EVIL, **facts["options"]}
    facts["skipped"] = [{"image": EVIL, "reason": EVIL}]
    path.write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder of files with such names in them."""
    folder = tmp_path_factory.mktemp("ground")
    state = {f"{EVIL}.weight": torch.ones(4, 3, 3, 3)}
    torch.save(state, folder / "keys.pt")
    torch.save(state, folder / f"{EVIL}.pt")
    save_file(state, folder / "keys.safetensors")
    torch.save({EVIL: torch.eye(3).to_sparse(), **state}, folder / "sparse.pt")
    torch.save({EVIL: torch.empty(2, device="meta"), **state}, folder / "meta.pt")
    torch.save({EVIL: 1}, folder / "settings.pt")
    (folder / "class.pt").write_bytes(with_globals(EVIL, EVIL))
    (folder / "junk.pt").write_bytes(EVIL.encode())
    with zipfile.ZipFile(folder / "class_inside.pt", "w") as archive:
        archive.writestr(f"{EVIL}/data.pkl", with_globals(EVIL, EVIL))
        archive.writestr(f"{EVIL}/{EVIL}", b"")
    with zipfile.ZipFile(folder / "keys.pt") as old, zipfile.ZipFile(folder / "record.pt", "w") as new:
        key = struct.pack("<I", len(EVIL.encode())) + EVIL.encode()
        for entry in old.namelist():
            new.writestr(entry, old.read(entry).replace(b"X\x01\x00\x00\x000", b"X" + key))
    (folder / "named.py").write_text(NETWORK)
    photo(folder / f"{EVIL}.png")
    (folder / f"damaged{EVIL}.png").write_bytes(b"x")
    for name in ("a", "b"):
        photo(folder / "classes" / f"{name}{EVIL}" / f"{EVIL}.png")
    (folder / "classes" / f"a{EVIL}" / "damaged.png").write_bytes(b"x")
    result = filters(nn.Conv2d(3, 4, 3))
    replace(result, network=EVIL, layer=EVIL, alias=EVIL).save(folder / "result.npz")
    line = re.sub(r"[\n\r]", "", EVIL)
    (folder / "table.csv").write_text(f"unit,category,label,score\n1,a{line},b{line},0.5\n")
    poison(make_run(folder / "run") / "run.json")
    poison(make_dissection_run(folder / "dissection") / "run.json")
    return folder


SMALL = ["--model", "named:Named", "--size", "32"]
LINES = {
    "state dict": ["layers", "keys.pt"],
    "state dict as JSON": ["layers", "keys.pt", "--json"],
    "filters of it": ["filters", "keys.pt", "--json"],
    "a wrong layer": ["filters", "keys.pt", "-l", f"no{EVIL}"],
    "no network": ["maps", f"{EVIL}.png", "--model", "keys.pt", "-l", "-1"],
    "safetensors": ["layers", "keys.safetensors"],
    "sparse": ["layers", "sparse.pt"],
    "meta": ["layers", "meta.pt"],
    "settings": ["layers", "settings.pt"],
    "class": ["layers", "class.pt"],
    "class, trusted": ["layers", "class.pt", "--trust"],
    "class in an archive": ["layers", "class_inside.pt"],
    "class in an archive, trusted": ["layers", "class_inside.pt", "--trust"],
    "record": ["layers", "record.pt"],
    "text": ["layers", "junk.pt"],
    "file": ["filters", f"{EVIL}.pt", "-o", f"{EVIL}.png"],
    "no such file": ["layers", f"gone{EVIL}.pt"],
    "no such network": ["layers", f"resnet{EVIL}"],
    "no such module": ["layers", f"no.{EVIL}:x"],
    "factory": ["layers", "named:Named"],
    "factory that fails": ["layers", "named:fails"],
    "factory that fails, in full": ["layers", "named:fails", "--debug"],
    "maps": ["maps", f"{EVIL}.png", *SMALL, "-l", "-1", "-o", "maps.png", "--json"],
    "damaged image": ["maps", f"damaged{EVIL}.png", *SMALL, "-l", "-1"],
    "no such image": ["maps", f"gone{EVIL}.png", *SMALL, "-l", "-1"],
    "classes": ["units", "named:Named", "--size", "32", "-l", "-1", "-i", "classes", "-o", "units.png"],
    "result": ["report", "result.npz"],
    "result as JSON": ["report", "result.npz", "--json"],
    "picture": ["draw", "result.npz"],
    "table": ["report", "table.csv"],
    "run": ["report", "run"],
    "run as JSON": ["report", "run", "--json"],
    "run of dissection": ["report", "dissection"],
    "run drawn": ["draw", "run", "-l", EVIL],
    "wrong command": [EVIL],
    "wrong option": ["layers", f"--{EVIL}"],
    "wrong choice": ["filters", "--scale", EVIL],
}


@pytest.mark.parametrize("case", LINES)
def test_no_name_steers_the_terminal(netviz, ground, case, monkeypatch):
    monkeypatch.chdir(ground)
    monkeypatch.syspath_prepend(ground)
    done = netviz(*LINES[case])
    assert done.out + done.err
    assert all(line.isprintable() for line in (done.out + done.err).split("\n"))
    assert "unexpected" not in done.err
    if "--json" in LINES[case]:
        assert EVIL in repr_of(json.loads(done.out))


def repr_of(value: object) -> str:
    """Return all texts of a JSON value behind each other: they are whole there."""
    if isinstance(value, dict):
        return "".join(key + repr_of(one) for key, one in value.items())
    if isinstance(value, list):
        return "".join(map(repr_of, value))
    return str(value)


def test_nor_what_is_unexpected(netviz, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(EVIL)

    monkeypatch.setattr("netviz.questions.opening.load", fail)
    for debug in ([], ["--debug"]):
        done = netviz("layers", *debug)
        assert "unexpected RuntimeError" in done.err
        assert all(line.isprintable() for line in done.err.split("\n"))


def test_an_error_is_one_printable_line():
    assert str(NetvizError(f"a {EVIL} b")).isprintable()
    assert "".join(traceback.format_exception_only(NetvizError(EVIL)))[:-1].isprintable()


def test_everything_is_printed_in_one_place():
    for path in Path(main.__file__).parent.glob("*.py"):
        printing = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and re.match(r"(click\.s?echo|print|sys\.std\w+\.write)\b", ast.unparse(node))
        ]
        assert not printing or path.name == "output.py", (path.name, printing)
