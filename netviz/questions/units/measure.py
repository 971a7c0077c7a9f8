"""What the units of a layer are like: selective for a class, sparse, correlated, with the same patches."""

import functools

import numpy as np
from typing_extensions import Unpack

from netviz.engines import Progress, Tally, Units, UnitsQuery, run_local
from netviz.engines.accumulators.classes import ClassMeans, Together
from netviz.errors import ImageError, LayerError
from netviz.images import Images, Photo, class_names, images_or_photographs
from netviz.models import ModelSpec
from netviz.questions.opening import InputOptions
from netviz.questions.patches.measure import layer_patches, map_windows
from netviz.questions.runs import (
    check_options,
    default_device,
    make_job,
    open_network,
    require_images,
)
from netviz.questions.units.result import (
    UnitsResult,
    alike,
    class_selectivity,
    cluster_order,
    common_patches,
    correlation,
    left_by_chance,
    left_over,
    sparsity,
)
from netviz.results.ledger import full_name

SAMPLE = 1 << 14
"""At how many random positions, at most, units are compared."""

TOP = 9
"""How many patches of two units are compared, at most, unless the user says."""


def units(
    model: ModelSpec,
    layer: str,
    *,
    images: Images = (),
    top: int | None = None,
    fit: str = "crop",
    batch: int | None = None,
    workers: int = 0,
    device: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    **options: Unpack[InputOptions],
) -> UnitsResult:
    """Measure class selectivity, sparsity and redundancy of a layer's units.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str
        A name, alias or glob that means one layer.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        As for `netviz.patches`. Where they lie in a folder for each class, or are named by it, the selectivity for
        classes is measured too, for those with several images.
    top : int
        How many patches of two units are compared; by default 9, or a third of the images if these are fewer than 27.
    fit, batch, workers, device, progress
        As for `netviz.patches`.
    strict : bool
        Stop at an image that cannot be read; else it is named in `skipped`.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`.

    Returns
    -------
    UnitsResult
        `class_selectivity`, `sparsity`, `correlation` and `common_patches` of netviz.questions.units.result say how
        each number is made.

    Raises
    ------
    NetvizError
        If MODEL, the images or the layer cannot serve.
    ValueError
        If an option is none of the values named here.
    """
    check_options((("top", top, 1), ("batch", batch, 1)), fit=fit)
    device = default_device(device)
    opened = open_network(model, (layer,), fit=fit, **options)
    if len(opened.layers) > 1:
        raise LayerError(f"{layer!r} fits {len(opened.layers)} layers; name one of them")
    (one,) = opened.layers
    sources = images_or_photographs(images)
    names = tuple(one.path or one.name if isinstance(one, Photo) else full_name(one) for one in sources)
    classes, numbers = class_names(sources, images)
    # Where every unit has a patch in every image, patches are the same by chance.
    top = max(1, min(TOP, len(names) // 3)) if top is None else top
    query = UnitsQuery(opened.layers, map_windows(opened), top=top, sample=SAMPLE)
    found, means = Units(query), ClassMeans(one.channels, numbers)
    together = Together((found, means) if len(classes) > 1 else (found,))
    job = make_job(
        opened, names, functools.partial(Units, query), batch=batch, device=device, sources=sources
    )
    tally = Tally.empty(job.chunks)
    run_local(job, together, tally, workers=workers, strict=strict, progress=progress)
    require_images(tally, names)
    values = found.layers[one].sample.sorted()[1]
    if len(values) < 2:
        raise ImageError(
            f"layer {one.name} ({one.alias}) has one position in one image, and units are compared over several; "
            f"give more images"
        )
    seen = layer_patches(found, 0, found.mean()[one], opened)
    by_class, counts = np.zeros((one.channels, 0)), np.zeros(0, dtype=np.int64)
    if len(classes) > 1:
        by_class, counts = means.mean(), means.images[means.images > 0]
    # Of a class with one image nobody can tell what is the class and what the image.
    repeated = counts > 1
    by_class = by_class[:, repeated]
    there = tuple(name for name, count in zip(classes, means.images, strict=False) if count > 1)
    selective = by_class.shape[1] > 1 and bool((by_class >= 0).all()) and seen.rectified
    shared = common_patches(seen)
    # What a unit that is 0 everywhere has for patches is where the search began.
    silent = seen.nonzero == 0
    shared[silent], shared[:, silent] = 0, 0
    groups, related = alike(shared), correlation(values)
    left, chance = left_over(groups), left_by_chance(seen, silent)
    return UnitsResult(
        selectivity=class_selectivity(by_class) if selective else np.full(one.channels, np.nan),
        class_means=by_class,
        sparsity=sparsity(values),
        zeros=1 - seen.nonzero.astype(np.float64),
        correlation=related.astype(np.float32),
        order=cluster_order(related),
        common=shared.astype(np.float32),
        classes=there,
        alike=groups,
        redundant=left if 2 * chance < left or not left else None,
        rectified=seen.rectified,
        network=opened.model.name,
        **opened.provenance(layer=layer),
        layer=one.name,
        alias=one.alias,
        layer_kind=one.kind,
        channels=one.channels,
        top=top,
        images=found.images,
        positions=seen.positions,
        samples=len(values),
        skipped=tuple((names[number], reason) for number, reason in sorted(tally.skipped.items())),
        chance=chance,
        class_images=tuple(counts[repeated].tolist()),
        single=int((~repeated).sum()),
    )
