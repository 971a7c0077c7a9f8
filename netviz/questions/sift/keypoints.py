"""SIFT by scikit-image: keypoints, the patches that they describe, and the steps of a descriptor."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.questions.places import bilinear

CELLS = 4

BINS = 8

DIMENSIONS = CELLS * CELLS * BINS

HALF_WINDOW = 6.0
"""Half the side of the descriptor's cells and the sigma of its Gaussian, in units of the keypoint's sigma."""

SIDE = 64
"""Side of a patch, in pixels."""

_APART = (1.0, 0.5, 0.25, 0.0)

_OFFSET = 0.25
"""scikit-image doubles the image about its pixels' middles, but counts positions from the first pixel's corner."""

Floats = NDArray[np.float64]

Pixels = NDArray[np.uint8]


class Keypoints(NamedTuple):
    """SIFT's keypoints of one image, one for each place.

    Attributes
    ----------
    points : ndarray of float64, shape (K, 2)
        Row and column in pixels; the middle of the first pixel is 0, 0.
    sigmas, orientations : ndarray of float64, shape (K,)
        As `SiftResult.scales` and `SiftResult.orientations`.
    descriptors : ndarray of float32, shape (K, 4, 4, 8)
        As `SiftResult.descriptors`.
    """

    points: Floats
    sigmas: Floats
    orientations: Floats
    descriptors: NDArray[np.float32]

    def at(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Keypoints":
        """Return some of them."""
        return Keypoints(
            self.points[chosen], self.sigmas[chosen], self.orientations[chosen], self.descriptors[chosen]
        )


def detect(image: Pixels) -> Keypoints:
    """Return SIFT's keypoints of an image (H, W, 3), by scikit-image with its own defaults; there may be none.

    Where SIFT gives a place several orientations, the first that it lists is kept, as other descriptors have only one
    answer for a place.
    """
    # scikit-image's parts take most of a second to import: only where they are needed.
    from skimage import feature
    from skimage.color import rgb2gray

    sift: Any = feature.SIFT
    finder = sift(n_hist=CELLS, n_ori=BINS, lambda_descr=HALF_WINDOW)
    try:
        # Its histograms divide by 0 where a neighbourhood is flat.
        with np.errstate(divide="ignore", invalid="ignore"):
            finder.detect_and_extract(rgb2gray(image))
    except (RuntimeError, IndexError, ValueError):
        # No extremum, or an image too small for a single octave.
        return Keypoints(
            np.empty((0, 2)), np.empty(0), np.empty(0), np.empty((0, CELLS, CELLS, BINS), dtype=np.float32)
        )
    _, first = np.unique(finder.positions, axis=0, return_index=True)
    first.sort()
    return Keypoints(
        np.asarray(finder.positions, dtype=np.float64)[first] - _OFFSET,
        np.asarray(finder.sigmas, dtype=np.float64)[first],
        np.asarray(finder.orientations, dtype=np.float64)[first],
        _unit(finder.descriptors[first]).reshape(-1, CELLS, CELLS, BINS),
    )


def choose(found: Keypoints, count: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return which keypoints to draw: the largest whose windows lie inside the image, apart from each other.

    Where these are fewer than `count`, windows may overlap more and more, and at last reach beyond the image. The
    order is that of choice.
    """
    turn = np.abs(np.cos(found.orientations)) + np.abs(np.sin(found.orientations))
    reach = (HALF_WINDOW * found.sigmas * turn)[:, None]
    inside = ((found.points - reach >= -0.5) & (found.points + reach <= np.array(shape) - 0.5)).all(axis=1)
    order = np.argsort(-found.sigmas, kind="stable")
    chosen: list[int] = []
    for pool in (order[inside[order]], order):
        for share in _APART:
            for one in pool:
                away = np.hypot(*(found.points[chosen] - found.points[one]).T)
                least = share * HALF_WINDOW * (found.sigmas[chosen] + found.sigmas[one])
                if one not in chosen and len(chosen) < count and (away >= least).all():
                    chosen.append(int(one))
    return np.array(chosen, dtype=np.intp)


