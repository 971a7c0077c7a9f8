"""What changed from one network of the site to another: the same unit of two checkpoints side by side.

It reads what both runs have kept of their layers: filters, patches and maps. Nothing is measured again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.paper import style
from netviz.paper.raster import encode_png
from netviz.paper.tiles import fill
from netviz.questions.diff.result import (
    Bools,
    Floats,
    change,
    choose_drawn,
    correlations,
    filter_changes,
    in_common,
    most_changed,
)
from netviz.questions.diff.tiles import filter_tiles
from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult
from netviz.questions.patches.result import PatchesResult
from netviz.results.survey import LayerRecord, Missing, layer_title

from ..addresses import Addresses
from ..drawing import Write
from ..loading import load_kind
from ..manifest import Picture, Sprites, Tile
from ..panel import Panel, Recipe
from ..words import command, counted, number, share_text
from .patches import thumbnail

SHOWN = 48
"""How many units the page shows."""

_SIDE = 60
_GAP = 4
_COLUMNS = 6

RECIPE = Recipe(
    "What changed",
    "The same unit of two networks side by side, ordered by the distance of their filters: the L2 norm of the "
    "difference, relative to the larger of the two.",
)

Seen = tuple[Tile, Sprites]


@dataclass(frozen=True)
class Twin:
    """The same unit in another network of the site.

    Attributes
    ----------
    network : str
        What that is called.
    later : bool
        Whether it is the second of the two.
    page : str or None
        Where a link to it leads.
    distance : float
        Of the two filters, relative to the larger; NaN where the runs have none.
    correlation : float
        Of its values on the photographs of both; NaN where that is not known.
    common : float
        Which share of its patches both have; NaN likewise.
    gone : str
        Where it is 0, or constant, if in one of the two: ``"before"`` or ``"after"``; else empty.
    """

    network: str
    later: bool
    page: str | None
    distance: float
    correlation: float
    common: float
    gone: str = ""


@dataclass(frozen=True)
class Change:
    """A unit that the page shows.

    Attributes
    ----------
    title : str
        Its layer's.
    unit : int
    before : str or None
        Where a link to it in the first network leads.
    twin : Twin
        It in the second.
    filters : Tile or None
        Its filter before, after, and the difference, on the page's sheet.
    seen, other_seen : (Tile, Sprites) or None
        Its patches in either network, small.
    """

    title: str
    unit: int
    before: str | None
    twin: Twin
    filters: Tile | None
    seen: Seen | None
    other_seen: Seen | None


@dataclass(frozen=True)
class ChangedLayer:
    """A layer of both networks.

    Attributes
    ----------
    title : str
    before, after : str
        The addresses of its pages.
    units, changed, gone : int
        How many units it has, how many have another filter, and how many are there in one network only.
    mean : float
        The mean change of its units, as the page orders them.
    """

    title: str
    before: str
    after: str
    units: int
    changed: int
    gone: int
    mean: float


@dataclass(frozen=True)
class Changed:
    """The page of what changed from one network to another.

    Attributes
    ----------
    page : str
        Its address.
    before, after : str
        What the two networks are called.
    before_folder : str
        The first one's folder.
    by : str
        What units are ordered by, as `netviz.questions.diff.result.ORDERS`.
    layers : tuple of ChangedLayer
        In the order in which they run.
    unmatched : tuple of (str, str)
        Layers that are not compared, each with the reason.
    units : tuple of Change
        The most changed first.
    total : int
        How many were compared.
    sheet : Sprites or None
        The picture of their filters.
    command : str
    """

    page: str
    before: str
    after: str
    before_folder: str
    by: str
    layers: tuple[ChangedLayer, ...]
    unmatched: tuple[tuple[str, str], ...]
    units: tuple[Change, ...]
    total: int
    sheet: Sprites | None
    command: str

    @property
    def largest(self) -> float:
        """The largest mean of a layer; 1 where there is none."""
        return max((one.mean for one in self.layers if one.mean > 0), default=1.0)


@dataclass(frozen=True)
class _Pair:
    """A layer of both runs, by its places, and how its units changed."""

    first: int
    second: int
    distance: Floats
    correlation: Floats
    common: Floats
    dead: tuple[Bools, Bools]
    tops: tuple[int, int]

    @property
    def gone(self) -> Bools:
        return self.dead[0] ^ self.dead[1]


@dataclass(frozen=True)
class Comparison:
    """Two runs held beside each other, before anything is drawn.

    Attributes
    ----------
    first, second : Addresses
    pairs : tuple
        The layers of both.
    unmatched : tuple of (str, str)
        The others.
    """

    first: Addresses
    second: Addresses
    pairs: tuple[_Pair, ...]
    unmatched: tuple[tuple[str, str], ...]

    def twins(self, second: bool) -> dict[str, dict[int, Twin]]:
        """Return the twins of the units of one network, by the address of the layer's page and the unit's number."""
        mine, other = (self.second, self.first) if second else (self.first, self.second)
        found: dict[str, dict[int, Twin]] = {}
        for pair in self.pairs:
            here, there = (pair.second, pair.first) if second else (pair.first, pair.second)
            page = mine.page(here)
            found[page] = {
                unit: self.twin(pair, unit, other.run.network, other.leads(there, unit), later=not second)
                for unit in mine.units[here]
            }
        return found

    def twin(self, pair: _Pair, unit: int, network: str, page: str | None, later: bool) -> Twin:
        """Return one unit's twin."""
        gone = "" if not pair.gone[unit] else "before" if pair.dead[0][unit] else "after"
        return Twin(
            network=network,
            later=later,
            page=page,
            distance=float(pair.distance[unit]),
            correlation=float(pair.correlation[unit]),
            common=float(pair.common[unit]),
            gone=gone,
        )


