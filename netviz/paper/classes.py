"""Pictures of classes: a colour for each, and the legend that names them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.layout import Canvas
from netviz.paper.scales import Pixels

NEAR: Final = 20.0
"""Distance in CIELAB below which two colours are near."""

_XYZ: Final = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE: Final = (0.9505, 1.0, 1.089)

_ROW: Final = 19
_SWATCH: Final = 12
_GAP: Final = 16
_LONGEST: Final = 190


def palette(names: Sequence[str]) -> tuple[str, ...]:
    """Return a colour for each class: of what its name means where that has one, else one that is far from those.

    A name is looked up as a whole, without regard to case; of several before a comma the first. Of classes of one
    meaning the first has its colour. The others take those colours of `style.CLASSES`, in their order, that are not
    near one that is taken; they repeat where there are more classes.

    Parameters
    ----------
    names : sequence of str
        None for classes that have only numbers.

    Returns
    -------
    tuple of str
        ``#rrggbb``, for each name; all of `style.CLASSES` where there is none.
    """
    known = {word: colour for colour, words in style.MEANINGS for word in words}
    found: list[str | None] = []
    for name in names:
        colour = known.get(name.split(",")[0].strip().replace("_", " ").casefold())
        found.append(None if colour in found else colour)
    if not any(found):
        return style.CLASSES if not names else tuple(class_colour(at) for at in range(len(names)))
    taken = _lab([one for one in found if one is not None])
    far = np.linalg.norm(_lab(style.CLASSES)[:, None] - taken, axis=-1).min(axis=1) >= NEAR
    free = itertools.cycle(
        [one for one, apart in zip(style.CLASSES, far, strict=True) if apart] or style.CLASSES
    )
    return tuple(next(free) if one is None else one for one in found)


def class_colours(codes: NDArray[np.integer[Any]], colours: Sequence[str] = style.CLASSES) -> Pixels:
    """Colour classes (H, W) by a palette, uint8 (H, W, 3); negative ones in the colour of what has none."""
    table = np.array([style.rgb(colour) for colour in (*colours, style.VOID)], dtype=np.uint8)
    place = np.where(codes < 0, len(colours), codes % len(colours))
    return table[place]


def class_colour(number: int, colours: Sequence[str] = style.CLASSES) -> str:
    """Return the colour of one class as ``#rrggbb``; they repeat where there are more classes than colours."""
    return style.VOID if number < 0 else colours[number % len(colours)]


def _lab(colours: Sequence[str]) -> NDArray[np.float64]:
    """Return colours in CIELAB under D65 (ITU-R BT.709 primaries), shape (N, 3)."""
    share = np.array([style.rgb(one) for one in colours], dtype=np.float64).reshape(-1, 3) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(_XYZ).T / np.array(_WHITE)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


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
