"""The empirical fields of all units of many layers at once, on the same few images: a gallery's measured fields.

Covered images are run, whole or where they changed, and read at every unit's own position.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import capture, channels_first, unwrap
from netviz.capture.memory import kept_memory
from netviz.capture.tape import Tape
from netviz.capture.watch import Key
from netviz.geometry.field import Field
from netviz.geometry.incremental.plan import Plan, UnfollowableError, clean_values
from netviz.geometry.incremental.points import Points, read_points
from netviz.geometry.occlusion import TOLERANCE, covering, grid
from netviz.models import Layer
from netviz.questions.field.empirical.average import (
    THRESHOLD,
    Alignment,
    Average,
    Box,
    Ints,
    Peaks,
    belonging,
    field_sizes,
    finite,
)
from netviz.questions.field.result import MeasuredResult

SIDES = ((224, 224, 12), (75, 75, 12), (28, 32, 14), (14, 16, None))
"""For occluders from fine to coarse: image side over patch, over stride, and places from one occluder of a pass to
the next; in the last there is one alone."""

STILL = 1e-5
"""A change smaller than this share of the activation is the rounding of a forward pass."""

PIXELS = 4 * 224 * 224
"""How many pixels go through the network together: maps of more leave the processor's caches before they are read."""

Floats = NDArray[np.float32]


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
    tops: Ints
    lefts: Ints
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
            covering(starts[first :: self.apart[axis]], self.patch, size[axis]).any(axis=1)
            for axis, (starts, first) in enumerate(
                zip((self.tops, self.lefts), divmod(number, self.apart[1]), strict=True)
            )
        )
        return torch.from_numpy(np.outer(rows, cols))


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


