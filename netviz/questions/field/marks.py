"""What is drawn over a photograph to show a field: boxes, middles, heat, and the samples that explain them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke

from netviz.paper import style
from netviz.paper.layout import Box, Canvas
from netviz.paper.regions import brightness, pale
from netviz.paper.scales import Floats, Pixels
from netviz.paper.style import LEVELS, colour_table

THEORY: Final = "#0096c7"
"""The theoretical field: a blue that the heat does not contain."""
MEASURED: Final = "#ffffff"
"""What was measured: white on a dark halo."""
_LINE: Final = 1.6
_HALO: Final = 3.4
_WASH: Final = 0.62
_SAMPLE: Final = 22
_BAR: Final = (190, 9)


@dataclass(frozen=True)
class Plate:
    """A photograph, or a window into it, on the paper.

    Attributes
    ----------
    box : Box
        Where the whole photograph would lie.
    scale : float
        How many pixels of paper a pixel of it takes.
    window : Box
        What of the paper it takes.
    """

    box: Box
    scale: float
    window: Box

    def x(self, pixel: float) -> float:
        """Return where the left edge of a pixel column lies on the paper."""
        return self.box[0] + pixel * self.scale

    def y(self, pixel: float) -> float:
        """Return where the upper edge of a pixel row lies on the paper."""
        return self.box[1] + pixel * self.scale


def wash(image: Pixels, box: tuple[int, int, int, int] | None) -> Pixels:
    """Make an image pale outside of a box (top, left, bottom, right), so that what lies inside stands out."""
    if box is None:
        return image
    top, left, bottom, right = box
    washed = pale(image, _WASH)
    washed[top:bottom, left:right] = image[top:bottom, left:right]
    return washed


def heat(image: Pixels, shares: Floats) -> Pixels:
    """Lay heat over an image in greys.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    shares : ndarray of shape (H, W)
        From 0, where the image shows through, to 1. The colour goes with the square root, as fields fade
        over several orders of magnitude.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    root = np.sqrt(np.clip(np.nan_to_num(shares), 0.0, 1.0))
    rows = np.clip(np.floor(root * LEVELS), 0, LEVELS - 1).astype(np.intp)
    opacity = np.minimum(1.0, 1.4 * root)[..., None]
    grey = brightness(image)[..., None] * 0.75 + 48
    mixed: Pixels = np.rint(grey * (1 - opacity) + colour_table("sequential")[rows] * opacity).astype(
        np.uint8
    )
    return mixed


def heat_bar(canvas: Canvas, x: float, y: float, ticks: Sequence[tuple[float, str]]) -> float:
    """Draw the scale of a heat over middle grey, with its numbers; return the y below it."""
    width, height = _BAR
    shares = np.linspace(0, 1, width) ** 2
    strip = heat(np.full((1, width, 3), 128, np.uint8), shares[None])
    canvas.image(np.repeat(strip, height, axis=0), (x, y, width, height))
    canvas.frames([(x, y, width, height)])
    for share, label in ticks:
        at = x + width * float(np.sqrt(share))
        canvas.lines([((at, y + height, at, y + height + 3), style.FAINT)])
        canvas.text(at, y + height + 12, label, style.LABEL, style.MUTED, ha="center")
    return y + height + 18


def outline(
    canvas: Canvas, plate: Plate, box: tuple[float, float, float, float], shape: tuple[int, int], colour: str
) -> None:
    """Draw a box (top, left, bottom, right; in pixels of the image), dashed along the border that cuts it."""
    height, width = shape
    top, left, bottom, right = box
    inset = _LINE / 2
    cut_top, cut_left = max(top, 0), max(left, 0)
    cut_bottom, cut_right = min(bottom, height), min(right, width)
    if cut_top >= cut_bottom or cut_left >= cut_right:
        return
    x, to_x = plate.x(cut_left) + inset, plate.x(cut_right) - inset
    y, to_y = plate.y(cut_top) + inset, plate.y(cut_bottom) - inset
    for ends, cut in (
        (((x, to_x), (y, y)), top < 0),
        (((x, to_x), (to_y, to_y)), bottom > height),
        (((x, x), (y, to_y)), left < 0),
        (((to_x, to_x), (y, to_y)), right > width),
    ):
        canvas.axes.add_artist(Line2D(*ends, **_pen(colour, "cut" if cut else "solid"), zorder=4))


