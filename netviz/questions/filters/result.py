"""The filters of one layer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class FiltersResult(Result):
    """The filters of one convolution, and which of them to draw.

    Attributes
    ----------
    weight : ndarray of shape (O, I/groups, kh, kw)
        Exactly the parameter; for a transposed convolution PyTorch's own order, (I, O/groups, kh, kw).
    units : ndarray of int, shape (K,)
        The units that are drawn, in drawing order.
    network, layer, alias : str
        The network's name, the layer's dotted name and its classic alias.
    groups : int
        Groups of the convolution; equal to the number of input channels for a depthwise one.
    transposed : bool
        Whether it is a transposed convolution.
    sees_image : bool
        Whether the layer reads the image itself, so that a filter is a small colour picture.
    channel_order : str
        ``"RGB"``, ``"BGR"`` or ``"L"``: how the network orders an image's channels.
    scale : str
        ``"each"`` (every filter by its own largest weight) or ``"shared"`` (one scale for all).
    sort : str
        ``"index"``, ``"norm"`` or ``"hue"``.
    dead : tuple of int
        Units whose L2 norm is below 1 % of the layer's median norm.
    duplicates : tuple of (int, int)
        Pairs (unit, earlier unit) of the same inputs whose cosine similarity is at least 0.95; each unit at most
        once.
    """

    kind: ClassVar[str] = "filters"
    axes: ClassVar[dict[str, str]] = {
        "weight": "* * * *",
        "units": "*",
    }
    bits: ClassVar[dict[str, int]] = {"weight": 8}
    ranges: ClassVar[dict[str, str]] = {
        "weight": "any",
        "units": "0…",
        "groups": "1…",
        "channel_order": "RGB | BGR | L | bands",
        "scale": "each | shared",
        "sort": "index | norm | hue",
        "dead": "0…",
        "duplicates": "0…",
    }

    weight: NDArray[Any]
    units: NDArray[np.int64]
    network: str
    layer: str
    alias: str
    groups: int
    transposed: bool
    sees_image: bool
    channel_order: str
    scale: str
    sort: str
    dead: tuple[int, ...]
    duplicates: tuple[tuple[int, int], ...]

    def fault(self) -> str:
        """Return which array or fact tells of units that there are not."""
        if self.weight.shape[0] % self.groups:
            return f"weight has the shape {self.weight.shape}, which {self.groups} groups do not divide"
        count = self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]
        for name, units in (("units", self.units), ("dead", self.dead), ("duplicates", self.duplicates)):
            if np.max(units, initial=0) >= count:
                return f"{name} tells of unit {np.max(units)}, but there are {count}"
        return ""

    @property
    def filters(self) -> NDArray[Any]:
        """The filters by unit, shape (O, I/groups, kh, kw), also for a transposed convolution."""
        if not self.transposed:
            return self.weight
        inputs, per_group, *kernel = self.weight.shape
        grouped: NDArray[Any] = self.weight.reshape(self.groups, inputs // self.groups, per_group, *kernel)
        by_unit: NDArray[Any] = grouped.swapaxes(1, 2).reshape(-1, inputs // self.groups, *kernel)
        return by_unit
