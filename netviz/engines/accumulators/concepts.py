"""How often units and labelled concepts meet in pixels: what the intersection over union is made of.

The labels of a batch of images are made ready once, to be met by what all units see.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.accumulators.spans import (
    Grid,
    Hot,
    Ints,
    Spans,
    find_spans,
    grid,
    hot_cells,
    rounded_down,
)
from netviz.engines.batches import Batch
from netviz.engines.job import Seen
from netviz.models import Layer


class BatchLabels:
    """The labels of a batch, and where along its row each run of one code ends.

    Parameters
    ----------
    extra : mapping of str to sequence of ndarray
        What came with the images: ``labels``, ``first`` and ``whole``, as `Concepts` tells.
    size : int
        Pixels of an image.
    category : ndarray of int64, shape (concepts,)
    categories : int

    Attributes
    ----------
    most : int
        Most planes that an image has.
    belongs : ndarray of int64, shape (concepts, categories)
        1 where the concept is of the category.
    whole : ndarray of int64, shape (N, concepts)
        1 where a concept is of all of the image.
    only_whole : ndarray of int64, shape (N, categories)
        1 where an image is labelled in a category as a whole and not by pixel.
    """

    def __init__(
        self, extra: Mapping[str, Sequence[NDArray[Any]]], size: int, category: Ints, categories: int
    ) -> None:
        each = extra["labels"]
        self.size, self.category = size, category
        self.concepts, self.codes = len(category), len(category) + categories + 1
        self.planes: NDArray[np.int32] = np.concatenate(each).astype(np.int32, copy=False)
        self.first: NDArray[np.bool_] = np.concatenate(extra["first"])
        self.count = np.array([len(one) for one in each])
        self.start = np.cumsum(self.count) - self.count
        self.most = int(self.count.max(initial=0))
        self.image = np.repeat(np.arange(len(each)), self.count)
        self.ends = _run_ends(self.planes)
        self.belongs = np.zeros((self.concepts, categories), dtype=np.int64)
        self.belongs[np.arange(self.concepts), category] = 1
        self.whole = np.zeros((len(each), self.concepts), dtype=np.int64)
        for image, concepts in enumerate(extra["whole"]):
            self.whole[image, concepts] = 1
        self.by_plane = np.zeros((len(self.planes), self.codes), dtype=np.int64)
        for counted, plane in zip(self.by_plane, self.planes, strict=True):
            counted += np.bincount(plane.ravel(), minlength=self.codes)
        by_pixel = np.zeros((len(each), categories), dtype=bool)
        np.logical_or.at(by_pixel, self.image, self._known(self.by_plane) > 0)
        self.only_whole = ((self.whole @ self.belongs > 0) & ~by_pixel).astype(np.int64)

    def counts(self) -> Ints:
        """Return how many pixels of each image each concept has, (N, concepts)."""
        counts = self.whole * self.size
        np.add.at(counts, self.image, self.by_plane[:, : self.concepts])
        return counts

    def pixels(self) -> Ints:
        """Return in how many pixels of each image each category is known, (N, categories)."""
        known = self.only_whole * self.size
        np.add.at(known, self.image[self.first], self._known(self.by_plane[self.first]))
        return known

    def meet(self, spans: Spans, plane: int, units: int) -> list[tuple[bool, Ints]]:
        """Count, unit by code, the pixels of spans in one plane of each image.

        Returns
        -------
        list of (bool, ndarray of int64 of shape (units, codes))
            Apart for the planes that are the first of their category and for those that are not.
        """
        here = np.flatnonzero(plane < self.count[spans.image])
        number = self.start[spans.image[here]] + plane
        leading = self.first[number]
        found = []
        for first in (True, False):
            some = here[leading == first]
            if len(some):
                chosen = Spans(*(one[some] for one in spans))
                found.append((first, self._meet(number[leading == first], chosen, units)))
        return found

    def _meet(self, plane: Ints, spans: Spans, units: int) -> Ints:
        height, width = self.planes.shape[1:]
        codes, ends = self.planes.reshape(-1), self.ends.reshape(-1)
        line = (plane * height + spans.row) * width
        unit, begin, end = spans.unit * self.codes, spans.begin, spans.end
        keys, weights = [], []
        while len(begin):
            at = line + begin
            stop = np.minimum(ends.take(at), end)
            keys.append(unit + codes.take(at))
            weights.append(stop - begin)
            rest = np.flatnonzero(stop < end)
            line, unit, begin, end = (one.take(rest) for one in (line, unit, stop, end))
        counted = total(np.concatenate(keys), np.concatenate(weights), units * self.codes)
        return counted.reshape(units, self.codes)

    def _known(self, counts: Ints) -> Ints:
        """Return how many pixels of each plane are known in each category."""
        return counts[:, : self.concepts] @ self.belongs + counts[:, self.concepts : -1]


def _run_ends(planes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return for each pixel the first column after it where its row has another code."""
    width = planes.shape[-1]
    ends = np.full(planes.shape, width, dtype=np.int32)
    change = planes[..., 1:] != planes[..., :-1]
    np.copyto(ends[..., :-1], np.arange(1, width, dtype=np.int32), where=change)
    return np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]


