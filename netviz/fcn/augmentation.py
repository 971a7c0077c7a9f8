"""How images and the classes of their pixels are changed before they are learned from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.fcn.metrics import VOID

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
