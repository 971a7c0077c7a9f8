"""The CLI reference of docs/, generated from the commands themselves: ``python -m netviz.cli.reference FILE``."""

import sys
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
    for context in [
        top,
        *(click.Context(c, parent=top, info_name=name) for name, c in netviz.commands.items()),
    ]:
        parts += [f"## {context.command_path}", "", "```text", context.get_help().rstrip(), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
