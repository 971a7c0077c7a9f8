"""Theoretical fields against the support of the gradient, operation by operation.

Not a race but a table: each operation alone between two convolutions with positive weights, at two sizes. ``wrong``
must be 0: a gradient outside a field, or an ``exact`` or ``global`` field that is not met. With ``networks``, some
layers of one network of each of timm's families.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from netviz.models.builders import import_timm
from support.gradients import OPERATIONS, SIZES, alone, network


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


# The smallest network of a family is mostly called so.
_SMALL = re.compile("test|atto|femto|pico|xxs|xx_small|nano|xs|tiny|_[sbmt]0|_050|small|18|26|_s|mini")
MANY = 13_000_000


def families() -> dict[str, str]:
    """Return for each of timm's families the network whose name promises the least."""
    found: dict[str, str] = {}
    for family in import_timm().list_modules():
        names = import_timm().list_models(module=family)
        if names:
            found[family] = min(names, key=lambda name: (not _SMALL.search(name), len(name), name))
    return found


def networks(chosen: Sequence[str], some: int) -> str:
    rows = ["| network | input | exact | at most | global | unknown | checked | wrong |", "|---" * 8 + "|"]
    total: Counter[str] = Counter()
    for name in chosen:
        for size in ((160, 224), None):
            try:
                built = import_timm().create_model(name, pretrained=False)
                if sum(one.numel() for one in built.parameters()) > MANY:
                    rows.append(f"| {name} | too large |")
                    break
                statuses, found = network(built, size, some)
            except Exception as error:  # a network that does not run at this size, or at all
                rows.append(f"| {name} | {size}: {str(error)[:80]} |")
                continue
            wrong = [one.why for one in found if one.status == "wrong"]
            total += statuses + Counter(checked=len(found), wrong=len(wrong))
            counts = [statuses[one] for one in ("exact", "upper_bound", "global", "unknown")]
            cells = [name, size or "own", *counts, len(found), "; ".join(wrong) or 0]
            rows.append("| " + " | ".join(map(str, cells)) + " |")
            print(rows[-1], file=sys.stderr, flush=True)
            break
    return "\n".join([*rows, "", str(dict(total))])


if __name__ == "__main__":
    # python benchmarks/fields.py [networks [NAME …]]
    print(
        networks(sys.argv[2:] or list(families().values()), 12) if sys.argv[1:2] == ["networks"] else table()
    )