def page_of(addresses: Addresses) -> str:
    """Return the address of the page that holds a network beside the first of the site."""
    return f"{addresses.folder}/changed.html"


def _sheet(addresses: Addresses) -> str:
    return f"{addresses.folder}/changed/filters.png"


def changed_files(networks: Sequence[Addresses]) -> Iterator[str]:
    """Yield the address of every file that comparing these networks with the first adds to a site."""
    for one in networks:
        yield page_of(one)
        yield _sheet(one)


def compare(first: Addresses, second: Addresses) -> Comparison:
    """Hold two runs beside each other.

    Raises
    ------
    ResultError
        If no layer has a page in both, with as many units, or a file of a run is missing or damaged.
    """
    there = {second.run.layers[place].name: place for place in second.paged}
    pairs: list[_Pair] = []
    unmatched: list[tuple[str, str]] = []
    same = _same_images(first, second)
    for place in first.paged:
        layer = first.run.layers[place]
        twin = there.pop(layer.name, None)
        if twin is None:
            unmatched.append((layer.title, f"{second.run.network} has no such layer"))
            continue
        other = second.run.layers[twin]
        found = _pair((first, place), (second, twin), same)
        if found is None:
            unmatched.append((layer.title, _differs(layer, other)))
            continue
        pairs.append(found)
    unmatched += [
        (second.run.layers[place].title, f"{first.run.network} has no such layer") for place in there.values()
    ]
    if not pairs:
        raise ResultError(unlike(first.run.network, second.run.network))
    return Comparison(first, second, tuple(pairs), tuple(unmatched))


def unlike(first: str, second: str) -> str:
    """Say that two networks cannot be held beside each other, and what to do."""
    return (
        f"{first} and {second} have no layer of the same name and shape; leave out --compare, or name two "
        "checkpoints of one architecture"
    )


def _differs(layer: LayerRecord, other: LayerRecord) -> str:
    if layer.channels != other.channels:
        return f"it has {layer.channels:,} units, and {other.channels or 0:,}"
    return "its filters differ in shape"


def _same_images(first: Addresses, second: Addresses) -> bool:
    """Return whether both runs were searched for patches on the same images, in the same order."""
    told = []
    for one in (first, second):
        if isinstance(one.run.patches, Missing):
            return False
        try:
            told.append((one.run.patches.folder / "images.txt").read_bytes())
        except OSError:
            return False
    return told[0] == told[1]


