"""A run's folder, as `netviz patches` leaves it: read without torch, and believed only after a look."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netviz.errors import ResultError
from netviz.questions.patches.result import BackResult, PatchesResult
from netviz.questions.reader import load_kind
from netviz.results.ledger import RUN
from netviz.results.runs import Run, RunLayer, read_run


@dataclass(frozen=True)
class PatchesRun(Run):
    """What `netviz patches` found."""

    def result(self, layer: RunLayer) -> PatchesResult:
        """Read what was found of one layer.

        Raises
        ------
        ResultError
            If its file is missing or damaged, or belongs to another layer.
        """
        result = read_patches(self.path(layer))
        self.check(layer, result.layer, result.channels, "patches")
        return result

    def summary(self) -> dict[str, Any]:
        """Return what ``netviz report`` tells of the run: run.json, and what each layer's units do.

        Raises
        ------
        ResultError
            If a layer's file is missing or damaged.
        """
        told = []
        for layer, facts in zip(self.layers, self.facts["layers"], strict=True):
            result = self.result(layer)
            strongest = int(result.max.argmax())
            told.append(
                {
                    **facts,
                    "units": result.channels,
                    "field_size": result.field_size,
                    "field_stride": result.field_stride,
                    "field_status": result.field_status,
                    "rectified": result.rectified,
                    "dead": list(result.dead),
                    "always_on": list(result.always_on),
                    "largest": float(result.max[strongest]),
                    "largest_unit": strongest,
                    "median_of_max": float(np.median(result.max)),
                    "mean_nonzero": float(result.nonzero.mean(dtype=np.float64)),
                    "positions": result.positions,
                    "quantile_samples": result.quantile_samples,
                }
            )
        return {**self.facts, "layers": told}


def open_run(folder: str | Path) -> PatchesRun:
    """Open the folder that ``netviz patches`` wrote.

    Raises
    ------
    ResultError
        If it is none, the run is unfinished, or ``run.json`` is damaged.
    """
    return PatchesRun(*read_run(folder, "patches", "patches"))


def read_patches(path: str | Path) -> PatchesResult:
    """Read one layer's NPZ and look whether it holds together.

    Raises
    ------
    ResultError
        If it does not.
    """
    return load_kind(path, PatchesResult, again="run netviz patches again")


BACK = "back"
"""The folder of a run in which lies what in patches made units answer."""


def read_back(folder: str | Path, result: PatchesResult) -> BackResult | None:
    """Read what in the patches of a layer made its units answer; None if the run has not measured it.

    Parameters
    ----------
    folder : str or Path
        The run's.
    result : PatchesResult
        The layer's.

    Raises
    ------
    ResultError
        If the file is damaged, or belongs to other patches.
    """
    run = open_run(folder)
    file = next((one.file for one in run.layers if one.name == result.layer), "")
    path = Path(folder) / BACK / Path(file).name
    if not file or not path.is_file():
        return None
    found = load_kind(path, BackResult, again="run netviz patches --deconv again")
    units, top = found.drawn_units, found.score.shape[1]
    fits = found.layer == result.layer and units.max() < result.channels and top <= result.score.shape[1]
    if not fits or not np.array_equal(found.score, result.score[units][:, :top]):
        raise ResultError(f"{path} belongs to other patches; run netviz patches --deconv again")
    return found


def bands_shown(folder: str | Path) -> tuple[int, ...]:
    """Return which bands of its images a run shows, counted from 1; empty if it does not say."""
    try:
        bands = json.loads((Path(folder) / RUN).read_text(encoding="utf-8"))["options"]["bands"]
        return tuple(band for band in bands if isinstance(band, int) and band > 0)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def image_names(folder: str | Path, numbers: Iterable[int]) -> dict[int, str]:
    """Return the names of some images of a run; one line of ``images.txt`` at a time is held.

    Parameters
    ----------
    folder : str or Path
        The run's folder.
    numbers : iterable of int
        Lines, counted from 0.

    Raises
    ------
    ResultError
        If the list is missing, damaged or too short.
    """
    wanted = set(numbers)
    path = Path(folder) / "images.txt"
    found: dict[int, str] = {}
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines):
                if number in wanted:
                    found[number] = line.removesuffix("\n")
                    if len(found) == len(wanted):
                        break
    except FileNotFoundError:
        raise ResultError(f"no such file: {path}; it lists the run's images") from None
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot read {path} as a list of images; run netviz patches again") from error
    lost = sorted(wanted - set(found))
    if lost:
        raise ResultError(f"{path} has no line {lost[0] + 1}: it was cut off; run netviz patches again")
    return found
