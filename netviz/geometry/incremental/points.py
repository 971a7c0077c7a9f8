"""Reading several values of a recorded network at some points, for every place of an occluder."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.geometry.incremental.plan import Group, Plan, Tracks, UnfollowableError
from netviz.geometry.incremental.run import Batch, at_once
from netviz.geometry.incremental.windows import Ints


class Points(NamedTuple):
    """Points of a map (C, H, W): channels, rows and columns, each of shape (U,)."""

    channels: Ints
    rows: Ints
    cols: Ints


def read_points(
    plan: Plan,
    values: Sequence[Tensor],
    baseline: Tensor,
    wanted: Sequence[tuple[int, Points]],
) -> list[NDArray[np.float32]]:
    """Compute what values become at some points, for every position of the occluder.

    Parameters
    ----------
    plan : Plan
        Made with ``also``, from a tape of the same network on an image of the same size.
    values : sequence of Tensor
        The values that the tape kept on this image.
    baseline : Tensor of shape (1, C, H, W)
        What the occluder shows.
    wanted : sequence of (int, Points)
        Values that the plan was made for, of shape (1, C, H, W), and where each is read: one value may be wanted
        several times, at other points.

    Returns
    -------
    list of ndarray of float32, shape (rows, columns, U)
        In the same order. Where a window does not reach a point, the value is the image's own.

    Raises
    ------
    UnfollowableError
        If a function cannot be called again.
    """
    grid = (len(plan.tops), len(plan.lefts))
    found = []
    for number, (channels, rows, cols) in wanted:
        if values[number].ndim != 4:
            raise UnfollowableError("a value is no map")
        clean = values[number][0, channels, rows, cols].float().cpu().numpy()
        found.append(np.broadcast_to(clean, (*grid, len(clean))).copy())
    bases: dict[tuple[int, float], Tensor] = {}

    def work(group: Group) -> Tensor:
        def tell(number: int, made: Tensor, tracks: Tracks | None) -> None:
            where = np.ix_(group.rows, group.cols)
            for (one, points), read in zip(wanted, found, strict=True):
                if one == number:
                    some = read[where].reshape(group.count, -1)
                    _put(some, made, points, tracks)
                    read[where] = some.reshape(len(group.rows), len(group.cols), -1)

        Batch(plan, group, values, baseline, bases, tell).walk()
        return torch.empty(0)

    with torch.no_grad():
        for _ in at_once(work, plan.groups, baseline.device):
            pass
    return found


def _put(values: NDArray[np.float32], made: Tensor, points: Points, tracks: Tracks | None) -> None:
    """Put into values (P, U) what windows (P, C, h, w), or whole maps, hold at the points."""
    channels, rows, cols = points
    if tracks is None:
        found = made[:, torch.from_numpy(channels), torch.from_numpy(rows), torch.from_numpy(cols)]
        values[:] = found.float().cpu().numpy()
        return
    downs = np.repeat(tracks[0].starts, len(tracks[1].starts))
    acrosses = np.tile(tracks[1].starts, len(tracks[0].starts))
    row, col = rows - downs[:, None], cols - acrosses[:, None]
    inside = (row >= 0) & (row < tracks[0].size) & (col >= 0) & (col < tracks[1].size)
    place, point = np.nonzero(inside)
    at = tuple(torch.from_numpy(one) for one in (place, channels[point], row[inside], col[inside]))
    values[inside] = made[at].float().cpu().numpy()
