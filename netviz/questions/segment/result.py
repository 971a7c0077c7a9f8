"""Which part of an image a unit answers to."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class SegmentResult(Result):
    """One unit's map brought to an image, and the part of the image where it is above a threshold.

    Attributes
    ----------
    mask : ndarray of bool, shape (H, W)
        In pixels of the original image: where `heat` is above `threshold` (for a quantile) or reaches it (for a
        fraction); False where the network was not shown the image.
    heat : ndarray of float32, shape (H, W)
        The map between the centres of what its positions see; NaN where the network was not shown the image.
    map : ndarray of float32, shape (h, w)
        The unit's raw output.
    image : ndarray of uint8, shape (H, W, 3)
        The original image, upright.
    network, image_name : str
        What network and image are called.
    layer, alias, layer_kind : str
        The layer's dotted name, classic alias and kind.
    unit, channels : int
        The unit, and how many the layer has.
    threshold : float
        The value; `threshold_of` says ``"quantile"`` or ``"fraction"``, and `level` which quantile of the unit's
        values, or which fraction of its map's maximum.
    threshold_of, level : str, float
        See `threshold`.
    source : str
        Where a quantile was taken: over which images, or in which run; "" for a fraction.
    images, positions, samples : int
        Over how many images and positions a quantile was taken, and how many of these positions were looked at (all,
        or a random sample); 0 for a fraction.
    skipped : tuple of (str, str)
        Images for the quantile that could not be read, and why.
    share, shown : float
        Which share of the original's pixels the mask covers, and which share the network was shown.
    shown_box : (int, int, int, int)
        Top, left, bottom, right (half-open) of the pixels that the network was shown.
    field_size, field_stride : (float, float)
        The layer's receptive field, in pixels of the network's input, (y, x).
    field_status : str
        ``exact`` or ``upper_bound``.
    input : str
        What becomes of an image before the network sees it.
    """

    kind: ClassVar[str] = "segment"
    axes: ClassVar[dict[str, str]] = {
        "mask": "height width",
        "heat": "height width",
        "map": "* *",
        "image": "height width 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "heat": "any",
        "map": "any",
        "unit": "0:channels",
        "threshold": "any",
        "threshold_of": "quantile | fraction",
        "level": "0…1",
        "images": "0…",
        "positions": "0…",
        "samples": "0…",
        "share": "0…1",
        "shown": "0…1",
        "shown_box": "0…",
        "field_size": "0…1e9",
        "field_stride": "0…1e9",
        "field_status": "exact | upper_bound | global | unknown",
    }

    mask: NDArray[np.bool_]
    heat: NDArray[np.float32]
    map: NDArray[np.float32]
    image: NDArray[np.uint8]
    network: str
    image_name: str
    layer: str
    alias: str
    layer_kind: str
    unit: int
    channels: int
    threshold: float
    threshold_of: str
    level: float
    source: str
    images: int
    positions: int
    samples: int
    skipped: tuple[tuple[str, str], ...]
    share: float
    shown: float
    shown_box: tuple[int, int, int, int]
    field_size: tuple[float, float]
    field_stride: tuple[float, float]
    field_status: str
