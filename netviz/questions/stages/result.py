"""What becomes of a convolution's maps on their way to the next layer."""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Arrays, Result


class Column(NamedTuple):
    """One column of the picture: a stage of the network, or what another would have given.

    Attributes
    ----------
    key : str
        Its name in :attr:`StagesResult.maps`.
    title : str
        What stands above it.
    kind : str
        ``conv``, ``norm``, ``relu``, ``pool``, ``sum``, ….
    layer : str
        Dotted name of the layer; empty where no layer makes it.
    what_if : bool
        Whether it is not part of the network.
    zero : float
        Share of the layer's responses that are exactly 0, between 0 and 1.
    saturated : float or None
        Share of the responses at which the non-linearity is flat; None where that is not defined.
    where : str
        Which responses count as saturated.
    note : str
        How it is computed; of a what-if also from which column.
    """

    key: str
    title: str
    kind: str
    layer: str
    what_if: bool
    zero: float
    saturated: float | None
    where: str
    note: str


@dataclass(frozen=True)
class StagesResult(Result):
    """One convolution's filters and its maps after every stage that follows it.

    Attributes
    ----------
    filters : ndarray of float32, shape (K, I, kh, kw)
        The weights of the drawn units.
    image : ndarray of uint8, shape (H', W', 3)
        The image as the network saw it.
    units : ndarray of int, shape (K,)
        The units that are drawn, in drawing order.
    maps : dict of str to ndarray of float32, shape (C, h, w)
        The whole layer after each stage, by column key: the convolution's own output first, then what follows, then
        the what-ifs. Of a survey's large layers only the units that are drawn.
    index : ndarray of int, shape (C,), or None
        Which unit each map belongs to; None where that are all of them.
    columns : tuple of Column
        In drawing order.
    also_read_by : tuple of (str, str)
        Column key, and who else in the network reads it.
    next : str
        What follows the last stage.
    network, layer, alias, image_name : str
    channels, groups : int
        Units and groups of the convolution.
    transposed, sees_image : bool
        Whether it is a transposed convolution; whether it reads the image itself.
    channel_order : str
        ``"RGB"``, ``"BGR"`` or ``"L"``.
    sort : str
        ``"asked"``, or ``"activity"``: the units with the largest maxima at the last stage of the network's own.
    window, step : int
        Of the what-if pooling, in positions.
    """

    kind: ClassVar[str] = "stages"
    axes: ClassVar[dict[str, str]] = {
        "filters": "drawn * * *",
        "image": "* * 3",
        "units": "drawn",
        "maps": "stored * *",
        "index": "stored",
    }
    bits: ClassVar[dict[str, int]] = {"maps": 8}
    ranges: ClassVar[dict[str, str]] = {
        "filters": "any",
        "units": "0:channels",
        "index": "0:channels",
        "maps": "any",
        "groups": "1…",
        "channel_order": "RGB | BGR | L | bands",
        "sort": "asked | activity",
        "window": "1…",
        "step": "1…",
    }

    filters: NDArray[np.float32]
    image: NDArray[np.uint8]
    units: NDArray[np.int64]
    maps: Arrays
    columns: tuple[Column, ...]
    also_read_by: tuple[tuple[str, str], ...]
    next: str
    network: str
    layer: str
    alias: str
    image_name: str
    channels: int
    groups: int
    transposed: bool
    sees_image: bool
    channel_order: str
    sort: str
    window: int
    step: int
    index: NDArray[np.int64] | None = None

    def fault(self) -> str:
        """Return which column or unit has no maps."""
        for one in self.columns:
            if one.key not in self.maps:
                return f"{one.key!r:.60} is missing"
            if self.index is None and len(self.maps[one.key]) != self.channels:
                return (
                    f"{one.key!r:.60} has {len(self.maps[one.key])} maps, but there are {self.channels} units"
                )
        lost = np.setdiff1d(self.units, self._stored)
        return f"units tells of unit {lost[0]}, which has no map" if len(lost) else ""

    @property
    def _stored(self) -> NDArray[np.int64]:
        return np.arange(self.channels) if self.index is None else self.index

    def drawn(self, key: str) -> NDArray[np.float32]:
        """Return the maps of :attr:`units` in a column, shape (K, h, w), in drawing order."""
        where = {int(unit): row for row, unit in enumerate(self._stored)}
        found: NDArray[np.float32] = self.maps[key][[where[int(unit)] for unit in self.units]]
        return found

    def pictured(self) -> "StagesResult":
        """Return the same picture's result without the maps of all other units."""
        maps = {key: self.drawn(key) for key in self.maps}
        return replace(self, maps=maps, index=self.units)
