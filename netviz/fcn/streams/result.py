"""What a dense network says of every pixel, once for each of its streams."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from netviz.fcn.metrics import Metrics
from netviz.interpolation import rescaled
from netviz.results.base import Arrays, Result


class Tap(TypedDict):
    """The layer that a stream scores, and where its positions lie: see `StreamsResult`."""

    layer: str
    stride: float
    center: list[float]


Change = TypedDict("Change", {"from": str, "share": float})
"""From which stream another one differs, and at which share of the pixels."""


@dataclass(frozen=True)
class StreamsResult(Result):
    """The streams of a dense network on one image, all on the pixels of `image`.

    Attributes
    ----------
    streams : dict of str to ndarray of float32, shape (K, H, W)
        Each stream's raw output, before softmax or sigmoid; in the file they have names of their own, such as
        ``32s``, ``16s`` and ``8s``, or ``side1`` … ``side5`` and ``fused``. Of a network with skips also the scores
        that a stream's own layer adds, ``added_16s``, at that layer's own positions, (K, h, w), before the sum.
    image : ndarray of uint8, shape (H, W, 3)
        As the network saw it; or, of a network with skips that was trained at a size of its own, at the file's size.
    truth : ndarray of int32, shape (H, W), or None
        The class of every pixel, -1 where it counts nowhere.
    names : tuple of str
        The streams, coarse to fine.
    form : str
        ``"classes"`` (a score for each class), ``"edges"`` (logits of one thing) or ``"values"`` (one number).
    classes : tuple of str
        What the K scores mean.
    network, origin, image_name : str
        What network and image are called, and where the network comes from.
    original : (int, int)
        Height and width of the image file, in pixels.
    input : str
        What became of the image before the network saw it.
    input_size : (int, int) or None
        Height and width at which the network saw the image; None (in files of earlier releases) if that is `image`'s.
    output : str
        The output whose scores, with all others of their shape, are the streams; empty where it gives no others.
    padded : int
        To multiples of how many pixels the image's sides were continued (reflected), as the network takes only these;
        its maps are cropped. 0 if they were not.
    called : str
        What a score is of: ``"class"``, or ``"channel"`` where nothing says that the network's outputs are classes.
    taps : dict
        By stream, of a network with skips: the ``layer`` that it scores, and of that layer's positions the ``stride``
        and the ``center`` [y, x] of the first, in pixels of the network's input, which has `input_size`.
    changed : dict
        By stream, of classes: ``from`` (the stream before it) and ``share`` of the pixels that have another class.
    scores : dict
        By stream, where there is a truth: this image's ``pixel_accuracy``, ``mean_accuracy``, ``mean_iu``,
        ``frequency_weighted_iu`` in 0…1, None where all is void, and ``per_class``, as ``netviz fcn eval`` tells:
        the means go over the classes that the truth holds.
    void_share : float
        Share of the truth's pixels that count nowhere.
    """

    kind: ClassVar[str] = "streams"
    axes: ClassVar[dict[str, str]] = {
        "streams": "* * *",
        "image": "height width 3",
        "truth": "height width",
    }
    # Of 16 bits, as the largest class of a pixel is looked for.
    bits: ClassVar[dict[str, int]] = {"streams": 16}
    ranges: ClassVar[dict[str, str]] = {
        "streams": "any",
        "truth": "-1:classes",
        "form": "classes | edges | values",
        "original": "1…",
        "void_share": "0…1",
        "input_size": "1…1e9",
        "padded": "0…",
        "called": "class | channel",
    }

    streams: Arrays
    image: NDArray[np.uint8]
    truth: NDArray[np.int32] | None
    names: tuple[str, ...]
    form: str
    classes: tuple[str, ...]
    network: str
    image_name: str
    original: tuple[int, int]
    taps: dict[str, Tap]
    changed: dict[str, Change]
    scores: dict[str, Metrics]
    void_share: float
    input_size: tuple[int, int] | None = None
    output: str = ""
    padded: int = 0
    called: str = "class"

    def fault(self) -> str:
        """Return which stream, tap, change or score is missing, or of another size."""
        height, width, _ = self.image.shape
        for name in self.names:
            if name not in self.streams:
                return f"{name!r:.60} is missing"
            if self.form == "classes" and len(self.streams[name]) != len(self.classes):
                return f"{name!r:.60} has {len(self.streams[name])} maps, but there are {len(self.classes)} classes"
            if self.streams[name].shape[1:] != (height, width):
                return f"{name!r:.60} has another size than image"
            if self.taps and (name not in self.taps or f"added_{name}" not in self.streams):
                return f"taps tells nothing of {name!r:.60}"
        for name, tap in self.taps.items():
            if tap["stride"] <= 0 or len(tap["center"]) != 2:
                return f"taps tells nothing useful of {name!r:.60}"
        if self.form == "classes":
            for place, name in enumerate(self.names[1:]):
                if name not in self.changed or self.changed[name]["from"] != self.names[place]:
                    return f"changed tells nothing of {name!r:.60}"
            if self.truth is not None and not set(self.names) <= set(self.scores):
                return "scores does not tell of each stream"
        return ""

    def predicted(self, name: str) -> NDArray[np.intp]:
        """Return a stream's class of every pixel, (H, W); the first of several that are equal."""
        found: NDArray[np.intp] = np.argmax(self.streams[name], axis=0)
        return found

    def confidence(self, name: str) -> NDArray[np.float32]:
        """Return the largest share that softmax gives, (H, W), in 1/K … 1."""
        values = self.streams[name].astype(np.float64)
        # The largest share is 1 over the sum of what all others are worth beside it.
        largest: NDArray[np.float32] = (1 / np.exp(values - values.max(axis=0)).sum(axis=0)).astype(
            np.float32
        )
        return largest

    def added(self, name: str) -> NDArray[np.intp]:
        """Return the class that a stream's own layer gives the highest score, before the sum, (H, W).

        Every pixel takes that of the position whose centre is nearest.
        """
        own, tap = self.streams[f"added_{name}"], self.taps[name]
        places = []
        for axis, count in enumerate(own.shape[1:]):
            pixels, seen = self.image.shape[axis], (self.input_size or self.image.shape)[axis]
            at = rescaled(np.arange(pixels, dtype=np.float64), seen / pixels)
            nearest = np.rint((at - tap["center"][axis]) / tap["stride"]).astype(np.intp)
            places.append(np.clip(nearest, 0, count - 1))
        found: NDArray[np.intp] = np.argmax(own, axis=0)[np.ix_(*places)]
        return found

    def probability(self, name: str) -> NDArray[np.float32]:
        """Return the sigmoid of a stream of one map, (H, W), in 0…1."""
        values = self.streams[name][0].astype(np.float64)
        likely: NDArray[np.float32] = (0.5 * (1 + np.tanh(values / 2))).astype(np.float32)
        return likely
