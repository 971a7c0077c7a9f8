"""LayerIndex: every layer of a network, in the order in which it runs, under every name a user may type.

Classic names, too: conv1, pool2, relu3, fc6; conv3_2 in a VGG-like network.
"""

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from string import ascii_lowercase
from typing import Any, overload

from torch import Tensor

from netviz.errors import LayerError

WEIGHTED = ("conv", "deconv", "fc")

_SHORT = {"dropout": "drop"}


@dataclass(frozen=True)
class LayerCall:
    """What naming needs to know of one layer call.

    Attributes
    ----------
    kind : str
        The layer's kind: ``conv``, ``pool``, ``relu``, ….
    chained : bool
        Whether its input is exactly the output of the call before.
    """

    kind: str
    chained: bool


def name_calls(calls: Sequence[LayerCall]) -> list[tuple[str, ...]]:
    """Name every call by the convolution that it is or follows.

    A convolution or linear layer takes the next number; what comes after it shares that number (``pool2`` is the
    pooling after ``conv2``), and a second of its kind gets a letter (``relu4b``). In a VGG-like network the number
    is the stage's, with the position in it: ``conv3_2``; there a convolution also keeps its plain number.

    Parameters
    ----------
    calls : sequence of LayerCall
        In the order in which they run.

    Returns
    -------
    list of tuple of str
        For each call its names, the first being the one to show; all first names differ.
    """
    flat = list(_flat_names(calls))
    staged = _stage_names(calls)
    taken: set[str] = set()
    names = []
    for call, plain, stage in zip(calls, flat, staged, strict=True):
        first = _unused(stage or plain, taken)
        taken.add(first)
        also = (plain,) if stage and call.kind in ("conv", "deconv") else ()
        names.append((first, *also))
    shown = {first for first, *_ in names}
    return [(first, *(name for name in also if name not in shown)) for first, *also in names]


def _flat_names(calls: Sequence[LayerCall]) -> Iterator[str]:
    number = 0
    for call in calls:
        number += call.kind in WEIGHTED
        yield f"{_SHORT.get(call.kind, call.kind)}{number}"


def _stage_names(calls: Sequence[LayerCall]) -> list[str]:
    """Name the calls of a VGG-like network by stage; empty strings where plain numbering holds.

    VGG-like: from the image on, a plain chain whose stages end in pooling, at least two of them with more than one
    convolution, holding at least half of the network's convolutions.
    """
    end = next((i for i, call in enumerate(calls) if i and not call.chained), len(calls))
    stages = [0]
    for call in calls[:end]:
        if call.kind in ("conv", "deconv"):
            stages[-1] += 1
        elif call.kind == "pool" and stages[-1]:
            stages.append(0)
    pooled = stages[:-1]
    total = sum(call.kind in ("conv", "deconv") for call in calls)
    if sum(count > 1 for count in pooled) < 2 or 2 * sum(stages) < total:
        return [""] * len(calls)
    return list(_walk_stages(calls, end))


def _walk_stages(calls: Sequence[LayerCall], end: int) -> Iterator[str]:
    stage, position, closed = 1, 0, False
    linear = 0
    for i, call in enumerate(calls):
        name = _SHORT.get(call.kind, call.kind)
        if call.kind == "fc":
            linear += 1
        if i >= end and call.kind in ("conv", "deconv"):
            end = -1
        if end < 0:
            yield ""
        elif linear:
            yield f"{name}{stage + linear}"
        elif call.kind in ("conv", "deconv"):
            if closed:
                stage, position, closed = stage + 1, 0, False
            position += 1
            yield f"{name}{stage}_{position}"
        elif call.kind == "pool" or closed:
            closed = True
            yield f"{name}{stage}"
        else:
            yield f"{name}{stage}_{position}" if position else ""


def _unused(name: str, taken: set[str]) -> str:
    """Return the name, with the first letters (b, c, …, aa, …) that make it new."""
    if name not in taken:
        return name
    letters = (*ascii_lowercase[1:], *map("".join, product(ascii_lowercase, repeat=2)))
    number = next((i for i, suffix in enumerate(letters) if name + suffix not in taken), len(letters))
    return name + letters[number] if number < len(letters) else f"{name}-{len(taken)}"


@dataclass(frozen=True)
class Kernel:
    """What a convolution's weights look like.

    Attributes
    ----------
    shape : tuple of int
        The parameter's shape: (O, I/groups, kh, kw), or (I, O/groups, kh, kw) when transposed.
    groups : int
        Groups of the convolution.
    transposed : bool
        Whether it is a transposed convolution.
    sees_image : bool
        Whether it reads the image itself.
    """

    shape: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    sees_image: bool = False


