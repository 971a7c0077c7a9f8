"""The picture of a segmentation by a unit: the image, the unit's map over it, and the part above the threshold."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Canvas, Head, Panels, bad_values, fit, layer_name, placed
from netviz.paper.regions import OUTLINE, draw_edges, edges, grey, outside_pale, over_grey
from netviz.paper.scales import Pixels, Scale, finite_range, scale_for
from netviz.paper.words import TIMES
from netviz.questions.segment.result import SegmentResult

_SIDE: Final = 340
_LEAST: Final = 190
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
    width, height = fit(shape, _SIDE)
    panels = Panels((width, height), 3, max(width, _LEAST), 24, below=_UNDER)
    # It holds the raw map and the threshold.
    scale = scale_for(*finite_range(np.append(result.map, np.float32(result.threshold))))
    head = _header(result, scale, panels.paper)
    canvas = Canvas(panels.paper, head.height + panels.height(3) + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(number, head.height) for number in range(3)]
    above, before, below, after = result.shown_box
    seen = np.zeros(shape, dtype=np.bool_)
    seen[above:below, before:after] = True
    canvas.image(outside_pale(result.image, seen), boxes[0])
    canvas.image(outside_pale(grey(result.image), seen), boxes[1])
    part = placed((above, before, below - above, after - before), boxes[1], shape)
    canvas.values(result.heat[above:below, before:after], part, scale).set_alpha(_OPACITY)
    canvas.image(_masked(result, seen), boxes[2])
    canvas.frames(boxes)
    if not seen.all():
        for box in boxes:
            draw_edges(canvas, edges(seen), box, shape, style.FAINT, 1.0)
    lines = edges(result.mask)
    for box in boxes[1:]:
        draw_edges(canvas, lines, box, shape, OUTLINE[0], _LINE, halo=OUTLINE[1])
    for box, (name, note) in zip(boxes, _notes(result), strict=True):
        panels.write_below(canvas, box, name, [note], 3)
    return canvas.figure


def _masked(result: SegmentResult, seen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Pixels:
    """Return the image bleached outside of the mask; of an empty mask, outside of what the network was shown."""
    return outside_pale(result.image, result.mask if result.mask.any() else seen)


def _header(result: SegmentResult, scale: Scale, paper: int) -> Head:
    rows, columns = result.map.shape
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        f"unit {result.unit}",
        result.image_name,
    ]
    caption = [
        f"threshold {words.number(result.threshold)}: {_threshold(result)}",
        f"map {rows}{TIMES}{columns} (H{TIMES}W), brought to the image between the centres of what its positions see",
        *bad_values(int(np.count_nonzero(~np.isfinite(result.map)))),
    ]
    note = [
        "response of the unit",
        scale.note,
        over_grey(_OPACITY),
        "yellow line: the threshold",
    ]
    return Head.of(title, caption, paper, (scale, note), warnings=result.doubts)


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
