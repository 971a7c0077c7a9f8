"""Passes on the meta device, where only shapes count: common functions answered here, the others by torch.

torch answers many of its functions there by rules in Python, which take longer than the arithmetic on an image would
(three milliseconds for a batch normalization), and the first of which imports its compiler and SymPy, longer than
torch itself. What is not plainly one of the cases below (other types or layouts, autocast, gradients, arguments that
do not fit) is torch's to answer or to refuse.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netviz.capture.copies import empty_like
from netviz.capture.kinds import plain_name
from netviz.capture.operations import OPERATIONS, arguments, names
from netviz.capture.tensors import tensors_in

_Rule = Callable[[dict[str, Any]], Sequence[int] | None]


class ShapesAlone(TorchFunctionMode):
    """Answers what it knows of functions of tensors on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = shaped(func, args, kwargs or {})
        return func(*args, **(kwargs or {})) if found is None else found


def shaped(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return what a function gives on the meta device: a tensor without values, or its argument if it works in place.

    Returns
    -------
    Tensor or None
        None where torch has to answer.
    """
    name = plain_name(function)
    kind = OPERATIONS[name].kind if name in OPERATIONS else ""
    rule = _RULES.get(name) or _RULES.get(kind)
    if (
        rule is None
        or not args
        or "out" in kwargs
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
    ):
        return None
    first, *others = tensors_in((args, kwargs))
    like, kept = kind in _LIKE, kind in _KEEPING or name in _KEEPING
    # A layer normalization makes its input contiguous first.
    layout = "any" if name == "layer_norm" else "last" if like or kept else ""
    every = layout if kind == "arithmetic" else ""
    if not _plain(first, layout) or not all(
        _plain(one, every) and one.dtype == first.dtype for one in others
    ):
        return None
    try:
        shape = rule({**arguments(name, args, kwargs), "others": others, "args": args, "kwargs": kwargs})
    except (TypeError, ValueError, IndexError, AttributeError):
        return None
    if shape is None or min(shape, default=1) < 1:
        return None
    if _in_place(function, name, args, kwargs):
        # Any write counts: the tensor's version tells those who follow it.
        return first.zero_() if args[0] is first and tuple(first.shape) == tuple(shape) else None
    if like:
        return empty_like(first.detach())
    last = kept and any(_last(one) for one in (first, *others))
    if last and kind == "arithmetic":
        # What has all of the shape decides, the first of several.
        full = [one for one in (first, *others) if tuple(one.shape) == tuple(shape)]
        rows = [one for one in (first, *others) if tuple(one.shape[-2:]) == (1, 1)]
        if not full or len(full) + len(rows) != 1 + len(others):
            return None
        last = _last(full[0])
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=first.dtype, device="meta", memory_format=form)


def _plain(tensor: Tensor, layout: str = "") -> bool:
    """Return whether a tensor is of the kind that is answered for: contiguous, or also channels last, or any."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.is_meta
        and tensor.dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)
        and (tensor.is_contiguous() or layout == "any" or (layout == "last" and _last(tensor)))
    )


