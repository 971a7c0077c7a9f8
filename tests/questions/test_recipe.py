"""docs/design.md shows how a question is added; that is followed here to the letter, in a copy of the package."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## A new question")[2]
BLOCKS = dict(re.findall(r"`([\w/]+\.py)`[^`]*:\n\n```(?:python|text)\n(.*?)```", RECIPE, flags=re.DOTALL))
TABLE = "netviz/questions/table.py"

ASK = """
import json, os, sys, pytest
import netviz
from netviz.cli.main import run
from netviz.cli.reference import reference, stub
from netviz.questions.table import commands

assert "torch" not in sys.modules
told = {"commands": commands(), "names": dir(netviz), "reference": reference(), "types": stub()}
json.dump(told, open("told.json", "w"))
try:
    run(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-c", os.devnull, "tests"]))
"""

SHOW = """
import sys, netviz
result = netviz.load_result("out.npz")
assert (result.kind, result.zeros.shape) == ("sparsity", (64,))
assert netviz.draw(result, "out.png").read_bytes().startswith(b"\\x89PNG")
assert netviz.report("out.npz") == result.summary()
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package as it is installed, with the recipe followed."""
    folder = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for source, target in (("netviz", "netviz"), ("cli", "netviz/cli"), ("gallery", "netviz/gallery")):
        shutil.copytree(ROOT / source, folder / target, ignore=leave)
    for name, code in BLOCKS.items():
        path = folder / re.sub(r"^cli/", "netviz/cli/", name)
        if name == TABLE:
            before, end, after = path.read_text(encoding="utf-8").partition(')\n"""All questions')
            code = before + code + end + after
        elif name.startswith("netviz"):
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    return folder


def python(folder, *args):
    subprocess.run(
        [sys.executable, "-c", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        check=True,
    )


def test_a_question_touches_six_files():
    assert len(BLOCKS) == 6
    assert BLOCKS.keys() > {TABLE, "cli/sparsity.py"}


def test_the_package_knows_it_and_its_own_test_passes(copy):
    network = ("--model", "squeezenet1_1", "--weights", "none", "--size", "64")
    python(copy, ASK, "sparsity", "skimage:coins", "-l", "relu1", *network, "-o", "out.npz")
    told = json.loads((copy / "told.json").read_text())
    assert "sparsity" in told["commands"]
    assert "sparsity" in told["names"]
    assert "## netviz sparsity\n" in told["reference"]
    assert "from netviz.questions.sparsity.measure import sparsity as sparsity" in told["types"]
    python(copy, SHOW)
