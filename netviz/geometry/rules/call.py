"""A recorded call, with the geometry of what it reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.capture.layout import LostError
from netviz.capture.operations import arguments
from netviz.capture.tape import Node, Ref
from netviz.geometry.axes import Spread
from netviz.geometry.join import joined


@dataclass(frozen=True)
class Call:
    """One node of a tape, the geometry of its inputs by value number, the shapes of its outputs, fixed lists."""

    node: Node
    known: Mapping[int, Spread]
    shapes: Sequence[tuple[int, ...]]
    fixed: Any = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.shapes[0]

    def get(self, name: str) -> Any:
        """Return an argument, by the name that the table of operations gives it."""
        return arguments(self.node.name, self.node.args, self.node.kwargs)[name]

    def is_tensor(self, place: int) -> bool:
        """Return whether the argument at a place is a tensor, of the image or not."""
        return place < len(self.node.args) and isinstance(self.node.args[place], Tensor | Ref)

    def maybe(self, name: str) -> Spread | None:
        """Return the geometry of an argument; None if it does not come from the image."""
        value = self.get(name)
        return self.known[value.number] if isinstance(value, Ref) else None

    def first(self) -> Spread:
        """Return the geometry of the first argument."""
        found = self.maybe("input")
        if found is None:
            raise LostError("of something else than the image")
        return found

    def only(self) -> Spread:
        """Return the geometry of the first argument; weights must not come from the image, or from all of it."""
        spread = self.first()
        first = self.get("input")
        others = [self.known[number] for number in self.node.inputs if number != first.number]
        if not others:
            return spread
        if not all(axis.whole for one in others for axis in one.axes):
            raise LostError("with weights made from the image")
        return joined([spread, *(one.with_dims(()) for one in others)], spread.shape)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of an argument that is a tensor, of the image or not."""
        value = self.get(name)
        if isinstance(value, Ref):
            return self.known[value.number].shape
        if not isinstance(value, Tensor):
            raise LostError("without weights")
        return tuple(value.shape)

    def places(self, value: Any, count: int) -> NDArray[np.int64] | None:
        """Return a constant list, or table, of places along `count` positions; None if its values are not known.

        Raises
        ------
        LostError
            If it holds no places, or values of the network.
        """
        if isinstance(value, Ref):
            raise LostError("by values of the network")
        if isinstance(value, Tensor):
            if value.dtype.is_floating_point or (value.dtype == torch.bool and value.ndim != 1):
                raise LostError("by a mask")
            found = None if value.dtype == torch.bool else self.fixed.get(value)
            if found is None:
                return None
            value = found.tolist()
        places = np.array(value)
        if places.dtype.kind not in "iu" or places.size == 0:
            raise LostError("by a list of positions")
        return places.astype(np.int64) % count

    def spreads(self) -> list[Spread]:
        """Return the geometry of everything that it reads."""
        return [self.known[number] for number in self.node.inputs]


Rule = Callable[[Call], Spread | list[Spread]]


def integers(value: Any) -> list[int]:
    """Return a whole number, or a sequence of them, as a list.

    Raises
    ------
    LostError
        If it is anything else.
    """
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) == 1 and isinstance(items[0], list | tuple):
        items = list(items[0])
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        raise LostError("with arguments that are no whole numbers")
    return [int(item) for item in items]


def each(value: Any, count: int) -> list[int]:
    """Return one whole number for each of `count` dimensions."""
    found = integers(value)
    if len(found) == 1:
        found *= count
    if len(found) != count:
        raise LostError(f"with {len(found)} numbers for {count} dimensions")
    return found
