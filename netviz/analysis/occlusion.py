"""Which part of an image a class score depends on: cover it patch by patch."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from netviz.analysis.common import ModelSpec, layers
from netviz.analysis.maps import does_not_run, input_preprocessing, require_channels
from netviz.capture import brief, unwrap
from netviz.capture.tape import Tape, record
from netviz.errors import ImageError, ModelError
from netviz.fields.occlusion import grid, occlude, spread
from netviz.images import Photo, Prepared, normalize, prepare, read_image
from netviz.models import Model, Preprocessing, load
from netviz.results import OcclusionResult

FILLS = ("mean", "noise", "zero")


def occlusion(
    image: str | Path | Photo,
    *,
    model: ModelSpec = "mobilenet_v2",
    target: str | int | None = None,
    patch: int = 16,
    stride: int = 8,
    fill: str = "mean",
    size: tuple[int, int] | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> OcclusionResult:
    """Cover an image by a square patch, at every place of a grid, and measure how a class score falls.

    Parameters
    ----------
    image : str, Path or Photo
        An image file, ``skimage:NAME``, or an image already read.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    target : str or int, optional
        The class: its name or its index; by default the one with the highest score.
    patch, stride : int
        Side of the patch and its step, in pixels of the network's input. The last patch of a row or column may hang
        over the border.
    fill : {"mean", "noise", "zero"}
        What the patch shows: the image's mean colour; random colours, drawn by `seed`; 0 in the network's own units.
    size : (int, int), optional
        Input height and width in pixels, if not the network's own.
    trust, weights, seed
        As for `netviz.load`; `seed` also draws the noise.
    progress : callable, optional
        Called with what is being done, how many steps are done, and of how many.

    Returns
    -------
    OcclusionResult
        The score is the network's raw output (before any softmax that is not part of the network). Of a network whose
        output is a map for every class, it is the mean over that map.

    Raises
    ------
    ImageError
        If the image cannot be read, is too small for the network, or smaller than the patch.
    ModelError
        If MODEL cannot be opened, cannot run, has no class scores, or has not this class.
    ValueError
        If `patch`, `stride` or `fill` is out of range.

    References
    ----------
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.
    """
    check_patch(patch, stride)
    if fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, not {fill!r}")
    opened = load(model, trust=trust, weights=weights, seed=seed)
    network = unwrap(opened.runnable())
    photo = image if isinstance(image, Photo) else read_image(image)
    prepared, preprocessing = ready(opened, photo, size)
    check_fits(patch, prepared, photo.name)
    device = next((value.device for value in network.parameters()), torch.device("cpu"))
    clean = prepared.tensor.to(device)
    tape = taped(opened, network, clean, photo.name)
    scores, score_of = scores_on(opened, tape)
    chosen = find_class(target, scores, opened)
    baseline = filling(fill, prepared, preprocessing, seed).to(device)
    height, width = prepared.image.shape[:2]
    tops, lefts = grid(height, patch, stride), grid(width, patch, stride)

    def read(output: Tensor) -> Tensor:
        return class_scores(output)[:, chosen]

    tell = None if progress is None else lambda done, total: progress(f"occluding {photo.name}", done, total)
    found = occlude(network, clean, baseline, tops, lefts, (patch, patch), read, tape=tape, progress=tell)
    drops = (found.clean - found.values).double().cpu().numpy()
    return OcclusionResult(
        map=spread(drops, tops, lefts, (patch, patch), (height, width)).astype(np.float32),
        drops=drops.astype(np.float32),
        tops=tops,
        lefts=lefts,
        image=prepared.image,
        network=opened.name,
        image_name=photo.name,
        class_index=chosen,
        label=opened.labels[chosen] if opened.labels else "",
        predicted=target is None,
        score=float(found.clean),
        score_of=score_of,
        patch=patch,
        stride=stride,
        fill=fill,
        seed=seed,
        full_passes=found.why_full,
    )


def check_patch(patch: int, stride: int) -> None:
    """Refuse a patch or stride that no occlusion can have.

    Raises
    ------
    ValueError
        If either is below 1, or patches would leave pixels between them uncovered.
    """
    if patch < 1:
        raise ValueError(f"the patch must be at least 1 pixel, not {patch}")
    if stride < 1:
        raise ValueError(f"the stride must be at least 1 pixel, not {stride}")
    if stride > patch:
        raise ValueError(
            f"a stride of {stride} leaves pixels between patches of {patch} uncovered; "
            f"give a stride of at most {patch}"
        )


def check_fits(patch: int, prepared: Prepared, name: str) -> None:
    """Refuse an image that is smaller than the patch."""
    height, width = prepared.image.shape[:2]
    if patch > min(height, width):
        raise ImageError(
            f"a patch of {patch} pixels is larger than {name} as the network sees it ({height}×{width}); "
            f"give a smaller patch, or --size HxW"
        )


def ready(model: Model, photo: Photo, size: tuple[int, int] | None) -> tuple[Prepared, Preprocessing]:
    """Return an image as the network takes it, and how it was made."""
    index = layers(model, size=size)
    require_channels(model, index)
    preprocessing = input_preprocessing(model.preprocessing, index, size)
    return prepare(photo.pixels, preprocessing), preprocessing


def taped(model: Model, network: nn.Module, image: Tensor, name: str) -> Tape:
    """Run the network once on an image and return the tape with its values.

    Raises
    ------
    ImageError
        If the network does not run on an image of this size.
    """
    try:
        return record(network, image, keep=True)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ImageError(does_not_run(model, name, image.shape[-2:], brief(error))) from error


def filling(fill: str, prepared: Prepared, preprocessing: Preprocessing, seed: int) -> Tensor:
    """Return what the occluder shows, as a whole image (1, C, H, W) in the network's units."""
    tensor = prepared.tensor
    if fill == "zero":
        return torch.zeros_like(tensor)
    if fill == "mean":
        return tensor.mean(dim=(2, 3), keepdim=True).expand_as(tensor)
    noise = np.random.default_rng(seed).integers(0, 256, prepared.image.shape, dtype=np.uint8)
    return normalize(noise, preprocessing)


