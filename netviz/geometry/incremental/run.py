"""Running a plan: windows and whole maps, batch after batch of positions."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from netviz.capture.tape import Node, Ref
from netviz.capture.tensors import tensors_in
from netviz.geometry.incremental.convolving import Convolution
from netviz.geometry.incremental.plan import Group, NodePlan, Plan, Tracks, UnfollowableError
from netviz.geometry.incremental.resampling import Resampled
from netviz.geometry.incremental.rules import Local, Moved, batched, call
from netviz.geometry.incremental.windows import Taking, flat_map


def run_plan(
    plan: Plan,
    values: Sequence[Tensor],
    baseline: Tensor,
    read: Callable[[Tensor], Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Compute a plan's target for every position of the occluder.

    Parameters
    ----------
    plan : Plan
        Made from a tape of the same network on an image of the same size.
    values : sequence of Tensor
        The values that the tape kept on this image.
    baseline : Tensor of shape (1, C, H, W)
        What the occluder shows: inside of it the image is replaced by this.
    read : callable
        Gets the target for a batch of positions, (P, …) without its own first axis of one (only the plan's focus
        of it), and returns what is wanted of it, (P, …).
    progress : callable, optional
        Called with how many positions are done, and of how many.

    Returns
    -------
    Tensor of shape (rows, columns, …)
        What `read` gave, on the grid of positions.

    Raises
    ------
    UnfollowableError
        If a function cannot be called again.
    """
    result: Tensor | None = None
    done, total = 0, len(plan.tops) * len(plan.lefts)
    bases: dict[tuple[int, float], Tensor] = {}

    def work(group: Group) -> Tensor:
        return read(Batch(plan, group, values, baseline, bases).run())

    with torch.no_grad():
        for group, found in at_once(work, plan.groups, baseline.device):
            found = found.reshape(len(group.rows), len(group.cols), *found.shape[1:])
            if result is None:
                result = found.new_empty((len(plan.tops), len(plan.lefts), *found.shape[2:]))
            result[torch.from_numpy(group.rows)[:, None], torch.from_numpy(group.cols)] = found
            done += group.count
            if progress is not None:
                progress(done, total)
    if result is None:
        raise UnfollowableError("no position")
    return result


