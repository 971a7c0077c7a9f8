"""How often units and labelled concepts meet in pixels: what the intersection over union is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.batches import Batch
from netviz.engines.concept_labels import BatchLabels, total
from netviz.engines.grids import Grid, Ints, grid
from netviz.engines.spans import Hot, Spans, find_spans, hot_cells, rounded_down
from netviz.models import Layer

Floats = NDArray[np.float64]


class Place(NamedTuple):
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
class ConceptsPlan:
    """What is to be counted.

    A pixel's code is the number of its concept; ``concepts + c`` says that it is none of those of category c, and
    ``concepts + categories`` that nothing is known of it.

    Attributes
    ----------
    layers : tuple of Layer
    places : tuple of Place or None
        Of each layer; the positions of one that has None are taken as spread evenly over the input.
    thresholds : tuple of ndarray of float64, shape (units,)
        Of each layer: a unit is active where its map, interpolated, is above.
    category : ndarray of int64, shape (concepts,)
        Of each concept, the number of its category.
    categories : int
        How many there are.
    """

    layers: tuple[Layer, ...]
    places: tuple[Place | None, ...]
    thresholds: tuple[Floats, ...]
    category: Ints
    categories: int


def layer_grid(place: Place | None, axis: int, positions: int, pixels: int) -> Grid:
    """Return the cells of a layer along one axis of an input of so many pixels."""
    if place is None:
        return grid((pixels / positions - 1) / 2, pixels / positions, positions, pixels)
    return grid(place.center[axis], place.stride[axis], positions, pixels)


class Concepts:
    """Accumulates where units and concepts meet; mergeable in any order with the same result: whole numbers all.

    A batch brings with each image ``labels``, codes of shape (P, H, W) for the pixels of the network's input: one
    plane for each category that is labelled there, and more where a pixel has several concepts of one; ``first``, of
    shape (P,), which of a category's planes is its first; and ``whole``, of shape (M,), concepts of all of the image.

    Parameters
    ----------
    plan : ConceptsPlan

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

    def __init__(self, plan: ConceptsPlan) -> None:
        self.plan = plan
        concepts = len(plan.category)
        self.intersection = [np.zeros((one.channels, concepts), dtype=np.int64) for one in plan.layers]
        self.active = [np.zeros((one.channels, plan.categories), dtype=np.int64) for one in plan.layers]
        self.area = np.zeros(concepts, dtype=np.int64)
        self.present = np.zeros(concepts, dtype=np.int64)
        self.pixels = np.zeros(plan.categories, dtype=np.int64)
        self.images = 0
        self._at = {layer: at for at, layer in enumerate(plan.layers)}
        self._limits = [torch.from_numpy(rounded_down(one)) for one in plan.thresholds]
        self._seen: dict[int, tuple[Hot, Grid, Grid]] = {}
        self._grids: dict[tuple[int, ...], tuple[Grid, Grid]] = {}

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at a layer's live output on a batch, (N, C, H, W); it counts when `update` follows."""
        at = self._at[layer]
        # Channels last: a view where the network runs so.
        x = maps.permute(0, 2, 3, 1).contiguous().float()
        key = (at, *x.shape[1:3], *batch.pixels.shape[1:3])
        if key not in self._grids:
            place = self.plan.places[at]
            rows, cols = (layer_grid(place, axis, key[1 + axis], key[3 + axis]) for axis in range(2))
            self._grids[key] = rows, cols
        rows, cols = self._grids[key]
        self._limits[at] = self._limits[at].to(x.device)
        self._seen[at] = hot_cells(x, self._limits[at], rows, cols), rows, cols

    def discard(self) -> None:
        """Forget what was observed since the last `update`."""
        self._seen.clear()

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""
        labels = BatchLabels(
            batch.extra,
            batch.pixels.shape[1] * batch.pixels.shape[2],
            self.plan.category,
            self.plan.categories,
        )
        self.images += len(batch.numbers)
        counts = labels.counts()
        self.area += counts[:, : len(self.area)].sum(axis=0)
        self.present += (counts[:, : len(self.area)] > 0).sum(axis=0)
        self.pixels += labels.pixels().sum(axis=0)
        for at, (hot, rows, cols) in self._seen.items():
            for spans in find_spans(hot, self.plan.thresholds[at], rows, cols):
                self._count(at, spans, labels)
        self._seen.clear()

    def merge(self, other: "Concepts") -> None:
        """Take in what another found in other images."""
        for mine, theirs in zip(self._numbers(), other._numbers(), strict=True):
            mine += theirs
        self.images += other.images

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later, with the thresholds."""
        state: dict[str, NDArray[Any]] = {"images": np.array(self.images)}
        state |= {str(number): value for number, value in enumerate(self._numbers())}
        return {**state, **{f"threshold{at}": one for at, one in enumerate(self.plan.thresholds)}}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of the same plan; its thresholds are the state's."""
        self.images = int(state["images"])
        levels = tuple(state[f"threshold{at}"].copy() for at in range(len(self.plan.layers)))
        self.plan = replace(self.plan, thresholds=levels)
        self._limits = [torch.from_numpy(rounded_down(one)) for one in levels]
        for number, mine in enumerate(self._numbers()):
            mine[...] = state[str(number)]

    def _numbers(self) -> list[Ints]:
        return [*self.intersection, *self.active, self.area, self.present, self.pixels]

    def _count(self, at: int, spans: Spans, labels: BatchLabels) -> None:
        concepts, categories = len(self.area), self.plan.categories
        units = len(self.intersection[at])
        for plane in range(labels.most):
            for first, found in labels.meet(spans, plane, units):
                met = found[:, :concepts]
                self.intersection[at] += met
                if first:
                    self.active[at] += met @ labels.belongs + found[:, concepts : concepts + categories]
        if labels.whole.any():
            images = len(labels.whole)
            sums = total(spans.unit * images + spans.image, spans.end - spans.begin, units * images)
            active = sums.reshape(units, images)
            self.intersection[at] += active @ labels.whole
            self.active[at] += active @ labels.only_whole
