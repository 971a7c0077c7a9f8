"""Places along a row: after it was resized, and read between its positions, linearly."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Places = TypeVar("Places", float, NDArray[np.float64])


def rescaled(places: Places, ratio: float) -> Places:
    """Return where places of a row of pixels lie after it was resized.

    Parameters
    ----------
    places : float or ndarray of float64
        In pixels; the middle of the first is 0.
    ratio : float
        Pixels of the resized row for each of the first one.

    Returns
    -------
    float or ndarray of float64
        In pixels of the resized row; the middle of its first is 0.
    """
    return (places + 0.5) * ratio - 0.5


class Between(NamedTuple):
    """Which two positions each place lies between.

    Attributes
    ----------
    low, high : ndarray of int, shape (K,)
        The position before and the one after; the same where there is only one.
    share : ndarray of float64, shape (K,)
        How far the place lies from the first to the second, 0 … 1.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    share: NDArray[np.float64]


def between(places: NDArray[np.floating], length: int) -> Between:
    """Find the two positions that each place lies between.

    Parameters
    ----------
    places : ndarray of shape (K,)
        Counted in positions; the first lies at 0. Those before it and beyond the last are moved there.
    length : int
        How many positions there are, at least 1.
    """
    inside = np.clip(np.asarray(places, dtype=np.float64), 0, length - 1)
    low = np.minimum(np.floor(inside).astype(np.intp), max(length - 2, 0))
    return Between(low, np.minimum(low + 1, length - 1), inside - low)


def linear_weights(places: NDArray[np.floating], length: int) -> NDArray[np.float64]:
    """Return the matrix that reads a row of positions at given places, linearly.

    Parameters
    ----------
    places : ndarray of shape (K,)
        As in `between`.
    length : int
        How many positions there are, at least 1.

    Returns
    -------
    ndarray of float64, shape (K, length)
        At most two numbers of a row are not 0; each row sums to 1.
    """
    low, high, share = between(places, length)
    matrix = np.zeros((len(low), length))
    each = np.arange(len(low))
    matrix[each, low] = 1 - share
    # Of a single position both neighbours are that one, at a distance of 0.
    matrix[each, high] += share
    return matrix
