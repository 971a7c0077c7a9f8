"""Joining branches: what a position sees when it reads several values."""

from collections.abc import Sequence
from dataclasses import replace

from netviz.geometry.axes import (
    AXES,
    Axis,
    Dim,
    LostError,
    Name,
    Spread,
    line,
    mixed,
    neutral,
    spatial,
    total,
)


def joined(spreads: Sequence[Spread], shape: tuple[int, ...]) -> Spread:
    """Return what each position of a shape sees that reads the same position of several values, broadcast to it."""
    if len(spreads) == 1 and spreads[0].shape == shape:
        return spreads[0]
    wide = [_broadcast(spread, shape) for spread in spreads]
    clashing = _clashing(wide)
    if clashing:
        wide = [_blurred(spread, clashing) for spread in wide]
    dims = [_agreed([spread.dims[at] for spread in wide], size) for at, size in enumerate(shape)]
    y, x = (_axis(wide, name) for name in AXES)
    return Spread(tuple(dims), (y, x))


def _clashing(spreads: Sequence[Spread]) -> set[int]:
    """Return the dimensions along which the positions of several values are laid out differently."""
    clashing = {
        at
        for at in range(spreads[0].rank)
        if len({spread.dims[at] for spread in spreads if spatial(spread.dims[at])}) > 1
    }
    for name in AXES:
        places = {_places(spread, name) for spread in spreads if spread.has(name)}
        if len(places) > 1:
            clashing.update(at for found in places for at, _ in found)
    return clashing


def _blurred(spread: Spread, ats: set[int]) -> Spread:
    """Take all positions along these dimensions together, as no more than a bound."""
    after = mixed(spread, sorted(ats))
    y, x = (
        new if old.whole else replace(new, exact=False)
        for old, new in zip(spread.axes, after.axes, strict=True)
    )
    return replace(after, axes=(y, x))


def union(spreads: Sequence[Spread], shape: tuple[int, ...]) -> Spread:
    """Return the union for an output that lies along the first value's dimensions, of which some were mixed."""
    first = spreads[0]
    dims = tuple(
        dim if total(dim) == size else neutral(size) for dim, size in zip(first.dims, shape, strict=True)
    )
    others = [replace(one, dims=tuple(d if spatial(d) else () for d in one.dims)) for one in spreads]
    return joined([replace(first, dims=dims), *others], shape)


def _broadcast(spread: Spread, shape: tuple[int, ...]) -> Spread:
    missing = len(shape) - spread.rank
    if missing < 0:
        raise LostError("of branches of different rank")
    dims: list[Dim] = [*([()] * missing), *spread.dims]
    for at, size in enumerate(shape):
        if total(dims[at]) == 1 and size != 1:
            dims[at] = ()  # the one position is seen by all
        elif total(dims[at]) not in (1, size):
            raise LostError("of branches of different shape")
    return spread.with_dims(tuple(dims))


def _agreed(dims: Sequence[Dim], size: int) -> Dim:
    """Return the layout along the image, if there is one."""
    return next((dim for dim in dims if spatial(dim)), neutral(size))


def _places(spread: Spread, name: Name) -> tuple[tuple[int, Dim], ...]:
    return tuple((at, dim) for at, dim in enumerate(spread.dims) if any(atom.name == name for atom in dim))


def _axis(spreads: Sequence[Spread], name: Name) -> Axis:
    moving = [spread for spread in spreads if spread.has(name)]
    atoms = [atom for dim in (moving[0].dims if moving else ()) for atom in dim if atom.name == name]
    count = 1 + sum((atom.count - 1) * atom.step for atom in atoms)
    # A value without this axis is the same for all positions; with a single position no stride matters.
    still = moving[0].axis(name).stride if moving and count == 1 else 0.0
    axes = [one.axis(name) if one.has(name) else replace(one.axis(name), stride=still) for one in spreads]
    return together(axes, count)


def together(axes: Sequence[Axis], count: int) -> Axis:
    """Return the axis of an output that reads all of these at each of `count` positions."""
    first = axes[0]
    if all(axis == first for axis in axes):
        return first
    whole = [axis for axis in axes if axis.whole]
    if whole:
        return replace(first.everything(), exact=any(axis.exact for axis in whole))
    if all((axis.size, axis.stride, axis.start) == (first.size, first.stride, first.start) for axis in axes):
        return replace(first, exact=all(axis.exact for axis in axes))
    if all(axis.stride == first.stride for axis in axes):
        start = min(axis.start for axis in axes)
        size = max(axis.start + axis.size for axis in axes) - start
        return Axis(first.length, size, first.stride, start, exact=False)
    edges = [axis.edges(count) for axis in axes]
    low, high = edges[0]
    for other_low, other_high in edges[1:]:
        low, high = low.clip(max=other_low), high.clip(min=other_high)
    size, stride, start = line(low, high)
    return Axis(first.length, size, stride, start, exact=False)
