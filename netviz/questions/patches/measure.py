"""The patches that excite every unit of a network most, over any number of images."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.capture import evaluation
from netviz.capture.outputs import run_once
from netviz.engines import Checkpoint, Progress, Relevance, Tally, Top, Units, UnitsQuery
from netviz.engines.accumulators.positions import Box, Extent
from netviz.errors import ImageError, ResultError
from netviz.geometry.field import Field
from netviz.images import Images, array_files, class_names, images_or_photographs
from netviz.models import Layer, ModelSpec
from netviz.questions.classes import class_label, find_class, scored
from netviz.questions.opening import InputOptions, Opened
from netviz.questions.patches.back import write_back
from netviz.questions.patches.boxes import by_size, cell_boxes, patch_boxes
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.run import open_run
from netviz.questions.runs import (
    check_options,
    counted,
    default_device,
    fingerprint,
    input_options,
    layer_facts,
    listed,
    make_job,
    open_network,
    weights_print,
    write_run,
)
from netviz.results.ledger import RUN, full_name, run_folder

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)
"""Which quantiles are told."""

BINS = 32
"""Steps of the histograms."""

FEW = 50
"""With fewer images than this a unit may take several patches from one, unless the user says."""

WIDEST = 28
"""Most rows and columns of a unit's map that are kept around a position."""


def map_windows(opened: Opened) -> tuple[tuple[int, int], ...]:
    """Return for each layer how many rows and columns of a map are kept around a position."""
    return tuple(_window(one, opened.fields[one]) for one in opened.layers)


def _keeps_inside(opened: Opened, layer: Layer) -> bool:
    """Return whether a layer has a position whose field lies inside an image of the network's size."""
    box = _box(opened.fields[layer])
    if box is None or layer.shape is None or opened.index.input_shape is None:
        return False
    lengths = zip(layer.shape[1:], opened.index.input_shape[-2:], strict=True)
    places = [Extent.of(box, axis, *ends).inside() for axis, ends in enumerate(lengths)]
    return all(one.start < one.stop for one in places)


def _box(field: Field) -> Box | None:
    """Return what gives the pixels that a position sees, None where that is the whole input or not known."""
    return field.box if field.status in ("exact", "upper_bound") else None


def write_patches(
    folder: Path,
    units: Units,
    tally: Tally,
    opened: Opened,
    names: Sequence[str],
    *,
    options: Mapping[str, Any],
    fingerprint: Mapping[str, str],
    classes: tuple[str, ...] = (),
) -> None:
    """Write the folder of a finished run: the layers' results, the list of images, and run.json last."""
    means = units.mean()
    told = []
    for at, (one, facts) in enumerate(zip(opened.layers, layer_facts(opened), strict=True)):
        result = layer_patches(
            units,
            at,
            means[one],
            opened,
            classes=classes,
            by_class=str(options.get("by_class", "")),
        )
        result.save(folder / "layers" / f"{opened.slugs[one]}.npz")
        told.append({**facts, "inside": result.inside, "outside": result.outside})
    write_run(
        folder,
        opened,
        "patches",
        names,
        tally,
        options=options,
        fingerprint=fingerprint,
        classes=list(classes),
        layers=told,
    )


