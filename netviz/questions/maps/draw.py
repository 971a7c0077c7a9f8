"""The picture of a layer's maps beside the image they answer to."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from netviz.paper import page, style, words
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
from netviz.paper.scales import Floats, finite_range, said_beyond
from netviz.paper.tiles import columns_filling, columns_for
from netviz.paper.words import TIMES
from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import MapView, view_maps

_LEAST_WIDTH = 760
_IMAGE = 256
_BETWEEN = 32
_GAP = 8
_LINE = 14
_AXIS = 48
_ROW = 172
_ROWS = 2000
_HEADER = 170
"""Pixels above the maps, about."""
_LARGEST = (448, 336, 224, 224, 168, 168, 168, 168, 168, 112)
"""Pixels of a map's longer side by how many maps there are: a few fill the paper."""
_TARGETS = (336, 224, 168, 112, 96, 80, 64, 48, 40, 32, 24, 16)
_NUMBERS = 34
_IMAGE_TEXT = 2 * 16
_SCALES: Final = {
    "each": "each map by its own range",
    "range": "each map from its smallest to its largest value",
    "shared": "one scale for all maps",
}
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
    # On a narrow page maps stand below the image.
    left, down = MARGIN + side + _BETWEEN, 0
    if page.narrow():
        left, down = MARGIN, picture_height + _LINE + _IMAGE_TEXT + _GAP
    if result.maps.shape[1:] == (1, 1):
        rows = _rows(len(result.units), page.widest() - left - _AXIS - MARGIN)
        view, width, height = view_maps(result, 1), left + rows.width + MARGIN, rows.height
    else:
        panels, limit = _arrange(result, left, down)
        view = view_maps(result, limit)
        width, height = panels.paper, panels.height(len(view.units))
    paper = max(page.least(_LEAST_WIDTH), width)
    head = _header(result, view, paper)
    top = head.height
    body = max(picture_height + _LINE + _IMAGE_TEXT, down + height)
    canvas = Canvas(paper, top + body + MARGIN)
    head.draw(canvas)

    box = (MARGIN, top + _LINE, picture_width, picture_height)
    canvas.image(result.image, box)
    under = top + _LINE + picture_height + 15
    said = paper - 2 * MARGIN if down else side
    canvas.text(MARGIN, under, result.image_name, style.CAPTION, room=said)
    canvas.paragraph(MARGIN, under + 15, [seen_size(result.image)], style.LABEL, said)

    boxes: list[Box] = [box]
    if view.values.shape[1:] == (1, 1):
        _draw_bars(canvas, view, rows, left, top + down + _LINE)
        canvas.frames(boxes)
        return canvas.figure
    for index, unit in enumerate(view.units):
        x, y, _, tall = tile = panels.box(index, top + down)
        boxes.append(tile)
        peak, floor = float(view.peaks[index]), float(view.floors[index])
        if min(result.maps.shape[1:]) == 1:
            _draw_profile(canvas, view.values[index].ravel(), tile, view.scale.limits(peak, floor))
        else:
            canvas.values(view.values[index], tile, view.scale, peak, floor=floor)
        canvas.text(x, y - 4, str(unit), style.LABEL, style.MUTED)
        if view.scale.per_tile:
            canvas.text(x, y + tall + 11, _own(result, view, index), style.SMALL, style.FAINT)
    canvas.frames(boxes)
    return canvas.figure


