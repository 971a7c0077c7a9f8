"""Geometry of functions that arrange values anew or take parts of them: views, permutations, joins, slices."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from netviz.capture.layout import (
    Atom,
    Dim,
    LostError,
    atoms,
    beside,
    order,
    regrouped,
    rolled,
    taken,
    total,
)
from netviz.capture.operations import arguments, names
from netviz.capture.tape import Ref
from netviz.geometry.axes import (
    AXES,
    Spread,
    Window,
    anywhere,
    hull,
    line,
    mixed,
    neutral,
    read,
    settled,
    spatial,
)
from netviz.geometry.join import covering, joined
from netviz.geometry.rules.call import Call, Rule, each, integers


def view(call: Call) -> Spread:
    """Give the values, in the same order, the shape that came out."""
    spread = call.first()
    return spread.with_dims(regrouped(spread.dims, call.shape))


def squeeze(call: Call) -> Spread:
    """Drop dimensions of length 1."""
    spread = call.first()
    dim = call.get("dim")
    rank = spread.rank
    ats = range(rank) if dim is None else [one % rank for one in integers(dim)]
    return spread.with_dims(tuple(d for at, d in enumerate(spread.dims) if at not in ats or total(d) != 1))


def unsqueeze(call: Call) -> Spread:
    """Add a dimension of length 1."""
    spread = call.first()
    at = integers(call.get("dim"))[0] % (spread.rank + 1)
    return spread.with_dims((*spread.dims[:at], (), *spread.dims[at:]))


def permute(call: Call) -> Spread:
    """Reorder the dimensions: permute, transpose, movedim."""
    spread = call.first()
    given = arguments(call.node.name, call.node.args, call.node.kwargs)
    return spread.with_dims(tuple(spread.dims[one] for one in order(call.node.name, given, spread.rank)))


def expand(call: Call) -> Spread:
    """Repeat dimensions of length 1."""
    return joined([call.first()], call.shape)


def repeat(call: Call) -> Spread:
    """Tile: all positions of a dimension one time after the other."""
    spread = call.first()
    dims: list[Dim] = [*([()] * (len(call.shape) - spread.rank)), *spread.dims]
    for at, size in enumerate(call.shape):
        times = size // max(total(dims[at]), 1)
        dims[at] = (*neutral(times), *dims[at]) if spatial(dims[at]) else neutral(size)
    return spread.with_dims(tuple(dims))


def repeat_interleave(call: Call) -> Spread:
    """Repeat every position where it stands, as upsampling by nearest neighbours does."""
    spread, times, dim = call.only(), call.get("repeats"), call.get("dim")
    if not isinstance(times, int) or dim is None:
        raise LostError("of positions")
    return spread.with_dim(dim % spread.rank, (*spread.dims[dim], *neutral(times)))


def concatenate(call: Call) -> Spread:
    """Branches one behind the other: channels, or rows and columns."""
    parts, at = call.get("tensors"), call.get("dim")
    at %= len(call.shape)
    tracked = [call.known[part.number] for part in parts if isinstance(part, Ref)]
    if not any(spatial(one.dims[at]) for one in tracked if one.rank == len(call.shape)):
        size = (*call.shape[:at], 1, *call.shape[at + 1 :])
        level = [one.with_dim(at, ()) for one in tracked if one.rank == len(call.shape)]
        return joined(level, size).with_dim(at, neutral(call.shape[at]))
    if len(parts) == 1:
        return tracked[0]
    found = _beside(parts, tracked, at, call)
    if found is not None:
        return found
    dims = {one.dims[at] for one in tracked}
    if len(tracked) == len(parts) and all(len(dim) == 1 for dim in dims):
        return _behind(tracked, at, call)
    # Tokens of the image beside others: from here on they are told apart no more.
    loose = [mixed(one, [at]).with_dim(at, ()) for one in tracked]
    size = (*call.shape[:at], 1, *call.shape[at + 1 :])
    return joined(loose, size).loosely_whole().with_dim(at, neutral(call.shape[at]))


def _beside(parts: Sequence[Any], tracked: Sequence[Spread], at: int, call: Call) -> Spread | None:
    """Return tokens of the image with others beside them; None if it is anything else."""
    if any(one.rank != len(call.shape) for one in tracked):
        return None
    here = [call.known[part.number].dims[at] if isinstance(part, Ref) else None for part in parts]
    sizes = [(call.known[part.number] if isinstance(part, Ref) else part).shape[at] for part in parts]
    rest = [dim for one in tracked for place, dim in enumerate(one.dims) if place != at]
    made = beside(here, sizes, any(map(spatial, rest)))
    if made is None:
        return None
    first = next(one for one in tracked if spatial(one.dims[at]))
    level = [first, *(one for one in tracked if one is not first)]
    y, x = (covering([one.axis(name) for one in level]) for name in AXES)
    return replace(first, axes=(y, x)).with_dim(at, made)


def _behind(parts: Sequence[Spread], at: int, call: Call) -> Spread:
    """Rows below rows, or columns beside columns."""
    parts = [settled(one, at) for one in parts]
    names = {one.dims[at][0].name for one in parts}
    if len(names) != 1 or "-" in names:
        raise LostError("of branches whose positions are laid out differently")
    name = names.pop()
    ends = [one.axis(name) for one in parts]
    seen = [axis.seen(total(one.dims[at])) for axis, one in zip(ends, parts, strict=True)]
    edges = [axis.edges(total(one.dims[at])) for axis, one in zip(ends, parts, strict=True)]
    first, last = (np.concatenate([pair[i] for pair in seen]) for i in (0, 1))
    low, high = (np.concatenate([pair[i] for pair in edges]) for i in (0, 1))
    axis = replace(covering(ends), first=first, last=last, exact=False)
    axis = axis.lined(*line(low, high), regular=False)
    if ends[0].whole and all(one.whole and one == ends[0] and one.low == ends[0].low for one in ends):
        axis = ends[0]
    dim = (Atom(name, call.shape[at]),)
    level = [one.with_axis(name, axis).with_dim(at, dim) for one in parts]
    return joined(level, call.shape)


def stack(call: Call) -> Spread:
    """Branches under a new dimension."""
    parts, at = call.get("tensors"), call.get("dim") % len(call.shape)
    tracked = [call.known[part.number] for part in parts if isinstance(part, Ref)]
    found = joined(tracked, (*call.shape[:at], *call.shape[at + 1 :]))
    return found.with_dims((*found.dims[:at], neutral(call.shape[at]), *found.dims[at:]))


def copy(call: Call) -> Spread:
    """``x.copy_(y)``: nothing of x is left."""
    found = call.maybe("src")
    if found is None or found.shape != call.shape:
        raise LostError("of a constant or another shape")
    return found


SHAPES: dict[str, Rule] = {
    **dict.fromkeys(names("view"), view),
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    **dict.fromkeys(names("permutation", "transposition", "moving"), permute),
    **dict.fromkeys(names("expansion"), expand),
    **dict.fromkeys(names("repetition"), repeat),
    "repeat_interleave": repeat_interleave,
    **dict.fromkeys(names("concatenation"), concatenate),
    "stack": stack,
    "copy": copy,
}


def cut(spread: Spread, at: int, start: int, step: int, count: int) -> Spread:
    """Return ``count`` positions of a dimension, from `start` on, every `step`-th."""
    dim = spread.dims[at]
    if start == 0 and step == 1 and count == total(dim):
        return spread
    if any(atom.grid for atom in dim):
        left = taken(dim, range(start, start + step * count, step))
        told = any(atom.name in AXES for atom in atoms(left))
        return spread.with_dim(at, left) if told else spread.loosely_whole().with_dim(at, neutral(count))
    if not spatial(dim):
        return spread.with_dim(at, neutral(count))
    return read(spread, at, Window(start, step, 0, (start + step * np.arange(count))[:, None]), count)


def gathered(spread: Spread, at: int, places: NDArray[Any] | None, count: int) -> Spread:
    """Return a dimension's positions at these places, in any order; at any places, if it is not known at which.

    Of a table (others, places) an output reads each of its column's.
    """
    if not spatial(spread.dims[at]):
        return spread.with_dim(at, neutral(count))
    if places is None:
        return anywhere(spread, at, count)
    table = places.reshape(-1, count).T
    window = hull(table.min(1), table.max(1))
    same = bool((table == table[:, :1]).all())
    return read(spread, at, replace(window, reads=table[:, :1] if same else table, exact=same), count)


def picked(spread: Spread, at: int, place: int) -> Spread:
    """Return one position of a dimension, which is then gone."""
    spread = cut(spread, at, place % max(total(spread.dims[at]), 1), 1, 1)
    return spread.with_dims((*spread.dims[:at], *spread.dims[at + 1 :]))


def getitem(call: Call) -> Spread:
    """``x[…]`` with whole numbers, slices, None and an ellipsis; with a list, not along the image."""
    spread, key = call.first(), call.get("indices")
    items = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(item, Ref) for item in items):
        raise LostError("by values of the network")
    taken = sum(item is not None and item is not Ellipsis for item in items)
    gap = [slice(None)] * (spread.rank - taken)
    where = next((i for i, item in enumerate(items) if item is Ellipsis), None)
    items = [*items, *gap] if where is None else [*items[:where], *gap, *items[where + 1 :]]
    lists = [item for item in items if isinstance(item, Tensor | list)]
    if len(lists) > 1 or any(isinstance(item, bool) for item in items):
        raise LostError("by several lists")
    numbers = [at for at, item in enumerate(items) if isinstance(item, Tensor | list | int)]
    if lists and numbers[-1] - numbers[0] >= len(numbers):  # what is taken comes first then
        raise LostError("by a list apart from a number")
    at = 0
    for item in items:
        if item is None:
            spread = spread.with_dims((*spread.dims[:at], (), *spread.dims[at:]))
            at += 1
        elif isinstance(item, int):
            spread = picked(spread, at, item)
        elif isinstance(item, slice):
            start, stop, step = item.indices(total(spread.dims[at]))
            spread = cut(spread, at, start, step, len(range(start, stop, step)))
            at += 1
        else:
            places = call.places(item, total(spread.dims[at]))
            if isinstance(item, Tensor) and item.ndim != 1:
                spread = _tabled(spread, at, places, tuple(item.shape))
                at += item.ndim
            else:
                spread = gathered(spread, at, places, call.shape[at])
                at += 1
    return spread


def narrow(call: Call) -> Spread:
    """Take a run of positions along one dimension."""
    spread = call.only()
    at, start = call.get("dim") % spread.rank, call.get("start")
    return cut(spread, at, start % max(total(spread.dims[at]), 1), 1, call.shape[at])


def sliced(call: Call) -> Spread:
    """Take every n-th position of a run, as exported programs write a slice."""
    spread = call.only()
    at, ends = call.get("dim") % spread.rank, (call.get("start"), call.get("end"))
    start, stop, step = slice(*ends, call.get("step")).indices(total(spread.dims[at]))
    return cut(spread, at, start, step, len(range(start, stop, step)))


def select(call: Call) -> Spread:
    """One position of a dimension."""
    spread = call.only()
    return picked(spread, call.get("dim") % spread.rank, call.get("index"))


def split(call: Call) -> list[Spread]:
    """Parts one after the other along a dimension: chunk, split."""
    spread = call.first()
    at = call.get("dim") % spread.rank
    starts = np.cumsum([0, *(shape[at] for shape in call.shapes)])
    return [
        cut(spread, at, int(start), 1, shape[at])
        for start, shape in zip(starts[:-1], call.shapes, strict=True)
    ]


def unbind(call: Call) -> list[Spread]:
    """Every position of a dimension for itself."""
    spread = call.first()
    at = call.get("dim") % spread.rank
    return [picked(spread, at, place) for place in range(len(call.shapes))]


def moved(call: Call) -> Spread:
    """Reorder within dimensions: flip and roll."""
    spread, dims = call.only(), call.get("dims")
    if dims is None or dims in ((), []):
        raise LostError("of positions")
    ats = [one % spread.rank for one in integers(dims)]
    rolls = call.node.name == "roll"
    for at, shift in zip(ats, each(call.get("shifts"), len(ats)) if rolls else ats, strict=True):
        if spatial(spread.dims[at]):
            steps = np.arange(total(spread.dims[at]))
            if rolls and spread.local:  # where each position stands is kept in mind
                spread = spread.with_dim(at, rolled(spread.dims[at], shift))
                continue
            places = (steps - shift) % len(steps) if rolls else steps[::-1]
            spread = gathered(spread, at, places, len(steps))
    return spread


def _tabled(spread: Spread, at: int, places: NDArray[Any] | None, shape: tuple[int, ...]) -> Spread:
    """Return a dimension's positions by a table: its dimensions take the place of that one."""
    count = int(np.prod(shape))
    found = gathered(spread, at, None if places is None else places.ravel(), count)
    outer = tuple(total(dim) for dim in found.dims[:at])
    inner = tuple(total(dim) for dim in found.dims[at + 1 :])
    return found.with_dims(regrouped(found.dims, (*outer, *shape, *inner)))


