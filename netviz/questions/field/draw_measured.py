"""The picture of measured fields: what makes each unit of a layer change, a small map for every unit."""

from dataclasses import replace
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, Panels, layer_name
from netviz.paper.scales import Scale
from netviz.paper.tiles import columns_for
from netviz.paper.words import TIMES
from netviz.questions.field.marks import THEORY
from netviz.questions.field.result import MeasuredResult

SHOWN: Final = 48
"""How many units are drawn at most, those of the lowest numbers first."""
_TILE: Final = 112
_LINE: Final = 14
_GAP: Final = 10
_LEAST: Final = 620


def measured_figure(result: MeasuredResult) -> Figure:
    """Draw the mean change of each unit around the middle of its theoretical field, which is outlined.

    Parameters
    ----------
    result : MeasuredResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds a map for each unit that was measured, the first 48; the Axes
        labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: MeasuredResult) -> Figure:
    alive = np.flatnonzero(np.isfinite(result.sizes))
    shown = alive[:SHOWN]
    rows, cols = result.maps.shape[1:]
    zoom = max(1, page.side(_TILE) // max(rows, cols, 1))
    height, width = rows * zoom, cols * zoom
    column = max(width, int(words.width("unit 0000: 000 px", style.LABEL)))
    across = columns_for(len(shown), height + _LINE + _GAP, column + _GAP)
    panels = Panels((width, height), across, column, _GAP, _LINE, _GAP)
    paper = max(page.least(_LEAST), panels.paper)
    panels = replace(panels, columns=max(1, (paper - 2 * MARGIN + _GAP) // (column + _GAP)))
    level = (result.threshold, f"{100 * result.threshold:.0f} %")
    scale = Scale(0.0, 1.0, "sequential", True, ((0.0, "0"), level, (1.0, "largest")))
    head = _header(result, scale, len(shown), len(alive), paper)
    canvas = Canvas(paper, head.height + panels.height(len(shown)) + MARGIN)
    head.draw(canvas)
    tiles = [panels.box(place, head.height) for place in range(len(shown))]
    boxes: list[Box] = []
    for tile, row in zip(tiles, shown, strict=True):
        size = words.number(float(result.sizes[row]))
        label = f"unit {result.units[row]}: {size} px"
        canvas.text(tile[0], tile[1] - 4, label, style.LABEL, style.MUTED)
        canvas.values(result.maps[row] / 255, tile, scale)
        boxes += _theory(result, tile, zoom / result.cell)
    canvas.frames(tiles)
    canvas.frames(boxes, THEORY, 1.5, -0.75)
    return canvas.figure


def _theory(result: MeasuredResult, tile: Box, scale: float) -> list[Box]:
    """Return the theoretical field on a tile, where it is known and fits."""
    if result.status not in ("exact", "upper_bound"):
        return []
    left, top, width, height = tile
    box = []
    for axis, (begin, length) in enumerate(((top, height), (left, width))):
        size = float(result.theoretical[0, axis])
        low = begin + (0.5 - size / 2 - result.corner[axis]) * scale
        high = low + size * scale
        box.append((max(low, begin), min(high, begin + length)))
    (up, under), (west, east) = box
    return [(west, up, east - west, under - up)]


def _header(result: MeasuredResult, scale: Scale, drawn: int, alive: int, paper: int) -> Head:
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        f"measured fields of {words.counted(len(result.units), 'unit')}",
    ]
    sizes = result.sizes[np.isfinite(result.sizes)]
    caption = [f"mean width {words.number(float(sizes.mean()))} px"] if len(sizes) else []
    height, width = (words.number(float(value)) for value in result.theoretical[0])
    caption.append(
        {
            "exact": f"theoretical field {height}{TIMES}{width} px (blue)",
            "upper_bound": f"theoretical field at most {height}{TIMES}{width} px (blue)",
            "global": "each unit could see the whole input",
        }.get(result.status, "theoretical field not known")
    )
    caption += [
        f"occluder {result.patch} px of random colours, every {result.stride} px",
        f"over {words.counted(len(result.images), 'image')}",
    ]
    caption += [f"the first {drawn} of {alive} are drawn"] if drawn < alive else []
    for units, what in ((result.dead, "0 everywhere on these images"), (result.still, "changed by nothing")):
        caption += [f"{words.counted(len(units), 'unit')} {what}"] if units else []
    note = [
        "mean change of the unit's activation, as a share of its own largest",
        f"width: root of the count of pixels of at least {100 * result.threshold:.0f} %",
    ]
    return Head.of(title, caption, paper, (scale, note), warnings=result.doubts)
