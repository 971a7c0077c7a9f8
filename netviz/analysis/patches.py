"""The patches that excite every unit of a network most, over any number of images."""

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from netviz.analysis.common import ModelSpec
from netviz.analysis.patch_results import map_windows, write_patches
from netviz.analysis.runs import (
    Opened,
    Progress,
    bytes_of,
    check_options,
    default_device,
    digest,
    feed,
    full_name,
    open_network,
    require_images,
    run_folder,
    weights_print,
)
from netviz.engines import Checkpoint, Files, Job, Tally, Units, UnitsPlan
from netviz.errors import ImageError
from netviz.images import PHOTOGRAPHS, class_names, list_images

SAMPLE_VALUES = 1 << 24
"""How many values the samples for quantiles hold in all: 64 MiB."""


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
    look: Callable[[Units, Opened], None] | None = None,
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
    look : callable, optional
        Called with all that was accumulated and with the network, when the run's folder is written.

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
    check_options(
        (("top", top, 1), ("per_image", per_image, 1), ("per_class", per_class, 0), ("batch", batch, 1)),
        engine=engine,
        dtype=dtype,
        fit=fit,
    )
    opened = open_network(model, layer, fit=fit, size=size, trust=trust, weights=weights, seed=seed)
    sources = list_images(images) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    names = tuple(full_name(source) for source in sources)
    classes, numbers = class_names(sources, images) if per_class else ((), ())
    if per_class and not classes:
        raise ImageError(
            "the images name no classes: put them into a folder for each class, or drop --per-class"
        )
    units = sum(one.channels for one in opened.layers)
    plan = UnitsPlan(
        layers=opened.layers,
        windows=map_windows(opened),
        top=top,
        per_image=per_image,
        sample=min(max(SAMPLE_VALUES // units, 1024), 1 << 16),
        classes=numbers,
        per_class=per_class,
    )
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
        dtype=dtype,
    )
    options = {
        "layers": [one.name for one in opened.layers],
        "top": top,
        "per_image": per_image,
        "per_class": per_class,
        "fit": fit,
        "batch": batch,
        "dtype": dtype,
        "input": str(opened.preprocessing),
    }
    fingerprint = {
        "model": weights_print(opened.model),
        "images": digest([[name, bytes_of(name)] for name in names]),
        "options": digest(options),
    }
    folder = run_folder(Path(out), resume)
    checkpoint = Checkpoint(folder, fingerprint, every)
    accumulator, tally = Units(plan), Tally.empty(job.chunks)
    if not (resume and checkpoint.read(accumulator, tally)):
        checkpoint.write(accumulator, tally)
    accumulator = feed(
        job,
        accumulator,
        tally,
        engine=engine,
        workers=workers,
        address=address,
        strict=strict,
        save=checkpoint,
        progress=progress,
    )
    checkpoint.write(accumulator, tally)
    require_images(tally, names)
    write_patches(
        folder,
        accumulator,
        tally,
        opened,
        names,
        options=options,
        fingerprint=fingerprint,
        classes=classes,
    )
    if look is not None:
        look(accumulator, opened)
    checkpoint.remove()
    return folder