def patch(image: Pixels, point: Floats, sigma: float, orientation: float) -> Pixels:
    """Cut the square of a keypoint's cells out of an image.

    Returns
    -------
    ndarray of uint8, shape (64, 64, 3)
        Its rows run along the orientation; white outside of the image.
    """
    step = 2 * HALF_WINDOW * sigma / SIDE
    values = image.astype(np.float64)
    if step > 1:
        values = blur(values, (step - 1) / 2)
    places, _, _ = _frame(point, sigma, orientation, SIDE, 2 * HALF_WINDOW)
    last = np.array(image.shape[:2]) - 1.0
    outside = ((places < -0.5) | (places > last + 0.5)).any(axis=1)
    cut = bilinear(np.moveaxis(values, -1, 0), np.clip(places, 0, last)).T
    cut[outside] = 255
    pixels: Pixels = np.rint(cut).clip(0, 255).astype(np.uint8).reshape(SIDE, SIDE, 3)
    return pixels


def stages(
    image: Pixels, point: Floats, sigma: float, orientation: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the steps of one descriptor, as a picture of them.

    Returns
    -------
    orientations : ndarray of float32, shape (8, 64, 64)
        Gradient magnitude in the patch, shared between the two nearest of 8 orientations.
    cells : ndarray of float32, shape (8, 4, 4)
        Summed over cells, each sample shared between the nearest, after weighting by a Gaussian.
    """
    from skimage.color import rgb2gray

    # The outermost cells reach half a cell beyond the patch.
    margin = SIDE // CELLS // 2
    count = SIDE + 2 * margin
    places, along, across = _frame(point, sigma, orientation, count, 2 * HALF_WINDOW * count / SIDE)
    grey = blur(np.asarray(rgb2gray(image))[..., None], math.sqrt(max(sigma**2 - 0.25, 0.0)))[..., 0]
    height, width = grey.shape
    values = bilinear(grey[None], np.clip(places, 0, (height - 1.0, width - 1.0))).reshape(count, count)
    down, right = np.gradient(values)
    turn = np.arctan2(right, down) * BINS / (2 * np.pi)
    apart = np.abs((turn - np.arange(BINS)[:, None, None] + BINS / 2) % BINS - BINS / 2)
    maps = np.maximum(0, 1 - apart) * np.hypot(down, right)
    inside = ((places >= 0) & (places <= (height - 1.0, width - 1.0))).all(axis=1).reshape(count, count)
    weight = np.exp(-(along**2 + across**2) / (2 * HALF_WINDOW**2)).reshape(count, count) * inside
    middles = (np.arange(CELLS) - (CELLS - 1) / 2) * 2 * HALF_WINDOW / CELLS
    near = np.maximum(
        0, 1 - np.abs(middles[:, None] - along.reshape(count, count)[:, 0]) / (2 * HALF_WINDOW / CELLS)
    )
    cells = np.einsum("bij,ri,cj->brc", maps * weight, near, near)
    return maps[:, margin:-margin, margin:-margin].astype(np.float32), cells.astype(np.float32)


def blur(values: Floats, sigma: float) -> Floats:
    """Blur an image (H, W, channels) by a Gaussian, reflected at the border."""
    from skimage import filters

    gaussian: Any = filters.gaussian
    blurred: Floats = gaussian(values, sigma, channel_axis=-1, mode="reflect", preserve_range=True)
    return blurred


def _frame(
    point: Floats, sigma: float, orientation: float, count: int, wide: float
) -> tuple[Floats, Floats, Floats]:
    """Return the places (count², 2) of a turned square of samples, and their coordinates in it in sigmas."""
    at = ((np.arange(count) + 0.5) / count - 0.5) * wide
    along, across = (values.ravel() for values in np.meshgrid(at, at, indexing="ij"))
    cos, sin = math.cos(orientation), math.sin(orientation)
    offsets = np.stack([cos * along - sin * across, sin * along + cos * across], axis=1)
    return point + sigma * offsets, along, across


def _unit(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return SIFT's bytes as shares of unit length."""
    descriptors: NDArray[np.float32] = values.astype(np.float32) / np.float32(512)
    # Bins that rounding left just below 0 arrive as 255. They show: no true descriptor is longer than 1.
    long = np.linalg.norm(descriptors, axis=1) > 1.001
    descriptors[long[:, None] & (values == 255)] = 0
    return descriptors