def _last(tensor: Tensor) -> bool:
    """Return whether a tensor has its channels last in memory."""
    return (
        tensor.ndim == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _in_place(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    own = str(getattr(function, "__name__", ""))
    if own.startswith("__"):
        return own == f"__i{name}__"
    flagged = OPERATIONS[name].kind == "activation"
    return own.endswith("_") or (flagged and any(one is True for one in (*args, *kwargs.values())))


def _same(given: dict[str, Any]) -> Sequence[int] | None:
    """Answer a function of every number by itself, without other tensors."""
    return None if given["others"] else tuple(given["input"].shape)


def _batch_norm(given: dict[str, Any]) -> Sequence[int] | None:
    image = given["input"]
    if given["training"] or image.ndim < 2 or given["running_mean"] is None or given["running_var"] is None:
        return None
    return tuple(image.shape) if all(one.shape == (image.shape[1],) for one in given["others"]) else None


def _layer_norm(given: dict[str, Any]) -> Sequence[int] | None:
    shape, tail = tuple(given["input"].shape), tuple(given["normalized_shape"])
    fits = 0 < len(tail) <= len(shape) and shape[-len(tail) :] == tail
    return shape if fits and all(one.shape == tail for one in given["others"]) else None


def _group_norm(given: dict[str, Any]) -> Sequence[int] | None:
    shape = tuple(given["input"].shape)
    fits = len(shape) > 2 and shape[1] % given["num_groups"] == 0 and math.prod(shape) > given["num_groups"]
    return shape if fits and all(one.shape == (shape[1],) for one in given["others"]) else None


def _arithmetic(given: dict[str, Any]) -> Sequence[int] | None:
    """Two tensors, or one and a number."""
    if len(given["args"]) != 2 or given["kwargs"]:
        return None
    shapes = [tuple(side.shape) for side in given["args"] if isinstance(side, Tensor)]
    numbers = [side for side in given["args"] if type(side) in (int, float)]
    return np.broadcast_shapes(*shapes) if len(shapes) + len(numbers) == 2 else None


def _pair(value: Any, count: int) -> tuple[int, ...]:
    pair = (value,) * count if type(value) is int else tuple(value)
    if len(pair) != count or any(type(one) is not int for one in pair):
        raise TypeError("no whole numbers")
    return pair


def _convolution(given: dict[str, Any]) -> Sequence[int] | None:
    image, weight, groups = given["input"], given["weight"], given["groups"]
    count = weight.ndim - 2
    if image.ndim != weight.ndim or count < 1 or image.shape[1] != weight.shape[1] * groups:
        return None
    if weight.shape[0] % groups or (given["bias"] is not None and given["bias"].shape != weight.shape[:1]):
        return None
    stride, padding, dilation = (_pair(given[name], count) for name in ("stride", "padding", "dilation"))
    if min(padding) < 0 or min(dilation) < 1:
        return None
    sides = (
        (side + 2 * pad - spread * (kernel - 1) - 1) // step + 1
        for side, kernel, step, pad, spread in zip(
            image.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
        )
    )
    return image.shape[0], weight.shape[0], *sides


def _pooling(given: dict[str, Any]) -> Sequence[int] | None:
    """Pooling by a window; one that begins beyond the image and its first padding is left out."""
    image, shape = given["input"], []
    if image.ndim != 4 or given.get("return_indices") or given.get("divisor_override") is not None:
        return None
    kernel, padding, dilation = (
        _pair(given.get(name, 1), 2) for name in ("kernel_size", "padding", "dilation")
    )
    stride = kernel if given["stride"] in (None, (), []) else _pair(given["stride"], 2)
    for side, size, step, pad, spread in zip(image.shape[2:], kernel, stride, padding, dilation, strict=True):
        free = side + 2 * pad - spread * (size - 1) - 1
        if free < 0 or step < 1 or spread < 1 or not 0 <= 2 * pad <= size:
            return None
        steps = -(-free // step) if given["ceil_mode"] else free // step
        shape.append(steps + 1 - (given["ceil_mode"] and steps * step >= side + pad))
    return *image.shape[:2], *shape


def _linear(given: dict[str, Any]) -> Sequence[int] | None:
    value, weight, bias = given["input"], given["weight"], given["bias"]
    if weight.ndim != 2 or value.ndim < 1 or value.shape[-1] != weight.shape[1]:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    return *value.shape[:-1], weight.shape[0]


def _pooled_to(given: dict[str, Any]) -> Sequence[int] | None:
    image, wanted = given["input"], given["output_size"]
    if image.ndim != 4:
        return None
    sides = (wanted,) * 2 if type(wanted) is int else tuple(wanted)
    pairs = zip(sides, image.shape[2:], strict=True)
    return *image.shape[:2], *_pair([side if one is None else one for one, side in pairs], 2)


def _concatenation(given: dict[str, Any]) -> Sequence[int] | None:
    parts, axis = list(given["tensors"]), given["dim"]
    rank = parts[0].ndim
    if not -rank <= axis < rank:
        return None
    shapes = [list(one.shape) for one in parts]
    total = sum(shape[axis] for shape in shapes)
    for shape in shapes:
        shape[axis] = total
    return shapes[0] if all(shape == shapes[0] for shape in shapes) else None


def _mean(given: dict[str, Any]) -> Sequence[int] | None:
    shape, axes = list(given["input"].shape), given["dim"]
    axes = range(len(shape)) if axes is None else (axes,) if type(axes) is int else tuple(axes)
    if "dtype" in given["kwargs"] or not axes or any(not -len(shape) <= axis < len(shape) for axis in axes):
        return None
    gone = {axis % len(shape) for axis in axes}
    if len(gone) != len(axes):
        return None
    if given["keepdim"]:
        return [1 if at in gone else side for at, side in enumerate(shape)]
    return [side for at, side in enumerate(shape) if at not in gone]


def _interpolation(given: dict[str, Any]) -> Sequence[int] | None:
    image, size, scale = given["input"], given["size"], given["scale_factor"]
    if image.ndim != 4 or (size is None) == (scale is None) or given["antialias"]:
        return None
    if given["mode"] not in ("nearest", "bilinear", "bicubic"):
        return None
    if given["recompute_scale_factor"] or (given["align_corners"] is not None and given["mode"] == "nearest"):
        return None
    if size is not None:
        return *image.shape[:2], *_pair(size, 2)
    scales = (scale,) * 2 if type(scale) in (int, float) else tuple(scale)
    sides = (math.floor(float(side) * one) for side, one in zip(image.shape[2:], scales, strict=True))
    return *image.shape[:2], *sides


_ALONE = frozenset(("exp", "log", "sqrt", "rsqrt", "square", "neg", "sin", "cos")) | names("activation")
_ALONE -= {"rrelu", "logsigmoid", "log_sigmoid"}

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_ALONE, _same),
    "batch norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group norm": _group_norm,
    **dict.fromkeys(("arithmetic", "radd", "rmul", "rtruediv"), _arithmetic),
    "convolution": _convolution,
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), _pooling),
    "linear": _linear,
    "adaptive_avg_pool2d": _pooled_to,
    "concatenation": _concatenation,
    "mean": _mean,
    "interpolation": _interpolation,
}
"""For operations, by name or kind, the shape of what they give; None where torch has to answer."""

_LIKE = frozenset(("activation", "unary", "batch norm"))

_KEEPING = frozenset(("convolution", "arithmetic", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"))
"""What gives channels last where it gets them."""
