"""Which units of a layer decide: each unit's share in a class score, and what the score becomes without it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.capture import Tape, channels_first, wide
from netviz.capture.outputs import tensor_named
from netviz.capture.watch import Key
from netviz.engines import Progress
from netviz.errors import LayerError, ModelError
from netviz.geometry.ablation import Ablator, Tail
from netviz.geometry.field import Field
from netviz.geometry.incremental.plan import UnfollowableError
from netviz.images import ImageLike, as_shown, read_image
from netviz.models import Layer, ModelSpec
from netviz.questions.classes import class_label, class_scores, find_class, scores_on
from netviz.questions.duration import warn_if_long
from netviz.questions.opening import ImageOptions, Opened, layers, open_model
from netviz.questions.votes.result import VotesResult

TO = ("zero", "mean")


def votes(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    class_: str | int | None = None,
    layer: str | None = None,
    to: str = "zero",
    top: int = 6,
    output: str | int | None = None,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> VotesResult:
    """Measure each unit's share in a class score, and what the score becomes without the unit.

    A share is activation times gradient of the score, summed over the unit's map: a first-order estimate of what the
    score would lose without it, and exact where the score is linear in the layer's output. What the score becomes is
    measured, by putting one unit after the other to 0 or to its mean.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    class_ : str or int, optional
        The class: its name or its index; by default the one with the highest score.
    layer : str, optional
        Name, alias, glob, or ``-1`` for the last layer with maps; by default the last one before the scores whose
        maps are larger than 1×1.
    to : {"zero", "mean"}
        What a unit is put to: 0, or the mean over its map.
    top : int
        How many units are shown that vote for the class, and how many that vote against it, at most.
    output : str or int, optional
        Name or number of the output to take, of a network that returns several; by default its class scores are found
        (docs/models.md).
    progress : callable, optional
        Called with what is being done, how many units are done, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    VotesResult
        The score is the network's raw output, as for `netviz.occlusion`.

    Raises
    ------
    ImageError
        If the image cannot be read, or the network does not run on it.
    LayerError
        If there is no such layer, it has no maps, or the score does not come from it.
    ModelError
        If MODEL cannot be opened, cannot run, has no class scores, or has not this class.
    ValueError
        If `to` or `top` is out of range.

    References
    ----------
    Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative Localization", CVPR 2016.
    Morcos, Barrett, Rabinowitz and Botvinick, "On the importance of single directions for generalization", ICLR 2018.
    """
    check_to(to)
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    opened = open_model(model, **options)
    photo = as_shown(read_image(image), opened.preprocessing.bands)
    prepared = opened.prepare(photo)
    opened = at_size(opened, prepared.image.shape[:2])
    clean = prepared.tensor.to(opened.device)
    tape = opened.tape(clean, photo.name)
    scores = scores_on(opened, tape, "votes", output)
    chosen = find_class(class_, scores.values, opened.model)
    found = last_with_maps(opened, scores.tape, len(scores.values)) if layer is None else opened.layer(layer)
    ablator = Ablator(
        opened.network,
        found,
        clean,
        lambda returned: tensor_named(returned, scores.output),
        lambda target: class_scores(target)[:, chosen],
        tape=scores.tape,
        reserve=opened.reserve(clean, photo.name),
    )
    units = ablator.units
    slope = ablator.slope(lambda score: score)
    if not bool(torch.isfinite(units.output).all()):
        raise LayerError(
            f"layer {found.name} ({found.alias}) of {opened.model.name} gives NaN or infinity on {photo.name}"
        )
    share, beside = (one.numpy() for one in units.total(wide(units.output) * wide(slope)))
    offset = float(ablator.at(torch.zeros_like(units.output)))
    linear = ablator.tail is not None and ablator.tail.linear
    exact = linear and _adds_up(
        float(ablator.clean), float(share.sum()) + offset, float(np.abs(share).max(initial=0.0))
    )

    def foretell(seconds: float) -> None:
        each = f"{units.count} units of {found.name} on {photo.name} take {opened.model.name}"
        warn_if_long(seconds, each, "a later layer, or a smaller --size, makes it less")

    tell = None if progress is None else lambda done, total: progress(f"ablating {found.name}", done, total)
    ablation = ablator.run(units.to(to), slope=slope if exact else None, progress=tell, foretell=foretell)
    maps = units.maps.float().cpu().numpy()
    voted = channels_first(found, units.output * slope)[0].detach().float().cpu().numpy()
    shown, supporting = _shown(share, top)
    height, width = prepared.image.shape[:2]
    looked = _look(opened.fields.get(found, Field.unknown("")), maps.shape[1:], (height, width))
    peaks = _peaks(voted[shown], supporting)
    return VotesResult(
        share=share.astype(np.float32),
        beside=beside.astype(np.float32),
        ablated=ablation.values.float().cpu().numpy(),
        units=shown,
        maps=maps[shown],
        contributions=voted[shown],
        peaks=peaks,
        boxes=np.array([looked.box(*peak) for peak in peaks.tolist()], dtype=np.int64).reshape(-1, 4),
        image=prepared.image,
        network=opened.model.name,
        image_name=photo.name,
        **opened.provenance(photo, layer or ""),
        layer=found.name,
        alias=found.alias,
        layer_kind=found.kind,
        chosen=layer is None,
        channels=units.count,
        supporting=supporting,
        class_index=chosen,
        label=class_label(opened.model, chosen),
        called=scores.called,
        predicted=class_ is None and len(scores.values) > 1,
        score=float(ablator.clean),
        score_of=scores.what,
        to=to,
        offset=offset,
        exact=exact,
        unchanged=ablation.unchanged,
        center=looked.center,
        step=looked.step,
        patch_of=looked.patch_of,
        full_passes=ablation.why_full,
        output=scores.output,
    )


def check_to(to: str) -> None:
    """Refuse what no unit is put to.

    Raises
    ------
    ValueError
        Naming what there is.
    """
    if to not in TO:
        raise ValueError(f"to must be one of {', '.join(TO)}, not {to!r}")


def at_size(opened: Opened, size: Sequence[int]) -> Opened:
    """Return a network with its layers as they are for an image of this height and width."""
    shape = opened.index.input_shape
    if shape is not None and tuple(shape[1:]) != tuple(size):
        try:
            return replace(opened, index=layers(opened.model, size=(int(size[0]), int(size[1]))))
        except ModelError:
            return opened  # the pass itself tells why
    return opened


def last_with_maps(opened: Opened, tape: Tape, classes: int) -> Layer:
    """Return the last layer before the scores whose maps are larger than 1×1.

    Maps that are as many as there are classes are taken for the scores themselves before they are averaged, unless
    there are no others.

    Raises
    ------
    LayerError
        If there is none.
    """
    alike: Layer | None = None
    for found in reversed(list(opened.index)):
        if not found.spatial or found.shape is None or max(found.shape[1:]) == 1:
            continue
        if not _leads_on(tape, found):
            continue
        if found.channels != classes:
            return found
        alike = alike or found
    if alike is None:
        raise LayerError(
            f"no layer of {opened.model.name} before its scores has maps larger than 1×1; name one with --layer"
        )
    return alike


def _leads_on(tape: Tape, layer: Layer) -> bool:
    """Return whether functions of a layer's output give the scores, as far as can be told."""
    source = tape.layers.get(Key(layer.module, layer.function, layer.call))
    if source is None or tape.output is None or source == tape.output:
        return False
    try:
        return bool(Tail(tape, source, tape.output).nodes)
    except UnfollowableError:
        return bool(tape.trouble)


