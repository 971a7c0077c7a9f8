"""The feature maps of a layer on an image."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.capture.padding import cropped, reflected
from netviz.images import ImageLike, read_image
from netviz.models import Layer, ModelSpec
from netviz.questions.contrast.normalize import METHODS, check_contrast
from netviz.questions.contrast.normalize import normalize as normalize_contrast
from netviz.questions.maps.result import MapsResult
from netviz.questions.opening import ImageOptions, open_model, run_layers
from netviz.results.choose import choose_units

WINDOW = 7
"""Side of the window in which ``normalize="lcn"`` works, in positions."""

COMPLEX = 99
"""Percentile at which the scale of complex maps ends: one frequency may outshine all others."""

SHOWN = 64
"""How many units are drawn if the user does not say."""


def maps(
    image: ImageLike,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    units: int | str | Iterable[int] | None = None,
    sort: str = "index",
    scale: str = "each",
    percentile: float | None = None,
    normalize: str = "",
    **options: Unpack[ImageOptions],
) -> MapsResult:
    """Run a network on an image and take one layer's output.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    units : int, str or iterable of int, optional
        Which units to draw: ``"0:16"``, ``"3,7"``; by default 64 at most.
    sort : {"index", "max"}
        Drawing order: as asked, or largest maximum first.
    scale : {"each", "shared", "range"}
        Whether each map is drawn from 0 to its largest value, all by one scale, or each from its smallest to its
        largest value, which shows what varies in maps with a large mean.
    percentile : float, optional
        At which percentile of the values, above 50 and at most 100, a scale ends, so that a border or a few large
        values leave colours for the others; by default 100, the largest, and 99 for complex maps.
    normalize : {"", "lcn", "lrn"}
        Whether to normalize the contrast of the maps, with the defaults of `netviz.normalize`; `netviz.contrast` has
        more to say about it.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`; `fit`: ``"crop"`` (the default) shows the network the
        middle of the image, ``"resize"`` all of it squeezed to the network's size, ``"full"`` all of it at its own
        aspect.

    Returns
    -------
    MapsResult
        Its `maps` hold the whole layer, exactly the raw output where nothing is normalized.

    Raises
    ------
    ImageError
        If the image cannot be read, or is too small for the network.
    LayerError
        If the layer or a unit does not exist, or the layer has no maps, or none that can be normalized.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `sort`, `scale` or `normalize` is none of the values named here, or `percentile` is out of range.
    """
    if sort not in ("index", "max"):
        raise ValueError(f"sort must be 'index' or 'max', not {sort!r}")
    if scale not in ("each", "shared", "range"):
        raise ValueError(f"scale must be 'each', 'shared' or 'range', not {scale!r}")
    if percentile is not None and not 50 < percentile <= 100:
        raise ValueError(f"percentile must be above 50 and at most 100, not {percentile}")
    if normalize and normalize not in METHODS:
        raise ValueError(f"normalize must be '' or one of {', '.join(METHODS)}, not {normalize!r}")
    opened = open_model(model, pad=True, **options)
    found = opened.layer(layer)
    chosen = choose_units(units, found.channels, found.name)
    photo = read_image(image)
    prepared = opened.prepare(photo)
    seen = prepared.image.shape[0], prepared.image.shape[1]
    multiple = opened.multiple(seen)
    image_tensor = reflected(prepared.tensor, multiple) if multiple else prepared.tensor
    one = run_layers(opened.model, [found], image_tensor, photo.name)[found]
    if multiple:
        one = cropped(one, seen, multiple)
    if normalize:
        check_contrast(one, found, opened.model, photo, WINDOW if normalize == "lcn" else 1)
        one = normalize_contrast(torch.from_numpy(one)[None], method=normalize, window=WINDOW)[0].numpy()
    order = _order(one, chosen, sort)
    return MapsResult(
        maps=one,
        image=prepared.image,
        index=np.arange(len(one)),
        units=np.array(order, dtype=np.int64),
        network=opened.model.name,
        layer=found.name,
        alias=found.alias,
        layer_kind=found.kind,
        channels=found.channels,
        image_name=photo.name,
        **opened.provenance(photo, layer),
        scale=scale,
        percentile=float(percentile or scale_end(found)),
        sort=sort,
        normalize=normalize,
        arrangement=str(found.arrangement or ""),
        padded=multiple,
    )


def scale_end(layer: Layer) -> float:
    """Return at which percentile the scale of a layer's maps ends unless said otherwise."""
    return float(COMPLEX if layer.complex else 100)


def _order(values: NDArray[np.float32], chosen: list[int] | None, sort: str) -> list[int]:
    units = list(range(len(values))) if chosen is None else chosen
    if sort == "max":
        peaks = np.nan_to_num(values.reshape(len(values), -1).max(axis=1), nan=-np.inf)
        units = sorted(units, key=lambda unit: (-float(peaks[unit]), unit))
    return units[:SHOWN] if chosen is None else units
