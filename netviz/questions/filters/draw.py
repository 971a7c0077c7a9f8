"""The picture of a layer's filters.

Filters of many input channels are a matrix: a row per unit and a column per input channel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, Panels, bad_values, drawn_of, layer_name
from netviz.paper.scales import colourise
from netviz.paper.tiles import columns_filling, columns_for
from netviz.paper.words import TIMES
from netviz.questions.filters.result import FiltersResult
from netviz.questions.filters.tiles import FilterView, view_filters

_COMFORTABLE = 1500
_HEADER = 170
_TOP = 34
_PANEL_GAP = 26
_TEXT_ROW = 11


@dataclass(frozen=True)
class MatrixLayout:
    """Where the matrix goes.

    Attributes
    ----------
    zoom : int
        Pixels per weight.
    panels, rows : int
        Panels side by side, and rows in each.
    label, tag : int
        Pixels left of a panel for the units' numbers and right of it for what is said about them.
    panel : int
        Pixels of a panel from its labels to the next panel's.
    width, height : int
        Pixels of the whole.
    notes : tuple of str
        What rows, columns and marks mean.
    """

    zoom: int
    panels: int
    rows: int
    label: int
    tag: int
    panel: int
    width: int
    height: int
    notes: tuple[str, ...]


def _arrange_matrix(result: FiltersResult, view: FilterView) -> tuple[MatrixLayout, FilterView]:
    """Find the largest weights that fit on the paper, showing fewer input channels where none fit."""
    while True:
        layout = _largest(result, view)
        shown = view.values.shape[1]
        if layout is not None and (layout.width <= page.widest() or shown == 1):
            return layout, view
        view = view_filters(result, max(1, shown // 2))


def _largest(result: FiltersResult, view: FilterView) -> MatrixLayout | None:
    point = view.values.shape[2:] == (1, 1)
    for limit, zooms in (
        (min(_COMFORTABLE, page.widest()), range(page.side(16 if point else 10), 5, -1)),
        (page.widest(), range(10, 0, -1)),
    ):
        for zoom in zooms:
            layout = _fold(result, view, zoom, limit)
            if layout is not None:
                return layout
    return _fold(result, view, 1, 1 << 15) if view.values.shape[1] == 1 else None


def _fold(result: FiltersResult, view: FilterView, zoom: int, limit: int) -> MatrixLayout | None:
    """Fold the rows into panels so that width / height comes nearest to 1.4; None if nothing fits."""
    count, shown, height, width = view.values.shape
    tall = height * zoom >= _TEXT_ROW
    marked = [unit for unit in view.units if unit in result.dead or unit in dict(result.duplicates)]
    label = int(words.width("0" * len(str(max(view.units, default=0))), style.LABEL)) + 8
    if result.groups > 1:
        label += int(words.width(f" g{result.groups}", style.LABEL))
    tag = 0 if not marked else 10 if not tall else int(words.width("≈ 0000", style.SMALL)) + 6
    panel = label + shown * width * zoom + tag + _PANEL_GAP
    fits = []
    high = min(limit, page.highest()) if page.given() else limit
    for panels in range(1, max(count, 1) + 1):
        rows = max(1, math.ceil(count / panels))
        size = panels * panel - _PANEL_GAP, _TOP + rows * height * zoom
        if size[0] + 2 * MARGIN > limit:
            break
        # A panel that starts beyond the last unit would be empty.
        if size[1] + _HEADER + MARGIN <= high and (panels - 1) * rows < max(count, 1):
            fits.append((abs(math.log(size[0] / size[1] / page.aspect(1.4))), panels, rows, size))
    if not fits:
        return None
    _, panels, rows, size = min(fits)
    notes = [
        "a row is a unit, a column an input channel" + (" of the unit's group" if result.groups > 1 else "")
    ]
    if marked:
        notes.append("right of a row: ≈ the earlier filter it resembles, or dead" if tall else _MARKS)
    return MatrixLayout(zoom, panels, rows, label, tag, panel, *size, tuple(notes))


_MARKS = "right of a row: violet near-duplicate, grey dead"


def draw_matrix(
    canvas: Canvas,
    top: int,
    view: FilterView,
    layout: MatrixLayout,
    result: FiltersResult,
    tags: Sequence[str],
) -> None:
    """Draw the panels below `top`; `tags` says what is remarkable about each unit."""
    count, shown, height, width = view.values.shape
    per_group = result.filters.shape[0] // result.groups
    pitch, step = height * layout.zoom, width * layout.zoom
    values = view.shares if view.scale.per_tile else view.values
    first = top + _TOP
    every = next(n for n in (1, 2, 4, 5, 8, 10, 16, 20, 32, 64) if n * pitch >= _TEXT_ROW or n == 64)
    across = next(n for n in (1, 2, 4, 8, 16, 32, 64) if n * step >= 22 or n == 64)
    for panel in range(layout.panels):
        rows = range(panel * layout.rows, min(count, (panel + 1) * layout.rows))
        left = MARGIN + panel * layout.panel + layout.label
        box = (left, first, shown * step, len(rows) * pitch)
        block = values[rows.start : rows.stop].swapaxes(1, 2)
        canvas.values(block.reshape(len(rows) * height, shown * width), box, view.scale)
        _grid(canvas, box, pitch, step)
        heading = "channel of the group" if result.groups > 1 else "input channel"
        if words.width(heading, style.SMALL) > box[2]:
            heading = "input"
        canvas.text(left, top + 10, heading, style.SMALL, style.FAINT)
        for channel in range(0, shown, across):
            x = left + (channel + 0.5) * step
            canvas.text(x, first - 5, str(channel), style.SMALL, style.MUTED, ha="center")
        for row in rows:
            place = row - rows.start
            middle = first + (place + 0.5) * pitch
            unit, tag = view.units[row], tags[row]
            if place % every == 0:
                name = f"{unit} g{unit // per_group}" if result.groups > 1 else str(unit)
                canvas.text(
                    left - 5, middle, name, style.LABEL, style.MUTED, ha="right", va="center_baseline"
                )
            if tag and pitch >= _TEXT_ROW:
                colour = style.DEAD if tag == "dead" else style.DUPLICATE
                canvas.text(left + box[2] + 5, middle, tag, style.SMALL, colour, va="center_baseline")
        if pitch < _TEXT_ROW:
            _marks(canvas, left + box[2] + 3, first, pitch, [tags[row] for row in rows])
        dead = [
            (left, first + (row - rows.start) * pitch, box[2], pitch) for row in rows if tags[row] == "dead"
        ]
        canvas.frames([box])
        canvas.frames(dead, style.DEAD, 1.5, 0.0)


def _grid(canvas: Canvas, box: Box, pitch: int, step: int) -> None:
    """Part the kernels by lines; small cells stay together."""
    left, top, width, height = box
    if min(pitch, step) < 6:
        return
    lines: list[Box] = [(left, y, left + width, y) for y in range(int(top) + pitch, int(top + height), pitch)]
    lines += [(x, top, x, top + height) for x in range(int(left) + step, int(left + width), step)]
    # The larger kernels are, the farther apart, or their weights look like one mass.
    side = min(pitch, step)
    canvas.lines([(line, style.PAPER) for line in lines], 4.0 if side >= 24 else 2.0 if side >= 16 else 1.0)


def _marks(canvas: Canvas, x: float, first: float, pitch: int, tags: Sequence[str]) -> None:
    """Mark rows that are too low for words by a short coloured bar."""
    marks = [
        (
            (x, first + row * pitch, x, first + (row + 1) * pitch),
            style.DEAD if tag == "dead" else style.DUPLICATE,
        )
        for row, tag in enumerate(tags)
        if tag
    ]
    canvas.lines(marks, 4.0)


_LEAST_WIDTH = 760
_GAP = 8
_LINE = 14


def filters_figure(result: FiltersResult) -> Figure:
    """Draw the filters of one layer.

    Parameters
    ----------
    result : FiltersResult
        Its `units` are drawn: as colour tiles where the layer reads an RGB image, as signed tiles where a
        filter has one channel, else as a matrix with a row per unit and a column per input channel.

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels; the Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        view = view_filters(result)
        if view.layout == "matrix":
            layout, view = _arrange_matrix(result, view)
            return _draw_matrix(result, view, layout)
        return _draw_tiles(result, view)


