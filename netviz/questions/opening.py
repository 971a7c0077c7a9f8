"""What several questions share: a MODEL's layers, chosen and named; an image made ready; one pass; fields."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import brief, capture, channels_first, index_layers
from netviz.capture.tape import Tape, record
from netviz.errors import ImageError, LayerError, ModelError
from netviz.geometry.field import Field, geometry
from netviz.images import Photo, Prepared, prepare
from netviz.models import Layer, LayerIndex, Model, Preprocessing, index_weights, load

ModelSpec: TypeAlias = str | Path | nn.Module | Model


SHORT_SIDE = 256
"""What images are resized to, in pixels, for a network that takes any size, where many are shown to it."""


def layers(
    model: ModelSpec,
    *,
    size: tuple[int, int] | None = None,
    trust: bool = False,
    weights: str | Path = "default",
) -> LayerIndex:
    """List the layers of a network in the order in which they run.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    size : (int, int), optional
        Height and width of the input in pixels; by default the network's own.
    trust, weights
        As for `netviz.load`.

    Returns
    -------
    LayerIndex
        Of a file whose architecture is not known: its weights, in the file's order, without shapes.

    Raises
    ------
    ModelError
        If MODEL cannot be opened, or does not run at this size.
    """
    model = load(model, trust=trust, weights=weights)
    if model.network is None:
        index = index_weights(model.weights)
        if not index:
            raise ModelError(f"{model.name} holds no weights of a convolution or linear layer")
        return index
    preprocessing = model.preprocessing
    channels = None if preprocessing.assumed else preprocessing.channels
    # A network whose modules were exchanged in the meantime is followed anew.
    key = (size, channels, preprocessing.crop, *map(id, model.network.modules()))
    if key not in model.indexes:
        model.indexes[key] = index_layers(
            model.network, size=size, channels=channels, prefer=preprocessing.crop
        )
    found: LayerIndex = model.indexes[key]
    return found


def require_maps(model: Model, layer: Layer) -> Layer:
    """Return the layer if it has maps.

    Raises
    ------
    LayerError
        If its output is no (N, C, H, W).
    """
    if not layer.spatial:
        shape = "unknown" if layer.shape is None else "×".join(map(str, layer.shape))
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {model.name} has no maps: its output is {shape}; "
            f"choose one before it (see: netviz layers)"
        )
    return layer


def chosen_layers(model: Model, index: LayerIndex, only: Sequence[str]) -> list[Layer]:
    """Return the layers that names, aliases or globs mean, in running order; all convolutions if there are none.

    Raises
    ------
    LayerError
        If a name means no layer, or one without maps.
    ModelError
        If the network has no convolution.
    """
    if not only:
        found = [layer for layer in index if layer.spatial and layer.kernel is not None]
        if not found:
            raise ModelError(f"{model.name} is not convolutional: it has no convolution with maps")
        return found
    wanted = {layer for spec in only for layer in index.resolve_all(spec)}
    found = [layer for layer in index if layer in wanted]
    flat = next((layer for layer in found if not layer.spatial), None)
    if flat is not None:
        raise LayerError(f"layer {flat.name} ({flat.alias}) of {model.name} has no maps; leave it out")
    return found


def slug(name: str) -> str:
    """Return a name as a file name: letters, digits, ``.``, ``-`` and ``_`` only, 80 characters at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "x"


def layer_slugs(chosen: Sequence[Layer]) -> dict[Layer, str]:
    """Return a file name for each layer, different also where a file system does not see capitals."""
    slugs: dict[Layer, str] = {}
    taken: set[str] = set()
    for layer in chosen:
        base, number = slug(layer.name), 2
        name = base
        while name.lower() in taken:
            name, number = f"{base}-{number}", number + 1
        slugs[layer] = name
        taken.add(name.lower())
    return slugs


def layer_fields(model: Model, index: LayerIndex) -> dict[Layer, Field]:
    """Return the theoretical field of every layer with maps; none where only weights could be read.

    Raises
    ------
    ModelError
        If the network does not run.
    """
    return {} if model.network is None else geometry(model.network, index)


def describe_field(field: Field | None) -> dict[str, Any] | None:
    """Return a field as the JSON of ``netviz layers`` shows it; None for a layer without maps.

    Returns
    -------
    dict or None
        ``size``, ``stride`` and ``start`` as pairs [y, x] in pixels, None where unknown; ``status``; and
        ``reason`` where there is one.
    """
    if field is None:
        return None
    known = {name: _pair(getattr(field, name)) for name in ("size", "stride", "start")}
    return {**known, "status": field.status, **({"reason": field.reason} if field.reason else {})}


def _pair(values: tuple[float, float]) -> list[float] | None:
    if not all(math.isfinite(value) for value in values):
        return None
    return [int(value) if float(value).is_integer() else float(value) for value in values]


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


def ready(model: Model, photo: Photo, size: tuple[int, int] | None) -> tuple[Prepared, Preprocessing]:
    """Return an image as the network takes it, and how it was made."""
    index = layers(model, size=size)
    require_channels(model, index)
    preprocessing = input_preprocessing(model.preprocessing, index, size)
    return prepare(photo.pixels, preprocessing), preprocessing


def taped(model: Model, network: nn.Module, image: Tensor, name: str) -> Tape:
    """Run the network once on an image and return the tape with its values.

    Raises
    ------
    ImageError
        If the network does not run on an image of this size.
    """
    try:
        return record(network, image, keep=True)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ImageError(does_not_run(model, name, image.shape[-2:], brief(error))) from error
