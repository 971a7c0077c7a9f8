"""Which part of an image a class score depends on: cover it patch by patch."""

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture import wide
from netviz.engines import Progress
from netviz.errors import ImageError
from netviz.geometry.occlusion import covered_mean, grid, occlude
from netviz.images import ImageLike, Prepared, normalize, read_image
from netviz.models import ModelSpec, Preprocessing
from netviz.questions.classes import class_label, class_scores, find_class, scores_on
from netviz.questions.duration import duration, warn_if_long
from netviz.questions.occlusion.result import OcclusionResult
from netviz.questions.opening import ImageOptions, open_model

FILLS = ("mean", "noise", "zero")

COARSE = 8
"""Where occlusion takes long, a patch of so many to the short side is offered."""


def occlusion(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    class_: str | int | None = None,
    patch: int = 16,
    stride: int = 8,
    fill: str = "mean",
    output: str | int | None = None,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> OcclusionResult:
    """Cover an image by a square patch, at every place of a grid, and measure how a class score falls.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    class_ : str or int, optional
        The class: its name or its index; by default the one with the highest score.
    patch, stride : int
        Side of the patch and its step, in pixels of the network's input. The last patch of a row or column may hang
        over the border.
    fill : {"mean", "noise", "zero"}
        What the patch shows: the image's mean colour; random colours, drawn by `seed`; 0 in the network's own units.
    output : str or int, optional
        Name or number of the output to take, of a network that returns several; by default its class scores are found
        (docs/models.md).
    progress : callable, optional
        Called with what is being done, how many steps are done, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`; `seed` also draws the noise.

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
    seed = options.get("seed", 0)
    opened = open_model(model, **options)
    photo = read_image(image)
    prepared = opened.prepare(photo)
    check_fits(patch, prepared, photo.name)
    clean = prepared.tensor.to(opened.device)
    height, width = prepared.image.shape[:2]
    tops, lefts = grid(height, patch, stride), grid(width, patch, stride)
    tape = opened.tape(clean, photo.name)
    scores = scores_on(opened, tape, output=output)
    chosen = find_class(class_, scores.values, opened.model)
    baseline = filling(fill, prepared, opened.preprocessing, seed).to(opened.device)

    def read(given: Tensor) -> Tensor:
        return class_scores(given)[:, chosen]

    def foretell(seconds: float) -> None:
        places = len(tops) * len(lefts)
        remedy = "a smaller --size makes it less, where the network takes one"
        coarse = -(-min(height, width) // COARSE)
        fewer = len(grid(height, coarse, coarse)) * len(grid(width, coarse, coarse))
        if fewer < places:
            some = f"--patch {coarse} --stride {coarse} ({fewer} places)"
            remedy = f"{some} takes about {duration(seconds * fewer / places)}, and {remedy}"
        each = f"{places} places of the patch on {photo.name}, {duration(seconds / places)} each"
        warn_if_long(seconds, f"{each}, take {opened.model.name}", remedy)

    tell = None if progress is None else lambda done, total: progress(f"occluding {photo.name}", done, total)
    found = occlude(
        scores.network,
        clean,
        baseline,
        tops,
        lefts,
        (patch, patch),
        read,
        tape=scores.tape,
        progress=tell,
        foretell=foretell,
        reserve=opened.reserve(clean, photo.name),
    )
    drops = wide(found.clean - found.values).numpy()
    return OcclusionResult(
        map=covered_mean(drops, tops, lefts, (patch, patch), (height, width)).astype(np.float32),
        drops=drops.astype(np.float32),
        tops=tops,
        lefts=lefts,
        image=prepared.image,
        network=opened.model.name,
        image_name=photo.name,
        **opened.provenance(photo),
        class_index=chosen,
        label=class_label(opened.model, chosen),
        predicted=class_ is None and len(scores.values) > 1,
        score=float(found.clean),
        score_of=scores.what,
        patch=patch,
        stride=stride,
        fill=fill,
        seed=seed,
        full_passes=found.why_full,
        output=scores.output,
        called=scores.called,
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


def filling(fill: str, prepared: Prepared, preprocessing: Preprocessing, seed: int) -> Tensor:
    """Return what the occluder shows, as a whole image (1, C, H, W) in the network's units."""
    tensor = prepared.tensor
    if fill == "zero":
        return torch.zeros_like(tensor)
    if fill == "mean":
        return tensor.mean(dim=(2, 3), keepdim=True).expand_as(tensor)
    noise = np.random.default_rng(seed).integers(0, 256, prepared.values.shape, dtype=np.uint8)
    return normalize(noise, preprocessing)
