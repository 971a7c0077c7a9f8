"""Images with their labels, on their way to the network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netviz.engines import Item
from netviz.images import placement, prepare, prepare_pixels, read_image
from netviz.images.labelled.labels import Codes, Labels, LabelSet
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
        pixels = prepare_pixels(photo, self.preprocessing)[0]
        if not self.hand_out and not self.labels.files(number):
            return Item(number, pixels, size)
        shown = pixels if pixels.dtype == np.uint8 else prepare(photo, self.preprocessing).image
        labels = self.labels.read(number, size, shown.astype(np.uint8, copy=False))
        if not self.hand_out:
            return Item(number, pixels, size)
        codes = labels.codes if labels.shown else to_input(labels.codes, size, self.preprocessing)
        labels = replace(labels, codes=codes)
        beyond = beyond_image(size, self.preprocessing)
        if beyond.any():
            labels = self._without(labels, beyond)
        extra = {"labels": labels.codes, "first": labels.first, "whole": labels.whole}
        return Item(number, pixels, size, extra)

    def _without(self, labels: Labels, beyond: NDArray[np.bool_]) -> Labels:
        """Return the labels with nothing known of some pixels: what holds for the whole image gets planes there."""
        concepts, categories = self.labels.concepts, list(self.labels.categories)
        void = len(concepts) + len(categories)
        codes = np.where(beyond, np.int32(void), labels.codes)
        number = np.array([categories.index(one.category) for one in concepts], dtype=np.int64)
        # Codes of a category's own concepts, or of none of them, are in the planes of pixels.
        of_code = np.append(number, np.arange(len(categories)))
        labelled = set(of_code[[code for code in np.unique(labels.codes).tolist() if code < void]].tolist())
        planes, first = [codes], labels.first.tolist()
        for concept in labels.whole.tolist():
            planes.append(np.where(beyond, np.int32(void), np.int32(concept))[None])
            first.append(number[concept] not in labelled)
            labelled.add(int(number[concept]))
        return Labels(np.concatenate(planes), np.array(first, dtype=bool), shown=labels.shown)


def beyond_image(size: tuple[int, int], preprocessing: Preprocessing) -> NDArray[np.bool_]:
    """Return for each pixel of the network's input whether it shows nothing of an image of this height and width."""
    rows, cols = (
        (np.arange(shown) + offset < 0) | (np.arange(shown) + offset >= resized)
        for resized, offset, shown in zip(*placement(*size, preprocessing), strict=True)
    )
    return np.logical_or.outer(rows, cols)


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
