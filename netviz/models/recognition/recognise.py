"""Recognise a network's architecture from the names and shapes of its weights."""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from netviz.models.recognition.index import Known, kept_index
from netviz.models.recognition.signatures import Shape, Signature, heads, is_counter, signature

_LARGEST_REST = 0.05  # part of a checkpoint that may lie beside the network, such as a loss's own weights

_NEAR = 0.5  # part of the tensors that must agree for a network to be named as near

_SMALLEST_PART = 6  # tensors that a part of a checkpoint must have to be looked at by itself

_PARTS_TRIED = 40

# Under which names training keeps the network, and what else beside it. What is averaged or taught by comes last.
_NETWORK = re.compile(r"_?(model|net|network|module|student|classifier|_forward_module)")
_BESIDE = re.compile(
    r"ema|averag|swa|teacher|momentum|target|loss|criterion|percept|lpips|metric|acc|auroc|f1|iou|precision|recall"
    r"|confusion|discriminator",
    re.IGNORECASE,
)

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
        The classifier's tensors, where it was not saved, or is the user's own; `state` holds zeros for them.
    ignored : tuple of str
        The tensors of the checkpoint that are no part of the network.
    prefix : str
        What stood before the names of the network's tensors in the file.
    parts : tuple of str
        The prefixes of other networks in the file.
    twins : tuple of str
        Builders whose networks have the same names and shapes and compute something else, such as with other padding.
    equals : tuple of str
        Builders whose networks compute the same; their images may be prepared in another way.
    wanted : str
        A network that fits and that cannot be built, as its library is not installed; else "".
    offers : tuple of (str, str)
        On a miss: prefixes of parts of the file, or "" for all of it, and the builders whose network, without its
        classifier, they are. Under "" the names differ and the order of the tensors tells.
    """

    builder: str | None
    arguments: dict[str, Any] = field(default_factory=dict)
    state: "OrderedDict[str, torch.Tensor]" = field(default_factory=OrderedDict)
    nearest: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    prefix: str = ""
    parts: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    equals: tuple[str, ...] = ()
    wanted: str = ""
    offers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Reading:
    """One way to read a checkpoint's names: those that begin with a prefix, without it."""

    prefix: str
    tensors: dict[str, torch.Tensor]
    shapes: dict[str, Shape]  # without BatchNorm's counters
    ignored: tuple[str, ...]
    whole: bool  # whether hardly anything is ignored


@dataclass(frozen=True)
class _Match:
    """A network of the index that a reading may be: what to build it with, and which tensors were not saved."""

    known: Known
    arguments: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    own: tuple[str, ...] = ()  # tensors of the user's own classifier


def recognise(state: Mapping[str, torch.Tensor], *hints: str) -> Recognition:
    """Find the network of torchvision or timm that a state belongs to.

    All are compared through an index that comes with netviz; the one that is found is built on the meta device and
    compared again, as the library that is installed may differ from the index's.

    Parameters
    ----------
    state : mapping of str to Tensor
        Parameters and buffers by dotted name; only names and shapes are looked at. A prefix, another
        number of classes, old names, missing BatchNorm counters and auxiliary heads are understood, and what training
        keeps beside the network (a loss's own network, an averaged copy).
    *hints : str
        Such as what training noted and the file's name, the surest first. Of several networks with the same names and
        shapes the one that a hint begins with is taken, else torchvision's, then the one with the shortest name, then
        the alphabetically first.

    Returns
    -------
    Recognition
    """
    readings = list(_readings({_OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in state.items()}))
    exact = [(reading, found) for reading in readings if (found := list(_exact_matches(reading)))]
    headless = [
        (reading, found)
        for reading in readings
        if (found := list(_headless_matches(reading)))
        and reading.prefix not in [one.prefix for one, _ in exact]
    ]
    wanted = ""
    for reading, matches in [*_ranked(exact), *_ranked(headless)]:
        result, absent = _verified(reading, matches, hints)
        wanted = wanted or absent
        if result is not None:
            others = [
                one.prefix for one, _ in exact if one.whole == reading.whole and one.prefix != reading.prefix
            ]
            return replace(result, parts=tuple(others))
    return Recognition(
        None,
        nearest=_nearest([one for one in readings if one.whole]),
        wanted=wanted,
        offers=tuple(_offers(readings, [*exact, *headless])),
    )


