"""The picture of SIFT beside a layer, stage by stage.

Of a keypoint: its place in the image, its descriptor as arrows, and the layer's values as bars.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, fit, layer_name
from netviz.paper.regions import pale
from netviz.paper.scales import Scale, colourise, peak
from netviz.paper.words import MINUS, TIMES
from netviz.questions.sift.result import SiftResult

MARK: Final = "#0096c7"
_POSITIVE: Final = "#b2182b"
_NEGATIVE: Final = "#2166ac"
_SCALE: Final = Scale(-1.0, 1.0, "diverging", True)
_ARROW_HEAD: Final = (4.5, 2.3)
_SHAFT: Final = 0.5
_PEN: Final = 72 / style.DPI


def _mark_keypoint(
    canvas: Canvas,
    box: Box,
    shape: tuple[int, int],
    point: NDArray[Any],
    radius: float,
    orientation: float,
    name: str,
) -> None:
    """Draw a keypoint over an image: a circle that lies in the descriptor's square, and its orientation.

    Parameters
    ----------
    box : Box
        The image's place on the paper.
    shape : (int, int)
        Its height and width in pixels.
    point : ndarray of shape (2,)
        Row and column in pixels.
    radius : float
        In pixels.
    orientation : float
        In radians from down to right.
    name : str
    """
    left, top, width, _ = box
    zoom = width / shape[1]
    x, y = left + (float(point[1]) + 0.5) * zoom, top + (float(point[0]) + 0.5) * zoom
    reach = radius * zoom
    tip = (x + reach * math.sin(orientation), y + reach * math.cos(orientation))
    for colour, line in ((style.PAPER, 3.2), (MARK, 1.4)):
        circle = Circle((x, y), reach, fill=False, edgecolor=colour, linewidth=line * _PEN, zorder=3)
        stroke = LineCollection([[(x, y), tip]], colors=[colour], linewidths=line * _PEN, zorder=3)
        for artist in (circle, stroke):
            canvas.clip(artist, box)
            canvas.axes.add_artist(artist)
    # A circle too small to hold its number has it beside.
    inside = reach >= 9
    text = canvas.text(
        x - 0.45 * reach * math.sin(orientation) if inside else x + reach + 3,
        y - 0.45 * reach * math.cos(orientation) if inside else y,
        name,
        style.LABEL,
        style.INK,
        ha="center" if inside else "left",
        va="center",
        zorder=4,
    )
    text.set_path_effects([withStroke(linewidth=2.4, foreground=style.PAPER)])


def glyphs(canvas: Canvas, box: Box, descriptor: NDArray[Any], longest: float) -> None:
    """Draw a descriptor (4, 4, 8): in each cell an arrow for each orientation, from the middle, as long as its value.

    Parameters
    ----------
    box : Box
        The patch's place: rows of cells go down, as in the patch; bin 0 points down, bin 2 to the right.
    longest : float
        The value whose arrow reaches the edge of a cell.
    """
    left, top, width, height = box
    rows, columns, bins = descriptor.shape
    cell = width / columns
    grid: list[tuple[Box, str]] = []
    for number in range(1, rows):
        y, x = top + number * height / rows, left + number * cell
        grid += [((left, y, left + width, y), style.FAINT), ((x, top, x, top + height), style.FAINT)]
    canvas.lines(grid, 0.5)
    row, column, turn = np.indices(descriptor.shape)
    x, y = left + (column + 0.5) * cell, top + (row + 0.5) * height / rows
    reach = 0.5 * cell * descriptor / (longest or 1.0)
    angle = turn * 2 * np.pi / bins
    # A head no longer than the arrow, on a shaft of a pixel: along the arrow, and to its side.
    head = np.minimum(_ARROW_HEAD[0], reach)
    half = head * _ARROW_HEAD[1] / _ARROW_HEAD[0]
    shaft = np.minimum(_SHAFT, half)
    neck, none = reach - head, np.zeros_like(reach)
    along = np.stack([none, neck, neck, reach, neck, neck, none], axis=-1)
    aside = np.stack([-shaft, -shaft, -half, none, half, shaft, shaft], axis=-1)
    sin, cos = np.sin(angle)[..., None], np.cos(angle)[..., None]
    outline = np.stack(
        [x[..., None] + along * sin + aside * cos, y[..., None] + along * cos - aside * sin], axis=-1
    )
    arrows = outline[descriptor > 0]
    drawn = PolyCollection(list(arrows), facecolors=style.INK, edgecolors="none", zorder=3, label="glyphs")
    canvas.axes.add_collection(drawn, autolim=False)


def bars(canvas: Canvas, box: Box, values: NDArray[Any], limit: float, signed: bool) -> None:
    """Draw values (C,) side by side as bars; `limit` reaches the box's edge.

    The zero line lies in the middle where values are `signed`, else at the lower edge.
    """
    left, top, width, height = box
    zero = top + (height / 2 if signed else height)
    reach = (height / 2 if signed else height) / (limit or 1.0)
    step = width / len(values)
    gap = 0.5 if step >= 3 else 0.0
    at = left + step * np.arange(len(values))
    tips = zero - reach * np.clip(values, -limit, limit)
    corners = np.stack(
        [
            np.stack([at, np.full_like(at, zero)], axis=1),
            np.stack([at, tips], axis=1),
            np.stack([at + step - gap, tips], axis=1),
            np.stack([at + step - gap, np.full_like(at, zero)], axis=1),
        ],
        axis=1,
    )
    colours = [_POSITIVE if value >= 0 else _NEGATIVE for value in values]
    drawn = PolyCollection(list(corners), facecolors=colours, edgecolors="none", zorder=2, label="bars")
    canvas.axes.add_collection(drawn, autolim=False)
    canvas.lines([((left, zero, left + width, zero), style.FAINT)], 0.8)


TILE: Final = 38
GAP: Final = 4
ROW: Final = 180
"""Pixels from one row of stages to the next."""
_ARROW: Final = 34
_LINE: Final = 13


def _abreast() -> int:
    """Return how many stages stand side by side."""
    return 2 if page.narrow() else 4


def _tile() -> int:
    """Return the side of a tile, also where two stages abreast must share a narrow page."""
    room = (page.widest() - 2 * MARGIN) // 2 - _ARROW
    return min(TILE, (room - 3 * GAP) // 4) if page.narrow() else TILE


def _block() -> int:
    """Return how wide the tiles of a stage are together."""
    return 4 * _tile() + 3 * GAP


def _strip() -> tuple[int, int]:
    """Return the width and height of the strip of stages, of two rows of four."""
    each = _abreast()
    return each * _block() + (each - 1) * _ARROW, 8 // each * ROW + 8


class Stage(NamedTuple):
    """One step: its heading, its tiles (K, h, w) or (K, h, w, 3) uint8, and what it does."""

    heading: str
    tiles: NDArray[np.float32] | NDArray[np.uint8]
    notes: tuple[str, ...]


def _draw_stages(canvas: Canvas, result: SiftResult, left: float, top: float) -> None:
    """Draw both rows of four stages each."""
    for row, (name, stages) in enumerate(
        (
            (f"SIFT, at keypoint 1: {len(result.stage_orientations)} orientations", _sift_stages(result)),
            (
                f"{result.alias or result.layer}: {words.counted(result.channels, 'unit')}",
                _layer_stages(result),
            ),
        )
    ):
        y = top + row * ROW * -(-len(stages) // _abreast())
        canvas.heading(left, y + 11, name, _strip()[0])
        _row(canvas, stages, left, y + 22)


def _row(canvas: Canvas, stages: Sequence[Stage], left: float, top: float) -> None:
    first, each = top, _abreast()
    for number, stage in enumerate(stages):
        # Where the row is broken, the arrow to the next stage stands left of it.
        x = left + number % each * (_block() + _ARROW) + (_ARROW if each < len(stages) else 0)
        top = first + number // each * ROW
        canvas.text(x, top + 10, stage.heading, style.LABEL, room=_block() + _ARROW - 6)
        y = top + 17
        _tiles(canvas, stage.tiles, x, y)
        if number:
            canvas.text(
                x - _ARROW / 2,
                y + (2 * _tile() + GAP) / 2,
                "→",
                style.TITLE,
                style.MUTED,
                ha="center",
                va="center",
            )
        y += 2 * _tile() + GAP + 13
        for note in stage.notes:
            y = canvas.paragraph(x, y, [note], style.SMALL, _block() + _ARROW - 8, step=_LINE)


def _tiles(canvas: Canvas, tiles: NDArray[np.float32] | NDArray[np.uint8], left: float, top: float) -> None:
    """Lay up to eight tiles in two rows; a single one takes the height of both."""
    boxes: list[Box] = []
    limit = peak(tiles)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, 4)
        side = 2 * _tile() + GAP if len(tiles) == 1 else _tile()
        height, width = tile.shape[:2]
        across, down = side * min(1.0, width / height), side * min(1.0, height / width)
        middle = (_block() - across) / 2 if len(tiles) == 1 else (_tile() - across) / 2
        box = (
            left + column * (_tile() + GAP) + middle,
            top + row * (_tile() + GAP) + (side - down) / 2,
            across,
            down,
        )
        boxes.append(box)
        if tile.ndim == 3:
            canvas.image(tile, box)
        else:
            canvas.values(tile, box, _SCALE, limit)
    canvas.frames(boxes)


def _sift_stages(result: SiftResult) -> tuple[Stage, ...]:
    """Return the steps of the first keypoint's descriptor."""
    sums = result.stage_cells
    final = np.moveaxis(result.descriptors[0], -1, 0)
    return (
        Stage("patch", result.patches[:1], ("turned: its orientation points down",)),
        Stage(
            "gradients in 8 orientations",
            result.stage_orientations,
            (f"0°, 45°, … from the orientation; max {words.number(peak(result.stage_orientations))}",),
        ),
        Stage(
            "summed over 4×4 cells",
            sums,
            (f"weighted by a Gaussian; max {words.number(peak(sums))}",),
        ),
        Stage(
            "unit length, clipped at 0.2",
            final,
            (f"and unit length again; max {words.number(peak(final))}",),
        ),
    )