def at_once(
    work: Callable[[Group], Tensor], groups: Sequence[Group], device: torch.device
) -> Iterator[tuple[Group, Tensor]]:
    """Yield each group of positions with what was found for it, in any order.

    On a CPU several are under way at once, each on one thread: what is computed of one layer is too little to share.
    """
    cores = torch.get_num_threads()
    # Autocast is known to the thread alone that asked for it.
    if device.type != "cpu" or min(cores, len(groups)) == 1 or torch.is_autocast_enabled("cpu"):
        yield from ((group, work(group)) for group in groups)
        return

    def alone(group: Group) -> tuple[Group, Tensor]:
        torch.set_num_threads(1)
        with torch.no_grad():
            return group, work(group)

    pool = ThreadPoolExecutor(min(cores, len(groups)))
    try:
        for done in as_completed([pool.submit(alone, group) for group in groups]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


Made: TypeAlias = Callable[[int, Tensor, Tracks | None], None]
"""Gets the number of a value, what it became, and where that lies: windows, or None for whole maps."""


@dataclass
class Batch:
    """One group of positions on its way through the network."""

    plan: Plan
    group: Group
    values: Sequence[Tensor]
    baseline: Tensor
    bases: dict[tuple[int, float], Tensor]
    made: Made | None = None
    windows: dict[int, Tensor] = field(default_factory=dict)
    whole: dict[int, Tensor] = field(default_factory=dict)
    # Values whose memory nothing else uses: a function that works in place may have it.
    own: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many positions it has."""
        return self.group.count

    def run(self) -> Tensor:
        """Return the target for every position, (P, …)."""
        self.walk()
        target = self.plan.target
        if self.group.last is not None:
            return self.group.last(self._base(self.group.last, target), self.windows[target])
        found = self.whole[target]
        if self.plan.focus is not None:
            top, left, bottom, right = self.plan.focus
            found = found[..., top:bottom, left:right]
        return found

    def walk(self) -> None:
        """Compute all values, and tell each when it is made."""
        self.windows[0] = self.changed(self.group.image)
        self._tell((0,), self.group.image)
        for planned in self.group.nodes:
            made = self._on_whole(planned) if planned.tracks is None else self._on_windows(planned)
            kept = self.whole if planned.tracks is None else self.windows
            if len(made) != len(planned.node.outputs):
                raise UnfollowableError(f"{planned.node.name} in {planned.node.module or 'the network'}")
            kept.update(zip(planned.node.outputs, made, strict=True))
            self._tell(planned.node.outputs, planned.tracks)
            for number in planned.node.inputs:
                if self._last(number, planned.node):
                    self.windows.pop(number, None)
                    self.whole.pop(number, None)

    def _tell(self, numbers: Sequence[int], tracks: Tracks | None) -> None:
        if self.made is not None:
            for number in numbers:
                self.made(number, (self.whole if tracks is None else self.windows)[number], tracks)

    def changed(self, tracks: Tracks) -> Tensor:
        """Return the windows of the image: the baseline inside of the occluder, else the image."""
        places = [torch.from_numpy(track.starts[:, None] + np.arange(track.size)) for track in tracks]
        inside = []
        for place, start, length in zip(
            places,
            (self.plan.tops[self.group.rows], self.plan.lefts[self.group.cols]),
            self.plan.patch,
            strict=True,
        ):
            first = torch.from_numpy(start)[:, None]
            inside.append((place >= first) & (place < first + length))
        rows, cols = places[0][:, None, :, None], places[1][None, :, None, :]
        mask = inside[0][:, None, :, None] & inside[1][None, :, None, :]
        image, baseline = (one[0].permute(1, 2, 0)[rows, cols] for one in (self.values[0], self.baseline))
        windows = torch.where(mask[..., None].to(image.device), baseline, image)
        return windows.flatten(0, 1).permute(0, 3, 1, 2)

    def _on_windows(self, planned: NodePlan) -> list[Tensor]:
        node, rule = planned.node, planned.rule
        if isinstance(rule, Local):
            number = node.inputs[0]
            result = self._local(rule, planned.sources[number], number)
            if planned.shares is not None:
                result = result / planned.shares.to(result)
            self.own.update(node.outputs)
            return [result]
        taken = {
            number: self.windows[number]
            if way is None
            else way(self._base(way, number), self.windows[number])
            for number, way in planned.sources.items()
        }
        if isinstance(rule, Moved):
            return [taken[node.inputs[0]]]
        if planned.mixed is not None:
            down, across = (weights.to(self.baseline) for weights in planned.mixed)
            self.own.update(node.outputs)
            return [down @ taken[node.inputs[0]] @ across.transpose(-2, -1)]
        assert rule is not None
        assert not isinstance(rule, Resampled)
        if node.in_place:
            gathered = {number for number, way in planned.sources.items() if way is not None}
            self._protect(node, taken, gathered)
        return self._owned(node, taken, list(tensors_in(rule.run(taken))))

    def _local(self, rule: Local, way: Taking | None, number: int) -> Tensor:
        """Return what a convolution or pooling makes of windows."""
        windows = self.windows[number]
        if way is None:
            return rule.run(windows)
        base = self._base(way, number)
        if isinstance(rule.run, Convolution):
            return rule.run.taken(way, base, windows)
        return rule.run(way(base, windows))

    def _on_whole(self, planned: NodePlan) -> list[Tensor]:
        node = planned.node
        for number, way in planned.sources.items():
            if way is not None:
                self.whole[number] = way(self._base(way, number), self.windows[number])
                self.own.discard(number)
        taken = {number: self.whole[number] for number in node.inputs}
        rule = self.plan.rules[node.index]
        if isinstance(rule, Local) and isinstance(rule.run, Convolution):
            self.own.update(node.outputs)
            return [rule.run.whole(taken[node.inputs[0]], rule.slides)]
        if node.in_place:
            self._protect(node, taken, set())
        if batched(node, self.plan.shapes):
            return self._owned(node, taken, list(tensors_in(call(node, taken))))
        return self._one_by_one(node, taken)

    def _owned(self, node: Node, taken: dict[int, Tensor], made: list[Tensor]) -> list[Tensor]:
        """Note which of the tensors made share no memory with what is left of those they were made from."""
        shared = {tensor.untyped_storage().data_ptr() for tensor in taken.values()}
        for number, tensor in zip(node.outputs, made, strict=False):
            if node.in_place or tensor.untyped_storage().data_ptr() not in shared:
                self.own.add(number)
        return made

    def _one_by_one(self, node: Node, taken: dict[int, Tensor]) -> list[Tensor]:
        """Call a function as it was recorded, for every position: at once if torch can, else in a loop."""
        numbers = list(taken)
        shapes = self.plan.shapes
        stacks = [taken[number].reshape(self.count, *shapes[number]).contiguous() for number in numbers]

        def one(*tensors: Tensor) -> tuple[Tensor, ...]:
            values = dict(zip(numbers, tensors, strict=True))
            made = tuple(tensors_in(call(node, values)))
            return made or tuple(values[number] for number in node.inputs[:1])

        try:
            if (
                self.count == 1
            ):  # vmap would put some functions, attention among them, together of slower ones
                results = tuple(made[None] for made in one(*(stack[0] for stack in stacks)))
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results = torch.func.vmap(one)(*stacks)
        except Exception:
            each = [one(*(stack[place].clone() for stack in stacks)) for place in range(self.count)]
            results = tuple(torch.stack(made) for made in zip(*each, strict=True))
        return [
            made.flatten(0, 1) if made.ndim > 1 and shapes[number][:1] == (1,) else made
            for made, number in zip(results, node.outputs, strict=False)
        ]

    def _protect(self, node: Node, taken: dict[int, Tensor], gathered: set[int]) -> None:
        """Give a function that works in place a copy of what it changes, if anyone else may need that."""
        refs = [one.number for one in (*node.args[:1], *node.kwargs.values()) if isinstance(one, Ref)]
        for number in refs:
            free = number in gathered or (number in self.own and self._last(number, node))
            if not free:
                taken[number] = taken[number].clone()

    def _last(self, number: int, node: Node) -> bool:
        return number != self.plan.target and self.plan.readers.get(number, -1) <= node.index

    def _base(self, way: Taking, number: int) -> Tensor:
        key = (number, way.outside)
        if key not in self.bases:
            self.bases[key] = flat_map(self.values[number], way.outside)
        return self.bases[key]
