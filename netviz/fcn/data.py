"""Whole images with a class for every pixel, checked before training, and changed before they are learned from."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from netviz.engines import Progress
from netviz.errors import ImageError
from netviz.fcn.metrics import VOID
from netviz.images import read_image
from netviz.images.labelled.folder import open_labelled
from netviz.images.labelled.masks import IndexMasks

Pixels = NDArray[np.uint8]

Truth = NDArray[np.int16]


@dataclass(frozen=True)
class Augmentation:
    """How an image is changed before it is learned from.

    Attributes
    ----------
    flip : bool
        Whether half of the images are mirrored.
    short_side : int or None
        To how many pixels the short side is brought before all else.
    scale : (float, float) or None
        Between which factors images are resized then.
    crop : (int, int) or None
        Height and width in pixels of what is cut out; what lies outside of the image is void.
    jitter : float
        By how much brightness and contrast change at most, as a share.
    fill : tuple of int
        The colour, RGB, of what lies outside of the image.
    """

    flip: bool = False
    short_side: int | None = None
    scale: tuple[float, float] | None = None
    crop: tuple[int, int] | None = None
    jitter: float = 0.0
    fill: tuple[int, ...] = (124, 116, 104)

    def __call__(self, pixels: Pixels, truth: Truth, rng: np.random.Generator) -> tuple[Pixels, Truth]:
        """Return an image (H, W, 3) and its classes (H, W), changed."""
        if self.flip and rng.random() < 0.5:
            pixels, truth = pixels[:, ::-1], truth[:, ::-1]
        if self.scale is not None or self.crop is not None or self.short_side is not None:
            factor = rng.uniform(*self.scale) if self.scale is not None else 1.0
            factor *= 1.0 if self.short_side is None else self.short_side / min(truth.shape)
            pixels, truth = self._cut(pixels, truth, factor, rng)
        if self.jitter:
            contrast, brightness = 1 + self.jitter * rng.uniform(-1, 1, 2)
            # A table for the 256 values: brightness and contrast treat all pixels alike.
            table = ((np.arange(256) - pixels.mean()) * contrast + pixels.mean()) * brightness
            pixels = np.rint(np.clip(table, 0, 255)).astype(np.uint8)[pixels]
        return np.ascontiguousarray(pixels), np.ascontiguousarray(truth)

    def _cut(
        self, pixels: Pixels, truth: Truth, factor: float, rng: np.random.Generator
    ) -> tuple[Pixels, Truth]:
        """Resize an image and cut a window out of it, at once."""
        original = truth.shape
        scaled = [max(1, round(side * factor)) for side in original]
        wanted = self.crop or (scaled[0], scaled[1])
        spans = []
        for axis in (0, 1):
            # Where the part that is kept begins in the scaled image and in the window, and how long it is.
            spare = scaled[axis] - wanted[axis]
            offset = int(rng.integers(0, abs(spare) + 1))
            length = min(scaled[axis], wanted[axis])
            spans.append((offset if spare > 0 else 0, 0 if spare > 0 else offset, length))
        (top, down, rows), (left, right, cols) = spans
        ratios = [side / now for side, now in zip(original, scaled, strict=True)]
        box = (left * ratios[1], top * ratios[0], (left + cols) * ratios[1], (top + rows) * ratios[0])
        part = Image.fromarray(np.ascontiguousarray(pixels)).resize(
            (cols, rows), Image.Resampling.BILINEAR, box=box
        )
        places = [
            np.minimum(((np.arange(first, first + count) + 0.5) * ratio).astype(np.intp), side - 1)
            for first, count, ratio, side in zip((top, left), (rows, cols), ratios, original, strict=True)
        ]
        image = np.empty((*wanted, 3), dtype=np.uint8)
        image[:] = self.fill
        labels = np.full(wanted, VOID, dtype=np.int16)
        image[down : down + rows, right : right + cols] = np.asarray(part)
        labels[down : down + rows, right : right + cols] = truth[places[0][:, None], places[1]]
        return image, labels


_ORIENTATION = 0x0112  # EXIF; from 5 on rows and columns are exchanged


@dataclass(frozen=True)
class Segmentation:
    """Images whose pixels each have a class, or none; it can be sent to worker processes.

    Attributes
    ----------
    labels : IndexMasks
    classes : tuple of str
    named : bool
        Whether somebody named the classes.
    numbers : tuple of int
        Which of the labelled images these are.
    """

    labels: IndexMasks
    classes: tuple[str, ...]
    named: bool
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, at: int) -> str:
        """Return an image's path."""
        return str(self.labels.images[self.numbers[at]])

    def mask(self, at: int) -> str:
        """Return the path of an image's mask."""
        return str(self.labels.masks[self.numbers[at]])

    def size(self, at: int) -> tuple[int, int]:
        """Return an image's height and width in pixels, without decoding it."""
        path = self.name(at)
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION, 1) >= 5
        except Exception:  # Pillow raises what it likes on damaged files; reading it says what is wrong
            pixels = read_image(path).pixels
            return pixels.shape[0], pixels.shape[1]
        return (width, height) if turned else (height, width)

    def truth(self, at: int, size: tuple[int, int]) -> Truth:
        """Return the classes (H, W) of an image of this height and width; `VOID` where a pixel has none.

        Raises
        ------
        ImageError
            If the mask is missing, has another size, or holds a value that is no class.
        """
        number = self.numbers[at]
        codes = self.labels.read(number, size, np.zeros((1, 1, 3), dtype=np.uint8)).codes[0]
        if codes.shape != size:
            rows, cols = codes.shape
            raise ImageError(
                f"{self.mask(at)} is {rows}×{cols} pixels (height × width), but its image is "
                f"{size[0]}×{size[1]}; make the mask anew"
            )
        here = codes[codes < len(self.labels.concepts)].max(initial=VOID)
        if here >= len(self.classes):
            raise ImageError(
                f"{self.mask(at)} holds {self.labels.concepts[here].name}, which the training data have not; "
                "make it void with --void"
            )
        return np.where(codes < len(self.classes), codes, VOID).astype(np.int16)

    def read(self, at: int) -> tuple[Pixels, Truth]:
        """Return an image (H, W, 3) and the classes of its pixels (H, W).

        Raises
        ------
        ImageError
            If it cannot be read, or its mask does not fit.
        """
        pixels = read_image(self.name(at)).pixels
        return pixels, self.truth(at, (pixels.shape[0], pixels.shape[1]))

    def part(self, chosen: Sequence[int]) -> "Segmentation":
        """Return some of the images."""
        return replace(self, numbers=tuple(self.numbers[at] for at in chosen))