def _layer_stages(result: SiftResult) -> tuple[Stage, ...]:
    """Return the steps of the layer."""
    down, across = (words.number(value) for value in result.field_stride)
    high, wide = (words.number(value) for value in result.field_size)
    most = "at most " if result.field_status == "upper_bound" else ""
    units = ", ".join(str(unit) for unit in result.stage_units)
    depth = [words.counted(result.convolutions, "convolution")]
    if result.poolings:
        depth.append(words.counted(result.poolings, "pooling"))
    if result.norms:
        depth.append(words.counted(result.norms, "norm"))
    rows, columns = result.stage_maps.shape[1:]
    step = f"every {down} px" if down == across else f"every {down}{TIMES}{across} px"
    return (
        Stage("image", result.image[None], ("as the network saw it",)),
        _filters(result),
        Stage(
            f"maps, {rows}{TIMES}{columns}: {step}",
            result.stage_maps,
            (
                f"after {', '.join(depth)}; a position sees {most}{high}{TIMES}{wide} px",
                f"units {units}; ±{words.number(peak(result.stage_maps))}",
            ),
        ),
        Stage(
            "after contrast normalization",
            result.stage_normalized,
            (
                f"{MINUS} local mean, ÷ local deviation, over {result.window}{TIMES}{result.window} and all units",
                f"same units; ±{words.number(peak(result.stage_normalized))}",
            ),
        ),
    )


