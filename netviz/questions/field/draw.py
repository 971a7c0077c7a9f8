"""The picture of a receptive field: what a unit can see, what it uses, what it reacts to, and all layers' sizes.

A field that is small on the photograph is shown again in a corner, enlarged.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, fit, layer_name
from netviz.paper.scales import Floats, Pixels, peak
from netviz.paper.words import TIMES
from netviz.questions.field.chart import chart
from netviz.questions.field.marks import (
    MEASURED,
    THEORY,
    Plate,
    heat,
    heat_bar,
    middle,
    outline,
    ring,
    sample,
    square,
    wash,
)
from netviz.questions.field.result import FieldResult

_COUNTED: Final = 0.25
"""What share of the largest change belongs to an empirical field."""


class Panel(NamedTuple):
    """One picture of the row: its heading, its pixels, what is drawn over it, and the legend below."""

    heading: str
    pixels: Pixels
    over: Callable[[Canvas, Plate], None]
    legend: tuple[tuple[str, str], ...]
    bar: tuple[tuple[float, str], ...] = ()


def _panels_of(result: FieldResult) -> list[Panel]:
    """Return what there is to show: always what the unit can see; what it uses and reacts to where known."""
    panels = [_theoretical(result)]
    if result.effective is not None:
        panels.append(_effective(result))
    if result.empirical is not None:
        panels.append(_empirical(result))
    return panels


def _pixels(size: tuple[float, float]) -> str:
    """Write a height and width in pixels, one number for a square."""
    height, width = (words.number(value) if value < 1000 else f"{value:.0f}" for value in size)
    return f"{height}{TIMES}{width} px"


def _theoretical(result: FieldResult) -> Panel:
    """Show what the unit can see."""
    shape = result.image.shape[0], result.image.shape[1]
    box, center = result.box, result.center
    if box is None or center is None:
        text = f"not known: cannot follow {result.reason}" if result.reason else "not known"
        return Panel("theoretical: not known", result.image, lambda *_: None, (("", text),))

    def over(canvas: Canvas, plate: Plate) -> None:
        outline(canvas, plate, box, shape, THEORY)
        middle(canvas, plate, center, shape, min(box[2] - box[0], box[3] - box[1]))

    legend = [(f"solid {THEORY}", _seen(result)), ("cross", f"its middle: y {center[0]:g}, x {center[1]:g}")]
    if result.status != "global":
        every = f"every {_step(result)}" if result.theoretical[1].any() else "the same for all positions"
        legend[0] = (legend[0][0], f"{legend[0][1]}, {every}")
    if _is_cut(box, shape):
        seen = clip(box, shape)
        legend.append(
            (
                f"cut {THEORY}",
                f"goes on beyond the border; inside {seen[2] - seen[0]}{TIMES}{seen[3] - seen[1]} px",
            )
        )
    return Panel(
        f"theoretical: {_pixels(result.size)}", wash(result.image, clip(box, shape)), over, tuple(legend)
    )


def _seen(result: FieldResult) -> str:
    what = {
        "global": "sees the whole input",
        "upper_bound": f"sees at most {_pixels(result.size)}",
    }
    return what.get(result.status, f"sees {_pixels(result.size)}")


def _step(result: FieldResult) -> str:
    down, across = (float(value) for value in result.theoretical[1])
    return f"{down:g} px" if down == across else f"{down:g} px down, {across:g} px across"


def _is_cut(box: tuple[int, int, int, int], shape: tuple[int, int]) -> bool:
    return clip(box, shape) != box


def clip(box: tuple[int, int, int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Cut a box (top, left, bottom, right) at the border of an image of this height and width."""
    top, left, bottom, right = box
    height, width = shape
    return (
        min(max(top, 0), height),
        min(max(left, 0), width),
        max(min(bottom, height), 0),
        max(min(right, width), 0),
    )


