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
from netviz.fcn.casting.rewrite import REDUCTIONS, STATISTICS, Rule, Step
from netviz.geometry.rules.table import ONE_BY_ONE


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
        weight, bias = _parameters(step)
        if not torch.equal(index, torch.arange(size)):
            raise UnfollowedError("takes the numbers in another order")
        turned = step.writer.graph.call_method("reshape", (weight, step.shape[-1], *shape))
        made = step.call(functional.conv2d, step.new(), turned, bias)
    step.writer.known[step.node] = made
    return fresh(step.shape, cell.sources)


def _parameters(step: Step) -> list[Any]:
    """Return what stands for the weight and the bias of a functional layer in the new graph."""
    found = []
    for name in ("weight", "bias"):
        given = step.given(name)
        if isinstance(given, fx.Node) and step.writer.forms.get(given) is not None:
            raise UnfollowedError("has weights that depend on the image")
        found.append(step.writer.known.get(given) if isinstance(given, fx.Node) else given)
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


def pooled(step: Step, cell: Cell, new: Any, dims: list[int], keep: bool, kind: str) -> Cell:
    """Sum, average or take the maximum over rows and columns of a cell: a window that slides by one position."""
    window, left = summed(cell, dims, keep)
    if window == (1, 1):
        step.writer.known[step.node] = new
        return left
    if step.module is not None:
        layer = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
        made = step.place(layer(window, stride=1), new)
    elif kind == "max":
        made = step.call(functional.max_pool2d, new, window, 1)
    else:
        made = step.call(functional.avg_pool2d, new, window, 1)
    if kind == "sum":
        made = step.call(operator.mul, made, window[0] * window[1])
    step.writer.known[step.node] = made
    return replace(left, sources=left.sources | {step.node})


def reduction(step: Step) -> Cell:
    """``mean``, ``sum``, ``amax`` and ``max`` over rows and columns."""
    cell = step.cell()
    return pooled(step, cell, step.new(), dims_of(step), bool(step.option("keepdim")), kind_of(step))


def dims_of(step: Step) -> list[int]:
    """Return the dimensions over which a reduction goes, counted from the front."""
    dims = step.option("dim")
    if not isinstance(dims, int | tuple | list):
        raise UnfollowedError("sums up everything")
    rank = len(step.sources[0].meta["value"].shape)
    return [dim % rank for dim in ([dims] if isinstance(dims, int) else dims)]


def kind_of(step: Step) -> str:
    """Return what a reduction does: ``mean``, ``sum`` or ``max``."""
    if isinstance(step.value, tuple):
        raise UnfollowedError("also says where the maximum is")
    return "max" if "max" in step.name else "sum" if step.name == "sum" else "mean"


def adaptive(step: Step) -> Cell:
    """Adaptive pooling of what is one position, or a row of positions, already."""
    cell = step.cell()
    rank = len(step.shape)
    before = tuple(step.sources[0].meta["value"].shape)
    if step.shape == before:
        step.writer.known[step.node] = step.new()
        return cell
    dims = list(range(2, rank)) if rank == 4 else [rank - 1]
    if any(step.shape[dim] != 1 for dim in dims):
        raise UnfollowedError("makes several positions of one window")
    return pooled(step, cell, step.new(), dims, True, "max" if "max" in step.name else "mean")


def elementwise(step: Step) -> Cell:
    """Each number by itself, or several cells number by number."""
    cells = step.cells()
    first = cells[0]
    for other in cells[1:]:
        if other.index.shape != first.index.shape or not torch.equal(other.index, first.index):
            raise UnfollowedError("puts together values in different orders")
        if (other.channels, other.window) != (first.channels, first.window):
            raise UnfollowedError("puts together windows of different sizes")
    if first.index.shape != step.shape[1:]:
        raise UnfollowedError(f"makes {'×'.join(map(str, step.shape[1:]))} numbers of one cell")

    def new(one: fx.Node) -> Any:
        value = one.meta["value"]
        known = step.writer.known[one]
        constant = one not in step.sources and isinstance(value, Tensor) and value.numel() > 1
        return _by_channel(step, first, value, known) if constant else known

    args, kwargs = fx.node.map_arg((step.node.args, step.node.kwargs), new)
    node = step.node
    step.writer.known[node] = step.writer.graph.create_node(node.op, node.target, args, kwargs, node.name)
    return replace(first, sources=frozenset().union(*(one.sources for one in cells)))


def _by_channel(step: Step, cell: Cell, value: Tensor, known: Any) -> fx.Node:
    """Return a constant as one number for each channel of a cell's maps."""
    places = torch.arange(value.numel()).reshape(value.shape)
    try:
        wide = places.expand(2, *cell.index.shape)
    except RuntimeError:
        raise UnfollowedError("takes a constant of another shape") from None
    order = cell.index.flatten().argsort()
    if cell.window != (1, 1) or not torch.equal(wide[0].flatten()[order], torch.arange(value.numel())):
        raise UnfollowedError("takes a constant that differs between positions")
    return step.writer.graph.call_method("reshape", (known, 1, -1, 1, 1))


