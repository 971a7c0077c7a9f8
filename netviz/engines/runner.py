"""The forward passes: what any engine does with a chunk of images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import brief, capture, channels_first
from netviz.engines.batches import Batch, Chunk, Source
from netviz.engines.fast import fast_copy
from netviz.engines.units import NotFiniteError
from netviz.errors import ImageError, ModelError
from netviz.images import normalize_batch
from netviz.models import Layer
from netviz.models.preprocessing import Preprocessing


class Accumulator(Protocol):
    """What engines feed; see DESIGN: the answer depends neither on order nor on grouping."""

    def observe(self, layer: Layer, maps: Tensor, batch: Batch) -> None:
        """Look at a layer's live output on a batch, (N, C, H, W)."""

    def update(self, batch: Batch) -> None:
        """Count what was observed on a batch."""

    def discard(self) -> None:
        """Forget what was observed since the last update."""

    def merge(self, other: Any) -> None:
        """Take in what another found in other images."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""

    def restore(self, state: Any) -> None:
        """Go on from a state."""


@dataclass(frozen=True)
class Job:
    """What is to be run; can be sent to another process.

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


class _Enough(Exception):
    """Everything wanted has been seen: the rest of the forward pass is not needed."""


@contextmanager
def runner(job: Job) -> Iterator[Callable[[Chunk, Accumulator], None]]:
    """Make the network ready; the function given runs it on a chunk and has an accumulator count that.

    Raises
    ------
    ModelError
        If a layer gives NaN or infinity (named with the image), or memory does not even suffice for one image.
    ImageError
        If the network does not run on an image.
    """
    dtype = getattr(torch, job.dtype)
    network = fast_copy(job.network, job.layers, job.shape, device=job.device, dtype=dtype)
    now: tuple[Accumulator, Batch]
    left = 0

    def look(layer: Layer, output: Tensor) -> None:
        nonlocal left
        accumulator, batch = now
        accumulator.observe(layer, channels_first(layer, output), batch)
        left -= 1
        if not left:
            raise _Enough

    with torch.inference_mode(), capture(network, job.layers, reduce=look) as run:
        most = job.batch

        def forward(batch: Batch, accumulator: Accumulator) -> None:
            nonlocal now, left
            now, left = (accumulator, batch), len(job.layers)
            images = normalize_batch(batch.pixels.to(job.device), job.preprocessing).to(dtype)
            try:
                run(images)
                raise ModelError(
                    f"{job.name} did not run all the layers asked for; list them with: netviz layers"
                )
            except _Enough:
                accumulator.update(batch)
            except NotFiniteError as error:
                raise ModelError(
                    str(error).replace(f"image {error.number}", job.names[error.number])
                ) from None
            except (RuntimeError, ValueError, IndexError) as error:
                if _out_of_memory(error):
                    raise MemoryError(str(error)) from None
                height, width = batch.pixels.shape[1:3]
                raise ImageError(
                    f"{job.name} does not run on {job.names[int(batch.numbers[0])]} at {height}×{width} pixels "
                    f"({brief(error)}); choose another --fit or --size"
                ) from error

        def fits(batch: Batch, accumulator: Accumulator) -> bool:
            try:
                forward(batch, accumulator)
            except MemoryError as error:
                accumulator.discard()
                if len(batch.numbers) == 1:
                    raise ModelError(
                        f"memory does not suffice for one image ({brief(error)}); choose fewer layers or a "
                        f"smaller --size"
                    ) from error
                return False
            return True

        def count(chunk: Chunk, accumulator: Accumulator) -> None:
            nonlocal most
            for batch in chunk.batches:
                done = 0
                while done < len(batch.numbers):
                    if fits(batch.part(done, done + most), accumulator):
                        done += most
                    else:
                        most = max(1, most // 2)

        yield count


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
