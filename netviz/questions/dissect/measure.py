"""Network Dissection (Bau et al., CVPR 2017): which labelled concepts the units of a network detect."""

import contextlib
import functools
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Unpack

from netviz.engines import Checkpoint, Progress, Tally, Units, UnitsQuery
from netviz.engines.accumulators.concepts import Centers, Concepts, ConceptsQuery
from netviz.errors import ImageError
from netviz.images import image_size, placement
from netviz.images.labelled.folder import open_labelled
from netviz.images.labelled.labels import LabelSet
from netviz.models import ModelSpec
from netviz.questions.dissect.csv import write_table
from netviz.questions.dissect.layer import (
    layer_centers,
    layer_dissection,
    require_places,
    sample_size,
    thresholds,
)
from netviz.questions.dissect.result import IOU
from netviz.questions.dissect.source import Labelled
from netviz.questions.opening import InputOptions, Opened
from netviz.questions.patches.measure import map_windows, write_patches
from netviz.questions.patches.result import PatchesResult
from netviz.questions.reader import load_result
from netviz.questions.runs import (
    EngineOptions,
    check_options,
    counted,
    default_device,
    feed,
    fingerprint,
    input_options,
    make_job,
    open_network,
    require_images,
    write_run,
)
from netviz.results.choose import several
from netviz.results.files import write_bytes
from netviz.results.ledger import TWO_PASSES, bytes_of, full_name, run_folder

PATCHES = "patches"
"""The folder of the first pass, inside the run's."""


