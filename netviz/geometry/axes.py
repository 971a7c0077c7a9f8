"""What geometry knows of one value: what each of its dimensions stands for, and where in the image it looks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.capture.layout import Atom, Dim, LostError, atoms, total

AXES = ("y", "x")


@dataclass(frozen=True, slots=True)
class Window:
    """Output i reads positions ``offset + i*stride`` to ``offset + i*stride + reach``; at most, if not `exact`.

    `first` and `last` are the first and the last position that any output reads.
    """

    offset: float
    stride: float
    reach: float
    first: float
    last: float
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """Where along one axis of the image a position looks: pixels ``start + i*stride … start + i*stride + size - 1``.

    `length` is the image's; `exact` tells whether first and last pixel are truly seen. `low` and `high` are the first
    pixel that any position sees, and the one after the last; `sure` tells whether these two are truly seen. `local` if
    only what belongs to the position's own place is followed: attention, gates and statistics are left out.
    """

    length: int
    low: float
    high: float
    size: float = 1.0
    stride: float = 1.0
    start: float = 0.0
    exact: bool = True
    sure: bool = True
    local: bool = False

    @property
    def whole(self) -> bool:
        """Whether every position sees the same, by an operation over all positions."""
        return self.stride == 0.0

    def everything(self) -> "Axis":
        """Return the axis of a value that has seen all positions."""
        size = max(self.high - self.low, 0.0)
        return replace(self, size=size, stride=0.0, start=self.low, exact=self.sure)

    def window(self, window: "Window", inside: int) -> "Axis":
        """Return the axis after a window has run along its `inside` positions."""
        if self.whole:
            return self
        if not window.exact and window.reach >= inside - 1:  # as loose as all positions together
            return replace(self.everything(), exact=False)
        low, high, sure = self.low, self.high, self.sure
        if window.first > 0 or window.last < inside - 1:
            ends = [self.start + self.stride * max(one, 0.0) for one in (window.first, window.last)]
            low, high, sure = max(low, min(ends)), min(high, max(ends) + self.size), sure and self.exact
        return replace(
            self,
            low=low,
            high=high,
            size=self.size + self.stride * window.reach,
            stride=self.stride * window.stride,
            start=self.start + self.stride * window.offset,
            exact=self.exact and window.exact,
            sure=sure,
        )

    def edges(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the first pixel, and the one after the last, that each of `count` positions sees."""
        low: NDArray[np.float64] = self.start + self.stride * np.arange(count, dtype=np.float64)
        return low, low + self.size


@dataclass(frozen=True, slots=True)
class Spread:
    """What geometry knows of a value: its dimensions, outermost first, and its two axes (y, x)."""

    dims: tuple[Dim, ...]
    axes: tuple[Axis, Axis]

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return tuple(total(dim) for dim in self.dims)

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.dims)

    @property
    def local(self) -> bool:
        """Whether only what belongs to a position's own place is followed."""
        return self.axes[0].local

    def with_dims(self, dims: tuple[Dim, ...]) -> "Spread":
        """Return the same axes under other dimensions."""
        return replace(self, dims=dims)

    def loosened(self) -> "Spread":
        """Return the same as no more than a bound, except for an axis along which all positions see the same."""
        y, x = (axis if axis.whole else replace(axis, exact=False) for axis in self.axes)
        return replace(self, axes=(y, x))

    def doubted(self) -> "Spread":
        """Return the same as no more than a bound: any position may see less, or nothing."""
        y, x = (replace(axis, exact=False, sure=False) for axis in self.axes)
        return replace(self, axes=(y, x))

    def loosely_whole(self) -> "Spread":
        """Return what may have seen all that anything has seen."""
        y, x = (replace(axis.everything(), exact=False) for axis in self.axes)
        return replace(self, axes=(y, x))

    def has(self, name: str) -> bool:
        """Return whether any dimension still runs along this axis of the image."""
        return any(atom.name == name for dim in self.dims for atom in atoms(dim))

    def axis(self, name: str) -> Axis:
        """Return the axis y or x."""
        return self.axes[AXES.index(name)]

    def with_axis(self, name: str, axis: Axis) -> "Spread":
        """Return the same with one axis replaced."""
        y, x = (axis if one == name else old for one, old in zip(AXES, self.axes, strict=True))
        return replace(self, axes=(y, x))

    def with_dim(self, at: int, dim: Dim) -> "Spread":
        """Return the same with one dimension replaced."""
        return replace(self, dims=(*self.dims[:at], dim, *self.dims[at + 1 :]))


def neutral(count: int) -> Dim:
    """Return a dimension of this length that is no axis of the image."""
    return () if count == 1 else (Atom("-", count),)


def spatial(dim: Dim) -> bool:
    """Return whether any of a dimension runs along y or x."""
    return any(atom.name != "-" for atom in dim)


