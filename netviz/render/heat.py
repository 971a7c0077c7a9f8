"""Score maps as heat over an image, between the places where their cells look."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.render import style
from netviz.render.canvas import Box, Canvas, as_array
from netviz.render.regions import grey
from netviz.render.scales import Floats, Pixels, Scale, finite_range
from netviz.render.words import number

OPACITY: Final = 0.65


def heat_scale(values: NDArray[Any]) -> Scale:
    """Return the one scale of score maps: from their lowest to their highest finite value."""
    low, high = finite_range(values)
    if high <= low:
        high = low + 1.0
    return Scale(low, high, "sequential", False)


def scale_ticks(scale: Scale) -> list[tuple[float, str]]:
    """Return both ends and the middle of a scale with their numbers."""
    return [(value, number(value)) for value in (scale.low, (scale.low + scale.high) / 2, scale.high)]


def spread(
    values: NDArray[Any],
    center_y: Floats,
    center_x: Floats,
    stride: tuple[float, float],
    shape: tuple[int, int],
) -> tuple[Floats, tuple[int, int, int, int]]:
    """Bring a map to the pixels of an image, bilinearly between its cells' places.

    Parameters
    ----------
    values : ndarray of shape (h, w)
    center_y, center_x : ndarray of shapes (h,) and (w,)
        In pixels; the middle of the first is 0.
    stride : (float, float)
        From cell to cell.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    heat : ndarray of float64, shape (bottom - top, right - left)
    part : (int, int, int, int)
        Top, left, bottom, right of the pixels that lie at most half a stride outside of the outermost places.
    """
    heat = np.asarray(values, dtype=np.float64)
    edges = []
    for axis, centers in enumerate((center_y, center_x)):
        first = max(0, int(np.floor(centers[0] - stride[axis] / 2 + 0.5)))
        last = min(shape[axis], int(np.ceil(centers[-1] + stride[axis] / 2 + 0.5)))
        first, last = min(first, shape[axis] - 1), max(last, first + 1, 1)
        places = (np.arange(first, last) - centers[0]) / (stride[axis] or 1.0)
        places = np.clip(places, 0, len(centers) - 1)
        low = np.minimum(np.floor(places).astype(np.intp), max(len(centers) - 2, 0))
        share = places - low
        if axis == 1:
            heat = heat.T
        after = heat[np.minimum(low + 1, len(centers) - 1)]
        # A weight of 0 must not spread a neighbour's NaN.
        heat = np.where(
            share[:, None] > 0, heat[low] * (1 - share[:, None]) + after * share[:, None], heat[low]
        )
        if axis == 1:
            heat = heat.T
        edges.append((first, last))
    (top, bottom), (left, right) = edges
    return heat, (top, left, bottom, right)


def draw_heat(
    canvas: Canvas,
    image: Pixels,
    heat: Floats,
    part: tuple[int, int, int, int],
    box: Box,
    scale: Scale,
    *,
    clear: bool = False,
    opacity: float = OPACITY,
) -> None:
    """Draw a heat map over its part of the image in grey; where `clear` is true, NaN leaves the image as it is."""
    height, width = image.shape[:2]
    small = box[2] < width
    canvas.image(grey(image), box, smooth=small)
    top, left, bottom, right = part
    colours = style.colour_map(scale.colours)
    drawn = canvas.image(
        as_array(heat),
        placed((top, left, bottom - top, right - left), box, (height, width)),
        colours.with_extremes(bad=(0.0, 0.0, 0.0, 0.0)) if clear else colours,
        (scale.low, scale.high),
        smooth=small,
    )
    drawn.set_alpha(opacity)


def placed(part: tuple[float, float, float, float], box: Box, shape: tuple[int, int]) -> Box:
    """Return where top, left, height, width in pixels of an image lie on the paper: left, top, width, height."""
    down, across = box[3] / shape[0], box[2] / shape[1]
    top, left, height, width = part
    return box[0] + left * across, box[1] + top * down, width * across, height * down


def clipped(
    part: tuple[float, float, float, float], shape: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Cut top, left, height, width at the border of an image of this height and width."""
    top, left, height, width = part
    bottom, right = min(top + height, shape[0]), min(left + width, shape[1])
    top, left = max(top, 0.0), max(left, 0.0)
    return top, left, max(bottom - top, 0.0), max(right - left, 0.0)


def draw_window(
    canvas: Canvas, part: tuple[float, float, float, float], box: Box, shape: tuple[int, int]
) -> None:
    """Outline a window, as far as it lies in the image."""
    frame = placed(clipped(part, shape), box, shape)
    canvas.frames([frame], colour=style.INK, line=3.4, out=-1.2)
    canvas.frames([frame], colour=style.OUTLINE, line=1.8, out=-1.2)
