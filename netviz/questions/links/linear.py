"""The linear steps of a network, read from the tape of one forward pass: which values they join."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from netviz.capture import Node, Ref, Tape
from netviz.capture.operations import arguments, names
from netviz.geometry.axes import Spread, spatial
from netviz.geometry.field import follow
from netviz.geometry.incremental.rules import pair

_WEIGHTED = names("convolution", "transposed convolution", "linear")

_WHOLE_NUMBERS = frozenset(("bool", "byte", "int", "long", "short"))

SAME = (names("copy") | names("dropout")) - _WHOLE_NUMBERS
"""What hands its input on."""

_MOVING = (
    names(
        "interpolation", "padding", "pixel shuffle", "pixel unshuffle", "unfolding", "folding", "view", "squeeze",
        "unsqueeze", "permutation", "transposition", "moving", "expansion", "repetition", "interleaving", "getitem",
        "narrow", "slice", "select", "unbind", "split", "reordering", "indexing", "channel shuffle",
    )
    | {name for name in names("pooling", "adaptive pooling") if "avg" in name}
    | {"mean", "sum", "neg", "negative", "positive"}
)  # fmt: skip
"""What is linear in the one value that it reads."""

_CARRYING = names("interpolation", "permutation", "transposition", "moving")

_LIKE = frozenset(("view_as", "reshape_as", "expand_as"))
"""What takes no more than the shape of a second value."""

_JOINING = names("concatenation", "stack")

_SUMS = frozenset(("add", "sub", "subtract", "rsub", "radd"))

_PRODUCTS = frozenset(("mul", "multiply", "rmul"))

_QUOTIENTS = frozenset(("div", "divide", "truediv", "true_divide"))

_BY_MATRIX = names("matmul", "rmatmul")

_MATRICES = _BY_MATRIX | names("einsum")

_RECTIFYING = names("activation", "prelu") | {"clamp", "clamp_min", "clamp_max", "clip"}
"""Non-linearities of each number by itself."""

MAX_POOLING = frozenset(("max_pool2d", "max_pool2d_with_indices"))

POOLING = MAX_POOLING | {"avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"}


def _refs(value: Any) -> list[int]:
    """Return the numbers of recorded values among arguments, in order."""
    if isinstance(value, Ref):
        return [value.number]
    if isinstance(value, dict):
        value = list(value.values())
    return [number for item in value for number in _refs(item)] if isinstance(value, tuple | list) else []


def is_linear(node: Node) -> bool:
    """Return whether a function is linear, but for a constant, in all that it reads of the image."""
    name = node.name
    if node.function is None or not node.inputs or not node.outputs:
        return False
    read = _refs((node.args, node.kwargs))
    if name in SAME:
        return True
    if name in _JOINING or name in _SUMS:
        return True
    if name in _PRODUCTS or name in _MATRICES:
        return len(read) == 1
    first = bool(node.args) and isinstance(node.args[0], Ref)
    if len(read) != 1 and not (first and name in _LIKE):
        return False
    if not (first or isinstance(node.kwargs.get("input"), Ref)):
        return False
    if name == "batch_norm":
        given = arguments(name, node.args, node.kwargs)
        return not given["training"] and given["running_mean"] is not None
    return name in _WEIGHTED or name in _MOVING or name in _QUOTIENTS


def _sources(node: Node) -> tuple[int, ...]:
    """Return which values' numbers a linear function takes: not those of which it takes no more than the shape."""
    return node.inputs[:1] if node.name in _LIKE or node.name in SAME else node.inputs


def can_open(node: Node) -> bool:
    """Return whether a non-linear function can be taken as linear: a rectifier, or a largest of neighbours."""
    if node.function is None or len(node.inputs) != 1:
        return False
    return node.name in _RECTIFYING or (
        node.name in MAX_POOLING and pair(arguments(node.name, node.args, node.kwargs)["dilation"]) == (1, 1)
    )


@dataclass(frozen=True)
class Cone:
    """What linear steps join to a value, before or after it.

    Attributes
    ----------
    cost : dict of int to int
        The values that are joined, and through how many non-linearities at most.
    ends : tuple of int
        Of these, where the next function is not linear: nearest first.
    opened : tuple of Node
        The non-linear functions taken as linear.
    steps : tuple of Node
        All functions in between, in running order.
    mixed : frozenset of int
        Of what comes after a value, that in which its units are mixed by weights.
    """

    cost: dict[int, int]
    ends: tuple[int, ...]
    opened: tuple[Node, ...]
    steps: tuple[Node, ...]
    mixed: frozenset[int] = frozenset()