def total(keys: Ints, weights: Ints, size: int) -> Ints:
    """Add weights by key; sums below 2⁵³ are exact in the double precision that this is done in."""
    return np.rint(np.bincount(keys, weights, minlength=size)).astype(np.int64)


Floats = NDArray[np.float64]


class Centers(NamedTuple):
    """Where a layer's positions look, in pixels of the network's input, whose first pixel has its middle at 0.

    Attributes
    ----------
    center : (float, float)
        The centre of what the first position sees, (y, x).
    stride : (float, float)
        From one position's centre to the next one's.
    """

    center: tuple[float, float]
    stride: tuple[float, float]


@dataclass(frozen=True)
class ConceptsQuery:
    """What `Concepts` counts.

    A pixel's code is the number of its concept; ``concepts + c`` says that it is none of those of category c, and
    ``concepts + categories`` that nothing is known of it.

    Attributes
    ----------
    layers : tuple of Layer
    centers : tuple of Centers or None
        Of each layer; the positions of one that has None are taken as spread evenly over the input.
    thresholds : tuple of ndarray of float64, shape (units,)
        Of each layer: a unit is active where its map, interpolated, is above.
    category : ndarray of int64, shape (concepts,)
        Of each concept, the number of its category.
    categories : int
        How many there are.
    elsewhere : mapping of (int, int) to tuple of Centers or None
        By height and width of an input, the `centers` of one at which layers look at other places.
    """

    layers: tuple[Layer, ...]
    centers: tuple[Centers | None, ...]
    thresholds: tuple[Floats, ...]
    category: Ints
    categories: int
    elsewhere: Mapping[tuple[int, int], tuple[Centers | None, ...]] = field(default_factory=dict)


def layer_grid(centers: Centers | None, axis: int, positions: int, pixels: int) -> Grid:
    """Return the cells of a layer along one axis of an input of so many pixels."""
    if centers is None:
        return grid((pixels / positions - 1) / 2, pixels / positions, positions, pixels)
    return grid(centers.center[axis], centers.stride[axis], positions, pixels)


