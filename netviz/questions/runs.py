"""What long questions over many images share: the network made ready, the folder, its fingerprint, the engine."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from netviz._version import __version__
from netviz.engines import Accumulator, Job, Tally, run_local
from netviz.errors import ImageError, OutputError
from netviz.geometry.field import Field
from netviz.models import Layer, LayerIndex, Model, Preprocessing, load
from netviz.questions.opening import (
    SHORT_SIDE,
    ModelSpec,
    chosen_layers,
    input_preprocessing,
    layer_fields,
    layer_slugs,
    layers,
)

Progress = Callable[[str, int, int], None]


Save = Callable[[Accumulator, Tally], None]


Fed = TypeVar("Fed", bound=Accumulator)


@dataclass(frozen=True)
class Opened:
    """A network ready for many images.

    Attributes
    ----------
    model : Model
    network : nn.Module
    index : LayerIndex
        Its layers, at the size that images are brought to.
    layers : tuple of Layer
        Those that the question is about.
    preprocessing : Preprocessing
        How images are brought to the network.
    fields : dict of Layer to Field
    """

    model: Model
    network: nn.Module
    index: LayerIndex
    layers: tuple[Layer, ...]
    preprocessing: Preprocessing
    fields: dict[Layer, Field]

    @cached_property
    def slugs(self) -> dict[Layer, str]:
        """A file name for each layer."""
        return layer_slugs(self.layers)

    def facts(self, kind: str, options: Mapping[str, Any], fingerprint: Mapping[str, str]) -> dict[str, Any]:
        """Return what every run.json tells first."""
        return {
            "kind": kind,
            "netviz": __version__,
            "torch": torch.__version__,
            "network": self.model.name,
            "origin": self.model.origin,
            "options": dict(options),
            "fingerprint": dict(fingerprint),
        }

    def described(self) -> list[dict[str, Any]]:
        """Return what run.json tells of the layers."""
        return [{**one.describe(), "file": f"layers/{slug}.npz"} for one, slug in self.slugs.items()]


def open_network(
    model: ModelSpec,
    layer: Sequence[str],
    *,
    fit: str,
    size: tuple[int, int] | None,
    trust: bool,
    weights: str | Path,
    seed: int,
) -> Opened:
    """Open a network for images that are all brought to it in the same way.

    Raises
    ------
    NetvizError
        If MODEL or a layer cannot serve.
    """
    model = load(model, trust=trust, weights=weights, seed=seed)
    network = model.runnable()
    if model.preprocessing.resize is None and size is None:
        model = replace(model, preprocessing=replace(model.preprocessing, resize=SHORT_SIDE))
    index = layers(model, size=size)
    chosen = tuple(chosen_layers(model, index, layer))
    preprocessing = input_preprocessing(model.preprocessing, index, size).fitted(fit)
    return Opened(model, network, index, chosen, preprocessing, layer_fields(model, index))


def check_options(numbers: Sequence[tuple[str, int, int]], *, engine: str, dtype: str, fit: str) -> None:
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
        if number < least:
            raise ValueError(f"{name} must be at least {least}, not {number}")


def default_device(device: str | None) -> str:
    """Return the device that is asked for, or a GPU if there is one."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def feed(
    job: Job,
    accumulator: Fed,
    tally: Tally,
    *,
    engine: str,
    workers: int | None,
    address: str | None,
    strict: bool,
    save: Save,
    progress: Progress | None,
) -> Fed:
    """Have an engine feed all images that are not done yet to an accumulator; return that.

    Raises
    ------
    NetvizError
        As the engine does; if no image can be read.
    """
    if engine == "ray":
        from netviz.engines.ray.run import run_ray

        accumulator = run_ray(
            job,
            accumulator,
            tally,
            workers=workers,
            address=address,
            strict=strict,
            save=save,
            progress=progress,
        )
    else:
        readers = min(8, torch.get_num_threads()) if workers is None else workers
        run_local(job, accumulator, tally, workers=readers, strict=strict, save=save, progress=progress)
    return accumulator


def require_images(tally: Tally, names: Sequence[str]) -> None:
    """Refuse a run in which every image was skipped.

    Raises
    ------
    ImageError
        Naming the first reason.
    """
    if len(tally.skipped) == len(names):
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


def run_folder(out: Path, resume: bool, states: Sequence[str] = ("state.npz",)) -> Path:
    """Return the run's folder, if the run may go there.

    Parameters
    ----------
    out : Path
    resume : bool
        Whether an unfinished run is to go on.
    states : sequence of str
        Files in it of which an unfinished run has one.

    Raises
    ------
    OutputError
        If it holds something else.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        unfinished = any((out / name).exists() for name in states)
        if not resume:
            remedy = "go on with --resume, or name a new folder" if unfinished else "name a new folder"
            raise OutputError(f"{out} exists already and is not empty; {remedy}")
        if not unfinished:
            raise OutputError(f"{out} holds no unfinished run; name another folder, or drop --resume")
    return out


def weights_print(model: Model) -> str:
    """Return a fingerprint of a network: its name and every weight."""
    digest = hashlib.sha256(model.name.encode())
    for name, value in sorted(model.runnable().state_dict().items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous().reshape(-1)
            digest.update(str((value.dtype, tuple(value.shape))).encode())
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def full_name(source: str | Path) -> str:
    """Return an image's name as it can be found again from any folder, on one line."""
    name = str(source)
    if not name.startswith("skimage:") and "://" not in name:
        name = str(Path(name).absolute())
    # Surrogates stand for bytes that are no UTF-8.
    if len(name.splitlines()) > 1 or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ImageError(f"the name of {name!a} has several lines, or is no UTF-8; rename it")
    return name


def bytes_of(name: str) -> int:
    """Return a file's size; what is no file has none."""
    path = Path(name)
    return path.stat().st_size if path.is_file() else -1


def digest(value: Any) -> str:
    """Return a fingerprint of what JSON can tell."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
