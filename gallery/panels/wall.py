"""The wall of a layer's units: a small tile for each, to be sorted, filtered and searched."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from netviz.errors import ResultError
from netviz.questions.filters.result import FiltersResult
from netviz.questions.units.result import NearestResult

from ..addresses import Addresses
from ..drawing import COLUMNS, COUNT, Write
from ..manifest import Photo, Picture, Sprites, Tile
from ..panel import Panel, Recipe
from ..words import counted, number, share_text, tied
from .concepts import LayerConcepts
from .fields import LayerFields, find_spot, read_fields
from .filters import Filters, draw_small
from .images import patch_pages
from .links import draw_back, find_links, read_links
from .maps import Maps
from .optimized import draw_wanted
from .patches import Drawn, Patches, patches_lead, thumbnail, unit_mark
from .ranges import Part
from .unit import MARKS, Near, Unit, find_alike, histogram_sparsity, read_nearest, tell_numbers

RECIPE = Recipe(
    "Units in a plane",
    "Classical multidimensional scaling of the correlations between all units of a layer, over a random sample of "
    "positions of all photographs.",
    ("Torgerson, Multidimensional scaling: I. Theory and method, Psychometrika 17, 1952",),
)


@dataclass(frozen=True)
class Wall:
    """The units of a layer.

    Attributes
    ----------
    units, others : tuple of Unit
        Those that have pages, and those that have none, by their numbers; `count` of either share a sheet.
    total : int
        How many units the layer has.
    count, columns : int
        Units of one sheet, and how many of them stand in a row.
    previews : tuple of Sprites
        Their strongest patches, small; there is nothing between two tiles.
    filters : tuple of Sprites
        Their filters, in the same way.
    beside, weights : tuple of Sprites
        The same two of the units that have no pages: fewer patches, and filters only where there are no patches.
    inputs : int
        How many input channels of a filter are drawn.
    levels : tuple of float
        Of the quantiles.
    samples : int
        How many values the quantiles and the histogram stand on.
    data : str or None
        The address of the arrays behind it, where they are small enough.
    bytes : int
        Their size.
    measured : bool
        Whether sparsity was measured; else it is reckoned from the histogram.
    fields : LayerFields or None
        What the units' fields have in common.
    plane : tuple of ((int, int) or None)
        Where each unit lies among those that act alike, in thousandths across and down, by its number; None for one
        whose values never change. Nothing where the run does not tell.
    plane_share : float
        Which share of what sets the units apart that holds.
    """

    units: tuple[Unit, ...]
    others: tuple[Unit, ...]
    total: int
    count: int
    columns: int
    previews: tuple[Sprites, ...] = ()
    filters: tuple[Sprites, ...] = ()
    beside: tuple[Sprites, ...] = ()
    weights: tuple[Sprites, ...] = ()
    inputs: int = 0
    levels: tuple[float, ...] = ()
    samples: int = 0
    data: str | None = None
    bytes: int = 0
    measured: bool = False
    fields: LayerFields | None = None
    plane: tuple[tuple[int, int] | None, ...] = ()
    plane_share: float = 0.0

    def tile(self, at: int) -> Tile:
        """Return where the unit at this place of `units` is on its filters' sheet."""
        width, height = self.filters[at // self.count].tile
        row, column = divmod(at % self.count, self.columns)
        return Tile(self.units[at].unit, column * width, row * height)

    @property
    def standing(self) -> list[tuple[Unit, int, int]]:
        """All units in the order of their numbers, each with the number of its sheet and its place there."""
        before = math.ceil(len(self.units) / self.count)
        placed = [
            (unit, first + at // self.count, at % self.count)
            for first, units in ((0, self.units), (before, self.others))
            for at, unit in enumerate(units)
        ]
        return sorted(placed, key=lambda one: one[0].unit)


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every unit's page."""
    for place in addresses.paged:
        for unit in addresses.units[place]:
            yield addresses.unit(place, unit)


def draw_wall(
    addresses: Addresses,
    place: int,
    photos: Sequence[Photo],
    filters: FiltersResult | None,
    drawn: Drawn | None,
    shapes: Sequence[tuple[int, int]],
    parts: Mapping[int, tuple[Part, ...]],
    write: Write,
) -> Wall | None:
    """Draw the filters of a layer's units, and gather what their pages say; None where no unit has a page.

    Parameters
    ----------
    filters : FiltersResult, optional
        The layer's filters.
    drawn : Drawn, optional
        The patches of the same units.
    shapes : sequence of (int, int)
        Rows and columns of the layer's maps on each photograph, as far as they are known.
    parts : mapping of int to tuple of Part
        Examples of all of a unit's values.

    Raises
    ------
    ResultError
        If a file of the run is missing, damaged or of another layer.
    """
    layer, units = addresses.run.layers[place], addresses.units[place]
    if not units:
        return None
    total = layer.channels or 0
    found = None if drawn is None else drawn.result
    for what, count in (
        (layer.filters, None if filters is None else len(filters.filters)),
        (layer.patches, None if found is None else found.channels),
    ):
        last = max(units + addresses.others[place])
        if count is not None and last >= count:
            raise ResultError(f"{what} has {count} units, but unit {last} is asked for; run the survey again")
    nearest = read_nearest(layer)
    sparsity = None
    if found is not None:
        sparsity = histogram_sparsity(found) if nearest is None else nearest.sparsity
    edge = None if found is None else found.only_at_edge
    repeats = {} if filters is None else dict(filters.duplicates)
    patches = {} if drawn is None else {one.unit: one for one in drawn.patches.units}
    fields = read_fields(addresses, place, write)
    wanted = draw_wanted(addresses, place, write)

    def tell(unit: int, paged: bool) -> Unit:
        marks = [] if found is None else [unit_mark(found, unit)]
        marks += ["dead filter"] if filters is not None and unit in filters.dead else []
        marks += ["near-duplicate"] if unit in repeats else []
        marks += ["at the border"] if edge is not None and edge[unit] else []
        return Unit(
            unit=unit,
            page=addresses.leads(place, unit) or "",
            paged=paged,
            marks=tuple(filter(None, marks)),
            repeats=repeats.get(unit),
            numbers=None if found is None or sparsity is None else tell_numbers(found, unit, sparsity),
            label=layer.labels[unit] if layer.labels else "",
        )

    links = read_links(addresses, place)
    back = draw_back(addresses, place, found, write)
    told = []
    for unit in units:
        spot = None if found is None else find_spot(found, unit, layer.receptive_field, photos, shapes)
        near = [
            Near(
                other,
                alike,
                addresses.leads(place, other),
                None if found is None else thumbnail(addresses, place, other, found.image.shape[1]),
            )
            for other, alike in find_alike(nearest, unit)
        ]
        told.append(
            replace(
                tell(unit, paged=True),
                patches=patches.get(unit),
                spot=spot,
                nearest=tuple(near),
                fields=None if fields is None else fields.unit(unit, spot),
                links=find_links(links, addresses, place, unit, 1 if found is None else found.image.shape[1]),
                back=back.get(unit),
                wanted=wanted.get(unit),
                parts=parts.get(unit, ()),
                sources=() if found is None else patch_pages(found, unit, addresses, place, shapes),
            )
        )
    sheets: tuple[Sprites, ...] = ()
    weights: tuple[Sprites, ...] = ()
    inputs = 0
    if filters is not None:
        sheets, inputs = draw_small(filters, addresses, place, write)
        if drawn is None:
            weights, _ = draw_small(filters, addresses, place, write, others=True)
    return Wall(
        units=tuple(told),
        others=tuple(tell(unit, paged=False) for unit in addresses.others[place]),
        total=total,
        count=COUNT,
        columns=COLUMNS,
        previews=() if drawn is None else drawn.previews,
        filters=sheets,
        beside=() if drawn is None else drawn.others,
        weights=weights,
        inputs=inputs,
        levels=() if found is None else tuple(found.quantile_levels.tolist()),
        samples=0 if found is None else found.quantile_samples,
        data=None if drawn is None else drawn.data,
        bytes=0 if drawn is None else drawn.bytes,
        measured=nearest is not None,
        fields=None if fields is None else fields.told,
        plane=() if nearest is None else lay_out(nearest),
        plane_share=0.0 if nearest is None else nearest.places_share or 0.0,
    )


def lay_out(result: NearestResult) -> tuple[tuple[int, int] | None, ...]:
    """Bring the places of units into a square of thousandths, both directions on one scale; nothing without any."""
    if result.places is None or np.isfinite(result.places[:, 0]).sum() < 3:
        return ()
    places = result.places.astype(np.float64)
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    scale = 960 / max(float((high - low).max()), 1e-9)
    moved = 500 + (places - (low + high) / 2) * scale
    return tuple(None if np.isnan(x) else (round(x), 1000 - round(y)) for x, y in moved.tolist())


def wall_lead(wall: Wall, patches: Patches | None, concepts: LayerConcepts | None) -> str:
    """Say which units a wall shows, and what a tile holds."""
    if patches is not None:
        text = patches_lead(patches)
    else:
        text = "Its only unit." if wall.total == 1 else f"All {wall.total:,} units."
    parts = ["its strongest patches"] if wall.previews else []
    parts += ["its filter"] if wall.filters else []
    parts += ["its number"]
    parts += ["its largest value"] if patches is not None else []
    parts += ["the concept that it fits best"] if concepts is not None else []
    held = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    if not wall.others:
        return f"{text} A tile shows {held}, and leads to the page of the unit."
    few = (
        " Those of the others show the strongest patch alone, and tell more numbers."
        if patches is not None
        else ""
    )
    return (
        f"{text} A tile shows {held}. {counted(len(wall.units), 'unit has', 'units have')} a page of "
        f"{'its' if len(wall.units) == 1 else 'their'} own, to which the framed tiles lead.{few}"
    )


def wall_tiles(wall: Wall, concepts: LayerConcepts | None, network: str) -> list[tuple[str, str, int, str]]:
    """Return class, address (relative to the layer's page in the network's folder), number and text of each tile."""
    fits = {} if concepts is None else concepts.by_unit()
    folder = len(network) + 1
    told = []
    for unit, sheet, at in wall.standing:
        found = unit.numbers
        parts = [] if found is None else [number(found.largest)]
        if found is not None and not unit.paged:
            parts += [f"mean {number(found.mean)}", f"{share_text(found.zeros)} zeros"]
        concept = fits.get(unit.unit)
        if unit.label:
            parts.append(unit.label)
        elif concept is not None and concept.detects:
            parts.append(concept.concept)
        elif unit.marks:
            parts.append(unit.marks[0])
        sprite = f"g{sheet} t{at}{'' if unit.paged else ' bare'}"
        address = unit.page[folder:] if unit.paged else f"#u{unit.unit}"
        told.append((sprite, address, unit.unit, tied((" " if unit.paged else " · ").join(parts))))
    return told


def wall_style(wall: Wall) -> str:
    """Return the sizes of a wall's pictures for CSS."""
    return ";".join([f"--row:{wall.columns}", *(_sized(wall.previews[0]) if wall.previews else ())])


def _sized(sheet: Sprites) -> tuple[str, str]:
    width, height = sheet.shown
    return f"--pw:{width:g}px", f"--ph:{height:g}px"


def wall_sheets(wall: Wall, network: str) -> Markup:
    """Return the CSS rules that name the sheets of every group of tiles, and where on a sheet each of a group is.

    Addresses are relative to the layer's page, in the folder of the `network`. They are made of safe names: nothing
    in them needs a quote.
    """
    folder = len(network) + 1
    rules = []
    pairs = [*zip_longest(wall.previews, wall.filters), *zip_longest(wall.beside, wall.weights)]
    for at, pair in enumerate(pairs):
        named = [
            f"--{name}:url({one.picture.path[folder:]})"
            for name, one in zip("ab", pair, strict=True)
            if one is not None
        ]
        if pair[0] is not None and pair[0].shown != wall.previews[0].shown:
            named += _sized(pair[0])
        rules.append(f".g{at}{{{';'.join(named)}}}")
    for at in range(min(wall.count, max(len(wall.units), len(wall.others)))):
        row, column = divmod(at, wall.columns)
        rules.append(f".t{at}{{--x:{column};--y:{row}}}")
    return Markup("\n").join(map(Markup, rules))


def wall_json(wall: Wall, concepts: LayerConcepts | None) -> Markup:
    """Write a wall's data for its script, without a space; nothing in it can end the script's element."""
    return htmlsafe_json_dumps(wall_data(wall, concepts), separators=(",", ":"))


def wall_data(wall: Wall, concepts: LayerConcepts | None) -> dict[str, Any]:
    """Return what the wall sorts and filters by: a list for each, in the order of the tiles; null where unknown."""
    fits = {} if concepts is None else concepts.by_unit()
    met = {unit: one for unit, one in fits.items() if one.concept and one.iou > 0}
    units = [unit for unit, _, _ in wall.standing]
    mine = [met.get(unit.unit) for unit in units]
    names = sorted({one.concept for one in mine if one is not None})
    place = {name: at for at, name in enumerate(names)}
    numbers = [unit.numbers for unit in units]
    data: dict[str, Any] = {
        "marks": [
            mark_bits(
                *unit.marks,
                *(("detects",) if one is not None and one.detects else ()),
                *(("has a page",) if wall.others and unit.paged else ()),
            )
            for unit, one in zip(units, mine, strict=True)
        ]
    }
    if any(one is not None for one in numbers):
        data["activity"] = [None if one is None else _short(one.largest, 4) for one in numbers]
        data["sparsity"] = [None if one is None else _short(one.sparsity, 3) for one in numbers]
    if names:
        data["names"] = names
        data["concept"] = [-1 if one is None else place[one.concept] for one in mine]
        data["iou"] = [0 if one is None else _short(one.iou, 2) for one in mine]
    if wall.plane:
        data["plane"] = "".join(_placed(wall.plane[unit.unit]) for unit in units)
    return data


def contents(wall: Wall, maps: Sequence[Maps]) -> list[tuple[str, str]]:
    """Return what a wall's tiles can show besides their patches: a name for the address, and a text."""
    told = [("filter", "filter")] if wall.filters and wall.previews else []
    told += [("wanted", "what it wants to see")] if any(unit.wanted for unit in wall.units) else []
    return told + [
        (f"map-{_safe(one)}", f"map of {one.photo.name}") for one in maps if one.sheet.layout != "bars"
    ]


def contents_json(wall: Wall, maps: Sequence[Maps]) -> Markup:
    """Write where the tiles' other contents are: sheets and their size, a tile's size, each unit's sheet and corner.

    Addresses are relative to the layer's page.
    """
    told: dict[str, Any] = {}
    wanted = [(unit.unit, unit.wanted) for unit in wall.units if unit.wanted is not None]
    if wanted:
        sheets = list(dict.fromkeys(one.sheet for _, one in wanted))
        told["wanted"] = {
            "sheets": [[_beside(one.picture), one.picture.width, one.picture.height] for one in sheets],
            "tile": wanted[0][1].sheet.tile,
            "at": {unit: [sheets.index(one.sheet), one.left, one.top] for unit, one in wanted},
        }
    for one in maps:
        picture = one.sheet.picture
        told[f"map-{_safe(one)}"] = {
            "sheets": [[_beside(picture), picture.width, picture.height]],
            "tile": one.sheet.tile,
            "at": {tile.unit: [0, tile.left, tile.top] for tile in one.sheet.tiles},
        }
    return htmlsafe_json_dumps(told, separators=(",", ":"))


def _safe(maps: Maps) -> str:
    return maps.photo.picture.path.rpartition("/")[2].removesuffix(".png")


def _beside(picture: Picture) -> str:
    """Return an address from the layer's page, in the network's folder."""
    return picture.path.partition("/")[2]


def across_order(wall: Wall) -> str:
    """List the units from left to right in the plane, for those who do not see it."""
    there = [(place[0], unit) for unit, place in enumerate(wall.plane) if place is not None]
    return ", ".join(str(unit) for _, unit in sorted(there))


def connected(wall: Wall) -> list[Unit]:
    """Return the first units that have linear links to the layer before."""
    return [unit for unit in wall.units if unit.links is not None and unit.links.before][:CONNECTED]


def mark_bits(*marks: str) -> int:
    """Write marks as the bits of a number, which the wall's script compares."""
    return sum(1 << MARKS.index(mark) for mark in marks)


def _placed(place: tuple[int, int] | None) -> str:
    """Write where a unit lies as two numbers of two digits to the base 36; as spaces, where it lies nowhere."""
    return 4 * " " if place is None else "".join(np.base_repr(one, 36).zfill(2) for one in place)


def _short(value: float, digits: int) -> float | int | None:
    """Round a number, so that a thousand of them weigh little."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() else short


def walled(wall: Wall | None, filters: Filters) -> bool:
    """Return whether the wall shows every filter of a layer with more filters than one sheet has."""
    return wall is not None and len(wall.units) == filters.total > len(filters.sheet.tiles)


CONNECTED = 16
"""Of how many units a layer's page tells what they are built from."""

_SHOWS = (
    ("paged", "with a page", ("has a page",)),
    ("detectors", "detectors", ("detects",)),
    ("dead", "dead", ("dead", "dead filter")),
    ("duplicate", "near-duplicates", ("near-duplicate",)),
    ("on", "always on", ("always on",)),
    ("border", "only at the border", ("at the border",)),
)
"""What a wall can be narrowed to: its name in an address, its text, and the marks that it asks for."""


def mark_options(wall: Wall, concepts: LayerConcepts | None) -> list[tuple[str, str, int, int]]:
    """Return what narrows a wall, and does not empty it: name, text, the bits asked for, and those barred."""
    marks = wall_data(wall, concepts)["marks"]
    told = []
    for name, text, asked in _SHOWS:
        bits = mark_bits(*asked)
        if 0 < sum(bool(one & bits) for one in marks) < len(marks):
            told.append((name, text, bits, 0))
            if name == "border":
                told.append(("inside", "not only at the border", 0, bits))
    return told


def leads(wall: Wall | None) -> dict[int, str]:
    """Return where links to a layer's units lead, by their numbers."""
    return {} if wall is None else {unit.unit: unit.page for unit, _, _ in wall.standing}


def concept_options(wall: Wall, concepts: LayerConcepts | None) -> list[tuple[int, str, int]]:
    """Return the concepts that a wall can be filtered by: place among the names, name, and how many units."""
    data = wall_data(wall, concepts)
    places = data.get("concept", [])
    return [(at, name, places.count(at)) for at, name in enumerate(data.get("names", []))]


PANEL = Panel(
    files=files,
    words=(
        wall_lead,
        wall_tiles,
        wall_style,
        wall_sheets,
        wall_json,
        mark_options,
        leads,
        walled,
        concept_options,
        contents,
        contents_json,
        across_order,
        connected,
    ),
)
