"""The parts of ``run.json`` that tell of patches and of components."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.questions.patches.run import open_run

from .checks import inside, text, whole

VERBS = ("stages", "contrast", "sift")
"""What is drawn of a convolution on a photograph, in this order; each is a command too."""

WHICH = ("first", "deeper")
"""Which convolutions have components: the first that sees the image, and one of about the middle."""


@dataclass(frozen=True)
class RunPatches:
    """The run of patches inside a survey.

    Attributes
    ----------
    folder : Path
        Its folder.
    images : tuple of str
        What a command would call the images; nothing for the photographs that netviz takes by default.
    files : dict of str to Path
        Each layer's result, by the layer's dotted name.
    searched : int
        How many images it went through.
    """

    folder: Path
    images: tuple[str, ...]
    files: dict[str, Path]
    searched: int


@dataclass(frozen=True)
class RunShown:
    """A convolution on one photograph: which photograph of the run, each result, and why one is missing."""

    image: int
    files: dict[str, Path]
    missing: dict[str, str]


@dataclass(frozen=True)
class RunComponent:
    """A convolution's components: its place among the run's layers, why it was chosen, and what is shown of it."""

    layer: int
    which: str
    shown: tuple[RunShown, ...]


@dataclass(frozen=True)
class RunComponents:
    """The convolutions whose components there are, and why there is no other."""

    layers: tuple[RunComponent, ...]
    missing: tuple[str, ...]


def read_patches_entry(folder: Path, facts: dict[str, Any]) -> RunPatches | None:
    """Read ``patches``; None where an older survey noted none, or there is none.

    Raises
    ------
    ResultError
        If the folder that it names holds no run.
    """
    entry = facts.get("patches")
    if entry is None or "folder" not in entry:
        return None
    run = open_run(inside(folder, text(entry, "folder")))
    images = entry["images"]
    if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
        raise ValueError("'images' of the patches is no list of names")
    return RunPatches(
        run.folder,
        tuple(images),
        {layer.name: run.path(layer) for layer in reversed(run.layers)},
        int(run.facts["images"]["counted"]),
    )


def read_components(
    folder: Path, facts: dict[str, Any], layers: Sequence[str], images: int
) -> RunComponents | None:
    """Read ``components``; None where an older survey noted none.

    Parameters
    ----------
    folder : Path
        The run's folder.
    facts : dict
        What ``run.json`` holds.
    layers : sequence of str
        Dotted names of the run's layers.
    images : int
        How many images the run has.
    """
    entry = facts.get("components")
    if entry is None:
        return None
    found = tuple(_component(folder, one, layers, images) for one in entry["layers"])
    if len({one.which for one in found}) != len(found):
        raise ValueError("two layers are the same of the components")
    return RunComponents(
        found,
        tuple(text({"missing": one}, "missing") for one in entry["missing"]),
    )


def _component(folder: Path, entry: dict[str, Any], layers: Sequence[str], images: int) -> RunComponent:
    name, which = text(entry, "layer"), text(entry, "which")
    if name not in layers:
        raise ValueError(f"no layer {name[:60]!r} to have components")
    if which not in WHICH:
        raise ValueError(f"'which' is {which[:60]!r}, none of {', '.join(WHICH)}")
    shown = tuple(_shown(folder, one, images) for one in entry["shown"])
    if len({one.image for one in shown}) != len(shown):
        raise ValueError("a layer has its components on one image twice")
    return RunComponent(layers.index(name), which, shown)


def _shown(folder: Path, entry: dict[str, Any], images: int) -> RunShown:
    image = whole(entry["image"], "image")
    if image >= images:
        raise ValueError(f"there is no image {image}")
    files, missing = {}, {}
    for verb in VERBS:
        one = entry[verb]
        if "file" in one:
            files[verb] = inside(folder, text(one, "file"))
        else:
            missing[verb] = text(one, "missing")
    return RunShown(image, files, missing)
