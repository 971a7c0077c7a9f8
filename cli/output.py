"""What commands print and write: data on stdout, messages on stderr, results where -o says.

Names in them may come from any file. All that is printed goes through here, so that none steers the terminal.
"""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netviz.errors import OutputError, printable

if TYPE_CHECKING:
    from netviz.fcn.streams.result import StreamsResult
    from netviz.questions.maps.result import MapsResult
    from netviz.results.base import Result


def say(message: str) -> None:
    """Print a message for a person, on stderr."""
    click.echo(printable(message), err=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines for a person on stdout."""
    for line in lines:
        click.echo(printable(line.rstrip()))


def print_json(value: Any) -> None:
    """Print data as JSON on stdout; what a terminal would not print is escaped in it."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    click.echo(re.sub(r"[^\n -~]", lambda found: _escaped(found[0]), text))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]


def check_output(out: str) -> None:
    """Refuse a place where `deliver` could write nothing, before there is anything to deliver.

    Raises
    ------
    OutputError
        If the suffix is of no kind that netviz writes, ``--width`` is not for it, or the file cannot be written.
    """
    from netviz.paper.saving import PICTURES, suffix_of
    from netviz.results.files import check_writable

    if suffix_of(out, (*PICTURES, ".npz")) != ".png" and isinstance(_page().get("width"), int):
        raise OutputError(
            f"{out} has no width in pixels: only a .png has; give --width as a length, such as 3.5in, or --dpi"
        )
    check_writable(out)


PAGE = "netviz.page"
"""Under which name the command's context holds for which page its picture is: the keywords of `netviz.draw`."""


def write(result: Any, out: "str | Path", **options: Any) -> None:
    """Write what `netviz.draw` takes, as large as the command's options say, and say so."""
    from netviz.questions.drawing import draw

    say(f"wrote {draw(result, out, **_page(), **{'tell': say, **options})}")


def _page() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return context.find_root().meta.get(PAGE, {}) if context else {}


def deliver(result: "Result", out: str | None, default: str, as_json: bool) -> None:
    """Write a result where ``-o`` says (or, without ``--json``, to a default name) and print its facts if asked."""
    if as_json:
        print_json(result.summary())
    if out is not None or not as_json:
        write(result, out or default)


def deliver_each(
    results: "Iterable[MapsResult | StreamsResult]", count: int, out: str | None, default: str, as_json: bool
) -> None:
    """Write the results of several images, each to a file of its own, and print their facts if asked.

    Parameters
    ----------
    results : iterable of MapsResult or StreamsResult
        Each is written before the next is made.
    count : int
        How many there are. Where there are several, an image's name is put before the suffix of its file.
    out, default, as_json
        As for `deliver`.
    """
    from netviz.results.names import unique_name

    facts: list[Any] = []
    taken: set[str] = set()
    path = Path(out or default)
    for result in results:
        facts.append(result.summary())
        if out is not None or not as_json:
            name = unique_name(result.image_name, taken)
            file = path.with_name(f"{path.stem}-{name}{path.suffix}") if count > 1 else path
            write(result, file)
    if as_json:
        print_json(facts if count > 1 else facts[0])


def _clock(seconds: float) -> str:
    """Return a length of time as minutes and seconds, from one hour on with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


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
        text = printable(f"{what}  {done}/{total}")
        if done and elapsed > 0:
            rate = f"{done / elapsed:.1f}/s" if done >= elapsed else f"{elapsed / done:.1f} s each"
            text += f"  {rate}, {_clock(elapsed / done * max(0, total - done))} left"
        click.echo("\r" + text.ljust(self._shown), err=True, nl=done >= total)
        self._shown = 0 if done >= total else len(text)


class WholeProgress:
    """One line on stderr for work of several parts, with the share that is done and the remaining time.

    Parameters
    ----------
    weights : sequence of float
        For each part about how long it takes, in any unit.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        total = sum(weights)
        self._begins = [sum(weights[:number]) / total for number in range(len(weights))]
        self._shares = [weight / total for weight in weights]
        self._started = time.monotonic()
        self._before = 0.0
        self._done = 0.0
        self._shown = 0
        self._visible = sys.stderr.isatty()

    def part(self, number: int) -> Callable[[str, int, int], None]:
        """Return what a part is to call: with what is being done, how many steps are, and how many there are."""
        begun = False

        def tell(what: str, done: int, total: int) -> None:
            nonlocal begun
            share = self._begins[number] + self._shares[number] * min(done, total) / max(total, 1)
            if not begun:
                # What an earlier run has left took no time in this one.
                begun = True
                self._before += max(0.0, share - self._done)
            self._done = max(self._done, share)
            self._show(what)

        return tell

    def __enter__(self) -> "WholeProgress":
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line: what is said next stands by itself."""
        if self._visible and self._shown:
            click.echo("\r" + " " * self._shown + "\r", err=True, nl=False)
            self._shown = 0

    def _show(self, what: str) -> None:
        if not self._visible:
            return
        text = f"{100 * self._done:3.0f} %"
        elapsed, here = time.monotonic() - self._started, self._done - self._before
        # Before that, how long loading took says little of the rest.
        if elapsed > 2 and here > 0.02:
            text += f"  {_clock(elapsed / here * (1 - self._done))} left"
        text = printable(f"{text}  {what}"[: shutil.get_terminal_size().columns - 1])
        click.echo("\r" + text.ljust(self._shown), err=True, nl=False)
        self._shown = len(text)