@dataclass(frozen=True)
class Arrangement:
    """How a raw output that is no (N, C, H, W) is put together to maps: of tokens, windows or heads.

    Attributes
    ----------
    windows : bool
        Whether its positions are cut into windows.
    axis : int
        Along which `others` lie beside the tokens of the image.
    before, others : int
        How many tokens stand before those of the image, and how many there are in all that are none of the image:
        class and register tokens.
    split : tuple of int
        The output's shape, without others, in factors; -1 for the batch.
    order : tuple of int
        Which of these make the batch, the channels, the rows and the columns.
    shape : (int, int, int)
        Of the maps of one image: C, H, W.
    size : (int, int)
        Height and width of the images for which it holds, in pixels; (0, 0) if that is not said.
    shift : (int, int)
        By how much rows and columns were rolled: row i of the output is row i + shift of the image.
    """

    windows: bool
    axis: int
    before: int
    others: int
    split: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, int, int]
    size: tuple[int, int] = (0, 0)
    shift: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return self.form + (f" +{self.others}" if self.others else "")

    @property
    def form(self) -> str:
        """What the maps are put together of: ``tokens`` or ``windows``."""
        return "windows" if self.windows else "tokens"

    def describe(self) -> dict[str, Any]:
        """Return what ``netviz layers --json`` says of it."""
        return {"form": self.form, "others": self.others}


