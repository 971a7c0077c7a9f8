"""A copy of a network that gives the same maps in less time."""

import math
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from netviz.capture import Tape, duplicate, network_dtype, record, unwrap
from netviz.engines.compiled import compiled_for
from netviz.models import Layer


def fast_copy(
    network: nn.Module,
    wanted: Collection[Layer],
    shape: tuple[int, ...],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    grad: bool = False,
) -> nn.Module:
    """Return a copy in evaluation mode, channels last, with batch normalization folded where nobody looks.

    A batch normalization is folded into the convolution before it if nothing else reads that convolution's output and
    it is not wanted itself; its own output keeps its name. Behind a convolution that is wanted it works in place once
    that has been looked at, together with a rectifier that alone reads it: one pass over memory, not three.

    Parameters
    ----------
    network : nn.Module
        Left as it was.
    wanted : collection of Layer
        Whose outputs must be had.
    shape : tuple of int
        (C, H, W) of an image that it runs on.
    device, dtype : torch.device, torch.dtype
        Where and with which numbers it is to run.
    grad : bool
        Whether gradients go back through it: then nothing is written over what they need.
    """
    network = unwrap(network)
    fast = duplicate(network).eval()
    looked_at = {layer.module for layer in wanted}
    in_place = torch.device(device).type == "cpu" and dtype == torch.float32 and not grad
    for conv, norm, rectifier in _pairs(network, shape):
        # In place: either may be registered, or held, under several names.
        convolution = cast(nn.Conv2d, fast.get_submodule(conv))
        normalization = cast(nn.BatchNorm2d, fast.get_submodule(norm))
        if conv in looked_at:
            if in_place:
                seen = any(f"{norm}.".startswith(f"{name}.") for name in looked_at)
                behind = fast.get_submodule(rectifier) if rectifier and not seen else None
                normalization.forward = _Scaled(normalization, *_ends(behind))  # type: ignore[assignment, method-assign]
                if behind is not None:
                    behind.forward = nn.Identity().forward
            continue
        fused = fuse_conv_bn_eval(convolution, normalization)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        normalization.forward = nn.Identity().forward  # type: ignore[method-assign]
    for parameter in (*fast.parameters(), *fast.buffers()):
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return fast.to(device=device, dtype=dtype)


class _Scaled:
    """A batch normalization and what rectifies it, written over its input; with and without Numba the same bytes.

    Parameters
    ----------
    norm : nn.BatchNorm2d
        With running statistics.
    low, high : float
        Between which its output is kept.
    """

    def __init__(self, norm: nn.BatchNorm2d, low: float, high: float) -> None:
        mean, variance = (cast(Tensor, one).double() for one in (norm.running_mean, norm.running_var))
        factor = 1 / (variance + norm.eps).sqrt()
        if norm.weight is not None:
            factor *= norm.weight.detach().double()
        offset = -mean * factor
        if norm.bias is not None:
            offset += norm.bias.detach().double()
        self.factor, self.offset = factor.float(), offset.float()
        self.low, self.high = low, high

    def __call__(self, x: Tensor) -> Tensor:
        """Return x, (N, C, H, W), changed."""
        maps = x.permute(0, 2, 3, 1)
        fast = compiled_for(maps)
        if fast is not None:
            ends = np.float32(self.low), np.float32(self.high)
            fast.scale(maps.numpy().reshape(-1, x.shape[1]), self.factor.numpy(), self.offset.numpy(), *ends)
            return x
        maps.mul_(self.factor).add_(self.offset)
        # Not clamped: what that makes of the negative zero is not said.
        maps[maps < self.low] = self.low
        maps[maps > self.high] = self.high
        return x


def _ends(rectifier: nn.Module | None) -> tuple[float, float]:
    """Return between which values a rectification keeps its input."""
    if rectifier is None:
        return -math.inf, math.inf
    return (rectifier.min_val, rectifier.max_val) if isinstance(rectifier, nn.Hardtanh) else (0.0, math.inf)


_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardtanh)


class _Pair(NamedTuple):
    """Names of a convolution, of the batch normalization that alone reads it, and of what rectifies that, or ""."""

    conv: str
    norm: str
    rectifier: str


def _pairs(network: nn.Module, shape: tuple[int, ...]) -> list[_Pair]:
    """Return the convolutions whose output a batch normalization alone reads."""
    tape = _tape(network, shape)
    if tape is None:
        return []
    reads = Counter(number for node in tape.nodes for number in node.inputs)
    makers = {number: node for node in tape.nodes for number in node.outputs}
    runs = Counter(node.module for node in tape.nodes)
    pairs = []
    for norm in tape.nodes:
        conv = makers.get(norm.inputs[0]) if norm.name == "batch_norm" and norm.inputs else None
        if conv is None or reads[norm.inputs[0]] > 1 or norm.inputs[0] in tape.outputs.values():
            continue
        plain = type(network.get_submodule(norm.module)) is nn.BatchNorm2d
        plain &= type(network.get_submodule(conv.module)) is nn.Conv2d
        if (
            plain
            and runs[norm.module] == runs[conv.module] == 1
            and _ordinary(network, conv.module, norm.module)
            and network.get_submodule(norm.module).running_mean is not None
        ):
            behind = [node for node in tape.nodes if norm.outputs[0] in node.inputs]
            alone = len(behind) == 1 and norm.outputs[0] not in tape.outputs.values()
            name = behind[0].module if alone else ""
            found = type(network.get_submodule(name)) in _RECTIFIERS and runs[name] == 1
            pairs.append(_Pair(conv.module, norm.module, name if found and _ordinary(network, name) else ""))
    return pairs


def _ordinary(network: nn.Module, *names: str) -> bool:
    """Return whether modules are as torch made them: no hooks of the user's."""
    modules = [network.get_submodule(name) for name in names]
    return not any(one._forward_hooks or one._forward_pre_hooks for one in modules)


def _tape(network: nn.Module, shape: tuple[int, ...]) -> Tape | None:
    """Follow the network without arithmetic; None where it does not allow that, and then nothing is folded."""
    try:
        image = torch.zeros(1, *shape, device="meta", dtype=network_dtype(network))
        tape = record(network, image, keep=False)
    except Exception:  # whatever a network's own code raises on tensors without values
        return None
    return None if tape.trouble else tape
