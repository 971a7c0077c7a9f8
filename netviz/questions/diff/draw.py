"""The picture of a diff: how much each layer changed, and the units that changed most, both networks side by side."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head
from netviz.paper.scales import Scale
from netviz.questions.diff.result import DiffResult
from netviz.questions.diff.tiles import filter_tiles

_PAPER: Final = 1140
_ROW: Final = 14
_NAME: Final = 190
_BAR: Final = 110
_TOLD: Final = 100
_APART: Final = 22
_SIDE: Final = 64
_LEAST: Final = 44
"""Pixels of a unit's row at least: three lines of letters."""
_GAP: Final = 5
_LABEL: Final = 116
_NUMBERS: Final = 160
_TOP: Final = 40
_SCALE: Final = Scale(-1.0, 1.0, "diverging", True)

_BY: Final = {
    "filter": "distance of its filters: the L2 norm of the difference, relative to the larger of the two",
    "maps": f"1 {words.MINUS} the correlation of its maps in both networks, over the same positions",
    "patches": "the share of its strongest positions that the two networks do not have in common",
}
_SHORT: Final = {
    "filter": "distance",
    "maps": f"1 {words.MINUS} correlation",
    "patches": f"1 {words.MINUS} share of patches in common",
}


@dataclass(frozen=True)
class _Layers:
    """The bars of layers: columns side by side."""

    columns: int
    rows: int
    each: int

    @property
    def height(self) -> int:
        return 24 + self.rows * _ROW + 26


@dataclass(frozen=True)
class _Units:
    """Where the parts of a unit's block lie, and how many blocks stand abreast."""

    columns: int
    rows: int
    each: int
    side: int
    best: int

    @property
    def height(self) -> int:
        return _TOP + self.rows * (self.side + 2 * _GAP)


def diff_figure(result: DiffResult) -> Figure:
    """Draw how much the units of two checkpoints differ.

    Parameters
    ----------
    result : DiffResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels. Above, a bar for each layer: the mean of its units' change, with a
        line up to the largest. Below, for each drawn unit its filter in the first network, in the second, and the
        difference, then the patches of both, as images of that Axes in this order. The Axes labelled ``"scale"`` is
        the colour bar of filters.
    """
    with style.style():
        return _draw(result)


def _draw(result: DiffResult) -> Figure:
    paper = min(page.widest(), max(page.least(_PAPER), 2 * MARGIN + _LABEL + 3 * _SIDE + _NUMBERS))
    bars, units = _arrange_layers(result, paper), _arrange_units(result, paper)
    head = _head(result, paper)
    canvas = Canvas(paper, head.height + bars.height + units.height + MARGIN)
    head.draw(canvas)
    _draw_layers(canvas, result, bars, head.height)
    canvas.frames(_draw_units(canvas, result, units, head.height + bars.height))
    return canvas.figure


