"""``netviz draw`` and ``netviz report``: a saved result again, without torch."""

from typing import Any

import click

from .options import debug_option, json_option, out_option
from .output import print_json, say


@click.command()
@click.argument("result", metavar="RESULT.npz")
@out_option("Picture (.png, .svg, .pdf).  [default: the result's name with .png]")
@debug_option
def draw(result: str, out: str | None) -> None:
    """Draw a saved result again."""
    from pathlib import Path

    from netviz.render import draw as draw_result

    say(f"wrote {draw_result(result, out or Path(result).with_suffix('.png').name)}")


@click.command()
@click.argument("result", metavar="RESULT.npz")
@json_option
@debug_option
def report(result: str, as_json: bool) -> None:
    """Print the facts of a saved result."""
    from netviz.results import report as facts_of

    facts = facts_of(result)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name}: {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(
            "/".join(map(str, one)) if isinstance(one, list | tuple) else str(one) for one in value
        )
    return str(value)
