"""What the units of a layer are like: selective for a class, sparse, correlated, with the same patches."""

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from netviz.analysis.common import ModelSpec
from netviz.analysis.patch_results import layer_patches, map_windows
from netviz.analysis.runs import Progress, default_device, full_name, open_network, require_images
from netviz.engines import Files, Job, Tally, Units, UnitsPlan, run_local
from netviz.engines.class_means import ClassMeans, Together
from netviz.errors import LayerError
from netviz.images import PHOTOGRAPHS, class_names, list_images
from netviz.results.unit_facts import (
    UnitFactsResult,
    alike,
    class_selectivity,
    common_patches,
    correlation,
    sparsity,
)

SAMPLE = 1 << 14
"""At how many random positions, at most, units are compared."""


def unit_facts(
    model: ModelSpec,
    layer: str,
    *,
    images: Iterable[str | Path] = (),
    top: int = 9,
    fit: str = "crop",
    size: tuple[int, int] | None = None,
    batch: int = 16,
    workers: int = 0,
    device: str | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Progress | None = None,
) -> UnitFactsResult:
    """Measure class selectivity, sparsity and redundancy of a layer's units.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str
        A name, alias or glob that means one layer.
    images : iterable of str or Path
        As for `netviz.patches`. Where they lie in a folder for each class, or are named by it, the selectivity for
        classes is measured too.
    top : int
        How many patches of two units are compared.
    fit, size, batch, workers, device, trust, weights, seed, progress
        As for `netviz.patches`.

    Raises
    ------
    NetvizError
        If MODEL, the images or the layer cannot serve.
    """
    opened = open_network(model, (layer,), fit=fit, size=size, trust=trust, weights=weights, seed=seed)
    if len(opened.layers) > 1:
        raise LayerError(f"{layer!r} fits {len(opened.layers)} layers; name one of them")
    (one,) = opened.layers
    images = list(images)
    sources = list_images(images) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    names = tuple(full_name(source) for source in sources)
    classes, numbers = class_names(sources, images)
    plan = UnitsPlan(opened.layers, map_windows(opened), top=top, sample=SAMPLE)
    units, means = Units(plan), ClassMeans(one.channels, numbers)
    together = Together((units, means) if len(classes) > 1 else (units,))
    job = Job(
        network=opened.network,
        name=opened.model.name,
        preprocessing=opened.preprocessing,
        shape=opened.index.input_shape or (),
        layers=opened.layers,
        source=Files(names, opened.preprocessing),
        names=names,
        start=functools.partial(Units, plan),
        batch=batch,
        device=default_device(device),
    )
    tally = Tally.empty(job.chunks)
    run_local(job, together, tally, workers=workers, progress=progress)
    require_images(tally, names)
    values = units.layers[one].sample.sorted()[1]
    seen = layer_patches(
        units, 0, units.mean()[one], opened.fields[one], opened.preprocessing, network=opened.model.name
    )
    by_class = means.mean() if len(classes) > 1 else np.zeros((one.channels, 0))
    there = tuple(name for name, count in zip(classes, means.images, strict=False) if count)
    rectified = by_class.shape[1] > 1 and bool((by_class >= 0).all()) and seen.rectified
    shared = common_patches(seen)
    groups = alike(shared)
    return UnitFactsResult(
        selectivity=class_selectivity(by_class) if rectified else np.full(one.channels, np.nan),
        class_means=by_class,
        sparsity=sparsity(values),
        zeros=1 - seen.nonzero.astype(np.float64),
        correlation=correlation(values),
        common=shared,
        classes=there,
        alike=groups,
        redundant=sum(len(group) - 1 for group in groups),
        network=opened.model.name,
        layer=one.name,
        alias=one.alias,
        channels=one.channels,
        images=units.images,
        positions=seen.positions,
        samples=len(values),
    )
