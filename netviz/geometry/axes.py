"""What geometry knows of one value: what each of its dimensions stands for, and where in the image it looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.capture.layout import Atom, Dim, LostError, atoms, total

AXES = ("y", "x")


@dataclass(frozen=True, slots=True)
class Window:
    """Output i reads positions ``offset + i*stride`` to ``offset + i*stride + reach``; at most, if not `regular`.

    `reads` lists them for each output, (outputs, taps): of these the ones that are there. `exact` tells whether the
    first and the last of them truly count.
    """

    offset: float
    stride: float
    reach: float
    reads: NDArray[np.int64]
    regular: bool = True
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """Where along one axis of the image a position looks: pixels ``start + i*stride … start + i*stride + size - 1``.

    That is how it would be on an endless image, with zeros where a padding is; `regular` tells whether each position
    does the same. What each one sees of the image itself lies from `first` on and before `last`, an entry for each
    position or one for all (inf and -inf where nothing is seen); `exact` tells whether these ends are truly seen.
    `length` is the image's. `sure` tells whether the ends of what all positions together see are truly seen. `local`
    if only what belongs to the position's own place is followed: attention, gates and statistics are left out.
    """

    length: int
    first: NDArray[np.float64] = field(compare=False)
    last: NDArray[np.float64] = field(compare=False)
    size: float = 1.0
    stride: float = 1.0
    start: float = 0.0
    regular: bool = True
    exact: bool = True
    sure: bool = True
    local: bool = False

    @classmethod
    def of(cls, length: int, *, local: bool = False) -> "Axis":
        """Return the axis of an image: each position sees itself."""
        steps = np.arange(length, dtype=np.float64)
        return cls(length, steps, steps + 1, local=local)

    @property
    def low(self) -> float:
        """The first pixel that any position sees."""
        return min(float(self.first.min(initial=np.inf)), self.high)

    @property
    def high(self) -> float:
        """The one after the last pixel that any position sees; 0 if none is seen."""
        return max(float(self.last.max(initial=-np.inf)), 0.0)

    @property
    def whole(self) -> bool:
        """Whether every position sees the same, by an operation over all positions."""
        return self.stride == 0.0 and self.regular

    def everything(self) -> "Axis":
        """Return the axis of a value that has seen all positions."""
        low, high = self.low, self.high
        ends = replace(self, first=np.array([low]), last=np.array([high]), exact=self.sure)
        return ends.lined(high - low, 0.0, low, regular=True)

    def seen(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `first` and `last` of each of `count` positions."""
        if len(self.first) not in (1, count):
            raise LostError("of positions that were not followed")
        if len(self.first) == count == len(self.last):
            return self.first, self.last
        return np.broadcast_to(self.first, count), np.broadcast_to(self.last, count)

    def reading(
        self, reads: NDArray[np.int64], inside: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `first` and `last` of outputs that read these of `inside` positions, (outputs, taps)."""
        first, last = self.seen(inside)
        there, at = (reads >= 0) & (reads < inside), reads.clip(0, max(inside - 1, 0))
        low: NDArray[np.float64] = np.where(there, first[at], np.inf).min(1, initial=np.inf)
        high: NDArray[np.float64] = np.where(there, last[at], -np.inf).max(1, initial=-np.inf)
        return low, high

    def window(self, window: "Window", inside: int) -> "Axis":
        """Return the axis after a window has run along its `inside` positions."""
        first, last = self.reading(window.reads, inside)
        taken = np.zeros(inside, dtype=bool)
        taken[window.reads[(window.reads >= 0) & (window.reads < inside)]] = True
        sure = self.sure and window.exact and (self.exact or bool(taken.all()))
        exact = self.exact and window.exact
        ends = replace(self, first=first, last=last, exact=exact, sure=sure)
        if self.whole:
            return self if bool((first < last).all()) else replace(ends, regular=False)
        if not window.regular and window.reach >= inside - 1:  # as loose as all positions together
            return ends.lined(self.high - self.low, 0.0, self.low, regular=False)
        found = ends.lined(
            self.size + self.stride * window.reach,
            self.stride * window.stride,
            self.start + self.stride * window.offset,
            regular=self.regular and window.regular,
        )
        if not found.whole:
            return found
        if (first == first[0]).all() and (last == last[0]).all():
            return replace(found, first=first[:1], last=last[:1])
        return replace(found, regular=False)

    def lined(self, size: float, stride: float, start: float, *, regular: bool) -> "Axis":
        """Return the same with another line."""
        return replace(self, size=size, stride=stride, start=start, regular=regular)

    def edges(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the first pixel, and the one after the last, of the line at each of `count` positions."""
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
        y, x = (replace(axis.everything(), regular=False, exact=False) for axis in self.axes)
        return replace(self, axes=(y, x))

    def has(self, name: str) -> bool:
        """Return whether any dimension still runs along this axis of the image."""
        return any(atom.name == name for dim in self.dims for atom in atoms(dim))

    def extent(self, name: str) -> int:
        """Return how many positions of this axis its dimensions run through."""
        along = (atom for dim in self.dims for atom in atoms(dim) if atom.name == name)
        return 1 + sum((atom.count - 1) * atom.step for atom in along)

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
    return _through(spread, at, name, hull(reads, reads), len(reads))


def read(spread: Spread, at: int, window: Window, count: int) -> Spread:
    """Return a value after a window ran along a dimension; `count` is the output's length there.

    Where positions are cut into windows, each may have read all of the dimension.
    """
    dim = spread.dims[at]
    if not spatial(dim):
        some = ((window.reads >= 0) & (window.reads < total(dim))).any(1).all()
        # In a padding beside what sees all is what sees nothing.
        return (spread if some else spread.doubted()).with_dim(at, neutral(count))
    try:
        if len({atom.name for atom in dim} - {"-"}) > 1:
            return _flattened(spread, at, window, count)
        spread = settled(spread, at)
    except LostError:
        return anywhere(spread, at, count)
    name = spread.dims[at][0].name
    if any(atom.name == name for i, one in enumerate(spread.dims) if i != at for atom in one):
        return _inside(spread, at, name, window, count)
    return _through(spread, at, name, window, count)


def _inside(spread: Spread, at: int, name: str, window: Window, count: int) -> Spread:
    """Run a window along positions that are themselves cut out of an axis: it reads none of those outside."""
    inside, extent = total(spread.dims[at]), spread.extent(name)
    others = [atom for i, dim in enumerate(spread.dims) if i != at for atom in dim if atom.name == name]
    if count != inside or extent % inside or any(atom.step % inside for atom in others):
        return anywhere(spread, at, count)
    if (window.offset, window.stride, window.reach) == (0, 1, 0):
        return spread
    places = np.arange(extent)
    reads, begin = window.reads[places % inside], (places - places % inside)[:, None]
    reads = np.where((reads >= 0) & (reads < inside), reads + begin, -1)
    within = replace(window, reads=reads, regular=False)
    return spread.with_axis(name, spread.axis(name).window(within, extent))


def _through(spread: Spread, at: int, name: str, window: Window, count: int) -> Spread:
    axis = spread.axis(name).window(window, spread.extent(name))
    return spread.with_axis(name, axis).with_dim(at, (Atom(name, count),))


def _flattened(spread: Spread, at: int, window: Window, count: int) -> Spread:
    """Run a window along rows and columns in one dimension: a bound for each row, and one for each column.

    Where the output has no whole rows, any of its positions may have seen all.
    """
    dim = spread.dims[at]
    others = {atom.name for i, one in enumerate(spread.dims) if i != at for atom in atoms(one)}
    names = [atom.name for atom in dim]
    if others.intersection(names) or any(atom.step != 1 or atom.shift or atom.grid for atom in dim):
        raise LostError("of positions cut into windows")
    if len(dim) != 2 or "-" in names or count % dim[0].count:
        return anywhere(spread, at, count)
    outer, inner = dim
    shape = (outer.count, count // outer.count)
    inside = outer.count * inner.count
    there = (window.reads >= 0) & (window.reads < inside)
    for atom, places, over in (
        (outer, window.reads // inner.count, 1),
        (inner, window.reads % inner.count, 0),
    ):
        old = spread.axis(atom.name)
        if old.whole and there.any(1).all():
            continue
        ends = old.reading(np.where(there, places, -1), atom.count)
        first, last = (ends[0].reshape(shape).min(over), ends[1].reshape(shape).max(over))
        axis = replace(old, first=first, last=last, exact=False, sure=False)
        seen = first < last
        line_of = line(first[seen], last[seen]) if seen.all() else (axis.high - axis.low, 0.0, axis.low)
        spread = spread.with_axis(atom.name, axis.lined(*line_of, regular=False))
    return spread.with_dim(at, (Atom(outer.name, shape[0]), Atom(inner.name, shape[1])))


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
    others = sum(one.name == atom.name for dim in spread.dims for one in atoms(dim)) > 1
    if not others:
        return spread.with_axis(atom.name, axis.everything())
    if axis.whole:
        return spread
    steps, inside = np.arange(atom.count) * atom.step, spread.extent(atom.name)
    first, last = axis.reading(np.add.outer(np.arange(inside - steps[-1]), steps), inside)
    size = axis.size + axis.stride * float(steps[-1])
    return spread.with_axis(atom.name, replace(axis, first=first, last=last, size=size))


def mixed(spread: Spread, ats: Sequence[int]) -> Spread:
    """Let every position along these dimensions see all the others: the dimensions keep their length."""
    for at in ats:
        if spatial(spread.dims[at]):
            length = total(spread.dims[at])
            spread = contracted(spread, at, keep=True).with_dim(at, neutral(length))
    return spread


def anywhere(spread: Spread, at: int, count: int) -> Spread:
    """Return a value each of whose `count` positions along a dimension may have read any of those that were there."""
    found = mixed(spread, [at])
    return (found.doubted() if spatial(spread.dims[at]) else found).with_dim(at, neutral(count))


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
        if len({atom.name for atom in dim} - {"-"}) > 1:
            for place, atom in enumerate(dim):
                only = sum(one.name == atom.name for other in spread.dims for one in atoms(other)) == 1
                if atom.name != "-" and atom.step != 1 and not atom.shift and only:
                    steps = np.arange(atom.count) * atom.step
                    axis = spread.axis(atom.name).window(hull(steps, steps), spread.extent(atom.name))
                    plain = list(spread.dims[at])
                    plain[place] = Atom(atom.name, atom.count)
                    spread = spread.with_axis(atom.name, axis).with_dim(at, tuple(plain))
        elif len(dim) > 1 or (dim and dim[0].step != 1):
            try:
                spread = settled(spread, at)
            except LostError:
                continue
    return spread


def hull(
    low: NDArray[Any], high: NDArray[Any], stride: float | None = None, within: int | None = None
) -> Window:
    """Return the window that contains what each output reads: positions ``low[i]`` to ``high[i]``.

    Of `within` positions, where given, the first and the last stand for those outside.
    """
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
    if within is not None:
        first, last = first.clip(0, within - 1), last.clip(0, within - 1)
    width = int((last - first).max(initial=0)) + 1
    reads = np.minimum(np.add.outer(first.astype(np.int64), np.arange(width)), last.astype(np.int64)[:, None])
    return Window(offset, stride, reach, reads, bool(tight))
