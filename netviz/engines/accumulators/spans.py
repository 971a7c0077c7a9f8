"""Where units are above their thresholds, as spans of pixels along rows: exact, and without maps of image size.

A grid says between which positions of a map each pixel of the network's input lies, along one axis.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.compiled import compiled_for

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The cells between the centres of neighbouring positions, and the pixels in each.

    Before the first centre and beyond the last the outermost position is repeated, as often as there are pixels, so
    that no cell is longer than a stride.

    Attributes
    ----------
    low, high : ndarray of int64, shape (cells,)
        The positions before and after each cell.
    first : ndarray of int64, shape (cells + 1,)
        The first pixel of each cell; cell k holds the pixels ``first[k]`` up to, not including, ``first[k + 1]``.
    part : ndarray of float64, shape (pixels,)
        How far each pixel lies from the one position to the other: 0 … 1, 1 not included.
    begin, end : ndarray of int64, shape (positions,)
        Which cells each position is an end of: ``begin`` up to, not including, ``end``.
    stride, origin : float
        Cell k begins at pixel ``origin + k * stride``.
    """

    low: Ints
    high: Ints
    first: Ints
    part: NDArray[np.float64]
    begin: Ints
    end: Ints
    stride: float
    origin: float

    @property
    def longest(self) -> int:
        """How many pixels the longest cell holds."""
        return int(np.diff(self.first).max())


def grid(center: float, stride: float, positions: int, pixels: int) -> Grid:
    """Return the cells along one axis.

    Parameters
    ----------
    center : float
        The centre of what the first position sees; the first pixel's middle is 0.
    stride : float
        From one position's centre to the next one's, in pixels.
    positions, pixels : int
        Length of the map and of the network's input.
    """
    places = (np.arange(pixels) - center) / stride
    below = np.floor(places).astype(np.int64)
    before = max(0, -int(below[0]))
    cells = max(int(below[-1]) + before + 1, before + positions - 1)
    each = np.arange(cells) - before
    at = np.arange(positions)
    begin = np.where(at > 0, at + before - 1, 0)
    end = np.where(at < positions - 1, at + before + 1, cells)
    return Grid(
        low=np.clip(each, 0, positions - 1),
        high=np.clip(each + 1, 0, positions - 1),
        first=np.searchsorted(below + before, np.arange(cells + 1)),
        part=places - below,
        begin=np.clip(begin, 0, cells),
        end=np.clip(end, 0, cells),
        stride=stride,
        origin=center - before * stride,
    )


def unrolled(begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return every whole number of several ranges, and which range each belongs to.

    Returns
    -------
    owner, value : ndarray of int64, shape (sum of lengths,)
    """
    count = end - begin
    owner = np.repeat(np.arange(len(count)), count)
    shift = np.repeat(begin - (np.cumsum(count) - count), count)
    return owner, np.arange(len(owner)) + shift


Floats = NDArray[np.float64]

_VALUES = 1 << 26
"""How many values of a map are looked at together."""

_ROWS = 1 << 19
"""How many rows of pixels are worked on together."""


class Spans(NamedTuple):
    """Runs of pixels, each in one row of one image, where one unit is above its threshold.

    Attributes
    ----------
    image, unit, row, begin, end : ndarray of int64, shape (S,)
        Pixels ``begin`` up to, not including, ``end`` of a row.
    """

    image: Ints
    unit: Ints
    row: Ints
    begin: Ints
    end: Ints


@dataclass(frozen=True)
class Hot:
    """Cells with a corner above the unit's threshold.

    Attributes
    ----------
    image, unit, down, across : ndarray of int64, shape (B,)
        Which image and unit; which cell, along rows and along columns.
    corners : ndarray of float32, shape (4, B)
        The map's values: upper left, upper right, lower left, lower right.
    """

    image: Ints
    unit: Ints
    down: Ints
    across: Ints
    corners: NDArray[np.float32]


def rounded_down(threshold: Floats) -> NDArray[np.float32]:
    """Return the largest float32 numbers that are not above: a float32 is above these if it is above the others."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def hot_cells(x: Tensor, limit: Tensor, rows: Grid, cols: Grid) -> Hot:
    """Find the cells that a unit is above its threshold in.

    Parameters
    ----------
    x : Tensor of float32, shape (N, h, w, C)
        A layer's output; contiguous.
    limit : Tensor of float32, shape (C,)
        The thresholds, rounded down.
    rows, cols : Grid
    """
    fast = compiled_for(x)
    if fast is not None:
        numbers, corners = fast.hot_cells(
            x.numpy(), limit.numpy(), (rows.low, rows.high), (cols.low, cols.high)
        )
        image, unit, down, across = numbers
        return Hot(image, unit, down, across, corners)
    count, height, width, channels = x.shape
    step = max(1, _VALUES // max(1, height * width * channels))
    parts = []
    for first in range(0, count, step):
        some = x[first : first + step]
        at = torch.nonzero((some > limit).reshape(-1))[:, 0].cpu().numpy()
        at, unit = np.divmod(at, channels)
        at, col = np.divmod(at, width)
        image, row = np.divmod(at, height)
        owner, down = unrolled(rows.begin[row], rows.end[row])
        again, across = unrolled(cols.begin[col[owner]], cols.end[col[owner]])
        owner, down = owner[again], down[again]
        shape = (len(some), channels, len(rows.low), len(cols.low))
        # Neighbouring positions share cells: each is to be counted once.
        hot = np.zeros(shape, dtype=np.bool_)
        hot[image[owner], unit[owner], down, across] = True
        keys = np.flatnonzero(hot)
        image, unit, down, across = np.unravel_index(keys, shape)
        upper, lower = ((image * height + side[down]) * width for side in (rows.low, rows.high))
        left, right = cols.low[across], cols.high[across]
        flat = np.stack([upper + left, upper + right, lower + left, lower + right]) * channels + unit
        corners = some.reshape(-1)[torch.from_numpy(flat).to(some.device)].cpu().numpy()
        parts.append(Hot(image + first, unit, down, across, corners))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Hot]) -> Hot:
    image, unit, down, across = (
        np.concatenate([getattr(one, name) for one in parts]) for name in ("image", "unit", "down", "across")
    )
    return Hot(image, unit, down, across, np.concatenate([one.corners for one in parts], axis=1))