def _draw_tiles(result: FiltersResult, view: FilterView) -> Figure:
    labels = _labels(result, view.units)
    widest = words.width(max(labels, key=len, default=""), style.LABEL)
    count, _, height, width = view.shares.shape
    largest = 200 if count <= 4 else 120 if count <= 12 else 80 if count <= 40 else 64
    for target in (largest, *((80,) if largest > 80 else ()), 56, 48, 40, 32, 24, 16, 8):
        zoom = max(1, min(32, max(target, min(112, target * max(height, width) // 8)) // max(height, width)))
        column = max(width * zoom, int(widest) + 1)
        columns = columns_for(count, _LINE + height * zoom + _GAP, column + _GAP, 1.6)
        panels = Panels((width * zoom, height * zoom), columns, column, _GAP, _LINE, _GAP)
        if panels.paper <= page.widest() and panels.height(count) + 150 + 2 * MARGIN <= page.highest():
            break
    if page.given():
        room = page.widest() - 2 * MARGIN, page.highest() - _HEADER - MARGIN
        columns, wide, tall = columns_filling(count, (height, width), room, _GAP, _LINE + _GAP, widest + 1)
        panels = Panels((wide, tall), columns, wide, _GAP, _LINE, _GAP)
    paper = max(page.least(_LEAST_WIDTH), panels.paper)
    head = _header(result, view, paper, None)
    canvas = Canvas(paper, head.height + panels.height(count) + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(index, head.height) for index in range(count)]
    for index, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        canvas.text(box[0], box[1] - 4, label, style.LABEL, _colour(result, view.units[index]))
        if view.layout == "rgb":
            canvas.image(colourise(np.moveaxis(view.shares[index], 0, -1), "rgb"), box)
        else:
            canvas.values(view.values[index, 0], box, view.scale, float(view.peaks[index]))
    dead = set(result.dead)
    canvas.frames(boxes)
    canvas.frames([b for b, u in zip(boxes, view.units, strict=True) if u in dead], style.DEAD, 2.0, 1.0)
    return canvas.figure


def _draw_matrix(result: FiltersResult, view: FilterView, layout: MatrixLayout) -> Figure:
    paper = max(page.least(_LEAST_WIDTH), layout.width + 2 * MARGIN)
    head = _header(result, view, paper, layout)
    canvas = Canvas(paper, head.height + layout.height + MARGIN)
    head.draw(canvas)
    tags = [tag for _, tag in _tagged(result, view.units)]
    draw_matrix(canvas, head.height, view, layout, result, tags)
    return canvas.figure


def _header(result: FiltersResult, view: FilterView, paper: int, layout: MatrixLayout | None) -> Head:
    outputs, inputs, height, width = result.filters.shape
    size = f"{words.counted(outputs, 'filter')} {height}{TIMES}{width}{TIMES}{inputs}"
    depthwise = result.groups > 1 and inputs == 1
    kind = ["transposed"] if result.transposed else []
    if result.groups > 1:
        kind.append("depthwise" if depthwise else f"{result.groups} groups")
    title = [
        result.network,
        layer_name(result.layer, result.alias, asked=result.layer_asked),
        ", ".join([size, *kind]),
    ]
    each = view.scale.per_tile
    caption = [
        "each filter by its own largest weight" if each else "one scale for all filters",
        drawn_of(view.units, outputs, result.sort),
        f"{words.counted(len(result.dead), 'dead filter')} (L2 norm below 1 % of the layer's median norm)",
        f"{words.counted(len(result.duplicates), 'near-duplicate')} "
        "(cosine similarity ≥ 0.95 with an earlier filter)",
    ]
    if layout is not None and view.values.shape[1] < inputs:
        of = "input channels of each group" if result.groups > 1 else "input channels"
        caption.insert(2, f"first {view.values.shape[1]} of {inputs} {of}")
    caption += bad_values(view.bad)
    note = ["share of each filter's largest weight" if each else "weight"]
    if view.layout == "rgb":
        note.append(view.scale.note)
        if result.channel_order == "BGR":
            note.append("the network reads blue, green, red; shown as red, green, blue")
    elif layout is not None:
        note += layout.notes
    # The bar's numbers are shares.
    return Head.of(title, caption, paper, (replace(view.scale, per_tile=False), note), warnings=result.doubts)


def _tagged(result: FiltersResult, units: Sequence[int]) -> list[tuple[int, str]]:
    """Pair each unit with what is to be said about it: dead, or like which earlier one."""
    dead, earlier = set(result.dead), dict(result.duplicates)
    return [
        (unit, "dead" if unit in dead else f"≈ {earlier[unit]}" if unit in earlier else "") for unit in units
    ]


def _labels(result: FiltersResult, units: Sequence[int]) -> list[str]:
    return [f"{unit} {tag}".rstrip() for unit, tag in _tagged(result, units)]


def _colour(result: FiltersResult, unit: int) -> str:
    if unit in result.dead:
        return style.DEAD
    return style.DUPLICATE if unit in dict(result.duplicates) else style.MUTED
