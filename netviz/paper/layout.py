"""A figure counted in pixels: one Axes over the whole paper, its origin at the top left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.scales import Scale

MARGIN: Final = 20
_TITLE_LINE: Final = 24
_CAPTION_LINE: Final = 17
_LAYER_WIDTH: Final = 420
_BAR_WIDTH: Final = 240
_BAR_HEIGHT: Final = 11
_BAR_ROOM: Final = 34
Box = tuple[float, float, float, float]


class Canvas:
    """A sheet of paper of a fixed size in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / style.DPI, height / style.DPI), dpi=style.DPI)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def text(
        self, x: float, y: float, text: str, size: float, colour: str = style.INK, **kwargs: Any
    ) -> Text:
        """Write one line exactly as it is given: no character has a meaning of its own, ``$`` neither."""
        return self.axes.text(x, y, text, fontsize=size, color=colour, parse_math=False, **kwargs)

    def image(
        self,
        pixels: NDArray[Any],
        box: Box,
        colours: Colormap | None = None,
        limits: tuple[float | None, float | None] = (None, None),
        smooth: bool = False,
    ) -> AxesImage:
        """Place an image in a box (left, top, width, height)."""
        left, top, width, height = box
        return self.axes.imshow(
            pixels,
            cmap=colours,
            vmin=limits[0],
            vmax=limits[1],
            interpolation="antialiased" if smooth else "nearest",
            aspect="auto",
            extent=(left, left + width, top + height, top),
        )

    def frames(
        self, boxes: Sequence[Box], colour: str = style.FRAME, line: float = 1.0, out: float = 0.5
    ) -> None:
        """Outline boxes, `out` pixels outside of their edges, by lines `line` pixels wide."""
        corners = [
            [(x - out, y - out), (x + w + out, y - out), (x + w + out, y + h + out), (x - out, y + h + out)]
            for x, y, w, h in boxes
        ]
        outlines = PolyCollection(
            corners, facecolors="none", edgecolors=colour, linewidths=line * 72 / style.DPI, zorder=3
        )
        self.axes.add_collection(outlines, autolim=False)

    def lines(self, lines: Sequence[tuple[Box, str]], line: float = 1.0) -> None:
        """Draw straight lines given as ((x, y, x', y'), colour), `line` pixels wide."""
        drawn = LineCollection(
            [[(x, y), (to_x, to_y)] for (x, y, to_x, to_y), _ in lines],
            colors=[colour for _, colour in lines],
            linewidths=line * 72 / style.DPI,
            capstyle="butt",
            zorder=2.5,
        )
        self.axes.add_collection(drawn, autolim=False)

    def bar(self, x: float, y: float, scale: Scale, ticks: Sequence[tuple[float, str]]) -> None:
        """Draw a scale as a colour bar with its numbers, the top left corner at (x, y)."""
        place = (
            x / self.width,
            1 - (y + _BAR_HEIGHT) / self.height,
            _BAR_WIDTH / self.width,
            _BAR_HEIGHT / self.height,
        )
        axes = self.figure.add_axes(place, label="scale")
        mappable = ScalarMappable(Normalize(scale.low, scale.high), style.colour_map(scale.colours))
        bar = self.figure.colorbar(mappable, cax=axes, orientation="horizontal")
        bar.set_ticks([value for value, _ in ticks], labels=[label for _, label in ticks])
        bar.minorticks_off()


