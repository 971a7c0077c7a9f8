"""A random sample of positions that does not depend on order: those whose hash is smallest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.engines.compiled import kernels

_STEP = np.uint64(0x9E3779B97F4A7C15)

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def position_hashes(images: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint64]:
    """Return a pseudo-random number for every position of some images' maps, shape (images · height · width,).

    The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), over the image's number and the position.
    """
    seeds = _mixed(images.astype(np.uint64))
    fast = kernels()
    if fast is not None:
        hashes: NDArray[np.uint64] = fast.hashes_of(seeds, height * width)
        return hashes
    return _mixed(np.arange(height * width, dtype=np.uint64) + seeds[:, None]).ravel()


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values + np.uint64(1)) * _STEP
    values ^= values >> np.uint64(30)
    values *= _MIX[0]
    values ^= values >> np.uint64(27)
    values *= _MIX[1]
    values ^= values >> np.uint64(31)
    return values


class Sample:
    """Keeps the values of all units at `size` random positions, out of all positions of all images.

    A position is kept if its hash is among the smallest: a simple random sample without replacement, the same for
    every order and every merging. While there are no more than `size` positions, it holds all of them.

    Parameters
    ----------
    size : int
        How many positions are kept.
    units : int
        How many values there are at each.

    Attributes
    ----------
    seen : int
        How many positions there were.
    """

    def __init__(self, size: int, units: int) -> None:
        self.size = size
        self.seen = 0
        self.hashes: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self.values: NDArray[np.float32] = np.empty((0, units), dtype=np.float32)
        self._limit: np.uint64 | None = None

    def wanted(self, hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Return which positions may enter, by their hashes; no more than are kept."""
        chosen = np.arange(len(hashes)) if self._limit is None else np.flatnonzero(hashes < self._limit)
        if len(chosen) > self.size:
            chosen = chosen[np.argpartition(hashes[chosen], self.size - 1)[: self.size]]
        return chosen

    def update(self, hashes: NDArray[np.uint64], values: NDArray[np.float32], seen: int) -> None:
        """Offer positions.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (P,)
            Of the positions that may enter.
        values : ndarray of float32, shape (P, units)
            The units' values there.
        seen : int
            Out of how many positions these were chosen.
        """
        self.seen += seen
        if not len(hashes):
            return
        held = len(self.hashes)
        together = np.concatenate((self.hashes, hashes))
        if len(together) <= self.size:
            self.hashes = together
            self.values = np.concatenate((self.values, values))
        else:
            stays = np.zeros(len(together), dtype=bool)
            stays[np.argpartition(together, self.size - 1)[: self.size]] = True
            entering = np.flatnonzero(stays[held:])
            free = np.flatnonzero(~stays[:held])
            # The places of those that leave are filled first; only a sample that was not full yet grows.
            inside, appended = entering[: len(free)], entering[len(free) :]
            self.hashes[free], self.values[free] = hashes[inside], values[inside]
            if len(appended):
                self.hashes = np.concatenate((self.hashes, hashes[appended]))
                self.values = np.concatenate((self.values, values[appended]))
        if len(self.hashes) == self.size:
            self._limit = self.hashes.max()

    def merge(self, other: "Sample") -> None:
        """Take in a sample of other images."""
        self.update(other.hashes, other.values, other.seen)

    def sorted(self) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Return hashes and values in the order of the hashes: equal samples give equal arrays."""
        order = np.argsort(self.hashes, kind="stable")
        # It keeps that order itself: a copy of all samples of a large run would be a good part of its memory.
        self.hashes, self.values = self.hashes[order], self.values[order]
        return self.hashes, self.values

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        hashes, values = self.sorted()
        return {"hashes": hashes, "values": values, "seen": np.array(self.seen)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.hashes, self.values = state["hashes"].copy(), state["values"].copy()
        self.seen = int(state["seen"])
        self._limit = self.hashes.max() if len(self.hashes) == self.size else None
