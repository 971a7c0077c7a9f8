"""What follows a convolution in a network: its stages, read from the tape of one forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from netviz.capture import Node, Ref, Tape
from netviz.capture.operations import names
from netviz.capture.watch import Key
from netviz.models import Layer, LayerIndex
from netviz.models.layers import WEIGHTED

NONLINEAR = names("activation", "prelu") | {"abs", "clamp"}
"""Kinds of stage that count as a network's own non-linearity."""

_BARE = {
    "add": "sum", "sub": "sum", "mul": "product", "div": "product", "truediv": "product",
    "abs": "abs", "clamp": "clamp", "clamp_min": "clamp",
}  # fmt: skip

_JOINING = names("concatenation")

_MOVES = names("permutation", "transposition", "moving")

_LOOKED_THROUGH = _MOVES | names("copy", "padding", "getitem", "dropout")

_MIXES = names(
    "convolution",
    "transposed convolution",
    "linear",
    "matmul",
    "einsum",
    "product",
    "attention",
    "multi-head attention",
)


@dataclass(frozen=True)
class Stage:
    """One step after a convolution.

    Attributes
    ----------
    kind : str
        As a layer's kind; ``sum`` or ``product`` where no layer makes it.
    layer : Layer or None
        The layer that makes it; for a sum or product the block that hands it out, if any.
    node : Node
        The function that gave its output.
    source, value : int
        Numbers on the tape of what it read and what it gave.
    axis : int
        Where the channels are in `value`.
    """

    kind: str
    layer: Layer | None
    node: Node
    source: int
    value: int
    axis: int


@dataclass(frozen=True)
class Chain:
    """The stages of one convolution.

    Attributes
    ----------
    value, axis : int
        The convolution's own output on the tape, and where its channels are.
    stages : tuple of Stage
        In running order; empty if nothing follows.
    others : tuple of (int, str)
        Who else reads the output of stage i (0 is the convolution's own).
    end : str
        What comes after the last stage.
    """

    value: int
    axis: int
    stages: tuple[Stage, ...]
    others: tuple[tuple[int, str], ...]
    end: str


@dataclass(frozen=True)
class _Reader:
    """Something that reads a value: a listed layer, or one function that belongs to none."""

    nodes: tuple[Node, ...]
    layer: Layer | None
    source: int
    value: int
    axis: int

    @property
    def name(self) -> str:
        if self.layer is not None:
            name, alias = self.layer.name, self.layer.alias
            return name if alias in ("", name) else f"{name} ({alias})"
        node = self.nodes[-1]
        what = {"cat": "a concatenation", "add": "a sum", "mul": "a product"}.get(node.name, node.name)
        return f"{what} in {node.module}" if node.module else what

    @property
    def last(self) -> Node:
        return self.nodes[-1]


