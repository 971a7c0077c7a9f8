"""A random sample of positions that does not depend on order: those whose hash is smallest."""

from collections.abc import Mapping
from typing import Any, NamedTuple

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


def below(hashes: NDArray[np.uint64], limit: np.uint64 | None, size: int) -> NDArray[np.intp]:
    """Return which positions may enter a sample of so many, by their hashes; no more than it keeps."""
    chosen = np.arange(len(hashes)) if limit is None else np.flatnonzero(hashes < limit)
    if len(chosen) > size:
        chosen = chosen[np.argpartition(hashes[chosen], size - 1)[:size]]
    return chosen


class Exchange(NamedTuple):
    """Which of the positions that are offered to a sample enter it.

    Attributes
    ----------
    held : ndarray of uint64, shape (H,)
        The hashes before; kept, so that no other array is taken for it.
    hashes : ndarray of uint64
        The hashes after.
    places : ndarray of int64, shape (P,)
        In whose place each of the offered positions comes; -1 where it does not.
    appended : ndarray of int, shape (A,)
        Which of them come behind those that there are.
    limit : uint64 or None
        The largest hash of a sample that is full.
    """

    held: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    appended: NDArray[np.intp]
    limit: np.uint64 | None

    @classmethod
    def of(cls, held: NDArray[np.uint64], offered: NDArray[np.uint64], size: int) -> "Exchange":
        """Return what happens to a sample of so many positions."""
        together = np.concatenate((held, offered))
        places = np.full(len(offered), -1, dtype=np.int64)
        if len(together) <= size:
            hashes, appended = together, np.arange(len(offered))
        else:
            stays = np.zeros(len(together), dtype=bool)
            stays[np.argpartition(together, size - 1)[:size]] = True
            entering = np.flatnonzero(stays[len(held) :])
            free = np.flatnonzero(~stays[: len(held)])
            # The places of those that leave are filled first; only a sample that was not full yet grows.
            inside, appended = entering[: len(free)], entering[len(free) :]
            places[inside] = free
            hashes = np.concatenate((held, offered[appended]))
            hashes[free] = offered[inside]
        return cls(held, hashes, places, appended, hashes.max() if len(hashes) == size else None)


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
        return below(hashes, self._limit, self.size)

    @property
    def limit(self) -> np.uint64 | None:
        """The hash below which a position may enter, if the sample is full."""
        return self._limit

    def update(
        self,
        hashes: NDArray[np.uint64],
        values: NDArray[np.float32],
        seen: int,
        exchanges: "dict[tuple[int, int], Exchange] | None" = None,
    ) -> None:
        """Offer positions.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (P,)
            Of the positions that may enter.
        values : ndarray of float32, shape (P, units)
            The units' values there.
        seen : int
            Out of how many positions these were chosen.
        exchanges : dict, optional
            What is known of who enters for whom: samples that hold one array of hashes and are offered one share it.
        """
        self.seen += seen
        if not len(hashes):
            return
        known = {} if exchanges is None else exchanges
        key = id(self.hashes), id(hashes)
        if key not in known:
            known[key] = Exchange.of(self.hashes, hashes, self.size)
        exchange = known[key]
        fast = kernels()
        if fast is not None:
            fast.put(self.values, exchange.places, values)
        else:
            there = exchange.places >= 0
            self.values[exchange.places[there]] = values[there]
        if len(exchange.appended):
            self.values = np.concatenate((self.values, values[exchange.appended]))
        self.hashes = exchange.hashes
        self._limit = exchange.limit

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
