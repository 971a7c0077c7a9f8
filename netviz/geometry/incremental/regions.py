"""Incremental inference for changes of any shape: regions of the image replaced one at a time.

As for an occluder on a grid, only windows around each change are computed; but here the windows of a batch lie
anywhere, a row and a column for each, and inside of a window only the region's own pixels change.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.capture.tape import Tape
from netviz.geometry.incremental.plan import LEAST, SHARE, Axes, Group, Plan, Tracks, shares_of, split
from netviz.geometry.incremental.rules import Local
from netviz.geometry.incremental.run import Batch, Made, at_once
from netviz.geometry.incremental.windows import Ints, Span, groups

GROUPS = 6
"""Groups of regions that are computed with windows of one size."""


class RegionPlan(Plan):
    """How to compute one value of a tape for several regions of the image, each replaced alone.

    Parameters
    ----------
    tape : Tape
        Of the network on one image; its values are not used.
    target : int
        The value wanted.
    labels : ndarray of int, shape (H, W)
        The region that every pixel belongs to.
    regions : sequence of int
        Which regions; each has at least one pixel.

    Raises
    ------
    UnfollowableError
        If the tape does not hold all that the network does.
    """

    def __init__(self, tape: Tape, target: int, labels: NDArray[np.integer], regions: Sequence[int]) -> None:
        self._begin(tape, target, SHARE)
        self.labels = labels
        self.known = np.array(regions, dtype=np.int64)
        boxes = np.array([_box(labels == region) for region in regions], dtype=np.int64)
        height, width = labels.shape
        image = (Span(boxes[:, 0], boxes[:, 2], height), Span(boxes[:, 1], boxes[:, 3], width))
        self.spans = self._follow(image, None)
        self._arrange(self.known)

    def only(self, regions: Sequence[int]) -> "RegionPlan":
        """Return a plan of some of the regions that this one was made for first."""
        other = copy.copy(self)
        other._arrange(np.array(regions, dtype=np.int64))
        return other

    def _arrange(self, regions: Ints) -> None:
        self.regions = regions
        order = np.argsort(self.known)
        which = order[np.searchsorted(self.known, regions, sorter=order)]
        spans = self._picked(self.spans, which, which)
        one = np.zeros(1, dtype=np.int64)
        self.groups = [
            self._compile(some, one, spans)
            for members in self._alike(spans)
            for some in split(members, self._most(members, members, spans))
        ]

    def _picked(self, spans: dict[int, Axes], rows: Ints, cols: Ints) -> dict[int, Axes]:
        return {number: (one.pick(rows), two.pick(rows)) for number, (one, two) in spans.items()}

    def _starts(self, tracks: Tracks) -> Ints:
        return np.stack([track.starts for track in tracks], axis=1)

    def _shares(self, rule: Local, beyond: tuple[int, int], halo: Tracks, out: Tracks) -> Tensor:
        down, across = shares_of(rule, beyond, halo, out)
        return torch.from_numpy((down[:, :, None] * across[:, None, :])[:, None])

    def _alike(self, spans: dict[int, Axes]) -> list[Ints]:
        """Part the regions by the sizes of their windows."""
        sizes: list[Ints] = []
        weights: list[float] = []
        for node in self.nodes:
            rule, number = self.rules[node.index], node.outputs[0]
            if number in spans and isinstance(rule, Local):
                sizes += [span.sizes for span in spans[number]]
                weights += [rule.work] * 2
        if not sizes:
            return [np.arange(len(self.regions))]
        most = max(1, min(GROUPS, len(self.regions) // LEAST))
        return groups(np.stack(sizes, axis=1), np.array(weights), most)


class Clean:
    """The values of a network on an image of which one region after the other is replaced for good.

    Parameters
    ----------
    values : sequence of Tensor
        The values that a tape kept on this image; `replace` writes to them.
    baseline : Tensor of shape (1, C, H, W)
        What a replaced region shows.
    """

    def __init__(self, values: Sequence[Tensor], baseline: Tensor) -> None:
        self.values, self.baseline = list(values), baseline
        self.bases: dict[tuple[int, float], Tensor] = {}

    def judge(self, plan: RegionPlan, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute a plan's target with each of its regions replaced, and leave everything as it is.

        Parameters
        ----------
        plan : RegionPlan
            Made from a tape of the same network on an image of the same size.
        read : callable
            Gets the target for a batch of regions, (P, …), and returns what is wanted of it, (P, …).

        Returns
        -------
        Tensor of shape (regions, …)
            What `read` gave, in the order of the plan's regions.

        Raises
        ------
        UnfollowableError
            If a function cannot be called again.
        """

        def work(group: Group) -> Tensor:
            return read(self._batch(plan, group).run())

        with torch.no_grad():
            found = list(at_once(work, plan.groups, self.baseline.device))
            together = torch.cat([one for _, one in found])
            order = np.concatenate([group.rows for group, _ in found])
            return together[torch.from_numpy(np.argsort(order)).to(together.device)]

    def replace(self, plan: RegionPlan) -> None:
        """Replace the one region of a plan for good: of every value only what that can change is computed again."""
        with torch.no_grad():
            for group in plan.groups:
                self._batch(plan, group, self._paste).run()

    def _batch(self, plan: RegionPlan, group: Group, made: Made | None = None) -> "_Regions":
        return _Regions(plan, group, self.values, self.baseline, self.bases, made)

    def _paste(self, number: int, made: Tensor, tracks: Tracks | None) -> None:
        value = self.values[number]
        if not value.numel() or value.ndim < 4:
            return  # no window is taken from it
        if 0 in value.stride():
            value = self.values[number] = value.clone()
        rows = cols = slice(None)
        if tracks is not None:
            rows, cols = (slice(int(one.starts[0]), int(one.starts[0]) + one.size) for one in tracks)
        value[..., rows, cols] = made
        for (known, _), base in self.bases.items():
            if known == number:
                inner = made[0].flatten(0, -3).permute(1, 2, 0)
                base[:-1].view(*value.shape[-2:], -1)[rows, cols] = inner


def run_regions(
    plan: RegionPlan, values: Sequence[Tensor], baseline: Tensor, read: Callable[[Tensor], Tensor]
) -> Tensor:
    """Compute a plan's target with each of its regions replaced; see `Clean.judge`."""
    return Clean(values, baseline).judge(plan, read)


@dataclass
class _Regions(Batch):
    """Some regions on their way through the network."""

    plan: RegionPlan

    def changed(self, tracks: Tracks) -> Tensor:
        """Return the windows of the image: the baseline inside of the region, else the image."""
        rows, cols = (track.starts[:, None] + np.arange(track.size) for track in tracks)
        row, col = rows[:, :, None], cols[:, None, :]
        own = self.plan.regions[self.group.rows][:, None, None]
        mask = torch.from_numpy(self.plan.labels[row, col] == own)
        where = (torch.from_numpy(row), torch.from_numpy(col))
        image, baseline = (one[0].permute(1, 2, 0)[where] for one in (self.values[0], self.baseline))
        windows = torch.where(mask[..., None].to(image.device), baseline, image)
        return windows.permute(0, 3, 1, 2)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right (half-open) of the pixels of a mask."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1
