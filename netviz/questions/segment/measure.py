"""Segmentation by a unit: its map, brought to the image and thresholded.

The threshold is the unit's quantile over many images: from a finished run, or by running the network on them.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from typing_extensions import Unpack

from netviz.engines import Progress, Tally, Units, UnitsQuery, run_local
from netviz.errors import ImageError, LayerError, ResultError
from netviz.images import ImageLike, Images, Photo, each_source, images_or_photographs, read_image
from netviz.models import ModelSpec
from netviz.questions.opening import ImageOptions
from netviz.questions.patches.run import open_run
from netviz.questions.places import Maps, Reader, open_layer, original_pixels, require_places, upsample
from netviz.questions.runs import make_job
from netviz.questions.segment.result import SegmentResult
from netviz.results.choose import choose_units

SAMPLE_VALUES = 1 << 24
"""How many values of all units the sample holds: 64 MiB."""


@dataclass(frozen=True)
class Quantile:
    """A quantile of a unit's values, and where it comes from.

    Attributes
    ----------
    value : float
    source : str
        The images, or the run.
    images, positions, samples : int
        Over how many images and positions, and how many of these were looked at.
    skipped : tuple of (str, str)
        Images that could not be read, and why.
    """

    value: float
    source: str
    images: int
    positions: int
    samples: int
    skipped: tuple[tuple[str, str], ...] = ()


def quantile_of_run(run: str | Path, reader: Reader, unit: int, level: float) -> Quantile:
    """Read a unit's quantile in the folder of a run of ``netviz patches``.

    Raises
    ------
    ResultError
        If it is no run, it is one of another network, or it does not hold this quantile.
    LayerError
        If it does not hold the layer, or another number of units of it.
    """
    opened = open_run(run)
    if opened.facts["network"] != reader.opened.model.name:
        raise ResultError(
            f"the run in {run} is of {opened.facts['network']}, not of {reader.opened.model.name}; name another "
            f"run, or give --images"
        )
    result = opened.result(opened.choose(reader.layer.name))
    if result.channels != reader.layer.channels:
        raise LayerError(
            f"the run in {run} has {result.channels} units of {result.layer}, the network {reader.layer.channels}; "
            f"name a run of this network"
        )
    if result.by != "activation":
        raise ResultError(
            f"the run in {run} holds {result.by}, not activations; name another run, or give --images"
        )
    levels = result.quantile_levels.tolist()
    if level not in levels:
        known = ", ".join(f"{one:g}" for one in levels)
        raise ResultError(f"the run in {run} holds no {level:g} quantile; it holds {known}")
    return Quantile(
        float(result.quantiles[unit, levels.index(level)]),
        f"run {Path(run).name}",
        result.images,
        result.positions,
        result.quantile_samples,
    )


def quantile_over_images(
    images: Images,
    reader: Reader,
    unit: int,
    level: float,
    progress: Progress | None = None,
) -> Quantile:
    """Run the network on images, prepared as the reader's own, and take a unit's quantile over all positions.

    Raises
    ------
    ImageError
        If none of the images can be read, or the network does not run on one.
    ModelError
        If the layer gives NaN or infinity.
    """
    given = each_source(images)
    sources = images_or_photographs(given)
    layer, opened = reader.layer, replace(reader.opened, layers=(reader.layer,))
    query = UnitsQuery((layer,), ((1, 1),), top=1, sample=max(SAMPLE_VALUES // layer.channels, 1024))
    names = tuple(one.path or one.name if isinstance(one, Photo) else str(one) for one in sources)
    start = functools.partial(Units, query)
    job = make_job(opened, names, start, device=str(opened.device), sources=sources)
    units, tally = Units(query), Tally.empty(job.chunks)
    run_local(job, units, tally, progress=progress)
    skipped = tuple((names[number], reason) for number, reason in sorted(tally.skipped.items()))
    if not units.images:
        raise ImageError(f"none of the {len(sources)} images can be read; the first: {skipped[0][1]}")
    values = units.layers[layer].sample.values[:, unit]
    return Quantile(
        float(np.quantile(values, level)),
        "the images given" if given else "scikit-image's photographs",
        units.images,
        int(units.positions[0]),
        len(values),
        skipped,
    )


QUANTILE = 0.995
"""Of all values of a unit, these are below its threshold (Network Dissection)."""


def segment(
    image: ImageLike,
    *,
    layer: str,
    unit: int,
    model: ModelSpec = "mobilenet_v2",
    threshold: str | float = "quantile",
    quantile: float = QUANTILE,
    images: Images = (),
    run: str | Path | None = None,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> SegmentResult:
    """Bring a unit's map to an image, between the centres of what its positions see, and cut it at a threshold.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    unit : int
        A negative one counts from the end.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    threshold : "quantile" or float
        The unit's `quantile` over many images; or a fraction, above 0 and at most 1, of the map's maximum on this
        image.
    quantile : float
        Between 0 and 1.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        Over which the quantile is taken: files, folders, ``skimage:NAME``; by default scikit-image's photographs.
        They are prepared as `image` is.
    run : str or Path, optional
        The folder of a finished run of `netviz.patches`, whose quantile is taken instead.
    progress : callable, optional
        Called with what is being done, how many images are done, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    SegmentResult
        Its `mask` and `heat` are in pixels of the original image.

    Raises
    ------
    ImageError
        If an image cannot be read, or the network does not run on it.
    LayerError
        If the layer or the unit does not exist, or the layer's positions have no place in the image; or a fraction
        is asked for of a map that is nowhere positive.
    ModelError
        If MODEL cannot be opened or cannot run.
    ResultError
        If `run` is no finished run of this network with this layer and quantile.
    ValueError
        If `threshold` or `quantile` is out of range, or `images` and `run` are both given.

    References
    ----------
    Zhou et al., "Object Detectors Emerge in Deep Scene CNNs", ICLR 2015. Bau et al., "Network Dissection", CVPR 2017.
    """
    sources = each_source(images)
    cut = _asked(threshold, quantile)
    if sources and run is not None:
        raise ValueError("the quantile comes from images or from a run: give one of them")
    photo = read_image(image)
    reader = open_layer(photo, layer, model, **options)
    found = reader.layer
    chosen = (choose_units([unit], found.channels, found.name) or [0])[0]
    maps = reader.maps(reader.values)[chosen]
    if cut.fraction:
        limit = _fraction(maps, cut.level, reader, chosen)
        taken = Quantile(limit, "", 0, 0, 0)
    elif run is not None:
        taken = quantile_of_run(run, reader, chosen, cut.level)
    else:
        taken = quantile_over_images(sources, reader, chosen, cut.level, progress)
    height, width = photo.pixels.shape[:2]
    rows, cols = original_pixels(height, width, reader.opened.preprocessing)
    heat = upsample(maps, reader.field, rows.at, cols.at)
    heat[~np.logical_and.outer(rows.shown, cols.shown)] = np.nan
    # As the file holds both, the mask follows from them exactly.
    limit = float(np.float32(taken.value))
    with np.errstate(invalid="ignore"):
        mask = heat >= np.float32(limit) if cut.fraction else heat > np.float32(limit)
    seen = np.flatnonzero(rows.shown), np.flatnonzero(cols.shown)
    return SegmentResult(
        mask=mask,
        heat=heat,
        map=maps,
        image=reader.photo.pixels,
        network=reader.opened.model.name,
        image_name=photo.name,
        layer=found.name,
        alias=found.alias,
        layer_kind=found.kind,
        unit=chosen,
        channels=found.channels,
        threshold=limit,
        threshold_of="fraction" if cut.fraction else "quantile",
        level=cut.level,
        source=taken.source,
        images=taken.images,
        positions=taken.positions,
        samples=taken.samples,
        skipped=taken.skipped,
        share=float(mask.mean()),
        shown=float(rows.shown.mean() * cols.shown.mean()),
        shown_box=(int(seen[0][0]), int(seen[1][0]), int(seen[0][-1]) + 1, int(seen[1][-1]) + 1),
        field_size=reader.field.size,
        field_stride=require_places(reader.field).stride,
        field_status=reader.field.status,
        **reader.opened.provenance(photo, layer),
    )


class _Cut(NamedTuple):
    fraction: bool
    level: float


def _asked(threshold: str | float, quantile: float) -> _Cut:
    """Read what a user wants as a threshold."""
    if not 0 < quantile < 1:
        raise ValueError(f"the quantile must lie between 0 and 1, not {quantile}")
    if threshold == "quantile":
        return _Cut(False, float(quantile))
    try:
        fraction = float(threshold)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise ValueError(
            f"threshold must be 'quantile' or a fraction above 0 and at most 1, not {threshold!r}"
        )
    return _Cut(True, fraction)


def _fraction(maps: Maps, fraction: float, reader: Reader, unit: int) -> float:
    """Return a fraction of a map's maximum."""
    top = float(maps.max())
    if top <= 0:
        raise LayerError(
            f"unit {unit} of {reader.layer.name} ({reader.layer.alias}) is nowhere positive on {reader.name} (at "
            f"most {top:.3g}), so a fraction of its maximum bounds nothing; use --threshold quantile"
        )
    return fraction * top
