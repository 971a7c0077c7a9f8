"""The picture of an occlusion: the image, the drop of the score over it, and the patch that matters most."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Header, as_array, bad_values, header
from netviz.paper.scales import Scale, peak
from netviz.paper.words import MINUS, TIMES
from netviz.questions.occlusion.result import OcclusionResult

_SIDE = 320
_LEAST = 150
_BETWEEN = 24
_OPACITY = 0.6
_UNDER = 3 * 14 + 6
_FILLS = {"mean": "the image's mean colour", "noise": "random colours", "zero": "0 in the network's units"}


def occlusion_figure(result: OcclusionResult) -> Figure:
    """Draw the image, the drop of the class score as a heat map over it, and the patch that lowers it most.

    Parameters
    ----------
    result : OcclusionResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, the image in grey with the map over it, and the
        image once more; the Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: OcclusionResult) -> Figure:
    width, height = _fit(result.image)
    column = max(width, _LEAST)
    paper = 2 * MARGIN + 3 * column + 2 * _BETWEEN
    values = np.asarray(result.map, dtype=np.float64)
    limit = peak(values) or 1.0
    scale = Scale(-limit, limit, "diverging", False)
    head = _header(result, scale, paper)
    canvas = Canvas(paper, head.height + height + _UNDER + MARGIN)
    head.draw(canvas)
    top = head.height
    boxes: list[Box] = [(MARGIN + number * (column + _BETWEEN), top, width, height) for number in range(3)]
    small = width < result.image.shape[1]
    canvas.image(result.image, boxes[0], smooth=small)
    canvas.image(_grey(result.image), boxes[1], smooth=small)
    heat = canvas.image(as_array(values), boxes[1], style.colour_map(scale.colours), (scale.low, scale.high))
    heat.set_alpha(_OPACITY)
    canvas.image(result.image, boxes[2], smooth=small)
    canvas.frames(boxes)
    up, left, down, right = result.worst
    across, along = width / result.image.shape[1], height / result.image.shape[0]
    patch = (boxes[2][0] + left * across, top + up * along, (right - left) * across, (down - up) * along)
    canvas.frames([patch], colour=style.PAPER, line=4.0, out=0.0)
    canvas.frames([patch], colour=style.INK, line=2.0, out=0.0)

    row, col = np.unravel_index(int(np.argmax(result.drops)), result.drops.shape)
    image_height, image_width = result.image.shape[:2]
    notes = (
        (result.image_name, f"{image_width}{TIMES}{image_height} pixels, as the network saw it"),
        ("drop of the score", "at each pixel, the mean over the patches that cover it"),
        (
            "most harmful patch",
            f"rows {up}–{down - 1}, columns {left}–{right - 1}: score {words.number(result.score)} falls to "
            f"{words.number(result.score - float(result.drops[row, col]))}"
            if result.drops[row, col] > 0
            else "no patch lowers the score",
        ),
    )
    for box, (name, note) in zip(boxes, notes, strict=True):
        y = top + height + 16
        canvas.text(box[0], y, words.shorten(name, column, style.CAPTION), style.CAPTION)
        for line in words.wrap([note], column, style.LABEL)[:2]:
            y += 14
            canvas.text(box[0], y, line, style.LABEL, style.MUTED)
    return canvas.figure


def _fit(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the width and height at which each panel is drawn."""
    height, width = image.shape[:2]
    factor = _SIDE / max(height, width)
    if factor > 1:
        factor = max(1.0, float(int(factor)))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image in grey, lightened: colour is left to the map over it."""
    grey = image.astype(np.float64) @ np.array((0.299, 0.587, 0.114))
    return np.repeat(np.rint(grey)[..., None], 3, axis=2).astype(np.uint8)


def _header(result: OcclusionResult, scale: Scale, paper: int) -> Header:
    label = result.label or f"class {result.class_index}"
    number = f" (class {result.class_index})" if result.label else ""
    title = [result.network, f"occlusion of {label}", result.image_name]
    count = result.drops.size
    caption = [
        f"{label}{number}{', the predicted class' if result.predicted else ''}",
        f"score {words.number(result.score)} ({result.score_of})",
        f"patch {result.patch}{TIMES}{result.patch}, stride {result.stride}: {words.counted(count, 'place')}",
        f"filled with {_FILLS.get(result.fill, result.fill)}"
        + (f", seed {result.seed}" if result.fill == "noise" else ""),
        *bad_values(int(np.count_nonzero(~np.isfinite(result.map)))),
    ]
    ticks = [(value, words.number(value)) for value in (scale.low, 0.0, scale.high)]
    note = [
        "score drop, clean minus covered",
        "red: covering it lowers the score",
        "blue: covering it raises it",
        f"drawn at {_OPACITY:.0%} over the grey image".replace("-", MINUS),
    ]
    return header(title, caption, scale, ticks, note, paper)
