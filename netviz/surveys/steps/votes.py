"""A survey's votes: which units of the last layer with maps carry the classes of its first photographs."""

import math
from functools import partial

from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.questions.votes.measure import votes
from netviz.results.survey import Missing, OnImage, VotesRecord
from netviz.surveys.step import Scope, made

TOP = 8
"""How many units for the predicted class, and how many against it, have maps in a file; all have shares."""


def survey_votes(scope: Scope, report: Progress) -> VotesRecord | Missing:
    """Measure the votes for the class predicted of the first photographs, ``votes/IMAGE.npz``.

    A network that ends in maps gives a class to every pixel, and has none.
    """
    model = scope.model
    if not model.labels:
        return Missing(f"the outputs of {model.name} have no names, so there is no class to vote for")
    if math.prod((list(scope.index)[-1].shape or ())[1:]) > 1:
        return Missing(f"{model.name} gives a class to every pixel, not one to the image")
    shown, photos = [], scope.photos()
    for photo, place, stem, size in photos:
        report(f"{model.name}: votes on {photo.name}", place, len(photos))
        make = partial(votes, photo, model=model, top=TOP, size=size)
        try:
            file, missing = made(scope, make, scope.out / f"votes/{stem}.npz", beyond=(ModelError,))
        except ModelError as error:
            return Missing(str(error))
        shown.append(OnImage(place, file, missing))
    return VotesRecord(tuple(shown))
