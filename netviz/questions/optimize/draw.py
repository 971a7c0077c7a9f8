"""The picture of what units want to see: for each its pictures, and beside them the patches that excite it most."""

import math
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
_ABREAST: Final = 3
_BELOW: Final = 3 * 14 + 12
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


def _draw(result: OptimizeResult) -> Figure:
    count, columns = result.pictures.shape[:2]
    height, width = result.pictures.shape[2:4]
    patches = 0 if result.patches is None else result.patches.shape[1]
    side = page.side(_WITH_PATCHES if patches else _LARGE if count * columns == 1 else _SIDE)
    tall = max(1, round(side * height / width))
    rows = -(-patches // _ABREAST)
    tile = (tall - (rows - 1) * 3) // rows if rows else 0
    blocks = (result.patches is not None) + (result.followed is not None)
    block = _ABREAST * (tile + 3) - 3
    across = columns * (side + _GAP) - _GAP + blocks * (2 * _GAP + block)
    abreast = columns_for(count, tall + _BELOW, across + 20, 1.6)
    panels = Panels((across, tall), abreast, across, 20, below=_BELOW)
    paper = max(panels.paper, page.least(640))
    head = _head(result, paper)
    tallest = head.height + panels.height(count) + MARGIN
    if tallest > page.highest() or paper > page.widest():
        fits = max(1, (page.highest() - head.height - MARGIN) // panels.each) * panels.columns
        raise OutputError(f"one picture holds at most {fits} of these, not {count}; choose some with --units")
    canvas = Canvas(paper, tallest)
    head.draw(canvas)
    frames: list[Box] = []
    for target in range(count):
        left, top, *_ = panels.box(target, head.height)
        failed = [result.failed(target, column) for column in range(columns)]
        for column in range(columns):
            box = (left + column * (side + _GAP), top, side, tall)
            canvas.image(result.pictures[target, column], box, smooth=True)
            if failed[column]:
                canvas.frames([box], style.DUPLICATE, 3.0, 1.0)
            else:
                frames.append(box)
        begin = left + columns * (side + _GAP) + _GAP
        for tiles in (result.patches, result.followed):
            for place in range(0 if tiles is None else tiles.shape[1]):
                assert tiles is not None
                down, right = divmod(place, _ABREAST)
                box = (begin + right * (tile + 3), top + down * (tile + 3), tile, tile)
                canvas.image(tiles[target, place], box, smooth=True)
                frames.append(box)
            begin += block + 2 * _GAP
        panels.write_below(
            canvas, (left, top, across, tall), _name(result, target), _notes(result, target), 2
        )
    canvas.frames(frames)
    return canvas.figure


def _name(result: OptimizeResult, target: int) -> str:
    if not result.targets:
        return "all units"
    number = result.targets[target]
    if result.objective == "class":
        return f"{result.names[target]} (class {number})" if result.names else f"class {number}"
    return f"unit {number}"


def _notes(result: OptimizeResult, target: int) -> list[str]:
    """Say what the network gives for each of a target's pictures, and how that compares."""
    said = []
    begun = float(result.started[target])
    for column, sign in enumerate(result.columns):
        value = words.number(float(result.activation[target, column]))
        told = f"{'+' if sign == '+' else MINUS}: {value}"
        share = result.share(target, column)
        if not result.led[target, column]:
            told += " (no gradient in any step)"
        elif share is not None:
            best, level = ("best photograph", "0.995") if sign == "+" else ("lowest photograph", "0.005")
            told += f" = {words.number(share)}{TIMES} its {best}"
            told += " (does not reach it)" if result.failed(target, column) else ""
            usual = result.of_quantile(target, column)
            told += "" if usual is None else f", {words.number(usual)}{TIMES} its {level} quantile"
        elif not math.isnan(begun):
            told += f", before {words.number(begun)}"
        said.append(told)
    return said


def _head(result: OptimizeResult, paper: int) -> Head:
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
        caption.append("to the right of each: the unit's strongest patches" + _followed(result))
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
