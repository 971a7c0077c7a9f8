"""From the changes of units under occluders to their fields: laid on each other, averaged over images, measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.analysis.empirical import THRESHOLD
from netviz.analysis.empirical_maps import field_middle
from netviz.fields.geometry import Field
from netviz.fields.many_units import Floats, Occluder, Peaks
from netviz.results.measured import MeasuredResult

CELLS = 28
"""Squares of a saved map along its longer side, at most."""

_TOGETHER = 64

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Where a layer looks: its field, the size of its maps and that of the network's input."""

    field: Field
    map_shape: tuple[int, int]
    size: tuple[int, int]


class Shot(NamedTuple):
    """One image: where the units of a layer are most active, and how much they change under the occluder."""

    peaks: Peaks
    changes: Floats


def window(place: Place) -> tuple[int, int, int, int]:
    """Return the rows and columns, [top, left, bottom, right], that a field takes when its middle is the image's."""
    spans = []
    for length, extent in zip(place.size, place.field.size, strict=True):
        reach = length
        if place.field.status in ("exact", "upper_bound"):
            reach = math.ceil(extent / 2) + 1
        spans.append((max(0, length // 2 - reach), min(length, length // 2 + reach + 1)))
    (top, bottom), (left, right) = spans
    return top, left, bottom, right


def average(place: Place, occluder: Occluder, shots: Sequence[Shot]) -> Iterator[tuple[Floats, Numbers]]:
    """Average the changes of units over images, some units at a time.

    As `netviz.analysis.empirical.empirical_field` does: every pixel of a unit's field gets the mean change over the
    occluders that cover it, and these maps are laid on each other by the middles of the fields.

    Parameters
    ----------
    place : Place
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
    top, left, bottom, right = window(place)
    spans = (np.arange(top, bottom), np.arange(left, right))
    starts = (occluder.tops, occluder.lefts)
    covers = [_cover(starts[axis], occluder.patch, place.size[axis]) for axis in range(2)]
    wraps = [np.arange(len(starts[axis])) % occluder.apart[axis] for axis in range(2)]
    units = len(shots[0].peaks.units)
    for first in range(0, units, _TOGETHER):
        some = slice(first, min(first + _TOGETHER, units))
        count = some.stop - first
        total = np.zeros((count, len(spans[0]), len(spans[1])), dtype=np.float32)
        seen = np.zeros(total.shape, dtype=np.int16)
        used = np.zeros(count, dtype=np.int64)
        for peaks, changes in shots:
            active = is_active(peaks.values[some])
            middles, boxes = _looks(place, peaks.rows[some], peaks.cols[some])
            shares, inside = [], []
            for axis in range(2):
                shift = place.size[axis] // 2 - np.rint(middles[:, axis]).astype(np.int64)
                at = spans[axis] - shift[:, None]
                there = (at >= 0) & (at < place.size[axis]) & active[:, None]
                own = there & (at >= boxes[:, axis, None]) & (at < boxes[:, axis + 2, None])
                shares.append(covers[axis][np.clip(at, 0, place.size[axis] - 1)] * own[..., None])
                inside.append(there)
            values = changes[some][:, wraps[0]][:, :, wraps[1]]
            total += shares[0] @ values @ shares[1].swapaxes(1, 2)
            seen += inside[0][:, :, None] & inside[1][:, None, :]
            used += active
        total /= np.maximum(seen, 1)
        total[seen * 2 < used[:, None, None]] = 0
        yield total, used


def is_active(values: Floats) -> NDArray[np.bool_]:
    """Return which activations are positive numbers."""
    return np.isfinite(values) & (values > 0)


def measured_result(
    place: Place, occluder: Occluder, shots: Sequence[Shot], facts: dict[str, object]
) -> MeasuredResult:
    """Measure the fields of a layer's units.

    Parameters
    ----------
    place : Place
    occluder : Occluder
    shots : sequence of Shot
        One for each image.
    facts : dict
        What else `MeasuredResult` says.
    """
    top, left, bottom, right = window(place)
    cell = max(1, math.ceil(max(bottom - top, right - left) / CELLS))
    middle = (place.size[0] // 2 - top, place.size[1] // 2 - left)
    found: list[tuple[Floats, ...]] = []
    used = []
    for maps, images in average(place, occluder, shots):
        found.append(_measures(maps, middle, cell))
        used.append(images)
    sizes, offsets, largest, small = (np.concatenate(one) for one in zip(*found, strict=True))
    values = np.stack([np.where(is_active(shot.peaks.values), shot.peaks.values, 0) for shot in shots])
    field = place.field
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
        map_shape=place.map_shape,
        input_shape=place.size,
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
    counted = (maps >= THRESHOLD * largest[:, None, None]) & (largest > 0)[:, None, None]
    pixels = counted.sum(axis=(1, 2)).astype(np.float64)
    some = np.where(pixels > 0, pixels, np.nan)
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
        np.sqrt(some).astype(np.float32),
        offsets.astype(np.float32),
        largest.astype(np.float32),
        shares.astype(np.float32),
    )


def _cover(starts: Numbers, patch: int, length: int) -> Floats:
    """Return what each place counts in the mean over those that cover a pixel of an axis, (length, places)."""
    at = np.arange(length)[:, None]
    covered = (at >= starts) & (at < starts + patch)
    shares: Floats = (covered / np.maximum(covered.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    return shares


def _looks(place: Place, rows: Numbers, cols: Numbers) -> tuple[NDArray[np.float64], Numbers]:
    """Return the middles (U, 2) of what units see at positions, and their boxes (U, 4) inside the image."""
    positions = list(zip(rows.tolist(), cols.tolist(), strict=True))
    middles = [field_middle(place.field, one, place.map_shape, place.size) for one in positions]
    whole = (0, 0, *place.size)
    known = place.field.status != "unknown"
    boxes = [place.field.clipped(*one, *place.size) if known else whole for one in positions]
    return np.array(middles, dtype=np.float64), np.array(boxes, dtype=np.int64)
