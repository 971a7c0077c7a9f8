"""Which units of two networks act alike: their maps read at the same places of the same photographs.

NumPy only: the gallery compares what runs have kept with it.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.interpolation import between

SIDE: Final = 28
"""Most places along each side of a photograph."""

MOST: Final = 4 * SIDE * SIDE
"""Most places of all photographs together."""

_LENGTH: Final = 4000
"""How long a unit's vector is, in whole steps. A product of two is below 2**24, and so is any part of it: every sum
is exact in float32, whatever the order."""

Floats = NDArray[np.float64]


def grid_side(photos: int) -> int:
    """Return how many places along each side are read of so many photographs, one at least: 28 of up to four."""
    return max(2, min(SIDE, math.isqrt(MOST // photos)))


def overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> tuple[float, float, float, float] | None:
    """Return the part of a photograph that two parts share; None if they share none.

    Parameters
    ----------
    first, second : (float, float, float, float)
        Top, left, bottom and right, as shares of the photograph's height and width.
    """
    top, left = (max(first[at], second[at], 0.0) for at in (0, 1))
    bottom, right = (min(first[at], second[at], 1.0) for at in (2, 3))
    return (top, left, bottom, right) if top < bottom and left < right else None


def axis_places(
    shared: tuple[float, float],
    seen: tuple[float, float],
    pixels: int,
    length: int,
    side: int,
    field: tuple[float, float, float] | None,
) -> Floats:
    """Return where along one axis of a map the places of a grid lie.

    The grid's places are the middles of equal cells of what is shared.

    Parameters
    ----------
    shared, seen : (float, float)
        From where to where on the photograph the grid reaches, and what the network saw, as shares of the photograph.
    pixels, length : int
        Of what the network saw, and positions of the map.
    side : int
        Places of the grid.
    field : (float, float, float) or None
        Size, stride and start of the layer's receptive field, in pixels: position i looks at
        ``start + i * stride + (size - 1) / 2``. None where it is not known: the positions are then taken to divide
        the pixels evenly.

    Returns
    -------
    ndarray of float64, shape (side,)
        In positions; the first lies at 0.
    """
    on_photograph = shared[0] + (shared[1] - shared[0]) * (np.arange(side) + 0.5) / side
    at = (on_photograph - seen[0]) / (seen[1] - seen[0]) * pixels - 0.5
    if field is None or not field[1]:
        found: Floats = (at + 0.5) * length / pixels - 0.5
        return found
    size, stride, start = field
    return (at - start - (size - 1) / 2) / stride


def read_maps(maps: NDArray[Any], rows: Floats, columns: Floats) -> Floats:
    """Read maps at the places of a grid, linearly between their positions.

    Parameters
    ----------
    maps : ndarray of shape (units, H, W)
    rows, columns : ndarray of float64, shapes (R,) and (K,)
        In positions; those beyond the outermost are moved there.

    Returns
    -------
    ndarray of float64, shape (units, R * K)
    """
    down, across = between(rows, maps.shape[1]), between(columns, maps.shape[2])
    values = maps.astype(np.float64)
    weight = down.share[:, None]
    values = values[:, down.low] * (1 - weight) + values[:, down.high] * weight
    values = values[:, :, across.low] * (1 - across.share) + values[:, :, across.high] * across.share
    return values.reshape(len(maps), -1)


def whole_steps(values: NDArray[Any]) -> NDArray[np.float32]:
    """Bring each unit's values to mean 0 and one length, in whole steps.

    Parameters
    ----------
    values : ndarray of shape (units, places)
        Of at most `MOST` places.

    Returns
    -------
    ndarray of float32, shape (units, places)
        Whole numbers; 0 of a unit that is the same everywhere, or not finite somewhere.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        table = values.astype(np.float64)
        table = np.where(np.isfinite(table).all(axis=1, keepdims=True), table, 0.0)
        # By their largest, so that squares stay in range.
        largest = np.abs(table).max(axis=1, keepdims=True)
        table = table / np.where(largest > 0, largest, 1.0)
        flat = np.ptp(table, axis=1) <= 1e-9
        table -= table.mean(axis=1, keepdims=True)
        length = np.sqrt((table**2).sum(axis=1))
    scale = np.divide(_LENGTH, length, out=np.zeros_like(length), where=(length > 0) & ~flat)
    found: NDArray[np.float32] = np.rint(table * scale[:, None]).astype(np.float32)
    return found


def correlations_across(first: NDArray[np.float32], second: NDArray[np.float32]) -> Floats:
    """Correlate each unit of one network with each of another.

    Parameters
    ----------
    first, second : ndarray of float32, shapes (units, places) and (others, places)
        What `whole_steps` gives of values at the same places.

    Returns
    -------
    ndarray of float64, shape (units, others)
        Pearson's, -1 … 1, to 0.001; NaN where a unit is the same everywhere. The same to the bit in whatever order
        the products are summed.
    """
    squares = [(one.astype(np.float64) ** 2).sum(axis=1) for one in (first, second)]
    product = np.sqrt(np.outer(*squares))
    dot = (first @ second.T).astype(np.float64)
    found: Floats = np.divide(dot, product, out=np.full_like(product, np.nan), where=product > 0)
    return np.clip(found, -1.0, 1.0)


def best(related: NDArray[np.floating[Any]], count: int) -> list[list[tuple[int, float]]]:
    """Return for each row where its largest values are, largest first, of equals the first; only those above 0."""
    told = []
    for row in np.where(np.isnan(related), -1.0, related):
        first = np.argsort(-row, kind="stable")[:count]
        told.append([(int(at), float(row[at])) for at in first if row[at] > 0])
    return told
