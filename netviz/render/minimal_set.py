"""The picture of many minimal images: the share that each class needs, and images beside what suffices of them."""

from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Box, Canvas
from netviz.render.patch_parts import Head
from netviz.results import MinimalSetResult

MOST_CLASSES: Final = 40
MOST_IMAGES: Final = 24

_WIDTH: Final = 1040
_LABEL: Final = 230
_ROW: Final = 20
_BAR: Final = 11
_NUMBER: Final = 150
_COLOUR: Final = "#54aeff"
_PAIRS: Final = 4
_GAP: Final = 16
_TEXT: Final = 34
_FILLS: Final = {"blur": "the image blurred", "inpaint": "their surroundings", "mean": "the mean colour"}


def minimal_set_figure(result: MinimalSetResult) -> Figure:
    """Draw a bar for each class, the mean share that its images need, and pairs of an image and its minimal image.

    Parameters
    ----------
    result : MinimalSetResult

    Returns
    -------
    matplotlib.figure.Figure
        Its only Axes is the paper in pixels and holds the pairs as images.
    """
    with style.style():
        return _draw(result)


def _draw(result: MinimalSetResult) -> Figure:
    rows = result.by_class[:MOST_CLASSES]
    drawn = np.argsort(-result.share, kind="stable")[:MOST_IMAGES]
    side = result.images.shape[1]
    pair = 2 * side + 4
    lines = -(-len(drawn) // _PAIRS)
    head = _head(result)
    bars = head.height + 18
    pairs = bars + _ROW * len(rows) + 62
    canvas = Canvas(_WIDTH, pairs + lines * (side + _TEXT + 8) + MARGIN)
    head.draw(canvas)
    _draw_bars(canvas, result, bars)
    y = pairs - 14
    text = "images beside their minimal images, most needed share first"
    if len(drawn) < len(result.share):
        text += f": {len(drawn)} of {len(result.share)}"
    canvas.text(MARGIN, y, text, style.CAPTION, weight="bold", va="baseline")
    between = (_WIDTH - 2 * MARGIN - _PAIRS * pair) / (_PAIRS - 1)
    frames: list[Box] = []
    for place, number in enumerate(drawn.tolist()):
        row, column = divmod(place, _PAIRS)
        left, top = MARGIN + column * (pair + between), pairs + row * (side + _TEXT + 8)
        for pixels, at in ((result.images[number], left), (result.minimals[number], left + side + 4)):
            frames.append((at, top, side, side))
            canvas.image(pixels, frames[-1])
        name = result.labels[number] or f"class {result.class_index[number]}"
        share = f"{100 * float(result.share[number]):.1f} %"
        room = pair - words.width(share, style.LABEL) - 8
        canvas.text(left, top + side + 13, words.shorten(name, room, style.LABEL), style.LABEL, va="baseline")
        canvas.text(left + pair, top + side + 13, share, style.LABEL, va="baseline", ha="right")
        under = words.shorten(result.names[number], pair, style.SMALL)
        canvas.text(left, top + side + 25, under, style.SMALL, style.MUTED, va="baseline")
    canvas.frames(frames)
    return canvas.figure


def _head(result: MinimalSetResult) -> Head:
    title = [result.network, f"minimal images of {words.counted(len(result.share), 'image')}"]
    caption = [
        f"on average {100 * result.mean_share:.1f} % of an image is needed",
        f"{len(result.by_class)} predicted {'class' if len(result.by_class) == 1 else 'classes'}",
        f"about {result.asked} segments, removed ones show {_FILLS.get(result.fill, result.fill)}",
        f"score: {result.score_of}",
    ]
    if result.skipped:
        caption.append(f"{words.counted(len(result.skipped), 'image')} left out")
    return Head.wrapped(title, caption, _WIDTH)


def _draw_bars(canvas: Canvas, result: MinimalSetResult, top: float) -> None:
    """Draw the mean share by class as bars, from 0 to 100 %, and every image as a tick on them."""
    rows = result.by_class[:MOST_CLASSES]
    left = MARGIN + _LABEL
    width = _WIDTH - MARGIN - _NUMBER - left
    heading = "share of the image that is needed, by predicted class: mean, and each image"
    if len(rows) < len(result.by_class):
        heading += f"; the first {len(rows)} of {len(result.by_class)} classes"
    canvas.text(MARGIN, top - 6, heading, style.CAPTION, weight="bold", va="baseline")
    bottom = top + 8 + _ROW * len(rows)
    for percent in (0, 25, 50, 75, 100):
        x = left + width * percent / 100
        canvas.lines([((x, top + 4, x, bottom), style.FRAME)])
        canvas.text(x, bottom + 12, f"{percent} %", style.SMALL, style.MUTED, ha="center", va="baseline")
    for place, row in enumerate(rows):
        y = top + 8 + _ROW * place + (_ROW - _BAR) / 2
        canvas.axes.fill_between(
            [left, left + width * row["mean"]], y, y + _BAR, color=_COLOUR, linewidth=0, zorder=2
        )
        own = result.share[result.class_index == row["class_index"]]
        marks = [left + width * float(share) for share in own]
        middle = y + _BAR / 2
        ticks = Line2D(
            marks, [middle] * len(marks), linestyle="none", marker="|", markersize=8, color=style.INK
        )
        ticks.set_zorder(3)
        canvas.axes.add_line(ticks)
        name = words.shorten(_name(row), _LABEL - 14, style.LABEL)
        canvas.text(left - 8, middle, name, style.LABEL, ha="right", va="center")
        text = f"{100 * row['mean']:.1f} %, {words.counted(row['images'], 'image')}"
        canvas.text(left + width + 12, middle, text, style.LABEL, style.MUTED, va="center")


def _name(row: dict[str, Any]) -> str:
    return str(row["label"] or f"class {row['class_index']}")
