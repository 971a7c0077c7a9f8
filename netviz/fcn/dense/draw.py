"""The picture of a dense evaluation: the image with the cells' grid, and a heat map for each class."""

from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from netviz.fcn.dense.result import DenseResult
from netviz.interpolation import between
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, Panels, bad_values, fit, placed
from netviz.paper.regions import grey, over_grey
from netviz.paper.scales import Floats, Pixels, Scale, finite_range
from netviz.paper.words import TIMES

OPACITY: Final = 0.65


def heat_scale(values: NDArray[Any]) -> Scale:
    """Return the one scale of score maps: from their lowest to their highest finite value."""
    low, high = finite_range(values)
    if high <= low:
        high = low + 1.0
    return Scale(low, high, "sequential", False)


def interpolated(
    values: NDArray[Any],
    center_y: Floats,
    center_x: Floats,
    stride: tuple[float, float],
    shape: tuple[int, int],
) -> tuple[Floats, tuple[int, int, int, int]]:
    """Bring a map to the pixels of an image, bilinearly between its cells' places.

    Parameters
    ----------
    values : ndarray of shape (h, w)
    center_y, center_x : ndarray of shapes (h,) and (w,)
        In pixels; the middle of the first is 0.
    stride : (float, float)
        From cell to cell.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    heat : ndarray of float64, shape (bottom - top, right - left)
    part : (int, int, int, int)
        Top, left, bottom, right of the pixels that lie at most half a stride outside of the outermost places.
    """
    heat = np.asarray(values, dtype=np.float64)
    edges = []
    for axis, centers in enumerate((center_y, center_x)):
        first = max(0, int(np.floor(centers[0] - stride[axis] / 2 + 0.5)))
        last = min(shape[axis], int(np.ceil(centers[-1] + stride[axis] / 2 + 0.5)))
        first, last = min(first, shape[axis] - 1), max(last, first + 1, 1)
        places = (np.arange(first, last) - centers[0]) / (stride[axis] or 1.0)
        low, high, share = between(places, len(centers))
        # Along rows, then along columns. A weight of 0 must not spread a neighbour's NaN.
        heat, part = heat.T if axis else heat, share[:, None]
        heat = np.where(part > 0, heat[low] * (1 - part) + heat[high] * part, heat[low])
        heat = heat.T if axis else heat
        edges.append((first, last))
    (top, bottom), (left, right) = edges
    return heat, (top, left, bottom, right)


def draw_heat(
    canvas: Canvas,
    image: Pixels,
    heat: Floats,
    part: tuple[int, int, int, int],
    box: Box,
    scale: Scale,
    *,
    clear: bool = False,
    opacity: float = OPACITY,
) -> None:
    """Draw a heat map over its part of the image in grey; where `clear` is true, NaN leaves the image as it is."""
    canvas.image(grey(image), box)
    top, left, bottom, right = part
    where = placed((top, left, bottom - top, right - left), box, image.shape)
    canvas.values(heat, where, scale, clear=clear).set_alpha(opacity)