def settled(spread: Spread, at: int) -> Spread:
    """Make a dimension plain if it can be: one atom of step 1, or none along the image.

    An axis of which only every n-th position is left (the others were contracted) gets an n-fold stride; positions
    repeated m times get a stride of 1/m, as in upsampling.
    """
    dim = spread.dims[at]
    along = {atom.name for atom in dim if atom.name != "-"}
    if any(atom.grid or atom.shift for atom in dim):
        raise LostError("of tokens beside others, or of rolled positions")
    if not along or (len(dim) == 1 and dim[0].step == 1):
        return spread
    name = min(along)
    elsewhere = any(atom.name == name for i, one in enumerate(spread.dims) if i != at for atom in atoms(one))
    if len(along) != 1 or elsewhere:
        raise LostError("of positions cut into windows")
    reads = np.zeros(1)
    for atom in dim:
        steps = np.arange(atom.count) * (atom.step if atom.name == name else 0)
        reads = np.add.outer(reads, steps).ravel()
    return _through(spread, at, name, hull(reads, reads))


def read(spread: Spread, at: int, window: Window, count: int) -> Spread:
    """Return a value after a window ran along a dimension; `count` is the output's length there."""
    if not spatial(spread.dims[at]):
        return spread.with_dim(at, neutral(count))
    spread = settled(spread, at)
    return _through(spread, at, spread.dims[at][0].name, window, count)


def _through(spread: Spread, at: int, name: str, window: Window, count: int | None = None) -> Spread:
    inside = total(spread.dims[at])
    axis = spread.axis(name).window(window, inside)
    return spread.with_axis(name, axis).with_dim(at, (Atom(name, inside if count is None else count),))


def contracted(spread: Spread, at: int, keep: bool = False) -> Spread:
    """Sum over a dimension: what is left has seen all positions that it ran through."""
    for atom in atoms(spread.dims[at]):
        if atom.name != "-":
            spread = _over(spread, atom)
    if keep:
        return spread.with_dim(at, ())
    return replace(spread, dims=(*spread.dims[:at], *spread.dims[at + 1 :]))


def _over(spread: Spread, atom: Atom) -> Spread:
    axis = spread.axis(atom.name)
    if axis.whole:
        return spread
    others = sum(one.name == atom.name for dim in spread.dims for one in atoms(dim)) > 1
    if not others:
        return spread.with_axis(atom.name, axis.everything())
    reach = (atom.count - 1) * atom.step
    return spread.with_axis(atom.name, replace(axis, size=axis.size + axis.stride * reach))


def mixed(spread: Spread, ats: Sequence[int]) -> Spread:
    """Let every position along these dimensions see all the others: the dimensions keep their length."""
    for at in ats:
        if spatial(spread.dims[at]):
            length = total(spread.dims[at])
            spread = contracted(spread, at, keep=True).with_dim(at, neutral(length))
    return spread


def line(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[float, float, float]:
    """Fit ``start + i*stride``, not backwards, with a size, as small as can be, that contains intervals [low, high).

    Returns
    -------
    (float, float, float)
        Size, stride, start.
    """
    steps = np.arange(len(low))
    if len(low) == 1:
        return float(high[0] - low[0]), 0.0, float(low[0])

    def cost(stride: float) -> float:
        return float(np.max(high - stride * steps) - np.min(low - stride * steps))

    slopes = np.concatenate([np.diff(low), np.diff(high)])
    left, right = (max(float(end), 0.0) for end in (slopes.min(), slopes.max()))
    even = [max(float((edge[-1] - edge[0]) / (len(low) - 1)), 0.0) for edge in (low, high)]
    for _ in range(60):  # the cost is convex: ternary search
        third = (right - left) / 3
        if cost(left + third) <= cost(right - third):
            right -= third
        else:
            left += third
    found = (left + right) / 2
    stride = min([*even, round(found, 9), found], key=lambda one: (round(cost(one), 9), one == found))
    start = float(np.min(low - stride * steps))
    return float(np.max(high - stride * steps)) - start, stride, start


def tidied(spread: Spread) -> Spread:
    """Return the same with every dimension plain that can be."""
    for at, dim in enumerate(spread.dims):
        if len(dim) > 1 or (dim and dim[0].step != 1):
            try:
                spread = settled(spread, at)
            except LostError:
                continue
    return spread


def hull(low: NDArray[Any], high: NDArray[Any], stride: float | None = None) -> Window:
    """Return the window that contains what each output reads: positions ``low[i]`` to ``high[i]``."""
    first, last = low.astype(float), high.astype(float)
    steps = np.arange(len(low))
    if stride is None:
        size, stride, offset = line(first, last + 1)
        reach = size - 1
    else:
        offset = float(np.min(first - stride * steps))
        reach = float(np.max(last - stride * steps)) - offset
    tight = np.allclose(first, offset + stride * steps, rtol=0, atol=1e-9) and np.allclose(
        last, offset + stride * steps + reach, rtol=0, atol=1e-9
    )
    return Window(offset, stride, reach, float(first.min()), float(last.max()), bool(tight))
