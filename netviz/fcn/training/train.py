"""Train a fully convolutional network with skips on labelled images; tell of it in run.json."""

import json
import platform
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import Unpack

from netviz._version import __version__
from netviz.capture import evaluation
from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.fcn.data import Augmentation, Segmentation, check, held_out, open_segmentation
from netviz.fcn.evaluation.measure import check_precision
from netviz.fcn.streams.network import STRIDES, choose_taps, with_skips
from netviz.fcn.training.loop import Setup, Trainer
from netviz.fcn.training.recipes import RECIPES, SUMMED_PIXELS, Recipe, plan_stages
from netviz.fcn.training.state import STATE, Standing
from netviz.models import Model, ModelOptions, ModelSpec, Preprocessing, load
from netviz.models.builders import torchvision_names
from netviz.models.known.skips.file import pack
from netviz.models.known.skips.network import SkipNetwork
from netviz.models.recognition.recognise import recognise
from netviz.questions.runs import default_device, default_workers, weights_print
from netviz.results.choose import several
from netviz.results.files import write_bytes
from netviz.results.ledger import RUN, Start, bytes_of, digest, full_name, run_folder


def builder_of(backbone: ModelSpec, model: Model) -> str:
    """Return the name by which a backbone can be built again; "" for a module that was made in Python."""
    if isinstance(backbone, nn.Module):
        return ""
    name = model.name if isinstance(backbone, Model) else str(backbone)
    if name.startswith("timm:") or name in torchvision_names():
        return name
    return recognise(model.weights).builder or ""


def run_facts(
    model: Model, network: SkipNetwork, setup: Setup, data: Segmentation, val: Segmentation
) -> dict[str, Any]:
    """Return what run.json tells."""
    options = {
        "backbone": model.name,
        "origin": model.origin,
        "input": str(model.preprocessing),
        "taps": [asdict(tap) for tap in network.taps],
        "classes": list(data.classes),
        "learned": network.learned,
        "recipe": asdict(setup.recipe),
        "stages": [asdict(stage) for stage in setup.stages],
        "lr": setup.lr,
        "augmentation": asdict(setup.augmentation),
        "class_weights": list(setup.weights),
        "seed": setup.seed,
        "precision": setup.precision,
        "images": {"train": len(data), "val": len(val)},
    }
    parts = {
        kind: [[full_name(name), bytes_of(name)] for name in map(part.name, range(len(part)))]
        for kind, part in (("images", data), ("validation images", val))
    }
    return {
        "kind": "fcn training",
        "netviz": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": setup.device,
        "options": options,
        "fingerprint": {
            "backbone": weights_print(model),
            **{kind: digest(files) for kind, files in parts.items()},
            "options": digest(options),
        },
    }


def best_epoch(standing: Standing) -> dict[str, Any]:
    """Return the last stage's best epoch."""
    stage = standing.log[-1]["stage"]
    last = [entry for entry in standing.log if entry["stage"] == stage]
    finest = stage.rpartition("+")[2]
    return max(last, key=lambda entry: entry["mean_iu"][finest] or 0.0)


BEST, LAST, LOG = "best.safetensors", "last.safetensors", "log.jsonl"
"""What a run's folder holds besides what it tells of itself."""

_LARGEST_CROP = 512


