"""One unit of a layer: what is known of its values, what is remarkable of it, and the units that act alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.questions.patches.result import PatchesResult
from netviz.questions.units.result import NearestResult
from netviz.results.survey import LayerRecord

from ..loading import load_kind
from ..manifest import Sprites, Tile
from ..panel import Panel
from ..words import joined, number
from .concepts import UnitConcept
from .fields import Spot, UnitFields
from .links import Back, UnitLinks
from .optimized import Wanted
from .patches import UnitPatches
from .ranges import Part

NEAREST = 5
"""How many of the nearest units a page names."""

MARKS = ("dead", "always on", "dead filter", "near-duplicate", "detects", "at the border", "has a page")
"""What may be remarkable of a unit; on a wall a bit each, in this order. The concept of one that
detects tells of it, and a link of a page."""

Floats = NDArray[np.float64]

_HIGH = 40

_LEVELS = (0.5, 0.9, 0.99, 0.995)

_MARKS = {
    "dead": "0 everywhere on these photographs",
    "always on": "never 0 on these photographs",
    "dead filter": "its weights are nearly 0",
    "at the border": "all of its patches lie on the outermost positions of the map, where it sees padding",
}


@dataclass(frozen=True)
class Numbers:
    """What is known of a unit's values over all positions of all photographs.

    Attributes
    ----------
    largest, mean : float
        The largest value and the mean.
    zeros : float
        Which share of the values is 0.
    sparsity : float
        0 for a unit that is equally active everywhere, 1 for one active at one position only; NaN for one that never
        is.
    quantiles : tuple of float
        At the levels of the wall.
    histogram : tuple of int
        In equal steps from the lowest to the highest quantile.
    """

    largest: float
    mean: float
    zeros: float
    sparsity: float
    quantiles: tuple[float, ...]
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Near:
    """A unit whose activity is like another's.

    Attributes
    ----------
    unit : int
    alike : float
        How much, 1 at most.
    page : str or None
        Where a link to it leads.
    seen : (Tile, Sprites) or None
        Its patches, small.
    """

    unit: int
    alike: float
    page: str | None
    seen: tuple[Tile, Sprites] | None


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes
    ----------
    unit : int
        Its number.
    page : str
        Where a link to it leads: its page, or its place on the wall.
    paged : bool
        Whether it has a page.
    marks : tuple of str
        Some of `MARKS`.
    repeats : int or None
        The earlier unit whose filter it repeats.
    numbers : Numbers or None
        None where the run has none.
    patches : UnitPatches or None
        What excites it.
    spot : Spot or None
        Where it is strongest; None where its field is not known.
    nearest : tuple of Near
        Units of the layer whose activity is most like its own.
    fields : UnitFields or None
        Its three fields on one picture; None where the run has one of them only.
    links : UnitLinks or None
        What it is built from, and what it feeds.
    back : Back or None
        What in its best patch made it answer.
    wanted : Wanted or None
        What it wants to see.
    label : str
        The class that it stands for, of a unit that gives a class's score.
    parts : tuple of Part
        Examples of all of its values, from the lowest on.
    sources : tuple of (str or None)
        For each of its patches the page of the photograph, at that place; None where it has none.
    """

    unit: int
    page: str
    marks: tuple[str, ...] = ()
    repeats: int | None = None
    numbers: Numbers | None = None
    patches: UnitPatches | None = None
    spot: Spot | None = None
    nearest: tuple[Near, ...] = ()
    fields: UnitFields | None = None
    paged: bool = True
    links: UnitLinks | None = None
    back: Back | None = None
    wanted: Wanted | None = None
    label: str = ""
    parts: tuple[Part, ...] = ()
    sources: tuple[str | None, ...] = ()


def histogram_sparsity(result: PatchesResult) -> Floats:
    """Reckon the sparsity of each unit's activity from its histogram.

    As `netviz.questions.units.result.sparsity`, each value taken at the middle of its bin.

    Returns
    -------
    ndarray of float64, shape (units,)
        0 … 1; NaN for a unit that is 0 everywhere.
    """
    counts = np.maximum(result.histogram, 0).astype(np.float64)
    low, high = (result.quantiles[:, end].astype(np.float64)[:, None] for end in (0, -1))
    bins = counts.shape[1]
    values = np.abs(low + (high - low) * (np.arange(bins) + 0.5) / bins)
    total = counts.sum(axis=1)
    safe = np.maximum(total, 1)
    mean, square = (counts * values).sum(axis=1) / safe, (counts * values**2).sum(axis=1) / safe
    ratio = np.divide(mean**2, square, out=np.full_like(square, np.nan), where=square > 0)
    share: Floats = (1 - ratio) / (1 - 1 / np.maximum(total, 2))
    return share


def tell_numbers(result: PatchesResult, unit: int, sparsity: Floats) -> Numbers:
    """Gather what is known of a unit's values."""
    return Numbers(
        largest=float(result.max[unit]),
        mean=float(result.mean[unit]),
        zeros=1 - float(result.nonzero[unit]),
        sparsity=float(sparsity[unit]),
        quantiles=tuple(result.quantiles[unit].tolist()),
        histogram=tuple(result.histogram[unit].tolist()),
    )


