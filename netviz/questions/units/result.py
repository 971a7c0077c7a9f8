"""What the units of a layer are like, apart and together: selectivity, sparsity, correlation, common patches.

In an order in which correlated units are neighbours; and for every unit those whose activity is most like its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.questions.patches.result import PatchesResult
from netviz.results.base import Result


def cluster_order(correlation: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the units in an order in which those whose activities go together are neighbours.

    The order of leaves of a hierarchical clustering with the distance 1 - r and average linkage (UPGMA: Sokal and
    Michener 1958). Of two clusters the one with the lower unit comes first.

    Parameters
    ----------
    correlation : ndarray of shape (units, units)
        Symmetric, -1 … 1; NaN where a unit's activity never changes.

    Returns
    -------
    ndarray of int64, shape (units,)
        Units that never change come last.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    table = np.asarray(correlation, dtype=np.float64)
    varying = np.isfinite(np.diagonal(table))
    clusters: list[list[int]] = [[unit] for unit in np.flatnonzero(varying).tolist()]
    if len(clusters) > 1:
        far = squareform(1 - table[np.ix_(varying, varying)], checks=False)
        for one, other in linkage(far, "average")[:, :2].astype(int).tolist():
            lower, higher = sorted((clusters[one], clusters[other]), key=min)
            clusters.append(lower + higher)
    last = clusters[-1] if clusters else []
    return np.array([*last, *np.flatnonzero(~varying).tolist()], dtype=np.int64)


Floats = NDArray[np.float64]

_TOLD = 5

SHARED = 0.5
"""From which share of common patches on two units count as alike."""


@dataclass(frozen=True)
class UnitsResult(Result):
    """What the units of one layer are like.

    Attributes
    ----------
    selectivity : ndarray of float64, shape (units,)
        `class_selectivity`; NaN where images have no classes, or the layer is not rectified.
    class_means : ndarray of float64, shape (units, classes)
        Each unit's mean activity for each class of which there are several images: of one image nobody can tell what
        is the class and what the image.
    sparsity : ndarray of float64, shape (units,)
        `sparsity` over a sample of positions; NaN for a unit that is never active.
    zeros : ndarray of float64, shape (units,)
        Share of all values that are 0.
    correlation : ndarray of float32, shape (units, units)
        `correlation` over the same sample.
    order : ndarray of int64, shape (units,)
        `cluster_order` of the units by correlation.
    common : ndarray of float32, shape (units, units)
        `common_patches`.
    classes : tuple of str
        Their names.
    alike : tuple of tuple of int
        Groups of units with at least half of their patches in common.
    redundant : int or None
        How many units are left over if each group keeps one; None where chance alone explains at least half of them.
    rectified : bool
        Whether no value is negative.
    network, layer, alias, layer_kind : str
    channels, top, images, positions, samples : int
        Units; how many patches of each were compared; images; positions of the map that these made, and in the
        sample.
    skipped : tuple of (str, str)
        Images that could not be read, and why.
    chance : float or None
        `left_by_chance`: how many units would be left over if patches lay in images drawn at random.
    class_images : tuple of int
        How many images each of `classes` has.
    single : int
        How many classes more have a single image each, and are left out.
    """

    kind: ClassVar[str] = "units"
    axes: ClassVar[dict[str, str]] = {
        "selectivity": "channels",
        "class_means": "channels classes?",
        "sparsity": "channels",
        "zeros": "channels",
        "correlation": "channels channels",
        "order": "channels",
        "common": "channels channels",
    }
    ranges: ClassVar[dict[str, str]] = {
        "selectivity": "0…1 or NaN",
        "class_means": "… or NaN",
        "sparsity": "… or NaN",
        "zeros": "0…1",
        "correlation": "-1…1 or NaN",
        "order": "0:channels",
        "common": "0…1",
        "alike": "0:channels",
        "redundant": "0…",
        "chance": "0…",
        "class_images": "0…",
        "single": "0…",
        "channels": "1…",
        "top": "0…",
        "images": "0…",
        "positions": "0…",
        "samples": "0…",
    }

    selectivity: Floats
    class_means: Floats
    sparsity: Floats
    zeros: Floats
    correlation: NDArray[np.float32]
    order: NDArray[np.int64]
    common: NDArray[np.float32]
    classes: tuple[str, ...]
    alike: tuple[tuple[int, ...], ...]
    redundant: int | None
    rectified: bool
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    top: int
    images: int
    positions: int
    samples: int
    skipped: tuple[tuple[str, str], ...]
    chance: float | None = None
    class_images: tuple[int, ...] = ()
    single: int = 0

    @property
    def left(self) -> int:
        """How many units are left over if each group of `alike` keeps one, whatever the reason."""
        return left_over(self.alike)

    def never(self) -> tuple[int, ...]:
        """Return the units that are 0 everywhere."""
        return tuple(np.flatnonzero(self.zeros == 1).tolist())

    def most_selective(self, count: int) -> list[tuple[int, float, str]]:
        """Return the units with the highest class selectivity: unit, index, and the class that it answers to most."""
        index = np.nan_to_num(self.selectivity, nan=0.0)
        chosen = np.argsort(-index, kind="stable")[:count]
        return [
            (int(unit), float(index[unit]), self.classes[int(self.class_means[unit].argmax())])
            for unit in chosen
            if index[unit] > 0
        ]

    def most_correlated(self, count: int) -> list[tuple[int, int, float]]:
        """Return the pairs of units with the largest correlation, of either sign."""
        first, second = np.triu_indices(self.channels, 1)
        values = self.correlation[first, second]
        size = np.nan_to_num(np.abs(values), nan=-1.0)
        cut = np.partition(size, -count)[-count] if 0 < count < len(size) else -1.0
        some = np.flatnonzero((size >= cut) & (size >= 0))
        chosen = some[np.argsort(-size[some], kind="stable")][:count]
        return [(int(first[one]), int(second[one]), float(values[one])) for one in chosen]

    def summary(self) -> dict[str, Any]:
        """Return the facts, with means and extremes of what is told of each unit; None where there is none."""
        means = {
            f"mean_{name}": float(np.nanmean(values)) if np.isfinite(values).any() else None
            for name, values in (
                ("selectivity", self.selectivity),
                ("sparsity", self.sparsity),
                ("zeros", self.zeros),
            )
        }
        return {
            **super().summary(),
            **means,
            "never_active": list(self.never()),
            "most_selective": [list(one) for one in self.most_selective(_TOLD)],
            "most_correlated": [list(one) for one in self.most_correlated(_TOLD)],
        }


def class_selectivity(means: NDArray[np.floating]) -> Floats:
    """Return how much more each unit answers to one class than to the others.

    ``(a - b) / (a + b)``, with a its mean activity for the class with the largest, and b the mean over all other
    classes (Morcos, Barrett, Rabinowitz, Botvinick: On the importance of single directions for generalization,
    ICLR 2018).

    Parameters
    ----------
    means : ndarray of shape (units, classes)
        Mean activity of each unit over the images of each class; not negative, as after a rectification.

    Returns
    -------
    ndarray of float64, shape (units,)
        0 for a unit that answers to all classes alike, or never; 1 for one that answers to one class only.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a mean is negative.
    """
    values = np.asarray(means, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(
            f"means must have the shape (units, classes) with at least 2 classes, not {values.shape}"
        )
    if not (values >= 0).all():
        raise ValueError("means must not be negative: the index is for activities after a rectification")
    most = values.max(axis=1)
    others = (values.sum(axis=1) - most) / (values.shape[1] - 1)
    total = most + others
    index: Floats = np.divide(most - others, total, out=np.zeros_like(total), where=total > 0)
    return index


def sparsity(values: NDArray[np.floating]) -> Floats:
    """Return how sparse each unit's activity is over positions.

    ``(1 - a) / (1 - 1 / n)`` with ``a = (Σ|r| / n)² / (Σ r² / n)`` over n values r: the activity ratio of Treves and
    Rolls (Network 2, 1991) on the scale of Vinje and Gallant (Science 287, 2000).

    Parameters
    ----------
    values : ndarray of shape (positions, units)

    Returns
    -------
    ndarray of float64, shape (units,)
        0 for a unit that is equally active everywhere, 1 for one active at one position only; NaN for one that
        never is.

    Raises
    ------
    ValueError
        If there are fewer than two positions.
    """
    rates = np.abs(np.asarray(values, dtype=np.float64))
    if rates.ndim != 2 or len(rates) < 2:
        raise ValueError(
            f"values must have the shape (positions, units) with at least 2 positions, not {rates.shape}"
        )
    squares = (rates**2).mean(axis=0)
    ratio = np.divide(rates.mean(axis=0) ** 2, squares, out=np.full_like(squares, np.nan), where=squares > 0)
    share: Floats = (1 - ratio) / (1 - 1 / len(rates))
    return share


def correlation(values: NDArray[np.floating]) -> Floats:
    """Return Pearson's correlation between the activities of units.

    Parameters
    ----------
    values : ndarray of shape (positions, units)

    Returns
    -------
    ndarray of float64, shape (units, units)
        -1 … 1, and 1 on the diagonal; NaN where a unit's activity never changes.

    Raises
    ------
    ValueError
        If there are fewer than two positions.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise ValueError(
            f"values must have the shape (positions, units) with at least 2 positions, not {table.shape}"
        )
    centred = table - table.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    # A unit that gives one value all over differs from its mean by rounding alone.
    length[np.ptp(table, axis=0) == 0] = 0
    scaled = np.divide(centred, length, out=np.full_like(centred, np.nan), where=length > 0)
    found: Floats = np.clip(scaled.T @ scaled, -1, 1)
    varying = np.flatnonzero(length > 0)
    found[varying, varying] = 1
    return found


