"""The nearest units in the other networks of the site: whose maps of the same photographs are most like a unit's.

It reads the maps that the runs have kept. Nothing is measured again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.questions.maps.result import MapsResult
from netviz.questions.patches.result import PatchesResult
from netviz.questions.units.across import (
    axis_places,
    best,
    correlations_across,
    grid_side,
    overlap,
    read_maps,
    whole_steps,
)
from netviz.results.survey import ImageRecord

from ..addresses import Addresses
from ..loading import load_kind
from ..panel import Panel, Recipe
from ..words import counted, joined
from .patches import thumbnail
from .unit import Near

COUNT = 2
"""How many units of each other network a page shows."""

RECIPE = Recipe(
    "Nearest in the other networks",
    "The maps that two networks have of the same photographs, read at the same places of the part that both saw, and "
    "correlated: each shown unit of the one with each of the other.",
)


@dataclass(frozen=True)
class Far(Near):
    """A unit of another network whose maps are like a unit's; `title` is its layer's."""

    title: str


@dataclass(frozen=True)
class Elsewhere:
    """The units of another network that act most like a unit, the nearest first.

    Attributes
    ----------
    network : str
        What that is called.
    photos : tuple of str
        The photographs that both were shown.
    side : int
        At how many places along each side of them the maps were read.
    compared : int
        With how many of its units.
    units : tuple of Far
    """

    network: str
    photos: tuple[str, ...]
    side: int
    compared: int
    units: tuple[Far, ...]


Found = dict[str, dict[int, tuple[Elsewhere, ...]]]
"""By the address of a layer's page and the number of a unit."""

_Part = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Seen:
    """A photograph as one network saw it, what part of it both saw, and at how many places along a side to read."""

    image: ImageRecord
    part: _Part
    shared: _Part
    side: int


def find_elsewhere(networks: Sequence[Addresses]) -> list[Found]:
    """Find for each unit with maps the nearest units of every other network; for each network of the site.

    Raises
    ------
    ResultError
        If a file of a run is missing or damaged.
    """
    found: list[Found] = [{} for _ in networks]
    for first, one in enumerate(networks):
        for second in range(first + 1, len(networks)):
            _hold_beside(one, networks[second], found[first], found[second])
    return found


def _hold_beside(first: Addresses, second: Addresses, found: Found, back: Found) -> None:
    """Add to what is found of two networks, of either in the other."""
    pairs = _shared(first, second)
    if not pairs:
        return
    there = list(_layers(second, [two for _, two in pairs]))
    if not there:
        return
    values = np.concatenate([one for _, _, one in there])
    names = [(place, unit) for place, units, _ in there for unit in units]
    best_back: list[list[tuple[float, int, int]]] = [[] for _ in names]
    nearest: list[tuple[int, int, list[tuple[int, float]]]] = []
    compared = 0
    for place, units, mine in _layers(first, [one for one, _ in pairs]):
        related = correlations_across(mine, values)
        nearest += ((place, unit, row) for unit, row in zip(units, best(related, COUNT), strict=True))
        for at, row in enumerate(best(related.T, COUNT)):
            # Stable: of equals that of the earlier layer stays first.
            some = [*best_back[at], *((alike, place, units[other]) for other, alike in row)]
            best_back[at] = sorted(some, key=lambda one: -one[0])[:COUNT]
        compared += len(units)
    photos = tuple(one.image.name for one, _ in pairs)
    side = pairs[0][0].side
    far = _Thumbnails(second)
    for place, unit, row in nearest:
        some_far = tuple(far.tell(*names[at], alike) for at, alike in row)
        _add(found, first, place, unit, Elsewhere(second.run.network, photos, side, len(names), some_far))
    far = _Thumbnails(first)
    for (place, unit), theirs in zip(names, best_back, strict=True):
        some_far = tuple(far.tell(at, other, alike) for alike, at, other in theirs)
        _add(back, second, place, unit, Elsewhere(first.run.network, photos, side, compared, some_far))


def _add(found: Found, addresses: Addresses, place: int, unit: int, one: Elsewhere) -> None:
    if one.units:
        of_layer = found.setdefault(addresses.page(place), {})
        of_layer[unit] = (*of_layer.get(unit, ()), one)


def _shared(first: Addresses, second: Addresses) -> list[tuple[_Seen, _Seen]]:
    """Return the photographs of both networks, as either saw it, where they saw a part that is the same."""
    beside = {image.source: image for image in second.run.images}
    pairs = []
    for one in first.run.images:
        two = beside.get(one.source)
        if two is None or one.part is None or two.part is None:
            continue
        shared = overlap(one.part, two.part)
        if shared is not None:
            pairs.append((one, one.part, two, two.part, shared))
    side = grid_side(len(pairs)) if pairs else 0
    return [
        (_Seen(one, own, shared, side), _Seen(two, other, shared, side))
        for one, own, two, other, shared in pairs
    ]


def _layers(
    addresses: Addresses, seen: Sequence[_Seen]
) -> Iterator[tuple[int, list[int], NDArray[np.float32]]]:
    """Yield the layers with maps: place, units that have pages, and their values at the places of all photographs."""
    for place in addresses.paged:
        layer = addresses.run.layers[place]
        if layer.maps is None:
            continue
        units: list[int] = []
        values = []
        for one in seen:
            result = load_kind(layer.maps / f"{one.image.stem}.npz", MapsResult)
            units = [unit for unit in result.index.tolist() if unit in addresses.units[place]]
            rows = np.flatnonzero(np.isin(result.index, units))
            values.append(read_maps(result.maps[rows], *_places(one, result, addresses, place)))
        if units and all(len(one) == len(units) for one in values):
            yield place, units, whole_steps(np.concatenate(values, axis=1))


def _places(
    one: _Seen, result: MapsResult, addresses: Addresses, place: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where on a layer's maps the rows and columns of the grid lie."""
    field = addresses.run.layers[place].receptive_field
    sizes = one.image.height, one.image.width
    known: list[tuple[float, float, float] | None] = [None, None]
    if field is not None and field.size is not None and field.stride is not None and field.start is not None:
        known = [(field.size[axis], field.stride[axis], field.start[axis]) for axis in (0, 1)]
    rows, columns = (
        axis_places(
            (one.shared[axis], one.shared[axis + 2]),
            (one.part[axis], one.part[axis + 2]),
            sizes[axis],
            result.maps.shape[1 + axis],
            one.side,
            known[axis],
        )
        for axis in (0, 1)
    )
    return rows, columns


class _Thumbnails:
    """Tells of units of one network where they are and how they look."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.tops: dict[int, int] = {}

    def tell(self, place: int, unit: int, alike: float) -> Far:
        addresses = self.addresses
        layer = addresses.run.layers[place]
        seen = None
        if layer.patches is not None:
            if place not in self.tops:
                self.tops[place] = load_kind(layer.patches, PatchesResult, layer).image.shape[1]
            seen = thumbnail(addresses, place, unit, self.tops[place])
        return Far(unit, alike, addresses.leads(place, unit), seen, layer.title)


def elsewhere_note(found: Sequence[Elsewhere]) -> str:
    """Say in one sentence what was compared."""
    sides = sorted({one.side for one in found})
    side = f"{'up to ' if len(sides) > 1 else ''}{sides[-1]}"
    each = [f"{joined(one.photos)} ({one.network}, {counted(one.compared, 'unit')})" for one in found]
    return (
        f"Correlation of their maps, 1 at most, over {side} × {sides[-1]} places of each photograph that both "
        f"networks were shown: {', '.join(each)}."
    )


PANEL = Panel(words=(elsewhere_note,))
