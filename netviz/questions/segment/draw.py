"""The picture of a segmentation by a unit: the image, the unit's map over it, and the part above the threshold."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Header, as_array, bad_values, header, layer_name
from netviz.paper.regions import OUTLINE, draw_edges, edges, fitted, grey, outside_pale
from netviz.paper.scales import Pixels, Scale, finite_range
from netviz.paper.words import TIMES
from netviz.questions.segment.result import SegmentResult

_SIDE: Final = 340
_LEAST: Final = 190
_BETWEEN: Final = 24
_OPACITY: Final = 0.65
_UNDER: Final = 4 * 14 + 8
_LINE: Final = 1.6


def segment_figure(result: SegmentResult) -> Figure:
    """Draw the image, the unit's map as heat over it, and the image with the mask outlined.

    Parameters
    ----------
    result : SegmentResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, the image in grey with the heat over what the
        network was shown, and the image bleached outside of the mask; the Axes labelled ``"scale"`` is the
        colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: SegmentResult) -> Figure:
    shape = (result.image.shape[0], result.image.shape[1])
    width, height = fitted(shape, _SIDE)
    column = max(width, _LEAST)
    paper = 2 * MARGIN + 3 * column + 2 * _BETWEEN
    scale = _scale(result)
    head = _header(result, scale, paper)
    canvas = Canvas(paper, head.height + height + _UNDER + MARGIN)
    head.draw(canvas)
    top = head.height
    boxes: list[Box] = [(MARGIN + number * (column + _BETWEEN), top, width, height) for number in range(3)]
    small = width < shape[1]
    above, before, below, after = result.shown_box
    seen = np.zeros(shape, dtype=np.bool_)
    seen[above:below, before:after] = True
    canvas.image(outside_pale(result.image, seen), boxes[0], smooth=small)
    canvas.image(outside_pale(grey(result.image), seen), boxes[1], smooth=small)
    across, down = width / shape[1], height / shape[0]
    left = boxes[1][0]
    part = (left + before * across, top + above * down, (after - before) * across, (below - above) * down)
    heat = canvas.image(
        as_array(result.heat[above:below, before:after]),
        part,
        style.colour_map(scale.colours),
        (scale.low, scale.high),
        smooth=small,
    )
    heat.set_alpha(_OPACITY)
    canvas.image(_masked(result, seen), boxes[2], smooth=small)
    canvas.frames(boxes)
    if not seen.all():
        for box in boxes:
            draw_edges(canvas, edges(seen), box, shape, style.FAINT, 1.0)
    lines = edges(result.mask)
    for box in boxes[1:]:
        draw_edges(canvas, lines, box, shape, OUTLINE[0], _LINE, halo=OUTLINE[1])
    for box, (name, note) in zip(boxes, _notes(result), strict=True):
        y = top + height + 16
        canvas.text(box[0], y, words.shorten(name, column, style.CAPTION), style.CAPTION)
        for line in words.wrap([note], column, style.LABEL)[:3]:
            y += 14
            canvas.text(box[0], y, line, style.LABEL, style.MUTED)
    return canvas.figure


def _masked(result: SegmentResult, seen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Pixels:
    """Return the image bleached outside of the mask; of an empty mask, outside of what the network was shown."""
    return outside_pale(result.image, result.mask if result.mask.any() else seen)


def _scale(result: SegmentResult) -> Scale:
    """Return the scale of the heat: it holds the raw map and the threshold."""
    low, high = finite_range(np.append(result.map, np.float32(result.threshold)))
    if low < 0:
        limit = max(-low, high)
        return Scale(-limit, limit, "diverging", False)
    return Scale(0.0, high or 1.0, "sequential", False)


def _header(result: SegmentResult, scale: Scale, paper: int) -> Header:
    rows, columns = result.map.shape
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind),
        f"unit {result.unit}",
        result.image_name,
    ]
    caption = [
        f"threshold {words.number(result.threshold)}: {_threshold(result)}",
        f"map {rows}{TIMES}{columns} (H{TIMES}W), brought to the image between the centres of what its positions see",
        *bad_values(int(np.count_nonzero(~np.isfinite(result.map)))),
    ]
    middle = 0.0 if scale.low < 0 else scale.high / 2
    ticks = [(value, words.number(value)) for value in (scale.low, middle, scale.high)]
    note = [
        "response of the unit",
        "white is 0, red positive, blue negative" if scale.low < 0 else "black is 0, brighter is more",
        f"drawn at {_OPACITY:.0%} over the grey image",
        "yellow line: the threshold",
    ]
    return header(title, caption, scale, ticks, note, paper)


def _threshold(result: SegmentResult) -> str:
    """Say where the threshold comes from."""
    if result.threshold_of == "fraction":
        return f"{100 * result.level:g} % of the map's maximum on this image"
    looked = f"{result.positions:,} positions"
    if result.samples < result.positions:
        looked = f"{result.samples:,} of {looked}"
    return (
        f"the unit's {result.level:g} quantile over {looked} of {words.counted(result.images, 'image')} "
        f"({result.source})"
    )


def _notes(result: SegmentResult) -> tuple[tuple[str, str], ...]:
    height, width = result.image.shape[:2]
    peak = float(np.max(result.map))
    size = f"{width}{TIMES}{height} pixels"
    seen = (
        "all shown to the network"
        if result.shown == 1
        else (f"pale: {100 * (1 - result.shown):.0f} % not shown to it")
    )
    if result.mask.any():
        # Of a few pixels a whole number would say nothing.
        covered = f"{100 * result.share:.2g}" if result.share < 0.1 else f"{100 * result.share:.0f}"
        mask = f"{covered} % of the image, {int(result.mask.sum()):,} pixels"
    else:
        mask = f"nothing: the unit stays below its threshold here (at most {words.number(peak)})"
    field = TIMES.join(f"{side:g}" for side in result.field_size)
    most = "at most " if result.field_status == "upper_bound" else ""
    step = f"{result.field_stride[0]:g}"
    if result.field_stride[0] != result.field_stride[1]:
        step += f"{TIMES}{result.field_stride[1]:g}"
    return (
        (result.image_name, f"{size}, {seen}"),
        (
            f"response, largest {words.number(peak)}",
            f"a position every {step} pixels of the network's input; it sees {most}{field} of them",
        ),
        ("above the threshold" if result.threshold_of == "quantile" else "at the threshold or above", mask),
    )
