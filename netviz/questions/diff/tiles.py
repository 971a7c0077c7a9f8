"""A unit's filter in two networks, and the difference, as small pictures on one scale."""

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style
from netviz.paper.scales import colourise, peak, relative
from netviz.paper.tiles import enlarge, lay_out


def filter_tiles(
    pair: NDArray[np.floating], side: int, order: str, sees_image: bool
) -> list[NDArray[np.uint8]]:
    """Draw a unit's filter in both networks, and the difference, on one scale.

    Parameters
    ----------
    pair : ndarray of shape (2, I, kh, kw)
    side : int
        Pixels that a picture may be wide and high, about.
    order : str
        How the network orders an image's channels.
    sees_image : bool
        Whether the filter reads the image.

    Returns
    -------
    list of ndarray of uint8, shape (H, W, 3)
        Before, after, after minus before. Of a filter of many inputs the largest of either network are shown, as a
        square of small tiles, the same inputs at the same places.
    """
    before, after = pair.astype(np.float64)
    largest = peak(pair)
    shares = relative(np.stack([before, after, after - before]), np.full(3, largest))
    inputs, high, wide = before.shape
    if sees_image and inputs == 3:
        shares = shares[:, ::-1] if order == "BGR" else shares
        tiles = colourise(np.moveaxis(shares, 1, -1), "rgb")
        return list(enlarge(tiles, max(1, side // max(high, wide))))
    across = _across(inputs, max(high, wide))
    norms = np.linalg.norm(pair.astype(np.float64).reshape(2, inputs, -1), axis=2).max(axis=0)
    chosen = np.sort(np.argsort(-norms, kind="stable")[: across * across])
    shown = colourise(np.clip(shares[:, chosen], -1, 1), "diverging")
    gap = 1 if across > 1 else 0
    zoom = max(1, (side - gap * (across + 1)) // (across * max(high, wide)))
    sheet = style.rgb(style.PAPER)
    return [lay_out(enlarge(tiles, zoom), across, gap, sheet, sheet) for tiles in shown]


def _across(inputs: int, longest: int) -> int:
    """Return how many small tiles stand abreast: fewer of large kernels."""
    most = 8 if longest == 1 else 4 if longest <= 3 else 3 if longest <= 5 else 2
    return max(1, min(most, int(np.ceil(np.sqrt(inputs)))))
