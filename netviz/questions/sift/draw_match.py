"""The picture of how well SIFT and a layer find places again."""

from typing import Any, Final

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import page, style, words
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
_USUAL: Final = 2 * MARGIN + _TICKS + 4 * _PANEL[0] + 3 * _SPACE + 74
_LOW: Final = 110
"""How high a curve is that shares a narrower page with another."""
_ABREAST: Final = 220
"""How wide an image is at least that shares a narrower page with two others."""
_SUMS: Final = 34
"""Height of a row of the narrower table: a share, and below it the two numbers that it comes from."""
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
    if page.widest() < _USUAL:
        return _stacked(result, page.widest())
    paper = _USUAL
    head = _head(result, paper)
    top = head.height + 4
    table = top + _PANEL[1] + 92
    kinds = _kinds_of(result)
    pairs = table + 40 + _TABLE_LINE * len(kinds) + 26
    wide, high = fit(result.image.shape, _PAIR, whole=False, room=_PAIR)
    canvas = Canvas(paper, pairs + 40 + 2 * high + 14 + MARGIN)
    head.draw(canvas)
    for number, kind in enumerate(_KINDS):
        left = MARGIN + _TICKS + number * (_PANEL[0] + _SPACE)
        ends = _curve(canvas, result, kind, (left, top + 22, *_PANEL))
        for method, percent in _apart(ends).items():
            y = top + 22 + _PANEL[1] * (1 - percent / 100)
            canvas.text(left + _PANEL[0] + 9, y, method, style.LABEL, METHODS[method], va="center")
    _table(canvas, result, kinds, MARGIN, table)
    _legend(
        canvas,
        MARGIN + _pair_heading(canvas, result, MARGIN, pairs, "the image above, its warp below"),
        pairs,
    )
    step = _PAIR + (canvas.width - 2 * MARGIN - 3 * _PAIR) / 2
    for number, (method, found) in enumerate(_methods(result)):
        x = MARGIN + number * step
        canvas.text(x, pairs + 22, f"{method}: {_told(found)}", style.CAPTION, METHODS[method])
        first: Box = (x, pairs + 32, wide, high)
        _pair(canvas, result, found, first, (x, pairs + 32 + high + 14, wide, high))
    return canvas.figure


def _stacked(result: MatchResult, paper: int) -> Figure:
    """Draw the same on a narrower page: two curves abreast, a table of shares, each image beside its warp."""
    head = _head(result, paper)
    room = paper - 2 * MARGIN
    kinds = _kinds_of(result)
    panel = (room - 2 * _TICKS - _BETWEEN) // 2, _LOW
    line = panel[1] + 74
    top = head.height + 24
    table: float = top + 2 * line + 10
    pairs = table + 40 + _SUMS * len(kinds) + 16
    abreast = (room - 2 * _BETWEEN) // 3 >= _ABREAST
    side = min(_PAIR, (room - 2 * _BETWEEN) // 3 if abreast else (room - 14) // 2)
    # A page that is too high for its letters makes pictures smaller, but not these: they fill its width.
    wide, high = fit(result.image.shape, 9 * _PAIR, whole=False, room=side)
    where = "the image above, its warp below" if abreast else "the image, and its warp beside it"
    heading = words.wrap([_pair_words(result, where)], room, style.CAPTION, bold=True, whole=False)
    first = int(pairs) + 18 * len(heading) + 22
    end: float = first + 2 * high + 22 if abreast else first + 3 * (high + 32) - 24
    canvas = Canvas(paper, int(end) + MARGIN)
    head.draw(canvas)
    x = float(MARGIN)
    for method, colour in METHODS.items():
        canvas.text(x, head.height + 4, method, style.CAPTION, colour, weight="bold")
        x += words.width(method, style.CAPTION, bold=True) + 20
    for number, kind in enumerate(_KINDS):
        down, across = divmod(number, 2)
        left = MARGIN + _TICKS + across * (panel[0] + _TICKS + _BETWEEN)
        _curve(canvas, result, kind, (left, top + 22 + down * line, *panel))
    _shares(canvas, result, kinds, table)
    for number, text in enumerate(heading):
        canvas.heading(MARGIN, pairs + 18 * number, text)
    _legend(canvas, MARGIN, first - 22)
    for number, (method, found) in enumerate(_methods(result)):
        left = MARGIN + number * (wide + _BETWEEN) if abreast else MARGIN
        above = first if abreast else first + number * (high + 32)
        canvas.text(left, above, f"{method}: {_told(found)}", style.SMALL, METHODS[method])
        upper: Box = (left, above + 8, wide, high)
        lower: Box = (left, above + 22 + high, wide, high)
        beside: Box = (paper - MARGIN - wide, above + 8, wide, high)
        _pair(canvas, result, found, upper, lower if abreast else beside)
    return canvas.figure


def _head(result: MatchResult, paper: int) -> Head:
    name = layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked)
    title = [
        result.network,
        f"matching by SIFT and by {name}",
        result.image_name,
    ]
    return Head.of(title, _caption(result), paper, warnings=result.doubts)


def _kinds_of(result: MatchResult) -> list[str]:
    return list(dict.fromkeys(total["kind"] for total in result.totals))


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