def _filters(result: SiftResult) -> Stage:
    values = result.stage_filters.astype(np.float64)
    if not len(values):
        return Stage(
            "filters", np.zeros((0, 1, 1), dtype=np.float32), ("no convolution reads the image itself",)
        )
    high, wide = values.shape[2:]
    heading = f"filters of {result.first_conv}, {high}{TIMES}{wide}"
    if values.shape[1] != 3:
        shown = values.mean(axis=1).astype(np.float32)
        return Stage(heading, shown, ("oriented; the mean over input channels",))
    peaks = np.array([peak(one) or 1.0 for one in values])[:, None, None, None]
    pixels = colourise(np.moveaxis(values / peaks, 1, -1), "rgb")
    return Stage(heading, pixels, ("orientation and colour; grey is 0", "each by its own largest weight"))


_IMAGE: Final = 384
_BETWEEN: Final = 30
_PATCH: Final = (100, 72)
"""Side of a keypoint's patch, also on a narrow page."""
_SPACE: Final = 12
_NUMBER: Final = 22
_COLUMN: Final = 30
_HEAD: Final = (44, 44 + 2 * _LINE)
"""Height of the columns' headings, also on a narrow page, where their notes take more lines."""
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
    narrow, (wide, tall) = page.narrow(), _strip()
    paper = page.widest() if narrow else 2 * MARGIN + _IMAGE + _BETWEEN + wide
    head = _header(result, paper)
    box: Box = (
        MARGIN,
        head.height,
        *fit(result.image.shape, 5 * _IMAGE if narrow else _IMAGE, whole=False, room=_IMAGE),
    )
    under = box[3] + 34
    strip = (MARGIN, head.height + under + 20) if narrow else (MARGIN + _IMAGE + _BETWEEN, head.height - 4)
    top = head.height + int(under + 20 + tall if narrow else max(under, tall))
    count = len(result.keypoints)
    abreast = 1 if narrow else _GROUPS
    groups = min(abreast, count)
    rows = -(-count // groups)
    canvas = Canvas(paper, top + _HEAD[narrow] + rows * (_patch() + _SPACE) + MARGIN)
    head.draw(canvas)
    _image(canvas, result, box)
    _draw_stages(canvas, result, *strip)
    room = (paper - 2 * MARGIN - (abreast - 1) * _COLUMN) / abreast
    for group in range(groups):
        left = MARGIN + group * (room + _COLUMN)
        _headings(canvas, result, left, top, room)
        for row in range(rows):
            number = group * rows + row
            if number < count:
                _keypoint(canvas, result, number, left, top + _HEAD[narrow] + row * (_patch() + _SPACE), room)
    return canvas.figure


def _image(canvas: Canvas, result: SiftResult, box: Box) -> None:
    shape = result.image.shape[0], result.image.shape[1]
    canvas.image(result.image, box)
    canvas.frames([box])
    for number in reversed(range(len(result.keypoints))):
        _mark_keypoint(
            canvas,
            box,
            shape,
            result.keypoints[number],
            6 * float(result.scales[number]),
            float(result.orientations[number]),
            str(number + 1),
        )
    of = f"{len(result.keypoints)} of {result.found} keypoints"
    text = f"{of}: circle in the square of the 4×4 cells, line along the orientation"
    canvas.paragraph(box[0], box[1] + box[3] + 15, [text], style.LABEL, _IMAGE)


def _patch() -> int:
    return _PATCH[page.narrow()]


def _columns(room: float) -> tuple[float, float, float, float, float]:
    """Return where patch, arrows and both rows of bars begin, and how wide bars are."""
    patch = float(_NUMBER)
    arrows = patch + _patch() + _SPACE
    raw = arrows + _patch() + _SPACE + 4
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
        (patch, _patch() + _SPACE, "patch", "orientation: down"),
        (arrows, _patch() + _SPACE, "SIFT, 4×4×8", f"cell's edge: {words.number(longest)}"),
        (raw, wide, f"{name}, raw", f"{result.channels} units, {signed[0]}{words.number(high)}"),
        (
            normalized,
            wide,
            "normalized",
            f"{result.channels} units, {signed[1]}{words.number(high_normalized)}",
        ),
    ):
        canvas.heading(left + x, top + 14, heading, space - 4)
        canvas.paragraph(left + x, top + 29, [note], style.SMALL, space - 2, step=_LINE)


