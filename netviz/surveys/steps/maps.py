"""A survey's maps: which units are shown, and their maps on every photograph."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines import Progress
from netviz.images import Photo
from netviz.models import Layer
from netviz.paper.scales import peak, peak_inside
from netviz.questions.maps.measure import scale_end
from netviz.questions.maps.result import MapsResult
from netviz.questions.opening import provenance, run_layers
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.run import open_run
from netviz.questions.reader import load_kind
from netviz.questions.units.result import NearestResult
from netviz.results.records import Count
from netviz.results.survey import SHOWN_UNITS, PatchesRecord
from netviz.surveys.step import Scope

DRAWN = 12
"""How many units are drawn before and after contrast normalization."""

HIGH = 0.995
"""The quantile with which a unit's own scale ends."""

ALIKE = 0.7
"""Units whose values correlate by more are not shown beside each other, where there are others."""

Picked = tuple[tuple[Count, ...], tuple[Count, ...]]
"""A layer's units that are shown on every photograph, and those whose components are drawn."""


def pick_units(scope: Scope, report: Progress) -> tuple[Picked | None, ...]:
    """Pick the units of each surveyed layer that are shown; None for a layer without maps.

    With patches these are of `varied_units`; without, those with the largest responses.
    """
    patches = scope.made["patches"]
    ranked: dict[Layer, list[int]] = {}
    if isinstance(patches, PatchesRecord):
        run = open_run(patches.folder)
        for layer, one in zip(scope.chosen, run.layers, strict=True):
            near = scope.out / "units" / f"{scope.slugs[layer]}.npz"
            alike = load_kind(near, NearestResult) if near.is_file() else None
            ranked[layer] = varied_units(run.result(one), alike)
    else:
        peaks = _peaks(scope, report)
        ranked = {layer: np.argsort(-peak, kind="stable").tolist() for layer, peak in peaks.items()}

    def first(layer: Layer, most: int) -> tuple[int, ...]:
        return tuple(sorted(ranked[layer][:most]))

    return tuple(
        (first(layer, SHOWN_UNITS), first(layer, DRAWN)) if layer in ranked else None
        for layer in scope.chosen
    )


def varied_units(found: PatchesResult, alike: NearestResult | None = None) -> list[int]:
    """Order the units of a layer by how much they have to show.

    A unit's strength is its best value at a position whose field does not leave the image, on its own scale: how
    far it exceeds the median, in steps from the median to the 0.995 quantile. First come units that are strongest at
    such a position, then those that have one among their patches, then the rest by their largest value. Among the
    first the photographs that hold the best patch take turns, and a unit that acts like one before it waits until the
    others are through.

    Parameters
    ----------
    found : PatchesResult
    alike : NearestResult, optional
        Which units act alike.

    Returns
    -------
    list of int
        All units.
    """
    inner = found.shown & ~found.leaves
    has = inner.any(axis=1)
    place = inner.argmax(axis=1)
    every = np.arange(len(found.score))
    best = np.where(has, found.score[every, place], -np.inf)
    at = (int(np.abs(found.quantile_levels - level).argmin()) for level in (0.5, HIGH))
    median, high = (found.quantiles[:, one] for one in at)
    spread = (high - median).astype(np.float64)
    # A unit that is nearly silent is large on its own scale by its noise.
    least = np.median(spread[spread > 0]) / 4 if (spread > 0).any() else 1.0
    strength = np.where(has, (best - median) / np.maximum(spread, least), -np.inf)
    group = np.where(inner[:, 0], 0, np.where(has, 1, 2))
    strength = np.where(group == 2, found.max, strength)
    order = np.lexsort((every, -strength, group)).tolist()
    first = [unit for unit in order if group[unit] == 0]
    turns: dict[int, int] = {}
    rank = {}
    for unit in first:
        image = int(found.image[unit, place[unit]])
        rank[unit] = turns[image] = turns.get(image, -1) + 1
    first.sort(key=rank.__getitem__)
    taken: list[int] = []
    waiting: list[int] = []
    for unit in first:
        like = set() if alike is None else _alike(alike, unit)
        (waiting if like.intersection(taken) else taken).append(unit)
    return [*taken, *waiting, *(unit for unit in order if group[unit])]


def _alike(found: NearestResult, unit: int) -> set[int]:
    """Return the units whose values correlate with a unit's by more than `ALIKE`."""
    return set(found.nearest[unit][found.similarity[unit] > ALIKE].tolist())


def survey_maps(scope: Scope, report: Progress) -> None:
    """Save the maps of the picked units on every photograph, ``maps/SLUG/IMAGE.npz``.

    A photograph whose files are all there is left out.
    """
    units = scope.units
    at = {layer: torch.tensor(some) for layer, some in units.items()}

    def chosen(layer: Layer, maps: Tensor) -> Tensor:
        return maps[at[layer].to(maps.device)]

    for number, image in enumerate(scope.images):
        files = {layer: scope.out / "maps" / scope.slugs[layer] / f"{image.stem}.npz" for layer in units}
        report(f"{scope.model.name}: {image.name}", number, len(scope.images))
        if all(file.is_file() for file in files.values()):
            continue
        photo, prepared = scope.read(number)
        values = run_layers(scope.model, list(units), prepared.tensor, photo.name, chosen)
        for layer, maps in values.items():
            result = _maps_result(scope, layer, photo, prepared.image, maps, units[layer])
            result.save(
                files[layer],
                coarse=True,
                fine={"maps": _scale_ends(result)},
                pictures={image.file: prepared.image},
            )


def _scale_ends(result: MapsResult) -> NDArray[np.float64]:
    """Return where the scale of each map ends: what lies beyond takes one colour."""
    within = result.percentile / 100
    return np.array([peak_inside(one) if within == 1 else peak(one, within) for one in result.maps])


def _peaks(scope: Scope, report: Progress) -> dict[Layer, NDArray[np.float32]]:
    """Run the network on every photograph; return each unit's largest value."""
    found: dict[Layer, NDArray[np.float32]] = {}
    for number in range(len(scope.shown)):
        photo, prepared = scope.read(number)
        report(f"{scope.model.name}: {photo.name}", number, len(scope.shown))
        values = run_layers(scope.model, list(scope.chosen), prepared.tensor, photo.name, _peak)
        for layer, value in values.items():
            peak = np.nan_to_num(value, nan=-np.inf)
            found[layer] = np.maximum(found.get(layer, peak), peak)
    return found


def _peak(_: Layer, maps: Tensor) -> Tensor:
    return maps.flatten(1).amax(dim=1)


def _maps_result(
    scope: Scope,
    layer: Layer,
    photo: Photo,
    image: NDArray[np.uint8],
    maps: NDArray[np.float32],
    units: Sequence[int],
) -> MapsResult:
    return MapsResult(
        maps=maps,
        image=image,
        index=np.array(units, dtype=np.int64),
        units=np.array(units, dtype=np.int64),
        network=scope.model.name,
        **provenance(scope.model, scope.preprocessing, photo),
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        image_name=photo.name,
        scale="each",
        percentile=scale_end(layer),
        sort="index",
        arrangement=str(layer.arrangement or ""),
    )
