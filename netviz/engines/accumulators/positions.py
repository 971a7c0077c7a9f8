"""Where in its maps a unit is strongest, and the map around that place."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.compiled import compiled_for

_MOST = 1 << 24
"""How many values at most are sorted at once."""


class Places(NamedTuple):
    """Positions in the maps of a batch.

    Attributes
    ----------
    which, units : ndarray of int, shape (P,)
        Image of the batch, and unit.
    score : ndarray of float32, shape (P,)
        The value there.
    row, col : ndarray of int32, shape (P,)
    """

    which: NDArray[np.intp]
    units: NDArray[np.intp]
    score: NDArray[np.float32]
    row: NDArray[np.int32]
    col: NDArray[np.int32]

    @classmethod
    def none(cls) -> "Places":
        """Return no positions."""
        numbers, places = np.empty(0, np.intp), np.empty(0, np.int32)
        return cls(numbers, numbers, np.empty(0, np.float32), places, places)


class Reduced(NamedTuple):
    """What is said of each map of a batch.

    Attributes
    ----------
    peak : ndarray of float32, shape (N, C)
        Largest value.
    row : ndarray of int32, shape (N, C)
        The first row that holds it.
    total : ndarray of float32, shape (N, C)
        The sum: each row from left to right in float32, the rows from top to bottom in float64, rounded once.
    nonzero : ndarray of int32, shape (N, C)
        How many values are not 0.
    """

    peak: NDArray[np.float32]
    row: NDArray[np.int32]
    total: NDArray[np.float32]
    nonzero: NDArray[np.int32]


_ALL = slice(None)


def reduced(x: Tensor, part: tuple[slice, slice] = (_ALL, _ALL)) -> Reduced:
    """Reduce maps; on a GPU a sum may have another rounding.

    Parameters
    ----------
    x : Tensor of float32, shape (N, H, W, C)
    part : (slice, slice)
        Which rows and columns are looked at; the rows told are those of the whole map.
    """
    fast = compiled_for(x)
    if fast is not None:
        return Reduced(*fast.reduced(x.numpy(), part))
    x = x[:, part[0], part[1]]
    lines = [x[:, :, column] for column in range(x.shape[2])] if x.device.type == "cpu" else [x.sum(2)]
    # A copy, as it is added to.
    sums = lines[0] + 0.0
    for line in lines[1:]:
        sums += line
    rows = x.amax(2)
    peak, row, nonzero = rows.amax(1) + 0.0, rows.argmax(1), torch.count_nonzero(x, (1, 2))
    total = np.zeros(peak.shape)
    for one in sums.cpu().numpy().swapaxes(0, 1):
        total += one
    return Reduced(
        peak.cpu().numpy(),
        row.int().cpu().numpy() + np.int32(part[0].start or 0),
        total.astype(np.float32),
        nonzero.int().cpu().numpy(),
    )


def first_maximum(
    x: Tensor,
    found: Reduced,
    which: NDArray[np.intp],
    units: NDArray[np.intp],
    columns: slice = _ALL,
) -> Places:
    """Return the first position, row by row, where each of some maps has its maximum.

    Parameters
    ----------
    x : Tensor of shape (N, H, W, C)
    found : Reduced
        What `reduced` says of these maps, or of a part of them.
    which, units : ndarray of int, shape (P,)
        Which maps.
    columns : slice
        The columns of that part.
    """
    score, row = found.peak[which, units], found.row[which, units]
    fast = compiled_for(x)
    if fast is not None:
        return Places(
            which, units, score, row, fast.first_column(x.numpy(), row, which, units, score, columns)
        )
    line = x[:, :, columns][_index(which, x), _index(row, x), :, _index(units, x)]
    col = (line == torch.from_numpy(score).to(x.device)[:, None]).int().argmax(1)
    return Places(which, units, score, row, col.int().cpu().numpy() + np.int32(columns.start or 0))


def first_windows(
    x: Tensor, found: Reduced, wanted: NDArray[np.bool_], size: tuple[int, int], columns: slice = _ALL
) -> tuple[Places, NDArray[np.float16], NDArray[np.int32]]:
    """Return what `first_maximum` gives of the wanted maps, (N, C), and what `windows` gives there."""
    fast = compiled_for(x)
    if fast is not None:
        numbers, score, at, start, shares = fast.first_places(
            wanted, found.peak, found.row, x.numpy(), columns, size
        )
        return Places(numbers[0], numbers[1], score, at[0], at[1]), shares, start
    which, units = np.nonzero(wanted)
    places = first_maximum(x, found, which, units, columns)
    return places, *windows(x, places, size)


def largest(x: Tensor, which: NDArray[np.intp], units: NDArray[np.intp], count: int) -> Places:
    """Return the `count` largest values of each of some maps; of equal ones those that come first, row by row."""
    height, width = x.shape[1:3]
    count = min(count, height * width)
    scores = [np.empty((0, count), dtype=np.float32)]
    places = [np.empty((0, count), dtype=np.int32)]
    step = max(1, _MOST // (height * width))
    for start in range(0, len(which), step):
        some = slice(start, start + step)
        values = x.permute(0, 3, 1, 2)[_index(which[some], x), _index(units[some], x)].flatten(1) + 0.0
        ordered, order = values.sort(dim=1, descending=True, stable=True)
        scores.append(ordered[:, :count].cpu().numpy())
        places.append(order[:, :count].int().cpu().numpy())
    row, col = np.divmod(np.concatenate(places).ravel(), np.int32(width))
    return Places(np.repeat(which, count), np.repeat(units, count), np.concatenate(scores).ravel(), row, col)


Box: TypeAlias = Callable[[int, int], tuple[int, int, int, int]]
"""Gives what a position (row, column) sees: top, left, bottom, right in pixels of the input; half-open, unclipped."""


class Extent(NamedTuple):
    """What the positions along one axis of a layer's maps see of an image.

    Attributes
    ----------
    low, high : ndarray of int64, shape (positions,)
        First pixel of the network's input, and the one after the last; also outside of the image.
    length : int
        Pixels of the input.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    length: int

    @classmethod
    def of(cls, box: Box | None, axis: int, positions: int, length: int) -> "Extent":
        """Return what `box` gives along an axis; without one, each position sees the whole input."""
        if box is None:
            return cls(np.zeros(positions, np.int64), np.full(positions, length, np.int64), length)
        boxes = np.array([box(at, at) for at in range(positions)], dtype=np.int64).reshape(-1, 4)
        return cls(boxes[:, axis], boxes[:, axis + 2], length)

    def inside(self) -> slice:
        """Return the positions whose field lies inside the image; they follow one another."""
        found = np.flatnonzero((self.low >= 0) & (self.high <= self.length))
        return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)

    def part(self, some: slice) -> "Extent":
        """Return what some of the positions see."""
        return Extent(self.low[some], self.high[some], self.length)

    def clipped(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return `low` and `high` inside the image, at least a pixel of it."""
        return np.clip(self.low, 0, self.length - 1), np.clip(self.high, 1, self.length)


def spread(
    x: Tensor, which: NDArray[np.intp], units: NDArray[np.intp], count: int, extents: tuple[Extent, Extent]
) -> Places:
    """Return for each of some maps its largest value, then the largest whose field overlaps no chosen one, and so on.

    Two fields overlap if they share a quarter, or more, of the smaller, in pixels of the image. Of equal values the
    one that comes first, row by row, is chosen. What is chosen of a map depends on that map alone.

    Parameters
    ----------
    x : Tensor of shape (N, H, W, C)
    which, units : ndarray of int, shape (P,)
        Which maps.
    count : int
        How many of each, at most.
    extents : (Extent, Extent)
        Of the maps' rows and columns.
    """
    height, width = x.shape[1:3]
    sides = [min(2 * _reach(*one.clipped()) + 1, len(one.low)) for one in extents]
    low, high = ([_index(one.clipped()[end], x) for one in extents] for end in range(2))
    step = max(1, (_MOST >> 2) // max(height * width, sides[0] * sides[1]))
    found: list[list[NDArray[Any]]] = []
    for first in range(0, len(which), step):
        maps = np.arange(first, min(first + step, len(which)))
        values = x.permute(0, 3, 1, 2)[_index(which[maps], x), _index(units[maps], x)].flatten(1) + 0.0
        for _ in range(min(count, height * width)):
            score, place = values.max(1)
            at = place // width, place % width
            there = torch.isfinite(score).cpu().numpy()
            if not there.any():
                break
            row, col = (one.int().cpu().numpy()[there] for one in at)
            found.append([which[maps][there], units[maps][there], score.cpu().numpy()[there], row, col])
            near, shared, own, other = [], [], [], []
            for axis, (here, side) in enumerate(zip(at, sides, strict=True)):
                start = (here - side // 2).clamp(0, len(low[axis]) - side)
                around = start[:, None] + torch.arange(side, device=x.device)
                begin, end = low[axis][here][:, None], high[axis][here][:, None]
                both = torch.minimum(high[axis][around], end) - torch.maximum(low[axis][around], begin)
                near.append(around)
                shared.append(both.clamp(min=0))
                own.append(end - begin)
                other.append(high[axis][around] - low[axis][around])
            smaller = torch.minimum(own[0] * own[1], (other[0][:, :, None] * other[1][:, None]).flatten(1))
            overlaps = 4 * (shared[0][:, :, None] * shared[1][:, None]).flatten(1) >= smaller
            index = (near[0][:, :, None] * width + near[1][:, None]).flatten(1)
            values.scatter_(1, index, values.gather(1, index).masked_fill(overlaps, -torch.inf))
    if not found:
        return Places.none()
    return Places(*(np.concatenate(one) for one in zip(*found, strict=True)))


def _reach(low: NDArray[np.int64], high: NDArray[np.int64]) -> int:
    """Return how many positions along an axis lie, at most, between two fields of which a quarter overlaps."""
    size = high - low
    for step in range(1, len(low)):
        both = np.minimum(high[step:], high[:-step]) - np.maximum(low[step:], low[:-step])
        if not (4 * both >= np.minimum(size[step:], size[:-step])).any():
            return step - 1
    return len(low) - 1


def windows(
    x: Tensor, places: Places, size: tuple[int, int]
) -> tuple[NDArray[np.float16], NDArray[np.int32]]:
    """Return the maps around some places as shares of the value there, in -1 … 1; 0 where that is not positive.

    Parameters
    ----------
    x : Tensor of shape (N, H, W, C)
    places : Places
    size : (int, int)
        Rows and columns of a window. It is centred on the place, but inside the map; what of it lies outside of a map
        that is smaller repeats the map's border.

    Returns
    -------
    shares : ndarray of float16, shape (P, rows, columns)
    start : ndarray of int32, shape (P, 2)
        First row and column of each window.
    """
    if not len(places.which):
        return np.empty((0, *size), np.float16), np.empty((0, 2), np.int32)
    height, width, units = x.shape[1:]
    rows, columns = window_starts(places.row, size[0], height), window_starts(places.col, size[1], width)
    start = np.stack((rows, columns), axis=1)
    fast = compiled_for(x)
    if fast is not None:
        return fast.window_shares(x.numpy(), places.which, places.units, places.score, start, size), start
    r = np.minimum(start[:, 0, None] + np.arange(size[0]), height - 1)
    c = np.minimum(start[:, 1, None] + np.arange(size[1]), width - 1)
    # Addresses in memory: one gather from a flat view is faster than four broadcast indices.
    here = (places.which[:, None] * height + r) * (width * units) + places.units[:, None]
    values = x.reshape(-1)[_index(here[:, :, None] + (c * units)[:, None, :], x)].cpu().numpy()
    return shares_of(values, places.score), start


def window_starts(places: NDArray[np.int32], side: int, length: int) -> NDArray[np.int32]:
    """Return where windows around places along an axis begin: centred, but inside the map where they fit."""
    start: NDArray[np.int32] = np.clip(places - np.int32(side // 2), 0, max(0, length - side))
    return start.astype(np.int32)


def shares_of(values: NDArray[np.float32], score: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return windows, (P, rows, columns), as shares of a value, (P,), in -1 … 1; 0 where that is not positive."""
    whole = score[:, None, None]
    shares = np.divide(values, whole, out=np.zeros_like(values), where=whole > 0)
    return np.clip(shares, -1, 1, out=shares).astype(np.float16)


def _index(numbers: NDArray[np.signedinteger[Any]], x: Tensor) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(x.device)
