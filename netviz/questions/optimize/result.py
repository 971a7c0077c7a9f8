"""What units want to see: pictures made by optimization."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class OptimizeResult(Result):
    """For each unit of a layer, or each class, pictures that a network was made to answer to.

    Attributes
    ----------
    pictures : ndarray of uint8, shape (targets, columns, H, W, 3)
        The pictures, RGB; of a network of other channels those that are shown.
    activation : ndarray of float32, shape (targets, columns)
        What the network gives for a picture as it is, not moved: the largest value of the unit's map (the smallest
        where the picture was to make it fall), that at its centre, the score, or of a whole layer the mean square.
    started : ndarray of float32, shape (targets,)
        The same for the picture that everything began with, of a given one; else NaN.
    led : ndarray of bool, shape (targets, columns)
        Whether any step had a gradient that was not 0: else the picture is what it began as.
    quantile : ndarray of float32, shape (targets, 2), or None
        Of a run of ``netviz patches``: the 0.005 and 0.995 quantiles of the unit's values.
    reference : ndarray of float32, shape (targets, 2), or None
        Of the same run: the lowest value in its sample, and the largest of all.
    patches : ndarray of uint8, shape (targets, top, side, side, 3), or None
        Of the same run: the patches that excite each unit most.
    followed : ndarray of uint8, shape (targets, followed, side, side, 3), or None
        Of the same run: what in the first of these patches made the unit answer; 128 is 0, brighter raises the unit.
    targets : tuple of int
        Numbers of the units or classes; empty for a layer as a whole.
    names : tuple of str
        Their names, where classes have some.
    columns : tuple of str
        What each column's pictures are for: ``"+"`` a large value, ``"-"`` a small one.
    network, layer, alias, layer_kind : str
        Names of the network and of the layer; of classes no layer.
    channels : int
        How many units the layer has, or how many classes there are.
    objective : str
        ``"channel"``: the mean of the unit's map; ``"position"``: its value at the centre; ``"layer"``: the mean
        square of all units; ``"class"``: the score.
    basis : str
        ``"fourier"``, ``"pixels"`` or ``"maco"``.
    steps, seed : int
    moved : bool
        Whether the network saw the pictures moved, scaled and turned.
    dead : tuple of int
        Units that were left out, since they were 0 on every image of the run.
    image_name : str
        The picture that all began with; empty for noise.
    run : str
        The run of ``netviz patches``; empty where there is none.
    score_of : str
        What a class score is.
    followed_by : str
        By which rule: ``"deconvnet"`` or ``"guided"``; empty where nothing was followed.
    """

    kind: ClassVar[str] = "optimize"
    axes: ClassVar[dict[str, str]] = {
        "pictures": "pictured columns height width 3",
        "activation": "pictured columns",
        "started": "pictured",
        "led": "pictured columns",
        "quantile": "pictured 2",
        "reference": "pictured 2",
        "patches": "pictured top side side 3",
        "followed": "pictured followed side side 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "activation": "any",
        "started": "any",
        "quantile": "any",
        "reference": "any",
        "targets": "0:channels",
        "channels": "1…",
        "objective": "channel | position | layer | class",
        "basis": "fourier | pixels | maco",
        "steps": "1…",
        "seed": "0…",
        "dead": "0:channels",
    }

    pictures: NDArray[np.uint8]
    activation: NDArray[np.float32]
    started: NDArray[np.float32]
    led: NDArray[np.bool_]
    quantile: NDArray[np.float32] | None
    reference: NDArray[np.float32] | None
    patches: NDArray[np.uint8] | None
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    targets: tuple[int, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    objective: str
    basis: str
    steps: int
    seed: int
    moved: bool
    dead: tuple[int, ...]
    image_name: str
    run: str
    score_of: str
    followed: NDArray[np.uint8] | None = None
    followed_by: str = ""

    def share(self, target: int, column: int) -> float | None:
        """Return a picture's activation as a multiple of the unit's best photograph's (of its lowest value, to fall).

        None without a run, and where that is not of the sign that the picture was to have.
        """
        return self._multiple(self.reference, target, column)

    def of_quantile(self, target: int, column: int) -> float | None:
        """Return a picture's activation as a multiple of the unit's 0.995 quantile (0.005, to fall), as `share`."""
        return self._multiple(self.quantile, target, column)

    def _multiple(self, ends: NDArray[np.float32] | None, target: int, column: int) -> float | None:
        if ends is None:
            return None
        sign = 1 if self.columns[column] == "+" else -1
        end = float(ends[target, 1 if sign > 0 else 0])
        return float(self.activation[target, column]) / end if end * sign > 0 else None

    def failed(self, target: int, column: int) -> bool:
        """Return whether a picture led nowhere, or does not reach what a photograph does."""
        share = self.share(target, column)
        return not self.led[target, column] or (share is not None and not share >= _REACHED)

    def fault(self) -> str:
        """Return which of the names and numbers do not belong to the pictures."""
        count, columns = self.pictures.shape[:2]
        if set(self.columns) - {"+", "-"} or len(self.columns) != columns:
            return "columns are not one sign for each"
        if self.objective != "layer" and len(self.targets) != count:
            return f"targets are {len(self.targets)}, not {count}"
        if self.names and len(self.names) != count:
            return f"names are {len(self.names)}, not {count}"
        if (self.followed is not None) != (self.followed_by in ("deconvnet", "guided")):
            return f"followed_by is {self.followed_by!r:.60}, which is no rule, or nothing was followed"
        return ""


_REACHED = 0.995
"""From which share of the best photograph's value on a picture counts as reaching it: pictures are kept in 8 bits."""
