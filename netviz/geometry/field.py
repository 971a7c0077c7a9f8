"""Geometry: where in the image each layer looks, by following one forward pass."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from netviz.capture.layout import Atom, LostError, regrouped, rolled, total
from netviz.capture.tape import Node, Tape, record
from netviz.capture.trace import brief, network_device, network_dtype
from netviz.capture.watch import Key
from netviz.errors import LayerError, ModelError
from netviz.geometry.axes import (
    AXES,
    Axis,
    Spread,
    contracted,
    line,
    neutral,
    settled,
    spatial,
    tidied,
)
from netviz.geometry.rules.call import Call
from netviz.geometry.rules.shape import cut, gathered
from netviz.geometry.rules.table import RULES
from netviz.models.layers import Arrangement, Layer, LayerIndex
from netviz.models.model import unwrap

Status = Literal["exact", "upper_bound", "global", "unknown"]

# Fractional strides are sums of few terms in double precision: closer than this to a whole pixel is that pixel.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Seen:
    """Which part of an image each position sees at most, position by position.

    Attributes
    ----------
    size : (int, int)
        The image's height and width.
    ends : (ndarray, ndarray) of float64, shape (2, rows) and (2, columns)
        The first pixel, and the one after the last; inf and -inf where none is seen.
    """

    size: tuple[int, int]
    ends: tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Field:
    """The theoretical receptive field of every position of a layer.

    Output i of an axis sees the pixels from ``start + i*stride`` up to, not including, ``start + i*stride + size``,
    also outside the image, where a network pads with zeros. Each pair is (y, x), in pixels of the network's input.

    Attributes
    ----------
    size, stride, start : tuple of float
        For a layer that sees all of the image at every position: the image's size, 0 and 0; NaN when unknown.
    status : str
        ``exact``: these are the first and the last pixel that the layer's units see (between them dilation can
        leave holes; near the border of the map less is seen where a padding has no pixels). ``upper_bound``: they
        see nothing outside, perhaps less. ``global``: they see the whole image. ``unknown``: see `reason`.
    reason : str
        The operation that could not be followed, or "".
    local : Field or None
        Where every position sees the same by attention, gates or statistics: what each sees without these, at its own
        place. None elsewhere, and where positions have no place of their own.
    seen : Seen or None
        Where a line holds more than is seen: what each position sees at most.
    """

    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    status: Status
    reason: str = ""
    local: "Field | None" = None
    seen: Seen | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> "Field | None":
        """The field that tells where positions stand: this one or `local`; None if all stand for the same place."""
        if self.status in ("exact", "upper_bound") and all(side > 0 for side in self.stride):
            return self
        return self.local

    def box(self, row: int, col: int) -> tuple[int, int, int, int]:
        """Return the pixels that a position sees: (top, left, bottom, right), half-open, not clipped.

        Raises
        ------
        LayerError
            If the field is unknown.
        """
        if self.status == "unknown":
            raise LayerError(
                f"the receptive field is unknown: cannot follow {self.reason}; use another layer"
            )
        low = [self.start[axis] + at * self.stride[axis] for axis, at in enumerate((row, col))]
        top, left = (math.floor(edge + _ROUNDING) for edge in low)
        bottom, right = (
            math.ceil(edge + size - _ROUNDING) for edge, size in zip(low, self.size, strict=True)
        )
        return top, left, bottom, right

    def clipped(self, row: int, col: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return `box` cut at the border of an image of this height and width; empty boxes stay inside it.

        On images of the size at which the field was found, it is also cut at what the position sees at most.

        Raises
        ------
        LayerError
            If the field is unknown.
        """
        top, left, bottom, right = self.box(row, col)
        if self.seen is not None and self.seen.size == (height, width):
            (top, bottom), (left, right) = (
                _overlap(edges, ends[:, min(at, ends.shape[1] - 1)])
                for edges, ends, at in zip(
                    ((top, bottom), (left, right)), self.seen.ends, (row, col), strict=True
                )
            )
        top, left = min(max(top, 0), height), min(max(left, 0), width)
        return top, left, max(min(bottom, height), top), max(min(right, width), left)

    def center(self, row: int, col: int) -> tuple[float, float]:
        """Return the middle (y, x) of what a position sees, where the first pixel's middle is 0; NaN if unknown."""
        y, x = (
            self.start[axis] + at * self.stride[axis] + (self.size[axis] - 1) / 2
            for axis, at in enumerate((row, col))
        )
        return y, x

    @classmethod
    def unknown(cls, reason: str) -> "Field":
        """Return the field of a layer that could not be followed through an operation."""
        nothing = (math.nan, math.nan)
        return cls(nothing, nothing, nothing, "unknown", reason)


