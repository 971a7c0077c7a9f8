"""How a network's pages came about: the options of its run, the command for them, and what they lack."""

from dataclasses import dataclass

from ..panel import Panel
from ..runs import Run
from ..words import command, sized

_NONE = {
    "concepts": "No concepts",
    "minimal": "No minimal images",
    "hypercolumns": "No hypercolumns",
    "fcn": "No streams and no dense heat maps",
}


@dataclass(frozen=True)
class Origin:
    """How a network's pages came about.

    Attributes
    ----------
    model, netviz : str
        What a command calls the network, and the version of netviz that looked into it.
    options : tuple of (str, str)
        What was asked for.
    command : str
        What to type for these pages alone.
    """

    model: str
    netviz: str
    options: tuple[tuple[str, str], ...]
    command: str


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


def without_text(what: str) -> str:
    """Say which part there is none of."""
    return _NONE.get(what, f"No {what}")


PANEL = Panel(words=(without_text,))
