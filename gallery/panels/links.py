"""What a unit is built from, what it feeds, which classes it raises, and what in its patches made it answer."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.paper.raster import encode_png
from netviz.questions.links.result import LinksTableResult, Side
from netviz.questions.patches.result import BackResult, PatchesResult
from netviz.results.survey import DeconvRecord, LinksRecord

from ..addresses import Addresses
from ..drawing import Write
from ..loading import load_kind
from ..manifest import Picture, Sprites, Tile
from ..panel import Panel
from ..words import command, number, percent
from .patches import thumbnail

SHOWN = 6
"""Links of a kind that a page shows."""

_RULES = {"deconvnet": "Deconvnet", "guided": "Guided backpropagation"}


@dataclass(frozen=True)
class Link:
    """A link to another unit, or to a class.

    Attributes
    ----------
    text : str
        What it is called.
    share : float
        How strong it is, with its sign.
    page : str or None
        Where a link to it leads.
    seen : (Tile, Sprites) or None
        Its patches, small.
    """

    text: str
    share: float
    page: str | None = None
    seen: tuple[Tile, Sprites] | None = None


@dataclass(frozen=True)
class UnitLinks:
    """The strongest links of a unit.

    Attributes
    ----------
    before, after : tuple of Link
        What it is built from, and what it feeds; empty where no linear steps lead there.
    source, target : str
        What the layers at the other ends are called.
    raised, lowered : tuple of Link
        The classes whose scores it changes most; empty where no linear steps lead to them.
    called : str
        ``"class"`` or ``"channel"``.
    command : str
        What to type for all of it.
    """

    before: tuple[Link, ...]
    after: tuple[Link, ...]
    source: str
    target: str
    raised: tuple[Link, ...]
    lowered: tuple[Link, ...]
    called: str
    command: str


@dataclass(frozen=True)
class Back:
    """What in a unit's best patch made it answer: for each rule its name, and where on the sheet it is.

    `shape` is the patch's width and height in pixels of the photograph: a tile is stretched over it.
    """

    tiles: tuple[tuple[str, Tile], ...]
    sheet: Sprites
    shape: tuple[int, int]


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    record = addresses.run.deconv
    if isinstance(record, DeconvRecord):
        for place in sorted(set(record.layers)):
            if addresses.units[place] and addresses.run.layers[place].patches:
                yield _back(addresses, place)


def _back(addresses: Addresses, place: int) -> str:
    return addresses.beside(place, "back.png")


def read_links(addresses: Addresses, place: int) -> LinksTableResult | None:
    """Read the links of a layer's units; None where the run has none.

    Raises
    ------
    ResultError
        If the file is damaged, or of another layer.
    """
    record = addresses.run.links
    if not isinstance(record, LinksRecord):
        return None
    file = next((one.file for one in record.layers if one.layer == place), None)
    return None if file is None else load_kind(file, LinksTableResult, addresses.run.layers[place])


def find_links(
    result: LinksTableResult | None, addresses: Addresses, place: int, unit: int, top: int
) -> UnitLinks | None:
    """Gather a unit's links; the run has `top` patches of each unit."""
    if result is None or unit not in result.table_units:
        return None
    row = int(np.flatnonzero(result.table_units == unit)[0])
    (before, source), (after, target) = (
        _side(result, name, addresses, row, top) for name in ("before", "after")
    )
    names = {one.number: one.name or f"{result.called} {one.number}" for one in result.classes}

    def classes(numbers: NDArray[Any] | None, weights: NDArray[Any] | None) -> tuple[Link, ...]:
        if numbers is None or weights is None:
            return ()
        pairs = zip(numbers[row, :SHOWN].tolist(), weights[row, :SHOWN].tolist(), strict=True)
        return tuple(Link(names[one], weight) for one, weight in pairs if one >= 0)

    run = addresses.run
    asked = ("--layer", run.layers[place].name, "--unit", str(unit))
    found = UnitLinks(
        before=before,
        after=after,
        source=source,
        target=target,
        raised=classes(result.raised, result.raised_weights),
        lowered=classes(result.lowered, result.lowered_weights),
        called=result.called,
        command=command("links", run.model, *asked, run=run),
    )
    return found if before or after or found.raised or found.lowered else None