def _effective(result: FieldResult) -> Panel:
    """Show what the unit uses."""
    shape = result.image.shape[0], result.image.shape[1]
    values: Floats = np.asarray(result.effective, dtype=np.float64)
    shares = values / (peak(values) or 1.0)
    center, sigma, width = result.effective_center, result.effective_sigma, result.effective_width

    def over(canvas: Canvas, plate: Plate) -> None:
        if result.box is not None:
            outline(canvas, plate, result.box, shape, THEORY)
        if center is not None and sigma is not None:
            ring(canvas, plate, center, (2 * sigma[0], 2 * sigma[1]), MEASURED)

    of = "|gradient|" if result.gradient == "absolute" else "positive gradient"
    legend = [("", f"{of} at each pixel, mean over {words.counted(len(result.images), 'image')}")]
    if sigma is not None:
        text = f"Gaussian fit: 2 s.d. of {sigma[0]:.1f} px down, {sigma[1]:.1f} px across"
        legend.append((f"solid {MEASURED}", text))
    if result.box is not None:
        legend.append((f"solid {THEORY}", f"theoretical: {_pixels(result.size)}"))
    heading = "effective"
    if width is not None:
        heading += f": {width:.0f} px wide"
        if result.effective_ratio is not None:
            heading += f", {100 * result.effective_ratio:.0f} % of the theoretical"
        legend.append(("", "width: √ of the count of pixels above 4.55 %"))
    ticks = ((0.0, "0"), (0.0455, "4.55 %"), (0.25, "25 %"), (1.0, "largest"))
    return Panel(heading, heat(result.image, shares), over, tuple(legend), ticks)


