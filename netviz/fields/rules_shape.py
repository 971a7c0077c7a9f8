"""Geometry of functions that only arrange values anew: reshaping, permuting, repeating, concatenating."""

from collections.abc import Sequence

import numpy as np

from netviz.capture.tape import Ref
from netviz.fields.geometry_axes import (
    Atom,
    Axis,
    Dim,
    LostError,
    Spread,
    line,
    mixed,
    neutral,
    settled,
    spatial,
    total,
)
from netviz.fields.geometry_join import joined
from netviz.fields.rules_call import Call, Rule, integers


def regrouped(spread: Spread, shape: Sequence[int]) -> Spread:
    """Return a value under another shape of the same row-major order: view, reshape, flatten, squeeze."""
    atoms = _merged([atom for dim in spread.dims for atom in dim])
    dims: list[Dim] = []
    for size in shape:
        dim: list[Atom] = []
        if size == 1:
            if atoms and atoms[0].count == 1:
                dim.append(atoms.pop(0))
            dims.append(tuple(dim))
            continue
        left = size
        while left > 1:
            while atoms and atoms[0].count == 1:
                atoms.pop(0)  # a single position: no size of its own in what follows
            if not atoms:
                raise LostError("to another number of values")
            atom = atoms.pop(0)
            if left % atom.count == 0:
                dim.append(atom)
                left //= atom.count
            elif atom.count % left == 0:
                inner = atom.count // left
                dim.append(Atom(atom.name, left, atom.step * inner))
                atoms.insert(0, Atom(atom.name, inner, atom.step))
                left = 1
            else:
                raise LostError("across positions")
        dims.append(tuple(_merged(dim)))
    return spread.with_dims(tuple(dims))


def _merged(atoms: Sequence[Atom]) -> list[Atom]:
    """Join neighbours that together are one run."""
    done: list[Atom] = []
    for atom in atoms:
        last = done[-1] if done else None
        if last and last.name == atom.name == "-":
            done[-1] = Atom("-", last.count * atom.count)
        elif last and last.name == atom.name and last.step == atom.count * atom.step and atom.count > 1:
            done[-1] = Atom(atom.name, last.count * atom.count, atom.step)
        else:
            done.append(atom)
    return done


def view(call: Call) -> Spread:
    """Give the values, in the same order, the shape that came out."""
    return regrouped(call.spread(0), call.shape)


def squeeze(call: Call) -> Spread:
    """Drop dimensions of length 1."""
    spread = call.spread(0)
    dim = call.get(1, "dim", None)
    rank = spread.rank
    ats = range(rank) if dim is None else [one % rank for one in integers(dim)]
    return spread.with_dims(tuple(d for at, d in enumerate(spread.dims) if at not in ats or total(d) != 1))


def unsqueeze(call: Call) -> Spread:
    """Add a dimension of length 1."""
    spread = call.spread(0)
    at = integers(call.get(1, "dim", 0))[0] % (spread.rank + 1)
    return spread.with_dims((*spread.dims[:at], (), *spread.dims[at:]))


def permute(call: Call) -> Spread:
    """Reorder the dimensions."""
    spread = call.spread(0)
    return spread.with_dims(tuple(spread.dims[one] for one in call.rest(1, "dims")))


def transpose(call: Call) -> Spread:
    """Swap two dimensions; ``.T`` turns round all, ``.mT`` the last two."""
    spread, name = call.spread(0), call.node.name
    order = list(range(spread.rank))
    if name in ("T", "t"):
        order.reverse()
    else:
        first, second = -1, -2
        if name not in ("mT", "H", "mH", "adjoint"):
            first = call.get(1, "dim0", call.node.kwargs.get("axis0"))
            second = call.get(2, "dim1", call.node.kwargs.get("axis1"))
        order[first], order[second] = order[second], order[first]
    return spread.with_dims(tuple(spread.dims[one] for one in order))


def movedim(call: Call) -> Spread:
    """Move dimensions to other places."""
    spread = call.spread(0)
    source = [one % spread.rank for one in integers(call.get(1, "source", ()))]
    target = [one % spread.rank for one in integers(call.get(2, "destination", ()))]
    order = [one for one in range(spread.rank) if one not in source]
    for place, one in sorted(zip(target, source, strict=True)):
        order.insert(place, one)
    return spread.with_dims(tuple(spread.dims[one] for one in order))


