"""A layer's maps read at any place of an image through Geometry: between the centres of what positions see.

Never by a blind resize: a descriptor at each of some places, or whole maps brought to the image's pixels.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture.padding import larger
from netviz.errors import ImageError, LayerError, ModelError
from netviz.geometry.field import Field
from netviz.images import ImageLike, Photo, Prepared, Values, as_shown, normalize, placement, read_image
from netviz.interpolation import between, linear_weights, rescaled
from netviz.models import Layer, ModelSpec, Preprocessing
from netviz.questions.contrast.normalize import check_window
from netviz.questions.contrast.normalize import normalize as normalize_maps
from netviz.questions.opening import ImageOptions, Opened, does_not_run, layers, open_model, run_layers

Floats = NDArray[np.float64]

Maps = NDArray[np.float32]

_Image = NDArray[np.uint8]


class Sampled(NamedTuple):
    """What `sample` found.

    Attributes
    ----------
    values : ndarray of float32, shape (C, K)
    clamped : ndarray of bool, shape (K,)
        True where a point lies outside of the outermost positions' centres, so that the border's value stands for it.
    """

    values: Maps
    clamped: NDArray[np.bool_]


def sample(maps: NDArray[np.floating], field: Field, points: NDArray[np.floating]) -> Sampled:
    """Read maps at places of the image, bilinearly between the centres of what their positions see.

    Position i of an axis looks at ``start + i * stride + (size - 1) / 2``; a point at y is therefore read at
    ``(y - start - (size - 1) / 2) / stride``.

    Parameters
    ----------
    maps : ndarray of shape (C, h, w)
    field : Field
        The layer's, for an input of the size that the maps were made from.
    points : ndarray of shape (K, 2)
        Row and column in pixels of the network's input; the middle of the first pixel is 0, 0.

    Returns
    -------
    Sampled

    Raises
    ------
    LayerError
        If the field is unknown, or every position sees the whole image.
    """
    field = require_places(field)
    at = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    size, stride, start = (
        np.array(pair, dtype=np.float64) for pair in (field.size, field.stride, field.start)
    )
    places = (at - start - (size - 1) / 2) / stride
    last = np.array(maps.shape[1:], dtype=np.float64) - 1
    inside = np.clip(places, 0, last)
    return Sampled(bilinear(maps, inside).astype(np.float32), (inside != places).any(axis=1))


def require_places(field: Field, name: str = "the layer") -> Field:
    """Return the field that tells where positions stand: this one, or its local one.

    Raises
    ------
    LayerError
        If it is unknown, or every position may see the same rows or columns and stands for no place in the image.
    """
    if field.status == "unknown":
        raise LayerError(
            f"where {name} looks is unknown: cannot follow {field.reason or 'the forward pass'}; use another layer"
        )
    if field.place is not None:
        return field.place
    if field.status == "global":
        raise LayerError(
            f"every position of {name} sees the whole image, so it describes no place in it; use a layer before it"
        )
    along = " and ".join(
        one for one, stride in zip(("rows", "columns"), field.stride, strict=True) if not stride
    )
    raise LayerError(
        f"every position of {name} may see the same {along}, so it describes no place in the image; "
        f"use a layer before it"
    )


def bilinear(maps: NDArray[np.floating], places: Floats) -> Floats:
    """Interpolate maps (C, h, w) at fractional rows and columns (K, 2) that lie inside them; (C, K) float64."""
    values = np.asarray(maps, dtype=np.float64)
    top, bottom, down = between(places[:, 0], values.shape[1])
    left, right, across = between(places[:, 1], values.shape[2])
    upper = values[:, top, left] * (1 - across) + values[:, top, right] * across
    lower = values[:, bottom, left] * (1 - across) + values[:, bottom, right] * across
    mixed: Floats = upper * (1 - down) + lower * down
    return mixed


def contrast_normalized(maps: Maps, window: int, name: str = "the layer") -> Maps:
    """Return maps (C, h, w) after local contrast normalization across maps, with a Gaussian window.

    Raises
    ------
    LayerError
        If the window is larger than the maps.
    ValueError
        If it is not odd and positive.
    """
    check_window(window, None, "maps")
    height, width = maps.shape[1:]
    if window > min(height, width):
        raise LayerError(
            f"a window of {window} positions is larger than the {height}×{width} maps of {name}; "
            f"give a smaller --window, a larger --size HxW, or an earlier layer"
        )
    with torch.no_grad():
        return normalize_maps(torch.from_numpy(maps)[None], method="lcn", window=window)[0].numpy()


@dataclass(frozen=True)
class Reader:
    """One layer of a network, ready to be read on images of one size.

    Attributes
    ----------
    opened : Opened
        The network, its layers at this size.
    layer : Layer
    field : Field
        What the layer's positions see at this size.
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    values : ndarray of uint8 or float32, shape (H, W, C)
        What it saw in all bands and in full depth: of 8-bit colours `image`.
    photo : Photo
        The image as it was read.
    """

    opened: Opened
    layer: Layer
    field: Field
    image: _Image
    values: Values
    photo: Photo

    @property
    def name(self) -> str:
        """What the image is called."""
        return self.photo.name

    def maps(self, image: Values) -> Maps:
        """Return the layer's raw output (C, h, w) on an image of this size, such as `values`.

        Raises
        ------
        ImageError
            If the network does not run on it.
        LayerError
            If the output holds NaN or infinity.
        """
        model = self.opened.model
        tensor = normalize(image, self.opened.preprocessing)
        found = run_layers(model, [self.layer], tensor, self.name)[self.layer]
        if not np.isfinite(found).all():
            raise LayerError(f"layer {self.layer.name} of {model.name} gives NaN or infinity on {self.name}")
        return found


class Shown(NamedTuple):
    """A network, its layers at the size at which it sees an image, and that image.

    Attributes
    ----------
    opened : Opened
    photo : Photo
        As it was read.
    prepared : Prepared
        As the network sees it.
    multiple : int
        To multiples of how many pixels its sides must be continued first; 0 if they need not.
    """

    opened: Opened
    photo: Photo
    prepared: Prepared
    multiple: int


def open_shown(
    image: ImageLike,
    model: ModelSpec,
    layer: str = "",
    *,
    pad: bool = False,
    **options: Unpack[ImageOptions],
) -> Shown:
    """Open a network, prepare an image for it, and list the layers as they are at that size.

    A padding or pooling that adapts to the input changes the geometry: it is taken at the image's own size.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str
        A layer that will be asked for, if any: one that is not there is refused before an image is read.
    pad : bool
        Whether networks that take only multiples are opened for images that are to be continued to these.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Raises
    ------
    ImageError
        If the image cannot be read, or the network does not run on it.
    LayerError
        If there is no such layer, or it has no maps.
    ModelError
        If MODEL cannot be opened or cannot run.
    """
    opened = open_model(model, pad=pad, **options)
    if layer:
        opened.layer(layer)
    photo = as_shown(read_image(image), opened.preprocessing.bands)
    prepared = opened.prepare(photo)
    seen = prepared.image.shape[0], prepared.image.shape[1]
    multiple = opened.multiple(seen) if pad else 0
    shape = larger(seen, multiple)
    if opened.index.input_shape is None or opened.index.input_shape[1:] != shape:
        try:
            opened = replace(opened, index=layers(opened.model, size=shape))
        except ModelError as error:
            raise ImageError(does_not_run(opened.model, photo.name, shape, str(error))) from error
    return Shown(opened, photo, prepared, multiple)


def open_layer(
    image: ImageLike,
    layer: str,
    model: ModelSpec,
    **options: Unpack[ImageOptions],
) -> Reader:
    """Open a network, prepare an image for it, and find where one layer looks.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Raises
    ------
    ImageError
        If the image cannot be read, or the network does not run on it.
    LayerError
        If there is no such layer, it has no maps, or its positions have no place in the image.
    ModelError
        If MODEL cannot be opened or cannot run.
    """
    opened, photo, prepared, _ = open_shown(image, model, layer, **options)
    found = opened.layer(layer)
    field = opened.fields[found]
    require_places(field, f"{found.name} ({found.alias}) of {opened.model.name}")
    return Reader(opened, found, field, prepared.image, prepared.values, photo)


_Maps = TypeVar("_Maps", NDArray[np.floating], Tensor)


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
    at = rescaled(np.arange(original, dtype=np.float64), resized / original) - offset
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
    field = require_places(field)
    down, across = (
        interpolation_matrix(
            field.start[axis], field.stride[axis], field.size[axis], map_size[axis], coordinates
        )
        for axis, coordinates in enumerate((rows, cols))
    )
    return down, across


def upsample(maps: _Maps, field: Field, rows: NDArray[np.floating], cols: NDArray[np.floating]) -> _Maps:
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
