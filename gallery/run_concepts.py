"""The parts of ``run.json`` that tell of concepts and of minimal images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.questions.dissect.run import DissectionRun, open_dissection

from .checks import inside, text, whole


@dataclass(frozen=True)
class RunSeen:
    """An image of masks: its name, where it lies as the network saw it, and what a command calls it, if noted."""

    name: str
    path: Path
    source: str | None


@dataclass(frozen=True)
class RunMasks:
    """Where some units of one layer are above their thresholds.

    Attributes
    ----------
    layer : int
        Its place among the run's layers.
    path : Path
        A picture of black and white: the masks below one another.
    units, images : tuple of int
        Of each mask the unit, and the place among the images of :class:`RunConcepts`.
    """

    layer: int
    path: Path
    units: tuple[int, ...]
    images: tuple[int, ...]


@dataclass(frozen=True)
class RunConcepts:
    """The dissection inside a survey.

    Attributes
    ----------
    run : DissectionRun
        The dissection.
    masks : tuple of RunMasks
        For each of its layers.
    images : tuple of RunSeen
        The images of the masks.
    best : tuple of (int, tuple of (int, int))
        Concepts in the order in which they are told: the number of each, and layer and unit of those that it shows.
    data : str or None
        What a command calls the labelled images; None where they are the survey's own.
    surveyed : int
        How many layers the survey has, dissected or not.
    """

    run: DissectionRun
    masks: tuple[RunMasks, ...]
    images: tuple[RunSeen, ...]
    best: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    data: str | None
    surveyed: int


@dataclass(frozen=True)
class RunMinimal:
    """A minimal image: of which of the run's images, its file, and why there is none."""

    image: int
    path: Path | None
    missing: str


@dataclass(frozen=True)
class RunMinimals:
    """The minimal images, and into about how many segments the images were parted."""

    shown: tuple[RunMinimal, ...]
    segments: int


def read_concepts(folder: Path, facts: dict[str, Any], layers: Sequence[str | None]) -> RunConcepts | None:
    """Read ``concepts``; None where an older survey noted none, or there is none.

    Parameters
    ----------
    folder : Path
        The run's folder.
    facts : dict
        What ``run.json`` holds.
    layers : sequence of str or None
        Dotted names of the run's layers; None for one without a page.

    Raises
    ------
    ResultError
        If the folder that it names holds no dissection.
    """
    entry = _entry(facts, "concepts")
    if entry is None or "missing" in entry:
        return None
    run = open_dissection(inside(folder, text(entry, "folder")))
    images = tuple(_seen(folder, one) for one in entry["images"])
    masks = tuple(_masks(folder, one, layers, len(images)) for one in entry["masks"])
    if [layers[one.layer] for one in masks] != [layer.name for layer in run.layers]:
        raise ValueError("the masks of the concepts are of other layers than the dissection")
    for one, layer in zip(masks, run.layers, strict=True):
        if any(unit >= layer.channels for unit in one.units):
            raise ValueError(f"{layer.name[:60]!r} has a mask of a unit that it has not")
    best = tuple(
        (whole(one["concept"], "concept"), tuple(_pair(pair) for pair in one["units"]))
        for one in entry["best"]
    )
    if any(
        at >= len(run.layers) or unit >= run.layers[at].channels for _, pairs in best for at, unit in pairs
    ):
        raise ValueError("a concept has a unit that there is not")
    if len({concept for concept, _ in best}) != len(best):
        raise ValueError("a concept is told twice")
    data = None if entry["data"] is None else text(entry, "data")
    return RunConcepts(run, masks, images, best, data, whole(entry["surveyed"], "surveyed"))


def read_minimal(folder: Path, facts: dict[str, Any], images: int) -> RunMinimals | None:
    """Read ``minimal``; None where an older survey noted none, or the network has none."""
    entry = _entry(facts, "minimal")
    if entry is None or "missing" in entry:
        return None
    shown = tuple(_minimal(folder, one, images) for one in entry["shown"])
    if len({one.image for one in shown}) != len(shown):
        raise ValueError("an image has its minimal image twice")
    return RunMinimals(shown, whole(entry["segments"], "segments"))


def read_missing(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return which of concepts and minimal images there are none of, and why, as the survey noted it."""
    noted = ((what, _entry(facts, what)) for what in ("concepts", "minimal"))
    return tuple((what, text(entry, "missing")) for what, entry in noted if entry and "missing" in entry)


def _entry(facts: dict[str, Any], name: str) -> dict[str, Any] | None:
    entry = facts.get(name)
    if entry is not None and not isinstance(entry, dict):
        raise ValueError(f"{name!r} is {str(entry)[:60]!r}, no object")
    return entry


def _seen(folder: Path, entry: dict[str, Any]) -> RunSeen:
    source = text(entry, "source") if "source" in entry else None
    return RunSeen(text(entry, "name"), inside(folder, text(entry, "file")), source)


def _masks(folder: Path, entry: dict[str, Any], layers: Sequence[str | None], images: int) -> RunMasks:
    name = text(entry, "layer")
    if name not in layers:
        raise ValueError(f"no layer {name[:60]!r} with a page, to have concepts")
    units, of = (tuple(whole(one, key) for one in entry[key]) for key in ("units", "images"))
    if len(units) != len(of) or len(set(units)) != len(units) or any(image >= images for image in of):
        raise ValueError("the masks of the concepts do not fit their units or images")
    return RunMasks(layers.index(name), inside(folder, text(entry, "file")), units, of)


def _pair(entry: Sequence[Any]) -> tuple[int, int]:
    layer, unit = (whole(one, "units") for one in entry)
    return layer, unit


def _minimal(folder: Path, entry: dict[str, Any], images: int) -> RunMinimal:
    image = whole(entry["image"], "image")
    if image >= images:
        raise ValueError(f"there is no image {image}")
    if "file" in entry:
        return RunMinimal(image, inside(folder, text(entry, "file")), "")
    return RunMinimal(image, None, text(entry, "missing"))
