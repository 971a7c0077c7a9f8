"""What is counted and told of labelled pixels: the four metrics of Long, Shelhamer and Darrell (CVPR 2015)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

VOID = -1
"""The label of a pixel that counts nowhere."""

Counts = NDArray[np.int64]


class Confusion:
    """Counts how often a pixel of each class is called what; mergeable in any order with the same result.

    Parameters
    ----------
    classes : int
        K.
    planes : int
        How many tables are kept side by side, such as one for each distance from a boundary.

    Attributes
    ----------
    counts : ndarray of int64, shape (planes, K, K)
        By plane, true class and predicted class.
    """

    def __init__(self, classes: int, planes: int = 1) -> None:
        self.classes = classes
        self.counts: Counts = np.zeros((planes, classes, classes), dtype=np.int64)

    def update(
        self,
        truth: NDArray[np.integer],
        predicted: NDArray[np.integer],
        plane: NDArray[np.integer] | None = None,
    ) -> None:
        """Count pixels.

        Parameters
        ----------
        truth, predicted : ndarray of int, the same shape
            Class numbers; a true one of `VOID` counts nowhere.
        plane : ndarray of int, the same shape, optional
            In which table each pixel is counted; outside of them in none. By default in the first.

        Raises
        ------
        ValueError
            If shapes differ, or a number is no class.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"truth is {truth.shape} and predicted {predicted.shape}: give both one shape")
        counted = truth != VOID
        if plane is not None:
            counted &= (plane >= 0) & (plane < len(self.counts))
        true, called = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
        for values in (true, called):
            if values.size and (values.min() < 0 or values.max() >= self.classes):
                raise ValueError(
                    f"class numbers must be in 0…{self.classes - 1}, not {values.min()}…{values.max()}"
                )
        at = true * self.classes + called
        if plane is not None:
            at += plane[counted].astype(np.int64) * self.classes**2
        self.counts += np.bincount(at, minlength=self.counts.size).reshape(self.counts.shape)

    def merge(self, other: "Confusion") -> None:
        """Take in what another counted in other images."""
        self.counts += other.counts

    def result(self) -> Counts:
        """Return the counts of all tables together, (K, K): true class by predicted class."""
        total: Counts = self.counts.sum(axis=0)
        return total

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        return {"counts": self.counts}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.counts = state["counts"].copy()


class Metrics(TypedDict):
    """The four metrics, in 0…1 or None where nothing was counted, and the IU of each class that occurs."""

    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iu: float | None
    frequency_weighted_iu: float | None
    per_class: dict[str, float]


def metrics(counts: Counts, names: Sequence[str]) -> Metrics:
    """Return the four metrics of a confusion table.

    With n_ij pixels of class i called j, and t_i those of class i: the share of pixels called right; the mean over
    classes of n_ii / t_i; the mean of IU_i = n_ii / (t_i + Σ_j n_ji - n_ii); and Σ t_i IU_i / Σ t_i. Classes that
    never occur are left out.

    Parameters
    ----------
    counts : ndarray of int64, shape (K, K)
        By true and by predicted class.
    names : sequence of str
        Of the classes.

    Returns
    -------
    dict
        ``pixel_accuracy``, ``mean_accuracy``, ``mean_iu`` and ``frequency_weighted_iu`` in 0…1 (None where nothing
        was counted), and ``per_class``: the IU of each class that occurs, by name.
    """
    right = np.diag(counts).astype(np.float64)
    true = counts.sum(axis=1).astype(np.float64)
    called = counts.sum(axis=0).astype(np.float64)
    there = true > 0
    if not there.any():
        return {
            "pixel_accuracy": None,
            "mean_accuracy": None,
            "mean_iu": None,
            "frequency_weighted_iu": None,
            "per_class": {},
        }
    # A class that never occurs, but is called, lowers the IU of those that do.
    iu = right[there] / (true + called - right)[there]
    return {
        "pixel_accuracy": float(right.sum() / true.sum()),
        "mean_accuracy": float((right[there] / true[there]).mean()),
        "mean_iu": float(iu.mean()),
        "frequency_weighted_iu": float((true[there] * iu).sum() / true.sum()),
        "per_class": {
            name: float(value)
            for name, value in zip(
                (name for name, here in zip(names, there, strict=True) if here), iu, strict=True
            )
        },
    }
