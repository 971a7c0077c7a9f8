"""The stages of a convolution on an image: what really follows it, and what other stages would have made of it."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture import Tape
from netviz.capture.operations import arguments, names
from netviz.capture.tensors import plain_values
from netviz.errors import LayerError, ModelError
from netviz.images import ImageLike, read_image
from netviz.models import Layer, LayerIndex, Model, ModelSpec
from netviz.questions.filters.measure import layer_filters
from netviz.questions.opening import ImageOptions, open_model
from netviz.questions.stages.chain import NONLINEAR, Chain, Follower, Stage
from netviz.questions.stages.result import Column, StagesResult
from netviz.results.choose import choose_units, several

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}
"""Non-linearities that can be tried; those with a parameter take PyTorch's (a slope of 0.01, an alpha of 1)."""

POOLS = ("max", "sum", "average")

_TAKEN = frozenset(("filters", "image", "units", "facts"))


def own_columns(layer: Layer, chain: Chain, tape: Tape) -> tuple[list[Column], list[Tensor]]:
    """Return the network's own columns, the convolution's output first, and their values (1, C, h, w)."""
    columns: list[Column] = []
    values = [_maps(tape, chain.value, chain.axis), *(_maps(tape, s.value, s.axis) for s in chain.stages)]
    number = re.sub(r"^[^\d]+(?=\d)", "", layer.alias)
    for stage, value in zip([None, *chain.stages], values, strict=True):
        owner = layer if stage is None else stage.layer
        kind = layer.kind if stage is None else stage.kind
        made = stage is None or (owner is not None and owner.kind != "block")
        name = owner.alias if made and owner and owner.alias else f"{kind}{number}"
        name = _unused(name, [column.key for column in columns])
        saturated, where = (None, "") if stage is None else _saturation(stage, value)
        columns.append(
            Column(
                key=name,
                title=name,
                kind=kind,
                layer=owner.name if owner else "",
                what_if=False,
                zero=_share(value == 0),
                saturated=saturated,
                where=where,
                note=_note(stage, owner if made else None),
            )
        )
    return columns, values


def _maps(tape: Tape, number: int, axis: int) -> Tensor:
    return plain_values(tape.values[number]).detach().movedim(axis, 1).float().cpu().contiguous()


def _unused(name: str, taken: Sequence[str]) -> str:
    return next(
        one for one in (name, *(f"{name}{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"), f"{name}_{len(taken)}")
        if one not in taken and one not in _TAKEN
    )  # fmt: skip


def _note(stage: Stage | None, owner: Layer | None) -> str:
    """Say what makes a column: the layer's type, with the window of a pooling."""
    if owner is None:
        constant = stage is not None and len(stage.node.inputs) < 2
        return "with a constant" if constant else "with another path"
    if stage is None or stage.kind != "pool":
        return owner.type
    if stage.node.name not in names("pooling"):
        return owner.type
    given = arguments(stage.node.name, stage.node.args, stage.node.kwargs)
    side, step = given["kernel_size"], given["stride"]
    return f"{owner.type} {_pair(side)}, step {_pair(step or side, True)}"


def _pair(value: Any, short: bool = False) -> str:
    numbers = list(value) if isinstance(value, tuple | list) else [value, value]
    return (
        str(numbers[0])
        if short and len(set(numbers)) == 1
        else "×".join(map(str, numbers * (3 - len(numbers))))
    )


def _share(where: Tensor) -> float:
    return float(where.double().mean())


def _saturation(stage: Stage, value: Tensor) -> tuple[float | None, str]:
    """Return the share of responses at which the network's own non-linearity is flat, and which those are."""
    if stage.kind in ("relu", "hardtanh", "hardsigmoid", "relu6"):
        ends = _ends(stage)
        flat = torch.stack([value == end for end in ends]).any(dim=0)
        return _share(flat), " or ".join(f"y = {end:g}" for end in ends)
    return _soft_saturation(stage.kind, value)


def _soft_saturation(kind: str, value: Tensor) -> tuple[float | None, str]:
    if kind == "tanh":
        return _share(value.abs() > 0.95), "|y| > 0.95"
    if kind == "sigmoid":
        return _share((value < 0.05) | (value > 0.95)), "y < 0.05 or y > 0.95"
    return (_share(value == 0), "y = 0") if kind == "relu" else (None, "")


def _ends(stage: Stage) -> tuple[float, ...]:
    """Return the values at which a piecewise linear non-linearity is flat."""
    node = stage.node
    if node.name == "relu6" or (stage.layer is not None and stage.layer.type == "ReLU6"):
        return (0.0, 6.0)
    if node.name == "hardsigmoid":
        return (0.0, 1.0)
    if node.name == "hardtanh":
        given = arguments(node.name, node.args, node.kwargs)
        return (float(given["min_val"]), float(given["max_val"]))
    return (0.0,)


def _column_read(chain: Chain, serves: Callable[[Stage], bool], default: int) -> int:
    """Return the column that the first such stage of the network's own reads."""
    return next((number for number, stage in enumerate(chain.stages) if serves(stage)), default)


def other_nonlinearities(
    names: Sequence[str], chain: Chain, keys: Sequence[str], values: Sequence[Tensor]
) -> list[tuple[str, Column, Tensor]]:
    """Return key, column and value of each what-if non-linearity."""
    place = _column_read(chain, lambda stage: stage.kind in NONLINEAR, 0)
    found = []
    for name in dict.fromkeys(names):
        value = NONLINEARITIES[name](values[place])
        found.append(_what_if(name, name, name, value, f"of {keys[place]}"))
    return found


