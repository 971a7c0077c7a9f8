"""Bars of concepts: what is counted of each dissection, which concepts are shown, and one bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from matplotlib.patches import Rectangle

from netviz.render import style, words
from netviz.render.canvas import Canvas, layer_name
from netviz.results import DissectionResult, DissectionTable
from netviz.results.dissect import IOU, Detection, count_detectors

Concept = tuple[str, str]
"""Category and name."""

BAR: Final = 11
ROW: Final = 18
_SWATCH: Final = 9


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
        found = _found(result.detections(), result.detect)
        return cls(
            name=name or result.network,
            network=result.network,
            layer=layer_name(result.layer, result.alias),
            units=result.channels,
            detectors=sum(found.values()),
            detect=result.detect,
            categories=tuple(result.categories),
            found=found,
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
        found = _found(table.detections, IOU)
        categories = tuple(dict.fromkeys([*table.categories, *sorted({category for category, _ in best})]))
        return cls(
            name=name,
            network="",
            layer="",
            units=len(table.detections),
            detectors=sum(found.values()),
            detect=IOU,
            categories=categories,
            found=found,
            best=best,
            complete=False,
        )


def _found(detections: Sequence[Detection], detect: float) -> dict[Concept, int]:
    told = count_detectors(detections, (), detect)["detected"]
    return {(category, label): count for category, label, count in told}


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


def draw_bar(canvas: Canvas, x: float, y: float, length: float, colour: str) -> None:
    """Draw one bar, its left end at x, in a row whose top is y."""
    bar = Rectangle((x, y + (ROW - BAR) / 2), length, BAR, facecolor=colour, linewidth=0, zorder=2)
    canvas.axes.add_patch(bar)
