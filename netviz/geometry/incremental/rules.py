"""What each torch function does to a window: which ones work on windows, and which on a batch of whole maps.

Convolution, pooling and padding read a small part of their input for every output.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netviz.capture.operations import arguments, names
from netviz.capture.tape import Node, Ref
from netviz.capture.tensors import tensors_in
from netviz.geometry.incremental.convolving import Convolution
from netviz.geometry.incremental.resampling import Resampled, interpolation
from netviz.geometry.incremental.windows import Slide


@dataclass(frozen=True)
class Local:
    """A convolution or pooling: every output reads a small window of its input.

    Attributes
    ----------
    slides : (Slide, Slide)
        Rows and columns.
    outside : float
        What it reads outside of the map.
    run : callable
        The operation without padding; a `Convolution` knows how to take what it reads, too.
    share : (int, int) or None
        For an average that does not count what lies outside: how far beyond the map it counts, rows and columns.
    work : float
        Multiplications for each output pixel.
    """

    slides: tuple[Slide, Slide]
    outside: float
    run: Callable[[Tensor], Tensor]
    share: tuple[int, int] | None
    work: float

    @property
    def still(self) -> bool:
        """Whether each output reads just the input pixel at its own place."""
        return all((slide.extent, slide.stride, slide.pad) == (1, 1, 0) for slide in self.slides)


def bounds(node: Node) -> tuple[float, float] | None:
    """Return between which numbers a function brings every value; None if it does something else."""
    told = given(node) if node.name in ("relu", "relu6", "hardtanh") and len(node.inputs) == 1 else {}
    if node.name == "hardtanh" and all(isinstance(told[one], int | float) for one in ("min_val", "max_val")):
        return float(told["min_val"]), float(told["max_val"])
    return {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}.get(node.name)


@dataclass(frozen=True)
class Moved:
    """Padding by a constant: the same values at another place in a larger map."""

    offsets: tuple[int, int]


def given(node: Node) -> dict[str, Any]:
    """Return a node's arguments, by the names that the table of operations gives them."""
    return arguments(node.name, node.args, node.kwargs)


def pair(value: Any) -> tuple[int, int]:
    """Return a setting of two axes as (rows, columns)."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return int(values[0]), int(values[-1])


def convolution(node: Node, result: torch.Size) -> Local | None:
    """Return how a convolution works on windows; None if it cannot."""
    told = given(node)
    weight, bias, groups = told["weight"], told["bias"], int(told["groups"])
    if not isinstance(told["input"], Ref) or not isinstance(weight, Tensor) or isinstance(bias, Ref):
        return None
    stride, dilation, pad = pair(told["stride"]), pair(told["dilation"]), told["padding"]
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[-2:], strict=True)]
    if pad == "same":
        pad = [(extent - 1) // 2 for extent in extents]
    return Local(
        _slides(extents, stride, (0, 0) if pad == "valid" else pair(pad), result),
        0.0,
        Convolution(weight, bias, stride, dilation, groups),
        None,
        float(weight.numel()),
    )


def pooling(node: Node, result: torch.Size) -> Local | None:
    """Return how a pooling works on windows; None if it cannot."""
    told = given(node)
    if len(node.outputs) != 1 or told.get("return_indices"):
        return None
    kernel, pad, dilation = pair(told["kernel_size"]), pair(told["padding"]), pair(told.get("dilation", 1))
    stride = kernel if told["stride"] in (None, (), []) else pair(told["stride"])
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    slides = _slides(extents, stride, pad, result)
    work = float(result[1] * math.prod(kernel))
    if node.name == "max_pool2d":
        return Local(
            slides,
            -math.inf,
            lambda halo: torch.max_pool2d(halo, kernel, stride, 0, dilation),
            None,
            work,
        )
    divisor, beyond = told["divisor_override"], told["count_include_pad"]
    share = None
    if divisor is None and (told["ceil_mode"] or (any(pad) and not beyond)):
        share = pad if beyond else (0, 0)
    return Local(
        slides,
        0.0,
        lambda halo: torch.nn.functional.avg_pool2d(halo, kernel, stride, divisor_override=divisor),
        share,
        work,
    )


def padding(node: Node, source: torch.Size) -> Moved | None:
    """Return where padding by a constant moves windows to; None for another padding."""
    told = given(node)
    amounts = list(told["pad"])
    constant = told["mode"] == "constant" and not isinstance(told["value"], Tensor | Ref)
    if not constant or min(amounts) < 0 or any(amounts[4:]) or len(source) != 4:
        return None
    amounts += [0] * (4 - len(amounts))
    return Moved((amounts[2], amounts[0]))


def _slides(
    extents: list[int], stride: tuple[int, int], pad: tuple[int, int], result: torch.Size
) -> tuple[Slide, Slide]:
    rows, cols = (Slide(extents[axis], stride[axis], pad[axis], int(result[axis - 2])) for axis in range(2))
    return rows, cols


# Of one value, at every place alike.
UNARY = names("activation", "unary", "copy", "dropout", "local response norm")

# Of several values, at every place alike.
BINARY = names("arithmetic")

POOLS = frozenset(("max_pool2d", "avg_pool2d"))

_JOINING = names("concatenation")

_INTERPOLATIONS = names("interpolation")

_RESHAPING = frozenset(("view", "reshape", "flatten", "unflatten"))

_SWAPPING = frozenset(("transpose", "swapaxes", "swapdims"))

_PARTING = frozenset(("chunk", "split", "narrow"))

_BATCHED = names(
    "linear", "group norm", "instance norm", "pixel shuffle", "pixel unshuffle", "adaptive pooling"
) | {"conv_transpose2d", "lp_pool2d", "channel_shuffle"}

Shapes = list[torch.Size]


@dataclass(frozen=True)
class Pointwise:
    """A function that acts at every place alike: windows in, windows of the same places out."""

    run: Callable[[Mapping[int, Tensor]], Any]


Rule = Local | Pointwise | Moved | Resampled


def replaced(value: Any, values: Mapping[int, Tensor]) -> Any:
    """Return arguments with every Ref replaced by a tensor."""
    if isinstance(value, Ref):
        return values[value.number]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replaced(item, values) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(replaced(item, values) for item in value)
    if isinstance(value, Mapping):
        return {key: replaced(item, values) for key, item in value.items()}
    return value


def call(node: Node, values: Mapping[int, Tensor]) -> Any:
    """Call a node's function on other values."""
    return node.function(*replaced(node.args, values), **replaced(node.kwargs, values))


