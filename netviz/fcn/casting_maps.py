"""What becomes of maps in each operation of a classifier; most stay what they are."""

from typing import Any

from torch import nn
from torch.nn import functional

from netviz.fcn.casting_forms import Form, Maps, UnfollowedError, Whole
from netviz.fcn.casting_names import REDUCTIONS, STATISTICS
from netviz.fcn.casting_rules import dims_of, kind_of, pooled
from netviz.fcn.casting_step import Step

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
        dim = step.option(1, "dim", 0) % rank
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
    return _pair(step.option(1, "kernel_size")) == before and _pair(step.option(3, "padding", 0)) == (0, 0)


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _has_dims(step: Step) -> bool:
    """Return whether a reduction names the dimensions over which it goes."""
    return isinstance(step.option(1, "dim"), int | tuple | list)


def _reduction(step: Step, form: Maps) -> Form:
    dims, keep = dims_of(step), bool(step.option(2, "keepdim", False))
    if not {form.y, form.x} & set(dims):
        step.writer.known[step.node] = step.copy()
        if keep:
            return form
        return Maps(*(at - sum(dim < at for dim in dims) for at in (form.y, form.x)))
    return _pooled(step, form, dims, keep, kind_of(step))


def _statistic(step: Step, form: Maps) -> Form:
    """Keep maps where channels are measured; over rows and columns it is one value for the image."""
    second = "norm" in step.name or step.name in ("topk", "kthvalue")
    dim = step.option(2 if second else 1, "dim", 1 if step.name == "normalize" else None)
    dims = [dim] if isinstance(dim, int) else list(dim) if isinstance(dim, tuple | list) else None
    rank = len(step.sources[0].meta["value"].shape)
    if dims is None or {form.y, form.x} & {one % rank for one in dims}:
        raise UnfollowedError("measures all rows and columns together")
    step.writer.known[step.node] = step.copy()
    if len(step.shape) == rank:
        return form
    return Maps(*(at - sum(one % rank < at for one in dims) for at in (form.y, form.x)))
