"""Which labelled concepts the units of one layer detect."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result

IOU = 0.04
"""Above which intersection over union a unit detects a concept (Bau et al., CVPR 2017)."""


class Detection(NamedTuple):
    """A unit's best concept.

    Attributes
    ----------
    unit : int
        Counted from 0.
    category, label : str
        The concept; both "" where there is none.
    score : float
        The intersection over union, 0 … 1.
    """

    unit: int
    category: str
    label: str
    score: float


@dataclass(frozen=True)
class DissectionResult(Result):
    """Intersection over union of every unit of a layer with every concept, over many images.

    A unit is active in a pixel of the network's input where its map, interpolated between the centres of its
    positions, is above its threshold.

    Attributes
    ----------
    iou : ndarray of float64, shape (units, concepts)
        Pixels where unit and concept meet, over those of either; 0 for a concept that no pixel has. The unit counts
        in images that the concept's category is labelled in.
    intersection : ndarray of int64, shape (units, concepts)
        Pixels where unit and concept meet.
    unit_area : ndarray of int64, shape (units, categories)
        Active pixels in images that a category is labelled in; void pixels do not count.
    concept_area : ndarray of int64, shape (concepts,)
        Pixels of each concept.
    concept_images : ndarray of int64, shape (concepts,)
        Images that have it.
    category_area : ndarray of int64, shape (categories,)
        Pixels, but for void ones, of the images that a category is labelled in.
    threshold : ndarray of float64, shape (units,)
        Each unit's `quantile`.
    best : ndarray of int64, shape (units, categories)
        Each unit's best concept of each category, the first of several; -1 where a category has none.
    concepts : tuple of (str, str)
        Name and category of each.
    categories : tuple of str
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    channels : int
        How many units the layer has.
    map_size : (int, int)
        Rows and columns of its maps.
    field_size, field_stride : (float, float) or None
        The receptive field in pixels of the network's input, (y, x); None where it is not known.
    field_status : str
        ``exact``, ``upper_bound``, ``global`` or ``unknown``.
    placed : str
        ``by field``: maps were interpolated between the centres of what positions see. ``evenly``: the layer has no
        such centres, and its positions were taken as spread evenly over the input.
    quantile : float
        Which share of a unit's values is below its threshold.
    quantile_samples, positions : int
        How many positions the thresholds come from, out of how many.
    quantile_error : float
        The standard deviation of the share below the threshold that comes of this: 0 where all were taken.
    detect : float
        The intersection over union above which a unit counts as a detector.
    images : int
        How many images were counted.
    data : str
        What kind of labels: ``masks``, ``voc``, ``broden`` or ``colour``.
    resolution : str
        Which pixels were counted.
    input : str
        What becomes of an image.
    """

    kind: ClassVar[str] = "dissection"
    axes: ClassVar[dict[str, str]] = {
        "iou": "channels concepts",
        "intersection": "channels concepts",
        "unit_area": "channels categories",
        "concept_area": "concepts",
        "concept_images": "concepts",
        "category_area": "categories",
        "threshold": "channels",
        "best": "channels categories",
    }
    ranges: ClassVar[dict[str, str]] = {
        "iou": "0…1",
        "intersection": "0…",
        "unit_area": "0…",
        "concept_area": "0…",
        "concept_images": "0…",
        "category_area": "0…",
        "best": "-1:concepts",
        "map_size": "1…1e9",
        "field_size": "0…1e9",
        "field_stride": "0…1e9",
        "field_status": "exact | upper_bound | global | unknown",
        "placed": "by field | evenly",
        "quantile": "0…1",
        "quantile_samples": "0…",
        "positions": "0…",
        "quantile_error": "0…",
        "detect": "0…1",
        "images": "0…",
    }

    iou: NDArray[np.float64]
    intersection: NDArray[np.int64]
    unit_area: NDArray[np.int64]
    concept_area: NDArray[np.int64]
    concept_images: NDArray[np.int64]
    category_area: NDArray[np.int64]
    threshold: NDArray[np.float64]
    best: NDArray[np.int64]
    concepts: tuple[tuple[str, str], ...]
    categories: tuple[str, ...]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    map_size: tuple[int, int]
    field_size: tuple[float, float] | None
    field_stride: tuple[float, float] | None
    field_status: str
    placed: str
    quantile: float
    quantile_samples: int
    positions: int
    quantile_error: float
    detect: float
    images: int
    data: str
    resolution: str

    def fault(self) -> str:
        """Return whether a concept is of no known category."""
        of = [category for _, category in self.concepts]
        return next(
            (f"concepts tells of {one!r:.60}, no category" for one in of if one not in self.categories), ""
        )

    def ceiling(self) -> NDArray[np.float64]:
        """Return the highest intersection over union that a unit could have with a concept, (units, concepts).

        Of two areas it is the smaller one over the larger: a unit that is active in 0.5 % of the pixels has at most
        0.013 with a concept that covers 38 % of them, wherever it is active.
        """
        order = [self.categories.index(category) for _, category in self.concepts]
        active, area = self.unit_area[:, order], self.concept_area[None]
        larger: NDArray[np.float64] = np.maximum(active, area)
        return np.where(larger > 0, np.minimum(active, area) / np.maximum(larger, 1), 0.0)

    def nearest(self) -> tuple[tuple[Detection, float], ...]:
        """Return the best concept of every unit among those that it could detect, and the ceiling of that.

        Of a unit that could detect none, label and category are "", and the ceiling is the highest of all.
        """
        ceiling = self.ceiling()
        able = ceiling > self.detect
        best = np.where(able, self.iou, -1.0).argmax(axis=1)
        return tuple(
            (
                Detection(unit, self.concepts[at][1], self.concepts[at][0], float(self.iou[unit, at])),
                float(ceiling[unit, at]),
            )
            if able[unit, at]
            else (Detection(unit, "", "", 0.0), float(ceiling[unit].max(initial=0.0)))
            for unit, at in enumerate(best.tolist())
        )

    def detections(self) -> tuple[Detection, ...]:
        """Return the best concept of every unit over all categories, the first of several."""
        best = self.iou.argmax(axis=1)
        return tuple(
            Detection(unit, self.concepts[at][1], self.concepts[at][0], float(self.iou[unit, at]))
            for unit, at in enumerate(best.tolist())
        )

    def in_categories(self) -> tuple[Detection, ...]:
        """Return the best concept of every unit in each category that has one, as `best` tells them."""
        return tuple(
            Detection(unit, self.concepts[at][1], self.concepts[at][0], float(self.iou[unit, at]))
            for unit, row in enumerate(self.best.tolist())
            for at in row
            if at >= 0
        )

    def counts(self) -> dict[str, Any]:
        """Return the number of detectors and of the concepts that they detect: see `count_detectors`."""
        return count_detectors(self.detections(), self.in_categories(), self.categories, self.detect)

    def summary(self) -> dict[str, Any]:
        """Return the facts, with the number of detectors and of the concepts that they detect."""
        return {**self.counts(), **super().summary()}


def count_detectors(
    detections: Iterable[Detection],
    in_categories: Iterable[Detection] | None,
    categories: Sequence[str] = (),
    iou: float = IOU,
) -> dict[str, Any]:
    """Count units, detectors and the different concepts that they detect.

    Parameters
    ----------
    detections : iterable of Detection
        Each unit's best concept over all categories.
    in_categories : iterable of Detection or None
        Each unit's best concept of each category. None where only `detections` are known: they tell it where all are
        of one category.
    categories : sequence of str
        Told first and in this order, with 0 where nothing is detected.
    iou : float
        A unit is a detector if its score is above this.

    Returns
    -------
    dict
        ``units``; ``detectors``: units whose best concept over all categories passes `iou`, and
        ``detectors_by_category``; ``detected``: how many detectors each detected concept has, as [category, label,
        detectors], most first; ``unique_best``: how many concepts that makes. ``by_category``: for each category the
        different concepts that are some unit's best of that category, and pass there; ``unique``: their sum, the
        unique detectors of Network Dissection. These two are empty and None where they are not known.
    """
    detections = tuple(detections)
    if in_categories is None and len({one.category for one in detections}) == 1:
        in_categories = detections
    found = Counter((one.category, one.label) for one in detections if one.score > iou and one.label)
    passed = {(one.category, one.label) for one in in_categories or () if one.score > iou and one.label}
    names = list(dict.fromkeys([*categories, *(category for category, _ in sorted({*found, *passed}))]))
    ranked = sorted(found, key=lambda one: (-found[one], one))
    by_category: dict[str, int] = dict.fromkeys(names, 0)
    detectors: dict[str, int] = dict.fromkeys(names, 0)
    for category, _ in passed:
        by_category[category] += 1
    for (category, _), count in found.items():
        detectors[category] += count
    return {
        "units": len(detections),
        "detectors": sum(found.values()),
        "unique": None if in_categories is None else len(passed),
        "unique_best": len(found),
        "by_category": {} if in_categories is None else by_category,
        "detectors_by_category": detectors,
        "detected": [[*one, found[one]] for one in ranked],
    }
