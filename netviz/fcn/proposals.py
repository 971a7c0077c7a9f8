"""Region proposals: boxes around the segments of an image at several scales, as R-CNN takes them from one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALES = (25, 50, 100, 200, 400, 800, 1600)
"""Felzenszwalb and Huttenlocher's k: a larger one gives larger segments."""

SIDE = 500
"""Images are segmented at this long side, in pixels: segmenting takes longer than linearly many pixels."""

MOST = 2000
"""R-CNN's number of regions for an image."""

_LEAST = 16

Boxes = NDArray[np.int64]


def propose(
    image: NDArray[np.uint8], *, scales: Sequence[int] = SCALES, most: int = MOST, least: int = _LEAST
) -> Boxes:
    """Propose regions of an image that may hold an object.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    scales : sequence of int
        Of the segmentations, Felzenszwalb and Huttenlocher's k.
    most : int
        How many at most; the largest stay.
    least : int
        Boxes with a side below this many pixels, at the size at which the image is segmented, are left out.

    Returns
    -------
    ndarray of int64, shape (R, 4)
        Top, left, bottom, right, half-open, in pixels of the image; none twice, the largest first. The whole image is
        always one of them.

    References
    ----------
    Girshick et al., "Rich feature hierarchies", CVPR 2014, takes them from selective search, which begins with these
    segmentations. Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 2004.
    """
    from skimage.segmentation import felzenszwalb

    height, width = image.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    small = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = np.asarray(Image.fromarray(image).resize(small[::-1], Image.Resampling.BILINEAR))
    found = [np.array([[0, 0, *small]], dtype=np.int64)]
    for scale in scales:
        segments = felzenszwalb(pixels, scale=scale, sigma=0.8, min_size=20)
        boxes = _extents(segments)
        large = (boxes[:, 2] - boxes[:, 0] >= least) & (boxes[:, 3] - boxes[:, 1] >= least)
        found.append(boxes[large])
    down, across = height / small[0], width / small[1]
    each = np.unique(np.concatenate(found), axis=0) * np.array([down, across, down, across])
    boxes = np.rint(each).astype(np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    largest: Boxes = boxes[np.argsort(-areas, kind="stable")][:most]
    return largest


def _extents(segments: NDArray[np.integer]) -> Boxes:
    """Return the box of every segment, numbered from 0."""
    count = int(segments.max()) + 1
    axes = []
    for places in np.indices(segments.shape):
        first, last = np.full(count, places.max()), np.zeros(count, dtype=np.int64)
        np.minimum.at(first, segments.ravel(), places.ravel())
        np.maximum.at(last, segments.ravel(), places.ravel() + 1)
        axes.append((first, last))
    boxes: Boxes = np.stack([one for pair in zip(*axes, strict=True) for one in pair], axis=1)
    return boxes


def spread_evenly(boxes: Boxes, count: int) -> Boxes:
    """Return so many of the boxes, spread evenly over their order; all of them if there are fewer."""
    if count >= len(boxes):
        return boxes
    chosen: Boxes = boxes[np.linspace(0, len(boxes) - 1, count).round().astype(np.intp)]
    return chosen


def paint(boxes: Boxes, scores: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return, for every pixel, the score of the smallest box that holds it; NaN where there is none.

    The best score of all of them would be that of some box around nearly the whole image, nearly everywhere.

    Parameters
    ----------
    boxes : ndarray of int64, shape (R, 4)
    scores : ndarray of float32, shape (R,)
    shape : (int, int)
        Height and width of the image.
    """
    painted = np.full(shape, np.nan, dtype=np.float32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for at in np.argsort(-areas, kind="stable"):
        top, left, bottom, right = boxes[at]
        painted[top:bottom, left:right] = scores[at]
    return painted
