"""The picture of the comparison: dense pass, sliding window and regions side by side, and what each costs."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.fcn.dense.draw import OPACITY, clipped, draw_heat, draw_window, heat_scale, interpolated
from netviz.fcn.dense.result import CompareResult
from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Canvas, Head, Panels, fit, placed
from netviz.paper.regions import over_grey
from netviz.paper.scales import Scale
from netviz.paper.words import TIMES

_SIDE: Final = 360
_LEAST: Final = 230
_UNDER: Final = 3 * 14 + 26
_ROW: Final = 22
_OUTLINED: Final = 24
"""Up to how many regions are outlined, each."""
_COLUMNS: Final = (0, 430, 560, 700)


def compare_figure(result: CompareResult) -> Figure:
    """Draw one class's score by three ways over the image, and the table of what they cost.

    Parameters
    ----------
    result : CompareResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds three times the image in grey with heat over it, and the
        table; the Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: CompareResult) -> Figure:
    shape = (result.image.shape[0], result.image.shape[1])
    width, height = fit(shape, _SIDE)
    panels = Panels((width, height), 3, max(width, _LEAST), 24, below=_UNDER)
    every = np.concatenate([one.reshape(-1) for one in (result.dense, result.sliding, result.box_scores)])
    scale = heat_scale(every)
    head = _header(result, scale, panels.paper)
    table = head.height + panels.height(3)
    canvas = Canvas(panels.paper, table + (len(result.rows) + 1) * _ROW + 34 + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(at, head.height) for at in range(3)]
    for values, box in zip((result.dense, result.sliding), boxes, strict=False):
        heat, part = interpolated(values, result.center_y, result.center_x, result.stride, shape)
        draw_heat(canvas, result.image, heat, part, box, scale)
    draw_heat(
        canvas, result.image, result.regions.astype(np.float64), (0, 0, *shape), boxes[2], scale, clear=True
    )
    canvas.frames(boxes)
    for values, box in zip((result.dense, result.sliding), boxes, strict=False):
        row, col = np.unravel_index(int(np.nan_to_num(values, nan=-np.inf).argmax()), values.shape)
        top, left, tall, wide = result.window
        window = (top + int(row) * result.stride[0], left + int(col) * result.stride[1], tall, wide)
        draw_window(canvas, window, box, shape)
    if len(result.boxes) <= _OUTLINED:
        outlines = [
            placed(clipped((top, left, bottom - top, right - left), shape), boxes[2], shape)
            for top, left, bottom, right in result.boxes.tolist()
        ]
        canvas.frames(outlines, style.INK, 2.0, 0.0)
        canvas.frames(outlines, style.PAPER, 1.0, 0.0)
    top, left, bottom, right = result.boxes[
        int(np.nan_to_num(result.box_scores, nan=-np.inf).argmax())
    ].tolist()
    draw_window(canvas, (top, left, bottom - top, right - left), boxes[2], shape)
    cells = f"{result.dense.shape[1]}{TIMES}{result.dense.shape[0]}"
    crop = f"{result.crop[1]}{TIMES}{result.crop[0]}"
    notes = (
        ("one dense pass", f"{cells} cells (W{TIMES}H), highest {_highest(result.dense)}"),
        (
            "sliding window",
            f"the classifier on {result.sliding.size} crops of {crop}, highest {_highest(result.sliding)}",
        ),
        (
            "region by region",
            f"{words.counted(len(result.boxes), 'region')}{_outlined(result)} warped to {crop}, small over large, "
            f"highest {_highest(result.box_scores)}",
        ),
    )
    for box, (name, note) in zip(boxes, notes, strict=True):
        panels.write_below(canvas, box, name, [note], 3)
    _table(canvas, result, table)
    return canvas.figure


def _outlined(result: CompareResult) -> str:
    return ", outlined," if len(result.boxes) <= _OUTLINED else ""


def _highest(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    return words.number(float(np.fmax.reduce(values, axis=None)))


def _table(canvas: Canvas, result: CompareResult, top: float) -> None:
    """Draw what each way costs."""
    room = min(canvas.width - 2 * MARGIN, 760)
    places = [MARGIN + at * room / 760 for at in _COLUMNS]
    y = top + 14.0
    heads = ("one run", "evaluations", "seconds", f"{TIMES} dense pass")
    for place, text in zip(places, heads, strict=True):
        side = "left" if place == places[0] else "right"
        canvas.text(place, y, text, style.CAPTION, style.MUTED, ha=side)
    canvas.lines([((MARGIN, y + 6, places[-1], y + 6), style.FRAME)], 1.0)
    for name, count, seconds, ratio in result.rows:
        y += _ROW
        texts = (name, f"{count:,}", f"{seconds:.3f}" if seconds < 100 else f"{seconds:,.0f}", _ratio(ratio))
        for place, text in zip(places, texts, strict=True):
            side = "left" if place == places[0] else "right"
            canvas.text(place, y, text, style.CAPTION, ha=side)
    canvas.text(MARGIN, y + 24, _how(result), style.LABEL, style.MUTED)


def _ratio(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def _how(result: CompareResult) -> str:
    threads = words.counted(result.threads, "thread")
    return (
        f"{result.device}, {threads}; dense: median of {result.repeats}; {result.proposals} regions proposed in "
        f"{result.proposal_seconds:.2f} s (not counted), {len(result.boxes)} measured, each with its warp"
    )


def _header(result: CompareResult, scale: Scale, paper: int) -> Head:
    label = result.label or f"class {result.class_index}"
    tall, wide = result.input_size
    caption = [
        f"{label} (class {result.class_index})" if result.label else "",
        f"dense pass and crops: the image at {wide}{TIMES}{tall} pixels",
        f"dense and sliding differ by {result.deviation:.2f} standard deviations on average, correlation "
        f"{result.correlation:.3f}: a crop is padded with zeros where the dense pass sees the image",
    ]
    note = [
        f"raw {f'output {result.output}' if result.output else 'score'}: {scale.note}",
        over_grey(OPACITY),
        "yellow: window or region of the highest score",
    ]
    title = [result.network, f"{label} by three ways", result.image_name]
    return Head.of(title, [one for one in caption if one], paper, (scale, note), warnings=result.doubts)
