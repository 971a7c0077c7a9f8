"""The folder of a dissection, as `netviz dissect` leaves it: read without torch, and believed only after a look."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.questions.dissect.result import Detection, DissectionResult, count_detectors
from netviz.questions.patches.run import PatchesRun, open_run
from netviz.questions.reader import load_kind
from netviz.results.runs import Run, RunLayer, read_run


@dataclass(frozen=True)
class DissectionRun(Run):
    """What `netviz dissect` found; ``patches/`` in it is a run of patches of the same layers and images."""

    def result(self, layer: RunLayer) -> DissectionResult:
        """Read what was found of one layer.

        Raises
        ------
        ResultError
            If its file is missing or damaged, or belongs to another layer.
        """
        result = read_dissection(self.path(layer))
        self.check(layer, result.layer, result.channels, "dissect")
        return result

    def patches(self) -> PatchesRun:
        """Open the run of patches of the same layers.

        Raises
        ------
        ResultError
            If it is missing or damaged.
        """
        return open_run(self.folder / "patches")

    def summary(self) -> dict[str, Any]:
        """Return what ``netviz report`` tells of the run.

        ``units``, ``detectors``, ``unique``, ``unique_best`` and ``by_category`` are those of all layers together (a
        concept that two layers detect counts once), in ``layers`` those of each.

        Raises
        ------
        ResultError
            If a layer's file is missing or damaged.
        """
        told: list[dict[str, Any]] = []
        detections: list[Detection] = []
        in_categories: list[Detection] = []
        categories: tuple[str, ...] = ()
        detect = 0.0
        for layer, facts in zip(self.layers, self.facts["layers"], strict=True):
            result = self.result(layer)
            categories, detect = result.categories, result.detect
            detections += result.detections()
            in_categories += result.in_categories()
            told.append(
                {
                    **facts,
                    **result.counts(),
                    "field_size": result.field_size,
                    "field_status": result.field_status,
                    "placed": result.placed,
                    "quantile_samples": result.quantile_samples,
                    "positions": result.positions,
                    "quantile_error": result.quantile_error,
                }
            )
        together = count_detectors(detections, in_categories, categories, detect)
        return {**self.facts, **together, "detect": detect, "layers": told}


def open_dissection(folder: str | Path) -> DissectionRun:
    """Open the folder that ``netviz dissect`` wrote.

    Raises
    ------
    ResultError
        If it is none, the run is unfinished, or ``run.json`` is damaged.
    """
    return DissectionRun(*read_run(folder, "dissection", "dissect"))


def read_dissection(path: str | Path) -> DissectionResult:
    """Read one layer's NPZ and look whether it holds together.

    Raises
    ------
    ResultError
        If it does not.
    """
    return load_kind(path, DissectionResult, again="run netviz dissect again")
