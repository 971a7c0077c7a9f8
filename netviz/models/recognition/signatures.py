"""What the networks of torchvision and timm would save: names and shapes, at no cost in memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from netviz.errors import ModelError
from netviz.models.builders import build_timm, build_torchvision, import_timm, torchvision_families

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
    order : tuple of str
        All names that it saves, BatchNorm's counters among them.
    transient : frozenset of str
        Buffers that the network has but does not save.
    classes : int
        The number of classes it was built for.
    metadata : mapping
        The versions that ``state_dict()`` notes for its modules; MNASNet does not load without.
    """

    builder: str
    arguments: dict[str, Any]
    shapes: dict[str, Shape]
    order: tuple[str, ...]
    transient: frozenset[str]
    classes: int
    metadata: Mapping[str, Any]


def signature(builder: str, arguments: Mapping[str, Any]) -> Signature | None:
    """Return what a builder's network would save, or None if it cannot be built on the meta device."""
    return _signature(builder, tuple(sorted(arguments.items())))


@cache
def _signature(builder: str, arguments: tuple[tuple[str, Any], ...]) -> Signature | None:
    keywords = dict(arguments)
    try:
        if builder.startswith("timm:"):
            network = build_timm(builder.removeprefix("timm:"), meta=True, **keywords)
        else:
            network = build_torchvision(builder, meta=True, **keywords)
    except ModelError:
        return None
    state = network.state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items() if key.rpartition(".")[2] != COUNTER}
    own = keywords.get("num_classes", getattr(network, "num_classes", None))
    return Signature(
        builder=builder,
        arguments=keywords,
        shapes=shapes,
        order=tuple(state),
        transient=frozenset(name for name, _ in network.named_buffers()) - set(state),
        classes=own if isinstance(own, int) else _torchvision_classes(builder),
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


@cache
def torchvision_groups() -> tuple[tuple[str, ...], ...]:
    """Return torchvision's builders in groups of relatives; the simplest name leads its group."""
    return tuple(_ordered(list(names)) for names in torchvision_families().values())


@cache
def timm_groups() -> tuple[tuple[str, ...], ...]:
    """Return timm's architectures as ``timm:NAME`` in groups of relatives; none where timm is not installed."""
    try:
        timm = import_timm()
    except ModelError:
        return ()
    groups: dict[tuple[str, str], list[str]] = {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            stem = re.match(r"[a-z]*", name)
            groups.setdefault((module, stem[0] if stem else ""), []).append(f"timm:{name}")
    return tuple(_ordered(groups[key]) for key in sorted(groups))


def _ordered(names: list[str]) -> tuple[str, ...]:
    """Put the plainest name first: among equal networks it is the one that people know."""
    return tuple(sorted(names, key=lambda name: (len(name), name)))
