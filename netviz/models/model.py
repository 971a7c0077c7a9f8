"""An opened MODEL: a network with what is known of it."""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from netviz.errors import ModelError
from netviz.models.loading.inert import unfilled, whole_state
from netviz.models.preprocessing import Preprocessing, assumed

_BANDS = 32
"""Images have no more channels than that."""


@dataclass(frozen=True)
class Model:
    """An opened MODEL: a network with its weights, or weights alone.

    Attributes
    ----------
    name : str
        What captions call it.
    network : nn.Module or None
        None when only weights could be read; `obstacle` then says why.
    weights : mapping of str to Tensor
        Every parameter and buffer by dotted name.
    preprocessing : Preprocessing
        How it wants its images.
    labels : tuple of str
        What its outputs mean; empty if unknown.
    origin : str
        Where network and weights come from, for a caption.
    obstacle : str
        Why there is no network.
    headless : str
        Where its file holds no classifier of it, what it holds instead; else "". Its class scores then mean nothing.
    doubts : tuple of str
        What speaks against whatever it answers, such as untrained weights.
    indexes : dict
        Its layers by what they were asked for with, so that several questions follow the network once.
    """

    name: str
    network: nn.Module | None
    weights: Mapping[str, Tensor]
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()
    origin: str = ""
    obstacle: str = ""
    headless: str = ""
    doubts: tuple[str, ...] = ()
    indexes: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def runnable(self) -> nn.Module:
        """Return the network.

        Raises
        ------
        ModelError
            If only weights could be read.
        """
        if self.network is None:
            raise ModelError(f"{self.name}: {self.obstacle}")
        return self.network

    def require_classifier(self) -> None:
        """Refuse a network of which the classifier is in no file.

        Raises
        ------
        ModelError
            If its class scores mean nothing.
        """
        if self.headless:
            raise ModelError(
                f"{self.name} has no classifier in its file, which {self.headless}: there are no class scores; give "
                "the network as module.path:factory or FILE.py:factory with --weights FILE"
            )


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside DataParallel and `torch.compile`: netviz runs it plainly, under its own names."""
    while True:
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


def given(network: nn.Module, name: str, origin: str) -> Model:
    """Return a network that says nothing of its preprocessing, with what netviz assumes.

    Raises
    ------
    ModelError
        If it takes no images, has lazy layers that have not run, or was not unpickled whole.
    """
    weights = whole_state(network, name)
    if any(map(is_lazy, [*network.parameters(), *network.buffers()])):
        raise unfilled(name)
    convolutions = [module for module in network.modules() if isinstance(module, _ConvNd)]
    if convolutions and not any(isinstance(one, nn.Conv2d | nn.ConvTranspose2d) for one in convolutions):
        raise ModelError(
            f"{name} takes no images: its convolutions are of type {type(convolutions[0]).__name__}; "
            "netviz shows networks with Conv2d"
        )
    network, narrow = _in_float32(network, name)
    quantized = any(value.is_quantized for value in weights.values())
    origin = ", ".join(filter(None, [origin, narrow, "quantized, shown dequantized" if quantized else ""]))
    likely = image_channels(network)[0]
    preprocessing = assumed(likely if likely <= _BANDS else 3)
    return Model(name, network, weights, preprocessing, (), origin)


def _in_float32(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return a network that computes in float32, a copy where it does not, and what is to be said of that."""
    tensors = (*network.parameters(), *network.buffers())
    kinds = {value.dtype for value in tensors if value.is_floating_point()} & {
        torch.float16,
        torch.bfloat16,
        torch.float64,
    }
    if not kinds:
        return network, ""
    try:
        made = copy.deepcopy(network).float()
    except Exception as error:  # a network may hold anything
        raise ModelError(
            f"{name} computes in {_kinds(kinds)} and cannot be copied ({error}): give network.float()"
        ) from error
    return made, f"{_kinds(kinds)}, run in float32"


def _kinds(kinds: set[torch.dtype]) -> str:
    return " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))


def image_channels(network: nn.Module) -> tuple[int, ...]:
    """Return how many channels an image may have for a network, by what its convolutions take, likeliest first.

    That is what the first one takes; but modules may be registered in another order than they run in, so 3 and 1 are
    likelier than any other number where they occur.
    """
    found = [module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
    usual = [] if found[:1] in ([1], [3]) else [count for count in (3, 1) if count in found]
    others = [count for count in found if count <= _BANDS]
    return tuple(dict.fromkeys([*usual, *found[:1], 3, 1, *others]))


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Load weights into a network and return it.

    Raises
    ------
    ModelError
        If names or shapes do not fit; the message names the file and the first of them. If values are complex.
    """
    odd = next((key for key, value in state.items() if value.is_complex()), None)
    if odd is not None:
        raise ModelError(
            f"the weights in {path} are complex ({odd}), those of {type(network).__name__} are real"
        )
    versioned = OrderedDict(state)
    # Without the versions of its modules, PyTorch would take the file for one of its first releases.
    versions = getattr(state, "_metadata", None) or getattr(network.state_dict(), "_metadata", None)
    versioned._metadata = versions  # type: ignore[attr-defined]
    try:
        network.load_state_dict(versioned, strict=True)
    except (RuntimeError, ValueError) as error:
        problem = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise ModelError(
            f"the weights in {path} do not fit {type(network).__name__}: {problem[:240]}"
        ) from error
    return network
