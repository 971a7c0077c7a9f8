"""What differs between two checkpoints of one architecture, unit by unit.

The functions here are NumPy only: the gallery compares what two runs have kept with them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Arrays, Result

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ORDERS: Final = ("filter", "maps", "patches")
"""By what units can be ordered: the distance of their filters, 1 - the correlation of their maps, and the share of
their patches that is not common."""


class Part(NamedTuple):
    """A convolution that both networks have.

    Attributes
    ----------
    layer, alias : str
        Its dotted name and classic alias.
    channels : int
        How many units it has.
    shape : tuple of int
        Of a filter: (I/groups, kh, kw).
    sees_image : bool
        Whether it reads the image itself.
    """

    layer: str
    alias: str
    channels: int
    shape: tuple[int, ...]
    sees_image: bool = False


class Unmatched(NamedTuple):
    """A convolution that cannot be compared: its dotted name, and why."""

    layer: str
    reason: str


def filter_changes(first: NDArray[Any], second: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return how far the filters of two layers lie apart, filter by filter.

    Parameters
    ----------
    first, second : ndarray of shape (units, …)
        Of one shape.

    Returns
    -------
    distance : ndarray of float64, shape (units,)
        The L2 norm of the difference, relative to the larger norm of the two: 0 for equal filters, 1 where one
        of them is 0, 2 at most.
    cosine : ndarray of float64, shape (units,)
        -1 … 1, whatever their lengths; NaN where one of them is 0.
    """
    before, after = (one.reshape(len(one), -1).astype(np.float64) for one in (first, second))
    # By their largest weight, so that squares stay in range.
    largest = np.maximum(np.abs(before).max(axis=1), np.abs(after).max(axis=1))[:, None]
    safe = np.where(largest > 0, largest, 1.0)
    before, after = before / safe, after / safe
    norms = np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1)
    longer = np.maximum(*norms)
    apart = np.linalg.norm(after - before, axis=1)
    distance: Floats = np.minimum(np.divide(apart, longer, out=np.zeros_like(apart), where=longer > 0), 2.0)
    lengths = norms[0] * norms[1]
    product = (before * after).sum(axis=1)
    cosine: Floats = np.divide(product, lengths, out=np.full_like(product, np.nan), where=lengths > 0)
    # Of equal filters that is 1, whatever the rounding.
    return distance, np.where((apart == 0) & (lengths > 0), 1.0, np.clip(cosine, -1.0, 1.0))


