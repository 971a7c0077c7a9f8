"""The picture of a layer's filters."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from netviz.render import style, words
from netviz.render.canvas import (
    MARGIN,
    Canvas,
    Header,
    as_array,
    bad_values,
    drawn_of,
    header,
    layer_name,
    limits,
)
from netviz.render.matrix import MatrixPlan, draw_matrix, plan_matrix
from netviz.render.scales import colourise
from netviz.render.tiles import columns_for
from netviz.render.views import FilterView, view_filters
from netviz.render.words import TIMES
from netviz.results import FiltersResult

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
            plan, view = plan_matrix(result, view)
            return _draw_matrix(result, view, plan)
        return _draw_tiles(result, view)


def _draw_tiles(result: FiltersResult, view: FilterView) -> Figure:
    labels = _labels(result, view.units)
    widest = words.width(max(labels, key=len, default=""), style.LABEL)
    count, _, height, width = view.shares.shape
    for target in (80 if count <= 40 else 64, 56, 48, 40, 32, 24, 16, 8):
        zoom = max(1, min(32, max(target, min(112, target * max(height, width) // 8)) // max(height, width)))
        cell_height = height * zoom + _LINE + _GAP
        cell_width = max(width * zoom, int(widest) + 1) + _GAP
        columns = columns_for(count, cell_height, cell_width, 1.6)
        rows = -(-count // columns)
        if max(columns * cell_width, rows * cell_height + 150) + 2 * MARGIN <= style.LARGEST:
            break
    paper = max(_LEAST_WIDTH, columns * cell_width - _GAP + 2 * MARGIN)
    head = _header(result, view, paper, None)
    canvas = Canvas(paper, head.height + rows * cell_height + MARGIN)
    head.draw(canvas)
    boxes = []
    for index, label in enumerate(labels):
        row, column = divmod(index, columns)
        left, top = MARGIN + column * cell_width, head.height + row * cell_height
        box = (left, top + _LINE, width * zoom, height * zoom)
        boxes.append(box)
        canvas.text(
            left, top + _LINE - 4, label, style.LABEL, _colour(result, view.units[index]), va="baseline"
        )
        if view.layout == "rgb":
            canvas.image(colourise(np.moveaxis(view.shares[index], 0, -1), "rgb"), box)
        else:
            colours = style.colour_map("diverging")
            own = limits(view.scale, float(view.peaks[index]))
            canvas.image(as_array(view.values[index, 0]), box, colours, own)
    dead = set(result.dead)
    canvas.frames(boxes)
    canvas.frames([b for b, u in zip(boxes, view.units, strict=True) if u in dead], style.DEAD, 2.0, 1.0)
    return canvas.figure


def _draw_matrix(result: FiltersResult, view: FilterView, plan: MatrixPlan) -> Figure:
    paper = max(_LEAST_WIDTH, plan.width + 2 * MARGIN)
    head = _header(result, view, paper, plan)
    canvas = Canvas(paper, head.height + plan.height + MARGIN)
    head.draw(canvas)
    tags = [tag for _, tag in _tagged(result, view.units)]
    draw_matrix(canvas, head.height, view, plan, result, tags)
    return canvas.figure


def _header(result: FiltersResult, view: FilterView, paper: int, plan: MatrixPlan | None) -> Header:
    outputs, inputs, height, width = result.filters.shape
    size = f"{words.counted(outputs, 'filter')} {height}{TIMES}{width}{TIMES}{inputs}"
    depthwise = result.groups > 1 and inputs == 1
    kind = ["transposed"] if result.transposed else []
    if result.groups > 1:
        kind.append("depthwise" if depthwise else f"{result.groups} groups")
    title = [result.network, layer_name(result.layer, result.alias), ", ".join([size, *kind])]
    each = view.scale.per_tile
    caption = [
        "each filter by its own largest weight" if each else "one scale for all filters",
        drawn_of(view.units, outputs, result.sort),
        f"{words.counted(len(result.dead), 'dead filter')} (L2 norm below 1 % of the layer's median norm)",
        f"{words.counted(len(result.duplicates), 'near-duplicate')} "
        "(cosine similarity ≥ 0.95 with an earlier filter)",
    ]
    if plan is not None and view.values.shape[1] < inputs:
        of = "input channels of each group" if result.groups > 1 else "input channels"
        caption.insert(2, f"first {view.values.shape[1]} of {inputs} {of}")
    caption += bad_values(view.bad)
    ticks = [(value, words.number(value)) for value in (view.scale.low, 0.0, view.scale.high)]
    note = ["share of each filter's largest weight" if each else "weight"]
    if view.layout == "rgb":
        note.append("mid-grey 0, brighter positive, darker negative, in each of red, green and blue")
        if result.channel_order == "BGR":
            note.append("the network reads blue, green, red; shown as red, green, blue")
    elif plan is not None:
        note += plan.notes
    return header(title, caption, view.scale, ticks, note, paper)


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