def _pair(one: tuple[Addresses, int], other: tuple[Addresses, int], same: bool) -> _Pair | None:
    """Hold a layer of two runs beside each other; None where they differ in shape."""
    layers = [addresses.run.layers[place] for addresses, place in (one, other)]
    count = layers[0].channels or 0
    if not count or layers[1].channels != count:
        return None
    unknown: Floats = np.full(count, np.nan)
    distance, correlation, common = unknown, unknown, unknown
    dead = np.zeros((2, count), bool)
    paths = [layer.filters for layer in layers]
    if paths[0] is not None and paths[1] is not None:
        weights = [load_kind(path, FiltersResult) for path in paths if path is not None]
        if weights[0].filters.shape != weights[1].filters.shape or len(weights[0].filters) != count:
            return None
        distance, _ = filter_changes(weights[0].filters, weights[1].filters)
        for side, result in zip(dead, weights, strict=True):
            side |= ~result.filters.reshape(count, -1).any(axis=1)
    seen = [
        None if layer.patches is None else load_kind(layer.patches, PatchesResult, layer) for layer in layers
    ]
    if seen[0] is not None and seen[1] is not None:
        for side, found in zip(dead, (seen[0], seen[1]), strict=True):
            side[list(found.dead)] = True
        if same and seen[0].map_size == seen[1].map_size:
            first, second = ((found.image, found.row, found.col, found.shown) for found in (seen[0], seen[1]))
            common = in_common(first, second)
    related = _related(one, other)
    if related is not None:
        correlation = unknown.copy()
        correlation[related[0]] = related[1]
    tops = [0 if result is None else int(result.image.shape[1]) for result in seen]
    return _Pair(one[1], other[1], distance, correlation, common, (dead[0], dead[1]), (tops[0], tops[1]))


def _related(
    one: tuple[Addresses, int], other: tuple[Addresses, int]
) -> tuple[NDArray[np.int64], Floats] | None:
    """Correlate the maps that both runs have of a layer, over their common photographs; return units and values."""
    folders = [addresses.run.layers[place].maps for addresses, place in (one, other)]
    if folders[0] is None or folders[1] is None:
        return None
    beside = {(image.source, image.height, image.width): image.stem for image in other[0].run.images}
    values: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    units: NDArray[np.int64] | None = None
    for image in one[0].run.images:
        stem = beside.get((image.source, image.height, image.width))
        if stem is None:
            continue
        maps = [load_kind(folders[0] / f"{image.stem}.npz", MapsResult)]
        maps.append(load_kind(folders[1] / f"{stem}.npz", MapsResult))
        if maps[0].maps.shape[1:] != maps[1].maps.shape[1:]:
            return None
        mine = np.intersect1d(maps[0].units, maps[1].units)
        if units is None:
            units = mine
        if not len(mine) or not np.array_equal(units, mine):
            return None
        for kept, result in zip(values, maps, strict=True):
            rows = [int(np.flatnonzero(result.units == unit)[0]) for unit in units]
            kept.append(result.maps[rows].astype(np.float64).reshape(len(rows), -1))
    if units is None:
        return None
    before, after = (np.concatenate(kept, axis=1).T for kept in values)
    return units, correlations(before, after)


def draw_changed(found: Comparison, write: Write) -> Changed:
    """Draw the units that changed most, and gather what the page says."""
    by = "filter" if any(np.isfinite(pair.distance).any() for pair in found.pairs) else "patches"
    changes = [change(by, pair.distance, None, pair.common, pair.dead) for pair in found.pairs]
    sizes = [len(one) for one in changes]
    place = np.repeat(np.arange(len(changes)), sizes)
    unit = np.concatenate([np.arange(size) for size in sizes])
    changed = np.concatenate(changes)
    order = most_changed(changed)
    order = order[changed[order] > 0]
    drawn = choose_drawn(order, np.concatenate([pair.gone for pair in found.pairs]), SHOWN)
    sheet, tiles = _draw_filters(found, place[drawn].tolist(), unit[drawn].tolist(), write)
    first, second = found.first, found.second
    run = first.run
    return Changed(
        page=page_of(second),
        before=run.network,
        after=second.run.network,
        before_folder=first.folder,
        by=by,
        layers=tuple(_layer(found, pair, one) for pair, one in zip(found.pairs, changes, strict=True)),
        unmatched=found.unmatched,
        units=tuple(
            _change(found, found.pairs[at], number, tile)
            for at, number, tile in zip(place[drawn].tolist(), unit[drawn].tolist(), tiles, strict=True)
        ),
        total=int(np.isfinite(changed).sum()),
        sheet=sheet,
        command=command("diff", run.model, second.run.model, "-o", "diff.png", run=run),
    )


def _layer(found: Comparison, pair: _Pair, changed: Floats) -> ChangedLayer:
    known = changed[np.isfinite(changed)]
    layer = found.first.run.layers[pair.first]
    return ChangedLayer(
        title=layer_title(layer.name, layer.alias, layer.kind),
        before=found.first.page(pair.first),
        after=found.second.page(pair.second),
        units=len(changed),
        changed=int((known > 0).sum()),
        gone=int(pair.gone.sum()),
        mean=float(known.mean()) if len(known) else 0.0,
    )


