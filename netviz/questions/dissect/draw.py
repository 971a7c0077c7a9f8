"""The picture of a dissection: how many units of a layer detect each concept, as bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.colors import CSS4_COLORS, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, layer_name
from netviz.questions.dissect.csv import DissectionTable
from netviz.questions.dissect.result import IOU, DissectionResult

Concept = tuple[str, str]
"""Category and name."""
BAR: Final = 11
ROW: Final = 18
_SWATCH: Final = 9
_PALE: Final = 500
"""Colours whose red, green and blue sum to more can hardly be seen on the paper: bars have an edge."""


class Best(NamedTuple):
    """The highest intersection over union with a concept, and the first unit that has it."""

    iou: float
    unit: int


@dataclass(frozen=True)
class Counts:
    """What one layer's units detect.

    Attributes
    ----------
    name : str
        What the run, or the file, is called.
    network, layer : str
        The network; the layer with its alias. "" where a file does not say.
    units, detectors : int
    detect : float
        Above which intersection over union a unit is a detector.
    categories : tuple of str
    unique : int or None
        Unique detectors: for each category the different concepts that are some unit's best there, and pass. None
        where a table does not tell.
    found : mapping
        How many units detect each concept; of the detected alone.
    best : mapping
        Of each concept that any pixel has; of a table, that is any unit's best.
    complete : bool
        Whether these are all concepts that could have been detected: a table does not tell.
    """

    name: str
    network: str
    layer: str
    units: int
    detectors: int
    detect: float
    categories: tuple[str, ...]
    unique: int | None
    found: Mapping[Concept, int]
    best: Mapping[Concept, Best]
    complete: bool = True

    @classmethod
    def of(cls, result: DissectionResult, name: str = "") -> "Counts":
        """Count the detectors of a layer."""
        best: dict[Concept, Best] = {}
        units = result.iou.argmax(axis=0).tolist()
        for at, (label, category) in enumerate(result.concepts):
            one = Best(float(result.iou[units[at], at]), units[at])
            if result.concept_area[at] > 0 and one > best.get((category, label), Best(-1.0, 0)):
                best[category, label] = one
        counts = result.counts()
        return cls(
            name=name or result.network,
            network=result.network,
            layer=layer_name(result.layer, result.alias, asked=result.layer_asked),
            units=result.channels,
            detectors=counts["detectors"],
            detect=result.detect,
            categories=tuple(result.categories),
            unique=counts["unique"],
            found=_found(counts),
            best=best,
        )

    @classmethod
    def of_table(cls, table: DissectionTable, name: str) -> "Counts":
        """Count the detectors that a CSV file lists."""
        best: dict[Concept, Best] = {}
        for one, others in zip(table.detections, table.best, strict=True):
            told = {(category, other.label): other.iou for category, other in others.items()}
            for concept, iou in {**told, (one.category, one.label): one.score}.items():
                if concept[1] and iou > best.get(concept, Best(-1.0, 0)).iou:
                    best[concept] = Best(iou, one.unit)
        counts = table.counts(IOU)
        categories = tuple(dict.fromkeys([*table.categories, *sorted({category for category, _ in best})]))
        return cls(
            name=name,
            network="",
            layer="",
            units=len(table.detections),
            detectors=counts["detectors"],
            detect=IOU,
            categories=categories,
            unique=counts["unique"],
            found=_found(counts),
            best=best,
            complete=False,
        )


def _found(counts: dict[str, Any]) -> dict[Concept, int]:
    return {(category, label): count for category, label, count in counts["detected"]}


class Group(NamedTuple):
    """The concepts of one category, those with most units (or the highest IoU) first.

    Attributes
    ----------
    category : str
    shown, hidden : tuple of Concept
        Which have a bar, and which have none for want of room.
    """

    category: str
    shown: tuple[Concept, ...]
    hidden: tuple[Concept, ...]


def all_categories(columns: Sequence[Counts]) -> tuple[str, ...]:
    """Return the categories of all columns, each once."""
    return tuple(dict.fromkeys(category for column in columns for category in column.categories))


def grouped(columns: Sequence[Counts], most: int) -> tuple[bool, list[Group]]:
    """Choose which concepts have a bar.

    Parameters
    ----------
    columns : sequence of Counts
    most : int
        How many bars there is room for: those of the concepts with most units in all columns together.

    Returns
    -------
    counted : bool
        Whether bars are numbers of units. If nothing is detected at all they are the best IoU of each concept.
    groups : list of Group
        In the categories' order; a category without a detected concept has an empty group.
    """
    counted = any(column.found for column in columns)
    values: dict[Concept, float] = {}
    for column in columns:
        if counted:
            for concept, count in column.found.items():
                values[concept] = values.get(concept, 0) + count
        else:
            for concept, best in column.best.items():
                values[concept] = max(values.get(concept, 0.0), best.iou)
    ranked = sorted(values, key=lambda one: (-values[one], one))
    first = set(ranked[:most])
    groups = []
    for category in all_categories(columns):
        mine = [one for one in ranked if one[0] == category]
        shown = tuple(one for one in mine if one in first)
        groups.append(Group(category, shown, tuple(one for one in mine if one not in first)))
    return counted, groups


def colour_of(category: str, categories: Sequence[str]) -> str:
    """Return the colour of a category's bars."""
    at = list(categories).index(category)
    return style.CLASSES[at] if at < len(style.CLASSES) else style.DEAD