def expand(call: Call) -> Spread:
    """Repeat dimensions of length 1."""
    return joined([call.spread(0)], call.shape)


def repeat(call: Call) -> Spread:
    """Tile: fine along what is no axis of the image."""
    spread = call.spread(0)
    dims: list[Dim] = [*([()] * (len(call.shape) - spread.rank)), *spread.dims]
    for at, size in enumerate(call.shape):
        if total(dims[at]) != size:
            if spatial(dims[at]):
                raise LostError("of positions")
            dims[at] = neutral(size)
    return spread.with_dims(tuple(dims))


def repeat_interleave(call: Call) -> Spread:
    """Repeat every position where it stands, as upsampling by nearest neighbours does."""
    spread, times, dim = call.only(), call.get(1, "repeats", None), call.get(2, "dim", None)
    if not isinstance(times, int) or dim is None:
        raise LostError("of positions")
    return spread.with_dim(dim % spread.rank, (*spread.dims[dim], *neutral(times)))


def concatenate(call: Call) -> Spread:
    """Branches one behind the other: channels, or rows and columns."""
    parts, at = call.get(0, "tensors", ()), call.get(1, "dim", call.node.kwargs.get("axis", 0))
    at %= len(call.shape)
    tracked = [call.known[part.number] for part in parts if isinstance(part, Ref)]
    if not any(spatial(one.dims[at]) for one in tracked if one.rank == len(call.shape)):
        size = (*call.shape[:at], 1, *call.shape[at + 1 :])
        level = [one.with_dim(at, ()) for one in tracked if one.rank == len(call.shape)]
        return joined(level, size).with_dim(at, neutral(call.shape[at]))
    if len(parts) == 1:
        return tracked[0]
    dims = {one.dims[at] for one in tracked}
    if len(tracked) == len(parts) and all(len(dim) == 1 for dim in dims):
        return _behind(tracked, at, call)
    # Tokens of the image beside others: from here on they are told apart no more.
    loose = [mixed(one, [at]).with_dim(at, ()) for one in tracked]
    size = (*call.shape[:at], 1, *call.shape[at + 1 :])
    return joined(loose, size).loosely_whole().with_dim(at, neutral(call.shape[at]))


def _behind(parts: Sequence[Spread], at: int, call: Call) -> Spread:
    """Rows below rows, or columns beside columns."""
    parts = [settled(one, at) for one in parts]
    names = {one.dims[at][0].name for one in parts}
    if len(names) != 1 or "-" in names:
        raise LostError("of branches whose positions are laid out differently")
    name = names.pop()
    edges = [one.axis(name).edges(total(one.dims[at])) for one in parts]
    low, high = (np.concatenate([pair[i] for pair in edges]) for i in (0, 1))
    size, stride, start = line(low, high)
    first = parts[0].axis(name)
    axis = Axis(first.length, size, stride, start, exact=False)
    if all(one.axis(name).whole for one in parts):
        axis = first
    dim = (Atom(name, call.shape[at]),)
    level = [one.with_axis(name, axis).with_dim(at, dim) for one in parts]
    return joined(level, call.shape)


def stack(call: Call) -> Spread:
    """Branches under a new dimension."""
    parts, at = call.get(0, "tensors", ()), call.get(1, "dim", 0) % len(call.shape)
    tracked = [call.known[part.number] for part in parts if isinstance(part, Ref)]
    found = joined(tracked, (*call.shape[:at], *call.shape[at + 1 :]))
    return found.with_dims((*found.dims[:at], neutral(call.shape[at]), *found.dims[at:]))


def copy(call: Call) -> Spread:
    """``x.copy_(y)``: nothing of x is left."""
    found = call.maybe(1, "src")
    if found is None or found.shape != call.shape:
        raise LostError("of a constant or another shape")
    return found


SHAPES: dict[str, Rule] = {
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as", "ravel"), view),
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "permute": permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims", "T", "mT", "t", "H", "mH", "adjoint"), transpose),
    **dict.fromkeys(("movedim", "moveaxis"), movedim),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expand),
    **dict.fromkeys(("repeat", "tile"), repeat),
    "repeat_interleave": repeat_interleave,
    **dict.fromkeys(("cat", "concat", "concatenate"), concatenate),
    "stack": stack,
    "copy": copy,
}
