"""The feature maps of one layer on one image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class MapsResult(Result):
    """One layer's response to one image, and which units of it to draw.

    Attributes
    ----------
    maps : ndarray of float32, shape (C, H, W)
        The layer's output, one map per unit: raw, or normalized as `normalize` says.
    image : ndarray of uint8, shape (H', W', 3)
        The image as the network saw it: resized and cropped, in display colours.
    index : ndarray of int, shape (C,)
        Which unit each map belongs to; ``0 … C - 1`` when the whole layer is stored.
    units : ndarray of int, shape (K,)
        The units that are drawn, in drawing order.
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    channels : int
        How many units the layer has.
    image_name : str
        What the image is called.
    scale : str
        ``"shared"`` (one scale for all maps drawn), ``"each"`` (every map from 0 to its largest value) or ``"range"``
        (every map from its smallest to its largest value).
    sort : str
        ``"index"`` or ``"max"``.
    normalize : str
        How the maps' contrast was normalized: ``"lcn"``, ``"lrn"``, or empty for raw maps.
    arrangement : str
        Of what the maps were put together: ``"tokens"``, ``"tokens +1"`` (besides one class or register token that
        has no place in the image and is left out), ``"windows"``; empty where the layer gives maps.
    padded : int
        To multiples of how many pixels the image's sides were continued (reflected), as the network takes only these;
        the maps are cropped to the image. 0 if they were not.
    percentile : float
        At which percentile of the absolute values (of ``"range"``, of the values) a scale ends; 100 is the largest.
    """

    kind: ClassVar[str] = "maps"
    axes: ClassVar[dict[str, str]] = {
        "maps": "stored * *",
        "image": "* * 3",
        "index": "stored",
        "units": "*",
    }
    bits: ClassVar[dict[str, int]] = {"maps": 8}
    ranges: ClassVar[dict[str, str]] = {
        "maps": "any",
        "index": "0:channels",
        "units": "0:channels",
        "channels": "1…",
        "scale": "each | shared | range",
        "percentile": "0…100",
        "sort": "index | max",
        "padded": "0…",
        "normalize": "lcn | lrn | ",
    }

    maps: NDArray[np.float32]
    image: NDArray[np.uint8]
    index: NDArray[np.int64]
    units: NDArray[np.int64]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    image_name: str
    scale: str
    sort: str
    normalize: str = ""
    arrangement: str = ""
    padded: int = 0
    percentile: float = 100.0

    def fault(self) -> str:
        """Return which of the units that are drawn has no map."""
        lost = np.setdiff1d(self.units, self.index)
        return f"units tells of unit {lost[0]}, which has no map" if len(lost) else ""

    @property
    def drawn(self) -> NDArray[np.float32]:
        """The maps of :attr:`units`, shape (K, H, W), in drawing order."""
        where = {int(unit): row for row, unit in enumerate(self.index)}
        return self.maps[[where[int(unit)] for unit in self.units]]
