"""The notebook docs/tour.ipynb is run as a notebook runs it: what a cell ends with is shown."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import netviz
from netviz.errors import MissingWeightsError

TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of the expression that it ends with, or None."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(TOUR), "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), str(TOUR), "eval"), names)


def test_the_notebook_carries_no_output():
    assert TOUR.stat().st_size < 20_000
    assert all(not cell["outputs"] for cell in CELLS if cell["cell_type"] == "code")


def test_every_cell_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    try:
        netviz.load("mobilenet_v2")
    except MissingWeightsError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = []
    for cell in CELLS:
        if cell["cell_type"] == "code":
            value = run("".join(cell["source"]), names)
            if hasattr(value, "_repr_mimebundle_"):
                assert "<img" in value._repr_mimebundle_()["text/html"]
                shown.append(value.kind)
    assert shown == ["filters", "maps", "field", "attribute", "occlusion", "hypercolumn"]
    assert {file.name for file in tmp_path.iterdir()} == {"patches.png", "maps.npz", "maps.png"}
