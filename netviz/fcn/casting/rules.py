"""What becomes of maps and of a cell in each operation of a classifier; most stay what they are.

A linear layer of its head becomes a convolution with the same weights.
"""

import operator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from netviz.capture.operations import names
from netviz.fcn.casting.forms import Cell, Form, Maps, UnfollowedError, Whole, fresh, summed
from netviz.fcn.casting.rewrite import REDUCTIONS, STATISTICS, GraphCall, Rule
from netviz.geometry.rules.table import ONE_BY_ONE


def linear(call: GraphCall) -> Cell:
    """Turn a linear layer over all numbers of a cell into a convolution with the cell's window."""
    cell = call.cell()
    index = cell.index.flatten()
    if index.numel() != cell.index.shape[-1]:
        raise UnfollowedError("sees the numbers of one dimension only")
    shape = (cell.channels, *cell.window)
    size = cell.channels * cell.window[0] * cell.window[1]
    if isinstance(call.module, nn.Linear):
        key = (str(call.node.target), *shape, *index.tolist())
        made = call.writer.once(key, partial(convolution, call.module, shape, index), call.new())
    else:
        weight, bias = _parameters(call)
        if not torch.equal(index, torch.arange(size)):
            raise UnfollowedError("takes the numbers in another order")
        turned = call.writer.graph.call_method("reshape", (weight, call.shape[-1], *shape))
        made = call.add(functional.conv2d, call.new(), turned, bias)
    call.writer.known[call.node] = made
    return fresh(call.shape, cell.sources)


def _parameters(call: GraphCall) -> list[Any]:
    """Return what stands for the weight and the bias of a functional layer in the new graph."""
    found = []
    for name in ("weight", "bias"):
        given = call.given(name)
        if isinstance(given, fx.Node) and call.writer.forms.get(given) is not None:
            raise UnfollowedError("has weights that depend on the image")
        found.append(call.writer.known.get(given) if isinstance(given, fx.Node) else given)
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


def pooled(call: GraphCall, cell: Cell, new: Any, dims: list[int], keep: bool, kind: str) -> Cell:
    """Sum, average or take the maximum over rows and columns of a cell: a window that slides by one position."""
    window, left = summed(cell, dims, keep)
    if window == (1, 1):
        call.writer.known[call.node] = new
        return left
    if call.module is not None:
        layer = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
        made = call.place(layer(window, stride=1), new)
    elif kind == "max":
        made = call.add(functional.max_pool2d, new, window, 1)
    else:
        made = call.add(functional.avg_pool2d, new, window, 1)
    if kind == "sum":
        made = call.add(operator.mul, made, window[0] * window[1])
    call.writer.known[call.node] = made
    return replace(left, sources=left.sources | {call.node})


def reduction(call: GraphCall) -> Cell:
    """``mean``, ``sum``, ``amax`` and ``max`` over rows and columns."""
    cell = call.cell()
    return pooled(call, cell, call.new(), dims_of(call), bool(call.option("keepdim")), kind_of(call))


def dims_of(call: GraphCall) -> list[int]:
    """Return the dimensions over which a reduction goes, counted from the front."""
    dims = call.option("dim")
    if not isinstance(dims, int | tuple | list):
        raise UnfollowedError("sums up everything")
    rank = len(call.sources[0].meta["value"].shape)
    return [dim % rank for dim in ([dims] if isinstance(dims, int) else dims)]


def kind_of(call: GraphCall) -> str:
    """Return what a reduction does: ``mean``, ``sum`` or ``max``."""
    if isinstance(call.value, tuple):
        raise UnfollowedError("also says where the maximum is")
    return "max" if "max" in call.name else "sum" if call.name == "sum" else "mean"


def adaptive(call: GraphCall) -> Cell:
    """Adaptive pooling of what is one position, or a row of positions, already."""
    cell = call.cell()
    rank = len(call.shape)
    before = tuple(call.sources[0].meta["value"].shape)
    if call.shape == before:
        call.writer.known[call.node] = call.new()
        return cell
    dims = list(range(2, rank)) if rank == 4 else [rank - 1]
    if any(call.shape[dim] != 1 for dim in dims):
        raise UnfollowedError("makes several positions of one window")
    return pooled(call, cell, call.new(), dims, True, "max" if "max" in call.name else "mean")


