"""The patches that excite every unit of a network most, over any number of images."""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from netviz._version import __version__
from netviz.analysis.common import ModelSpec, chosen_layers, layer_slugs, layers
from netviz.analysis.layer_fields import layer_fields
from netviz.analysis.maps import input_preprocessing
from netviz.analysis.patch_results import layer_patches
from netviz.analysis.survey import SHORT_SIDE
from netviz.engines import Checkpoint, Files, Job, Tally, Units, UnitsPlan, run_local
from netviz.errors import ImageError, OutputError
from netviz.fields.geometry import Field
from netviz.images import PHOTOGRAPHS, class_names, list_images
from netviz.models import Layer, Model, load
from netviz.results import write_bytes

SAMPLE_VALUES = 1 << 24
"""How many values the samples for quantiles hold in all: 64 MiB."""

WIDEST = 28
"""Most rows and columns of a unit's map that are kept around a position."""

Progress = Callable[[str, int, int], None]


def patches(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Iterable[str | Path] = (),
    layer: Sequence[str] = (),
    top: int = 9,
    per_image: int = 1,
    per_class: int = 0,
    fit: str = "crop",
    size: tuple[int, int] | None = None,
    batch: int = 16,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    device: str | None = None,
    dtype: str = "float32",
    resume: bool = False,
    strict: bool = False,
    every: float = 30.0,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Find the image patches that excite each unit most, and what each unit does over all images.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The run's folder: new or empty, or, with `resume`, that of a run that was interrupted.
    images : iterable of str or Path
        Files, folders, ``skimage:NAME``; by default scikit-image's photographs.
    layer : sequence of str
        Names, aliases or globs; by default all convolutions.
    top : int
        How many patches each unit keeps.
    per_image : int
        How many of these may come from one image.
    per_class : int
        How many patches each unit keeps for each class of images besides, where images lie in a folder for each
        class or are named by it (``n01440764_tench.jpg``); 0 keeps none.
    fit : {"crop", "resize", "full"}
        Show the network the middle of an image, all of it whatever its aspect, or all of it at its own aspect.
    size : (int, int), optional
        Input height and width in pixels, if not the network's own.
    batch : int
        Images in one forward pass. Another number may change a score by the rounding of that pass.
    engine : {"local", "ray"}
        One machine, or a cluster (needs the extra ``ray``); the same bytes come out.
    workers : int, optional
        Processes that read images; by default one per core, at most 8. For ``ray`` the number of models at work.
    address : str, optional
        The cluster, for ``ray``; by default one is started here.
    device : str, optional
        Such as ``"cuda"``; by default a GPU if there is one.
    dtype : {"float32", "bfloat16"}
        With which numbers the network runs.
    resume : bool
        Go on with an interrupted run in `out`.
    strict : bool
        Stop at an image that cannot be read; else such images are named in ``run.json``.
    every : float
        Seconds between two checkpoints.
    trust, weights, seed
        As for `netviz.load`.
    progress : callable, optional
        Called with what is being done, how many images are done, and how many there are.

    Returns
    -------
    Path
        The folder: ``images.txt``, ``run.json`` and ``layers/NAME.npz``, a `PatchesResult` for each layer.

    Raises
    ------
    NetvizError
        If MODEL, the images or a layer cannot serve, a layer gives NaN, or the folder cannot be written or resumed.
    ValueError
        If an option is none of the values named here.
    """
    for name, value, allowed in (
        ("engine", engine, ("local", "ray")),
        ("dtype", dtype, ("float32", "bfloat16")),
        ("fit", fit, ("crop", "resize", "full")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    for name, number, least in (
        ("top", top, 1),
        ("per_image", per_image, 1),
        ("per_class", per_class, 0),
        ("batch", batch, 1),
    ):
        if number < least:
            raise ValueError(f"{name} must be at least {least}, not {number}")
    model = load(model, trust=trust, weights=weights, seed=seed)
    network = model.runnable()
    if model.preprocessing.resize is None and size is None:
        model = replace(model, preprocessing=replace(model.preprocessing, resize=SHORT_SIDE))
    index = layers(model, size=size)
    chosen = tuple(chosen_layers(model, index, layer))
    preprocessing = input_preprocessing(model.preprocessing, index, size).fitted(fit)
    sources = list_images(images) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    names = tuple(_full_name(source) for source in sources)
    classes, numbers = class_names(sources, images) if per_class else ((), ())
    if per_class and not classes:
        raise ImageError(
            "the images name no classes: put them into a folder for each class, or drop --per-class"
        )
    fields = layer_fields(model, index)
    units = sum(one.channels for one in chosen)
    plan = UnitsPlan(
        layers=chosen,
        windows=tuple(_window(one, fields[one]) for one in chosen),
        top=top,
        per_image=per_image,
        sample=min(max(SAMPLE_VALUES // units, 1024), 1 << 16),
        classes=numbers,
        per_class=per_class,
    )
    job = Job(
        network=network,
        name=model.name,
        preprocessing=preprocessing,
        shape=index.input_shape or (),
        layers=chosen,
        source=Files(tuple(sources), preprocessing),
        names=names,
        start=functools.partial(Units, plan),
        batch=batch,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        dtype=dtype,
    )
    options = {
        "layers": [one.name for one in chosen],
        "top": top,
        "per_image": per_image,
        "per_class": per_class,
        "fit": fit,
        "batch": batch,
        "dtype": dtype,
        "input": str(preprocessing),
    }
    fingerprint = {
        "model": _weights_print(model),
        "images": _digest([[name, _bytes_of(name)] for name in names]),
        "options": _digest(options),
    }
    folder = _folder(Path(out), resume)
    checkpoint = Checkpoint(folder, fingerprint, every)
    accumulator, tally = Units(plan), Tally.empty(job.chunks)
    if not (resume and checkpoint.read(accumulator, tally)):
        checkpoint.write(accumulator, tally)
    if engine == "ray":
        from netviz.engines.ray import run_ray

        accumulator = run_ray(
            job,
            accumulator,
            tally,
            workers=workers,
            address=address,
            strict=strict,
            save=checkpoint,
            progress=progress,
        )
    else:
        readers = min(8, torch.get_num_threads()) if workers is None else workers
        run_local(job, accumulator, tally, workers=readers, strict=strict, save=checkpoint, progress=progress)
    checkpoint.write(accumulator, tally)
    if not accumulator.images:
        raise ImageError(f"none of the {len(names)} images can be read; the first: {tally.skipped[0]}")
    slugs = layer_slugs(chosen)
    means = accumulator.mean()
    for at, one in enumerate(chosen):
        result = layer_patches(
            accumulator, at, means[one], fields[one], preprocessing, network=model.name, classes=classes
        )
        result.save(folder / "layers" / f"{slugs[one]}.npz")
    write_bytes(folder / "images.txt", "".join(f"{name}\n" for name in names).encode())
    run = {
        "kind": "patches",
        "netviz": __version__,
        "torch": torch.__version__,
        "network": model.name,
        "origin": model.origin,
        "options": options,
        "fingerprint": fingerprint,
        "images": {"listed": len(names), "counted": accumulator.images, "skipped": len(tally.skipped)},
        "skipped": [
            {"image": names[number], "reason": reason} for number, reason in sorted(tally.skipped.items())
        ],
        "classes": list(classes),
        "layers": [{**one.describe(), "file": f"layers/{slugs[one]}.npz"} for one in chosen],
    }
    write_bytes(folder / "run.json", json.dumps(run, indent=1, ensure_ascii=False).encode())
    checkpoint.remove()
    return folder


def _window(layer: Layer, field: Field) -> tuple[int, int]:
    """Return how many rows and columns of a map lie in the field of one position, at most `WIDEST`."""
    shape = layer.shape or (0, 1, 1)
    sides = []
    for axis, length in enumerate(shape[1:]):
        reach = length
        if field.status in ("exact", "upper_bound") and field.stride[axis]:
            reach = math.ceil(field.size[axis] / 2 / field.stride[axis])
        sides.append(min(2 * reach + 1, length, WIDEST))
    return sides[0], sides[1]


def _folder(out: Path, resume: bool) -> Path:
    """Return the run's folder, if the run may go there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        unfinished = (out / "state.npz").exists()
        if not resume:
            remedy = "go on with --resume, or name a new folder" if unfinished else "name a new folder"
            raise OutputError(f"{out} exists already and is not empty; {remedy}")
        if not unfinished:
            raise OutputError(f"{out} holds no unfinished run; name another folder, or drop --resume")
    return out


def _weights_print(model: Model) -> str:
    """Return a fingerprint of a network: its name and every weight."""
    digest = hashlib.sha256(model.name.encode())
    for name, value in sorted(model.runnable().state_dict().items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous().reshape(-1)
            digest.update(str((value.dtype, tuple(value.shape))).encode())
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _full_name(source: str | Path) -> str:
    """Return an image's name as it can be found again from any folder, on one line."""
    name = str(source)
    if not name.startswith("skimage:") and "://" not in name:
        name = str(Path(name).absolute())
    if len(name.splitlines()) > 1:
        raise ImageError(f"the name of {name!r} has several lines; rename it")
    return name


def _bytes_of(name: str) -> int:
    """Return a file's size; what is no file has none."""
    path = Path(name)
    return path.stat().st_size if path.is_file() else -1


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
