"""What is generated from the source: docs/cli.md, the types of ``netviz``, docs/messages.md, docs/python.md.

``python -m netviz.cli.reference docs/cli.md netviz/__init__.pyi docs/messages.md docs/python.md`` writes them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

import netviz as library

from .main import netviz
from .messages import messages

WIDTH = 80


def reference() -> str:
    """Return docs/cli.md: every command's own help, as the terminal shows it."""
    parts = [
        "# Command line",
        "",
        "Generated from the commands (`make docs`); a test holds it against them.",
        "",
    ]
    top = click.Context(netviz, info_name="netviz", terminal_width=WIDTH, **netviz.context_settings)
    for context in _contexts(top):
        parts += [f"## {context.command_path}", "", "```text", context.get_help().rstrip(), "```", ""]
    return "\n".join(parts)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield a command, and the commands of a group."""
    yield context
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from _contexts(click.Context(command, parent=context, info_name=name))


def stub() -> str:
    """Return netviz/__init__.pyi: where each public function stands, for type checkers and editors."""
    lines = ["# Generated from netviz/questions/table.py (`make docs`); a test holds it against that.", ""]
    lines += ["from netviz import fcn as fcn", "from netviz._version import __version__ as __version__"]
    homes = sorted((home, name) for name, home in library._HOMES.items())
    lines += [f"from {home} import {name} as {name}" for home, name in homes]
    return "\n".join(
        [
            *lines,
            "",
            "_HOMES: dict[str, str]",
            "",
            "def _display(shown: object) -> dict[str, str | bytes]: ...",
            "",
        ]
    )


def python() -> str:
    """Return docs/python.md: which functions there are; the site puts their docstrings in."""
    parts = [
        "# Python",
        "",
        "Generated from the table of questions (`make docs`). The functions mirror the commands:",
        '`netviz maps photo.jpg --layer conv3` is `netviz.maps("photo.jpg", layer="conv3")`. Results are frozen',
        "dataclasses of NumPy arrays; what is wrong is a `netviz.errors.NetvizError` ([messages](messages.md)), or a",
        "`ValueError` for a value that is wrong for every network.",
        "",
    ]
    own = {f"fcn.{name}": f"netviz.fcn.{home}" for name, home in library.fcn._HOMES.items()}
    homes = {**library._HOMES, **own}
    for name, home in sorted(homes.items()):
        parts += [f"::: {home}.{name.removeprefix('fcn.')}", "    options:"]
        parts += [f"      heading: netviz.{name}", f"      toc_label: netviz.{name}", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    for place, write in zip(sys.argv[1:], (reference, stub, messages, python), strict=False):
        Path(place).write_text(write(), encoding="utf-8")
