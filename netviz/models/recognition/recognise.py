"""Recognise a network's architecture from the names and shapes of its weights."""

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from netviz.models.recognition.signatures import (
    COUNTER,
    Shape,
    Signature,
    signature,
    timm_groups,
    torchvision_groups,
)

_FAMILIES_TRIED = 3  # whose members are all looked at; of every family, the first member is

_TIMM_TRIED = 250  # members; timm's families are many, small and alike

_LARGEST_REST = 0.05  # part of a checkpoint that may lie beside the network, such as a loss's own weights

_NEAR = 0.5  # part of the tensors that must agree for a network to be named as near

# Parts that only some networks of a family have, and the argument that says so.
_OPTIONS = {
    "googlenet": ("aux1.", "aux_logits", True),
    "inception_v3": ("AuxLogits.", "aux_logits", True),
    "fcn_": ("aux_classifier.", "aux_loss", False),
    "deeplabv3_": ("aux_classifier.", "aux_loss", False),
}

# torchvision before 0.4 and its weight files name DenseNet's inner layers `norm.1`, today `norm1`.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


@dataclass(frozen=True)
class Recognition:
    """Which network a state belongs to.

    Attributes
    ----------
    builder : str or None
        A torchvision builder, or ``timm:NAME``; None if no known network has these names and shapes.
    arguments : dict
        What to build it with, where that differs from the builder's defaults.
    state : OrderedDict of str to Tensor
        Under the builder's own names and in its order, ready for ``load_state_dict``. It carries the versions
        of its modules, so hand over this object itself. Empty on a miss.
    nearest : tuple of str
        On a miss up to three networks of which at least half of the tensors agree, each with how many do and the
        first that differs.
    missing : tuple of str
        The classifier's tensors, where only the layers before it were saved; `state` holds zeros for them.
    ignored : tuple of str
        The few tensors of the checkpoint that are no part of the network.
    """

    builder: str | None
    arguments: dict[str, Any] = field(default_factory=dict)
    state: "OrderedDict[str, torch.Tensor]" = field(default_factory=OrderedDict)
    nearest: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Reading:
    """One way to read a checkpoint's names: with a common prefix taken off."""

    tensors: dict[str, torch.Tensor]
    shapes: dict[str, Shape]  # without BatchNorm's counters
    patterns: frozenset[str]
    ignored: tuple[str, ...]


def recognise(state: Mapping[str, torch.Tensor]) -> Recognition:
    """Find the network of torchvision, or else of timm, that a state belongs to.

    Networks are built on the meta device: the search takes no memory, and about two seconds in torchvision
    and half a minute in timm, which is only searched if torchvision has none.

    Parameters
    ----------
    state : mapping of str to Tensor
        Parameters and buffers by dotted name; only names and shapes are looked at. A common prefix, another
        number of classes, old names, missing BatchNorm counters and auxiliary heads are understood.

    Returns
    -------
    Recognition
        Of several networks with the same names and shapes the one with the shortest name, then the
        alphabetically first.
    """
    readings = _readings({_OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in state.items()})
    tried: dict[str, tuple[float, str]] = {}
    for groups, members in ((torchvision_groups, 0), (timm_groups, _TIMM_TRIED)):
        pairs = _promising(groups(), readings, tried, members)
        for match in (_exact, _headless):
            for reading, group in pairs:
                for builder in group:
                    known = signature(builder, _options(builder, reading))
                    if known is None:
                        continue
                    _note(known, reading, tried)
                    found = match(known, reading)
                    if found is not None:
                        return _result(found, reading)
    # timm's own copy of a torchvision network is no further candidate.
    fresh = [item for item in tried.items() if item[0].removeprefix("timm:") not in tried.keys() - {item[0]}]
    near = [item for item in fresh if item[1][0] >= _NEAR]
    best = sorted(near, key=lambda item: (-item[1][0], len(item[0]), item[0]))
    return Recognition(None, nearest=tuple(f"{name} ({text})" for name, (_, text) in best[:3]))


def _readings(state: dict[str, torch.Tensor]) -> list[_Reading]:
    """Read the names as they are, and without each prefix that all but a few of them share."""
    counts = Counter(
        key[: match.end()] for key in state for match in list(re.finditer(r"\.", key))[:4]
    )  # four levels: module.encoder.backbone.model.
    allowed = max(2, int(_LARGEST_REST * len(state)))
    prefixes = [prefix for prefix, count in counts.items() if count >= max(1, len(state) - allowed)]
    readings = []
    for prefix in ["", *sorted(prefixes, key=len)]:
        tensors = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        shapes = {key: tuple(value.shape) for key, value in tensors.items() if not _is_counter(key)}
        ignored = tuple(key for key in state if not key.startswith(prefix))
        readings.append(_Reading(tensors, shapes, _patterns(shapes), ignored))
    return readings


