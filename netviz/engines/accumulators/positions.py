"""Where in its maps a unit is strongest, and the map around that place."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MOST = 1 << 24
"""How many values at most are sorted at once."""


_CACHED = 1 << 20
"""How many values are reduced at a time on a CPU: 4 MiB stay in its cache."""


class Places(NamedTuple):
    """Positions in the maps of a batch.

    Attributes
    ----------
    which, units : ndarray of int, shape (P,)
        Image of the batch, and unit.
    score : ndarray of float32, shape (P,)
        The value there.
    row, col : ndarray of int32, shape (P,)
    """

    which: NDArray[np.intp]
    units: NDArray[np.intp]
    score: NDArray[np.float32]
    row: NDArray[np.int32]
    col: NDArray[np.int32]


def reduced(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the maximum of each row, and maximum, sum and number of non-zeros of each map.

    On a CPU a few images at a time: they are read three times, and are to stay in its cache meanwhile.

    Parameters
    ----------
    x : Tensor of shape (N, H, W, C)

    Returns
    -------
    Tensor of shape (N, H, C), and three of shape (N, C)
    """
    each = x[0].numel()
    step = max(1, _CACHED // max(1, each)) if x.device.type == "cpu" else len(x)
    buffer = torch.empty(min(step, len(x)) * each, device=x.device)
    # Counts beyond 2^24 are no whole numbers in float32.
    kind = torch.float64 if x[0, ..., 0].numel() > 1 << 24 else None
    parts = []
    for first in range(0, len(x), step):
        part = x[first : first + step]
        rows = part.amax(2)
        # Compared into floats that are then summed: several times faster than counting booleans.
        flags = torch.ne(part, 0, out=buffer[: part.numel()].view(part.shape))
        # Adding 0 turns the negative zero into the positive one.
        parts.append((rows, rows.amax(1) + 0.0, part.sum((1, 2)), flags.sum((1, 2), dtype=kind)))
    rows, peaks, totals, counts = (torch.cat(one) for one in zip(*parts, strict=True))
    return rows, peaks, totals, counts


def first_maximum(
    x: Tensor, rows: Tensor, peaks: Tensor, which: NDArray[np.intp], units: NDArray[np.intp]
) -> Places:
    """Return the first position, row by row, where each of some maps has its maximum.

    Parameters
    ----------
    x : Tensor of shape (N, H, W, C)
    rows : Tensor of shape (N, H, C)
        The maximum of each row.
    peaks : Tensor of shape (N, C)
        The maximum of each map.
    which, units : ndarray of int, shape (P,)
        Which maps.
    """
    n, c = _index(which, x), _index(units, x)
    score = peaks[n, c]
    row = (rows[n, :, c] == score[:, None]).int().argmax(1)
    col = (x[n, row, :, c] == score[:, None]).int().argmax(1)
    # Adding 0 turns the negative zero into the positive one.
    values = (score + 0.0).cpu().numpy()
    return Places(which, units, values, row.int().cpu().numpy(), col.int().cpu().numpy())


def largest(x: Tensor, which: NDArray[np.intp], units: NDArray[np.intp], count: int) -> Places:
    """Return the `count` largest values of each of some maps; of equal ones those that come first, row by row."""
    height, width = x.shape[1:3]
    count = min(count, height * width)
    scores = [np.empty((0, count), dtype=np.float32)]
    places = [np.empty((0, count), dtype=np.int32)]
    step = max(1, _MOST // (height * width))
    for start in range(0, len(which), step):
        some = slice(start, start + step)
        values = x.permute(0, 3, 1, 2)[_index(which[some], x), _index(units[some], x)].flatten(1) + 0.0
        ordered, order = values.sort(dim=1, descending=True, stable=True)
        scores.append(ordered[:, :count].cpu().numpy())
        places.append(order[:, :count].int().cpu().numpy())
    row, col = np.divmod(np.concatenate(places).ravel(), np.int32(width))
    return Places(np.repeat(which, count), np.repeat(units, count), np.concatenate(scores).ravel(), row, col)


def windows(
    x: Tensor, places: Places, size: tuple[int, int]
) -> tuple[NDArray[np.float16], NDArray[np.int32]]:
    """Return the maps around some places as shares of the value there, in -1 … 1; 0 where that is not positive.

    Parameters
    ----------
    x : Tensor of shape (N, H, W, C)
    places : Places
    size : (int, int)
        Rows and columns of a window. It is centred on the place, but inside the map; what of it lies outside of a map
        that is smaller repeats the map's border.

    Returns
    -------
    shares : ndarray of float16, shape (P, rows, columns)
    start : ndarray of int32, shape (P, 2)
        First row and column of each window.
    """
    height, width, units = x.shape[1:]
    start = np.stack((places.row, places.col), axis=1) - np.array(size, dtype=np.int32) // 2
    start = np.clip(start, 0, np.maximum(0, (height - size[0], width - size[1]))).astype(np.int32)
    r = np.minimum(start[:, 0, None] + np.arange(size[0]), height - 1)
    c = np.minimum(start[:, 1, None] + np.arange(size[1]), width - 1)
    # Addresses in memory: one gather from a flat view is faster than four broadcast indices.
    here = (places.which[:, None] * height + r) * (width * units) + places.units[:, None]
    values = x.reshape(-1)[_index(here[:, :, None] + (c * units)[:, None, :], x)].cpu().numpy()
    score = places.score[:, None, None]
    shares = np.divide(values, score, out=np.zeros_like(values), where=score > 0)
    return np.clip(shares, -1, 1, out=shares).astype(np.float16), start


def _index(numbers: NDArray[np.signedinteger[Any]], x: Tensor) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(x.device)
