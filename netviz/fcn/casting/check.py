"""How far the cells of a cast network are from the classifier on the crops that they stand for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import evaluation, unwrap
from netviz.capture.tensors import tensors_in, wide
from netviz.capture.trace import network_device, network_dtype
from netviz.capture.watch import forward
from netviz.errors import ImageError, ModelError
from netviz.fcn.casting.cast import WHOLE, cast, cast_field, native_size
from netviz.models import Model, load

_BATCH = 8


@dataclass(frozen=True)
class CastCheck:
    """Each cell of a cast network beside the classifier on its crop.

    Attributes
    ----------
    deviation : ndarray of float64, shape (h, w)
        The largest difference over all classes, relative to the range of the classifier's scores on the crop; NaN
        where the crop does not lie in the image.
    agrees : ndarray of bool, shape (h, w)
        Whether both name the same class.
    border : ndarray of int64, shape (h, w)
        How many whole strides lie between the crop and the nearest border of the image; -1 where it is outside.
    native : float
        The deviation at the native size itself, on the image's first crop alone: rounding, no more.
    by_border : tuple of dict
        For each value of `border`: ``strides``, ``cells``, ``mean`` and ``largest`` deviation, ``agree`` (share).
    input_size, image_size : (int, int)
        Height and width of a crop and of the image, in pixels.
    stride, field : (float, float)
        Of a cell, in pixels; the field is along the way of the maps, see `cast_field`.
    whole : int
        How many values the network takes of the whole image to weigh its maps by.
    """

    deviation: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    border: NDArray[np.int64]
    native: float
    by_border: tuple[dict[str, Any], ...]
    input_size: tuple[int, int]
    image_size: tuple[int, int]
    stride: tuple[float, float]
    field: tuple[float, float]
    whole: int


def cast_check(
    network: nn.Module | Model | str,
    image: Tensor,
    *,
    input_size: tuple[int, int] | int | None = None,
    converted: nn.Module | None = None,
) -> CastCheck:
    """Compare each cell of a cast network on a larger image with the classifier on the crop that it stands for.

    Cell (i, j) stands for the crop of the native size that begins i and j strides on; the stride is Geometry's.
    Crops that reach over the image's border, where a padded last cell has some, are left out.

    Parameters
    ----------
    network : nn.Module, Model or str
        The classifier; left exactly as it is.
    image : Tensor of shape (1, C, H, W)
        As the network wants it (normalized), at least as large as its native size.
    input_size : (int, int) or int, optional
        As for `cast`.
    converted : nn.Module, optional
        What `cast` made of the network, where that is there already.

    Returns
    -------
    CastCheck

    Raises
    ------
    ModelError
        If the network cannot be cast, or is no classifier.
    ImageError
        If the image is no single image of the network's channels, or too small.
    """
    model = load(network)
    native = native_size(model, input_size)
    if (
        image.ndim != 4
        or image.shape[0] != 1
        or any(side < least for side, least in zip(image.shape[2:], native, strict=True))
    ):
        raise ImageError(
            f"the image is {'×'.join(map(str, image.shape))}; give one, (1, C, H, W), of at least "
            f"{native[0]}×{native[1]} pixels"
        )
    original = unwrap(model.runnable())
    dense = cast(model, input_size=native) if converted is None else converted
    image = image.to(network_device(original), network_dtype(original))
    first = image[..., : native[0], : native[1]]
    with torch.no_grad(), evaluation(original), evaluation(dense):
        cells = _cells(dense, image)
        wanted = _scores(original, first, cells.shape[0])
        alone = _cells(dense, first)
        if alone.shape[1:] != (1, 1):
            raise ModelError(f"{model.name} is no classifier: it gives maps at {native[0]}×{native[1]}")
        deviation, agrees, border, field = _compare(original, dense, image, cells, native)
    return CastCheck(
        deviation=deviation,
        agrees=agrees,
        border=border,
        native=float(_relative(alone[:, 0, 0][None], wanted)[0]),
        by_border=tuple(_groups(deviation, agrees, border)),
        input_size=native,
        image_size=(int(image.shape[2]), int(image.shape[3])),
        stride=field[0],
        field=field[1],
        whole=len(getattr(dense, "meta", {}).get(WHOLE, ())),
    )


def _compare(
    original: nn.Module, dense: nn.Module, image: Tensor, cells: Tensor, native: tuple[int, int]
) -> tuple[Any, Any, Any, Any]:
    """Return deviation, agreement and distance from the border of each cell; and (stride, size) of its field."""
    sides = (int(image.shape[2]), int(image.shape[3]))
    # At least two cells each way, so that the maps' rows and columns are seen to move with the image's.
    field = cast_field(dense, tuple(max(side, 2 * least) for side, least in zip(sides, native, strict=True)))  # type: ignore[arg-type]
    shape = (int(cells.shape[1]), int(cells.shape[2]))
    deviation, agrees = np.full(shape, np.nan), np.zeros(shape, bool)
    border = np.full(shape, -1, np.int64)
    if field.status not in ("exact", "upper_bound") or not all(field.stride):
        raise ModelError(
            f"the cells cannot be placed on the image: {field.reason or 'each sees all of it'}; use another network"
        )
    places = []
    for row, column in np.ndindex(*shape):
        at = tuple(round(place * step) for place, step in zip((row, column), field.stride, strict=True))
        room = [side - least - start for side, least, start in zip(sides, native, at, strict=True)]
        if min(room) >= 0:
            places.append((row, column, *at))
            gaps = [
                min(start, left) // step for start, left, step in zip(at, room, field.stride, strict=True)
            ]
            border[row, column] = int(min(gaps))
    for start in range(0, len(places), _BATCH):
        chosen = places[start : start + _BATCH]
        crops = torch.cat(
            [image[..., top : top + native[0], left : left + native[1]] for *_, top, left in chosen]
        )
        wanted = _scores(original, crops, cells.shape[0])
        found = torch.stack([cells[:, row, column] for row, column, *_ in chosen])
        rows, columns = [place[0] for place in chosen], [place[1] for place in chosen]
        deviation[rows, columns] = _relative(found, wanted)
        agrees[rows, columns] = (found.argmax(dim=1) == wanted.argmax(dim=1)).cpu().numpy()
    return deviation, agrees, border, (field.stride, field.size)


def _relative(found: Tensor, wanted: Tensor) -> NDArray[np.float64]:
    """Return the largest difference of each row, relative to the range of what is wanted."""
    span = wide(wanted.amax(dim=1) - wanted.amin(dim=1)).clamp_min(torch.finfo(wanted.dtype).tiny)
    relative: NDArray[np.float64] = (wide((found - wanted).abs().amax(dim=1)) / span).numpy()
    return relative


def _cells(dense: nn.Module, image: Tensor) -> Tensor:
    found = next((one for one in tensors_in(forward(dense, image)) if one.ndim == 4), None)
    if found is None:
        raise ModelError(f"{type(dense).__name__} gives no maps; give what cast returned")
    return found[0]


def _scores(original: nn.Module, crops: Tensor, classes: int) -> Tensor:
    for one in tensors_in(forward(original, crops)):
        if one.shape[0] == len(crops) and one[0].numel() == classes:
            return one.reshape(len(crops), -1)
    raise ModelError(
        f"{type(original).__name__} is no classifier: it does not give {classes} scores for a crop"
    )


def _groups(
    deviation: NDArray[np.float64], agrees: NDArray[np.bool_], border: NDArray[np.int64]
) -> Iterator[dict[str, Any]]:
    for strides in np.unique(border[border >= 0]):
        here = border == strides
        yield {
            "strides": int(strides),
            "cells": int(here.sum()),
            "mean": float(deviation[here].mean()),
            "largest": float(deviation[here].max()),
            "agree": float(agrees[here].mean()),
        }
