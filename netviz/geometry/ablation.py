"""Ablation: what a network gives when one unit of a layer is put to other values, for many units at once.

Only what comes after the layer runs again, from the clean values of one recorded pass. As long as a change stays in
one channel, or is one map times a vector over channels (as a 1×1 convolution makes of it), no more is computed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netviz.capture import brief, capture, channels_first, unwrap
from netviz.capture.memory import joined, kept_memory
from netviz.capture.operations import names
from netviz.capture.tape import Node, Ref, Tape
from netviz.capture.tensors import tensors_in, wide
from netviz.capture.watch import Key
from netviz.errors import LayerError, ModelError
from netviz.geometry.incremental.plan import (
    SHARE,
    Group,
    NodePlan,
    Plan,
    UnfollowableError,
    clean_values,
)
from netviz.geometry.incremental.rules import POOLS, UNARY, call, given, pair
from netviz.geometry.incremental.run import Batch
from netviz.geometry.incremental.windows import Track
from netviz.models import Layer

TOLERANCE = 1e-4
"""Largest difference from a full pass that is accepted, as a share of the range of what is read."""

BUDGET = 1 << 24
"""Bytes that one value of a batch of units takes at most: what is read again soon stays in a cache."""

Read: TypeAlias = Callable[[Tensor], Tensor]
"""Gets the target for several units, (P, …), and returns what is wanted of it, (P, …)."""

_LINEAR = names(
    "linear", "convolution", "transposed convolution", "padding", "interpolation", "pixel shuffle", "pixel unshuffle",
    "channel shuffle", "view", "squeeze", "unsqueeze", "permutation", "transposition", "moving", "expansion",
    "repetition", "getitem", "narrow", "slice", "select", "unbind", "split", "reordering", "indexing",
    "concatenation", "stack",
) | {"avg_pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool1d", "mean", "sum", "add", "sub", "clone", "contiguous",
     "neg", "dropout"}  # fmt: skip

_SCALED = frozenset(("mul", "multiply", "div", "matmul", "bmm", "mm"))

_EACH = (UNARY - names("local response norm")) | POOLS | {"adaptive_avg_pool2d", "adaptive_max_pool2d"}
"""What makes of each channel of maps a channel of its own, whatever the others hold."""

_SHAPED = frozenset(("flatten", "view", "reshape", "squeeze"))


class Units:
    """The units of a layer in its raw output, however its channels lie.

    A unit is a channel at all positions, those of tokens without a place in the image (a class token) among them.

    Parameters
    ----------
    layer : Layer
        As it is for an image of this size.
    output : Tensor of shape (1, …)
        What it gave, raw.

    Attributes
    ----------
    count : int
    plain : bool
        Whether the output is (1, C, H, W).
    """

    def __init__(self, layer: Layer, output: Tensor) -> None:
        self.layer, self.output = layer, output
        self.plain = layer.arrangement is None and layer.channel_axis == 1 and output.ndim == 4
        self.maps = channels_first(layer, output)[0]
        self.count = len(self.maps)
        self._label: Tensor | None = None

    @property
    def label(self) -> Tensor:
        """Which unit each number of the output belongs to, in its shape."""
        if self._label is None:
            self._label, _ = self._labels()
        return self._label

    def _labels(self) -> tuple[Tensor, Tensor]:
        """Return the unit of each number, and which numbers are in no map."""
        place = torch.arange(self.output.numel(), device=self.output.device).view(self.output.shape)
        there = channels_first(self.layer, place)[0]
        label = torch.full((self.output.numel(),), -1, device=self.output.device)
        each = torch.arange(self.count, device=self.output.device)
        label[there.reshape(-1)] = each.repeat_interleave(there[0].numel())
        label = label.view(self.output.shape)
        how = self.layer.arrangement
        if how is not None and how.others:
            beside = label.select(how.axis, how.before).unsqueeze(how.axis).expand_as(label)
            return torch.where(label < 0, beside, label), label < 0
        return label, label < 0

    def arranged(self, values: Tensor) -> Tensor:
        """Return values in the output's shape as maps, (C, H, W)."""
        return channels_first(self.layer, values)[0]

    def total(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return what values in the output's shape sum up to for each unit, and of this what lies in no map.

        Both are (C,), in float64.
        """
        values = wide(values.detach())
        maps = channels_first(self.layer, values)[0].sum((1, 2))
        how = self.layer.arrangement
        if how is None or not how.others:
            return maps, torch.zeros_like(maps)
        label, outside = (one.cpu() for one in self._labels())
        beside = torch.zeros_like(maps).index_add_(0, label[outside], values[outside])
        return maps + beside, beside

    def to(self, value: str) -> Tensor:
        """Return the output with every unit put to ``"zero"``, or to the ``"mean"`` over its map.

        A token without a place has no map: for the mean it stays as it is.
        """
        if value == "zero":
            return torch.zeros_like(self.output)
        if self.plain:
            return self.output.mean((2, 3), keepdim=True).expand_as(self.output)
        label, outside = self._labels()
        mean = self.maps.mean((1, 2))[label]
        return torch.where(outside, self.output, mean)


@dataclass(frozen=True)
class Ablation:
    """What was read when each unit of a layer was put to other values.

    Attributes
    ----------
    clean : Tensor of shape (…)
        What was read on the image itself.
    values : Tensor of shape (units, …)
    why_full : str
        Empty if only what comes after the layer was computed; else why every unit took a full pass.
    unchanged : int
        How many units have these values on this image anyway.
    """

    clean: Tensor
    values: Tensor
    why_full: str = ""
    unchanged: int = 0


class Tail(Plan):
    """What a network does after a layer.

    Parameters
    ----------
    tape : Tape
        Of the network on an image.
    source, target : int
        The layer's value, and the one that is wanted.

    Attributes
    ----------
    values : sequence of Tensor
        The image's own: the tape's, and to be put here if it has not those that the tail `reads`.
    linear : bool
        Whether the target is a linear function (with an offset) of the layer's output, as long as all else is as on
        this image.
    fixed : bool
        Whether it is the same function for every image of this size.

    Raises
    ------
    UnfollowableError
        If the tape does not hold all that the network does.
    """

    def __init__(self, tape: Tape, source: int, target: int) -> None:
        self._begin(tape, target, SHARE, source)
        self.source = source
        self.values: Sequence[Tensor] = tape.values
        made = {source, *(number for node in self.nodes for number in node.outputs)}
        self.linear = all(_is_linear(node, made) for node in self.nodes)
        self.fixed = self.linear and all(
            made.issuperset(node.inputs) for node in self.nodes if node.name in _SCALED
        )
        self._made = made

    @property
    def reads(self) -> frozenset[int]:
        """Which of the image's own values it reads: of those before the layer what the tail joins again."""
        joined = {number for node in self.nodes for number in (*node.inputs, *node.outputs)}
        return frozenset({self.source, self.target, *joined})

    def most(self, budget: int = BUDGET) -> int:
        """Return how many units run at once."""
        sizes = [self.shapes[number].numel() for node in self.nodes for number in node.outputs]
        return max(1, budget // (4 * max([self.shapes[self.source].numel(), *sizes])))

    def run(self, given: "Tensor | One") -> Tensor:
        """Return the target, (P, …), for P values of the layer's output, or of one channel of it.

        Values are stacked along the output's first axis where that is one image's, else along one before it.
        """
        count = len(given.units) if isinstance(given, One) else len(given)
        none = Track(np.zeros(1, dtype=np.int64), 1, 1)
        nodes = tuple(NodePlan(node, None, None, {}) for node in self.nodes)
        group = Group(np.arange(count), np.zeros(1, dtype=np.int64), (none, none), nodes, None)
        return _Units(
            self, group, self.values, given if isinstance(given, Tensor) else given.maps, {}
        ).follow(given)

    def alone(self, value: Tensor) -> Tensor:
        """Return one value of the layer's output as `run` takes it."""
        return value if value.shape[:1] == (1,) else value[None]

    def gradient(self, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the gradient of a number that is read from the target, (1, …), with respect to the layer's output.

        Raises
        ------
        RuntimeError
            If none flows.
        """
        with torch.inference_mode(False), torch.enable_grad():
            start = self.values[self.source].detach().clone().requires_grad_(True)
            found = read(self.run(self.alone(start)))
            (slope,) = torch.autograd.grad(found, start, allow_unused=True, materialize_grads=True)
        return slope


def _is_linear(node: Node, made: set[int]) -> bool:
    """Return whether what a node makes is linear in those of its inputs that come from the layer."""
    mine = [number for number in node.inputs if number in made]
    if node.name == "batch_norm":
        told = given(node)
        return not told["training"] and told["running_mean"] is not None and len(mine) == 1
    if node.name in _SCALED:
        first = node.args[0] if node.args else None
        divides = node.name != "div" or (isinstance(first, Ref) and first.number in made)
        return len(mine) == 1 and divides and sum(_refers(one, mine[0]) for one in node.args) == 1
    if node.name in ("linear", "conv2d", "conv1d", "conv_transpose2d"):
        told = given(node)
        return not any(
            isinstance(told[name], Ref) and told[name].number in made for name in ("weight", "bias")
        )
    if node.name == "dropout":
        return not (node.kwargs.get("training", False) or True in node.args)
    return node.name in _LINEAR


def _refers(value: Any, number: int) -> bool:
    return isinstance(value, Ref) and value.number == number


@dataclass(frozen=True)
class One:
    """Of a value only one channel, on axis 1, is not the clean one's: which, (P,), and what it holds, (P, 1, …)."""

    units: Tensor
    maps: Tensor


@dataclass(frozen=True)
class Outer:
    """A value differs from the clean one by a map, (P, h, w), times a vector over channels, (P, C)."""

    across: Tensor
    maps: Tensor


Lean: TypeAlias = One | Outer


@dataclass
class _Units(Batch):
    """Some units on their way through the tail of a network."""

    plan: Tail
    lean: dict[int, Lean] = field(default_factory=dict)

    def follow(self, start: "Tensor | One") -> Tensor:
        """Return the target for every unit, (P, …)."""
        plan = self.plan
        if isinstance(start, One):
            self.lean[plan.source] = start
        else:
            self.whole[plan.source] = start
        for planned in self.group.nodes:
            node = planned.node
            made: Any = None
            if any(number in self.lean for number in node.inputs):
                made = self._leanly(node)
            if isinstance(made, One | Outer):
                self.lean[node.outputs[0]] = made
            elif made is not None:
                self.whole[node.outputs[0]] = made
                self.own.add(node.outputs[0])
            else:
                for number in node.inputs:
                    self._fill(number)
                found = self._on_whole(planned)
                if len(found) != len(node.outputs):
                    raise UnfollowableError(f"{node.name} in {node.module or 'the network'}")
                self.whole.update(zip(node.outputs, found, strict=True))
            for number in node.inputs:
                if self._last(number, node):
                    self.lean.pop(number, None)
                    self.whole.pop(number, None)
        self._fill(plan.target)
        return self.whole[plan.target]

    def _fill(self, number: int) -> None:
        """Make a whole value, (P, …), of what is known of it."""
        if number in self.whole:
            return
        clean = self.values[number]
        change = self.lean.get(number)
        if change is None:
            # The same for all units; a function that works in place gets a copy.
            wide = (
                clean.expand(self.count, *clean.shape[1:])
                if clean.shape[:1] == (1,)
                else clean[None].expand(self.count, *clean.shape)
            )
            self.whole[number] = wide
            return
        if isinstance(change, One):
            whole = clean.expand(self.count, *clean.shape[1:]).clone()
            whole[torch.arange(self.count, device=whole.device), change.units] = change.maps[:, 0]
        else:
            whole = torch.empty(
                (self.count, *clean.shape[1:]), dtype=clean.dtype, device=clean.device,
                memory_format=torch.channels_last,
            )  # fmt: skip
            torch.addcmul(clean, change.across[:, :, None, None], change.maps[:, None], out=whole)
        self.whole[number] = whole
        self.own.add(number)

    def _leanly(self, node: Node) -> "Lean | Tensor | None":
        """Return what a node makes of a change that is still small; None if it has to be whole."""
        changes = {number: self.lean[number] for number in node.inputs if number in self.lean}
        if len(node.outputs) != 1 or any(number in self.whole for number in node.inputs):
            return None
        if len(changes) > 1:
            return None
        ((number, change),) = changes.items()
        if node.name in _JOINING:
            return self._joined(node, number, change)
        if isinstance(change, One):
            return self._one(node, number, change)
        return self._outer(node, number, change)

    def _joined(self, node: Node, number: int, change: Lean) -> "Lean | None":
        told = given(node)
        parts = told["tensors"]
        if not isinstance(change, One) or told["dim"] not in (1, 1 - len(self.plan.shapes[number])):
            return None
        before = 0
        for part in parts:
            if _refers(part, number):
                return One(change.units + before, change.maps) if parts.count(part) == 1 else None
            before += (self.plan.shapes[part.number] if isinstance(part, Ref) else part.shape)[1]
        return None

    def _one(self, node: Node, number: int, change: One) -> "Lean | Tensor | None":
        shape, made = self.plan.shapes[number], self.plan.shapes[node.outputs[0]]
        units, maps = change.units, change.maps
        if node.name == "conv2d" and len(shape) == 4:
            return self._convolved(node, number, change)
        if node.name == "linear" and len(shape) == 2:
            told = given(node)
            if isinstance(told["weight"], Ref) or isinstance(told["bias"], Ref):
                return None
            moved = maps[:, 0] - self.values[number][0, units]
            return torch.addcmul(self.values[node.outputs[0]], told["weight"][:, units].T, moved[:, None])
        if node.name == "batch_norm" and len(node.inputs) == 1:
            told = given(node)
            if told["training"] or told["running_mean"] is None:
                return None
            gain, shift = (None if one is None else one[units] for one in (told["weight"], told["bias"]))
            mean, var = told["running_mean"][units], told["running_var"][units]
            normed = F.batch_norm(maps.transpose(0, 1), mean, var, gain, shift, False, 0.0, told["eps"])
            return One(units, normed.transpose(0, 1))
        if len(shape) == 4 and len(node.inputs) == 1 and _each(node):
            return One(units, call(node, {number: maps.clone() if node.in_place else maps}))
        if node.name in _SHAPED and tuple(made) == (1, shape.numel()) and shape[1] == shape.numel():
            return One(units, maps.reshape(-1, 1))
        if node.name in ("add", "sub", "mul", "div") and len(node.args) == 2 and not node.kwargs:
            return self._with_other(node, number, change)
        return None

    def _convolved(self, node: Node, number: int, change: One) -> "Lean | Tensor | None":
        told = given(node)
        weight, bias, groups = told["weight"], told["bias"], int(told["groups"])
        if isinstance(weight, Ref) or isinstance(bias, Ref) or isinstance(told["padding"], str):
            return None
        units, maps, count = change.units, change.maps, self.count
        channels = self.plan.shapes[number][1]
        kernel, stride = tuple(weight.shape[2:]), pair(told["stride"])
        dilation, padding = pair(told["dilation"]), pair(told["padding"])
        if groups == channels == len(weight) and groups > 1:
            chosen = None if bias is None else bias[units]
            across = F.conv2d(maps.transpose(0, 1), weight[units], chosen, stride, padding, dilation, count)
            return One(units, across.transpose(0, 1))
        if groups > 1:
            return None
        moved = maps - self.values[number][0, units][:, None]
        if kernel == (1, 1) and padding == (0, 0):
            return Outer(weight[:, units, 0, 0].T, moved[:, 0, :: stride[0], :: stride[1]])
        # A convolution of one map: only the unit's own weights count.
        columns = F.unfold(moved, kernel, dilation, padding, stride)
        own = weight[:, units].transpose(0, 1).flatten(2)
        clean = self.values[node.outputs[0]]
        made: Tensor = (own @ columns).view(count, *clean.shape[1:]) + clean
        return made

    def _with_other(self, node: Node, number: int, change: One) -> "Lean | None":
        """Calculate with another value of which, for each unit, only its own channel is needed."""
        shape = self.plan.shapes[number]
        taken: list[Any] = []
        for one in node.args:
            if _refers(one, number):
                taken.append(change.maps.clone() if node.in_place else change.maps)
                continue
            other = self.values[one.number] if isinstance(one, Ref) else one
            if isinstance(other, Tensor) and other.numel() > 1:
                if other.ndim == len(shape) - 1 and other.shape[:1] == shape[1:2]:
                    other = other[None]
                if other.ndim != len(shape) or other.shape[0] != 1 or other.shape[1] != shape[1]:
                    return None
                other = other[0, change.units][:, None]
            taken.append(other)
        if tuple(self.plan.shapes[node.outputs[0]]) != tuple(shape):
            return None
        return One(change.units, node.function(*taken))

    def _outer(self, node: Node, number: int, change: Outer) -> "Lean | Tensor | None":
        if node.name == "conv2d":
            told = given(node)
            weight, bias = told["weight"], told["bias"]
            plain = int(told["groups"]) == 1 and not isinstance(weight, Ref) and not isinstance(bias, Ref)
            still = (
                plain
                and tuple(weight.shape[2:]) == (1, 1)
                and told["padding"] in (0, "valid", (0, 0), [0, 0])
            )
            if not still:
                return None
            rows, cols = pair(told["stride"])
            return Outer(change.across @ weight[:, :, 0, 0].T, change.maps[:, ::rows, ::cols])
        if node.name == "batch_norm" and len(node.inputs) == 1:
            told = given(node)
            if told["training"] or told["running_mean"] is None:
                return None
            scale = (told["running_var"] + told["eps"]).rsqrt()
            return Outer(
                change.across * (scale if told["weight"] is None else scale * told["weight"]), change.maps
            )
        if node.name in ("add", "sub") and len(node.args) == 2 and not node.kwargs:
            same = self.plan.shapes[node.outputs[0]] == self.plan.shapes[number]
            if not same or sum(_refers(one, number) for one in node.args) != 1:
                return None
            turned = node.name == "sub" and not _refers(node.args[0], number)
            return Outer(-change.across if turned else change.across, change.maps)
        if node.name == "avg_pool2d" or node.name == "adaptive_avg_pool2d" or _over_places(node):
            pooled = call(node, {number: change.maps[:, None]})
            if pooled.ndim == 4:
                return Outer(change.across, pooled[:, 0])
            return torch.addcmul(self.values[node.outputs[0]], change.across, pooled)
        return None


_JOINING = names("concatenation")


def _each(node: Node) -> bool:
    """Return whether a node makes of each channel one of its own, whatever the others hold."""
    return (node.name in _EACH or _over_places(node)) and not list(tensors_in((node.args, node.kwargs)))


def _over_places(node: Node) -> bool:
    """Return whether a node takes the mean or sum over rows and columns."""
    if node.name not in ("mean", "sum"):
        return False
    dims = given(node)["dim"]
    return isinstance(dims, tuple | list) and sorted(int(dim) % 4 for dim in dims) == [2, 3]


class Ablator:
    """Puts units of a layer to other values, on one image.

    Parameters
    ----------
    network : nn.Module
        Left exactly as found.
    layer : Layer
        Of this network, as it is for an image of this size.
    image : Tensor of shape (1, C, H, W)
        On the network's device.
    take : callable
        Gets what the network returns, and gives the tensor that is read.
    read : callable
        Gets that tensor for several units, (P, …), and gives what is wanted of it, (P, …).
    tape : Tape
        Of the network on this image; its `output` is that tensor. If it does not hold the values that are needed,
        the network runs once more.
    check : bool
        Whether to compare with full passes; once is enough for one network and one size of image.
    reserve : callable, optional
        Called before values are kept, with how many bytes they take.

    Attributes
    ----------
    units : Units
    tail : Tail or None
    why_full : str
        Why there is none: then each unit takes a full pass.
    clean : Tensor of shape (…)
        What is read on the image itself.

    Raises
    ------
    LayerError
        If its values are complex or quantized, or what is read does not come from it.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: Layer,
        image: Tensor,
        take: Callable[[Any], Tensor],
        read: Read,
        *,
        tape: Tape,
        check: bool = True,
        reserve: Callable[[int], None] | None = None,
    ) -> None:
        self.network, self.layer, self.image = unwrap(network), layer, image
        self._take, self._read, self._check = take, read, check
        self.tail: Tail | None = None
        self.why_full = ""
        source = tape.layers.get(Key(layer.module, layer.function, layer.call))
        try:
            if source is None or tape.output is None:
                raise UnfollowableError("what is wanted does not come from functions of the image")
            tail = Tail(tape, source, tape.output)
            if not tail.nodes:
                raise LayerError(
                    f"the scores do not come from layer {layer.name} ({layer.alias}); choose one before them "
                    f"(see: netviz layers)"
                )
            tail.values = clean_values(tape, self.network, image, tail.reads, reserve)
            self.tail = tail
        except UnfollowableError as error:
            self.why_full = str(error)
        if self.tail is None:
            output, target = self._full(lambda one: one)
        else:
            output, target = self.tail.values[self.tail.source], self.tail.values[self.tail.target]
        if output.is_complex() or output.is_quantized:
            kind = "complex" if output.is_complex() else "quantized"
            raise LayerError(
                f"the values of layer {layer.name} are {kind}; choose another layer (see: netviz layers)"
            )
        self.units = Units(layer, output)
        with torch.no_grad():
            self.clean = read(target)[0]

    def _full(self, swap: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Return a layer's raw output and the tensor that is read, after a full pass with the output replaced."""
        with (
            torch.no_grad(),
            capture(self.network, [self.layer], swap=lambda _, one: swap(one), any_size=True) as run,
        ):
            returned = run(self.image)
            output: Tensor = run[self.layer]
            return output, self._take(returned)

    def at(self, values: Tensor) -> Tensor:
        """Return what is read when the layer's raw output is replaced as a whole."""
        with torch.no_grad():
            if self.tail is not None:
                try:
                    return self._read(self.tail.run(self.tail.alone(values)))[0]
                except UnfollowableError:
                    pass
            return self._read(self._full(lambda _: values)[1])[0]

    def slope(self, number: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the gradient of a number made of what `read` gives, with respect to the layer's raw output.

        Raises
        ------
        ModelError
            If none flows.
        """
        reason = ""
        if self.tail is not None:
            try:
                return self.tail.gradient(lambda target: number(self._read(target)[0]))
            except (RuntimeError, UnfollowableError) as error:
                reason = brief(error)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            capture(self.network, [self.layer], grad=True, any_size=True) as run,
        ):
            try:
                found = number(self._read(self._take(run(self.image)))[0])
                (slope,) = torch.autograd.grad(
                    found, run[self.layer], allow_unused=True, materialize_grads=True
                )
            except RuntimeError as error:
                reason = reason or brief(error)
            else:
                found_slope: Tensor = slope
                return found_slope
        raise ModelError(
            f"no gradient flows from the scores to layer {self.layer.name} ({reason}); choose another layer"
        )

    def run(
        self,
        values: Tensor,
        *,
        slope: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
        foretell: Callable[[float], None] | None = None,
    ) -> Ablation:
        """Put each unit to its part of some values, and read what the network gives.

        Parameters
        ----------
        values : Tensor
            In the shape of the layer's raw output.
        slope : Tensor, optional
            What `slope` gives of the one number that is read, where the target is linear in the layer's output: then
            nothing has to run again.
        progress : callable, optional
            Called with how many units are done, and of how many.
        foretell : callable, optional
            Called when some units are done, with about how many seconds all take.
        """
        units = self.units
        different = values != units.output
        if units.plain:
            changed = different[0].flatten(1).any(1)
        else:
            changed = torch.zeros(units.count, dtype=torch.bool, device=different.device)
            changed[units.label[different]] = True
        some = changed.nonzero()[:, 0]
        found = self.clean.expand(units.count, *self.clean.shape).clone()
        why = self.why_full
        with torch.no_grad(), kept_memory():
            if self.tail is not None:
                places = sorted({len(some) // 2, len(some) - 1}) if len(some) and self._check else []
                truth = {unit: self._without(values, unit) for unit in some[places].tolist()}
                try:
                    if slope is None:
                        found[some] = self._batches(self.tail, values, some, progress, foretell)
                    else:
                        change = units.total(wide(slope) * wide(values - units.output))[0]
                        found = (wide(self.clean) + change).to(self.clean.dtype).to(self.clean.device)
                    if not self._right(found, truth):
                        why = "the recorded functions do not give what the network gives"
                except UnfollowableError as error:
                    why = str(error)
            if why:
                began = time.monotonic()
                for done, unit in enumerate(some.tolist(), start=1):
                    if done == 2 and foretell is not None:
                        foretell((time.monotonic() - began) * len(some))
                    found[unit] = self._without(values, unit)
                    if progress is not None:
                        progress(done, len(some))
        return Ablation(self.clean, found, why, units.count - len(some))

    def _without(self, values: Tensor, unit: int) -> Tensor:
        """Return what is read after a full pass in which one unit is put to its part of some values."""

        def put(output: Tensor) -> Tensor:
            if self.units.plain:
                output[:, unit] = values[:, unit]
                return output
            return torch.where(self.units.label == unit, values, output)

        return self._read(self._full(put)[1])[0]

    def _batches(
        self,
        tail: Tail,
        values: Tensor,
        some: Tensor,
        progress: Callable[[int, int], None] | None,
        foretell: Callable[[float], None] | None,
    ) -> Tensor:
        def made() -> Iterator[Tensor]:
            done = 0
            began = time.monotonic()
            for batch in torch.split(some, tail.most()):
                if done == tail.most() and foretell is not None:
                    foretell((time.monotonic() - began) * len(some) / done)
                if self.units.plain:
                    given: Tensor | One = One(batch, values[0, batch][:, None])
                else:
                    label, put, clean = map(tail.alone, (self.units.label, values, self.units.output))
                    mine = label == batch.view(-1, *[1] * (label.ndim - 1))
                    given = torch.where(mine, put, clean)
                yield self._read(tail.run(given))
                done += len(batch)
                if progress is not None:
                    progress(done, len(some))

        return joined(made(), len(some))

    def _right(self, found: Tensor, truth: dict[int, Tensor]) -> bool:
        """Return whether full passes give the same."""
        everything = torch.cat([self.clean.flatten(), *(one.flatten() for one in truth.values())])
        finite = everything[torch.isfinite(everything)]
        size = float(finite.abs().max()) if finite.numel() else 0.0
        return all(
            torch.allclose(found[unit], one, rtol=0, atol=max(TOLERANCE * size, 1e-12), equal_nan=True)
            for unit, one in truth.items()
        )