def _side(
    result: LinksTableResult, name: str, addresses: Addresses, row: int, top: int
) -> tuple[tuple[Link, ...], str]:
    units, shares, of = (getattr(result, f"{name}_{one}") for one in ("units", "shares", "of"))
    if units is None or of[row] < 0:
        return (), ""
    side: Side = getattr(result, name)[int(of[row])]
    there = _standing(addresses, side)
    found: list[Link] = []
    for unit, share in zip(units[row].tolist(), shares[row].tolist(), strict=True):
        if unit < 0 or not share or len(found) == SHOWN:
            continue
        text = side.labels[unit] if unit < len(side.labels) else f"unit {unit}"
        page = None if there is None else addresses.leads(there, unit)
        seen = None if there is None else thumbnail(addresses, there, unit, top)
        found.append(Link(text, share, page, seen))
    return tuple(found), side.alias or side.layer


def _standing(addresses: Addresses, side: Side) -> int | None:
    """Return the place of the surveyed layer that has a side's units.

    What normalizes or rectifies a convolution's maps has the convolution's units, and in its alias the same number.
    """
    layers = addresses.run.layers
    mark = re.search(r"\d+(_\d+)*$", side.alias)
    aliases = {side.alias, *([f"conv{mark[0]}"] if mark and side.kind in ("norm", "relu", "act") else [])}
    for place in addresses.paged:
        if layers[place].name == side.layer:
            return place
    for place in addresses.paged:
        if layers[place].alias and layers[place].alias in aliases and layers[place].channels == side.channels:
            return place
    return None


def draw_back(
    addresses: Addresses, place: int, result: PatchesResult | None, write: Write
) -> dict[int, Back]:
    """Draw what made a layer's units answer, all on one sheet, for each unit of which the run has it.

    Raises
    ------
    ResultError
        If the file is damaged, or of another layer.
    """
    record, layer = addresses.run.deconv, addresses.run.layers[place]
    if not isinstance(record, DeconvRecord) or place not in record.layers or layer.patches is None:
        return {}
    if result is None or not addresses.units[place]:
        return {}
    path = record.folder / layer.patches.name
    found = load_kind(path, BackResult)
    if found.drawn_units.max(initial=-1) >= result.channels or not found.tiles.shape[2]:
        raise ResultError(f"{path} does not fit its layer; run the survey again")
    tiles = found.tiles[:, :, 0].swapaxes(0, 1)
    units, rules, side = tiles.shape[:3]
    address = _back(addresses, place)
    write(address, encode_png(tiles.swapaxes(1, 2).reshape(units * side, rules * side, 3)))
    sheet = Sprites(Picture(address, rules * side, units * side), (side, side))
    told = {}
    for row, unit in enumerate(found.drawn_units.tolist()):
        if not found.ends[:, row, 0].any():
            continue
        top, left, bottom, right = result.box[unit, 0].tolist()
        named = tuple(
            (_RULES[rule], Tile(unit, at * side, row * side)) for at, rule in enumerate(found.rules)
        )
        told[unit] = Back(named, sheet, (right - left, bottom - top))
    return told


def bar_style(link: Link, links: Sequence[Link]) -> str:
    """Return the width of a link's bar for CSS: of the longest of its kind."""
    longest = max(abs(one.share) for one in links)
    return f"width:{percent(abs(link.share), longest)}"


def share_signed(link: Link) -> str:
    """Write how strong a link between units is."""
    return f"{'+' if link.share > 0 else ''}{number(100 * link.share)}\N{NO-BREAK SPACE}%"


PANEL = Panel(files=files, words=(bar_style, share_signed))