def train(
    data: str | Path,
    out: str | Path,
    *,
    backbone: ModelSpec = "mobilenet_v2",
    val: str | Path | None = None,
    recipe: str = "modern",
    stages: str | Sequence[str] | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    backbone_rate: float | None = None,
    batch: int | None = None,
    short_side: int | None = None,
    crop: tuple[int, int] | None = None,
    norm: str | None = None,
    apart: int | None = None,
    ema: float | None = None,
    class_weights: bool = False,
    strides: int | Sequence[int] = STRIDES,
    taps: str | Sequence[str] | None = None,
    learned: bool = False,
    void: int | Collection[int] = (),
    device: str | None = None,
    precision: str = "float32",
    workers: int | None = None,
    resume: bool = False,
    every: float = 120.0,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> Path:
    """Train streams and skips on a backbone; the same arguments give the same weights, interrupted or not.

    Parameters
    ----------
    data : str or Path
        A folder with ``images/``, ``labels/`` and perhaps ``classes.txt``, or in Pascal VOC's layout.
    out : str or Path
        The run's folder: new or empty, or, with `resume`, that of a run that was interrupted.
    backbone : str, Path, nn.Module or Model
        As for `netviz.load`. What is trained can only be opened again if this is a network of torchvision's or
        timm's, or a checkpoint of one.
    val : str or Path, optional
        Images to choose the best epoch by; by default a tenth of `data`, drawn by `seed`, is held out.
    recipe : {"modern", "paper"}
        See `netviz.fcn.training.recipes`.
    stages : str or sequence of str, optional
        Streams to be trained in turn, such as ``("32s", "16s", "8s")``; empty: all at once. By default as the recipe
        does: the paper's in turn, the modern one at once.
    epochs, lr, backbone_rate, batch, norm, apart, ema
        In place of the recipe's own.
    short_side : int, optional
        To how many pixels the short side of an image is brought, here and whenever the network sees one; by default
        images keep their size.
    crop : (int, int), optional
        Height and width in pixels of what is learned from, with a recipe that cuts images; by default the median size
        of the images, at most 512.
    class_weights : bool
        Whether rare classes count more in the loss: 1 / log(1.02 + share) (Paszke et al., ENet, 2016).
    strides, taps, learned
        As for `FCN`.
    void : int or collection of int
        Values of masks that count nowhere, besides 255 and classes called void.
    device : str, optional
        By default a GPU if there is one.
    precision : {"float32", "bfloat16", "float16"}
        With which numbers convolutions run.
    workers : int, optional
        Processes that read images.
    resume : bool
    every : float
        Seconds between two states inside an epoch; there is one after each epoch.
    progress : callable, optional
        Told of what is done, and how many steps of how many.
    **options
        As for `netviz.load`, for the backbone; `seed` is that of everything random.

    Returns
    -------
    Path
        The folder: ``best.safetensors`` (the epoch with the best mean IU of the finest stream) and
        ``last.safetensors``, which `netviz.load` opens; ``log.jsonl``, a line for each epoch; and ``run.json``.

    Raises
    ------
    NetvizError
        If data or backbone cannot serve, the loss becomes infinite, or the folder cannot be written or resumed.
    ValueError
        If an option is none of the values named here.
    """
    chosen = _chosen(
        recipe, epochs=epochs, backbone_rate=backbone_rate, batch=batch, norm=norm, apart=apart, ema=ema
    )
    check_precision(precision)
    device = default_device(device)
    if lr is not None and not lr > 0:
        raise ValueError(f"lr must be positive, not {lr}")
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side must be at least 1, not {short_side}")
    seed = options.get("seed", 0)
    folder = run_folder(Path(out), resume, (STATE,))
    model = load(backbone, **options)
    found = choose_taps(model, strides, taps)
    names = tuple(tap.stream for tap in found)
    if stages is None:
        stages = names if chosen.in_turn else ()
    plan_of_stages = plan_stages(chosen, names, several(stages))
    everything, pixels = check(open_segmentation(data, void=void), progress)
    learning, judging = _split(everything, val, void, seed)
    size = _median_size(learning, short_side)
    preprocessing = replace(model.preprocessing, resize=short_side, crop=None)
    if preprocessing.channels != 3:
        raise ModelError(f"{model.name} takes gray images; choose a backbone for colour")
    setup = Setup(
        recipe=chosen,
        stages=plan_of_stages,
        lr=(lr or chosen.lr) * (SUMMED_PIXELS / (size[0] * size[1]) if chosen.summed else 1.0),
        augmentation=Augmentation(
            flip=chosen.flip,
            short_side=short_side,
            scale=chosen.scale,
            crop=(crop or (min(size[0], _LARGEST_CROP), min(size[1], _LARGEST_CROP)))
            if chosen.cropped
            else None,
            jitter=chosen.jitter,
            fill=_fill(preprocessing),
        ),
        weights=_class_weights(pixels) if class_weights else (),
        preprocessing=preprocessing,
        seed=seed,
        device=device,
        precision=precision,
        workers=default_workers(workers),
    )
    network = with_skips(model, found, len(everything.classes), learned)
    sparse = [name for name, value in network.state_dict().items() if value.layout is not torch.strided]
    if sparse:
        raise ModelError(
            f"{model.name} holds sparse tensors ({sparse[0]}), which cannot be saved; choose another backbone"
        )
    network = network.to(setup.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    facts = run_facts(model, network, setup, learning, judging)
    builder = builder_of(backbone, model)

    def packed(standing: Standing, judged: SkipNetwork) -> bytes:
        # What time it took is no part of a network: the same training gives the same bytes.
        epoch = {name: value for name, value in standing.log[-1].items() if "seconds" not in name}
        about = {"training": facts["options"], "netviz": __version__, "epoch": epoch}
        return pack(
            judged,
            backbone=builder,
            preprocessing=preprocessing,
            labels=everything.classes,
            about=about,
        )

    def finished(standing: Standing, judged: SkipNetwork, best: bool) -> None:
        if best:
            write_bytes(folder / BEST, packed(standing, judged))
        write_bytes(folder / LOG, "".join(json.dumps(one) + "\n" for one in standing.log).encode())

    def tell() -> None:
        write_bytes(folder / RUN, json.dumps(facts, indent=1, ensure_ascii=False).encode())

    trainer = Trainer(
        network,
        setup,
        learning,
        judging,
        folder=folder,
        fingerprint=facts["fingerprint"],
        every=every,
        begun=tell,
        finished=finished,
        progress=progress,
    )
    # Hooks come along with the copied modules, and may refer to what no copy has of its own.
    with evaluation(model.runnable()), Start(folder, lambda: trainer.kept):
        judged = trainer.run(resume)
    write_bytes(folder / LAST, packed(trainer.standing, judged))
    facts["result"] = best_epoch(trainer.standing)
    tell()
    (folder / STATE).unlink(missing_ok=True)
    return folder


def _chosen(name: str, **options: Any) -> Recipe:
    """Return a recipe with what was asked for in place of its own."""
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {name!r}")
    given = {key: value for key, value in options.items() if value is not None}
    for key in ("epochs", "batch", "apart"):
        if given.get(key, 1) < 1:
            raise ValueError(f"{key} must be at least 1, not {given[key]}")
    for key, low, high in (("backbone_rate", 0.0, 100.0), ("ema", 0.0, 1.0)):
        if not low <= given.get(key, 0.0) <= high:
            raise ValueError(f"{key} must be in {low:g}…{high:g}, not {given[key]}")
    if given.get("norm", "frozen") not in ("frozen", "running"):
        raise ValueError(f"norm must be one of frozen, running, not {given['norm']!r}")
    return replace(RECIPES[name], **given)


def _split(
    data: Segmentation, val: str | Path | None, void: int | Collection[int], seed: int
) -> tuple[Segmentation, Segmentation]:
    """Return the images to learn from and those to choose by, with the same classes."""
    if val is None:
        return held_out(data, seed)
    other = open_segmentation(val, void=void)
    if data.named and other.named and other.classes != data.classes:
        raise ModelError(
            f"{val} has other classes than the training data ({', '.join(other.classes)}); "
            "give both the same classes.txt"
        )
    return data, replace(other, classes=data.classes, named=data.named)


def _median_size(data: Segmentation, short_side: int | None) -> tuple[int, int]:
    """Return the median height and width of the images as they are learned from."""
    sizes = np.array([data.size(at) for at in range(len(data))], dtype=np.float64)
    if short_side is not None:
        sizes *= short_side / sizes.min(axis=1, keepdims=True)
    height, width = np.median(sizes, axis=0).astype(int).tolist()
    return height, width


def _fill(preprocessing: Preprocessing) -> tuple[int, ...]:
    """Return the colour that the network gets as zeros."""
    black = preprocessing.black
    mean = [round(255 * (value - black) / (preprocessing.scale - black)) for value in preprocessing.mean]
    return tuple(mean[::-1] if preprocessing.channel_order == "BGR" else mean)


def _class_weights(pixels: NDArray[np.int64]) -> tuple[float, ...]:
    share = pixels / pixels.sum()
    weights = 1 / np.log(1.02 + share)
    return tuple((weights / (weights * share).sum()).tolist())
