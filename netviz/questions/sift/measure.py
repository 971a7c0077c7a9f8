"""SIFT beside a layer: what either says at the same places of an image."""

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.errors import ImageError, ModelError
from netviz.images import ImageLike
from netviz.models import ModelSpec
from netviz.questions.contrast.normalize import check_window
from netviz.questions.filters.measure import layer_filters
from netviz.questions.opening import ImageOptions
from netviz.questions.places import Reader, contrast_normalized, open_layer, require_places, sample
from netviz.questions.sift.keypoints import Keypoints, choose, detect, patch, stages
from netviz.questions.sift.result import SiftResult

MOST = 30
"""How many keypoints a picture has room for."""

_UNITS = 8


def sift(
    image: ImageLike,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    keypoints: int = 12,
    window: int = 7,
    **options: Unpack[ImageOptions],
) -> SiftResult:
    """Describe an image at SIFT's keypoints: by SIFT, by a layer, and by the layer after contrast normalization.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    keypoints : int
        How many to describe, 30 at most: the largest whose windows lie inside the image and do not overlap; where
        these are fewer, then others that do.
    window : int
        Side of the contrast normalization's Gaussian window in positions of the layer, odd.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    SiftResult

    Raises
    ------
    ImageError
        If the image cannot be read, is too small for the network, or SIFT finds no keypoint in it.
    LayerError
        If there is no such layer, or it cannot describe a place.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `keypoints` or `window` is out of range.

    References
    ----------
    Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 60, 2004.
    """
    if not 1 <= keypoints <= MOST:
        raise ValueError(f"keypoints must be from 1 to {MOST}, not {keypoints}")
    check_window(window, None, "maps")
    reader = open_layer(image, layer, model, **options)
    found = require_keypoints(reader)
    drawn = found.at(choose(found, keypoints, reader.image.shape[:2]))
    maps = reader.maps(reader.values)
    normalized = contrast_normalized(maps, window, reader.layer.name)
    raw = sample(maps, reader.field, drawn.points)
    shown = np.argsort(-maps.reshape(len(maps), -1).std(axis=1), kind="stable")[:_UNITS]
    first, filters = _filters(reader, shown)
    before = reader.opened.index[: reader.opened.index.index(reader.layer) + 1]
    orientations, cells = stages(reader.image, drawn.points[0], drawn.sigmas[0], drawn.orientations[0])
    return SiftResult(
        keypoints=drawn.points.astype(np.float32),
        scales=drawn.sigmas.astype(np.float32),
        orientations=drawn.orientations.astype(np.float32),
        patches=np.stack([patch(reader.image, *place) for place in zip(*drawn[:3], strict=True)]),
        descriptors=drawn.descriptors,
        layer_raw=np.ascontiguousarray(raw.values.T),
        layer_normalized=np.ascontiguousarray(sample(normalized, reader.field, drawn.points).values.T),
        clamped=raw.clamped,
        image=reader.image,
        stage_orientations=orientations,
        stage_cells=cells,
        stage_filters=filters,
        stage_units=shown.astype(np.int64),
        stage_maps=maps[shown],
        stage_normalized=normalized[shown],
        network=reader.opened.model.name,
        layer=reader.layer.name,
        alias=reader.layer.alias,
        layer_kind=reader.layer.kind,
        channels=reader.layer.channels,
        image_name=reader.name,
        **reader.opened.provenance(reader.photo, layer),
        window=window,
        found=len(found.points),
        field_size=reader.field.size,
        field_stride=require_places(reader.field).stride,
        field_status=reader.field.status,
        first_conv=first,
        convolutions=sum(one.kind == "conv" for one in before),
        poolings=sum(one.kind == "pool" for one in before),
        norms=sum(one.kind == "norm" for one in before),
    )


def require_keypoints(reader: Reader) -> Keypoints:
    """Return SIFT's keypoints of a reader's image.

    Raises
    ------
    ImageError
        If there is none.
    """
    found = detect(reader.image)
    if not len(found.points):
        height, width = reader.image.shape[:2]
        raise ImageError(
            f"SIFT finds no keypoint in {reader.name} at {height}×{width} pixels; "
            f"give an image with more contrast, or a larger --size HxW"
        )
    return found


def _filters(reader: Reader, shown: NDArray[np.intp]) -> tuple[str, NDArray[np.float32]]:
    """Return the name and some filters of the first convolution: those of the units shown, else the strongest."""
    first = next(
        (one for one in reader.opened.index if one.kernel is not None and one.kernel.sees_image), None
    )
    nothing = np.zeros((0, 3, 1, 1), dtype=np.float32)
    if first is None:
        return "", nothing
    try:
        filters = layer_filters(reader.opened.model, first, sort="norm")
    except ModelError:
        return "", nothing
    units = shown if first == reader.layer else filters.units[:_UNITS]
    chosen = filters.filters[units].astype(np.float32)
    return first.alias, chosen[:, ::-1].copy() if filters.channel_order == "BGR" else chosen
