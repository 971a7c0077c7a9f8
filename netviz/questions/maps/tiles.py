"""Maps as tiles: what is shown, on which scale, and a sheet of plain pixels, made in milliseconds."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netviz.paper.scales import Floats, Scale, beyond, colourise, finite_range, peak, peak_inside, relative
from netviz.paper.style import FRAME, PAPER, rgb
from netviz.paper.tiles import ASPECT, Sheet, bars, columns_for, enlarge, lay_out, reduce_blocks
from netviz.paper.words import MINUS
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
    peaks, floors : ndarray of shape (K,)
        The value of the scale's high end, by map; and of its low end, but where that is 0 or a negative high end.
    ranges : ndarray of shape (K, 2)
        Smallest and largest finite value of each raw map.
    reduction : int
    scale : Scale
    bad : int
        How many of the raw values drawn are NaN or infinite.
    zero : int
        How many of the maps are 0 everywhere.
    beyond : float
        Which share of the values lies beyond the ends of their scale.
    bordered : int
        Of how many maps the border, which stands out, is left out where the scale is chosen.
    """

    units: tuple[int, ...]
    values: Floats
    shares: Floats
    peaks: Floats
    floors: Floats
    ranges: Floats
    reduction: int
    scale: Scale
    bad: int
    zero: int
    beyond: float
    bordered: int


def view_maps(result: MapsResult, limit: int) -> MapView:
    """Choose the scale of a layer's maps, and average them in blocks until no side exceeds `limit`.

    The scale of a map whose border stands out is that of what lies inside.
    """
    maps: NDArray[np.float32] = result.drawn
    within = result.percentile / 100
    ranges = np.array([finite_range(one) for one in maps], dtype=np.float64).reshape(-1, 2)
    # One negative value makes the picture signed: then zero must be recognisable in every map.
    signed = bool((ranges < 0).any())
    each = result.scale != "shared"
    floors = np.zeros(len(maps))
    if result.scale == "range":
        ends = [_ends(one, within) for one in maps]
        floors, peaks = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        signed = False
    elif each:
        peaks = np.array([peak(one, within) for one in maps], dtype=np.float64)
    else:
        peaks = np.full(len(maps), peak(maps, within))
    bordered = 0
    if within == 1 and result.scale != "range" and len(maps):
        inside = np.array([peak_inside(one) for one in maps])
        inside = inside if each else np.full(len(maps), inside.max())
        bordered = int(np.count_nonzero(inside < peaks))
        peaks = inside
    high = 1.0 if each or not peaks.any() else float(peaks[0])
    reduction = max(1, -(-max(maps.shape[1:]) // limit))
    values = reduce_blocks(maps, reduction)
    finite = np.isfinite(maps).all(axis=(1, 2))
    scale = Scale(
        -high if signed else 0.0,
        high,
        "diverging" if signed else "sequential",
        each,
        _marks(result, signed, bordered),
    )
    lost = [beyond(one, scale, *at) for one, *at in zip(maps, peaks, floors, strict=True)]
    return MapView(
        units=tuple(int(unit) for unit in result.units),
        values=values,
        shares=relative(values - floors[:, None, None], peaks - floors),
        peaks=peaks,
        floors=floors,
        ranges=ranges,
        reduction=reduction,
        scale=scale,
        bad=int(np.count_nonzero(~np.isfinite(maps))),
        zero=int(np.count_nonzero(finite & ~ranges.any(axis=1))),
        beyond=sum(lost) / max(1, maps.size) if within < 1 or bordered else 0.0,
        bordered=bordered,
    )


def _ends(values: NDArray[np.float32], within: float) -> tuple[float, float]:
    """Return the smallest and largest finite value, or two percentiles."""
    if within == 1 or not np.isfinite(values).any():
        return finite_range(values)
    low, high = np.quantile(values[np.isfinite(values)], (1 - within, within))
    return float(low), float(high)


def _marks(result: MapsResult, signed: bool, bordered: int) -> tuple[tuple[float, str], ...]:
    """Return what stands below the bar of maps that have their own scales; nothing where it is the usual."""
    whole = result.percentile == 100 and not bordered
    if result.scale == "shared" or (result.scale == "each" and whole):
        return ()
    if result.scale == "range":
        return ((0.0, "low"), (1.0, "high"))
    return (*(((-1.0, f"{MINUS}end"),) if signed else ()), (0.0, "0"), (1.0, "end"))


def map_sheet(
    result: MapsResult, *, limit: int = 160, gap: int = 3, columns: int | None = None, size: int = 112
) -> Sheet:
    """Draw a layer's maps as a sheet of tiles; those of one row or column, and of one position, as bars.

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
    scale, layout = view.scale, "tiles"
    count, height, width = view.shares.shape
    if min(height, width) == 1:
        layout, factor = "bars", max(1, min(48, size // max(height, width)))
        if (height, width) == (1, 1):
            # Bars of one value each can be compared only where all have one scale.
            low, high = finite_range(np.append(view.values, 0.0))
            scale, factor = Scale(low, high or float(low == 0.0), scale.colours, False), size // 4
            view = replace(view, peaks=np.full(count, scale.high), floors=np.full(count, low), bordered=0)
        ends = np.array([scale.limits(*at) for at in zip(view.peaks, view.floors, strict=True)]).reshape(
            -1, 2
        )
        tiles = bars(view.values.reshape(count, -1), ends, max(2, size // 2), factor)
    else:
        factor = max(1, min(48, size // max(height, width)))
        tiles = enlarge(colourise(view.shares, scale.colours), factor)
    high_pixels, wide_pixels = tiles.shape[1:3]
    columns = columns or columns_for(count, high_pixels + gap, wide_pixels + gap, ASPECT)
    return Sheet(
        pixels=lay_out(tiles, columns, gap, rgb(PAPER), rgb(FRAME)),
        layout=layout,
        rows=-(-count // columns),
        columns=columns,
        tile_height=high_pixels,
        tile_width=wide_pixels,
        gap=gap,
        units=view.units,
        inputs=0,
        scale=scale,
        peaks=tuple(view.peaks.tolist()),
        reduction=view.reduction,
        enlargement=factor,
        bad=view.bad,
        bordered=view.bordered,
        percentile=result.percentile,
        beyond=view.beyond,
    )