class Concepts:
    """Accumulates where units and concepts meet; mergeable in any order with the same result: whole numbers all.

    A batch brings with each image ``labels``, codes of shape (P, H, W) for the pixels of the network's input: one
    plane for each category that is labelled there, and more where a pixel has several concepts of one; ``first``, of
    shape (P,), which of a category's planes is its first; and ``whole``, of shape (M,), concepts of all of the image.

    Parameters
    ----------
    query : ConceptsQuery

    Attributes
    ----------
    intersection : list of ndarray of int64, shape (units, concepts)
        For each layer the pixels where a unit is active and a concept is labelled.
    active : list of ndarray of int64, shape (units, categories)
        For each layer the active pixels that are not void, in images where the category is labelled.
    area : ndarray of int64, shape (concepts,)
        The pixels of each concept.
    pixels : ndarray of int64, shape (categories,)
        The pixels that are not void, in images where the category is labelled.
    images : int
    present : ndarray of int64, shape (concepts,)
        In how many images each concept is.
    """

    def __init__(self, query: ConceptsQuery) -> None:
        self.query = query
        concepts = len(query.category)
        self.intersection = [np.zeros((one.channels, concepts), dtype=np.int64) for one in query.layers]
        self.active = [np.zeros((one.channels, query.categories), dtype=np.int64) for one in query.layers]
        self.area = np.zeros(concepts, dtype=np.int64)
        self.present = np.zeros(concepts, dtype=np.int64)
        self.pixels = np.zeros(query.categories, dtype=np.int64)
        self.images = 0
        self._at = {layer: at for at, layer in enumerate(query.layers)}
        self._limits = [torch.from_numpy(rounded_down(one)) for one in query.thresholds]
        self._lock = threading.Lock()
        self._seen: Seen[tuple[Hot, Grid, Grid]] = Seen()
        self._grids: dict[tuple[int, ...], tuple[Grid, Grid]] = {}

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at a layer's live output on a batch, (N, C, H, W); it counts when `update` follows."""
        at = self._at[layer]
        # Channels last: a view where the network runs so.
        x = maps.permute(0, 2, 3, 1).contiguous().float()
        key = (at, *x.shape[1:3], *batch.pixels.shape[1:3])
        if key not in self._grids:
            centers = self.query.elsewhere.get((key[3], key[4]), self.query.centers)[at]
            rows, cols = (layer_grid(centers, axis, key[1 + axis], key[3 + axis]) for axis in range(2))
            self._grids[key] = rows, cols
        rows, cols = self._grids[key]
        self._limits[at] = self._limits[at].to(x.device)
        self._seen.layers[at] = hot_cells(x, self._limits[at], rows, cols), rows, cols

    def discard(self) -> None:
        """Forget what was observed since the last `update`."""
        self._seen.layers.clear()

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""
        labels = BatchLabels(
            batch.extra,
            batch.pixels.shape[1] * batch.pixels.shape[2],
            self.query.category,
            self.query.categories,
        )
        counts = labels.counts()
        found = [
            (at, self._count(spans, labels, self.query.layers[at].channels))
            for at, (hot, rows, cols) in self._seen.layers.items()
            for spans in find_spans(hot, self.query.thresholds[at], rows, cols)
        ]
        self._seen.layers.clear()
        with self._lock:
            self.images += len(batch.numbers)
            self.area += counts[:, : len(self.area)].sum(axis=0)
            self.present += (counts[:, : len(self.area)] > 0).sum(axis=0)
            self.pixels += labels.pixels().sum(axis=0)
            for at, (intersection, active) in found:
                self.intersection[at] += intersection
                self.active[at] += active

    def merge(self, other: "Concepts") -> None:
        """Merge what another found in other images."""
        for mine, theirs in zip(self._numbers(), other._numbers(), strict=True):
            mine += theirs
        self.images += other.images

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later, with the thresholds."""
        state: dict[str, NDArray[Any]] = {"images": np.array(self.images)}
        state |= {str(number): value for number, value in enumerate(self._numbers())}
        return {**state, **{f"threshold{at}": one for at, one in enumerate(self.query.thresholds)}}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of the same query; its thresholds are the state's."""
        self.images = int(state["images"])
        levels = tuple(state[f"threshold{at}"].copy() for at in range(len(self.query.layers)))
        self.query = replace(self.query, thresholds=levels)
        self._limits = [torch.from_numpy(rounded_down(one)) for one in levels]
        for number, mine in enumerate(self._numbers()):
            mine[...] = state[str(number)]

    def _numbers(self) -> list[Ints]:
        return [*self.intersection, *self.active, self.area, self.present, self.pixels]

    def _count(self, spans: Spans, labels: BatchLabels, units: int) -> tuple[Ints, Ints]:
        """Return in how many pixels of spans the units meet each concept, and each category where it is known."""
        concepts, categories = len(self.area), self.query.categories
        intersection = np.zeros((units, concepts), dtype=np.int64)
        active = np.zeros((units, categories), dtype=np.int64)
        for plane in range(labels.most):
            for first, found in labels.meet(spans, plane, units):
                met = found[:, :concepts]
                intersection += met
                if first:
                    active += met @ labels.belongs + found[:, concepts : concepts + categories]
        if labels.whole.any():
            images = len(labels.whole)
            sums = total(spans.unit * images + spans.image, spans.end - spans.begin, units * images)
            by_image = sums.reshape(units, images)
            intersection += by_image @ labels.whole
            active += by_image @ labels.only_whole
        return intersection, active
