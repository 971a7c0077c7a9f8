"""One network of each of timm's families, on the command line.

Not a race but a table: six commands on the untrained network whose name promises the least of each family, of those
with fewer than 100 million parameters, in one process. `maps`, `patches` and `field` take the layer in the middle of
those that have maps; `occlusion` covers the image in four places. A refusal has its reason below; `unexpected` must
be 0: an error that netviz did not raise on purpose, a picture that is not there, or more than 120 seconds of
processor time. `--questions why` asks instead what in an image a score comes from, which units vote for it, and what
a unit is built from.
"""

import argparse
import contextlib
import io
import json
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from netviz.cli.main import run
from netviz.models.builders import import_timm
from support.gradients import families, parameters

OUTCOMES = ("works", "refused", "long", "unexpected")
MANY = 100_000_000
LIMIT = 120
PHOTOGRAPHS = ("-i", "skimage:chelsea", "-i", "skimage:coffee")
UNTRAINED = ("--weights", "none", "--seed", "0")


class Late(BaseException):
    """A command that took longer than it may."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Stop what takes more processor time, which others on the machine do not lengthen."""

    def stop(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def called(*args: str) -> tuple[int | None, str, str]:
    """Run a command in this process; return its status, which is None if it took too long, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    status: int | None = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with limited(LIMIT):
                run(list(args))
        except SystemExit as stop:
            status = int(stop.code or 0)
        except Late:
            status = None
    return status, out.getvalue(), err.getvalue()


def judged(status: int | None, err: str, made: Path | None) -> tuple[str, str]:
    """Tell whether a command works, refuses with a reason, takes as long as it said, or does something else."""
    last = err.strip().splitlines()[-1].removeprefix("netviz: ") if err.strip() else ""
    if status is None:
        foretold = re.search(r"take \S+ about (\d+ (?:minutes|hours|days))", err)
        if foretold:
            return "long", f"stopped after {LIMIT} s; said before it began that it takes {foretold[1]}"
        return "unexpected", f"more than {LIMIT} s of processor time"
    if status == 0:
        there = made is None or made.exists()
        return ("works", "") if there else ("unexpected", "no picture")
    return ("unexpected" if status != 1 or last.startswith("unexpected") or not last else "refused"), last


def middle(listed: str) -> str | None:
    """Return the layer in the middle of those that have maps of more than one position."""
    found = [
        row["name"]
        for row in json.loads(listed)
        if row["receptive_field"] is not None and len(row["shape"]) == 3 and min(row["shape"][1:]) > 1
    ]
    return found[len(found) // 2] if found else None


Commands = dict[str, tuple[str, ...]]


def see(name: str, layer: str) -> Commands:
    """Return the commands that show what a network has and answers to."""
    model = f"timm:{name}"
    patch = str(import_timm().get_pretrained_cfg(name).input_size[-1] // 2)
    return {
        "maps": ("maps", "skimage:chelsea", "--model", model, "-l", layer, "--units", "0:16"),
        "filters": ("filters", model, "--max", "16"),
        "patches": ("patches", model, "-l", layer, *PHOTOGRAPHS, "--top", "2", "--workers", "0"),
        "field": ("field", model, "-l", layer, "-k", "effective", "-i", "skimage:chelsea"),
        "occlusion": (
            "occlusion", "skimage:chelsea", "--model", model, "--patch", patch, "--stride", patch
        ),
    }  # fmt: skip


def why(name: str, _: str) -> Commands:
    """Return the commands that show what an answer comes from."""
    model = f"timm:{name}"
    attribute = ("attribute", "skimage:chelsea", "--model", model, "--method")
    return {
        "Grad-CAM, gradient": (*attribute, "gradcam,gradient"),
        "guided": (*attribute, "guided"),
        "votes": ("votes", "skimage:chelsea", "--model", model),
        "links": ("links", model, "-l", "-1", "-u", "0"),
    }


QUESTIONS: dict[str, Callable[[str, str], Commands]] = {"see": see, "why": why}


def asked(name: str, questions: str) -> dict[str, Any]:
    """Put the commands to one network."""
    cells: dict[str, tuple[str, str]] = {}
    seconds: dict[str, float] = {}

    def ask(what: str, args: tuple[str, ...], made: Path | None) -> str:
        start = time.process_time()
        last = ("-o", str(made)) if made else ()
        status, out, err = called(*args, *UNTRAINED, *last)
        seconds[what] = round(time.process_time() - start, 1)
        cells[what] = judged(status, err, made)
        return out if status == 0 else ""

    with tempfile.TemporaryDirectory() as folder:
        listed = ask("layers", ("layers", f"timm:{name}", "--json"), None) if questions == "see" else ""
        layer = (middle(listed) if listed else None) or "-1"
        for what, args in QUESTIONS[questions](name, layer).items():
            ask(what, args, Path(folder) / (what if what == "patches" else f"{what}.png"))
    return {"network": name, "layer": layer, "cells": cells, "seconds": seconds}


def table(rows: list[dict[str, Any]], left_out: list[str]) -> str:
    """Write rows as Markdown, with each reason once."""
    reasons: dict[str, int] = {}
    commands = list(rows[0]["cells"]) if rows else []
    counts = {command: Counter[str]() for command in commands}
    lines = ["| network | " + " | ".join(commands) + " |", "|---" * (1 + len(commands)) + "|"]
    for row in rows:
        cells = []
        for command in commands:
            what, why = row["cells"][command]
            counts[command][what] += 1
            note = ""
            if why:
                general = re.sub(rf"\b{re.escape(row['network'])}\b", "NETWORK", why)
                note = f" ({reasons.setdefault(general, len(reasons) + 1)})"
            cells.append(what + note)
        lines.append(f"| {row['network']} | " + " | ".join(cells) + " |")
    for what in met(counts):
        total = [f"**{counts[command][what]}**" for command in commands]
        lines.append(f"| **{what}** | " + " | ".join(total) + " |")
    lines += ["", *(f"{number}. {why}" for why, number in reasons.items())]
    if left_out:
        lines += ["", f"Left out, of more parameters: {', '.join(left_out)}."]
    return "\n".join(lines)


def met(counts: dict[str, Counter[str]]) -> list[str]:
    """Return the outcomes to be told; nothing is said of what took long where nothing did."""
    return [one for one in OUTCOMES if one != "long" or any(count[one] for count in counts.values())]


def summary(rows: list[dict[str, Any]], left_out: list[str]) -> str:
    """Write how many do what, and which do anything but work, by reasons; names and numbers in these are left out."""
    commands = list(rows[0]["cells"]) if rows else []
    counts = {command: Counter(row["cells"][command][0] for row in rows) for command in commands}
    lines = ["| | " + " | ".join(commands) + " |", "|---" * (1 + len(commands)) + "|"]
    lines += [
        f"| {what} | " + " | ".join(str(counts[command][what]) for command in commands) + " |"
        for what in met(counts)
    ]
    for command in commands:
        grouped: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            what, why = row["cells"][command]
            if what != "works":
                grouped.setdefault((what, general(why, row["network"])), []).append(row["network"])
        for (what, why), names in grouped.items():
            lines += [
                "",
                f"`{command}` {what}, {len(names)}: {why}. {', '.join(f'`{one}`' for one in names)}",
            ]
    if left_out:
        lines += ["", f"Left out, of more parameters: {', '.join(left_out)}."]
    return "\n".join(lines)


def general(why: str, network: str) -> str:
    """Return a reason without what differs between networks: names of layers, and what is in brackets."""
    found = why.replace(f"timm:{network}", "the network")
    found = re.sub(r" \((?:but )?[^()]*\)", "", found)
    return re.sub(r"\blayer \S+ of\b", "the layer of", found)


def main(chosen: list[str], questions: str, log: Path | None, short: bool) -> str:
    """Ask all that the log does not hold yet."""
    known = {}
    if log is not None and log.exists():
        known = {row["network"]: row for row in map(json.loads, log.read_text().splitlines())}
    rows, left_out = [], []
    for name in chosen:
        if name not in known:
            count = parameters(name)
            known[name] = asked(name, questions) if count < MANY else {"network": name, "parameters": count}
            said = json.dumps(known[name])
            print(said, file=sys.stderr, flush=True)
            if log is not None:
                with log.open("a") as file:
                    file.write(said + "\n")
        if "cells" in known[name]:
            rows.append(known[name])
        else:
            left_out.append(f"`{name}` ({known[name]['parameters'] / 1e6:.0f} M)")
    return summary(rows, left_out) if short else table(rows, left_out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks; by default one of each family")
    parser.add_argument("--questions", choices=QUESTIONS, default="see")
    parser.add_argument("--log", type=Path, help="a line for each network; what it holds is not asked again")
    parser.add_argument("--short", action="store_true", help="counts and reasons, in place of all networks")
    given = parser.parse_args()
    print(main(given.names or [*families().values()], given.questions, given.log, given.short))
