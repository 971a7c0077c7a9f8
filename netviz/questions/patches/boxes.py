"""From pixels of a network's input back to pixels of the original file, exactly."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.geometry.field import Field
from netviz.images import placement
from netviz.models import Preprocessing

_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""Reach of Pillow's resampling filters, in pixels of the smaller image, or of the original when enlarging."""

Ints = NDArray[np.int64]


def patch_boxes(
    field: Field, rows: NDArray[Any], cols: NDArray[Any], sizes: NDArray[Any], preprocessing: Preprocessing
) -> tuple[Ints, Ints]:
    """Return what positions of a layer see, in pixels of the original images.

    Nothing outside of a box can change the value at its position: where an image was resized, a box holds every pixel
    that the resampling filter mixed into the field.

    Parameters
    ----------
    field : Field
        The layer's; where it is unknown or global, a box is all that the network was shown.
    rows, cols : ndarray of int, shape (P,)
        Positions in the layer's maps.
    sizes : ndarray of int, shape (P, 2)
        Height and width of each original.
    preprocessing : Preprocessing
        How the images were brought to the network's size.

    Returns
    -------
    box : ndarray of int64, shape (P, 4)
        Top, left, bottom, right, half-open.
    margin : ndarray of int64, shape (P, 4)
        How far the field reaches beyond the network's input on each side, where there was only padding; 0 only where
        it does not.
    """
    box, margin = np.zeros((len(rows), 4), dtype=np.int64), np.zeros((len(rows), 4), dtype=np.int64)
    places = _places(sizes, preprocessing)
    for axis, positions in enumerate((rows, cols)):
        resized, offset, shown = (places[:, part, axis] for part in range(3))
        low, high = _edges(field, axis, positions, shown)
        # Beyond the image the input may be padded.
        begin, end = np.maximum(-offset, 0), np.minimum(resized - offset, shown)
        inside_low, inside_high = np.clip(low, begin, end - 1), np.clip(high, begin + 1, end)
        original = sizes[:, axis].astype(np.int64)
        first, last = resampled(
            inside_low + offset, inside_high + offset, original, resized, preprocessing.interpolation
        )
        scale = original / resized
        box[:, axis], box[:, axis + 2] = first, last
        for side, beyond in ((axis, inside_low - low), (axis + 2, high - inside_high)):
            margin[:, side] = np.maximum(np.rint(beyond * scale), beyond > 0)
    return box, margin


def resampled(low: Ints, high: Ints, original: Ints, resized: Ints, interpolation: str) -> tuple[Ints, Ints]:
    """Return which pixels of the original, along one axis, are mixed into pixels low … high - 1 after resizing."""
    scale = original / resized
    reach = _SUPPORT.get(interpolation, 2.0) * np.maximum(scale, 1.0)
    # As Pillow's resample.c rounds the bounds of its filters.
    first = np.maximum(np.trunc((low + 0.5) * scale - reach + 0.5), 0).astype(np.int64)
    last = np.minimum(np.trunc((high - 0.5) * scale + reach + 0.5), original).astype(np.int64)
    same = original == resized
    return np.where(same, low, first), np.where(same, high, last)


def cell_boxes(
    field: Field,
    start: NDArray[Any],
    window: tuple[int, int],
    map_size: tuple[int, int],
    sizes: NDArray[Any],
    preprocessing: Preprocessing,
) -> Ints:
    """Return where windows of a layer's maps lie in the original images, one stride of the layer to a cell.

    Parameters
    ----------
    field : Field
        A cell is centred where its position stands; where that is unknown, the map is spread over all that the
        network was shown.
    start : ndarray of int, shape (P, 2)
        First row and first column of each window.
    window : (int, int)
        Rows and columns of a window.
    map_size : (int, int)
        Rows and columns of the layer's maps, for a layer without a field.
    sizes, preprocessing
        As for `patch_boxes`.

    Returns
    -------
    ndarray of int64, shape (P, 4)
        Top, left, bottom, right; it may reach beyond the image.
    """
    box = np.zeros((len(sizes), 4), dtype=np.int64)
    places = _places(sizes, preprocessing)
    local = field.place
    for axis in range(2):
        resized, offset, shown = (places[:, part, axis] for part in range(3))
        if local is not None:
            step = np.full(len(sizes), local.stride[axis])
            first = local.start[axis] + start[:, axis] * step + local.size[axis] / 2 - step / 2
        else:
            step = shown / map_size[axis]
            first = start[:, axis] * step
        scale = sizes[:, axis] / resized
        box[:, axis] = np.rint((first + offset) * scale)
        box[:, axis + 2] = np.rint((first + window[axis] * step + offset) * scale)
    return box


def by_size(
    sizes: NDArray[Any], preprocessing: Preprocessing
) -> Iterator[tuple[tuple[int, int], NDArray[np.int64]]]:
    """Yield each height and width at which a network was shown images, and which of the images (P, 2) these were."""
    if len(sizes):
        each, where = _different(_places(sizes, preprocessing)[:, 2])
        for number, (height, width) in enumerate(each):
            yield (height, width), np.flatnonzero(where == number)


def _places(sizes: NDArray[Any], preprocessing: Preprocessing) -> Ints:
    """Return resized size, offset and size of the crop for each image, shape (P, 3, 2)."""
    each, where = _different(sizes)
    found = [placement(height, width, preprocessing) for height, width in each]
    return np.array(found, dtype=np.int64)[where]


def _different(sizes: NDArray[Any]) -> tuple[list[tuple[int, int]], NDArray[np.intp]]:
    """Return the different heights and widths among sizes (P, 2), in order, and which of them each is, (P,)."""
    # As single numbers they are sorted many times faster than as rows.
    each, where = np.unique(sizes[:, 0].astype(np.int64) << 32 | sizes[:, 1], return_inverse=True)
    return [(one >> 32, one & 0xFFFFFFFF) for one in each.tolist()], where.reshape(-1)


def _edges(field: Field, axis: int, positions: NDArray[Any], shown: Ints) -> tuple[Ints, Ints]:
    """Return the first pixel of the network's input that each position sees, and the one after the last."""
    if field.status not in ("exact", "upper_bound"):
        return np.zeros_like(shown), shown
    each, where = np.unique(positions, return_inverse=True)
    edges = np.array([field.box(at, at) for at in each.tolist()], dtype=np.int64).reshape(-1, 4)[where]
    return edges[:, axis], edges[:, axis + 2]
