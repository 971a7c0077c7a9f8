"""The picture of how well SIFT and a layer find places again."""

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, fit, layer_name
from netviz.paper.words import MINUS, TIMES
from netviz.questions.sift.result import MatchResult

METHODS: Final = {"SIFT": style.INK, "layer": "#bc4c00", "normalized": "#8250df"}
"""The methods and their colours."""
RIGHT: Final = "#0969da"
WRONG: Final = "#cf222e"

_KINDS: Final = {
    "rotation": ("rotation", "degrees"),
    "scale": ("scale", "factor"),
    "illumination": ("illumination", "darker … brighter"),
    "perspective": ("perspective", "shift of corners, % of the side"),
}

_PANEL: Final = (192, 190)
_SPACE: Final = 104
_TICKS: Final = 34
_TABLE_LINE: Final = 20
_DRAWN: Final = 120
_PAIR: Final = 336
_BETWEEN: Final = 28
_PEN: Final = 72 / style.DPI


def match_figure(result: MatchResult) -> Figure:
    """Draw precision over strength for each kind of warp, a table of the sums, and one pair's matches.

    Parameters
    ----------
    result : MatchResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels: for each method the image above the warped image, wrong and right
        matches as collections labelled ``"wrong"`` and ``"right"``. The Axes labelled ``"rotation"``, ``"scale"``,
        ``"illumination"`` and ``"perspective"`` hold a line for each method, labelled by it.
    """
    with style.style():
        return _draw(result)


def _draw(result: MatchResult) -> Figure:
    paper = 2 * MARGIN + _TICKS + 4 * _PANEL[0] + 3 * _SPACE + 74
    name = layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked)
    title = [
        result.network,
        f"matching by SIFT and by {name}",
        result.image_name,
    ]
    head = Head.of(title, _caption(result), paper, warnings=result.doubts)
    top = head.height + 4
    table = top + _PANEL[1] + 92
    kinds = list(dict.fromkeys(total["kind"] for total in result.totals))
    pairs = table + 40 + _TABLE_LINE * len(kinds) + 26
    wide, high = fit(result.image.shape, _PAIR, whole=False, room=_PAIR)
    canvas = Canvas(paper, pairs + 40 + 2 * high + 14 + MARGIN)
    head.draw(canvas)
    for number, kind in enumerate(_KINDS):
        _curve(canvas, result, kind, MARGIN + _TICKS + number * (_PANEL[0] + _SPACE), top + 22)
    _table(canvas, result, kinds, MARGIN, table)
    _pairs(canvas, result, pairs, (wide, high))
    return canvas.figure


def _caption(result: MatchResult) -> list[str]:
    height, width = result.image.shape[:2]
    down, across = result.field_stride
    step = words.number(down) if down == across else f"{words.number(down)}{TIMES}{words.number(across)}"
    return [
        f"{result.keypoints} keypoints in {height}{TIMES}{width} pixels",
        "matches: each the other's nearest; right: within "
        f"{words.number(result.tolerance)} px of the true place; precision: right / matches",
        "SIFT's keypoints for all methods, each place once",
        "left out: those whose true place is outside the other image",
        "matchable: with a keypoint of the warped image at the true place",
        f"layer: {words.counted(result.channels, 'unit')}, a position every {step} px",
        f"normalized: the layer after contrast normalization, window {result.window}{TIMES}{result.window}",
        f"slants drawn by seed {result.seed}",
    ]


def _curve(canvas: Canvas, result: MatchResult, kind: str, left: float, top: float) -> Axes:
    """Draw one kind of warp: a line for each method, named at its end."""
    wide, high = _PANEL
    axes = canvas.add_chart((left, top, wide, high), kind)
    heading, unit = _KINDS[kind]
    canvas.heading(left - _TICKS, top - 12, heading)
    canvas.text(left + wide / 2, top + high + 36, unit, style.SMALL, style.MUTED, ha="center")
    ends = {}
    for method, colour in METHODS.items():
        rows = [row for row in result.rows if row["kind"] == kind and row["method"] == method]
        factor = 100 if kind == "perspective" else 1
        at = [factor * row["strength"] for row in rows]
        values = [np.nan if row["precision"] is None else 100 * row["precision"] for row in rows]
        axes.plot(
            at, values, color=colour, linewidth=1.4, marker="o", markersize=3, label=method, clip_on=False,
            zorder=3 if method == "SIFT" else 2.5,
        )  # fmt: skip
        known = [value for value in values if np.isfinite(value)]
        if known:
            ends[method] = known[-1]
    axes.set_ylim(0, 100)
    shown = sorted({factor * row["strength"] for row in result.rows if row["kind"] == kind})
    axes.set_xticks(shown, [words.number(value) for value in shown])
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="y", color=style.FRAME, linewidth=0.6)
    axes.set_axisbelow(True)
    for method, percent in _apart(ends).items():
        y = top + high * (1 - percent / 100)
        canvas.text(left + wide + 9, y, method, style.LABEL, METHODS[method], va="center")
    return axes


def _apart(ends: dict[str, float]) -> dict[str, float]:
    """Move the names of lines that end close together apart, by at least the height of a line of text."""
    least = 100 * 13 / _PANEL[1]
    order = sorted(ends, key=lambda method: (-ends[method], list(METHODS).index(method)))
    places: dict[str, float] = {}
    last = np.inf
    for method in order:
        last = min(ends[method], last - least)
        places[method] = last
    # The lowest may have been pushed below the axis: then all that crowd there move up.
    floor = 0.0
    for method in reversed(order):
        places[method] = max(places[method], floor)
        floor = places[method] + least
    return places


