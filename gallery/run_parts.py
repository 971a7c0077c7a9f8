"""The parts of ``run.json`` that tell of patches and of components."""

from dataclasses import dataclass
from pathlib import Path

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
