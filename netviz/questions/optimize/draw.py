"""The picture of what units want to see: for each its pictures, and beside them the patches that excite it most."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, Panels, layer_name
from netviz.paper.tiles import columns_for
from netviz.paper.words import MINUS, TIMES
from netviz.questions.optimize.result import OptimizeResult

_SIDE: Final = 144
_WITH_PATCHES: Final = 204
_LARGE: Final = 320
_GAP: Final = 6
_BETWEEN: Final = 3
_ABREAST: Final = 3
_LINES: Final = 5
"""Of what is said below a row at most."""
_BASES: Final = {
    "fourier": "a spectrum in decorrelated colours",
    "pixels": "pixels in decorrelated colours",
    "maco": "phases; magnitudes are those of photographs (MaCo)",
}
_OBJECTIVES: Final = {
    "channel": "mean of the unit's map",
    "position": "the unit's value at the centre of its map",
    "layer": "mean square of all units of the layer",
    "class": "score of the class",
}


def optimize_figure(result: OptimizeResult) -> Figure:
    """Draw for each unit, class or layer its pictures, and its patches where a run gave some.

    Parameters
    ----------
    result : OptimizeResult

    Returns
    -------
    matplotlib.figure.Figure
        One Axes, the paper in pixels; its images are, for each target, its pictures and its patches.

    Raises
    ------
    OutputError
        If the paper does not hold them.
    """
    with style.style():
        return _draw(result)


@dataclass(frozen=True)
class _Row:
    """Where what belongs to one target stands, from the first pixel of its first picture.

    Attributes
    ----------
    pictures : tuple of Box
    tiles : tuple of tuple of Box
        Of each block of patches: those of the run, and what made them answer.
    width, height : int
    """

    pictures: tuple[Box, ...]
    tiles: tuple[tuple[Box, ...], ...]
    width: int
    height: int


def _row(result: OptimizeResult) -> _Row:
    """Lay pictures out in a row, the patches right of them; on a narrow page below them."""
    count, columns = result.pictures.shape[:2]
    height, width = result.pictures.shape[2:4]
    blocks = [len(one[0]) for one in (result.patches, result.followed) if one is not None]
    usual = page.side(_WITH_PATCHES if blocks else _LARGE if count * columns == 1 else _SIDE)
    below = bool(blocks) and page.narrow()
    room = page.widest() - 2 * MARGIN
    side = max(1, (room + _GAP) // columns - _GAP) if below else usual
    tall = max(1, round(side * height / width))
    pictures = tuple((at * (side + _GAP), 0, side, tall) for at in range(columns))
    if not blocks:
        return _Row(pictures, (), columns * (side + _GAP) - _GAP, tall)
    most = max(1, -(-max(blocks) // _ABREAST))
    if below:
        tile = ((room + 2 * _GAP) // len(blocks) - 2 * _GAP + _BETWEEN) // _ABREAST - _BETWEEN
        tile, begin, top = max(1, min(tile, side)), 0, tall + 2 * _GAP
    else:
        tile, begin, top = (tall - (most - 1) * _BETWEEN) // most, columns * (side + _GAP) + _GAP, 0
    step = tile + _BETWEEN
    tiles: list[tuple[Box, ...]] = []
    for held in blocks:
        places = (divmod(place, _ABREAST) for place in range(held))
        tiles.append(tuple((begin + right * step, top + down * step, tile, tile) for down, right in places))
        begin += _ABREAST * step - _BETWEEN + 2 * _GAP
    wide = max(begin - 2 * _GAP, columns * (side + _GAP) - _GAP)
    return _Row(pictures, tuple(tiles), wide, max(tall, top + most * step - _BETWEEN))


def _draw(result: OptimizeResult) -> Figure:
    count, row = len(result.pictures), _row(result)
    notes = [_notes(result, target) for target in range(count)]
    lines = min(_LINES, max(len(words.wrap(one, row.width, style.LABEL)) for one in notes))
    below = 26 + 14 * lines
    abreast = columns_for(count, row.height + below, row.width + 20, 1.6)
    panels = Panels((row.width, row.height), abreast, row.width, 20, below=below)
    paper = max(panels.paper, page.least(640))
    head = _head(result, paper, below=any(box[1] for block in row.tiles for box in block[:1]))
    tallest = head.height + panels.height(count) + MARGIN
    if not page.given() and (tallest > page.highest() or paper > page.widest()):
        fits = max(1, (page.highest() - head.height - MARGIN) // panels.each) * panels.columns
        raise OutputError(f"one picture holds at most {fits} of these, not {count}; choose some with --units")
    canvas = Canvas(paper, tallest)
    head.draw(canvas)
    frames: list[Box] = []
    shown = [one for one in (result.patches, result.followed) if one is not None]
    for target in range(count):
        left, top, *_ = panels.box(target, head.height)

        def at(box: Box, left: float = left, top: float = top) -> Box:
            return left + box[0], top + box[1], *box[2:]

        for column, box in enumerate(row.pictures):
            canvas.image(result.pictures[target, column], at(box), smooth=True)
            if result.failed(target, column):
                canvas.frames([at(box)], style.DUPLICATE, 3.0, 1.0)
            else:
                frames.append(at(box))
        for tiles, boxes in zip(shown, row.tiles, strict=True):
            for place, box in enumerate(boxes):
                canvas.image(tiles[target, place], at(box), smooth=True)
                frames.append(at(box))
        whole = (left, top, row.width, row.height)
        panels.write_below(canvas, whole, _name(result, target), notes[target], lines)
    canvas.frames(frames)
    return canvas.figure


def _name(result: OptimizeResult, target: int) -> str:
    if not result.targets:
        return "all units"
    number = result.targets[target]
    if result.objective == "class":
        return result.names[target] if result.names else f"class {number}"
    return f"unit {number}"


def _notes(result: OptimizeResult, target: int) -> list[str]:
    """Say what the network gives for each of a target's pictures, and how that compares."""
    said = [f"class {result.targets[target]}"] if result.names else []
    begun = float(result.started[target])
    for sign in dict.fromkeys(result.columns):
        columns = [column for column, one in enumerate(result.columns) if one == sign]
        led = [column for column in columns if result.led[target, column]]
        values = [
            words.number(float(result.activation[target, column]))
            + ("" if column in led else " (no gradient in any step)")
            for column in columns
        ]
        told = f"{'+' if sign == '+' else MINUS}: {', '.join(values)}"
        best, level = ("best photograph", "0.995") if sign == "+" else ("lowest photograph", "0.005")
        shares = _multiples(result.share(target, column) for column in led)
        usual = _multiples(result.of_quantile(target, column) for column in led)
        if shares:
            failed = sum(result.failed(target, column) for column in led)
            told += f" = {shares} its {best}"
            if failed:
                told += (
                    " (does not reach it)" if len(led) == 1 else f" ({failed} of {len(led)} do not reach it)"
                )
            told += f", {usual} its {level} quantile" if usual else ""
        elif led and not math.isnan(begun):
            told += f", before {words.number(begun)}"
        said.append(told)
    return said


