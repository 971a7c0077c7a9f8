"""Folding batch normalization into the convolution before it: one pass over the windows less."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from netviz.capture.tape import Node, Ref
from netviz.fields.incremental_local import arguments


def folded(nodes: Sequence[Node], target: int) -> list[Node]:
    """Return the nodes with every convolution and the batch normalization of its output made one convolution.

    The scaled weights are computed in double precision, so that the result differs by rounding only.

    Parameters
    ----------
    nodes : sequence of Node
        In running order, of a network in evaluation mode.
    target : int
        The value that must be computed; it is not folded away.

    Returns
    -------
    list of Node
    """
    reads = Counter(number for node in nodes for number in node.inputs)
    makers = {number: node for node in nodes for number in node.outputs}
    gone: set[int] = set()
    result: list[Node] = []
    for node in nodes:
        source = makers.get(node.inputs[0]) if node.inputs else None
        one = None
        if source is not None and reads[node.inputs[0]] == 1 and node.inputs[0] != target:
            one = _together(source, node)
        if one is None or source is None:
            result.append(node)
        else:
            gone.add(source.index)
            result.append(one)
    return [node for node in result if node.index not in gone]


def _together(conv: Node, norm: Node) -> Node | None:
    """Return a convolution that also normalizes, in the place of the normalization; None if these are others."""
    if conv.name != "conv2d" or norm.name != "batch_norm" or len(norm.inputs) != 1:
        return None
    left, right = arguments(conv), arguments(norm)
    weight, bias = left["weight"], left.get("bias")
    mean, var = right.get("running_mean"), right.get("running_var")
    if right.get("training", False) or mean is None or var is None:
        return None
    if isinstance(bias, Ref) or not isinstance(weight, Tensor) or len(conv.outputs) != 1:
        return None
    gain, shift = right.get("weight"), right.get("bias")
    scale = (var.double() + right.get("eps", 1e-5)).rsqrt()
    if gain is not None:
        scale = scale * gain.double()
    offset = -mean.double() if bias is None else bias.double() - mean.double()
    offset = offset * scale
    if shift is not None:
        offset = offset + shift.double()
    keywords = {
        **left,
        "weight": (weight.double() * scale.view(-1, 1, 1, 1)).to(weight.dtype),
        "bias": offset.to(weight.dtype),
    }
    return replace(norm, function=torch.conv2d, name="conv2d", args=(), kwargs=keywords, inputs=conv.inputs)
