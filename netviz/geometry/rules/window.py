"""Geometry of functions with windows: convolution, pooling, interpolation, padding."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.capture.layout import Atom, Dim, LostError, regrouped, total
from netviz.capture.operations import arguments, names
from netviz.geometry.axes import Spread, Window, contracted, hull, neutral, read, settled, spatial
from netviz.geometry.rules.call import Call, Rule, each, integers

# How far a position computed in single precision is off, as a share of it: four roundings of 2^-24 each, and more.
_SINGLE = 4e-7


def _rank(name: str) -> int:
    found = re.search(r"(\d)d", name)
    return int(found.group(1)) if found else 1


def convolution(call: Call) -> Spread:
    """Any stride, dilation, padding and groups; transposed too."""
    rank = _rank(call.node.name)
    spread = call.only()
    kernel = [int(one) for one in call.shape_of("weight")[2:]]
    transposed = "transpose" in call.node.name
    stride = each(call.get("stride"), rank)
    dilation = each(call.get("dilation"), rank)
    padding = call.get("padding")
    if padding == "same":
        before = [d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]
    else:
        before = [0] * rank if padding == "valid" else each(padding, rank)
    channel = spread.rank - rank - 1
    if spatial(spread.dims[channel]) and call.get("groups") != 1:
        spread = spread.doubted()
    spread = contracted(spread, channel, keep=True).with_dim(channel, neutral(call.shape[channel]))
    for i in range(rank):
        at = channel + 1 + i
        make = _transposed if transposed else _plain
        sides = (total(spread.dims[at]), call.shape[at])
        window = make(kernel[i], stride[i], before[i], dilation[i], sides)
        spread = read(spread, at, window, call.shape[at])
    return spread


def _plain(kernel: int, stride: int, padding: int, dilation: int, sides: tuple[int, int]) -> Window:
    """Return a window, for sides before and after; of positions, it reads those that are there."""
    taps = np.add.outer(np.arange(sides[1]) * stride - padding, np.arange(kernel) * dilation)
    return Window(-padding, stride, dilation * (kernel - 1), taps)


def _transposed(kernel: int, stride: int, padding: int, dilation: int, sides: tuple[int, int]) -> Window:
    """Return the hull over the phases: output o reads those inputs i for which a tap has ``o + p = i*s + d*t``."""
    taps = np.add.outer(np.arange(sides[1]) + padding, -np.arange(kernel) * dilation)
    reads = np.where(taps % stride == 0, taps // stride, -1)
    low, high = [], []
    for phase in range(stride):
        read = [
            (phase + padding - dilation * tap) // stride - phase / stride
            for tap in range(kernel)
            if (phase + padding - dilation * tap) % stride == 0
        ]
        if read:
            low.append(min(read))
            high.append(max(read))
    regular = len(low) == stride and max(low) == min(low) and max(high) == min(high)
    return Window(min(low), 1 / stride, max(high) - min(low), reads, regular)


def pooling(call: Call) -> Spread:
    """Maxima, averages and L_p norms of windows; without a stride, one beside the other."""
    spread, given = call.first(), arguments(call.node.name, call.node.args, call.node.kwargs)
    rank = _rank(call.node.name)
    kernel = each(given["kernel_size"], rank)
    step = kernel if given["stride"] in (None, (), []) else each(given["stride"], rank)
    before, wide = each(given.get("padding", 0), rank), each(given.get("dilation", 1), rank)
    for i in range(rank):
        at = spread.rank - rank + i
        sides = (total(spread.dims[at]), call.shape[at])
        spread = read(spread, at, _plain(kernel[i], step[i], before[i], wide[i], sides), call.shape[at])
    return spread


def adaptive(call: Call) -> Spread:
    """Plain windows where the input is a multiple of the output; all positions where the output is one."""
    spread = call.first()
    ats = range(spread.rank - _rank(call.node.name), spread.rank)
    for at in ats:
        if call.shape[at] == 1 and spatial(spread.dims[at]):
            spread = contracted(spread, at, keep=True)
    return _areas(call, spread, ats)


def _areas(call: Call, spread: Spread, ats: Iterable[int]) -> Spread:
    for at in ats:
        inside, outside = total(spread.dims[at]), call.shape[at]
        steps = np.arange(outside)
        low, high = steps * inside // outside, -((steps + 1) * -inside // outside) - 1
        spread = read(spread, at, hull(low, high, inside / outside), outside)
    return spread


def interpolation(call: Call) -> Spread:
    """Nearest, linear and cubic, at any scale."""
    spread = call.first()
    scales = call.get("scale_factor")
    mode = call.get("mode")
    rank = spread.rank - 2
    scale = list(scales) if isinstance(scales, list | tuple) else [scales] * rank
    if call.get("recompute_scale_factor"):
        scale = [None] * rank
    if mode == "area":
        return _areas(call, spread, range(2, spread.rank))
    for i in range(rank):
        at = 2 + i
        inside, outside = total(spread.dims[at]), call.shape[at]
        corners = bool(call.get("align_corners"))
        if corners:
            ratio = (inside - 1) / (outside - 1) if outside > 1 else 0.0
        else:
            ratio = inside / outside if scale[i] is None else 1 / float(scale[i])
        if ratio == 1.0 and inside == outside:
            continue
        antialias = bool(call.get("antialias"))
        low, high, sure = _taps(mode, ratio, outside, corners, antialias)
        window = replace(hull(low, high, ratio, inside), exact=sure)
        spread = read(spread, at, window, outside)
    return spread


def _taps(
    mode: str, ratio: float, count: int, corners: bool, antialias: bool
) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Return the first and the last position that each output reads, before clamping, and whether it surely does.

    torch computes in single or double precision, fused or not: what either side of rounding reads counts. No
    rounding happens where the ratio is a number of few bits.
    """
    steps = np.arange(count, dtype=np.float64)
    if mode == "nearest":
        at = steps * ratio
    elif mode == "nearest-exact":
        at = (steps + 0.5) * ratio
    else:
        at = steps * ratio if corners else (steps + 0.5) * ratio - 0.5
    rounding = 0.0 if float(np.float16(ratio)) == ratio else _SINGLE * (1 + np.abs(at))
    ends = [_ends(mode, one, ratio, antialias) for one in (at - rounding, at, at + rounding)]
    low, high = ends[0][0], ends[2][1]
    return low, high, bool(np.array_equal(low, ends[2][0]) and np.array_equal(high, ends[0][1]))