def find_changes(
    network: nn.Module,
    image: Tensor,
    baseline: Tensor,
    peaks: Mapping[Layer, Peaks],
    occluder: Occluder,
    report: Callable[[int], None] | None = None,
    tape: Tape | None = None,
) -> dict[Layer, Floats]:
    """Cover an image and measure by how much the units of several layers change where they were most active.

    With a tape, only what an occluder can change is computed again, one occluder after the other, where that takes
    less than half of the multiplications; two places are checked against full passes.

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
    tape : Tape, optional
        Of this network on this image. Its values are kept only where windows pay, by another pass.

    Returns
    -------
    dict of Layer to ndarray of float32, shape (U, rows, columns)
        The absolute change with an occluder at row r and column c of the first `apart` places, and at all that follow
        at this distance; a unit's field meets one of them at most.
    """
    if tape is not None:
        windows = _changes_of_windows(network, image, baseline, peaks, occluder, tape)
        if windows is not None:
            if report is not None:
                report(occluder.passes)
            return windows
    size = (int(image.shape[2]), int(image.shape[3]))
    together = max(1, PIXELS // (size[0] * size[1]))
    image, baseline = (one.contiguous(memory_format=torch.channels_last) for one in (image, baseline))
    rows: dict[Layer, list[Floats]] = {layer: [] for layer in peaks}
    with kept_memory(), _Reader(unwrap(network), peaks) as read:
        together = _batch(read, image, baseline, occluder, min(together, occluder.passes))
        for first in range(0, occluder.passes, together):
            numbers = range(first, min(first + together, occluder.passes))
            for layer, values in read(_images(image, baseline, occluder, numbers)).items():
                rows[layer].append(values)
            if report is not None:
                report(len(numbers))
    changes = {}
    for layer, batches in rows.items():
        change = _change(np.concatenate(batches), peaks[layer].values)
        changes[layer] = change.reshape(len(change), *occluder.apart)
    return changes


def _change(values: Floats, clean: Floats) -> Floats:
    """Return by how much units' values, (places, U), differ from the clean ones, (U, places)."""
    with np.errstate(invalid="ignore"):
        change: Floats = finite(np.abs(values - clean)).T
    change[change < STILL * np.abs(clean)[:, None]] = 0
    return change


WORTH = 0.5
"""Windows are run where they take at most this share of the multiplications of full passes."""

MANY = 64
"""Of more places than so many for each full pass not even a plan is made: that alone would take longer."""


def _changes_of_windows(
    network: nn.Module,
    image: Tensor,
    baseline: Tensor,
    peaks: Mapping[Layer, Peaks],
    occluder: Occluder,
    tape: Tape,
) -> dict[Layer, Floats] | None:
    """Return the same changes by running windows again, one occluder at a time; None where that does not serve."""
    keys = {layer: Key(layer.module, layer.function, layer.call) for layer in peaks}
    plain = all(layer.channel_axis == 1 and layer.arrangement is None for layer in peaks)
    if not plain or not all(key in tape.layers for key in keys.values()):
        return None
    numbers = {layer: tape.layers[key] for layer, key in keys.items()}
    grid, apart = (len(occluder.tops), len(occluder.lefts)), occluder.apart
    if math.prod(grid) > MANY * occluder.passes:
        return None
    # What a module only hands on, as dropout does, is one value of two layers.
    wanted = [(numbers[layer], Points(some.units, some.rows, some.cols)) for layer, some in peaks.items()]
    also = sorted({*numbers.values()})
    try:
        plan = Plan(tape, also[-1], occluder.tops, occluder.lefts, (occluder.patch,) * 2, also=also)
        full, shared = plan.work
        if shared > WORTH * full / math.prod(grid) * occluder.passes:
            return None
        values = clean_values(tape, network, image, plan.reads)
        found = read_points(plan, values, baseline, wanted)
    except UnfollowableError:
        return None
    alone = replace(occluder, apart=grid)
    with kept_memory(), _Reader(unwrap(network), peaks) as read:
        places = (math.prod(grid) // 2, math.prod(grid) - 1)
        truth = [read(_images(image, baseline, alone, [place])) for place in places]
    changes = {}
    for (layer, number), read_there in zip(numbers.items(), found, strict=True):
        there = read_there.reshape(math.prod(grid), -1)
        known = values[number][torch.isfinite(values[number])]
        room = TOLERANCE * max(float(known.abs().max()) if known.numel() else 0.0, 1e-12)
        if not all(
            np.allclose(there[place], one[layer][0], rtol=0, atol=room, equal_nan=True)
            for place, one in zip(places, truth, strict=True)
        ):
            return None
        each = _change(there, peaks[layer].values).reshape(-1, *grid)
        changes[layer] = np.zeros((len(each), *apart), np.float32)
        # Of the places that share one here a unit's field meets one at most.
        for top in range(0, grid[0], apart[0]):
            for left in range(0, grid[1], apart[1]):
                some = each[:, top : top + apart[0], left : left + apart[1]]
                changes[layer][:, : some.shape[1], : some.shape[2]] += some
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
        one, other = finite(values[0]), finite(several[layer][-1])
        room = TOLERANCE * max(float(np.abs(one).max(initial=0.0)), 1e-12)
        if not np.allclose(other, one, rtol=0, atol=room):
            return 1
    return together


def _images(image: Tensor, baseline: Tensor, occluder: Occluder, numbers: Sequence[int]) -> Tensor:
    size = (int(image.shape[2]), int(image.shape[3]))
    masks = torch.stack([occluder.covered(number, size) for number in numbers])[:, None]
    return torch.where(masks.to(image.device), baseline, image)


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


CELLS = 28
"""Squares of a saved map along its longer side, at most."""

_PIXELS = 1 << 20
"""Pixels of maps that are averaged together: of more each step would read from memory what the last has written."""


class Shot(NamedTuple):
    """One image: where the units of a layer are most active, and how much they change under the occluder."""

    peaks: Peaks
    changes: Floats


def window(alignment: Alignment) -> Box:
    """Return the rows and columns, [top, left, bottom, right], that a field takes when its middle is the image's."""
    spans = []
    for axis, length in enumerate(alignment.size):
        reach = math.ceil(alignment.field.size[axis] / 2) + 1 if alignment.local(axis) else length
        spans.append((max(0, length // 2 - reach), min(length, length // 2 + reach + 1)))
    (top, bottom), (left, right) = spans
    return top, left, bottom, right


def averages(
    alignment: Alignment, occluder: Occluder, shots: Sequence[Shot]
) -> Iterator[tuple[Floats, Ints]]:
    """Average the changes of units over images, some units at a time.

    Parameters
    ----------
    alignment : Alignment
    occluder : Occluder
    shots : sequence of Shot
        Of the same units, an image each; those that do not activate a unit do not count for it.

    Yields
    ------
    maps : ndarray of float32, shape (units, height, width)
        Of the next units, in the `window`.
    used : ndarray of int64, shape (units,)
        How many images count.
    """
    starts = (occluder.tops, occluder.lefts)
    rows, cols = (np.arange(len(one)) % apart for one, apart in zip(starts, occluder.apart, strict=True))
    units = len(shots[0].peaks.units)
    top, left, bottom, right = window(alignment)
    together = max(1, _PIXELS // ((bottom - top) * (right - left)))
    for first in range(0, units, together):
        some = slice(first, min(first + together, units))
        average = Average(alignment, some.stop - first, (top, left, bottom, right), np.float32)
        for peaks, changes in shots:
            which = np.flatnonzero(peaks.active[some])
            own = peaks.some(first + which)
            positions = list(zip(own.rows.tolist(), own.cols.tolist(), strict=True))
            if positions:
                everywhere = changes[first + which][:, rows][:, :, cols]
                average.add(which, positions, everywhere, starts, occluder.patch)
        yield average.maps().astype(np.float32, copy=False), average.used


def measured_result(
    alignment: Alignment, occluder: Occluder, shots: Sequence[Shot], facts: dict[str, object]
) -> MeasuredResult:
    """Measure the fields of a layer's units.

    Parameters
    ----------
    alignment : Alignment
    occluder : Occluder
    shots : sequence of Shot
        One for each image.
    facts : dict
        What else `MeasuredResult` says.
    """
    top, left, bottom, right = window(alignment)
    cell = max(1, math.ceil(max(bottom - top, right - left) / CELLS))
    middle = (alignment.size[0] // 2 - top, alignment.size[1] // 2 - left)
    found: list[tuple[Floats, ...]] = []
    used = []
    for maps, images in averages(alignment, occluder, shots):
        found.append(_measures(maps, middle, cell))
        used.append(images)
    sizes, offsets, largest, small = (np.concatenate(one) for one in zip(*found, strict=True))
    values = np.stack([np.where(shot.peaks.active, shot.peaks.values, 0) for shot in shots])
    field = alignment.field
    return MeasuredResult(
        units=shots[0].peaks.units,
        sizes=sizes,
        offsets=offsets,
        largest=largest,
        activations=values.max(axis=0).astype(np.float32),
        used=np.concatenate(used).astype(np.int16),
        maps=small.astype(np.uint8),
        theoretical=np.array([field.size, field.stride, field.start], dtype=np.float64),
        status=field.status,
        reason=field.reason,
        map_shape=alignment.map_shape,
        input_shape=alignment.size,
        cell=cell,
        corner=(-middle[0], -middle[1]),
        patch=occluder.patch,
        stride=occluder.stride,
        threshold=THRESHOLD,
        **facts,  # type: ignore[arg-type]
    )


def _measures(maps: Floats, middle: tuple[int, int], cell: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return sizes, offsets, largest changes, and maps (U, rows, columns) in 255ths of these."""
    count, height, width = maps.shape
    largest = maps.reshape(count, -1).max(axis=1)
    counted = belonging(maps)
    sizes = field_sizes(counted)
    some = np.where(sizes > 0, counted.sum(axis=(1, 2)), np.nan)
    offsets = np.stack(
        [
            (counted.sum(axis=2) @ np.arange(height)) / some - middle[0],
            (counted.sum(axis=1) @ np.arange(width)) / some - middle[1],
        ],
        axis=1,
    )
    rows, cols = math.ceil(height / cell), math.ceil(width / cell)
    padded = np.zeros((count, rows * cell, cols * cell), dtype=np.float32)
    padded[:, :height, :width] = maps
    small = padded.reshape(count, rows, cell, cols, cell).mean(axis=(2, 4), dtype=np.float64)
    shares = np.rint(255 * small / np.where(largest > 0, largest, 1)[:, None, None])
    return (
        np.where(sizes > 0, sizes, np.nan).astype(np.float32),
        offsets.astype(np.float32),
        largest.astype(np.float32),
        shares.astype(np.float32),
    )
