"""The parts of ``run.json`` that tell of single photographs: hypercolumns, heat maps, streams."""

from dataclasses import dataclass
from pathlib import Path

VIEWS = 64
"""Most pictures of one photograph that can be laid over one another."""


@dataclass(frozen=True)
class RunOn:
    """A result on one photograph.

    Attributes
    ----------
    image : int
        Which photograph of the run.
    path : Path or None
        Its file.
    missing : str
        Why there is none.
    views : int
        Of streams: how many pictures are made of it.
    form : str
        Of streams: of ``"classes"``, or of another kind.
    """

    image: int
    path: Path | None
    missing: str
    views: int = 0
    form: str = ""


@dataclass(frozen=True)
class RunHypercolumns:
    """The hypercolumns: the dotted names of the layers that are stacked, and what there is; or why there are none."""

    layers: tuple[str, ...]
    shown: tuple[RunOn, ...]
    missing: str = ""


@dataclass(frozen=True)
class RunFcn:
    """What the FCN page shows.

    Attributes
    ----------
    streams, dense : tuple of RunOn
        A dense network's streams, or a classifier's heat maps.
    compare : RunOn or None
        What the dense pass saves.
    missing : str
        Why there is nothing.
    """

    streams: tuple[RunOn, ...]
    dense: tuple[RunOn, ...]
    compare: RunOn | None
    missing: str = ""
