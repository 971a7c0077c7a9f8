"""Occlusion for all units of many layers at once: each forward pass is read at every unit's own position.

A unit does not change when something outside of its receptive field does. So where fields are small, one pass takes
many occluders, so far apart that no field meets two of them: the passes are then as many as the places of the
occluder around one field, however large the image is.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import capture, channels_first, unwrap
from netviz.fields.geometry import Field
from netviz.fields.occlusion import TOLERANCE, grid
from netviz.models import Layer

SIDES = ((224, 224, 12), (75, 75, 12), (28, 32, 14), (14, 16, None))
"""For occluders from fine to coarse: image side over patch, over stride, and places from one occluder of a pass to
the next; in the last there is one alone."""

STILL = 1e-5
"""A change smaller than this share of the activation is the rounding of a forward pass."""

PIXELS = 16 * 224 * 224
"""How many pixels go through the network together."""

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Occluder:
    """A square that is moved over an image, alone or at many places at once.

    Attributes
    ----------
    patch : int
        Its side in pixels.
    tops, lefts : ndarray of int64
        First row and column of it at each place, in pixels; the last may hang over the border.
    stride : int
        From one place to the next, in pixels.
    apart : (int, int)
        From one occluder of a pass to the next, in places down and across.
    """

    patch: int
    stride: int
    tops: Places
    lefts: Places
    apart: tuple[int, int]

    @property
    def passes(self) -> int:
        """How many forward passes cover every place once."""
        return self.apart[0] * self.apart[1]

    def suits(self, field: Field) -> bool:
        """Return whether no unit with this field can meet two occluders of one pass."""
        known = field.status in ("exact", "upper_bound")
        places = (len(self.tops), len(self.lefts))
        return all(
            apart >= count or (known and math.ceil(size) + 1 <= apart * self.stride - self.patch + 1)
            for size, count, apart in zip(field.size, places, self.apart, strict=True)
        )

    def covered(self, number: int, size: tuple[int, int]) -> Tensor:
        """Return which pixels, (H, W), are covered in one of the passes."""
        rows, cols = (
            _reached(starts[first :: self.apart[axis]], self.patch, size[axis])
            for axis, (starts, first) in enumerate(
                zip((self.tops, self.lefts), divmod(number, self.apart[1]), strict=True)
            )
        )
        return torch.from_numpy(np.outer(rows, cols))


class Peaks(NamedTuple):
    """Where units of a layer are most active on one image.

    Attributes
    ----------
    units : ndarray of int64, shape (U,)
    values : ndarray of float32, shape (U,)
        Their activations there.
    rows, cols : ndarray of int64, shape (U,)
        The positions in the layer's map.
    """

    units: Places
    values: Floats
    rows: Places
    cols: Places


def choose_occluders(size: tuple[int, int]) -> list[Occluder]:
    """Return occluders from fine to coarse for an image of this height and width; the last suits every field."""
    side = math.sqrt(size[0] * size[1])
    found: list[Occluder] = []
    for patch_of, stride_of, limit in SIDES:
        patch = min(max(1, round(side / patch_of)), *size)
        stride = min(max(1, round(side / stride_of)), patch)
        tops, lefts = grid(size[0], patch, stride), grid(size[1], patch, stride)
        apart = (min(len(tops), limit or len(tops)), min(len(lefts), limit or len(lefts)))
        if not found or (patch, stride, apart) != (found[-1].patch, found[-1].stride, found[-1].apart):
            found.append(Occluder(patch, stride, tops, lefts, apart))
    return found


def find_positions(
    network: nn.Module, image: Tensor, units: Mapping[Layer, Sequence[int]]
) -> dict[Layer, Peaks]:
    """Run the network once on an image (1, C, H, W); return where some units of its layers are most active."""
    found: dict[Layer, Peaks] = {}

    def keep(layer: Layer, output: Tensor) -> None:
        maps = channels_first(layer, output)[0, list(units[layer])]
        values, places = maps.flatten(1).float().cpu().max(dim=1)
        rows, cols = np.divmod(places.numpy(), maps.shape[2])
        found[layer] = Peaks(np.asarray(units[layer], dtype=np.int64), values.numpy(), rows, cols)

    with capture(unwrap(network), list(units), reduce=keep) as run:
        run(image)
    return found


def find_changes(
    network: nn.Module,
    image: Tensor,
    baseline: Tensor,
    peaks: Mapping[Layer, Peaks],
    occluder: Occluder,
    report: Callable[[int], None] | None = None,
) -> dict[Layer, Floats]:
    """Cover an image and measure by how much the units of several layers change where they were most active.

    Parameters
    ----------
    network : nn.Module
        Left exactly as found; it runs no further than the last of these layers.
    image, baseline : Tensor of shape (1, C, H, W)
        On the network's device. Where an occluder is, the baseline is seen.
    peaks : mapping of Layer to Peaks
        Of this image.
    occluder : Occluder
        One that suits the fields of all these layers.
    report : callable, optional
        Called with how many passes were done after each batch.

    Returns
    -------
    dict of Layer to ndarray of float32, shape (U, rows, columns)
        The absolute change with an occluder at row r and column c of the first `apart` places, and at all that follow
        at this distance; a unit's field meets one of them at most.
    """
    size = (int(image.shape[2]), int(image.shape[3]))
    together = max(1, PIXELS // (size[0] * size[1]))
    rows: dict[Layer, list[Floats]] = {layer: [] for layer in peaks}
    with _Reader(unwrap(network), peaks) as read:
        together = _batch(read, image, baseline, occluder, min(together, occluder.passes))
        for first in range(0, occluder.passes, together):
            numbers = range(first, min(first + together, occluder.passes))
            for layer, values in read(_images(image, baseline, occluder, numbers)).items():
                rows[layer].append(values)
            if report is not None:
                report(len(numbers))
    changes = {}
    for layer, batches in rows.items():
        clean = peaks[layer].values
        with np.errstate(invalid="ignore"):
            change = _finite(np.abs(np.concatenate(batches) - clean)).T
        change[change < STILL * np.abs(clean)[:, None]] = 0
        changes[layer] = change.reshape(len(clean), *occluder.apart)
    return changes


class _Enough(Exception):
    """Everything that is wanted of a forward pass is there."""


class _Reader:
    """Runs the network as far as the last layer wanted, and reads every unit where it was most active."""

    def __init__(self, network: nn.Module, peaks: Mapping[Layer, Peaks]) -> None:
        self._peaks = peaks
        self._found: dict[Layer, Floats] = {}
        self._capture = capture(network, list(peaks), reduce=self._keep)

    def __enter__(self) -> Callable[[Tensor], dict[Layer, Floats]]:
        run = self._capture.__enter__()

        def read(images: Tensor) -> dict[Layer, Floats]:
            self._found = {}
            with contextlib.suppress(_Enough):
                run(images)
            return self._found

        return read

    def __exit__(self, *error: object) -> None:
        self._capture.__exit__(None, None, None)

    def _keep(self, layer: Layer, output: Tensor) -> None:
        peaks = self._peaks[layer]
        maps = channels_first(layer, output)
        units, rows, cols = (torch.from_numpy(one).to(maps.device) for one in (peaks[0], peaks[2], peaks[3]))
        self._found[layer] = maps[:, units, rows, cols].float().cpu().numpy()
        if len(self._found) == len(self._peaks):
            raise _Enough


def _batch(
    read: Callable[[Tensor], dict[Layer, Floats]],
    image: Tensor,
    baseline: Tensor,
    occluder: Occluder,
    together: int,
) -> int:
    """Return how many images may run together: one only where the network does otherwise on several."""
    if together == 1:
        return 1
    try:
        several = read(_images(image, baseline, occluder, range(together)))
    except (RuntimeError, ValueError, IndexError):
        return 1
    alone = read(_images(image, baseline, occluder, range(together - 1, together)))
    for layer, values in alone.items():
        if several[layer].shape != (together, *values.shape[1:]):
            return 1
        one, other = _finite(values[0]), _finite(several[layer][-1])
        room = TOLERANCE * max(float(np.abs(one).max(initial=0.0)), 1e-12)
        if not np.allclose(other, one, rtol=0, atol=room):
            return 1
    return together


def _images(image: Tensor, baseline: Tensor, occluder: Occluder, numbers: Sequence[int]) -> Tensor:
    size = (int(image.shape[2]), int(image.shape[3]))
    masks = torch.stack([occluder.covered(number, size) for number in numbers])[:, None]
    return torch.where(masks.to(image.device), baseline, image)


def _finite(values: Floats) -> Floats:
    """Put 0 for what is no finite number."""
    finite: Floats = np.where(np.isfinite(values), values, np.float32(0))
    return finite


def _reached(starts: Places, patch: int, length: int) -> NDArray[np.bool_]:
    reached = np.zeros(length, dtype=bool)
    for start in starts:
        reached[start : start + patch] = True
    return reached


def finest(
    occluders: Sequence[Occluder], fields: Mapping[Layer, Field]
) -> Iterator[tuple[Occluder, list[Layer]]]:
    """Yield each occluder with the layers that it is the first to suit."""
    waiting = dict(fields)
    for occluder in occluders:
        mine = [layer for layer, field in waiting.items() if occluder.suits(field)]
        for layer in mine:
            del waiting[layer]
        if mine:
            yield occluder, mine
