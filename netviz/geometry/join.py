"""Joining branches: what a position sees when it reads several values."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netviz.capture.layout import Dim, LostError, atoms, total
from netviz.geometry.axes import (
    AXES,
    Axis,
    Spread,
    line,
    mixed,
    neutral,
    spatial,
    tidied,
)


def joined(spreads: Sequence[Spread], shape: tuple[int, ...]) -> Spread:
    """Return what each position of a shape sees that reads the same position of several values, broadcast to it."""
    if len(spreads) == 1 and spreads[0].shape == shape:
        return spreads[0]
    wide = [_broadcast(spread, shape) for spread in spreads]
    if clashing := _clashing(wide):
        wide = [tidied(_outlined(spread, wide, clashing)) for spread in wide]
    if clashing := _clashing(wide):
        wide = [_blurred(spread, clashing) for spread in wide]
    dims = [_agreed([spread.dims[at] for spread in wide], size) for at, size in enumerate(shape)]
    pairs = [_axes(wide, name) for name in AXES]
    (y, in_y), (x, in_x) = (together(axes, count) for axes, count in pairs)
    holding = in_y & in_x
    if not any(one.axes[0].exact and one.axes[1].exact for one in (wide[at] for at in holding)):
        y, x = (
            axis if axis.whole or len(within) == len(wide) else replace(axis, exact=False)
            for axis, within in ((y, in_y), (x, in_x))
        )
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


def _outlined(spread: Spread, others: Sequence[Spread], ats: set[int]) -> Spread:
    """Take the positions inside windows together along dimensions where another value has none."""
    for at in sorted(ats):
        inside = {atom.name for atom in spread.dims[at]} & {
            atom.name for i, dim in enumerate(spread.dims) if i != at for atom in dim
        }
        if inside - {"-"} and not all(spatial(one.dims[at]) for one in others):
            spread = mixed(spread, [at]).loosened()
    return spread


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


def _places(spread: Spread, name: str) -> tuple[tuple[int, Dim], ...]:
    return tuple(
        (at, dim) for at, dim in enumerate(spread.dims) if any(atom.name == name for atom in atoms(dim))
    )


def _axes(spreads: Sequence[Spread], name: str) -> tuple[list[Axis], int]:
    """Return the axes of several values, as far as they run together, and how many positions they have."""
    moving = [spread for spread in spreads if spread.has(name)]
    count = moving[0].extent(name) if moving else 1
    # A value without this axis is the same for all positions; with a single position no stride matters.
    still = moving[0].axis(name).stride if moving and count == 1 else 0.0
    return [
        one.axis(name) if one.has(name) else replace(one.axis(name), stride=still) for one in spreads
    ], count


def together(axes: Sequence[Axis], count: int) -> tuple[Axis, set[int]]:
    """Return the axis of an output that reads all of these at each of `count` positions, and which hold all others.

    If one does, it is that one's; else their hull, no more than a bound. What is followed locally leaves out those
    that see the same at all positions.
    """
    if axes[0].local and any(axis.stride for axis in axes) and not all(axis.stride for axis in axes):
        moving = [at for at, axis in enumerate(axes) if axis.stride]
        joined_axis, holding = together([axes[at] for at in moving], count)
        return joined_axis, {moving[at] for at in holding}
    seen = [axis.seen(count) for axis in axes]
    first, last = np.min([one for one, _ in seen], axis=0), np.max([one for _, one in seen], axis=0)
    cover = replace(covering(axes), first=first, last=last)
    edges = [axis.edges(count) for axis in axes]
    if any(axis.whole for axis in axes):  # what sticks out is seen by none
        edges = [(low.clip(cover.low, cover.high), high.clip(cover.low, cover.high)) for low, high in edges]
    low = np.min([one for one, _ in edges], axis=0)
    high = np.max([one for _, one in edges], axis=0)
    holding = {
        at
        for at, (pair, ends) in enumerate(zip(edges, seen, strict=True))
        if np.allclose(pair, (low, high), rtol=0, atol=1e-9) and np.array_equal(ends, (first, last))
    }
    if holding:
        best = axes[min(holding, key=lambda at: (not axes[at].exact, not axes[at].regular))]
        held = replace(best, length=cover.length, sure=cover.sure)
        return held if best.whole else replace(held, first=first, last=last), holding
    size, stride, start = line(low, high)
    if all(axis.stride == axes[0].stride for axis in axes):
        size, stride, start = float(high[0] - low[0]), axes[0].stride, float(low[0])
    return replace(cover.lined(size, stride, start, regular=False), exact=False), holding


def covering(axes: Sequence[Axis]) -> Axis:
    """Return the first axis, sure if the ends of what any position of all of these sees are truly seen."""
    low, high = min(axis.low for axis in axes), max(axis.high for axis in axes)
    sure = any(axis.sure for axis in axes if axis.low == low) and any(
        axis.sure for axis in axes if axis.high == high
    )
    return replace(axes[0], sure=sure)
