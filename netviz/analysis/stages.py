"""The stages of a convolution on an image: what really follows it, and what other stages would have made of it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.analysis.common import ModelSpec, layers
from netviz.analysis.filters import layer_filters
from netviz.analysis.occlusion import ready, taped
from netviz.analysis.stage_chain import Chain, Follower
from netviz.analysis.stage_columns import (
    NONLINEARITIES,
    POOLS,
    other_nonlinearities,
    other_pools,
    own_columns,
)
from netviz.capture import Tape, unwrap
from netviz.errors import LayerError, ModelError
from netviz.images import Photo, read_image
from netviz.models import Layer, LayerIndex, Model, load
from netviz.results import StagesResult, choose_units

SHOWN = 8
"""How many units are drawn if the user does not say."""


def stages(
    image: str | Path | Photo,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    units: str | Iterable[int] | None = None,
    nonlinearity: Sequence[str] = (),
    pool: Sequence[str] = (),
    window: int = 3,
    step: int = 2,
    size: tuple[int, int] | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
) -> StagesResult:
    """Follow a convolution's maps through the stages after it: normalization, non-linearity, pooling, sums.

    The stages are those that the network runs, in its order, up to the next weighted layer, concatenation or
    change of the number of units. Where several read a map, the first of them that is a stage is followed. Dropout
    does nothing in evaluation and is left out; pooling to one position counts only if nothing else reads its input.

    Parameters
    ----------
    image : str, Path or Photo
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        A convolution: name, alias, glob, or ``-1`` for the last.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    units : str or iterable of int, optional
        Which units to draw: ``"0:16"``, ``"3,7"``; by default the 8 with the largest maxima at the last stage.
    nonlinearity : sequence of str
        Of ``relu``, ``tanh``, ``sigmoid``, ``leaky_relu``, ``elu``, ``gelu``, ``silu``: what-ifs, applied to what the
        network's own first non-linearity read (else to the convolution's output).
    pool : sequence of str
        Of ``max``, ``sum``, ``average``: what-ifs, applied to what the network's own first pooling read (else to the
        output of the last stage), without padding.
    window, step : int
        Side of that pooling's window and its step, in positions; windows overlap if the step is smaller.
    size : (int, int), optional
        Input height and width in pixels, if not the network's own.
    trust, weights, seed
        As for `netviz.load`.

    Returns
    -------
    StagesResult

    Raises
    ------
    ImageError
        If the image cannot be read, or is too small for the network.
    LayerError
        If there is no such convolution or unit, nothing follows it, or the window is larger than its map.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `nonlinearity`, `pool`, `window` or `step` is none of the values named here.
    """
    _check("nonlinearity", nonlinearity, tuple(NONLINEARITIES))
    _check("pool", pool, POOLS)
    if window < 1 or step < 1:
        name, value = ("window", window) if window < 1 else ("step", step)
        raise ValueError(f"{name} must be at least 1 position, not {value}")
    opened = load(model, trust=trust, weights=weights, seed=seed)
    network = unwrap(opened.runnable())
    index = layers(opened, size=size)
    found = _convolution(opened, index, layer)
    chosen = choose_units(units, found.channels, found.name)
    photo = image if isinstance(image, Photo) else read_image(image)
    prepared, _ = ready(opened, photo, size)
    device = next((value.device for value in network.parameters()), torch.device("cpu"))
    tape = taped(opened, network, prepared.tensor.to(device), photo.name)
    chain = _chain(opened, index, found, tape)
    columns, values = own_columns(found, chain, tape)
    last = values[-1]
    keys = [column.key for column in columns]
    for name, column, other in (
        *other_nonlinearities(nonlinearity, chain, keys, values),
        *other_pools(pool, chain, keys, values, (window, step), found.name),
    ):
        keys.append(name)
        columns.append(column)
        values.append(other)
    shown = np.array(_most_active(last) if chosen is None else chosen, dtype=np.int64)
    kernel = found.kernel
    return StagesResult(
        filters=layer_filters(opened, found).filters[shown].astype(np.float32),
        image=prepared.image,
        units=shown,
        maps={name: value[0].numpy() for name, value in zip(keys, values, strict=True)},
        columns=tuple(columns),
        also_read_by=tuple((keys[number], name) for number, name in chain.others),
        next=chain.end,
        network=opened.name,
        layer=found.name,
        alias=found.alias,
        image_name=photo.name,
        channels=found.channels,
        groups=kernel.groups if kernel else 1,
        transposed=bool(kernel and kernel.transposed),
        sees_image=bool(kernel and kernel.sees_image),
        channel_order=opened.preprocessing.channel_order,
        sort="activity" if chosen is None else "asked",
        window=window,
        step=step,
    )


def _check(name: str, given: Sequence[str], allowed: tuple[str, ...]) -> None:
    for value in (given,) if isinstance(given, str) else given:
        if isinstance(given, str) or value not in allowed:
            raise ValueError(f"{name} must be a sequence of {', '.join(allowed)}, not {value!r}")


def _is_convolution(layer: Layer) -> bool:
    return layer.kernel is not None and layer.spatial


def _convolution(model: Model, index: LayerIndex, spec: str) -> Layer:
    found = index.resolve(spec, among=_is_convolution, purpose="convolution")
    if _is_convolution(found):
        return found
    near = _nearest(index, found, _is_convolution)
    if near is None:
        raise ModelError(f"{model.name} has no convolution that is a layer of its own and has maps")
    raise LayerError(
        f"layer {found.name} ({found.alias}, {found.kind}) of {model.name} is no convolution with filters; "
        f"stages are those of a convolution, such as {near.alias}"
    )


def _nearest(index: LayerIndex, layer: Layer, serves: Callable[[Layer], bool]) -> Layer | None:
    """Return the last layer before this one that serves; where there is none, the first after it."""
    place = list(index).index(layer)
    return next((one for one in (*reversed(index[:place]), *index[place + 1 :]) if serves(one)), None)


def _chain(model: Model, index: LayerIndex, layer: Layer, tape: Tape) -> Chain:
    follower = Follower(tape, index)
    chain = follower.follow(layer)
    if chain is not None and chain.stages:
        return chain

    def has_stages(other: Layer) -> bool:
        found = follower.follow(other) if _is_convolution(other) else None
        return found is not None and bool(found.stages)

    near = _nearest(index, layer, has_stages)
    hint = f"the nearest convolution with stages is {near.alias}" if near else "no convolution has stages"
    what = "it does not run on this image" if chain is None else f"next comes {chain.end}"
    raise LayerError(f"no stage follows layer {layer.name} ({layer.alias}) of {model.name}: {what}; {hint}")


def _most_active(value: Tensor) -> NDArray[np.int64]:
    peaks = np.nan_to_num(value[0].flatten(1).amax(dim=1).numpy(), nan=-np.inf)
    return np.argsort(-peaks, kind="stable")[:SHOWN]
