"""A matrix of units and concepts: how well each unit of a layer detects each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.errors import OutputError
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, layer_name
from netviz.paper.scales import Scale, scale_for
from netviz.questions.dissect.draw import colour_of, counted_over, iou_text
from netviz.questions.dissect.result import DissectionResult
from netviz.results.choose import choose_units

UNITS: Final = 64
"""How many units are drawn if none is asked for."""
CONCEPTS: Final = 48
"""How many concepts are drawn at most."""
_MOST: Final = 140
_ROW: Final = 14
_COLUMN: Final = 18
_NUMBER: Final = 44
_TOLD: Final = 190
_LABEL: Final = 130
_STRIP: Final = 5
_PAPER: Final = 700


@dataclass(frozen=True)
class Block:
    """Which units and concepts are drawn, in the order of rows and columns.

    Attributes
    ----------
    units, concepts : ndarray of int64
    best : ndarray of int64
        The concept with which each of the units has its highest intersection over union, the first of several.
    score : ndarray of float64
        Of each of the units with that.
    left_out : int
        How many concepts that some pixel has are not drawn.
    """

    units: NDArray[np.int64]
    concepts: NDArray[np.int64]
    best: NDArray[np.int64]
    score: NDArray[np.float64]
    left_out: int


def ordered(result: DissectionResult, units: int | str | Iterable[int] | None = None) -> Block:
    """Order units and concepts so that units of the same best concept form blocks.

    Concepts stand in the order of their categories, in each those that are the best one of most of the units first;
    units in the order of their best concepts, in each the highest intersection over union first.

    Parameters
    ----------
    result : DissectionResult
    units : int, str or iterable of int, optional
        Which; by default the `UNITS` with the highest intersection over union.

    Raises
    ------
    LayerError
        If a unit does not exist.
    OutputError
        If the paper does not hold the units.
    """
    chosen = choose_units(units, result.channels, result.layer)
    if chosen is None:
        chosen = np.argsort(-result.iou.max(axis=1), kind="stable")[:UNITS].tolist()
    if len(chosen) > _MOST:
        raise OutputError(
            f"one matrix holds at most {_MOST} units, not {len(chosen)}; choose some with --units, such as 0:{_MOST}"
        )
    iou = result.iou[chosen]
    best = iou.argmax(axis=1)
    votes = np.bincount(best, minlength=iou.shape[1])
    there = np.flatnonzero((result.concept_area > 0) | (votes > 0))
    peak = iou.max(axis=0)
    first = there[np.lexsort((there, -peak[there], -votes[there]))][:CONCEPTS]
    category = np.array([result.categories.index(name) for _, name in result.concepts])
    concepts = first[np.lexsort((first, -peak[first], -votes[first], category[first]))]
    column = np.full(iou.shape[1], len(concepts))
    column[concepts] = np.arange(len(concepts))
    score = iou.max(axis=1)
    rows = np.lexsort((np.array(chosen), -score, column[best]))
    return Block(
        units=np.array(chosen, dtype=np.int64)[rows],
        concepts=concepts.astype(np.int64),
        best=best[rows].astype(np.int64),
        score=score[rows],
        left_out=len(there) - len(concepts),
    )


def dissection_matrix_figure(
    result: DissectionResult, *, units: int | str | Iterable[int] | None = None
) -> Figure:
    """Draw the intersection over union of units with concepts as colours.

    Parameters
    ----------
    result : DissectionResult
    units : int, str or iterable of int, optional
        Which units, such as ``"0:16"``; by default the 64 best.

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the matrix as its only image; the Axes labelled ``"scale"``
        is the colour bar.

    Raises
    ------
    LayerError
        If a unit does not exist.
    OutputError
        If the paper does not hold the units.
    """
    block = ordered(result, units)
    with style.style():
        return _draw(result, block, units is not None)


def _draw(result: DissectionResult, block: Block, asked: bool) -> Figure:
    names = [result.concepts[at] for at in block.concepts.tolist()]
    across = max(_COLUMN, min(40, 560 // len(names)))
    wide, tall = across * len(names), _ROW * len(block.units)
    paper = max(page.least(_PAPER), 2 * MARGIN + _NUMBER + wide + _TOLD)
    values = result.iou[block.units][:, block.concepts]
    scale = scale_for(0.0, float(values.max()))
    head = _header(result, block, scale, asked, paper)
    label = min(_LABEL, int(max(words.width(words.clean(name), style.LABEL) for name, _ in names)) + 4)
    left, top = MARGIN + _NUMBER, head.height + 18 + label + 8 + _STRIP + 2
    canvas = Canvas(paper, top + tall + MARGIN)
    head.draw(canvas)
    box = (left, top, wide, tall)
    canvas.values(values, box, scale)
    canvas.frames([box])
    _heads(canvas, result, names, (left, top), across, label)
    detected = block.score > result.detect
    for row, (unit, at, score) in enumerate(
        zip(block.units.tolist(), block.best.tolist(), block.score.tolist(), strict=True)
    ):
        middle = top + _ROW * (row + 0.5)
        canvas.text(left - 6, middle, str(unit), style.SMALL, style.MUTED, ha="right", va="center")
        number, weight = iou_text(score), "bold" if detected[row] else "normal"
        x = left + wide + 8
        colour = style.INK if detected[row] else style.FAINT
        canvas.text(x, middle, number, style.SMALL, colour, weight=weight, va="center")
        name = result.concepts[at][0]
        canvas.text(x + 46, middle, name, style.SMALL, colour, room=_TOLD - 58, va="center")
    # A line where the best concept changes: blocks show.
    steps = np.flatnonzero(np.diff(block.best)) + 1
    lines: list[tuple[Box, str]] = [
        ((left - _NUMBER + 8, top + _ROW * row, left + wide + _TOLD - 12, top + _ROW * row), style.FRAME)
        for row in steps.tolist()
    ]
    canvas.lines(lines)
    return canvas.figure


def _heads(
    canvas: Canvas,
    result: DissectionResult,
    names: list[tuple[str, str]],
    corner: tuple[float, float],
    across: int,
    label: int,
) -> None:
    """Write the concepts above their columns, and above them their categories, each with a strip of its colour."""
    left, top = corner
    canvas.text(left - 6, top - 8, "unit", style.SMALL, style.MUTED, ha="right")
    told = left + across * len(names) + 8
    canvas.text(told, top - 8, "best IoU and concept", style.SMALL, style.MUTED)
    first = 0
    for at, (name, category) in enumerate(names):
        x = left + across * (at + 0.5)
        y = top - _STRIP - 6
        canvas.text(x, y, name, style.LABEL, room=label, rotation=90, ha="center", va="bottom")
        if at + 1 == len(names) or names[at + 1][1] != category:
            colour = colour_of(category, result.categories)
            start, end = left + across * first, left + across * (at + 1)
            strip = (start + 1, top - _STRIP / 2 - 1, end - 1, top - _STRIP / 2 - 1)
            canvas.lines([(strip, colour)], _STRIP)
            short = words.shorten(category, end - start - 4, style.SMALL, bold=True)
            # A name of which nothing but an ellipsis is left tells nothing.
            if len(short) > 2:
                y = top - _STRIP - label - 16
                canvas.text(start, y, short, style.SMALL, weight="bold")
            first = at + 1


def _header(result: DissectionResult, block: Block, scale: Scale, asked: bool, paper: int) -> Head:
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        "units and the concepts they detect",
    ]
    drawn = f"{len(block.units)} of {words.counted(result.channels, 'unit')}"
    if not asked and len(block.units) < result.channels:
        drawn = f"the {drawn} with the highest IoU"
    caption = [
        f"{drawn}, by their best concept, the highest IoU first",
        f"{words.counted(int((block.score > result.detect).sum()), 'detector')} among them (IoU above "
        f"{words.number(result.detect)}, bold)",
    ]
    if block.left_out:
        caption.append(
            f"{words.counted(len(block.concepts), 'concept')}, those that are the best of most of these units, and "
            f"{block.left_out} more not drawn"
        )
    caption.append(counted_over(result))
    note = ["intersection over union (IoU) of unit and concept", scale.note]
    return Head.of(title, caption, paper, (scale, note), warnings=result.doubts)
