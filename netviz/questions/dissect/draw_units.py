"""The best units of each concept, with their patches and masks: where their maps are above their thresholds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, layer_name
from netviz.paper.words import TIMES
from netviz.questions.dissect.draw import colour_of, counted_over, draw_heading, iou_text
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.patches.draw import draw_tile
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.tiles import Images, Tiles, cut_tiles, tell_unread
from netviz.results.choose import choose_units

CONCEPTS: Final = 12
"""How many concepts are drawn."""
EACH: Final = 3
"""How many units of each."""
_PATCHES: Final = 4
_SIDE: Final = 108
_GAP: Final = 4
_UNIT: Final = _PATCHES * (_SIDE + _GAP) - _GAP
_APART: Final = 28
_PAPER: Final = 2 * MARGIN + EACH * (_UNIT + _APART) - _APART
_HEADING: Final = 26
_ABOVE: Final = 18
_UNDER: Final = 15
_AROUND: Final = _ABOVE + _UNDER + 6
_BETWEEN: Final = 10


@dataclass(frozen=True)
class ConceptUnits:
    """A concept and its best units.

    Attributes
    ----------
    concept : int
    units : tuple of int
        Those drawn, highest intersection over union first.
    detectors : int
        How many units detect it.
    """

    concept: int
    units: tuple[int, ...]
    detectors: int


def best_units(
    result: DissectionResult, units: int | str | Iterable[int] | None = None
) -> tuple[list[ConceptUnits], int]:
    """Choose concepts and their units.

    Detected concepts, those that most units detect first, each with its best detectors. Where nothing is detected,
    the concepts with the highest intersection over union, each with the units that have it. Where units are asked
    for: these, under their best concepts.

    Returns
    -------
    chosen : list of ConceptUnits
    left_out : int
        How many such concepts are not among them.
    """
    best, score = result.iou.argmax(axis=1), result.iou.max(axis=1)
    order = np.lexsort((np.arange(len(score)), -score))
    detected = (score > result.detect) & np.array([bool(result.concepts[at][0]) for at in best.tolist()])
    detectors = np.bincount(best[detected], minlength=len(result.concepts))
    asked = choose_units(units, result.channels, result.layer)
    if asked is not None:
        mine = [unit for unit in order.tolist() if unit in set(asked)]
        concepts = list(dict.fromkeys(int(best[unit]) for unit in mine))
        chosen = [(at, [unit for unit in mine if best[unit] == at]) for at in concepts]
        return [ConceptUnits(at, tuple(found), int(detectors[at])) for at, found in chosen], 0
    peak = result.iou.max(axis=0)
    if detected.any():
        ranked = np.lexsort((np.arange(len(peak)), -peak, -detectors))[: np.count_nonzero(detectors)].tolist()
        chosen = [
            (at, [unit for unit in order.tolist() if best[unit] == at and detected[unit]][:EACH])
            for at in ranked[:CONCEPTS]
        ]
    else:
        there = np.flatnonzero(result.concept_area > 0)
        ranked = there[np.argsort(-peak[there], kind="stable")].tolist()
        chosen = [
            (at, np.argsort(-result.iou[:, at], kind="stable")[:EACH].tolist()) for at in ranked[:CONCEPTS]
        ]
    return (
        [ConceptUnits(at, tuple(found), int(detectors[at])) for at, found in chosen],
        max(0, len(ranked) - CONCEPTS),
    )


def dissection_units_figure(
    result: DissectionResult,
    patches: PatchesResult,
    images: Images,
    *,
    units: int | str | Iterable[int] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Figure:
    """Draw for each concept its best units: their patches, darkened where the unit is not active.

    Parameters
    ----------
    result : DissectionResult
    patches : PatchesResult
        Of the same layer and images.
    images : callable
        Gives the pixels of an image by its number, such as `RunImages`.
    units : int, str or iterable of int, optional
        Which units, under their best concepts; by default the best three of twelve concepts.
    tell : callable, optional
        Called with a line that counts the images that could not be read.

    Returns
    -------
    matplotlib.figure.Figure
        One Axes, the paper in pixels; its images are the patches, unit by unit.

    Raises
    ------
    OutputError
        If the patches are of another layer, none of their images can be read, or the paper does not hold the units.
    LayerError
        If a unit does not exist.
    """
    if (patches.layer, patches.channels) != (result.layer, result.channels):
        raise OutputError(
            f"the patches are of {patches.channels} units of {patches.layer}, the dissection is of {result.channels} "
            f"of {result.layer}; run netviz dissect again"
        )
    chosen, left_out = best_units(result, units)
    if _height(chosen, _SIDE) > style.LARGEST - 200:
        raise OutputError(
            f"one picture does not hold {words.counted(sum(len(one.units) for one in chosen), 'unit')} of "
            f"{words.counted(len(chosen), 'concept')}; choose some with --units, such as 0:12"
        )
    flat = [unit for one in chosen for unit in one.units]
    tiles = cut_tiles(patches, images, flat, _SIDE, top=_PATCHES, mean=False, thresholds=result.threshold)
    tell_unread(tiles.reasons, tiles.read, tell)
    with style.style():
        return _draw(result, patches, tiles, chosen, left_out)


def _draw(
    result: DissectionResult,
    patches: PatchesResult,
    tiles: Tiles,
    chosen: list[ConceptUnits],
    left_out: int,
) -> Figure:
    head = _head(result, patches, tiles, chosen, left_out)
    # Of tiles that are all wider than high the empty part is left away.
    shown = tiles.drawn[tiles.filled]
    first = int(shown[:, 0].min()) if len(shown) else 0
    tall = (int(shown[:, 2].max()) if len(shown) else _SIDE) - first
    canvas = Canvas(_PAPER, head.height + _height(chosen, tall) + MARGIN)
    head.draw(canvas)
    frames: list[Box] = []
    y, number = head.height, 0
    for one in chosen:
        _heading(canvas, result, one, y + 18)
        y += _HEADING
        for place, unit in enumerate(one.units):
            row, column = divmod(place, EACH)
            corner = MARGIN + column * (_UNIT + _APART), y + row * (tall + _AROUND)
            iou = float(result.iou[unit, one.concept])
            told = f"IoU {iou_text(iou)}"
            canvas.text(corner[0], corner[1] + 11, f"unit {unit}", style.LABEL, weight="bold")
            x = corner[0] + words.width(f"unit {unit}", style.LABEL, bold=True) + 8
            colour = style.INK if iou > result.detect else style.MUTED
            canvas.text(x, corner[1] + 11, told, style.LABEL, colour)
            x += words.width(told, style.LABEL) + 8
            level = f"active above {words.number(float(result.threshold[unit]))}"
            canvas.text(x, corner[1] + 11, level, style.SMALL, style.MUTED)
            box = (corner[0], corner[1] + _ABOVE, first, tall)
            frames += _patches(canvas, patches, tiles, number, box)
            number += 1
        y += -(-len(one.units) // EACH) * (tall + _AROUND) + _BETWEEN
    canvas.frames(frames)
    return canvas.figure


def _heading(canvas: Canvas, result: DissectionResult, one: ConceptUnits, y: float) -> None:
    """Write a concept, its category and how many units detect it."""
    name, category = result.concepts[one.concept]
    colour = colour_of(category, result.categories)
    canvas.lines([((MARGIN, y - 18, _PAPER - MARGIN, y - 18), style.FRAME)])
    x = draw_heading(canvas, MARGIN, y - 4, name, colour, _PAPER / 2)
    told = f"{words.counted(one.detectors, 'unit')} detect{'s' if one.detectors == 1 else ''} it"
    drawn = sum(float(result.iou[unit, one.concept]) > result.detect for unit in one.units)
    if drawn < one.detectors:
        told += f", {drawn or 'none'} of them drawn"
    told = f"{category} · {told}"
    canvas.text(x + 8, y - 4, told, style.LABEL, style.MUTED, room=_PAPER / 3, va="center")


def _height(chosen: list[ConceptUnits], tall: int) -> int:
    """Return the pixels that concepts and units take, with tiles of this height."""
    lines = sum(-(-len(one.units) // EACH) for one in chosen)
    return lines * (tall + _AROUND) + len(chosen) * (_HEADING + _BETWEEN)


def _patches(
    canvas: Canvas,
    patches: PatchesResult,
    tiles: Tiles,
    number: int,
    box: tuple[float, float, int, int],
) -> list[Box]:
    """Draw the patches of a unit at (left, top), `tall` rows of each tile from `cut` on; return their frames."""
    left, top, cut, tall = box
    frames: list[Box] = []
    for place in range(tiles.pixels.shape[1]):
        if not tiles.filled[number, place]:
            continue
        x = left + place * (_SIDE + _GAP)
        frames.append(draw_tile(canvas, tiles, number, place, (x, top), cut, tall))
        score = words.number(float(patches.score[tiles.units[number], place]))
        canvas.text(x, top + tall + 11, score, style.SMALL, style.MUTED)
    return frames


def _head(
    result: DissectionResult,
    patches: PatchesResult,
    tiles: Tiles,
    chosen: list[ConceptUnits],
    left_out: int,
) -> Head:
    scores = [float(result.iou[unit, one.concept]) for one in chosen for unit in one.units]
    detected = any(score > result.detect for score in scores)
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        "the best units of each concept",
    ]
    level = words.number(result.detect)
    caption = [f"a unit detects the concept with which its IoU is highest, if that is above {level}"]
    if not detected:
        caption = [f"none of these units detects a concept (IoU above {level})"]
    if left_out:
        caption.append(f"{words.counted(len(chosen), 'concept')}, and {left_out} more not drawn")
    top = tiles.pixels.shape[1]
    caption += [
        f"each unit's {top} strongest patches, below: its value there",
        "bright, outlined: the unit is active there, its map, interpolated linearly between positions, above its "
        "threshold",
    ]
    rows, columns = patches.maps.shape[2:]
    if (rows, columns) != patches.map_size:
        caption.append(f"known of {rows}{TIMES}{columns} positions around a patch's own")
    if tiles.margins:
        caption.append("hatched: the field goes on where the network saw no image")
    if tiles.reasons:
        caption.append(f"{words.counted(len(tiles.reasons), 'image')} could not be read")
    caption.append(counted_over(result))
    return Head.of(title, caption, _PAPER, warnings=result.doubts)
