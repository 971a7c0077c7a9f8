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
    for name, command in [("netviz", netviz), *((f"netviz {n}", c) for n, c in netviz.commands.items())]:
        context = click.Context(command, info_name=name, max_content_width=WIDTH, terminal_width=WIDTH)
        parts += [f"## {name}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
