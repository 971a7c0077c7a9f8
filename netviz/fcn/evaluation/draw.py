"""SegmentationResult → Figure: the IU of every class, and how it falls towards label boundaries."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from netviz.fcn.evaluation.result import METRICS, SegmentationResult
from netviz.paper import style, words
from netviz.paper.classes import class_colour, legend
from netviz.paper.layout import MARGIN, Canvas, Head

_WIDTH: Final = 980
_BAR: Final = 9
_GAP: Final = 9
_NAMES: Final = 170
_NUMBERS: Final = 46
_BARS: Final = 520
_CURVE: Final = 300
_MOST: Final = 60
"""How many classes have bars."""


def segmentation_figure(result: SegmentationResult) -> Figure:
    """Draw the metrics of each stream: bars for the four and for each class, and the curve along label boundaries.

    Parameters
    ----------
    result : SegmentationResult

    Returns
    -------
    matplotlib.figure.Figure
    """
    with style.style():
        return _draw(result)


def _draw(result: SegmentationResult) -> Figure:
    colours = [class_colour(at) for at in range(len(result.streams))]
    shown = result.classes[:_MOST]
    rows: list[tuple[str, list[float | None]]] = [
        (title, [result.metrics[stream][key] for stream in result.streams]) for key, title in METRICS.items()
    ]
    rows += [
        (one, [result.metrics[stream]["per_class"].get(one) for stream in result.streams]) for one in shown
    ]
    name = words.shorten(result.network, 300, style.TITLE, bold=True)
    said = [f"{words.counted(result.images, 'image')}, {result.pixels:,} pixels with a class", "in percent"]
    said += ["IU of each class: right pixels over those that either have it or are called it"]
    said += words.padded(result.padded)
    if len(shown) < len(result.classes):
        said.append(f"{len(result.classes) - len(shown)} more classes not drawn")
    head = Head.of([f"{name} · every pixel labelled"], said, _WIDTH, warnings=result.doubts)
    left = MARGIN + _NAMES
    swatches = legend(list(zip(colours, result.streams, strict=True)), _BARS - _NAMES)
    top = head.height + swatches.height + _GAP
    row = _BAR * len(result.streams) + _GAP
    height = top + row * len(rows) + 2 * _GAP
    canvas = Canvas(_WIDTH, max(height, top + _CURVE) + MARGIN)
    head.draw(canvas)
    swatches.draw(canvas, left, head.height)
    length = _BARS - _NAMES - _NUMBERS
    for number, (label, values) in enumerate(rows):
        at = top + row * number + (2 * _GAP if number >= len(METRICS) else 0)
        where = MARGIN + _NAMES - 8, at + (row - _GAP) / 2
        weight = "bold" if number < len(METRICS) else "normal"
        canvas.text(*where, label, style.LABEL, room=_NAMES - 10, ha="right", va="center", weight=weight)
        for place, value in enumerate(values):
            _bar(canvas, left, at + _BAR * place, length, value, colours[place])
    if result.boundary:
        _curve(
            canvas, (MARGIN + _BARS + 60, top, _WIDTH - 2 * MARGIN - _BARS - 70, _CURVE - 60), result, colours
        )
    return canvas.figure


def _bar(canvas: Canvas, x: float, y: float, length: float, value: float | None, colour: str) -> None:
    """Draw a share of 0 … 1 with its number in percent; a dash where there is none."""
    if value:
        canvas.axes.add_patch(
            Rectangle((x, y + 0.5), length * value, _BAR - 1, facecolor=colour, linewidth=0)
        )
    text = "–" if value is None else f"{100 * value:.1f}"
    canvas.text(x + length * (value or 0.0) + 5, y + _BAR / 2, text, 6.0, style.MUTED, va="center")


def _curve(
    canvas: Canvas, box: tuple[float, float, float, float], result: SegmentationResult, colours: list[str]
) -> Axes:
    """Draw the mean IU within 1, 2, … pixels of label boundaries."""
    left, top, _, _ = box
    canvas.heading(left, top - 12, "mean IU near label boundaries")
    axes = canvas.add_chart(box, "boundary")
    for stream, colour in zip(result.streams, colours, strict=True):
        values = [float("nan") if one is None else 100 * one for one in result.boundary[stream]]
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=colour,
            marker="o",
            markersize=2.5,
            linewidth=1.2,
            label=stream,
        )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("within so many pixels of a boundary", fontsize=style.LABEL, color=style.MUTED)
    axes.set_ylabel("mean IU, %", fontsize=style.LABEL, color=style.MUTED)
    axes.grid(color=style.BEYOND, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes
