"""A copy of a network that gives the same maps in less time."""

from collections import Counter
from collections.abc import Collection
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from netviz.capture import Tape, duplicate, network_dtype, record, unwrap
from netviz.models import Layer


def fast_copy(
    network: nn.Module,
    wanted: Collection[Layer],
    shape: tuple[int, ...],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """Return a copy in evaluation mode, channels last, with batch normalization folded where nobody looks.

    A batch normalization is folded into the convolution before it if nothing else reads that convolution's output and
    it is not wanted itself; its own output keeps its name.

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
    """
    network = unwrap(network)
    fast = duplicate(network).eval()
    looked_at = {layer.module for layer in wanted}
    for conv, norm in _pairs(network, shape):
        if conv in looked_at:
            continue
        # In place: either may be registered, or held, under several names.
        convolution = cast(nn.Conv2d, fast.get_submodule(conv))
        normalization = cast(nn.BatchNorm2d, fast.get_submodule(norm))
        fused = fuse_conv_bn_eval(convolution, normalization)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        normalization.forward = nn.Identity().forward  # type: ignore[method-assign]
    for parameter in (*fast.parameters(), *fast.buffers()):
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return fast.to(device=device, dtype=dtype)


def _pairs(network: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the batch normalizations that alone read their output."""
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
        ):
            pairs.append((conv.module, norm.module))
    return pairs


def _ordinary(network: nn.Module, conv: str, norm: str) -> bool:
    """Return whether both are as torch made them: running statistics there, no hooks of the user's."""
    modules = [network.get_submodule(name) for name in (conv, norm)]
    hooked = any(one._forward_hooks or one._forward_pre_hooks for one in modules)
    return not hooked and modules[1].running_mean is not None


def _tape(network: nn.Module, shape: tuple[int, ...]) -> Tape | None:
    """Follow the network without arithmetic; None where it does not allow that, and then nothing is folded."""
    try:
        image = torch.zeros(1, *shape, device="meta", dtype=network_dtype(network))
        tape = record(network, image, keep=False)
    except Exception:  # whatever a network's own code raises on tensors without values
        return None
    return None if tape.trouble else tape
