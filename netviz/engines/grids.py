"""Between which positions of a map each pixel of the network's input lies, along one axis."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def spread(begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return every whole number of several ranges, and which range each belongs to.

    Returns
    -------
    owner, value : ndarray of int64, shape (sum of lengths,)
    """
    count = end - begin
    owner = np.repeat(np.arange(len(count)), count)
    shift = np.repeat(begin - (np.cumsum(count) - count), count)
    return owner, np.arange(len(owner)) + shift
