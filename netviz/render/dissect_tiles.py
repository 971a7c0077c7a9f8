"""Patches of chosen units with the mask of a dissection: where their maps are above their thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netviz.render import style
from netviz.render.patch_frame import Frame
from netviz.render.patch_tiles import Images, outline, oversized, read_each
from netviz.render.scales import Pixels
from netviz.results import PatchesResult

_FAR: Final = 1e6


@dataclass(frozen=True)
class MaskedTiles:
    """Patches of some units, all of one size.

    Attributes
    ----------
    units : tuple of int
    pixels : ndarray of uint8, shape (units, top, side, side, 3)
        Darkened where a unit is not active, the border between as a line.
    missing, filled : ndarray of bool, shape (units, top)
        Patches whose image could not be read; whether there is a patch.
    drawn : ndarray of int64, shape (units, top, 4)
        Top, left, bottom, right of what is not paper, in the tile.
    reasons : tuple of str
        Why each of the images could not be read.
    read, margins : int
        How many images were; how many patches reach beyond the image.
    """

    units: tuple[int, ...]
    pixels: Pixels
    missing: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    drawn: NDArray[np.int64]
    reasons: tuple[str, ...]
    read: int
    margins: int


def masked_tiles(
    result: PatchesResult,
    threshold: NDArray[np.float64],
    images: Images,
    units: Sequence[int],
    top: int,
    side: int,
) -> MaskedTiles:
    """Cut the first patches of some units out of their images; each image is asked for once, and none is kept.

    The mask is that of the dissection to half a pixel of the image, in which the run keeps where its maps lie.

    Parameters
    ----------
    result : PatchesResult
    threshold : ndarray of float64, shape (units of the layer,)
        A unit is active where its map, interpolated linearly between positions, is above.
    images : callable
        Gives an image's pixels by its number.
    units : sequence of int
    top : int
        How many patches of each.
    side : int
        Height and width of a tile in pixels.
    """
    top = min(top, result.image.shape[1])
    shape = (len(units), top)
    pixels = np.empty((*shape, side, side, 3), dtype=np.uint8)
    pixels[:] = style.rgb(style.PAPER)
    missing = np.zeros(shape, dtype=np.bool_)
    drawn = np.zeros((*shape, 4), dtype=np.int64)
    drawn[..., 2:] = side
    chosen = result.image[list(units), :top]
    kept = np.tile(~np.array(oversized(result)), 2)
    reasons = []
    read = margins = 0
    for image, entries in read_each(result, images, units, top):
        if isinstance(image, str):
            reasons.append(image)
            missing[tuple(zip(*entries, strict=True))] = True
            continue
        read += 1
        for row, place in entries:
            unit = units[row]
            frame = Frame.of(result.box[unit, place], result.margin[unit, place] * kept, side)
            tile, inside = frame.draw(image)
            above, known = above_threshold(result, frame, unit, place, float(threshold[unit]))
            outline(tile, inside, above, known)
            margins += frame.beyond
            pixels[row, place], drawn[row, place] = tile, frame.drawn
    return MaskedTiles(
        units=tuple(units),
        pixels=pixels,
        missing=missing,
        filled=chosen >= 0,
        drawn=drawn,
        reasons=tuple(reasons),
        read=read,
        margins=margins,
    )


def above_threshold(
    result: PatchesResult, frame: Frame, unit: int, place: int, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how far above its threshold a unit is in each pixel of a tile, as a share of its score, and where known.

    A value that is not above is never positive.
    """
    score = float(result.score[unit, place])
    values, known = frame.map_values(result, unit, place)
    # Shares of a negative score are the larger the lower the value; of 0 there are none.
    share = float(np.clip(threshold / score, -_FAR, _FAR)) if score else 0.0
    if score > 0:
        above = values - share
    elif score < 0:
        above = share - values
    else:
        above = np.full(values.shape, -threshold)
    # The outline counts a place on the border as half inside, but one at the threshold is not above it.
    return np.where(above > 0, above, np.minimum(above, -1e-6)), known
