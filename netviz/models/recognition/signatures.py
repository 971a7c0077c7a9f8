"""What the networks of torchvision and timm would save: names and shapes, at no cost in memory."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import nn

from netviz.errors import ModelError
from netviz.models.builders import build_timm, build_torchvision, torchvision_families

Shape = tuple[int, ...]

COUNTER = "num_batches_tracked"  # BatchNorm's counter, which old checkpoints lack


@dataclass(frozen=True)
class Signature:
    """Names and shapes of a network's state.

    Attributes
    ----------
    builder : str
        A torchvision builder, or ``timm:NAME``.
    arguments : dict
        What it was built with.
    shapes : dict of str to tuple of int
        Without BatchNorm's counters.
    transient : frozenset of str
        Buffers that the network has but does not save.
    classes : int
        The number of classes it was built for.
    order : tuple of str
        All names that it saves, BatchNorm's counters among them; empty where it was not built.
    metadata : mapping
        The versions that ``state_dict()`` notes for its modules; MNASNet does not load without.
    """

    builder: str
    arguments: dict[str, Any]
    shapes: dict[str, Shape]
    transient: frozenset[str]
    classes: int
    order: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def is_counter(key: str) -> bool:
    """Return whether a name is that of a BatchNorm's counter."""
    return key.rpartition(".")[2] == COUNTER


def signature(builder: str, arguments: Mapping[str, Any]) -> Signature | None:
    """Return what a builder's network would save, or None if it cannot be built on the meta device."""
    return _signature(builder, tuple(sorted(arguments.items())))


@cache
def _signature(builder: str, arguments: tuple[tuple[str, Any], ...]) -> Signature | None:
    try:
        return describe(builder, build_bare(builder, **dict(arguments)), dict(arguments))
    except ModelError:
        return None


def build(builder: str, **arguments: Any) -> nn.Module:
    """Build a network of torchvision, or of timm for ``timm:NAME``; see `netviz.models.builders`."""
    if builder.startswith("timm:"):
        return build_timm(builder.removeprefix("timm:"), **arguments)
    return build_torchvision(builder, **arguments)


def build_bare(builder: str, **arguments: Any) -> nn.Module:
    """Build a network for its structure alone: on the meta device, or on the CPU where it does not allow that."""
    try:
        return build(builder, meta=True, **arguments)
    except ModelError:
        return build(builder, **arguments)


def describe(builder: str, network: nn.Module, arguments: dict[str, Any]) -> Signature:
    """Return the signature of a network that a builder has made."""
    state = network.state_dict()
    own = arguments.get("num_classes", getattr(network, "num_classes", None))
    return Signature(
        builder=builder,
        arguments=arguments,
        shapes={key: tuple(value.shape) for key, value in state.items() if not is_counter(key)},
        transient=frozenset(name for name, _ in network.named_buffers()) - set(state),
        classes=own if isinstance(own, int) else _torchvision_classes(builder),
        order=tuple(state),
        metadata=getattr(state, "_metadata", {}),
    )


def _torchvision_classes(builder: str) -> int:
    """Return torchvision's default number of classes: ImageNet's, Pascal VOC's with background, or COCO's."""
    family = next((family for family, names in torchvision_families().items() if builder in names), "")
    if family.startswith("segmentation"):
        return 21
    if family.startswith("detection"):
        return 2 if "keypoint" in family else 91
    return 1000


def heads(known: Signature, other: Signature | None) -> tuple[str, ...]:
    """Return the parts of a network, by the first word of their names, whose shapes follow the number of classes.

    Parameters
    ----------
    known, other : Signature
        The same network for two numbers of classes; None where it takes none: then it is the last part.
    """
    changed = []
    if other is not None and other.shapes.keys() == known.shapes.keys():
        changed = [key for key, shape in known.shapes.items() if other.shapes[key] != shape]
    return tuple(dict.fromkeys(key.partition(".")[0] for key in changed or [*known.shapes][-1:]))


# What changes no values in evaluation, or bears other names in other libraries.
_IDLE = re.compile(r"Identity|Drop|Flatten|Adaptive|Permute|^StochasticDepth$")


def behaviour(network: nn.Module) -> tuple[str, str]:
    """Return two digests of what a network computes beside its weights' names and shapes: strides, padding, epsilons.

    Networks of one library that compute the same have the same first digest; across libraries, which name their
    modules differently, the same second one.
    """
    types: list[str] = []
    weighted: list[str] = []
    plain: Counter[str] = Counter()
    activations: set[str] = set()
    for name, module in network.named_modules():
        kind = type(module).__name__
        if _IDLE.search(kind):
            continue
        types.append(kind)
        text = f"{kind.replace('Act', '')}({re.sub('inplace=[A-Za-z]+', '', module.extra_repr())})"
        if any(True for _ in module.parameters(recurse=False)):
            weighted.append(f"{name} {text}")
        elif type(module).__module__.rpartition(".")[2].startswith("activation"):
            activations.add(kind)
        elif not any(True for _ in module.children()):
            plain[text] += 1
    coarse = repr((weighted, sorted(plain.items()), sorted(activations)))
    return _digest(coarse + repr(types)), _digest(coarse)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
