"""One network of each of timm's families, on the command line.

Not a race but a table: six commands on the untrained network whose name promises the least of each family, of those
with fewer than 100 million parameters, in one process. `maps`, `patches` and `field` take the layer in the middle of
those that have maps; `occlusion` covers the image in four places. A refusal has its reason below; `unexpected` must
be 0: an error that netviz did not raise on purpose, a picture that is not there, or more than 120 seconds of
processor time.
"""

import contextlib
import io
import json
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from netviz.cli.main import run
from netviz.models.builders import import_timm
from support.gradients import families, parameters

COMMANDS = ("layers", "maps", "filters", "patches", "field", "occlusion")
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
    """Tell whether a command works, refuses with a reason, or does something else."""
    last = err.strip().splitlines()[-1].removeprefix("netviz: ") if err.strip() else ""
    if status is None:
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


def asked(name: str) -> dict[str, Any]:
    """Put the six commands to one network."""
    model = f"timm:{name}"
    patch = str(import_timm().get_pretrained_cfg(name).input_size[-1] // 2)
    cells: dict[str, tuple[str, str]] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        status, out, err = called("layers", model, *UNTRAINED, "--json")
        seconds["layers"] = round(time.process_time() - start, 1)
        cells["layers"] = judged(status, err, None)
        layer = (middle(out) if status == 0 else None) or "-1"
        commands = {
            "maps": ("skimage:chelsea", "--model", model, "-l", layer, "--units", "0:16"),
            "filters": (model, "--max", "16"),
            "patches": (model, "-l", layer, *PHOTOGRAPHS, "--top", "2", "--workers", "0"),
            "field": (model, "-l", layer, "-k", "effective", "-i", "skimage:chelsea"),
            "occlusion": ("skimage:chelsea", "--model", model, "--patch", patch, "--stride", patch),
        }
        for command, args in commands.items():
            made = Path(folder) / (command if command == "patches" else f"{command}.png")
            start = time.process_time()
            status, _, err = called(command, *args, *UNTRAINED, "-o", str(made))
            seconds[command] = round(time.process_time() - start, 1)
            cells[command] = judged(status, err, made)
    return {"network": name, "layer": layer, "cells": cells, "seconds": seconds}


def table(rows: list[dict[str, Any]], left_out: list[str]) -> str:
    """Write rows as Markdown, with each reason once."""
    reasons: dict[str, int] = {}
    counts = {command: Counter[str]() for command in COMMANDS}
    lines = ["| network | " + " | ".join(COMMANDS) + " |", "|---" * (1 + len(COMMANDS)) + "|"]
    for row in rows:
        cells = []
        for command in COMMANDS:
            what, why = row["cells"][command]
            counts[command][what] += 1
            note = ""
            if why:
                general = re.sub(rf"\b{re.escape(row['network'])}\b", "NETWORK", why)
                note = f" ({reasons.setdefault(general, len(reasons) + 1)})"
            cells.append(what + note)
        lines.append(f"| {row['network']} | " + " | ".join(cells) + " |")
    for what in ("works", "refused", "unexpected"):
        total = [f"**{counts[command][what]}**" for command in COMMANDS]
        lines.append(f"| **{what}** | " + " | ".join(total) + " |")
    lines += ["", *(f"{number}. {why}" for why, number in reasons.items())]
    if left_out:
        lines += ["", f"Left out, of more parameters: {', '.join(left_out)}."]
    return "\n".join(lines)


def main(chosen: list[str], log: Path | None) -> str:
    """Ask all that the log does not hold yet."""
    known = {}
    if log is not None and log.exists():
        known = {row["network"]: row for row in map(json.loads, log.read_text().splitlines())}
    rows, left_out = [], []
    for name in chosen:
        if name not in known:
            count = parameters(name)
            known[name] = asked(name) if count < MANY else {"network": name, "parameters": count}
            said = json.dumps(known[name])
            print(said, file=sys.stderr, flush=True)
            if log is not None:
                with log.open("a") as file:
                    file.write(said + "\n")
        if "cells" in known[name]:
            rows.append(known[name])
        else:
            left_out.append(f"`{name}` ({known[name]['parameters'] / 1e6:.0f} M)")
    return table(rows, left_out)


if __name__ == "__main__":
    # python benchmarks/families.py [--log FILE] [NAME …]; what the log holds is not asked again
    given = sys.argv[1:]
    path = Path(given[1]) if given[:1] == ["--log"] else None
    print(
        main(given[2:] if path else given, path)
        if given[2 if path else 0 :]
        else main([*families().values()], path)
    )
