"""SegmentationResult → Figure: the IU of every class, and how it falls towards label boundaries."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Canvas
from netviz.results import SegmentationResult

_WIDTH: Final = 980
_BAR: Final = 9
_GAP: Final = 9
_NAMES: Final = 170
_NUMBERS: Final = 46
_BARS: Final = 520
_CURVE: Final = 300
_MOST: Final = 60
"""How many classes have bars."""

_TITLES: Final = (
    ("pixel_accuracy", "pixel accuracy"),
    ("mean_accuracy", "mean accuracy"),
    ("mean_iu", "mean IU"),
    ("frequency_weighted_iu", "frequency weighted IU"),
)


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
    colours = [style.CLASSES[at % len(style.CLASSES)] for at in range(len(result.streams))]
    shown = result.classes[:_MOST]
    rows: list[tuple[str, list[float | None]]] = [
        (title, [result.metrics[stream][key] for stream in result.streams]) for key, title in _TITLES
    ]
    rows += [
        (one, [result.metrics[stream]["per_class"].get(one) for stream in result.streams]) for one in shown
    ]
    name = words.shorten(result.network, 300, style.TITLE, bold=True)
    title = words.wrap(
        [f"{name} · every pixel labelled"], _WIDTH - 2 * MARGIN, style.TITLE, bold=True, whole=True
    )
    said = [f"{words.counted(result.images, 'image')}, {result.pixels:,} pixels with a class", "in percent"]
    said += ["IU of each class: right pixels over those that either have it or are called it"]
    if len(shown) < len(result.classes):
        said.append(f"{len(result.classes) - len(shown)} more classes not drawn")
    caption = words.wrap(said, _WIDTH - 2 * MARGIN, style.CAPTION)
    top = MARGIN + 24 * len(title) + 17 * len(caption) + 44
    row = _BAR * len(result.streams) + _GAP
    height = top + row * len(rows) + 2 * _GAP
    canvas = Canvas(_WIDTH, max(height, top + _CURVE) + MARGIN)
    y = MARGIN
    for line in title:
        canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
        y += 24
    for line in caption:
        canvas.text(MARGIN, y, line, style.CAPTION, style.MUTED, va="top")
        y += 17
    _legend(canvas, y + 14, result.streams, colours)
    length = _BARS - _NAMES - _NUMBERS
    for number, (label, values) in enumerate(rows):
        at = top + row * number + (2 * _GAP if number >= len(_TITLES) else 0)
        bold = "bold" if number < len(_TITLES) else "normal"
        text = words.shorten(label, _NAMES - 10, style.LABEL, bold=number < len(_TITLES))
        canvas.text(
            MARGIN + _NAMES - 8,
            at + (row - _GAP) / 2,
            text,
            style.LABEL,
            ha="right",
            va="center",
            weight=bold,
        )
        for place, value in enumerate(values):
            _bar(canvas, MARGIN + _NAMES, at + _BAR * place, length, value, colours[place])
    if result.boundary:
        _curve(
            canvas, (MARGIN + _BARS + 60, top, _WIDTH - 2 * MARGIN - _BARS - 70, _CURVE - 60), result, colours
        )
    return canvas.figure


def _legend(canvas: Canvas, y: float, streams: tuple[str, ...], colours: list[str]) -> None:
    x = float(MARGIN + _NAMES)
    for stream, colour in zip(streams, colours, strict=True):
        canvas.axes.add_patch(Rectangle((x, y), 10, 10, facecolor=colour, linewidth=0))
        text = words.shorten(stream, 90, style.CAPTION)
        canvas.text(x + 15, y + 5, text, style.CAPTION, va="center")
        x += 15 + words.width(text, style.CAPTION) + 20


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
    left, top, width, height = box
    canvas.text(left, top - 12, "mean IU near label boundaries", style.CAPTION, weight="bold", va="baseline")
    axes = canvas.figure.add_axes(
        (
            left / canvas.width,
            1 - (top + height) / canvas.height,
            width / canvas.width,
            height / canvas.height,
        ),
        label="boundary",
    )
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
    axes.tick_params(labelsize=style.SMALL, labelcolor=style.MUTED, color=style.FAINT)
    axes.grid(color=style.BEYOND, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
