"""What several questions share: the layers of a MODEL, and the choice of units."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from torch import nn

from netviz.capture import index_layers
from netviz.errors import LayerError, ModelError
from netviz.models import Layer, LayerIndex, Model, index_weights, load

ModelSpec: TypeAlias = str | Path | nn.Module | Model


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
    return index_layers(model.network, size=size, channels=channels, prefer=preprocessing.crop)


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


def choose_units(units: str | Iterable[int] | None, channels: int, where: str) -> list[int] | None:
    """Return the unit numbers that a user asked for, in that order; None if nothing was asked.

    Parameters
    ----------
    units : str or iterable of int
        ``0:16`` (a range as in Python), ``3,7``, or both: ``0:4,9``.
    channels : int
        How many units the layer has; negative numbers count from its end.
    where : str
        The layer's name, for the message.

    Raises
    ------
    LayerError
        If a unit does not exist, or the text is no list of units.
    """
    if units is None:
        return None
    chosen: list[int] = []
    parts: Sequence[str | int] = units.split(",") if isinstance(units, str) else list(units)
    for part in parts:
        span = re.fullmatch(r"\s*(-?\d*):(-?\d*)\s*", part) if isinstance(part, str) else None
        if span:
            first, last = (int(text) if text else None for text in span.groups())
            chosen.extend(range(channels)[slice(first, last)])
            continue
        try:
            number = int(part)
        except ValueError:
            raise LayerError(f"{units!r} is no list of units; write 0:16 or 3,7") from None
        if not -channels <= number < channels:
            raise LayerError(f"layer {where} has no unit {number}: its units are 0 to {channels - 1}")
        chosen.append(number % channels)
    if not chosen:
        raise LayerError(f"{units!r} chooses no unit: layer {where} has units 0 to {channels - 1}")
    return list(dict.fromkeys(chosen))
