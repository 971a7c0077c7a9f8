"""What each dimension of a value stands for: batch, channels, rows, columns; followed through views and windows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from torch import Tensor

from netviz.capture.operations import OPERATIONS, arguments, names
from netviz.models.layers import Arrangement


class LostError(Exception):
    """An operation that cannot be followed; the message names it."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A factor of a dimension: `count` steps along y or x, or along anything else ("-").

    A step goes `step` positions further on that axis. A plain row axis is ``Atom("y", H)``; cut into windows of 7
    it is ``Atom("y", H // 7, 7), Atom("y", 7)``; flattened positions are ``Atom("y", H), Atom("x", W)``. Rolled by
    `shift`, position i stands where i + shift stood; -1 if by how much is lost. Where a layer's channels are looked
    for, there are also "n" (the batch) and "c" (channels).

    "t" are tokens: those from `before` on are the positions of `grid`, in its order; before and behind them are
    others (class and register tokens). Without a grid, it is not known which is which.
    """

    name: str
    count: int
    step: int = 1
    shift: int = 0
    grid: "tuple[Atom, ...]" = ()
    before: int = 0


Dim = tuple[Atom, ...]

Dims = tuple[Dim, ...]

IMAGE = ("n", "c", "y", "x")


def total(dim: Dim) -> int:
    """Return how long a dimension is."""
    length = 1
    for atom in dim:
        length *= atom.count
    return length


def atoms(dim: Dim) -> Iterator[Atom]:
    """Yield a dimension's factors, of tokens those of their grid."""
    for atom in dim:
        yield from atom.grid or (atom,)


def regrouped(dims: Dims, shape: Sequence[int]) -> Dims:
    """Return a value's dimensions under another shape of the same row-major order: view, reshape, flatten, squeeze.

    Raises
    ------
    LostError
        If a dimension of the shape cuts across them.
    """
    rest = _merged([atom for dim in dims for atom in dim])
    found: list[Dim] = []
    for size in shape:
        dim: list[Atom] = []
        if size == 1:
            if rest and rest[0].count == 1:
                dim.append(rest.pop(0))
            found.append(tuple(dim))
            continue
        left = size
        while left > 1:
            while rest and rest[0].count == 1:
                atom = rest.pop(0)  # a single position: no size of its own in what follows
                if atom.name == "n":
                    dim.append(atom)
            if not rest:
                raise LostError("to another number of values")
            atom = rest.pop(0)
            if left % atom.count == 0:
                dim.append(atom)
                left //= atom.count
            elif atom.count % left == 0 and not atom.grid:
                inner = atom.count // left
                dim.append(replace(atom, count=left, step=atom.step * inner))
                rest.insert(0, replace(atom, count=inner))
                left = 1
            else:
                raise LostError("across positions")
        found.append(tuple(_merged(dim)))
    return tuple(found)


def _merged(parts: Sequence[Atom]) -> list[Atom]:
    """Join neighbours that together are one run."""
    done: list[Atom] = []
    for atom in parts:
        last = done[-1] if done else None
        if last and last.name == atom.name == "-":
            done[-1] = Atom("-", last.count * atom.count)
        elif last and _follows(last, atom):
            done[-1] = replace(atom, count=last.count * atom.count)
        else:
            done.append(atom)
    return done


def _follows(outer: Atom, inner: Atom) -> bool:
    """Return whether two factors are one run, cut in two."""
    same = (outer.name, outer.shift) == (inner.name, inner.shift) and not outer.grid and not inner.grid
    return same and inner.count > 1 and outer.step == inner.count * inner.step


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
    outputs: Sequence[Tensor],
    place: int = 0,
) -> Dims:
    """Return the dimensions of what a function gave, counted in steps of the positions that are left.

    Parameters
    ----------
    name : str
        The function's plain name.
    args, kwargs : tuple, mapping
        As called.
    known : mapping of Tensor to dimensions
        Of its arguments that come from the image, in their order; None for one that was lost.
    outputs : sequence of Tensor
        All that it gave.
    place : int
        Which of these.

    Raises
    ------
    LostError
        If it cannot be followed.
    """
    return _counted(_laid_out(name, args, kwargs, known, outputs, place))


