"""Tiles: enlarging, block averaging, and laying them out, all in whole pixels."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.paper.scales import Floats, Pixels, Scale
from netviz.paper.style import BAD, BAR, FAINT, PAPER, rgb


def reduce_blocks(maps: NDArray[Any], factor: int) -> Floats:
    """Average blocks of `factor` by `factor` positions.

    Parameters
    ----------
    maps : ndarray of shape (K, H, W)
        The last block of a row or column may be smaller; it is averaged over what it has.
    factor : int
        Side of a block, at least 1.

    Returns
    -------
    ndarray of float64, shape (K, ceil(H / factor), ceil(W / factor))
        A block with a NaN is NaN; a block with infinities of both signs too.
    """
    if factor == 1:
        return np.asarray(maps, dtype=np.float64)
    tops, lefts = (np.arange(0, side, factor) for side in maps.shape[1:])
    with np.errstate(invalid="ignore"):
        rows = np.add.reduceat(maps, tops, axis=1, dtype=np.float64)
        sums: Floats = np.add.reduceat(rows, lefts, axis=2)
    heights = np.diff(np.append(tops, maps.shape[1]))
    widths = np.diff(np.append(lefts, maps.shape[2]))
    result: Floats = sums / np.outer(heights, widths)
    return result


def enlarge(tiles: NDArray[Any], factor: int) -> NDArray[Any]:
    """Repeat every pixel of (K, H, W, …) `factor` times along height and width."""
    if factor == 1:
        return tiles
    return np.repeat(np.repeat(tiles, factor, axis=1), factor, axis=2)


def bars(values: Floats, ends: NDArray[np.float64], height: int, step: int) -> Pixels:
    """Draw rows of values as bars that rise from 0, or from the end of the scale that is nearest to it.

    Parameters
    ----------
    values : ndarray of shape (K, N)
        A tile for each row, a bar for each value.
    ends : ndarray of shape (K, 2)
        The values at the bottom and the top of each tile, the second the larger one.
    height, step : int
        Pixels of a tile, and from one bar to the next.

    Returns
    -------
    ndarray of uint8, shape (K, height, N·step, 3)
        A bar is at least a pixel high. What is NaN or infinite has a bar of the colour for those, over all of the
        height.
    """
    low, high = ends[:, :1], ends[:, 1:]
    known = np.isfinite(values)

    def row(value: Floats) -> Floats:
        return np.rint((height - 1) * (1 - (np.clip(value, low, high) - low) / (high - low)))

    zero, at = row(np.zeros_like(values)), row(np.where(known, values, 0.0))
    rows = np.arange(height)[:, None]
    filled = (rows >= np.minimum(zero, at)[:, None]) & (rows <= np.maximum(zero, at)[:, None])
    cells = np.empty((*filled.shape, 3), dtype=np.uint8)
    cells[:] = rgb(PAPER)
    cells[np.broadcast_to(rows == zero[:, None], filled.shape)] = rgb(FAINT)
    gap = step // 5
    drawn = np.repeat(cells, step, axis=2)
    cells[filled] = rgb(BAR)
    cells[np.broadcast_to(~known[:, None], filled.shape)] = BAD
    for column in range(gap // 2, step - (gap - gap // 2)):
        drawn[:, :, column::step] = cells
    return drawn


def fill(pixels: Pixels, colour: tuple[int, int, int]) -> None:
    """Give all pixels (…, 3) one colour; a colour of three equal channels takes a tenth of the time."""
    if len(set(colour)) == 1:
        pixels[...] = colour[0]
    else:
        for channel, value in enumerate(colour):
            pixels[..., channel] = value


_LARGE: Final = 1024
"""Pixels of a tile from which on it is laid down by itself; smaller ones take less time all at once."""


def lay_out(
    tiles: Pixels, columns: int, gap: int, paper: tuple[int, int, int], frame: tuple[int, int, int]
) -> Pixels:
    """Lay tiles out row by row on paper, each in a thin frame, a gap around all of them.

    Parameters
    ----------
    tiles : ndarray of uint8, shape (K, H, W, 3)
    columns : int
        Tiles in a row.
    gap : int
        Pixels between two tiles and around the whole; the frame is drawn inside the gap, so none is
        drawn where the gap is 0.
    paper, frame : tuple of int
        Colours.

    Returns
    -------
    ndarray of uint8, shape (gap + rows·(H + gap), gap + columns·(W + gap), 3)
    """
    count, height, width, _ = tiles.shape
    rows = math.ceil(count / columns)
    sheet = np.empty((gap + rows * (height + gap), gap + columns * (width + gap), 3), dtype=np.uint8)
    fill(sheet, paper)
    if not count:
        return sheet
    edge = min(gap, 1)
    if height * width >= _LARGE:
        for place, tile in enumerate(tiles):
            top, left = (
                at * (side + gap) + gap
                for at, side in zip(divmod(place, columns), (height, width), strict=True)
            )
            if edge:
                for line in (top - 1, top + height):
                    fill(sheet[line, left - 1 : left + width + 1], frame)
                for line in (left - 1, left + width):
                    fill(sheet[top : top + height, line], frame)
            sheet[top : top + height, left : left + width] = tile
        return sheet
    # Where tiles and their frames lie on the sheet; neighbouring frames share their line where the gap is one pixel.
    places = np.lib.stride_tricks.sliding_window_view(
        sheet, (height + 2 * edge, width + 2 * edge), (0, 1), writeable=True
    )[gap - edge :: height + gap, gap - edge :: width + gap].transpose(0, 1, 3, 4, 2)
    full = count // columns
    rest = count - full * columns
    for part in (places[:full], places[full : full + 1, :rest]):
        part[...] = frame
    inner = places[:, :, edge : height + edge, edge : width + edge]
    inner[:full] = tiles[: full * columns].reshape(full, columns, height, width, 3)
    if rest:
        inner[full, :rest] = tiles[full * columns :]
    return sheet


def columns_for(count: int, height: float, width: float, aspect: float = 1.3) -> int:
    """Choose how many tiles stand in a row.

    A compromise between the wanted aspect and a last row with few places left empty.

    Parameters
    ----------
    count : int
        How many tiles.
    height, width : float
        Size of a tile with its surroundings.
    aspect : float
        Wanted width / height of the grid.
    """
    if not count:
        return 1
    ideal = math.sqrt(count * height / width * aspect)
    near = range(max(1, math.ceil(ideal / 2)), max(1, math.floor(ideal * 2)) + 1)
    return min(near, key=lambda n: 3 * (-count % n) / count + abs(math.log(n / ideal)))


def columns_filling(
    count: int, shape: tuple[int, int], room: tuple[float, float], between: int, around: int, least: float
) -> tuple[int, int, int]:
    """Choose how many tiles stand in a row, and how large they are, so that they fill a page.

    Parameters
    ----------
    count : int
        How many tiles.
    shape : tuple of int
        Height and width of a tile in any unit.
    room : tuple of float
        Width and height of the page in pixels.
    between : int
        Pixels between two columns.
    around : int
        Pixels above and below a tile, together.
    least : float
        Pixels that a column takes at least.

    Returns
    -------
    tuple of int
        Columns, and width and height of a tile in pixels. Tiles that do not fit have the least width.
    """
    for columns in range(1, max(1, count) + 1):
        column = (room[0] + between) / columns - between
        height = column * shape[0] / shape[1]
        if column < least:
            break
        if -(-count // columns) * (height + around) <= room[1]:
            return columns, max(1, int(column)), max(1, int(height))
    columns = max(1, int((room[0] + between) // (least + between)))
    return columns, max(1, int(least)), max(1, int(least * shape[0] / shape[1]))


# A page is wide: a sheet about twice as wide as high fills it without scrolling.
ASPECT: Final = 2.2


@dataclass(frozen=True, kw_only=True)
class TileSheet:
    """A picture of equal tiles.

    Tile i stands in row ``i // columns`` and column ``i % columns``; :meth:`corner` gives its pixel.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    rows, columns : int
    tile_height, tile_width : int
        Size of a tile in pixels.
    gap : int
        Pixels between two tiles and around the sheet.
    units : tuple of int
        The drawn units.
    """

    pixels: Pixels
    rows: int
    columns: int
    tile_height: int
    tile_width: int
    gap: int
    units: tuple[int, ...]

    def corner(self, tile: int) -> tuple[int, int]:
        """Return (left, top) of a tile's first pixel in the sheet."""
        row, column = divmod(tile, self.columns)
        return (
            self.gap + column * (self.tile_width + self.gap),
            self.gap + row * (self.tile_height + self.gap),
        )


