"""The picture of a layer's maps beside the image they answer to."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import style, words
from netviz.paper.layout import (
    MARGIN,
    Box,
    Canvas,
    Head,
    Panels,
    bad_values,
    drawn_of,
    fit,
    layer_name,
    seen_size,
)
from netviz.paper.tiles import columns_for
from netviz.paper.words import TIMES
from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import MapView, view_maps

_LEAST_WIDTH = 760
_IMAGE = 256
_BETWEEN = 32
_GAP = 8
_LINE = 14
_IMAGE_TEXT = 2 * 16
NORMALIZED: Final = {"lcn": "after local contrast normalization", "lrn": "after local response normalization"}


def maps_figure(result: MapsResult) -> Figure:
    """Draw the image and, beside it, the maps of one layer.

    Parameters
    ----------
    result : MapsResult
        Its `units` are drawn, in their order, on its `scale`.

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, then a map per unit; the Axes labelled
        ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: MapsResult) -> Figure:
    picture_width, picture_height = fit(result.image.shape, _IMAGE)
    side = max(picture_width, 150)
    panels, limit = _arrange(result, MARGIN + side + _BETWEEN)
    view = view_maps(result, limit)
    paper = max(_LEAST_WIDTH, panels.paper)
    head = _header(result, view, paper)
    top = head.height
    body = max(picture_height + _LINE + _IMAGE_TEXT, panels.height(len(view.units)))
    canvas = Canvas(paper, top + body + MARGIN)
    head.draw(canvas)

    box = (MARGIN, top + _LINE, picture_width, picture_height)
    canvas.image(result.image, box)
    under = top + _LINE + picture_height + 15
    canvas.text(MARGIN, under, result.image_name, style.CAPTION, room=side)
    canvas.paragraph(MARGIN, under + 15, [seen_size(result.image)], style.LABEL, side)

    boxes: list[Box] = [box]
    for index, unit in enumerate(view.units):
        left, y, _, height = tile = panels.box(index, top)
        boxes.append(tile)
        canvas.values(view.values[index], tile, view.scale, float(view.peaks[index]))
        canvas.text(left, y - 4, str(unit), style.LABEL, style.MUTED)
        if view.scale.per_tile:
            canvas.text(left, y + height + 11, _own(view, index), style.SMALL, style.FAINT)
    canvas.frames(boxes)
    return canvas.figure


def _arrange(result: MapsResult, left: int) -> tuple[Panels, int]:
    """Choose the size of a map's tile: large for a few maps, as small as needed for many.

    Returns
    -------
    Panels
        To the right of `left`.
    int
        The longest side of a map that is not averaged.
    """
    count, (height, width) = len(result.units), result.maps.shape[1:]
    side = max(height, width)
    each = result.scale == "each"
    largest = 224 if count <= 4 else 168 if count <= 9 else 112
    widest = words.width("±0.00e-00" if each else "0000", style.SMALL)
    for target in (largest, 112, 96, 80, 64, 48, 40, 32, 24, 16):
        limit = max(2 * target, 1)
        zoom = max(1, min(48, target // side))
        reduction = max(1, -(-side // limit))
        tile_height, tile_width = (-(-length // reduction) * zoom for length in (height, width))
        column = max(tile_width, int(widest))
        below = (_LINE if each else 0) + _GAP
        columns = columns_for(count, _LINE + tile_height + below, column + _GAP)
        panels = Panels((tile_width, tile_height), columns, column, _GAP, _LINE, below, left)
        if panels.paper + _GAP <= style.LARGEST and panels.height(count) + 170 <= style.LARGEST:
            break
    return panels, limit


def _own(view: MapView, index: int) -> str:
    """Write the value of the high end of a map's own scale."""
    if not np.isfinite(view.values[index]).any():
        return "not finite"
    peak = float(view.peaks[index])
    if view.scale.colours == "diverging" and peak:
        return f"±{words.number(peak)}"
    return f"max {words.number(peak)}"


def _put_together(arrangement: str) -> str:
    form, _, others = arrangement.partition(" +")
    left_out = f", {words.counted(int(others), 'class or register token')} left out" if others else ""
    return f" of {form}{left_out}" if form else ""


def _header(result: MapsResult, view: MapView, paper: int) -> Head:
    height, width = result.maps.shape[1:]
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind),
        result.image_name,
    ]
    each = view.scale.per_tile
    caption = [
        f"maps {height}{TIMES}{width} (H{TIMES}W){_put_together(result.arrangement)}",
        *([NORMALIZED.get(result.normalize, result.normalize)] if result.normalize else []),
        "each map by its own range" if each else "one scale for all maps",
        drawn_of(view.units, result.channels, result.sort),
    ]
    caption += words.padded(result.padded)
    if view.reduction > 1:
        caption.append(f"a pixel is the mean of {view.reduction}{TIMES}{view.reduction} positions")
    if view.zero:
        caption.append(f"{words.counted(view.zero, 'map')} 0 everywhere")
    caption += bad_values(view.bad)
    if each:
        note = f"max is a map's largest {'absolute ' if view.scale.low < 0 else ''}value, written under it"
    else:
        note = "normalized response of the unit" if result.normalize else "response of the unit"
    return Head.of(title, caption, paper, (view.scale, [note, view.scale.note]), warnings=result.doubts)