def ring(
    canvas: Canvas, plate: Plate, center: tuple[float, float], radii: tuple[float, float], colour: str
) -> None:
    """Draw an ellipse about (y, x) with half axes (y, x), in pixels of the image, cut at its border."""
    (y, x), (down, across) = center, radii
    place = (plate.x(x + 0.5), plate.y(y + 0.5))
    pen = _pen(colour, "solid")
    pen["edgecolor"] = pen.pop("color")
    pen.pop("solid_capstyle")
    pen.pop("dash_capstyle")
    size = (2 * across * plate.scale, 2 * down * plate.scale)
    patch = Ellipse(place, *size, facecolor="none", **pen, zorder=4)
    canvas.axes.add_patch(patch)
    canvas.clip(patch, plate.window)


def square(canvas: Canvas, plate: Plate, center: tuple[float, float], side: float, colour: str) -> None:
    """Draw a dotted square about (y, x), in pixels of the image, cut at its border."""
    y, x = center[0] + 0.5, center[1] + 0.5
    corners = [(x - side / 2, y - side / 2), (x + side / 2, y - side / 2)]
    corners += [(x + side / 2, y + side / 2), (x - side / 2, y + side / 2), (x - side / 2, y - side / 2)]
    points = [(plate.x(across), plate.y(down)) for across, down in corners]
    line = Line2D([px for px, _ in points], [py for _, py in points], **_pen(colour, "dotted"), zorder=4)
    canvas.axes.add_artist(line)
    canvas.clip(line, plate.window)


def middle(
    canvas: Canvas, plate: Plate, center: tuple[float, float], shape: tuple[int, int], side: float
) -> None:
    """Mark the middle (y, x) of a field by a cross that fits into it; one outside of the image at its border."""
    height, width = shape
    y = min(max(center[0] + 0.5, 0), height)
    x = min(max(center[1] + 0.5, 0), width)
    arm = min(6.0, 0.3 * side * plate.scale)
    if arm >= 2:
        cross(canvas, plate.x(x), plate.y(y), arm)


def cross(canvas: Canvas, x: float, y: float, arm: float = 6.0) -> None:
    """Draw the cross that marks a middle."""
    canvas.axes.add_artist(Line2D([x - arm, x + arm], [y, y], **_pen(THEORY, "solid"), zorder=5))
    canvas.axes.add_artist(Line2D([x, x], [y - arm, y + arm], **_pen(THEORY, "solid"), zorder=5))


def sample(canvas: Canvas, x: float, y: float, what: str, text: str, room: float) -> float:
    """Draw a piece of a mark and, beside it, what it means; return the y below."""
    if what == "cross":
        cross(canvas, x + _SAMPLE / 2 - 2, y - 4)
    elif what:
        kind, colour = what.split()
        canvas.axes.add_artist(Line2D([x, x + _SAMPLE - 4], [y - 4, y - 4], **_pen(colour, kind), zorder=4))
    indent = _SAMPLE + 4 if what else 0
    return canvas.paragraph(x + indent, y, [text], style.LABEL, room - indent) + 3


def _pen(colour: str, kind: str) -> dict[str, Any]:
    """Return how a line is drawn: on a halo, so that it shows on any photograph."""
    dashes = {"solid": "solid", "cut": (0, (5, 3)), "dotted": (0, (2, 1.6))}[kind]
    halo = style.INK if colour == MEASURED else style.PAPER
    stroke = withStroke(linewidth=_HALO * 72 / style.DPI, foreground=halo)
    return {
        "color": colour,
        "linewidth": _LINE * 72 / style.DPI,
        "linestyle": dashes,
        "path_effects": [stroke],
        "solid_capstyle": "butt",
        "dash_capstyle": "butt",
    }