def _keypoint(canvas: Canvas, result: SiftResult, number: int, left: float, top: float, room: float) -> None:
    patch, arrows, raw, normalized, wide = _columns(room)
    longest, high, high_normalized = _limits(result)
    canvas.heading(left, top + 12, str(number + 1))
    if result.clamped[number]:
        canvas.text(left, top + 28, "*", style.CAPTION)
    pictures: list[Box] = [(left + x, top, _patch(), _patch()) for x in (patch, arrows)]
    canvas.image(result.patches[number], pictures[0])
    canvas.image(pale(result.patches[number]), pictures[1])
    glyphs(canvas, pictures[1], result.descriptors[number], longest)
    boxes: list[Box] = [(left + x, top, wide, _patch()) for x in (raw, normalized)]
    every = (result.layer_raw, result.layer_normalized)
    for box, values, limit in zip(boxes, every, (high, high_normalized), strict=True):
        bars(canvas, box, values[number].astype(np.float64), limit, bool((values < 0).any()))
    canvas.frames([*pictures, *boxes])


def _header(result: SiftResult, paper: int) -> Head:
    title = [
        result.network,
        "SIFT beside " + layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
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
    note = ["the tiles of the stages", "max is the largest absolute value of the stage, written under it"]
    return Head.of(title, caption, paper, (_SCALE, note), warnings=result.doubts)
