"""A survey's minimal images: what of its first photographs a classifier needs."""

from functools import partial

from netviz.engines import Progress
from netviz.questions.minimal.measure import minimal
from netviz.results.survey import MinimalRecord, Missing
from netviz.surveys.step import Scope, of_predictions

SEGMENTS = {"standard": 40, "full": 100}
"""Into how many segments a photograph is parted, about: the time it takes grows with their square."""


def survey_minimal(scope: Scope, report: Progress) -> MinimalRecord | Missing:
    """Find the minimal images of the first photographs, ``minimal/IMAGE.npz``."""
    segments = SEGMENTS[scope.form]
    make = partial(minimal, segments=segments)
    shown = of_predictions(scope, report, make, "minimal", "minimal image of", "to keep")
    return shown if isinstance(shown, Missing) else MinimalRecord(segments, shown)
