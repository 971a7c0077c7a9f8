"""What several questions share: the layers of a MODEL, chosen and named."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from torch import nn

from netviz.capture import index_layers
from netviz.errors import LayerError, ModelError
from netviz.models import Layer, LayerIndex, Model, index_weights, load

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
