"""Interpolation on windows: every output is a weighted sum of a few inputs, along rows and along columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from netviz.geometry.incremental.windows import Ints, Span, Track


@dataclass(frozen=True)
class Mixing:
    """How an interpolation's output reads its input along one axis.

    Attributes
    ----------
    weights : ndarray of float32, shape (outputs, inputs)
        What each input counts in each output.
    low, high : ndarray of int, shape (outputs,)
        First and last input that an output reads; neither ever falls.
    """

    weights: NDArray[np.float32]
    low: Ints
    high: Ints

    @property
    def length(self) -> int:
        """How many outputs there are."""
        return len(self.weights)

    def forward(self, span: Span) -> Span:
        """Return which outputs may change."""
        low = np.searchsorted(self.high, span.low)
        high = np.searchsorted(self.low, span.high - 1, side="right")
        return Span(low, np.where(span.sizes == 0, low, high), self.length)

    def backward(self, low: int, high: int) -> tuple[int, int]:
        """Return which inputs the outputs ``low … high - 1`` read."""
        first, last = np.clip((low, high - 1), 0, self.length - 1)
        return int(self.low[first]), int(self.high[last]) + 1

    def halo(self, out: Track, length: int) -> Track:
        """Return the input windows, which may reach beyond the map's end, that output windows read."""
        low, high = self.low[out.starts], self.high[out.starts + out.size - 1]
        return Track(low, int((high - low).max()) + 1, length)

    def between(self, halo: Ints, rows: int, out: Ints, size: int) -> Tensor:
        """Return the weights for windows that begin at `out` and read from `halo` on, (P, 1, size, rows)."""
        made = (out[:, None] + np.arange(size))[:, :, None]
        read = (halo[:, None] + np.arange(rows))[:, None]
        inside = read < self.weights.shape[1]
        found = np.where(inside, self.weights[made, np.where(inside, read, 0)], np.float32(0))
        return torch.from_numpy(found)[:, None]


@dataclass(frozen=True)
class Resampled:
    """An interpolation, rows and columns each by themselves."""

    slides: tuple[Mixing, Mixing]


def interpolation(told: dict[str, Any], source: torch.Size, result: torch.Size) -> Resampled | None:
    """Return how an interpolation works on windows, of the arguments that it was called with; None if it cannot."""
    if len(source) != 4 or told["antialias"]:
        return None
    factors = told["scale_factor"]
    if told["recompute_scale_factor"] or told["size"] is not None:
        factors = None
    if factors is not None and not isinstance(factors, tuple | list):
        factors = (factors, factors)
    axes = [
        _mixing(int(source[axis]), int(result[axis]), None if factors is None else float(factors[axis]), told)
        for axis in (-2, -1)
    ]
    return Resampled((axes[0], axes[1]))


def _mixing(inputs: int, outputs: int, factor: float | None, told: dict[str, Any]) -> Mixing:
    """Find an axis's weights: each input by itself is interpolated."""
    size: dict[str, Any] = {"size": (outputs, 1)} if factor is None else {"scale_factor": (factor, 1.0)}
    apart = torch.eye(inputs)[None, :, :, None]
    made = F.interpolate(apart, **size, mode=told["mode"], align_corners=told["align_corners"])
    weights = made[0, :, :, 0].T.contiguous().numpy()
    counts = weights != 0
    low, high = counts.argmax(axis=1), inputs - 1 - counts[:, ::-1].argmax(axis=1)
    return Mixing(weights, np.minimum.accumulate(low[::-1])[::-1], np.maximum.accumulate(high))