def recognise_as(builder: str, state: Mapping[str, torch.Tensor]) -> Recognition | None:
    """Return a state as that of a builder that was named, or None if it does not fit.

    Parameters
    ----------
    builder : str
        A torchvision builder, or ``timm:NAME``.
    state : mapping of str to Tensor
        As for `recognise`. The names may differ where the tensors are, in order, those of the network.

    Returns
    -------
    Recognition or None
    """
    for reading in _readings({_OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in state.items()}):
        for known in _variants(builder):
            for match in (_exact_match, _headless_match, _in_order):
                found = match(known, reading)
                if found is not None:
                    return found
    return None


def _variants(builder: str) -> Iterator[tuple[Signature, tuple[str, ...]]]:
    """Yield the signatures and the heads of a builder's network, with and without its options."""
    kept = [known for known in kept_index().networks if known.builder == builder]
    for arguments in [known.arguments for known in kept] or [{}]:
        known = signature(builder, arguments)
        if known is not None:
            yield known, heads(known, signature(builder, {**arguments, "num_classes": known.classes + 1}))


def _readings(state: dict[str, torch.Tensor]) -> Iterator[_Reading]:
    """Read the names as they are, and the part below each prefix without it, the larger parts first."""
    counts = Counter(key[: match.end()] for key in state for match in list(re.finditer(r"\.", key))[:4])
    allowed = max(2, int(_LARGEST_REST * len(state)))
    least = max(1, len(state) - allowed)
    parts = [prefix for prefix, count in counts.items() if count >= min(least, _SMALLEST_PART)]
    parts.sort(key=lambda prefix: (-counts[prefix], len(prefix)))
    for prefix in ["", *parts[:_PARTS_TRIED]]:
        tensors = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        shapes = {key: tuple(value.shape) for key, value in tensors.items() if not is_counter(key)}
        ignored = tuple(key for key in state if not key.startswith(prefix))
        yield _Reading(prefix, tensors, shapes, ignored, len(ignored) <= allowed)


def _ranked(
    found: Sequence[tuple[_Reading, list[_Match]]],
) -> list[tuple[_Reading, list[_Match]]]:
    """Return what may be taken for the file's network, the likeliest first."""
    taken = [pair for pair in found if pair[0].whole or _is_network(pair[0])]
    return sorted(taken, key=lambda pair: (not pair[0].whole, bool(_BESIDE.search(pair[0].prefix))))


def _is_network(reading: _Reading) -> bool:
    """Return whether a part of a file is its network, and not one of several parts that make it up."""
    named = _NETWORK.fullmatch(reading.prefix.rstrip(".").partition(".")[0])
    return bool(named) or all(_BESIDE.search(key.partition(".")[0]) for key in reading.ignored)


def _exact_matches(reading: _Reading) -> Iterator[_Match]:
    """Match all names, and all shapes up to what the builder's arguments can change."""
    index = kept_index()
    if not reading.shapes or 2 * index.familiar(reading.shapes) < len(reading.shapes):
        return
    named, _ = index.common(reading.shapes)
    for place in (named == index.sizes).nonzero()[0]:
        known = index.networks[place]
        if len(reading.shapes) - known.size <= len(known.transient):
            arguments = _arguments(index.signature(known), reading)
            if arguments is not None:
                yield _Match(known, arguments)


