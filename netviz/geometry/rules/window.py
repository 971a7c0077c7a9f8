"""Geometry of functions with windows: convolution, pooling, interpolation, padding."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.capture.operations import arguments, names
from netviz.geometry.axes import Atom, LostError, Spread, contracted, line, neutral, settled, spatial
from netviz.geometry.axes import total as length_of
from netviz.geometry.rules.call import Call, Rule, each, integers


@dataclass(frozen=True)
class Window:
    """Output i reads positions ``offset + i*stride`` to ``offset + i*stride + reach``; at most, if not `exact`."""

    offset: float
    stride: float
    reach: float
    exact: bool = True


def slid(spread: Spread, at: int, window: Window, count: int) -> Spread:
    """Return a value after a window ran along a dimension; `count` is the output's length there."""
    if not spatial(spread.dims[at]):
        return spread.with_dim(at, neutral(count))
    spread = settled(spread, at)
    name = spread.dims[at][0].name
    axis = spread.axis(name).window(window.offset, window.stride, window.reach, window.exact)
    return spread.with_axis(name, axis).with_dim(at, (Atom(name, count),))


def hull(low: NDArray[Any], high: NDArray[Any], stride: float | None = None) -> Window:
    """Return the window that contains what each output reads: positions ``low[i]`` to ``high[i]``."""
    first, last = low.astype(float), high.astype(float)
    steps = np.arange(len(low))
    if stride is None:
        size, stride, offset = line(first, last + 1)
        reach = size - 1
    else:
        offset = float(np.min(first - stride * steps))
        reach = float(np.max(last - stride * steps)) - offset
    tight = np.allclose(first, offset + stride * steps, rtol=0, atol=1e-9) and np.allclose(
        last, offset + stride * steps + reach, rtol=0, atol=1e-9
    )
    return Window(offset, stride, reach, bool(tight))


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
        spread = spread.loosened()
    spread = contracted(spread, channel, keep=True).with_dim(channel, neutral(call.shape[channel]))
    for i in range(rank):
        at = channel + 1 + i
        make = _transposed if transposed else _plain
        window = make(kernel[i], stride[i], before[i], dilation[i])
        spread = slid(spread, at, window, call.shape[at])
    return spread


def _plain(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    return Window(-padding, stride, dilation * (kernel - 1))


def _transposed(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    """Return the hull over the phases: output o reads those inputs i for which a tap has ``o + p = i*s + d*t``."""
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
    exact = len(low) == stride and max(low) == min(low) and max(high) == min(high)
    return Window(min(low), 1 / stride, max(high) - min(low), exact)


def pooling(call: Call) -> Spread:
    """Maxima, averages and L_p norms of windows; without a stride, one beside the other."""
    spread, given = call.first(), arguments(call.node.name, call.node.args, call.node.kwargs)
    rank = _rank(call.node.name)
    kernel = each(given["kernel_size"], rank)
    step = kernel if given["stride"] in (None, (), []) else each(given["stride"], rank)
    before, wide = each(given.get("padding", 0), rank), each(given.get("dilation", 1), rank)
    for i in range(rank):
        at = spread.rank - rank + i
        spread = slid(spread, at, _plain(kernel[i], step[i], before[i], wide[i]), call.shape[at])
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
        inside, outside = length_of(spread.dims[at]), call.shape[at]
        steps = np.arange(outside)
        low, high = steps * inside // outside, -((steps + 1) * -inside // outside) - 1
        spread = slid(spread, at, hull(low, high, inside / outside), outside)
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
        inside, outside = length_of(spread.dims[at]), call.shape[at]
        corners = bool(call.get("align_corners"))
        if corners:
            ratio = (inside - 1) / (outside - 1) if outside > 1 else 0.0
        else:
            ratio = inside / outside if scale[i] is None else 1 / float(scale[i])
        if ratio == 1.0 and inside == outside:
            continue
        antialias = bool(call.get("antialias"))
        low, high = _taps(mode, ratio, outside, corners, antialias)
        spread = slid(spread, at, hull(low, high, ratio), outside)
    return spread


def _taps(
    mode: str, ratio: float, count: int, corners: bool, antialias: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first and the last position that each output reads, before clamping at the border.

    torch computes in single precision: where that differs from double by a pixel, both count.
    """
    pairs = []
    for kind in (np.float32, np.float64):
        steps, step = np.arange(count, dtype=kind), kind(ratio)
        if mode == "nearest":
            at = np.floor(steps * step)
            pairs.append((at, at))
            continue
        if mode == "nearest-exact":
            at = np.floor((steps + kind(0.5)) * step)
            pairs.append((at, at))
            continue
        at = steps * step if corners else (steps + kind(0.5)) * step - kind(0.5)
        if antialias:
            support = max(ratio, 1.0) * (2 if mode == "bicubic" else 1)
            pairs.append((np.floor(at - support), np.ceil(at + support)))
        elif mode == "bicubic":
            between = at != np.floor(at)  # on a position, the cubic's other weights are zero
            pairs.append((np.floor(at) - between, np.ceil(at) + between))
        elif mode in ("linear", "bilinear", "trilinear"):
            pairs.append((np.floor(at), np.ceil(at)))
        else:
            raise LostError(f"in mode {mode}")
    (low, high), (other_low, other_high) = pairs
    return np.minimum(low, other_low), np.maximum(high, other_high)


def padding(call: Call) -> Spread:
    """Zeros shift the axis; reflected and repeated pixels are read from inside."""
    spread = call.first()
    amounts, mode = integers(call.get("pad")), call.get("mode")
    for i in range(len(amounts) // 2):
        at, before, after = spread.rank - 1 - i, amounts[2 * i], amounts[2 * i + 1]
        if (before, after) == (0, 0):
            continue
        inside, outside = length_of(spread.dims[at]), call.shape[at]
        if mode == "constant" or (before <= 0 and after <= 0):
            window = Window(-before, 1, 0)
        elif mode in ("reflect", "replicate", "circular"):
            reads = _border(mode, np.arange(outside) - before, inside)
            window = hull(reads, reads, 1.0)
        else:
            raise LostError(f"in mode {mode}")
        spread = slid(spread, at, window, outside)
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
        spread = slid(spread, at, hull(reads, reads, 1 / times), call.shape[at])
    return spread


def pixel_unshuffle(call: Call) -> Spread:
    """Each r × r positions become channels of one: a unit sees one of them, the layer all."""
    spread, times = call.only(), int(call.get("downscale_factor"))
    channel = spread.rank - 3
    if spatial(spread.dims[channel]):
        raise LostError("of positions cut into windows")
    spread = spread.with_dim(channel, neutral(call.shape[channel]))
    for at in (channel + 1, channel + 2):
        window = Window(0, times, times - 1, exact=times == 1)
        spread = slid(spread, at, window, call.shape[at])
    return spread


WINDOWS: dict[str, Rule] = {
    **dict.fromkeys(names("convolution", "transposed convolution"), convolution),
    **dict.fromkeys(names("pooling"), pooling),
    **dict.fromkeys(names("adaptive pooling"), adaptive),
    **dict.fromkeys(names("interpolation"), interpolation),
    "pad": padding,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
}
