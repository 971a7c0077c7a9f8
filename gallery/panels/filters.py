"""A layer's filters: one sheet of them, and each as a small square beside its unit."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from netviz.paper import style
from netviz.paper.raster import encode_png
from netviz.paper.scales import colourise
from netviz.paper.tiles import enlarge
from netviz.questions.filters.result import FiltersResult
from netviz.questions.filters.tiles import filter_sheet, view_filters

from ..addresses import Addresses
from ..drawing import (
    UNITS,
    Pixels,
    Write,
    chunks,
    side_by_side,
    sprite_sheets,
    square,
    write_sheet,
)
from ..manifest import Picture, Sheet, Sprites
from ..panel import Panel, Recipe
from ..words import command, counted, remarks, size

CELL = 15
"""Pixels of a matrix's cell along one side."""

SMALL = 60
"""Pixels that a small filter takes at most along one side, where it has not more weights than that."""

_ROOM = 24
_SIDE = 12
_EDGE = 2

RECIPE = Recipe(
    "Filters",
    "The weights themselves. Those that read the image are small colour pictures: zero is mid grey, the "
    "largest absolute weight full black or white. All others are signed, on a scale symmetric about zero.",
    ("Krizhevsky, Sutskever and Hinton, ImageNet classification, NeurIPS 2012 (figure 3)",),
)


@dataclass(frozen=True)
class Filters:
    """A layer's filters: the sheet and what its caption counts."""

    sheet: Sheet
    total: int
    inputs: int
    kernel: tuple[int, ...]
    groups: int
    scale: str
    sort: str
    dead: tuple[int, ...]
    duplicates: tuple[tuple[int, int], ...]
    command: str


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    for place in addresses.paged:
        if addresses.run.layers[place].filters:
            yield _sheet(addresses, place)
            for number in sprite_sheets(addresses.units[place]):
                yield _small(addresses, place, number)
            if not addresses.run.layers[place].patches:
                for number in sprite_sheets(addresses.others[place]):
                    yield _beside(addresses, place, number)


def _sheet(addresses: Addresses, place: int) -> str:
    return f"{addresses.folder}/filters/{addresses.slugs[place]}.png"


def _small(addresses: Addresses, place: int, sheet: int) -> str:
    return addresses.beside(place, f"filters-{sheet}.png")


def _beside(addresses: Addresses, place: int, sheet: int) -> str:
    return addresses.beside(place, f"filters-others-{sheet}.png")