def _empirical(result: FieldResult) -> Panel:
    """Show what the units react to, brought from where they are most active to the position that is drawn."""
    shape = result.image.shape[0], result.image.shape[1]
    maps: Floats = np.asarray(result.empirical, dtype=np.float64)
    mean = maps.mean(axis=0)
    own = (shape[0] // 2, shape[1] // 2)
    here = own if result.center is None else (round(result.center[0]), round(result.center[1]))
    shares = _moved(mean / (peak(mean) or 1.0), here[0] - own[0], here[1] - own[1])
    size = result.empirical_size
    # Around the part that is counted, which need not lie in the middle of what the units can see.
    rows, columns = np.nonzero(shares >= _COUNTED)
    about = (float(rows.mean()), float(columns.mean())) if len(rows) else (float(here[0]), float(here[1]))

    def over(canvas: Canvas, plate: Plate) -> None:
        if result.box is not None:
            outline(canvas, plate, result.box, shape, THEORY)
        if size is not None:
            square(canvas, plate, about, size, MEASURED)

    count = len(result.empirical_units)
    sizes = list(zip(result.empirical_units, result.empirical_sizes, strict=True))
    listed = ", ".join(f"{unit} ({own:.0f} px)" for unit, own in sizes[:8]) + (", …" if count > 8 else "")
    each = f"on at most {words.counted(result.top, 'image')} each"
    legend = [
        ("", f"|change| of the activation under {result.patch} px of noise"),
        ("", f"mean over {words.counted(count, 'unit')}, {each}: {listed}"),
    ]
    heading = "empirical"
    if size is not None:
        several = count > 1 and result.empirical_spread is not None
        spread = f" ± {result.empirical_spread:.0f}" if several else ""
        heading += f": {size:.0f}{spread} px wide"
        legend.append((f"dotted {MEASURED}", f"width, {size:.0f} px: √ of the count of pixels above 25 %"))
    if result.box is not None:
        legend.append((f"solid {THEORY}", f"theoretical: {_pixels(result.size)}"))
    lost = sorted((*result.dead, *result.still))
    if lost:
        some = ", ".join(str(unit) for unit in lost[:8]) + (", …" if len(lost) > 8 else "")
        legend.append(("", f"left out (dead, or nothing changes them): {some}"))
    ticks = ((0.0, "0"), (0.25, "25 %"), (1.0, "largest"))
    return Panel(heading, heat(result.image, shares), over, tuple(legend), ticks)


def _moved(values: Floats, down: int, across: int) -> Floats:
    """Shift an array by whole pixels; what leaves it is lost, what enters is 0."""
    height, width = values.shape
    moved = np.zeros_like(values)
    if abs(down) < height and abs(across) < width:
        to_y, to_x = max(down, 0), max(across, 0)
        y, x = max(-down, 0), max(-across, 0)
        rows, columns = height - abs(down), width - abs(across)
        moved[to_y : to_y + rows, to_x : to_x + columns] = values[y : y + rows, x : x + columns]
    return moved


def _draw_legend(canvas: Canvas, panel: Panel, left: float, y: float, room: float) -> float:
    """Draw a panel's scale and legend below it; return the y below."""
    if panel.bar:
        y = heat_bar(canvas, left, y - 10, panel.bar) + 12
    for what, text in panel.legend:
        y = sample(canvas, left, y, what, text, room)
    return y


def _legend_height(panel: Panel, room: float) -> int:
    """Return the pixels that a panel's scale and legend take, `room` pixels wide."""
    lines = [words.wrap([text], room - (26 if what else 0), style.LABEL) for what, text in panel.legend]
    return sum(13 * len(one) + 3 for one in lines) + (30 if panel.bar else 0)


_SHARE: Final = 0.42
_GAP: Final = 8
_WORTH: Final = 1.8


class Inset(NamedTuple):
    """The window of a photograph that is shown again, enlarged: its pixels, and which corner it lies in."""

    top: int
    left: int
    bottom: int
    right: int
    factor: int
    low: bool
    far: bool


def _choose_inset(result: FieldResult, width: int, height: int) -> Inset | None:
    """Choose what to enlarge where the field is too small on the photograph to be looked at; None elsewhere."""
    rows, columns = result.image.shape[:2]
    if result.box is None:
        return None
    top, left, bottom, right = clip(result.box, (rows, columns))
    side = max(bottom - top, right - left)
    if not 0 < side <= max(rows, columns) / 6:
        return None
    # As much again around it as lies inside, on the whole.
    around = max(2, side // 4)
    top, left = max(top - around, 0), max(left - around, 0)
    bottom, right = min(bottom + around, rows), min(right + around, columns)
    low, far = (top + bottom) / 2 < rows / 2, (left + right) / 2 < columns / 2
    scale = width / columns
    longest = max(bottom - top, right - left)
    for factor in range(int(_SHARE * max(width, height) // longest), 0, -1):
        if factor < _WORTH * scale:
            break
        # In the farthest corner it may take what the field itself leaves free, in either direction.
        wide, high = (right - left) * factor + 2 * _GAP, (bottom - top) * factor + 2 * _GAP
        free_across = (columns - right if far else left) * scale
        free_down = (rows - bottom if low else top) * scale
        if wide <= width and high <= height and (wide <= free_across or high <= free_down):
            return Inset(top, left, bottom, right, factor, low, far)
    return None


def _note_on(inset: Inset, scale: float) -> tuple[str, str]:
    """Say in a legend what the corner shows; `scale` is the pixels of paper that a pixel of the photograph takes."""
    return "", f"corner: the field, enlarged {inset.factor / scale:.2g} times"


def enlarge(canvas: Canvas, panel: Panel, plate: Plate, inset: Inset) -> Box:
    """Draw the window in the photograph's corner that is farthest from it, with all marks; return its box."""
    left, top, width, height = plate.box
    wide, high = (inset.right - inset.left) * inset.factor, (inset.bottom - inset.top) * inset.factor
    x = left + width - wide - _GAP if inset.far else left + _GAP
    y = top + height - high - _GAP if inset.low else top + _GAP
    window = (x, y, float(wide), float(high))
    whole = (
        x - inset.left * inset.factor,
        y - inset.top * inset.factor,
        float(panel.pixels.shape[1] * inset.factor),
        float(panel.pixels.shape[0] * inset.factor),
    )
    canvas.image(panel.pixels[inset.top : inset.bottom, inset.left : inset.right], window)
    panel.over(canvas, Plate(whole, inset.factor, window))
    canvas.frames([window], style.PAPER, line=3.0, out=1.5)
    return window


_SIDE: Final = 336
_BETWEEN: Final = 28
_HEADING: Final = 22
_CHART: Final = (640, 330)
_LEAST: Final = 560


def field_figure(result: FieldResult) -> Figure:
    """Draw a unit's field on the image, up to three ways side by side, and the field sizes of all layers.

    Parameters
    ----------
    result : FieldResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the pictures; the Axes labelled ``"chart"`` holds the sizes.
    """
    with style.style():
        return _draw(result)


def _draw(result: FieldResult) -> Figure:
    panels = _panels_of(result)
    width, height = fit(result.image.shape, _SIDE, whole=False)
    inset = _choose_inset(result, width, height)
    if inset is not None:
        panels = [
            panel._replace(legend=(*panel.legend, _note_on(inset, width / result.image.shape[1])))
            for panel in panels
        ]
    room = max(width, 230)
    abreast = page.columns(len(panels), room, _BETWEEN, 2 * MARGIN)
    row = abreast * room + (abreast - 1) * _BETWEEN
    wide = page.side(_CHART[0])
    beside = len(panels) == 1 and 2 * MARGIN + row + _BETWEEN + wide <= page.widest()
    paper = 2 * MARGIN + (row + _BETWEEN + wide if beside else max(row, page.least(_LEAST) - 2 * MARGIN))
    head = Head.of(_title(result), _caption(result), paper, warnings=(*result.notes, *result.doubts))
    top = head.height + 2
    below = max(_legend_height(panel, room) for panel in panels)
    body = _HEADING + height + 18 + below
    rows = -(-len(panels) // abreast)
    chart_height = max(page.side(_CHART[1]), body) if beside else page.side(_CHART[1])
    total = top + (chart_height if beside else rows * (body + 18) + chart_height) + MARGIN
    canvas = Canvas(paper, int(total))
    head.draw(canvas)
    boxes = []
    for number, panel in enumerate(panels):
        down, across = divmod(number, abreast)
        left, y = MARGIN + across * (room + _BETWEEN), top + down * (body + 18)
        place = (float(left), float(y + _HEADING), float(width), float(height))
        plate = Plate(place, width / result.image.shape[1], place)
        boxes.append(place)
        canvas.heading(left, y + 12, panel.heading, room if page.given() else None)
        whole = plate.scale >= 1 and float(plate.scale).is_integer()
        canvas.image(panel.pixels, plate.box, smooth=not whole)
        panel.over(canvas, plate)
        if inset is not None:
            boxes.append(enlarge(canvas, panel, plate, inset))
        _draw_legend(canvas, panel, left, y + _HEADING + height + 18, room)
    canvas.frames(boxes)
    if beside:
        chart(canvas, result, (MARGIN + row + _BETWEEN, top, wide, chart_height))
    else:
        chart(canvas, result, (MARGIN, top + rows * (body + 18), paper - 2 * MARGIN, chart_height))
    return canvas.figure


def _title(result: FieldResult) -> list[str]:
    return [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        _units(result),
    ]


def _units(result: FieldResult) -> str:
    if result.units is None:
        return words.counted(result.channels, "unit")
    numbers = ", ".join(str(unit) for unit in result.units[:6])
    more = f" and {len(result.units) - 6} more" if len(result.units) > 6 else ""
    return f"unit{'' if len(result.units) == 1 else 's'} {numbers}{more} of {result.channels}"


def _caption(result: FieldResult) -> list[str]:
    row, column = result.position
    rows, columns = result.map_shape
    _, height, width = result.input_shape
    caption = [
        f"receptive field of row {row}, column {column} of the {rows}{TIMES}{columns} map",
        f"input {height}{TIMES}{width} pixels",
    ]
    if len(result.images) > 1:
        caption.append(f"drawn on {result.images[0]}, the first of {len(result.images)} images")
    else:
        caption += [f"drawn on {name}" for name in result.images]
    return caption
