"""What commands print and write: data on stdout, messages on stderr, results where -o says."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from netviz.results import Result


def say(message: str) -> None:
    """Print a message for a person, on stderr."""
    click.echo(message, err=True)


def print_json(value: Any) -> None:
    """Print data as JSON on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def deliver(result: "Result", out: str | None, default: str, as_json: bool) -> None:
    """Write a result where ``-o`` says (or, without ``--json``, to a default name) and print its facts if asked."""
    if as_json:
        print_json(result.summary())
    if out is not None or not as_json:
        from netviz.render import draw

        say(f"wrote {draw(result, out or default)}")


def out_for(out: str | None, default: str, name: str, several: bool) -> str:
    """Return the file for one image of several: the image's name is put before the suffix."""
    path = Path(out or default)
    return str(path.with_name(f"{path.stem}-{name}{path.suffix}")) if several else str(path)


class Progress:
    """One line on stderr with rate and remaining time; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = 0
        self._visible = sys.stderr.isatty()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that so many steps of so many are done."""
        if not self._visible:
            return
        if done == 0:
            self._started = time.monotonic()
        elapsed = time.monotonic() - self._started
        text = f"{what}  {done}/{total}"
        if done and elapsed > 0:
            text += f"  {done / elapsed:.1f}/s, {max(0.0, elapsed / done * (total - done)):.0f} s left"
        click.echo("\r" + text.ljust(self._shown), err=True, nl=done >= total)
        self._shown = 0 if done >= total else len(text)
