"""The labels of a batch of images, ready to be met by what units see."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.engines.grids import Ints
from netviz.engines.spans import Spans


class BatchLabels:
    """The labels of a batch, and where along its row each run of one code ends.

    Parameters
    ----------
    extra : mapping of str to sequence of ndarray
        What came with the images: ``labels``, ``first`` and ``whole``, as `Concepts` tells.
    size : int
        Pixels of an image.
    category : ndarray of int64, shape (concepts,)
    categories : int

    Attributes
    ----------
    most : int
        Most planes that an image has.
    belongs : ndarray of int64, shape (concepts, categories)
        1 where the concept is of the category.
    whole : ndarray of int64, shape (N, concepts)
        1 where a concept is of all of the image.
    only_whole : ndarray of int64, shape (N, categories)
        1 where an image is labelled in a category as a whole and not by pixel.
    """

    def __init__(
        self, extra: Mapping[str, Sequence[NDArray[Any]]], size: int, category: Ints, categories: int
    ) -> None:
        each = extra["labels"]
        self.size, self.category = size, category
        self.concepts, self.codes = len(category), len(category) + categories + 1
        self.planes: NDArray[np.int32] = np.concatenate(each).astype(np.int32, copy=False)
        self.first: NDArray[np.bool_] = np.concatenate(extra["first"])
        self.count = np.array([len(one) for one in each])
        self.start = np.cumsum(self.count) - self.count
        self.most = int(self.count.max(initial=0))
        self.image = np.repeat(np.arange(len(each)), self.count)
        self.ends = _run_ends(self.planes)
        self.belongs = np.zeros((self.concepts, categories), dtype=np.int64)
        self.belongs[np.arange(self.concepts), category] = 1
        self.whole = np.zeros((len(each), self.concepts), dtype=np.int64)
        for image, concepts in enumerate(extra["whole"]):
            self.whole[image, concepts] = 1
        self.by_plane = np.zeros((len(self.planes), self.codes), dtype=np.int64)
        for counted, plane in zip(self.by_plane, self.planes, strict=True):
            counted += np.bincount(plane.ravel(), minlength=self.codes)
        by_pixel = np.zeros((len(each), categories), dtype=bool)
        np.logical_or.at(by_pixel, self.image, self._known(self.by_plane) > 0)
        self.only_whole = ((self.whole @ self.belongs > 0) & ~by_pixel).astype(np.int64)

    def counts(self) -> Ints:
        """Return how many pixels of each image each concept has, (N, concepts)."""
        counts = self.whole * self.size
        np.add.at(counts, self.image, self.by_plane[:, : self.concepts])
        return counts

    def pixels(self) -> Ints:
        """Return in how many pixels of each image each category is known, (N, categories)."""
        known = self.only_whole * self.size
        np.add.at(known, self.image[self.first], self._known(self.by_plane[self.first]))
        return known

    def meet(self, spans: Spans, plane: int, units: int) -> list[tuple[bool, Ints]]:
        """Count, unit by code, the pixels of spans in one plane of each image.

        Returns
        -------
        list of (bool, ndarray of int64 of shape (units, codes))
            Apart for the planes that are the first of their category and for those that are not.
        """
        here = np.flatnonzero(plane < self.count[spans.image])
        number = self.start[spans.image[here]] + plane
        leading = self.first[number]
        found = []
        for first in (True, False):
            some = here[leading == first]
            if len(some):
                chosen = Spans(*(one[some] for one in spans))
                found.append((first, self._meet(number[leading == first], chosen, units)))
        return found

    def _meet(self, plane: Ints, spans: Spans, units: int) -> Ints:
        height, width = self.planes.shape[1:]
        codes, ends = self.planes.reshape(-1), self.ends.reshape(-1)
        line = (plane * height + spans.row) * width
        unit, begin, end = spans.unit * self.codes, spans.begin, spans.end
        keys, weights = [], []
        while len(begin):
            at = line + begin
            stop = np.minimum(ends.take(at), end)
            keys.append(unit + codes.take(at))
            weights.append(stop - begin)
            rest = np.flatnonzero(stop < end)
            line, unit, begin, end = (one.take(rest) for one in (line, unit, stop, end))
        counted = total(np.concatenate(keys), np.concatenate(weights), units * self.codes)
        return counted.reshape(units, self.codes)

    def _known(self, counts: Ints) -> Ints:
        """Return how many pixels of each plane are known in each category."""
        return counts[:, : self.concepts] @ self.belongs + counts[:, self.concepts : -1]


def _run_ends(planes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return for each pixel the first column after it where its row has another code."""
    width = planes.shape[-1]
    ends = np.full(planes.shape, width, dtype=np.int32)
    change = planes[..., 1:] != planes[..., :-1]
    np.copyto(ends[..., :-1], np.arange(1, width, dtype=np.int32), where=change)
    return np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]


def total(keys: Ints, weights: Ints, size: int) -> Ints:
    """Add weights by key; sums below 2⁵³ are exact in the double precision that this is done in."""
    return np.rint(np.bincount(keys, weights, minlength=size)).astype(np.int64)
