"""Maps that lie on a GPU: what is looked for in all layers of a batch, with two copies to the CPU in all.

A copy waits until the GPU has done all that was asked of it. So nothing is copied while the network runs: its outputs
are kept there, and the CPU first gets what is said of each map, then what lies at the places that it chose.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.accumulators.positions import Places, Reduced, shares_of, window_starts


def reduce_all(maps: Sequence[Tensor]) -> list[Reduced]:
    """Return what `reduced` says of the maps of several layers, (N, H, W, C) each; sums have the GPU's rounding."""
    parts: list[Tensor] = []
    for x in maps:
        rows = x.amax(2)
        parts += [
            rows.amax(1) + 0.0,
            rows.argmax(1).int(),
            x.sum((1, 2)),
            torch.count_nonzero(x, (1, 2)).int(),
        ]
    brought = _bring(parts)
    return [Reduced(*brought[at : at + 4]) for at in range(0, len(brought), 4)]


class Wish(NamedTuple):
    """What is wanted of a layer's maps.

    Attributes
    ----------
    x : Tensor of float32, shape (N, H, W, C)
    found : Reduced
        What `reduce_all` says of them.
    which, units : ndarray of int, shape (P,)
        The maps whose first maximum is wanted, with a window around it.
    window : (int, int)
    sampled : ndarray of int, shape (S,)
        Positions, all images' one after the other, at which all units' values are wanted.
    """

    x: Tensor
    found: Reduced
    which: NDArray[np.intp]
    units: NDArray[np.intp]
    window: tuple[int, int]
    sampled: NDArray[np.intp]


class Granted(NamedTuple):
    """What was wanted: places, the shares of their windows, the windows' first rows and columns, sampled values."""

    places: Places
    window: NDArray[np.float16]
    start: NDArray[np.int32]
    values: NDArray[np.float32]


def look_up(wishes: Sequence[Wish]) -> list[Granted]:
    """Return what is wanted of several layers."""
    parts: list[Tensor] = []
    for x, found, which, units, window, sampled in wishes:
        height, width, channels = x.shape[1:]
        score, row = found.peak[which, units], found.row[which, units]
        numbers = np.stack((which, units, row, window_starts(row, window[0], height))).astype(np.int64)
        n, c, r, top = _send(numbers, x)
        line = x[n, r, :, c]
        there = (line == _send(score, x)[:, None]).int().argmax(1)
        left = (there - window[1] // 2).clamp(0, max(0, width - window[1]))
        down = (top[:, None] + torch.arange(window[0], device=x.device)).clamp(max=height - 1)
        across = (left[:, None] + torch.arange(window[1], device=x.device)).clamp(max=width - 1)
        here = (n[:, None] * height + down) * (width * channels) + c[:, None]
        around = x.reshape(-1)[here[:, :, None] + (across * channels)[:, None, :]]
        parts += [there.int(), around, x.reshape(-1, channels)[_send(sampled, x)]]
    brought = _bring(parts)
    granted = []
    for at, (x, found, which, units, window, _) in enumerate(wishes):
        col, values, taken = brought[3 * at : 3 * at + 3]
        score, row = found.peak[which, units], found.row[which, units]
        start = np.stack(
            (window_starts(row, window[0], x.shape[1]), window_starts(col, window[1], x.shape[2])), axis=1
        )
        granted.append(Granted(Places(which, units, score, row, col), shares_of(values, score), start, taken))
    return granted


def _send(numbers: NDArray[Any], x: Tensor) -> Tensor:
    """Return numbers where a tensor is, without waiting for it."""
    here = torch.from_numpy(np.ascontiguousarray(numbers))
    return (here.pin_memory() if x.device.type == "cuda" else here).to(x.device, non_blocking=True)


def _bring(parts: Sequence[Tensor]) -> list[NDArray[Any]]:
    """Return tensors of float32 and int32 as arrays, with one copy."""
    words = torch.cat([part.reshape(-1).view(torch.int32) for part in parts]).cpu().numpy()
    ends = np.cumsum([part.numel() for part in parts])[:-1]
    arrays = []
    for part, piece in zip(parts, np.split(words, ends), strict=True):
        kind = np.dtype(np.float32 if part.dtype == torch.float32 else np.int32)
        arrays.append(piece.view(kind).reshape(tuple(part.shape)))
    return arrays
