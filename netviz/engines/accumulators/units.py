"""What every unit does over a set of images: its best positions, its statistics, a sample of its values."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.accumulators.elsewhere import Wish, look_up, reduce_all
from netviz.engines.accumulators.positions import (
    Box,
    Extent,
    Places,
    Reduced,
    first_windows,
    largest,
    reduced,
    spread,
    windows,
)
from netviz.engines.accumulators.sample import Exchange, Sample, below, position_hashes
from netviz.engines.accumulators.sums import ExactSum
from netviz.engines.accumulators.top import Top
from netviz.engines.batches import Batch
from netviz.engines.compiled import compiled_for, kernels
from netviz.engines.job import NotFiniteError, Seen
from netviz.errors import ModelError
from netviz.models import Layer


@dataclass(frozen=True)
class UnitsQuery:
    """What `Units` measures.

    Attributes
    ----------
    layers : tuple of Layer
        In running order; each with maps.
    windows : tuple of (int, int)
        For each layer, how many rows and columns of a map are kept around a position.
    top : int
        How many positions each unit keeps.
    per_image : int
        How many of these may come from one image.
    sample : int
        At how many random positions the values of all units are kept.
    classes : tuple of int
        For each image the number of its class; empty if there are none.
    per_class : int
        How many positions each unit keeps for each class.
    boxes : tuple of (callable or None)
        For each layer which pixels of the network's input a position sees; None for all. For `apart` and `inside`.
    apart : bool
        Whether positions of one image may be kept only where their fields overlap by less than a quarter.
    inside : tuple of (True or None)
        For each layer whether only positions are kept whose field lies inside the image, None where it has none; by
        default of none.
    """

    layers: tuple[Layer, ...]
    windows: tuple[tuple[int, int], ...]
    top: int = 9
    per_image: int = 1
    sample: int = 1024
    classes: tuple[int, ...] = ()
    per_class: int = 0
    boxes: tuple[Box | None, ...] = ()
    apart: bool = False
    inside: tuple[bool | None, ...] = ()


class LayerUnits:
    """The accumulators of one layer but for the sums.

    Attributes
    ----------
    top : Top
        Every entry carries ``size``, height and width of its image, and ``window``, the unit's map around the
        position as shares of the score, with ``start``, the window's first row and column.
    by_class : Top or None
        One row per unit and class.
    sample : Sample
    peak : ndarray of float32, shape (units,)
        Largest value.
    nonzero : ndarray of int64, shape (units,)
        How many values are not 0.
    """

    def __init__(self, query: UnitsQuery, at: int) -> None:
        units = query.layers[at].channels
        extra: dict[str, tuple[tuple[int, ...], Any]] = {
            "size": ((2,), np.int32),
            "start": ((2,), np.int32),
            "window": (query.windows[at], np.float16),
        }
        self.top = Top(units, query.top, extra)
        self.classes = max(query.classes, default=-1) + 1 if query.per_class else 0
        self.by_class = Top(units * self.classes, query.per_class, extra) if self.classes else None
        self.sample = Sample(query.sample, units)
        self.peak = np.full(units, -np.inf, dtype=np.float32)
        self.nonzero = np.zeros(units, dtype=np.int64)

    def merge(self, other: "LayerUnits") -> None:
        """Merge what another found in other images."""
        self.top.merge(other.top)
        if self.by_class is not None and other.by_class is not None:
            self.by_class.merge(other.by_class)
        self.sample.merge(other.sample)
        self.peak = np.maximum(self.peak, other.peak)
        self.nonzero += other.nonzero

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        parts = {"top": self.top.state(), "sample": self.sample.state()}
        if self.by_class is not None:
            parts["class"] = self.by_class.state()
        flat = {f"{part}/{name}": value for part, state in parts.items() for name, value in state.items()}
        return {**flat, "peak": self.peak, "nonzero": self.nonzero}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.top.restore(_under(state, "top"))
        self.sample.restore(_under(state, "sample"))
        if self.by_class is not None:
            self.by_class.restore(_under(state, "class"))
        self.peak, self.nonzero = state["peak"].copy(), state["nonzero"].copy()


@dataclass(frozen=True)
class _Seen:
    """What one layer gave on one batch, reduced while its output was there."""

    maps: Reduced
    found: Places
    window: NDArray[np.float16]
    start: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    values: NDArray[np.float32]
    positions: int


class Units:
    """Accumulates what the units of several layers do; mergeable in any order with the same result.

    Parameters
    ----------
    query : UnitsQuery
    """

    def __init__(self, query: UnitsQuery) -> None:
        self.query = query
        self.layers = {layer: LayerUnits(query, at) for at, layer in enumerate(query.layers)}
        self.sums = ExactSum(sum(layer.channels for layer in query.layers))
        self.images = 0
        self.positions = np.zeros(len(query.layers), dtype=np.int64)
        self._classes = np.array(query.classes, dtype=np.intp)
        # A layer's place is looked up once: hashing all that a Layer says takes its time.
        self._at = {layer: at for at, layer in enumerate(query.layers)}
        self._kept = tuple(self.layers.values())
        self._lock = threading.Lock()
        self._seen: Seen[_Seen | Tensor] = Seen()
        self._limits: Seen[np.uint64 | None] = Seen()
        self._extent: dict[tuple[int, ...], tuple[Extent, Extent]] = {}

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at a layer's live output on a batch, (N, C, H, W); it counts when `update` follows.

        Raises
        ------
        ModelError
            If it holds NaN or infinity.
        """
        # Channels last: a view where the network runs so, and then the reductions run along memory.
        x = maps.permute(0, 2, 3, 1).contiguous().float()
        if x.device.type != "cpu":
            # A copy: what the network gave may be written over, and is looked at when it has run.
            self._seen.layers[self._at[layer]] = x.clone() if x.data_ptr() == maps.data_ptr() else x
            return
        seen = reduced(x)
        # Where a value is not finite the sum is not finite either.
        if not np.isfinite(seen.total).all():
            self._refuse(layer, x, batch)
        at = self._at[layer]
        found, window, start = self._found(at, x, seen, batch)
        hashes, chosen, count = self._chosen(at, x, batch)
        values = x.reshape(-1, x.shape[-1])
        fast = compiled_for(values)
        taken = values.numpy()[chosen] if fast is None else fast.rows_of(values.numpy(), chosen)
        self._seen.layers[at] = _Seen(seen, found, window, start, hashes, taken, count)

    def discard(self) -> None:
        """Forget what was observed since the last `update`."""
        self._seen.layers.clear()
        self._limits.layers.clear()

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""
        seen = [self._seen.layers[at] for at in range(len(self._kept))]
        there = [one for one in seen if isinstance(one, Tensor)]
        try:
            looked = (
                self._looked_there(there, batch) if there else [one for one in seen if isinstance(one, _Seen)]
            )
        finally:
            self.discard()
        with self._lock:
            self._count(looked, batch)

    def _count(self, seen: list[_Seen], batch: Batch) -> None:
        self.sums.update(np.concatenate([one.maps.total for one in seen], axis=1))
        self.images += len(batch.numbers)
        # Layers of one size have one sample of positions.
        exchanges: dict[tuple[int, int], Exchange] = {}
        fast = kernels()
        for at, (kept, one) in enumerate(zip(self._kept, seen, strict=True)):
            self.positions[at] += one.positions
            if fast is not None:
                fast.take_in(one.maps.peak, one.maps.nonzero, kept.peak, kept.nonzero)
            else:
                kept.peak = np.maximum(kept.peak, one.maps.peak.max(axis=0))
                kept.nonzero += one.maps.nonzero.sum(axis=0)
            kept.sample.update(one.hashes, one.values, one.positions, exchanges)
            found = one.found
            if not len(found.units):
                continue
            numbers = batch.numbers[found.which]
            extra: dict[str, NDArray[Any]] = {
                "size": batch.sizes[found.which],
                "start": one.start,
                "window": one.window,
            }
            kept.top.update(found.units, found.score, numbers, found.row, found.col, extra)
            if kept.by_class is not None:
                lists = found.units * kept.classes + self._classes[numbers]
                kept.by_class.update(lists, found.score, numbers, found.row, found.col, extra)

    def merge(self, other: "Units") -> None:
        """Merge what another found in other images."""
        for layer, mine in self.layers.items():
            mine.merge(other.layers[layer])
        self.sums.merge(other.sums)
        self.images += other.images
        self.positions += other.positions

    def mean(self) -> dict[Layer, NDArray[np.float32]]:
        """Return each unit's mean value over all positions."""
        ends = np.cumsum([layer.channels for layer in self.query.layers])[:-1]
        parts = np.split(self.sums.result(), ends)
        counts = np.maximum(self.positions, 1)
        return {layer: (parts[at] / counts[at]).astype(np.float32) for layer, at in self._at.items()}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later: equal accumulators have equal states."""
        state = {f"sums/{name}": value for name, value in self.sums.state().items()}
        for at, layer in enumerate(self.query.layers):
            state |= {f"{at}/{name}": value for name, value in self.layers[layer].state().items()}
        self._share()
        return {**state, "images": np.array(self.images), "positions": self.positions}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.sums.restore(_under(state, "sums"))
        for at, layer in enumerate(self.query.layers):
            self.layers[layer].restore(_under(state, str(at)))
        self.images, self.positions = int(state["images"]), state["positions"].copy()
        self._share()

    def _found(
        self, at: int, x: Tensor, seen: Reduced, batch: Batch
    ) -> tuple[Places, NDArray[np.float16], NDArray[np.int32]]:
        """Return the positions of a batch that may enter the lists of a layer, whose maps are x (N, H, W, C).

        With them come the windows around them, as `windows` gives them.
        """
        query, part = self.query, (slice(0, x.shape[1]), slice(0, x.shape[2]))
        window = query.windows[at]
        extents = self._extents(at, x, batch) if query.boxes else None
        if extents and query.inside and query.inside[at]:
            part = extents[0].inside(), extents[1].inside()
            if any(one.start == one.stop for one in part):
                return Places.none(), *windows(x, Places.none(), window)
            extents = extents[0].part(part[0]), extents[1].part(part[1])
            seen = reduced(x, part)
        wanted = self._wanted(self._kept[at], seen.peak, batch)
        if query.per_image == 1 and not (extents and query.apart):
            return first_windows(x, seen, wanted, window, part[1])
        which, units = np.nonzero(wanted)
        within = x[:, part[0], part[1]]
        if extents and query.apart:
            found = spread(within, which, units, query.per_image, extents)
        else:
            found = largest(within, which, units, query.per_image)
        found = found._replace(
            row=found.row + np.int32(part[0].start), col=found.col + np.int32(part[1].start)
        )
        return found, *windows(x, found, window)

    def _extents(self, at: int, x: Tensor, batch: Batch) -> tuple[Extent, Extent]:
        """Return what the rows and the columns of a layer's maps, (N, H, W, C), see of the images of a batch."""
        key = (at, *x.shape[1:3], *batch.pixels.shape[1:3])
        if key not in self._extent:
            box = self.query.boxes[at]
            rows, columns = (Extent.of(box, axis, key[1 + axis], key[3 + axis]) for axis in range(2))
            self._extent[key] = rows, columns
        return self._extent[key]

    def _wanted(self, kept: LayerUnits, peak: NDArray[np.float32], batch: Batch) -> NDArray[np.bool_]:
        """Return which images of the batch may enter the lists of which units, (N, C)."""
        one_list = np.zeros(len(peak), dtype=np.intp)
        with self._lock:
            wanted = kept.top.wanted(peak, batch.numbers, one_list, 1)
            if kept.by_class is not None:
                of_class = kept.by_class.wanted(
                    peak, batch.numbers, self._classes[batch.numbers], kept.classes
                )
        if len(peak) > self.query.top:
            # Early on: of this batch too, only as many as a unit keeps.
            cut = len(peak) - self.query.top
            wanted &= peak >= np.partition(peak, cut, axis=0)[cut]
        if kept.by_class is not None:
            wanted |= of_class
        return wanted

    def _looked_there(self, maps: list[Tensor], batch: Batch) -> list[_Seen]:
        """Return what the layers gave, whose maps, (N, H, W, C) each, lie on a GPU."""
        said = reduce_all(maps)
        for at, (x, seen) in enumerate(zip(maps, said, strict=True)):
            if not np.isfinite(seen.total).all():
                self._refuse(self.query.layers[at], x, batch)
        query, nobody = self.query, (np.empty(0, np.intp), np.empty(0, np.intp))
        plain = [
            query.per_image == 1 and not query.apart and not (query.inside and query.inside[at])
            for at in range(len(maps))
        ]
        wishes, sampled, looked = [], [], []
        for at, (x, seen) in enumerate(zip(maps, said, strict=True)):
            hashes, chosen, count = self._chosen(at, x, batch)
            sampled.append((hashes, count))
            which, units = np.nonzero(self._wanted(self._kept[at], seen.peak, batch)) if plain[at] else nobody
            wishes.append(Wish(x, seen, which, units, query.windows[at], chosen))
        for at, (wish, granted) in enumerate(zip(wishes, look_up(wishes), strict=True)):
            found, window, start = granted.places, granted.window, granted.start
            if not plain[at]:
                found, window, start = self._found(at, wish.x, wish.found, batch)
            hashes, count = sampled[at]
            looked.append(_Seen(wish.found, found, window, start, hashes, granted.values, count))
        return looked

    def _chosen(self, at: int, x: Tensor, batch: Batch) -> tuple[NDArray[np.uint64], NDArray[np.intp], int]:
        """Return hashes and numbers of the positions that enter the layer's sample, and out of how many."""
        if not self._limits.layers:
            # All of a batch by what was known at one time: layers of one size then keep the same positions.
            with self._lock:
                self._limits.layers = {place: kept.sample.limit for place, kept in enumerate(self._kept)}
        limit = self._limits.layers[at]
        return _entering(tuple(batch.numbers.tolist()), *x.shape[1:3], limit, self.query.sample)

    def _share(self) -> None:
        """Have samples of the same positions hold them once."""
        held: dict[bytes, NDArray[np.uint64]] = {}
        for kept in self._kept:
            hashes = kept.sample.hashes
            kept.sample.hashes = held.setdefault(hashes.tobytes(), hashes)

    def _refuse(self, layer: Layer, x: Tensor, batch: Batch) -> None:
        for number, values in zip(batch.numbers.tolist(), x, strict=True):
            if not bool(torch.isfinite(values).all()):
                raise NotFiniteError(layer, number)
        raise ModelError(
            f"the values of layer {layer.name} ({layer.alias}) are too large to be added in float32; check the "
            "network's weights and its preprocessing"
        )


@lru_cache(maxsize=16)
def _entering(
    numbers: tuple[int, ...], height: int, width: int, limit: np.uint64 | None, size: int
) -> tuple[NDArray[np.uint64], NDArray[np.intp], int]:
    """Return hashes and numbers of the positions of some images that may enter a sample; many layers share them."""
    hashes = position_hashes(np.array(numbers, dtype=np.int64), height, width)
    chosen = below(hashes, limit, size)
    return hashes[chosen], chosen, len(hashes)


def _under(state: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    """Return the entries of one part of a state, without its name."""
    return {name[len(part) + 1 :]: value for name, value in state.items() if name.startswith(f"{part}/")}