def _promising(
    groups: tuple[tuple[str, ...], ...],
    readings: list[_Reading],
    tried: dict[str, tuple[float, str]],
    members: int,
) -> list[tuple[_Reading, tuple[str, ...]]]:
    """Return the groups whose names look most like the checkpoint's, the best first."""
    scored = []
    for place, group in enumerate(groups):
        known = signature(group[0], {})
        if known is None:
            continue
        patterns = _patterns(known.shapes)
        for turn, reading in enumerate(readings):
            _note(known, reading, tried)
            union = patterns | reading.patterns
            score = len(patterns & reading.patterns) / len(union) if union else 0.0
            if score > 0:
                scored.append((-score, turn, place))
    chosen: list[tuple[_Reading, tuple[str, ...]]] = []
    for _, turn, place in sorted(scored):
        if len(chosen) >= _FAMILIES_TRIED and sum(len(group) for _, group in chosen) >= members:
            break
        chosen.append((readings[turn], groups[place]))
    return chosen


def _options(builder: str, reading: _Reading) -> dict[str, Any]:
    for start, (prefix, argument, default) in _OPTIONS.items():
        if builder.startswith(start):
            present = any(key.startswith(prefix) for key in reading.shapes)
            return {} if present == default else {argument: present}
    return {}


def _exact(known: Signature, reading: _Reading) -> tuple[Signature, tuple[str, ...]] | None:
    """Match all names and shapes, up to what the builder's arguments can change."""
    shapes = {key: shape for key, shape in reading.shapes.items() if key not in known.transient}
    if shapes.keys() != known.shapes.keys():
        return None
    wrong = [key for key in shapes if shapes[key] != known.shapes[key]]
    if not wrong:
        return known, ()
    rebuilt = _rebuilt(known, {key: (shapes[key], known.shapes[key]) for key in wrong})
    if rebuilt is not None and shapes == rebuilt.shapes:
        return rebuilt, ()
    return None


def _rebuilt(known: Signature, wrong: dict[str, tuple[Shape, Shape]]) -> Signature | None:
    """Build the network for the number of classes (in timm also of input channels) that the shapes tell."""
    arguments = dict(known.arguments)
    for have, own in wrong.values():
        if len(have) != len(own) or not own or own[0] == 0:
            return None
        if known.builder.startswith("timm:") and len(own) == 4 and have[0] == own[0] and own[1] == 3:
            choice = {"in_chans": have[1]}
        elif have[0] * known.classes % own[0] == 0 and have[1:] == own[1:]:
            # Detectors have several outputs for each class.
            choice = {"num_classes": have[0] * known.classes // own[0]}
        else:
            return None
        if any(value < 1 or arguments.setdefault(key, value) != value for key, value in choice.items()):
            return None
    return signature(known.builder, arguments)


def _headless(known: Signature, reading: _Reading) -> tuple[Signature, tuple[str, ...]] | None:
    """Match all but the last part, the classifier, of which nothing was saved."""
    missing = tuple(key for key in known.shapes if key not in reading.shapes)
    if not missing or reading.ignored or len(missing) > len(reading.shapes):
        return None
    head = next(reversed(known.shapes)).partition(".")[0] + "."
    if set(missing) != {key for key in known.shapes if key.startswith(head)}:
        return None
    if any(known.shapes.get(key) != shape for key, shape in reading.shapes.items()):
        return None
    return known, missing


def _result(found: tuple[Signature, tuple[str, ...]], reading: _Reading) -> Recognition:
    known, missing = found
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key in known.order:
        if key in reading.tensors:
            state[key] = reading.tensors[key]
        elif key in known.shapes:
            state[key] = torch.zeros(known.shapes[key])
        else:
            state[key] = torch.tensor(0)
    state._metadata = known.metadata  # type: ignore[attr-defined]
    return Recognition(known.builder, dict(known.arguments), state, (), missing, reading.ignored)


def _note(known: Signature, reading: _Reading, tried: dict[str, tuple[float, str]]) -> None:
    """Note how many tensors of a network agree, for the message if no network fits."""
    names = known.shapes.keys() | reading.shapes.keys()
    differ = [key for key in names if known.shapes.get(key) != reading.shapes.get(key)]
    score = 1 - len(differ) / max(1, len(names))
    if score > tried.get(known.builder, (0.0, ""))[0]:
        text = f"{len(names) - len(differ)} of {len(names)} tensors agree"
        tried[known.builder] = score, text + _difference(known, reading)


def _difference(known: Signature, reading: _Reading) -> str:
    for key, shape in known.shapes.items():
        if key not in reading.shapes:
            return f"; {key} is missing"
        if reading.shapes[key] != shape:
            return f"; {key} is {_sizes(reading.shapes[key])} instead of {_sizes(shape)}"
    surplus = next((key for key in reading.shapes if key not in known.shapes), None)
    return f"; {surplus} is too many" if surplus else ""


def _sizes(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one value"


def _patterns(shapes: Mapping[str, Shape]) -> frozenset[str]:
    """Return the names with their numbers left out: alike for all depths of a family."""
    return frozenset(re.sub(r"\d+", "#", key) for key in shapes)


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == COUNTER
