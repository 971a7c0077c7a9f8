"""The files of results in a run: each is loaded as what the run says it is, and copied where it is small."""

from pathlib import Path
from typing import TypeVar

from netviz.errors import ResultError
from netviz.questions.reader import load_result
from netviz.results.base import Result
from netviz.results.survey import LayerRecord
from netviz.results.validate import find_problem

R = TypeVar("R", bound=Result)

DATA = 2_000_000
"""Largest file of arrays, in bytes, that is copied onto the site; the command makes the others."""


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
    result = load_result(path)
    if not isinstance(result, kind):
        raise ResultError(f"{path} holds {result.kind}, not {kind.kind}; run the survey again")
    problem = find_problem(result)
    if not problem and layer is not None and getattr(result, "channels", None) != layer.channels:
        problem = f"the layer has {layer.channels} units"
    if problem:
        wrong = "is damaged" if layer is None else "does not fit its layer"
        raise ResultError(f"{path} {wrong}: {problem}; run the survey again")
    return result


def is_small(path: Path) -> bool:
    """Return whether a result's file goes onto the site."""
    return path.is_file() and path.stat().st_size <= DATA