def _change(found: Comparison, pair: _Pair, unit: int, tile: Tile | None) -> Change:
    first, second = found.first, found.second
    seen = [
        thumbnail(addresses, place, unit, top) if top and not dead[unit] else None
        for addresses, place, dead, top in (
            (first, pair.first, pair.dead[0], pair.tops[0]),
            (second, pair.second, pair.dead[1], pair.tops[1]),
        )
    ]
    leads = second.leads(pair.second, unit)
    return Change(
        title=first.run.layers[pair.first].title,
        unit=unit,
        before=first.leads(pair.first, unit),
        twin=found.twin(pair, unit, second.run.network, leads, later=True),
        filters=tile,
        seen=seen[0],
        other_seen=seen[1],
    )


def _draw_filters(
    found: Comparison, places: Sequence[int], units: Sequence[int], write: Write
) -> tuple[Sprites | None, list[Tile | None]]:
    """Draw the filters of some units in both networks, and their difference, on one sheet."""
    wide, high = 3 * _SIDE + 2 * _GAP, _SIDE
    rows = -(-len(units) // _COLUMNS)
    tiles: list[Tile | None] = []
    pixels = np.empty((max(1, rows) * (high + _GAP), _COLUMNS * (wide + _GAP), 3), np.uint8)
    fill(pixels, style.rgb(style.PAPER))
    weights: Mapping[int, tuple[FiltersResult, FiltersResult] | None] = {
        at: _weights(found, found.pairs[at]) for at in sorted(set(places))
    }
    for shown, (at, unit) in enumerate(zip(places, units, strict=True)):
        both = weights[at]
        if both is None:
            tiles.append(None)
            continue
        row, column = divmod(shown, _COLUMNS)
        left, top = column * (wide + _GAP), row * (high + _GAP)
        pair = np.stack([one.filters[unit] for one in both])
        for place, tile in enumerate(filter_tiles(pair, _SIDE, both[0].channel_order, both[0].sees_image)):
            tile = tile[:_SIDE, :_SIDE]
            x = left + place * (_SIDE + _GAP)
            pixels[top : top + tile.shape[0], x : x + tile.shape[1]] = tile
        tiles.append(Tile(unit, left, top))
    address = _sheet(found.second)
    # Also where there is nothing to draw: which files a site has is known before.
    write(address, encode_png(pixels))
    picture = Picture(address, pixels.shape[1], pixels.shape[0])
    return (Sprites(picture, (wide, high)) if any(tiles) else None), tiles


def _weights(found: Comparison, pair: _Pair) -> tuple[FiltersResult, FiltersResult] | None:
    paths = found.first.run.layers[pair.first].filters, found.second.run.layers[pair.second].filters
    if paths[0] is None or paths[1] is None:
        return None
    return load_kind(paths[0], FiltersResult), load_kind(paths[1], FiltersResult)


def twin_text(twin: Twin) -> str:
    """Say how much a unit and its twin differ."""
    told = []
    if twin.gone:
        told.append(f"silent {twin.gone}")
    elif twin.distance == 0:
        told.append("the same filter")
    elif np.isfinite(twin.distance):
        told.append(f"filter distance {number(twin.distance)}")
    if np.isfinite(twin.correlation) and not twin.gone:
        told.append(f"maps correlate {number(twin.correlation)}")
    if np.isfinite(twin.common) and not twin.gone:
        told.append(f"{share_text(twin.common)} of its patches in common")
    return ", ".join(told) or "nothing to compare"


def changed_lead(page: Changed) -> str:
    """Say what the page shows of how many units."""
    how = {
        "filter": "by the distance of their filters: the length of the difference, as a share of the longer filter",
        "patches": "by the share of their patches that is not in common",
    }[page.by]
    moved = sum(one.changed for one in page.layers)
    gone = sum(one.gone for one in page.layers)
    lost = f" {counted(gone, 'unit is', 'units are')} silent in one of the two." if gone else ""
    return (
        f"{moved:,} of {counted(page.total, 'unit')} changed.{lost} The {counted(len(page.units), 'unit')} that "
        f"changed most, {how}."
        if page.units
        else f"None of {counted(page.total, 'unit')} changed."
    )


def layer_bar(layer: ChangedLayer, page: Changed) -> str:
    """Return how long a layer's bar is, for CSS."""
    return f"width:{100 * layer.mean / page.largest:.3g}%"


PANEL = Panel(folders=("changed",), words=(twin_text, changed_lead, layer_bar))
