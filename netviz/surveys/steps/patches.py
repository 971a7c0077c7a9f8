"""A survey's patches: a run of `netviz.patches` over the survey's own images and layers."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from netviz.errors import NetvizError, OutputError
from netviz.models import Model
from netviz.questions.patches.measure import patches
from netviz.results.ledger import standing
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
        found = standing(folder)
        if found == "other":  # an earlier survey was killed while it removed it
            shutil.rmtree(folder)
        if found != "finished":
            patches(
                model,
                folder,
                images=sources,
                layer=only,
                top=min(TOP, len(sources)),
                size=size,
                workers=0 if len(sources) <= FEW else None,
                device=device,
                resume=True,
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
