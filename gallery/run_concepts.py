"""The parts of ``run.json`` that tell of concepts and of minimal images."""

from dataclasses import dataclass
from pathlib import Path

from netviz.questions.dissect.run import DissectionRun


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
