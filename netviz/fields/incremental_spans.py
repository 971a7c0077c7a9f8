"""How far a change reaches: from the occluder forward through a tape, and from what is wanted back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from netviz.capture.tape import Node
from netviz.fields.incremental_local import Local, Moved
from netviz.fields.incremental_rules import Rule
from netviz.fields.windows import Ints, Span, Track

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
        if isinstance(rule, Local):
            rows, cols = (slide.forward(span) for slide, span in zip(rule.slides, (rows, cols), strict=True))
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
    if isinstance(rule, Local):
        (top, bottom), (left, right) = (
            rule.slides[0].backward(top, bottom),
            rule.slides[1].backward(left, right),
        )
    return top, left, bottom, right
