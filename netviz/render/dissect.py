"""The picture of a dissection: how many units of a layer detect each concept."""

from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Box, Canvas, layer_name
from netviz.render.dissect_bars import (
    ROW,
    Concept,
    Counts,
    Group,
    colour_of,
    draw_bar,
    draw_heading,
    grouped,
    iou_text,
    longest,
    value_of,
)
from netviz.render.patch_parts import Head
from netviz.results import DissectionResult

MOST: Final = 90
"""How many concepts have a bar."""

_TALL: Final = 34
_NAME: Final = 170
_TOLD: Final = 150
_BAR: Final = 190
_APART: Final = 30
_PAPER: Final = 820


@dataclass(frozen=True)
class _Line:
    """A line of the chart: a heading, a bar, or what there was no room for."""

    group: Group
    concept: Concept | None = None
    text: str = ""
    heading: bool = False


def dissection_figure(result: DissectionResult) -> Figure:
    """Draw a bar for each concept, as long as the number of units that detect it, by category.

    Where no unit detects anything, bars are the best intersection over union of each concept.

    Parameters
    ----------
    result : DissectionResult

    Returns
    -------
    matplotlib.figure.Figure
        Its only Axes is the paper in pixels; its patches are the bars, in reading order.
    """
    with style.style():
        return _draw(result)


def _draw(result: DissectionResult) -> Figure:
    counts = Counts.of(result)
    counted, groups = grouped([counts], MOST)
    columns = _folded(_lines(counts, groups, counted))
    across = len(columns)
    paper = max(_PAPER, 2 * MARGIN + across * (_NAME + _BAR + _TOLD + _APART) - _APART)
    width = (paper - 2 * MARGIN + _APART) / across - _APART
    room = width - _NAME - _TOLD
    head = Head.wrapped(
        [
            result.network,
            layer_name(result.layer, result.alias, result.layer_kind),
            "concepts that its units detect" if counted else "no unit detects a concept",
        ],
        _caption(result, counts, groups, counted),
        paper,
    )
    rows = max(len(column) for column in columns)
    canvas = Canvas(paper, head.height + 6 + ROW * rows + (0 if counted else ROW) + MARGIN)
    head.draw(canvas)
    full = longest([counts], groups, counted)
    top = head.height + 6
    lines: list[tuple[Box, str]] = []
    for number, column in enumerate(columns):
        left = MARGIN + number * (width + _APART)
        start, level = left + _NAME, left + _NAME + room * counts.detect / full
        for row, line in enumerate(column):
            y = top + ROW * row
            if _draw_line(canvas, counts, line, (left, y), room, full, counted):
                lines.append(((start, y, start, y + ROW), style.FAINT))
                if not counted:
                    lines.append(((level, y, level, y + ROW), style.MARK))
        if not counted:
            text, y = words.number(counts.detect), top + ROW * len(column) + 12
            canvas.text(level, y, text, style.SMALL, style.MARK, va="baseline", ha="center")
    canvas.lines(lines)
    return canvas.figure


def _caption(result: DissectionResult, counts: Counts, groups: list[Group], counted: bool) -> list[str]:
    level = words.number(counts.detect)
    known = len(counts.best)
    if counted:
        caption = [
            f"a unit detects the concept with which its IoU is highest, if that is above {level}",
            f"{counts.detectors} of {words.counted(counts.units, 'unit')} detect {len(counts.found)} different of "
            f"{words.counted(known, 'concept')}",
        ]
        if len(counts.found) < known:
            caption.append(
                f"without a bar: {words.counted(known - len(counts.found), 'concept')} that no unit detects"
            )
    else:
        caption = [
            f"none of {words.counted(counts.units, 'unit')} has an IoU above {level} with any of "
            f"{words.counted(known, 'concept')}",
            f"bars: the best IoU of each concept, and the unit that has it; red line: {level}",
        ]
    absent = len(result.concepts) - len(set(map(tuple, result.concepts)) & {one[::-1] for one in counts.best})
    if absent:
        caption.append(f"{words.counted(absent, 'concept')} that no pixel has")
    hidden = sum(len(group.hidden) for group in groups)
    if hidden:
        shown = len(counts.found if counted else counts.best) - hidden
        caption.append(f"bars of the {shown} with {'most units' if counted else 'the highest IoU'}")
    caption.append(counted_over(result))
    return caption


