"""How far pixels lie from where labels change: the trimap's bands (Kohli, Ladicky, Torr, IJCV 2009)."""

import numpy as np
from numpy.typing import NDArray

WIDTH = 20
"""The widest band that is looked at, in pixels."""


def boundary_band(labels: NDArray[np.integer], width: int = WIDTH) -> NDArray[np.int64]:
    """Return the narrowest band around the label boundaries that each pixel lies in, less 1.

    A boundary runs between neighbours in a row or column whose labels differ (void is a label too). The band of 1 is
    the pixels on both sides of it; that of r those no further than r - 1 pixels from one of these.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
    width : int
        The widest band, in pixels.

    Returns
    -------
    ndarray of int64, shape (H, W)
        0 for the band of 1, …, ``width - 1``; `width` for what lies in none of them.
    """
    from scipy.ndimage import distance_transform_edt

    edge = np.zeros(labels.shape, dtype=bool)
    for here, there, change in (
        (edge[1:], edge[:-1], labels[1:] != labels[:-1]),
        (edge[:, 1:], edge[:, :-1], labels[:, 1:] != labels[:, :-1]),
    ):
        here |= change
        there |= change
    if not edge.any():
        return np.full(labels.shape, width, dtype=np.int64)
    distance = np.ceil(distance_transform_edt(~edge) - 1e-9)
    band: NDArray[np.int64] = np.minimum(distance, width).astype(np.int64)
    return band
