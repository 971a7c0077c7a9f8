"""Incremental inference: run a recorded network again where a small part of its image has changed.

An occluder changes a small window of every early map. Only that window is computed, from the clean activations
around it, for many positions of the occluder at once; where windows have grown so large that they no longer pay, or
a function looks at the whole map, the rest of the network runs on whole maps. (After Nakandala, Kumar and
Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN Explanations", SIGMOD
2019, here for any recorded graph of functions.)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from netviz.capture.tape import Node, Ref, Tape
from netviz.fields.incremental_fold import folded
from netviz.fields.incremental_local import Local, Moved
from netviz.fields.incremental_rules import Rule, rule_for
from netviz.fields.incremental_spans import (
    Axes,
    Box,
    Tracks,
    each,
    fixed,
    follow,
    moved,
    same,
    seen_by,
    shares_of,
    split,
    tracks_of,
    whole,
)
from netviz.fields.windows import Ints, Span, groups, taking

SHARE = 0.9
"""Windows that cover a larger share of a map than this are not worth their gathering."""

GROUPS = 3
"""Groups of row positions, and of column positions, that are computed with windows of one size."""

LEAST = 9
"""Positions that a group has at least, on average: batches that are too small waste the processor."""

BUDGET = 1 << 24
"""Bytes that the values of one batch of positions may take at any node."""


Take: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Makes windows of another size and place out of a flat clean map and given windows."""


class UnfollowableError(Exception):
    """The network does something that cannot be run again piece by piece; the message says what."""


@dataclass(frozen=True)
class Step:
    """One node for one group of positions: on windows if it has tracks, else on whole maps."""

    node: Node
    rule: Rule | None
    tracks: Tracks | None
    sources: dict[int, Take | None]
    shares: Tensor | None = None


@dataclass(frozen=True)
class Group:
    """Positions that are computed together: rows × cols of the grid."""

    rows: Ints
    cols: Ints
    image: Tracks
    steps: tuple[Step, ...]
    last: Take | None


