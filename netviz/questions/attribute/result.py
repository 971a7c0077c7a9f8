"""Which part of an image a class, a unit or a layer answers to, by several methods."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result
from netviz.results.choose import several

CAMS: Final = ("cam", "gradcam", "gradcam++", "layercam")
"""Methods that weigh the maps of one layer."""

PIXELS: Final = ("gradient", "guided", "deconvnet", "integrated", "smoothgrad")
"""Methods that give a number for each pixel and band of the network's input."""

METHODS: Final = (*CAMS, *PIXELS)

NAMES: Final = {
    "cam": "CAM",
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "layercam": "LayerCAM",
    "gradient": "gradient",
    "guided": "guided backpropagation",
    "deconvnet": "deconvnet",
    "integrated": "integrated gradients",
    "smoothgrad": "SmoothGrad",
}


@dataclass(frozen=True)
class AttributeResult(Result):
    """What each pixel of an image has to do with one score, by each of several methods.

    Attributes
    ----------
    attribution : ndarray of float32, shape (methods, H, W)
        For each method, in pixels of the network's input. A map of a layer (CAM, Grad-CAM, …) is read between the
        centres of what its positions see; of a method that tells of pixels it is the sum over the image's bands.
    bands : ndarray of float32, shape (pixel_methods, H, W, C), or None
        Those of the methods that tell of pixels, in the same order, band by band, in the order in which the network
        takes them. A gradient is per unit of the network's own input, after its preprocessing.
    maps : ndarray of float32, shape (map_methods, h, w), or None
        The maps of the other methods, in the same order, as the layer has them.
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    methods : tuple of str
        In the order of `attribution`; see `METHODS`.
    network, image_name : str
        What network and image are called.
    target : str
        What the score is of: ``"class"``, ``"unit"`` (its largest value on the image) or ``"layer"`` (half the sum of
        squares of all its values, so that what it answered goes back as it is).
    class_index, label : int, str
        The class; -1 for another target. Its label is empty where the network's are not known.
    predicted : bool
        Whether the class was chosen, of several, as the one with the highest score.
    called : str
        What a class score is of: ``"class"``, or ``"channel"`` where nothing says that outputs are classes.
    output : str
        The name of the output that holds class scores; empty where the network gives one tensor.
    layer, alias, layer_kind : str
        The layer whose maps are weighed, or whose unit is the target; empty where there is none.
    layer_chosen : bool
        Whether the layer is the last that serves, and not one that was asked for.
    channels : int
        How many units the layer has; 0 where there is none.
    unit : int
        -1 where the target is none.
    position : tuple of int
        Row and column of the unit's map at which it is largest; empty for another target.
    box : tuple of int
        Top, left, bottom, right (half-open) of the pixels that this position sees; empty where that is not known.
    score, score_of : float, str
        The score on the image, and what it is.
    rectifiers, others : dict of str to int
        How many calls of rectifying functions the gradients met, and of other non-linearities, which keep their own
        derivative also in guided backpropagation and deconvnets.
    steps : int
        Of integrated gradients.
    baseline_score : float or None
        The score of an image of zeros in the network's own units, from which integrated gradients begin; None without
        these.
    samples, noise, seed : int, float, int
        Of SmoothGrad: how many noisy images, the noise's standard deviation as a share of the range of the network's
        input, and what draws it.
    padded : int
        To multiples of how many pixels the image's sides were continued (reflected); 0 if they were not.
    channel_order : str
        Of `bands`: ``"RGB"``, ``"BGR"``, ``"L"`` (grey) or ``"bands"``.
    """

    kind: ClassVar[str] = "attribute"
    axes: ClassVar[dict[str, str]] = {
        "attribution": "methods height width",
        "bands": "pixel_methods height width *",
        "maps": "map_methods * *",
        "image": "height width 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "attribution": "any",
        "bands": "any",
        "maps": "any",
        "target": "class | unit | layer",
        "class_index": "-1…",
        "unit": "-1…",
        "channels": "0…",
        "position": "0…",
        "box": "0…",
        "score": "any",
        "baseline_score": "any",
        "rectifiers": "0…",
        "others": "0…",
        "steps": "1…",
        "samples": "1…",
        "noise": "0…",
        "padded": "0…",
        "called": "class | channel",
    }

    attribution: NDArray[np.float32]
    bands: NDArray[np.float32] | None
    maps: NDArray[np.float32] | None
    image: NDArray[np.uint8]
    methods: tuple[str, ...]
    network: str
    image_name: str
    target: str
    class_index: int
    label: str
    predicted: bool
    called: str
    output: str
    layer: str
    alias: str
    layer_kind: str
    layer_chosen: bool
    channels: int
    unit: int
    position: tuple[int, ...]
    box: tuple[int, ...]
    score: float
    score_of: str
    rectifiers: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    steps: int = 50
    baseline_score: float | None = None
    samples: int = 25
    noise: float = 0.15
    seed: int = 0
    padded: int = 0
    channel_order: str = "RGB"

    def fault(self) -> str:
        """Return which methods are unknown, or have no arrays."""
        unknown = [one for one in self.methods if one not in METHODS]
        if unknown:
            return f"methods holds {unknown[0]!r:.60}, none of {', '.join(METHODS)}"
        for name, kinds, array in (("bands", PIXELS, self.bands), ("maps", CAMS, self.maps)):
            count = 0 if array is None else len(array)
            if count != sum(one in kinds for one in self.methods):
                return f"{name} has {count} entries, which are not the methods {', '.join(self.methods)}"
        height, width = self.image.shape[:2]
        if self.box and not (len(self.box) == 4 and self.box[2] <= height and self.box[3] <= width):
            return "box lies outside of the image"
        return ""

    @property
    def name(self) -> str:
        """What the score is of, in short."""
        if self.target == "unit":
            return f"unit {self.unit}"
        if self.target == "layer":
            return "all units"
        return self.label or f"{self.called} {self.class_index}"

    def by_band(self, method: str) -> NDArray[np.float32]:
        """Return what a method tells of each pixel and band, (H, W, C)."""
        if self.bands is None:
            raise KeyError(method)
        found: NDArray[np.float32] = self.bands[[one for one in self.methods if one in PIXELS].index(method)]
        return found


