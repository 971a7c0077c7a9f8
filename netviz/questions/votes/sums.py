"""What units take away from class scores, summed up over many images: two accumulators that engines feed."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import (
    duplicate,
    index_layers,
    network_device,
    network_dtype,
    record,
    sibling,
    wide,
)
from netviz.capture.outputs import tensor_named
from netviz.engines.accumulators.sums import ExactSum
from netviz.engines.batches import Batch
from netviz.engines.job import NotFiniteError, Seen
from netviz.errors import LayerError
from netviz.geometry.ablation import Ablator
from netviz.images import normalize_batch
from netviz.models import Layer
from netviz.models.preprocessing import Preprocessing
from netviz.questions.classes import class_scores


@dataclass(frozen=True)
class VotesQuery:
    """What is measured on every image.

    Attributes
    ----------
    network : nn.Module
    layer : Layer
        Whose units are put to `to`.
    preprocessing : Preprocessing
        With which images are normalized.
    shape : tuple of int
        (C, H, W) of an image for which the layer is listed.
    classes : int
        How many scores there are.
    output : str
        The name of the output that holds them; "" where the network gives one tensor.
    to : {"zero", "mean"}
    device, dtype : str
        Where and with which numbers the network runs.
    """

    network: nn.Module
    layer: Layer
    preprocessing: Preprocessing
    shape: tuple[int, ...]
    classes: int
    output: str
    to: str
    device: str = "cpu"
    dtype: str = "float32"

    def ablator(
        self,
        network: nn.Module,
        layer: Layer,
        image: Tensor,
        *,
        check: bool,
        keep: frozenset[int] = frozenset(),
    ) -> Ablator:
        """Return what puts units to other values on one image, (1, C, H, W).

        With `keep`, what another image of the size needed, one pass does for all.
        """
        tape = record(network, image, keep=keep)
        tape.output = tape.outputs.get(self.output)
        return Ablator(
            network,
            layer,
            image,
            lambda returned: tensor_named(returned, self.output),
            class_scores,
            tape=tape,
            check=check,
        )


class MapSums:
    """Sums up a layer's maps, (C, H, W): all that is needed where the scores are the same linear function of them.

    Parameters
    ----------
    layer : Layer
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.sums = ExactSum(int(np.prod(layer.shape or (0,))))
        self.images = 0
        self._lock = threading.Lock()
        self._seen: Seen[NDArray[np.float32]] = Seen()

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at the layer's live output on a batch, (N, C, H, W).

        Raises
        ------
        ModelError
            If it holds NaN or infinity.
        """
        values = maps.float().flatten(1).cpu().numpy()
        _require_finite(layer, values, batch)
        # A copy: the network goes on with what it gave.
        self._seen.layers[0] = values.copy()

    def discard(self) -> None:
        """Forget what was observed since the last `update`."""
        self._seen.layers.clear()

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""
        values = self._seen.layers.pop(0)
        with self._lock:
            self.sums.update(values)
            self.images += len(batch.numbers)

    def merge(self, other: "MapSums") -> None:
        """Merge what another found in other images."""
        self.sums.merge(other.sums)
        self.images += other.images

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        return {**self.sums.state(), "images": np.array(self.images)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.sums.restore(state)
        self.images = int(state["images"])


class Removals:
    """Sums up how each class score changes when each unit is put to other values, image by image.

    Parameters
    ----------
    query : VotesQuery
    """

    def __init__(self, query: VotesQuery) -> None:
        self.query = query
        self.changes = ExactSum(query.layer.channels * query.classes)
        self.scores = ExactSum(query.classes)
        self.images = 0
        self.full = 0
        self._lock = threading.Lock()
        self._seen: Seen[None] = Seen()
        # Each thread has a copy of the network: one is watched while another runs.
        self._own = threading.local()

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at the layer's live output on a batch, (N, C, H, W).

        Raises
        ------
        ModelError
            If it holds NaN or infinity.
        """
        finite = torch.isfinite(maps.flatten(1)).all(1).cpu()
        for number, good in zip(batch.numbers.tolist(), finite.tolist(), strict=True):
            if not good:
                raise NotFiniteError(layer, number)

    def discard(self) -> None:
        """Forget what was observed since the last `update`."""
        self._seen.layers.clear()

    def update(self, batch: Batch) -> None:
        """Take the images of a batch one after the other, and count how the scores change."""
        found = [self._removed(batch, at) for at in range(len(batch.numbers))]
        with self._lock:
            for change, clean, full in found:
                self.changes.update(change.reshape(1, -1))
                self.scores.update(clean.reshape(1, -1))
                self.images += 1
                self.full += full

    def _removed(self, batch: Batch, at: int) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
        """Return how each score changes without each unit, (units, classes), and each score, of one image."""
        query = self.query
        number = int(batch.numbers[at])
        # What an inference mode makes does not tell when it is written to.
        with torch.inference_mode(False), torch.no_grad():
            network, known = self._network()
            pixels = batch.pixels[at : at + 1].clone().to(query.device)
            image = normalize_batch(pixels, query.preprocessing).to(getattr(torch, query.dtype))
            size = (int(image.shape[2]), int(image.shape[3]))
            check = size not in known
            layer, keep = (self._layer(network, size), frozenset[int]()) if check else known[size]
            ablator = query.ablator(network, layer, image, check=check, keep=keep)
            known[size] = (layer, frozenset() if ablator.tail is None else ablator.tail.reads)
            if ablator.clean.numel() != query.classes:
                raise LayerError(
                    f"the network gives {ablator.clean.numel()} scores for an image of {size[0]}×{size[1]} pixels, "
                    f"not {query.classes}"
                )
            result = ablator.run(ablator.units.to(query.to))
            change = (wide(result.values) - wide(result.clean)).float().numpy()
            clean = result.clean.float().cpu().numpy()
        if not (np.isfinite(change).all() and np.isfinite(clean).all()):
            raise NotFiniteError(query.layer, number)
        return change, clean, bool(result.why_full)

    def _network(self) -> tuple[nn.Module, dict[tuple[int, int], tuple[Layer, frozenset[int]]]]:
        query = self.query
        if not hasattr(self._own, "network"):
            with self._lock:
                network, dtype = query.network, getattr(torch, query.dtype)
                there = network_device(network) == torch.device(query.device)
                if there and network_dtype(network) == dtype:
                    self._own.network = sibling(network).eval()
                else:
                    # What is moved must not be the user's own.
                    self._own.network = duplicate(network).eval().to(device=query.device, dtype=dtype)
                self._own.layers = {}
        own: nn.Module = self._own.network
        layers: dict[tuple[int, int], tuple[Layer, frozenset[int]]] = self._own.layers
        return own, layers

    def _layer(self, network: nn.Module, size: tuple[int, int]) -> Layer:
        """Return the layer as it is for images of a size: how tokens and windows lie depends on it."""
        layer = self.query.layer
        if layer.arrangement is None or size == layer.arrangement.size:
            return layer
        index = index_layers(network, size=size, channels=self.query.shape[0])
        return {one.name: one for one in index}.get(layer.name, layer)

    def merge(self, other: "Removals") -> None:
        """Merge what another found in other images."""
        self.changes.merge(other.changes)
        self.scores.merge(other.scores)
        self.images += other.images
        self.full += other.full

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        parts = {"changes": self.changes.state(), "scores": self.scores.state()}
        flat = {f"{part}/{name}": value for part, state in parts.items() for name, value in state.items()}
        return {**flat, "images": np.array(self.images), "full": np.array(self.full)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.changes.restore({"limbs": state["changes/limbs"]})
        self.scores.restore({"limbs": state["scores/limbs"]})
        self.images, self.full = int(state["images"]), int(state["full"])

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean change of each score without each unit, (units, classes), and the mean scores."""
        count = max(1, self.images)
        changes = self.changes.result().reshape(self.query.layer.channels, self.query.classes)
        return changes / count, self.scores.result() / count


def _require_finite(layer: Layer, values: NDArray[np.float32], batch: Batch) -> None:
    for number, row in zip(batch.numbers.tolist(), values, strict=True):
        if not np.isfinite(row).all():
            raise NotFiniteError(layer, number)


def linear_means(
    ablator: Ablator, sums: MapSums, to: str, progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what `Removals.means` does, where the scores are a fixed linear function of a layer's maps.

    Parameters
    ----------
    ablator : Ablator
        On any image of the size of all.
    sums : MapSums
        Over all images.
    to : {"zero", "mean"}
        What units are put to.
    progress : callable, optional
        Called with how many classes are done, and of how many.
    """
    shape = tuple(sums.layer.shape or ())
    mean = (sums.sums.result() / max(1, sums.images)).reshape(shape)
    put = np.zeros_like(mean) if to == "zero" else np.broadcast_to(mean.mean((1, 2), keepdims=True), shape)
    offsets = wide(ablator.at(torch.zeros_like(ablator.units.output))).numpy()
    classes = len(offsets)
    changes, scores = np.empty((shape[0], classes)), np.empty(classes)
    for number in range(classes):
        slope = wide(ablator.units.arranged(ablator.slope(itemgetter(number)))).numpy()
        changes[:, number] = (slope * (put - mean)).sum((1, 2))
        scores[number] = float((slope * mean).sum()) + offsets[number]
        if progress is not None:
            progress(number + 1, classes)
    return changes, scores
