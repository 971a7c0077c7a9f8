"""Incremental inference: run a recorded network again where a small part of its image has changed.

How far a change reaches is followed from the occluder forward through a tape, and from what is wanted back. Batch
normalization is folded into the convolution before it: one pass over the windows less.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture.tape import Node, Ref, Tape, with_values
from netviz.capture.tensors import wide
from netviz.geometry.incremental.convolving import Convolution
from netviz.geometry.incremental.resampling import Resampled
from netviz.geometry.incremental.rules import Local, Moved, Rule, bounds, given, rule_for
from netviz.geometry.incremental.windows import Ints, Span, Taking, Track, groups

Axes: TypeAlias = tuple[Span, Span]

Tracks: TypeAlias = tuple[Track, Track]

Box: TypeAlias = tuple[int, int, int, int]

_ALL = 1 << 30


def seen_by(
    nodes: Sequence[Node], rules: Mapping[int, Rule | None], target: int, focus: Box | None
) -> dict[int, Box]:
    """Return, for each value, which part of its map the focus can see; nothing else needs computing."""
    if focus is None:
        return {}
    read = {number for node in nodes for number in node.inputs}
    bounds: dict[int, Box] = {target: focus}
    for node in reversed(nodes):
        rule = rules[node.index]
        known = [bounds.get(number) for number in node.outputs if number in read or number == target]
        for number in node.inputs:
            if rule is None or not known or None in known:
                box = None
            else:
                boxes = [box for box in known if box is not None]
                box = backward(rule, hull(boxes))
            if box is None:
                bounds[number] = (-_ALL, -_ALL, _ALL, _ALL)
            else:
                bounds[number] = hull([box, bounds[number]]) if number in bounds else box
    return bounds


def follow(
    nodes: Sequence[Node],
    rules: Mapping[int, Rule | None],
    shapes: Sequence[torch.Size],
    image: Axes,
    bounds: Mapping[int, Box],
) -> dict[int, Axes]:
    """Return where each value can change, by position, as long as functions can be followed."""
    spans: dict[int, Axes] = {}

    def put(number: int, rows: Span, cols: Span) -> None:
        if number in bounds:
            top, left, bottom, right = bounds[number]
            rows, cols = (
                rows.within(max(top, 0), max(bottom, 0)),
                cols.within(max(left, 0), max(right, 0)),
            )
        spans[number] = (rows, cols)

    put(0, *image)
    for node in nodes:
        rule = rules[node.index]
        if rule is None or any(number not in spans for number in node.inputs):
            continue
        rows, cols = spans[node.inputs[0]]
        if isinstance(rule, Local | Resampled):
            rows, cols = rule.slides[0].forward(rows), rule.slides[1].forward(cols)
        elif isinstance(rule, Moved):
            lengths = shapes[node.outputs[0]][-2:]
            rows, cols = (
                Span(span.low + offset, span.high + offset, length)
                for span, offset, length in zip((rows, cols), rule.offsets, lengths, strict=True)
            )
        for number in node.inputs[1:]:
            rows, cols = rows.hull(spans[number][0]), cols.hull(spans[number][1])
        for number in node.outputs:
            put(number, rows, cols)
    return spans


def split(positions: Ints, most: int) -> list[Ints]:
    """Part positions into runs of about equal length, none longer than `most`."""
    return np.array_split(positions, -(-len(positions) // most))


def tracks_of(spans: Axes) -> Tracks:
    """Return windows of one size, rows and columns, for spans."""
    return spans[0].track(), spans[1].track()


def each(function: Callable[..., Track], *pairs: tuple[Any, Any]) -> Tracks:
    """Apply a function to rows and to columns."""
    rows, cols = (function(*items) for items in zip(*pairs, strict=True))
    return rows, cols


def moved(tracks: Tracks, offsets: tuple[int, int], lengths: Sequence[int]) -> Tracks:
    """Return the same windows in a map that begins `offsets` earlier."""
    return each(
        lambda track, offset, length: Track(track.starts + offset, track.size, length),
        tracks,
        offsets,
        (lengths[0], lengths[1]),
    )


def fixed(tracks: Tracks, top: int, left: int, bottom: int, right: int) -> Tracks:
    """Return the same window for every position."""
    rows, cols = tracks
    return (
        Track(np.full(len(rows.starts), top, dtype=np.int64), bottom - top, rows.length),
        Track(np.full(len(cols.starts), left, dtype=np.int64), right - left, cols.length),
    )


def whole(tracks: Tracks) -> Tracks:
    """Return the whole map for every position."""
    return fixed(tracks, 0, 0, tracks[0].length, tracks[1].length)


def same(tracks: Tracks, wanted: Tracks) -> bool:
    """Return whether these are the same windows."""
    return all(one.same(two) for one, two in zip(tracks, wanted, strict=True))


def shares_of(
    rule: Local, beyond: tuple[int, int], halo: Tracks, out: Tracks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return which share of its kernel an average counts along rows, (P, h), and along columns, (P', w)."""
    shares = []
    for slide, far, read, made in zip(rule.slides, beyond, halo, out, strict=True):
        places = read.starts[:, None] + np.arange(read.size)
        inside = (places >= -far) & (places < read.length + far)
        first = np.arange(made.size) * slide.stride
        shares.append(inside[:, first[:, None] + np.arange(slide.extent)].mean(axis=2))
    return shares[0], shares[1]


