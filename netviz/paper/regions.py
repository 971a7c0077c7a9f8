"""Parts of an image that are no boxes: their outlines, and the image pale or in greys below or around them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.layout import Box, Canvas
from netviz.paper.scales import Floats, Pixels

_HALO: Final = 1.8


def edges(labels: NDArray[Any], border: bool = True) -> Floats:
    """Return the lines between pixels of different labels, as long as they run straight.

    Parameters
    ----------
    labels : ndarray of shape (H, W)
        Booleans (a mask) or integers (segments).
    border : bool
        Whether what is not 0 also has a line along the image's border.

    Returns
    -------
    ndarray of shape (K, 4)
        x, y, x', y' in pixels of the image; 0, 0 is the top left corner of the first.
    """
    values = np.pad(labels.astype(np.int64), 1, mode="constant" if border else "edge")
    across = _runs(values[1:, 1:-1] != values[:-1, 1:-1])
    down = _runs((values[1:-1, 1:] != values[1:-1, :-1]).T)
    lines: Floats = np.concatenate(
        (
            np.stack((across[:, 1], across[:, 0], across[:, 2], across[:, 0]), axis=1),
            np.stack((down[:, 0], down[:, 1], down[:, 0], down[:, 2]), axis=1),
        )
    ).astype(np.float64)
    return lines


def _runs(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return row, first column and column after the last of every run of true values, (K, 3)."""
    steps = np.diff(np.pad(marked, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, first = np.nonzero(steps == 1)
    last = np.nonzero(steps == -1)[1]
    return np.stack((rows, first, last), axis=1).astype(np.int64)


def draw_edges(
    canvas: Canvas, lines: Floats, box: Box, shape: tuple[int, int], colour: str, line: float, halo: str = ""
) -> None:
    """Draw lines (K, 4) of an image of this height and width over where it lies on the paper."""
    left, top, width, height = box
    scale = np.array((width / shape[1], height / shape[0]) * 2)
    placed = lines * scale + np.array((left, top) * 2)
    for colours, thick in ((halo, line + _HALO), (colour, line)):
        if colours:
            # Half a line longer on both ends, so that corners close.
            level = lines[:, 1] == lines[:, 3]
            reach = np.where(level[:, None], (-1, 0, 1, 0), (0, -1, 0, 1)) * thick / 2
            canvas.lines([((x, y, u, v), colours) for x, y, u, v in (placed + reach).tolist()], thick)


def pale(image: Pixels, share: float = 0.68) -> Pixels:
    """Mix an image with white, so that what lies over it or beside it stands out; `share` is that of the white."""
    mixed: Pixels = np.rint(image * (1 - share) + 255 * share).astype(np.uint8)
    return mixed


def outside_pale(image: Pixels, inside: NDArray[np.bool_]) -> Pixels:
    """Make an image (H, W, 3) pale outside of a mask (H, W)."""
    shown: Pixels = np.where(inside[..., None], image, pale(image))
    return shown


def brightness(image: Pixels) -> Floats:
    """Return the brightness (H, W) of an image (H, W, 3), 0 … 255: Y of ITU-R BT.601."""
    values: Floats = image.astype(np.float64) @ np.array((0.299, 0.587, 0.114))
    return values


def grey(image: Pixels) -> Pixels:
    """Return an image (H, W, 3) in greys, so that colour is left to what is laid over it."""
    return np.repeat(np.rint(brightness(image))[..., None], 3, axis=2).astype(np.uint8)


def over_grey(opacity: float) -> str:
    """Say how colours lie over an image in greys."""
    return f"drawn at {words.percent(opacity)} over the grey image"


OUTLINE: Final = (style.OUTLINE, style.INK)
"""Colour and halo of the outline of a mask."""
