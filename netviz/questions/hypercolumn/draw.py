"""The picture of hypercolumns: the image, three components as colours, clusters, and each component by itself."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.classes import class_colour, class_colours, legend
from netviz.paper.layout import ABOVE_WRAPPED, MARGIN, Canvas, Head, Panels, fit, seen_size
from netviz.paper.scales import Scale, peak
from netviz.paper.words import MINUS, TIMES
from netviz.questions.hypercolumn.result import PERCENT, HypercolumnResult, StackedLayer

_SIDE: Final = 400
_LEAST: Final = 240
_SCALE: Final = Scale(-1.0, 1.0, "diverging", True, ((-1.0, f"{MINUS}end"), (0.0, "0"), (1.0, "end")))


def hypercolumn_figure(result: HypercolumnResult) -> Figure:
    """Draw the image, its hypercolumns as colours and as clusters, and their three components.

    Parameters
    ----------
    result : HypercolumnResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds six pictures: the image, the components as red, green and
        blue, the clusters; the components one by one. The Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: HypercolumnResult) -> Figure:
    if page.narrow():
        # Two abreast, as wide as the page.
        column = (page.widest() - 2 * MARGIN - 20) // 2
        size = fit(result.image.shape, 2 * _SIDE, whole=False, room=column)
        panels = Panels(size, 2, column, 20, above=ABOVE_WRAPPED, below=18)
    else:
        size = fit(result.image.shape, _SIDE, whole=False)
        panels = Panels(size, 3, max(size[0], _LEAST), 20, above=34, below=18)
    head = _header(result, panels.paper)
    key = legend(
        [
            (class_colour(number), f"{number}: {words.percent(share)}")
            for number, share in enumerate(result.cluster_share)
        ],
        panels.paper - 2 * MARGIN,
    )
    y = head.height + panels.height(6)
    canvas = Canvas(panels.paper, y + 24 + key.height + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(number, head.height) for number in range(6)]

    panels.draw(canvas, boxes[0], result.image, result.image_name, seen_size(result.image))
    panels.draw(
        canvas,
        boxes[1],
        result.colours(),
        "components 1, 2, 3 as red, green, blue",
        f"each from its {PERCENT[0]:g} to its {PERCENT[1]:g} percentile",
    )
    explained = words.percent(result.cluster_explained)
    panels.draw(
        canvas,
        boxes[2],
        class_colours(result.clusters),
        f"{len(result.cluster_share)} clusters",
        f"k-means in {words.counted(result.cluster_components, 'component')} ({explained} of the variance)",
    )
    for number, values in enumerate(result.components):
        limit = _component_limit(values)
        note = _sources(result, number) if values.any() else "nothing varies in a further direction"
        title = f"component {number + 1}: {words.percent(float(result.explained[number]))} of the variance"
        said = f"end ±{words.number(limit)}; {note}"
        panels.draw(canvas, boxes[3 + number], values, title, said, _SCALE, limit)
    canvas.frames(boxes)
    canvas.text(MARGIN, y + 10, "clusters by size: share of the places", style.LABEL, style.MUTED)
    key.draw(canvas, MARGIN, y + 20)
    return canvas.figure


def _component_limit(values: NDArray[np.floating]) -> float:
    """Return the end of a component's scale: what 97.5 % of its places stay within, so that a rim does not set it."""
    largest = float(np.percentile(np.abs(values).astype(np.float64), PERCENT[1]))
    return largest or peak(values) or 1.0


def _sources(result: HypercolumnResult, number: int) -> str:
    """Name the layers that a component comes from, the one with most first."""
    shares = [(float(one["share"][number]), _short(one)) for one in result.layers]
    told = [f"{name} {words.percent(share)}" for share, name in sorted(shares, key=lambda one: -one[0])[:3]]
    return f"weights: {', '.join(told)}"


def _short(layer: StackedLayer) -> str:
    return str(layer["alias"] or layer["layer"])


def _described(layer: StackedLayer) -> str:
    field = TIMES.join(f"{side:g}" for side in dict.fromkeys(layer["field_size"]))
    stride = TIMES.join(f"{side:g}" for side in dict.fromkeys(layer["field_stride"]))
    most = "at most " if layer["field_status"] == "upper_bound" else ""
    name = " = ".join(dict.fromkeys(filter(None, (layer["alias"], layer["layer"]))))
    return f"{name}: {words.counted(layer['units'], 'unit')}, field {most}{field}, stride {stride}"


def _header(result: HypercolumnResult, paper: int) -> Head:
    rows, columns = result.clusters.shape
    units = sum(int(layer["units"]) for layer in result.layers)
    title = [
        result.network,
        f"hypercolumns of {units} units in {words.counted(len(result.layers), 'layer')}",
        result.image_name,
    ]
    shown = [_described(layer) for layer in result.layers[:6]]
    if len(result.layers) > 6:
        shown.append(f"and {len(result.layers) - 6} more layers")
    grid = f"read on {rows}{TIMES}{columns} places (H{TIMES}W)"
    step = result.grid_step
    grid += (
        ", every pixel of the network's input"
        if tuple(step) == (1.0, 1.0)
        else (f", every {step[0]:.3g} pixels of the network's input")
    )
    caption = [*shown, grid, "each layer counts the same: its units' summed variance is 1"]
    note = [
        f"value along a principal component; {PERCENT[1]:g} % of its places within the ends, the rest is clipped",
        f"{_SCALE.note}; which sign is which says nothing",
    ]
    return Head.of(title, caption, paper, (_SCALE, note), warnings=result.doubts)
