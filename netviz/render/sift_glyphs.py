"""What is drawn of a keypoint: its place in the image, its descriptor as arrows, and a layer's values as bars."""

import math
from typing import Any, Final

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from netviz.render import style
from netviz.render.canvas import Box, Canvas
from netviz.render.scales import Pixels

MARK: Final = "#0096c7"
POSITIVE: Final = "#b2182b"
NEGATIVE: Final = "#2166ac"
_PALE: Final = 0.66
_HEAD: Final = (4.5, 2.3)
_SHAFT: Final = 0.5
_PEN: Final = 72 / style.DPI


def mark_keypoint(
    canvas: Canvas,
    box: Box,
    shape: tuple[int, int],
    point: NDArray[Any],
    radius: float,
    orientation: float,
    name: str,
) -> None:
    """Draw a keypoint over an image: a circle that lies in the descriptor's square, and its orientation.

    Parameters
    ----------
    box : Box
        The image's place on the paper.
    shape : (int, int)
        Its height and width in pixels.
    point : ndarray of shape (2,)
        Row and column in pixels.
    radius : float
        In pixels.
    orientation : float
        In radians from down to right.
    name : str
    """
    left, top, width, _ = box
    zoom = width / shape[1]
    x, y = left + (float(point[1]) + 0.5) * zoom, top + (float(point[0]) + 0.5) * zoom
    reach = radius * zoom
    tip = (x + reach * math.sin(orientation), y + reach * math.cos(orientation))
    for colour, line in ((style.PAPER, 3.2), (MARK, 1.4)):
        circle = Circle((x, y), reach, fill=False, edgecolor=colour, linewidth=line * _PEN, zorder=3)
        stroke = LineCollection([[(x, y), tip]], colors=[colour], linewidths=line * _PEN, zorder=3)
        for artist in (circle, stroke):
            clip_to(canvas, artist, box)
            canvas.axes.add_artist(artist)
    # A circle too small to hold its number has it beside.
    inside = reach >= 9
    text = canvas.text(
        x - 0.45 * reach * math.sin(orientation) if inside else x + reach + 3,
        y - 0.45 * reach * math.cos(orientation) if inside else y,
        name,
        style.LABEL,
        style.INK,
        ha="center" if inside else "left",
        va="center",
        zorder=4,
    )
    text.set_path_effects([withStroke(linewidth=2.4, foreground=style.PAPER)])


def clip_to(canvas: Canvas, artist: Any, box: Box) -> None:
    """Let an artist show only inside a box."""
    left, top, width, height = box
    artist.set_clip_path(Rectangle((left, top), width, height, transform=canvas.axes.transData))


def pale(pixels: Pixels) -> Pixels:
    """Bleach a picture, so that what lies over it stands out."""
    faint: Pixels = np.rint(pixels * (1 - _PALE) + 255 * _PALE).astype(np.uint8)
    return faint


def glyphs(canvas: Canvas, box: Box, descriptor: NDArray[Any], longest: float) -> None:
    """Draw a descriptor (4, 4, 8): in each cell an arrow for each orientation, from the middle, as long as its value.

    Parameters
    ----------
    box : Box
        The patch's place: rows of cells go down, as in the patch; bin 0 points down, bin 2 to the right.
    longest : float
        The value whose arrow reaches the edge of a cell.
    """
    left, top, width, height = box
    rows, columns, bins = descriptor.shape
    cell = width / columns
    grid: list[tuple[Box, str]] = []
    for number in range(1, rows):
        y, x = top + number * height / rows, left + number * cell
        grid += [((left, y, left + width, y), style.FAINT), ((x, top, x, top + height), style.FAINT)]
    canvas.lines(grid, 0.5)
    row, column, turn = np.indices(descriptor.shape)
    x, y = left + (column + 0.5) * cell, top + (row + 0.5) * height / rows
    reach = 0.5 * cell * descriptor / (longest or 1.0)
    angle = turn * 2 * np.pi / bins
    # A head no longer than the arrow, on a shaft of a pixel: along the arrow, and to its side.
    head = np.minimum(_HEAD[0], reach)
    half = head * _HEAD[1] / _HEAD[0]
    shaft = np.minimum(_SHAFT, half)
    neck, none = reach - head, np.zeros_like(reach)
    along = np.stack([none, neck, neck, reach, neck, neck, none], axis=-1)
    aside = np.stack([-shaft, -shaft, -half, none, half, shaft, shaft], axis=-1)
    sin, cos = np.sin(angle)[..., None], np.cos(angle)[..., None]
    outline = np.stack(
        [x[..., None] + along * sin + aside * cos, y[..., None] + along * cos - aside * sin], axis=-1
    )
    arrows = outline[descriptor > 0]
    drawn = PolyCollection(list(arrows), facecolors=style.INK, edgecolors="none", zorder=3, label="glyphs")
    canvas.axes.add_collection(drawn, autolim=False)


def bars(canvas: Canvas, box: Box, values: NDArray[Any], limit: float, signed: bool) -> None:
    """Draw values (C,) side by side as bars; `limit` reaches the box's edge.

    The zero line lies in the middle where values are `signed`, else at the lower edge.
    """
    left, top, width, height = box
    zero = top + (height / 2 if signed else height)
    reach = (height / 2 if signed else height) / (limit or 1.0)
    step = width / len(values)
    gap = 0.5 if step >= 3 else 0.0
    at = left + step * np.arange(len(values))
    tips = zero - reach * np.clip(values, -limit, limit)
    corners = np.stack(
        [
            np.stack([at, np.full_like(at, zero)], axis=1),
            np.stack([at, tips], axis=1),
            np.stack([at + step - gap, tips], axis=1),
            np.stack([at + step - gap, np.full_like(at, zero)], axis=1),
        ],
        axis=1,
    )
    colours = [POSITIVE if value >= 0 else NEGATIVE for value in values]
    drawn = PolyCollection(list(corners), facecolors=colours, edgecolors="none", zorder=2, label="bars")
    canvas.axes.add_collection(drawn, autolim=False)
    canvas.lines([((left, zero, left + width, zero), style.FAINT)], 0.8)
