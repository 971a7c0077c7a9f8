"""Run every benchmark and write docs/benchmarks.md: ``python benchmarks/run.py docs/benchmarks.md``.

Each script in this folder has a function ``table() -> str`` that measures netviz and its peers alternately in one
process and returns a Markdown table of ratios. Absolute times depend on the machine; ratios travel better.
"""

import importlib.util
import platform
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
        spec = importlib.util.spec_from_file_location(script.stem, script)
        if spec is None or spec.loader is None:
            raise SystemExit(f"cannot load {script}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(f"{script.stem} …", file=sys.stderr)
        title, _, note = (module.__doc__ or script.stem).partition("\n\n")
        parts += ["", f"## {title.rstrip('.')}", "", note.strip(), "", module.table()]
    path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
