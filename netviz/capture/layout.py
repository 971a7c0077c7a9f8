"""What each dimension of a value stands for: batch, channels, rows, columns; followed through views and windows."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from netviz.capture.operations import OPERATIONS, arguments


class LostError(Exception):
    """An operation that cannot be followed; the message names it."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A factor of a dimension: `count` steps along y or x, or along anything else ("-").

    A step goes `step` positions further on that axis. A plain row axis is ``Atom("y", H)``; cut into windows of 7
    it is ``Atom("y", H // 7, 7), Atom("y", 7)``; flattened positions are ``Atom("y", H), Atom("x", W)``. Where a
    layer's channels are looked for, there are also "n" (the batch), "c" (channels) and "t" (positions that are no
    longer told apart, as tokens of an image beside a class token).
    """

    name: str
    count: int
    step: int = 1


Dim = tuple[Atom, ...]

Dims = tuple[Dim, ...]

IMAGE = ("n", "c", "y", "x")


def total(dim: Dim) -> int:
    """Return how long a dimension is."""
    length = 1
    for atom in dim:
        length *= atom.count
    return length


def regrouped(dims: Dims, shape: Sequence[int]) -> Dims:
    """Return a value's dimensions under another shape of the same row-major order: view, reshape, flatten, squeeze.

    Raises
    ------
    LostError
        If a dimension of the shape cuts across them.
    """
    atoms = _merged([atom for dim in dims for atom in dim])
    found: list[Dim] = []
    for size in shape:
        dim: list[Atom] = []
        if size == 1:
            if atoms and atoms[0].count == 1:
                dim.append(atoms.pop(0))
            found.append(tuple(dim))
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
        found.append(tuple(_merged(dim)))
    return tuple(found)


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


def order(name: str, given: Mapping[str, Any], rank: int) -> list[int]:
    """Return which dimension of its input each one of a permutation's output is.

    Parameters
    ----------
    name : str
        An operation of the kind permutation, transposition or moving.
    given : mapping of str to object
        Its arguments.
    rank : int
        Of its input.
    """
    found = list(range(rank))
    kind = OPERATIONS[name].kind
    if kind == "permutation":
        return [int(one) % rank for one in given["dims"]]
    if kind == "moving":
        pairs = [given[side] for side in ("source", "destination")]
        source, target = (
            [one % rank for one in ([side] if isinstance(side, int) else side)] for side in pairs
        )
        found = [one for one in found if one not in source]
        for place, one in sorted(zip(target, source, strict=True)):
            found.insert(place, one)
    elif name in ("T", "t"):
        found.reverse()
    else:
        last_two = name in ("mT", "H", "mH", "adjoint")
        first, second = (-1, -2) if last_two else (given["dim0"], given["dim1"])
        found[first], found[second] = found[second], found[first]
    return found


def image_dims(shape: Sequence[int]) -> Dims:
    """Return the dimensions of an image batch (N, C, H, W)."""
    return tuple((Atom(name, side),) for name, side in zip(IMAGE, shape, strict=True))


def laid_out(
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    known: Mapping[Tensor, Dims | None],
    output: Tensor,
) -> Dims:
    """Return the dimensions of what a function gave.

    Parameters
    ----------
    name : str
        The function's plain name.
    args, kwargs : tuple, mapping
        As called.
    known : mapping of Tensor to dimensions
        Of its arguments that come from the image, in their order; None for one that was lost.
    output : Tensor
        One of those that it gave.

    Raises
    ------
    LostError
        If it cannot be followed.
    """
    given = arguments(name, args, kwargs) if name in OPERATIONS else {}
    kind = OPERATIONS[name].kind if name in OPERATIONS else ""
    shape = tuple(output.shape)
    if kind in ("convolution", "transposed convolution") and name.endswith("2d") and len(shape) == 4:
        source = known.get(given["input"])
        return _convolved(source or image_dims(given["input"].shape), shape, 1)
    found = [dims for dims in known.values() if dims is not None]
    if not found:
        raise LostError(f"through {name or 'an operation'}")
    first, rank = found[0], len(found[0])
    if kind in ("view", "squeeze", "unsqueeze"):
        return _unrolled(regrouped(first, shape))
    if kind in ("permutation", "transposition", "moving"):
        return tuple(first[one] for one in order(name, given, rank))
    if kind in ("convolution", "transposed convolution"):
        return _convolved(first, shape, len(shape) - int(name[-2]) - 1)
    if kind == "linear":
        return (*first[:-1], _weighted(first[-1], shape[-1]))
    if kind == "matmul" and len(shape) > 1:
        sides = (given["input"], given["other"])
        left, right = (known.get(side) if isinstance(side, Tensor) else None for side in sides)
        return _product(left, right, shape)
    if kind == "attention":
        value = known.get(given["value"])
        return _fitted((*first[:-1], value[-1] if value else first[-1]), shape)
    if kind == "einsum":
        return _einsum(given, known, shape)
    if kind in ("unbind", "select"):
        at = given["dim"] % rank
        return _fitted((*first[:at], *first[at + 1 :]), shape)
    if kind == "stack":
        at = given["dim"] % len(shape)
        return _fitted((*first[:at], (), *first[at:]), shape)
    if kind == "getitem":
        return _fitted(_indexed(first, given["indices"]), shape)
    if kind in ("reduction", "statistic", "vector norm") and len(shape) < rank and given["dim"] is not None:
        dims = [given["dim"]] if isinstance(given["dim"], int) else given["dim"]
        gone = {one % rank for one in dims}
        return _fitted(tuple(dim for at, dim in enumerate(first) if at not in gone), shape)
    if (
        name == "unfold" and len(shape) == rank + 1
    ):  # Tensor.unfold: windows along a dimension, their inside last
        return _fitted((*first, ()), shape)
    return _together([dims for dims in found if len(dims) <= len(shape)], shape, name)


def channels_of(dims: Dims) -> int:
    """Return which axis of a value (N, …) with four axes holds its channels.

    Raises
    ------
    LostError
        If it has no maps: its other axes are no rows and columns.
    """
    if total(dims[0]) != 1:
        raise LostError("windows, heads or channels are in its batch axis")
    names = [{atom.name for atom in dim} for dim in dims]
    # Space to depth leaves positions beside the channels; rows or columns of length 1 may have lost their name.
    free = [at for at in (1, 2, 3) if "c" in names[at]] or [
        at for at in (1, 2, 3) if not names[at] & set("yxt")
    ]
    if len(free) > 1:
        free = [at for at in free if total(dims[at]) > 1] or [1]
    if len(free) != 1:
        raise LostError("its axes are no channels, rows and columns")
    rows, columns = (dims[at] for at in (1, 2, 3) if at != free[0])
    along = [{atom.name for atom in dim if atom.count > 1} for dim in (rows, columns)]
    if any(len(one) > 1 for one in along) or along[0] & along[1]:
        raise LostError("rows and columns are cut into windows or flattened")
    return free[0]


def _unrolled(dims: Dims) -> Dims:
    """Return the same with tokens that were made into rows and columns called so."""
    for at, (outer, inner) in enumerate(itertools.pairwise(dims)):
        split = [atom.name for atom in (*outer, *inner)] == ["t", "t"] and outer and inner
        if split and outer[0].step == inner[0].step * inner[0].count:
            rows, columns = Atom("y", outer[0].count), Atom("x", inner[0].count)
            return (*dims[:at], (rows,), (columns,), *dims[at + 2 :])
    return dims


def _weighted(dim: Dim, size: int) -> Dim:
    """Return a dimension after weighted sums over it: channels are made of channels, positions of positions."""
    positions = dim and not any(atom.name in "c-" for atom in dim)
    return _resized(dim, size) if positions else (Atom("c", size),)


def _resized(dim: Dim, size: int) -> Dim:
    """Return a dimension that an operation gave another length: positions of several axes become one kind."""
    if total(dim) == size:
        return dim
    names = {atom.name for atom in dim} - {"n"}  # a batch of one that was repeated stands for nothing
    plain = len(names) == 1 and len(dim) == 1
    return (
        Atom(names.pop() if plain else "t" if names & set("yxt") else "c" if "c" in names else "-", size),
    )


def _product(left: Dims | None, right: Dims | None, shape: tuple[int, ...]) -> Dims:
    """Return the dimensions of a product of matrices, of which one may be no image's: rows by columns.

    What nothing is known of goes by the positions that the sums run over: a square matrix of weights mixes them.
    """
    batch = _together([side[:-2] for side in (left, right) if side], shape[:-2], "matmul")
    row, column = ((side or ((), ()))[at] for side, at in ((left, -2), (right, -1)))
    over, under = ((side or ((), ()))[at] for side, at in ((right, -2), (left, -1)))
    if not left or (_nameless(row) and _runs(over) and total(over) == total(row)):
        row = _weighted(over, shape[-2])
    if not right or (_nameless(column) and _runs(under) and total(under) == total(column)):
        column = _weighted(under, shape[-1])
    return _fitted((*batch, row, column), shape)


def _nameless(dim: Dim) -> bool:
    return all(atom.name == "-" for atom in dim)


def _runs(dim: Dim) -> bool:
    """Return whether a dimension consists of positions."""
    return any(atom.name in "yxt" for atom in dim)


def _fitted(dims: Dims, shape: tuple[int, ...]) -> Dims:
    if len(dims) != len(shape):
        raise LostError("to another number of axes")
    return tuple(_resized(dim, size) for dim, size in zip(dims, shape, strict=True))


def _convolved(source: Dims, shape: tuple[int, ...], channel: int) -> Dims:
    found = list(_fitted(source, shape))
    found[channel] = (Atom("c", shape[channel]),)
    return tuple(found)


def _together(sources: Sequence[Dims], shape: tuple[int, ...], name: str) -> Dims:
    """Return the dimensions of what reads several values, broadcast: the first that has its length and a name."""
    if not any(len(dims) == len(shape) for dims in sources):
        raise LostError(f"through {name or 'an operation'}")
    wide = [(*[()] * (len(shape) - len(dims)), *dims) for dims in sources]
    found = []
    for at, size in enumerate(shape):
        named: list[Dim] = sorted((dims[at] for dims in wide if dims[at]), key=_nameless)
        found.append(
            next((dim for dim in named if total(dim) == size), _resized(named[0] if named else (), size))
        )
    return tuple(found)


def _indexed(dims: Dims, key: Any) -> Dims:
    """Return the dimensions after ``x[…]``, those of slices and lists still as long as before."""
    items = list(key) if isinstance(key, tuple) else [key]
    lists = [item for item in items if isinstance(item, Tensor | list)]
    if len(lists) > 1 or any(isinstance(item, Tensor) and item.ndim != 1 for item in lists):
        raise LostError("by several lists")
    gap = len(dims) - sum(item is not None and item is not Ellipsis for item in items)
    where = next((at for at, item in enumerate(items) if item is Ellipsis), len(items))
    items[where : where + 1] = [slice(None)] * gap
    left = list(dims)
    found: list[Dim] = []
    for item in items:
        if item is None:
            found.append(())
        else:
            dim = left.pop(0)
            if not isinstance(item, int):
                found.append(dim)
    return tuple(found)


def _einsum(given: Mapping[str, Any], known: Mapping[Tensor, Dims | None], shape: tuple[int, ...]) -> Dims:
    equation, operands = given["equation"], given["operands"]
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        raise LostError("through einsum")
    sources, letters = equation.replace(" ", "").split("->")
    by_letter: dict[str, Dim] = {}
    for operand, own in zip(operands, sources.split(","), strict=True):
        for letter, dim in zip(own, known.get(operand) or (), strict=False):
            by_letter.setdefault(letter, dim)
    return _fitted(tuple(by_letter.get(letter, (Atom("c", 1),)) for letter in letters), shape)