def find_class(target: str | int | None, scores: Tensor, model: Model) -> int:
    """Return the index of the class that a user named.

    Raises
    ------
    ModelError
        If there is no such class, naming the closest.
    """
    count = len(scores)
    if target is None:
        return int(scores.argmax())
    text = str(target).strip()
    if text.removeprefix("-").isdecimal():
        if 0 <= int(text) < count:
            return int(text)
        raise ModelError(f"{model.name} has no class {text}: its classes are 0 to {count - 1}")
    if not model.labels:
        raise ModelError(
            f"the names of {model.name}'s classes are not known; give the index of a class, 0 to {count - 1}, "
            f"instead of {text!r}"
        )
    names = [label.casefold() for label in model.labels]
    found = [number for number, name in enumerate(names) if name == text.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(map(str, found))
        raise ModelError(
            f"{model.name} has {len(found)} classes {text!r}; give one of their indices: {numbers}"
        )
    raise ModelError(f"{model.name} has no class {text!r}; {_closest(text, model.labels)}")


def _closest(text: str, labels: Sequence[str]) -> str:
    folded = {label.casefold(): label for label in reversed(labels)}
    close = difflib.get_close_matches(text.casefold(), folded, n=3, cutoff=0.6)
    within = [name for name in folded if text.casefold() in name][:3]
    names = [folded[name] for name in dict.fromkeys([*close, *within])][:4]
    if not names:
        return f"give a label such as {labels[0]!r}, or an index from 0 to {len(labels) - 1}"
    return f"the closest: {', '.join(names)}"


def scores_on(model: Model, tape: Tape, question: str = "occlusion") -> tuple[Tensor, str]:
    """Return the score of every class on a taped image, and what a score is.

    Raises
    ------
    ModelError
        If the network's output is neither (N, classes) nor (N, classes, H, W).
    """
    if tape.output is None or tape.values[tape.output].ndim not in (2, 4):
        shape = "unknown" if tape.output is None else "×".join(map(str, tape.shapes[tape.output]))
        raise ModelError(
            f"{model.name} has no class scores: its main output is {shape}, not (N, classes) or (N, classes, H, W); "
            f"{question} needs a classifier"
        )
    output = tape.values[tape.output]
    if model.labels and len(model.labels) != output.shape[1]:
        raise ModelError(
            f"the main output of {model.name} has {output.shape[1]} channels, which are not its {len(model.labels)} "
            f"classes ({', '.join(model.labels[:2])}, …); {question} needs a classifier"
        )
    if output.ndim == 4 and output.shape[-2:] != (1, 1):
        height, width = output.shape[-2:]
        what = f"raw output, mean over the class's map of {height}×{width} positions"
    else:
        what = "raw output"
    return class_scores(output)[0], what


def class_scores(output: Tensor) -> Tensor:
    """Return (P, classes) of an output (P, classes) or (P, classes, H, W)."""
    return output if output.ndim == 2 else output.mean(dim=(2, 3))