def clipped(
    part: tuple[float, float, float, float], shape: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Cut top, left, height, width at the border of an image of this height and width."""
    top, left, height, width = part
    bottom, right = min(top + height, shape[0]), min(left + width, shape[1])
    top, left = max(top, 0.0), max(left, 0.0)
    return top, left, max(bottom - top, 0.0), max(right - left, 0.0)


def draw_window(
    canvas: Canvas, part: tuple[float, float, float, float], box: Box, shape: tuple[int, int]
) -> None:
    """Outline a window, as far as it lies in the image."""
    frame = placed(clipped(part, shape), box, shape)
    canvas.frames([frame], colour=style.INK, line=3.4, out=-1.2)
    canvas.frames([frame], colour=style.OUTLINE, line=1.8, out=-1.2)


SHOWN: Final = 11
"""How many classes are drawn at most."""
_SIDES: Final = {2: 520, 3: 400}
_SIDE: Final = 340
_LEAST: Final = 200
_NARROWEST: Final = 760
_COLUMNS: Final = 4
_UNDER: Final = 4 * 14 + 6
_GRID: Final = 7.0


def dense_figure(result: DenseResult) -> Figure:
    """Draw the image with the network's stride and one window, and each class's scores as heat over it.

    Parameters
    ----------
    result : DenseResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, and for each class the image in grey with the heat
        over it; the Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: DenseResult) -> Figure:
    shape = (result.image.shape[0], result.image.shape[1])
    count = min(len(result.classes), SHOWN) + 1
    columns = min(count, _COLUMNS)
    width, height = fit(shape, _SIDES.get(columns, _SIDE), whole=False)
    panels = Panels((width, height), columns, max(width, _LEAST), 24, below=_UNDER)
    # Title and notes need some width, whatever the image's.
    paper = max(panels.paper, page.least(_NARROWEST))
    scale = heat_scale(result.scores[: count - 1])
    head = _header(result, scale, paper)
    canvas = Canvas(paper, head.height + panels.height(count) + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(at, head.height) for at in range(count)]
    canvas.image(result.image, boxes[0])
    grid = _grid(canvas, result, boxes[0], shape)
    for shown, box in enumerate(boxes[1:]):
        heat, part = interpolated(
            result.scores[shown], result.center_y, result.center_x, result.stride, shape
        )
        draw_heat(canvas, result.image, heat, part, box, scale, opacity=_opacity(result))
        _draw_extents(canvas, result, box, shape)
    canvas.frames(boxes)
    row, col = result.peak(0)
    if result.window_of != "image" and _window_shows(result):
        for box in boxes[:2]:
            draw_window(canvas, result.window(0, row, col), box, shape)
        for shown, box in enumerate(boxes[2:], start=1):
            draw_window(canvas, result.window(shown, *result.peak(shown)), box, shape)
    notes = [
        (result.image_name, [f"{shape[1]}{TIMES}{shape[0]} pixels", grid]),
        *((_name(result, shown), _peak(result, shown)) for shown in range(count - 1)),
    ]
    for box, (name, lines) in zip(boxes, notes, strict=True):
        panels.write_below(canvas, box, name, [one for one in lines if one], 3)
    return canvas.figure


def _extents(result: DenseResult) -> list[tuple[float, tuple[float, float, float, float]]]:
    """Return each scale, the largest first, and what its cells cover of the image: top, left, height, width."""
    if result.placed not in ("geometry", "window") or len(result.levels) < 3 * len(result.scales):
        return []
    found = []
    for number, (scale, (down, across)) in enumerate(zip(result.scales, result.strides, strict=True)):
        ys, xs = result.levels[f"center_y_{number}"], result.levels[f"center_x_{number}"]
        top, left = float(ys[0]) + 0.5 - down / 2, float(xs[0]) + 0.5 - across / 2
        found.append((scale, (top, left, down * len(ys), across * len(xs))))
    return sorted(found, reverse=True)


def _draw_extents(canvas: Canvas, result: DenseResult, box: Box, shape: tuple[int, int]) -> None:
    """Outline what each scale's cells cover, its number inside at the bottom right."""
    for scale, part in _extents(result):
        left, top, width, height = frame = placed(clipped(part, shape), box, shape)
        canvas.frames([frame], style.INK, 2.0, -1.0)
        canvas.frames([frame], style.PAPER, 1.0, -1.0)
        name = canvas.text(
            left + width - 5, top + height - 5, f"{scale:g}", style.SMALL, style.PAPER, ha="right"
        )
        name.set_path_effects([Stroke(linewidth=1.6, foreground=style.INK), Normal()])


def _opacity(result: DenseResult) -> float:
    """Return how opaque the heat is: a map as fine as the image, with no class to it, needs no image below."""
    return 1.0 if result.channels == 1 and result.placed == "pixels" else OPACITY


def _window_shows(result: DenseResult) -> bool:
    """Return whether a window is less than the whole image."""
    height, width = result.image.shape[:2]
    return any(h < height or w < width for _, _, h, w in result.windows)


def _grid(canvas: Canvas, result: DenseResult, box: Box, shape: tuple[int, int]) -> str:
    """Draw the borders of the cells over the image; return what is to be said of it."""
    down, across = result.stride
    if min(down * box[3] / shape[0], across * box[2] / shape[1]) < _GRID:
        if result.placed == "pixels":
            return "a score for every pixel of the network's input"
        return f"a cell every {words.number(across)} pixels: too fine to draw"
    ys = (result.center_y[0] + 0.5 + down * (np.arange(len(result.center_y) + 1) - 0.5)).clip(0, shape[0])
    xs = (result.center_x[0] + 0.5 + across * (np.arange(len(result.center_x) + 1) - 0.5)).clip(0, shape[1])
    part = (ys[0], xs[0], ys[-1] - ys[0], xs[-1] - xs[0])
    left, top, width, height = placed(part, box, shape)
    lines = [(left, box[1] + y * box[3] / shape[0], left + width, box[1] + y * box[3] / shape[0]) for y in ys]
    lines += [(box[0] + x * box[2] / shape[1], top, box[0] + x * box[2] / shape[1], top + height) for x in xs]
    canvas.lines([(line, style.INK) for line in lines], 2.0)
    canvas.lines([(line, style.PAPER) for line in lines], 1.0)
    return f"grid: the cells, {words.number(across)} pixels from one to the next"


