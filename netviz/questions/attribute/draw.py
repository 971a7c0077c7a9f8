"""The picture of attributions: the image, and for each method what each pixel has to do with the score."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import (
    MARGIN,
    Box,
    Canvas,
    Head,
    Panels,
    bad_values,
    fit,
    layer_name,
    placed,
    seen_size,
)
from netviz.paper.regions import grey, over_grey
from netviz.paper.scales import Floats, Pixels, Scale, colourise, finite_range, peak, said_beyond
from netviz.questions.attribute.result import CAMS, NAMES, AttributeResult

_SIDE: Final = 280
_LEAST: Final = 190
_LEAST_NARROW: Final = 170
_NARROWEST: Final = 760
_COLUMNS: Final = 4
_UNDER: Final = 4 * 14 + 6
_OPACITY: Final = 0.6
_WITHIN: Final = 0.995
"""Gradients have a few pixels far beyond all others: the scale ends where this share of them does."""

_COLOURED: Final = ("guided", "deconvnet")
"""Drawn as colours around grey, as the papers print them."""

UNSURE: Final = "such pictures look much the same when weights are random (Adebayo et al., 2018)"


def attribute_figure(result: AttributeResult) -> Figure:
    """Draw the image, and a panel for each method.

    Maps of a layer lie over the image in greys. What tells of pixels is drawn by itself: gradients as their sum over
    the bands, in a diverging scale; guided backpropagation and deconvnets, of three bands, as colours around grey.

    Parameters
    ----------
    result : AttributeResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image and the panels; an Axes labelled ``"scale"`` for
        each kind of scale that is used.
    """
    with style.style():
        return _draw(result)


def _draw(result: AttributeResult) -> Figure:
    shape = (result.image.shape[0], result.image.shape[1])
    count = len(result.methods) + 1
    columns = 3 if count in (5, 6, 9) else min(count, _COLUMNS)
    size = fit(shape, _SIDE, whole=False)
    # Two abreast on a column of a page, too.
    least = _LEAST_NARROW if page.narrow() else _LEAST
    panels = Panels(size, columns, max(size[0], least), 24, below=_UNDER)
    paper = max(panels.paper, page.least(_NARROWEST))
    head = _header(result, paper)
    canvas = Canvas(paper, head.height + panels.height(count) + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(number, head.height) for number in range(count)]
    canvas.image(result.image, boxes[0])
    panels.write_below(canvas, boxes[0], result.image_name, [seen_size(result.image)], 3)
    for number, (method, box) in enumerate(zip(result.methods, boxes[1:], strict=True)):
        notes = draw_panel(canvas, result, number, box)
        panels.write_below(canvas, box, NAMES[method], notes, 3)
    canvas.frames(boxes)
    if result.box:
        top, left, bottom, right = result.box
        frames = [placed((top, left, bottom - top, right - left), box, shape) for box in boxes]
        canvas.frames(frames, colour=style.INK, line=3.0, out=0.0)
        canvas.frames(frames, colour=style.OUTLINE, line=1.6, out=0.0)
    return canvas.figure


def draw_panel(canvas: Canvas, result: AttributeResult, number: int, box: Box) -> list[str]:
    """Draw what one method gave into a box; return what is to be said below it."""
    method, values = result.methods[number], result.attribution[number]
    scale = scale_of(result, method)
    if scale.colours == "rgb":
        canvas.image(around_grey(in_colours(result.by_band(method), result.channel_order)), box)
        return [_ends(peak(result.by_band(method), _WITHIN))]
    if method in CAMS:
        canvas.image(grey(result.image), box)
        end = peak(values)
        canvas.values(values, box, scale, end or 1.0).set_alpha(_OPACITY)
        return [_range(values, scale)]
    end = peak(values, _WITHIN)
    canvas.values(values, box, scale, end or 1.0)
    return [_ends(end), *_sums(result, method)]


def _ends(end: float) -> str:
    return f"its scale ends at ±{words.number(end)}" if end else "0 everywhere: no gradient reaches the image"


def _range(values: NDArray[np.float32], scale: Scale) -> str:
    low, high = finite_range(values)
    if not np.isfinite(values).any():
        return "NaN everywhere"
    if not high and not low:
        return "0 everywhere: no map has a positive weight here"
    return f"{words.number(low)} … {words.number(high)}"


def _sums(result: AttributeResult, method: str) -> list[str]:
    """Say how much of the difference of scores integrated gradients sum up to."""
    if method != "integrated" or result.baseline_score is None:
        return []
    total = float(result.by_band(method).sum(dtype=np.float64))
    return [
        f"sum {words.number(total)}; score less that of zeros {words.number(result.score - result.baseline_score)}"
    ]


def in_colours(bands: NDArray[np.float32], order: str) -> NDArray[np.float32]:
    """Return three bands, (H, W, 3), as red, green and blue, of a network that takes them in this order."""
    return bands[..., ::-1] if order == "BGR" else bands


def around_grey(bands: NDArray[np.float32]) -> Pixels:
    """Draw three bands, (H, W, 3), as colours around grey, which is 0; the scale ends at 99.5 % of the values."""
    end = peak(bands, _WITHIN) or 1.0
    shares: Floats = np.clip(bands.astype(np.float64) / end, -1, 1)
    return colourise(shares, "rgb")


def scale_of(result: AttributeResult, method: str) -> Scale:
    """Return how a method's panel is coloured; each has its own largest value."""
    if method in _COLOURED and result.by_band(method).shape[2] == 3:
        return Scale(-1.0, 1.0, "rgb", True)
    if method in CAMS and not signed(result, method):
        return Scale(0.0, 1.0, "sequential", True)
    return Scale(-1.0, 1.0, "diverging", True)


