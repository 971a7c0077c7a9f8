"""Classic names for layers: conv1, pool2, relu3, fc6; conv3_2 in a VGG-like network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_lowercase

WEIGHTED = ("conv", "deconv", "fc")
_SHORT = {"dropout": "drop"}


@dataclass(frozen=True)
class Step:
    """What naming needs to know of one layer call.

    Attributes
    ----------
    kind : str
        The layer's kind: ``conv``, ``pool``, ``relu``, ….
    chained : bool
        Whether its input is exactly the output of the step before.
    """

    kind: str
    chained: bool


def name_steps(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """Name every step by the convolution that it is or follows.

    A convolution or linear layer takes the next number; what comes after it shares that number (``pool2`` is the
    pooling after ``conv2``), and a second of its kind gets a letter (``relu4b``). In a VGG-like network the number
    is the stage's, with the position in it: ``conv3_2``; there a convolution also keeps its plain number.

    Parameters
    ----------
    steps : sequence of Step
        In the order in which they run.

    Returns
    -------
    list of tuple of str
        For each step its names, the first being the one to show; all first names differ.
    """
    flat = list(_flat_names(steps))
    staged = _stage_names(steps)
    taken: set[str] = set()
    names = []
    for step, plain, stage in zip(steps, flat, staged, strict=True):
        first = _unused(stage or plain, taken)
        taken.add(first)
        also = (plain,) if stage and step.kind in ("conv", "deconv") else ()
        names.append((first, *also))
    shown = {first for first, *_ in names}
    return [(first, *(name for name in also if name not in shown)) for first, *also in names]


def _flat_names(steps: Sequence[Step]) -> Iterator[str]:
    number = 0
    for step in steps:
        number += step.kind in WEIGHTED
        yield f"{_SHORT.get(step.kind, step.kind)}{number}"


def _stage_names(steps: Sequence[Step]) -> list[str]:
    """Name the steps of a VGG-like network by stage; empty strings where plain numbering holds.

    VGG-like: from the image on, a plain chain whose stages end in pooling, at least two of them with more than one
    convolution, holding at least half of the network's convolutions.
    """
    end = next((i for i, step in enumerate(steps) if i and not step.chained), len(steps))
    stages = [0]
    for step in steps[:end]:
        if step.kind in ("conv", "deconv"):
            stages[-1] += 1
        elif step.kind == "pool" and stages[-1]:
            stages.append(0)
    pooled = stages[:-1]
    total = sum(step.kind in ("conv", "deconv") for step in steps)
    if sum(count > 1 for count in pooled) < 2 or 2 * sum(stages) < total:
        return [""] * len(steps)
    return list(_walk_stages(steps, end))


def _walk_stages(steps: Sequence[Step], end: int) -> Iterator[str]:
    stage, position, closed = 1, 0, False
    linear = 0
    for i, step in enumerate(steps):
        name = _SHORT.get(step.kind, step.kind)
        if step.kind == "fc":
            linear += 1
        if i >= end and step.kind in ("conv", "deconv"):
            end = -1
        if end < 0:
            yield ""
        elif linear:
            yield f"{name}{stage + linear}"
        elif step.kind in ("conv", "deconv"):
            if closed:
                stage, position, closed = stage + 1, 0, False
            position += 1
            yield f"{name}{stage}_{position}"
        elif step.kind == "pool" or closed:
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