def rule_for(node: Node, shapes: Shapes) -> Rule | None:
    """Return how a node works on windows whose last two axes are rows and columns; None if it does not."""
    ins = [shapes[number] for number in node.inputs]
    outs = [shapes[number] for number in node.outputs]
    if node.function is None or not all(len(shape) >= 4 and shape[0] == 1 for shape in [*ins, *outs]):
        return None
    if node.name == "conv2d":
        return convolution(node, outs[0])
    if node.name in POOLS:
        return pooling(node, outs[0])
    if node.name == "pad":
        return padding(node, ins[0])
    if node.name in _INTERPOLATIONS and len(node.inputs) == 1:
        return interpolation(given(node), ins[0], outs[0])
    if any(shape[-2:] != ins[0][-2:] for shape in [*ins, *outs]):
        return None
    if node.name in _RESHAPING and len(node.inputs) == 1:
        source, inner = node.inputs[0], outs[0][1:-2]
        return Pointwise(
            lambda values: values[source].reshape(len(values[source]), *inner, *values[source].shape[-2:])
        )
    if node.name == "contiguous":
        return Pointwise(lambda values: values[node.inputs[0]])
    if _pointwise(node, ins) or _of_channels(node, ins[0]):
        return Pointwise(lambda values: call(node, values))
    return None


def local(node: Node, shapes: Shapes) -> bool:
    """Return whether a node works on windows."""
    return rule_for(node, shapes) is not None


def batched(node: Node, shapes: Shapes) -> bool:
    """Return whether a node may be called on (P, …) where it was recorded on (1, …): first axis untouched."""
    ins = [shapes[number] for number in node.inputs]
    if not ins or not all(shape and shape[0] == 1 and len(shape) == len(ins[0]) for shape in ins):
        return False
    if not all(len(shapes[number]) > 1 and shapes[number][0] == 1 for number in node.outputs):
        return False
    if node.name == "conv2d" or node.name in POOLS:
        return len(ins[0]) == 4
    if node.name in _BATCHED:
        return len(ins[0]) >= 2 and len(ins) == 1
    if node.name == "mean":
        dims = given(node)["dim"]
        listed = [dims] if isinstance(dims, int) else list(dims or ())
        return bool(listed) and all(int(dim) % len(ins[0]) != 0 for dim in listed)
    if node.name == "flatten":
        return int(given(node)["start_dim"]) % len(ins[0]) != 0
    return len(ins[0]) == 4 and (_pointwise(node, ins) or _of_channels(node, ins[0]))


def _pointwise(node: Node, ins: list[torch.Size]) -> bool:
    """Return whether a function acts at every place alike."""
    constants = list(tensors_in((node.args, node.kwargs)))
    if node.name == "batch_norm":
        told = given(node)
        return not told["training"] and told["running_mean"] is not None and len(node.inputs) == 1
    if node.name == "prelu":
        return len(node.inputs) == 1
    if "dropout" in node.name and (node.kwargs.get("training", False) or True in node.args):
        return False
    if node.name in UNARY:
        return len(node.inputs) == 1 and not constants
    if node.name in BINARY:
        even = all(one.numel() == 1 or (one.ndim >= 2 and one.shape[-2:] == (1, 1)) for one in constants)
        lower = all(one.ndim <= len(ins[0]) for one in constants)
        return even and lower and all(len(shape) == len(ins[0]) for shape in ins)
    if node.name in _JOINING:
        return not constants and _inner(given(node)["dim"], len(ins[0]))
    return False


def _of_channels(node: Node, source: torch.Size) -> bool:
    """Return whether a function parts or reorders what lies between the first axis and the last two."""
    ndim = len(source)
    if len(node.inputs) != 1:
        return False
    if node.name in _PARTING:
        return _inner(given(node)["dim"], ndim)
    if node.name in _SWAPPING:
        return all(_inner(given(node)[one], ndim) for one in ("dim0", "dim1"))
    if node.name == "permute":
        dims = [dim % ndim for dim in given(node)["dims"]]
        return dims[0] == 0 and dims[-2:] == [ndim - 2, ndim - 1]
    if node.name == "getitem":
        key = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        if not all(isinstance(one, slice) for one in key):
            return False
        return all(one == slice(None) or _inner(dim, ndim) for dim, one in enumerate(key))
    return False


def _inner(dim: Any, ndim: int) -> bool:
    return isinstance(dim, int) and 0 < dim % ndim < ndim - 2
