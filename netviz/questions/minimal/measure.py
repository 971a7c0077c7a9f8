"""The minimal image: as few segments as a network needs to go on predicting the same class."""

import functools
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import filters
from skimage.segmentation import slic
from typing_extensions import Unpack

from netviz.engines import Progress
from netviz.errors import ImageError, ModelError
from netviz.images import ImageLike, Images, Photo, Values, images_or_photographs, normalize, read_image
from netviz.models import Model, ModelSpec
from netviz.questions.classes import class_label, find_class, scores_on
from netviz.questions.duration import duration, warn_if_long
from netviz.questions.minimal.result import ClassShare, MinimalResult, MinimalSetResult
from netviz.questions.minimal.search import search
from netviz.questions.opening import ImageOptions, Opened, open_model

FILLS = ("blur", "mean")

COMPACTNESS = 10.0
"""How much SLIC weighs place against colour."""

Pixels = NDArray[np.uint8]

Labels = NDArray[np.int64]

_Values = TypeVar("_Values", NDArray[np.uint8], NDArray[np.float32])


def segmented(image: Pixels, segments: int, name: str = "the image") -> Labels:
    """Divide an image (H, W, 3) by SLIC into about so many connected segments, numbered 0 … S - 1; (H, W).

    Raises
    ------
    ImageError
        If the image has fewer pixels than that.
    """
    height, width = image.shape[:2]
    if segments > height * width:
        raise ImageError(
            f"{name} has {height}×{width} pixels as the network sees it, fewer than {segments} segments; "
            f"give fewer --segments"
        )
    found = slic(image, n_segments=segments, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    labels: Labels = np.unique(found, return_inverse=True)[1].reshape(height, width).astype(np.int64)
    return labels


def blur_width(image: Values) -> float:
    """Return the standard deviation of the blur in pixels: a tenth of the short side."""
    height, width = image.shape[:2]
    return float(min(height, width)) / 10


def filled(image: _Values, fill: str) -> _Values:
    """Return what every segment shows when it is removed, as a whole image (H, W, 3).

    Parameters
    ----------
    image : ndarray of uint8 or float32, shape (H, W, C)
    fill : {"blur", "mean"}
        The image after a Gaussian of `blur_width`, or the image's mean colour.
    """
    if fill == "blur":
        untyped: Any = filters
        soft = untyped.gaussian(
            image.astype(np.float64), sigma=blur_width(image), mode="nearest", channel_axis=-1
        )
        return _like(soft, image)
    return _like(np.broadcast_to(image.mean(axis=(0, 1), dtype=np.float64), image.shape), image)


def _like(values: NDArray[np.float64], image: _Values) -> _Values:
    """Return values in an image's type: 8-bit ones rounded."""
    if image.dtype == np.uint8:
        values = np.clip(np.rint(values), 0, 255)
    found: _Values = values.astype(image.dtype)
    return found


THUMBNAIL = 112
"""Side in pixels of the small images that a set keeps."""


def minimal(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    class_: str | int | None = None,
    segments: int = 100,
    fill: str = "blur",
    output: str | int | None = None,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> MinimalResult:
    """Remove segments of an image, each time the one that lowers the score least, until the prediction changes.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    class_ : str or int, optional
        The class that must be the predicted one: its name or its index; by default whatever is predicted.
    segments : int
        About how many segments the image is divided into, by colour and place (SLIC).
    fill : {"blur", "mean"}
        What a removed segment shows: the image blurred by a Gaussian of a tenth of its short side, or the image's
        mean colour.
    output : str or int, optional
        Name or number of the output to take, of a network that returns several; by default its class scores are found
        (docs/models.md).
    progress : callable, optional
        Called with what is being done, how many segments are gone, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    MinimalResult
        The score is the network's raw output, as for `netviz.occlusion`. The removal that changes the prediction is
        undone.

    Raises
    ------
    ImageError
        If the image cannot be read, is too small for the network, has fewer pixels than segments, or is predicted as
        another class than `class_`.
    ModelError
        If MODEL cannot be opened, cannot run, has no class scores, or has not this class.
    ValueError
        If `segments` or `fill` is out of range.

    References
    ----------
    Zhou, Khosla, Lapedriza, Oliva and Torralba, "Object Detectors Emerge in Deep Scene CNNs", ICLR 2015, section 3.1.
    Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", PAMI 34(11), 2012.
    """
    _check(segments, fill)
    opened = open_model(model, **options)
    return _minimal(opened, read_image(image), class_, segments, fill, output, progress)


def minimal_set(
    images: Images = (),
    *,
    model: ModelSpec = "mobilenet_v2",
    class_: str | int | None = None,
    segments: int = 100,
    fill: str = "blur",
    output: str | int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> MinimalSetResult:
    """Find which share of each of many images a network needs, and the mean over the images of each predicted class.

    Parameters
    ----------
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        Files, folders, ``skimage:NAME``; by default scikit-image's photographs.
    class_ : str or int, optional
        Only images that are predicted as this class; by default all.
    strict : bool
        Stop at an image that cannot serve; else it is named in `skipped`.
    model, segments, fill, output
        As for `minimal`.
    progress : callable, optional
        Called with what is being done, how many images are done, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Raises
    ------
    ImageError
        If no image can serve, or with `strict` one cannot.
    ModelError, ValueError
        As for `minimal`.
    """
    _check(segments, fill)
    opened = open_model(model, **options)
    sources = images_or_photographs(images)
    found: list[MinimalResult] = []
    skipped: list[tuple[str, str]] = []
    for done, source in enumerate(sources):
        if progress is not None:
            progress("minimal images", done, len(sources))
        try:
            found.append(_minimal(opened, read_image(source), class_, segments, fill, output, None))
        except ImageError as error:
            if strict:
                raise
            skipped.append((str(source), str(error)))
    if progress is not None:
        progress("minimal images", len(sources), len(sources))
    if not found:
        raise ImageError(f"none of the {len(sources)} images can serve; the first: {skipped[0][1]}")
    shares = np.array([one.share for one in found])
    return MinimalSetResult(
        share=shares,
        class_index=np.array([one.class_index for one in found], dtype=np.int64),
        removed=np.array([one.removed for one in found], dtype=np.int64),
        count=np.array([one.count for one in found], dtype=np.int64),
        images=np.stack([_thumbnail(one.image) for one in found]),
        minimals=np.stack([_thumbnail(one.minimal) for one in found]),
        network=opened.model.name,
        **opened.provenance(),
        fill=fill,
        score_of=found[0].score_of,
        output=found[0].output,
        asked=segments,
        names=tuple(one.image_name for one in found),
        labels=tuple(one.label for one in found),
        skipped=tuple(skipped),
        mean_share=float(shares.mean()),
        by_class=_by_class(found),
    )


def _check(segments: int, fill: str) -> None:
    if segments < 2:
        raise ValueError(f"segments must be at least 2, not {segments}")
    if fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, not {fill!r}")


def _minimal(
    opened: Opened,
    photo: Photo,
    class_: str | int | None,
    segments: int,
    fill: str,
    output: str | int | None,
    progress: Progress | None,
) -> MinimalResult:
    model = opened.model
    prepared = opened.prepare(photo)
    tensor = prepared.tensor.to(opened.device)
    scored = scores_on(opened, opened.tape(tensor, photo.name), "the minimal image", output)
    scores = scored.values
    if len(scores) < 2:
        raise ModelError(
            f"{model.name} has one class only, so its prediction never changes; the minimal image needs a classifier"
        )
    chosen = _predicted(model, photo.name, class_, scores)
    labels = segmented(prepared.image, segments, photo.name)
    filling = filled(prepared.image, fill)
    tell = None if progress is None else functools.partial(progress, f"removing segments of {photo.name}")
    # In depth and bands that the picture lacks a segment is removed as well.
    values = prepared.values
    shown: Values = filling if values is prepared.image else filled(values.astype(np.float32), fill)
    blank = normalize(shown, opened.preprocessing).to(opened.device)

    def foretell(seconds: float) -> None:
        # Every segment may be looked at once for every other.
        fewer = max(2, segments // 4)
        what = f"removing {labels.max() + 1} segments of {photo.name}, one after the other, may take {model.name}"
        remedy = f"--segments {fewer} at most {duration(seconds * (fewer / segments) ** 2)}"
        warn_if_long(
            seconds, what, f"{remedy}, and a smaller --size makes it less, where the network takes one"
        )

    found = search(
        scored.network,
        tensor,
        blank,
        labels,
        chosen,
        tape=scored.tape,
        progress=tell,
        foretell=foretell,
        reserve=opened.reserve(tensor, photo.name),
    )
    removed = len(found.order) - found.flipped
    gone = np.isin(labels, found.order[:removed])
    end = found.predictions[-1]
    return MinimalResult(
        image=prepared.image,
        minimal=np.where(gone[..., None], filling, prepared.image),
        filling=filling,
        segments=labels,
        order=np.array(found.order, dtype=np.int64),
        scores=np.array(found.scores, dtype=np.float64),
        predictions=np.array(found.predictions, dtype=np.int64),
        network=opened.model.name,
        image_name=photo.name,
        **opened.provenance(photo),
        class_index=chosen,
        label=class_label(model, chosen),
        score=float(scores[chosen]),
        score_of=scored.what,
        fill=fill,
        blur=blur_width(prepared.image) if fill == "blur" else 0.0,
        asked=segments,
        count=int(labels.max()) + 1,
        removed=removed,
        share=float(1 - gone.mean()),
        flipped=found.flipped,
        end_index=end,
        end_label=class_label(model, end),
        evaluations=found.evaluations,
        full_passes=found.why_full,
        output=scored.output,
    )


def _predicted(model: Model, name: str, class_: str | int | None, scores: torch.Tensor) -> int:
    """Return the predicted class, if it is the one asked for."""
    chosen, predicted = find_class(class_, scores, model), find_class(None, scores, model)
    if chosen != predicted:
        asked, seen = (
            f"{label!r} (class {one})" if (label := class_label(model, one)) else f"class {one}"
            for one in (chosen, predicted)
        )
        raise ImageError(
            f"{name} is predicted as {seen}, not as {asked}, so there is nothing to keep; leave out --class, or "
            f"give another image"
        )
    return chosen


def _by_class(found: list[MinimalResult]) -> tuple[ClassShare, ...]:
    """Return the shares by class, the class that needs most first."""
    groups: dict[int, list[MinimalResult]] = {}
    for one in found:
        groups.setdefault(one.class_index, []).append(one)
    table: list[ClassShare] = []
    for number, members in groups.items():
        shares = [one.share for one in members]
        table.append(
            {
                "class_index": number,
                "label": members[0].label,
                "images": len(members),
                "mean": float(np.mean(shares)),
                "least": min(shares),
                "most": max(shares),
            }
        )
    return tuple(sorted(table, key=lambda row: (-row["mean"], row["class_index"])))


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image scaled down into a white square."""
    height, width = pixels.shape[:2]
    scale = THUMBNAIL / max(height, width)
    small = max(1, round(height * scale)), max(1, round(width * scale))
    image = np.asarray(Image.fromarray(pixels).resize(small[::-1], Image.Resampling.BILINEAR))
    square = np.full((THUMBNAIL, THUMBNAIL, 3), 255, dtype=np.uint8)
    top, left = (THUMBNAIL - small[0]) // 2, (THUMBNAIL - small[1]) // 2
    square[top : top + small[0], left : left + small[1]] = image
    return square