def _arguments(known: Signature, reading: _Reading) -> dict[str, Any] | None:
    """Return what a network of these names and shapes is built with; None if it is another network."""
    shapes = {key: shape for key, shape in reading.shapes.items() if key not in known.transient}
    if shapes.keys() != known.shapes.keys():
        return None
    arguments = dict(known.arguments)
    for key, own in known.shapes.items():
        have = shapes[key]
        if have == own:
            continue
        if len(have) != len(own) or not own or own[0] == 0:
            return None
        same = len(own) == 4 and (have[0], *have[2:]) == (own[0], *own[2:])
        if known.builder.startswith("timm:") and same and own[1] == 3:
            choice = {"in_chans": have[1]}
        elif have[0] * known.classes % own[0] == 0 and have[1:] == own[1:]:
            # Detectors have several outputs for each class.
            choice = {"num_classes": have[0] * known.classes // own[0]}
        else:
            return None
        if any(value < 1 or arguments.setdefault(key, value) != value for key, value in choice.items()):
            return None
    return arguments


def _fits(built: Signature, reading: _Reading) -> bool:
    """Return whether a network that was built for a reading has its names and shapes."""
    return {key: shape for key, shape in reading.shapes.items() if key not in built.transient} == built.shapes


def _headless_matches(reading: _Reading) -> Iterator[_Match]:
    """Match all but the classifier, of which nothing was saved, or in whose place the user has another."""
    index = kept_index()
    if len(reading.shapes) < _SMALLEST_PART or 2 * index.familiar(reading.shapes) < len(reading.shapes):
        return
    _, agree = index.common(reading.shapes)
    for place in (2 * agree >= index.sizes).nonzero()[0]:
        known = index.networks[place]
        split = _headless(index.signature(known), known.heads, reading)
        if split is not None:
            yield _Match(known, known.arguments, *split)


def _headless(
    known: Signature, head: tuple[str, ...], reading: _Reading
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return which of a network's tensors were not saved, and which stand in their place; None if others differ."""

    def in_head(key: str) -> bool:
        return key.partition(".")[0] in head

    trunk = {key: shape for key, shape in known.shapes.items() if not in_head(key)}
    theirs = {key: shape for key, shape in reading.shapes.items() if not in_head(key)}
    surplus = theirs.keys() - trunk.keys() - known.transient
    if not trunk or surplus or any(theirs.get(key) != shape for key, shape in trunk.items()):
        return None
    missing = tuple(key for key in known.shapes if in_head(key))
    return missing, tuple(key for key in reading.tensors if in_head(key))


def _verified(
    reading: _Reading, matches: list[_Match], hints: Sequence[str]
) -> tuple[Recognition | None, str]:
    """Build the likeliest network and compare; return it, or None and one whose library is not installed."""
    wanted = ""
    first = _hinted([match.known.builder for match in matches], hints)
    for match in sorted(matches, key=lambda match: match.known.builder != first):
        known = match.known
        built = signature(known.builder, match.arguments)
        if built is None:
            if known.builder.startswith("timm:") and find_spec("timm") is None:
                wanted = wanted or known.builder
            continue
        if match.missing:
            split = _headless(built, known.heads, reading)
            result = None if split is None else _result(built, reading, *split)
        else:
            result = _result(built, reading) if _fits(built, reading) else None
        if result is not None:
            others = [one.known for one in matches if one.known.builder != known.builder]
            twins = [one.builder for one in others if not one.computes_as(known)]
            equals = [one.builder for one in others if one.computes_as(known)]
            return replace(result, twins=tuple(twins), equals=tuple(equals)), ""
    return None, wanted


def _hinted(builders: Sequence[str], hints: Sequence[str]) -> str:
    """Return the builder with the longest name that the first telling hint begins with; "" if none tells."""
    told = ([one for one in builders if names_builder(hint, one)] for hint in hints)
    named = next(filter(None, told), [])
    return max(named, key=lambda one: len(one.removeprefix("timm:")), default="")


def names_builder(hint: str, builder: str) -> bool:
    """Return whether a text, such as a file's name, begins with the name of a builder."""
    return bool(re.match(rf"{re.escape(builder.removeprefix('timm:'))}(?![A-Za-z0-9])", hint))


def _exact_match(known: tuple[Signature, tuple[str, ...]], reading: _Reading) -> Recognition | None:
    arguments = _arguments(known[0], reading)
    built = None if arguments is None else signature(known[0].builder, arguments)
    return None if built is None or not _fits(built, reading) else _result(built, reading)


def _headless_match(known: tuple[Signature, tuple[str, ...]], reading: _Reading) -> Recognition | None:
    split = _headless(*known, reading)
    return None if split is None else _result(known[0], reading, *split)


def _in_order(known: tuple[Signature, tuple[str, ...]], reading: _Reading) -> Recognition | None:
    """Match tensors of other names by their order: all of the network, or all before its classifier."""
    names = [key for key in reading.tensors if not is_counter(key)]
    own = list(known[0].shapes)
    if not _alike(known[0], known[1], names, list(reading.shapes.values())):
        return None
    new = dict(zip(names, own, strict=False))
    if len(set(new.values())) < len(names):
        return None
    tensors = {new[key]: value for key, value in reading.tensors.items() if key in new}
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    renamed = _Reading(reading.prefix, tensors, shapes, reading.ignored, reading.whole)
    return _result(known[0], renamed, tuple(own[len(names) :]))


def _alike(known: Signature, head: tuple[str, ...], names: list[str], shapes: list[Shape]) -> bool:
    """Return whether tensors are the first of a network, by shapes and last words, up to its classifier."""
    own = list(known.shapes)
    rest = own[len(names) :]
    return (
        len(names) >= _SMALLEST_PART
        and len(names) <= len(own)
        and len(rest) <= len(names)
        and list(known.shapes.values())[: len(names)] == shapes
        and all(
            mine.rpartition(".")[2] == theirs.rpartition(".")[2]
            for mine, theirs in zip(own, names, strict=False)
        )
        and all(key.partition(".")[0] in head for key in rest)
    )


def _result(
    known: Signature, reading: _Reading, missing: tuple[str, ...] = (), own: tuple[str, ...] = ()
) -> Recognition:
    left = set(missing)
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key in known.order:
        if key in reading.tensors and key not in left:
            state[key] = reading.tensors[key]
        elif key in known.shapes:
            state[key] = torch.zeros(known.shapes[key])
        else:
            state[key] = torch.tensor(0)
    state._metadata = known.metadata  # type: ignore[attr-defined]
    ignored = (*reading.ignored, *(reading.prefix + key for key in own))
    return Recognition(known.builder, dict(known.arguments), state, (), missing, ignored, reading.prefix)


def _nearest(readings: list[_Reading]) -> tuple[str, ...]:
    """Return up to three networks that are nearest, with how many tensors agree and the first that differs."""
    index = kept_index()
    best: dict[str, tuple[float, Known, _Reading]] = {}
    for reading in readings:
        named, agree = index.common(reading.shapes)
        scores = agree / np.maximum(1, len(reading.shapes) + index.sizes - named)
        for place in (scores >= _NEAR).nonzero()[0]:
            known = index.networks[place]
            if scores[place] > best.get(known.builder, (0.0,))[0]:
                best[known.builder] = float(scores[place]), known, reading
    # timm's own copy of a torchvision network is no further candidate.
    fresh = [name for name in best if name.removeprefix("timm:") not in best.keys() - {name}]
    fresh.sort(key=lambda name: (-best[name][0], len(name), name))
    return tuple(f"{name} ({_agreement(*best[name][1:])})" for name in fresh[:3])


def _agreement(known: Known, reading: _Reading) -> str:
    """Tell how many tensors of a network agree with those of a state, and the first that differs."""
    own = kept_index().signature(known).shapes
    names = own.keys() | reading.shapes.keys()
    agree = sum(own.get(key) == reading.shapes.get(key) for key in names)
    text = f"{agree} of {len(names)} tensors agree"
    for key, shape in own.items():
        if key not in reading.shapes:
            return f"{text}; {key} is missing"
        if reading.shapes[key] != shape:
            return f"{text}; {key} is {_sizes(reading.shapes[key])} instead of {_sizes(shape)}"
    surplus = next((key for key in reading.shapes if key not in own), None)
    return f"{text}; {surplus} is too many" if surplus else text


def _offers(
    readings: list[_Reading], parts: Sequence[tuple[_Reading, list[_Match]]]
) -> Iterator[tuple[str, str]]:
    """Yield the parts of a file that are a known network, and the network that it is but for its names."""
    for reading, matches in parts:
        yield reading.prefix, matches[0].known.builder
    index = kept_index()
    for reading in readings:
        names = list(reading.shapes)
        for known in index.beginning(list(reading.shapes.values())) if reading.whole else []:
            if _alike(index.signature(known), known.heads, names, list(reading.shapes.values())):
                yield "", known.builder
                return


def _sizes(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one value"