def batch_norm(step: Step) -> Cell:
    """With stored statistics, each channel by itself."""
    cell = step.cell()
    if not cell.straight:
        raise UnfollowedError("has a number of its own for each position")
    old = step.module
    if old is None:
        step.writer.known[step.node] = step.copy()
        return cell
    if not isinstance(old, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
        raise UnfollowedError("is a normalization of an unknown kind")
    layer = nn.BatchNorm2d(
        old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats, device="meta"
    )
    layer.weight, layer.bias = old.weight, old.bias
    layer.running_mean, layer.running_var = old.running_mean, old.running_var
    layer.num_batches_tracked = old.num_batches_tracked
    step.writer.known[step.node] = step.place(layer.train(old.training), step.new())
    return cell


def layer_norm(step: Step) -> Cell:
    """Over the channels of each position."""
    cell = step.cell()
    over = step.option("normalized_shape")
    count = over if isinstance(over, int) else int(torch.Size(over).numel())
    if not cell.straight or count != cell.channels:
        raise UnfollowedError("normalizes over positions")
    last = step.writer.graph.call_method("permute", (step.new(), 0, 2, 3, 1))
    if isinstance(step.module, nn.LayerNorm):
        old = step.module
        layer = nn.LayerNorm(count, old.eps, old.elementwise_affine, device="meta")
        for name in ("weight", "bias"):
            given = getattr(old, name)
            held = None if given is None else nn.Parameter(given.detach().reshape(-1), given.requires_grad)
            setattr(layer, name, held)
        made = step.place(layer.train(old.training), last)
    else:
        weight, bias = (
            None if one is None else step.writer.graph.call_method("reshape", (one, -1))
            for one in _parameters(step)
        )
        made = step.call(functional.layer_norm, last, (count,), weight, bias, step.option("eps"))
    step.writer.known[step.node] = step.writer.graph.call_method("permute", (made, 0, 3, 1, 2))
    return cell


def prelu(step: Step) -> Cell:
    """Keep a learned slope, one for all channels or one for each."""
    cell = step.cell()
    if not cell.straight and getattr(step.module, "num_parameters", 0) != 1:
        raise UnfollowedError("has a slope of its own for each position")
    step.writer.known[step.node] = step.copy()
    return cell


def over_channels(step: Step) -> Cell:
    """``softmax`` and its like over the channels of each position."""
    cell = step.cell()
    rank = len(step.shape)
    dim = step.option("dim")
    dim = 1 if dim is None else dim
    if not isinstance(dim, int) or not cell.straight or step.shape[dim % rank] != cell.channels:
        raise UnfollowedError("goes over something else than the channels of one position")
    if step.name == "normalize":
        made = step.call(functional.normalize, step.new(), step.option("p"), 1, step.option("eps"))
    else:
        made = step.call(getattr(functional, step.name), step.new(), dim=1)
    step.writer.known[step.node] = made
    return cell


def conv2d(step: Step) -> Cell:
    """Keep a 1×1 convolution of one position."""
    cell = step.cell()
    layer = step.module
    # A kind of its own, which a network may bring, makes something else of its weights.
    if not isinstance(layer, nn.Conv2d) or type(layer).forward is not nn.Conv2d.forward:
        raise UnfollowedError("is a convolution of an unknown kind after positions are gone")
    single = cell.straight and tuple(step.sources[0].meta["value"].shape[1:]) == (cell.channels, 1, 1)
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
    step.writer.known[step.node] = step.place(made.train(layer.training), step.new())
    return fresh(step.shape, cell.sources)


def joined(step: Step) -> Cell:
    """``cat`` and ``stack``: the channels of several maps one after the other."""
    cells = step.cells()
    tensors = step.given("tensors")
    if not isinstance(tensors, tuple | list) or any(one not in step.sources for one in tensors):
        raise UnfollowedError("puts constants beside values of the network")
    by_node = dict(zip(step.sources, cells, strict=True))
    pieces, start = [], 0
    for one in tensors:
        cell = by_node[one]
        if cell.window != cells[0].window:
            raise UnfollowedError("puts together windows of different sizes")
        pieces.append(cell.index + start)
        start += cell.channels * cell.window[0] * cell.window[1]
    dim = step.option("dim") % len(step.shape)
    if dim == 0:
        raise UnfollowedError("mixes the images of a batch")
    index = (torch.cat if step.name != "stack" else torch.stack)(pieces, dim - 1)
    step.writer.known[step.node] = step.call(torch.cat, [step.new(one) for one in tensors], 1)
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


def maps_rule(step: Step, form: Maps) -> Form:
    """Write what an operation does to maps, and say what its output is."""
    try:
        if step.name in _ADAPTIVE:
            return _adaptive(step, form)
        if step.name in _FIXED and _covers(step, form):
            return _pooled(step, form, [2, 3], True, "max" if "max" in step.name else "mean")
        if step.name in REDUCTIONS and len(step.sources) == 1 and _has_dims(step):
            return _reduction(step, form)
        if step.name in STATISTICS:
            return _statistic(step, form)
    except UnfollowedError as error:
        return _left_alone(step, f"{step.words()} {error}", final=False)
    if step.name == "linear" and form.x == len(step.shape) - 1:
        return _left_alone(step, f"{step.words()} has a weight of its own for each column", final=True)
    step.writer.known[step.node] = step.copy()
    return _like(step, form)


def _like(step: Step, form: Maps) -> Form:
    """Return the form of what has rows and columns where its inputs have them."""
    rank = len(step.shape)
    for one in step.sources:
        found = step.writer.forms[one]
        value = one.meta["value"]
        if (
            isinstance(found, Maps)
            and len((value[0] if isinstance(value, tuple | list) else value).shape) == rank
        ):
            return found
    if step.name == "stack":
        dim = step.option("dim") % rank
        return Maps(form.y + (dim <= form.y), form.x + (dim <= form.x))
    if rank >= 4:
        return Maps(rank - 2, rank - 1)
    return Whole(f"{step.words()} has no counterpart that keeps rows and columns", final=True)


def _left_alone(step: Step, reason: str, *, final: bool) -> Whole:
    step.writer.known[step.node] = step.copy()
    return Whole(step.writer.inner.get(step.node, reason), final)


def _pooled(step: Step, form: Maps, dims: list[int], keep: bool, kind: str) -> Form:
    """Give up positions here: as a window that slides by one, unless the result returns to maps."""
    inner = step.writer.inner.get(step.node)
    if inner is not None:
        step.writer.known[step.node] = step.copy()
        return form if step.name in _FIXED else Whole(inner)
    cell, new = step.writer.maps(step.sources[0])
    made = pooled(step, cell, new, dims, keep, kind)
    # The node itself is where positions go, not the maps that it got.
    return type(made)(made.channels, made.window, made.index, frozenset((step.node,)))


def _adaptive(step: Step, form: Maps) -> Form:
    """Put windows of the size that they have here in its place; where there is one, it slides by one position."""
    if (form.y, form.x) != (2, 3):
        raise UnfollowedError("pools something else than rows and columns")
    before, after = step.sources[0].meta["value"].shape[2:], step.shape[2:]
    if tuple(after) == (1, 1):
        return _pooled(step, form, [2, 3], True, "max" if "max" in step.name else "mean")
    if step.node in step.writer.inner or isinstance(step.value, tuple):
        raise UnfollowedError("divides maps into a fixed number of windows")
    if any(inside % outside for inside, outside in zip(before, after, strict=True)):
        sizes = " to ".join("×".join(map(str, size)) for size in (before, after))
        raise UnfollowedError(
            f"pools {sizes}, which is no window of one size; choose an input size at which it divides"
        )
    window = tuple(inside // outside for inside, outside in zip(before, after, strict=True))
    stride = tuple(1 if outside == 1 else size for size, outside in zip(window, after, strict=True))
    largest = "max" in step.name
    if step.module is not None:
        layer: Any = nn.MaxPool2d if largest else nn.AvgPool2d
        made = step.place(layer(window, stride=stride), step.new())
    else:
        made = step.call(
            functional.max_pool2d if largest else functional.avg_pool2d, step.new(), window, stride
        )
    step.writer.known[step.node] = made
    return form


def _covers(step: Step, form: Maps) -> bool:
    """Return whether a pooling's only window is all of the maps that it gets here."""
    if isinstance(step.value, tuple) or (form.y, form.x) != (2, 3) or tuple(step.shape[2:]) != (1, 1):
        return False
    before = tuple(step.sources[0].meta["value"].shape[2:])
    return _pair(step.option("kernel_size")) == before and _pair(step.option("padding")) == (0, 0)


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _has_dims(step: Step) -> bool:
    """Return whether a reduction names the dimensions over which it goes."""
    return isinstance(step.option("dim"), int | tuple | list)


def _reduction(step: Step, form: Maps) -> Form:
    dims, keep = dims_of(step), bool(step.option("keepdim"))
    if not {form.y, form.x} & set(dims):
        step.writer.known[step.node] = step.copy()
        if keep:
            return form
        return Maps(*(at - sum(dim < at for dim in dims) for at in (form.y, form.x)))
    return _pooled(step, form, dims, keep, kind_of(step))


def _statistic(step: Step, form: Maps) -> Form:
    """Keep maps where channels are measured; over rows and columns it is one value for the image."""
    dim = step.option("dim")
    dims = [dim] if isinstance(dim, int) else list(dim) if isinstance(dim, tuple | list) else None
    rank = len(step.sources[0].meta["value"].shape)
    if dims is None or {form.y, form.x} & {one % rank for one in dims}:
        raise UnfollowedError("measures all rows and columns together")
    step.writer.known[step.node] = step.copy()
    if len(step.shape) == rank:
        return form
    return Maps(*(at - sum(one % rank < at for one in dims) for at in (form.y, form.x)))
