"""A unit's quantile over many images: from a finished run, or by running the network on them."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netviz.analysis.sampling import Reader
from netviz.engines import Files, Job, Tally, Units, UnitsPlan, run_local
from netviz.errors import ImageError, LayerError, ResultError
from netviz.images import PHOTOGRAPHS, list_images
from netviz.results import open_run

SAMPLE_VALUES = 1 << 24
"""How many values of all units the sample holds: 64 MiB."""

_BATCH = 8


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
    if opened.facts["network"] != reader.model.name:
        raise ResultError(
            f"the run in {run} is of {opened.facts['network']}, not of {reader.model.name}; name another run, or "
            f"give --images"
        )
    result = opened.result(opened.choose(reader.layer.name))
    if result.channels != reader.layer.channels:
        raise LayerError(
            f"the run in {run} has {result.channels} units of {result.layer}, the network {reader.layer.channels}; "
            f"name a run of this network"
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
    images: Iterable[str | Path],
    reader: Reader,
    unit: int,
    level: float,
    progress: Callable[[str, int, int], None] | None = None,
) -> Quantile:
    """Run the network on images, prepared as the reader's own, and take a unit's quantile over all positions.

    Raises
    ------
    ImageError
        If none of the images can be read, or the network does not run on one.
    ModelError
        If the layer gives NaN or infinity.
    """
    listed = list_images(images)
    sources = listed or [f"skimage:{name}" for name in PHOTOGRAPHS]
    layer = reader.layer
    plan = UnitsPlan((layer,), ((1, 1),), top=1, sample=max(SAMPLE_VALUES // layer.channels, 1024))
    network = reader.model.runnable()
    job = Job(
        network=network,
        name=reader.model.name,
        preprocessing=reader.preprocessing,
        shape=reader.index.input_shape or (),
        layers=(layer,),
        source=Files(tuple(sources), reader.preprocessing),
        names=tuple(map(str, sources)),
        start=functools.partial(Units, plan),
        batch=_BATCH,
        device=str(next((value.device for value in network.parameters()), "cpu")),
    )
    units, tally = Units(plan), Tally.empty(job.chunks)
    run_local(job, units, tally, progress=progress)
    skipped = tuple((str(sources[number]), reason) for number, reason in sorted(tally.skipped.items()))
    if not units.images:
        raise ImageError(f"none of the {len(sources)} images can be read; the first: {skipped[0][1]}")
    values = units.layers[layer].sample.values[:, unit]
    return Quantile(
        float(np.quantile(values, level)),
        "the images given" if listed else "scikit-image's photographs",
        units.images,
        int(units.positions[0]),
        len(values),
        skipped,
    )