@dataclass(frozen=True)
class Header:
    """What stands above every picture: a title, a caption, a colour bar and what it means.

    Attributes
    ----------
    title, caption : tuple of str
        Lines, already of the right width.
    scale : Scale
    ticks : tuple of (float, str)
        Positions and numbers on the bar.
    notes : tuple of str
        Lines to the right of the bar.
    """

    title: tuple[str, ...]
    caption: tuple[str, ...]
    scale: Scale
    ticks: tuple[tuple[float, str], ...]
    notes: tuple[str, ...]

    @property
    def height(self) -> int:
        """The pixels it takes, from the top of the paper to the top of what it heads."""
        lines = _TITLE_LINE * len(self.title) + _CAPTION_LINE * len(self.caption)
        return MARGIN + lines + 10 + max(_BAR_ROOM, _CAPTION_LINE * len(self.notes)) + 14

    def draw(self, canvas: Canvas) -> None:
        """Draw it at the top of a canvas."""
        y = MARGIN
        for line in self.title:
            canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
            y += _TITLE_LINE
        for line in self.caption:
            canvas.text(MARGIN, y, line, style.CAPTION, style.MUTED, va="top")
            y += _CAPTION_LINE
        y += 10
        # The outermost numbers are centred under the bar's ends and need room to the left.
        canvas.bar(MARGIN + 14, y, self.scale, self.ticks)
        for line in self.notes:
            canvas.text(MARGIN + _BAR_WIDTH + 50, y - 2, line, style.CAPTION, style.MUTED, va="top")
            y += _CAPTION_LINE


def header(
    title: Sequence[str],
    caption: Sequence[str],
    scale: Scale,
    ticks: Sequence[tuple[float, str]],
    note: Sequence[str],
    width: int,
) -> Header:
    """Break title, caption and note to the width of a picture."""
    room = width - 2 * MARGIN
    return Header(
        title=tuple(words.wrap(title, room, style.TITLE, bold=True, whole=True)),
        caption=tuple(words.wrap(caption, room, style.CAPTION)),
        scale=scale,
        ticks=tuple(ticks),
        notes=tuple(words.wrap(note, room - _BAR_WIDTH - 50, style.CAPTION)),
    )


def layer_name(layer: str, *others: str) -> str:
    """Write a layer's dotted name with its alias and kind, without repeating any."""
    extra = [other for other in dict.fromkeys(others) if other and other != layer]
    # Cut the name, not the alias, where a title would not hold both.
    layer = words.shorten(layer, _LAYER_WIDTH, style.TITLE, bold=True)
    return f"{layer} ({', '.join(extra)})" if extra else layer


def bad_values(count: int) -> list[str]:
    """Say how many values have no place on any scale; nothing where there are none."""
    return [f"{words.counted(count, 'value')} NaN or infinite (green)"] if count else []


def drawn_of(units: Sequence[int], total: int, sort: str) -> str:
    """Say how many units are drawn, and in which order."""
    order = {"index": "by index", "norm": "by norm", "hue": "by hue", "max": "by maximum"}.get(sort, sort)
    return f"{len(units)} of {total} units, {order}"


def limits(scale: Scale, peak: float) -> tuple[float, float]:
    """Return the values of the first and last colour of a tile whose own peak is `peak`."""
    if not scale.per_tile:
        return scale.low, scale.high
    high = peak or 1.0
    return (-high if scale.low < 0 else 0.0), high


def as_array(values: Any) -> NDArray[np.float64]:
    """Mask what has no place on the scale, so that it takes the colour map's own colour for that."""
    return np.ma.masked_invalid(values)


_LINE: Final = 17


@dataclass(frozen=True)
class Head:
    """Title and caption of a picture that has no scale of colours.

    Attributes
    ----------
    title, caption : tuple of str
        Lines, already of the right width.
    """

    title: tuple[str, ...]
    caption: tuple[str, ...]

    @classmethod
    def wrapped(cls, title: Sequence[str], caption: Sequence[str], paper: int) -> "Head":
        """Break title and caption to the width of the paper."""
        room = paper - 2 * MARGIN
        return cls(
            title=tuple(words.wrap(title, room, style.TITLE, bold=True, whole=True)),
            caption=tuple(words.wrap(caption, room, style.CAPTION)),
        )

    @property
    def height(self) -> int:
        """The pixels it takes, from the top of the paper."""
        return MARGIN + _TITLE_LINE * len(self.title) + _LINE * len(self.caption) + 12

    def draw(self, canvas: Canvas) -> None:
        """Draw it at the top of a canvas."""
        y = MARGIN
        for line in self.title:
            canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
            y += _TITLE_LINE
        for line in self.caption:
            canvas.text(MARGIN, y, line, style.CAPTION, style.MUTED, va="top")
            y += _LINE
