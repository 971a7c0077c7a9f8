"""What questions over many images share: opening the network, the job, the engine, the facts of run.json."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import torch
from typing_extensions import Unpack

from netviz._version import __version__
from netviz.capture.trace import require_values
from netviz.engines import (
    Accumulator,
    Checkpoint,
    Files,
    Job,
    Progress,
    Relevance,
    Save,
    Tally,
    run_local,
)
from netviz.engines.batches import Source
from netviz.engines.runner import check_device
from netviz.errors import ImageError
from netviz.images import Photo, write_arrays
from netviz.models import Model, ModelOptions, ModelSpec, load
from netviz.questions.opening import SHORT_SIDE, Opened, chosen_layers, open_model
from netviz.results.choose import several
from netviz.results.files import write_bytes
from netviz.results.ledger import QUESTION, RUN, Start, bytes_of, digest

Fed = TypeVar("Fed", bound=Accumulator)


def open_network(
    model: ModelSpec,
    layer: str | Sequence[str],
    *,
    fit: str,
    size: tuple[int, int] | None = None,
    **options: Unpack[ModelOptions],
) -> Opened:
    """Open a network for many images, and find its layers.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str or sequence of str
        Names, aliases or globs; all convolutions and blocks of tokens if there are none.
    fit : {"crop", "resize", "full"}
        As for `netviz.patches`.
    size, **options
        As for `netviz.layers`. A network that takes any size sees images with a short side of `SHORT_SIDE`.

    Raises
    ------
    NetvizError
        If MODEL or a layer cannot serve.
    """
    model = load(model, **options)
    if model.preprocessing.resize is None and size is None:
        model = replace(model, preprocessing=replace(model.preprocessing, resize=SHORT_SIDE))
    opened = open_model(model, size=size)
    asked: dict[str, str] = {}
    for spec in several(layer):
        for one in opened.index.resolve_all(spec):
            asked.setdefault(one.name, spec)
    return replace(
        opened,
        layers=tuple(chosen_layers(opened.model, opened.index, layer)),
        asked=asked,
        preprocessing=opened.preprocessing.fitted(fit),
    )


def layer_facts(opened: Opened) -> list[dict[str, Any]]:
    """Return what run.json tells of the layers."""
    return [
        {**one.describe(), **({"also": list(one.also)} if one.also else {}), "file": f"layers/{slug}.npz"}
        for one, slug in opened.slugs.items()
    ]


def make_job(
    opened: Opened,
    names: Sequence[str],
    start: Callable[[], Accumulator],
    *,
    batch: int | None = None,
    device: str,
    dtype: str = "float32",
    source: Source | None = None,
    sources: Sequence[str | Path | Photo] = (),
    relevance: Relevance | None = None,
) -> Job:
    """Return the job of running a network on images and feeding an accumulator.

    Parameters
    ----------
    opened : Opened
        With the layers that are looked at.
    names : sequence of str
        The images, as `read_image` reads them.
    start : callable
        Makes an empty accumulator.
    batch, device, dtype
        As for `netviz.patches`.
    source : Source, optional
        Where the images come from with more than their pixels; by default they are read.
    sources : sequence of str, Path or Photo, optional
        What is read, where it is not by their names.
    relevance : Relevance, optional
        What is looked at in place of the layers' outputs.
    """
    return Job(
        network=opened.network,
        name=opened.model.name,
        preprocessing=opened.preprocessing,
        shape=opened.index.input_shape or (),
        layers=opened.layers,
        source=source or Files(sources or names, opened.preprocessing),
        names=names,
        start=start,
        batch=batch or usual_batch(opened, device),
        device=device,
        dtype=dtype,
        relevance=relevance,
    )


def check_options(
    numbers: Sequence[tuple[str, int | None, int]], *, engine: str = "local", dtype: str = "float32", fit: str
) -> None:
    """Refuse options that are none of their values, or below their least: name, number and least of `numbers`.

    Raises
    ------
    ValueError
        Naming the option.
    """
    for name, value, allowed in (
        ("engine", engine, ("local", "ray")),
        ("dtype", dtype, ("float32", "bfloat16")),
        ("fit", fit, ("crop", "resize", "full")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    for name, number, least in numbers:
        if number is not None and number < least:
            raise ValueError(f"{name} must be at least {least}, not {number}")


_VALUES = 1 << 23
"""How many values the largest maps of a batch may hold on a CPU: 32 MiB."""


def usual_batch(opened: Opened, device: str) -> int:
    """Return how many images one forward pass takes unless the user says: the same on every machine.

    Few enough for their maps to be in a cache when they are looked at, and for every core to have some.
    """
    largest = max((math.prod(one.shape or ()) for one in opened.index), default=1)
    fits, most = (_VALUES, 16) if device == "cpu" else (_VALUES << 5, 64)
    return max(1, min(fits // max(1, largest), most))


def default_device(device: str | None, engine: str = "local") -> str:
    """Return the device that is asked for, or a GPU if there is one.

    Raises
    ------
    ModelError
        If this machine has no such device; what a cluster's machines have is seen there.
    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if engine != "ray":
        check_device(chosen)
    return chosen


def default_workers(workers: int | None) -> int:
    """Return how many processes read images: as many as are asked for, or one per core, at most 8."""
    return min(8, torch.get_num_threads()) if workers is None else workers


def input_options(opened: Opened, job: Job, fit: str) -> dict[str, Any]:
    """Return the options of every run: how its images are brought to the network, and how that runs."""
    bands = opened.preprocessing.bands
    return {
        "fit": fit,
        "batch": job.batch,
        "dtype": job.dtype,
        "input": str(opened.preprocessing),
        **({"bands": list(bands)} if bands else {}),
    }