def index_select(call: Call) -> Spread:
    """Positions of one dimension, by a list."""
    spread = call.only()
    at = call.get("dim") % spread.rank
    places = call.places(call.get("index"), total(spread.dims[at]))
    return gathered(spread, at, places, call.shape[at])


def gather(call: Call) -> Spread:
    """At each position, one of those along a dimension, by a table of the output's shape or one broadcast to it."""
    spread, dim, table = call.only(), call.get("dim"), call.get("index")
    if dim is None or not isinstance(table, Tensor):
        raise LostError("by values of the network")
    rank, at = spread.rank, dim % spread.rank
    places = call.places(table, total(spread.dims[at]))
    if places is not None:
        places = np.moveaxis(places, at, -1) if places.ndim == rank else None
    for other in range(rank):
        if other != at:
            if spatial(spread.dims[other]) and total(spread.dims[other]) < call.shape[other]:
                raise LostError("by a larger table")
            spread = cut(spread, other, 0, 1, call.shape[other])
    return gathered(spread, at, places, call.shape[at])


def assign(call: Call) -> Spread:
    """``x[…] = y`` with whole numbers, slices and an ellipsis: of x as before or of y, no more than a bound."""
    before, value = call.maybe("input"), call.maybe("value")
    if value is None:
        return call.only().doubted()
    key, shape = call.get("indices"), call.shape
    items = list(key) if isinstance(key, tuple) else [key]
    gap = len(shape) - sum(item is not Ellipsis for item in items)
    where = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items[where : where + 1] = [slice(None)] * gap
    for at, item in enumerate(items):
        if type(item) is int:
            value = value.with_dims((*value.dims[:at], (), *value.dims[at:]))
        elif not isinstance(item, slice):
            raise LostError("by a list of positions")
    if value.rank != len(shape):
        raise LostError("of branches of different rank")
    for at, item in enumerate(items):
        count = total(value.dims[at])
        if isinstance(item, slice) and spatial(value.dims[at]):
            start, _, step = item.indices(shape[at])
            steps = np.arange(shape[at]) - start
            reads = np.where(steps % step == 0, steps // step, -1)[:, None]
            shift, reach = -start / step - (step - 1) / step, (step - 1) / step
            window = Window(shift, 1 / step, reach, reads, step == 1)
            value = read(value, at, window, shape[at])
        elif count != shape[at]:
            value = value.with_dim(at, ())
    found = joined([value] if before is None else [before, value], shape)
    return found if all(item == slice(None) for item in items) else found.doubted()


def shuffle(call: Call) -> Spread:
    """Reorder the channels."""
    spread = call.only()
    if spatial(spread.dims[1]):
        raise LostError("of positions")
    return spread


SLICES: dict[str, Rule] = {
    "getitem": getitem,
    "narrow": narrow,
    "slice": sliced,
    "select": select,
    "unbind": unbind,
    **dict.fromkeys(names("split"), split),
    **dict.fromkeys(names("reordering"), moved),
    **dict.fromkeys(names("indexing"), index_select),
    **dict.fromkeys(names("gathering"), gather),
    **dict.fromkeys(names("assignment"), assign),
    **dict.fromkeys(names("channel shuffle"), shuffle),
}
