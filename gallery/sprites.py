"""Sheets of many small tiles without gaps, from which walls and unit pages cut their pictures."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style
from netviz.paper.scales import colourise
from netviz.paper.tiles import enlarge
from netviz.questions.filters.result import FiltersResult
from netviz.questions.filters.tiles import view_filters
from netviz.questions.patches.sheet import PatchSheet

COUNT = 16
"""Units of one sheet: what a wall loads before it is scrolled is three or four of these."""

COLUMNS = 8
"""Units in a row of a sheet."""

SMALL = 48
"""Pixels of a patch on a wall along one side: two thirds of those on a unit's page."""

SHOWN = 4
"""Patches of each unit on a wall."""

FILTER = 60
"""Pixels that a filter takes at most along one side, where it has not more weights than that."""

_ROOM = 24
_SIDE = 12
_EDGE = 2

Pixels = NDArray[np.uint8]


def chunks(units: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the units of one sheet after the other."""
    for first in range(0, len(units), COUNT):
        yield units[first : first + COUNT]


def sheets(units: Sequence[int]) -> range:
    """Return the numbers of the sheets that units take."""
    return range(math.ceil(len(units) / COUNT))


def side_by_side(tiles: Pixels) -> Pixels:
    """Lay tiles (K, H, W, 3) out in rows of `COLUMNS`, with nothing between them and paper after the last."""
    count, height, width, _ = tiles.shape
    rows = math.ceil(count / COLUMNS)
    cells = np.empty((rows * COLUMNS, height, width, 3), dtype=np.uint8)
    cells[:] = style.rgb(style.PAPER)
    cells[:count] = tiles
    joined: Pixels = (
        cells.reshape(rows, COLUMNS, height, width, 3)
        .swapaxes(1, 2)
        .reshape(rows * height, COLUMNS * width, 3)
    )
    return joined


def preview_tiles(sheet: PatchSheet) -> Pixels:
    """Shrink the strongest patches of a sheet's units; a tile for each unit, with paper around.

    Returns
    -------
    ndarray of uint8, shape (units, H, W, 3)
    """
    shown = min(SHOWN, sheet.top)
    side = sheet.tile_width
    cut = np.empty((len(sheet.units), shown, side, side, 3), dtype=np.uint8)
    for at in range(len(sheet.units)):
        for place in range(shown):
            left, top = sheet.corner(at * sheet.top + place)
            cut[at, place] = sheet.pixels[top : top + side, left : left + side]
    small = _shrink(cut)
    across = min(2, shown)
    down = math.ceil(shown / across)
    tiles = np.empty((len(cut), down * across, SMALL + 2, SMALL + 2, 3), dtype=np.uint8)
    tiles[:] = style.rgb(style.PAPER)
    tiles[:, :shown, 1:-1, 1:-1] = small
    joined: Pixels = (
        tiles.reshape(len(cut), down, across, SMALL + 2, SMALL + 2, 3)
        .swapaxes(2, 3)
        .reshape(len(cut), down * (SMALL + 2), across * (SMALL + 2), 3)
    )
    return joined


def _shrink(tiles: Pixels) -> Pixels:
    """Shrink tiles (K, P, H, W, 3) to two thirds, every pixel the mean of what it covers."""
    count, places, side, _, _ = tiles.shape
    # Of three pixels the first two thirds of the way belong to one, the rest to the other.
    rows = np.empty((count, places, side // 3, 2, side, 3), dtype=np.uint16)
    threes = tiles.reshape(count, places, side // 3, 3, side, 3)
    np.add(threes[:, :, :, 0] * np.uint16(2), threes[:, :, :, 1], out=rows[:, :, :, 0])
    np.add(threes[:, :, :, 2] * np.uint16(2), threes[:, :, :, 1], out=rows[:, :, :, 1])
    threes = rows.reshape(count, places, 2 * side // 3, side // 3, 3, 3)
    both = np.empty((count, places, 2 * side // 3, side // 3, 2, 3), dtype=np.uint16)
    np.add(threes[..., 0, :] * np.uint16(2), threes[..., 1, :], out=both[..., 0, :])
    np.add(threes[..., 2, :] * np.uint16(2), threes[..., 1, :], out=both[..., 1, :])
    # Weights of nine: no mean lies halfway between two numbers.
    shrunk: Pixels = ((both + np.uint16(4)) // np.uint16(9)).astype(np.uint8)
    return shrunk.reshape(count, places, 2 * side // 3, 2 * side // 3, 3)


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
    drawn = enlarge(drawn, max(1, FILTER // max(drawn.shape[1:3])))
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
