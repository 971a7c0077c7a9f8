"""Mean activity of units for each class of images, and several accumulators fed as one."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines.accumulators.sums import ExactSum
from netviz.engines.batches import Batch
from netviz.engines.job import Accumulator, Seen
from netviz.models import Layer


class ClassMeans:
    """Accumulates the mean activity of one layer's units over the images of each class.

    Parameters
    ----------
    units : int
    classes : sequence of int
        For each image the number of its class.
    """

    def __init__(self, units: int, classes: Sequence[int]) -> None:
        self.classes = np.array(classes, dtype=np.int64)
        count = int(self.classes.max(initial=-1)) + 1
        self.sums = [ExactSum(units) for _ in range(count)]
        self.images = np.zeros(count, dtype=np.int64)
        self._lock = threading.Lock()
        self._seen: Seen[NDArray[np.float32]] = Seen()

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at a layer's live output on a batch, (N, C, H, W)."""
        self._seen.layers[0] = maps.float().mean((2, 3)).cpu().numpy()

    def discard(self) -> None:
        """Forget what was observed since the last `update`."""
        self._seen.layers.clear()

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""
        classes = self.classes[batch.numbers]
        with self._lock:
            for seen in self._seen.layers.values():
                for number in np.unique(classes):
                    chosen = classes == number
                    self.sums[number].update(seen[chosen])
                    self.images[number] += chosen.sum()
        self._seen.layers.clear()

    def merge(self, other: "ClassMeans") -> None:
        """Merge what another found in other images."""
        for mine, theirs in zip(self.sums, other.sums, strict=True):
            mine.merge(theirs)
        self.images += other.images

    def mean(self) -> NDArray[np.float64]:
        """Return each unit's mean for each class that has images, (units, classes); the others are left out."""
        there = np.flatnonzero(self.images)
        return np.stack([self.sums[number].result() / self.images[number] for number in there], axis=1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        state: dict[str, NDArray[Any]] = {"images": self.images}
        for number, one in enumerate(self.sums):
            state |= {f"{number}/{name}": value for name, value in one.state().items()}
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.images = state["images"].copy()
        for number, one in enumerate(self.sums):
            one.restore(
                {
                    name.removeprefix(f"{number}/"): value
                    for name, value in state.items()
                    if name.startswith(f"{number}/")
                }
            )


class Together:
    """Feeds several accumulators as one.

    Parameters
    ----------
    parts : sequence of Accumulator
    """

    def __init__(self, parts: Sequence[Accumulator]) -> None:
        self.parts = tuple(parts)

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Have all look at a layer's live output."""
        for part in self.parts:
            part.observe(layer, maps, batch)

    def update(self, batch: Batch) -> None:
        """Have all count what was observed."""
        for part in self.parts:
            part.update(batch)

    def discard(self) -> None:
        """Have all forget what was observed since the last `update`."""
        for part in self.parts:
            part.discard()

    def merge(self, other: "Together") -> None:
        """Merge what another found in other images."""
        for part, theirs in zip(self.parts, other.parts, strict=True):
            part.merge(theirs)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        return {
            f"{at}/{name}": value
            for at, part in enumerate(self.parts)
            for name, value in part.state().items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        for at, part in enumerate(self.parts):
            mine = {
                name.removeprefix(f"{at}/"): value
                for name, value in state.items()
                if name.startswith(f"{at}/")
            }
            part.restore(mine)
