"""A survey's maps: which units are shown, and their maps on every photograph."""

from collections.abc import Sequence
from pathlib import Path

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
from netviz.questions.patches.run import open_run
from netviz.results.records import Count
from netviz.results.survey import SHOWN_UNITS, PatchesRecord
from netviz.surveys.step import Scope

DRAWN = 12
"""How many units are drawn before and after contrast normalization."""

Picked = tuple[tuple[Count, ...], tuple[Count, ...]]
"""A layer's units that are shown on every photograph, and those whose components are drawn."""


def pick_units(scope: Scope, report: Progress) -> tuple[Picked | None, ...]:
    """Pick of each surveyed layer the units with the largest responses; None for a layer without maps."""
    patches = scope.made["patches"]
    # Where every image is of one size, the search for patches has seen the same pixels.
    one_size = scope.size is not None or scope.model.preprocessing.crop is not None
    if isinstance(patches, PatchesRecord) and one_size:
        peaks = scope.peaks or _patch_peaks(patches.folder, scope.chosen)
    else:
        peaks = _peaks(scope, report)
    return tuple(
        (_strongest(peaks[layer], SHOWN_UNITS), _strongest(peaks[layer], DRAWN)) if layer in peaks else None
        for layer in scope.chosen
    )


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


def _patch_peaks(folder: Path, layers: Sequence[Layer]) -> dict[Layer, NDArray[np.float32]]:
    """Return each unit's largest value as a run of patches over the same images and layers has it."""
    run = open_run(folder)
    return {layer: run.result(one).max for layer, one in zip(layers, run.layers, strict=True)}


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


def _strongest(peaks: NDArray[np.float32], most: int) -> tuple[int, ...]:
    """Return the units with the largest responses, in order of their number."""
    return tuple(int(unit) for unit in np.sort(np.argsort(-peaks, kind="stable")[:most]))


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
