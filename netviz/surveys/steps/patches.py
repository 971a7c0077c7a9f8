"""A survey's patches: a run of `netviz.patches` over the survey's own images and layers."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from netviz.engines.checkpoint import NAME
from netviz.errors import NetvizError, OutputError
from netviz.models import Model
from netviz.questions.patches.measure import patches
from netviz.surveys.steps.neighbours import FOLDER as UNITS
from netviz.surveys.steps.neighbours import survey_units

FOLDER = "patches"
"""Of the run, inside the survey's."""


TOP = 9
"""Patches that each unit keeps, where there are as many images."""


FEW = 64
"""Up to so many images, reading them takes less time than starting processes for it."""


def survey_patches(
    model: Model,
    out: Path,
    sources: Sequence[str | Path],
    only: Sequence[str],
    *,
    size: tuple[int, int] | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Find the patches that excite each unit of the surveyed layers most, in ``patches/`` of the survey's folder.

    What an interrupted survey has left there goes on. The same forward passes tell which units act alike: see
    `netviz.surveys.steps.neighbours.survey_units`.

    Parameters
    ----------
    model : Model
    out : Path
        The survey's folder.
    sources : sequence of str or Path
        The images.
    only : sequence of str
        Names, aliases or globs of the layers; if there are none, all convolutions.
    size : (int, int), optional
        Input height and width in pixels, if asked for.
    report : callable, optional
        Called with what is being done, how many images are done, and how many there are.

    Returns
    -------
    dict
        For ``run.json``: the folder, or why there is none.
    """
    device = next((str(value.device) for value in model.runnable().parameters()), None)
    folder = out / FOLDER
    try:
        if not is_finished(folder):
            patches(
                model,
                folder,
                images=sources,
                layer=only,
                top=min(TOP, len(sources)),
                size=size,
                workers=0 if len(sources) <= FEW else None,
                device=device,
                resume=can_resume(folder),
                progress=report,
                look=partial(survey_units, out=out),
            )
    except OutputError:
        raise
    except NetvizError as error:
        for some in (folder, out / UNITS):
            shutil.rmtree(some, ignore_errors=True)
        return {"missing": str(error)}
    return {"folder": FOLDER}


def is_finished(folder: Path, states: Sequence[str] = (NAME,)) -> bool:
    """Return whether a folder holds a finished run; `states` are the files of which an unfinished one has any."""
    return (folder / "run.json").is_file() and not _unfinished(folder, states)


def can_resume(folder: Path, states: Sequence[str] = (NAME,)) -> bool:
    """Return whether a folder holds a run that can go on; what a run left that had hardly begun is removed."""
    if _unfinished(folder, states):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _unfinished(folder: Path, states: Sequence[str]) -> bool:
    return any((folder / name).is_file() for name in states)
