"""How the score of a class falls when a patch of the image is covered."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class OcclusionResult(Result):
    """The sensitivity of one class score to every part of one image (Zeiler and Fergus, 2014).

    Attributes
    ----------
    map : ndarray of float32, shape (H, W)
        For every pixel, the drop of the score (clean minus occluded) averaged over the occluders that cover it.
    drops : ndarray of float32, shape (rows, columns)
        The drop of the score for each place of the occluder.
    tops, lefts : ndarray of int, shapes (rows,) and (columns,)
        First row and column of the occluder at each place, in pixels; the last may hang over the border.
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    network, image_name : str
        What network and image are called.
    class_index, label : int, str
        The class; its label is empty where the network's are not known.
    predicted : bool
        Whether the class was chosen, of several, as the one with the highest score.
    score : float
        The score on the clean image.
    score_of : str
        What the score is: the network's raw output, or its mean over an output map.
    patch, stride : int
        Side of the occluder and its step, in pixels.
    fill, seed : str, int
        What the occluder shows: ``"mean"`` (the image's mean colour), ``"noise"`` (random colours, one pattern for
        the whole image, drawn by `seed`) or ``"zero"`` (0 in the network's own units).
    full_passes : str
        Empty if only what changes was computed; else why every place took a full pass.
    output : str
        The name of the output that holds the scores; empty where the network gives one tensor.
    called : str
        What a score is of: ``"class"``, or ``"channel"`` where nothing says that the network's outputs are classes.
    """

    kind: ClassVar[str] = "occlusion"
    axes: ClassVar[dict[str, str]] = {
        "map": "height width",
        "drops": "rows columns",
        "tops": "rows",
        "lefts": "columns",
        "image": "height width 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "map": "any",
        "drops": "any",
        "tops": "0:height",
        "lefts": "0:width",
        "class_index": "0…",
        "score": "any",
        "patch": "1…",
        "stride": "1…",
        "fill": "mean | noise | zero",
        "called": "class | channel",
    }

    map: NDArray[np.float32]
    drops: NDArray[np.float32]
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    image: NDArray[np.uint8]
    network: str
    image_name: str
    class_index: int
    label: str
    predicted: bool
    score: float
    score_of: str
    patch: int
    stride: int
    fill: str
    seed: int
    full_passes: str
    output: str = ""
    called: str = "class"

    @property
    def name(self) -> str:
        """The class by its label, or its index."""
        return self.label or f"{self.called} {self.class_index}"

    @property
    def worst(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right (half-open, clipped) of the occluder that lowers the score most, in pixels."""
        row, col = np.unravel_index(int(np.argmax(self.drops)), self.drops.shape)
        top, left = int(self.tops[row]), int(self.lefts[col])
        height, width = self.image.shape[:2]
        return top, left, min(top + self.patch, height), min(left + self.patch, width)