def _overlap(edges: tuple[int, int], ends: NDArray[np.float64]) -> tuple[int, int]:
    first, last = (float(one) for one in ends)
    if first >= last:
        return edges[0], edges[0]
    return max(edges[0], math.floor(first + _ROUNDING)), min(edges[1], math.ceil(last - _ROUNDING))


def geometry(network: nn.Module, index: LayerIndex) -> dict[Layer, Field]:
    """Find the field of every layer with maps, by following one forward pass at ``index.input_shape``.

    The pass runs on the meta device, without arithmetic; where a network does not allow that, on real zeros.

    Parameters
    ----------
    network : nn.Module
        Left exactly as found.
    index : LayerIndex
        Its layers.

    Returns
    -------
    dict of Layer to Field

    Raises
    ------
    ModelError
        If the index does not come from a forward pass, or the network does not run.
    """
    if index.input_shape is None:
        raise ModelError("this list of layers comes from weights alone: list the network's layers first")
    network = unwrap(network)
    tape = _tape(network, index.input_shape)
    spreads = follow(tape, index.input_shape[-2:])
    places: list[Spread | str] = []
    fields: dict[Layer, Field] = {}
    for layer in index:
        if layer.spatial:
            number = tape.layers.get(Key(layer.module, layer.function, layer.call))
            if number is None:
                fields[layer] = Field.unknown("what the forward pass did there")
                continue
            found = _field(spreads[number], layer)
            if found.status != "unknown" and not all(found.stride):
                places = places or follow(tape, index.input_shape[-2:], local=True)
                local = _field(places[number], layer)
                found = replace(found, local=local if local.place is local else None)
            fields[layer] = found
    return fields


def follow(tape: Tape, size: tuple[int, ...], *, local: bool = False) -> list[Spread | str]:
    """Return the geometry of every value of a tape, or the name of the operation that could not be followed.

    With `local`, only what belongs to each position's own place is followed: attention, gates and statistics over all
    positions are left out.
    """
    height, width = size
    image = tape.shapes[0]
    dims = (*map(neutral, image[:-2]), (Atom("y", image[-2]),), (Atom("x", image[-1]),))
    known: list[Spread | str] = ["a value that nothing made"] * len(tape.shapes)
    known[0] = Spread(dims, (Axis.of(height, local=local), Axis.of(width, local=local)))
    read = ""
    for node in tape.nodes:
        if not node.outputs:
            read = read or f"{node.name} (a value read by Python)"
            continue
        for number, found in zip(node.outputs, _outputs(node, tape, known, read), strict=True):
            if number not in node.inputs:  # a value that the function only handed through stays what it was
                known[number] = found
    return known


def _outputs(node: Node, tape: Tape, known: list[Spread | str], read: str) -> list[Spread | str]:
    count = len(node.outputs)
    lost = next((one for one in (known[number] for number in node.inputs) if isinstance(one, str)), read)
    if lost:
        return [lost] * count
    rule = RULES.get(node.name)
    if rule is None or not node.inputs:
        return [node.name] * count
    shapes = [tuple(tape.shapes[number]) for number in node.outputs]
    inputs = {number: one for number in node.inputs if not isinstance(one := known[number], str)}
    try:
        found = rule(Call(node, inputs, shapes, tape.fixed))
    except LostError as error:
        return [f"{node.name} {error}"] * count
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        # Arguments in a form that the rule does not foresee: better nothing than something wrong.
        return [f"{node.name} called in an unusual way"] * count
    each = found if isinstance(found, list) else [found] * count
    if len(each) != count:
        return [f"{node.name} called in an unusual way"] * count
    return [
        tidied(one) if one.shape == shape else f"{node.name} to the shape {'×'.join(map(str, shape))}"
        for one, shape in zip(each, shapes, strict=True)
    ]


def _tape(network: nn.Module, shape: tuple[int, ...]) -> Tape:
    """Record on the meta device, else for real."""
    try:
        return record(
            network, torch.zeros(1, *shape, device="meta", dtype=network_dtype(network)), keep=False
        )
    except Exception as error:  # whatever a network's own code raises on tensors without values
        problem = error
    device = network_device(network)
    if device.type != "meta":
        try:
            image = torch.zeros(1, *shape, device=device, dtype=network_dtype(network))
            return record(network, image, keep=False)
        except Exception as error:
            problem = error
    size = "×".join(map(str, shape))
    raise ModelError(
        f"the network does not run on an image of {size} ({brief(problem)}); give its input size with --size HxW"
    ) from problem