BESIDE: Final = ("occlusion", "random")
"""What methods are held against in a check: occlusion's map, and squares in random order."""


@dataclass(frozen=True)
class CheckResult(Result):
    """How far attributions to a class can be trusted on one image.

    Attributes
    ----------
    shares : ndarray of float64, shape (steps,)
        Which share of the pixels is deleted or inserted, 0 … 1.
    deletion, insertion : ndarray of float32, shape (orders, steps)
        The class's score when the most important pixels show the image's mean colour, and when only they show the
        image; for each of `orders`.
    stages : ndarray of int64, shape (stages,)
        How many layers with weights were shuffled, from the last on.
    correlation : ndarray of float32, shape (methods, stages)
        Rank correlation (Spearman) of a method's absolute values with those of the network as it is; 0 where all
        values are the same, or some are NaN.
    methods : tuple of str
        What was checked.
    orders : tuple of str
        The methods, then ``"occlusion"`` and ``"random"``.
    deletion_area, insertion_area : tuple of float
        Mean over the shares of the score, as a share of what it is on the image, from what it is on the mean colour
        alone: a good order has a small one for deletion, a large one for insertion.
    network, image_name, label, output, called : str
    class_index : int
    predicted : bool
    score, empty_score : float
        On the image, and on its mean colour.
    score_of : str
    layer, alias : str
        Whose maps are weighed; empty where none are.
    shuffled : tuple of str
        The layers, in the order in which they were shuffled.
    patch, stride : int
        Of occlusion, in pixels; the squares in random order have the side of its stride.
    seed : int
        Draws the random order and shuffles the weights.
    """

    kind: ClassVar[str] = "attribute-check"
    axes: ClassVar[dict[str, str]] = {
        "shares": "steps",
        "deletion": "orders steps",
        "insertion": "orders steps",
        "stages": "stages",
        "correlation": "methods stages",
        "deletion_area": "orders",
        "insertion_area": "orders",
    }
    ranges: ClassVar[dict[str, str]] = {
        "shares": "0…1",
        "deletion": "any",
        "insertion": "any",
        "stages": "0…",
        "correlation": "-1…1",
        "deletion_area": "any",
        "insertion_area": "any",
        "class_index": "0…",
        "score": "any",
        "empty_score": "any",
        "patch": "1…",
        "stride": "1…",
        "called": "class | channel",
    }

    shares: NDArray[np.float64]
    deletion: NDArray[np.float32]
    insertion: NDArray[np.float32]
    stages: NDArray[np.int64]
    correlation: NDArray[np.float32]
    methods: tuple[str, ...]
    orders: tuple[str, ...]
    deletion_area: tuple[float, ...]
    insertion_area: tuple[float, ...]
    network: str
    image_name: str
    class_index: int
    label: str
    predicted: bool
    called: str
    output: str
    score: float
    empty_score: float
    score_of: str
    layer: str
    alias: str
    shuffled: tuple[str, ...]
    patch: int
    stride: int
    seed: int

    def fault(self) -> str:
        """Return which names are unknown."""
        odd = [one for one in self.methods if one not in METHODS]
        if odd:
            return f"methods holds {odd[0]!r:.60}, none of {', '.join(METHODS)}"
        return (
            ""
            if self.orders == (*self.methods, *BESIDE)
            else "orders are not the methods, occlusion and random"
        )

    @property
    def name(self) -> str:
        """The class by its label, or its index."""
        return self.label or f"{self.called} {self.class_index}"


def chosen_methods(
    method: str | Sequence[str], layer: str | None, unit: int | str | None, class_: str | int | None
) -> tuple[str, ...]:
    """Return the methods asked for, each once.

    Raises
    ------
    ValueError
        If one is unknown, or does not go with what is asked about.
    """
    parts = [part.strip() for one in several(method) for part in one.split(",")]
    methods = tuple(dict.fromkeys(filter(None, parts))) or ("gradcam" if unit is None else "guided",)
    for one in methods:
        if one not in METHODS:
            raise ValueError(f"no method {one!r}; choose of {', '.join(METHODS)}")
        if unit is not None and one in CAMS:
            raise ValueError(
                f"{one} weighs a layer's maps for the score of a class; for a unit or a layer choose of "
                f"{', '.join(PIXELS)}"
            )
    if unit is not None and layer is None:
        raise ValueError("a unit belongs to a layer: give --layer too")
    if unit is not None and class_ is not None:
        raise ValueError("the score is a class's or a unit's: give --class or --unit, not both")
    if unit is None and layer is not None and not any(one in CAMS for one in methods):
        raise ValueError(
            f"{', '.join(methods)} of a class's score takes no layer; leave --layer out, or name a unit of it with "
            "--unit (all: the whole layer)"
        )
    return methods
