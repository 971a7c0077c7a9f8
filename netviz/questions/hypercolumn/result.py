"""What all depths of a network together say of every place of an image."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from netviz.results.base import Result

PERCENT: Final = (2.5, 97.5)
"""The percentiles of a component that its colours run between."""


class StackedLayer(TypedDict):
    """What is told of each layer of a hypercolumn: see `HypercolumnResult`."""

    layer: str
    alias: str
    units: int
    maps: list[int]
    field_size: list[float]
    field_stride: list[float]
    field_status: str
    share: list[float]


@dataclass(frozen=True)
class HypercolumnResult(Result):
    """Hypercolumns of an image: their first principal components, and clusters of them.

    A hypercolumn is what the units of several layers say of one place, one below the other.

    Attributes
    ----------
    components : ndarray of float32, shape (3, H, W)
        The hypercolumns along their first three principal directions, from their mean; of hypercolumns that vary in
        fewer directions the rest is 0. In each direction the largest weight is positive.
    explained : ndarray of float64, shape (3,)
        Share of the variance, in 0…1.
    clusters : ndarray of int32, shape (H, W)
        Number of each place's cluster; 0 is the largest.
    image : ndarray of uint8, shape (H', W', 3)
        As the network saw it.
    network, image_name : str
        What network and image are called.
    layers : tuple of StackedLayer
        Of each layer, in running order: ``layer``, ``alias``, ``units``, ``maps`` [h, w], ``field_size``,
        ``field_stride``, ``field_status``, and ``share`` (3 numbers): how much of each component comes from it, its
        part of the squared weights.
    grid_step : (float, float)
        From one place to the next, (y, x), in pixels of the network's input; 1 where each pixel is a place.
    cluster_components : int
        In how many principal components the clusters were looked for.
    cluster_explained : float
        Share of the variance in these.
    cluster_share : tuple of float
        Share of the places in each cluster.
    seed : int
        Of the clusters' start.
    input : str
        What becomes of an image before the network sees it.
    """

    kind: ClassVar[str] = "hypercolumn"
    axes: ClassVar[dict[str, str]] = {
        "components": "3 rows columns",
        "explained": "3",
        "clusters": "rows columns",
        "image": "* * 3",
    }
    ranges: ClassVar[dict[str, str]] = {
        "components": "any",
        "explained": "0…",
        "clusters": "0:cluster_share",
        "grid_step": "0…1e9",
        "cluster_components": "0…",
        "cluster_explained": "0…",
        "cluster_share": "0…1",
    }

    components: NDArray[np.float32]
    explained: NDArray[np.float64]
    clusters: NDArray[np.int32]
    image: NDArray[np.uint8]
    network: str
    image_name: str
    layers: tuple[StackedLayer, ...]
    grid_step: tuple[float, float]
    cluster_components: int
    cluster_explained: float
    cluster_share: tuple[float, ...]
    seed: int

    def colours(self) -> NDArray[np.uint8]:
        """Return the three components as red, green and blue, shape (H, W, 3).

        Each goes from its 2.5th percentile, 0, to its 97.5th, 255; one that is constant is mid-grey.
        """
        low, high = np.percentile(self.components.reshape(3, -1).astype(np.float64), PERCENT, axis=1)
        span = high - low
        shares = (self.components - low[:, None, None]) / np.where(span > 0, span, 1.0)[:, None, None]
        shares = np.where(span[:, None, None] > 0, np.clip(shares, 0, 1), 0.5)
        colours: NDArray[np.uint8] = np.rint(255 * shares).astype(np.uint8).transpose(1, 2, 0)
        return np.ascontiguousarray(colours)