def _adds_up(score: float, found: float, largest: float) -> bool:
    return abs(score - found) <= 1e-4 * max(abs(score), largest, 1e-12)


def _shown(share: NDArray[np.float64], top: int) -> tuple[NDArray[np.int64], int]:
    """Return the units with the largest positive and the smallest negative shares, and how many the first are.

    If no unit votes at all, the first are shown.
    """
    order = np.argsort(-share, kind="stable")
    best = order[share[order] > 0][:top]
    worst = order[::-1][share[order[::-1]] < 0][:top]
    if not len(best) and not len(worst):
        best = order[:top]
    return np.concatenate([best, worst]).astype(np.int64), len(best)


def _peaks(voted: NDArray[np.float32], supporting: int) -> NDArray[np.int64]:
    """Return where each map votes most: the first ones for the class, the rest against it; (K, 2)."""
    signed = np.where(np.arange(len(voted))[:, None, None] < supporting, voted, -voted)
    places = signed.reshape(len(voted), -1).argmax(axis=1)
    return np.stack(np.unravel_index(places, voted.shape[1:]), axis=1).astype(np.int64)


@dataclass(frozen=True)
class _Look:
    """Where in an image the positions of a layer stand, and which part of it belongs to each."""

    center: tuple[float, float] | None
    step: tuple[float, float] | None
    patch_of: str
    box: Any


AROUND = 3
"""How many positions, along each axis, a patch holds where the field is as large as the image."""


def _look(field: Field, shape: Sequence[int], size: tuple[int, int]) -> _Look:
    place = field.place
    small = field.status in ("exact", "upper_bound") and all(
        side < length for side, length in zip(field.size, size, strict=True)
    )
    step = tuple(size[axis] / shape[axis] for axis in range(2)) if place is None else place.stride
    first = tuple(one / 2 - 0.5 for one in step) if place is None else place.center(0, 0)

    def box(row: int, col: int) -> tuple[int, int, int, int]:
        if small:
            top, left, bottom, right = field.clipped(row, col, *size)
        else:
            ends = []
            for at, start, stride in zip((row, col), first, step, strict=True):
                middle = start + at * stride + 0.5
                ends.append((round(middle - AROUND * stride / 2), round(middle + AROUND * stride / 2)))
            (top, bottom), (left, right) = ends
        # A field of which nothing lies in the image has the nearest pixel.
        top, left = (min(max(one, 0), length - 1) for one, length in zip((top, left), size, strict=True))
        bottom, right = (
            min(max(one, low + 1), length)
            for one, low, length in zip((bottom, right), (top, left), size, strict=True)
        )
        return top, left, bottom, right

    if place is None:
        return _Look(None, None, "field" if small else "positions", box)
    return _Look(_pair(first), _pair(step), "field" if small else "positions", box)


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
