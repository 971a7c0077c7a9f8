"""Geometry of functions that take parts of a value: slicing, splitting, selecting, reordering."""

import numpy as np
from torch import Tensor

from netviz.capture.tape import Ref
from netviz.fields.geometry_axes import Atom, LostError, Spread, neutral, settled, spatial, total
from netviz.fields.rules_call import Call, Rule, integers


def cut(spread: Spread, at: int, start: int, step: int, count: int) -> Spread:
    """Return ``count`` positions of a dimension, from `start` on, every `step`-th."""
    dim = spread.dims[at]
    if start == 0 and step == 1 and count == total(dim):
        return spread
    if not spatial(dim):
        return spread.with_dim(at, neutral(count))
    spread = settled(spread, at)
    name = spread.dims[at][0].name
    axis = spread.axis(name).window(start, step, 0)
    return spread.with_axis(name, axis).with_dim(at, (Atom(name, count),))


def picked(spread: Spread, at: int, place: int) -> Spread:
    """Return one position of a dimension, which is then gone."""
    spread = cut(spread, at, place % max(total(spread.dims[at]), 1), 1, 1)
    return spread.with_dims((*spread.dims[:at], *spread.dims[at + 1 :]))


def getitem(call: Call) -> Spread:
    """``x[…]`` with whole numbers, slices, None and an ellipsis; with a list, not along the image."""
    spread, key = call.spread(0), call.get(1, "indices", None)
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
        elif isinstance(item, Tensor | list) and not spatial(spread.dims[at]):
            if isinstance(item, Tensor) and (item.ndim != 1 or item.dtype.is_floating_point):
                raise LostError("by a table")
            spread = spread.with_dim(at, neutral(call.shape[at]))
            at += 1
        else:
            raise LostError("by a list of positions")
    return spread


def narrow(call: Call) -> Spread:
    """Take a run of positions along one dimension."""
    spread = call.only()
    at, start = call.get(1, "dim", 0) % spread.rank, call.get(2, "start", 0)
    return cut(spread, at, start % max(total(spread.dims[at]), 1), 1, call.shape[at])


def sliced(call: Call) -> Spread:
    """Take every n-th position of a run, as exported programs write a slice."""
    spread = call.only()
    at, ends = call.get(1, "dim", 0) % spread.rank, (call.get(2, "start", None), call.get(3, "end", None))
    start, stop, step = slice(*ends, call.get(4, "step", 1)).indices(total(spread.dims[at]))
    return cut(spread, at, start, step, len(range(start, stop, step)))


def select(call: Call) -> Spread:
    """One position of a dimension."""
    spread = call.only()
    return picked(spread, call.get(1, "dim", 0) % spread.rank, call.get(2, "index", 0))


def split(call: Call) -> list[Spread]:
    """Parts one after the other along a dimension: chunk, split."""
    spread = call.spread(0)
    at = call.get(2, "dim", 0) % spread.rank
    starts = np.cumsum([0, *(shape[at] for shape in call.shapes)])
    return [
        cut(spread, at, int(start), 1, shape[at])
        for start, shape in zip(starts[:-1], call.shapes, strict=True)
    ]


def unbind(call: Call) -> list[Spread]:
    """Every position of a dimension for itself."""
    spread = call.spread(0)
    at = call.get(1, "dim", 0) % spread.rank
    return [picked(spread, at, place) for place in range(len(call.shapes))]


def moved(call: Call) -> Spread:
    """Reorder within a dimension that is no axis of the image: flip, roll, index_select."""
    spread = call.only()
    name = call.node.name
    place, word = (2, "dims") if name == "roll" else (1, "dims" if name == "flip" else "dim")
    dims = call.rest(1, "dims") if name == "flip" else call.get(place, word, None)
    if dims is None or dims in ((), []):
        raise LostError("of positions")
    for at in integers(dims):
        if spatial(spread.dims[at]):
            raise LostError("of positions")
    if name == "index_select":
        spread = spread.with_dim(integers(dims)[0] % spread.rank, neutral(call.shape[integers(dims)[0]]))
    return spread


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
    **dict.fromkeys(("chunk", "split", "split_with_sizes"), split),
    **dict.fromkeys(("unsafe_chunk", "unsafe_split", "tensor_split"), split),
    **dict.fromkeys(("flip", "roll", "index_select"), moved),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), shuffle),
}
