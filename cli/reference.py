"""The CLI reference of docs/, generated from the commands themselves: ``python -m netviz.cli.reference FILE``."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .main import netviz

WIDTH = 100


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


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
