"""A survey's minimal images: what of its first photographs a classifier needs."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from netviz.errors import ModelError
from netviz.models import LayerIndex, Model
from netviz.questions.minimal.measure import minimal
from netviz.surveys.step import Noted, made
from netviz.surveys.steps.components import Shown

SEGMENTS = {"standard": 40, "full": 100}
"""Into how many segments a photograph is parted, about: the time it takes grows with their square."""


def survey_minimal(
    model: Model,
    index: LayerIndex,
    photos: Sequence[Shown],
    out: Path,
    *,
    form: str = "standard",
    report: Callable[[str, int], None] | None = None,
) -> Noted:
    """Find the minimal images of some photographs and save them in ``minimal/`` of the survey's folder.

    A file that an interrupted survey has left there is kept.

    Parameters
    ----------
    model : Model
    index : LayerIndex
        Its layers: a network that ends in maps gives a class to every pixel, and has no minimal images.
    photos : sequence of Shown
    out : Path
        The survey's folder.
    form : {"standard", "full"}
        How finely.
    report : callable, optional
        Called with what is being done and how many photographs are done.

    Returns
    -------
    dict
        For ``run.json``: of each photograph the file, or why there is none; or why the network has none at all.
    """
    if not model.labels:
        return {"missing": f"the outputs of {model.name} have no names, so there is no class to keep"}
    if math.prod((list(index)[-1].shape or ())[1:]) > 1:
        return {"missing": f"{model.name} gives a class to every pixel, not one to the image"}
    shown: list[Noted] = []
    for place, (photo, stem, size) in enumerate(photos):
        if report is not None:
            report(f"{model.name}: minimal image of {photo.name}", place)
        make = partial(minimal, photo, model=model, segments=SEGMENTS[form], size=size)
        try:
            shown.append({"image": place, **made(make, out, f"minimal/{stem}.npz", beyond=(ModelError,))})
        except ModelError as error:
            return {"missing": str(error)}
    return {"segments": SEGMENTS[form], "shown": shown}