def correlations(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Correlate the values of each unit at the same positions.

    Parameters
    ----------
    first, second : ndarray of shape (positions, units)

    Returns
    -------
    ndarray of float64, shape (units,)
        Pearson's, -1 … 1; NaN where one of the two is the same everywhere.
    """
    before, after = (one.astype(np.float64) for one in (first, second))
    flat = (np.ptp(before, axis=0) == 0) | (np.ptp(after, axis=0) == 0)
    equal = (before == after).all(axis=0) & ~flat
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    lengths = np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0)
    product = (before * after).sum(axis=0)
    known = (lengths > 0) & ~flat
    found: Floats = np.divide(product, lengths, out=np.full_like(product, np.nan), where=known)
    return np.where(equal, 1.0, np.clip(found, -1.0, 1.0))


def in_common(
    first: tuple[NDArray[Any], NDArray[Any], NDArray[Any], Bools],
    second: tuple[NDArray[Any], NDArray[Any], NDArray[Any], Bools],
) -> Floats:
    """Return which share of its strongest positions a unit has in both networks.

    Parameters
    ----------
    first, second : tuple of ndarray, each of shape (units, top)
        Image, row and column of each position, and whether there is one.

    Returns
    -------
    ndarray of float64, shape (units,)
        Out of the positions of the one that has more; NaN where neither has any.
    """
    *one, there = first
    *other, here = second
    same = there[:, :, None] & here[:, None, :]
    for before, after in zip(one, other, strict=True):
        same &= before[:, :, None] == after[:, None, :]
    most = np.maximum(there.sum(axis=1), here.sum(axis=1))
    shared = same.any(axis=2).sum(axis=1).astype(np.float64)
    share: Floats = np.divide(shared, most, out=np.full_like(shared, np.nan), where=most > 0)
    return share


def change(
    by: str, distance: Floats, correlation: Floats | None, common: Floats | None, dead: tuple[Bools, Bools]
) -> Floats:
    """Return how much units changed, by one of `ORDERS`.

    Parameters
    ----------
    by : str
    distance, correlation, common : ndarray of shape (units,), or None
        What `filter_changes`, `correlations` and `in_common` tell.
    dead : (ndarray of bool, ndarray of bool)
        Which units are the same everywhere, in each of the two networks.

    Returns
    -------
    ndarray of float64, shape (units,)
        0 for no change. By its maps a unit that is constant in one of the two has changed by 1, in both by 0; one
        without patches in both, by 0. NaN where there is no such number.
    """
    if by == "filter":
        return distance
    found = correlation if by == "maps" else common
    if found is None:
        return np.full(len(distance), np.nan)
    missing = np.where(dead[0] & dead[1], 0.0, np.where(dead[0] | dead[1], 1.0, np.nan))
    if by == "patches":
        missing = np.where(np.isnan(found), 0.0, missing)
    changed: Floats = np.where(np.isnan(found), missing, 1 - found)
    return changed


def most_changed(changed: Floats) -> NDArray[np.int64]:
    """Return the numbers of units, the most changed first; of equal ones the lower first, NaN last."""
    return np.argsort(np.where(np.isnan(changed), np.inf, -changed), kind="stable")


def choose_drawn(order: NDArray[np.int64], gone: Bools, top: int) -> NDArray[np.int64]:
    """Choose which units are drawn: the most changed, but of those that are gone no more than a quarter.

    Parameters
    ----------
    order : ndarray of int64, shape (units,)
        All units, the most changed first.
    gone : ndarray of bool, shape (units,)
        Which are 0, or constant, in one network only: there is little to see of them, and a pruned network has many.
    top : int
        How many.

    Returns
    -------
    ndarray of int64
        In their order.
    """
    lost = gone[order]
    others = int(min(top, (~lost).sum()))
    some = lost & (np.cumsum(lost) <= max(top // 4, top - others))
    rest = ~lost & (np.cumsum(~lost) <= top - int(some.sum()))
    return order[some | rest]


@dataclass(frozen=True)
class DiffResult(Result):
    """How the units of two checkpoints of one architecture differ.

    Units are those of all compared layers, one layer after the other.

    Attributes
    ----------
    place : ndarray of int64, shape (N,)
        Of which of `parts` each unit is.
    unit : ndarray of int64, shape (N,)
        Its number there.
    distance : ndarray of float64, shape (N,)
        The L2 norm of the difference of its filters, relative to the larger of the two norms.
    cosine : ndarray of float64, shape (N,)
        Of the angle between them; NaN where one is 0.
    zero, other_zero : ndarray of bool, shape (N,)
        Whether all weights of its filter are 0, in the first and in the second network.
    correlation : ndarray of float64, shape (N,), or None
        Of its values in both networks, over the same positions of the same images; NaN where one is constant. None
        without images.
    common : ndarray of float64, shape (N,), or None
        Which share of the positions where it is strongest both have; NaN where there are none.
    dead, other_dead : ndarray of bool, shape (N,), or None
        Whether it gave the same value at all of these positions.
    change : ndarray of float64, shape (N,)
        How much it changed, as `by` says; NaN where that is not known.
    order : ndarray of int64, shape (N,)
        The units by that, the most changed first.
    drawn : ndarray of int64, shape (K,)
        Those that are drawn, in drawing order.
    filters : dict of str to ndarray of shape (2, I/groups, kh, kw)
        The filters of each of these in both networks: ``filter_0``, ``filter_1``, …
    patches, other_patches : ndarray of uint8, shape (K, P, side, side, 3), or None
        The patches that excite each of these most, in each network.
    filled, other_filled : ndarray of bool, shape (K, P), or None
        Whether there is such a patch.
    network, other : str
        What the two networks are called.
    other_origin : str
        Where the second and its weights come from.
    parts : tuple of Part
        The compared layers.
    unmatched : tuple of Unmatched
        The others, each with the reason.
    by : str
        One of `ORDERS`.
    channel_order : str
        How the first network orders an image's channels: ``"RGB"``, ``"BGR"``, ``"L"`` or ``"bands"``.
    images, positions : int
        How many images were counted, and how many positions of the sample are compared at most; 0 without images.
    top : int
        How many positions of each unit are looked for in both.
    skipped : tuple of (str, str)
        Images that could not be read, each with the reason.
    """

    kind: ClassVar[str] = "diff"
    axes: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("place", "unit", "distance", "cosine", "zero", "other_zero", "correlation", "common"), "units"
        ),
        **dict.fromkeys(("dead", "other_dead", "change", "order"), "units"),
        "drawn": "drawn",
        "patches": "drawn best side side 3",
        "other_patches": "drawn best side side 3",
        "filled": "drawn best",
        "other_filled": "drawn best",
    }
    ranges: ClassVar[dict[str, str]] = {
        "place": "0…",
        "unit": "0…",
        "distance": "0…2",
        "cosine": "any",
        "correlation": "any",
        "common": "any",
        "change": "any",
        "order": "0:units",
        "drawn": "0:units",
        "by": " | ".join(ORDERS),
        "channel_order": "RGB | BGR | L | bands",
        "images": "0…",
        "positions": "0…",
        "top": "0…",
    }

    place: NDArray[np.int64]
    unit: NDArray[np.int64]
    distance: Floats
    cosine: Floats
    zero: Bools
    other_zero: Bools
    correlation: Floats | None
    common: Floats | None
    dead: Bools | None
    other_dead: Bools | None
    change: Floats
    order: NDArray[np.int64]
    drawn: NDArray[np.int64]
    filters: Arrays
    patches: NDArray[np.uint8] | None
    other_patches: NDArray[np.uint8] | None
    filled: Bools | None
    other_filled: Bools | None
    network: str
    other: str
    other_origin: str
    parts: tuple[Part, ...]
    unmatched: tuple[Unmatched, ...]
    by: str
    channel_order: str
    images: int
    positions: int
    top: int
    skipped: tuple[tuple[str, str], ...]

    def fault(self) -> str:
        """Return which array tells of layers, units or filters that there are not."""
        if np.max(self.place, initial=0) >= len(self.parts):
            return f"place tells of layer {np.max(self.place)}, but there are {len(self.parts)}"
        counts = np.bincount(self.place, minlength=len(self.parts)).tolist()
        wanted = [part.channels for part in self.parts]
        if counts != wanted:
            return "place has not as many units of each layer as parts tells"
        if (self.unit >= np.array(wanted)[self.place]).any():
            return "unit tells of a unit that its layer has not"
        for at, unit in enumerate(self.drawn.tolist()):
            shape = (2, *self.parts[int(self.place[unit])].shape)
            found = self.filters.get(f"filter_{at}")
            if found is None or found.shape != shape:
                return f"filter_{at} has not the shape {shape}"
        pictures = (self.patches, self.other_patches, self.filled, self.other_filled)
        if len({one is None for one in pictures}) > 1:
            return "patches are there of one network only"
        return ""

    def layers(self) -> list[dict[str, Any]]:
        """Return for each compared layer what changed in it, ready for JSON."""
        told = []
        for at, part in enumerate(self.parts):
            mine = self.place == at
            changed = self.change[mine]
            known = changed[np.isfinite(changed)]
            zeroed = mine & self.other_zero & ~self.zero
            entry: dict[str, Any] = {
                "layer": part.layer,
                "alias": part.alias,
                "channels": part.channels,
                "mean_change": float(known.mean()) if len(known) else None,
                "largest_change": float(known.max()) if len(known) else None,
                "mean_distance": float(self.distance[mine].mean()),
                "changed": int((self.distance[mine] > 0).sum()),
                "zeroed": self.unit[zeroed].tolist(),
                "revived": self.unit[mine & self.zero & ~self.other_zero].tolist(),
            }
            if self.dead is not None and self.other_dead is not None:
                entry["died"] = self.unit[mine & self.other_dead & ~self.dead].tolist()
            for name in ("correlation", "common"):
                values = getattr(self, name)
                if values is not None:
                    some = values[mine][np.isfinite(values[mine])]
                    entry[f"mean_{name}"] = float(some.mean()) if len(some) else None
            told.append(entry)
        return told

    def summary(self) -> dict[str, Any]:
        """Return the facts with what changed in each layer, and in the units that are drawn."""
        units = []
        for one in self.drawn.tolist():
            part = self.parts[int(self.place[one])]
            entry: dict[str, Any] = {"layer": part.layer, "unit": int(self.unit[one])}
            for name in ("change", "distance", "cosine", "correlation", "common"):
                values = getattr(self, name)
                if values is not None:
                    value = float(values[one])
                    entry[name] = value if np.isfinite(value) else None
            entry |= {"zero": bool(self.zero[one]), "other_zero": bool(self.other_zero[one])}
            units.append(entry)
        return {**super().summary(), "layers": self.layers(), "most_changed": units}
