"""The picture of contrast normalization: a layer's maps before and after, and what they are like locally.

It is made of blocks of maps, heat maps and histograms, each with its scale.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, bad_values, fit, layer_name, seen_size
from netviz.paper.scales import Floats, Scale, beyond, finite_range, peak, said_beyond, scale_for
from netviz.paper.tiles import reduce_blocks
from netviz.paper.words import MINUS, TIMES
from netviz.questions.contrast.result import ContrastResult

GAP: Final = 6
_LINE: Final = 13
BAR: Final = 32
"""Height of a colour bar with its numbers."""
_BLOCKS: Final = (708, 1148)
_TALLEST: Final = 1850
_TARGETS: Final = (696, 348, 228, 171, 140, 112, 95, 80, 64, 48, 40, 32, 24, 16)
_BAR_HEIGHT: Final = 10
_NOTES: Final = 620
"""Width of a block that has room for what is said about its colour bar beside it."""
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

    @property
    def bar(self) -> int:
        """The height of the colour bar above it, with what is said beside it, or below it on a narrow page."""
        return BAR if self.width >= _NOTES else BAR + 3 * _LINE


def arrange(count: int, height: int, width: int) -> Grid:
    """Choose the size of a map's tile so that a block of `count` maps becomes not much taller than wide."""
    side = max(height, width)
    label = words.width("0000", style.LABEL)
    narrow = page.narrow()
    for block in (page.widest() - 2 * MARGIN,) if narrow else tuple(map(page.side, _BLOCKS)):
        most = (
            max(block, page.side(2 * block))
            if narrow
            else min(1.7 * block, page.side(_TALLEST), page.highest())
        )
        for target in _TARGETS:
            zoom, reduction = max(1, target // side), max(1, -(-side // target))
            tall, wide = (-(-length // reduction) * zoom for length in (height, width))
            cell = (tall + _LINE + GAP, max(wide, int(label)) + GAP)
            columns = max(1, (block + GAP) // cell[1])
            grid = Grid(block, columns, -(-count // columns), zoom, reduction, cell)
            if grid.height <= most and wide <= block:
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
    high = peak(values, within) or 1.0
    scale = scale_for(-high if signed or low < 0 else 0.0, high)
    return scale, beyond(values, scale) / max(1, values.size)


def block(
    canvas: Canvas,
    maps: NDArray[np.float32],
    units: NDArray[np.int64],
    grid: Grid,
    left: float,
    top: float,
    each: bool = False,
) -> float:
    """Draw a scale, and below it maps on that scale, or each on its own, with their numbers; return the y below."""
    scale, lost = scale_of(maps, _WITHIN)
    peaks = [peak(one) for one in maps] if each else [1.0] * len(maps)
    notes = ["one scale for all maps", *said_beyond(lost)]
    if each:
        scale = scale_for(scale.low, scale.high, per_tile=True)
        scale = replace(scale, low=-1.0 if scale.low < 0 else 0.0, high=1.0)
        notes = ["each map by its own range", "its end is written above it, if there is room"]
    draw_bar(canvas, left, top, min(240, grid.width), scale)
    beside = (264, 9) if grid.width >= _NOTES else (0, BAR + 8)
    room = grid.width - beside[0]
    canvas.paragraph(left + beside[0], top + beside[1], notes, style.LABEL, room, step=_LINE, most=3)
    top += grid.bar
    boxes: list[Box] = []
    for index, (unit, values) in enumerate(zip(units, reduce_blocks(maps, grid.reduction), strict=True)):
        row, column = divmod(index, grid.columns)
        x, y = left + column * grid.cell[1], top + row * grid.cell[0]
        box = (x, y + _LINE, values.shape[1] * grid.zoom, values.shape[0] * grid.zoom)
        canvas.values(values, box, scale, peaks[index])
        canvas.text(x, y + _LINE - 4, str(unit), style.LABEL, style.MUTED)
        end = f"{'±' if scale.low < 0 else 'max '}{words.number(peaks[index])}"
        taken = words.width(f"{unit}  ", style.LABEL) + words.width(end, style.SMALL)
        if each and taken <= grid.cell[1] - GAP:
            canvas.text(x + grid.cell[1] - GAP, y + _LINE - 4, end, style.SMALL, style.FAINT, ha="right")
        boxes.append(box)
    canvas.frames(boxes)
    return top + grid.height


def heat(canvas: Canvas, values: NDArray[np.float32], box: Box, lines: list[str], signed: bool) -> None:
    """Draw a map of one number per position with a heading, its scale and what it amounts to."""
    left, top, width, height = box
    scale, _ = scale_of(values, signed=signed)
    canvas.heading(left, top - 7, lines[0], width + _PANEL_GAP - 6)
    canvas.values(values.astype(np.float64), box, scale)
    canvas.frames([box])
    y = top + height + 10
    draw_bar(canvas, left, y, width, scale)
    canvas.paragraph(left, y + BAR + 10, lines[1:], style.LABEL, width, step=_LINE, most=3)


def draw_bar(canvas: Canvas, x: float, y: float, width: float, scale: Scale) -> None:
    """Draw a colour bar of any width with the numbers of its ends and middle, none of which leaves its width."""
    first, *_, last = canvas.bar(x, y, scale, width, _BAR_HEIGHT).get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def histogram(canvas: Canvas, values: NDArray[np.float32], box: Box, heading: str) -> None:
    """Draw how often each value occurs, counted in equal bins, on a logarithmic axis."""
    canvas.heading(box[0], box[1] - 7, heading, box[2])
    axes = canvas.add_axes(box, "histogram")
    finite: Floats = values[np.isfinite(values)].astype(np.float64)
    low, high = finite_range(finite)
    if low == high:
        wide = max(1.0, 0.5 * abs(low))
        low, high = low - wide, high + wide
    counts, edges = np.histogram(finite, bins=_BINS, range=(low, high))
    axes.stairs(counts, edges, fill=True, color=style.DEAD, baseline=0.5)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(0.5, max(10.0, float(counts.max(initial=0)) * 2))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="both", which="both", labelsize=style.LABEL, labelcolor=style.MUTED, length=2)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


_BETWEEN: Final = 32
_HEADING: Final = 26
_PANEL: Final = 172
_LEAST_PANEL: Final = 112
_PANEL_GAP: Final = 22
_ROW_GAP: Final = 34
_AXIS: Final = 34
_ALPHA: Final = "\u03b1"  # by its code because it is easily taken for the letter a

_NAMES: Final = {
    "lcn": "local contrast normalization",
    "lrn": "local response normalization",
    "batch": "batch norm",
}


def contrast_figure(result: ContrastResult) -> Figure:
    """Draw a layer's maps before and after normalization, in the same order, and their local mean and deviation.

    Parameters
    ----------
    result : ContrastResult
        Its `units` are drawn; local statistics and histograms are those of all units.

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the maps before, the maps after, the image, and the local mean
        and deviation before and after; the Axes labelled ``"scale"`` are their colour bars, in this order, and two
        labelled ``"histogram"`` follow.
    """
    with style.style():
        return _draw(result)


def _panel() -> int:
    """Return the side of a small picture; on a narrow page three stand abreast."""
    if page.narrow():
        return max(40, (page.widest() - 2 * MARGIN - 2 * _PANEL_GAP) // 3)
    return max(_LEAST_PANEL, page.side(_PANEL))


def _draw(result: ContrastResult) -> Figure:
    height, width = result.before.shape[1:]
    grid, narrow, panel = arrange(len(result.units), height, width), page.narrow(), _panel()
    paper = 2 * MARGIN + (grid.width if narrow else 2 * grid.width + _BETWEEN)
    head = Head.of(_title(result), _caption(result, grid.reduction), paper, warnings=result.doubts)
    top = head.height + 2
    panel_height = max(1, min(panel, round(panel * height / width)))
    panel_width = max(40, min(panel, round(panel * width / height)))
    whole = _HEADING + grid.bar + grid.height
    lower = top + whole + 48 + (whole + 20 if narrow else 0)
    image_width, image_height = fit(result.image.shape, _PANEL, whole=False, room=panel)
    below = panel_height + 10 + BAR + 3 * _LINE
    body = max(image_height + 2 * _LINE + 8, below, panel + 42)
    if narrow:
        body = 2 * (max(image_height + 3 * _LINE, below) + _ROW_GAP) + panel + 42
    canvas = Canvas(paper, round(lower + body + MARGIN))
    head.draw(canvas)
    places = ((MARGIN, top), (MARGIN, top + whole + 20) if narrow else (MARGIN + grid.width + _BETWEEN, top))
    for (left, y), maps, (heading, of) in zip(
        places, (result.before, result.after), _headings(result), strict=True
    ):
        canvas.text(left, y + 12, heading, style.CAPTION + 1, weight="bold")
        room = words.width(heading, style.CAPTION + 1, bold=True) + 12
        canvas.text(left + room, y + 12, of, style.CAPTION, style.MUTED, room=grid.width - room)
        block(canvas, maps[result.units], result.units, grid, left, y + _HEADING, result.scale == "each")
    _summary(canvas, result, lower, (image_height, image_width), (panel_height, panel_width))
    return canvas.figure


def _summary(
    canvas: Canvas, result: ContrastResult, top: float, image: tuple[int, int], panel: tuple[int, int]
) -> None:
    """Draw the image, the local mean and deviation before and after, and the histograms: in a row, or in three."""
    side, narrow = _panel(), page.narrow()
    box = (MARGIN, top, image[1], image[0])
    canvas.image(result.image, box)
    canvas.frames([box])
    canvas.heading(MARGIN, top - 7, result.image_name, side)
    y = top + image[0] + 14
    canvas.paragraph(MARGIN, y, [seen_size(result.image)], style.LABEL, side, step=_LINE)
    first = left = float(MARGIN + side + _PANEL_GAP)
    row = max(image[0] + 3 * _LINE, panel[0] + 10 + BAR + 3 * _LINE) + _ROW_GAP
    for name, values, amount, signed in (
        ("local mean before", result.local_mean_before, _root_mean_square, True),
        ("local std before", result.local_std_before, _range, False),
        ("local mean after", result.local_mean_after, _root_mean_square, True),
        ("local std after", result.local_std_after, _range, False),
    ):
        if narrow and left + side > canvas.width:
            left, top = first, top + row
        heat(canvas, values, (left, top, panel[1], panel[0]), [name, amount(values)], signed)
        left += side + _PANEL_GAP
    if narrow:
        left, top = float(MARGIN), top + row
    room = (canvas.width - MARGIN - left - _PANEL_GAP) / 2
    for heading, maps in (("values before", result.before), ("values after", result.after)):
        histogram(canvas, maps, (left + _AXIS, top, room - _AXIS, side), heading)
        note = "count, log scale" if narrow else "how many values, log scale"
        canvas.text(left + _AXIS, top + side + 34, note, style.LABEL, style.MUTED, room=room - _AXIS)
        left += room + _PANEL_GAP


def _title(result: ContrastResult) -> list[str]:
    return [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        result.image_name,
        _NAMES.get(result.method, result.method),
    ]


def _headings(result: ContrastResult) -> tuple[tuple[str, str], tuple[str, str]]:
    name = _NAMES.get(result.method, result.method)
    if result.method == "batch":
        return ("before", f"what the batch norm {result.recorded} read"), ("after", "what it gave")
    return ("before", f"output of {result.layer}"), ("after", f"the same maps after {name}")


def _caption(result: ContrastResult, reduction: int) -> list[str]:
    height, width = result.before.shape[1:]
    across = "spanning all maps" if result.across == "maps" else "each map by itself"
    window = (
        f"Gaussian window {result.window}{TIMES}{result.window}, sigma {words.number(result.sigma)} positions, "
        f"{across}"
    )
    if result.method == "lcn":
        parts = [f"y = (x {MINUS} m) / max(c, s)", f"m, s: mean and deviation in a {window}"]
    elif result.method == "lrn":
        alpha = "1e-4" if result.constants == "paper" else "1e-4 / 5"
        whose = "Krizhevsky's" if result.constants == "paper" else "PyTorch's"
        k = 2 if result.constants == "paper" else 1
        parts = [
            f"y = x / (k + {_ALPHA} Σx²)^β over 5 neighbouring maps, k = {k}, {_ALPHA} = {alpha}, β = 0.75 "
            f"({whose} constants)",
            *_divided(result),
            f"local mean and std: {window}",
        ]
    else:
        parts = ["as the network applies it, recorded", f"local mean and std: {window}"]
    parts += [
        *_claim(result),
        f"maps {height}{TIMES}{width} (H{TIMES}W)",
        f"{len(result.units)} of {result.channels} units",
    ]
    if reduction > 1:
        parts.append(f"a pixel is the mean of {reduction}{TIMES}{reduction} positions")
    bad = sum(int(np.count_nonzero(~np.isfinite(maps))) for maps in (result.before, result.after))
    return [*parts, *bad_values(bad)]


def _divided(result: ContrastResult) -> list[str]:
    """Say by how much local response normalization divides, which maps on scales of their own do not show."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = result.before.astype(np.float64) / result.after
    ratios = ratios[np.isfinite(ratios)]
    if not ratios.size:
        return []
    low, middle, high = np.quantile(ratios, (0.0, 0.5, 1.0))
    return [
        f"values are divided by {words.span(low, high)}, half of them by less than {words.number(middle)}"
    ]


def _claim(result: ContrastResult) -> list[str]:
    """Say how far local contrast normalization brings the local mean to 0 and the deviation to 1."""
    if result.c is None or result.floor_share is None:
        return []
    parts = [
        f"c = {words.number(result.c)}, the mean of s, divides at {100 * result.floor_share:.0f} % of the positions",
        f"after it the local mean is 0 within {words.number(float(np.abs(result.local_mean_after).max()))}",
    ]
    own = result.local_std_before >= result.c
    if result.across == "maps" and own.any():
        low, high = np.quantile(result.local_std_after[own], (0.05, 0.95))
        parts.append(f"the local std, where s is above c, {low:.2f}–{high:.2f} (nine positions in ten)")
    return parts


def _root_mean_square(values: NDArray[np.float32]) -> str:
    return f"root mean square {words.number(float(np.sqrt(np.mean(values.astype(np.float64) ** 2))))}"


def _range(values: NDArray[np.float32]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{words.number(low)} to {words.number(high)}, mean {words.number(float(values.mean(dtype=np.float64)))}"
