"""The picture of a minimal image: its segments, what went when, the score on the way, and what is left.

And of many: the share that each class needs, and images beside what suffices of them.
"""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, Panels, fit, seen_size
from netviz.paper.regions import OUTLINE, draw_edges, edges, grey, over_grey
from netviz.paper.scales import Pixels, Scale, colourise
from netviz.questions.minimal.result import MinimalResult, MinimalSetResult

_CHANGED: Final = "#cf222e"
"""The removal that changes the prediction."""
_CURVE: Final = "#0969da"
_SIDE: Final = 296
_LEAST: Final = 256
_UNDER: Final = 3 * 14 + 12
_STEPS: Final = 8
_LEAST_STEP: Final = 84
_GAP: Final = 12
_STEP_TEXT: Final = 3 * 13 + 12
_CHART: Final = 230
_OPACITY: Final = 0.75

_FILLS: Final = {
    "blur": "the image blurred by a Gaussian of {blur:g} pixels",
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
    width, height = fit(shape, _SIDE, whole=False)
    panels = Panels((width, height), 3, max(width, _LEAST), 24, below=_UNDER)
    paper = panels.paper
    count = max(2, min(_STEPS, (paper - 2 * MARGIN + _GAP) // (_LEAST_STEP + _GAP)))
    step = (paper - 2 * MARGIN - (count - 1) * _GAP) // count
    small = fit(shape, step, room=step)
    last = float(max(len(result.order), 1))
    scale = Scale(0.0, last, "sequential", False, ((0.0, "first"), (last, "last")))
    head = _header(result, scale, paper)
    steps = head.height + panels.height(3) + 10
    chart = steps + small[1] + _STEP_TEXT + 26
    canvas = Canvas(paper, chart + _CHART + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(number, head.height) for number in range(3)]
    smooth = bool(width % shape[1] or height % shape[0])
    kept = ~np.isin(result.segments, result.order[: result.removed])
    for box, pixels in zip(boxes, (result.image, _order(result, kept), result.minimal), strict=True):
        canvas.image(pixels, box, smooth=smooth)
    canvas.frames(boxes)
    draw_edges(canvas, edges(result.segments, border=False), boxes[0], shape, OUTLINE[0], 0.7)
    draw_edges(canvas, edges(kept), boxes[1], shape, OUTLINE[0], 1.4, halo=OUTLINE[1])
    for box, (name, note) in zip(boxes, _notes(result), strict=True):
        panels.write_below(canvas, box, name, [note], 2)
    _draw_steps(canvas, result, shown_steps(result, count), (MARGIN, steps), step, small)
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


def shown_steps(result: MinimalResult, count: int = _STEPS) -> list[int]:
    """Return after how many removals the image is shown: evenly to the minimal image, then the one too many."""
    even = (
        np.rint(np.linspace(0, result.removed, count - 1 if result.flipped else count)).astype(int).tolist()
    )
    return list(dict.fromkeys([*even, *([len(result.order)] if result.flipped else [])]))


def _draw_steps(
    canvas: Canvas,
    result: MinimalResult,
    shown: list[int],
    corner: tuple[float, float],
    room: int,
    size: tuple[int, int],
) -> None:
    boxes: list[Box] = []
    top = corner[1]
    for place, steps in enumerate(shown):
        left = corner[0] + place * (room + _GAP)
        box = (left, top, size[0], size[1])
        canvas.image(result.after(steps), box)
        boxes.append(box)
        score = result.score if not steps else float(result.scores[steps - 1])
        changed = result.flipped and steps == len(result.order)
        first = "whole image" if not steps else f"{steps} removed"
        last = result.end_name if changed else "minimal" if steps == result.removed else ""
        y = top + size[1] + 14
        for line, colour in (
            (first, style.INK),
            (f"score {words.number(score)}", style.MUTED),
            (last, _CHANGED if changed else style.INK),
        ):
            canvas.text(left, y, line, style.LABEL, colour, room=room)
            y += 13
        if changed:
            canvas.frames([box], colour=_CHANGED, line=2.0, out=1.0)
    canvas.frames(boxes)


def _draw_curve(canvas: Canvas, result: MinimalResult, box: Box) -> Axes:
    """Draw the class's score after each removal."""
    left, top, width, height = box
    heading = f"score of {result.name} after each removal ({result.score_of})"
    canvas.heading(left, top + 4, heading, width)
    axes = canvas.add_chart((left + 46, top + 40, width - 46 - 12, height - 40 - 38), "chart")
    scores = np.append(result.score, result.scores)
    places = np.arange(len(scores))
    axes.plot(
        places, scores, color=_CURVE, linewidth=1.3, marker="o", markersize=2.6, label="score", zorder=2
    )
    axes.axhline(result.score, color=style.FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlim(-0.01 * len(scores), (len(scores) - 1) * 1.01 + 0.01)
    low, high = float(scores.min()), float(scores.max())
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("segments removed", fontsize=style.LABEL, color=style.MUTED, labelpad=3)
    if result.flipped:
        axes.axvline(result.removed, color=style.INK, linewidth=0.9, zorder=1, label="minimal image")
        axes.plot(
            places[-1:], scores[-1:], "X", color=_CHANGED, markersize=8, markeredgecolor=style.PAPER,
            label="prediction changes", zorder=4,
        )  # fmt: skip
    colour = _CHANGED if result.flipped else style.MUTED
    end, dashed = _end(result), "dashed: the whole image"
    together = sum(words.width(one, style.LABEL) for one in (end, dashed)) + 20 < width - 46 - 12
    canvas.text(left + 46, top + 24, dashed, style.LABEL, style.MUTED)
    # Where both are too long for one line, the other stands below the axis.
    y, size = (top + 24, style.LABEL) if together else (top + height + 8, style.SMALL)
    canvas.text(left + width - 12, y, end, size, colour, room=width - 12, ha="right")
    return axes


def _end(result: MinimalResult) -> str:
    """Say how it ends."""
    if result.flipped:
        return f"line: the minimal image, {result.removed} removed; without the next one: {result.end_name}"
    return f"the prediction stays {result.end_name} with every segment removed"


def _header(result: MinimalResult, scale: Scale, paper: int) -> Head:
    title = [result.network, f"minimal image of {result.name}", result.image_name]
    number = f" (class {result.class_index})" if result.label else ""
    caption = [
        f"{result.name}{number} is predicted, score {words.number(result.score)} ({result.score_of})",
        f"{result.count} segments by colour and place",
        "each time the one goes without which the score is highest",
        f"removed ones show {_FILLS.get(result.fill, result.fill).format(blur=result.blur)}",
        f"{result.evaluations:,} images judged",
    ]
    note = [
        "when a segment was removed",
        over_grey(_OPACITY),
        "in colour: what is kept",
    ]
    return Head.of(title, caption, paper, (scale, note), warnings=result.doubts)


def _notes(result: MinimalResult) -> tuple[tuple[str, str], ...]:
    left = result.count - result.removed
    if result.flipped:
        minimal = f"{words.counted(left, 'segment')} left; without the next: {result.end_name}"
    else:
        minimal = f"still {result.end_name} with every segment removed: the filling alone suffices"
    return (
        (result.image_name, seen_size(result.image)),
        ("order of removal", "outlined: what is kept"),
        (f"minimal image: {100 * result.share:.1f} % of the image", minimal),
    )


MOST_CLASSES: Final = 40
MOST_IMAGES: Final = 24
_WIDTH: Final = 1040
_LABEL: Final = 230
_ROW: Final = 20
_BAR: Final = 11
_NUMBER: Final = 150
_PAIRS: Final = 4
_SET_GAP: Final = 16
_TEXT: Final = 34
_SET_FILLS: Final = {"blur": "the image blurred", "mean": "the mean colour"}


def minimal_set_figure(result: MinimalSetResult) -> Figure:
    """Draw a bar for each class, the mean share that its images need, and pairs of an image and its minimal image.

    Parameters
    ----------
    result : MinimalSetResult

    Returns
    -------
    matplotlib.figure.Figure
        Its only Axes is the paper in pixels and holds the pairs as images.
    """
    with style.style():
        return _draw_set(result)


def _draw_set(result: MinimalSetResult) -> Figure:
    rows = result.by_class[:MOST_CLASSES]
    drawn = np.argsort(-result.share, kind="stable")[:MOST_IMAGES]
    side = result.images.shape[1]
    pair = 2 * side + 4
    lines = -(-len(drawn) // _PAIRS)
    head = _head(result)
    bars = head.height + 18
    pairs = bars + _ROW * len(rows) + 62
    canvas = Canvas(_WIDTH, pairs + lines * (side + _TEXT + 8) + MARGIN)
    head.draw(canvas)
    _draw_bars(canvas, result, bars)
    y = pairs - 14
    text = "images beside their minimal images, most needed share first"
    if len(drawn) < len(result.share):
        text += f": {len(drawn)} of {len(result.share)}"
    canvas.heading(MARGIN, y, text)
    between = (_WIDTH - 2 * MARGIN - _PAIRS * pair) / (_PAIRS - 1)
    frames: list[Box] = []
    for place, number in enumerate(drawn.tolist()):
        row, column = divmod(place, _PAIRS)
        left, top = MARGIN + column * (pair + between), pairs + row * (side + _TEXT + 8)
        for pixels, at in ((result.images[number], left), (result.minimals[number], left + side + 4)):
            frames.append((at, top, side, side))
            canvas.image(pixels, frames[-1])
        name = result.labels[number] or f"class {result.class_index[number]}"
        share = f"{100 * float(result.share[number]):.1f} %"
        room = pair - words.width(share, style.LABEL) - 8
        canvas.text(left, top + side + 13, name, style.LABEL, room=room)
        canvas.text(left + pair, top + side + 13, share, style.LABEL, ha="right")
        canvas.text(left, top + side + 25, result.names[number], style.SMALL, style.MUTED, room=pair)
    canvas.frames(frames)
    return canvas.figure


def _head(result: MinimalSetResult) -> Head:
    title = [result.network, f"minimal images of {words.counted(len(result.share), 'image')}"]
    caption = [
        f"on average {100 * result.mean_share:.1f} % of an image is needed",
        f"{len(result.by_class)} predicted {'class' if len(result.by_class) == 1 else 'classes'}",
        f"about {result.asked} segments, removed ones show {_SET_FILLS.get(result.fill, result.fill)}",
        f"score: {result.score_of}",
    ]
    if result.skipped:
        caption.append(f"{words.counted(len(result.skipped), 'image')} left out")
    return Head.of(title, caption, _WIDTH, warnings=result.doubts)


def _draw_bars(canvas: Canvas, result: MinimalSetResult, top: float) -> None:
    """Draw the mean share by class as bars, from 0 to 100 %, and every image as a tick on them."""
    rows = result.by_class[:MOST_CLASSES]
    left = MARGIN + _LABEL
    width = _WIDTH - MARGIN - _NUMBER - left
    heading = "share of the image that is needed, by predicted class: mean, and each image"
    if len(rows) < len(result.by_class):
        heading += f"; the first {len(rows)} of {len(result.by_class)} classes"
    canvas.heading(MARGIN, top - 6, heading)
    bottom = top + 8 + _ROW * len(rows)
    for percent in (0, 25, 50, 75, 100):
        x = left + width * percent / 100
        canvas.lines([((x, top + 4, x, bottom), style.FRAME)])
        canvas.text(x, bottom + 12, f"{percent} %", style.SMALL, style.MUTED, ha="center")
    for place, row in enumerate(rows):
        y = top + 8 + _ROW * place + (_ROW - _BAR) / 2
        canvas.axes.fill_between(
            [left, left + width * row["mean"]], y, y + _BAR, color=style.BAR, linewidth=0, zorder=2
        )
        own = result.share[result.class_index == row["class_index"]]
        marks = [left + width * float(share) for share in own]
        middle = y + _BAR / 2
        ticks = Line2D(
            marks, [middle] * len(marks), linestyle="none", marker="|", markersize=8, color=style.INK
        )
        ticks.set_zorder(3)
        canvas.axes.add_line(ticks)
        name = str(row["label"] or f"class {row['class_index']}")
        canvas.text(left - 8, middle, name, style.LABEL, room=_LABEL - 14, ha="right", va="center")
        text = f"{100 * row['mean']:.1f} %, {words.counted(row['images'], 'image')}"
        canvas.text(left + width + 12, middle, text, style.LABEL, style.MUTED, va="center")
