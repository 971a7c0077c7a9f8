"""From what the two passes of a dissection found to the result of one layer."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netviz.analysis.runs import Opened
from netviz.engines import Units
from netviz.engines.concepts import Concepts, Place
from netviz.fields.geometry import Field
from netviz.images.labelled import LabelSet
from netviz.models import Layer
from netviz.results import DissectionResult, PatchesResult

SAMPLE_VALUES = 1 << 26
"""How many values the samples for thresholds hold in all: 256 MiB."""

_BLOCK = 1 << 24
"""How many of them are sorted at once."""


def sample_size(layers: Sequence[Layer], images: int) -> int:
    """Return at how many positions of each layer values are kept: at all, if that fits into `SAMPLE_VALUES`.

    A layer with fewer positions leaves its room to the others.
    """
    sizes = sorted((images * math.prod((one.shape or (1,))[1:]), one.channels) for one in layers)
    room, units = SAMPLE_VALUES, sum(one.channels for one in layers)
    for positions, channels in sizes:
        if positions * units > room:
            return max(1024, room // units)
        room, units = room - positions * channels, units - channels
    return max(1024, sizes[-1][0], SAMPLE_VALUES // sum(channels for _, channels in sizes))


def thresholds(units: Units, at: int, quantile: float) -> NDArray[np.float64]:
    """Return a quantile of each unit's values of one layer, in double precision, interpolated linearly."""
    values = units.layers[units.plan.layers[at]].sample.sorted()[1]
    step = max(1, _BLOCK // max(1, len(values)))
    parts = [
        np.quantile(values[:, first : first + step].astype(np.float64), quantile, axis=0)
        for first in range(0, values.shape[1], step)
    ]
    return np.concatenate(parts)


def quantile_error(quantile: float, samples: int, positions: int) -> float:
    """Return the standard deviation of the share of all values that lie below the quantile of a sample of them."""
    if samples >= positions:
        return 0.0
    left_out = (positions - samples) / (positions - 1)
    return math.sqrt(quantile * (1 - quantile) / samples * left_out)


def place(field: Field) -> Place | None:
    """Return where a layer's positions look, or None where that is not known or everywhere the same."""
    if field.status not in ("exact", "upper_bound") or not all(side > 0 for side in field.stride):
        return None
    return Place(field.center(0, 0), field.stride)


def layer_dissection(
    found: Concepts,
    at: int,
    opened: Opened,
    labels: LabelSet,
    seen: PatchesResult,
    quantile: float,
    iou: float,
) -> DissectionResult:
    """Return the result of one layer.

    Parameters
    ----------
    found : Concepts
        After all images.
    at : int
        Which of its layers.
    opened : Opened
    labels : LabelSet
    seen : PatchesResult
        What the first pass found of the layer.
    quantile : float
        Which its thresholds are.
    iou : float
        Above which a unit is a detector.
    """
    layer = opened.layers[at]
    field = opened.fields[layer]
    count = len(labels.concepts)
    if not labels.named:
        count = int(np.flatnonzero(found.area).max(initial=0)) + 1
    area, category = found.area[:count], found.plan.category[:count]
    met, active = found.intersection[at][:, :count], found.active[at]
    union = active[:, category] + area - met
    shares = np.where(area > 0, met / np.maximum(union, 1), 0.0)
    best = np.full((layer.channels, len(labels.categories)), -1, dtype=np.int64)
    for number in range(len(labels.categories)):
        mine = np.flatnonzero(category == number)
        if len(mine):
            best[:, number] = mine[shares[:, mine].argmax(axis=1)]
    known = field.status != "unknown"
    pixels = "every pixel of the network's input"
    if opened.preprocessing.crop is not None:
        pixels += f" ({'×'.join(map(str, opened.preprocessing.crop))})"
    return DissectionResult(
        iou=shares,
        intersection=met,
        unit_area=active,
        concept_area=area,
        concept_images=found.present[:count],
        category_area=found.pixels,
        threshold=found.plan.thresholds[at],
        best=best,
        concepts=tuple((one.name, one.category) for one in labels.concepts[:count]),
        categories=tuple(labels.categories),
        network=opened.model.name,
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        map_size=seen.map_size,
        field_size=field.size if known else None,
        field_stride=field.stride if known else None,
        field_status=field.status,
        placed="evenly" if found.plan.places[at] is None else "by field",
        quantile=quantile,
        quantile_samples=seen.quantile_samples,
        positions=seen.positions,
        quantile_error=quantile_error(quantile, seen.quantile_samples, seen.positions),
        detect=iou,
        images=found.images,
        data=labels.kind,
        resolution=f"{pixels}, with the label of the label pixel that its middle lies in",
        input=str(opened.preprocessing),
    )
