"""The picture of a minimal image: its segments, what went when, the score on the way, and what is left."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Box, Canvas, Header, header
from netviz.render.regions import OUTLINE, draw_edges, edges, fitted, grey
from netviz.render.scales import Pixels, Scale, colourise
from netviz.render.words import TIMES
from netviz.results import MinimalResult

CHANGED: Final = "#cf222e"
"""The removal that changes the prediction."""

CURVE: Final = "#0969da"

_SIDE: Final = 296
_LEAST: Final = 256
_BETWEEN: Final = 24
_UNDER: Final = 3 * 14 + 12
_STEPS: Final = 8
_GAP: Final = 12
_STEP_TEXT: Final = 3 * 13 + 12
_CHART: Final = 230
_OPACITY: Final = 0.75
_FILLS: Final = {
    "blur": "the image blurred by a Gaussian of {blur:g} pixels",
    "inpaint": "their surroundings, smoothly continued",
    "mean": "the image's mean colour",
}


def minimal_figure(result: MinimalResult) -> Figure:
    """Draw the segments, the order in which they went, the minimal image, steps on the way, and the score's curve.

    Parameters
    ----------
    result : MinimalResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, the order as colour, the minimal image, and then
        the steps; the Axes labelled ``"scale"`` is the colour bar, ``"chart"`` the curve (line ``"score"``).
    """
    with style.style():
        return _draw(result)


def _draw(result: MinimalResult) -> Figure:
    shape = (result.image.shape[0], result.image.shape[1])
    width, height = fitted(shape, _SIDE, whole=False)
    column = max(width, _LEAST)
    paper = 2 * MARGIN + 3 * column + 2 * _BETWEEN
    step = (paper - 2 * MARGIN - (_STEPS - 1) * _GAP) // _STEPS
    small = fitted(shape, step)
    scale = Scale(0.0, float(max(len(result.order), 1)), "sequential", False)
    head = _header(result, scale, paper)
    steps = head.height + height + _UNDER + 10
    chart = steps + small[1] + _STEP_TEXT + 26
    canvas = Canvas(paper, chart + _CHART + MARGIN)
    head.draw(canvas)
    boxes: list[Box] = [
        (MARGIN + number * (column + _BETWEEN), head.height, width, height) for number in range(3)
    ]
    smooth = bool(width % shape[1] or height % shape[0])
    kept = ~np.isin(result.segments, result.order[: result.removed])
    for box, pixels in zip(boxes, (result.image, _order(result, kept), result.minimal), strict=True):
        canvas.image(pixels, box, smooth=smooth)
    canvas.frames(boxes)
    draw_edges(canvas, edges(result.segments, border=False), boxes[0], shape, OUTLINE[0], 0.7)
    draw_edges(canvas, edges(kept), boxes[1], shape, OUTLINE[0], 1.4, halo=OUTLINE[1])
    for box, (name, note) in zip(boxes, _notes(result), strict=True):
        y = head.height + height + 16
        canvas.text(box[0], y, words.shorten(name, column, style.CAPTION), style.CAPTION, va="baseline")
        for line in words.wrap([note], column, style.LABEL)[:2]:
            y += 14
            canvas.text(box[0], y, line, style.LABEL, style.MUTED, va="baseline")
    _draw_steps(canvas, result, steps, step, small)
    _draw_curve(canvas, result, (MARGIN, chart, paper - 2 * MARGIN, _CHART))
    return canvas.figure


def _order(result: MinimalResult, kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Pixels:
    """Return the image with removed segments in the colour of when they went."""
    rank = np.zeros(int(result.segments.max()) + 1)
    rank[result.order] = (np.arange(len(result.order)) + 0.5) / max(len(result.order), 1)
    heat = colourise(rank[result.segments], "sequential").astype(np.float64)
    mixed = np.rint(heat * _OPACITY + grey(result.image) * (1 - _OPACITY)).astype(np.uint8)
    pixels: Pixels = np.where(kept[..., None], result.image, mixed)
    return pixels


def shown_steps(result: MinimalResult) -> list[int]:
    """Return after how many removals the image is shown: evenly to the minimal image, then the one too many."""
    count = _STEPS - 1 if result.flipped else _STEPS
    even = np.rint(np.linspace(0, result.removed, count)).astype(int).tolist()
    return list(dict.fromkeys([*even, *([len(result.order)] if result.flipped else [])]))


def _draw_steps(canvas: Canvas, result: MinimalResult, top: float, room: int, size: tuple[int, int]) -> None:
    boxes: list[Box] = []
    for place, steps in enumerate(shown_steps(result)):
        left = MARGIN + place * (room + _GAP)
        box = (left, top, size[0], size[1])
        canvas.image(result.after(steps), box, smooth=size[0] < result.image.shape[1])
        boxes.append(box)
        score = result.score if not steps else float(result.scores[steps - 1])
        changed = result.flipped and steps == len(result.order)
        first = "whole image" if not steps else f"{steps} removed"
        last = result.end_name if changed else "minimal" if steps == result.removed else ""
        y = top + size[1] + 14
        for line, colour in (
            (first, style.INK),
            (f"score {words.number(score)}", style.MUTED),
            (last, CHANGED if changed else style.INK),
        ):
            canvas.text(left, y, words.shorten(line, room, style.LABEL), style.LABEL, colour, va="baseline")
            y += 13
        if changed:
            canvas.frames([box], colour=CHANGED, line=2.0, out=1.0)
    canvas.frames(boxes)


def _draw_curve(canvas: Canvas, result: MinimalResult, box: Box) -> Axes:
    """Draw the class's score after each removal."""
    left, top, width, height = box
    heading = words.shorten(
        f"score of {result.name} after each removal ({result.score_of})", width, style.CAPTION, bold=True
    )
    canvas.text(left, top + 4, heading, style.CAPTION, weight="bold", va="baseline")
    inner = (left + 46, top + 40, width - 46 - 12, height - 40 - 38)
    axes = canvas.figure.add_axes(
        (inner[0] / canvas.width, 1 - (inner[1] + inner[3]) / canvas.height, inner[2] / canvas.width,
         inner[3] / canvas.height), label="chart",
    )  # fmt: skip
    scores = np.append(result.score, result.scores)
    places = np.arange(len(scores))
    axes.plot(places, scores, color=CURVE, linewidth=1.3, marker="o", markersize=2.6, label="score", zorder=2)
    axes.axhline(result.score, color=style.FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlim(-0.01 * len(scores), (len(scores) - 1) * 1.01 + 0.01)
    low, high = float(scores.min()), float(scores.max())
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(
        axis="both", labelsize=style.SMALL, labelcolor=style.MUTED, color=style.FAINT, width=0.6, length=3
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("segments removed", fontsize=style.LABEL, color=style.MUTED, labelpad=3)
    if result.flipped:
        axes.axvline(result.removed, color=style.INK, linewidth=0.9, zorder=1, label="minimal image")
        axes.plot(
            places[-1:], scores[-1:], "X", color=CHANGED, markersize=8, markeredgecolor=style.PAPER,
            label="prediction changes", zorder=4,
        )  # fmt: skip
    text = _end(result)
    canvas.text(
        left + width - 12, top + 24, words.shorten(text, width, style.LABEL), style.LABEL,
        CHANGED if result.flipped else style.MUTED, ha="right", va="baseline",
    )  # fmt: skip
    canvas.text(left + 46, top + 24, "dashed: the whole image", style.LABEL, style.MUTED, va="baseline")
    return axes


def _end(result: MinimalResult) -> str:
    """Say how it ends."""
    if result.flipped:
        return f"line: the minimal image, {result.removed} removed; without the next one: {result.end_name}"
    return f"the prediction stays {result.end_name} with every segment removed"


def _header(result: MinimalResult, scale: Scale, paper: int) -> Header:
    title = [result.network, f"minimal image of {result.name}", result.image_name]
    number = f" (class {result.class_index})" if result.label else ""
    caption = [
        f"{result.name}{number} is predicted, score {words.number(result.score)} ({result.score_of})",
        f"{result.count} segments by colour and place",
        "each time the one goes without which the score is highest",
        f"removed ones show {_FILLS.get(result.fill, result.fill).format(blur=result.blur)}",
        f"{result.evaluations:,} images judged",
    ]
    ticks = [(0.0, "first"), (scale.high, "last")]
    note = [
        "when a segment was removed",
        f"drawn at {_OPACITY:.0%} over the grey image",
        "in colour: what is kept",
    ]
    return header(title, caption, scale, ticks, note, paper)


def _notes(result: MinimalResult) -> tuple[tuple[str, str], ...]:
    height, width = result.image.shape[:2]
    share = f"{100 * result.share:.1f} % of the image"
    left = result.count - result.removed
    kept = f"{left} of {words.counted(result.count, 'segment')}"
    if result.flipped:
        minimal = f"{share}: {kept}; without the next: {result.end_name}"
    else:
        minimal = f"still {result.end_name} with every segment removed: the filling alone suffices"
    return (
        (result.image_name, f"{width}{TIMES}{height} pixels, as the network saw it; {result.count} segments"),
        ("order of removal", f"{len(result.order)} segments; outlined: what is kept"),
        (f"minimal image: {100 * result.share:.1f} %", minimal),
    )
