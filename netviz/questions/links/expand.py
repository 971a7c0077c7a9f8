"""The weights of linear steps, multiplied out: kernels between a unit and all of another layer's.

Where nothing but linear functions, and constants, are between two values, the gradient of one by the other is the
same whatever the values are: it is the weights. So no rule for any function is needed here. Biases and paddings do
not count.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from netviz.capture import Node, Ref, Tape
from netviz.capture.operations import arguments, names
from netviz.capture.tensors import tensors_in
from netviz.geometry.field import follow
from netviz.geometry.incremental.rules import Pointwise, batched, local, replaced, rule_for
from netviz.questions.links.linear import MAX_POOLING, SAME

Floats = NDArray[np.float64]

_AT_ONCE = 1 << 24
"""So many numbers of a source go through the network at once."""

_MOST = 1024
"""Of more positions than these a kernel of all the map is summed up."""

_HUGE = 1 << 25
"""Weights of more numbers than these are not brought to double precision."""

_ROUNDING = 1e-6

_RESHAPING = names("view", "squeeze", "unsqueeze")


class Kernels(NamedTuple):
    """The weights between one unit and all of another layer's.

    Attributes
    ----------
    values : ndarray of float64, shape (C, kh, kw)
        From the unit's side: row and column 0 are the first of the source's map that count.
    cut : bool
        Whether the map may be too small for them.
    whole : bool
        Whether they are of all the map: a weight for each position of it, or their sum where these are all the same.
    phased : bool
        Whether the source's positions lie farther apart than the target's: then positions of the target differ, and
        this is one of them.
    """

    values: Floats
    cut: bool
    whole: bool
    phased: bool


class Spot(NamedTuple):
    """Where a kernel is taken.

    Attributes
    ----------
    size : (int, int)
        Rows and columns of the source's map.
    position : (int, int)
        Of the target's map.
    box : (int, int, int, int) or None
        Top, left, bottom, right of what that position reads of the source's map, where that is known.
    cut : bool
        Whether it would read more than the map holds.
    """

    size: tuple[int, int]
    position: tuple[int, int]
    box: tuple[int, int, int, int] | None
    cut: bool


@dataclass(frozen=True)
class Steps:
    """Linear steps from one value to another.

    Attributes
    ----------
    tape : Tape
    nodes : tuple of Node
        In running order.
    source, target : int
        Numbers of the values: maps in any order of their axes, or one number for each unit.
    axes : (int, int)
        Where the units of source and target are.
    opened : frozenset of int
        Which of the nodes are no linear functions, and taken as such: a rectifier as nothing, the largest of
        neighbours as their mean.
    """

    tape: Tape
    nodes: tuple[Node, ...]
    source: int
    target: int
    axes: tuple[int, int]
    opened: frozenset[int]

    def into(self, unit: int) -> Kernels:
        """Return the weights with which all of the source's units enter one of the target's."""
        source = self._zeros(1).requires_grad_()
        row, column = self._spot.position
        with torch.enable_grad():
            slope = _slope(self._maps(self._run(source))[0, unit, row, column], source)
        weights: Floats = _maps(slope, self.axes[0])[0].double().numpy()
        box, cut = self._box(weights)
        return self._kernels(weights[:, box[0] : box[2], box[1] : box[3]], box, cut)

    def out_of(self, unit: int) -> Kernels:
        """Return the weights with which one of the source's units enters all of the target's."""
        source = self._zeros(1).requires_grad_()
        row, column = self._spot.position
        with torch.enable_grad():
            units = self._maps(self._run(source))[0, :, row, column]
            # Only where weights are is asked here: no sum of them may come to 0.
            mixed = (
                torch.rand(units.shape, generator=torch.Generator().manual_seed(0), dtype=units.dtype) + 0.5
            )
            slope = _slope((units * mixed).sum(), source)
        weighty = _maps(slope, self.axes[0])[0, unit : unit + 1].double().numpy()
        box, cut = self._box(weighty)
        # Between the taps of a dilated convolution there are no weights to be asked for.
        there = np.argwhere(weighty[0, box[0] : box[2], box[1] : box[3]] != 0)
        places = [(int(y) + box[0], int(x) + box[1]) for y, x in there]
        if self._whole(box) and len(places) > _MOST:
            return Kernels(self.gains(unit)[:, None, None], False, True, False)
        with torch.no_grad():
            nothing = self._answer(self._zeros(1))
            count = max(1, _AT_ONCE // self._zeros(1).numel()) if self._many else 1
            found = []
            for first in range(0, len(places), count):
                some = places[first : first + count]
                source = self._zeros(len(some))
                for at, (y, x) in enumerate(some):
                    _maps(source, self.axes[0])[at, unit, y, x] = 1.0
                found.append(self._answer(source) - nothing)
        values = np.zeros((len(units), box[2] - box[0], box[3] - box[1]))
        if found:
            values[:, there[:, 0], there[:, 1]] = torch.cat(found).T.double().numpy()
        return self._kernels(values, box, cut)

    def gains(self, unit: int) -> Floats:
        """Return by how much each of the target's units grows where one of the source's is larger by 1 all over."""
        with torch.no_grad():
            source = self._zeros(1)
            nothing = self._answer(source)
            _maps(source, self.axes[0])[:, unit] = 1.0
            gained: Floats = (self._answer(source) - nothing)[0].double().numpy()
        return gained

    def _answer(self, source: Tensor) -> Tensor:
        row, column = self._spot.position
        return self._maps(self._run(source))[:, :, row, column]

    def _maps(self, target: Tensor) -> Tensor:
        return _maps(target, self.axes[1])

    def _kernels(self, values: Floats, box: tuple[int, int, int, int], cut: bool) -> Kernels:
        whole = self._whole(box)
        if whole and np.allclose(values, values[:, :1, :1], rtol=1e-6, atol=0):
            # A mean over the map: what counts is the sum.
            values = values.sum(axis=(1, 2), keepdims=True)
        fine = self._lines is not None and any(0 < stride < 1 for _, stride, _ in self._lines)
        return Kernels(values, cut, whole, fine and self._placed)

    def _whole(self, box: tuple[int, int, int, int]) -> bool:
        """Return whether a kernel takes all of the map for want of a place of its own."""
        return not self._placed and box == (0, 0, *self._spot.size) and box != (0, 0, 1, 1)

    def _box(self, slope: Floats) -> tuple[tuple[int, int, int, int], bool]:
        """Return which part of the map a kernel takes, by the steps or where it is not 0, and if it may be cut."""
        if self._spot.box is not None:
            return self._spot.box, self._spot.cut
        rows, columns = (np.flatnonzero((slope != 0).any(axis=axes)) for axes in ((0, 2), (0, 1)))
        if not len(rows):
            return (0, 0, 1, 1), False
        found = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
        height, width = slope.shape[1:]
        ends = found[0] == 0, found[1] == 0, found[2] == height, found[3] == width
        return found, self._placed and any(ends) and (height, width) != (1, 1)

    @cached_property
    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of source and target."""
        source, target = (
            _maps(torch.empty(self.tape.shapes[one], device="meta"), axis).shape
            for one, axis in zip((self.source, self.target), self.axes, strict=True)
        )
        return (source[2], source[3]), (target[2], target[3])

    @cached_property
    def _plain(self) -> bool:
        """Whether source and target are both (N, C, H, W)."""
        return self.axes == (1, 1) and all(
            len(self.tape.shapes[one]) == 4 for one in (self.source, self.target)
        )

    @cached_property
    def _free(self) -> bool:
        """Whether the steps work on maps of any size."""
        return self._plain and all(local(node, self.tape.shapes) for node in self.nodes)

    @cached_property
    def _many(self) -> bool:
        """Whether the steps work on many maps at once."""
        return self._free or all(batched(node, self.tape.shapes) for node in self.nodes)

    @cached_property
    def _placed(self) -> bool:
        """Whether positions of the target have a place in the source's map."""
        source, target = self._sizes
        if source == (1, 1) or len(self.tape.shapes[self.target]) != 4:
            return False
        if self._lines is None:
            return target != (1, 1)
        return all(stride > 0 for _, stride, _ in self._lines)

    @cached_property
    def _spot(self) -> Spot:
        """Where the kernel is taken: inside of the map, as far as the map holds it."""
        size, (rows, columns) = self._sizes
        position = (rows // 2, columns // 2)
        if self._lines is None:
            return Spot(size, position, None, False)
        if not self._placed:
            return Spot(size, position, (0, 0, *size), False)
        if self._free:
            y, x = (max(0, math.ceil(-start / stride - _ROUNDING)) for _, stride, start in self._lines)
            position = (y, x)
        ends = [
            (
                math.floor(start + at * stride + _ROUNDING),
                math.ceil(start + at * stride + length - _ROUNDING),
            )
            for (length, stride, start), at in zip(self._lines, position, strict=True)
        ]
        if self._free:
            size = (ends[0][1], ends[1][1])
        cut = any(low < 0 or high > side for (low, high), side in zip(ends, size, strict=True))
        (top, bottom), (left, right) = (
            (max(low, 0), min(high, side)) for (low, high), side in zip(ends, size, strict=True)
        )
        return Spot(size, position, (top, left, bottom, right), cut)

    @cached_property
    def _lines(self) -> list[tuple[float, float, float]] | None:
        """Size, stride, start of what the target's positions read of rows and columns; None if that is not known."""
        if not self._plain:
            return None
        shapes, numbers, nodes = [self.tape.shapes[self.source]], {self.source: 0}, []
        for node in self.nodes:
            read: dict[int, Any] = {
                number: Ref(numbers[number])
                if number in numbers
                else torch.empty(self.tape.shapes[number], device="meta")
                for number in node.inputs
            }
            inputs = tuple(numbers[number] for number in node.inputs if number in numbers)
            for number in node.outputs:
                if number not in numbers:
                    numbers[number] = len(shapes)
                    shapes.append(self.tape.shapes[number])
            outputs = tuple(numbers[number] for number in node.outputs)
            args, kwargs = replaced(node.args, read), replaced(node.kwargs, read)
            nodes.append(replace(node, args=args, kwargs=kwargs, inputs=inputs, outputs=outputs))
        tape = Tape(tuple(nodes), shapes, fixed=self.tape.fixed)
        spread = follow(tape, tuple(shapes[0][-2:]))[numbers[self.target]]
        if isinstance(spread, str):
            return None
        return [(axis.size, axis.stride, axis.start) for axis in spread.axes]

    @cached_property
    def _dtype(self) -> torch.dtype:
        held = (one for node in self.nodes for one in tensors_in((node.args, node.kwargs)))
        return torch.float32 if any(one.numel() > _HUGE for one in held) else torch.float64

    def _zeros(self, count: int) -> Tensor:
        shape = list(self.tape.shapes[self.source])
        shape[0] *= count
        if self._free:
            shape[2:] = self._spot.size
        return torch.zeros(shape, dtype=self._dtype)

    def _run(self, source: Tensor) -> Tensor:
        """Return the target for a source; what comes to it from elsewhere is 0."""
        values = {self.source: source}
        for node in self.nodes:
            beside = next(values[number] for number in node.inputs if number in values)
            taken = {
                number: values[number] if number in values else self._nothing(number, beside)
                for number in node.inputs
            }
            for number, tensor in zip(node.outputs, self._made(node, taken), strict=False):
                values.setdefault(number, tensor)
        return values[self.target]

    def _nothing(self, number: int, beside: Tensor) -> Tensor:
        shape = list(self.tape.shapes[number])
        if self._many and shape:
            shape[0] = beside.shape[0]
        if self._free:
            shape[-2:] = beside.shape[-2:]
        return beside.new_zeros(shape)

    def _made(self, node: Node, taken: dict[int, Tensor]) -> list[Tensor]:
        first = taken[node.inputs[0]]
        if node.name in SAME:
            return [first]
        if node.index in self.opened:
            return [_mean_pool(node, first) if node.name in MAX_POOLING else first]
        if self._free and node.name in _RESHAPING:
            rule = rule_for(node, self.tape.shapes)
            return list(tensors_in(rule.run(taken))) if isinstance(rule, Pointwise) else [first]
        if node.in_place:
            taken = {number: tensor.clone() for number, tensor in taken.items()}
        if node.index not in self._arguments:
            self._arguments[node.index] = (
                widened(node.args, self._dtype),
                widened(node.kwargs, self._dtype),
            )
        args, kwargs = self._arguments[node.index]
        return list(tensors_in(node.function(*replaced(args, taken), **replaced(kwargs, taken))))

    @cached_property
    def _arguments(self) -> dict[int, tuple[Any, Any]]:
        """What each function is called with, in double precision, once it was."""
        return {}


def _maps(value: Tensor, axis: int) -> Tensor:
    """Return a value as (N, C, H, W)."""
    return value[..., None, None] if value.ndim == 2 else value.movedim(axis, 1)


def _slope(of: Tensor, by: Tensor) -> Tensor:
    if not of.requires_grad:
        return torch.zeros_like(by)
    (slope,) = torch.autograd.grad(of, by, allow_unused=True)
    return torch.zeros_like(by) if slope is None else slope


def _mean_pool(node: Node, source: Tensor) -> Tensor:
    """Return the mean of those of which a node takes the largest."""
    given = arguments(node.name, node.args, node.kwargs)
    side = given["kernel_size"]
    return F.avg_pool2d(source, side, given["stride"] or side, given["padding"], bool(given["ceil_mode"]))


def widened(value: Any, dtype: torch.dtype = torch.float64) -> Any:
    """Return arguments with every tensor on the CPU, numbers with fractions in double precision or another."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(widened(one, dtype) for one in value))
    if isinstance(value, tuple | list):
        return type(value)(widened(one, dtype) for one in value)
    if isinstance(value, dict):
        return {key: widened(item, dtype) for key, item in value.items()}
    return value