def common_patches(result: PatchesResult) -> Floats:
    """Return which share of their top patches each two units have in common.

    Two patches are the same if they lie in the same image and their boxes overlap by at least half of the smaller
    one. Each patch of a unit has at most one partner where a unit keeps one patch of an image.

    Returns
    -------
    ndarray of float64, shape (units, units)
        Out of the patches of the unit that has fewer; 0 where one has none.
    """
    units, top = result.image.shape
    own = np.arange(units).repeat(top)
    image, box = result.image.ravel(), result.box.reshape(-1, 4)
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    shared = np.zeros((units, units))
    filled = np.flatnonzero(image >= 0)
    order = filled[np.argsort(image[filled], kind="stable")]
    starts = np.flatnonzero(np.diff(image[order], prepend=-1))
    for some in np.split(order, starts[1:]):
        boxes = box[some]
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        both = np.maximum(high - low, 0).prod(axis=-1)
        same = (2 * both >= np.minimum(area[some][:, None], area[some][None])) & (both > 0)
        # Of several patches of one unit in this image, one partner is enough.
        here, where = np.unique(own[some], return_inverse=True)
        found = np.zeros((len(some), len(here)), dtype=bool)
        at, other = np.nonzero(same)
        found[at, where[other]] = True
        pairs = np.zeros((len(here), len(here)))
        np.add.at(pairs, where, found)
        shared[np.ix_(here, here)] += pairs
    count = (result.image >= 0).sum(axis=1)
    least = np.minimum(count[:, None], count[None])
    share: Floats = np.minimum(np.minimum(shared, shared.T) / np.maximum(least, 1), 1.0)
    return share