def _table(canvas: Canvas, result: MatchResult, kinds: list[str], left: float, top: float) -> None:
    """Write matches, right ones and precision, summed over the warps of each kind."""
    columns = 3 * len(METHODS) + 2
    room = canvas.width - 2 * MARGIN
    first, second = 170.0, 120.0
    each = (room - first - second) / (columns - 2)
    lines: list[tuple[Box, str]] = []
    canvas.heading(left, top, "all warps of a kind together")
    canvas.text(left + first + second - 30, top + 20, "matchable", style.SMALL, style.MUTED, ha="right")
    for number, (method, colour) in enumerate(METHODS.items()):
        start = left + first + second + 3 * number * each
        middle = start + 2 * each
        canvas.text(middle, top, method, style.CAPTION, colour, ha="center", weight="bold")
        lines.append(((start + 0.5 * each, top + 6, start + 3 * each, top + 6), colour))
        for at, name in enumerate(("matches", "right", "precision")):
            x = start + (at + 1) * each
            canvas.text(x, top + 20, name, style.SMALL, style.MUTED, ha="right")
    by = {(total["kind"], total["method"]): total for total in result.totals}
    for row, kind in enumerate(kinds):
        y = top + 40 + row * _TABLE_LINE
        bold: dict[str, Any] = {"weight": "bold"} if kind == "all" else {}
        lines.append(((left, y - 14, left + room, y - 14), style.FRAME))
        some = by[kind, "SIFT"]
        name = f"{kind} ({words.counted(some['warps'], 'warp')})"
        canvas.text(left, y, name, style.CAPTION, **bold)
        x = left + first + second - 30
        canvas.text(x, y, f"{some['matchable']}", style.CAPTION, ha="right", **bold)
        for number, method in enumerate(METHODS):
            total = by[kind, method]
            start = left + first + second + 3 * number * each
            share = "–" if total["precision"] is None else f"{100 * total['precision']:.1f} %"
            for at, text in enumerate((str(total["matches"]), str(total["right"]), share)):
                x = start + (at + 1) * each
                canvas.text(x, y, text, style.CAPTION, ha="right", **bold)
    canvas.lines(lines)


def _pairs(canvas: Canvas, result: MatchResult, top: float, size: tuple[int, int]) -> None:
    """Draw the image above the warped one for each method, its matches between them."""
    wide, high = size
    strength = _strength(result.pair_kind, result.pair_strength)
    heading = f"matches for {result.pair_kind} {strength}: the image above, its warp below"
    canvas.heading(MARGIN, top, heading)
    x = MARGIN + words.width(heading, style.CAPTION, bold=True) + 20
    for name, colour in (("right", RIGHT), ("wrong", WRONG)):
        canvas.lines([((x, top - 4, x + 18, top - 4), colour)], 2.0)
        canvas.text(x + 24, top, name, style.CAPTION)
        x += 74
    zoom = wide / result.image.shape[1]
    room = (canvas.width - 2 * MARGIN - 3 * _PAIR) / 2
    pairs = (result.pair_sift, result.pair_layer, result.pair_normalized)
    boxes: list[Box] = []
    for number, (method, found) in enumerate(zip(METHODS, pairs, strict=True)):
        left = MARGIN + number * (_PAIR + room)
        right = int(found[:, 4].sum())
        text = f"{method}: {len(found)} {'match' if len(found) == 1 else 'matches'}, {right} right"
        if len(found) > _DRAWN:
            found = found[np.linspace(0, len(found) - 1, _DRAWN).round().astype(np.intp)]
            text += f"; {_DRAWN} drawn"
        canvas.text(left, top + 22, text, style.CAPTION, METHODS[method])
        upper: Box = (left, top + 32, wide, high)
        lower: Box = (left, top + 32 + high + 14, wide, high)
        boxes += [upper, lower]
        canvas.image(result.image, upper, smooth=True)
        canvas.image(result.warped, lower, smooth=True)
        ends = _ends(found, upper, lower, zoom)
        for name, colour, some in (("wrong", WRONG, found[:, 4] == 0), ("right", RIGHT, found[:, 4] == 1)):
            lines = LineCollection(
                list(ends[some]), colors=colour, linewidths=0.8 * _PEN, alpha=0.55, zorder=3, label=name
            )
            canvas.axes.add_collection(lines, autolim=False)
    canvas.frames(boxes)


def _ends(found: NDArray[np.float32], upper: Box, lower: Box, zoom: float) -> NDArray[np.float64]:
    """Return both ends (M, 2, 2) of each match's line, as x and y on the paper."""
    places = np.asarray(found[:, :4], dtype=np.float64) + 0.5
    first = np.stack([upper[0] + places[:, 1] * zoom, upper[1] + places[:, 0] * zoom], axis=1)
    second = np.stack([lower[0] + places[:, 3] * zoom, lower[1] + places[:, 2] * zoom], axis=1)
    return np.stack([first, second], axis=1)


def _strength(kind: str, strength: float) -> str:
    text = f"{abs(strength):g}" if strength >= 0 else f"{MINUS}{abs(strength):g}"
    return f"by {text}°" if kind == "rotation" else text