def elementwise(call: GraphCall) -> Cell:
    """Each number by itself, or several cells number by number."""
    cells = call.cells()
    first = cells[0]
    for other in cells[1:]:
        if other.index.shape != first.index.shape or not torch.equal(other.index, first.index):
            raise UnfollowedError("puts together values in different orders")
        if (other.channels, other.window) != (first.channels, first.window):
            raise UnfollowedError("puts together windows of different sizes")
    if first.index.shape != call.shape[1:]:
        raise UnfollowedError(f"makes {'×'.join(map(str, call.shape[1:]))} numbers of one cell")

    def new(one: fx.Node) -> Any:
        value = one.meta["value"]
        known = call.writer.known[one]
        constant = one not in call.sources and isinstance(value, Tensor) and value.numel() > 1
        return _by_channel(call, first, value, known) if constant else known

    args, kwargs = fx.node.map_arg((call.node.args, call.node.kwargs), new)
    node = call.node
    call.writer.known[node] = call.writer.graph.create_node(node.op, node.target, args, kwargs, node.name)
    return replace(first, sources=frozenset().union(*(one.sources for one in cells)))


def _by_channel(call: GraphCall, cell: Cell, value: Tensor, known: Any) -> fx.Node:
    """Return a constant as one number for each channel of a cell's maps."""
    places = torch.arange(value.numel()).reshape(value.shape)
    try:
        wide = places.expand(2, *cell.index.shape)
    except RuntimeError:
        raise UnfollowedError("takes a constant of another shape") from None
    order = cell.index.flatten().argsort()
    if cell.window != (1, 1) or not torch.equal(wide[0].flatten()[order], torch.arange(value.numel())):
        raise UnfollowedError("takes a constant that differs between positions")
    return call.writer.graph.call_method("reshape", (known, 1, -1, 1, 1))


def batch_norm(call: GraphCall) -> Cell:
    """With stored statistics, each channel by itself."""
    cell = call.cell()
    if not cell.straight:
        raise UnfollowedError("has a number of its own for each position")
    old = call.module
    if old is None:
        call.writer.known[call.node] = call.copy()
        return cell
    if not isinstance(old, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
        raise UnfollowedError("is a normalization of an unknown kind")
    layer = nn.BatchNorm2d(
        old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats, device="meta"
    )
    layer.weight, layer.bias = old.weight, old.bias
    layer.running_mean, layer.running_var = old.running_mean, old.running_var
    layer.num_batches_tracked = old.num_batches_tracked
    call.writer.known[call.node] = call.place(layer.train(old.training), call.new())
    return cell


def layer_norm(call: GraphCall) -> Cell:
    """Over the channels of each position."""
    cell = call.cell()
    over = call.option("normalized_shape")
    count = over if isinstance(over, int) else int(torch.Size(over).numel())
    if not cell.straight or count != cell.channels:
        raise UnfollowedError("normalizes over positions")
    last = call.writer.graph.call_method("permute", (call.new(), 0, 2, 3, 1))
    if isinstance(call.module, nn.LayerNorm):
        old = call.module
        layer = nn.LayerNorm(count, old.eps, old.elementwise_affine, device="meta")
        for name in ("weight", "bias"):
            given = getattr(old, name)
            held = None if given is None else nn.Parameter(given.detach().reshape(-1), given.requires_grad)
            setattr(layer, name, held)
        made = call.place(layer.train(old.training), last)
    else:
        weight, bias = (
            None if one is None else call.writer.graph.call_method("reshape", (one, -1))
            for one in _parameters(call)
        )
        made = call.add(functional.layer_norm, last, (count,), weight, bias, call.option("eps"))
    call.writer.known[call.node] = call.writer.graph.call_method("permute", (made, 0, 3, 1, 2))
    return cell


def prelu(call: GraphCall) -> Cell:
    """Keep a learned slope, one for all channels or one for each."""
    cell = call.cell()
    if not cell.straight and getattr(call.module, "num_parameters", 0) != 1:
        raise UnfollowedError("has a slope of its own for each position")
    call.writer.known[call.node] = call.copy()
    return cell


def over_channels(call: GraphCall) -> Cell:
    """``softmax`` and its like over the channels of each position."""
    cell = call.cell()
    rank = len(call.shape)
    dim = call.option("dim")
    dim = 1 if dim is None else dim
    if not isinstance(dim, int) or not cell.straight or call.shape[dim % rank] != cell.channels:
        raise UnfollowedError("goes over something else than the channels of one position")
    if call.name == "normalize":
        made = call.add(functional.normalize, call.new(), call.option("p"), 1, call.option("eps"))
    else:
        made = call.add(getattr(functional, call.name), call.new(), dim=1)
    call.writer.known[call.node] = made
    return cell


def conv2d(call: GraphCall) -> Cell:
    """Keep a 1×1 convolution of one position."""
    cell = call.cell()
    layer = call.module
    # A kind of its own, which a network may bring, makes something else of its weights.
    if not isinstance(layer, nn.Conv2d) or type(layer).forward is not nn.Conv2d.forward:
        raise UnfollowedError("is a convolution of an unknown kind after positions are gone")
    single = cell.straight and tuple(call.sources[0].meta["value"].shape[1:]) == (cell.channels, 1, 1)
    if not single or layer.kernel_size != (1, 1):
        raise UnfollowedError("is a convolution after positions are gone")
    if layer.padding not in ((0, 0), 0, "valid"):
        raise UnfollowedError("pads a single position")
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        1,
        groups=layer.groups,
        bias=layer.bias is not None,
        device="meta",
    )
    made.weight, made.bias = layer.weight, layer.bias
    call.writer.known[call.node] = call.place(made.train(layer.training), call.new())
    return fresh(call.shape, cell.sources)