def listed(names: Sequence[str], arrays: Mapping[Path, Photo]) -> list[list[Any]]:
    """Return what tells whether images are the same as before; of `arrays`, which the run writes, their names."""
    return [[name, -1 if Path(name) in arrays else bytes_of(name)] for name in names]


def fingerprint(model: Model, images: Any, options: Any, question: str = "") -> dict[str, str]:
    """Return what makes a run what it is.

    Parameters
    ----------
    model : Model
    images, options : Any
        What JSON can tell of them; of images what `listed` does.
    question : str
        What kind of run it is, where that is none of patches.
    """
    return {
        **({QUESTION: question} if question else {}),
        "model": weights_print(model),
        "images": digest(images),
        "options": digest(options),
    }


class EngineOptions(TypedDict):
    """Which engine feeds, and how; as for `netviz.patches`."""

    engine: str
    workers: int | None
    address: str | None
    strict: bool
    progress: Progress | None


def counted(
    folder: Path,
    job: Job,
    accumulator: Fed,
    checkpoint: Checkpoint,
    *,
    resume: bool,
    arrays: Mapping[Path, Photo] | None = None,
    **options: Unpack[EngineOptions],
) -> tuple[Fed, Tally]:
    """Have all images counted, or, of a run that was interrupted, the rest of them.

    Parameters
    ----------
    folder : Path
        The run's. Nothing is left of it if not one image could be counted.
    job : Job
    accumulator : Accumulator
        Empty.
    checkpoint : Checkpoint
        Where the state is kept; the caller removes it when the run's files are written.
    resume : bool
        Whether to go on from the state that is there.
    arrays : mapping of Path to array, optional
        Images that the run writes, as files.

    Returns
    -------
    accumulator, tally

    Raises
    ------
    NetvizError
        As the engine does; if no image can be read; if the state is another run's.
    """
    tally = Tally.empty(job.chunks)
    with Start(folder, lambda: checkpoint.kept and any_counted(tally, job.names)):
        write_arrays(arrays or {})
        if not (resume and checkpoint.read(accumulator, tally)):
            checkpoint.write(accumulator, tally)
        accumulator = feed(job, accumulator, tally, save=checkpoint, **options)
        checkpoint.write(accumulator, tally)
        require_images(tally, job.names)
    return accumulator, tally


def feed(job: Job, accumulator: Fed, tally: Tally, *, save: Save, **options: Unpack[EngineOptions]) -> Fed:
    """Have an engine feed all images that are not done yet to an accumulator; return that.

    Raises
    ------
    NetvizError
        As the engine does; if no image can be read.
    """
    strict, progress = options["strict"], options["progress"]
    if options["engine"] == "ray":
        from netviz.engines.ray.run import run_ray

        return run_ray(
            job,
            accumulator,
            tally,
            workers=options["workers"],
            address=options["address"],
            strict=strict,
            save=save,
            progress=progress,
        )
    workers = default_workers(options["workers"])
    run_local(job, accumulator, tally, workers=workers, strict=strict, save=save, progress=progress)
    return accumulator


def any_counted(tally: Tally, names: Sequence[str]) -> bool:
    """Return whether not every image was skipped."""
    return len(tally.skipped) < len(names)


def require_images(tally: Tally, names: Sequence[str]) -> None:
    """Refuse a run in which every image was skipped.

    Raises
    ------
    ImageError
        Naming the first reason.
    """
    if not any_counted(tally, names):
        raise ImageError(f"none of the {len(names)} images can be read; the first: {tally.skipped[0]}")


def image_facts(tally: Tally, names: Sequence[str]) -> dict[str, Any]:
    """Return what run.json tells of the images: how many were counted, and why others were not."""
    skipped = sorted(tally.skipped.items())
    return {
        "images": {
            "listed": len(names),
            "counted": len(names) - len(skipped),
            "skipped": len(skipped),
        },
        "skipped": [{"image": names[number], "reason": reason} for number, reason in skipped],
    }


def write_run(
    folder: Path,
    opened: Opened,
    kind: str,
    names: Sequence[str],
    tally: Tally,
    *,
    options: Mapping[str, Any],
    fingerprint: Mapping[str, str],
    **facts: Any,
) -> None:
    """Write what says that a run is finished, behind its results: the list of its images, and run.json last.

    Parameters
    ----------
    folder : Path
        The run's.
    opened : Opened
    kind : str
        What the run tells of.
    names : sequence of str
        The images.
    tally : Tally
        Which of them were skipped.
    options, fingerprint : mapping
    **facts
        What run.json tells besides; ``layers`` are by default `layer_facts`.
    """
    write_bytes(folder / "images.txt", "".join(f"{name}\n" for name in names).encode())
    told: dict[str, Any] = {
        "kind": kind,
        "netviz": __version__,
        "torch": torch.__version__,
        "network": opened.model.name,
        "origin": opened.model.origin,
        "doubts": list(opened.provenance()["doubts"]),
        "options": dict(options),
        "fingerprint": dict(fingerprint),
        **image_facts(tally, names),
        **facts,
    }
    told.setdefault("layers", layer_facts(opened))
    write_bytes(folder / RUN, json.dumps(told, indent=1, ensure_ascii=False).encode())


def weights_print(model: Model) -> str:
    """Return a fingerprint of a network: its name and every weight."""
    require_values(model.runnable())
    digest = hashlib.sha256(model.name.encode())
    for name, value in sorted(model.runnable().state_dict().items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            plain = value.detach().to_dense().cpu().contiguous().reshape(-1)
            digest.update(str((value.dtype, tuple(value.shape))).encode())
            if len(plain):  # an empty tensor has no bytes to view
                digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()