def value_of(column: Counts, concept: Concept, counted: bool) -> float:
    """Return how long a concept's bar is: units, or intersection over union."""
    if counted:
        return float(column.found.get(concept, 0))
    return column.best[concept].iou if concept in column.best else 0.0


def longest(columns: Sequence[Counts], groups: Sequence[Group], counted: bool) -> float:
    """Return the value that a bar of the full length has: of IoU at least the one that detectors pass."""
    values = [value_of(column, one, counted) for column in columns for group in groups for one in group.shown]
    least = 1.0 if counted else max(column.detect for column in columns) * 1.1
    return float(np.max([*values, least]))


def iou_text(iou: float) -> str:
    """Write an intersection over union, always with as many digits."""
    return f"{iou:.4f}"


def draw_heading(canvas: Canvas, x: float, y: float, name: str, colour: str, room: float) -> float:
    """Write a name beside a swatch of its category's colour, its middle at height y; return where it ends."""
    canvas.lines([((x, y, x + _SWATCH, y), colour)], _SWATCH)
    x += _SWATCH + 6
    name = words.shorten(name, room - _SWATCH - 6, style.CAPTION, bold=True)
    canvas.text(x, y, name, style.CAPTION, weight="bold", va="center")
    return x + words.width(name, style.CAPTION, bold=True)


def concept_colour(concept: Concept, colour: str) -> str:
    """Return the colour of a concept's bar: of a colour itself, else that of its category."""
    category, name = concept
    # Broden marks colours so. What pixels are named by are the colours of CSS, but for brown.
    name = name.removesuffix("-c")
    own = "saddlebrown" if name == "brown" else name
    return to_hex(own) if category in ("colour", "color") and own in CSS4_COLORS else colour


def draw_bar(canvas: Canvas, x: float, y: float, length: float, colour: str) -> None:
    """Draw one bar, its left end at x, in a row whose top is y."""
    edge = 0.6 if sum(style.rgb(colour)) > _PALE else 0.0
    corner = (x, y + (ROW - BAR) / 2)
    bar = Rectangle(corner, length, BAR, facecolor=colour, edgecolor=style.FAINT, linewidth=edge, zorder=2)
    canvas.axes.add_patch(bar)


MOST: Final = 90
"""How many concepts have a bar."""
_TALL: Final = 34
_NAME: Final = 170
_TOLD: Final = 150
_BAR: Final = 190
_APART: Final = 30
_PAPER: Final = 820
_SHORTEST: Final = 40
"""Pixels of the longest bar on a narrow page, at least."""


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
    # On a narrow page one column's bars leave names and numbers their room.
    shortest = max(_SHORTEST, min(_BAR, page.widest() - 2 * MARGIN - _NAME - _TOLD)) if across == 1 else _BAR
    paper = max(page.least(_PAPER), 2 * MARGIN + across * (_NAME + shortest + _TOLD + _APART) - _APART)
    width = (paper - 2 * MARGIN + _APART) / across - _APART
    room = width - _NAME - _TOLD
    head = Head.of(
        [
            result.network,
            layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
            "concepts that its units detect" if counted else "no unit detects a concept",
        ],
        _caption(result, counts, groups, counted),
        paper,
        warnings=result.doubts,
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
            canvas.text(level, y, text, style.SMALL, style.MARK, ha="center")
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
            f"unique detectors (best of their category and above {level}, over all categories): {counts.unique}",
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
    at = (left + _NAME - 7, middle)
    canvas.text(*at, line.concept[1], style.LABEL, room=_NAME - 16, ha="right", va="center")
    length = room * value_of(counts, line.concept, counted) / full
    draw_bar(canvas, left + _NAME, top, length, concept_colour(line.concept, colour))
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
