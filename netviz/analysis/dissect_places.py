"""Tell layers whose rows and columns are the image's from those whose maps say nothing of places."""

import math

import torch

from netviz.analysis.dissect_results import place
from netviz.analysis.runs import Opened
from netviz.capture import Tape, record
from netviz.capture.trace import network_device, network_dtype
from netviz.capture.watch import Key
from netviz.errors import LayerError
from netviz.fields.geometry import follow
from netviz.fields.geometry_axes import spatial
from netviz.models import Layer


def require_places(opened: Opened) -> None:
    """Refuse layers whose maps say nothing of places.

    Raises
    ------
    LayerError
        Naming the first.
    """
    tape: Tape | None = None
    for layer in opened.layers:
        if layer.shape is None:
            continue
        if math.prod(layer.shape[1:]) == 1:
            raise _not_spatial(opened, layer, "its maps are 1×1, one value for the whole image")
        if place(opened.fields[layer]) is None:
            tape = tape or _record(opened)
            if not _of_the_image(opened, tape, layer):
                size = "×".join(map(str, layer.shape[1:]))
                raise _not_spatial(opened, layer, f"its {size} rows and columns are none of the image's")


def _not_spatial(opened: Opened, layer: Layer, reason: str) -> LayerError:
    return LayerError(
        f"layer {layer.name} ({layer.alias}) of {opened.model.name} is not spatial: {reason}; choose a layer "
        f"before it"
    )


def _of_the_image(opened: Opened, tape: Tape, layer: Layer) -> bool:
    """Return whether rows and columns of a layer's output run along those of the image."""
    number = tape.layers.get(Key(layer.module, layer.function, layer.call))
    if number is None:
        return _likely(opened, layer)
    # Windows of an image, as attention cuts them, come as images of their own.
    if len(tape.shapes[number]) != 4 or tape.shapes[number][0] != tape.shapes[0][0]:
        return False
    spread = follow(tape, (opened.index.input_shape or ())[-2:])[number]
    if isinstance(spread, str):
        return _likely(opened, layer)
    if opened.fields[layer].status == "unknown":
        return False
    dims = [dim for at, dim in enumerate(spread.dims) if at not in (0, layer.channel_axis % 4)]
    return all(map(spatial, dims)) or _likely(opened, layer)


def _likely(opened: Opened, layer: Layer) -> bool:
    """Tell places from tokens by their number, where the pass mixes positions in a way that is not followed.

    A convolution or pooling gives such a map too, or it has the image's proportions.
    """
    rows, columns = (layer.shape or (0, 1, 1))[1:]
    for other in opened.index:
        slides = other.kind in ("conv", "deconv", "pool") and other.channel_axis == 1
        if slides and other.shape is not None and other.shape[1:] == (rows, columns):
            return True
    height, width = (opened.index.input_shape or (1, 1))[-2:]
    if height == width:
        return rows == columns
    return abs(rows * width - columns * height) <= max(height, width)


def _record(opened: Opened) -> Tape:
    """Follow one pass without arithmetic, or, where the network does not allow that, on zeros."""
    shape, dtype = opened.index.input_shape or (), network_dtype(opened.network)
    try:
        return record(opened.network, torch.zeros(1, *shape, device="meta", dtype=dtype), keep=False)
    except Exception:  # whatever a network's own code raises on tensors without values
        device = network_device(opened.network)
        return record(opened.network, torch.zeros(1, *shape, device=device, dtype=dtype), keep=False)