def _field(spread: Spread | str, layer: Layer) -> Field:
    """Return the field of a layer's output."""
    if isinstance(spread, str):
        return Field.unknown(spread)
    channel = 1 if layer.arrangement else layer.channel_axis % spread.rank
    if layer.arrangement is not None:
        try:
            spread = _arranged(spread, layer.arrangement)
        except LostError as error:
            return Field.unknown(f"{layer.arrangement} {error}")
    at = [one for one in range(spread.rank) if one not in (0, channel)]
    if spread.rank != 4:
        return Field.unknown("an output without rows and columns")
    if spatial(spread.dims[channel]):
        length = total(spread.dims[channel])
        spread = contracted(spread, channel, keep=True).with_dim(channel, neutral(length)).loosened()
    spread = tidied(spread)
    axes, counts = [], []
    for name, place in zip(AXES, at, strict=True):
        axis = spread.axis(name)
        here = {atom.name for atom in spread.dims[place] if atom.count > 1}
        others = [dim for i, dim in enumerate(spread.dims) if i != place]
        if len(here) > 1 or here - {name, "-"} or any(atom.name == name for dim in others for atom in dim):
            return Field.unknown("rows and columns that are none of the image's")
        axes.append(axis if spread.has(name) else replace(axis, stride=0.0))
        counts.append(spread.extent(name))
    try:
        return _made(axes, counts)
    except LostError as error:
        return Field.unknown(f"an operation {error}")


def _arranged(spread: Spread, how: Arrangement) -> Spread:
    """Put tokens or windows together to maps."""
    if how.others:
        spread = cut(spread, how.axis, how.before, 1, total(spread.dims[how.axis]) - how.others)
    split = regrouped(spread.dims, [max(size, 1) for size in how.split])
    maps = spread.with_dims(regrouped(tuple(split[one] for one in how.order), (1, *how.shape)))
    for at, shift in zip((2, 3), how.shift, strict=True):
        if shift and any(atom.shift for atom in maps.dims[at]):
            maps = maps.with_dim(at, rolled(maps.dims[at], shift))
        elif shift and spatial(maps.dims[at]):
            count = total(maps.dims[at])
            maps = gathered(settled(maps, at), at, (np.arange(count) - shift) % count, count)
    return maps


def _made(axes: list[Axis], counts: list[int]) -> Field:
    axes = [_agreeing(axis, count) for axis, count in zip(axes, counts, strict=True)]
    status: Status = "exact"
    if not all(axis.exact and axis.regular for axis in axes):
        status = "upper_bound"
    elif all(axis.whole and axis.start <= 0 and axis.start + axis.size >= axis.length for axis in axes):
        status = "global"
    (y, x) = axes
    ends = [np.stack(axis.seen(count)) for axis, count in zip(axes, counts, strict=True)]
    seen = None if status == "exact" else Seen((y.length, x.length), (ends[0], ends[1]))
    return Field((y.size, x.size), (y.stride, x.stride), (y.start, x.start), status, seen=seen)


def _agreeing(axis: Axis, count: int) -> Axis:
    """Return an axis whose line holds what each of its positions sees, regular only if it sees just that.

    Where the line leaves the image, less may be seen than it tells: beyond the border are zeros, or positions of
    inside once more.
    """
    first, last = axis.seen(count)
    some = first < last
    low, high = axis.edges(count)
    slack = _ROUNDING
    beyond = (low < -slack) | (high > axis.length + slack)
    held = ~some | ((first >= low - slack) & (last <= high + slack))
    met = some & (np.abs(first - low) <= slack) & (np.abs(last - high) <= slack)
    if held.all() and (met | beyond).all():
        return axis
    if axis.exact and some.all() and count > 1:
        size, stride, start = line(first, last)
        steps = start + stride * np.arange(count)
        if np.allclose(first, steps, rtol=0, atol=slack) and np.allclose(
            last, steps + size, rtol=0, atol=slack
        ):
            return axis.lined(size, stride, start, regular=True)
    steps = axis.stride * np.arange(count)
    start = min(axis.start, float((first - steps)[some].min(initial=axis.start)))
    end = max(axis.start + axis.size, float((last - steps)[some].max(initial=-np.inf)))
    return axis.lined(end - start, axis.stride, start, regular=False)
