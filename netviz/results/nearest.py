"""For every unit of a layer, the units whose activity is most like its own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result
from netviz.results.units import correlation

NEAREST = 5
"""How many neighbours each unit has."""


@dataclass(frozen=True)
class NearestResult(Result):
    """Which units of a layer act alike, over a random sample of positions.

    Attributes
    ----------
    nearest : ndarray of int64, shape (units, 5)
        The units with the largest Pearson correlation to each, largest first; of equals the first. -1 where there
        are no more units, or a unit's activity never changes.
    similarity : ndarray of float32, shape (units, 5)
        That correlation, -1 … 1; NaN where `nearest` is -1.
    sparsity : ndarray of float64, shape (units,)
        `netviz.results.units.sparsity` over the same sample; NaN for a unit that is never active.
    network, layer, alias, layer_kind : str
    channels, images, positions, samples : int
        Units; images; positions of the map that these made, and in the sample.
    """

    kind: ClassVar[str] = "nearest"

    nearest: NDArray[np.int64]
    similarity: NDArray[np.float32]
    sparsity: NDArray[np.float64]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    images: int
    positions: int
    samples: int


def nearest_units(
    values: NDArray[np.floating], count: int = NEAREST
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for every unit those with the largest correlation to it.

    Parameters
    ----------
    values : ndarray of shape (positions, units)
        At least two positions.
    count : int
        How many.

    Returns
    -------
    nearest : ndarray of int64, shape (units, count)
    similarity : ndarray of float32, shape (units, count)
        As in `NearestResult`.

    Raises
    ------
    ValueError
        If there are fewer than two positions.
    """
    related = correlation(values)
    units = len(related)
    # Rounding must not decide which of two equals comes first.
    ranked = np.where(np.isnan(related), -np.inf, np.round(related, 6))
    np.fill_diagonal(ranked, -np.inf)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :count]
    there = np.isfinite(np.take_along_axis(ranked, order, axis=1))
    nearest = np.full((units, count), -1, dtype=np.int64)
    similarity = np.full((units, count), np.nan, dtype=np.float32)
    nearest[:, : order.shape[1]] = np.where(there, order, -1)
    similarity[:, : order.shape[1]] = np.where(there, np.take_along_axis(related, order, axis=1), np.nan)
    return nearest, similarity