class Flow:
    """What a tape's values are made by, and what reads them.

    Parameters
    ----------
    tape : Tape
        Of a pass with weights; its values are not needed.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.makers: dict[int, Node] = {}
        self.readers: dict[int, list[Node]] = {}
        for node in tape.nodes:
            for number in node.inputs:
                self.readers.setdefault(number, []).append(node)
            for number in node.outputs:
                if number not in node.inputs:
                    self.makers[number] = node

    def own(self, node: Node | None) -> int | None:
        """Return which value's units a function keeps as they are, each by itself; None if it is no such function."""
        if node is None or node.function is None or not node.inputs:
            return None
        shapes = self.tape.shapes
        keeps = (
            node.name in SAME
            or node.name in _RECTIFYING
            or node.name in POOLING
            or node.name in ("batch_norm", "pad")
        )
        if keeps or (len(node.inputs) == 1 and is_linear(node) and node.name in _PRODUCTS | _QUOTIENTS):
            source = node.inputs[0]
            same = len(node.inputs) == 1 and shapes[source][:2] == shapes[node.outputs[0]][:2]
            return source if same else None
        return self._gated(node) if node.name in _PRODUCTS and len(node.inputs) == 2 else None

    def _gated(self, node: Node) -> int | None:
        """Return which value a product lets through, if the other is one for each map, or made of it alone."""
        shapes, (one, other) = self.tape.shapes, node.inputs
        for value, gate in ((one, other), (other, one)):
            maker = self.makers.get(gate)
            by_itself = maker is not None and maker.name in _RECTIFYING and maker.inputs == (value,)
            flat = len(shapes[gate]) == 4 and set(shapes[gate][2:]) == {1} and set(shapes[value][2:]) != {1}
            if shapes[value] == shapes[node.outputs[0]] and (by_itself or flat):
                return value
        return None

    def entering(self, value: int) -> int:
        """Return where weights enter a unit: what it was before its own non-linearities."""
        found = at = value
        while True:
            node = self.makers.get(at)
            source = self.own(node)
            if node is None or source is None:
                return found
            if not is_linear(node):
                found = source
            at = source

    def leaving(self, value: int, unit: int) -> list[tuple[int, int]]:
        """Return what other units read of a unit, after its own non-linearities, and which unit of it that is.

        Several where weights read it before and after a pooling.
        """
        found = []
        while True:
            readers = self.readers.get(value, [])
            weighted = any(node.name in _WEIGHTED for node in readers)
            if weighted:
                found.append((value, unit))
                readers = [node for node in readers if node.name in POOLING]
            moved = next(filter(None, (self._kept(node, value, unit) for node in readers)), None)
            if moved is None:
                return found if weighted else [*found, (value, unit)]
            value, unit = moved

    def beside(self, value: int, unit: int) -> list[Node]:
        """Return what else reads a unit on its way to where `leaving` has it leave: other blocks, a gate."""
        last, found = self.leaving(value, unit)[0][0], []
        while value != last:
            readers = self.readers[value]
            kept = [(node, moved) for node in readers if (moved := self._kept(node, value, unit)) is not None]
            found += [node for node in readers if node is not kept[0][0]]
            value, unit = kept[0][1]
        return found

    def _kept(self, node: Node, value: int, unit: int) -> tuple[int, int] | None:
        """Return as what a unit stands beside others after a function; None where it is no unit any more."""
        if self.own(node) == value and node.name not in names("adaptive pooling"):
            return node.outputs[0], unit
        if node.name in _SUMS and is_linear(node) and len(node.inputs) == 2:
            same = self.tape.shapes[value] == self.tape.shapes[node.outputs[0]]
            return (node.outputs[0], unit) if same else None
        for part, first, count in self.parts(node):
            if part == value:
                return node.outputs[0], first + unit % count
        return None

    def parts(self, node: Node | None) -> list[tuple[int, int, int]]:
        """Return the values whose units a concatenation puts side by side: number, first unit, and how many."""
        if node is None or node.name not in names("concatenation"):
            return []
        given = arguments(node.name, node.args, node.kwargs)
        shapes, found, first = self.tape.shapes, [], 0
        if len(shapes[node.outputs[0]]) != 4 or int(given["dim"]) % 4 != 1:
            return []
        for one in given["tensors"]:
            count = int(one.shape[1]) if isinstance(one, Tensor) else int(shapes[one.number][1])
            if isinstance(one, Ref):
                found.append((one.number, first, count))
            first += count
        return found

    def before(self, value: int, through: int) -> Cone:
        """Return what a value is made of by linear steps, through at most so many non-linearities."""
        cost, ends, opened, steps = {value: 0}, [], [], []
        for node in reversed(self.tape.nodes):
            made = [number for number in node.outputs if number in cost and self.makers.get(number) is node]
            if not made:
                continue
            paid = max(cost[number] for number in made)
            linear = is_linear(node)
            if not linear and not (can_open(node) and paid < through):
                ends += made
                continue
            if not linear:
                opened.append(node)
            steps.append(node)
            for number in _sources(node):
                cost[number] = max(cost.get(number, 0), paid + (not linear))
        if 0 in cost:
            ends.append(0)
        return Cone(cost, tuple(one for one in ends if one != value), tuple(opened[::-1]), tuple(steps[::-1]))

    def after(self, value: int, through: int) -> Cone:
        """Return what is made of a value by linear steps that mix units, through at most so many non-linearities."""
        cost, ends, opened, steps = {value: 0}, [], [], []
        mixed = {value: False}
        for node in self.tape.nodes:
            read = [number for number in _sources(node) if number in cost]
            if not read:
                continue
            paid, linear = max(cost[number] for number in read), is_linear(node)
            if not linear and not (can_open(node) and paid < through):
                ends += [number for number in read if mixed[number]]
                continue
            if not linear:
                opened.append(node)
            steps.append(node)
            for number in node.outputs:
                if number not in cost:
                    cost[number] = paid + (not linear)
                    mixed[number] = any(mixed[one] for one in read) or self._mixes(node)
        ends += [number for number in self.tape.outputs.values() if mixed.get(number, False)]
        return Cone(
            cost,
            tuple(dict.fromkeys(map(self._before_moving, ends))),
            tuple(opened),
            tuple(steps),
            frozenset(number for number, one in mixed.items() if one),
        )

    def _before_moving(self, value: int) -> int:
        """Return what a value was before it was interpolated, or its axes moved: its units are the same."""
        while (node := self.makers.get(value)) and (node.name in _CARRYING or self._joins_places(node)):
            value = node.inputs[0]
        return value

    def _mixes(self, node: Node) -> bool:
        """Return whether a function weighs units: a product with a matrix may interpolate instead."""
        return node.name in _WEIGHTED or (node.name in _MATRICES and not self._joins_places(node))

    def _joins_places(self, node: Node) -> bool:
        """Return whether a product with a constant matrix sums up rows or columns of maps, and no units."""
        shapes = self.tape.shapes
        if node.name not in _BY_MATRIX or len(node.inputs) != 1 or len(shapes[node.inputs[0]]) != 4:
            return False
        first: Any = arguments(node.name, node.args, node.kwargs)["input"]
        last = node.name != "rmatmul" and isinstance(first, Ref)
        spread = self._spreads[node.inputs[0]]
        return not isinstance(spread, str) and spatial(spread.dims[-1 if last else -2])

    @cached_property
    def _spreads(self) -> list[Spread | str]:
        """The geometry of every value."""
        return follow(self.tape, self.tape.shapes[0][-2:])

    def between(self, cone: Cone, source: int, target: int) -> tuple[Node, ...]:
        """Return the steps of a cone that lead from one value to another, in running order."""
        reached, forth = {source}, []
        for node in cone.steps:
            if reached.intersection(_sources(node)):
                reached.update(node.outputs)
                forth.append(node)
        needed, found = {target}, []
        for node in reversed(forth):
            if needed.intersection(node.outputs) and source not in node.outputs:
                needed.update(_sources(node))
                found.append(node)
        return tuple(found[::-1])


def called(nodes: Iterable[Node]) -> str:
    """Name functions for a message: ``relu6 in features.1.conv.0.2``."""
    return ", ".join(
        dict.fromkeys(f"{one.name} in {one.module}" if one.module else one.name for one in nodes)
    )
