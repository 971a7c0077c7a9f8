"""An order in which correlated units are neighbours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cluster_order(correlation: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the units in an order in which those whose activities go together are neighbours.

    The order of leaves of a hierarchical clustering with the distance 1 - r and average linkage (UPGMA: Sokal and
    Michener 1958), found by chains of nearest neighbours (Murtagh 1983). Of two clusters the one with the lower unit
    comes first.

    Parameters
    ----------
    correlation : ndarray of shape (units, units)
        Symmetric, -1 … 1; NaN where a unit's activity never changes.

    Returns
    -------
    ndarray of int64, shape (units,)
        Units that never change come last.
    """
    table = np.asarray(correlation, dtype=np.float64)
    varying = np.isfinite(np.diagonal(table))
    members: list[list[int]] = [[unit] for unit in np.flatnonzero(varying).tolist()]
    still = np.flatnonzero(~varying).tolist()
    far = 1 - table[np.ix_(varying, varying)]
    np.fill_diagonal(far, np.inf)
    alive = np.ones(len(members), dtype=np.bool_)
    chain: list[int] = []
    for _ in range(len(members) - 1):
        one, other = _neighbours(far, alive, chain)
        weights = len(members[one]), len(members[other])
        joined = (weights[0] * far[one] + weights[1] * far[other]) / sum(weights)
        lower, higher = sorted((members[one], members[other]), key=min)
        members[one] = lower + higher
        alive[other] = False
        far[one], far[:, one] = joined, joined
        far[other], far[:, other] = np.inf, np.inf
        far[one, one] = np.inf
    first = members[int(np.flatnonzero(alive)[0])] if members else []
    return np.array([*first, *still], dtype=np.int64)


def _neighbours(far: NDArray[np.float64], alive: NDArray[np.bool_], chain: list[int]) -> tuple[int, int]:
    """Return two clusters of which each is the other's nearest; `chain` is gone on with."""
    if not chain:
        chain.append(int(np.flatnonzero(alive)[0]))
    while True:
        last = chain[-1]
        nearest = int(far[last].argmin())
        # Where several are as near, the one before stands: else the chain would turn in a circle.
        if len(chain) > 1 and far[last, chain[-2]] <= far[last, nearest]:
            chain.pop()
            other = chain.pop()
            return min(last, other), max(last, other)
        chain.append(nearest)
