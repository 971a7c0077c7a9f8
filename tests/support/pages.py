"""A site's files and pages read back, and runs that say something else."""

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """A page's elements and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path in the folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def changed(run: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a run, with another run.json."""
    shutil.copytree(run, folder)
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    change(facts)
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def leave_out(facts: dict[str, Any], *parts: str) -> None:
    """Say that a run has none of these parts."""
    for part in parts:
        facts[part] = {"missing": "this run has none"}
