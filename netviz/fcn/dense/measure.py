"""A network over a whole image at once: where in it does each class have how high a score."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.engines import Progress
from netviz.errors import ImageError, ModelError
from netviz.fcn.dense.detector import Detector, is_detector, open_detector
from netviz.fcn.dense.levels import Level, finest, merged, run_level
from netviz.fcn.dense.network import DenseNetwork, open_dense
from netviz.fcn.dense.result import DenseResult
from netviz.images import ImageLike, Photo, as_shown, read_image
from netviz.models import ModelOptions, ModelSpec, load
from netviz.questions.classes import find_class
from netviz.questions.opening import provenance
from netviz.results.choose import several

TOP = 3

MAX_LEVELS = 64


def dense(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    class_: str | int | Sequence[str | int] = (),
    top: int = TOP,
    pyramid: float | Sequence[float] = (),
    short_side: int | str | None = None,
    output: str | int | None = None,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> DenseResult:
    """Run a network over a whole image and place its score maps on it.

    A classifier is made fully convolutional (`netviz.fcn.cast`): one pass gives its scores on every crop of its own
    input's size, a stride apart. A network that gives maps (segmentation, edges, P-Net) is taken as it is;
    of a detection network its head's scores on every level of anchors, the maximum over which is the result.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read. All of it is used, nothing is cropped.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    class_ : str, int, or sequence of these
        Names or numbers; by default the `top` ones with the highest score anywhere.
    top : int
        How many, where no class is named.
    pyramid : float or sequence of float
        Sizes of the image, relative to the one that it would otherwise have; the result is the maximum over them.
    short_side : int or "own", optional
        To what the image's short side is brought, in pixels. By default twice a classifier's input; for other
        networks what they were trained with.
    output : str or int, optional
        Name or number of the output to take, of a network that returns several; by default its dense scores are found
        (docs/models.md).
    progress : callable, optional
        Called with what is being done, how many levels are done, and of how many.
    **options
        As for `netviz.load`.

    Returns
    -------
    DenseResult
        Its scores are the network's raw output.

    Raises
    ------
    ImageError
        If the image cannot be read, or is smaller than the network's window.
    ModelError
        If MODEL cannot be opened, run or cast, or has not this class.
    ValueError
        If `top`, `pyramid` or `short_side` is out of range.
    """
    scales = check_pyramid(pyramid)
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    found = load(model, **options)
    if is_detector(found):
        if output is not None:
            raise ModelError(
                f"{found.name} is a detection network, whose scores netviz takes from its head; leave out --output"
            )
        opened: Detector | DenseNetwork = open_detector(found, short_side)
    else:
        opened = open_dense(found, short_side, output)
    photo = as_shown(read_image(image), found.preprocessing.bands)
    if isinstance(opened, DenseNetwork):
        check_large_enough(opened, photo, short_side)
    asked = [find_class(one, torch.zeros(opened.channels), opened.model) for one in several(class_)]
    levels: list[Level] = []
    for number, scale in enumerate(scales):
        if progress is not None:
            progress(f"{opened.model.name} over {photo.name}", number, len(scales))
        if isinstance(opened, DenseNetwork):
            levels.append(run_level(opened, photo, scale))
        else:
            levels.extend(opened.levels(photo, scale))
    if progress is not None:
        progress(f"{opened.model.name} over {photo.name}", len(scales), len(scales))
    chosen = list(dict.fromkeys(asked)) or highest(
        levels, top, () if isinstance(opened, DenseNetwork) else opened.background
    )
    scores, level = merged(levels, chosen)
    first, fine = levels[0], levels[finest(levels)]
    labels = opened.model.labels if len(opened.model.labels) == opened.channels else ()
    pyramidal = len(levels) > 1
    return DenseResult(
        scores=scores,
        center_y=fine.center_y,
        center_x=fine.center_x,
        classes=np.array(chosen, dtype=np.int64),
        level=level,
        image=photo.pixels,
        network=opened.model.name,
        image_name=photo.name,
        labels=tuple(labels[number] if labels else "" for number in chosen),
        channels=opened.channels,
        chosen="asked" if asked else "top",
        cast=isinstance(opened, DenseNetwork) and opened.cast,
        placed=first.placed,
        window_of=first.window_of,
        scales=tuple(one.scale for one in levels),
        inputs=tuple(one.size for one in levels),
        strides=tuple(one.stride for one in levels),
        windows=tuple(one.window for one in levels),
        field=() if first.field.status == "unknown" else first.field.size,
        field_status=first.field.status,
        **provenance(opened.model, first.preprocessing, photo),
        levels=_arrays(levels, chosen) if pyramidal else {},
        output=opened.output if isinstance(opened, DenseNetwork) else "",
        padded=max(one.padded for one in levels),
        called=opened.called if isinstance(opened, DenseNetwork) else "class",
    )


def check_pyramid(pyramid: float | Sequence[float]) -> tuple[float, ...]:
    """Return the scales, each once; (1.0,) where none is given.

    Raises
    ------
    ValueError
        If one is not positive, or there are too many.
    """
    scales = tuple(dict.fromkeys(float(one) for one in several(pyramid))) or (1.0,)
    for scale in scales:
        if not 0 < scale < float("inf"):
            raise ValueError(f"a scale of the pyramid must be a positive number, not {scale:g}")
    if len(scales) > MAX_LEVELS:
        raise ValueError(f"a pyramid has at most {MAX_LEVELS} scales, not {len(scales)}")
    return scales


def check_large_enough(opened: DenseNetwork, photo: Photo, short_side: int | str | None) -> None:
    """Refuse an image that would have to be enlarged to fill the window, unless the user wants that.

    Raises
    ------
    ImageError
        Naming the remedy.
    """
    height, width = photo.pixels.shape[:2]
    if short_side is None and opened.native is not None and min(height, width) < min(opened.native):
        window = "×".join(map(str, opened.native))
        raise ImageError(
            f"{photo.name} is {height}×{width}, smaller than the window of {opened.model.name}, {window}; give a "
            f"larger image, or enlarge it with --short-side {max(opened.native)}"
        )


def highest(levels: Sequence[Level], top: int, without: Sequence[int] = ()) -> list[int]:
    """Return the classes with the highest score anywhere, highest first, but for those `without` which it is.

    Raises
    ------
    ModelError
        If no score is finite.
    """
    peaks: NDArray[np.float32] = np.max(
        [np.where(np.isfinite(one.scores), one.scores, -np.inf).max(axis=(1, 2)) for one in levels], axis=0
    )
    if not np.isfinite(peaks).any():
        raise ModelError("every score is NaN or infinite; check the network's weights and its preprocessing")
    order: list[int] = np.argsort(-peaks, kind="stable").tolist()
    return [one for one in order if one not in without][:top]


def _arrays(levels: Sequence[Level], chosen: list[int]) -> dict[str, NDArray[np.floating]]:
    arrays: dict[str, NDArray[np.floating]] = {}
    for number, one in enumerate(levels):
        arrays[f"scores_{number}"] = one.scores[chosen]
        arrays[f"center_y_{number}"] = one.center_y
        arrays[f"center_x_{number}"] = one.center_x
    return arrays
