"""Theoretical fields against the support of the gradient, operation by operation.

Not a race but a table: each operation alone between two convolutions with positive weights, at two sizes. ``wrong``
must be 0: a gradient outside a field, or an ``exact`` or ``global`` field that is not met.
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.gradients import OPERATIONS, SIZES, alone


def table() -> str:
    rows = ["| operation | " + " | ".join(f"{height}×{width}" for height, width in SIZES) + " |"]
    rows.append("|---" * (1 + len(SIZES)) + "|")
    counts: Counter[str] = Counter()
    for name, what in OPERATIONS.items():
        cells = []
        for size in SIZES:
            found = alone(what, size)
            counts[found.status] += 1
            tight = f" {found.tight:.2f}" if found.status == "upper_bound" else ""
            cells.append(f"{found.status}{tight} {found.why}".strip())
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    order = ("exact", "global", "upper_bound", "unknown", "wrong")
    total = ", ".join(f"{status} {counts[status]}" for status in order)
    return "\n".join([*rows, "", f"{len(OPERATIONS)} operations at {len(SIZES)} sizes: {total}."])


if __name__ == "__main__":
    print(table())
