"""A layer's maps brought to an image: between the centres of what their positions see, never by a blind resize."""

from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.analysis.sampling import require_places
from netviz.fields.geometry import Field
from netviz.images import placement
from netviz.models import Preprocessing
from netviz.models.linear import linear_weights

Floats = NDArray[np.float64]
Maps = TypeVar("Maps", NDArray[np.floating], Tensor)


class Pixels(NamedTuple):
    """The pixels of an original image along one axis.

    Attributes
    ----------
    at : ndarray of float64, shape (K,)
        Where the middle of each lies in the network's input, whose first pixel has its middle at 0.
    shown : ndarray of bool, shape (K,)
        Whether the network was shown it: false for what a crop cut off.
    """

    at: Floats
    shown: NDArray[np.bool_]


def original_pixels(height: int, width: int, preprocessing: Preprocessing) -> tuple[Pixels, Pixels]:
    """Return where the rows and the columns of an original image lie in the network's input.

    Parameters
    ----------
    height, width : int
        Of the original, in pixels.
    preprocessing : Preprocessing
        How it was brought to the network's size.
    """
    rows, cols = (
        _pixels(*axis) for axis in zip((height, width), *placement(height, width, preprocessing), strict=True)
    )
    return rows, cols


def _pixels(original: int, resized: int, offset: int, size: int) -> Pixels:
    at = (np.arange(original, dtype=np.float64) + 0.5) * (resized / original) - 0.5 - offset
    return Pixels(at, (at >= -0.5) & (at < size - 0.5))


def interpolation_matrix(
    start: float, stride: float, size: float, length: int, coordinates: NDArray[np.floating]
) -> Floats:
    """Return the matrix that reads one axis of a map at given places, linearly between its positions' centres.

    Position i of the axis looks at ``start + i * stride + (size - 1) / 2``. Before the first and beyond the last of
    these centres the outermost position's value stands.

    Parameters
    ----------
    start, stride, size : float
        Of the layer's field along this axis, in pixels of the network's input; the stride is positive.
    length : int
        Positions of the map along this axis.
    coordinates : ndarray of shape (K,)
        In pixels of the network's input; the middle of the first pixel is 0.

    Returns
    -------
    ndarray of float64, shape (K, length)
        At most two numbers of a row are not 0; each row sums to 1.

    Raises
    ------
    ValueError
        If the stride is not positive, or the map has no position.
    """
    if not stride > 0:
        raise ValueError(f"the stride must be positive, not {stride}")
    if length < 1:
        raise ValueError(f"a map has at least 1 position, not {length}")
    places = (np.asarray(coordinates, dtype=np.float64) - start - (size - 1) / 2) / stride
    return linear_weights(places, length)


def interpolation(
    field: Field, map_size: tuple[int, int], rows: NDArray[np.floating], cols: NDArray[np.floating]
) -> tuple[Floats, Floats]:
    """Return the two matrices, (len(rows), h) and (len(cols), w), that bring a layer's maps to places in the image.

    Parameters
    ----------
    field : Field
        The layer's, for an input of the size that the maps were made from.
    map_size : (int, int)
        Rows and columns of the maps: h, w.
    rows, cols : ndarray of shapes (H,) and (W,)
        In pixels of the network's input; the middle of the first pixel is 0.

    Raises
    ------
    LayerError
        If the field is unknown, or every position sees the whole image.
    """
    require_places(field)
    down, across = (
        interpolation_matrix(
            field.start[axis], field.stride[axis], field.size[axis], map_size[axis], coordinates
        )
        for axis, coordinates in enumerate((rows, cols))
    )
    return down, across


def upsample(maps: Maps, field: Field, rows: NDArray[np.floating], cols: NDArray[np.floating]) -> Maps:
    """Bring maps to a grid of places in the image, bilinearly between the centres of what their positions see.

    Beyond the outermost centres the border's values stand.

    Parameters
    ----------
    maps : ndarray or Tensor of shape (…, h, w)
        Raw output of the layer.
    field : Field
        The layer's, for an input of the size that the maps were made from.
    rows, cols : ndarray of shapes (H,) and (W,)
        In pixels of the network's input; the middle of the first pixel is 0. `original_pixels` gives those of an
        original image.

    Returns
    -------
    ndarray or Tensor of shape (…, H, W)
        As `maps` is, in its own type of numbers (and on its device).

    Raises
    ------
    LayerError
        If the field is unknown, or every position sees the whole image.
    """
    down, across = interpolation(field, (maps.shape[-2], maps.shape[-1]), rows, cols)
    if isinstance(maps, Tensor):
        left, right = (torch.from_numpy(one).to(maps) for one in (down, across))
        return left @ maps @ right.T
    brought: NDArray[np.floating] = (down @ maps.astype(np.float64) @ across.T).astype(maps.dtype)
    return brought
