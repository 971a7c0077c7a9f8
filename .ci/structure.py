"""Print the house in numbers: files and lines by room, and how many files stand one above the other.

``python .ci/structure.py [ROOT]``. A chain follows imports, and the table of questions to results and their drawers.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import grimp

STARTS = ("cli.maps", "cli.dissect", "gallery.build")
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


def imports(root: Path, beside: Path) -> grimp.ImportGraph:
    """Return who imports whom, laid out as in the wheel."""
    package = beside / "netviz"
    shutil.copytree(root / "netviz", package)
    for mapped in ("cli", "gallery"):
        shutil.copytree(root / mapped, package / mapped)
    sys.path.insert(0, str(beside))
    graph = grimp.build_graph("netviz", cache_dir=None)
    if (package / "questions" / "table.py").is_file():
        for place in [one for one in graph.modules if re.search(r"\.(result|draw\w*)$", one)]:
            reader = "reader" if place.endswith(".result") else "drawing"
            graph.add_import(importer=f"netviz.questions.{reader}", imported=place)
    return graph


def chain(
    graph: grimp.ImportGraph, module: str, known: dict[str, tuple[str, ...]], above: frozenset[str]
) -> tuple[str, ...]:
    """Return the longest row of modules, each imported by the one before it."""
    if module not in known:
        below = (one for one in graph.find_modules_directly_imported_by(module) if one not in above)
        rows = [chain(graph, one, known, above | {module}) for one in sorted(below)]
        known[module] = (module, *max(rows, key=len, default=()))
    return known[module]


def main() -> None:
    """Count, and follow."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    count(root)
    with tempfile.TemporaryDirectory() as folder:
        graph = imports(root, Path(folder))
        for start in STARTS:
            row = chain(graph, f"netviz.{start}", {}, frozenset())
            print(f"\n{start}: {len(row)} files one above the other")
            print("  " + " > ".join(one.removeprefix("netviz.") for one in row))


if __name__ == "__main__":
    main()
