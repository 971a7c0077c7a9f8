"""A network that was followed for links: its values as layers, and what linear steps join to a unit of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netviz.capture import brief, network_dtype, record
from netviz.capture.operations import names
from netviz.capture.trace import require_values
from netviz.capture.watch import Key
from netviz.errors import LayerError, ModelError
from netviz.models import Layer
from netviz.questions.classes import what_is_scored
from netviz.questions.links.expand import Kernels, Steps
from netviz.questions.links.linear import Cone, Flow, called, can_open, is_linear
from netviz.questions.links.result import Side
from netviz.questions.opening import Opened, require_memory

Floats = NDArray[np.float64]

_THE_IMAGE = "the image"

_KEPT = 4
"""Of how many ways the steps are kept that the next unit of a layer may take too."""

_MOVES = names("permutation", "transposition", "moving")

_LAST = names("layer norm", "linear")
"""What has its units on the last axis."""


@dataclass(frozen=True)
class Place:
    """A value of the tape as a layer: its number, where its units are, and what it is called."""

    value: int
    axis: int
    channels: int
    side: Side


@dataclass(frozen=True)
class Linked:
    """The kernels between a unit and all of another layer's, (C, kh, kw)."""

    place: Place
    kernels: Floats
    side: Side


class Network:
    """An opened network whose steps were followed."""

    def __init__(self, opened: Opened, through: int) -> None:
        self.opened, self.through = opened, through
        self._followed: dict[tuple[Any, ...], Steps] = {}
        self.name = opened.model.name
        require_values(opened.network)
        shape = opened.index.input_shape
        if shape is None:
            raise ModelError(f"{self.name} does not run: its layers are known from weights alone")
        image = torch.zeros(1, *shape, device=opened.device, dtype=network_dtype(opened.network))
        require_memory(opened.model, opened.index, image, "an image")
        try:
            self.tape = record(opened.network, image, keep=False)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(f"{self.name} does not run ({brief(error)}); give --size HxW") from error
        self.flow = Flow(self.tape)
        self.layers: dict[int, Layer] = {}
        for layer in opened.index:
            number = self.tape.layers.get(Key(layer.module, layer.function, layer.call))
            if number is not None:
                self.layers.setdefault(number, layer)

    def numbers(self) -> dict[str, int]:
        """Return which value each layer gave, by its dotted name."""
        return {layer.name: value for value, layer in self.layers.items()}

    def value(self, layer: Layer) -> int:
        """Return which value a layer gave.

        Raises
        ------
        LayerError
            If that is not known.
        """
        number = self.tape.layers.get(Key(layer.module, layer.function, layer.call))
        if number is None:
            raise LayerError(
                f"what the forward pass of {self.name} did in layer {layer.name} ({layer.alias}) cannot be followed"
            )
        return number

    def place(self, value: int) -> Place | None:
        """Return a value as a layer; None if it has neither maps nor one number for each unit."""
        shape, layer = self.tape.shapes[value], self.layers.get(value)
        if value == 0:
            colours = self._colours(int(shape[1]))
            return Place(0, 1, int(shape[1]), Side(_THE_IMAGE, "", "image", int(shape[1]), labels=colours))
        if len(shape) not in (2, 4) or (layer is not None and layer.arrangement is not None):
            return None
        if layer is None:
            return self._unnamed(value)
        axis = 1 if len(shape) == 2 else layer.channel_axis
        channels = int(shape[axis])
        return Place(value, axis, channels, Side(layer.name, layer.alias, layer.kind, channels))

    def _unnamed(self, value: int) -> Place | None:
        """Return a value that no layer gives as that layer which only moves its axes, or rectifies it."""
        for node in self.flow.readers.get(value, []):
            out = node.outputs[0] if node.outputs else -1
            layer = self.layers.get(out)
            if layer is None or not layer.spatial or layer.arrangement is not None:
                continue
            if node.name in _MOVES:
                return self.place(out)
            if can_open(node) and self.tape.shapes[out] == self.tape.shapes[value]:
                side = Side(layer.name, layer.alias, layer.kind, layer.channels)
                return Place(value, layer.channel_axis, layer.channels, side)
        maker, shape = self.flow.makers[value], self.tape.shapes[value]
        axis = 3 if len(shape) == 4 and maker.name in _LAST else 1
        return Place(value, axis, int(shape[axis]), Side(called([maker]), "", "", int(shape[axis])))

    def called(self, value: int) -> str:
        """Name a value: by its layer, else by the function that makes it."""
        layer = self.layers.get(value)
        if layer is not None:
            return f"{layer.name} ({layer.alias})" if layer.alias not in ("", layer.name) else layer.name
        return _THE_IMAGE if value == 0 else called([self.flow.makers[value]])

    def _colours(self, channels: int) -> tuple[str, ...]:
        order = self.opened.model.preprocessing.channel_order
        words = {"R": "red", "G": "green", "B": "blue", "L": "grey"}
        return (
            tuple(words[one] for one in order) if len(order) == channels and set(order) <= set(words) else ()
        )

    def before(self, layer: Layer, value: int, unit: int, asked: str | None) -> Linked:
        """Return the links of a unit to those that it is built from."""
        enters = self.flow.entering(value)
        cone = self.flow.before(enters, self.through)
        axis = _axis(layer, self.tape.shapes[enters])

        def linked(source: Place) -> Linked:
            steps = self._steps(cone, (source.value, enters), (source.axis, axis))
            return self._links(source, steps, steps.into(unit), cone.ends)

        if asked is not None:
            found = linked(self._asked(asked, enters, cone, "before", layer))
        else:
            places = [place for place in map(self.place, cone.ends) if place is not None]
            if not places:
                raise LayerError(self._nothing(layer, "before", enters, cone.ends))
            # A concatenation has parts that this unit is none of; one without any weight is built from the nearest.
            found = next((one for one in map(linked, places) if one.kernels.any()), None) or linked(places[0])
        known = enters in self.layers or enters == value
        at = self.called(enters) if known else f"what is before {self.called(value)}"
        return replace(found, side=found.side._replace(at=at))

    def after(self, layer: Layer, value: int, unit: int, asked: str | None) -> Linked:
        """Return the links of a unit to those that it feeds."""
        found: list[tuple[Place, Cone, int, int]] = []
        leaving = self.flow.leaving(value, unit)
        for leaves, moved in leaving:
            cone = self.flow.after(leaves, self.through)
            if asked is not None:
                target = self._target(asked, cone)
                found += [(target, cone, leaves, moved)] if target is not None else []
            else:
                places = [self.place(end) for end in cone.ends if not self._is_score(end)]
                found += [(place, cone, leaves, moved) for place in places if place is not None]
        if not found and asked is not None:
            self._asked(asked, leaving[-1][0], self.flow.after(leaving[-1][0], self.through), "after", layer)
        if not found:
            raise LayerError(self._nothing(layer, "after", leaving[-1][0]))
        target, cone, leaves, moved = min(found, key=lambda one: one[0].value)
        axes = (_axis(layer, self.tape.shapes[leaves]), target.axis)
        steps = self._steps(cone, (leaves, target.value), axes)
        linked = self._links(target, steps, steps.out_of(moved), [one[0].value for one in found])
        others = [self.called(one) for node in self.flow.beside(value, unit) for one in node.outputs[:1]]
        also = tuple(dict.fromkeys((*linked.side.also, *others)))
        side = linked.side._replace(also=also, labels=self._labels(target), at=self.called(leaves))
        return replace(linked, side=side)

    def _target(self, asked: str, cone: Cone) -> Place | None:
        number = self._number(asked)
        there = next((one for one in (number, self.flow.entering(number)) if one in cone.mixed), None)
        return None if there is None else self.place(there)

    def _steps(self, cone: Cone, ends: tuple[int, int], axes: tuple[int, int]) -> Steps:
        opened = frozenset(node.index for node in cone.opened)
        nodes = self.flow.between(cone, *ends)
        key = (tuple(node.index for node in nodes), ends, axes, opened)
        if key not in self._followed:
            # Units of one layer share their steps, and with them the weights in double precision; others go.
            while len(self._followed) >= _KEPT:
                del self._followed[next(iter(self._followed))]
            self._followed[key] = Steps(self.tape, nodes, *ends, axes, opened)
        return self._followed[key]

    def _links(self, place: Place, steps: Steps, kernels: Kernels, ends: Sequence[int]) -> Linked:
        opened = [self.called(node.outputs[0]) for node in steps.nodes if node.index in steps.opened]
        side = place.side._replace(
            opened=tuple(dict.fromkeys(opened)),
            also=self._others(ends, place),
            cut=kernels.cut,
            whole=kernels.whole,
            phased=kernels.phased,
        )
        return Linked(place, kernels.values, side)

    def _others(self, ends: Sequence[int], place: Place) -> tuple[str, ...]:
        places = [(end, self.place(end)) for end in ends]
        others = [end if one is None else one.value for end, one in places]
        return tuple(dict.fromkeys(self.called(one) for one in others if one != place.value))

    def _is_score(self, value: int) -> bool:
        return value in self.tape.outputs.values() and self.tape.shapes[value][2:].numel() == 1

    def _labels(self, place: Place) -> tuple[str, ...]:
        labels = self.opened.model.labels
        scores = place.value in self.tape.outputs.values()
        return tuple(labels) if scores and len(labels) == place.channels else ()

    def classes(self, layer: Layer, value: int, unit: int) -> tuple[Floats, str] | None:
        """Return what each class score gains by a unit larger by 1 all over; None if no linear steps lead there."""
        for leaves, moved in self.flow.leaving(value, unit):
            cone = self.flow.after(leaves, self.through)
            for name, number in self.tape.outputs.items():
                if number in cone.cost and self._is_score(number):
                    axes = (_axis(layer, self.tape.shapes[leaves]), 1)
                    weights = self._steps(cone, (leaves, number), axes).gains(moved)
                    return weights, what_is_scored(self.opened.model, name, len(weights))
        return None

    def _asked(self, spec: str, value: int, cone: Cone, side: str, layer: Layer) -> Place:
        """Return the layer that the user named, if steps lead there."""
        number = self._number(spec)
        place = self.place(number)
        if place is None:
            raise LayerError(f"layer {spec} of {self.name} has no maps; links are those of maps")
        look = self.flow.before if side == "before" else self.flow.after
        every = look(value, len(self.tape.nodes))
        if side == "before":
            # Its units may be followed from after their own non-linearity on.
            own = [one for one, _ in self.flow.leaving(number, 0)]
            there = [one for one in (number, *own) if one != value and one in every.cost]
            found = next((self.place(one) for one in there if one in cone.cost), None)
            if found is not None:
                return found
        else:
            there = [one for one in (number, self.flow.entering(number)) if one in every.mixed]
        needed = min((every.cost[one] for one in there), default=None)
        ends = (self.called(number), f"{layer.name} ({layer.alias})")
        first, last = ends if side == "before" else ends[::-1]
        if needed is None:
            raise LayerError(
                f"no steps that are linear, or could be taken so, lead from {first} to {last} of {self.name}"
            )
        raise LayerError(
            f"no linear steps lead from {first} to {last} of {self.name}; give --through {needed} to take "
            f"{f'{needed} non-linearities' if needed > 1 else 'the non-linearity'} on the way as open"
        )

    def _number(self, spec: str) -> int:
        if spec in (_THE_IMAGE, "image", "input"):
            return 0
        return self.value(self.opened.index.resolve(spec))

    def _nothing(self, layer: Layer, side: str, value: int, ends: Sequence[int] = ()) -> str:
        """Say why nothing is linked to a unit."""
        named = f"unit of {layer.name} ({layer.alias})"
        if side == "before":
            node = self.flow.makers.get(value)
            if node is not None and not is_linear(node):
                return f"what makes a {named} is not linear: {called([node])}"
            from_these = ", ".join(self.called(end) for end in ends[:3])
            return f"what a {named} is built from has no maps: {from_these or 'nothing of the image'}"
        readers = [node for node in self.flow.readers.get(value, []) if not is_linear(node)]
        if readers:
            return f"what reads a {named} is not linear: {called(readers[:3])}"
        return f"no weights read a {named}"


def _axis(layer: Layer, shape: Sequence[int]) -> int:
    return layer.channel_axis if len(shape) == 4 else 1
