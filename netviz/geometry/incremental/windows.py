"""Windows: which part of a map can change when a part of the image does, and gathering and pasting such parts.

A *track* says, for one axis and for each of several positions of an occluder, where a window of one common size
begins. A batch of windows has the shape (P, C, h, w), P running over row tracks and, inside, over column tracks, or
over pairs of both.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.geometry.incremental.compiled import compiled_for, window_kernels

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Span:
    """For each position of the occluder, the half-open interval of a map's axis that may change.

    Attributes
    ----------
    low, high : ndarray of int, shape (n,)
    length : int
        The axis's own length.
    """

    low: Ints
    high: Ints
    length: int

    def __post_init__(self) -> None:
        low = np.clip(self.low, 0, self.length)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", np.clip(self.high, low, self.length))

    @property
    def sizes(self) -> Ints:
        """How much may change, by position."""
        return self.high - self.low

    def pick(self, which: Ints) -> "Span":
        """Return the span of some of the positions."""
        # Its bounds are clipped already, and a search asks for thousands.
        picked = object.__new__(Span)
        for name, value in (("low", self.low[which]), ("high", self.high[which]), ("length", self.length)):
            object.__setattr__(picked, name, value)
        return picked

    def hull(self, other: "Span") -> "Span":
        """Return the smallest span that holds both; nothing changes where an interval is empty."""
        empty, other_empty = self.sizes == 0, other.sizes == 0
        low = np.where(empty, other.low, np.where(other_empty, self.low, np.minimum(self.low, other.low)))
        high = np.where(
            empty, other.high, np.where(other_empty, self.high, np.maximum(self.high, other.high))
        )
        return Span(low, high, self.length)

    def within(self, low: int, high: int) -> "Span":
        """Return the part of the span between two bounds."""
        return Span(np.clip(self.low, low, high), np.clip(self.high, low, high), self.length)

    def track(self) -> "Track":
        """Return windows of one common size that hold every interval and lie inside the map."""
        size = max(1, int(self.sizes.max(initial=1)))
        return Track(np.minimum(self.low, self.length - size), size, self.length)


@dataclass(frozen=True)
class Track:
    """Windows along one axis: where each begins, their common size, and the axis's length."""

    starts: Ints
    size: int
    length: int

    def same(self, other: "Track") -> bool:
        """Return whether these are the same windows."""
        return self.size == other.size and bool(np.array_equal(self.starts, other.starts))


