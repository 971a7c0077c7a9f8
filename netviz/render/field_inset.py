"""A field that is small on the photograph, shown again in a corner, enlarged."""

from typing import Final, NamedTuple

from netviz.render import style
from netviz.render.canvas import Box, Canvas
from netviz.render.field_marks import Plate
from netviz.render.field_panels import Panel, clip
from netviz.results import FieldResult

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


def choose_inset(result: FieldResult, width: int, height: int) -> Inset | None:
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


def note_on(inset: Inset, scale: float) -> tuple[str, str]:
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
