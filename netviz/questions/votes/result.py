"""How the units of a layer vote for a class."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class VotesResult(Result):
    """Each unit's share in one class score on one image, and what the score becomes without the unit.

    Attributes
    ----------
    share : ndarray of float32, shape (C,)
        Of each unit, activation times gradient of the score, summed over all that is the unit's.
    beside : ndarray of float32, shape (C,)
        What of this comes from tokens without a place in the image, such as a class token; 0 where there are none.
    ablated : ndarray of float32, shape (C,)
        The score when the unit is put to 0, or to the mean over its map.
    units : ndarray of int64, shape (K,)
        The units shown: those with the largest shares, largest first, then those with the smallest, smallest first.
    maps : ndarray of float32, shape (K, h, w)
        Their maps.
    contributions : ndarray of float32, shape (K, h, w)
        Activation times gradient at each position of these maps.
    peaks : ndarray of int64, shape (K, 2)
        Row and column of the position that votes most: for the class, or against it.
    boxes : ndarray of int64, shape (K, 4)
        Top, left, bottom, right (half-open, clipped) of the part of the image that belongs to it.
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    network, image_name, layer, alias, layer_kind : str
        The network's name; what the image is called; the layer's dotted name, classic alias and kind.
    chosen : bool
        Whether the layer was chosen, as the last with maps before the scores.
    channels : int
        How many units the layer has.
    supporting : int
        How many of the units shown are the first ones: those with the largest shares.
    class_index, label, called : int, str, str
        The class; its label is empty where the network's are not known; ``"class"`` or ``"channel"``.
    predicted : bool
        Whether the class was chosen, of several, as the one with the highest score.
    score : float
        The score on the image.
    score_of : str
        What the score is: the network's raw output, or its mean over an output map.
    to : str
        What a unit is put to: ``"zero"`` or ``"mean"``.
    offset : float
        The score when all units of the layer are 0.
    exact : bool
        Whether the score is linear in the layer's output: then shares and offset add up to it, and a unit that is put
        to 0 takes just its share away.
    unchanged : int
        Of how many units that changes nothing, since they have this value on this image.
    center, step : (float, float) or None
        Where the first position of a map stands in the image, in pixels (y, x), and how far it is to the next; None
        where maps have no place in it: then they are spread evenly.
    patch_of : str
        What a box is: ``"field"``, the position's receptive field, or ``"positions"``, three positions around it,
        where the field is as large as the image or not known.
    full_passes : str
        Empty if only what comes after the layer was computed again; else why every unit took a full pass.
    output : str
        The name of the output that holds the scores; empty where the network gives one tensor.
    """

    kind: ClassVar[str] = "votes"
    axes: ClassVar[dict[str, str]] = {
        "share": "channels",
        "beside": "channels",
        "ablated": "channels",
        "units": "shown",
        "maps": "shown rows columns",
        "contributions": "shown rows columns",
        "peaks": "shown 2",
        "boxes": "shown 4",
        "image": "height width 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "share": "any",
        "beside": "any",
        "ablated": "any",
        "units": "0:channels",
        "maps": "any",
        "contributions": "any",
        "peaks": "0…",
        "boxes": "0…1e9",
        "channels": "1…",
        "supporting": "0…shown",
        "class_index": "0…",
        "called": "class | channel",
        "score": "any",
        "to": "zero | mean",
        "offset": "any",
        "unchanged": "0…",
        "center": "-1e9…1e9",
        "step": "1e-9…1e9",
        "patch_of": "field | positions",
    }

    share: NDArray[np.float32]
    beside: NDArray[np.float32]
    ablated: NDArray[np.float32]
    units: NDArray[np.int64]
    maps: NDArray[np.float32]
    contributions: NDArray[np.float32]
    peaks: NDArray[np.int64]
    boxes: NDArray[np.int64]
    image: NDArray[np.uint8]
    network: str
    image_name: str
    layer: str
    alias: str
    layer_kind: str
    chosen: bool
    channels: int
    supporting: int
    class_index: int
    label: str
    called: str
    predicted: bool
    score: float
    score_of: str
    to: str
    offset: float
    exact: bool
    unchanged: int
    center: tuple[float, float] | None
    step: tuple[float, float] | None
    patch_of: str
    full_passes: str
    output: str = ""

    @property
    def name(self) -> str:
        """The class by its label, or its index."""
        return self.label or f"{self.called} {self.class_index}"

    @property
    def drop(self) -> NDArray[np.float64]:
        """How far the score falls without each unit, shape (C,)."""
        return self.score - self.ablated.astype(np.float64)

    def fault(self) -> str:
        """Return whether a patch is no part of the image."""
        top, left, bottom, right = self.boxes.T
        height, width = self.image.shape[:2]
        if not ((top < bottom) & (bottom <= height) & (left < right) & (right <= width)).all():
            return "boxes holds one that is no part of the image"
        if (self.center is None) != (self.step is None):
            return "center and step tell of a place only together"
        return ""

    def summary(self) -> dict[str, Any]:
        """Return the facts, with share and drop of the units shown, and what all shares sum up to."""
        shown = self.units.tolist()
        drop = self.drop
        return {
            **super().summary(),
            "shares_sum": float(self.share.astype(np.float64).sum()),
            "for": [_told(self, drop, unit) for unit in shown[: self.supporting]],
            "against": [_told(self, drop, unit) for unit in shown[self.supporting :]],
        }


def _told(result: VotesResult, drop: NDArray[np.float64], unit: int) -> dict[str, Any]:
    return {"unit": unit, "share": float(result.share[unit]), "drop": float(drop[unit])}


STRONGEST = 24
"""How many units are told of, and drawn, at most: those without which some class falls most."""

LEADING = 3
"""How many classes are told of each."""


@dataclass(frozen=True)
class VotesSetResult(Result):
    """How class scores change, in the mean over many images, when one unit of a layer is put to other values.

    Attributes
    ----------
    change : ndarray of float32, shape (C, classes)
        For each unit the mean change of each class's score; below 0 where the class falls without the unit.
    score : ndarray of float32, shape (classes,)
        The mean of each score.
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    chosen : bool
        Whether the layer was chosen, as the last with maps before the scores.
    channels : int
        How many units the layer has.
    labels : tuple of str
        The classes' names; empty where they are not known.
    called : str
        ``"class"`` or ``"channel"``.
    score_of : str
        What a score is: the network's raw output, or its mean over an output map.
    to : str
        What a unit is put to: ``"zero"`` or ``"mean"``, the mean over its map.
    exact : bool
        Whether the scores are linear in the layer's output: then nothing but its mean had to be measured.
    images, full : int
        How many images were counted; on how many of them every unit took a full pass.
    output : str
        The name of the output that holds the scores; empty where the network gives one tensor.
    """

    kind: ClassVar[str] = "votes_set"
    axes: ClassVar[dict[str, str]] = {"change": "channels classes", "score": "classes"}
    ranges: ClassVar[dict[str, str]] = {
        "channels": "1…",
        "called": "class | channel",
        "to": "zero | mean",
        "images": "1…",
        "full": "0…",
    }

    change: NDArray[np.float32]
    score: NDArray[np.float32]
    network: str
    layer: str
    alias: str
    layer_kind: str
    chosen: bool
    channels: int
    labels: tuple[str, ...]
    called: str
    score_of: str
    to: str
    exact: bool
    images: int
    full: int
    output: str = ""

    def name(self, number: int) -> str:
        """Return a class's label, or its index."""
        return self.labels[number] if self.labels and self.labels[number] else f"{self.called} {number}"

    def order(self) -> NDArray[np.int64]:
        """Return the units, those first without which some class falls most."""
        return np.argsort(self.change.min(axis=1), kind="stable").astype(np.int64)

    def falling(self, unit: int, count: int = LEADING) -> list[int]:
        """Return the classes that fall most without a unit, at most so many."""
        row = self.change[unit]
        order = np.argsort(row, kind="stable")[:count]
        return [int(number) for number in order if row[number] < 0]

    def strongest(self) -> dict[str, Any]:
        """Return for the strongest units the classes that fall most without them."""
        return {
            "exact": self.exact,
            "strongest": [
                {
                    "unit": unit,
                    "falls": [
                        {"class_index": at, "label": self.name(at), "change": float(self.change[unit, at])}
                        for at in self.falling(unit)
                    ],
                }
                for unit in self.order()[:STRONGEST].tolist()
            ],
        }

    def summary(self) -> dict[str, Any]:
        """Return the facts, with the classes that fall most without the strongest units."""
        return {**super().summary(), **self.strongest()}

    def fault(self) -> str:
        """Return whether labels are of other classes."""
        if self.labels and len(self.labels) != len(self.score):
            return f"labels names {len(self.labels)} classes, not {len(self.score)}"
        return ""
