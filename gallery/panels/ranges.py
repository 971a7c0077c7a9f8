"""Examples of all of a unit's values, not of the largest alone: a few places for each tenth of their range."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.questions.maps.result import MapsResult
from netviz.questions.patches.result import PatchesResult
from netviz.results.survey import FieldRecord

from ..manifest import Picture
from ..panel import Panel, Recipe
from ..words import counted, number
from .fields import middle

PARTS = 10
"""Into how many equal parts the range of a unit's values is cut, as long as its histogram."""

EACH = 5
"""Examples of each."""

LEAST = 16
"""Pixels that an example shows at least: of a smaller field also what is around it."""

RECIPE = Recipe(
    "Examples of all values",
    "The range of a unit's values in ten equal parts, and of each up to five places of the photographs shown, drawn "
    "by chance, at most one of each photograph where that is enough: patches are the strongest and say nothing "
    "of the rest.",
    ("Bolukbasi et al., An interpretability illusion for BERT, 2021",),
)

Pair = tuple[float, float]


class Offer(NamedTuple):
    """A place of a photograph that may be an example: the how manieth of its part there, its turn, and where."""

    nth: int
    turn: float
    row: int
    column: int
    value: float


@dataclass(frozen=True)
class Example:
    """What a unit saw where it had a value.

    Attributes
    ----------
    name : str
        The photograph.
    picture : Picture
    page : str
        Its page, at this place.
    value : float
    view : (int, int, int, int)
        Left, top, width and height of what is shown, in pixels of the photograph.
    dot : (float, float)
        The middle of the field, as shares of that.
    """

    name: str
    picture: Picture
    page: str
    value: float
    view: tuple[int, int, int, int]
    dot: Pair


@dataclass(frozen=True)
class Part:
    """A tenth of the range: its ends, how many positions of the photographs shown lie in it, and examples."""

    low: float
    high: float
    positions: int
    examples: tuple[Example, ...]


Offers = tuple[list[int], list[list[Offer]]]
"""For each part of a unit's range how many positions of a photograph lie in it, and at most `EACH` of them."""


@dataclass(frozen=True)
class Shown:
    """A photograph as examples are cut out of it: what it is called, its picture, and the size of the maps."""

    name: str
    picture: Picture
    shape: tuple[int, int]


def value_ends(result: PatchesResult | None) -> dict[int, Pair]:
    """Return the ends of the histogram of each unit that has more than one value."""
    if result is None:
        return {}
    ends = zip(
        result.quantiles[:, 0].tolist(), np.maximum(result.quantiles[:, -1], result.max).tolist(), strict=True
    )
    return {
        unit: (low, high)
        for unit, (low, high) in enumerate(ends)
        if math.isfinite(low) and math.isfinite(high) and low < high
    }


