"""The empirical receptive field: its definition, whichever covered images are run to find it.

Zhou et al., "Object Detectors Emerge in Deep Scene CNNs", ICLR 2015, section 3.2. An occluder of random colours is
laid over an image at many places. A unit's discrepancy is the absolute change of its activation at the position where
it is most active. Each pixel of the unit's theoretical field gets the mean discrepancy over the places of the
occluder that cover it. These maps are shifted so that the middle of the theoretical field at that position lies in
the middle of the image, and averaged over the images that activate the unit; where fewer than half of them reach,
the mean is 0. The field is what is left at `THRESHOLD` of the largest mean and above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import capture, channels_first, unwrap
from netviz.geometry.field import Field
from netviz.geometry.occlusion import covering
from netviz.images import normalize
from netviz.models import Layer, Preprocessing

THRESHOLD = 0.25
"""A pixel belongs to a unit's field where the mean discrepancy is at least this share of its peak."""

Ints = NDArray[np.int64]

Floats = NDArray[np.floating[Any]]

Box = tuple[int, int, int, int]
"""Top, left, bottom, right (half-open), in pixels."""


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

    units: Ints
    values: NDArray[np.float32]
    rows: Ints
    cols: Ints

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which activations are positive numbers, (U,)."""
        return np.isfinite(self.values) & (self.values > 0)

    def some(self, which: Any) -> "Peaks":
        """Return the peaks of some of the units, by their places in these arrays."""
        return Peaks(*(one[which] for one in self))


def find_peaks(network: nn.Module, image: Tensor, units: Mapping[Layer, Sequence[int]]) -> dict[Layer, Peaks]:
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


def random_colours(size: tuple[int, int], preprocessing: Preprocessing, seed: int, number: int) -> Tensor:
    """Return what occluders of one image show, (1, C, H, W): random colours, as the network takes them."""
    generator = np.random.default_rng([seed, number])
    channels = max(preprocessing.channels, 3 if preprocessing.channels == 1 else 0)
    pixels = generator.integers(0, 256, (*size, channels), dtype=np.uint8)
    return normalize(pixels, preprocessing)


@dataclass(frozen=True)
class Alignment:
    """How maps of a layer's units come to lie on each other: by the middles of their theoretical fields.

    Attributes
    ----------
    field : Field
        The layer's theoretical field.
    map_shape, size : (int, int)
        Height and width of the layer's maps, in positions, and of the network's input, in pixels.
    """

    field: Field
    map_shape: tuple[int, int]
    size: tuple[int, int]

    def box(self, row: int, col: int) -> Box:
        """Return the pixels that a unit sees at a position: all of them where that is not known."""
        if self.field.status == "unknown":
            return 0, 0, *self.size
        return self.field.clipped(row, col, *self.size)

    def local(self, axis: int) -> bool:
        """Return whether a position's field has a place along an axis: not if all see all of it, or it is unknown."""
        if self.field.status in ("global", "unknown"):
            return False
        return self.field.stride[axis] != 0 or self.field.size[axis] < self.size[axis]

    def shift(self, row: int, col: int) -> tuple[int, int]:
        """Return by how many pixels the middle of what a position sees must move to lie in the image's middle.

        A field without a place has its middle as far along the image as the position is along the map.
        """
        place = self.field.place
        y, x = (
            (place or self.field).center(row, col)[axis]
            if place is not None or self.local(axis)
            else (at + 0.5) * self.size[axis] / self.map_shape[axis] - 0.5
            for axis, at in enumerate((row, col))
        )
        return self.size[0] // 2 - round(y), self.size[1] // 2 - round(x)

    def places(self, positions: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
        """Return `box` and `shift` of positions, (U, 4) and (U, 2): many units are most active at the same."""
        once = {one: (*self.box(*one), *self.shift(*one)) for one in set(positions)}
        found = np.array([once[one] for one in positions], dtype=np.int64).reshape(-1, 6)
        return found[:, :4], found[:, 4:]


WAITING = 1 << 26
"""Bytes that images take at most before they are added to an average."""


class _Added(NamedTuple):
    """One image's share of an average.

    Attributes
    ----------
    which : ndarray of int64, shape (U,)
        Of which units.
    down : ndarray, shape (U, h, rows)
        What each row of the occluder's places counts for a row of the map.
    across : ndarray, shape (U, rows, w)
        The discrepancy of each row of places, by columns of the map.
    rows, cols : ndarray of float32, shapes (U, h) and (U, w)
        1 where the image reaches, else 0.
    """

    which: Ints
    down: Floats
    across: Floats
    rows: NDArray[np.float32]
    cols: NDArray[np.float32]


class Average:
    """The mean discrepancy of several units of a layer, image after image.

    Parameters
    ----------
    alignment : Alignment
    count : int
        How many units.
    window : (int, int, int, int)
        The part of the image in which their fields lie once they are in its middle; nothing else is kept.
    dtype : numpy.dtype
        In which is summed.
    """

    def __init__(self, alignment: Alignment, count: int, window: Box, dtype: type[np.floating[Any]]) -> None:
        self._alignment, self._dtype = alignment, dtype
        top, left, bottom, right = window
        self._spans = (np.arange(top, bottom), np.arange(left, right))
        self._total = np.zeros((count, bottom - top, right - left), dtype=dtype)
        self._seen = np.zeros(self._total.shape, dtype=np.float32)
        self._waiting: list[_Added] = []
        self.used = np.zeros(count, dtype=np.int64)
        """On how many images each unit was measured."""

    def add(
        self,
        which: Ints,
        positions: Sequence[tuple[int, int]],
        changes: Floats,
        starts: tuple[Ints, Ints],
        patch: int,
    ) -> None:
        """Add one image.

        Parameters
        ----------
        which : ndarray of int64, shape (U,)
            The units that it activates, by their places in this average; none twice.
        positions : sequence of (int, int)
            Row and column in the map at which each was read.
        changes : ndarray of float, shape (U, rows, columns)
            The discrepancy of each for every place of the occluder.
        starts : (ndarray of int64, ndarray of int64)
            First row and first column of the occluder at these places, in pixels. They cover all that the units see.
        patch : int
            Side of the occluder in pixels.
        """
        boxes, shifts = self._alignment.places(positions)
        shares, inside = [], []
        for axis, length in enumerate(self._alignment.size):
            at = self._spans[axis] - shifts[:, axis, None]
            there = (at >= 0) & (at < length)
            # A patch on the field's edge covers pixels outside of it, which cannot be what changed the unit.
            own = there & (at >= boxes[:, axis, None]) & (at < boxes[:, axis + 2, None])
            covers = covering(starts[axis], patch, length).astype(self._dtype)
            shares.append(covers[np.clip(at, 0, length - 1)] * own[..., None])
            inside.append(there.astype(np.float32))
        across = changes.astype(self._dtype, copy=False) @ shares[1].swapaxes(1, 2)
        self._waiting.append(_Added(which, shares[0], across, inside[0], inside[1]))
        self.used[which] += 1
        if sum(one.down.nbytes + one.across.nbytes for one in self._waiting) > WAITING:
            self._sum()

    def _sum(self) -> None:
        """Add what waits to the maps: one product for all images, which reads and writes these once."""
        if not self._waiting:
            return
        units = np.unique(np.concatenate([one.which for one in self._waiting]))
        places = np.cumsum([0, *(one.down.shape[2] for one in self._waiting)])
        height, width = self._total.shape[1:]
        down = np.zeros((len(units), height, places[-1]), dtype=self._dtype)
        across = np.zeros((len(units), places[-1], width), dtype=self._dtype)
        rows = np.zeros((len(units), height, len(self._waiting)), dtype=np.float32)
        cols = np.zeros((len(units), len(self._waiting), width), dtype=np.float32)
        for number, one in enumerate(self._waiting):
            mine, some = np.searchsorted(units, one.which), slice(places[number], places[number + 1])
            down[mine, :, some], across[mine, some] = one.down, one.across
            rows[mine, :, number], cols[mine, number] = one.rows, one.cols
        self._total[units] += down @ across
        self._seen[units] += rows @ cols
        self._waiting.clear()

    def maps(self) -> Floats:
        """Return the mean discrepancy in the window, (units, h, w); 0 where fewer than half of the images reach."""
        self._sum()
        mean = self._total / np.maximum(self._seen, 1).astype(self._dtype, copy=False)
        mean[self._seen * 2 < self.used[:, None, None]] = 0
        return mean


def finite(changes: Floats) -> Floats:
    """Return changes with 0 for what is no finite number."""
    return np.where(np.isfinite(changes), changes, changes.dtype.type(0))


def belonging(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which pixels of mean discrepancies (U, H, W) belong to the field: none of a unit that never changed."""
    largest = maps.max(axis=(1, 2), keepdims=True, initial=0)
    counted: NDArray[np.bool_] = (maps >= THRESHOLD * largest) & (largest > 0)
    return counted


def field_sizes(counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the side of a square as large as what belongs to each field, (U,), in pixels; 0 if nothing does."""
    sizes: NDArray[np.float64] = np.sqrt(counted.sum(axis=(1, 2)).astype(np.float64))
    return sizes
