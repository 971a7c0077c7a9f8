"""The maps of one layer on one image, before and after contrast normalization."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class ContrastResult(Result):
    """One layer's maps before and after normalization, and what both are like around each position.

    Mean and standard deviation are weighted by the same window before and after, whatever the method. With `across`
    ``"each"`` every map has its own; then the means stored are the mean over the maps, the standard deviations the
    root of the mean square over the maps.

    Attributes
    ----------
    before, after : ndarray of float32, shape (C, H, W)
        The maps. For the methods ``"lcn"`` and ``"lrn"``: the layer's raw output, and what becomes of it. For
        ``"batch"``: what the network's batch norm read, and what it gave.
    local_mean_before, local_std_before, local_mean_after, local_std_after : ndarray of float32, shape (H, W)
        Weighted mean of the window around each position, and root of the weighted mean of (x - mean)², where each
        position of the window has its own mean subtracted.
    image : ndarray of uint8, shape (H', W', 3)
        The image as the network saw it: resized and cropped, in display colours.
    units : ndarray of int, shape (K,)
        The units that are drawn, in drawing order.
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    channels : int
        How many units the layer has.
    image_name : str
        What the image is called.
    method : str
        ``"lcn"``, ``"lrn"`` or ``"batch"``.
    window, sigma : int, float
        Side of the Gaussian window, and its standard deviation, in positions.
    across : str
        ``"maps"`` (the window spans all maps) or ``"each"`` (each map by itself).
    constants : str
        Whose constants ``"lrn"`` has: ``"paper"`` or ``"pytorch"``; else empty.
    recorded : str
        Dotted name of the batch norm that was recorded; empty for the other methods.
    c : float or None
        The least that ``"lcn"`` divides by: the mean of the local standard deviations over the image (and over the
        maps, where each has its own); None for the other methods.
    floor_share : float or None
        The share of positions at which `c` is the divisor, 0 … 1; None for the other methods.
    scale : str
        ``"shared"`` (one scale for all maps before, and one for all after) or ``"each"`` (every map by its own
        range).
    """

    kind: ClassVar[str] = "contrast"
    axes: ClassVar[dict[str, str]] = {
        "before": "channels rows columns",
        "after": "channels rows columns",
        "local_mean_before": "rows columns",
        "local_std_before": "rows columns",
        "local_mean_after": "rows columns",
        "local_std_after": "rows columns",
        "image": "* * 3",
        "units": "*",
    }
    bits: ClassVar[dict[str, int]] = {
        "before": 8,
        "after": 8,
        "local_mean_before": 16,
        "local_std_before": 16,
        "local_mean_after": 16,
        "local_std_after": 16,
    }
    ranges: ClassVar[dict[str, str]] = {
        "before": "any",
        "after": "any",
        "local_mean_before": "any",
        "local_std_before": "any",
        "local_mean_after": "any",
        "local_std_after": "any",
        "units": "0:channels",
        "method": "lcn | lrn | batch",
        "window": "1…",
        "sigma": "0…",
        "across": "maps | each",
        "scale": "shared | each",
        "constants": "paper | pytorch | ",
        "c": "any",
        "floor_share": "any",
    }

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    local_mean_before: NDArray[np.float32]
    local_std_before: NDArray[np.float32]
    local_mean_after: NDArray[np.float32]
    local_std_after: NDArray[np.float32]
    image: NDArray[np.uint8]
    units: NDArray[np.int64]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    image_name: str
    method: str
    window: int
    sigma: float
    across: str
    constants: str
    recorded: str
    c: float | None
    floor_share: float | None
    scale: str = "shared"
