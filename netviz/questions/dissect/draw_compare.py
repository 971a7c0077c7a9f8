"""Several dissections side by side: layers of a run, runs, or tables of Network Dissection."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head
from netviz.questions.dissect.draw import (
    ROW,
    Counts,
    Group,
    all_categories,
    colour_of,
    concept_colour,
    draw_bar,
    draw_heading,
    grouped,
    iou_text,
    longest,
    value_of,
)

MOST: Final = 60
"""How many concepts have a bar in each column."""
_NAME: Final = 170
_APART: Final = 26
_NUMBER: Final = 46
_WIDE: Final = 260
_NARROW: Final = 132
_HEADS: Final = 63
_LINE: Final = 15
_NONE: Final = "–"


def comparison_figure(columns: Sequence[Counts]) -> Figure:
    """Draw a bar for each concept and each dissection, a column for each dissection, all to one scale.

    Where none of them has a detector, bars are the best intersection over union of each concept.

    Parameters
    ----------
    columns : sequence of Counts

    Returns
    -------
    matplotlib.figure.Figure
        Its only Axes is the paper in pixels; its patches are the bars, row by row.

    Raises
    ------
    OutputError
        If there are none, or more than the paper holds.
    """
    room = (page.widest() - 2 * MARGIN - _NAME + _APART) // (_NARROW + _APART)
    if not 1 <= len(columns) <= room:
        raise OutputError(
            f"one picture holds 1 to {room} layers side by side, not {len(columns)}; draw fewer"
        )
    with style.style():
        return _draw(columns)


def _draw(columns: Sequence[Counts]) -> Figure:
    counted, groups = grouped(columns, MOST)
    each = max(_NARROW, min(_WIDE, (1400 - _NAME) // len(columns) - _APART))
    paper = max(page.least(700), 2 * MARGIN + _NAME + len(columns) * (each + _APART) - _APART)
    each = (paper - 2 * MARGIN - _NAME + _APART) // len(columns) - _APART
    head = Head.of(_title(columns, counted), _caption(columns, groups, counted), paper)
    # A category that has nothing to show needs no line where there are others.
    groups = [group for group in groups if group.shown] or groups
    rows = sum(1 + len(group.shown) + bool(group.hidden) for group in groups)
    # The run's name is told only where there are several, and for a table, of which nothing else is known.
    named = len({column.name for column in columns}) > 1 or not columns[0].layer
    top = head.height + _HEADS + (_LINE if named and any(column.layer for column in columns) else 0)
    canvas = Canvas(paper, top + ROW * rows + (0 if counted else ROW) + MARGIN)
    head.draw(canvas)
    full = longest(columns, groups, counted)
    starts = [MARGIN + _NAME + number * (each + _APART) for number in range(len(columns))]
    for start, column in zip(starts, columns, strict=True):
        _head(canvas, column, start, head.height, each, named)
    y, room = top, each - _NUMBER
    categories = all_categories(columns)
    lines: list[tuple[Box, str]] = []
    for group in groups:
        colour = colour_of(group.category, categories)
        draw_heading(canvas, MARGIN, y + ROW / 2, group.category, colour, paper / 2)
        y += ROW
        begin = y
        for concept in group.shown:
            middle = y + ROW / 2
            at = (MARGIN + _NAME - 7, middle)
            canvas.text(*at, concept[1], style.LABEL, room=_NAME - 16, ha="right", va="center")
            for start, column in zip(starts, columns, strict=True):
                length = room * value_of(column, concept, counted) / full
                draw_bar(canvas, start, y, length, concept_colour(concept, colour))
                told, shade = _told(column, concept, counted)
                # Behind the line of the level, where that is drawn.
                x = start + (length if counted else room) + 6
                canvas.text(x, middle, told, style.LABEL, shade, va="center")
            y += ROW
        lines += [((start, begin, start, y), style.FAINT) for start in starts]
        if not counted:
            marks = [
                start + room * column.detect / full for start, column in zip(starts, columns, strict=True)
            ]
            lines += [((x, begin, x, y), style.MARK) for x in marks]
        if group.hidden:
            _more(canvas, columns, starts, group, y + ROW / 2, counted)
            y += ROW
    canvas.lines(lines)
    if not counted:
        for start, column in zip(starts, columns, strict=True):
            x, text = start + room * column.detect / full, words.number(column.detect)
            canvas.text(x, y + 12, text, style.SMALL, style.MARK, ha="center")
    return canvas.figure


def _title(columns: Sequence[Counts], counted: bool) -> list[str]:
    networks = list(dict.fromkeys(column.network for column in columns))
    what = "concepts that units detect" if counted else "no unit detects a concept"
    named = [networks[0]] if len(networks) == 1 and networks[0] else []
    return [*named, what, f"{len(columns)} layers side by side" if len(columns) > 1 else "one layer"]


def _caption(columns: Sequence[Counts], groups: Sequence[Group], counted: bool) -> list[str]:
    levels = list(dict.fromkeys(words.number(column.detect) for column in columns))
    level = levels[0] if len(levels) == 1 else "its run's own level"
    caption = [f"a unit detects the concept with which its IoU is highest, if that is above {level}"]
    if counted:
        caption.append("bars: units that detect a concept")
        caption.append(
            f"unique: concepts that are some unit's best of their category, with an IoU above {level}"
        )
    else:
        caption.append("bars: the best IoU of each concept; red line: the level")
    shown = [concept for group in groups for concept in group.shown]
    if any(_told(column, concept, counted)[0] == _NONE for column in columns for concept in shown):
        caption.append(f"{_NONE}: not among the concepts measured there")
    hidden = sum(len(group.hidden) for group in groups)
    if hidden:
        what = "most units" if counted else "the highest IoU"
        caption.append(f"the {len(shown)} of {len(shown) + hidden} concepts with {what}")
    caption.append("all columns have one scale")
    return caption


def _head(canvas: Canvas, column: Counts, x: float, top: float, room: float, named: bool) -> None:
    """Write what a column is of."""
    unique = "" if column.unique is None else f", {column.unique} unique"
    told = (
        (column.name if named else column.layer, style.CAPTION, style.INK),
        (column.layer if named else "", style.LABEL, style.INK),
        (words.counted(column.units, "unit"), style.LABEL, style.MUTED),
        (f"{words.counted(column.detectors, 'detector')}{unique}", style.LABEL, style.MUTED),
    )
    for row, (text, size, colour) in enumerate(one for one in told if one[0]):
        weight = "normal" if row else "bold"
        canvas.text(x, top + 12 + row * _LINE, text, size, colour, room=room, weight=weight)


def _told(column: Counts, concept: tuple[str, str], counted: bool) -> tuple[str, str]:
    """Return what is written behind a bar, and its colour."""
    if concept not in column.best and (column.complete or not counted):
        return _NONE, style.FAINT
    if not counted:
        return iou_text(column.best[concept].iou), style.INK
    count = column.found.get(concept, 0)
    return str(count), style.INK if count else style.FAINT


def _more(
    canvas: Canvas,
    columns: Sequence[Counts],
    starts: Sequence[float],
    group: Group,
    middle: float,
    counted: bool,
) -> None:
    text = f"and {len(group.hidden)} more"
    canvas.text(MARGIN + _NAME - 7, middle, text, style.LABEL, style.MUTED, ha="right", va="center")
    if counted:
        for start, column in zip(starts, columns, strict=True):
            units = sum(column.found.get(one, 0) for one in group.hidden)
            told = f"{words.counted(units, 'unit')} together"
            canvas.text(start + 6, middle, told, style.LABEL, style.MUTED, va="center")
