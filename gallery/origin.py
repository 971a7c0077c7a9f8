"""How a network's pages came about: the options of its run, the command for them, and what they lack."""

from .commands import command, sized
from .manifest_images import Origin
from .runs import Run

REASONS = ("concepts", "minimal", "hypercolumns", "fcn")
"""Parts that a network may have none of, in the order in which the pages tell of them."""


def without(run: Run) -> tuple[tuple[str, str], ...]:
    """Return which parts there are none of, each with the reason."""
    found = list(run.without)
    if run.hypercolumns is not None and run.hypercolumns.missing:
        found.append(("hypercolumns", run.hypercolumns.missing))
    if run.fcn is not None and run.fcn.missing:
        found.append(("fcn", run.fcn.missing))
    return tuple(found)


def tell_origin(run: Run) -> Origin:
    """Gather what the run notes of how it was asked for."""
    images = run.patches.images if run.patches is not None else ()
    data = run.concepts.data if run.concepts is not None else None
    known: dict[str, tuple[str, ...]] = {"images": images, "data": (data,) if data is not None else ()}
    known["size"] = tuple(sized(run.size)[1:])
    known.update(run.options)
    words = [run.model]
    for name, values in known.items():
        switch = name in dict(run.options) and not values
        words += [f"--{name}"] if switch else [word for value in values for word in (f"--{name}", value)]
    told = [
        ("photographs", ", ".join(images) if images else f"{len(run.images)} of scikit-image"),
        *((name, ", ".join(values) or "yes") for name, values in known.items() if name != "images"),
    ]
    given = tuple((name, value) for name, value in told if value != "yes" or name in dict(run.options))
    return Origin(run.model, run.netviz, given, command("gallery", *words, "-o", "SITE"))