def counted_over(result: DissectionResult) -> str:
    """Say what a dissection was counted over."""
    text = f"{words.counted(result.images, 'image')} (labels: {result.data}), a unit is active above its "
    text += f"{words.number(result.quantile)} quantile"
    if result.placed == "evenly":
        text += "; where its positions look is not known, they were spread evenly over the input"
    return text


def _lines(counts: Counts, groups: list[Group], counted: bool) -> list[_Line]:
    lines = []
    for group in groups:
        if counted:
            every = [*group.shown, *group.hidden]
            units = sum(counts.found[one] for one in every)
            told = (
                f"{words.counted(len(every), 'concept')}, {words.counted(units, 'unit')}" if every else "none"
            )
        else:
            told = words.counted(len(group.shown) + len(group.hidden), "concept")
        lines.append(_Line(group, text=told, heading=True))
        lines += [_Line(group, concept) for concept in group.shown]
        if group.hidden:
            more = f"and {words.counted(len(group.hidden), 'concept').replace(' ', ' more ', 1)}"
            if counted:
                units = sum(counts.found[one] for one in group.hidden)
                more += f", {words.counted(units, 'unit')} together"
            else:
                more += f", at most {iou_text(counts.best[group.hidden[0]].iou)}"
            lines.append(_Line(group, text=more))
    return lines


def _folded(lines: list[_Line]) -> list[list[_Line]]:
    """Fold the lines into columns of about the same height; a category that goes on is named again."""
    across = max(1, -(-len(lines) // _TALL))
    tall = -(-len(lines) // across) + (across > 1)
    columns: list[list[_Line]] = [[]]
    for line in lines:
        last = columns[-1]
        if len(last) >= tall or (line.heading and len(last) >= tall - 1 and across > 1):
            columns.append([] if line.heading else [_Line(line.group, text="continued", heading=True)])
        columns[-1].append(line)
    return columns


def _draw_line(
    canvas: Canvas,
    counts: Counts,
    line: _Line,
    place: tuple[float, float],
    room: float,
    full: float,
    counted: bool,
) -> bool:
    """Draw a line of the chart; return whether it has a bar."""
    left, top = place
    middle = top + ROW / 2
    colour = colour_of(line.group.category, counts.categories)
    if line.heading:
        x = draw_heading(canvas, left, middle, line.group.category, colour, _NAME + room / 2)
        canvas.text(x + 8, middle, line.text, style.LABEL, style.MUTED, va="center")
        return False
    if line.concept is None:
        canvas.text(left + _NAME + 7, middle, line.text, style.LABEL, style.MUTED, va="center")
        return False
    name = words.shorten(line.concept[1], _NAME - 16, style.LABEL)
    canvas.text(left + _NAME - 7, middle, name, style.LABEL, ha="right", va="center")
    length = room * value_of(counts, line.concept, counted) / full
    draw_bar(canvas, left + _NAME, top, length, colour)
    best = counts.best[line.concept]
    told = f"best IoU {iou_text(best.iou)}" if counted else f"unit {best.unit}"
    lead = f"{counts.found[line.concept]}" if counted else iou_text(best.iou)
    # Behind the line of the level, where that is drawn.
    x = left + _NAME + (length if counted else room) + 7
    canvas.text(x, middle, lead, style.LABEL, weight="bold", va="center")
    canvas.text(
        x + words.width(lead, style.LABEL, bold=True) + 7, middle, told, style.SMALL, style.MUTED, va="center"
    )
    return True
