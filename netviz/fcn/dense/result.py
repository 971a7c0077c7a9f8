"""A network run over a whole image: a map of scores for each class; and what that saves."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Arrays, Result

Pair = tuple[float, float]


@dataclass(frozen=True)
class DenseResult(Result):
    """Score maps of a network on a whole image, placed on it.

    Every place and length is in pixels of the original image, where the middle of the first pixel is 0.

    Attributes
    ----------
    scores : ndarray of float32, shape (K, h, w)
        Raw scores of the chosen classes. Of several levels: the maximum over them, on the finest one's grid.
    center_y, center_x : ndarray of float64, shapes (h,) and (w,)
        Where the cells of that grid look.
    classes : ndarray of int64, shape (K,)
        The chosen classes' numbers.
    level : ndarray of uint8, shape (K, h, w)
        The level that a score comes from.
    image : ndarray of uint8, shape (H, W, 3)
        The original.
    levels : dict of str to ndarray
        Of several levels, each one's raw `scores_0`, `center_y_0` and `center_x_0`, and so on; else empty.
    network, image_name : str
        What network and image are called.
    labels : tuple of str
        The chosen classes' names; empty strings where they are not known.
    channels : int
        How many classes, or maps, the network has.
    chosen : str
        ``"asked"``, or ``"top"``: those with the highest scores anywhere.
    cast : bool
        Whether a classifier was made fully convolutional for this.
    placed : str
        How a cell is placed: ``"geometry"`` (the centre of its receptive field), ``"pixels"`` (the map has the
        input's size, so a cell is a pixel), ``"window"`` (the middle of its window), ``"anchors"`` (the centre of its
        anchors) or ``"spread"`` (evenly over the image, as its receptive field is not known, or is the whole image).
    window_of : str
        What a window is: ``"crop"`` (what a classifier would have to be shown to give that score, but for padding at
        its border), ``"field"`` (the receptive field), ``"anchor"`` (the extent of a cell's largest anchors) or
        ``"image"`` (all of it).
    scales, inputs : tuple
        For each level the image's relative size (a detection network has several levels at one), and the height and
        width at which the network saw it.
    strides : tuple of (float, float)
        For each level the distance from cell to cell.
    windows : tuple of (float, float, float, float)
        For each level the window of its cell 0, 0: top, left, height, width. That of the next cell lies a stride on;
        the image's own top and left edges are 0.
    field : tuple of float
        Height and width of the receptive field at the first level, in pixels of the network's input; empty if
        unknown.
    field_status : str
    input : str
        How the image was brought to the network.
    output : str
        The name of the output that holds the scores; empty where the network gives one tensor.
    padded : int
        To multiples of how many pixels the image's sides were continued (reflected), as the network takes only these;
        what it gives for that is cropped. 0 if they were not.
    called : str
        What a score is of: ``"class"``, or ``"channel"`` where nothing says that the network's outputs are classes.
    """

    kind: ClassVar[str] = "dense"
    axes: ClassVar[dict[str, str]] = {
        "scores": "labels rows columns",
        "center_y": "rows",
        "center_x": "columns",
        "classes": "labels",
        "level": "labels rows columns",
        "image": "* * 3",
        "inputs": "scales",
        "strides": "scales",
        "windows": "scales",
    }
    ranges: ClassVar[dict[str, str]] = {
        "scores": "any",
        "center_y": "-1e9…1e9",
        "center_x": "-1e9…1e9",
        "windows": "-1e9…1e9",
        "field": "0…1e9",
        "classes": "0:channels",
        "level": "0:scales",
        "levels": "any",
        "chosen": "asked | top",
        "placed": "geometry | pixels | window | anchors | spread",
        "window_of": "crop | field | anchor | image",
        "scales": "0…1e9",
        "inputs": "1…1e9",
        "strides": "0…1e9",
        "padded": "0…",
        "called": "class | channel",
        "field_status": "exact | upper_bound | global | unknown",
    }

    scores: NDArray[np.float32]
    center_y: NDArray[np.float64]
    center_x: NDArray[np.float64]
    classes: NDArray[np.int64]
    level: NDArray[np.uint8]
    image: NDArray[np.uint8]
    network: str
    image_name: str
    labels: tuple[str, ...]
    channels: int
    chosen: str
    cast: bool
    placed: str
    window_of: str
    scales: tuple[float, ...]
    inputs: tuple[tuple[int, int], ...]
    strides: tuple[Pair, ...]
    windows: tuple[tuple[float, float, float, float], ...]
    field: tuple[float, ...]
    field_status: str
    levels: Arrays
    output: str = ""
    padded: int = 0
    called: str = "class"

    @property
    def stride(self) -> Pair:
        """The distance from cell to cell of `scores`, down and across."""
        return self.strides[self.finest]

    @property
    def finest(self) -> int:
        """The level whose grid `scores` has."""
        return self.strides.index(min(self.strides))

    def peak(self, number: int) -> tuple[int, int]:
        """Return row and column of the highest score of the class that stands at this place in `classes`."""
        values = np.where(np.isfinite(self.scores[number]), self.scores[number], -np.inf)
        row, col = np.unravel_index(int(values.argmax()), values.shape)
        return int(row), int(col)

    def window(self, number: int, row: int, col: int) -> tuple[float, float, float, float]:
        """Return what a cell's score was made of: top, left, height, width; it may reach beyond the image."""
        level = int(self.level[number, row, col])
        top, left, height, width = self.windows[level]
        if self.window_of == "image":
            return top, left, height, width
        at = (row, col)
        if level != self.finest:
            fine, coarse = self.windows[self.finest], self.windows[level]
            # The coarse cell whose window has its middle nearest to where the fine one would have it.
            at = (
                round(_nearest(fine[0::2], self.stride[0], coarse[0::2], self.strides[level][0], row)),
                round(_nearest(fine[1::2], self.stride[1], coarse[1::2], self.strides[level][1], col)),
            )
        down, across = self.strides[level]
        return top + at[0] * down, left + at[1] * across, height, width


def _nearest(
    fine: tuple[float, ...], step: float, coarse: tuple[float, ...], stride: float, at: int
) -> float:
    middle = fine[0] + at * step + fine[1] / 2
    return (middle - coarse[0] - coarse[1] / 2) / stride


@dataclass(frozen=True)
class CompareResult(Result):
    """One class's score over an image by three ways, with what each of them cost.

    Attributes
    ----------
    dense, sliding : ndarray of float32, shape (h, w)
        By one pass over the image; by the classifier on each crop.
    regions : ndarray of float32, shape (H, W)
        For every pixel the score of the smallest measured region that holds it; NaN where there is none.
    boxes : ndarray of int64, shape (R, 4)
        The measured regions: top, left, bottom, right, half-open, in pixels of the original.
    box_scores : ndarray of float32, shape (R,)
    center_y, center_x : ndarray of float64, shapes (h,) and (w,)
        Where the cells look, in pixels of the original.
    seconds : ndarray of float64, shape (4,)
        Of one dense pass (median), the crops one by one, the crops in batches, the measured regions one by one.
    evaluations : ndarray of int64, shape (4,)
        How often the network saw an input in each of these.
    image : ndarray of uint8, shape (H, W, 3)
    network, image_name : str
    class_index, label : int, str
    stride : (float, float)
        From cell to cell, in pixels of the original.
    window : (float, float, float, float)
        Of the first cell: top, left, height, width, in pixels of the original.
    input_size, crop : (int, int)
        Height and width of the dense pass's input, and of a crop, in pixels.
    batch : int
        Crops in a batch.
    repeats : int
        How many dense passes the median is over.
    proposals : int
        How many regions the segmentation proposed; those measured are spread evenly over them.
    proposal_seconds : float
        What proposing took; it is not part of `seconds`.
    per_image : int
        The number of regions that the cost of regions is scaled to.
    deviation : float
        Mean absolute difference between dense and sliding scores, in standard deviations of the sliding ones: the
        crops are padded with zeros where the dense pass sees the image go on.
    correlation : float
        Between the two.
    device : str
    threads : int
    output : str
        As in `DenseResult`.
    """

    kind: ClassVar[str] = "dense-compare"
    axes: ClassVar[dict[str, str]] = {
        "dense": "rows columns",
        "sliding": "rows columns",
        "regions": "height width",
        "boxes": "measured 4",
        "box_scores": "measured",
        "center_y": "rows",
        "center_x": "columns",
        "seconds": "4",
        "evaluations": "4",
        "image": "height width 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "center_y": "-1e9…1e9",
        "center_x": "-1e9…1e9",
        "window": "-1e9…1e9",
        "boxes": "-1e9…1e9",
        "dense": "any",
        "sliding": "any",
        "regions": "any",
        "box_scores": "any",
        "seconds": "0…",
        "evaluations": "1…",
        "class_index": "0…",
        "stride": "0…1e9",
        "input_size": "1…1e9",
        "crop": "1…1e9",
        "batch": "1…",
        "repeats": "1…",
        "proposals": "0…",
        "proposal_seconds": "0…",
        "per_image": "1…",
        "deviation": "any",
        "correlation": "any",
        "threads": "0…",
    }

    dense: NDArray[np.float32]
    sliding: NDArray[np.float32]
    regions: NDArray[np.float32]
    boxes: NDArray[np.int64]
    box_scores: NDArray[np.float32]
    center_y: NDArray[np.float64]
    center_x: NDArray[np.float64]
    seconds: NDArray[np.float64]
    evaluations: NDArray[np.int64]
    image: NDArray[np.uint8]
    network: str
    image_name: str
    class_index: int
    label: str
    stride: Pair
    window: tuple[float, float, float, float]
    input_size: tuple[int, int]
    crop: tuple[int, int]
    batch: int
    repeats: int
    proposals: int
    proposal_seconds: float
    per_image: int
    deviation: float
    correlation: float
    device: str
    threads: int
    output: str = ""

    def fault(self) -> str:
        """Return whether a way took no time."""
        return "" if self.seconds.all() else "seconds holds 0"

    @property
    def rows(self) -> tuple[tuple[str, int, float, float], ...]:
        """The table: way, evaluations, seconds and how many times the dense pass's seconds.

        The last row is the regions scaled to `per_image`.
        """
        one = float(self.seconds[0])
        names = (
            "dense pass",
            "sliding window",
            f"sliding window, batches of {self.batch}",
            "regions, measured",
        )
        rows = [
            (name, int(count), float(time), float(time) / one)
            for name, count, time in zip(names, self.evaluations, self.seconds, strict=True)
        ]
        scaled = float(self.seconds[3]) / int(self.evaluations[3]) * self.per_image
        return (*rows, (f"regions, scaled to {self.per_image}", self.per_image, scaled, scaled / one))

    def summary(self) -> dict[str, Any]:
        """Return the facts with each array's shape, and the table as numbers."""
        names = ("way", "evaluations", "seconds", "ratio")
        return {**super().summary(), "table": [dict(zip(names, row, strict=True)) for row in self.rows]}
