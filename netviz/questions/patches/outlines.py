"""Where a unit's map is high in a tile: the rest darkened, the border a line. Machine code, where Numba is there."""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.compiling import available, compiled
from netviz.interpolation import between
from netviz.paper import style
from netviz.paper.scales import Pixels

_DIM: Final = 0.65
_WIDTH: Final = 1.3
_FLAT: Final = 1e-9
_FAR: Final = 1.75
"""More than the square of `_WIDTH`."""

MANY: Final = 5000 * 72**2
"""Pixels of tiles that NumPy outlines: importing Numba takes as long as it spares on so many."""

SOON: Final = 300 * 72**2
"""Likewise where something else has imported Numba: only what was compiled has to be read."""

Floats = NDArray[np.float64]


class Reading(NamedTuple):
    """How the pixels of a tile read a map along one axis: linearly, between two of its cells.

    Attributes
    ----------
    low, high : ndarray of int, shape (side,)
        The cell before a pixel and the one after.
    share : ndarray of float64, shape (side,)
        How far the pixel lies from the first to the second, 0 … 1.
    known : ndarray of bool, shape (side,)
        Whether the map tells of it.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    share: Floats
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, places: NDArray[np.floating[Any]], first: float, last: float, cells: int) -> "Reading":
        """Read `cells` that fill the pixels of an image from `first` to `last` at some places.

        A cell's value stands at its centre. Beyond the outermost it goes on unchanged, for a whole cell: a box holds
        a little more than the field where the image was resized.
        """
        length = max(last - first, 1.0)
        step = length / cells
        known = (places >= first - step / 2) & (places <= first + length + step / 2)
        return cls(*between((places - first) / length * cells - 0.5, cells), known)


def read_cells(cells: NDArray[np.floating[Any]], rows: Reading, columns: Reading) -> Floats:
    """Return a map (h, w) at every pixel of a tile, (side, side)."""
    wide = cells.astype(np.float64)
    if (made := reading_code() if _pays() else None) is not None:
        read = np.empty((len(rows.low), len(columns.low)))
        made(read, wide, *rows[:3], *columns[:3])
        return read
    across = wide[rows.low] * (1 - rows.share)[:, None] + wide[rows.high] * rows.share[:, None]
    values: Floats = across[:, columns.low] * (1 - columns.share) + across[:, columns.high] * columns.share
    return values


def outline(tile: Pixels, inner: tuple[int, int, int, int], above: Floats, known: NDArray[np.bool_]) -> None:
    """Darken a tile, in place, where `above` is negative or not known, and draw the border between as a line.

    Parameters
    ----------
    tile : ndarray of uint8, shape (side, side, 3)
    inner : (int, int, int, int)
        Top, left, bottom, right of what the tile shows of the image: only that is changed.
    above : ndarray of float64, shape (side, side)
    known : ndarray of bool, shape (side, side)
    """
    _outlined[0] += above.size
    made = machine_code() if _pays() else None
    (made or shade)(tile, inner, above, known, np.array(style.rgb(style.OUTLINE), dtype=np.float32))


def shade(
    tile: Pixels, inner: tuple[int, int, int, int], above: Floats, known: Any, line_colour: Any
) -> None:
    """Do what `outline` does, with NumPy."""
    top, left, bottom, right = inner
    height, width = _slope(above), _slope(above.T).T
    distance = (above / np.maximum(np.sqrt(height * height + width * width), _FLAT)).astype(np.float32)
    lit = np.clip(distance + np.float32(0.5), 0, 1) * known
    line = np.clip(np.float32(_WIDTH) - np.abs(distance), 0, 1) * known
    # Darkened, then mixed with the line's colour.
    kept = (1 - line) * (np.float32(_DIM) + np.float32(1 - _DIM) * lit)
    colours = tile * kept[..., None]
    colours += line[..., None] * line_colour
    tile[top:bottom, left:right] = np.rint(colours[top:bottom, left:right]).astype(np.uint8)


def _slope(values: Floats) -> Floats:
    """Return the gradient along the first axis, as `numpy.gradient` defines it, without its overhead."""
    slope = np.empty_like(values)
    np.subtract(values[2:], values[:-2], out=slope[1:-1])
    slope[1:-1] *= 0.5
    slope[0], slope[-1] = values[1] - values[0], values[-1] - values[-2]
    return slope


_outlined = [0]


def _pays() -> bool:
    """Return whether so much was outlined that machine code takes less time, with what there is to import for it."""
    return _outlined[0] >= (SOON if "numba" in sys.modules else MANY)


@cache
def reading_code() -> Callable[..., None] | None:
    """Return what `read_cells` does as machine code, with the same numbers; None without Numba."""
    return compiled(read_pixels) if available() else None


def read_pixels(
    values: Floats, cells: Floats, above: Any, below: Any, down: Any, before: Any, after: Any, across: Any
) -> None:
    """Do what `read_cells` does, row by row, as it is compiled; the last six are of rows, then of columns."""
    row = np.empty(cells.shape[1])
    for y in range(values.shape[0]):
        upper, lower, share = cells[above[y]], cells[below[y]], down[y]
        for place in range(len(row)):
            row[place] = upper[place] * (1 - share) + lower[place] * share
        for x in range(values.shape[1]):
            values[y, x] = row[before[x]] * (1 - across[x]) + row[after[x]] * across[x]


@cache
def machine_code() -> Callable[..., None] | None:
    """Return what `outline` does as machine code, with the same bytes; None without Numba."""
    return compiled(shade_pixels) if available() else None


def shade_pixels(
    tile: Pixels, inner: tuple[int, int, int, int], above: Floats, known: Any, line_colour: Any
) -> None:
    """Do what `outline` does, pixel by pixel, as it is compiled."""
    top, left, bottom, right = inner
    last, end = above.shape[0] - 1, above.shape[1] - 1
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    dim, rest, thick = np.float32(_DIM), np.float32(1 - _DIM), np.float32(_WIDTH)
    dark = np.empty(256, np.uint8)
    for value in range(256):
        dark[value] = np.uint8(np.rint(np.float32(value) * dim))
    for y in range(top, bottom):
        before, here, after = above[max(y - 1, 0)], above[y], above[min(y + 1, last)]
        half_step = 0.5 if 0 < y < last else 1.0
        for x in range(left, right):
            height = here[x]
            tall = (after[x] - before[x]) * half_step
            wide = (here[min(x + 1, end)] - here[max(x - 1, 0)]) * (0.5 if 0 < x < end else 1.0)
            square = tall * tall + wide * wide
            # So far from the border that no line reaches there: most pixels stay what they are, or are darkened.
            far = height * height > _FAR * square and abs(height) > 2 * _FLAT
            if far and height > 0 and known[y, x]:
                continue
            if not known[y, x] or far:
                for channel in range(3):
                    tile[y, x, channel] = dark[tile[y, x, channel]]
                continue
            distance = np.float32(height / max(np.sqrt(square), _FLAT))
            lit = min(max(distance + half, zero), one)
            line = min(max(thick - abs(distance), zero), one)
            kept = (one - line) * (dim + rest * lit)
            for channel in range(3):
                colour = np.float32(tile[y, x, channel]) * kept + line * line_colour[channel]
                tile[y, x, channel] = np.uint8(np.rint(colour))
