"""The parts of a contrast figure: a block of maps, a heat map, a histogram, each with its scale."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import NDArray

from netviz.render import style, words
from netviz.render.canvas import Box, Canvas, as_array
from netviz.render.scales import Floats, Scale, finite_range, peak
from netviz.render.tiles import reduce_blocks

GAP: Final = 6
LINE: Final = 13
BAR: Final = 32
"""Height of a colour bar with its numbers."""

_BLOCKS: Final = (708, 1148)
_TALLEST: Final = 1850
_TARGETS: Final = (696, 348, 228, 171, 140, 112, 95, 80, 64, 48, 40, 32, 24, 16)
_BAR_HEIGHT: Final = 10
_WITHIN: Final = 0.995
_BINS: Final = 81


@dataclass(frozen=True)
class Grid:
    """How a block of maps is laid out, in pixels."""

    width: int
    columns: int
    rows: int
    zoom: int
    reduction: int
    cell: tuple[int, int]

    @property
    def height(self) -> int:
        """The height of the block."""
        return self.rows * self.cell[0] - GAP


def arrange(count: int, height: int, width: int) -> Grid:
    """Choose the size of a map's tile so that a block of `count` maps becomes not much taller than wide."""
    side = max(height, width)
    label = words.width("0000", style.LABEL)
    for block in _BLOCKS:
        for target in _TARGETS:
            zoom, reduction = max(1, target // side), max(1, -(-side // target))
            tall, wide = (-(-length // reduction) * zoom for length in (height, width))
            cell = (tall + LINE + GAP, max(wide, int(label)) + GAP)
            columns = max(1, (block + GAP) // cell[1])
            grid = Grid(block, columns, -(-count // columns), zoom, reduction, cell)
            if grid.height <= min(1.7 * block, _TALLEST) and wide <= block:
                return grid
    return grid


def scale_of(values: NDArray[Any], within: float = 1.0, signed: bool = False) -> tuple[Scale, float]:
    """Choose the scale of some values, and return it with the share of them that lies beyond its ends.

    Parameters
    ----------
    values : ndarray
    within : float
        The share of the values that the scale is to hold: a few large ones would leave no colour for all others.
    signed : bool
        Whether it must have two sides even if no value is negative.
    """
    low = finite_range(values)[0]
    high = peak(values)
    if within < 1 and high > 0:
        sizes = np.abs(values[np.isfinite(values)])
        high = float(np.quantile(sizes, within)) or high
    high = high or 1.0
    beyond = float(np.mean(np.abs(values) > high)) if values.size else 0.0
    signed = signed or low < 0
    return Scale(-high if signed else 0.0, high, "diverging" if signed else "sequential", False), beyond


def block(
    canvas: Canvas, maps: NDArray[np.float32], units: NDArray[np.int64], grid: Grid, left: float, top: float
) -> float:
    """Draw a scale, and below it maps on that scale with their numbers; return the y below."""
    scale, beyond = scale_of(maps, _WITHIN)
    draw_bar(canvas, left, top, 240, scale)
    notes = ["one scale for all maps"]
    if beyond:
        notes.append(f"{100 * beyond:.1g} % of the values lie beyond its ends and take their colour")
    for row, note in enumerate(words.wrap(notes, grid.width - 264, style.LABEL)):
        canvas.text(left + 264, top + 9 + LINE * row, note, style.LABEL, style.MUTED, va="baseline")
    top += BAR
    colours = style.colour_map(scale.colours)
    boxes: list[Box] = []
    for index, (unit, values) in enumerate(zip(units, reduce_blocks(maps, grid.reduction), strict=True)):
        row, column = divmod(index, grid.columns)
        x, y = left + column * grid.cell[1], top + row * grid.cell[0]
        box = (x, y + LINE, values.shape[1] * grid.zoom, values.shape[0] * grid.zoom)
        canvas.image(as_array(values), box, colours, (scale.low, scale.high))
        canvas.text(x, y + LINE - 4, str(unit), style.LABEL, style.MUTED, va="baseline")
        boxes.append(box)
    canvas.frames(boxes)
    return top + grid.height


def heat(canvas: Canvas, values: NDArray[np.float32], box: Box, lines: list[str], signed: bool) -> None:
    """Draw a map of one number per position with a heading, its scale and what it amounts to."""
    left, top, width, height = box
    scale, _ = scale_of(values, signed=signed)
    canvas.text(left, top - 7, lines[0], style.CAPTION, weight="bold", va="baseline")
    canvas.image(
        as_array(values.astype(np.float64)),
        box,
        style.colour_map(scale.colours),
        (scale.low, scale.high),
        smooth=width < values.shape[1],
    )
    canvas.frames([box])
    y = top + height + 10
    draw_bar(canvas, left, y, width, scale)
    for row, line in enumerate(lines[1:]):
        y_line = y + BAR + 10 + LINE * row
        canvas.text(
            left, y_line, words.shorten(line, width, style.LABEL), style.LABEL, style.MUTED, va="baseline"
        )


def draw_bar(canvas: Canvas, x: float, y: float, width: float, scale: Scale) -> None:
    """Draw a colour bar of any width with the numbers of its ends and middle, none of which leaves its width."""
    axes = canvas.figure.add_axes(_place(canvas, (x, y, width, _BAR_HEIGHT)), label="scale")
    mappable = ScalarMappable(Normalize(scale.low, scale.high), style.colour_map(scale.colours))
    bar = canvas.figure.colorbar(mappable, cax=axes, orientation="horizontal")
    ticks = [scale.low, (scale.low + scale.high) / 2, scale.high]
    bar.set_ticks(ticks, labels=[words.number(value) for value in ticks])
    bar.minorticks_off()
    first, _, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def histogram(canvas: Canvas, values: NDArray[np.float32], box: Box, heading: str) -> None:
    """Draw how often each value occurs, counted in equal bins, on a logarithmic axis."""
    canvas.text(box[0], box[1] - 7, heading, style.CAPTION, weight="bold", va="baseline")
    axes = canvas.figure.add_axes(_place(canvas, box), label="histogram")
    finite: Floats = values[np.isfinite(values)].astype(np.float64)
    low, high = finite_range(finite)
    if low == high:
        low, high = low - 1, high + 1
    counts, edges = np.histogram(finite, bins=_BINS, range=(low, high))
    axes.stairs(counts, edges, fill=True, color=style.DEAD, baseline=0.5)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(0.5, max(10.0, float(counts.max(initial=0)) * 2))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="both", which="both", labelsize=style.LABEL, labelcolor=style.MUTED, length=2)
    axes.yaxis.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _place(canvas: Canvas, box: Box) -> tuple[float, float, float, float]:
    """Return a box of pixels from the top left as shares of the figure from the bottom left."""
    left, top, width, height = box
    return (
        left / canvas.width,
        1 - (top + height) / canvas.height,
        width / canvas.width,
        height / canvas.height,
    )
