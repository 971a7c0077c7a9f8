"""The pictures of a field's figure: what is drawn over the photograph, and what the legend below it says."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from netviz.render import style, words
from netviz.render.canvas import Canvas
from netviz.render.field_marks import (
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
from netviz.render.scales import Floats, Pixels, peak
from netviz.render.words import TIMES
from netviz.results import FieldResult

_COUNTED: Final = 0.25
"""What share of the largest change belongs to an empirical field."""


class Panel(NamedTuple):
    """One picture of the row: its heading, its pixels, what is drawn over it, and the legend below."""

    heading: str
    pixels: Pixels
    over: Callable[[Canvas, Plate], None]
    legend: tuple[tuple[str, str], ...]
    bar: tuple[tuple[float, str], ...] = ()


def panels_of(result: FieldResult) -> list[Panel]:
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
        legend[0] = (legend[0][0], f"{legend[0][1]}, every {_step(result)}")
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


def draw_legend(canvas: Canvas, panel: Panel, left: float, y: float, room: float) -> float:
    """Draw a panel's scale and legend below it; return the y below."""
    if panel.bar:
        y = heat_bar(canvas, left, y - 10, panel.bar) + 12
    for what, text in panel.legend:
        y = sample(canvas, left, y, what, text, room)
    return y


def legend_height(panel: Panel, room: float) -> int:
    """Return the pixels that a panel's scale and legend take, `room` pixels wide."""
    lines = [words.wrap([text], room - (26 if what else 0), style.LABEL) for what, text in panel.legend]
    return sum(13 * len(one) + 3 for one in lines) + (30 if panel.bar else 0)
