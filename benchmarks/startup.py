"""Start-up of the command line.

`netviz --help` and `netviz report` against an interpreter that does nothing (`python -c pass`): whole processes in
turn, wall time. Goal for `--help`: at most 0.25 s more.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def table() -> str:
    netviz = str(Path(sys.executable).with_name("netviz"))
    with tempfile.TemporaryDirectory() as folder:
        result = f"{folder}/f.npz"
        subprocess.run([netviz, "filters", "mobilenet_v2", "-o", result], check=True, capture_output=True)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "netviz --help": [netviz, "--help"],
            "netviz maps --help": [netviz, "maps", "--help"],
            "netviz report RESULT.npz": [netviz, "report", result],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for run in range(RUNS + 1):
            for name, command in commands.items():
                taken = seconds(command)
                if run:
                    times[name].append(taken)
    base = statistics.median(times["python -c pass"])
    rows = ["| command | median s | more than `python -c pass`, s |", "|---|---|---|"]
    for name, taken in times.items():
        middle = statistics.median(taken)
        rows.append(f"| `{name}` | {middle:.3f} | {middle - base:+.3f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
