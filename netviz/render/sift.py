"""The picture of SIFT beside a layer."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Box, Canvas, Header, header, layer_name
from netviz.render.scales import Scale, peak
from netviz.render.sift_glyphs import bars, glyphs, mark_keypoint, pale
from netviz.render.sift_stages import HEIGHT, draw_stages, strip_width
from netviz.render.words import MINUS
from netviz.results import SiftResult

_IMAGE: Final = 384
_BETWEEN: Final = 30
_PATCH: Final = 100
_SPACE: Final = 12
_NUMBER: Final = 22
_COLUMN: Final = 30
_HEAD: Final = 44
_GROUPS: Final = 2


def sift_figure(result: SiftResult) -> Figure:
    """Draw the keypoints, both ways of describing stage by stage, and the descriptors of every keypoint.

    Parameters
    ----------
    result : SiftResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels: the image, the stages' tiles, then for each keypoint its patch twice,
        the second bleached under the arrows (collections labelled ``"glyphs"``), and the layer's values as two
        collections labelled ``"bars"``. The Axes labelled ``"scale"`` is the colour bar of the stages.
    """
    with style.style():
        return _draw(result)


def _draw(result: SiftResult) -> Figure:
    paper = 2 * MARGIN + _IMAGE + _BETWEEN + strip_width()
    head = _header(result, paper)
    height, width = result.image.shape[:2]
    zoom = _IMAGE / max(height, width)
    box: Box = (MARGIN, head.height, round(width * zoom), round(height * zoom))
    top = head.height + int(max(box[3] + 34, HEIGHT))
    count = len(result.keypoints)
    groups = min(_GROUPS, count)
    rows = -(-count // groups)
    canvas = Canvas(paper, top + _HEAD + rows * (_PATCH + _SPACE) + MARGIN)
    head.draw(canvas)
    _image(canvas, result, box)
    draw_stages(canvas, result, MARGIN + _IMAGE + _BETWEEN, head.height - 4)
    room = (paper - 2 * MARGIN - (_GROUPS - 1) * _COLUMN) / _GROUPS
    for group in range(groups):
        left = MARGIN + group * (room + _COLUMN)
        _headings(canvas, result, left, top, room)
        for row in range(rows):
            number = group * rows + row
            if number < count:
                _keypoint(canvas, result, number, left, top + _HEAD + row * (_PATCH + _SPACE), room)
    return canvas.figure


def _image(canvas: Canvas, result: SiftResult, box: Box) -> None:
    shape = result.image.shape[0], result.image.shape[1]
    canvas.image(result.image, box, smooth=box[3] < shape[0])
    canvas.frames([box])
    for number in reversed(range(len(result.keypoints))):
        mark_keypoint(
            canvas,
            box,
            shape,
            result.keypoints[number],
            6 * float(result.scales[number]),
            float(result.orientations[number]),
            str(number + 1),
        )
    y = box[1] + box[3] + 15
    count = len(result.keypoints)
    lines = words.wrap(
        [
            f"{count} of {result.found} keypoints: circle in the square of the 4×4 cells, line along the orientation"
        ],
        _IMAGE,
        style.LABEL,
    )
    for line in lines:
        canvas.text(box[0], y, line, style.LABEL, style.MUTED, va="baseline")
        y += 13


def _columns(room: float) -> tuple[float, float, float, float, float]:
    """Return where patch, arrows and both rows of bars begin, and how wide bars are."""
    patch = float(_NUMBER)
    arrows = patch + _PATCH + _SPACE
    raw = arrows + _PATCH + _SPACE + 4
    wide = (room - raw - _SPACE) / 2
    return patch, arrows, raw, raw + wide + _SPACE, wide


def _limits(result: SiftResult) -> tuple[float, float, float]:
    """Return the values at full length: of an arrow, of a raw bar, of a normalized bar."""
    return (
        peak(result.descriptors) or 1.0,
        peak(result.layer_raw) or 1.0,
        peak(result.layer_normalized) or 1.0,
    )


def _headings(canvas: Canvas, result: SiftResult, left: float, top: float, room: float) -> None:
    patch, arrows, raw, normalized, wide = _columns(room)
    longest, high, high_normalized = _limits(result)
    signed = [
        "±" if bool((values < 0).any()) else "0 … " for values in (result.layer_raw, result.layer_normalized)
    ]
    name = result.alias or result.layer
    for x, space, heading, note in (
        (patch, _PATCH + _SPACE, "patch", "orientation: down"),
        (arrows, _PATCH + _SPACE, "SIFT, 4×4×8", f"cell's edge: {words.number(longest)}"),
        (raw, wide, f"{name}, raw", f"{result.channels} units, {signed[0]}{words.number(high)}"),
        (
            normalized,
            wide,
            "normalized",
            f"{result.channels} units, {signed[1]}{words.number(high_normalized)}",
        ),
    ):
        canvas.text(
            left + x,
            top + 14,
            words.shorten(heading, space - 4, style.CAPTION, bold=True),
            style.CAPTION,
            weight="bold",
            va="baseline",
        )
        text = words.shorten(note, space - 2, style.SMALL)
        canvas.text(left + x, top + 29, text, style.SMALL, style.MUTED, va="baseline")


def _keypoint(canvas: Canvas, result: SiftResult, number: int, left: float, top: float, room: float) -> None:
    patch, arrows, raw, normalized, wide = _columns(room)
    longest, high, high_normalized = _limits(result)
    canvas.text(left, top + 12, str(number + 1), style.CAPTION, weight="bold", va="baseline")
    if result.clamped[number]:
        canvas.text(left, top + 28, "*", style.CAPTION, va="baseline")
    pictures: list[Box] = [(left + x, top, _PATCH, _PATCH) for x in (patch, arrows)]
    canvas.image(result.patches[number], pictures[0])
    canvas.image(pale(result.patches[number]), pictures[1])
    glyphs(canvas, pictures[1], result.descriptors[number], longest)
    boxes: list[Box] = [(left + x, top, wide, _PATCH) for x in (raw, normalized)]
    every = (result.layer_raw, result.layer_normalized)
    for box, values, limit in zip(boxes, every, (high, high_normalized), strict=True):
        bars(canvas, box, values[number].astype(np.float64), limit, bool((values < 0).any()))
    canvas.frames([*pictures, *boxes])


def _header(result: SiftResult, paper: int) -> Header:
    scale = Scale(-1.0, 1.0, "diverging", True)
    title = [
        result.network,
        "SIFT beside " + layer_name(result.layer, result.alias, result.layer_kind),
        result.image_name,
    ]
    clamped = int(result.clamped.sum())
    caption = [
        "the same steps twice: oriented filters, pooling over places, normalization",
        "the largest keypoints, kept apart where there are enough, one for each place",
        "arrows point from each cell's middle to where it grows brighter",
        "one scale for all keypoints",
    ]
    if clamped:
        caption.append(
            f"*: {words.counted(clamped, 'keypoint')} beyond the layer's outermost positions, read at the border"
        )
    ticks = [(-1.0, f"{MINUS}max"), (0.0, "0"), (1.0, "max")]
    note = ["the tiles of the stages", "max is the largest absolute value of the stage, written under it"]
    return header(title, caption, scale, ticks, note, paper)