class Plan:
    """How to compute one value of a tape for every position of an occluder.

    Parameters
    ----------
    tape : Tape
        Of the network on one image; its values are not used.
    target : int
        The value wanted.
    tops, lefts : ndarray of int
        Where the occluder begins, rows and columns of a grid; it may hang over the border.
    patch : (int, int)
        Its height and width in pixels.
    focus : (int, int, int, int), optional
        Top, left, bottom, right (half-open) of the only part of the target's map that is wanted.
    share : float
        See `SHARE`; 0 computes whole maps throughout.

    Raises
    ------
    UnfollowableError
        If the tape does not hold all that the network does.
    """

    def __init__(
        self,
        tape: Tape,
        target: int,
        tops: Ints,
        lefts: Ints,
        patch: tuple[int, int],
        *,
        focus: Box | None = None,
        share: float = SHARE,
    ) -> None:
        self.patch = patch
        self.tops, self.lefts = tops, lefts
        height, width = tape.shapes[0][-2:]
        image = (Span(tops, tops + patch[0], height), Span(lefts, lefts + patch[1], width))
        spans = self._follow(tape, target, image, focus, share)
        parts = [self._groups(axis, spans) for axis in range(2)]
        self.groups = [
            self._compile(some_rows, some_cols, spans)
            for rows in parts[0]
            for cols in parts[1]
            for some_rows, some_cols in self._batches(rows, cols, spans)
        ]

    def _follow(
        self, tape: Tape, target: int, image: Axes, focus: Box | None, share: float
    ) -> dict[int, Axes]:
        """Note what is to be computed, and return where each value can change."""
        self.shapes, self.target, self.share = tape.shapes, target, share
        self.nodes = folded(_needed(tape, target), target)
        self.rules = {node.index: rule_for(node, tape.shapes) for node in self.nodes}
        self.readers = {number: node.index for node in self.nodes for number in node.inputs}
        self.focus = focus
        bounds = seen_by(self.nodes, self.rules, target, focus)
        return follow(self.nodes, self.rules, self.shapes, image, bounds)

    def _picked(self, spans: dict[int, Axes], rows: Ints, cols: Ints) -> dict[int, Axes]:
        """Return where each value can change for some of the positions."""
        return {number: (one.pick(rows), two.pick(cols)) for number, (one, two) in spans.items()}

    def _take(self, tracks: Tracks, wanted: Tracks) -> Take:
        """Return how windows become windows of another size and place."""
        return taking(*tracks, *wanted)

    def _shares(self, rule: Local, beyond: tuple[int, int], halo: Tracks, out: Tracks) -> Tensor:
        """Return which share of its kernel an average counts, for every output of every window, (P, 1, h, w)."""
        down, across = shares_of(rule, beyond, halo, out)
        both = down[:, None, :, None] * across[None, :, None, :]
        return torch.from_numpy(both.reshape(-1, 1, out[0].size, out[1].size))

    def _groups(self, axis: int, spans: dict[int, Axes]) -> list[Ints]:
        """Part the positions of one axis by the sizes of their windows."""
        weights: list[float] = []
        sizes: list[Ints] = []
        for node in self.nodes:
            rule = self.rules[node.index]
            number = node.outputs[0]
            if number in spans and isinstance(rule, Local):
                weights.append(rule.work)
                sizes.append(spans[number][axis].sizes)
        if not sizes:
            return [np.arange(len((self.tops, self.lefts)[axis]))]
        most = max(1, min(GROUPS, len(sizes[0]) // LEAST))
        return groups(np.stack(sizes, axis=1), np.array(weights), most)

    def _compile(self, rows: Ints, cols: Ints, spans: dict[int, Axes]) -> Group:
        """Choose windows or whole maps for every node, for one group of positions."""
        picked = self._picked(spans, rows, cols)
        tracks: dict[int, Tracks] = {0: tracks_of(picked[0])}
        expanded: set[int] = set()
        steps: list[Step] = []
        for node in self.nodes:
            rule = self.rules[node.index]
            inside = rule is not None and all(number in tracks for number in node.inputs)
            out = tracks_of(picked[node.outputs[0]]) if inside else None
            if out is not None and out[0].size * out[1].size > self.share * out[0].length * out[1].length:
                out = None
            if out is None or rule is None:
                fresh = [number for number in node.inputs if number in tracks and number not in expanded]
                expanded.update(fresh)
                steps.append(
                    Step(
                        node,
                        None,
                        None,
                        {number: self._take(tracks[number], whole(tracks[number])) for number in fresh},
                    )
                )
                continue
            first, shares = tracks[node.inputs[0]], None
            wanted = out
            if isinstance(rule, Moved):
                lengths = self.shapes[node.outputs[0]][-2:]
                out, wanted = moved(first, rule.offsets, lengths), first
            elif isinstance(rule, Local):
                out = first if rule.still else out
                wanted = each(
                    lambda slide, track, like: slide.halo(track, like.length), rule.slides, out, first
                )
                shares = None if rule.share is None else self._shares(rule, rule.share, wanted, out)
            elif len(node.inputs) == 1:
                out = wanted = first
            sources = {
                number: None if same(tracks[number], wanted) else self._take(tracks[number], wanted)
                for number in node.inputs
            }
            tracks.update(dict.fromkeys(node.outputs, out))
            steps.append(Step(node, rule, out, sources, shares))
        last = None
        if self.target in tracks:
            top, left, bottom, right = self.focus or (0, 0, *self.shapes[self.target][-2:])
            last = self._take(tracks[self.target], fixed(tracks[self.target], top, left, bottom, right))
        return Group(rows, cols, tracks[0], tuple(steps), last)

    def _batches(self, rows: Ints, cols: Ints, spans: dict[int, Axes]) -> list[tuple[Ints, Ints]]:
        """Part a group of positions until the values of each part fit the budget."""
        most = self._most(rows, cols, spans)
        across = min(len(cols), most)
        down = max(1, most // across)
        return [(some, those) for some in split(rows, down) for those in split(cols, across)]

    def _most(self, rows: Ints, cols: Ints, spans: dict[int, Axes]) -> int:
        """Return how many of a group of positions fit the budget together."""
        widest = 1
        for number in {number for node in self.nodes for number in (*node.inputs, *node.outputs)}:
            shape = self.shapes[number]
            size = shape.numel()
            if number in spans:
                window = 1
                for span, picked in zip(spans[number], (rows, cols), strict=True):
                    window *= max(1, int(span.sizes[picked].max(initial=1)))
                area = math.prod(shape[-2:])
                size = size // area * (area if window > self.share * area else window)
            widest = max(widest, size)
        return max(1, BUDGET // (4 * widest))


def _needed(tape: Tape, target: int) -> list[Node]:
    """Return the nodes that a value comes from, in running order."""
    if tape.trouble:
        raise UnfollowableError(tape.trouble)
    wanted, nodes = {target}, []
    for node in reversed(tape.nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        # What is written into a constant could be run again only with the constant as it was before.
        lost = node.in_place and (not node.args or not isinstance(node.args[0], Ref) or "out" in node.kwargs)
        if node.function is None or lost:
            raise UnfollowableError(f"{node.name} in {node.module or 'the network'}")
        wanted.update(node.inputs)
        nodes.append(node)
    if any(not node.outputs for node in tape.nodes):
        read = next(node for node in tape.nodes if not node.outputs)
        raise UnfollowableError(f"{read.name} in {read.module or 'the network'} hands values to Python")
    return nodes[::-1]