def _name(result: DenseResult, number: int) -> str:
    if result.channels == 1 and not result.labels[number]:
        return "output"
    return result.labels[number] or f"{result.called} {result.classes[number]}"


def _peak(result: DenseResult, number: int) -> list[str]:
    row, col = result.peak(number)
    value = words.number(float(result.scores[number, row, col]))
    place = f"highest {value}, at row {result.center_y[row]:.0f}, column {result.center_x[col]:.0f}"
    lines = [place]
    if len(result.scales) > 1:
        lines.append(f"found {_found(result, int(result.level[number, row, col]))}")
    return lines


def _found(result: DenseResult, level: int) -> str:
    """Say at which level a score was found."""
    if result.placed == "anchors":
        every = f"at the level of a cell every {words.number(result.strides[level][1])} pixels"
        return every if len(set(result.scales)) == 1 else f"{every}, scale {result.scales[level]:g}"
    return f"at scale {result.scales[level]:g}"


def _several(result: DenseResult) -> str:
    """Say over which levels the scores are the maximum."""
    scales = ", ".join(f"{one:g}" for one in dict.fromkeys(result.scales))
    of_scales = f"{words.counted(len(set(result.scales)), 'scale')}: {scales}"
    if result.placed != "anchors":
        return f"maximum over {of_scales}"
    strides = ", ".join(words.number(across) for _, across in result.strides)
    levels = f"maximum over {words.counted(len(result.strides), 'level')} of anchors, a cell every {strides} pixels"
    return levels if len(set(result.scales)) == 1 else f"{levels}; {of_scales}"


def _header(result: DenseResult, scale: Scale, paper: int) -> Head:
    rows, cols = result.scores.shape[1:]
    drawn = min(len(result.classes), SHOWN)
    title = [result.network, "dense evaluation", result.image_name]
    (_, _, height, width), (tall, wide) = result.windows[0], result.inputs[0]
    seen = f"the network saw {wide}{TIMES}{tall} pixels"
    if len(result.scales) > 1:
        seen = _several(result)
    caption = [
        "a classifier made fully convolutional" if result.cast else "",
        f"{cols}{TIMES}{rows} cells (W{TIMES}H)",
        seen,
        *words.padded(result.padded),
        _chosen(result, drawn),
        {
            "geometry": "each cell is placed at the centre of its receptive field",
            "pixels": "a cell is a pixel of the network's input",
            "window": "each cell is placed in the middle of its window",
            "anchors": "each cell is placed at the centre of its anchors",
            "spread": "the cells are spread evenly over the image: each of them sees all of it",
        }[result.placed],
        *bad_values(int(np.count_nonzero(~np.isfinite(result.scores[:drawn])))),
    ]
    what = f"output {result.output}" if result.output else "output" if result.channels == 1 else "score"
    note = [f"raw {what}: {scale.note}"]
    if _opacity(result) < 1:
        note.append(over_grey(OPACITY))
    if _extents(result):
        note.append("white: what the cells of each scale cover")
    if result.window_of != "image" and _window_shows(result):
        size = f"{words.number(width)}{TIMES}{words.number(height)} pixels of the image"
        if len(result.scales) > 1:
            size = f"at the {'level' if result.placed == 'anchors' else 'scale'} that gave it"
        what = {
            "crop": "window of the highest score: what the classifier would be shown",
            "anchor": "extent of the anchors of the highest score",
        }.get(result.window_of, "receptive field of the highest score")
        note.append(f"yellow: {what} ({size})")
    return Head.of(title, [one for one in caption if one], paper, (scale, note), warnings=result.doubts)


def _chosen(result: DenseResult, drawn: int) -> str:
    if result.channels == 1:
        return "its one map"
    several = "classes" if result.called == "class" else "channels"
    of = f"{drawn} of {result.channels} {several}"
    if drawn < len(result.classes):
        of = f"{drawn} drawn of {len(result.classes)} chosen of {result.channels} {several}"
    return of + (", those with the highest scores anywhere" if result.chosen == "top" else "")
