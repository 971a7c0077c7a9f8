"""Streams and skips on any backbone: which layers are tapped, and where Geometry says that they look."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import nn
from typing_extensions import Unpack

from netviz.capture import duplicate, evaluation, index_layers
from netviz.errors import LayerError
from netviz.geometry.field import Field, geometry
from netviz.models import Layer, LayerIndex, Model, ModelOptions, ModelSpec, load
from netviz.models.known.skips.network import SkipNetwork, Tap
from netviz.questions.opening import layer_fields, layers, require_maps
from netviz.results.choose import several

STRIDES = (32, 16, 8)
"""The paper's: where its three streams predict, in pixels."""

_GATES = ("SqueezeExcitation", "SqueezeExcite", "SEModule", "EffectiveSEModule", "EcaModule")

_HEADS = ("classifier", "head", "heads", "fc", "logits", "last_linear", "aux", "aux1", "aux2", "AuxLogits")


def FCN(
    backbone: ModelSpec,
    classes: int = 21,
    *,
    strides: int | Sequence[int] = STRIDES,
    taps: str | Sequence[str] | None = None,
    learned: bool = False,
    **options: Unpack[ModelOptions],
) -> SkipNetwork:
    """Build a fully convolutional network with skips on a backbone (Long, Shelhamer, Darrell, CVPR 2015).

    Each tap's maps are scored by a 1×1 convolution, which starts at 0. A coarse stream's scores are brought to the
    positions of the next finer tap and added to its own; every stream is brought to the input's pixels. What lies
    where comes from `netviz.geometry.field`, so that streams are in place for an input of any size.

    Parameters
    ----------
    backbone : str, Path, nn.Module or Model
        As for `netviz.load`; it is copied.
    classes : int
        How many are predicted.
    strides : int or sequence of int
        Of the taps, in pixels, coarse to fine; each a multiple of the next.
    taps : str or sequence of str, optional
        Layers to tap, coarse to fine; by default the last layer before the classifier of each stride. The strides are
        then theirs.
    learned : bool
        Whether the kernels between taps are parameters, which begin as linear interpolation.
    **options
        As for `netviz.load`.

    Returns
    -------
    SkipNetwork
        In evaluation mode; gives a dict of (N, classes, H, W), ``8s``, ``16s`` and ``32s`` by default.

    Raises
    ------
    LayerError
        If the backbone has no layer of a stride, or a named layer cannot serve.
    ModelError
        If it cannot be opened or followed.
    ValueError
        If `classes` or `strides` make no sense.
    """
    model = load(backbone, **options)
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    found = choose_taps(model, strides, taps)
    return with_skips(model, found, classes, learned).eval()


def with_skips(model: Model, taps: Sequence[Tap], classes: int, learned: bool) -> SkipNetwork:
    """Return a network with skips on a copy of a model's."""
    network = model.runnable()
    backbone = duplicate(network)
    with evaluation(network):  # what no copy has of its own, random states above all, comes back
        return SkipNetwork(backbone, taps, classes, learned=learned)


def choose_taps(
    model: Model, strides: int | Sequence[int] = STRIDES, names: str | Sequence[str] | None = None
) -> tuple[Tap, ...]:
    """Return the layers of a backbone that streams are made of, coarse to fine.

    Parameters
    ----------
    model : Model
    strides : int or sequence of int
        In pixels, coarse to fine.
    names : str or sequence of str, optional
        The layers, coarse to fine; by default the last before the classifier of each stride.

    Raises
    ------
    LayerError
        If a stride is not there, or a named layer cannot serve.
    ValueError
        If the strides do not go from coarse to fine, each a multiple of the next.
    """
    index = layers(model)
    fields = _fields(model, index)
    if names is not None:
        chosen = [require_maps(model, index.resolve(name)) for name in several(names)]
        found = [_tap(model, layer, fields[layer]) for layer in chosen]
        _check([tap.stride for tap in found], "taps")
        return tuple(found)
    strides = several(strides)
    _check(strides, "strides")
    last: dict[int, Layer] = {}
    for layer in _backbone(index):
        stride = _stride(fields[layer])
        if stride:
            last[stride] = layer
    missing = [stride for stride in strides if stride not in last]
    if not last:
        why = next(
            (field.reason for field in fields.values() if field.reason), "its maps see the whole image"
        )
        raise LayerError(f"{model.name} has no layer whose stride is known ({why}); choose another backbone")
    if missing:
        raise LayerError(
            f"{model.name} has no layer of stride {' or '.join(map(str, missing))}: its strides are "
            f"{_listed(last)}; choose among these with --strides, or name layers"
        )
    return tuple(_tap(model, last[stride], fields[last[stride]]) for stride in strides)


def _fields(model: Model, index: LayerIndex) -> dict[Layer, Field]:
    """Return the layers' fields, without what gates add to them: those weigh whole channels, and move nothing."""
    fields = layer_fields(model, index)
    network = model.runnable()
    gates = [name for name, module in network.named_modules() if type(module).__name__ in _GATES]
    if not gates or index.input_shape is None:
        return fields
    open_ = duplicate(network)
    for name in gates:
        parent, _, child = name.rpartition(".")
        setattr(open_.get_submodule(parent), child, nn.Identity())
    channels, height, width = index.input_shape
    without = index_layers(open_, size=(height, width), channels=channels)
    found = {layer.name: field for layer, field in geometry(open_, without).items()}
    return {layer: found.get(layer.name, field) for layer, field in fields.items()}


def _backbone(index: LayerIndex) -> list[Layer]:
    """Return the layers that can be tapped: with maps, channels first, before the classifier."""
    return [
        layer
        for layer in index
        if layer.spatial
        and layer.channel_axis == 1
        and layer.arrangement is None
        and "adaptive" not in layer.type.lower()
        and layer.module.partition(".")[0] not in _HEADS
    ]


def _stride(field: Field) -> int:
    """Return a layer's stride in pixels, the same in both directions; 0 if it has none."""
    down, across = field.stride
    if field.status in ("unknown", "global") or not math.isfinite(down) or down != across:
        return 0
    return int(down) if down >= 1 and down == int(down) else 0


def _tap(model: Model, layer: Layer, field: Field) -> Tap:
    stride = _stride(field)
    if not stride:
        why = field.reason or f"its field is {field.status}"
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {model.name} has no stride in whole pixels ({why}); tap another"
        )
    if layer.channel_axis != 1 or layer.arrangement is not None:
        form = layer.arrangement or "its channels last"
        raise LayerError(f"layer {layer.name} ({layer.alias}) of {model.name} has {form}; tap another")
    return Tap(layer.name, stride, field.center(0, 0), layer.channels)


def _check(strides: Sequence[int], what: str) -> None:
    """Refuse strides that do not go from coarse to fine, each a multiple of the next."""
    fitting = all(coarse > fine and coarse % fine == 0 for coarse, fine in pairwise(strides))
    if not strides or min(strides) < 1 or not fitting:
        raise ValueError(
            f"{what} must go from coarse to fine, each stride a multiple of the next, such as 32, 16, 8; "
            f"not {', '.join(map(str, strides)) or 'none'}"
        )


def _listed(strides: Mapping[int, Layer]) -> str:
    return ", ".join(str(stride) for stride in sorted(strides)) or "none"
