"""The segments of an image, and what they show when they are removed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import filters
from skimage.restoration import inpaint_biharmonic
from skimage.segmentation import slic

from netviz.errors import ImageError

FILLS = ("blur", "inpaint", "mean")
COMPACTNESS = 10.0
"""How much SLIC weighs place against colour."""

_AROUND = 4
"""Pixels around a segment from which it is continued; the biharmonic equation looks 2 pixels far."""

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


def segmented(image: Pixels, segments: int, name: str = "the image") -> Labels:
    """Part an image (H, W, 3) by SLIC into about so many connected segments, numbered 0 … S - 1; (H, W).

    Raises
    ------
    ImageError
        If the image has fewer pixels than that.
    """
    height, width = image.shape[:2]
    if segments > height * width:
        raise ImageError(
            f"{name} has {height}×{width} pixels as the network sees it, fewer than {segments} segments; "
            f"give fewer --segments"
        )
    found = slic(image, n_segments=segments, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    labels: Labels = np.unique(found, return_inverse=True)[1].reshape(height, width).astype(np.int64)
    return labels


def blur_width(image: Pixels) -> float:
    """Return the standard deviation of the blur in pixels: a tenth of the short side."""
    height, width = image.shape[:2]
    return float(min(height, width)) / 10


def filled(image: Pixels, labels: Labels, fill: str) -> Pixels:
    """Return what every segment shows when it is removed, as a whole image (H, W, 3).

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    labels : ndarray of int64, shape (H, W)
        The segment of every pixel.
    fill : {"blur", "inpaint", "mean"}
        The image after a Gaussian of `blur_width`; each segment continued from the image around it, by the biharmonic
        equation, whatever else is removed; the image's mean colour.
    """
    if fill == "blur":
        untyped: Any = filters
        soft = untyped.gaussian(
            image.astype(np.float64), sigma=blur_width(image), mode="nearest", channel_axis=-1
        )
        return _rounded(soft)
    mean = _rounded(np.broadcast_to(image.mean(axis=(0, 1), dtype=np.float64), image.shape))
    if fill == "mean" or not labels.any():
        return mean
    result = np.empty_like(image)
    for number in range(int(labels.max()) + 1):
        rows, cols = np.nonzero(labels == number)
        box = (
            slice(max(int(rows.min()) - _AROUND, 0), int(rows.max()) + 1 + _AROUND),
            slice(max(int(cols.min()) - _AROUND, 0), int(cols.max()) + 1 + _AROUND),
        )
        inside = labels[box] == number
        continued = inpaint_biharmonic(image[box] / 255, inside, channel_axis=-1)
        result[box][inside] = _rounded(continued[inside] * 255)
    return result


def _rounded(values: NDArray[np.float64]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels
