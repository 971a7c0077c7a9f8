"""k-means, repeatable."""

import numpy as np
from numpy.typing import NDArray

STARTS = 4
STEPS = 100

Floats = NDArray[np.float64]


def k_means(points: Floats, count: int, seed: int) -> tuple[NDArray[np.int32], list[float]]:
    """Part points into clusters: Lloyd's steps from four k-means++ starts; the tightest parting is kept.

    Parameters
    ----------
    points : ndarray of shape (P, D)
    count : int
        How many clusters; fewer come out where there are fewer different points.
    seed : int

    Returns
    -------
    labels : ndarray of int32, shape (P,)
        Clusters are numbered from the largest to the smallest.
    shares : list of float
        Each cluster's share of the points.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    random = np.random.default_rng(seed)
    best, labels = np.inf, np.zeros(len(points), dtype=np.intp)
    for _ in range(STARTS):
        found, spread = _lloyd(points, _start(points, count, random))
        # Another start must be better by more than rounding, so that the choice is the same everywhere.
        if spread < best * (1 - 1e-9) or not np.isfinite(best):
            best, labels = spread, found
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    number = np.zeros(len(sizes), dtype=np.int32)
    number[order] = np.arange(len(order))
    return number[labels], (sizes[order] / len(points)).tolist()


def _start(points: Floats, count: int, random: np.random.Generator) -> Floats:
    """Draw centres among the points, each with a chance that grows with its squared distance from those before."""
    chosen = [points[int(random.integers(len(points)))]]
    far = ((points - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < count and far.sum() > 0:
        sums = np.cumsum(far)
        place = int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
        chosen.append(points[min(place, len(points) - 1)])
        far = np.minimum(far, ((points - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)


def _lloyd(points: Floats, centres: Floats) -> tuple[NDArray[np.intp], float]:
    """Move centres to the means of the points nearest to them until nothing changes; return labels and spread."""
    labels = np.full(len(points), -1, dtype=np.intp)
    for _ in range(STEPS):
        # |p - c|² less |p|², which is the same for every centre.
        new = np.argmin((centres**2).sum(axis=1) - 2 * (points @ centres.T), axis=1)
        if np.array_equal(new, labels):
            break
        labels = new
        sizes = np.bincount(labels, minlength=len(centres))
        sums = np.stack(
            [np.bincount(labels, weights=one, minlength=len(centres)) for one in points.T], axis=1
        )
        held = sizes > 0
        centres = centres.copy()
        centres[held] = sums[held] / sizes[held, None]
    return labels, float(((points - centres[labels]) ** 2).sum())