def _arrange(result: MapsResult, left: int, down: int) -> tuple[Panels, int]:
    """Choose the size of a map's tile: large for a few maps, as small as needed for many.

    Returns
    -------
    Panels
        To the right of `left`, `down` pixels below the head.
    int
        The longest side of a map that is not averaged.
    """
    count, (height, width) = len(result.units), result.maps.shape[1:]
    side = max(height, width)
    each, ranged = result.scale != "shared", result.scale == "range"
    largest = _LARGEST[min(count, len(_LARGEST)) - 1] if count else 112
    # Which digits are needed depends on the maps.
    texts = [words.span(*finite_range(one)) for one in result.drawn] if ranged else []
    texts.append("±0.00e-00" if each else "0000")
    widest = max(words.width(text, style.SMALL) for text in texts) + (_GAP if ranged else 0)
    below = (_LINE if each else 0) + _GAP
    if page.given():
        room = page.widest() - left - MARGIN, page.highest() - _HEADER - down
        shape = (height, width) if min(height, width) > 1 else (1, 2)
        columns, wide, tall = columns_filling(count, shape, room, _GAP, _LINE + below, widest)
        # Blocks of at most two positions a pixel; the page is drawn at its own density.
        return Panels((wide, tall), columns, wide, _GAP, _LINE, below, left), max(1, 2 * max(wide, tall))
    smaller = (target for target in _TARGETS if target < largest)
    for target in (largest, *smaller):
        limit = max(2 * target, 1)
        zoom = max(1, min(48, target // side))
        reduction = max(1, -(-side // limit))
        tile_height, tile_width = (-(-length // reduction) * zoom for length in (height, width))
        if min(height, width) == 1:
            tile_height, tile_width = max(16, target // 2), -(-side // reduction) * zoom
        column = max(tile_width, int(widest))
        columns = columns_for(count, _LINE + tile_height + below, column + _GAP)
        panels = Panels((tile_width, tile_height), columns, column, _GAP, _LINE, below, left)
        if panels.paper <= page.widest() and panels.height(count) + 170 <= page.highest():
            break
    return panels, limit


def _own(result: MapsResult, view: MapView, index: int) -> str:
    """Write the value of the ends of a map's own scale."""
    if not np.isfinite(view.values[index]).any():
        return "not finite"
    peak = float(view.peaks[index])
    if result.scale == "range":
        return words.span(float(view.floors[index]), peak)
    if view.scale.colours == "diverging" and peak:
        return f"±{words.number(peak)}"
    return f"{view.scale.ticks[-1][1]} {words.number(peak)}"


def _put_together(arrangement: str) -> str:
    form, _, others = arrangement.partition(" +")
    left_out = f", {words.counted(int(others), 'class or register token')} left out" if others else ""
    return f" of {form}{left_out}" if form else ""


def _header(result: MapsResult, view: MapView, paper: int) -> Head:
    height, width = result.maps.shape[1:]
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        result.image_name,
    ]
    each, bars = view.scale.per_tile, min(result.maps.shape[1:]) == 1
    caption = [
        f"maps {height}{TIMES}{width} (H{TIMES}W){_put_together(result.arrangement)}",
        *([NORMALIZED.get(result.normalize, result.normalize)] if result.normalize else []),
        *([] if result.maps.shape[1:] == (1, 1) else [_SCALES[result.scale]]),
        drawn_of(view.units, result.channels, result.sort),
    ]
    caption += words.padded(result.padded)
    if view.reduction > 1:
        caption.append(f"a pixel is the mean of {view.reduction}{TIMES}{view.reduction} positions")
    if view.zero:
        caption.append(f"{words.counted(view.zero, 'map')} 0 everywhere")
    caption += bad_values(view.bad)
    if bars:
        return Head.of(title, [*caption, *_profiles(result, view)], paper, warnings=result.doubts)
    response = "normalized response of the unit" if result.normalize else "response of the unit"
    notes = [_ends(result, view) if each else response, view.scale.note, *said_beyond(view.beyond)]
    if view.bordered and not each:
        notes.insert(1, "the scale ends at the largest value inside the maps, whose border stands out")
    if result.percentile < 100 and not each:
        notes.insert(1, f"the scale ends at {_percentile(result)} of the maps' {_absolute(view)}values")
    return Head.of(title, caption, paper, (view.scale, notes), warnings=result.doubts)


def _profiles(result: MapsResult, view: MapView) -> list[str]:
    """Say what the bars of maps of one row or column are."""
    if result.maps.shape[1:] == (1, 1):
        return []
    way = "from left to right" if result.maps.shape[1] == 1 else "from top to bottom"
    said = [f"a bar for each position, {way}"]
    if view.scale.per_tile:
        return [*said, _ends(result, view), *said_beyond(view.beyond)]
    return [*said, words.span(view.scale.low, view.scale.high), *said_beyond(view.beyond)]


def _ends(result: MapsResult, view: MapView) -> str:
    """Say what the ends of each map's own scale are."""
    if result.scale == "range":
        ends = "its smallest and largest value"
        if result.percentile < 100:
            ends = f"percentiles {100 - result.percentile:g} and {result.percentile:g} of its values"
        return f"low and high are {ends}, written under a map"
    if result.percentile < 100:
        return f"end is {_percentile(result)} of a map's {_absolute(view)}values, written under it"
    if view.bordered:
        return (
            f"end is a map's largest {_absolute(view)}value, written under it; in "
            f"{words.counted(view.bordered, 'map')} whose border stands out, the largest inside"
        )
    return f"max is a map's largest {_absolute(view)}value, written under it"


def _percentile(result: MapsResult) -> str:
    return f"percentile {result.percentile:g}"


def _absolute(view: MapView) -> str:
    return "absolute " if view.scale.low < 0 else ""


def _draw_profile(canvas: Canvas, values: Floats, box: Box, limits: tuple[float, float]) -> None:
    """Draw the values of one row or column as bars, from 0, or from the low end where 0 is not on the scale."""
    left, top, width, height = box
    low, high = limits
    shares = (np.clip([*values, 0.0], low, high) - low) / (high - low)
    ys = top + height * (1 - shares)
    step = width / len(values)
    bad = "#" + bytes(style.BAD).hex()
    canvas.lines([((left, ys[-1], left + width, ys[-1]), style.FAINT)])
    bars: list[tuple[Box, str]] = []
    for place, (value, y) in enumerate(zip(values, ys, strict=False)):
        x, known = left + (place + 0.5) * step, bool(np.isfinite(value))
        bars.append(((x, ys[-1], x, y), style.BAR) if known else ((x, top, x, top + height), bad))
    canvas.lines(bars, max(1.0, 0.8 * step))


@dataclass(frozen=True)
class _Rows:
    """How bars are laid out: pixels from one to the next, bars in a row, rows."""

    pitch: int
    each: int
    count: int

    @property
    def width(self) -> int:
        """The pixels of a row with the numbers of its axis."""
        return _AXIS + self.pitch * self.each

    @property
    def height(self) -> int:
        """The pixels of all rows with the units' numbers."""
        return self.count * _ROW


def _rows(count: int, room: int) -> _Rows:
    """Choose how wide bars are so that all fit on the paper, in rows of at most `room` pixels."""
    for pitch, most in ((28, 16), (12, 64), (8, 160), (4, 400), (2, 900)):
        each = max(1, min(most, room // pitch))
        rows = _Rows(pitch, max(1, min(each, count)), -(-max(1, count) // each))
        if rows.count == 1 or (pitch < 28 and rows.height <= _ROWS):
            break
    return rows


def _draw_bars(canvas: Canvas, view: MapView, rows: _Rows, left: float, top: float) -> None:
    """Draw the one value of each unit as a bar, on one axis, in rows."""
    values = view.values[:, 0, 0]
    low, high = finite_range(np.append(values, 0.0))
    room = 0.06 * (high - low or 1.0)
    low, high = low - (room if low < 0 else 0.0), high + room
    for row in range(rows.count):
        units = view.units[row * rows.each : (row + 1) * rows.each]
        own = values[row * rows.each : (row + 1) * rows.each]
        box = (left + _AXIS, top + row * _ROW, rows.pitch * rows.each, _ROW - _NUMBERS)
        axes = canvas.add_chart(box, "bars")
        axes.set_xlim(-0.5, rows.each - 0.5)
        axes.set_ylim(low, high)
        places, finite = np.arange(len(own)), np.isfinite(own)
        wide = 0.75 * rows.pitch * 72 / style.DPI
        axes.vlines(places[finite], 0, own[finite], colors=style.BAR, linewidths=wide, capstyle="butt")
        bad = "#" + bytes(style.BAD).hex()
        axes.vlines(places[~finite], low, high, colors=bad, linewidths=wide, capstyle="butt")
        axes.axhline(0, color=style.FAINT, linewidth=0.8)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        step = next(n for n in (1, 2, 4, 8, 16, 32, 64) if n * rows.pitch >= 26 or n == 64)
        axes.set_xticks(places[::step], [str(unit) for unit in units[::step]])