def open_segmentation(folder: str | Path, *, void: int | Collection[int] = ()) -> Segmentation:
    """Open a folder with a mask of class numbers for each image.

    Parameters
    ----------
    folder : str or Path
        With ``images/``, ``labels/`` and perhaps ``classes.txt``, or in Pascal VOC's layout.
    void : int or collection of int
        Values of masks that count nowhere, besides 255 and classes called void.

    Raises
    ------
    ImageError
        If it is neither.
    """
    labels = open_labelled(folder, void=void)
    if not isinstance(labels, IndexMasks):
        raise ImageError(
            f"{folder} has no mask of class numbers for each image; give images/ with labels/, or VOC's layout"
        )
    names = tuple(one.name for one in labels.concepts)
    return Segmentation(labels, names, labels.named, tuple(range(len(labels.images))))


def check(data: Segmentation, progress: Progress | None = None) -> tuple[Segmentation, NDArray[np.int64]]:
    """Look at every mask before training: return the data with the classes that there are, and their pixels.

    Without ``classes.txt`` there are as many classes as the largest value tells.

    Returns
    -------
    data : Segmentation
    pixels : ndarray of int64, shape (classes,)

    Raises
    ------
    ImageError
        If a mask does not fit, or a named class never occurs.
    """
    counts = np.zeros(len(data.classes), dtype=np.int64)
    for at in range(len(data)):
        if progress is not None:
            progress("masks", at, len(data))
        truth = data.truth(at, data.size(at))
        counts += np.bincount(truth[truth != VOID], minlength=len(counts))
    if progress is not None:
        progress("masks", len(data), len(data))
    if not counts.any():
        raise ImageError("all pixels of the training data are void; choose other values for --void")
    if not data.named:
        kept = int(np.flatnonzero(counts)[-1]) + 1
        return replace(data, classes=data.classes[:kept]), counts[:kept]
    absent = [number for number, count in enumerate(counts) if not count]
    if absent:
        values = {code: value for value, code in data.labels.codes.items()}
        names = ", ".join(data.classes[number] for number in absent)
        raise ImageError(
            f"the training data have no pixel of class {names}; add images with it, or leave it out with "
            f"--void {','.join(str(values[number]) for number in absent)}"
        )
    return data, counts


def held_out(data: Segmentation, seed: int, share: float = 0.1) -> tuple[Segmentation, Segmentation]:
    """Return data for training, and a fixed part of them for choosing.

    Raises
    ------
    ImageError
        If there is only one image.
    """
    if len(data) < 2:
        raise ImageError("one image cannot be split into training and validation; give more, or --val")
    count = max(1, round(share * len(data)))
    order = np.random.default_rng([seed, len(data)]).permutation(len(data))
    return data.part(sorted(order[count:].tolist())), data.part(sorted(order[:count].tolist()))


class Examples(torch.utils.data.Dataset[Any]):
    """Augmented images by epoch and number: the same for any number of workers.

    Parameters
    ----------
    data : Segmentation
    augmentation : Augmentation
    seed : int
    """

    def __init__(self, data: Segmentation, augmentation: Augmentation, seed: int) -> None:
        self.data, self.augmentation, self.seed = data, augmentation, seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor] | ImageError:
        """Return image (H, W, 3) uint8 and classes (H, W) int16 for an epoch and a number, or what is wrong."""
        epoch, at = key
        rng = np.random.default_rng([self.seed, epoch, at])
        try:
            pixels, truth = self.augmentation(*self.data.read(at), rng)
        except ImageError as error:
            return error  # raised in a worker process, it would arrive with its traceback as text
        return torch.from_numpy(pixels), torch.from_numpy(truth)


def batches(count: int, batch: int, seed: int, epoch: int, start: int = 0) -> Iterator[list[tuple[int, int]]]:
    """Yield an epoch's batches of keys of `Examples`, from batch `start` on; a rest too small is left out."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    size = min(batch, count)
    for at in range(start, count // size):
        yield [(epoch, int(number)) for number in order[at * size : (at + 1) * size]]


def load_batches(examples: Examples, keys: Sequence[Any], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of examples, (N, H, W, 3) and (N, H, W), read by so many processes.

    Raises
    ------
    ImageError
        If an image or its mask cannot serve.
    """
    for batch in torch.utils.data.DataLoader(
        examples,
        batch_sampler=list(keys),
        num_workers=workers,
        collate_fn=_stacked,
        generator=torch.Generator(),  # else the caller's random numbers would move on
    ):
        if isinstance(batch, ImageError):
            raise batch
        yield batch


def _stacked(items: list[Any]) -> Any:
    wrong = next((item for item in items if isinstance(item, ImageError)), None)
    return wrong or (torch.stack([one for one, _ in items]), torch.stack([one for _, one in items]))
