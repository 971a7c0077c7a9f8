"""How a wall and the units' pages put what they show into words, numbers for scripts, and lines for CSS and SVG."""

import math
from itertools import zip_longest
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from .explain import patches_lead
from .manifest import Layer, Legend, Maps, Network
from .manifest_concepts import UnitConcept
from .manifest_units import MARKS, Numbers, Spot, Unit, Wall
from .wording import counted, ends, number, percent, size

_HIGH = 40

_LEVELS = (0.5, 0.9, 0.99, 0.995)

_MARKS = {
    "dead": "0 everywhere on these photographs",
    "always on": "never 0 on these photographs",
    "dead filter": "its weights are nearly 0",
}


def wall_lead(layer: Layer) -> str:
    """Say which units a wall shows, and what a tile holds."""
    wall = layer.wall
    if wall is None:
        return ""
    shown = len(wall.units)
    if layer.patches is not None:
        text = patches_lead(layer.patches)
    elif wall.total == 1:
        text = "Its only unit."
    else:
        text = f"All {shown:,} units." if shown == wall.total else f"{shown:,} of {wall.total:,} units."
    parts = ["its strongest patches"] if wall.previews else []
    parts += ["its filter"] if wall.filters else []
    parts += ["its number"]
    parts += ["its largest value"] if layer.patches is not None else []
    parts += ["the concept that it fits best"] if layer.concepts is not None else []
    held = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{text} A tile shows {held}, and leads to the page of the unit."


def wall_tiles(layer: Layer, network: Network) -> list[tuple[str, str, int, str]]:
    """Return class, address (relative to the layer's page), number and line of text of each tile."""
    wall = layer.wall
    if wall is None:
        return []
    concepts = {} if layer.concepts is None else layer.concepts.by_unit()
    folder = len(network.folder) + 1
    told = []
    for at, unit in enumerate(wall.units):
        parts = [] if unit.numbers is None else [number(unit.numbers.largest)]
        concept = concepts.get(unit.unit)
        if concept is not None and concept.detects:
            parts.append(concept.concept)
        elif unit.marks:
            parts.append(unit.marks[0])
        sprite = f"g{at // wall.count} t{at % wall.count}"
        told.append((sprite, unit.page[folder:], unit.unit, " ".join(parts)))
    return told


def wall_style(wall: Wall) -> str:
    """Return the sizes of a wall's pictures for CSS."""
    parts = []
    if wall.previews:
        width, height = wall.previews[0].tile
        parts += [f"--pw:{width}px", f"--ph:{height}px"]
    return ";".join(parts)


def wall_sheets(wall: Wall, network: Network) -> Markup:
    """Return the CSS rules that name the sheets of every group of tiles; addresses are relative to the layer's page.

    They are made of safe names: nothing in them needs a quote.
    """
    folder = len(network.folder) + 1
    rules = []
    for at, pair in enumerate(zip_longest(wall.previews, wall.filters)):
        named = (
            f"--{name}:url({one.picture.path[folder:]})"
            for name, one in zip("ab", pair, strict=True)
            if one is not None
        )
        rules.append(f".g{at}{{{';'.join(named)}}}")
    return Markup("\n").join(map(Markup, rules))


def wall_json(layer: Layer) -> Markup:
    """Write a wall's data for its script, without a space; nothing in it can end the script's element."""
    return htmlsafe_json_dumps(wall_data(layer), separators=(",", ":"))


def wall_data(layer: Layer) -> dict[str, Any]:
    """Return what the wall sorts and filters by: a list for each, in the order of the tiles; null where unknown."""
    wall = layer.wall
    if wall is None:
        return {}
    concepts = {} if layer.concepts is None else layer.concepts.by_unit()
    met = {unit: one for unit, one in concepts.items() if one.concept and one.iou > 0}
    mine = [met.get(unit.unit) for unit in wall.units]
    names = sorted({one.concept for one in mine if one is not None})
    place = {name: at for at, name in enumerate(names)}
    numbers = [unit.numbers for unit in wall.units]
    data: dict[str, Any] = {
        "marks": [
            sum(1 << MARKS.index(mark) for mark in unit.marks)
            + (1 << len(MARKS)) * (one is not None and one.detects)
            for unit, one in zip(wall.units, mine, strict=True)
        ]
    }
    if any(one is not None for one in numbers):
        data["activity"] = [None if one is None else _short(one.largest, 4) for one in numbers]
        data["sparsity"] = [None if one is None else _short(one.sparsity, 3) for one in numbers]
    if names:
        data["names"] = names
        data["concept"] = [-1 if one is None else place[one.concept] for one in mine]
        data["iou"] = [0 if one is None else _short(one.iou, 2) for one in mine]
    return data


def _short(value: float, digits: int) -> float | int | None:
    """Round a number, so that a thousand of them weigh little."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() else short


def walled(layer: Layer) -> bool:
    """Return whether the wall shows every filter of a layer with more filters than one sheet has."""
    wall, filters = layer.wall, layer.filters
    if wall is None or filters is None:
        return False
    return len(wall.units) == filters.total > len(filters.sheet.tiles)


def unit_facts(unit: Unit, wall: Wall) -> list[tuple[str, str]]:
    """Return the facts of a unit's values."""
    found = unit.numbers
    if found is None:
        return []
    how = "Sparsity" if wall.measured else "Sparsity, from the histogram"
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