def _counted(dims: Dims) -> Dims:
    """Return the same where, of every n-th position that is left along an axis, each is one step."""
    for name in "yx":
        steps = [atom.step for dim in dims for atom in atoms(dim) if atom.name == name and atom.count > 1]
        least = min(steps, default=1)
        if least > 1 and all(step % least == 0 for step in steps):
            dims = tuple(tuple(_divided(atom, name, least) for atom in dim) for dim in dims)
    return dims


def _divided(atom: Atom, name: str, by: int) -> Atom:
    if atom.grid:
        return replace(atom, grid=tuple(_divided(one, name, by) for one in atom.grid))
    if atom.name != name or atom.count == 1:
        return atom
    shift = -1 if atom.shift % by or atom.shift < 0 else atom.shift // by
    return replace(atom, step=atom.step // by, shift=shift)


def _laid_out(
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    known: Mapping[Tensor, Dims | None],
    outputs: Sequence[Tensor],
    place: int,
) -> Dims:
    given = arguments(name, args, kwargs) if name in OPERATIONS else {}
    kind = OPERATIONS[name].kind if name in OPERATIONS else ""
    shape = tuple(outputs[place].shape)
    if kind in ("convolution", "transposed convolution") and name.endswith("2d") and len(shape) == 4:
        source = known.get(given["input"])
        return _convolved(source or image_dims(given["input"].shape), shape, 1)
    found = [dims for dims in known.values() if dims is not None]
    if not found:
        raise LostError(f"through {name or 'an operation'}")
    first, rank = found[0], len(found[0])
    if kind in ("view", "squeeze", "unsqueeze"):
        return regrouped(first, shape)
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
    if kind in ("narrow", "slice", "split"):
        at = given["dim"] % rank
        return _fitted((*first[:at], _cut(first[at], given, outputs, place, at), *first[at + 1 :]), shape)
    if kind == "concatenation":
        return _beside(given["tensors"], given["dim"] % len(shape), known, shape)
    if kind == "recurrence" and rank == 3:
        batch = 0 if given["batch_first"] else 1
        made = _weighted(first[-1], shape[-1])
        # All steps, or the last states: (layers, N, C).
        return _fitted((*first[:-1], made) if place == 0 else ((), first[batch], made), shape)
    if name == "roll":
        return _rolled(first, given)
    if kind in ("reduction", "statistic", "vector norm") and len(shape) < rank and given["dim"] is not None:
        dims = [given["dim"]] if isinstance(given["dim"], int) else given["dim"]
        gone = {one % rank for one in dims}
        return _fitted(tuple(dim for at, dim in enumerate(first) if at not in gone), shape)
    if name == "unfold" and (rank, len(shape)) == (4, 3):
        return _patches(first, args, kwargs)
    if name == "fold" and (rank, len(shape)) == (3, 4):
        return _folded(first, shape)
    if (
        name == "unfold" and len(shape) == rank + 1
    ):  # Tensor.unfold: windows along a dimension, their inside last
        return _fitted((*first, ()), shape)
    if name in _JUMBLING:
        found = [tuple(map(_jumbled, dims)) for dims in found]
    return _together([dims for dims in found if len(dims) <= len(shape)], shape, name)


def channels_of(dims: Dims) -> int:
    """Return which axis of a value (N, …) with four axes holds its channels; 0 if its others are no rows and columns.

    Then it has no maps as it is; `arrangement` may put some together.
    """
    called = [{atom.name for atom in dim} for dim in dims]
    # Space to depth leaves positions beside the channels; rows or columns of length 1 may have lost their name.
    free = [at for at in (1, 2, 3) if "c" in called[at]] or [
        at for at in (1, 2, 3) if not called[at] & set("yxt")
    ]
    if len(free) > 1:
        free = [at for at in free if total(dims[at]) > 1] or [1]
    if total(dims[0]) != 1 or len(free) != 1:
        return 0
    sides = ([atom for atom in dims[at] if atom.count > 1] for at in (1, 2, 3) if at != free[0])
    for found, name in zip(sides, "yx", strict=True):
        if len(found) > 1 or any(atom.name not in (name, "-") or atom.shift > 0 for atom in found):
            return 0
    return free[0]


_JUMBLING = names("indexing", "ranking") | {
    "argsort",
    "flip",
    "fliplr",
    "flipud",
    "gather",
    "rot90",
    "scatter",
    "sort",
    "take_along_dim",
}

_SCATTERED = "rows and columns are cut into windows or flattened"

_NO_AXES = "its axes are no channels, rows and columns"


def arrangement(dims: Dims) -> tuple[int, Arrangement]:
    """Return how maps (N, C, H, W) are put together of tokens (N, T, C), windows in the batch, channels in heads.

    Before that, which axis holds the channels, or the first of several.

    Raises
    ------
    LostError
        If the value does not hold one number for each channel and position.
    """
    axis, before, others = 0, 0, 0
    split: list[int] = []
    batch: list[int] = []
    channels: list[int] = []
    homes: list[int] = []
    along: dict[str, list[tuple[Atom, int]]] = {"y": [], "x": []}
    named = any(atom.name == "c" for dim in dims for atom in dim)
    for at, dim in enumerate(dims):
        tokens = next((atom for atom in dim if atom.name == "t" and atom.count > 1), None)
        if tokens is not None and (not tokens.grid or len(dim) > 1):
            raise LostError("its positions are no longer told apart")
        if tokens is not None:
            axis, before, others = at, tokens.before, others + tokens.count - total(tokens.grid)
        beside = at > 0 and any(atom.name == "c" for atom in dim)  # as space to depth leaves them
        for atom in atoms(dim):
            if atom.name == "c":
                homes.append(at)
            if atom.count == 1 and atom.name != "n":
                continue
            place = len(split)
            split.append(-1 if atom.name == "n" else atom.count)
            if atom.name == "n":
                batch.append(place)
            elif atom.name in along and not beside:
                along[atom.name].append((atom, place))
            elif atom.name == "-" and named:
                raise LostError(_NO_AXES)
            else:
                channels.append(place)
                homes.append(at)
    if not batch and total(dims[0]) == 1:
        batch, split = [0], [-1, *split]
        channels = [place + 1 for place in channels]
        along = {name: [(atom, place + 1) for atom, place in found] for name, found in along.items()}
    if len(batch) != 1 or not homes or not all(along.values()):
        raise LostError(_NO_AXES)
    sides, shifts, order = [], [], [*batch, *channels]
    for found in along.values():
        found.sort(key=lambda one: -one[0].step)
        run = [atom for atom, _ in found]
        shift = run[-1].shift
        if len({atom.step for atom in run}) < len(run):
            raise LostError("each of its values is of two positions, as in attention's weights")
        whole = all(_follows(outer, inner) for outer, inner in pairwise(run))
        if not whole:
            raise LostError(_SCATTERED)
        if shift < 0:
            raise LostError("by how far its rows and columns are rolled is lost")
        sides.append(total(tuple(run)))
        shifts.append(shift)
        order += [place for _, place in found]
    count = 1
    for place in channels:
        count *= split[place]
    cut = any(len(found) > 1 for found in along.values()) or bool(set("yx") & {atom.name for atom in dims[0]})
    return homes[0], Arrangement(
        windows=cut,
        axis=axis,
        before=before,
        others=others,
        split=tuple(split),
        order=tuple(order),
        shape=(count, sides[0], sides[1]),
        shift=(shifts[0], shifts[1]),
    )


def _weighted(dim: Dim, size: int) -> Dim:
    """Return a dimension after weighted sums over it: channels are made of channels, positions of positions."""
    positions = dim and not any(atom.name in "c-" for atom in dim)
    if positions and len(dim) > 1 and size != total(dim):
        return (Atom("t", size),)
    return _resized(dim, size) if positions else (Atom("c", size),)


def _resized(dim: Dim, size: int) -> Dim:
    """Return a dimension that an operation gave another length: positions of several axes become one kind."""
    if total(dim) == size:
        return dim
    dim = tuple(atom for atom in dim if atom.name != "n")  # a batch of one stands for nothing, also repeated
    called = {atom.name for atom in dim}
    shift = -1 if any(atom.shift for atom in dim) else 0
    plain = len(called) == 1 and len(dim) == 1
    ratio, left = divmod(total(dim), max(size, 1))
    if dim and called <= {"y", "x"} and not left and ratio and dim[-1].count % ratio == 0:
        # Pooled evenly, also inside windows, or along a row of all positions.
        return (
            *dim[:-1],
            replace(dim[-1], count=dim[-1].count // ratio, step=dim[-1].step * ratio, shift=shift),
        )
    if plain:
        return (Atom(called.pop(), size, shift=shift),)
    return (Atom("t" if called & set("yxt") else "c" if "c" in called else "-", size),)


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
            if isinstance(item, slice):
                found.append(taken(dim, range(total(dim))[item]))
            elif not isinstance(item, int):
                found.append(_jumbled(dim))
    return tuple(found)


def _cut(dim: Dim, given: Mapping[str, Any], outputs: Sequence[Tensor], place: int, at: int) -> Dim:
    """Return a dimension after a run of its positions was taken: narrow, slice, or one part of a split."""
    count = total(dim)
    if "length" in given:
        start = given["start"] % max(count, 1)
        return taken(dim, range(start, start + given["length"]))
    if "step" in given:
        return taken(dim, range(count)[given["start"] : given["end"] : given["step"]])
    ends = [0, *accumulate(int(one.shape[at]) for one in outputs)]
    return taken(dim, range(ends[place], ends[place + 1]))


def taken(dim: Dim, places: range) -> Dim:
    """Return a dimension of which these positions are left; of tokens, it is known which are the image's."""
    tokens = dim[0] if len(dim) == 1 and dim[0].grid else None
    if len(places) == total(dim):
        return dim
    if tokens is None and not any(atom.name in "yx" for atom in dim):
        return _resized(dim, len(places))
    if tokens is None:
        shift = -1 if any(atom.shift for atom in dim) else 0
        (only, *more) = dim
        every = places.step if len(places) * places.step == only.count else 1
        return (
            Atom("t", len(places))
            if more
            else replace(only, count=len(places), step=only.step * every, shift=shift),
        )
    first, last = tokens.before, tokens.before + total(tokens.grid)
    if places.step == 1 and places.start <= first and places.stop >= last:
        if len(places) == last - first:
            return tokens.grid
        return (replace(tokens, count=len(places), before=first - places.start),)
    if not any(first <= one < last for one in places):
        return () if len(places) == 1 else (Atom("-", len(places)),)
    return (Atom("t", len(places)),)


def beside(dims: Sequence[Dim | None], sizes: Sequence[int], elsewhere: bool) -> Dim | None:
    """Return the dimension of an image's tokens that others were put before or behind; None for anything else.

    Parameters
    ----------
    dims : sequence of tuple of Atom, or None
        Of each part along the dimension; None for what does not come from the image.
    sizes : sequence of int
        How long each part is.
    elsewhere : bool
        Whether the parts run along the image in other dimensions, too: then these are rows, columns or windows.
    """
    placed = [
        at for at, dim in enumerate(dims) if any(one.name in "yxt" and one.count > 1 for one in dim or ())
    ]
    if elsewhere or len(placed) != 1 or len(dims) < 2:
        return None
    dim = dims[placed[0]] or ()
    tokens = dim[0] if dim[0].grid else Atom("t", total(dim), grid=dim)
    if any(atom.name not in "yx" or atom.shift for atom in tokens.grid) or (dim[0].grid and len(dim) > 1):
        return None
    before = tokens.before + sum(sizes[: placed[0]])
    return (replace(tokens, count=sum(sizes), before=before),)


def _jumbled(dim: Dim) -> Dim:
    """Return a dimension after positions of it were picked in any order: which token is where is lost."""
    tokens = sum(atom.name in "yx" and atom.count > 1 for one in dim for atom in atoms((one,))) > 1
    return (Atom("t", total(dim)),) if tokens else dim


def _patches(dims: Dims, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Dims:
    """Return the dimensions of patches (N, C·kh·kw, L) as ``F.unfold`` cuts them.

    Where patches overlap, each value stands in several: what is inside of a patch is then channels, and its place the
    position.
    """
    words = ("kernel_size", "dilation", "padding", "stride")
    given = {"dilation": 1, "padding": 0, "stride": 1, **dict(zip(words, args[1:], strict=False)), **kwargs}
    kernel, *plain = (
        [one] * 2 if isinstance(one, int) else list(one) for one in map(given.__getitem__, words)
    )
    grid = [divmod(total(dim), side) for dim, side in zip(dims[2:], kernel, strict=True)]
    if plain != [[1, 1], [0, 0], kernel] or any(left for _, left in grid):
        if not _is_grid(dims[2:]):
            raise LostError("through patches that overlap")
        dilation, padding, stride = plain
        rows, columns = (
            (total(dims[at + 2]) + 2 * padding[at] - dilation[at] * (kernel[at] - 1) - 1) // stride[at] + 1
            for at in (0, 1)
        )
        return (
            dims[0],
            (Atom("c", total(dims[1]) * kernel[0] * kernel[1]),),
            (Atom("y", rows), Atom("x", columns)),
        )
    (rows, _), (columns, _) = grid
    cut = regrouped(dims, (*map(total, dims[:2]), rows, kernel[0], columns, kernel[1]))
    n, c, above, down, left, across = cut
    return n, (*c, *down, *across), (*above, *left)


def _is_grid(dims: Dims) -> bool:
    """Return whether two dimensions, or the factors of one, are whole rows and columns in their order."""
    moving = [atom for dim in dims for atom in dim if atom.count > 1]
    return all(atom.step == 1 and not atom.shift for atom in moving) and [atom.name for atom in moving] == [
        "y",
        "x",
    ]


def _folded(dims: Dims, shape: tuple[int, ...]) -> Dims:
    """Return the dimensions of maps (N, C, H, W) to which ``F.fold`` sums patches (N, C·kh·kw, L)."""
    if not _is_grid(dims[2:]) or any(atom.name in "yxt" and atom.count > 1 for atom in atoms(dims[1])):
        raise LostError("through fold")
    return dims[0], (Atom("c", shape[1]),), (Atom("y", shape[2]),), (Atom("x", shape[3]),)


def _beside(
    tensors: Sequence[Tensor], at: int, known: Mapping[Tensor, Dims | None], shape: tuple[int, ...]
) -> Dims:
    """Return the dimensions of parts one behind the other."""
    found = [known.get(one) for one in tensors]
    lost = any(one in known and known[one] is None for one in tensors)
    right = [dims if dims and len(dims) == len(shape) else None for dims in found]
    rest = [dim for dims in right if dims for place, dim in enumerate(dims) if place != at]
    elsewhere = lost or any(atom.name in "yxt" for dim in rest for atom in atoms(dim))
    made = beside(
        [dims[at] if dims else None for dims in right], [one.shape[at] for one in tensors], elsewhere
    )
    whole = _together([dims for dims in right if dims], shape, "cat")
    return whole if made is None else (*whole[:at], made, *whole[at + 1 :])


def _rolled(dims: Dims, given: Mapping[str, Any]) -> Dims:
    """Return the dimensions after some were rolled: which positions stand where is kept in mind."""
    if given["dims"] in (None, (), []):
        raise LostError("through roll")
    sides = [[one] if isinstance(one, int) else list(one) for one in (given["shifts"], given["dims"])]
    found = list(dims)
    for shift, at in zip(*sides, strict=True):
        found[at] = rolled(found[at], int(shift))
    return tuple(found)


def rolled(dim: Dim, shift: int) -> Dim:
    """Return a dimension after a roll."""
    moved = [atom for atom in dim if atom.count > 1 and atom.name in "yxt"]
    if not moved:
        return dim
    if len(dim) > 1 or dim[0].step != 1 or dim[0].name == "t":
        raise LostError("through roll")
    return (replace(dim[0], shift=-1 if dim[0].shift < 0 else (dim[0].shift - shift) % dim[0].count),)


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
