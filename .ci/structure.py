"""The house in numbers.

``python .ci/structure.py`` prints files and lines by room; with a command of netviz's, such as ``maps skimage:chelsea
--layer conv3``, it runs that and prints the longest row of files of which each calls the next.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("netviz", "cli", "gallery")


def count(root: Path) -> None:
    """Print files and lines of Python, templates, styles and scripts in each room."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for name in listed:
        if not name.endswith((".py", ".html", ".css", ".js")) or not (root / name).is_file():
            continue
        first, *rest = Path(name).parts
        room = f"{first}/{rest[0]}" if first == "netviz" and len(rest) > 1 else first if rest else "(root)"
        for key in (room, f"all of {'the product' if first in PRODUCT else first}"):
            files[key] += 1
            lines[key] += (root / name).read_text(encoding="utf-8").count("\n")
    for room in sorted(files, key=lambda one: (one.startswith("all of"), one)):
        print(f"{room:24}{files[room]:5} files{lines[room]:8} lines")


def deepest(arguments: Sequence[str]) -> list[str]:
    """Run a command and return the netviz files that stood on the call stack when most different ones did."""
    import netviz
    from netviz.cli.main import run

    home = Path(netviz.__file__).parent
    roots = [home, home.parent / "cli", home.parent / "gallery"]
    names: dict[str, str] = {}
    best: list[str] = []

    def name(file: str) -> str:
        if file not in names:
            inside = [one for one in roots if one in Path(file).parents]
            names[file] = Path(file).relative_to(inside[0].parent).as_posix() if inside else ""
        return names[file]

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal best
        if event != "call" or not name(frame.f_code.co_filename):
            return
        stack: dict[str, None] = {}
        above: FrameType | None = frame
        while above is not None:
            if above.f_code.co_name == "<module>" and name(above.f_code.co_filename):
                return  # an import, no call
            stack[name(above.f_code.co_filename)] = None
            above = above.f_back
        stack.pop("", None)
        if len(stack) > len(best):
            best = [*reversed(stack)]

    sys.setprofile(look)
    try:
        run(list(arguments))
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        sys.setprofile(None)
    return best


def main() -> None:
    """Count, and follow a command if one is given."""
    if len(sys.argv) > 1:
        row = deepest(sys.argv[1:])
        print(f"{len(row)} files: {' > '.join(row)}")
    else:
        count(ROOT)


if __name__ == "__main__":
    main()
