"""Functions that read a small part of their input for every output: convolution, pooling, padding."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netviz.capture.tape import Node, Ref
from netviz.fields.windows import Slide

_ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": (
        "input",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "ceil_mode",
        "return_indices",
    ),
    "avg_pool2d": (
        "input",
        "kernel_size",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    ),
    "batch_norm": (
        "input",
        "running_mean",
        "running_var",
        "weight",
        "bias",
        "training",
        "momentum",
        "eps",
    ),
    "pad": ("input", "pad", "mode", "value"),
    "mean": ("input", "dim", "keepdim"),
    "flatten": ("input", "start_dim", "end_dim"),
    "prelu": ("input", "weight"),
}


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
        The operation without padding.
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


@dataclass(frozen=True)
class Moved:
    """Padding by a constant: the same values at another place in a larger map."""

    offsets: tuple[int, int]


def arguments(node: Node, name: str | None = None) -> dict[str, Any]:
    """Return a node's arguments by name."""
    names = _ARGUMENTS[name or node.name]
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def pair(value: Any) -> tuple[int, int]:
    """Return a setting of two axes as (rows, columns)."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return int(values[0]), int(values[-1])


def convolution(node: Node, result: torch.Size) -> Local | None:
    """Return how a convolution works on windows; None if it cannot."""
    given = arguments(node)
    weight, bias = given["weight"], given.get("bias")
    if not isinstance(given["input"], Ref) or not isinstance(weight, Tensor) or isinstance(bias, Ref):
        return None
    stride, dilation = pair(given.get("stride", 1)), pair(given.get("dilation", 1))
    groups = int(given.get("groups", 1))
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[-2:], strict=True)]
    given_pad = given.get("padding", 0)
    if given_pad == "same":
        given_pad = [(extent - 1) // 2 for extent in extents]
    pad = (0, 0) if given_pad == "valid" else pair(given_pad)
    return Local(
        _slides(extents, stride, pad, result),
        0.0,
        lambda halo: torch.conv2d(halo, weight, bias, stride, 0, dilation, groups),
        None,
        float(weight.numel()),
    )


def pooling(node: Node, result: torch.Size) -> Local | None:
    """Return how a pooling works on windows; None if it cannot."""
    given = arguments(node)
    if len(node.outputs) != 1 or given.get("return_indices"):
        return None
    kernel = pair(given["kernel_size"])
    step = given.get("stride")
    stride = kernel if step is None or step == () or step == [] else pair(step)
    pad = pair(given.get("padding", 0))
    dilation = pair(given.get("dilation", 1))
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
    divisor = given.get("divisor_override")
    share = None
    if divisor is None and (
        given.get("ceil_mode") or (any(pad) and not given.get("count_include_pad", True))
    ):
        share = pad if given.get("count_include_pad", True) else (0, 0)
    return Local(
        slides,
        0.0,
        lambda halo: torch.nn.functional.avg_pool2d(halo, kernel, stride, divisor_override=divisor),
        share,
        work,
    )


def padding(node: Node, source: torch.Size) -> Moved | None:
    """Return where padding by a constant moves windows to; None for another padding."""
    given = arguments(node)
    amounts = list(given["pad"])
    value = given.get("value")
    constant = given.get("mode", "constant") == "constant" and not isinstance(value, Tensor | Ref)
    if not constant or min(amounts) < 0 or any(amounts[4:]) or len(source) != 4:
        return None
    amounts += [0] * (4 - len(amounts))
    return Moved((amounts[2], amounts[0]))


def _slides(
    extents: list[int], stride: tuple[int, int], pad: tuple[int, int], result: torch.Size
) -> tuple[Slide, Slide]:
    rows, cols = (Slide(extents[axis], stride[axis], pad[axis], int(result[axis - 2])) for axis in range(2))
    return rows, cols