def _curve(canvas: Canvas, result: MatchResult, kind: str, box: Box) -> dict[str, float]:
    """Draw one kind of warp, a line for each method; return where each line ends."""
    left, top, wide, high = box
    axes = canvas.add_chart(box, kind)
    heading, unit = _KINDS[kind]
    canvas.heading(left - _TICKS, top - 12, heading)
    canvas.text(left + wide / 2, top + high + 36, unit, style.SMALL, style.MUTED, ha="center", room=wide + 60)
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
    axes.set_xticks(shown, _names(shown, wide))
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="y", color=style.FRAME, linewidth=0.6)
    axes.set_axisbelow(True)
    return ends


def _names(values: list[float], wide: float) -> list[str]:
    """Return what stands at the ticks of an axis, without those that would touch the one before."""
    names = [words.number(value) for value in values]
    scale = 0.9 * wide / (values[-1] - values[0]) if len(values) > 1 else 0.0
    end = -np.inf
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        half = words.width(name, style.SMALL) / 2
        if value * scale - half < end + 2:
            names[number] = ""
        else:
            end = value * scale + half
    return names


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


def _shares(canvas: Canvas, result: MatchResult, kinds: list[str], top: float) -> None:
    """Write the same on a narrower page: each method's precision, and below it right ones of matches."""
    room = canvas.width - 2 * MARGIN
    each = room / (1.3 + len(METHODS))
    canvas.heading(MARGIN, top, "all warps of a kind together")
    ends = {method: canvas.width - MARGIN - each * at for at, method in enumerate(reversed(METHODS))}
    for method, colour in METHODS.items():
        canvas.text(ends[method], top + 20, method, style.LABEL, colour, ha="right", weight="bold")
    by = {(total["kind"], total["method"]): total for total in result.totals}
    lines: list[tuple[Box, str]] = []
    for row, kind in enumerate(kinds):
        y = top + 40 + row * _SUMS
        bold: dict[str, Any] = {"weight": "bold"} if kind == "all" else {}
        lines.append(((MARGIN, y - 14, MARGIN + room, y - 14), style.FRAME))
        some = by[kind, "SIFT"]
        canvas.text(MARGIN, y, f"{kind} ({words.counted(some['warps'], 'warp')})", style.LABEL, **bold)
        canvas.text(MARGIN, y + 14, f"{some['matchable']} matchable", style.SMALL, style.MUTED)
        for method, x in ends.items():
            total = by[kind, method]
            share = "–" if total["precision"] is None else f"{100 * total['precision']:.1f} %"
            canvas.text(x, y, share, style.LABEL, ha="right", **bold)
            counted = f"{total['right']} of {total['matches']}"
            canvas.text(x, y + 14, counted, style.SMALL, style.MUTED, ha="right")
    canvas.lines(lines)


def _methods(result: MatchResult) -> list[tuple[str, NDArray[np.float32]]]:
    """Return the drawn pair's matches by each method."""
    return list(zip(METHODS, (result.pair_sift, result.pair_layer, result.pair_normalized), strict=True))


def _pair_words(result: MatchResult, where: str) -> str:
    return f"matches for {result.pair_kind} {_strength(result.pair_kind, result.pair_strength)}: {where}"


def _pair_heading(canvas: Canvas, result: MatchResult, left: float, top: float, where: str) -> float:
    """Write what the pairs are; return how long that is."""
    heading = _pair_words(result, where)
    canvas.heading(left, top, heading)
    return words.width(heading, style.CAPTION, bold=True) + 20


def _legend(canvas: Canvas, x: float, top: float) -> None:
    for name, colour in (("right", RIGHT), ("wrong", WRONG)):
        canvas.lines([((x, top - 4, x + 18, top - 4), colour)], 2.0)
        canvas.text(x + 24, top, name, style.CAPTION)
        x += 74


def _told(found: NDArray[np.float32]) -> str:
    """Count matches."""
    text = f"{len(found)} {'match' if len(found) == 1 else 'matches'}, {int(found[:, 4].sum())} right"
    return f"{text}; {_DRAWN} drawn" if len(found) > _DRAWN else text


def _pair(canvas: Canvas, result: MatchResult, found: NDArray[np.float32], first: Box, second: Box) -> None:
    """Draw the image and the warped one, and lines between what matches."""
    if len(found) > _DRAWN:
        found = found[np.linspace(0, len(found) - 1, _DRAWN).round().astype(np.intp)]
    canvas.image(result.image, first, smooth=True)
    canvas.image(result.warped, second, smooth=True)
    ends = _ends(found, first, second, first[2] / result.image.shape[1])
    for name, colour, some in (("wrong", WRONG, found[:, 4] == 0), ("right", RIGHT, found[:, 4] == 1)):
        lines = LineCollection(
            list(ends[some]), colors=colour, linewidths=0.8 * _PEN, alpha=0.55, zorder=3, label=name
        )
        canvas.axes.add_collection(lines, autolim=False)
    canvas.frames([first, second])


def _ends(found: NDArray[np.float32], upper: Box, lower: Box, zoom: float) -> NDArray[np.float64]:
    """Return both ends (M, 2, 2) of each match's line, as x and y on the paper."""
    places = np.asarray(found[:, :4], dtype=np.float64) + 0.5
    first = np.stack([upper[0] + places[:, 1] * zoom, upper[1] + places[:, 0] * zoom], axis=1)
    second = np.stack([lower[0] + places[:, 3] * zoom, lower[1] + places[:, 2] * zoom], axis=1)
    return np.stack([first, second], axis=1)


def _strength(kind: str, strength: float) -> str:
    text = f"{abs(strength):g}" if strength >= 0 else f"{MINUS}{abs(strength):g}"
    return f"by {text}°" if kind == "rotation" else text
