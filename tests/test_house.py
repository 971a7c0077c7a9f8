"""Rules of the house that no linter knows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("netviz", "cli", "gallery") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_capture_registers_hooks(path):
    registers = re.search(r"\.register_\w*hook|TorchFunctionMode\b|TorchDispatchMode\b", path.read_text())
    assert not registers or "capture" in path.parts or path.name == "builders.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_unpickled_but_by_the_checkpoint_reader(path):
    unpickles = re.search(
        r"pickle\.loads?\(|torch\.load\(|torch\.jit\.load\(|export\.load\(|allow_pickle=True",
        path.read_text(),
    )
    assert not unpickles or path.name in ("checkpoint.py", "archive.py", "inert.py")
