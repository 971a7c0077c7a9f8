"""How a network's pages came about: the options of its run, the command for them, and what they lack."""

from dataclasses import dataclass

from netviz.results.survey import ConceptsRecord, Missing, PatchesRecord, SurveyRecord

from ..panel import Panel
from ..words import command, option, options, sized
from .optimized import left_out

_NONE = {
    "concepts": "No concepts",
    "minimal": "No minimal images",
    "hypercolumns": "No hypercolumns",
    "optimize": "Not of all units what they want to see",
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


def without(run: SurveyRecord) -> tuple[tuple[str, str], ...]:
    """Return which parts there are none of, each with the reason."""
    parts = ((name, getattr(run, name)) for name in _NONE if name != "optimize")
    missing = tuple((name, part.missing) for name, part in parts if isinstance(part, Missing))
    wanted = left_out(run.optimize)
    return (*missing, *([("optimize", wanted)] if wanted else []))


def tell_origin(run: SurveyRecord) -> Origin:
    """Gather what the run notes of how it was asked for."""
    images = run.patches.images if isinstance(run.patches, PatchesRecord) else ()
    data = run.concepts.data if isinstance(run.concepts, ConceptsRecord) else None
    known = {"images": images, "data": () if data is None else (data,), "size": tuple(sized(run.size)[1:])}
    asked = options(run.options)
    words = [run.model]
    for name, values in (known | asked).items():
        words += option(name, values) if values or name in asked else []
    given = [("photographs", ", ".join(images) if images else f"{len(run.images)} of scikit-image")]
    for name, values in (known | asked).items():
        if name != "images" and (values or name in asked):
            given.append((name, ", ".join(values) or "yes"))
    return Origin(run.model, run.netviz, tuple(given), command("gallery", *words, "-o", "SITE"))


def without_text(what: str) -> str:
    """Say which part there is none of."""
    return _NONE.get(what, f"No {what}")


PANEL = Panel(words=(without_text,))
