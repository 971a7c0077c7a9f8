"""3×3 convolutions by way of fewer multiplications: Winograd's transforms of squares of pixels, channels last.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

import numpy as np
from numpy.typing import NDArray

from netviz.compiling import compiled
from netviz.geometry.incremental.compiled.vectors import LANES, load, sandwich, spread

Floats = NDArray[np.float32]

SIDE = 4
"""Rows and columns of outputs in a square. Of 2 they would take 16 multiplications for 4 outputs, of 4 36 for 16."""

READS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
"""What the 6×6 pixels that a square reads are multiplied by, from both sides."""

FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""The same for the filter."""

MAKES = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
"""The same for the products of both."""

_apart, _together = sandwich(READS, False), sandwich(MAKES, True)


def squares(height: int, width: int) -> int:
    """Return how many squares a window of outputs takes; the last overlap those before them."""
    return -(-height // SIDE) * -(-width // SIDE)


@compiled
def apart(halo: Floats, parts: Floats) -> None:
    """Transform what each square of outputs reads of windows (P, h + 2, w + 2, C), to (36, squares, C)."""
    height, width, channels = halo.shape[1] - 2, halo.shape[2] - 2, halo.shape[3]
    step, pitch = 4 * channels, 4 * channels * halo.shape[2]
    plane = step * parts.shape[1]
    to = parts.ctypes.data
    for place in range(len(halo)):
        for row in range(-(-height // SIDE)):
            for column in range(-(-width // SIDE)):
                top, left = min(row * SIDE, height - SIDE), min(column * SIDE, width - SIDE)
                at = halo.ctypes.data + (place * halo.shape[1] + top) * pitch + left * step
                for _ in range(0, channels, LANES):
                    _apart(at, pitch, step, to, 6 * plane, plane)
                    at += 4 * LANES
                    to += 4 * LANES


@compiled
def together(parts: Floats, bias: Floats, low: float, high: float, out: Floats) -> None:
    """Make windows (P, h, w, C) of the products; add a number to each channel, and bring between `low` and `high`."""
    height, width, channels = out.shape[1], out.shape[2], out.shape[3]
    step, pitch = 4 * channels, 4 * channels * width
    plane = step * parts.shape[1]
    least, most = spread(np.float32(low)), spread(np.float32(high))
    source = parts.ctypes.data
    for place in range(len(out)):
        for row in range(-(-height // SIDE)):
            for column in range(-(-width // SIDE)):
                top, left = min(row * SIDE, height - SIDE), min(column * SIDE, width - SIDE)
                at = out.ctypes.data + (place * height + top) * pitch + left * step
                offset = bias.ctypes.data
                for _ in range(0, channels, LANES):
                    _together(source, 6 * plane, plane, at, pitch, step, load(offset), least, most)
                    source += 4 * LANES
                    at += 4 * LANES
                    offset += 4 * LANES
