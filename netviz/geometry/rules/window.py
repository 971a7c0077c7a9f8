"""Geometry of functions with windows: convolution, pooling, interpolation, padding."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    spread, weight = call.only(), call.get(1, "weight", None)
    kernel = [int(one) for one in call.weight_shape(weight)[2:]]
    transposed = "transpose" in call.node.name
    stride = each(call.get(3, "stride", 1), rank)
    dilation = each(call.get(7 if transposed else 5, "dilation", 1), rank)
    padding = call.get(4, "padding", 0)
    if padding == "same":
        before = [d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]
    else:
        before = [0] * rank if padding == "valid" else each(padding, rank)
    channel = spread.rank - rank - 1
    if spatial(spread.dims[channel]) and call.get(6, "groups", 1) != 1:
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


def pooling(size: int, stride: int, padding: int | None, dilation: int | None) -> Rule:
    """Make the rule for a pooling whose arguments are at these places."""

    def rule(call: Call) -> Spread:
        spread = call.spread(0)
        rank = _rank(call.node.name)
        kernel = each(call.get(size, "kernel_size", None), rank)
        steps = call.get(stride, "stride", None)
        step = kernel if steps is None or steps in ((), []) else each(steps, rank)
        before = [0] * rank if padding is None else each(call.get(padding, "padding", 0), rank)
        wide = [1] * rank if dilation is None else each(call.get(dilation, "dilation", 1), rank)
        for i in range(rank):
            at = spread.rank - rank + i
            spread = slid(spread, at, _plain(kernel[i], step[i], before[i], wide[i]), call.shape[at])
        return spread

    return rule


def adaptive(call: Call) -> Spread:
    """Plain windows where the input is a multiple of the output; all positions where the output is one."""
    spread = call.spread(0)
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
    spread = call.spread(0)
    scales = call.get(2, "scale_factor", None)
    mode = call.get(3, "mode", "nearest")
    rank = spread.rank - 2
    scale = list(scales) if isinstance(scales, list | tuple) else [scales] * rank
    if call.get(5, "recompute_scale_factor", None):
        scale = [None] * rank
    if mode == "area":
        return _areas(call, spread, range(2, spread.rank))
    for i in range(rank):
        at = 2 + i
        inside, outside = length_of(spread.dims[at]), call.shape[at]
        corners = bool(call.get(4, "align_corners", None))
        if corners:
            ratio = (inside - 1) / (outside - 1) if outside > 1 else 0.0
        else:
            ratio = inside / outside if scale[i] is None else 1 / float(scale[i])
        if ratio == 1.0 and inside == outside:
            continue
        antialias = bool(call.get(6, "antialias", False))
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
    spread = call.spread(0)
    amounts, mode = integers(call.get(1, "pad", ())), call.get(2, "mode", "constant")
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
    spread, times = call.only(), int(call.get(1, "upscale_factor", 1))
    channel = spread.rank - 3
    spread = contracted(spread, channel, keep=True).with_dim(channel, neutral(call.shape[channel]))
    for at in (channel + 1, channel + 2):
        reads = np.arange(call.shape[at]) // times
        spread = slid(spread, at, hull(reads, reads, 1 / times), call.shape[at])
    return spread


def pixel_unshuffle(call: Call) -> Spread:
    """Each r × r positions become channels of one: a unit sees one of them, the layer all."""
    spread, times = call.only(), int(call.get(1, "downscale_factor", 1))
    channel = spread.rank - 3
    if spatial(spread.dims[channel]):
        raise LostError("of positions cut into windows")
    spread = spread.with_dim(channel, neutral(call.shape[channel]))
    for at in (channel + 1, channel + 2):
        window = Window(0, times, times - 1, exact=times == 1)
        spread = slid(spread, at, window, call.shape[at])
    return spread


_CONVOLUTIONS = [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]


WINDOWS: dict[str, Rule] = {
    **dict.fromkeys(_CONVOLUTIONS, convolution),
    **{f"max_pool{n}d{tail}": pooling(1, 2, 3, 4) for n in (1, 2, 3) for tail in ("", "_with_indices")},
    **{f"avg_pool{n}d": pooling(1, 2, 3, None) for n in (1, 2, 3)},
    **{f"lp_pool{n}d": pooling(2, 3, None, None) for n in (1, 2, 3)},
    **{
        f"adaptive_{kind}_pool{n}d{tail}": adaptive
        for kind in ("avg", "max")
        for n in (1, 2, 3)
        for tail in ("", "_with_indices")
    },
    **dict.fromkeys(("interpolate", "upsample"), interpolation),
    "pad": padding,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
}
