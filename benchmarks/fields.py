"""Theoretical fields against the support of the gradient, operation by operation.

Not a race but a table: each operation alone between two convolutions with positive weights, at two sizes. ``wrong``
must be 0: a gradient outside a field, or an ``exact`` or ``global`` field that is not met. With ``networks``, some
layers of one network of each of timm's families. With ``shares``, nothing is checked: all layers of these networks
and of torchvision's are counted by the status of their field.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from netviz.capture import index_layers
from netviz.errors import NetvizError
from netviz.geometry.field import geometry
from netviz.models.builders import (
    build_timm,
    build_torchvision,
    classification_names,
    torchvision_families,
)
from support.gradients import OPERATIONS, SIZES, alone, at_two_sizes, families, parameters

STATUSES = ("exact", "upper_bound", "global", "unknown")


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
    order = ("exact", "global", "upper_bound", "unknown", "no maps", "wrong")
    total = ", ".join(f"{status} {counts[status]}" for status in order)
    return "\n".join([*rows, "", f"{len(OPERATIONS)} operations at {len(SIZES)} sizes: {total}."])


SMALL, MANY = 13_000_000, 100_000_000


def networks(chosen: Sequence[str]) -> str:
    """Hold some layers of each network against the gradient, at the first two sizes that it takes."""
    rows = ["| network | input | exact | at most | global | unknown | checked | wrong |", "|---" * 8 + "|"]
    total: Counter[str] = Counter()
    for name in chosen:
        count = parameters(name)
        if count > MANY:
            rows.append(f"| {name} | left out: {count / 1e6:.0f} M parameters |")
            continue
        total["networks"] += 1
        for size, statuses, found in at_two_sizes(name, 4 if count < SMALL else 2):
            wrong = [one.why for one in found if one.status == "wrong"]
            total += statuses + Counter(checked=len(found), wrong=len(wrong))
            place = "own" if size is None else f"{size[0]}×{size[1]}"
            cells = [name, place, *(statuses[one] for one in STATUSES), len(found), "; ".join(wrong) or 0]
            rows.append("| " + " | ".join(map(str, cells)) + " |")
            print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join([*rows, "", str(dict(total))])


def shares() -> str:
    """Count the layers with maps by how well their field is known, at each network's own size."""
    named = torchvision_families()
    collections = {
        "torchvision, classification": [*classification_names()],
        "torchvision, segmentation": [
            name for family in named if family.startswith("segmentation") for name in named[family]
        ],
        "timm, one of each family": list(families().values()),
    }
    rows = [
        "| collection | networks | layers with maps | exact | upper bound | global | unknown |",
        "|---" * 7 + "|",
    ]
    left_out = []
    for collection, names in collections.items():
        counts: Counter[str] = Counter()
        ran = 0
        for name in names:
            try:
                statuses = counted(name, torchvision="torchvision" in collection)
            except NetvizError as error:
                left_out.append(f"{name}: {error}")
                continue
            counts += statuses
            ran += 1
            print(name, dict(statuses), file=sys.stderr, flush=True)
        cells = [f"{counts[one]} ({counts[one] / counts.total():.1%})" for one in STATUSES]
        rows.append("| " + " | ".join(map(str, [collection, ran, counts.total(), *cells])) + " |")
    return "\n".join([*rows, "", *left_out])


def counted(name: str, torchvision: bool) -> Counter[str]:
    """Count a network's layers with maps by the status of their field."""
    for meta in (True, False):
        network = (build_torchvision if torchvision else build_timm)(name, meta=meta)
        own = getattr(network, "default_cfg", {}).get("input_size")
        try:
            index = index_layers(network, prefer=own and tuple(own[1:]))
            return Counter(str(field.status) for field in geometry(network, index).values())
        except NetvizError:  # some read values of their tables: those run for real only
            if not meta or sum(one.numel() for one in network.parameters()) > MANY:
                raise
    raise AssertionError


if __name__ == "__main__":
    # python benchmarks/fields.py [networks [NAME …] | shares]
    if sys.argv[1:2] == ["networks"]:
        print(networks(sys.argv[2:] or list(families().values())))
    else:
        print(shares() if sys.argv[1:2] == ["shares"] else table())
