"""The streams of a dense network on one image, beside the truth in the network's own numbers."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Unpack

from netviz.capture import brief, evaluation, network_device, unwrap
from netviz.capture.outputs import asked_for, dense_output, named_tensors
from netviz.capture.padding import Padded, padding_multiple
from netviz.errors import ImageError, ModelError
from netviz.fcn.metrics import Confusion, Metrics, metrics
from netviz.fcn.streams.result import StreamsResult, Tap
from netviz.images import ImageLike, Photo, as_shown, placement, prepare, read_image
from netviz.images.labelled.labels import read_numbers
from netviz.images.labelled.masks import VOID, VOID_NAMES
from netviz.models import Model, ModelOptions, ModelSpec, load
from netviz.models.known.hed import HED
from netviz.models.known.skips.network import SkipNetwork, to_image
from netviz.questions.classes import what_is_scored
from netviz.questions.opening import provenance
from netviz.results.base import Arrays
from netviz.results.choose import several


def read_truth(
    path: Path,
    photo: Photo,
    size: tuple[int, int],
    classes: Sequence[str] | int,
    network: str,
    void: int | Collection[int] = (),
) -> NDArray[np.int32]:
    """Read a mask of class numbers and bring it to the pixels of a network's input.

    Parameters
    ----------
    path : Path
        If ``classes.txt`` lies beside the mask's folder, its lines name the mask's numbers.
    photo : Photo
        The image that it labels; the mask has its size.
    size : (int, int)
        Height and width of the network's input; each of its pixels takes the label at its middle.
    classes : sequence of str, or int
        The network's classes, or how many it has where they have no names.
    network : str
        What it is called.
    void : int or collection of int
        Values that count nowhere, besides 255 and classes called void.

    Returns
    -------
    ndarray of int32, shape `size`
        -1 is void.

    Raises
    ------
    ImageError
        If the mask cannot be read, has another size than its image, or values that are no classes.
    """
    values = read_numbers(path)
    height, width = photo.pixels.shape[:2]
    if values.shape != (height, width):
        raise ImageError(
            f"the mask {path} is {values.shape[0]}×{values.shape[1]} pixels (height × width), but {photo.name} is "
            f"{height}×{width}; give the mask of this image"
        )
    void = {VOID, *several(void)}
    held, where = np.unique(values, return_inverse=True)
    codes, problems = _codes(path, [int(value) for value in held], classes, void)
    if problems:
        more = ", …" if len(problems) > 4 else ""
        known = len(classes) if not isinstance(classes, int) else classes
        raise ImageError(
            f"the mask {path} holds values that are no class of {network}: {', '.join(problems[:4])}{more} (its "
            f"classes are 0…{known - 1}); let them count nowhere with --void, or give another mask"
        )
    labelled = np.array(codes, dtype=np.int32)[where.reshape(values.shape)]
    rows, cols = (
        ((np.arange(count) + 0.5) * (whole / count)).astype(np.intp)
        for count, whole in zip(size, (height, width), strict=True)
    )
    taken: NDArray[np.int32] = labelled[np.ix_(rows, cols)]
    return taken


def _codes(
    path: Path, held: Sequence[int], classes: Sequence[str] | int, void: Collection[int]
) -> tuple[list[int], list[str]]:
    """Return the network's class of each value that a mask holds, and what is unknown, in words."""
    listed = path.absolute().parent.parent / "classes.txt"
    if isinstance(classes, int) or not listed.is_file():
        count = classes if isinstance(classes, int) else len(classes)
        codes = [-1 if value in void or not 0 <= value < count else value for value in held]
        return codes, [str(value) for value in held if value not in void and not 0 <= value < count]
    try:
        lines = [line.strip().casefold() for line in listed.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {listed} as a list of classes; write one name a line") from error
    number = {name.casefold(): code for code, name in enumerate(classes)}
    codes, problems = [], []
    for value in held:
        name = lines[value] if 0 <= value < len(lines) else ""
        codes.append(-1 if value in void or name in VOID_NAMES else number.get(name, -1))
        if value not in void and name not in VOID_NAMES and name not in number:
            problems.append(f"{value} ({name})" if name else str(value))
    return codes, problems


MOST_PIXELS = 4_000_000
"""The largest input that a dense network is given: its streams and first maps grow with it, to several gigabytes."""

_TAKEN = ("facts", "image", "truth")


def show(
    image: ImageLike,
    *,
    model: ModelSpec = "fcn_camvid",
    truth: str | Path | None = None,
    void: int | Collection[int] = (),
    short_side: int | None = None,
    output: str | int | None = None,
    **options: Unpack[ModelOptions],
) -> StreamsResult:
    """Run a dense network once on a whole image and keep what each of its streams says, before softmax.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read. It is shown at its own size.
    model : str, Path, nn.Module or Model
        As for `netviz.load`: a network that returns a map for every class at its input's size, or a dict of several
        such streams (``32s``, ``16s``, ``8s``; torchvision's ``out`` and ``aux``); or ``hed``.
    truth : str or Path, optional
        A mask of class numbers of the image's size. If a classes.txt lies beside its folder, the numbers are lines of
        that, and mean the network's classes of these names; else they are the network's own numbers.
    void : int or collection of int
        Values of the mask that count nowhere, besides 255 and classes called void.
    short_side : int, optional
        Resize the image first, so that its short side has this many pixels.
    output : str or int, optional
        Name or number of the output to take, of a network that returns several; by default its dense scores are found
        (docs/models.md), and all others of their shape are streams, too.
    **options
        As for `netviz.load`.

    Returns
    -------
    StreamsResult
        All arrays are on the image's own pixels or, if `short_side` is given, on those of the resized one. A network
        with skips that was trained at a size of its own sees the image at that, and is read at the image's pixels.

    Raises
    ------
    ImageError
        If image or mask cannot be read, the mask has another size or unknown values, or the network does not run.
    ModelError
        If MODEL cannot be opened, or has no output at its input's size.
    ValueError
        If `short_side` is below 1.
    """
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side must be at least 1, not {short_side}")
    opened = load(model, **options)
    network = unwrap(opened.runnable())
    opened.require_classifier()
    photo = as_shown(read_image(image), opened.preprocessing.bands)
    whole = isinstance(network, SkipNetwork) and opened.preprocessing.crop is None
    trained = opened.preprocessing.resize if whole else None
    preprocessing = replace(opened.preprocessing, resize=short_side or trained, crop=None)
    original = photo.pixels.shape[0], photo.pixels.shape[1]
    seen = placement(*original, preprocessing)[0]
    at_own_pixels = short_side is None and trained is not None
    height, width = original if at_own_pixels else seen
    for rows, columns in ((height, width), seen):
        if rows * columns > MOST_PIXELS:
            raise ImageError(
                f"{photo.name} would be shown at {rows}×{columns} pixels, more than the {MOST_PIXELS:,} that a dense "
                f"network is given; give a smaller --short-side, such as 720"
            )
    prepared = prepare(photo, preprocessing)
    shown = photo.pixels if at_own_pixels else prepared.image
    seen_image, multiple = prepared.tensor, 0
    try:
        streams, added, main = _streams(opened, network, seen_image, photo.name, (height, width), output)
    except ImageError:
        multiple = padding_multiple(network, preprocessing.channels, seen)
        if not multiple:
            raise
        padded = Padded(network, multiple)
        streams, added, main = _streams(opened, padded, seen_image, photo.name, (height, width), output)
    names = coarse_to_fine(tuple(streams))
    count = streams[names[0]].shape[0]
    form = "classes" if count > 1 else "edges" if isinstance(network, HED) else "values"
    if truth is not None and form != "classes":
        raise ModelError(f"{opened.name} has no classes to compare with a mask; leave out --truth")
    labels = opened.labels if len(opened.labels) == count else ()
    called = what_is_scored(opened, main, count)
    classes = labels or tuple(f"{called} {number}" for number in range(count))
    known = (
        None
        if truth is None
        else read_truth(Path(truth), photo, (height, width), labels or count, opened.name, void)
    )
    predicted = {name: np.argmax(streams[name], axis=0) for name in names} if form == "classes" else {}
    return StreamsResult(
        streams={**streams, **added},
        image=shown,
        truth=known,
        names=names,
        form=form,
        classes=classes,
        network=opened.name,
        **provenance(opened, preprocessing, photo),
        image_name=photo.name,
        original=prepared.original,
        taps=_taps(network),
        changed={
            after: {"from": before, "share": float((predicted[before] != predicted[after]).mean())}
            for before, after in pairwise(predicted)
        },
        scores={} if known is None else {name: _scores(known, predicted[name], classes) for name in names},
        void_share=0.0 if known is None else float((known < 0).mean()),
        input_size=seen,
        output=main,
        padded=multiple,
        called=called,
    )


def _scores(truth: NDArray[np.int32], predicted: NDArray[np.intp], classes: Sequence[str]) -> Metrics:
    """Return the four metrics of one picture."""
    counts = Confusion(len(classes))
    counts.update(truth, predicted)
    return metrics(counts.result(), classes)


def _streams(
    model: Model,
    network: nn.Module,
    image: Tensor,
    name: str,
    grid: tuple[int, int],
    asked: str | int | None,
) -> tuple[Arrays, Arrays, str]:
    """Run the network once; return its streams, (K, *grid), in its order, what each adds, if it tells, and the main.

    Raises
    ------
    ImageError
        If the network does not run on the image.
    ModelError
        If its output is no map for every class at its input's size.
    """
    size = "×".join(map(str, image.shape[-2:]))
    with evaluation(network), torch.no_grad():
        try:
            found, added = _outputs(network, image.to(network_device(network)), grid)
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            # The last is how a vision transformer of torchvision refuses a size.
            raise ImageError(
                f"{model.name} does not run on {name} at {size} pixels ({brief(error)}); give another image, "
                f"or --short-side N"
            ) from error
    main = dense_output(found, model.name, grid, asked, len(model.labels))
    if main is None or found[main].ndim != 4 or found[main].shape[-2:] != grid:
        called = f"the output {main!r} of {model.name}" if main else f"the output of {model.name}"
        shape = "no map" if main is None else "×".join(map(str, found[main].shape))
        raise ModelError(
            f"{called} is {shape}, not 1×K×{size}: no stream at its input's size; see netviz dense for classifiers "
            f"and coarse maps"
        )
    wanted = found if asked is None else asked_for(found, model.name, asked)
    streams = {key: one for key, one in wanted.items() if one.shape == found[main].shape}
    for key, one in streams.items():
        if not torch.isfinite(one).all():
            raise ModelError(
                f"the output {key!r} of {model.name} holds NaN or infinity on {name}; check the network's weights"
            )
    return (
        {stream_name(key): _array(one) for key, one in streams.items()},
        {f"added_{key}": _array(one) for key, one in added.items() if key in streams},
        main if len(streams) < len(found) else "",
    )


def stream_name(name: str) -> str:
    """Return what the stream of an output is called, also in a file: never as another of its arrays."""
    name = name or "out"
    name = f"out{name}" if name.isdecimal() else name
    return f"{name}_" if name in _TAKEN else name


def _array(values: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values[0].float().cpu().numpy()
    return found


def _outputs(
    network: nn.Module, image: Tensor, grid: tuple[int, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a network's streams by name, and the scores that each adds to the coarser one, if it tells."""
    if isinstance(network, SkipNetwork):
        return _skips(network, image, grid)
    if isinstance(network, HED):
        sides = network.streams(image)
        names = [*(f"side{number}" for number in range(1, len(sides))), "fused"]
        return dict(zip(names, sides, strict=True)), {}
    return named_tensors(network(image.clone())), {}


def _skips(
    network: SkipNetwork, image: Tensor, grid: tuple[int, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the streams of a network with skips, and each one's own scores, from one run of its backbone."""
    sums = network.coarse(image)
    size = image.shape[2], image.shape[3]
    streams, added = {}, {}
    before: Tensor | None = None
    for tap in network.taps:
        scores = sums[tap.stream]
        streams[tap.stream] = to_image(scores, tap, size, grid)
        places = scores.shape[2], scores.shape[3]
        added[tap.stream] = scores if before is None else scores - network.step[tap.stream](before, places)
        before = scores
    return streams, added


def _taps(network: nn.Module) -> dict[str, Tap]:
    """Say which layers the streams of a network with skips score, and where their positions lie."""
    if not isinstance(network, SkipNetwork):
        return {}
    return {
        tap.stream: {"layer": tap.layer, "stride": tap.stride, "center": list(tap.center)}
        for tap in network.taps
    }


def coarse_to_fine(names: Sequence[str]) -> tuple[str, ...]:
    """Order streams for the eye: by falling stride (32s, 16s) or depth (side5, side4), the final one last."""

    def place(name: str) -> tuple[int, int]:
        if name in ("fused", "out"):
            return 1, 0
        number = re.fullmatch(r"(\d+)s|side(\d+)", name)
        return 0, -int(number[1] or number[2]) if number else 0

    return tuple(sorted(names, key=place))