def layer_patches(
    units: Units,
    at: int,
    mean: NDArray[np.float32],
    opened: Opened,
    *,
    classes: tuple[str, ...] = (),
    by_class: str = "",
) -> PatchesResult:
    """Return the result of one layer.

    Parameters
    ----------
    units : Units
        After all images.
    at : int
        Which of its layers.
    mean : ndarray of float32, shape (units,)
    opened : Opened
        The network, with the same layers.
    classes : tuple of str
        Names of the classes.
    by_class : str
        To which class relevance was measured; empty where activations were.
    """
    layer = units.query.layers[at]
    found = units.layers[layer]
    top, windows = found.top, units.query.windows[at]
    field = opened.fields[layer]
    box, margin = _boxes(top, at, opened)
    values = found.sample.sorted()[1]
    positions = int(units.positions[at])
    share = found.nonzero / max(1, positions)
    rectified = bool((values >= 0).all())
    per_class: dict[str, NDArray[Any] | None] = dict.fromkeys(("score", "image", "row", "col", "box"))
    if found.by_class is not None:
        shape = (layer.channels, found.classes, units.query.per_class)
        per_class = {
            name: getattr(found.by_class, name).reshape(shape) for name in ("score", "image", "row", "col")
        }
        per_class["box"] = _boxes(found.by_class, at, opened)[0].reshape(*shape, 4)
    rows, columns = (layer.shape or (0, 0, 0))[1:]
    known = field.status != "unknown"
    result = PatchesResult(
        score=top.score,
        image=top.image,
        row=top.row,
        col=top.col,
        box=box,
        margin=margin,
        size=top.carried("size"),
        maps=_shares(top.carried("window")),
        maps_box=_windows(top, windows, at, opened),
        mean=mean,
        max=found.peak,
        nonzero=share.astype(np.float32),
        quantile_levels=np.array(LEVELS),
        quantiles=_quantiles(values),
        histogram=_histograms(values),
        class_score=per_class["score"],
        class_image=per_class["image"],
        class_row=per_class["row"],
        class_col=per_class["col"],
        class_box=per_class["box"],
        network=opened.model.name,
        **opened.provenance(layer=opened.asked.get(layer.name, "")),
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        map_size=(rows, columns),
        field_size=field.size if known else None,
        field_stride=field.stride if known else None,
        field_status=field.status,
        images=units.images,
        positions=positions,
        quantile_samples=len(values),
        rectified=rectified,
        dead=tuple(np.flatnonzero(found.nonzero == 0).tolist()),
        always_on=tuple(np.flatnonzero(found.nonzero == positions).tolist()) if rectified else (),
        classes=classes,
        by="relevance" if by_class else "activation",
        by_class=by_class,
        per_image=units.query.per_image,
        apart=units.query.apart,
        inside=units.query.inside[at] if units.query.inside else False,
    )
    beyond = result.beyond()
    return result if beyond is None else replace(result, outside=beyond[0] / beyond[1])


def _boxes(top: Top, at: int, opened: Opened) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return boxes and margins of all entries, shape (rows, k, 4); zeros where there is none."""
    filled = top.image >= 0
    result = np.zeros((2, *top.image.shape, 4), dtype=np.int64)
    rows, cols, sizes = top.row[filled], top.col[filled], top.carried("size")[filled]
    found = np.zeros((2, len(sizes), 4), dtype=np.int64)
    for size, mine in by_size(sizes, opened.preprocessing):
        _, field = opened.at(size)[at]
        found[:, mine] = patch_boxes(field, rows[mine], cols[mine], sizes[mine], opened.preprocessing)
    result[:, filled] = found
    return result[0], result[1]


def _windows(top: Top, window: tuple[int, int], at: int, opened: Opened) -> NDArray[np.int64]:
    """Return where the kept part of each entry's map lies in its image, shape (rows, k, 4)."""
    filled = top.image >= 0
    result = np.zeros((*top.image.shape, 4), dtype=np.int64)
    start, sizes = top.carried("start")[filled], top.carried("size")[filled]
    found = np.zeros((len(sizes), 4), dtype=np.int64)
    for size, mine in by_size(sizes, opened.preprocessing):
        layer, field = opened.at(size)[at]
        rows, columns = (layer.shape or (0, 1, 1))[1:]
        found[mine] = cell_boxes(
            field, start[mine], window, (rows, columns), sizes[mine], opened.preprocessing
        )
    result[filled] = found
    return result


def _shares(windows: NDArray[np.float16]) -> NDArray[np.float16]:
    """Return shares of scores to 1/256: a picture shows no more, and they deflate to half the bytes."""
    shares = windows.astype(np.float32)
    shares *= 256
    np.rint(shares, out=shares)
    shares /= 256
    return shares.astype(np.float16)


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the quantiles `LEVELS` of values of shape (N, units), shape (units, Q)."""
    # Each unit's values side by side and in order: that takes less than half of the time.
    in_order = np.sort(np.ascontiguousarray(values.T), axis=1)
    found: NDArray[np.float32] = np.quantile(in_order, LEVELS, axis=1).T.astype(np.float32)
    return found


def _histograms(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count values of shape (N, units) in equal steps between each unit's smallest and largest."""
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1)
    steps = np.minimum(((values - low) / span * BINS).astype(np.int64), BINS - 1)
    units = values.shape[1]
    counts = np.bincount((steps + np.arange(units) * BINS).ravel(), minlength=units * BINS)
    return counts.reshape(units, BINS)


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