def dissect(
    model: ModelSpec,
    out: str | Path,
    *,
    data: str | Path,
    layer: str | Sequence[str],
    quantile: float = 0.995,
    iou: float = IOU,
    void: int | Collection[int] = (),
    top: int = 9,
    fit: str = "resize",
    batch: int | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    device: str | None = None,
    dtype: str = "float32",
    resume: bool = False,
    strict: bool = False,
    every: float = 30.0,
    progress: Progress | None = None,
    **options: Unpack[InputOptions],
) -> Path:
    """Measure how well each unit of some layers detects each labelled concept.

    The first pass finds each unit's threshold, the `quantile` of its values over all images, and its top patches. The
    second counts, in every pixel of the network's input, where a unit's map is above its threshold and what is
    labelled there; a map is interpolated between the centres of what its positions see, and beyond the outermost of
    them its border's value stands.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The run's folder: new or empty, or, with `resume`, that of a run that was interrupted.
    data : str or Path
        A folder of labelled images: with ``images/``, ``labels/`` (masks whose values are class numbers) and perhaps
        ``classes.txt``; Pascal VOC's layout; Broden's; or images alone, whose pixels are then named by colour.
    layer : str or sequence of str
        Names, aliases or globs.
    quantile : float
        Between 0 and 1.
    iou : float
        Above which intersection over union a unit counts as a detector.
    void : int or collection of int
        Values of masks that count nowhere, besides 255 and classes called void.
    top : int
        How many patches each unit keeps, to look at.
    fit : {"resize", "crop", "full"}
        Show the network all of an image whatever its aspect, its middle, or all of it at its own aspect.
    batch, engine, workers, address, device, dtype, resume, every, progress
        As for `netviz.patches`.
    strict : bool
        Stop at an image that cannot be read or whose labels do not fit; else such images are left out of both passes
        and named in ``run.json``.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`.

    Returns
    -------
    Path
        The folder: ``images.txt``, ``run.json``, for each layer ``layers/NAME.npz`` (a `DissectionResult`) and
        ``layers/NAME.csv`` (in the columns of Network Dissection), and ``patches/``, a run of patches.

    Raises
    ------
    NetvizError
        If MODEL, the data or a layer cannot serve, a layer gives NaN, or the folder cannot be written or resumed.
    ValueError
        If an option is none of the values named here.
    """
    check_options((("top", top, 1), ("batch", batch, 1)), engine=engine, dtype=dtype, fit=fit)
    device = default_device(device, engine)
    for name, share in (("quantile", quantile), ("iou", iou)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be between 0 and 1, not {share}")
    named, void = several(layer), several(void)
    if not named:
        raise ValueError("layer must name at least one layer")
    folder = run_folder(Path(out), resume, TWO_PASSES)
    opened = open_network(model, named, fit=fit, **options)
    require_places(opened)
    labels = open_labelled(data, void=void)
    names = tuple(full_name(path) for path in labels.images)
    units_query = UnitsQuery(
        layers=opened.layers,
        windows=map_windows(opened),
        top=top,
        sample=sample_size(opened.layers, len(names)),
    )
    job = make_job(
        opened,
        names,
        functools.partial(Units, units_query),
        batch=batch,
        device=device,
        dtype=dtype,
        source=Labelled(labels, names, opened.preprocessing, hand_out=False),
    )
    asked = {
        "layers": [one.name for one in opened.layers],
        "quantile": quantile,
        "iou": iou,
        "void": sorted(void),
        "top": top,
        **input_options(opened, job, fit),
    }
    files = [[name, bytes_of(name), *_files(labels, number)] for number, name in enumerate(names)]
    mark = fingerprint(opened.model, [labels.kind, labels.concepts, files], asked)
    how = EngineOptions(engine=engine, workers=workers, address=address, strict=strict, progress=progress)
    checkpoint = Checkpoint(folder, mark, every)
    query = ConceptsQuery(
        layers=opened.layers,
        centers=tuple(layer_centers(opened.fields[one]) for one in opened.layers),
        thresholds=tuple(np.zeros(one.channels) for one in opened.layers),
        category=np.array([labels.categories.index(one.category) for one in labels.concepts], dtype=np.int64),
        categories=len(labels.categories),
        elsewhere=_elsewhere(opened, names),
    )
    found, tally = Concepts(query), Tally.empty(job.chunks)
    first = Checkpoint(folder / PATCHES, mark, every)
    if not (resume and checkpoint.read(found, tally)):
        units, seen = counted(folder, job, Units(units_query), first, resume=resume, **how)
        write_patches(folder / PATCHES, units, seen, opened, names, options=asked, fingerprint=mark)
        levels = tuple(thresholds(units, at, quantile) for at in range(len(opened.layers)))
        del units
        found = Concepts(replace(query, thresholds=levels))
        # From here on the run goes on with the second pass.
        checkpoint.write(found, tally)
    first.remove()
    job = replace(
        job,
        source=Labelled(labels, names, opened.preprocessing),
        start=functools.partial(Concepts, found.query),
    )
    found = feed(job, found, tally, save=checkpoint, **how)
    checkpoint.write(found, tally)
    require_images(tally, names)
    _write(folder, found, tally, opened, labels, names, asked, mark)
    checkpoint.remove()
    return folder


def _elsewhere(opened: Opened, names: Sequence[str]) -> dict[tuple[int, int], tuple[Centers | None, ...]]:
    """Return where the layers look for each size at which images are shown, where they keep sizes of their own."""
    sizes: set[tuple[int, int]] = set()
    for name in names if opened.preprocessing.crop is None else ():
        with contextlib.suppress(ImageError):  # what cannot be read is told when its turn comes
            sizes.add(placement(*image_size(name), opened.preprocessing)[2])
    return {size: tuple(layer_centers(field) for _, field in opened.at(size)) for size in sorted(sizes)}


def _write(
    folder: Path,
    found: Concepts,
    tally: Tally,
    opened: Opened,
    labels: LabelSet,
    names: Sequence[str],
    options: dict[str, Any],
    fingerprint: dict[str, str],
) -> None:
    """Write the folder of a finished run, run.json last."""
    for at, one in enumerate(opened.layers):
        path = folder / "layers" / f"{opened.slugs[one]}.npz"
        seen = load_result(folder / PATCHES / "layers" / path.name)
        if not isinstance(seen, PatchesResult):
            raise TypeError(f"{path.name} holds no patches")
        result = layer_dissection(found, at, opened, labels, seen, options["quantile"], options["iou"])
        result.save(path)
        write_bytes(path.with_suffix(".csv"), write_table(result))
    write_run(
        folder,
        opened,
        "dissection",
        names,
        tally,
        options=options,
        fingerprint=fingerprint,
        data=labels.kind,
        categories=list(labels.categories),
    )


def _files(labels: LabelSet, number: int) -> list[Any]:
    """Return what tells whether an image's labels are the same as before."""
    return [[str(path), bytes_of(str(path))] for path in labels.files(number)]