def read_nearest(layer: LayerRecord) -> NearestResult | None:
    """Read which units of a layer are alike; None where the run has not looked.

    Raises
    ------
    ResultError
        If the file is damaged, or of another layer.
    """
    if layer.units is None:
        return None
    result = load_kind(layer.units, NearestResult, layer)
    if result.nearest.max() >= result.channels:
        raise ResultError(f"{layer.units} does not fit its layer; run the survey again")
    return result


def find_alike(result: NearestResult | None, unit: int) -> tuple[tuple[int, float], ...]:
    """Return the units most like a unit, with how alike they are."""
    if result is None:
        return ()
    pairs = zip(result.nearest[unit].tolist(), result.similarity[unit].tolist(), strict=True)
    return tuple((other, value) for other, value in pairs if other >= 0 and math.isfinite(value))[:NEAREST]


def unit_facts(unit: Unit, measured: bool) -> list[tuple[str, str]]:
    """Return the facts of a unit's values, whose sparsity was measured or is reckoned from the histogram."""
    found = unit.numbers
    if found is None:
        return []
    how = "Sparsity" if measured else "Sparsity, from the histogram"
    return [
        ("Largest value", number(found.largest)),
        ("Mean", number(found.mean)),
        ("Share of zeros", _share(found.zeros)),
        (how, "none: never active" if math.isnan(found.sparsity) else number(found.sparsity)),
    ]


def unit_marks(unit: Unit) -> str:
    """Say what is remarkable of a unit."""
    told = [f"{mark.capitalize()}: {_MARKS[mark]}." for mark in unit.marks if mark in _MARKS]
    if unit.repeats is not None:
        told.append(f"Near-duplicate: its filter repeats that of unit {unit.repeats}.")
    return " ".join(told)


def known(unit: Unit, concept: UnitConcept | None) -> str:
    """Say in one line what is known of a unit: its class, what it detects, and what it votes for."""
    told = [f"class: {unit.label}"] if unit.label else []
    if concept is not None and (concept.detects or not told):
        told.append(f"detects {concept.concept}" if concept.detects else "no concept fits")
    links = unit.links
    if links is not None and links.raised:
        told.append(f"votes for {joined([one.text for one in links.raised[:2]])}")
    if links is not None and links.lowered:
        told.append(f"against {links.lowered[0].text}")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def zero_at(numbers: Numbers) -> float | None:
    """Return where on the histogram's axis zero is, in bins; None if it is not inside."""
    low, high = numbers.quantiles[0], numbers.quantiles[-1]
    return len(numbers.histogram) * -low / (high - low) if low < 0 < high else None


def _share(share: float) -> str:
    return f"{number(100 * share)} %"


def quantiles_text(numbers: Numbers, levels: Sequence[float]) -> str:
    """List some of a unit's quantiles; the ends stand below the histogram."""
    pairs = zip(levels, numbers.quantiles, strict=False)
    told = [(level, value) for level, value in pairs if level in _LEVELS]
    return ", ".join(f"{100 * level:g}\N{NO-BREAK SPACE}% are below {number(value)}" for level, value in told)


def histogram_path(numbers: Numbers) -> str:
    """Draw a histogram as an outline: one unit wide for each bin, logarithmic."""
    peak = math.log1p(max(numbers.histogram, default=0)) or 1.0
    beyond = _beyond(numbers)
    steps = (f"V{_HIGH - _HIGH * math.log1p(max(count, 0)) / peak:.3g}h1" for count in numbers.histogram)
    path = f"M0 {_HIGH}{''.join(steps)}V{_HIGH}z"
    if not beyond:
        return path
    end = len(numbers.histogram) + beyond
    once, wide = _HIGH - _HIGH * math.log1p(1) / peak, end / 200
    return f"{path}M{end - wide:.6g} {_HIGH}V{once:.3g}h{wide:.3g}V{_HIGH}z"


def histogram_frame(numbers: Numbers) -> str:
    """Return the frame of that outline as SVG takes it."""
    return f"0 0 {len(numbers.histogram) + _beyond(numbers):.6g} {_HIGH}"


def _beyond(numbers: Numbers) -> float:
    """Return how many bins lie between the end of the sample and the largest value, which may not be in it."""
    low, high = numbers.quantiles[0], numbers.quantiles[-1]
    if not all(map(math.isfinite, (low, high, numbers.largest))) or not low < high < numbers.largest:
        return 0.0
    return len(numbers.histogram) * (numbers.largest - high) / (high - low)


def histogram_end(numbers: Numbers) -> str:
    """Say of a sample that ends before the largest value where it does."""
    if not _beyond(numbers):
        return ""
    return (
        f" The sample ends at {number(numbers.quantiles[-1])}; the bar at the right end is the largest value of all "
        "positions."
    )


def histogram_last(numbers: Numbers) -> float:
    """Return the value at the right end."""
    return numbers.largest if _beyond(numbers) else numbers.quantiles[-1]


PANEL = Panel(
    words=(
        unit_facts,
        unit_marks,
        quantiles_text,
        histogram_path,
        histogram_frame,
        histogram_end,
        histogram_last,
        known,
        zero_at,
    ),
)