def _multiples(shares: Iterable[float | None]) -> str:
    """Write multiples, of several the least and the largest; nothing where there are none."""
    told = [share for share in shares if share is not None]
    ends = dict.fromkeys(words.number(one) for one in (min(told), max(told))) if told else ()
    return " to ".join(f"{one}{TIMES}" for one in ends)


def _head(result: OptimizeResult, paper: int, below: bool) -> Head:
    layer = layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked)
    what = {"class": "what classes want to see", "layer": f"what {layer} wants to see"}
    title = [
        result.network,
        what.get(result.objective, f"what units of {layer} want to see"),
        *([f"from {result.image_name}"] if result.image_name else []),
    ]
    height, width = result.pictures.shape[2:4]
    caption = [
        f"{result.objective}: {_OBJECTIVES[result.objective]}"
        + (f" ({result.score_of})" if result.score_of else ""),
        f"optimized: {_BASES[result.basis]}",
        f"{words.counted(result.steps, 'step')}, seed {result.seed}, {width}{TIMES}{height} pixels",
        "shown to the network moved, scaled and turned, each step anew" if result.moved else "shown as it is",
    ]
    if len(result.columns) > 1:
        caption.append(f"from the left: {', '.join(_column(result))}")
    caption.append(
        "below: "
        + {
            "channel": "largest value of the unit's map for the picture as it stands here"
            + (f" (of {MINUS} the smallest)" if "-" in result.columns else ""),
            "position": "value at the centre for the picture as it stands here",
            "layer": "mean square for the picture as it stands here",
            "class": "score of the picture as it stands here",
        }[result.objective]
    )
    if result.patches is not None:
        where = "below" if below else "to the right of"
        caption.append(f"{where} each: the unit's strongest patches" + _followed(result))
    if any(result.failed(row, column) for row, column in _places(result)):
        caption.append(
            "violet frame: the picture does not reach what the best photograph does, or nothing led anywhere"
        )
    if result.dead:
        dead = ", ".join(map(str, result.dead[:8])) + (", …" if len(result.dead) > 8 else "")
        caption.append(f"left out, 0 on every photograph: {dead}")
    return Head.of(title, caption, paper, warnings=result.doubts)


def _followed(result: OptimizeResult) -> str:
    if result.followed is None:
        return ""
    how = {"deconvnet": "a deconvnet", "guided": "guided backpropagation"}[result.followed_by]
    few = result.followed.shape[1]
    which = "them" if result.patches is not None and few == result.patches.shape[1] else f"the best {few}"
    return f", and what in {which} made it answer, by {how}: mid-grey is 0, brighter raises the unit"


def _column(result: OptimizeResult) -> list[str]:
    many = result.columns.count("+")
    said = [f"{many} pictures for a large value, as different as can be" if many > 1 else "for a large value"]
    if "-" in result.columns:
        said.append("for a small value")
    return said if "+" in result.columns else said[1:]


def _places(result: OptimizeResult) -> list[tuple[int, int]]:
    count, columns = result.pictures.shape[:2]
    return [(row, column) for row in range(count) for column in range(columns)]