def joined(call: GraphCall) -> Cell:
    """``cat`` and ``stack``: the channels of several maps one after the other."""
    cells = call.cells()
    tensors = call.given("tensors")
    if not isinstance(tensors, tuple | list) or any(one not in call.sources for one in tensors):
        raise UnfollowedError("puts constants beside values of the network")
    by_node = dict(zip(call.sources, cells, strict=True))
    pieces, start = [], 0
    for one in tensors:
        cell = by_node[one]
        if cell.window != cells[0].window:
            raise UnfollowedError("puts together windows of different sizes")
        pieces.append(cell.index + start)
        start += cell.channels * cell.window[0] * cell.window[1]
    dim = call.option("dim") % len(call.shape)
    if dim == 0:
        raise UnfollowedError("mixes the images of a batch")
    index = (torch.cat if call.name != "stack" else torch.stack)(pieces, dim - 1)
    call.writer.known[call.node] = call.add(torch.cat, [call.new(one) for one in tensors], 1)
    channels = sum(by_node[one].channels for one in tensors)
    return Cell(channels, cells[0].window, index, frozenset().union(*(one.sources for one in cells)))


RULES: dict[str, Rule] = {
    **dict.fromkeys(ONE_BY_ONE, elementwise),
    "linear": linear,
    "conv2d": conv2d,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "prelu": prelu,
    **dict.fromkeys(("mean", "sum", "amax"), reduction),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), adaptive),
    **dict.fromkeys(names("softmax", "normalize"), over_channels),
    **dict.fromkeys(names("concatenation", "stack"), joined),
}

_ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d")

_FIXED = ("avg_pool2d", "max_pool2d")


def maps_rule(call: GraphCall, form: Maps) -> Form:
    """Write what an operation does to maps, and say what its output is."""
    try:
        if call.name in _ADAPTIVE:
            return _adaptive(call, form)
        if call.name in _FIXED and _covers(call, form):
            return _pooled(call, form, [2, 3], True, "max" if "max" in call.name else "mean")
        if call.name in REDUCTIONS and len(call.sources) == 1 and _has_dims(call):
            return _reduction(call, form)
        if call.name in STATISTICS:
            return _statistic(call, form)
    except UnfollowedError as error:
        return _left_alone(call, f"{call.words()} {error}", final=False)
    if call.name == "linear" and form.x == len(call.shape) - 1:
        return _left_alone(call, f"{call.words()} has a weight of its own for each column", final=True)
    call.writer.known[call.node] = call.copy()
    return _like(call, form)


