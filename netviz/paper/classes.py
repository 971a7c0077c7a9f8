"""Pictures of classes: a colour for each, and the legend that names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.layout import Canvas
from netviz.paper.scales import Pixels

_ROW: Final = 19
_SWATCH: Final = 12
_GAP: Final = 16
_LONGEST: Final = 190


def class_colours(codes: NDArray[np.integer[Any]]) -> Pixels:
    """Colour classes (H, W), uint8 (H, W, 3); negative ones in the colour of what has none."""
    table = np.array([style.rgb(colour) for colour in (*style.CLASSES, style.VOID)], dtype=np.uint8)
    place = np.where(codes < 0, len(style.CLASSES), codes % len(style.CLASSES))
    return table[place]


def class_colour(number: int) -> str:
    """Return the colour of one class as ``#rrggbb``; they repeat where there are more classes than colours."""
    return style.VOID if number < 0 else style.CLASSES[number % len(style.CLASSES)]


@dataclass(frozen=True)
class Legend:
    """Swatches with names, in rows.

    Attributes
    ----------
    entries : tuple of (float, float, str, str)
        Left edge and top of each swatch from the legend's corner, its colour, and its name, already cut.
    height : int
        In pixels.
    """

    entries: tuple[tuple[float, float, str, str], ...]
    height: int

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Draw it with its corner there."""
        boxes = []
        for x, y, colour, name in self.entries:
            box = (left + x, top + y, float(_SWATCH), float(_SWATCH))
            canvas.image(np.array([[style.rgb(colour)]], dtype=np.uint8), box)
            boxes.append(box)
            canvas.text(
                left + x + _SWATCH + 5, top + y + _SWATCH / 2, name, style.LABEL, va="center_baseline"
            )
        canvas.frames(boxes)


def legend(entries: Sequence[tuple[str, str]], width: float) -> Legend:
    """Lay out swatches, (colour, name), in rows of at most `width` pixels."""
    placed, x, row = [], 0.0, 0
    for colour, name in entries:
        text = words.shorten(name, min(_LONGEST, width - _SWATCH - 5), style.LABEL)
        taken = _SWATCH + 5 + words.width(text, style.LABEL)
        if x and x + taken > width:
            x, row = 0.0, row + 1
        placed.append((x, float(row * _ROW), colour, text))
        x += taken + _GAP
    return Legend(tuple(placed), (row + 1) * _ROW if placed else 0)
