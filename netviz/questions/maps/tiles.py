"""Maps as tiles: what is shown, on which scale, and a sheet of plain pixels, made in milliseconds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.paper.scales import Floats, Scale, colourise, finite_range, relative
from netviz.paper.style import FRAME, PAPER, rgb
from netviz.paper.tiles import ASPECT, Sheet, columns_for, enlarge, lay_out, reduce_blocks
from netviz.questions.maps.result import MapsResult


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


def map_sheet(
    result: MapsResult, *, limit: int = 160, gap: int = 3, columns: int | None = None, size: int = 112
) -> Sheet:
    """Draw a layer's maps as a sheet of tiles.

    Parameters
    ----------
    result : MapsResult
        Its `units` are drawn, in their order, on its `scale`.
    limit : int, optional
        A map with a longer side, in pixels, is averaged over square blocks.
    gap : int, optional
        Pixels between tiles.
    columns : int, optional
        Tiles in a row; by default near-square.
    size : int, optional
        A smaller map is enlarged, by a whole factor of at most 48, to at most this many pixels.

    Returns
    -------
    Sheet
    """
    view = view_maps(result, limit)
    count, height, width = view.shares.shape
    factor = max(1, min(48, size // max(height, width)))
    columns = columns or columns_for(count, height * factor + gap, width * factor + gap, ASPECT)
    tiles = enlarge(colourise(view.shares, view.scale.colours), factor)
    return Sheet(
        pixels=lay_out(tiles, columns, gap, rgb(PAPER), rgb(FRAME)),
        layout="tiles",
        rows=-(-count // columns),
        columns=columns,
        tile_height=height * factor,
        tile_width=width * factor,
        gap=gap,
        units=view.units,
        inputs=0,
        scale=view.scale,
        peaks=tuple(view.peaks.tolist()),
        reduction=view.reduction,
        enlargement=factor,
        bad=view.bad,
    )
