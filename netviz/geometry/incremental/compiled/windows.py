"""Windows of maps, channels last: taken, and convolved channel by channel.

Every function runs on one thread and lets Python's other threads run. Channels are multiples of `LANES`, but for
`take`, which knows bytes only.
"""

import numpy as np
from numpy.typing import NDArray

from netviz.compiling import compiled
from netviz.geometry.incremental.compiled.vectors import (
    LANES,
    clamped,
    copy,
    fused,
    load,
    plus,
    put,
    spread,
    store,
)

Floats = NDArray[np.float32]

Ints = NDArray[np.int64]


@compiled
def _fill(address: int, count: int, value: float) -> None:
    at, end, many = address, address + 4 * count, spread(np.float32(value))
    while at + 4 * LANES <= end:
        store(at, many)
        at += 4 * LANES
    if at < end:
        for byte in range(at, end, 4):
            put(byte, np.float32(value))


@compiled
def _window(
    base: int, height: int, width: int, window: int, own_height: int, own_width: int,
    top: int, left: int, to_top: int, to_left: int, outside: float, out: int, rows: int, columns: int,
    channels: int,
) -> None:  # fmt: skip
    """Make one window out of a clean map and a window that lies over it; all three are given by address."""
    step = 4 * channels
    # Columns up to these come from outside, the map, the window, the map, and outside.
    before = min(max(-to_left, 0), columns)
    beyond = max(min(width - to_left, columns), before)
    first = min(max(left - to_left, before), beyond)
    last = max(min(left + own_width - to_left, beyond), first)
    for row in range(rows):
        line = to_top + row
        to = out + row * columns * step
        if line < 0 or line >= height:
            _fill(to, columns * channels, outside)
            continue
        clean = base + (line * width + to_left) * step
        if before > 0:
            _fill(to, before * channels, outside)
        if beyond < columns:
            _fill(to + beyond * step, (columns - beyond) * channels, outside)
        if top <= line < top + own_height:
            own = window + ((line - top) * own_width + to_left - left) * step
            copy(to + before * step, clean + before * step, (first - before) * step)
            copy(to + first * step, own + first * step, (last - first) * step)
            copy(to + last * step, clean + last * step, (beyond - last) * step)
        else:
            copy(to + before * step, clean + before * step, (beyond - before) * step)


@compiled
def take(
    base: Floats, height: int, width: int, windows: Floats, given: Ints, wanted: Ints, outside: float,
    out: Floats,
) -> None:  # fmt: skip
    """Make windows, (P, h', w', C), of windows (P, h, w, C) and of the clean map (H·W, C) around them.

    Rows and columns at which they begin are `wanted` and `given`, (P, 2); beyond the map everything is `outside`.
    """
    channels = out.shape[3]
    own = 4 * channels * windows.shape[1] * windows.shape[2]
    whole = 4 * channels * out.shape[1] * out.shape[2]
    for place in range(len(out)):
        _window(
            base.ctypes.data, height, width, windows.ctypes.data + place * own, windows.shape[1],
            windows.shape[2], given[place, 0], given[place, 1], wanted[place, 0], wanted[place, 1],
            outside, out.ctypes.data + place * whole, out.shape[1], out.shape[2], channels,
        )  # fmt: skip


@compiled
def by_channel(
    base: Floats, height: int, width: int, windows: Floats, given: Ints, wanted: Ints,
    halo: Floats, weight: Floats, bias: Floats, stride: Ints, dilation: Ints, low: float, high: float,
    out: Floats,
) -> None:  # fmt: skip
    """Convolve each channel by its own filter, (kh, kw, C), on windows that are taken as `take` does.

    `halo`, (h', w', C), has room for what one of them reads; the result, (P, ho, wo, C), is between `low` and `high`.
    """
    channels = out.shape[3]
    step, pitch = 4 * channels, 4 * channels * halo.shape[1]
    own, along = step * windows.shape[1] * windows.shape[2], step * stride[1]
    least, most = spread(np.float32(low)), spread(np.float32(high))
    for place in range(len(out)):
        _window(
            base.ctypes.data, height, width, windows.ctypes.data + place * own, windows.shape[1],
            windows.shape[2], given[place, 0], given[place, 1], wanted[place, 0], wanted[place, 1],
            0.0, halo.ctypes.data, halo.shape[0], halo.shape[1], channels,
        )  # fmt: skip
        for row in range(out.shape[1]):
            for channel in range(0, channels, LANES):
                first = halo.ctypes.data + row * stride[0] * pitch + 4 * channel
                target = out.ctypes.data + ((place * out.shape[1] + row) * out.shape[2]) * step + 4 * channel
                offset = load(bias.ctypes.data + 4 * channel)
                column = 0
                # Four at once: one sum would wait for itself at each step.
                while column + 4 <= out.shape[2]:
                    source = first + column * along
                    one = two = three = four = offset
                    factor = weight.ctypes.data + 4 * channel
                    for down in range(weight.shape[0]):
                        at = source + down * dilation[0] * pitch
                        for _across in range(weight.shape[1]):
                            share = load(factor)
                            one = fused(load(at), share, one)
                            two = fused(load(at + along), share, two)
                            three = fused(load(at + 2 * along), share, three)
                            four = fused(load(at + 3 * along), share, four)
                            at += dilation[1] * step
                            factor += step
                    to = target + column * step
                    store(to, clamped(one, least, most))
                    store(to + step, clamped(two, least, most))
                    store(to + 2 * step, clamped(three, least, most))
                    store(to + 3 * step, clamped(four, least, most))
                    column += 4
                while column < out.shape[2]:
                    source, one = first + column * along, offset
                    factor = weight.ctypes.data + 4 * channel
                    for down in range(weight.shape[0]):
                        at = source + down * dilation[0] * pitch
                        for _across in range(weight.shape[1]):
                            one = fused(load(at), load(factor), one)
                            at += dilation[1] * step
                            factor += step
                    store(target + column * step, clamped(one, least, most))
                    column += 1


@compiled
def finish(x: Floats, bias: Floats, low: float, high: float) -> None:
    """Add a number to each channel of pixels (N, C), in place, and bring the sums between `low` and `high`."""
    channels = x.shape[1]
    least, most = spread(np.float32(low)), spread(np.float32(high))
    for row in range(len(x)):
        at, offset = x.ctypes.data + 4 * row * channels, bias.ctypes.data
        for _ in range(0, channels, LANES):
            store(at, clamped(plus(load(at), load(offset)), least, most))
            at += 4 * LANES
            offset += 4 * LANES
