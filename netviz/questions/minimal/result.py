"""The part of an image that suffices for a prediction."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from netviz.results.base import Result


@dataclass(frozen=True)
class MinimalResult(Result):
    """Segments removed greedily, as long as the prediction stays (Zhou et al., 2015).

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    minimal : ndarray of uint8, shape (H, W, 3)
        The last image that was still predicted as the class.
    filling : ndarray of uint8, shape (H, W, 3)
        What removed segments show.
    segments : ndarray of int64, shape (H, W)
        The segment that each pixel belongs to, 0 … count - 1.
    order : ndarray of int64, shape (steps,)
        Segments as they were removed; where `flipped`, the last one was put back.
    scores : ndarray of float64, shape (steps,)
        The class's score after each removal.
    predictions : ndarray of int64, shape (steps,)
        The class with the highest score after each removal.
    network, image_name : str
        What network and image are called.
    class_index, label : int, str
        The class; its label is empty where the network's are not known.
    score, score_of : float, str
        The score on the whole image, and what it is: the network's raw output, or its mean over an output map.
    fill : str
        ``"blur"`` or ``"mean"``.
    blur : float
        Standard deviation of the blur in pixels; 0 for another filling.
    asked, count : int
        How many segments were asked for, and how many there are.
    removed : int
        How many are missing in `minimal`.
    share : float
        Which share of the image's pixels `minimal` keeps.
    flipped : bool
        Whether the prediction changed; else it stayed with all segments removed.
    end_index, end_label : int, str
        The prediction after the last removal.
    evaluations : int
        How many images were judged.
    full_passes : str
        Empty if only what a removal changes was computed; else why each took a full pass.
    output : str
        The name of the output that holds the scores; empty where the network gives one tensor.
    """

    kind: ClassVar[str] = "minimal"
    axes: ClassVar[dict[str, str]] = {
        "image": "height width 3",
        "minimal": "height width 3",
        "filling": "height width 3",
        "segments": "height width",
        "order": "steps?",
        "scores": "steps?",
        "predictions": "steps?",
    }
    ranges: ClassVar[dict[str, str]] = {
        "segments": "0:count",
        "order": "0:count",
        "predictions": "0…",
        "class_index": "0…",
        "fill": "blur | mean",
        "blur": "0…",
        "asked": "0…",
        "count": "1…",
        "removed": "0…",
        "share": "0…1",
        "end_index": "0…",
        "evaluations": "0…",
    }

    image: NDArray[np.uint8]
    minimal: NDArray[np.uint8]
    filling: NDArray[np.uint8]
    segments: NDArray[np.int64]
    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    predictions: NDArray[np.int64]
    network: str
    image_name: str
    class_index: int
    label: str
    score: float
    score_of: str
    fill: str
    blur: float
    asked: int
    count: int
    removed: int
    share: float
    flipped: bool
    end_index: int
    end_label: str
    evaluations: int
    full_passes: str
    output: str = ""

    @property
    def name(self) -> str:
        """The class by its label, or its index."""
        return self.label or f"class {self.class_index}"

    @property
    def end_name(self) -> str:
        """The prediction after the last removal, by its label or its index."""
        return self.end_label or f"class {self.end_index}"

    def after(self, steps: int) -> NDArray[np.uint8]:
        """Return the image with the first so many segments of `order` removed."""
        gone = np.isin(self.segments, self.order[:steps])
        image: NDArray[np.uint8] = np.where(gone[..., None], self.filling, self.image)
        return image


class ClassShare(TypedDict):
    """What the images of one class need: see `MinimalSetResult`."""

    class_index: int
    label: str
    images: int
    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class MinimalSetResult(Result):
    """Which share of each of several images suffices for its prediction.

    Attributes
    ----------
    share : ndarray of float64, shape (N,)
        Of the image's pixels, by image.
    class_index : ndarray of int64, shape (N,)
        The class that was predicted, and kept.
    removed, count : ndarray of int64, shape (N,)
        How many segments were removed, and how many there were.
    images, minimals : ndarray of uint8, shape (N, side, side, 3)
        The images as the network saw them, and their minimal images, scaled down; white where one is not square.
    network, fill, score_of, output : str
        As in `MinimalResult`.
    asked : int
        How many segments were asked for.
    names, labels : tuple of str
        What each image, and its class, is called.
    skipped : tuple of (str, str)
        Images that were left out, and why.
    mean_share : float
        The mean of `share`.
    by_class : tuple of dict
        For every class that was predicted, most needed share first: ``class_index``, ``label``, ``images`` (how
        many), ``mean``, ``least`` and ``most`` (shares).
    """

    kind: ClassVar[str] = "minimal_set"
    axes: ClassVar[dict[str, str]] = {
        "share": "names",
        "class_index": "names",
        "removed": "names",
        "count": "names",
        "images": "names side side 3",
        "minimals": "names side side 3",
        "labels": "names",
    }
    ranges: ClassVar[dict[str, str]] = {
        "share": "0…1",
        "class_index": "0…",
        "removed": "0…",
        "count": "0…",
        "fill": "blur | mean",
        "asked": "0…",
        "mean_share": "0…1",
    }

    share: NDArray[np.float64]
    class_index: NDArray[np.int64]
    removed: NDArray[np.int64]
    count: NDArray[np.int64]
    images: NDArray[np.uint8]
    minimals: NDArray[np.uint8]
    network: str
    fill: str
    score_of: str
    asked: int
    names: tuple[str, ...]
    labels: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    mean_share: float
    by_class: tuple[ClassShare, ...]
    output: str = ""