def alike(share: NDArray[np.floating], least: float = SHARED) -> tuple[tuple[int, ...], ...]:
    """Return groups of units of which each is like another of its group, and no two of different groups are.

    Parameters
    ----------
    share : ndarray of shape (units, units)
        Symmetric, such as `common_patches` gives.
    least : float
        From which share on two units are alike.

    Returns
    -------
    tuple of tuple of int
        Groups of two and more, largest first, then by first unit; units in order.
    """
    units = len(share)
    group = np.arange(units)
    linked = np.asarray(share) >= least
    for unit in range(units):
        near = np.flatnonzero(linked[unit])
        merged = np.unique(group[np.append(near, unit)])
        group[np.isin(group, merged)] = merged[0]
    groups = [tuple(np.flatnonzero(group == name).tolist()) for name in np.unique(group)]
    return tuple(sorted((one for one in groups if len(one) > 1), key=lambda one: (-len(one), one)))


def left_over(groups: Sequence[Sequence[int]]) -> int:
    """Return how many units are left over if each group keeps one."""
    return sum(len(group) - 1 for group in groups)


DRAWS = 10
"""How many draws the number expected by chance is the mean of."""


def left_by_chance(result: PatchesResult, silent: NDArray[np.bool_], draws: int = DRAWS) -> float:
    """Return how many units are left over by chance: if units had their patches in images drawn at random.

    For each unit the images of its patches are drawn anew, each once, out of all that were seen; where in its image a
    patch lies stays, as a share of the image's height and width. Of two units whose k patches are whole images, out
    of n images, x are common with the probability ``C(k, x) C(n - k, k - x) / C(n, k)`` (hypergeometric).

    Parameters
    ----------
    result : PatchesResult
        With one patch of a unit from an image.
    silent : ndarray of bool, shape (units,)
        Units that are like no other.
    draws : int
        How many draws are averaged; the same ones each time.
    """
    rng = np.random.default_rng(0)
    units, top = result.image.shape
    filled = result.image >= 0
    size = np.maximum(result.size, 1)
    box = result.box / np.concatenate((size, size), axis=-1)
    left = 0
    for _ in range(draws):
        image = np.full((units, top), -1)
        for unit, count in enumerate(filled.sum(axis=1).tolist()):
            image[unit, :count] = rng.choice(result.images, count, replace=False)
        shared = common_patches(replace(result, image=image, box=box))
        shared[silent], shared[:, silent] = 0, 0
        left += left_over(alike(shared))
    return left / draws


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
        `netviz.questions.units.result.sparsity` over the same sample; NaN for a unit that is never active.
    places : ndarray of float32, shape (units, 2), or None
        Where each unit lies in the plane of `plane`; NaN for one whose activity never changes. None in results of
        earlier releases.
    places_share : float or None
        Which share of what sets the units apart the plane holds.
    network, layer, alias, layer_kind : str
    channels, images, positions, samples : int
        Units; images; positions of the map that these made, and in the sample.
    """

    kind: ClassVar[str] = "nearest"
    axes: ClassVar[dict[str, str]] = {
        "nearest": "channels named",
        "similarity": "channels named",
        "sparsity": "channels",
        "places": "channels 2",
    }
    ranges: ClassVar[dict[str, str]] = {
        "places": "… or NaN",
        "places_share": "0…1",
        "nearest": "-1:channels",
        "similarity": "-1…1 or NaN",
        "sparsity": "… or NaN",
        "images": "0…",
        "positions": "0…",
        "samples": "0…",
    }

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
    places: NDArray[np.float32] | None = None
    places_share: float | None = None


_ROUNDS = 40
_BLOCK = 8


def plane(related: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], float | None]:
    """Lay units out in a plane, those that act alike near each other.

    Classical multidimensional scaling (Torgerson, Psychometrika 17, 1952) of the distances ``√(2 (1 - r))``: the
    first two principal directions of the centred correlations, found by subspace iteration from a fixed start. The
    largest coordinate along each is positive; coordinates are rounded to thousandths.

    Parameters
    ----------
    related : ndarray of shape (units, units)
        `correlation`.

    Returns
    -------
    places : ndarray of float32, shape (units, 2)
        NaN for a unit whose activity never changes.
    share : float or None
        Of the squared distances from the middle, which share the plane holds; None with fewer than two such units.
    """
    table = np.asarray(related, dtype=np.float64)
    varying = np.flatnonzero(np.isfinite(np.diagonal(table)))
    places = np.full((len(table), 2), np.nan, dtype=np.float32)
    if len(varying) < 2:
        return places, None
    table = table[np.ix_(varying, varying)]
    means = table.mean(axis=0)
    table = table - means - means[:, None] + means.mean()
    count = min(_BLOCK, len(table))
    # Any start serves that has a part along each direction.
    basis = np.cos(np.outer(np.arange(1, len(table) + 1), np.arange(1, count + 1)) * np.sqrt(2))
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(table @ basis)
    values, vectors = np.linalg.eigh(basis.T @ table @ basis)
    first = np.argsort(-values, kind="stable")[:2]
    found = basis @ vectors[:, first] * np.sqrt(np.maximum(values[first], 0))
    found *= np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    places[varying] = 0
    places[varying, : found.shape[1]] = np.round(found, 3) + 0.0
    total = float(np.trace(table))
    share = min(float(np.maximum(values[first], 0).sum()) / total, 1.0) if total > 0 else 0.0
    return places, round(share, 3)


def _largest(table: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Return where each row has its largest values, largest first, of equals the first, and these values.

    Of a few no row is sorted. Where none is left, the value is -inf and the place means nothing.
    """
    left, rows = table.copy(), np.arange(len(table))
    order, values = np.empty((len(table), count), dtype=np.int64), np.empty((len(table), count))
    for place in range(count):
        at = left.argmax(axis=1)
        order[:, place], values[:, place] = at, left[rows, at]
        left[rows, at] = -np.inf
    return order, values


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
    return nearest_of(correlation(values), count)


def nearest_of(
    related: NDArray[np.floating[Any]], count: int = NEAREST
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for every unit those with the largest correlation to it, as `nearest_units`, from all `correlation`."""
    units = len(related)
    # Rounding must not decide which of two equals comes first.
    ranked = np.where(np.isnan(related), -np.inf, np.round(related, 6))
    np.fill_diagonal(ranked, -np.inf)
    order, values = _largest(ranked, min(count, units))
    there = np.isfinite(values)
    nearest = np.full((units, count), -1, dtype=np.int64)
    similarity = np.full((units, count), np.nan, dtype=np.float32)
    nearest[:, : order.shape[1]] = np.where(there, order, -1)
    similarity[:, : order.shape[1]] = np.where(there, np.take_along_axis(related, order, axis=1), np.nan)
    return nearest, similarity
