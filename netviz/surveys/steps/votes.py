"""A survey's votes: which units of the last layer with maps carry the classes of its first photographs."""

from functools import partial

from netviz.engines import Progress
from netviz.questions.votes.measure import votes
from netviz.results.survey import Missing, VotesRecord
from netviz.surveys.step import Scope, of_predictions

TOP = 8
"""How many units for the predicted class, and how many against it, have maps in a file; all have shares."""


def survey_votes(scope: Scope, report: Progress) -> VotesRecord | Missing:
    """Measure the votes for the class predicted of the first photographs, ``votes/IMAGE.npz``."""
    shown = of_predictions(scope, report, partial(votes, top=TOP), "votes", "votes on", "to vote for")
    return shown if isinstance(shown, Missing) else VotesRecord(shown)
