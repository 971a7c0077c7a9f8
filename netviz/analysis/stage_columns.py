"""The columns of a convolution's stages: the network's own, and what other stages would have made of its maps."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from netviz.analysis.stage_chain import NONLINEAR, Chain, Stage
from netviz.capture import Tape
from netviz.errors import LayerError
from netviz.models import Layer
from netviz.results.stages import Column

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
    return tape.values[number].detach().movedim(axis, 1).float().cpu().contiguous()


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
    name, args, kwargs = stage.node.name, stage.node.args, stage.node.kwargs
    if name not in ("max_pool2d", "avg_pool2d", "lp_pool2d"):
        return owner.type
    side: Any = kwargs.get("kernel_size", args[1] if len(args) > 1 else None)
    step: Any = kwargs.get("stride", args[2] if len(args) > 2 else None) or side
    return f"{owner.type} {_pair(side)}, step {_pair(step, True)}"


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
        low = node.kwargs.get("min_val", node.args[1] if len(node.args) > 1 else -1.0)
        high = node.kwargs.get("max_val", node.args[2] if len(node.args) > 2 else 1.0)
        return (float(low), float(high))
    return (0.0,)


def _place(chain: Chain, serves: Callable[[Stage], bool], default: int) -> int:
    """Return the column that the first such stage of the network's own reads."""
    return next((number for number, stage in enumerate(chain.stages) if serves(stage)), default)


def other_nonlinearities(
    names: Sequence[str], chain: Chain, keys: Sequence[str], values: Sequence[Tensor]
) -> list[tuple[str, Column, Tensor]]:
    """Return key, column and value of each what-if non-linearity."""
    place = _place(chain, lambda stage: stage.kind in NONLINEAR, 0)
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
    place = _place(chain, lambda stage: stage.kind == "pool", len(chain.stages))
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