def other_pools(
    names: Sequence[str],
    chain: Chain,
    keys: Sequence[str],
    values: Sequence[Tensor],
    window: tuple[int, int],
    where: str,
) -> list[tuple[str, Column, Tensor]]:
    """Return key, column and value of each what-if pooling.

    Raises
    ------
    LayerError
        If the window is larger than the maps.
    """
    place = _column_read(chain, lambda stage: stage.kind == "pool", len(chain.stages))
    source, (side, step) = values[place], window
    height, width = source.shape[2:]
    if names and side > min(height, width):
        raise LayerError(
            f"a pooling window of {side} is larger than the maps of {keys[place]} ({where}), {height}×{width}; "
            f"give one of at most {min(height, width)}"
        )
    how = "overlapping" if step < side else "side by side" if step == side else "with gaps"
    found = []
    for name in dict.fromkeys(names):
        if name == "max":
            value = F.max_pool2d(source, side, step)
        else:
            value = F.avg_pool2d(source, side, step, divisor_override=1 if name == "sum" else None)
        note = f"of {keys[place]}, {how}"
        found.append(_what_if(name, f"{name} {side}/{step}", "pool", value, note))
    return found


def _what_if(name: str, title: str, kind: str, value: Tensor, note: str) -> tuple[str, Column, Tensor]:
    saturated, where = _soft_saturation(kind, value)
    key = f"what_if_{name}"
    return key, Column(key, title, kind, "", True, _share(value == 0), saturated, where, note), value


SHOWN = 8
"""How many units are drawn if the user does not say."""


def stages(
    image: ImageLike,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    units: int | str | Iterable[int] | None = None,
    nonlinearity: str | Sequence[str] = (),
    pool: str | Sequence[str] = (),
    window: int = 3,
    step: int = 2,
    **options: Unpack[ImageOptions],
) -> StagesResult:
    """Follow a convolution's maps through the stages after it: normalization, non-linearity, pooling, sums.

    The stages are those that the network runs, in its order, up to the next weighted layer, concatenation or
    change of the number of units. Where several read a map, the first of them that is a stage is followed. Dropout
    does nothing in evaluation and is left out; pooling to one position counts only if nothing else reads its input.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        A convolution: name, alias, glob, or ``-1`` for the last.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    units : int, str or iterable of int, optional
        Which units to draw: ``"0:16"``, ``"3,7"``; by default the 8 with the largest maxima at the last stage.
    nonlinearity : str or sequence of str
        Of ``relu``, ``tanh``, ``sigmoid``, ``leaky_relu``, ``elu``, ``gelu``, ``silu``: what-ifs, applied to what the
        network's own first non-linearity read (else to the convolution's output).
    pool : str or sequence of str
        Of ``max``, ``sum``, ``average``: what-ifs, applied to what the network's own first pooling read (else to the
        output of the last stage), without padding.
    window, step : int
        Side of that pooling's window and its step, in positions; windows overlap if the step is smaller.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

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
    nonlinearity, pool = several(nonlinearity), several(pool)
    _check("nonlinearity", nonlinearity, tuple(NONLINEARITIES))
    _check("pool", pool, POOLS)
    if window < 1 or step < 1:
        name, value = ("window", window) if window < 1 else ("step", step)
        raise ValueError(f"{name} must be at least 1 position, not {value}")
    opened = open_model(model, **options)
    found = _convolution(opened.model, opened.index, layer)
    chosen = choose_units(units, found.channels, found.name)
    photo = read_image(image)
    prepared = opened.prepare(photo)
    tape = opened.tape(prepared.tensor, photo.name)
    chain = _chain(opened.model, opened.index, found, tape)
    numbers = (chain.value, *(stage.value for stage in chain.stages))
    tape = opened.values(tape, prepared.tensor, photo.name, numbers)
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
        filters=layer_filters(opened.model, found).filters[shown].astype(np.float32),
        image=prepared.image,
        units=shown,
        maps={name: value[0].numpy() for name, value in zip(keys, values, strict=True)},
        columns=tuple(columns),
        also_read_by=tuple((keys[number], name) for number, name in chain.others),
        next=chain.end,
        network=opened.model.name,
        layer=found.name,
        alias=found.alias,
        image_name=photo.name,
        **opened.provenance(photo, layer),
        channels=found.channels,
        groups=kernel.groups if kernel else 1,
        transposed=bool(kernel and kernel.transposed),
        sees_image=bool(kernel and kernel.sees_image),
        channel_order=opened.model.preprocessing.channel_order,
        sort="activity" if chosen is None else "asked",
        window=window,
        step=step,
    )


def _check(name: str, given: Sequence[str], allowed: tuple[str, ...]) -> None:
    for value in given:
        if value not in allowed:
            raise ValueError(f"{name} must be one or several of {', '.join(allowed)}, not {value!r}")


def _is_convolution(layer: Layer) -> bool:
    return layer.kernel is not None and layer.spatial


def _convolution(model: Model, index: LayerIndex, spec: str) -> Layer:
    found = index.resolve(spec, among=_is_convolution, purpose="convolution")
    if _is_convolution(found):
        return found
    near = _nearest(index, found, _is_convolution)
    if near is None:
        raise ModelError(
            f"{model.name} has no convolution that is a layer of its own and has maps: see netviz layers"
        )
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
