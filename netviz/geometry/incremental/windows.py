"""Windows: which part of a map can change when a part of the image does, and gathering and pasting such parts.

A *track* says, for one axis and for each of several positions of an occluder, where a window of one common size
begins. A batch of windows has the shape (P, C, h, w), P running over row tracks and, inside, over column tracks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        return Span(self.low[which], self.high[which], self.length)

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
    index : Tensor of int64, shape (P·h'·w',)
        For every pixel wanted, its row in the flat clean map; the last row stands for what lies outside.
    shape : (int, int, int)
        P, h', w'.
    blocks : list
        Pastes: slices of the row and column positions with the same offset, then of the target's and the
        source's rows and columns.
    rows, cols : int
        Number of row and of column positions.
    """

    index: Tensor
    shape: tuple[int, int, int]
    blocks: list[tuple[slice, slice, slice, slice, slice, slice]]
    rows: int
    cols: int

    def __call__(self, base: Tensor, windows: Tensor) -> Tensor:
        """Return windows (P, …, h', w'), channels last, from a flat clean map and windows (P, …, h, w)."""
        channels = base.shape[1]
        count, height, width = self.shape
        inner = windows.shape[1:-2]
        windows = windows.flatten(1, -3)
        flat = base.index_select(0, self.index.to(base.device))
        target = flat.view(self.rows, self.cols, height, width, channels)
        source = windows.permute(0, 2, 3, 1)
        source = source.view(self.rows, self.cols, *source.shape[1:])
        for row, col, to_row, to_col, from_row, from_col in self.blocks:
            target[row, col, to_row, to_col] = source[row, col, from_row, from_col]
        taken = flat.view(count, height, width, channels).permute(0, 3, 1, 2)
        return taken if len(inner) == 1 else taken.reshape(count, *inner, height, width)


def flat_map(values: Tensor, outside: float) -> Tensor:
    """Lay a clean map (1, …, H, W) out as (H·W + 1, C), its last row being what lies outside of it."""
    flat = values[0].flatten(0, -3).flatten(1).T
    return torch.cat([flat, flat.new_full((1, flat.shape[1]), outside)])


def taking(rows: Track, cols: Track, to_rows: Track, to_cols: Track) -> Taking:
    """Work out how to take windows `to_rows` × `to_cols` from windows `rows` × `cols` and the clean map."""
    wanted_rows = to_rows.starts[:, None] + np.arange(to_rows.size)
    wanted_cols = to_cols.starts[:, None] + np.arange(to_cols.size)
    outside = rows.length * cols.length
    bad_rows = (wanted_rows < 0) | (wanted_rows >= rows.length)
    bad_cols = (wanted_cols < 0) | (wanted_cols >= cols.length)
    index = wanted_rows[:, None, :, None] * cols.length + wanted_cols[None, :, None, :]
    index[np.broadcast_to(bad_rows[:, None, :, None] | bad_cols[None, :, None, :], index.shape)] = outside
    blocks = [
        (row, col, to_row, to_col, from_row, from_col)
        for row, to_row, from_row in _pastes(rows, to_rows)
        for col, to_col, from_col in _pastes(cols, to_cols)
    ]
    count = len(rows.starts) * len(cols.starts)
    return Taking(
        torch.from_numpy(index.reshape(-1)),
        (count, to_rows.size, to_cols.size),
        blocks,
        len(rows.starts),
        len(cols.starts),
    )


def _pastes(track: Track, to: Track) -> Iterator[tuple[slice, slice, slice]]:
    """Yield runs of positions with one offset: which positions, where in the target, and what of the source."""
    offsets = track.starts - to.starts
    edges = [0, *(np.flatnonzero(np.diff(offsets)) + 1).tolist(), len(offsets)]
    for first, last in pairwise(edges):
        offset = int(offsets[first])
        low, high = max(offset, 0), min(offset + track.size, to.size)
        if low < high:
            yield slice(first, last), slice(low, high), slice(low - offset, high - offset)


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
