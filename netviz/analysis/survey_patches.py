"""A survey's patches: a run of `netviz.patches` over the survey's own images and layers."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from netviz.analysis.patches import patches
from netviz.errors import NetvizError, OutputError
from netviz.models import Model

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
    try:
        patches(
            model,
            out / "patches",
            images=sources,
            layer=only,
            top=min(TOP, len(sources)),
            size=size,
            workers=0 if len(sources) <= FEW else None,
            device=device,
            progress=report,
        )
    except OutputError:
        raise
    except NetvizError as error:
        shutil.rmtree(out / "patches", ignore_errors=True)
        return {"missing": str(error)}
    return {"folder": "patches"}