def signed(result: AttributeResult, method: str) -> bool:
    """Return whether a map of a layer has negative values; those of other methods always may have."""
    return method not in CAMS or finite_range(result.attribution[result.methods.index(method)])[0] < 0


def _header(result: AttributeResult, paper: int) -> Head:
    title = [result.network, f"attribution to {target_name(result)}", result.image_name]
    return Head.of(title, _caption(result), paper, *_legends(result), warnings=result.doubts)


def target_name(result: AttributeResult) -> str:
    """Return what the score is of, for a title."""
    if result.target == "class":
        return result.name
    name = layer_name(result.layer, result.alias, asked=result.layer_asked)
    return f"{name} {result.name}" if result.target == "unit" else f"all of {name}"


def _caption(result: AttributeResult) -> list[str]:
    lines = []
    if result.target == "class":
        lines.append(words.scored(result.label, result.class_index, result.called, result.predicted))
    lines.append(f"score {words.number(result.score)} ({result.score_of})")
    if result.maps is not None:
        last = ", the last that serves" if result.layer_chosen else ""
        rows, columns = result.maps.shape[1:]
        lines.append(
            f"maps of {layer_name(result.layer, result.alias)}{last}: {columns}{words.TIMES}{rows} positions, read "
            "between the centres of what they see"
        )
    if any(one in _COLOURED for one in result.methods):
        lines.append(_acted(result))
    if "smoothgrad" in result.methods:
        lines.append(
            f"SmoothGrad: {words.counted(result.samples, 'noisy image')}, noise {words.percent(result.noise)} of the "
            f"input's range, seed {result.seed}"
        )
    if "integrated" in result.methods:
        lines.append(f"integrated gradients: {words.counted(result.steps, 'step')} from an image of zeros")
    if result.box:
        lines.append("yellow: what the unit's position sees")
    lines += words.padded(result.padded)
    return [*lines, *bad_values(int(np.count_nonzero(~np.isfinite(result.attribution))))]


def _acted(result: AttributeResult) -> str:
    """Say on which functions guided backpropagation and deconvnets act, and which they leave."""
    if not result.rectifiers:
        return (
            "no rectifier runs before this layer: guided backpropagation and deconvnet are the plain gradient"
        )
    acted = ", ".join(f"{count} {name}" for name, count in result.rectifiers.items())
    left = ", ".join(f"{count} {name}" for name, count in result.others.items())
    return f"guided and deconvnet act on {acted}" + (f"; {left} keep their derivative" if left else "")


def _legends(result: AttributeResult) -> Sequence[tuple[Scale, list[str]]]:
    """Return one colour bar for each kind of scale that the panels use."""
    maps, pixels, colours = (list[str]() for _ in range(3))
    for method in result.methods:
        scale = scale_of(result, method)
        (colours if scale.colours == "rgb" else pixels if scale.colours == "diverging" else maps).append(
            method
        )
    legends: list[tuple[Scale, list[str]]] = []
    for methods, low, kind in (
        (maps, 0.0, "sequential"),
        (pixels, -1.0, "diverging"),
        (colours, -1.0, "rgb"),
    ):
        if not methods:
            continue
        scale = Scale(low, 1.0, kind, True)
        note = [", ".join(NAMES[one] for one in methods), f"each by its own largest value: {scale.note}"]
        if any(one in CAMS for one in methods):
            over = "" if all(one in CAMS for one in methods) else "CAM "
            note.append(f"{over}{over_grey(_OPACITY)}")
        if kind == "diverging":
            note.append("red raises the score, blue lowers it")
        if kind == "rgb":
            note.append(
                UNSURE + ("; they do not tell why a class was chosen" if result.target == "class" else "")
            )
        if kind != "sequential":
            note += said_beyond(_beyond(result, [one for one in methods if one not in CAMS]))
        legends.append((scale, note))
    return legends


def _beyond(result: AttributeResult, methods: Sequence[str]) -> float:
    """Return which share of the values of some methods lies beyond the ends of their scales."""
    count, total = 0, 0
    for method in methods:
        rgb = scale_of(result, method).colours == "rgb"
        values: NDArray[Any] = (
            result.by_band(method) if rgb else result.attribution[result.methods.index(method)]
        )
        count += int(np.count_nonzero(np.abs(values) > peak(values, _WITHIN)))
        total += values.size
    return count / total if total else 0.0