class Follower:
    """Finds what follows a convolution.

    Parameters
    ----------
    tape : Tape
        Of the network; its values are not needed.
    index : LayerIndex
        Of the same network.
    """

    def __init__(self, tape: Tape, index: LayerIndex) -> None:
        self._tape = tape
        self._readers: dict[int, list[Node]] = {}
        makers: dict[int, Node] = {}
        for node in tape.nodes:
            for number in node.inputs:
                self._readers.setdefault(number, []).append(node)
            for number in node.outputs:
                makers[number] = node
        # A listed layer may be made of several functions: which of them, and the value that it gives.
        self._groups: dict[int, tuple[Layer, tuple[Node, ...], int]] = {}
        self._blocks: dict[int, Layer] = {}
        for layer in index:
            given = tape.layers.get(key(layer))
            maker = None if given is None else makers.get(given)
            if given is None or maker is None:
                continue
            if layer.kind == "block":
                self._blocks[given] = layer
            # A module that hands its argument through, as dropout does, made nothing.
            elif maker.module == layer.module and maker.index not in self._groups:
                first = maker.index
                while layer.function is None and self._is_free(first - 1, layer.module):
                    first -= 1
                nodes = tape.nodes[first : maker.index + 1]
                self._groups.update(dict.fromkeys(range(first, maker.index + 1), (layer, nodes, given)))

    def follow(self, layer: Layer) -> Chain | None:
        """Return a convolution's stages; None if it did not run."""
        start = self._tape.layers.get(key(layer))
        if start is None:
            return None
        units = layer.channels
        value, axis = start, layer.channel_axis
        stages: list[Stage] = []
        others: list[tuple[int, str]] = []
        while True:
            readers = self._read_by(value, axis)
            chosen = next((one for one in readers if self._kind(one, units, len(readers))), None)
            if chosen is None:
                names = list(dict.fromkeys(one.name for one in readers))
                end = ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])]) or "the end of the network"
                return Chain(start, layer.channel_axis, tuple(stages), tuple(others), end)
            others += [(len(stages), one.name) for one in readers if one is not chosen]
            made_by = chosen.layer or self._blocks.get(chosen.value)
            kind = self._kind(chosen, units, len(readers))
            stages.append(Stage(kind, made_by, chosen.last, chosen.source, chosen.value, chosen.axis))
            value, axis = chosen.value, chosen.axis

    def _is_free(self, number: int, module: str) -> bool:
        """Return whether a function ran in this module, as far as torch shows, and belongs to no layer yet."""
        if number < 0 or number in self._groups:
            return False
        node = self._tape.nodes[number]
        return node.module == module and node.function is not None

    def _read_by(self, value: int, axis: int) -> list[_Reader]:
        """Return who reads a value, in running order; what only moves or copies it is looked through."""
        found: list[_Reader] = []
        alone: tuple[Layer | None, tuple[Node, ...], int]
        seen: set[int] = set()
        pending = [(value, axis)]
        while pending:
            source, at = pending.pop()
            for node in self._readers.get(source, ()):
                if node.index in seen:
                    continue
                alone = (None, (node,), node.outputs[0] if node.outputs else -1)
                layer, nodes, given = self._groups.get(node.index, alone)
                seen.update(one.index for one in nodes)
                clear = layer is not None and layer.kind in ("dropout", "dequantize")
                if given >= 0 and (clear or all(one.name in _LOOKED_THROUGH for one in nodes)):
                    moved = self._moved(nodes, at)
                    if moved is not None and self._keeps(source, at, given, moved):
                        pending.append((given, moved))
                        continue
                found.append(_Reader(nodes, layer, source, given, at))
        return sorted(found, key=lambda reader: reader.nodes[0].index)

    def _keeps(self, source: int, axis: int, given: int, moved: int) -> bool:
        before, after = self._tape.shapes[source], self._tape.shapes[given]
        return len(after) == len(before) == 4 and after[moved] == before[axis]

    def _moved(self, nodes: tuple[Node, ...], axis: int) -> int | None:
        """Return where functions that move axes put the channels."""
        for node in nodes:
            if node.name in _MOVES:
                sizes = (2, 3, 5, 7)
                marked = torch.empty(sizes, device="meta")
                try:
                    shape = node.function(*_filled(node.args, marked), **_filled(node.kwargs, marked)).shape
                    axis = tuple(shape).index(sizes[axis])
                except (RuntimeError, ValueError, IndexError, TypeError):
                    return None
        return axis

    def _kind(self, reader: _Reader, units: int, count: int) -> str:
        """Return the kind of stage that a reader is; empty if it is none."""
        if reader.value <= reader.source:
            return ""
        before, after = self._tape.shapes[reader.source], self._tape.shapes[reader.value]
        if len(after) != 4 or after[reader.axis] != units:
            return ""
        if reader.layer is None:
            kind = _BARE.get(reader.last.name, "")
            around = kind == "sum" and self._is_around(reader)
            return kind if after == before and not around else ""
        if reader.layer.kind in WEIGHTED or reader.last.name in _JOINING:
            return ""
        places = [size for axis, size in enumerate(after) if axis not in (0, reader.axis)]
        vanishes = places == [1, 1] and after != before
        return "" if vanishes and count > 1 else reader.layer.kind

    def _is_around(self, reader: _Reader) -> bool:
        """Return whether a sum adds to a value what weighted layers made of it: then it closes a later block."""
        mixed: dict[int, bool] = {reader.source: False}
        for node in self._tape.nodes[: reader.last.index]:
            states = [mixed[number] for number in node.inputs if number in mixed]
            if states:
                for number in node.outputs:
                    if number != reader.source:
                        mixed[number] = any(states) or node.name in _MIXES
        return any(mixed.get(number, False) for number in reader.last.inputs)


def key(layer: Layer) -> Key:
    """Return the key under which the tape knows a layer."""
    return Key(layer.module, layer.function, layer.call)


def _filled(value: Any, tensor: torch.Tensor) -> Any:
    """Return arguments with every recorded tensor replaced by this one."""
    if isinstance(value, Ref):
        return tensor
    if isinstance(value, Mapping):
        return {name: _filled(item, tensor) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_filled(item, tensor) for item in value)
    return value