def _like(call: GraphCall, form: Maps) -> Form:
    """Return the form of what has rows and columns where its inputs have them."""
    rank = len(call.shape)
    for one in call.sources:
        found = call.writer.forms[one]
        value = one.meta["value"]
        if (
            isinstance(found, Maps)
            and len((value[0] if isinstance(value, tuple | list) else value).shape) == rank
        ):
            return found
    if call.name == "stack":
        dim = call.option("dim") % rank
        return Maps(form.y + (dim <= form.y), form.x + (dim <= form.x))
    if rank >= 4:
        return Maps(rank - 2, rank - 1)
    return Whole(f"{call.words()} has no counterpart that keeps rows and columns", final=True)


def _left_alone(call: GraphCall, reason: str, *, final: bool) -> Whole:
    call.writer.known[call.node] = call.copy()
    return Whole(call.writer.inner.get(call.node, reason), final)


def _pooled(call: GraphCall, form: Maps, dims: list[int], keep: bool, kind: str) -> Form:
    """Give up positions here: as a window that slides by one, unless the result returns to maps."""
    inner = call.writer.inner.get(call.node)
    if inner is not None:
        call.writer.known[call.node] = call.copy()
        return form if call.name in _FIXED else Whole(inner)
    cell, new = call.writer.maps(call.sources[0])
    made = pooled(call, cell, new, dims, keep, kind)
    # The node itself is where positions go, not the maps that it got.
    return type(made)(made.channels, made.window, made.index, frozenset((call.node,)))


def _adaptive(call: GraphCall, form: Maps) -> Form:
    """Put windows of the size that they have here in its place; where there is one, it slides by one position."""
    if (form.y, form.x) != (2, 3):
        raise UnfollowedError("pools something else than rows and columns")
    before, after = call.sources[0].meta["value"].shape[2:], call.shape[2:]
    if tuple(after) == (1, 1):
        return _pooled(call, form, [2, 3], True, "max" if "max" in call.name else "mean")
    if call.node in call.writer.inner or isinstance(call.value, tuple):
        raise UnfollowedError("divides maps into a fixed number of windows")
    if any(inside % outside for inside, outside in zip(before, after, strict=True)):
        sizes = " to ".join("×".join(map(str, size)) for size in (before, after))
        raise UnfollowedError(
            f"pools {sizes}, which is no window of one size; choose an input size at which it divides"
        )
    window = tuple(inside // outside for inside, outside in zip(before, after, strict=True))
    stride = tuple(1 if outside == 1 else size for size, outside in zip(window, after, strict=True))
    largest = "max" in call.name
    if call.module is not None:
        layer: Any = nn.MaxPool2d if largest else nn.AvgPool2d
        made = call.place(layer(window, stride=stride), call.new())
    else:
        made = call.add(
            functional.max_pool2d if largest else functional.avg_pool2d, call.new(), window, stride
        )
    call.writer.known[call.node] = made
    return form


def _covers(call: GraphCall, form: Maps) -> bool:
    """Return whether a pooling's only window is all of the maps that it gets here."""
    if isinstance(call.value, tuple) or (form.y, form.x) != (2, 3) or tuple(call.shape[2:]) != (1, 1):
        return False
    before = tuple(call.sources[0].meta["value"].shape[2:])
    return _pair(call.option("kernel_size")) == before and _pair(call.option("padding")) == (0, 0)


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _has_dims(call: GraphCall) -> bool:
    """Return whether a reduction names the dimensions over which it goes."""
    return isinstance(call.option("dim"), int | tuple | list)


def _reduction(call: GraphCall, form: Maps) -> Form:
    dims, keep = dims_of(call), bool(call.option("keepdim"))
    if not {form.y, form.x} & set(dims):
        call.writer.known[call.node] = call.copy()
        if keep:
            return form
        return Maps(*(at - sum(dim < at for dim in dims) for at in (form.y, form.x)))
    return _pooled(call, form, dims, keep, kind_of(call))


def _statistic(call: GraphCall, form: Maps) -> Form:
    """Keep maps where channels are measured; over rows and columns it is one value for the image."""
    dim = call.option("dim")
    dims = [dim] if isinstance(dim, int) else list(dim) if isinstance(dim, tuple | list) else None
    rank = len(call.sources[0].meta["value"].shape)
    if dims is None or {form.y, form.x} & {one % rank for one in dims}:
        raise UnfollowedError("measures all rows and columns together")
    call.writer.known[call.node] = call.copy()
    if len(call.shape) == rank:
        return form
    return Maps(*(at - sum(one % rank < at for one in dims) for at in (form.y, form.x)))
