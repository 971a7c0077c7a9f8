"""The strongest links of a unit, by expanded weights, and by typical activation where a run tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture import Tape, brief, network_dtype, record
from netviz.capture.operations import names
from netviz.capture.trace import require_values
from netviz.capture.watch import Key
from netviz.errors import LayerError, ModelError, ResultError
from netviz.models import Layer, ModelSpec
from netviz.questions.classes import what_is_scored
from netviz.questions.links.expand import Kernels, Steps
from netviz.questions.links.linear import Cone, Flow, called, can_open, is_linear
from netviz.questions.links.result import ClassLink, LinksResult, Side
from netviz.questions.links.typical import RunUnits
from netviz.questions.opening import InputOptions, Opened, open_model, require_memory
from netviz.questions.patches.run import PatchesRun, open_run

Floats = NDArray[np.float64]

TOP = 10
"""How many links of each kind are shown unless the user says."""

_THE_IMAGE = "the image"

_MOVES = names("permutation", "transposition", "moving")

_LAST = names("layer norm", "linear")
"""What has its units on the last axis."""


def links(
    model: ModelSpec,
    layer: str,
    unit: int,
    *,
    run: str | Path | PatchesRun | None = None,
    before: str | None = None,
    after: str | None = None,
    through: int = 0,
    top: int = TOP,
    **options: Unpack[InputOptions],
) -> LinksResult:
    """Find what a unit is built from and what it feeds, by expanded weights: no image is needed.

    The weights between two units are multiplied out over the steps between them, as long as these are linear:
    convolutions of any kind, batch normalization, sums, concatenations, mean pooling. A unit's own non-linearity is
    none of the steps: weights enter before it, and leave after it.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    unit : int
        Which of its units; negative numbers count from the end.
    run : str, Path or PatchesRun, optional
        A run of `netviz.patches`: then links count by the source's typical activation too, and have patches.
    before, after : str, optional
        The layers whose units are told of. By default the nearest that linear steps join to the unit.
    through : int
        How many non-linearities on a way are taken as open, as if they were not there; a max pooling as the mean of
        its window. 0 for linear steps alone.
    top : int
        How many links of each kind.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`.

    Returns
    -------
    LinksResult

    Raises
    ------
    LayerError
        If there is no such layer or unit, no linear steps lead to the unit or from it, or none to the layer named.
    ModelError
        If MODEL cannot be opened or cannot run.
    ResultError
        If `run` is no run of patches, or one of another network.
    ValueError
        If `through` or `top` is out of range.
    """
    for name, value, least in (("through", through, 0), ("top", top, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    opened = open_model(model, **options)
    found = opened.layer(layer)
    if not -found.channels <= unit < found.channels:
        raise LayerError(
            f"layer {found.name} has no unit {unit}: its units are 0 to {found.channels - 1}"
        )
    unit %= found.channels
    if found.arrangement is not None:
        raise LayerError(
            f"layer {found.name} ({found.alias}) of {opened.model.name} has tokens: attention joins them, which is not "
            "linear; links are those of maps"
        )
    folder = None if run is None else _opened(run, opened)
    network = _Network(opened, through)
    known = None if folder is None else RunUnits(folder, network.flow, network.numbers())
    value = network.value(found)
    sides: dict[str, _Links | str] = {}
    for name, asked, look in (("before", before, network.before), ("after", after, network.after)):
        try:
            sides[name] = look(found, value, unit, asked)
        except LayerError as error:
            if asked is not None:
                raise
            sides[name] = str(error)
    classes = network.classes(found, value, unit)
    if all(isinstance(one, str) for one in sides.values()) and classes is None:
        raise LayerError(f"{sides['before']}; {sides['after']}")
    return _result(network, (found, unit, layer), sides, classes, known, top)


def _opened(run: "str | Path | PatchesRun", opened: Opened) -> PatchesRun:
    found = run if isinstance(run, PatchesRun) else open_run(run)
    if found.facts["network"] != opened.model.name:
        raise ResultError(
            f"the run in {found.folder} is of {found.facts['network']}, not of {opened.model.name}; name a run of the "
            "same network"
        )
    return found


@dataclass(frozen=True)
class _Place:
    """A value of the tape as a layer: its number, where its units are, and what it is called."""

    value: int
    axis: int
    channels: int
    side: Side


@dataclass(frozen=True)
class _Links:
    """The kernels between a unit and all of another layer's, (C, kh, kw)."""

    place: _Place
    kernels: Floats
    side: Side


class _Network:
    """An opened network whose steps were followed."""

    def __init__(self, opened: Opened, through: int) -> None:
        self.opened, self.through = opened, through
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

    def place(self, value: int) -> _Place | None:
        """Return a value as a layer; None if it has neither maps nor one number for each unit."""
        shape, layer = self.tape.shapes[value], self.layers.get(value)
        if value == 0:
            colours = self._colours(int(shape[1]))
            return _Place(0, 1, int(shape[1]), Side(_THE_IMAGE, "", "image", int(shape[1]), labels=colours))
        if len(shape) not in (2, 4) or (layer is not None and layer.arrangement is not None):
            return None
        if layer is None:
            return self._unnamed(value)
        axis = 1 if len(shape) == 2 else layer.channel_axis
        channels = int(shape[axis])
        return _Place(value, axis, channels, Side(layer.name, layer.alias, layer.kind, channels))

    def _unnamed(self, value: int) -> _Place | None:
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
                return _Place(value, layer.channel_axis, layer.channels, side)
        maker, shape = self.flow.makers[value], self.tape.shapes[value]
        axis = 3 if len(shape) == 4 and maker.name in _LAST else 1
        return _Place(value, axis, int(shape[axis]), Side(called([maker]), "", "", int(shape[axis])))

    def called(self, value: int) -> str:
        """Name a value: by its layer, else by the function that makes it."""
        layer = self.layers.get(value)
        if layer is not None:
            return f"{layer.name} ({layer.alias})" if layer.alias not in ("", layer.name) else layer.name
        return _THE_IMAGE if value == 0 else called([self.flow.makers[value]])

    def _colours(self, channels: int) -> tuple[str, ...]:
        order = self.opened.model.preprocessing.channel_order
        words = {"R": "red", "G": "green", "B": "blue", "L": "grey"}
        return tuple(words[one] for one in order) if len(order) == channels and set(order) <= set(words) else ()

    def before(self, layer: Layer, value: int, unit: int, asked: str | None) -> _Links:
        """Return the links of a unit to those that it is built from."""
        enters = self.flow.entering(value)
        cone = self.flow.before(enters, self.through)
        axis = _axis(layer, self.tape.shapes[enters])

        def linked(source: _Place) -> _Links:
            steps = self._steps(cone, (source.value, enters), (source.axis, axis))
            return self._links(source, steps, steps.into(unit), cone.ends)

        if asked is not None:
            found = linked(self._asked(asked, enters, cone, "before", layer))
        else:
            places = [place for place in map(self.place, cone.ends) if place is not None]
            some = next((one for one in map(linked, places) if one.kernels.any()), None)
            if some is None:
                raise LayerError(self._nothing(layer, "before", enters, cone.ends))
            found = some
        known = enters in self.layers or enters == value
        at = self.called(enters) if known else f"what is before {self.called(value)}"
        return replace(found, side=found.side._replace(at=at))

    def after(self, layer: Layer, value: int, unit: int, asked: str | None) -> _Links:
        """Return the links of a unit to those that it feeds."""
        found: list[tuple[_Place, Cone, int, int]] = []
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
        side = linked.side._replace(labels=self._labels(target), at=self.called(leaves))
        return replace(linked, side=side)

    def _target(self, asked: str, cone: Cone) -> _Place | None:
        number = self._number(asked)
        return self.place(number) if number in cone.mixed else None

    def _steps(self, cone: Cone, ends: tuple[int, int], axes: tuple[int, int]) -> Steps:
        opened = frozenset(node.index for node in cone.opened)
        return Steps(self.tape, self.flow.between(cone, *ends), *ends, axes, opened)

    def _links(self, place: _Place, steps: Steps, kernels: Kernels, ends: Sequence[int]) -> _Links:
        opened = [self.called(node.outputs[0]) for node in steps.nodes if node.index in steps.opened]
        side = place.side._replace(
            opened=tuple(dict.fromkeys(opened)),
            also=self._others(ends, place),
            cut=kernels.cut,
            whole=kernels.whole,
            phased=kernels.phased,
        )
        return _Links(place, kernels.values, side)

    def _others(self, ends: Sequence[int], place: _Place) -> tuple[str, ...]:
        places = [(end, self.place(end)) for end in ends]
        others = [end if one is None else one.value for end, one in places]
        return tuple(dict.fromkeys(self.called(one) for one in others if one != place.value))

    def _is_score(self, value: int) -> bool:
        return value in self.tape.outputs.values() and self.tape.shapes[value][2:].numel() == 1

    def _labels(self, place: _Place) -> tuple[str, ...]:
        labels = self.opened.model.labels
        scores = place.value in self.tape.outputs.values()
        return tuple(labels) if scores and len(labels) == place.channels else ()

    def classes(self, layer: Layer, value: int, unit: int) -> tuple[Floats, str] | None:
        """Return what each class score gains by a unit that is larger by 1 all over; None if no linear steps lead there."""
        for leaves, moved in self.flow.leaving(value, unit):
            cone = self.flow.after(leaves, self.through)
            for name, number in self.tape.outputs.items():
                if number in cone.cost and self._is_score(number):
                    axes = (_axis(layer, self.tape.shapes[leaves]), 1)
                    weights = self._steps(cone, (leaves, number), axes).gains(moved)
                    return weights, what_is_scored(self.opened.model, name, len(weights))
        return None

    def _asked(self, spec: str, value: int, cone: Cone, side: str, layer: Layer) -> _Place:
        """Return the layer that the user named, if steps lead there."""
        number = self._number(spec)
        place = self.place(number)
        if place is None:
            raise LayerError(f"layer {spec} of {self.name} has no maps; links are those of maps")
        if side == "before" and number in cone.cost and number != value:
            return place
        look = self.flow.before if side == "before" else self.flow.after
        every = look(value, len(self.tape.nodes))
        needed = every.cost.get(number) if side == "before" or number in every.mixed else None
        ends = (self.called(number), f"{layer.name} ({layer.alias})")
        first, last = ends if side == "before" else ends[::-1]
        if needed is None or number == value:
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


def _largest(values: Floats, top: int) -> NDArray[np.int64]:
    """Return where the largest values are, largest first, of equals the first; none that is 0."""
    ranked = np.nan_to_num(values, nan=-1.0, posinf=np.finfo(np.float64).max)
    order = np.argsort(-ranked, kind="stable")[:top]
    some = order[ranked[order] > 0]
    return (some if len(some) else order[:1]).astype(np.int64)


def _result(
    network: _Network,
    about: tuple[Layer, int, str],
    sides: Mapping[str, _Links | str],
    classes: tuple[Floats, str] | None,
    known: RunUnits | None,
    top: int,
) -> LinksResult:
    layer, unit, asked = about
    opened = network.opened
    value = network.value(layer)
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for name in ("before", "after"):
        found = sides[name]
        facts[f"{name}_missing"] = found if isinstance(found, str) else ""
        arrays |= {
            f"{name}_{key}": one
            for key, one in _side(None if isinstance(found, str) else found, known, top, name).items()
        }
        facts[name] = arrays.pop(f"{name}_side")
    own = None if known is None else known.tell(value).patches([unit])
    weights, called_so = (None, "class") if classes is None else classes
    labels = opened.model.labels
    extremes = {
        which: tuple(
            ClassLink(number, labels[number] if weights is not None and len(labels) == len(weights) else "")
            for number in _extreme(weights, sign, top)
        )
        for which, sign in (("raised", 1.0), ("lowered", -1.0))
    }
    channels, height, width = opened.index.input_shape or (0, 0, 0)
    return LinksResult(
        **arrays,
        **facts,
        **extremes,
        unit_patches=None if own is None else own.pixels[0],
        unit_filled=None if own is None else own.filled[0],
        class_weights=weights,
        network=network.name,
        **opened.provenance(layer=asked),
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        unit=unit,
        called=called_so,
        through=network.through,
        run="" if known is None else str(known.run.folder),
        input_shape=(channels, height, width),
    )


def _side(found: _Links | None, known: RunUnits | None, top: int, name: str) -> dict[str, Any]:
    """Return the arrays and the `Side` of the layer before or after."""
    keys = ["units", "kernels", "norms", "sums", "by_weight", "turned", "patches", "filled", "side"]
    told: dict[str, Any] = dict.fromkeys([*keys, *(("typical", "by_typical") if name == "before" else ())])
    if found is None:
        return told
    norms = np.sqrt((found.kernels**2).sum(axis=(1, 2)))
    by_weight = by_any = _largest(norms, top)
    side = found.side
    units = None if known is None else known.tell(found.place.value)
    if units is not None:
        side = side._replace(typical_of=units.layers)
    if name == "before" and units is not None and np.isfinite(units.typical).any():
        by_typical = _largest(norms * np.nan_to_num(units.typical, nan=0.0), top)
        told |= {"typical": units.typical, "by_typical": by_typical}
        by_any = np.concatenate([by_weight, by_typical[~np.isin(by_typical, by_weight)]])
    told |= {
        "units": by_any,
        "kernels": found.kernels[by_any],
        "norms": norms,
        "sums": found.kernels.sum(axis=(1, 2)),
        "by_weight": by_weight,
        "side": side,
    }
    patches = None if units is None else units.patches(by_any.tolist())
    if units is not None and patches is not None:
        told |= {"turned": units.turned[by_any], "patches": patches.pixels, "filled": patches.filled}
    return told


def _extreme(weights: Floats | None, sign: float, top: int) -> list[int]:
    """Return where the largest weights of a sign are, largest first."""
    if weights is None:
        return []
    signed = np.nan_to_num(sign * weights, nan=-1.0)
    order = np.argsort(-signed, kind="stable")[:top]
    return [int(one) for one in order if signed[one] > 0]