def _arrange_layers(result: DiffResult, paper: int) -> _Layers:
    each = _NAME + _BAR + _TOLD
    columns = max(1, min(3, (paper - 2 * MARGIN + _APART) // (each + _APART), -(-len(result.parts) // 6)))
    return _Layers(columns, -(-len(result.parts) // columns), each)


def _arrange_units(result: DiffResult, paper: int) -> _Units:
    side = max(page.side(_SIDE), _LEAST)
    room = paper - 2 * MARGIN
    bare = _LABEL + 3 * (side + _GAP) + _NUMBERS
    if result.patches is None:
        columns = max(1, min(3, (room + _APART) // (bare + _APART)))
        return _Units(columns, -(-len(result.drawn) // columns), bare, side, 0)
    best = max(0, min(result.patches.shape[1], (room - bare - 3 * _GAP) // (2 * (side + _GAP))))
    each = bare + 2 * best * (side + _GAP) + 3 * _GAP
    columns = max(1, (room + _APART) // (each + _APART))
    return _Units(columns, -(-len(result.drawn) // columns), each, side, best)


def _head(result: DiffResult, paper: int) -> Head:
    units = len(result.unit)
    same = int((result.distance == 0).sum())
    zeroed = int((result.other_zero & ~result.zero).sum())
    revived = int((result.zero & ~result.other_zero).sum())
    caption = [
        f"{units:,} unit{'' if units == 1 else 's'} of {words.counted(len(result.parts), 'convolution')}",
        f"{same:,} filters are the same" if same else "no filter is the same",
    ]
    if zeroed:
        caption.append(f"{zeroed:,} became 0")
    if revived:
        caption.append(f"{revived:,} were 0 and are not")
    if result.dead is not None and result.other_dead is not None:
        died = int((result.other_dead & ~result.dead).sum())
        if died:
            caption.append(f"{died:,} became constant on these images")
        caption.append(
            f"{words.counted(result.images, 'image')}, values at up to {result.positions:,} positions, "
            f"{words.counted(result.top, 'strongest position')} of each unit"
        )
    caption.append(f"ordered by {_BY[result.by]}")
    if result.unmatched:
        some = ", ".join(f"{one.layer} ({one.reason})" for one in result.unmatched[:2])
        more = len(result.unmatched) - 2
        caption.append(f"not compared: {some}{f' and {more} more' if more > 0 else ''}")
    notes = [
        "the three squares of a unit are on one scale, up to the largest weight of both filters",
        _SCALE.note,
    ]
    if any(part.sees_image and part.shape[0] == 3 for part in result.parts):
        notes.append("filters that read colours are drawn in them, 0 is mid-grey")
    return Head.of(
        [f"{result.network} → {result.other}", "units by how much they changed"],
        caption,
        paper,
        (_SCALE, notes),
        warnings=result.doubts,
    )


def _draw_layers(canvas: Canvas, result: DiffResult, place: _Layers, top: float) -> None:
    told = result.layers()
    changes = [one["largest_change"] or 0.0 for one in told]
    end = max(changes, default=0.0) or 1.0
    canvas.heading(
        MARGIN,
        top + 12,
        f"Layers: mean of {_SHORT[result.by]}, with a line up to the largest; a full bar is {words.number(end)}",
        canvas.width - 2 * MARGIN,
    )
    means, largest = [], []
    for at, one in enumerate(told):
        column, row = divmod(at, place.rows)
        left, y = MARGIN + column * (place.each + _APART), top + 24 + row * _ROW + _ROW / 2
        name = one["alias"] or one["layer"]
        if one["alias"] and one["alias"] != one["layer"]:
            name = f"{one['alias']}  {one['layer']}"
        canvas.text(left, y + 3, name, style.LABEL, room=_NAME - 8)
        start = left + _NAME
        if one["mean_change"] is None:
            canvas.text(start, y + 3, "no unit can be compared", style.SMALL, style.MUTED)
            continue
        means.append(((start, y, start + one["mean_change"] / end * _BAR, y), style.BAR))
        largest.append(((start, y, start + one["largest_change"] / end * _BAR, y), style.MUTED))
        zeros = len(one["zeroed"])
        said = words.number(one["mean_change"], 2) + (f", {zeros} zeroed" if zeros else "")
        canvas.text(start + _BAR + 6, y + 3, said, style.SMALL, style.MUTED, room=_TOLD)
    canvas.lines(largest, 1.0)
    canvas.lines(means, 8.0)


def _draw_units(canvas: Canvas, result: DiffResult, place: _Units, top: float) -> list[Box]:
    canvas.heading(MARGIN, top + 12, "The units that changed most", canvas.width - 2 * MARGIN)
    frames: list[Box] = []
    step = place.side + _GAP
    for column in range(min(place.columns, len(result.drawn))):
        left = MARGIN + column * (place.each + _APART) + _LABEL
        for at, text in enumerate(("before", "after", "difference")):
            canvas.text(left + at * step, top + _TOP - 8, text, style.SMALL, style.MUTED)
        if place.best:
            left += 3 * step + _NUMBERS
            for at, text in enumerate(("patches before", "patches after")):
                x = left + at * (place.best * step + 3 * _GAP)
                canvas.text(x, top + _TOP - 8, text, style.SMALL, style.MUTED, room=place.best * step)
    for at, unit in enumerate(result.drawn.tolist()):
        column, row = divmod(at, place.rows)
        corner = MARGIN + column * (place.each + _APART), top + _TOP + row * (place.side + 2 * _GAP)
        frames += _draw_unit(canvas, result, place, (at, unit), corner)
    return frames


def _draw_unit(
    canvas: Canvas, result: DiffResult, place: _Units, which: tuple[int, int], corner: tuple[float, float]
) -> list[Box]:
    """Draw one unit; return the boxes to be framed."""
    at, unit = which
    left, top = corner
    part = result.parts[int(result.place[unit])]
    side, step = place.side, place.side + _GAP
    room = _LABEL - 8
    canvas.text(left, top + 13, part.alias or part.layer, style.CAPTION, room=room, weight="bold")
    canvas.text(left, top + 27, f"unit {result.unit[unit]}", style.CAPTION, room=room)
    if part.alias and part.alias != part.layer:
        canvas.text(left, top + 40, part.layer, style.SMALL, style.MUTED, room=room)
    pictures = filter_tiles(result.filters[f"filter_{at}"], side, result.channel_order, part.sees_image)
    left += _LABEL
    frames: list[Box] = []
    for number, pixels in enumerate(pictures):
        wide, high = pixels.shape[1], pixels.shape[0]
        zoom = min(side / wide, side / high, 1.0)
        box = left + number * step, top, wide * zoom, high * zoom
        canvas.image(pixels, box)
        frames.append(box)
    left += 3 * step
    for line, (text, colour) in enumerate(_numbers(result, unit)):
        canvas.text(left + 4, top + 10 + 13 * line, text, style.SMALL, colour, room=_NUMBERS - 8)
    left += _NUMBERS
    for patches, filled in (
        (result.patches, result.filled),
        (result.other_patches, result.other_filled),
    ):
        if patches is None or filled is None or not place.best:
            continue
        for number in range(place.best):
            if filled[at, number]:
                box = left + number * step, top, side, side
                canvas.image(patches[at, number], box, smooth=True)
                frames.append(box)
        if not filled[at, : place.best].any():
            canvas.text(left, top + side / 2, "never active", style.SMALL, style.MUTED)
        left += place.best * step + 3 * _GAP
    return frames


def _numbers(result: DiffResult, unit: int) -> list[tuple[str, str]]:
    """Return what is said of a unit's change, each line with its colour."""
    if result.zero[unit] and result.other_zero[unit]:
        told = "filter 0 in both"
    elif result.other_zero[unit]:
        told = "filter became 0"
    elif result.zero[unit]:
        told = "filter was 0"
    elif result.distance[unit] == 0:
        told = "filter the same"
    else:
        told = f"distance {words.number(result.distance[unit], 2)}, cosine {words.number(result.cosine[unit], 2)}"
    lines = [(told, style.INK)]
    if result.dead is not None and result.other_dead is not None and result.correlation is not None:
        dead, other = bool(result.dead[unit]), bool(result.other_dead[unit])
        if dead or other:
            said = "constant in both" if dead and other else f"constant {'before' if dead else 'after'}"
        else:
            value = result.correlation[unit]
            said = f"maps correlate {words.number(value, 2)}" if np.isfinite(value) else "maps differ in size"
        lines.append((said, style.MUTED))
        share = math.nan if result.common is None or dead or other else float(result.common[unit])
        if math.isfinite(share):
            lines.append((f"{words.percent(share)} of patches shared", style.MUTED))
    return lines
