"""A survey's minimal images: what of its first photographs a classifier needs."""

import math
from functools import partial

from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.questions.minimal.measure import minimal
from netviz.results.survey import MinimalRecord, Missing, OnImage
from netviz.surveys.step import Scope, made

SEGMENTS = {"standard": 40, "full": 100}
"""Into how many segments a photograph is parted, about: the time it takes grows with their square."""


def survey_minimal(scope: Scope, report: Progress) -> MinimalRecord | Missing:
    """Find the minimal images of the first photographs, ``minimal/IMAGE.npz``.

    A network that ends in maps gives a class to every pixel, and has none.
    """
    model, segments = scope.model, SEGMENTS[scope.form]
    if not model.labels:
        return Missing(f"the outputs of {model.name} have no names, so there is no class to keep")
    if math.prod((list(scope.index)[-1].shape or ())[1:]) > 1:
        return Missing(f"{model.name} gives a class to every pixel, not one to the image")
    shown, photos = [], scope.photos()
    for photo, place, stem, size in photos:
        report(f"{model.name}: minimal image of {photo.name}", place, len(photos))
        make = partial(minimal, photo, model=model, segments=segments, size=size)
        try:
            file, missing = made(scope, make, scope.out / f"minimal/{stem}.npz", beyond=(ModelError,))
        except ModelError as error:
            return Missing(str(error))
        shown.append(OnImage(place, file, missing))
    return MinimalRecord(segments, tuple(shown))
