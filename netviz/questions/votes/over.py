"""Which classes fall most when a unit is removed, over any number of images."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from typing_extensions import Unpack

from netviz.engines import Checkpoint, Progress
from netviz.errors import LayerError
from netviz.images import Images, array_files, images_or_photographs
from netviz.models import ModelSpec
from netviz.questions.classes import scores_on
from netviz.questions.opening import InputOptions, Opened
from netviz.questions.runs import (
    check_options,
    counted,
    default_device,
    fingerprint,
    input_options,
    listed,
    make_job,
    open_network,
    write_run,
)
from netviz.questions.votes.measure import check_to, last_with_maps
from netviz.questions.votes.result import VotesSetResult
from netviz.questions.votes.sums import MapSums, Removals, VotesQuery, linear_means
from netviz.results.ledger import full_name, run_folder


def votes_set(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Images = (),
    layer: str | None = None,
    to: str = "zero",
    output: str | int | None = None,
    fit: str = "crop",
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
    """Measure how each class score changes, in the mean over many images, when one unit of a layer is removed.

    Where the scores are a fixed linear function of the layer's maps, as before a global average, only these are
    summed up. Elsewhere every unit is put to 0, or to its mean, on every image, and what comes after the layer runs
    again: that takes as long as many forward passes.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The run's folder: new or empty, or, with `resume`, that of a run that was interrupted.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        Files, folders, ``skimage:NAME``; by default scikit-image's photographs.
    layer, to, output
        As for `netviz.votes`.
    fit, batch, engine, workers, address, device, dtype, resume, strict, every, progress
        As for `netviz.patches`.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`.

    Returns
    -------
    Path
        The folder: ``images.txt``, ``run.json`` and ``layers/NAME.npz``, a `VotesSetResult`.

    Raises
    ------
    NetvizError
        If MODEL, the images or the layer cannot serve, the network has no class scores, the layer gives NaN, or the
        folder cannot be written or resumed.
    ValueError
        If an option is none of the values named here.
    """
    check_to(to)
    check_options((("batch", batch, 1),), engine=engine, dtype=dtype, fit=fit)
    device = default_device(device, engine)
    folder = run_folder(Path(out), resume)
    opened = open_network(model, layer if layer is not None else "*", fit=fit, **options)
    opened, query, linear, told = _asked(opened, layer, to, output, device, dtype)
    found = images_or_photographs(images)
    sources, arrays = array_files(found, folder)
    names = tuple(full_name(source) for source in sources)
    start = functools.partial(MapSums, query.layer) if linear else functools.partial(Removals, query)
    job = make_job(opened, names, start, batch=batch, device=device, dtype=dtype)
    asked = {
        "layers": [query.layer.name],
        "to": to,
        "output": query.output,
        **input_options(opened, job, fit),
    }
    mark = fingerprint(opened.model, listed(names, arrays), asked, "votes")
    checkpoint = Checkpoint(folder, mark, every)
    sums, tally = counted(
        folder,
        job,
        start(),
        checkpoint,
        resume=resume,
        arrays=arrays,
        engine=engine,
        workers=workers,
        address=address,
        strict=strict,
        progress=progress,
    )
    result = _result(opened, query, sums, told, chosen=layer is None)
    result.save(folder / "layers" / f"{opened.slugs[query.layer]}.npz")
    write_run(folder, opened, "votes", names, tally, options=asked, fingerprint=mark)
    checkpoint.remove()
    return folder


def _asked(
    opened: Opened, layer: str | None, to: str, output: str | int | None, device: str, dtype: str
) -> tuple[Opened, VotesQuery, bool, dict[str, str]]:
    """Find the layer and the scores on an image of noise, and whether these are a fixed linear function of it."""
    shape = opened.index.input_shape or (3, 224, 224)
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).to(opened.device)
    tape = opened.tape(image, "an image of noise")
    scores = scores_on(opened, tape, "votes", output)
    if layer is None:
        found = last_with_maps(opened, scores.tape, len(scores.values))
    elif len(opened.layers) > 1:
        raise LayerError(f"{layer!r} means {len(opened.layers)} layers; name one of them")
    else:
        found = opened.layer(opened.layers[0].name)
    opened = replace(opened, layers=(found,), asked={} if layer is None else {found.name: layer})
    query = VotesQuery(
        opened.network,
        found,
        opened.preprocessing,
        shape,
        len(scores.values),
        scores.output,
        to,
        device,
        dtype,
    )
    ablator = query.ablator(opened.network, found, image, check=False)
    tail, how = ablator.tail, found.arrangement
    linear = (
        tail is not None
        and tail.fixed
        and opened.preprocessing.crop is not None
        and (how is None or not how.others)
    )
    return opened, query, linear, {"score_of": scores.what, "called": scores.called}


def _result(
    opened: Opened, query: VotesQuery, sums: MapSums | Removals, told: Mapping[str, str], *, chosen: bool
) -> VotesSetResult:
    if isinstance(sums, MapSums):
        shape = query.shape
        image = torch.zeros(1, *shape, device=opened.device)
        changes, scores = linear_means(
            query.ablator(opened.network, query.layer, image, check=False), sums, query.to
        )
    else:
        changes, scores = sums.means()
    layer = query.layer
    return VotesSetResult(
        change=changes.astype(np.float32),
        score=scores.astype(np.float32),
        network=opened.model.name,
        **opened.provenance(layer=opened.asked.get(layer.name, "")),
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        chosen=chosen,
        channels=layer.channels,
        labels=tuple(opened.model.labels),
        called=told["called"],
        score_of=told["score_of"],
        to=query.to,
        exact=isinstance(sums, MapSums),
        images=sums.images,
        full=0 if isinstance(sums, MapSums) else sums.full,
        output=query.output,
    )