@dataclass(frozen=True)
class Slide:
    """How an operation's output reads its input along one axis.

    Output ``o`` reads ``o*stride - pad`` to ``o*stride - pad + extent - 1``.
    """

    extent: int
    stride: int
    pad: int
    length: int

    def forward(self, span: Span) -> Span:
        """Return which outputs may change."""
        low = -((self.extent - 1 - self.pad - span.low) // self.stride)
        high = (span.high - 1 + self.pad) // self.stride + 1
        return Span(low, np.where(span.sizes == 0, low, high), self.length)

    def backward(self, low: int, high: int) -> tuple[int, int]:
        """Return which inputs, unclipped, the outputs ``low … high - 1`` read."""
        return low * self.stride - self.pad, (high - 1) * self.stride - self.pad + self.extent

    def halo(self, out: Track, length: int) -> Track:
        """Return the input windows, reaching outside of the map, that output windows read."""
        return Track(out.starts * self.stride - self.pad, (out.size - 1) * self.stride + self.extent, length)


@dataclass(frozen=True)
class Taking:
    """How windows of another size and place are made of given ones and of the clean map around them.

    Attributes
    ----------
    given, wanted : ndarray of int, shape (P, 2)
        Row and column at which each window begins.
    inner, size : (int, int)
        Rows and columns of the given windows, and of those wanted.
    lengths : (int, int)
        Rows and columns of the map.
    outside : float
        What lies outside of the map.
    """

    given: Ints
    wanted: Ints
    inner: tuple[int, int]
    size: tuple[int, int]
    lengths: tuple[int, int]
    outside: float

    def __call__(self, base: Tensor, windows: Tensor) -> Tensor:
        """Return windows (P, …, h', w'), channels last, from a flat clean map and windows (P, …, h, w)."""
        inner = windows.shape[1:-2]
        source = last_channels(windows.flatten(1, -3))
        shape = (len(self.given), *self.size, source.shape[-1])
        if compiled_for(base) and compiled_for(source):
            taken = base.new_empty(shape)
            window_kernels().take(
                base.numpy(), *self.lengths, source.numpy(), self.given, self.wanted, self.outside,
                taken.numpy(),
            )  # fmt: skip
        else:
            index, where, place = (one.to(base.device) for one in self._places)
            flat = base.index_select(0, index)
            # What has changed may be of another kind than the clean map: under autocast.
            changed = source.reshape(-1, source.shape[-1]).index_select(0, place)
            taken = flat.index_copy_(0, where, changed.to(flat.dtype)).view(shape)
        taken = taken.permute(0, 3, 1, 2)
        return taken if len(inner) == 1 else taken.reshape(len(taken), *inner, *self.size)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor, Tensor]:
        """For every pixel wanted its row in the flat clean map; which are in the given windows, and where there."""
        row, col = (self.wanted[:, axis, None] + np.arange(self.size[axis]) for axis in range(2))
        inside = _crossed(
            *((at >= 0) & (at < length) for at, length in zip((row, col), self.lengths, strict=True))
        )
        index = row[:, :, None] * self.lengths[1] + col[:, None, :]
        index[~inside] = self.lengths[0] * self.lengths[1]
        row, col = row - self.given[:, :1], col - self.given[:, 1:]
        known = _crossed(
            *((at >= 0) & (at < length) for at, length in zip((row, col), self.inner, strict=True))
        )
        place = np.arange(len(row))[:, None] * self.inner[0] + row
        place = (place * self.inner[1])[:, :, None] + col[:, None, :]
        found = (index.reshape(-1), np.flatnonzero(known), place[known])
        return torch.from_numpy(found[0]), torch.from_numpy(found[1]), torch.from_numpy(found[2])


def _crossed(rows: NDArray[np.bool_], cols: NDArray[np.bool_]) -> NDArray[np.bool_]:
    both: NDArray[np.bool_] = rows[:, :, None] & cols[:, None, :]
    return both


def last_channels(x: Tensor) -> Tensor:
    """Return maps (P, C, h, w) as (P, h, w, C), without a copy if they lie in memory like that."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def flat_map(values: Tensor, outside: float) -> Tensor:
    """Lay a clean map (1, …, H, W) out as (H·W + 1, C), its last row being what lies outside of it."""
    flat = values[0].detach().flatten(0, -3).flatten(1).T
    return torch.cat([flat, flat.new_full((1, flat.shape[1]), outside)])


def groups(signatures: NDArray[np.int64], weights: NDArray[np.float64], most: int) -> list[Ints]:
    """Put positions together whose windows have about the same sizes.

    Parameters
    ----------
    signatures : ndarray of int, shape (n, V)
        For each position, the size of its window in each of V maps.
    weights : ndarray of float, shape (V,)
        What a window's pixel costs in each map.
    most : int
        How many groups there may be.

    Returns
    -------
    list of ndarray of int
        The positions of each group; inside it, equal ones stand together.
    """
    unique, which = np.unique(signatures, axis=0, return_inverse=True)
    members = [np.flatnonzero(which.reshape(-1) == one) for one in range(len(unique))]
    largest = unique.astype(np.float64)
    while len(members) > most:
        counts = np.array([len(group) for group in members], dtype=np.float64)
        alone = counts * (largest**2 @ weights)
        together = np.maximum(largest[:, None], largest[None]) ** 2 @ weights
        more = (counts[:, None] + counts[None]) * together - alone[:, None] - alone[None]
        more[np.tril_indices(len(members))] = np.inf
        one, two = divmod(int(more.argmin()), len(members))
        members[one] = np.concatenate([members[one], members.pop(two)])
        largest[one] = np.maximum(largest[one], largest[two])
        largest = np.delete(largest, two, axis=0)
    return members