def draw_filters(result: FiltersResult, addresses: Addresses, place: int, write: Write) -> Filters:
    """Draw a layer's filters."""
    shown = replace(result, units=result.units[:UNITS])
    first = filter_sheet(replace(result, units=result.units[:1]), columns=1)
    if first.layout == "matrix":
        # A row has to fit the width of a page, two abreast where filters extend in space.
        side = max(result.filters.shape[2:])
        sheet = filter_sheet(shown, zoom=10 if side == 1 else max(1, CELL // side), gap=2)
    else:
        sheet = filter_sheet(shown, columns=square(shown.units))
    total, inputs, *kernel = result.filters.shape
    run = addresses.run
    words = ["--layer", run.layers[place].name]
    words += [] if result.scale == "each" else ["--scale", result.scale]
    words += [] if result.sort == "index" else ["--sort", result.sort]
    return Filters(
        sheet=write_sheet(sheet, _sheet(addresses, place), write),
        total=total,
        inputs=inputs,
        kernel=tuple(kernel),
        groups=result.groups,
        scale=result.scale,
        sort=result.sort,
        dead=result.dead,
        duplicates=result.duplicates,
        command=command("filters", run.model, *words, run=run),
    )


def draw_small(
    result: FiltersResult, addresses: Addresses, place: int, write: Write, others: bool = False
) -> tuple[tuple[Sprites, ...], int]:
    """Draw the filter of each of a layer's units as a small square, one sheet after the other.

    Parameters
    ----------
    others : bool
        Of the units that have no page.

    Returns
    -------
    tuple of Sprites
    int
        How many input channels of a filter are drawn.
    """
    sheets, inputs = [], 0
    units, named = (addresses.others[place], _beside) if others else (addresses.units[place], _small)
    for number, chosen in enumerate(chunks(units)):
        tiles, inputs = filter_tiles(result, chosen)
        pixels = side_by_side(tiles)
        path = named(addresses, place, number)
        write(path, encode_png(pixels))
        side = tiles.shape[1]
        sheets.append(Sprites(Picture(path, pixels.shape[1], pixels.shape[0]), (side, side)))
    return tuple(sheets), inputs


def filter_inputs(result: FiltersResult) -> int:
    """Return how many input channels of a filter are drawn on a square tile, at most."""
    side = max(result.filters.shape[2:])
    return _SIDE**2 if side == 1 else max(1, _ROOM // (side + 1)) ** 2


def filter_tiles(result: FiltersResult, units: Sequence[int]) -> tuple[Pixels, int]:
    """Draw each filter as a square: one small picture, or those of its first input channels row by row.

    Returns
    -------
    ndarray of uint8, shape (units, S, S, 3)
        On the scale of a `netviz.questions.filters.tiles.filter_sheet`.
    int
        How many input channels are drawn.
    """
    view = view_filters(replace(result, units=np.asarray(units, dtype=np.int64)), filter_inputs(result))
    count, inputs = view.shares.shape[:2]
    if view.layout == "rgb":
        drawn = colourise(np.moveaxis(view.shares, 1, -1), "rgb")
    elif view.layout == "tiles":
        drawn = colourise(view.shares[:, 0], "diverging")
    else:
        drawn = _blocks(colourise(view.shares, "diverging"))
    drawn = enlarge(drawn, max(1, SMALL // max(drawn.shape[1:3])))
    side = max(drawn.shape[1:3]) + 2 * _EDGE
    tiles = np.empty((count, side, side, 3), dtype=np.uint8)
    tiles[:] = style.rgb(style.PAPER)
    top, left = (side - drawn.shape[1]) // 2, (side - drawn.shape[2]) // 2
    tiles[:, top : top + drawn.shape[1], left : left + drawn.shape[2]] = drawn
    return tiles, inputs


def _blocks(cells: Pixels) -> Pixels:
    """Lay the channels of each filter (K, C, h, w, 3) out near-square, a line of paper between kernels."""
    count, inputs, height, width, _ = cells.shape
    gap = int(max(height, width) > 1)
    across = math.ceil(math.sqrt(inputs))
    down = math.ceil(inputs / across)
    laid = np.empty((count, down * across, height + gap, width + gap, 3), dtype=np.uint8)
    laid[:] = style.rgb(style.PAPER)
    laid[:, :inputs, :height, :width] = cells
    joined: Pixels = (
        laid.reshape(count, down, across, height + gap, width + gap, 3)
        .swapaxes(2, 3)
        .reshape(count, down * (height + gap), across * (width + gap), 3)
    )
    return joined


def filters_note(filters: Filters) -> str:
    """Say what a layer's filters are and how much of them is shown."""
    drawn = len(filters.sheet.tiles)
    shown = (
        f"{drawn:,} of {filters.total:,}" if drawn < filters.total else f"All {drawn:,}" if drawn > 1 else "1"
    )
    what = f"{size(filters.kernel)} weights over {counted(filters.inputs, 'input channel')}"
    text = f"{shown} {'filter' if filters.total == 1 else 'filters'}, each {what}"
    if filters.groups > 1:
        text += f" (of {counted(filters.groups, 'group')}: a unit reads the inputs of its own group alone)"
    if filters.sheet.layout == "matrix":
        text += ": a row per unit, a cell per input channel"
        if filters.sheet.columns < filters.inputs:
            text += f", the first {filters.sheet.columns:,} of {filters.inputs:,}"
    order = {"norm": ", largest L2 norm first", "hue": ", ordered by hue"}.get(filters.sort, "")
    scale = "; one scale for all" if filters.scale == "shared" else "; every filter on its own scale"
    return f"{text}{order}{scale if drawn > 1 else ''}.{remarks(filters.sheet)}"


def paired(pairs: tuple[tuple[int, int], ...], most: int = 8) -> str:
    """Write the first few pairs of near-duplicates and how many more there are."""
    text = ", ".join(f"{unit} repeats {earlier}" for unit, earlier in pairs[:most])
    return f"Unit {text}" + (f" and {len(pairs) - most:,} more" if len(pairs) > most else "")


def filter_note(filters: Filters, inputs: int) -> str:
    """Say what is drawn of a unit's filter, which is `inputs` of its input channels at most."""
    what = f"{size(filters.kernel)} weights over {counted(filters.inputs, 'input channel')}"
    if filters.sheet.layout == "matrix":
        some = f"the first {inputs:,}" if inputs < filters.inputs else "all"
        cell = "a square" if max(filters.kernel) == 1 else "a small picture"
        return f"{what}: {cell} for each of {some}, row by row."
    return f"{what}."


def filter_command(filters: Filters, unit: int) -> str:
    """Return the command that draws one unit's filter."""
    return f"{filters.command} --units {unit}"


PANEL = Panel(
    folders=("filters",),
    files=files,
    words=(filters_note, paired, filter_note, filter_command),
)
