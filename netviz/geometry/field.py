"""Geometry: where in the image each layer looks, by following one forward pass."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from netviz.capture.layout import Atom, LostError, regrouped, rolled, total
from netviz.capture.tape import Node, Tape, record
from netviz.capture.trace import brief, network_device, network_dtype
from netviz.capture.watch import Key
from netviz.errors import LayerError, ModelError
from netviz.geometry.axes import AXES, Axis, Spread, contracted, neutral, settled, spatial, tidied
from netviz.geometry.rules.call import Call
from netviz.geometry.rules.shape import cut, gathered
from netviz.geometry.rules.table import RULES
from netviz.models.layers import Arrangement, Layer, LayerIndex
from netviz.models.model import unwrap

Status = Literal["exact", "upper_bound", "global", "unknown"]

# Fractional strides are sums of few terms in double precision: closer than this to a whole pixel is that pixel.
_ROUNDING = 1e-6


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
    """

    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    status: Status
    reason: str = ""
    local: "Field | None" = None

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

        Raises
        ------
        LayerError
            If the field is unknown.
        """
        top, left, bottom, right = self.box(row, col)
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
    known[0] = Spread(dims, (Axis(height, 0, height, local=local), Axis(width, 0, width, local=local)))
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
        found = rule(Call(node, inputs, shapes))
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
    axes = []
    for name, place in zip(AXES, at, strict=True):
        axis = spread.axis(name)
        here = {atom.name for atom in spread.dims[place] if atom.count > 1}
        others = [dim for i, dim in enumerate(spread.dims) if i != place]
        if len(here) > 1 or here - {name, "-"} or any(atom.name == name for dim in others for atom in dim):
            return Field.unknown("rows and columns that are none of the image's")
        axes.append(axis if spread.has(name) else replace(axis, stride=0.0))
    return _made(axes)


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
            maps = gathered(settled(maps, at), at, (np.arange(count) + shift) % count)
    return maps


def _made(axes: list[Axis]) -> Field:
    status: Status = "exact"
    if not all(axis.exact for axis in axes):
        status = "upper_bound"
    elif all(axis.whole and axis.start <= 0 and axis.start + axis.size >= axis.length for axis in axes):
        status = "global"
    (y, x) = axes
    return Field((y.size, x.size), (y.stride, x.stride), (y.start, x.start), status)
