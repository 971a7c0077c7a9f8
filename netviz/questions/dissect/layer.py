"""From what the two passes of a dissection found to the result of one layer.

Layers whose rows and columns are the image's are told from those whose maps say nothing of places.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from netviz.capture import Tape, network_device, network_dtype, record
from netviz.capture.watch import Key
from netviz.engines import Units
from netviz.engines.accumulators.concepts import Centers, Concepts
from netviz.errors import LayerError
from netviz.geometry.axes import spatial
from netviz.geometry.field import Field, follow
from netviz.images.labelled.labels import LabelSet
from netviz.models import Layer
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.opening import Opened
from netviz.questions.patches.result import PatchesResult

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
    values = units.layers[units.query.layers[at]].sample.sorted()[1]
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


def layer_centers(field: Field) -> Centers | None:
    """Return where a layer's positions look, or None where that is not known or everywhere the same."""
    place = field.place
    return None if place is None else Centers(place.center(0, 0), place.stride)


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
    area, category = found.area[:count], found.query.category[:count]
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
        threshold=found.query.thresholds[at],
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
        placed="evenly" if found.query.centers[at] is None else "by field",
        quantile=quantile,
        quantile_samples=seen.quantile_samples,
        positions=seen.positions,
        quantile_error=quantile_error(quantile, seen.quantile_samples, seen.positions),
        detect=iou,
        images=found.images,
        data=labels.kind,
        resolution=f"{pixels}, with the label of the label pixel that its middle lies in",
        **opened.provenance(layer=opened.asked.get(layer.name, "")),
    )


def require_places(opened: Opened) -> None:
    """Refuse layers whose maps say nothing of places.

    Raises
    ------
    LayerError
        Naming the first.
    """
    tape: Tape | None = None
    for layer in opened.layers:
        if layer.shape is None:
            continue
        if math.prod(layer.shape[1:]) == 1:
            raise _not_spatial(opened, layer, "its maps are 1×1, one value for the whole image")
        if layer_centers(opened.fields[layer]) is None:
            tape = tape or _record(opened)
            if not _of_the_image(opened, tape, layer):
                size = "×".join(map(str, layer.shape[1:]))
                raise _not_spatial(opened, layer, f"its {size} rows and columns are none of the image's")


def _not_spatial(opened: Opened, layer: Layer, reason: str) -> LayerError:
    return LayerError(
        f"layer {layer.name} ({layer.alias}) of {opened.model.name} is not spatial: {reason}; choose a layer "
        f"before it"
    )


def _of_the_image(opened: Opened, tape: Tape, layer: Layer) -> bool:
    """Return whether rows and columns of a layer's output run along those of the image."""
    if layer.arrangement is not None:
        return True  # put together of tokens or windows by where each stands
    number = tape.layers.get(Key(layer.module, layer.function, layer.call))
    if number is None:
        return _likely(opened, layer)
    if len(tape.shapes[number]) != 4 or tape.shapes[number][0] != tape.shapes[0][0]:
        return False
    spread = follow(tape, (opened.index.input_shape or ())[-2:])[number]
    if isinstance(spread, str):
        return _likely(opened, layer)
    if opened.fields[layer].status == "unknown":
        return False
    dims = [dim for at, dim in enumerate(spread.dims) if at not in (0, layer.channel_axis % 4)]
    return all(map(spatial, dims)) or _likely(opened, layer)


def _likely(opened: Opened, layer: Layer) -> bool:
    """Tell places from tokens by their number, where the pass mixes positions in a way that is not followed.

    A convolution or pooling gives such a map too, or it has the image's proportions.
    """
    rows, columns = (layer.shape or (0, 1, 1))[1:]
    for other in opened.index:
        slides = other.kind in ("conv", "deconv", "pool") and other.channel_axis == 1
        if slides and other.shape is not None and other.shape[1:] == (rows, columns):
            return True
    height, width = (opened.index.input_shape or (1, 1))[-2:]
    if height == width:
        return rows == columns
    return abs(rows * width - columns * height) <= max(height, width)


def _record(opened: Opened) -> Tape:
    """Follow one pass without arithmetic, or, where the network does not allow that, on zeros."""
    shape, dtype = opened.index.input_shape or (), network_dtype(opened.network)
    try:
        return record(opened.network, torch.zeros(1, *shape, device="meta", dtype=dtype), keep=False)
    except Exception:  # whatever a network's own code raises on tensors without values
        device = network_device(opened.network)
        return record(opened.network, torch.zeros(1, *shape, device=device, dtype=dtype), keep=False)
