"""Images on their way to the network: read and resized in worker processes, in batches that are always the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.errors import ImageError
from netviz.images import Photo, Values, prepare_pixels, read_image
from netviz.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Item:
    """One image ready for the network but for its normalization.

    Attributes
    ----------
    number : int
        Its place in the list of images.
    pixels : ndarray of uint8, shape (H, W, 3), or float32, shape (H, W, C)
        Resized and cropped, as `prepare_pixels` gives them.
    size : (int, int)
        Height and width of the original, in pixels.
    extra : mapping of str to ndarray
        What else belongs to it, such as a label mask.
    """

    number: int
    pixels: Values
    size: tuple[int, int]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Source(Protocol):
    """A numbered list of images; it is sent to worker processes, so it holds names, not pixels."""

    def __len__(self) -> int:
        """Return how many images there are."""

    def load(self, number: int) -> Item:
        """Read one.

        Raises
        ------
        ImageError
            If it cannot be read.
        """


@dataclass(frozen=True)
class Files:
    """Image files, ``skimage:NAME``, or images that were read.

    Attributes
    ----------
    paths : sequence of str, Path or Photo
    preprocessing : Preprocessing
        The network's, with the size that images are brought to.
    """

    paths: Sequence[str | Path | Photo]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, number: int) -> Item:
        """Read and resize one image."""
        photo = read_image(self.paths[number])
        pixels = prepare_pixels(photo, self.preprocessing)[0]
        return Item(number, pixels, (photo.pixels.shape[0], photo.pixels.shape[1]))


@dataclass(frozen=True)
class Batch:
    """Images of one size.

    Attributes
    ----------
    numbers : ndarray of int64, shape (N,)
        Which images.
    pixels : Tensor of uint8, shape (N, H, W, 3), or float32, shape (N, H, W, C)
    sizes : ndarray of int32, shape (N, 2)
        Heights and widths of the originals.
    extra : mapping of str to tuple of ndarray
        What else belongs to them, one array per image.
    """

    numbers: NDArray[np.int64]
    pixels: Tensor
    sizes: NDArray[np.int32]
    extra: Mapping[str, tuple[NDArray[Any], ...]]

    def part(self, start: int, stop: int) -> "Batch":
        """Return some of its images."""
        chosen = slice(start, stop)
        extra = {name: values[chosen] for name, values in self.extra.items()}
        return Batch(self.numbers[chosen], self.pixels[chosen], self.sizes[chosen], extra)


@dataclass(frozen=True)
class Chunk:
    """A run of consecutive images: the batches they make, by size, and those that could not be read.

    Attributes
    ----------
    number : int
        Which chunk.
    batches : tuple of Batch
        In the order of their first images.
    skipped : tuple of (int, str)
        Numbers of images, and why.
    """

    number: int
    batches: tuple[Batch, ...]
    skipped: tuple[tuple[int, str], ...]


def load_chunk(source: Source, number: int, batch: int) -> Chunk:
    """Read the images of one chunk. What a batch holds depends on the list of images alone, never on who reads it."""
    items: dict[tuple[Any, ...], list[Item]] = {}
    skipped = []
    for image in range(number * batch, min((number + 1) * batch, len(source))):
        try:
            item = source.load(image)
        except ImageError as error:
            skipped.append((image, str(error)))
            continue
        items.setdefault((*item.pixels.shape, item.pixels.dtype), []).append(item)
    return Chunk(number, tuple(_batch(group) for group in items.values()), tuple(skipped))


def _batch(items: Sequence[Item]) -> Batch:
    return Batch(
        numbers=np.array([item.number for item in items], dtype=np.int64),
        pixels=torch.from_numpy(np.stack([item.pixels for item in items])),
        sizes=np.array([item.size for item in items], dtype=np.int32),
        extra={name: tuple(item.extra[name] for item in items) for name in items[0].extra},
    )