def _ends(mode: str, at: NDArray[Any], ratio: float, antialias: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first and the last position whose weight is not zero, around each of these places."""
    if mode in ("nearest", "nearest-exact"):
        return np.floor(at), np.floor(at)
    if antialias:  # weights are above 0 closer than this, and 0 at it
        support = max(ratio, 1.0) * (2 if mode == "bicubic" else 1)
        return np.floor(at - support) + 1, np.ceil(at + support) - 1
    if mode == "bicubic":
        between = at != np.floor(at)  # on a position, the cubic's other weights are zero
        return np.floor(at) - between, np.ceil(at) + between
    if mode in ("linear", "bilinear", "trilinear"):
        return np.floor(at), np.ceil(at)
    raise LostError(f"in mode {mode}")


def padding(call: Call) -> Spread:
    """Zeros shift the axis; reflected and repeated pixels do, too, but are read from inside."""
    spread = call.first()
    amounts, mode = integers(call.get("pad")), call.get("mode")
    for i in range(len(amounts) // 2):
        at, before, after = spread.rank - 1 - i, amounts[2 * i], amounts[2 * i + 1]
        if (before, after) == (0, 0):
            continue
        inside, outside = total(spread.dims[at]), call.shape[at]
        window = _plain(1, 1, before, 1, (inside, outside))
        if mode in ("reflect", "replicate", "circular"):
            window = replace(window, reads=_border(mode, window.reads, inside))
        elif mode != "constant":
            raise LostError(f"in mode {mode}")
        if at < 2 and not spatial(spread.dims[at]):  # units, of which some see nothing: the layer does
            spread = spread.with_dim(at, neutral(outside))
            continue
        spread = read(spread, at, window, outside)
    return spread


def _border(mode: str, positions: NDArray[Any], inside: int) -> NDArray[Any]:
    """Return which position stands in for each one of the padded axis."""
    if mode == "replicate":
        clamped: NDArray[Any] = positions.clip(0, inside - 1)
        return clamped
    if mode == "circular":
        around: NDArray[Any] = positions % inside
        return around
    mirrored: NDArray[Any] = (inside - 1) - np.abs((inside - 1) - np.abs(positions))
    return mirrored


def pixel_shuffle(call: Call) -> Spread:
    """Each position becomes r × r: all channels of one position are read, r outputs each."""
    spread, times = call.only(), int(call.get("upscale_factor"))
    channel = spread.rank - 3
    spread = contracted(spread, channel, keep=True).with_dim(channel, neutral(call.shape[channel]))
    for at in (channel + 1, channel + 2):
        reads = np.arange(call.shape[at]) // times
        spread = read(spread, at, hull(reads, reads, 1 / times), call.shape[at])
    return spread


def _cut(spread: Spread, at: int, slide: tuple[int, int, int, int], count: int) -> tuple[Spread, Dim, Dim]:
    """Cut a dimension into `count` windows: kernel, stride, padding, dilation.

    Returns
    -------
    (Spread, Dim, Dim)
        With the dimension as long as the windows reach; what windows, and what positions inside one, run along.
    """
    kernel, stride, before, wide = slide
    if not spatial(spread.dims[at]):
        return spread, neutral(count), neutral(kernel)
    spread = settled(spread, at)
    inside, reach = total(spread.dims[at]), (count - 1) * stride + (kernel - 1) * wide + 1
    spread = read(spread, at, _plain(1, 1, before, 1, (inside, reach)), reach)
    name = spread.dims[at][0].name
    return spread, (Atom(name, count, stride),), (Atom(name, kernel, wide),)


def pixel_unshuffle(call: Call) -> Spread:
    """Each r × r positions become channels of one."""
    spread, times = call.only(), int(call.get("downscale_factor"))
    channel = spread.rank - 3
    taps: list[Dim] = []
    for at in (channel + 1, channel + 2):
        spread, outer, inner = _cut(spread, at, (times, times, 0, 1), call.shape[at])
        spread = spread.with_dim(at, outer)
        taps.append(inner)
    return spread.with_dim(channel, (*spread.dims[channel], *taps[0], *taps[1]))


def unfold(call: Call) -> Spread:
    """Windows of an image, (N, C * taps, windows); of a tensor's one dimension, with their inside last."""
    spread = call.only()
    if len(call.shape) == spread.rank + 1:
        words = dict(zip(("dimension", "size", "step"), call.node.args[1:], strict=False))
        at, size, step = (int({**words, **call.node.kwargs}[one]) for one in ("dimension", "size", "step"))
        at %= spread.rank
        spread, outer, inner = _cut(spread, at, (size, step, 0, 1), call.shape[at])
        spread = spread.with_dim(at, outer)
        return spread.with_dims((*spread.dims, inner))
    if spread.rank != 4:
        raise LostError("of something else than images")
    slides = _slides(call)
    counts = [
        (total(spread.dims[2 + i]) + 2 * before - wide * (kernel - 1) - 1) // stride + 1
        for i, (kernel, stride, before, wide) in enumerate(slides)
    ]
    outers: list[Dim] = []
    taps: list[Dim] = []
    for i in range(2):
        spread, outer, inner = _cut(spread, 2 + i, slides[i], counts[i])
        outers.append(outer)
        taps.append(inner)
    first, channels = spread.dims[:2]
    return spread.with_dims((first, (*channels, *taps[0], *taps[1]), (*outers[0], *outers[1])))


def fold(call: Call) -> Spread:
    """Sum up windows where they lie: as a transposed convolution with one window for each position."""
    spread, slides, size = call.only(), _slides(call), each(call.get("output_size"), 2)
    if spread.rank != 3:
        raise LostError("of a single image")
    counts = [
        (side + 2 * before - wide * (kernel - 1) - 1) // stride + 1
        for side, (kernel, stride, before, wide) in zip(size, slides, strict=True)
    ]
    if spatial(spread.dims[1]):  # which of a window's positions end up where is not followed
        spread = contracted(spread, 1, keep=True).loosened()
    spread = spread.with_dim(1, neutral(call.shape[1]))
    first, channels, *rows = regrouped(spread.dims, (*spread.shape[:2], *counts))
    spread = spread.with_dims((first, channels, *rows))
    for i, (kernel, stride, before, wide) in enumerate(slides):
        window = _transposed(kernel, stride, before, wide, (counts[i], size[i]))
        spread = read(spread, 2 + i, window, size[i])
    return spread


def _slides(call: Call) -> list[tuple[int, int, int, int]]:
    """Return kernel, stride, padding and dilation, for rows and for columns."""
    words = ("kernel_size", "stride", "padding", "dilation")
    kernel, stride, before, wide = (each(call.get(one), 2) for one in words)
    return list(zip(kernel, stride, before, wide, strict=True))


WINDOWS: dict[str, Rule] = {
    **dict.fromkeys(names("convolution", "transposed convolution"), convolution),
    **dict.fromkeys(names("pooling"), pooling),
    **dict.fromkeys(names("adaptive pooling"), adaptive),
    **dict.fromkeys(names("interpolation"), interpolation),
    "pad": padding,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "unfold": unfold,
    "fold": fold,
}
