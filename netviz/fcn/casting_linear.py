"""A linear layer of a classifier's head becomes a convolution with the same weights."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from netviz.fcn.casting_forms import Cell, UnfollowedError, fresh
from netviz.fcn.casting_step import Step


def linear(step: Step) -> Cell:
    """Turn a linear layer over all numbers of a cell into a convolution with the cell's window."""
    cell = step.cell()
    index = cell.index.flatten()
    if index.numel() != cell.index.shape[-1]:
        raise UnfollowedError("sees the numbers of one dimension only")
    shape = (cell.channels, *cell.window)
    size = cell.channels * cell.window[0] * cell.window[1]
    if isinstance(step.module, nn.Linear):
        key = (str(step.node.target), *shape, *index.tolist())
        made = step.writer.once(key, partial(convolution, step.module, shape, index), step.new())
    else:
        weight, bias = (one() if one is not None else None for one in _parameters(step))
        if not torch.equal(index, torch.arange(size)):
            raise UnfollowedError("takes the numbers in another order")
        turned = step.writer.graph.call_method("reshape", (weight, step.shape[-1], *shape))
        made = step.call(functional.conv2d, step.new(), turned, bias)
    step.writer.known[step.node] = made
    return fresh(step.shape, cell.sources)


def _parameters(step: Step) -> list[Any]:
    """Return how to write the weight and the bias of a functional linear layer."""
    found = []
    for place, name in ((1, "weight"), (2, "bias")):
        given = step.node.args[place] if len(step.node.args) > place else step.node.kwargs.get(name)
        if isinstance(given, fx.Node) and step.writer.forms.get(given) is not None:
            raise UnfollowedError("has weights that depend on the image")
        known = step.writer.known.get(given) if isinstance(given, fx.Node) else given
        found.append(None if known is None else (lambda known=known: known))
    return found


def convolution(layer: nn.Linear, shape: tuple[int, int, int], index: Tensor) -> nn.Conv2d:
    """Return a linear layer as the convolution with the same weights; `index` says where in (C, h, w) each goes."""
    channels, height, width = shape
    weight = layer.weight.detach()
    if torch.equal(index, torch.arange(channels * height * width)):
        turned = weight.reshape(-1, channels, height, width)
    else:
        flat = weight.new_zeros(weight.shape[0], channels * height * width)
        turned = flat.index_add_(1, index.to(weight.device), weight).reshape(-1, channels, height, width)
    bias = layer.bias
    made = nn.Conv2d(channels, layer.out_features, (height, width), bias=bias is not None, device="meta")
    made.weight = nn.Parameter(turned, requires_grad=layer.weight.requires_grad)
    made.bias = bias
    return made.train(layer.training)
