"""The job that an engine runs, the tally of what is done, and the accumulator that it feeds."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.engines.batches import Batch, Chunk, Source
from netviz.errors import ModelError
from netviz.models import Layer
from netviz.models.preprocessing import Preprocessing

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many."""


class NotFiniteError(ModelError):
    """A layer gave NaN or infinity; the engine adds the image's name."""

    def __init__(self, layer: Layer, number: int) -> None:
        self.layer, self.number = layer, number
        super().__init__(
            f"layer {layer.name} ({layer.alias}) gives NaN or infinity on image {number}; "
            f"check the network's weights, or leave the image out"
        )


T = TypeVar("T")


class Seen(threading.local, Generic[T]):
    """What one thread has observed of a batch, by the layer's place, since its last `Accumulator.update`."""

    def __init__(self) -> None:
        self.layers: dict[int, T] = {}


class Accumulator(Protocol):
    """What engines feed; see DESIGN: the answer depends neither on order nor on grouping.

    Several threads may feed one, each with its own batch: `observe` for all layers, then `update` or `discard`.
    """

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at a layer's live output on a batch, (N, C, H, W)."""

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""

    def discard(self) -> None:
        """Forget what was observed since the last update."""

    def merge(self, other: Any) -> None:
        """Merge what another found in other images."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""

    def restore(self, state: Any) -> None:
        """Go on from a state."""


@dataclass(frozen=True)
class Relevance:
    """That not what a layer gives is looked at, but that times the gradient of a class's score with respect to it.

    Attributes
    ----------
    output : str
        The name of the network's output that holds class scores; "" where it gives one tensor.
    target : int or None
        The class; None for the one with the highest score, for each image its own.
    """

    output: str
    target: int | None


@dataclass(frozen=True)
class Job:
    """What an engine runs; it can be sent to another process.

    Attributes
    ----------
    network : nn.Module
        In evaluation mode, or not: a copy runs.
    name : str
        What it is called.
    preprocessing : Preprocessing
        With which images are normalized.
    shape : tuple of int
        (C, H, W) of an image that it runs on.
    layers : tuple of Layer
        Whose outputs are looked at.
    source : Source
        The images.
    names : sequence of str
        What they are called.
    start : callable
        Makes an empty accumulator.
    batch : int
        Images in one forward pass, at most.
    device, dtype : str
        Such as ``"cuda"`` and ``"bfloat16"``.
    relevance : Relevance, optional
        What is looked at in place of the layers' outputs.
    """

    network: nn.Module
    name: str
    preprocessing: Preprocessing
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    source: Source
    names: Sequence[str]
    start: Callable[[], Accumulator]
    batch: int = 16
    device: str = "cpu"
    dtype: str = "float32"
    relevance: Relevance | None = None

    @property
    def chunks(self) -> int:
        """How many chunks the images make."""
        return -(-len(self.source) // self.batch)

    def images_in(self, chunk: int) -> int:
        """Return how many images a chunk holds."""
        return min(self.batch, len(self.source) - chunk * self.batch)


@dataclass
class Tally:
    """How far a run has come.

    Attributes
    ----------
    done : ndarray of bool, shape (chunks,)
        Which chunks are counted.
    skipped : dict of int to str
        Images that could not be read, and why.
    """

    done: NDArray[np.bool_]
    skipped: dict[int, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, chunks: int) -> "Tally":
        """Return the tally of a run that has not begun."""
        return cls(np.zeros(chunks, dtype=np.bool_))

    def count(self, chunk: Chunk) -> None:
        """Note that a chunk is done."""
        self.done[chunk.number] = True
        self.skipped |= dict(chunk.skipped)


class Save(Protocol):
    """Writes down where a run stands, now and then."""

    def due(self) -> bool:
        """Return whether it is time."""

    def __call__(self, accumulator: Accumulator, tally: Tally) -> None:
        """Write, if it is time; nobody feeds the accumulator meanwhile."""
