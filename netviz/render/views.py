"""What of a result is shown, and on which scale: shared by figures and tile sheets, so that they agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.render.scales import Floats, Scale, finite_range, peak, relative
from netviz.render.tiles import reduce_blocks
from netviz.results import FiltersResult, MapsResult

SPATIAL_INPUTS = 32
"""Input channels shown of filters that extend in space; more would leave no visible pixel per weight."""

POINT_INPUTS = 96
"""Input channels shown of filters of one weight per channel, whose row is one cell high."""


@dataclass(frozen=True)
class FilterView:
    """The drawn part of a layer's filters.

    Attributes
    ----------
    layout : str
        ``"rgb"`` (a colour tile per unit), ``"tiles"`` (a signed tile per unit) or ``"matrix"``
        (a row per unit, a column per input channel).
    units : tuple of int
        The drawn units, in drawing order.
    values : ndarray of shape (K, C, kh, kw)
        Their weights; red, green, blue where the layout is ``"rgb"``, else the first C input channels.
    shares : ndarray of shape (K, C, kh, kw)
        The weights as shares of the scale's largest.
    peaks : ndarray of shape (K,)
        The value of the scale's high end, by unit.
    inputs : int
        How many input channels a filter has.
    scale : Scale
    bad : int
        How many of the values are NaN or infinite.
    """

    layout: str
    units: tuple[int, ...]
    values: Floats
    shares: Floats
    peaks: Floats
    inputs: int
    scale: Scale
    bad: int


def view_filters(result: FiltersResult, inputs: int | None = None) -> FilterView:
    """Choose layout and scale of a layer's filters; at most `inputs` input channels are shown."""
    filters = result.filters
    units = tuple(int(unit) for unit in result.units)
    channels = filters.shape[1]
    if result.sees_image and channels == 3 and result.groups == 1:
        layout, shown = "rgb", 3
    elif channels == 1:
        layout, shown = "tiles", 1
    else:
        layout = "matrix"
        most = inputs or (POINT_INPUTS if filters.shape[2:] == (1, 1) else SPATIAL_INPUTS)
        shown = min(channels, most)
    # The scale is that of whole filters, so cutting channels does not change a colour.
    peaks = np.array([peak(filters[unit]) for unit in units], dtype=np.float64)
    values = filters[list(units), :shown].astype(np.float64)
    if layout == "rgb" and result.channel_order == "BGR":
        values = values[:, ::-1]
    each = result.scale == "each"
    if not each:
        peaks = np.full(len(units), peaks.max(initial=0.0))
    limit = 1.0 if each or not peaks.any() else float(peaks[0])
    return FilterView(
        layout=layout,
        units=units,
        values=values,
        shares=relative(values, peaks),
        peaks=peaks,
        inputs=channels,
        scale=Scale(-limit, limit, "rgb" if layout == "rgb" else "diverging", each),
        bad=int(np.count_nonzero(~np.isfinite(values))),
    )


@dataclass(frozen=True)
class MapView:
    """The drawn maps of a layer.

    Attributes
    ----------
    units : tuple of int
        The drawn units, in drawing order.
    values : ndarray of shape (K, h, w)
        Their maps, averaged over blocks of `reduction` by `reduction` positions.
    shares : ndarray of shape (K, h, w)
        The values as shares of the scale's largest.
    peaks : ndarray of shape (K,)
        The value of the scale's high end, by map.
    ranges : ndarray of shape (K, 2)
        Smallest and largest finite value of each raw map.
    reduction : int
    scale : Scale
    bad : int
        How many of the raw values drawn are NaN or infinite.
    zero : int
        How many of the maps are 0 everywhere.
    """

    units: tuple[int, ...]
    values: Floats
    shares: Floats
    peaks: Floats
    ranges: Floats
    reduction: int
    scale: Scale
    bad: int
    zero: int


def view_maps(result: MapsResult, limit: int) -> MapView:
    """Choose the scale of a layer's maps, and average them in blocks until no side exceeds `limit`."""
    maps: NDArray[np.float32] = result.drawn
    ranges = np.array([finite_range(one) for one in maps], dtype=np.float64).reshape(-1, 2)
    # One negative value makes the picture signed: then zero must be recognisable in every map.
    signed = bool((ranges < 0).any())
    peaks: Floats = np.abs(ranges).max(axis=1)
    each = result.scale == "each"
    if not each:
        peaks = np.full(len(maps), peaks.max(initial=0.0))
    high = 1.0 if each or not peaks.any() else float(peaks[0])
    reduction = max(1, -(-max(maps.shape[1:]) // limit))
    values = reduce_blocks(maps, reduction)
    finite = np.isfinite(maps).all(axis=(1, 2))
    return MapView(
        units=tuple(int(unit) for unit in result.units),
        values=values,
        shares=relative(values, peaks),
        peaks=peaks,
        ranges=ranges,
        reduction=reduction,
        scale=Scale(-high if signed else 0.0, high, "diverging" if signed else "sequential", each),
        bad=int(np.count_nonzero(~np.isfinite(maps))),
        zero=int(np.count_nonzero(finite & ~ranges.any(axis=1))),
    )
