"""Images with their labels, on their way to the network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.engines import Item
from netviz.images import placement, prepare_pixels, read_image
from netviz.images.labelled.labels import Codes, LabelSet
from netviz.models import Preprocessing


@dataclass(frozen=True)
class Labelled:
    """Image files with labels.

    Attributes
    ----------
    labels : LabelSet
    names : sequence of str
        The image files' full names.
    preprocessing : Preprocessing
        The network's, with the size that images are brought to.
    hand_out : bool
        Whether images come with their labels. If not, they are looked at all the same, so that an image whose labels
        do not fit is left out everywhere.
    """

    labels: LabelSet
    names: Sequence[str]
    preprocessing: Preprocessing
    hand_out: bool = True

    def __len__(self) -> int:
        return len(self.names)

    def load(self, number: int) -> Item:
        """Read and resize one image, and bring its labels to the same pixels.

        Raises
        ------
        ImageError
            If the image cannot be read, or its labels do not fit.
        """
        photo = read_image(self.names[number])
        size = photo.pixels.shape[0], photo.pixels.shape[1]
        pixels = prepare_pixels(photo.pixels, self.preprocessing)[0]
        if not self.hand_out and not self.labels.files(number):
            return Item(number, pixels, size)
        labels = self.labels.read(number, size, pixels)
        if not self.hand_out:
            return Item(number, pixels, size)
        codes = labels.codes if labels.shown else to_input(labels.codes, size, self.preprocessing)
        extra = {"labels": codes, "first": labels.first, "whole": labels.whole}
        return Item(number, pixels, size, extra)


def to_input(codes: Codes, size: tuple[int, int], preprocessing: Preprocessing) -> Codes:
    """Give each pixel of the network's input the code of the label pixel that its middle lies in.

    Parameters
    ----------
    codes : ndarray of int32, shape (P, h, w)
        Of the whole image, at any resolution.
    size : (int, int)
        Height and width of the image file, in pixels.
    preprocessing : Preprocessing
        How images are brought to the network's size.

    Returns
    -------
    ndarray of int32, shape (P, H, W)
    """
    rows, cols = (
        _nearest(length, *axis)
        for length, axis in zip(
            codes.shape[1:], zip(*placement(*size, preprocessing), strict=True), strict=True
        )
    )
    chosen: Codes = codes[:, rows[:, None], cols]
    return chosen


def _nearest(length: int, resized: int, offset: int, shown: int) -> NDArray[np.int64]:
    """Return for each pixel of the input the label pixel that its middle lies in, in whole numbers alone."""
    middle = 2 * (np.arange(shown) + offset) + 1
    return np.clip(middle * length // (2 * resized), 0, length - 1)