def find_spans(hot: Hot, threshold: Floats, rows: Grid, cols: Grid) -> list[Spans]:
    """Return where the bilinear maps are above the thresholds, some cells at a time.

    A pixel's value is ``a + (b - a) * part``, in double precision, with a and b found likewise at the left and at the
    right of its row of the cell; each step of this never falls where `part` grows and b is not below a, so that the
    span's end is that of the pixels taken one by one.
    """
    step = max(1, _ROWS // max(1, rows.longest))
    return [_spans(hot, slice(at, at + step), threshold, rows, cols) for at in range(0, len(hot.unit), step)]


def _spans(hot: Hot, some: slice, threshold: Floats, rows: Grid, cols: Grid) -> Spans:
    down, across = hot.down[some], hot.across[some]
    first, count = rows.first[down], rows.first[down + 1] - rows.first[down]
    # Cells that hold no pixel, where positions lie closer together than pixels or outside of the image.
    count = np.where(cols.first[across + 1] > cols.first[across], count, 0)
    cell, row = unrolled(first, first + count)
    upper_left, upper_right, lower_left, lower_right = hot.corners[:, some].astype(np.float64)
    limit = threshold[hot.unit[some]]
    # What belongs to a cell is repeated for its rows: several times faster than looking it up.
    part = rows.part.take(row)
    left = np.repeat(lower_left - upper_left, count)
    left *= part
    left += np.repeat(upper_left, count)
    right = np.repeat(lower_right - upper_right, count)
    right *= part
    right += np.repeat(upper_right, count)
    kept = np.flatnonzero(np.maximum(left, right) > np.repeat(limit, count))
    left, rise, cell = left.take(kept), right.take(kept), cell.take(kept)
    rise -= left
    limit, across = limit.take(cell), across.take(cell)
    first = cols.first.take(across)
    length = cols.first.take(across + 1) - first
    rising = rise > 0
    # The first pixel that is above where the map rises, or no longer above where it does not.
    turn = _guess(left, rise, limit, across, first, length, cols)
    moving = np.arange(len(turn))
    while len(moving):
        at, last = turn[moving], length[moving] - 1
        sides = left[moving], rise[moving], limit[moving]
        before = cols.part.take(first[moving] + np.maximum(at - 1, 0))
        here = cols.part.take(first[moving] + np.minimum(at, last))
        back = (at > 0) & (_above(*sides, before) == rising[moving])
        on = ~back & (at <= last) & (_above(*sides, here) != rising[moving])
        turn[moving] += on.astype(np.int64) - back
        moving = moving[back | on]
    begin = first + np.where(rising, turn, 0)
    end = first + np.where(rising, length, turn)
    full = np.flatnonzero(end > begin)
    owner = cell.take(full)
    return Spans(
        hot.image[some].take(owner),
        hot.unit[some].take(owner),
        row.take(kept.take(full)),
        begin.take(full),
        end.take(full),
    )


def _guess(
    left: Floats,
    rise: Floats,
    limit: Floats,
    across: Ints,
    first: Ints,
    length: Ints,
    cols: Grid,
) -> Ints:
    """Return about how many pixels lie before the point where the map crosses the threshold."""
    flat = rise == 0
    # A rise as good as none makes this infinite: either end is then near enough.
    with np.errstate(over="ignore"):
        crossing = np.where(flat, 1.0, (limit - left) / np.where(flat, 1.0, rise))
    pixel = np.ceil(cols.origin + (across + np.clip(crossing, -1, 2)) * cols.stride)
    return np.where(flat, length, np.clip(pixel - first, 0, length)).astype(np.int64)


def _above(left: Floats, rise: Floats, limit: Floats, part: Floats) -> NDArray[np.bool_]:
    return np.greater(left + rise * part, limit)