def _share(share: float) -> str:
    return f"{number(100 * share)} %"


def quantiles_text(numbers: Numbers, wall: Wall) -> str:
    """List some of a unit's quantiles; the ends stand below the histogram."""
    pairs = zip(wall.levels, numbers.quantiles, strict=False)
    told = [(level, value) for level, value in pairs if level in _LEVELS]
    return ", ".join(f"{100 * level:g}\N{NO-BREAK SPACE}% are below {number(value)}" for level, value in told)


def histogram_path(numbers: Numbers) -> str:
    """Draw a histogram as an outline: one unit wide for each bin, 40 high, logarithmic."""
    peak = math.log1p(max(numbers.histogram, default=0)) or 1.0
    steps = (f"V{_HIGH - _HIGH * math.log1p(max(count, 0)) / peak:.3g}h1" for count in numbers.histogram)
    return f"M0 {_HIGH}{''.join(steps)}V{_HIGH}z"


def filter_note(layer: Layer, wall: Wall) -> str:
    """Say what is drawn of a unit's filter."""
    filters = layer.filters
    if filters is None:
        return ""
    what = f"{size(filters.kernel)} weights over {counted(filters.inputs, 'input channel')}"
    if filters.sheet.layout == "matrix":
        some = f"the first {wall.inputs:,}" if wall.inputs < filters.inputs else "all"
        cell = "a square" if max(filters.kernel) == 1 else "a small picture"
        return f"{what}: {cell} for each of {some}, row by row."
    return f"{what}."


def spot_style(spot: Spot) -> str:
    """Return the CSS that frames a part of a photograph."""
    left, top, right, bottom = spot.box
    width, height = spot.photo.picture.width, spot.photo.picture.height
    return (
        f"left:{percent(left, width)};top:{percent(top, height)};"
        f"width:{percent(right - left, width)};height:{percent(bottom - top, height)}"
    )


def spot_note(spot: Spot, layer: Layer) -> str:
    """Say where a unit is strongest."""
    left, top, right, bottom = spot.box
    field = layer.field
    whole = field is not None and field.status == "global"
    seen = "the whole photograph" if whole else f"{right - left:.6g} pixels wide, {bottom - top:.6g} high"
    inside = "" if whole else ", clipped to the photograph,"
    return (
        f"The unit is strongest at row {spot.row:,}, column {spot.column:,} of its map. What it can see "
        f"there{inside} is framed: {seen}."
    )


def unit_command(maps: Maps, unit: Unit) -> str:
    """Return the command that draws one unit's map on a photograph."""
    return f"{maps.command.rsplit(' --units ', 1)[0]} --units {unit.unit}"


def filter_command(layer: Layer, unit: Unit) -> str:
    """Return the command that draws one unit's filter."""
    return f"{layer.filters.command if layer.filters is not None else ''} --units {unit.unit}"


def draw_command(layer: Layer, unit: Unit) -> str:
    """Return the command that draws one unit's patches."""
    draw = layer.patches.draw if layer.patches is not None else ""
    start = draw.removesuffix(" -o patches.png").rsplit(" --units ", 1)[0]
    return f"{start} --units {unit.unit} -o patches.png"


def legends(maps: list[tuple[Maps, Any]]) -> list[tuple[str, Legend]]:
    """Return the colour bars of a unit's maps, each once, with the photographs that it is for."""
    told: dict[tuple[str, ...], tuple[list[str], Legend]] = {}
    for one, _ in maps:
        legend = one.sheet.legend
        key = (legend.bar.path, *ends(legend, "value"))
        told.setdefault(key, ([], legend))[0].append(one.photo.name)
    return [(", ".join(names), legend) for names, legend in told.values()]


def concept_options(layer: Layer) -> list[tuple[int, str, int]]:
    """Return the concepts that a wall can be filtered by: place among the names, name, and how many units."""
    data = wall_data(layer)
    places = data.get("concept", [])
    return [(at, name, places.count(at)) for at, name in enumerate(data.get("names", []))]


def concept_kind(concept: UnitConcept) -> str:
    """Name the kind of a concept, where it is not plain from the concept itself."""
    return "" if concept.category in ("", "colour", concept.concept) else f" ({concept.category})"


FILTERS = {
    "wall_lead": wall_lead,
    "wall_tiles": wall_tiles,
    "wall_style": wall_style,
    "wall_sheets": wall_sheets,
    "wall_json": wall_json,
    "walled": walled,
    "unit_facts": unit_facts,
    "unit_marks": unit_marks,
    "quantiles_text": quantiles_text,
    "histogram_path": histogram_path,
    "filter_command": filter_command,
    "filter_note": filter_note,
    "spot_style": spot_style,
    "spot_note": spot_note,
    "unit_command": unit_command,
    "draw_command": draw_command,
    "legends": legends,
    "concept_options": concept_options,
    "concept_kind": concept_kind,
}
"""What the templates may call."""
