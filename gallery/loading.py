"""The files of results in a run: loaded as what the run says they are, and copied where they are small and exact."""

from pathlib import Path
from typing import TypeVar

from netviz.errors import ResultError
from netviz.questions import reader
from netviz.results.base import Result
from netviz.results.levels import has_levels
from netviz.results.survey import OFFERED, LayerRecord

R = TypeVar("R", bound=Result)


def load_kind(path: Path, kind: type[R], layer: LayerRecord | None = None) -> R:
    """Load a result that has to be of one kind: what the gallery draws has been checked here.

    Parameters
    ----------
    path : Path
        Its file.
    kind : type
        Its class.
    layer : LayerRecord, optional
        The layer whose units it is about.

    Raises
    ------
    ResultError
        If the file is missing or damaged, holds another kind, or is of another layer.
    """
    wrong = "is damaged" if layer is None else "does not fit its layer"
    result = reader.load_kind(path, kind, again="run the survey again", wrong=wrong)
    if layer is not None and getattr(result, "channels", None) != layer.channels:
        raise ResultError(f"{path} {wrong}: the layer has {layer.channels} units; run the survey again")
    return result


def is_small(path: Path) -> bool:
    """Return whether a result's file goes onto the site: one that is not large, and holds exact numbers."""
    return path.is_file() and path.stat().st_size <= OFFERED and not has_levels(path)
