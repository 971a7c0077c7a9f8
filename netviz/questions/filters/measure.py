"""The filters of a convolution: which are alike, which are dead, in which order to show them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.capture import evaluation
from netviz.capture.trace import require_values
from netviz.errors import LayerError, ModelError
from netviz.models import Layer, LayerIndex, Model, ModelOptions, ModelSpec, index_weights, load
from netviz.models.loading.plain import weight_of
from netviz.questions.filters.result import FiltersResult
from netviz.questions.opening import layers, provenance
from netviz.results.choose import choose_units

DEAD = 0.01
"""A filter is dead if its L2 norm is below this share of its layer's median norm."""

ALIKE = 0.95
"""Two filters of the same inputs are near-duplicates if their cosine similarity is at least this."""


def filters(
    model: ModelSpec,
    *,
    layer: str | None = None,
    scale: str = "each",
    sort: str = "index",
    units: int | str | Iterable[int] | None = None,
    max_units: int | None = None,
    **options: Unpack[ModelOptions],
) -> FiltersResult:
    """Take the filters of one convolution.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str, optional
        Name, alias, glob, or ``-1`` for the last convolution; by default the first.
    scale : {"each", "shared"}
        Whether each filter is drawn by its own largest weight, or all by one.
    sort : {"index", "norm", "hue"}
        Drawing order: as in the network; largest L2 norm first; or by the colour axis of the filter, colourless
        ones last (only where the layer sees an RGB image).
    units : int, str or iterable of int, optional
        Which units to draw: ``"0:16"``, ``"3,7"``; by default all. In this order where `sort` is ``"index"``.
    max_units : int, optional
        Draw at most so many.
    **options
        As for `netviz.load`.

    Returns
    -------
    FiltersResult
        With all weights, exactly the parameter.

    Raises
    ------
    LayerError
        If there is no such layer or unit, or the layer has no filters.
    ValueError
        If `scale`, `sort` or `max_units` is none of the values named here.
    """
    if scale not in ("each", "shared"):
        raise ValueError(f"scale must be 'each' or 'shared', not {scale!r}")
    if sort not in ("index", "norm", "hue"):
        raise ValueError(f"sort must be 'index', 'norm' or 'hue', not {sort!r}")
    if max_units is not None and max_units < 1:
        raise ValueError(f"max_units must be at least 1, not {max_units}")
    model = load(model, **options)
    index = _index(model)
    found = _first(index, model) if layer is None else index.resolve(layer, among=_filtering, purpose="layer")
    result = layer_filters(model, found, scale=scale, sort=sort, units=units, max_units=max_units)
    return replace(result, layer_asked=layer or "")


def layer_filters(
    model: Model,
    layer: Layer,
    *,
    scale: str = "each",
    sort: str = "index",
    units: int | str | Iterable[int] | None = None,
    max_units: int | None = None,
) -> FiltersResult:
    """Take the filters of a layer that is already resolved; see `filters`."""
    kernel = layer.kernel
    if kernel is None:
        raise LayerError(
            f"layer {layer.name} ({layer.alias}, {layer.kind}) of {model.name} has no filters; "
            f"choose a convolution (see: netviz layers)"
        )
    parameter = _parameter(model, layer)
    weight = parameter.detach().cpu()
    network = model.name
    if weight.is_quantized:
        weight, network = weight.dequantize(), f"{network} (dequantized)"
    if weight.is_complex():
        raise LayerError(
            f"layer {layer.name} of {model.name} has complex weights ({weight.dtype}), of which there is no picture; "
            "choose another layer"
        )
    if weight.numel() == 0:
        raise LayerError(
            f"layer {layer.name} of {model.name} has no weights: their shape is {tuple(weight.shape)}"
        )
    if weight.dtype not in (torch.float16, torch.float32, torch.float64):
        weight = weight.float()
    values: NDArray[Any] = weight.contiguous().numpy().copy()
    result = FiltersResult(
        weight=values,
        units=np.arange(0),
        network=network,
        **provenance(model),
        layer=layer.name,
        alias=layer.alias,
        groups=kernel.groups,
        transposed=kernel.transposed,
        sees_image=kernel.sees_image,
        channel_order=model.preprocessing.channel_order,
        scale=scale,
        sort=sort,
        dead=(),
        duplicates=(),
    )
    flat = result.filters.reshape(len(result.filters), -1).astype(np.float64)
    if not np.isfinite(flat).all():
        bad = int((~np.isfinite(flat)).any(axis=1).sum())
        raise ModelError(
            f"{bad} filters of layer {layer.name} of {model.name} hold NaN or infinite weights; "
            "check the file of weights"
        )
    # By a power of two, which changes none of the questions below and keeps squares in range.
    flat = np.ldexp(flat, -np.frexp(np.abs(flat).max())[1])
    dead = dead_filters(flat)
    order = _order(result, flat, sort)
    chosen = choose_units(units, len(flat), layer.name)
    if chosen is not None:
        order = np.array(chosen) if sort == "index" else order[np.isin(order, chosen)]
    return replace(
        result,
        units=order[:max_units],
        dead=dead,
        duplicates=near_duplicates(flat, dead, kernel.groups),
    )


