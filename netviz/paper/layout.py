"""A figure counted in pixels: one Axes over the whole paper, its origin at the top left."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.scales import Scale, finite_range

MARGIN: Final = 20
_TITLE_LINE: Final = 24
_CAPTION_LINE: Final = 17
ABOVE_WRAPPED: Final = 78
"""Pixels above a picture from which its title has two lines and its note three."""
_MORE: Final = 20
"""Pixels of a further line below a picture, where a page leaves little width."""
_LAYER_WIDTH: Final = 420
_BAR_WIDTH: Final = 240
_BAR_HEIGHT: Final = 11
_NO_NAME: Final = re.compile(r"[*?\[]|^-?\d+$")
_WIDE: Final = 1e30
"""Numbers beyond this, also as a multiple of a scale's width, are too large to reckon with in single precision."""
Box = tuple[float, float, float, float]


class Canvas:
    """A sheet of paper of a fixed size in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / style.DPI, height / style.DPI), dpi=style.DPI)
        # Without one, every artist that measures itself makes a renderer of its own.
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = style.INK,
        *,
        room: float | None = None,
        **kwargs: Any,
    ) -> Text:
        """Write one line exactly as it is given: no character has a meaning of its own, ``$`` neither.

        It is shortened to `room` pixels if that is given.
        """
        if room is not None:
            text = words.shorten(text, room, size, bold=kwargs.get("weight") == "bold")
        return self.axes.text(x, y, text, fontsize=size, color=colour, parse_math=False, **kwargs)

    def heading(self, x: float, y: float, text: str, room: float | None = None) -> Text:
        """Write the name of a part of the picture in bold; what exceeds `room` pixels is smaller, then shortened."""
        fits = room is None or words.width(words.clean(text), style.CAPTION, bold=True) <= room
        return self.text(x, y, text, style.CAPTION if fits else style.LABEL, room=room, weight="bold")

    def paragraph(
        self,
        x: float,
        y: float,
        parts: Sequence[str],
        size: float,
        room: float,
        *,
        step: float = 13,
        most: int | None = None,
    ) -> float:
        """Write muted lines of at most `room` pixels, `step` apart, at `most` so many; return the y of the next."""
        for line in words.wrap(parts, room, size)[:most]:
            self.text(x, y, line, size, style.MUTED)
            y += step
        return y

    def image(
        self, pixels: NDArray[Any], box: Box, *, smooth: bool | None = None, **colours: Any
    ) -> AxesImage:
        """Place an image in a box (left, top, width, height).

        It is interpolated where `smooth` is true, by default where it has more pixels than the box; else its pixels
        are drawn as squares.
        """
        left, top, width, height = box
        if smooth is None:
            smooth = width < pixels.shape[1]
        return self.axes.imshow(
            pixels,
            interpolation="antialiased" if smooth else "nearest",
            aspect="auto",
            extent=(left, left + width, top + height, top),
            **colours,
        )

    def values(
        self,
        values: NDArray[Any],
        box: Box,
        scale: Scale,
        peak: float = 1.0,
        *,
        floor: float = 0.0,
        clear: bool = False,
    ) -> AxesImage:
        """Place numbers (H, W) in a box, in the colours of a scale.

        `peak` and `floor` are the values of the last and first colour where the scale is relative. NaN and infinity
        take a colour of their own, or none where `clear` is true.
        """
        colours = style.colour_map(scale.colours)
        low, high = scale.limits(peak, floor)
        if max(map(abs, (low, high, *finite_range(values)))) > _WIDE * min(1.0, high - low):
            # Matplotlib reckons with the array's own precision, in which such shares of the scale overflow.
            values = values.astype(np.float64)
        return self.image(
            np.ma.masked_invalid(values),
            box,
            cmap=colours.with_extremes(bad=(0.0, 0.0, 0.0, 0.0)) if clear else colours,
            vmin=low,
            vmax=high,
        )

    def clip(self, artist: Artist, box: Box) -> None:
        """Let an artist show only inside a box."""
        left, top, width, height = box
        artist.set_clip_path(Rectangle((left, top), width, height, transform=self.axes.transData))

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

    def add_axes(self, box: Box, label: str) -> Axes:
        """Return new Axes that fill a box."""
        left, top, width, height = box
        # A page may leave nothing for a chart; the search for what fits goes on.
        width, height = max(1.0, width), max(1.0, height)
        place = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        return self.figure.add_axes(place, label=label)

    def add_chart(self, box: Box, label: str) -> Axes:
        """Return new Axes for a chart, open above and to the right, with small muted numbers."""
        axes = self.add_axes(box, label)
        axes.tick_params(
            labelsize=style.SMALL, labelcolor=style.MUTED, color=style.FAINT, width=0.6, length=3
        )
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    def bar(
        self, x: float, y: float, scale: Scale, width: float = _BAR_WIDTH, height: float = _BAR_HEIGHT
    ) -> Axes:
        """Draw a scale as a colour bar with its ticks, the top left corner at (x, y)."""
        axes = self.add_axes((x, y, width, height), "scale")
        mappable = ScalarMappable(Normalize(scale.low, scale.high), style.colour_map(scale.colours))
        bar = self.figure.colorbar(mappable, cax=axes, orientation="horizontal")
        bar.set_ticks([value for value, _ in scale.ticks], labels=[label for _, label in scale.ticks])
        bar.minorticks_off()
        return axes


@dataclass(frozen=True)
class Head:
    """What stands above every picture: a title, a caption, and what its colours mean.

    Attributes
    ----------
    title, caption, warnings : tuple of str
        Lines, already of the right width; warnings stand below the caption in a colour of their own.
    bars : tuple of (Scale, tuple of str)
        Colour bars, one below the other, with the lines to the right of each.
    beside : tuple of int
        Where these lines begin, from the bar's top left corner: to its right, or on narrow paper below it.
    """

    title: tuple[str, ...]
    caption: tuple[str, ...]
    warnings: tuple[str, ...]
    bars: tuple[tuple[Scale, tuple[str, ...]], ...]
    beside: tuple[int, int] = (_BAR_WIDTH + 36, -2)

    @classmethod
    def of(
        cls,
        title: Sequence[str],
        caption: Sequence[str],
        paper: int,
        *bars: tuple[Scale, Sequence[str]],
        warnings: Sequence[str] = (),
    ) -> "Head":
        """Break title, caption, warnings and the notes of colour bars to the width of the paper."""
        room = paper - 2 * MARGIN
        return cls(
            # On a narrow page a long part is broken, not cut.
            title=tuple(words.wrap(title, room, style.TITLE, bold=True, whole=not page.narrow())),
            caption=tuple(words.wrap(caption, room, style.CAPTION)),
            warnings=tuple(line for one in warnings for line in words.wrap([one], room, style.CAPTION)),
            bars=tuple(
                (scale, tuple(words.wrap(notes, _beside(paper)[2], style.CAPTION))) for scale, notes in bars
            ),
            beside=_beside(paper)[:2],
        )

    @property
    def height(self) -> int:
        """The pixels it takes, from the top of the paper to the top of what it heads."""
        lines = _TITLE_LINE * len(self.title) + _CAPTION_LINE * (len(self.caption) + len(self.warnings))
        return MARGIN + lines + (10 + sum(map(self._bar_room, self.bars)) if self.bars else 12)

    def draw(self, canvas: Canvas) -> None:
        """Draw it at the top of a canvas."""
        y = MARGIN
        for line in self.title:
            canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
            y += _TITLE_LINE
        for lines, colour in ((self.caption, style.MUTED), (self.warnings, style.WARNING)):
            for line in lines:
                canvas.text(MARGIN, y, line, style.CAPTION, colour, va="top")
                y += _CAPTION_LINE
        y += 10
        for bar in self.bars:
            scale, notes = bar
            # The outermost numbers are centred under the bar's ends and need room to the left.
            canvas.bar(MARGIN + 14, y, scale)
            for row, line in enumerate(notes):
                at = MARGIN + 14 + self.beside[0], y + self.beside[1] + _CAPTION_LINE * row
                canvas.text(*at, line, style.CAPTION, style.MUTED, va="top")
            y += self._bar_room(bar)

    def _bar_room(self, bar: tuple[Scale, tuple[str, ...]]) -> int:
        """Return the pixels that a colour bar takes with its numbers, its notes and what is left free below."""
        return max(34, self.beside[1] + 2 + _CAPTION_LINE * len(bar[1])) + 14


def _beside(paper: int) -> tuple[int, int, int]:
    """Return where the lines about a colour bar begin, from its top left corner, and how wide they may be."""
    room = paper - 2 * MARGIN
    return (-14, 34, room) if room < 2 * _BAR_WIDTH + 50 else (_BAR_WIDTH + 36, -2, room - _BAR_WIDTH - 50)


def fit(shape: tuple[int, ...], side: int, whole: bool = True, room: float | None = None) -> tuple[int, int]:
    """Return width and height at which an image of this height and width is drawn, `side` pixels at most.

    A page for which letters are larger or smaller than usual has shorter or longer sides (`page.side`), but none
    longer than `room`.
    It is enlarged by whole factors; where `whole` is false, by less than 2 also by others.
    """
    height, width = shape[:2]
    factor = min(page.side(side), room or math.inf) / max(height, width)
    if factor > 1 and (whole or factor >= 2):
        factor = max(1.0, float(int(factor)))
    return max(1, round(width * factor)), max(1, round(height * factor))


def placed(part: tuple[float, float, float, float], box: Box, shape: tuple[int, ...]) -> Box:
    """Return where top, left, height, width in pixels of an image lie on the paper: left, top, width, height."""
    down, across = box[3] / shape[0], box[2] / shape[1]
    top, left, height, width = part
    return box[0] + left * across, box[1] + top * down, width * across, height * down


@dataclass(frozen=True)
class Panels:
    """Where pictures of one size stand, in rows and columns, with words above or below each.

    Attributes
    ----------
    size : tuple of int
        Width and height of a picture in pixels.
    columns : int
        Fewer on a page that does not hold so many.
    column : int
        Pixels of a column: what words take, if they need more than a picture.
    between : int
        Pixels from one column to the next.
    above, below : int
        Pixels above and below a picture, for words.
    left : int
        Where the first column begins.
    """

    size: tuple[int, int]
    columns: int
    column: int
    between: int
    above: int = 0
    below: int = 0
    left: int = MARGIN

    def __post_init__(self) -> None:
        """Take fewer columns where the page does not hold as many; words have all of the page that there is."""
        held = page.columns(self.columns, self.column, self.between, self.left + MARGIN)
        object.__setattr__(self, "columns", held)
        if page.given() and self.below > 2 * _CAPTION_LINE:
            room = (page.widest() - self.left - MARGIN + self.between) // held - self.between
            object.__setattr__(self, "column", max(self.column, room))
            object.__setattr__(self, "below", self.below + _MORE)

    @property
    def paper(self) -> int:
        """The width of the paper that holds the columns."""
        return self.left + self.columns * (self.column + self.between) - self.between + MARGIN

    @property
    def each(self) -> int:
        """The pixels from one row to the next."""
        return self.above + self.size[1] + self.below

    def height(self, count: int) -> int:
        """Return the pixels that so many pictures take."""
        return -(-count // self.columns) * self.each

    def box(self, number: int, top: int) -> Box:
        """Return where a picture stands if the first row begins at `top`; they are counted row by row."""
        row, column = divmod(number, self.columns)
        left = self.left + column * (self.column + self.between)
        return left, top + row * self.each + self.above, *self.size

    def draw(
        self,
        canvas: Canvas,
        box: Box,
        pixels: NDArray[Any],
        title: str,
        note: str,
        scale: Scale | None = None,
        peak: float = 1.0,
    ) -> None:
        """Draw one, of numbers in the colours of a scale, with a title and a note above."""
        if scale is None:
            canvas.image(pixels, box)
        else:
            canvas.values(pixels, box, scale, peak)
        left, top = box[0], box[1] - self.above
        if self.above < ABOVE_WRAPPED:
            canvas.heading(left, top + 12, title, self.column)
            canvas.text(left, top + 27, note, style.LABEL, style.MUTED, room=self.column)
            return
        y = top + 12
        for line in words.wrap([title], self.column, style.CAPTION, bold=True)[:2]:
            canvas.heading(left, y, line, self.column)
            y += 15
        canvas.paragraph(left, y, [note], style.LABEL, self.column, most=3)

    def write_below(self, canvas: Canvas, box: Box, name: str, notes: Sequence[str], lines: int) -> None:
        """Write a name below a picture, and below it what there is to say, in at most so many lines."""
        lines += page.given() and self.below > 2 * _CAPTION_LINE
        write_below(canvas, box[0], box[1] + box[3] + 16, name, notes, self.column, lines)


def write_below(
    canvas: Canvas, x: float, y: float, name: str, notes: Sequence[str], room: float, lines: int
) -> None:
    """Write a name and, below it, what there is to say, in at most so many lines of `room` pixels."""
    canvas.text(x, y, name, style.CAPTION, room=room)
    canvas.paragraph(x, y + 14, notes, style.LABEL, room, step=14, most=lines)


def seen_size(image: NDArray[Any]) -> str:
    """Say how large an image is that is drawn as the network saw it."""
    height, width = image.shape[:2]
    return f"{width}{words.TIMES}{height} pixels, as the network saw it"


def layer_name(layer: str, *others: str, asked: str = "") -> str:
    """Write a layer's dotted name with its alias and kind, without repeating any; the name asked for first.

    A glob or a number that was asked for is no name.
    """
    if asked not in ("", layer) and not _NO_NAME.search(asked):
        layer, others = asked, (layer, *others)
        room = _LAYER_WIDTH - words.width(asked, style.TITLE, bold=True)
        others = (words.shorten(others[0], max(room, 120), style.TITLE, bold=True), *others[1:])
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
