"""What contrast normalization makes of a layer's maps on an image."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture import Node, Ref, Tape, channels_first
from netviz.capture.watch import Key
from netviz.errors import LayerError
from netviz.images import ImageLike, read_image
from netviz.models import Layer, LayerIndex, Model, ModelSpec
from netviz.questions.contrast.normalize import (
    CONSTANTS,
    Local,
    check_contrast,
    check_window,
    default_sigma,
    local_statistics,
    normalize,
)
from netviz.questions.contrast.result import ContrastResult
from netviz.questions.opening import ImageOptions, Opened, open_model, run_layers
from netviz.results.choose import choose_units

METHODS = ("lcn", "lrn", "batch")

SHOWN = 36
"""How many units are drawn if the user does not say."""


def contrast(
    image: ImageLike,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    method: str = "lcn",
    window: int = 7,
    sigma: float | None = None,
    across: str = "maps",
    constants: str = "paper",
    units: int | str | Iterable[int] | None = None,
    scale: str = "shared",
    **options: Unpack[ImageOptions],
) -> ContrastResult:
    """Normalize the contrast of a layer's maps, and measure what that changes around each position.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    method : {"lcn", "lrn", "batch"}
        Local contrast normalization, local response normalization, or the network's own batch norm as it ran: its
        recorded input and output. For ``"batch"``, `layer` is the batch norm or the convolution before it.
    window : int
        Side of the Gaussian window in positions, odd; it also measures what the other methods change.
    sigma : float, optional
        Its standard deviation in positions; by default 1.591 for a window of 9, in proportion for others.
    across : {"maps", "each"}
        Whether the window spans all maps, or each map is taken by itself.
    constants : {"paper", "pytorch"}
        Whose constants ``"lrn"`` has.
    units : int, str or iterable of int, optional
        Which units to draw: ``"0:16"``, ``"3,7"``; by default 36 at most.
    scale : {"shared", "each"}
        Whether all maps before are drawn by one scale, and all after by another, or each by its own range.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    ContrastResult
        All maps of the layer, before and after.

    Raises
    ------
    ImageError
        If the image cannot be read, or is too small for the network.
    LayerError
        If the layer or a unit does not exist, has no maps, is smaller than the window, gives NaN or infinity, or (for
        ``"batch"``) neither is a batch norm nor comes before one.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `method`, `window`, `sigma`, `across`, `constants` or `scale` is out of range.

    References
    ----------
    Jarrett, Kavukcuoglu, Ranzato and LeCun, "What is the best multi-stage architecture for object recognition?",
    ICCV 2009, section 2. Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", NIPS 2012, section 3.3.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if constants not in CONSTANTS:
        raise ValueError(f"constants must be 'paper' or 'pytorch', not {constants!r}")
    if scale not in ("shared", "each"):
        raise ValueError(f"scale must be 'shared' or 'each', not {scale!r}")
    check_window(window, sigma, across)
    opened = open_model(model, **options)
    found = opened.layer(layer)
    chosen = choose_units(units, found.channels, found.name)
    photo = read_image(image)
    prepared = opened.prepare(photo)
    recorded = ""
    if method == "batch":
        before, after, recorded = _batch(opened, found, prepared.tensor, photo.name)
        check_contrast(before, found, opened.model, photo, window)
    else:
        before = run_layers(opened.model, [found], prepared.tensor, photo.name)[found]
        check_contrast(before, found, opened.model, photo, window)
        done = normalize(
            torch.from_numpy(before)[None],
            method=method,
            window=window,
            sigma=sigma,
            across=across,
            constants=constants,
        )
        after = done[0].numpy()
    was, now = (
        local_statistics(torch.from_numpy(one)[None], window=window, sigma=sigma, across=across)
        for one in (before, after)
    )
    lcn = method == "lcn"
    return ContrastResult(
        before=before,
        after=after,
        local_mean_before=_mean(was),
        local_std_before=_std(was),
        local_mean_after=_mean(now),
        local_std_after=_std(now),
        image=prepared.image,
        units=np.array(list(range(found.channels))[:SHOWN] if chosen is None else chosen, dtype=np.int64),
        network=opened.model.name,
        layer=found.name,
        alias=found.alias,
        layer_kind=found.kind,
        channels=found.channels,
        image_name=photo.name,
        **opened.provenance(photo, layer),
        method=method,
        window=window,
        sigma=default_sigma(window) if sigma is None else float(sigma),
        across=across,
        constants=constants if method == "lrn" else "",
        recorded=recorded,
        c=float(was.floor.double().mean()) if lcn else None,
        scale=scale,
        floor_share=float((was.std < was.floor).double().mean()) if lcn else None,
    )


def _mean(local: Local) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = local.mean[0].mean(0).numpy()
    return mean


def _std(local: Local) -> NDArray[np.float32]:
    std: NDArray[np.float32] = local.std[0].square().mean(0).sqrt().numpy()
    return std


def _batch(
    opened: Opened, layer: Layer, image: Tensor, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Return what the batch norm at or right after a layer reads and gives, and its name."""
    tape = opened.tape(image, name)
    node = _batch_norm(tape, layer)
    if node is None:
        raise LayerError(_none(opened.model, opened.index, layer))
    numbers = (_source(node), node.outputs[0])
    values = opened.values(tape, image, name, numbers).values
    read, given = (values[number] for number in numbers)
    before, after = (_array(channels_first(layer, value)) for value in (read, given))
    return before, after, node.module


def _batch_norm(tape: Tape, layer: Layer) -> Node | None:
    """Return the batch norm that a layer is, or that reads exactly what it gives."""
    value = tape.layers.get(Key(layer.module, layer.function, layer.call))
    made = {number: node for node in tape.nodes for number in node.outputs}
    at = value
    # A layer may do more than normalize (an activation in the same module): go back to its first step.
    while at is not None and at in made and made[at].module == layer.module:
        node = made[at]
        if node.name == "batch_norm":
            return node
        at = _source(node) if node.inputs else None
    return next((node for node in tape.nodes if node.name == "batch_norm" and _source(node) == value), None)


def _source(node: Node) -> int:
    """Return the number of the value that a node works on: its first argument."""
    first = next(iter((*node.args, *node.kwargs.values())), None)
    return first.number if isinstance(first, Ref) else node.inputs[0]


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value[0].detach().float().cpu().numpy().copy()
    return array


def _none(model: Model, index: LayerIndex, layer: Layer) -> str:
    """Say that there is no batch norm here, and what to do."""
    norms = [one for one in index if one.spatial and "batchnorm" in one.type.lower().replace("_", "")]
    text = (
        f"layer {layer.name} ({layer.alias}) of {model.name} is no batch norm, and none follows it directly; "
    )
    if not norms:
        return f"{text}the network has none: choose --method lcn or lrn"
    some = ", ".join(dict.fromkeys(one.alias or one.name for one in norms[:3]))
    return f"{text}name one ({some}{', …' if len(norms) > 3 else ''}) or the convolution before it"