SAMPLE_VALUES = 1 << 24
"""How many values the samples for quantiles hold in all: 64 MiB."""


def patches(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Images = (),
    layer: str | Sequence[str] = (),
    top: int = 9,
    per_image: int | str = "auto",
    per_class: int = 0,
    inside: bool = False,
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
    look: Callable[[Units, Opened], None] | None = None,
    by: str = "activation",
    class_: str | int | None = None,
    output: str | int | None = None,
    deconv: bool = False,
    deconv_units: int | str | Iterable[int] | None = None,
    **options: Unpack[InputOptions],
) -> Path:
    """Find the image patches that excite each unit most, and what each unit does over all images.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The run's folder: new or empty, or, with `resume`, that of a run that was interrupted.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        Files, folders, ``skimage:NAME``; by default scikit-image's photographs.
    layer : str or sequence of str
        Names, aliases or globs; by default all convolutions, and the blocks of a network of tokens.
    top : int
        How many patches each unit keeps.
    per_image : int or "auto"
        How many of these may come from one image; by default one, or, with fewer than 50 images, as many as have
        fields that overlap by less than a quarter of the smaller.
    per_class : int
        How many patches each unit keeps for each class of images besides, where images lie in a folder for each
        class or are named by it (``n01440764_tench.jpg``); 0 keeps none.
    inside : bool
        Keep to positions whose field lies inside the image, so that no patch shows padding. A layer that has none
        (its field is larger than the network's input, the whole of it, or not known) is searched everywhere, and its
        result says so.
    fit : {"crop", "resize", "full"}
        Show the network the middle of an image, all of it whatever its aspect, or all of it at its own aspect.
    batch : int, optional
        Images in one forward pass; by default up to 16, fewer where maps are large. Another number may
        change a score by the rounding of that pass.
    engine : {"local", "ray"}
        One machine, or a cluster (needs the extra ``ray``); the same bytes come out.
    workers : int, optional
        Processes that read images; by default one per core, at most 8. For ``ray`` the number of models at work.
    address : str, optional
        The cluster, for ``ray``; by default one is started here.
    device : str, optional
        Such as ``"cuda"`` or ``"mps"``; by default a CUDA GPU if there is one.
    dtype : {"float32", "bfloat16"}
        With which numbers the network runs.
    resume : bool
        Go on with an interrupted run in `out`.
    strict : bool
        Stop at an image that cannot be read; else such images are named in ``run.json``.
    every : float
        Seconds between two checkpoints.
    progress : callable, optional
        Called with what is being done, how many images are done, and how many there are.
    look : callable, optional
        Called with all that was accumulated and with the network, when the run's folder is written.
    by : {"activation", "relevance"}
        Order patches by what a unit gives there, or by that times the gradient of a class's score with respect to it.
        All values of the run are then of that.
    class_ : str or int, optional
        For relevance: the class, by its name or its index; by default each image's own, with the highest score.
    output : str or int, optional
        For relevance: name or number of the output that holds class scores, of a network that returns several.
    deconv : bool
        Measure also what in the patches of some units made them answer, by a deconvnet and by guided backpropagation
        (`back/NAME.npz`, a `BackResult`). A finished run in `out`, of the same network and input, gets that alone.
    deconv_units : int, str or iterable of int, optional
        Of which units of each layer, such as ``"0:64"``; by default the first 16 that are not dead.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`.

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
    if isinstance(per_image, str) and per_image != "auto":
        raise ValueError(f"per_image must be 'auto' or a number, not {per_image!r}")
    least = 1 if isinstance(per_image, str) else per_image
    check_options(
        (
            ("top", top, 1),
            ("per_image", least, 1),
            ("per_class", per_class, 0),
            ("batch", batch, 1),
        ),
        engine=engine,
        dtype=dtype,
        fit=fit,
    )
    if by not in ("activation", "relevance"):
        raise ValueError(f"by must be 'activation' or 'relevance', not {by!r}")
    if by == "activation" and (class_ is not None or output is not None):
        raise ValueError("a class and its output are for patches by relevance")
    if by == "relevance" and dtype != "float32":
        raise ValueError(f"relevance is computed in float32, not in {dtype}")
    if deconv_units is not None and not deconv:
        raise ValueError("deconv_units chooses what deconv measures; give deconv too")
    device = default_device(device, engine)
    if deconv and (Path(out) / RUN).is_file():
        opened = open_network(model, [one.name for one in open_run(out).layers], fit=fit, **options)
        return _with_back(Path(out), opened, device, deconv_units, progress)
    folder = run_folder(Path(out), resume)
    opened = open_network(model, layer, fit=fit, **options)
    relevance, of = _relevance(opened, class_, output) if by == "relevance" else (None, "")
    found_images = images_or_photographs(images)
    sources, arrays = array_files(found_images, folder)
    names = tuple(full_name(source) for source in sources)
    classes, numbers = class_names(found_images, images) if per_class else ((), ())
    if per_class and not classes:
        raise ImageError(
            "the images name no classes: put them into a folder for each class, or drop --per-class"
        )
    units = sum(one.channels for one in opened.layers)
    apart = per_image == "auto" and len(names) < FEW
    query = UnitsQuery(
        layers=opened.layers,
        windows=map_windows(opened),
        top=top,
        per_image=max(top, per_class) if apart else least,
        sample=min(max(SAMPLE_VALUES // units, 1024), 1 << 16),
        classes=numbers,
        per_class=per_class,
        boxes=tuple(_box(opened.fields[one]) for one in opened.layers),
        apart=apart,
        inside=tuple(_keeps_inside(opened, one) or None for one in opened.layers) if inside else (),
    )
    job = make_job(opened, names, functools.partial(Units, query), batch=batch, device=device, dtype=dtype,
        relevance=relevance,
    )  # fmt: skip
    asked: dict[str, Any] = {
        "layers": [one.name for one in opened.layers],
        "top": top,
        "per_image": per_image,
        "per_class": per_class,
        "inside": inside,
        **input_options(opened, job, fit),
    }
    if relevance is not None:
        asked |= {"by": by, "class": relevance.target, "output": relevance.output, "by_class": of}
    mark = fingerprint(opened.model, listed(names, arrays), asked)
    checkpoint = Checkpoint(folder, mark, every)
    accumulator, tally = counted(
        folder,
        job,
        Units(query),
        checkpoint,
        resume=resume,
        arrays=arrays,
        engine=engine,
        workers=workers,
        address=address,
        strict=strict,
        progress=progress,
    )
    write_patches(
        folder,
        accumulator,
        tally,
        opened,
        names,
        options=asked,
        fingerprint=mark,
        classes=classes,
    )
    if look is not None:
        look(accumulator, opened)
    checkpoint.remove()
    if deconv:
        write_back(folder, opened, device, units=deconv_units, progress=progress)
    return folder


def _relevance(opened: Opened, class_: str | int | None, output: str | int | None) -> tuple[Relevance, str]:
    """Return whose score relevance is to, and how that is called.

    Raises
    ------
    ModelError
        If the network has no class scores, or not this class.
    """
    image = torch.zeros(1, *(opened.index.input_shape or ()), device=opened.device)
    with evaluation(opened.network):
        scores = scored(opened.model, run_once(opened.network, image), "--by relevance", output)
    if class_ is None:
        return Relevance(scores.output, None), f"each image's own {scores.called}"
    target = find_class(class_, scores.values, opened.model)
    return Relevance(scores.output, target), class_label(opened.model, target) or f"{scores.called} {target}"


def _with_back(
    folder: Path,
    opened: Opened,
    device: str,
    units: int | str | Iterable[int] | None,
    progress: Progress | None,
) -> Path:
    """Measure what made units answer, for a run that is there already.

    Raises
    ------
    ResultError
        If the run is of another network, or of images that were brought to it otherwise.
    """
    facts = open_run(folder).facts
    if facts["fingerprint"].get("model") != weights_print(opened.model):
        raise ResultError(
            f"the run in {folder} is of {facts['network']} with other weights; name a new folder"
        )
    if facts["options"].get("input") != str(opened.preprocessing):
        raise ResultError(
            f"the run in {folder} saw images as: {facts['options'].get('input')}; give the same --fit and --size"
        )
    write_back(folder, opened, device, units=units, progress=progress)
    return folder
