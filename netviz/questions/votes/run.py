"""The folder of a run of votes over many images: read without torch, and believed only after a look."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.questions.reader import load_kind
from netviz.questions.votes.result import VotesSetResult
from netviz.results.runs import Run, RunLayer, read_run


@dataclass(frozen=True)
class VotesRun(Run):
    """What ``netviz votes --images`` found."""

    def result(self, layer: RunLayer) -> VotesSetResult:
        """Read what was found of the layer.

        Raises
        ------
        ResultError
            If its file is missing or damaged, or belongs to another layer.
        """
        result = load_kind(self.path(layer), VotesSetResult, again="run netviz votes again")
        self.check(layer, result.layer, result.channels, "votes")
        return result

    def summary(self) -> dict[str, Any]:
        """Return what ``netviz report`` tells of the run: run.json, and what each layer's strongest units vote for.

        Raises
        ------
        ResultError
            If a layer's file is missing or damaged.
        """
        told = [
            {**facts, **self.result(layer).strongest()}
            for layer, facts in zip(self.layers, self.facts["layers"], strict=True)
        ]
        return {**self.facts, "layers": told}


def open_votes(folder: str | Path) -> VotesRun:
    """Open the folder that ``netviz votes --images`` wrote.

    Raises
    ------
    ResultError
        If it is none, the run is unfinished, or ``run.json`` is damaged.
    """
    return VotesRun(*read_run(folder, "votes", "votes"))
