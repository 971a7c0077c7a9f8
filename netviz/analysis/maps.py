"""The feature maps of a layer on an image."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.analysis.common import ModelSpec, layers, require_maps
from netviz.analysis.normalize import METHODS
from netviz.analysis.normalize import normalize as normalize_contrast
from netviz.capture import brief, capture, channels_first
from netviz.errors import ImageError, LayerError, ModelError
from netviz.images import Photo, prepare, read_image
from netviz.models import Layer, LayerIndex, Model, Preprocessing, load
from netviz.results import MapsResult, choose_units

WINDOW = 7
"""Side of the window in which ``normalize="lcn"`` works, in positions."""

SHOWN = 64
"""How many units are drawn if the user does not say."""


def maps(
    image: str | Path | Photo,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    units: str | Iterable[int] | None = None,
    sort: str = "index",
    scale: str = "each",
    normalize: str = "",
    size: tuple[int, int] | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
) -> MapsResult:
    """Run a network on an image and take one layer's output.

    Parameters
    ----------
    image : str, Path or Photo
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    units : str or iterable of int, optional
        Which units to draw: ``"0:16"``, ``"3,7"``; by default 64 at most.
    sort : {"index", "max"}
        Drawing order: as asked, or largest maximum first.
    scale : {"each", "shared"}
        Whether each map is drawn by its own range, or all by one scale.
    normalize : {"", "lcn", "lrn"}
        Whether to normalize the contrast of the maps, with the defaults of `netviz.normalize`; `netviz.contrast` has
        more to say about it.
    size : (int, int), optional
        Input height and width in pixels, if not the network's own.
    trust, weights, seed
        As for `netviz.load`.

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
        If `sort`, `scale` or `normalize` is none of the values named here.
    """
    if sort not in ("index", "max"):
        raise ValueError(f"sort must be 'index' or 'max', not {sort!r}")
    if scale not in ("each", "shared"):
        raise ValueError(f"scale must be 'each' or 'shared', not {scale!r}")
    if normalize and normalize not in METHODS:
        raise ValueError(f"normalize must be '' or one of {', '.join(METHODS)}, not {normalize!r}")
    model = load(model, trust=trust, weights=weights, seed=seed)
    model.runnable()
    index = layers(model, size=size)
    found = require_maps(model, index.resolve(layer))
    chosen = choose_units(units, found.channels, found.name)
    photo = image if isinstance(image, Photo) else read_image(image)
    prepared, values = activations(model, index, [found], photo, size)
    one = values[found]
    if normalize:
        check_contrast(one, found, model, photo, WINDOW if normalize == "lcn" else 1)
        one = normalize_contrast(torch.from_numpy(one)[None], method=normalize, window=WINDOW)[0].numpy()
    order = _order(one, chosen, sort)
    return MapsResult(
        maps=one,
        image=prepared,
        index=np.arange(len(one)),
        units=np.array(order, dtype=np.int64),
        network=model.name,
        layer=found.name,
        alias=found.alias,
        layer_kind=found.kind,
        channels=found.channels,
        image_name=photo.name,
        scale=scale,
        sort=sort,
        normalize=normalize,
    )


def check_contrast(
    values: NDArray[np.float32], layer: Layer, model: Model, photo: Photo, window: int
) -> None:
    """Reject maps whose contrast cannot be normalized.

    Raises
    ------
    LayerError
        If the window does not fit into them, or a value is NaN or infinite.
    """
    height, width = values.shape[1:]
    if window > min(height, width):
        raise LayerError(
            f"window {window} is larger than the maps of {layer.name} ({layer.alias}), {height}×{width}; "
            f"choose a smaller window, a layer before it, or a larger --size"
        )
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {model.name} gives NaN or infinity on {photo.name} ({bad} of "
            f"{values.size} values), which no normalization mends; choose a layer before it"
        )


def activations(
    model: Model, index: LayerIndex, wanted: list[Layer], photo: Photo, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], dict[Layer, NDArray[np.float32]]]:
    """Run the network once on a photograph.

    Returns
    -------
    image : ndarray of uint8, shape (H', W', 3)
        As the network saw it.
    maps : dict of Layer to ndarray of float32, shape (C, H, W)
        Each wanted layer's raw output.

    Raises
    ------
    ImageError
        If the network does not run on an image of this size.
    ModelError
        If the network takes something else than images.
    """
    require_channels(model, index)
    prepared = prepare(photo.pixels, input_preprocessing(model.preprocessing, index, size))
    return prepared.image, run_layers(model, wanted, prepared.tensor, photo.name)


def require_channels(model: Model, index: LayerIndex) -> None:
    """Refuse a network that takes something else than images.

    Raises
    ------
    ModelError
        Saying how many channels it takes.
    """
    if index.input_shape is not None and index.input_shape[0] != model.preprocessing.channels:
        raise ModelError(
            f"{model.name} takes {index.input_shape[0]} channels; netviz runs networks on 1 or 3"
        )


def run_layers(
    model: Model,
    wanted: list[Layer],
    image: Tensor,
    name: str,
    part: Callable[[Layer, Tensor], Tensor] | None = None,
) -> dict[Layer, NDArray[np.float32]]:
    """Run the network once on a normalized image, (1, C, H, W); return each wanted layer's raw output, (C, H, W).

    With `part`, which gets each of these, only what it returns.

    Raises
    ------
    ImageError
        If the network does not run on it; `name` is what the image is called.
    """
    network = model.runnable()
    device = next((value.device for value in network.parameters()), image.device)

    def keep(layer: Layer, output: Tensor) -> Tensor:
        maps = channels_first(layer, output)[0]
        # A copy: what the network does next may overwrite its output.
        return (maps if part is None else part(layer, maps)).clone()

    with capture(network, wanted, reduce=keep) as run:
        try:
            run(image.to(device))
        except (RuntimeError, ValueError, IndexError) as error:
            raise ImageError(does_not_run(model, name, image.shape[-2:], brief(error))) from error
        return {layer: output.float().cpu().numpy() for layer, output in run.items()}


def does_not_run(model: Model, name: str, size: Sequence[int], problem: str) -> str:
    """Say that a network does not run on an image of this height and width."""
    return (
        f"{model.name} does not run on {name} at {size[0]}×{size[1]} pixels ({problem}); "
        f"give a larger image, or --size HxW"
    )


def input_preprocessing(
    preprocessing: Preprocessing, index: LayerIndex, size: tuple[int, int] | None
) -> Preprocessing:
    """Return the preprocessing for the size asked for, or else for the one that the network was found to take."""
    if size is not None:
        return preprocessing.sized(*size)
    if preprocessing.crop is not None and index.input_shape is not None:
        return preprocessing.sized(*index.input_shape[1:])
    return preprocessing


def _order(values: NDArray[np.float32], chosen: list[int] | None, sort: str) -> list[int]:
    units = list(range(len(values))) if chosen is None else chosen
    if sort == "max":
        peaks = np.nan_to_num(values.reshape(len(values), -1).max(axis=1), nan=-np.inf)
        units = sorted(units, key=lambda unit: (-float(peaks[unit]), unit))
    return units[:SHOWN] if chosen is None else units