@dataclass(frozen=True, kw_only=True)
class Sheet(TileSheet):
    """A sheet of filters or maps, and the facts for its caption.

    Attributes
    ----------
    layout : str
        ``"rgb"`` or ``"tiles"``: a tile per unit, the last row may be shorter; ``"bars"``: likewise, of bars;
        ``"matrix"``: a row per unit, a column per input channel.
    inputs : int
        How many input channels a filter has (a ``"matrix"`` shows the first `columns` of them); 0 for maps.
    scale : Scale
        What the colours mean.
    peaks : tuple of float
        The value at the high end of the scale, by unit; all equal unless ``scale.per_tile``.
    reduction : int
        Side of the blocks of map positions that one pixel is the mean of; 1 where nothing is averaged.
    enlargement : int
        Pixels per weight or map position along one side.
    bad : int
        How many of the drawn values are NaN or infinite (coloured green).
    bordered : int
        Of how many maps the border, which stands out, does not count where the scale ends.
    percentile : float
        At which percentile of the values a scale ends; 100 is the largest.
    beyond : float
        Which share of the values lies beyond the ends of their scale.
    """

    layout: str
    inputs: int
    scale: Scale
    peaks: tuple[float, ...]
    reduction: int
    enlargement: int
    bad: int
    bordered: int = 0
    percentile: float = 100.0
    beyond: float = 0.0