def hull(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all."""
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def backward(rule: Rule, box: Box) -> Box:
    """Return the part of an input's map that a part of the output's can see."""
    top, left, bottom, right = box
    if isinstance(rule, Moved):
        rows, cols = rule.offsets
        return top - rows, left - cols, bottom - rows, right - cols
    if isinstance(rule, Local | Resampled):
        (top, bottom), (left, right) = (
            rule.slides[0].backward(top, bottom),
            rule.slides[1].backward(left, right),
        )
    return top, left, bottom, right


def folded(nodes: Sequence[Node], wanted: Collection[int]) -> list[Node]:
    """Return the nodes with every convolution and the batch normalization of its output made one convolution.

    The scaled weights are computed in double precision, so that the result differs by rounding only.

    Parameters
    ----------
    nodes : sequence of Node
        In running order, of a network in evaluation mode.
    wanted : collection of int
        The values that must be computed; none is folded away.

    Returns
    -------
    list of Node
    """
    reads = Counter(number for node in nodes for number in node.inputs)
    makers = {number: node for node in nodes for number in node.outputs}
    gone: set[int] = set()
    result: list[Node] = []
    for node in nodes:
        source = makers.get(node.inputs[0]) if node.inputs else None
        one = None
        if source is not None and reads[node.inputs[0]] == 1 and node.inputs[0] not in wanted:
            one = _together(source, node)
        if one is None or source is None:
            result.append(node)
        else:
            gone.add(source.index)
            result.append(one)
    return [node for node in result if node.index not in gone]


def _together(conv: Node, norm: Node) -> Node | None:
    """Return a convolution that also normalizes, in the place of the normalization; None if these are others."""
    if conv.name != "conv2d" or norm.name != "batch_norm" or len(norm.inputs) != 1:
        return None
    left, right = given(conv), given(norm)
    weight, bias = left["weight"], left["bias"]
    mean, var, gain, shift = (right[name] for name in ("running_mean", "running_var", "weight", "bias"))
    if right["training"] or mean is None or var is None:
        return None
    if isinstance(bias, Ref) or not isinstance(weight, Tensor) or len(conv.outputs) != 1:
        return None
    scale = (wide(var) + right["eps"]).rsqrt()
    if gain is not None:
        scale = scale * wide(gain)
    offset = -wide(mean) if bias is None else wide(bias) - wide(mean)
    offset = offset * scale
    if shift is not None:
        offset = offset + wide(shift)
    keywords = {
        **left,
        "weight": (wide(weight) * scale.view(-1, 1, 1, 1)).to(weight.dtype).to(weight.device),
        "bias": offset.to(weight.dtype).to(weight.device),
    }
    return replace(
        norm,
        function=torch.conv2d,
        name="conv2d",
        args=(),
        kwargs=keywords,
        inputs=conv.inputs,
        seconds=conv.seconds + norm.seconds,
    )


def bounded(
    nodes: Sequence[Node], rules: Mapping[int, Rule | None], wanted: Collection[int]
) -> tuple[list[Node], dict[int, Rule | None]]:
    """Return nodes and their rules with every convolution and a ReLU of its output made one.

    Only the rule of such a node does both: its function is still the convolution alone.
    """
    reads = Counter(number for node in nodes for number in node.inputs)
    makers = {number: node for node in nodes for number in node.outputs}
    kept, found = {node.index: node for node in nodes}, dict(rules)
    for node in nodes:
        between = bounds(node)
        if between is None:
            continue
        number = node.inputs[0]
        source = makers.get(number)
        rule = None if source is None else rules[source.index]
        if source is None or reads[number] != 1 or number in wanted or not isinstance(rule, Local):
            continue
        if isinstance(rule.run, Convolution):
            del kept[source.index], found[source.index]
            kept[node.index] = replace(
                source, index=node.index, outputs=node.outputs, seconds=source.seconds + node.seconds
            )
            found[node.index] = replace(rule, run=rule.run.between(*between))
    return list(kept.values()), found


SHARE = 0.9
"""Windows that cover a larger share of a map than this are not worth their gathering."""

GROUPS = 3
"""Groups of row positions, and of column positions, that are computed with windows of one size."""

LEAST = 9
"""Positions that a group has at least, on average: batches that are too small waste the processor."""

BUDGET = 1 << 24
"""Bytes that the values of one batch of positions may take at any node."""


class UnfollowableError(Exception):
    """The network does something that cannot be run again piece by piece; the message says what."""


@dataclass(frozen=True)
class NodePlan:
    """How one node is computed for one group of positions: on windows if it has tracks, else on whole maps."""

    node: Node
    rule: Rule | None
    tracks: Tracks | None
    sources: dict[int, Taking | None]
    shares: Tensor | None = None
    mixed: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Group:
    """Positions that are computed together: rows × cols of the grid."""

    rows: Ints
    cols: Ints
    image: Tracks
    nodes: tuple[NodePlan, ...]
    last: Taking | None

    @property
    def count(self) -> int:
        """How many positions it has."""
        return len(self.rows) * len(self.cols)


class Plan:
    """How to compute one value of a tape, or several, for every position of an occluder.

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
    also : sequence of int
        Values that are wanted beside the target: each is told when it is made (`netviz.geometry.incremental.run`),
        and none is put together from its windows, not even the target.
    share : float
        See `SHARE`; 0 computes whole maps throughout.

    Raises
    ------
    UnfollowableError
        If the tape does not hold all that the network does.
    """

    also: frozenset[int] = frozenset()

    def __init__(
        self,
        tape: Tape,
        target: int,
        tops: Ints,
        lefts: Ints,
        patch: tuple[int, int],
        *,
        focus: Box | None = None,
        also: Sequence[int] = (),
        share: float = SHARE,
    ) -> None:
        self.patch, self.also = patch, frozenset(also)
        self.tops, self.lefts = tops, lefts
        height, width = tape.shapes[0][-2:]
        image = (Span(tops, tops + patch[0], height), Span(lefts, lefts + patch[1], width))
        self._begin(tape, target, share)
        spans = self._follow(image, focus)
        parts = [self._groups(axis, spans) for axis in range(2)]
        self.groups = [
            self._compile(some_rows, some_cols, spans)
            for rows in parts[0]
            for cols in parts[1]
            for some_rows, some_cols in self._batches(rows, cols, spans)
        ]

    @property
    def seconds(self) -> float:
        """About how long all positions take, by how long each function took when it was recorded."""
        found = 0.0
        for group in self.groups:
            for planned in group.nodes:
                share = 1.0
                if planned.tracks is not None:
                    share = math.prod(track.size / max(1, track.length) for track in planned.tracks)
                found += group.count * share * planned.node.seconds
        return found

    @property
    def work(self) -> tuple[float, float]:
        """How many multiplications convolutions and poolings take at all positions: in full passes, and here."""
        full = shared = 0.0
        for group in self.groups:
            for planned in group.nodes:
                rule = self.rules[planned.node.index]
                if isinstance(rule, Local):
                    whole = group.count * rule.work * math.prod(self.shapes[planned.node.outputs[0]][-2:])
                    full += whole
                    tracks = planned.tracks or ()
                    shared += whole * math.prod(track.size / max(1, track.length) for track in tracks)
        return full, shared

    @property
    def reads(self) -> frozenset[int]:
        """Which of the image's own values running it reads: those around windows, and what is wanted."""
        taken = {
            number
            for group in self.groups
            for planned in group.nodes
            for number, way in planned.sources.items()
            if way is not None
        }
        return frozenset({0, self.target, *self.also, *taken})

    def _begin(self, tape: Tape, target: int, share: float, source: int = 0) -> None:
        """Note what is to be computed, from the image or, by torch's own functions, from another value on."""
        self.shapes, self.target, self.share = tape.shapes, target, share
        wanted = self.also | {target}
        self.nodes: list[Node]
        self.rules: dict[int, Rule | None]
        if source:
            self.nodes = folded(_needed(tape, wanted, source), wanted)
            self.rules = dict.fromkeys(node.index for node in self.nodes)
        else:
            self.nodes, self.rules = _prepared(tape, wanted)
        self.readers = {number: node.index for node in self.nodes for number in node.inputs}

    def _follow(self, image: Axes, focus: Box | None) -> dict[int, Axes]:
        """Return where each value can change."""
        self.focus = focus
        bounds = seen_by(self.nodes, self.rules, self.target, focus)
        return follow(self.nodes, self.rules, self.shapes, image, bounds)

    def _picked(self, spans: dict[int, Axes], rows: Ints, cols: Ints) -> dict[int, Axes]:
        """Return where each value can change for some of the positions."""
        return {number: (one.pick(rows), two.pick(cols)) for number, (one, two) in spans.items()}

    def _take(self, tracks: Tracks, wanted: Tracks, outside: float = 0.0) -> Taking:
        """Return how windows become windows of another size and place."""
        return Taking(
            self._starts(tracks),
            self._starts(wanted),
            (tracks[0].size, tracks[1].size),
            (wanted[0].size, wanted[1].size),
            (tracks[0].length, tracks[1].length),
            outside,
        )

    def _starts(self, tracks: Tracks) -> Ints:
        """Return the row and column at which each window begins, (P, 2)."""
        rows, cols = (track.starts for track in tracks)
        return np.stack([np.repeat(rows, len(cols)), np.tile(cols, len(rows))], axis=1)

    def _shares(self, rule: Local, beyond: tuple[int, int], halo: Tracks, out: Tracks) -> Tensor:
        """Return which share of its kernel an average counts, for every output of every window, (P, 1, h, w)."""
        down, across = shares_of(rule, beyond, halo, out)
        both = down[:, None, :, None] * across[None, :, None, :]
        return torch.from_numpy(both.reshape(-1, 1, out[0].size, out[1].size))

    def _mixed(self, rule: Resampled, halo: Tracks, out: Tracks) -> tuple[Tensor, Tensor]:
        """Return the weights of an interpolation for every window, (P, 1, h', h) and (P, 1, w', w)."""
        read, made = self._starts(halo), self._starts(out)
        down, across = (
            slide.between(read[:, axis], halo[axis].size, made[:, axis], out[axis].size)
            for axis, slide in enumerate(rule.slides)
        )
        return down, across

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
        made: list[NodePlan] = []
        for node in self.nodes:
            rule = self.rules[node.index]
            inside = rule is not None and all(number in tracks for number in node.inputs)
            out = tracks_of(picked[node.outputs[0]]) if inside else None
            if out is not None and out[0].size * out[1].size > self.share * out[0].length * out[1].length:
                out = None
            if out is None or rule is None:
                fresh = [number for number in node.inputs if number in tracks and number not in expanded]
                expanded.update(fresh)
                made.append(
                    NodePlan(
                        node,
                        None,
                        None,
                        {number: self._take(tracks[number], whole(tracks[number])) for number in fresh},
                    )
                )
                continue
            first, shares, mixed = tracks[node.inputs[0]], None, None
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
            elif isinstance(rule, Resampled):
                wanted = each(
                    lambda slide, track, like: slide.halo(track, like.length), rule.slides, out, first
                )
                mixed = self._mixed(rule, wanted, out)
            elif len(node.inputs) == 1:
                out = wanted = first
            outside = rule.outside if isinstance(rule, Local) else 0.0
            sources = {
                number: None if same(tracks[number], wanted) else self._take(tracks[number], wanted, outside)
                for number in node.inputs
            }
            tracks.update(dict.fromkeys(node.outputs, out))
            made.append(NodePlan(node, rule, out, sources, shares, mixed))
        last = None
        if self.target in tracks and not self.also:
            top, left, bottom, right = self.focus or (0, 0, *self.shapes[self.target][-2:])
            last = self._take(tracks[self.target], fixed(tracks[self.target], top, left, bottom, right))
        return Group(rows, cols, tracks[0], tuple(made), last)

    def _batches(self, rows: Ints, cols: Ints, spans: dict[int, Axes]) -> list[tuple[Ints, Ints]]:
        """Part a group of positions until the values of each part fit the budget."""
        most = self._most(rows, cols, spans)
        across = min(len(cols), most)
        down = max(1, most // across)
        return [(some, those) for some in split(rows, down) for those in split(cols, across)]

    def _most(self, rows: Ints, cols: Ints, spans: dict[int, Axes]) -> int:
        """Return how many of a group of positions fit the budget together."""
        # What is read is the whole target, or the focus of it, or what is made on the way.
        widest = self.shapes[self.target].numel() if self.focus is None and not self.also else 1
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


def _prepared(tape: Tape, wanted: frozenset[int]) -> tuple[list[Node], dict[int, Rule | None]]:
    if wanted not in tape.prepared:
        # Many plans may be made of a tape, and each would fold and transform all weights again.
        nodes = folded(_needed(tape, wanted), wanted)
        rules = {node.index: rule_for(node, tape.shapes) for node in nodes}
        tape.prepared[wanted] = bounded(nodes, rules, wanted)
    nodes, rules = tape.prepared[wanted]
    return nodes, rules


def readable(tape: Tape, target: int) -> frozenset[int]:
    """Return which of the image's own values any plan for a target may read, wherever something changes.

    Raises
    ------
    UnfollowableError
        If the tape does not hold all that the network does.
    """
    nodes, rules = _prepared(tape, frozenset((target,)))
    windows = {0}
    for node in nodes:
        if rules[node.index] is not None and windows.issuperset(node.inputs):
            windows.update(node.outputs)
    read = {number for node in nodes for number in node.inputs}
    return frozenset({0, target, *(windows & read)})


def clean_values(
    tape: Tape,
    network: nn.Module,
    image: Tensor,
    numbers: Set[int],
    reserve: Callable[[int], None] | None = None,
) -> Sequence[Tensor]:
    """Return the values of a tape, of which these are there: see `netviz.capture.with_values`.

    Raises
    ------
    UnfollowableError
        If the network does something else each time.
    """
    found = with_values(tape, network, image, numbers, reserve)
    if found is None:
        raise UnfollowableError("the network does something else each time that it runs")
    return found.values


def _needed(tape: Tape, targets: Collection[int], source: int = 0) -> list[Node]:
    """Return the nodes that values come from, or those of them that come from another, in running order."""
    if tape.trouble:
        raise UnfollowableError(tape.trouble)
    wanted, nodes = set(targets), []
    reached = {source}
    for node in tape.nodes if source else ():
        if not reached.isdisjoint(node.inputs):
            reached.update(node.outputs)
    for node in reversed(tape.nodes):
        if wanted.isdisjoint(node.outputs) or (source and reached.isdisjoint(node.inputs)):
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
