"""Run every benchmark and write docs/benchmarks.md: ``python benchmarks/run.py docs/benchmarks.md [--only NAME]``.

With ``--only`` one script is run, and its section of the page is written anew.

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


def section(script: Path) -> list[str]:
    """Run a script and return its section of the page."""
    print(f"{script.stem} …", file=sys.stderr)
    said = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    title, _, note = said.partition("\n\n")
    done = subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True)
    return [f"## {title.rstrip('.')}", "", note.strip(), "", done.stdout.strip(), ""]


def main(path: Path, only: str | None) -> None:
    """Run all scripts in order, or one of them, and write the page."""
    scripts = [script for script in sorted(HERE.glob("*.py")) if script.name != Path(__file__).name]
    if only is not None:
        (script,) = (one for one in scripts if one.stem == only)
        page = path.read_text(encoding="utf-8")
        new = "\n".join(section(script))
        heading = new.partition("\n")[0]
        before, found, rest = page.partition(f"{heading}\n")
        following = rest.find("\n## ")
        after = rest[following + 1 :] if found and following >= 0 else ""
        text = f"{before.rstrip()}\n\n{new}\n{after}"
    else:
        parts = [
            "# Benchmarks",
            "",
            "Written by `make bench`; medians of alternating runs in the same process or, for whole commands, of",
            "alternating commands. Read the ratios: times depend on the machine.",
            "",
            f"Measured on: {machine()}",
            "",
        ]
        text = "\n".join([*parts, *(line for script in scripts for line in section(script))])
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[3] if sys.argv[2:3] == ["--only"] else None)