@dataclass(frozen=True)
class Layer:
    """One call of one layer.

    Attributes
    ----------
    name : str
        Its address: the dotted PyTorch name; a later call of the same module, and a function that no module wraps,
        are named as torchvision's feature extraction names them (``layer1.0.relu_1``, ``features.relu``).
    alias, aliases : str, tuple of str
        The classic name to show, and all classic names.
    kind : str
        ``conv``, ``deconv``, ``fc``, ``pool``, ``norm``, ``relu`` and other non-linearities by name, ``dropout``,
        ``upsample``, ``block`` (a module of several that computes something of its own, such as a sum).
    type : str
        The module's class or the function's name.
    channels : int
        Number of units.
    shape : tuple of int or None
        The output's shape for one image, (C, H, W) or (C,), in pixels of the layer; None when it never ran.
    parameters : int
        Number of parameters of its own.
    calls, call : int
        How often the module runs in one forward pass, and which of these this is, from 0.
    module : str
        Dotted name of the module that ran, or, for a function, of the module in which it was called.
    function : str or None
        The function's name if no module wraps it.
    also : tuple of str
        Dotted names of the modules that hand out this same tensor (``features`` for its last member).
    channel_axis : int
        Where the channels are in the raw output, 1 for (N, C, H, W), 3 for (N, H, W, C).
    kernel : Kernel or None
        A convolution's filters.
    no_maps : str
        Why an output with three or more axes is no maps; else "".
    complex : bool
        Whether its output is complex: its maps are magnitudes, and its kind says so.
    arrangement : Arrangement or None
        How maps are put together of an output of tokens or windows; None where it needs no more than `channel_axis`.
    """

    name: str
    kind: str
    type: str
    channels: int
    shape: tuple[int, ...] | None
    parameters: int = 0
    calls: int = 1
    call: int = 0
    module: str = ""
    function: str | None = None
    alias: str = ""
    aliases: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    channel_axis: int = 1
    kernel: Kernel | None = None
    no_maps: str = ""
    complex: bool = False
    arrangement: Arrangement | None = None

    @property
    def spatial(self) -> bool:
        """Whether it has maps: an output of shape (N, C, H, W), in this or another order, or tokens of an image."""
        return self.shape is not None and len(self.shape) == 3 and not self.no_maps

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that means this layer."""
        return (self.name, *self.aliases, *self.also)

    def describe(self) -> dict[str, Any]:
        """Return the facts that ``netviz layers --json`` prints."""
        return {
            "name": self.name,
            "alias": self.alias,
            "kind": self.kind,
            "type": self.type,
            "channels": self.channels,
            "shape": None if self.shape is None else list(self.shape),
            "parameters": self.parameters,
            "calls": self.calls,
            "call": self.call,
            "tokens": None if self.arrangement is None else self.arrangement.describe(),
        }


class LayerIndex(Sequence[Layer]):
    """The layers of a network in the order in which they run.

    Parameters
    ----------
    layers : sequence of Layer
        Without aliases: they are given here.
    chained : sequence of bool
        For each layer whether its input is exactly the output of the one before.
    input_shape : tuple of int or None
        The shape (C, H, W) of the image that the network was followed with.
    idle : sequence of str
        Names of modules that did not run.
    doubts : tuple of str
        What speaks against whatever the network answers.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        chained: Sequence[bool],
        input_shape: tuple[int, ...] | None = None,
        idle: Sequence[str] = (),
        doubts: tuple[str, ...] = (),
    ) -> None:
        calls = [LayerCall(layer.kind, link) for layer, link in zip(layers, chained, strict=True)]
        self._layers = tuple(
            replace(
                layer,
                alias=names[0],
                aliases=names,
                kind=f"{layer.kind}, magnitude" if layer.complex else layer.kind,
            )
            for layer, names in zip(layers, name_calls(calls), strict=True)
        )
        self.input_shape = input_shape
        self.idle = tuple(idle)
        self.doubts = doubts

    def __len__(self) -> int:
        return len(self._layers)

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Layer, ...]: ...
    def __getitem__(self, index: int | slice) -> Layer | tuple[Layer, ...]:
        return self._layers[index]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    def resolve(
        self, spec: str, among: Callable[[Layer], bool] | None = None, purpose: str = "layer"
    ) -> Layer:
        """Find the one layer that a name means.

        Parameters
        ----------
        spec : str
            A dotted name, an alias, a glob that fits one layer, or ``-1``, ``-2``, … counted from the last.
        among : callable, optional
            Which layers can serve; ``-1`` counts among these, and globs look only at these. By default the
            layers with maps.
        purpose : str
            What the layer is wanted for, for the message.

        Returns
        -------
        Layer
            It may be one that `among` rejects when it was named exactly: the caller says why it cannot serve.

        Raises
        ------
        LayerError
            If there is none, naming the closest, or several.
        """
        found = self.resolve_all(spec, among=among, purpose=purpose)
        if len(found) > 1:
            some = ", ".join(layer.name for layer in found[:4])
            raise LayerError(
                f"{spec!r} fits {len(found)} layers ({some}{', …' if len(found) > 4 else ''}); name one of them"
            )
        return found[0]

    def resolve_all(
        self, spec: str, among: Callable[[Layer], bool] | None = None, purpose: str = "layer"
    ) -> tuple[Layer, ...]:
        """Find every layer that a name, glob or number from the end means, in running order.

        Raises
        ------
        LayerError
            If there is none, naming the closest.
        """
        usable = [layer for layer in self if (among or (lambda layer: layer.spatial))(layer)]
        if re.fullmatch(r"-\d+", spec):
            if not 1 <= -int(spec) <= len(usable):
                raise LayerError(f"no {purpose} {spec}: the network has {len(usable)} that can serve")
            return (usable[int(spec)],)
        exact = self._named(spec) or self._named(spec.removeprefix("module."))
        if exact:
            return (next((layer for layer in exact if layer in usable), exact[0]),)
        lowered = spec.casefold()
        for layer in self:
            if any(lowered == name.casefold() for name in layer.names):
                return (layer,)
        if any(mark in spec for mark in "*?["):
            matching = tuple(
                layer for layer in usable if any(fnmatch.fnmatchcase(name, spec) for name in layer.names)
            )
            if matching:
                return matching
        if spec in self.idle:
            raise LayerError(f"{spec} does not run in this forward pass; {self._closest(spec, usable)}")
        raise LayerError(f"no {purpose} {spec!r} in this network; {self._closest(spec, usable)}")

    def _named(self, name: str) -> list[Layer]:
        """Return the layers that bear exactly this name: dotted names first, then classic aliases."""
        by_name = [layer for layer in self if name == layer.name]
        by_module = [layer for layer in self if name in layer.also]
        return [*by_name, *by_module, *(layer for layer in self if name in layer.aliases)]

    def _closest(self, spec: str, usable: Sequence[Layer]) -> str:
        names = [name for layer in usable for name in layer.names]
        close = difflib.get_close_matches(spec, names, n=3, cutoff=0.5)
        if close:
            return f"the closest: {', '.join(close)}"
        return (
            f"it has {', '.join(names[:4])}, … (see: netviz layers)"
            if names
            else "it has none that can serve"
        )


def index_weights(weights: Mapping[str, Tensor]) -> LayerIndex:
    """List the convolutions and linear layers of a bare state dict, in the file's own order.

    Without the network nothing is known of its running order, shapes, groups or strides; a weight with one input
    channel per filter and several filters is taken as depthwise.
    """
    layers: list[Layer] = []
    for key, value in weights.items():
        if not key.endswith("weight") or value.ndim not in (2, 4):
            continue
        name = key.removesuffix("weight").removesuffix(".") or "weight"
        shape = tuple(value.shape)
        first = not any(layer.kernel for layer in layers)
        kernel = None
        if len(shape) == 4:
            depthwise = shape[1] == 1 and shape[0] > 1 and not first
            kernel = Kernel(shape, shape[0] if depthwise else 1, sees_image=first and shape[1] == 3)
        bias = weights.get(key.removesuffix("weight") + "bias")
        layers.append(
            Layer(
                name=name,
                kind="conv" if kernel else "fc",
                type="weight",
                channels=shape[0],
                shape=None,
                parameters=value.numel() + (bias.numel() if bias is not None else 0),
                module=name,
                kernel=kernel,
            )
        )
    return LayerIndex(layers, [False] * len(layers))