def dead_filters(flat: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the rows of (units, weights) whose L2 norm is below `DEAD` of the median norm, or zero."""
    norms = np.linalg.norm(flat, axis=1)
    return tuple(int(unit) for unit in np.flatnonzero((norms < DEAD * np.median(norms)) | (norms == 0)))


def near_duplicates(
    flat: NDArray[np.float64], dead: tuple[int, ...] = (), groups: int = 1
) -> tuple[tuple[int, int], ...]:
    """Return pairs (unit, earliest unit like it) with a cosine similarity of at least `ALIKE`, dead ones left out.

    Parameters
    ----------
    flat : ndarray of shape (units, weights)
        One filter a row.
    dead : tuple of int
        Units that are not compared.
    groups : int
        In how many groups, one after the other, the units read inputs of their own. Filters of different inputs give
        different maps, however alike they are: of a depthwise convolution none repeats another.

    Returns
    -------
    tuple of (int, int)
        Each unit at most once, in order.
    """
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.where(norms > 0, norms, 1)
    unit[list(dead)] = 0
    like = unit @ unit.T >= ALIKE
    group = np.arange(len(flat)) * groups // max(len(flat), 1)
    earlier = np.tril(like & (group[:, None] == group), k=-1)
    return tuple((int(row), int(earlier[row].argmax())) for row in np.flatnonzero(earlier.any(axis=1)))


def _filtering(layer: Layer) -> bool:
    return layer.kernel is not None


def _index(model: Model) -> LayerIndex:
    """List the layers; of a network that does not run on an image, the weights alone."""
    try:
        return layers(model)
    except ModelError:
        found = index_weights(model.weights)
        if not found:
            raise
        return found


def _first(index: LayerIndex, model: Model) -> Layer:
    for layer in index:
        if layer.kernel is not None:
            return layer
    raise ModelError(f"{model.name} is not convolutional: it has no layer with filters")


def _parameter(model: Model, layer: Layer) -> torch.Tensor:
    stored = model.weights.get(f"{layer.module}.weight")
    if model.network is not None:
        require_values(model.network)
        module = model.network.get_submodule(layer.module)
        with evaluation(module):  # a parametrization (spectral norm) makes it anew
            weight = weight_of(module)
        if weight is not None:
            # A network of other numbers runs in float32.
            return weight if stored is None or stored.dtype == weight.dtype else stored
    return model.weights[f"{layer.module}.weight" if layer.module != "weight" else "weight"]


def _order(result: FiltersResult, flat: NDArray[np.float64], sort: str) -> NDArray[np.int64]:
    if sort == "norm":
        return np.argsort(-np.linalg.norm(flat, axis=1), kind="stable")
    if sort == "hue":
        if not result.sees_image or result.filters.shape[1] != 3:
            raise LayerError(
                f"layer {result.layer} does not see an RGB image, so its filters have no hue; sort by norm"
            )
        return _by_hue(result)
    return np.arange(len(flat))


def _by_hue(result: FiltersResult) -> NDArray[np.int64]:
    """Order RGB filters by the direction in the plane of colours along which their weights vary most.

    Filters with less than 5 % of their energy in that plane count as colourless and come last, by index.
    """
    values = result.filters.astype(np.float64)
    if result.channel_order == "BGR":
        values = values[:, ::-1]
    red, green, blue = values.reshape(len(values), 3, -1).swapaxes(0, 1)
    along, across = (2 * red - green - blue) / np.sqrt(6), (green - blue) / np.sqrt(2)
    axis = np.arctan2(2 * (along * across).sum(1), (along**2).sum(1) - (across**2).sum(1)) % (2 * np.pi)
    energy = (values**2).reshape(len(values), -1).sum(1)
    colourless = (along**2 + across**2).sum(1) < 0.05 * energy
    return np.lexsort((np.arange(len(values)), np.where(colourless, 0, axis), colourless))
