"""The k best positions of every unit over any number of images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.engines.compiled import kernels

NONE = -1
"""The image number of a place that nothing has filled yet."""

_PLACE = ("image", "row", "col")


class Top:
    """Keeps, for each of many rows, the k entries with the highest score.

    Equal scores are ordered by (image, row, column), smallest first, so that the answer does not depend on the order
    in which entries come or accumulators are merged.

    Parameters
    ----------
    rows : int
        How many lists: one per unit, or per unit and class.
    k : int
        How many entries each keeps.
    extra : mapping of str to (shape, dtype)
        Further values that every entry carries.

    Attributes
    ----------
    score : ndarray of float32, shape (rows, k)
        Best first; minus infinity where there is none.
    image, row, col : ndarray of int64 and int32, shape (rows, k)
        Where; `NONE` where there is none.
    """

    def __init__(
        self, rows: int, k: int, extra: Mapping[str, tuple[tuple[int, ...], Any]] | None = None
    ) -> None:
        self.k = k
        self.score = np.full((rows, k), -np.inf, dtype=np.float32)
        self.image = np.full((rows, k), NONE, dtype=np.int64)
        self.row = np.full((rows, k), NONE, dtype=np.int32)
        self.col = np.full((rows, k), NONE, dtype=np.int32)
        # What an entry carries stays where it was put: sorting moves the number of its place only.
        self._place = np.tile(np.arange(k, dtype=np.int16), (rows, 1))
        self._carried = {
            name: np.zeros((rows, k, *shape), dtype=dtype) for name, (shape, dtype) in (extra or {}).items()
        }

    def wanted(
        self, score: NDArray[np.float32], images: NDArray[np.int64], group: NDArray[np.intp], groups: int
    ) -> NDArray[np.bool_]:
        """Return which entries may enter their rows: those not behind the row's last.

        Parameters
        ----------
        score : ndarray of float32, shape (N, units)
            Of each image and unit; that of unit u and an image of group g is for row ``u · groups + g``.
        images : ndarray of int64, shape (N,)
        group : ndarray of int, shape (N,)
        groups : int

        Returns
        -------
        ndarray of bool, shape (N, units)
        """
        fast = kernels()
        if fast is not None:
            wanted = np.zeros(score.shape, dtype=np.bool_)
            fast.mark(score, images, group, groups, self.score, self.image, wanted)
            return wanted
        rows = np.arange(score.shape[1]) * groups + group[:, None]
        worst, last = self.score[rows, -1], self.image[rows, -1]
        may: NDArray[np.bool_] = (score > worst) | ((score == worst) & (images[:, None] <= last))
        return may

    def update(
        self,
        rows: NDArray[np.intp],
        score: NDArray[np.float32],
        image: NDArray[np.int64],
        row: NDArray[np.int32],
        col: NDArray[np.int32],
        extra: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Offer entries, each to the row it belongs to; the arrays have one length, in any order."""
        if not len(rows):
            return
        fast = kernels()
        if fast is not None:
            places = np.empty(len(rows), dtype=np.int64)
            held = self.score, self.image, self.row, self.col, self._place
            fast.insert(*held, rows, score, image, row, col, places)
            for name, carried in self._carried.items():
                given = np.ascontiguousarray((extra or {})[name]).reshape(len(rows), -1)
                fast.put(carried.reshape(self.score.size, -1).view(np.uint8), places, given.view(np.uint8))
            return
        touched, where, counts = np.unique(rows, return_inverse=True, return_counts=True)
        # One line per touched row: what it holds, then what is offered, filled up with nothing.
        by_row = np.argsort(where, kind="stable")
        first = np.repeat(np.cumsum(counts) - counts, counts)
        line, at = where[by_row], self.k + np.arange(len(rows)) - first
        width = self.k + int(counts.max())

        def lines(held: NDArray[Any], offered: NDArray[Any], fill: float) -> NDArray[Any]:
            values = np.full((len(touched), width), fill, dtype=held.dtype)
            values[:, : self.k] = held[touched]
            values[line, at] = offered[by_row]
            return values

        scores, images = lines(self.score, score, -np.inf), lines(self.image, image, NONE)
        down, across = lines(self.row, row, NONE), lines(self.col, col, NONE)
        # An entry's place, or, where it is new, its number among those offered, from k on.
        places = lines(self._place.astype(np.int64), np.arange(len(rows)) + self.k, -1)
        order = np.lexsort((across, down, images, -scores))[:, : self.k]
        take = np.arange(len(touched))[:, None]
        self.score[touched], self.image[touched] = scores[take, order], images[take, order]
        self.row[touched], self.col[touched] = down[take, order], across[take, order]
        self._place[touched] = self._settle(touched, places[take, order], extra or {})

    def _settle(
        self, touched: NDArray[np.intp], places: NDArray[np.int64], extra: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.int64]:
        """Put what new entries carry into the places of those that left; return all places."""
        fresh = (places >= self.k) | (places < 0)
        taken = np.zeros(places.shape, dtype=bool)
        rows, _ = np.nonzero(~fresh)
        taken[rows, places[~fresh]] = True
        free = np.argsort(taken, axis=1, kind="stable")
        rows, _ = np.nonzero(fresh)
        settled: NDArray[np.int64] = places.copy()
        settled[fresh] = free[rows, (np.cumsum(fresh, axis=1) - 1)[fresh]]
        new = places[fresh] >= self.k
        for name, carried in self._carried.items():
            carried[touched[rows[new]], settled[fresh][new]] = extra[name][places[fresh][new] - self.k]
        return settled

    def carried(self, name: str) -> NDArray[Any]:
        """Return what every entry carries under a name, in the order of the entries; 0 where there is no entry.

        Returns
        -------
        ndarray of shape (rows, k, …)
        """
        values: NDArray[Any] = self._carried[name][np.arange(len(self._place))[:, None], self._place]
        values[self.image == NONE] = 0
        return values

    def merge(self, other: "Top") -> None:
        """Merge what another found in other images."""
        filled = other.image != NONE
        rows = np.broadcast_to(np.arange(len(filled))[:, None], filled.shape)[filled]
        self.update(
            rows,
            other.score[filled],
            other.image[filled],
            other.row[filled],
            other.col[filled],
            {name: other.carried(name)[filled] for name in self._carried},
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        plain = {name: getattr(self, name) for name in ("score", *_PLACE)}
        return {**plain, **{name: self.carried(name) for name in self._carried}}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.score = state["score"].copy()
        for name in _PLACE:
            setattr(self, name, state[name].copy())
        self._place[:] = np.arange(self.k)
        self._carried = {name: state[name].copy() for name in self._carried}