def offer_places(result: MapsResult, ends: Mapping[int, Pair], image: int) -> dict[int, Offers]:
    """Draw places of a photograph by chance, for each unit and part of its range.

    The chance is the same in every build: it depends on the photograph's number and the size of the maps alone.

    Parameters
    ----------
    result : MapsResult
        The maps on the photograph.
    ends : mapping of int to (float, float)
        Of each unit's range; what lies beyond counts for the outer parts.
    image : int
        The photograph's place among the run's.

    Returns
    -------
    dict of int to Offers
        By the unit's number.
    """
    _, columns = result.maps.shape[1:]
    order = _chance(image, math.prod(result.maps.shape[1:]))
    offered = {}
    for unit, values in zip(result.units.tolist(), result.drawn, strict=True):
        if unit not in ends:
            continue
        low, high = ends[unit]
        flat = values.ravel()[order].astype(np.float64)
        finite = np.isfinite(flat)
        parts = np.floor((np.where(finite, flat, low) - low) * (PARTS / (high - low))).clip(0, PARTS - 1)
        parts[~finite] = -1
        found = [np.flatnonzero(parts == part) for part in range(PARTS)]
        offered[unit] = (
            [len(at) for at in found],
            [
                [
                    Offer(nth, turn / len(order), place // columns, place % columns, float(flat[turn]))
                    for nth, turn in enumerate(at[:EACH].tolist())
                    for place in (int(order[turn]),)
                ]
                for at in found
            ],
        )
    return offered


@lru_cache(maxsize=64)
def _chance(image: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((image, count)).permutation(count)


def tell_parts(
    offered: Sequence[Mapping[int, Offers]],
    unit: int,
    ends: Mapping[int, Pair],
    photos: Sequence[Shown],
    field: FieldRecord | None,
    pages: Sequence[str],
) -> tuple[Part, ...]:
    """Choose a unit's examples among what photographs offer: of each part one of a photograph, then a second one.

    Parameters
    ----------
    offered : sequence of mapping
        What `offer_places` gives, for each photograph.
    photos : sequence of Shown
    field : FieldRecord or None
        Of the layer.
    pages : sequence of str
        The page of each photograph, to which the place is added.

    Returns
    -------
    tuple of Part
        From the lowest on; nothing for a unit that has no maps or one value only. Examples by their value, the
        largest first.
    """
    if unit not in ends or not any(unit in one for one in offered):
        return ()
    low, high = ends[unit]
    step = (high - low) / PARTS
    there = [(image, *one[unit]) for image, one in enumerate(offered) if unit in one]
    told = []
    for part in range(PARTS):
        mine = [(one, image) for image, _, offers in there for one in offers[part]]
        mine.sort(key=lambda pair: (pair[0].nth, pair[0].turn, pair[1]))
        chosen = sorted(mine[:EACH], key=lambda pair: (-pair[0].value, pair[0].turn, pair[1]))
        examples = []
        for one, image in chosen:
            photo = photos[image]
            rows, columns = photo.shape
            view, dot = _look(field, one, photo)
            place = f"{(one.column + 0.5) / columns:.2f},{(one.row + 0.5) / rows:.2f}"
            examples.append(
                Example(photo.name, photo.picture, f"{pages[image]},{place}", one.value, view, dot)
            )
        positions = sum(counts[part] for _, counts, _ in there)
        told.append(Part(low + part * step, low + (part + 1) * step, positions, tuple(examples)))
    return tuple(told)


def _look(field: FieldRecord | None, at: Offer, photo: Shown) -> tuple[tuple[int, int, int, int], Pair]:
    """Return what is shown of a place, clipped to the photograph, and where in it the middle of the field is."""
    height, width = photo.picture.height, photo.picture.width
    field = field or FieldRecord(None, None, None, "unknown", "")
    y, x = middle(field, (at.row, at.column), photo.shape, (height, width))
    y, x = min(max(y + 0.5, 0.5), height - 0.5), min(max(x + 0.5, 0.5), width - 0.5)
    ends = []
    for axis, (place, length) in enumerate(((y, height), (x, width))):
        side = float(length) if field.size is None or field.status == "global" else field.size[axis]
        side = max(side, LEAST)
        first = min(max(math.floor(place - side / 2), 0), length - 1)
        ends.append((first, max(min(math.ceil(place + side / 2), length), first + 1)))
    (top, bottom), (left, right) = ends
    dot = (x - left) / (right - left), (y - top) / (bottom - top)
    return (left, top, right - left, bottom - top), dot


def part_text(part: Part) -> str:
    """Name a part by its ends."""
    return f"{number(part.low)} to {number(part.high)}"


def part_share(part: Part, parts: Sequence[Part]) -> str:
    """Say which share of the positions lies in a part."""
    share = 100 * part.positions / max(sum(one.positions for one in parts), 1)
    if not part.positions:
        return "no position"
    told = "below 0.1" if share < 0.1 else number(share)
    return f"{counted(part.positions, 'position')}, {told}\N{NO-BREAK SPACE}%"


def example_style(example: Example) -> str:
    """Return the CSS that shows an example's part of its photograph."""
    left, top, width, height = example.view
    across, down = example.picture.width - width, example.picture.height - height
    size = f"{_short(example.picture.width, width)} {_short(example.picture.height, height)}"
    place = f"{_short(left, across)} {_short(top, down)}"
    shape = "" if width == height else f";aspect-ratio:{width}/{height}"
    return f"background-size:{size};background-position:{place}{shape}"


def dot_style(example: Example) -> str:
    """Return where the middle of the field is; nothing where that is the middle of what is shown."""
    left, top = (_short(one, 1) for one in example.dot)
    return "" if left == top == "50%" else f"left:{left};top:{top}"


def example_pictures(parts: Sequence[Part]) -> dict[Picture, str]:
    """Return the photographs out of which examples are cut, each with a name for CSS."""
    pictures = dict.fromkeys(one.picture for part in parts for one in part.examples)
    return {picture: f"p{at}" for at, picture in enumerate(pictures)}


def _short(part: float, whole: float) -> str:
    """Write a share as CSS takes it, as fine as a pixel of the screen asks for; 0 of nothing."""
    return f"{100 * part / whole:.2f}".rstrip("0").rstrip(".") + "%" if whole else "0"


PANEL = Panel(words=(part_text, part_share, example_style, dot_style, example_pictures))
