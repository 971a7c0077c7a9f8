"""Run every benchmark and write docs/benchmarks.md: ``python benchmarks/run.py docs/benchmarks.md``.

With ``--only NAME`` one script is run, and its section of the page is written anew. The scripts of `LONG`, which take
more than some minutes, run only so; else their sections stay as they are. A script that fails leaves its section,
too, and the others go on. Sections whose titles are no script's were written by hand, and stay where they are. With
``--again`` a section that is there is kept, and a line under it tells how far the ratios of a second run lie from its
own. How long each takes is told on the way.

Each script in this folder measures netviz and its peers alternately and prints a Markdown table of ratios; it runs in
a process of its own, since some peers change torch when they are imported. Absolute times depend on the machine;
ratios travel better.
"""

import argparse
import ast
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent

SHARED = ("run", "goals")
"""Files of this folder that measure nothing."""

LONG = ("families", "faults")
"""Scripts that run only when they are asked for."""


def machine() -> str:
    """Return what the figures were measured on, without naming the machine."""
    return (
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, "
        f"{torch.get_num_threads()} CPU threads, {platform.system()} {platform.machine()}."
    )


def said(script: Path) -> tuple[str, str]:
    """Return the title of a script's section, and what it says before its tables."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    title, _, note = text.partition("\n\n")
    return title.rstrip("."), note.strip()


def section(script: Path) -> str:
    """Run a script and return its section of the page."""
    title, note = said(script)
    done = subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True)
    return f"## {title}\n\n{note}\n\n{done.stdout.strip()}\n"


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their titles."""
    parts = f"\n{page}".split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def written(scripts: Iterable[Path], made: dict[str, str]) -> str:
    """Return the page: the sections in the order of the scripts, those of no script behind what they followed."""
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench`, one section by `make bench ONLY=NAME`. What is compared takes turns, in one\n"
        "process or, for whole commands, as processes. Read the ratios: times depend on the machine.\n\n"
        f"Measured on: {machine()}\n"
    )
    order = [title for title in (said(script)[0] for script in scripts) if title in made]
    place = 0
    for title in made:
        if title not in order:
            order.insert(place, title)
        place = order.index(title) + 1
    return "\n".join([head, *(made[title] for title in order)])


_RATIO = re.compile(r"(?<![-–(\d.])(\d+(?:\.\d+)?) ?×(?!\d)|(?<=\| )(\d+\.\d+)(?= \|)")
"""In a table: what has a × behind it, and cells of one number with a point."""
_AGAIN = "A second run of the whole: "


def ratios(text: str) -> list[float]:
    """Return the ratios in a section's tables, in their order, without goals and ranges."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.sub(r"\(goal[^)]*\)", "", row) for row in rows]
    return [float(one or other) for row in cells for one, other in _RATIO.findall(row)]


def compared(first: str, second: str) -> str:
    """Return the first run's section, with a line of how far the second one's ratios lie from it."""
    lines = [line for line in first.rstrip().splitlines() if not line.startswith(_AGAIN)]
    before, after = ratios(first), ratios(second)
    if len(before) != len(after):
        raise ValueError(f"{len(before)} ratios in the first run, {len(after)} in the second")
    apart = [abs(new / old - 1) for old, new in zip(before, after, strict=True) if old]
    if apart:
        told = f"{len(apart)} ratios, {statistics.median(apart):.0%} apart in the median, {max(apart):.0%} at most."
        lines += ([] if not lines[-1] else [""]) + [_AGAIN + told]
    return "\n".join(lines).rstrip() + "\n"


def main(path: Path, only: str | None, again: bool) -> int:
    """Run all scripts in order, or one of them, and write the page after each; return how many failed."""
    scripts = [script for script in sorted(HERE.glob("*.py")) if script.stem not in SHARED]
    if only is None:
        chosen = [script for script in scripts if script.stem not in LONG]
    else:
        chosen = [script for script in scripts if script.stem == only]
        if not chosen:
            raise SystemExit(f"no script {only!r}; there are {', '.join(one.stem for one in scripts)}")
    made = sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    failed = 0
    for script in chosen:
        print(f"{script.stem} …", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        try:
            title, run = said(script)[0], section(script)
            made[title] = compared(made[title], run) if again and title in made else run
        except (subprocess.CalledProcessError, ValueError) as error:
            failed += 1
            print(f"{script.stem} failed: {error}", file=sys.stderr)
            continue
        path.write_text(written(scripts, made), encoding="utf-8")
        print(f"{script.stem}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", metavar="NAME")
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args()
    sys.exit(main(asked.page, asked.only, asked.again))
