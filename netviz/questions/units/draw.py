"""The picture of a layer's units: how they go together, how selective and sparse they are, which are alike."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, layer_name
from netviz.paper.scales import scale_for
from netviz.paper.words import TIMES
from netviz.questions.units.result import UnitsResult

_CHART: Final = 214
"""Pixels that a histogram takes with its heading."""
BINS: Final = 25
LISTED: Final = 10
_ABOVE: Final = 52
_BELOW: Final = 42
_NUMBERS: Final = 34
_LINE: Final = 17
_PAIRS: Final = 170
_GAP: Final = 30


def _draw_chart(
    canvas: Canvas, box: Box, name: str, values: NDArray[np.float64], heading: str, notes: Sequence[str]
) -> Axes:
    """Draw how many units have which value between 0 and 1, and their mean as a line.

    Parameters
    ----------
    canvas : Canvas
    box : (left, top, width, height)
    name : str
        The label of the Axes.
    values : ndarray of float64, shape (units,)
        Units whose value is NaN are left out, and counted.
    heading : str
    notes : sequence of str
        What the number means; as many lines as there is room for.
    """
    left, top, width, height = box
    finite = values[np.isfinite(values)]
    said = f"mean {words.number(float(finite.mean()))}" if len(finite) else "no unit has one"
    if len(finite) < len(values):
        said += f"; without {words.counted(len(values) - len(finite), 'unit')}"
    canvas.heading(left, top - 8, heading)
    canvas.text(left + width, top - 8, said, style.LABEL, style.MARK, ha="right")
    canvas.paragraph(left, top + 6, notes, style.SMALL, width, most=3)
    inner = (left + _NUMBERS, top + _ABOVE - 8, width - _NUMBERS - 8, height - _ABOVE - _BELOW)
    axes = canvas.add_chart(inner, name)
    counts, edges = np.histogram(finite, BINS, (0.0, 1.0))
    axes.bar(
        edges[:-1], counts, 1 / BINS, align="edge", color=style.BAR, edgecolor=style.PAPER, linewidth=0.5
    )
    if len(finite):
        axes.axvline(float(finite.mean()), color=style.MARK, linewidth=1.0, label="mean")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(1, int(counts.max(initial=0))) * 1.05)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_ylabel("units", fontsize=style.SMALL, color=style.MUTED, labelpad=2)
    return axes


def _groups_height(result: UnitsResult) -> int:
    """Return the pixels that the list of groups takes, its heading included."""
    return 44 + _LINE * max(1, min(len(result.alike), LISTED) + (len(result.alike) > LISTED))


def _lists_height(result: UnitsResult) -> int:
    """Return the pixels that the lists of selective and of correlated units take, headings included."""
    rows = max(len(result.most_correlated(LISTED)), len(result.most_selective(LISTED)))
    return 44 + _LINE * rows if rows else 0


def _draw_groups(
    canvas: Canvas, result: UnitsResult, at: tuple[float, float], width: float, colours: Sequence[str]
) -> None:
    """List the largest groups of units with the same patches, each with its colour."""
    note = f"at least half of {result.top} top patches in common (half overlapping)"
    if result.images <= result.top:
        seen = words.counted(result.images, "image")
        note = f"{seen}: every unit has a patch in each; give more"
    elif result.redundant is None:
        note += "; chance explains it"
    groups = result.alike[:LISTED]
    lines = [f"{len(units)} units: {', '.join(map(str, units))}" for units in groups] or ["none"]
    if len(result.alike) > LISTED:
        lines.append(f"and {len(result.alike) - LISTED} groups more")
    marks = [colours[place] if place < len(colours) else style.HATCH for place in range(len(groups))]
    _list(canvas, *at, width, ("units with the same patches", note), lines, marks)


def _draw_lists(canvas: Canvas, result: UnitsResult, at: tuple[float, float], width: float) -> None:
    """List the most selective units, and the most correlated pairs."""
    left, top = at
    selective, pairs = result.most_selective(LISTED), result.most_correlated(LISTED)
    if selective:
        lines = [f"{unit}: {index:.2f}, {name}" for unit, index, name in selective]
        heading = "most selective units", "index, and the class with the largest mean"
        _list(canvas, left, top, width - _PAIRS - _GAP, heading, lines)
        left += width - _PAIRS
    if pairs:
        lines = [f"{a} and {b}: {_signed(r)}" for a, b, r in pairs]
        _list(canvas, left, top, _PAIRS, ("most correlated units", "of either sign"), lines)


def _list(
    canvas: Canvas,
    left: float,
    top: float,
    width: float,
    heading: tuple[str, str],
    lines: Sequence[str],
    marks: Sequence[str] = (),
) -> None:
    canvas.heading(left, top + 8, heading[0], width)
    canvas.text(left, top + 22, heading[1], style.SMALL, style.MUTED, room=width)
    indent = 14 if marks else 0
    for row, line in enumerate(lines):
        y = top + 42 + _LINE * row
        if row < len(marks):
            canvas.axes.fill_between([left, left + 9], y - 9, y, color=marks[row], linewidth=0)
        text = _cut(line, width - indent)
        canvas.text(left + indent, y, text, style.LABEL)


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", words.MINUS)


def _cut(text: str, width: float) -> str:
    """Leave out the end of a line that is too long."""
    text = words.clean(text[:400])
    if words.width(text, style.LABEL) <= width:
        return text
    low, high = 0, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        fits = words.width(f"{text[:middle]} …", style.LABEL) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{text[:low].rstrip(' ,')} …"


GROUPS: Final = ("#1a7f37", "#bc4c00", "#8250df", "#bf8700", "#0969da", "#cf222e", "#1b7c83", "#bf3989")
"""Colours of the largest groups of units with the same patches; the others are grey."""
_SIDE: Final = 640
_LEAST: Final = 320
_ZOOM: Final = 40
_TEXT_ROW: Final = 11
_STRIP: Final = 9
_CHARTS: Final = 440
_BETWEEN: Final = 40
_RARELY: Final = 0.01
_SCALE: Final = scale_for(-1.0, 1.0)


def units_figure(result: UnitsResult) -> Figure:
    """Draw the matrix of correlations, histograms of selectivity, sparsity and zeros, and the groups of like units.

    Parameters
    ----------
    result : UnitsResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels, its first image the matrix of correlations, its second the strip that
        marks groups; the Axes labelled ``"scale"`` is the colour bar, ``"selectivity"``, ``"sparsity"`` and
        ``"zeros"`` the histograms, as far as there is something to show.
    """
    with style.style():
        return _draw(result)


def shown_matrix(result: UnitsResult) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return the units of the matrix in order, their correlations, and how many units a row of it stands for.

    Returns
    -------
    order : ndarray of int64, shape (shown,)
        Without the units that never change.
    table : ndarray of float64, shape (rows, rows)
        Means over blocks, where there are more units than pixels.
    block : int
    """
    varying = np.isfinite(np.diagonal(result.correlation))
    order = result.order[varying[result.order]]
    table = result.correlation[np.ix_(order, order)].astype(np.float64)
    block = max(1, -(-len(order) // _SIDE))
    if block > 1:
        edges = np.arange(0, len(order), block)
        sums = np.add.reduceat(np.add.reduceat(table, edges, axis=0), edges, axis=1)
        sizes = np.diff(np.append(edges, len(order)))
        table = sums / np.outer(sizes, sizes)
    return order, table, block


def _draw(result: UnitsResult) -> Figure:
    order, table, block = shown_matrix(result)
    rows = max(1, len(table))
    narrow = page.narrow()
    zoom = max(1, min(_ZOOM, (page.widest() - 90 if narrow else page.side(_SIDE)) // rows))
    side = rows * zoom
    numbered = block == 1 and zoom >= _TEXT_ROW
    label = int(words.width("0" * len(str(result.channels)), style.SMALL)) + 8 if numbered else 0
    left = MARGIN + label + _STRIP + 4
    charts = MARGIN if narrow else left + max(side, page.side(_LEAST)) + _BETWEEN
    # On a narrow page the charts stand below the matrix.
    paper = page.widest() if narrow else charts + _CHARTS + MARGIN
    room = paper - MARGIN - charts
    shown = _shown_charts(result)
    head = _header(result, len(order), block, paper)
    top = head.height + 18
    groups = top + side + 30
    below = groups + _groups_height(result) + 24 if narrow else top
    lists = below + len(shown) * _CHART + 8
    canvas = Canvas(paper, int(max(groups + _groups_height(result), lists + _lists_height(result))) + MARGIN)
    head.draw(canvas)
    canvas.heading(left, top - 8, "correlation of units")
    box: Box = (left, top, side, side)
    if len(order):
        canvas.values(table, box, _SCALE)
        strip = _strip(result, order, block)
        canvas.image(strip, (left - _STRIP - 4, top, _STRIP, side))
        canvas.frames([box, (left - _STRIP - 4, top, _STRIP, side)])
    else:
        canvas.text(left, top + 20, "no unit ever changes", style.CAPTION, style.MUTED)
    if numbered:
        for row, unit in enumerate(order.tolist()):
            middle = top + (row + 0.5) * zoom
            x = left - _STRIP - 9
            canvas.text(x, middle, str(unit), style.SMALL, style.MUTED, ha="right", va="center_baseline")
    for place, (name, values, heading, notes) in enumerate(shown):
        _draw_chart(canvas, (charts, below + place * _CHART, room, _CHART), name, values, heading, notes)
    beside = room if narrow else charts - _BETWEEN - MARGIN
    _draw_groups(canvas, result, (MARGIN, groups), beside, GROUPS)
    _draw_lists(canvas, result, (charts, lists), room)
    return canvas.figure


def _shown_charts(result: UnitsResult) -> list[tuple[str, NDArray[np.float64], str, Sequence[str]]]:
    charts: list[tuple[str, NDArray[np.float64], str, Sequence[str]]] = []
    if np.isfinite(result.selectivity).any():
        notes = [
            f"(a {words.MINUS} b) / (a + b): a the mean for a unit's best of {len(result.classes)} classes, "
            "b for the others",
            "0: all classes alike, 1: one class only (Morcos et al. 2018)",
        ]
        charts.append(("selectivity", result.selectivity, "class selectivity", notes))
    notes = [
        "0: equally active everywhere, 1: at one position only",
        "the activity ratio of Treves and Rolls 1991, on the scale of Vinje and Gallant 2000",
    ]
    charts.append(("sparsity", result.sparsity, "sparsity over positions", notes))
    if (result.zeros > _RARELY).any():
        charts.append(
            ("zeros", result.zeros, "share of values that are 0", ["1: a unit that is never active"])
        )
    return charts


def _strip(result: UnitsResult, order: NDArray[np.int64], block: int) -> NDArray[np.uint8]:
    """Return the colour of each row's group, of the lowest-numbered group where a row stands for several units."""
    group = np.full(result.channels, len(result.alike), dtype=np.int64)
    for number, units in enumerate(result.alike):
        group[list(units)] = number
    least = np.minimum.reduceat(group[order], np.arange(0, len(order), block))
    colours = [*GROUPS[: len(result.alike)], style.HATCH]
    table = np.array([style.rgb(one) for one in colours], dtype=np.uint8)
    pixels = table[np.minimum(least, len(colours) - 1)]
    pixels[least == len(result.alike)] = style.rgb(style.PAPER)
    return pixels[:, None]


def _header(result: UnitsResult, shown: int, block: int, paper: int) -> Head:
    name = layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked)
    title = [result.network, name, f"what its {words.counted(result.channels, 'unit')} are like"]
    seen = f"{result.positions:,} positions in {words.counted(result.images, 'image')}"
    caption = [
        seen if result.samples == result.positions else f"{result.samples:,} of {seen}, drawn at random"
    ]
    never = len(result.never())
    if never:
        caption.append(f"{words.counted(never, 'unit')} never active")
    if np.isfinite(result.selectivity).any():
        if result.class_images:
            caption.append(f"{min(result.class_images)} to {max(result.class_images)} images a class")
        if result.single:
            caption.append(f"{result.single} with a single image left out of the selectivity")
    else:
        reason = "it is for rectified layers"
        if len(result.classes) < 2:
            reason = "the images are not in folders by class"
            if result.single:
                reason = "fewer than two classes have several images"
        caption.append(f"no class selectivity: {reason}")
    if result.images <= result.top:
        caption.append("too few images to tell units with the same patches")
    else:
        same = "left over if each group of units with the same patches keeps one"
        chance = "" if result.chance is None else f", {result.chance:.1f} by chance"
        if result.redundant is None:
            caption.append(f"{result.left} {same}{chance}: not called redundant")
        else:
            caption.append(f"{result.redundant} redundant{chance}: {same}")
    if result.skipped:
        caption.append(f"{words.counted(len(result.skipped), 'image')} left out")
    notes = ["Pearson's correlation of each two units", "correlated units side by side (average linkage)"]
    if block > 1:
        notes.append(f"a pixel is the mean over {block}{TIMES}{block} pairs")
    if shown < result.channels:
        notes.append(f"without {words.counted(result.channels - shown, 'unit')} that never change")
    if result.alike:
        notes.append("marked at the left: groups of units with the same patches")
    return Head.of(title, caption, paper, (_SCALE, notes), warnings=result.doubts)
