"""Run every benchmark and write docs/benchmarks.md: ``python benchmarks/run.py docs/benchmarks.md``.

Each script in this folder measures netviz and its peers alternately and prints a Markdown table of ratios; it runs in
a process of its own, since some peers change torch when they are imported. Absolute times depend on the machine;
ratios travel better.
"""

import ast
import platform
import subprocess
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent


def machine() -> str:
    """Return what the figures were measured on, without naming the machine."""
    return (
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, "
        f"{torch.get_num_threads()} CPU threads, {platform.system()} {platform.machine()}."
    )


def main(path: Path) -> None:
    """Run all scripts in order and write the page."""
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`; medians of alternating runs in the same process or, for whole commands, of",
        "alternating commands. Read the ratios: times depend on the machine.",
        "",
        f"Measured on: {machine()}",
    ]
    for script in sorted(HERE.glob("*.py")):
        if script.name == Path(__file__).name:
            continue
        print(f"{script.stem} …", file=sys.stderr)
        said = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
        title, _, note = said.partition("\n\n")
        done = subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True)
        parts += ["", f"## {title.rstrip('.')}", "", note.strip(), "", done.stdout.strip()]
    path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
