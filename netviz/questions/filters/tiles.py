"""Filters as tiles: what is shown, on which scale, and a sheet of plain pixels, made in milliseconds."""

from dataclasses import dataclass

import numpy as np

from netviz.paper.scales import Floats, Scale, colourise, peak, relative
from netviz.paper.style import FRAME, PAPER, rgb
from netviz.paper.tiles import ASPECT, Sheet, columns_for, enlarge, lay_out
from netviz.questions.filters.result import FiltersResult

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


def filter_sheet(
    result: FiltersResult,
    *,
    zoom: int | None = None,
    gap: int | None = None,
    columns: int | None = None,
    inputs: int | None = None,
) -> Sheet:
    """Draw a layer's filters as a sheet of tiles.

    Parameters
    ----------
    result : FiltersResult
        Its `units` are drawn, in their order, on its `scale`.
    zoom : int, optional
        Pixels per weight; by default 8 for filters up to 11 by 11 and 12 for those of one weight, in a
        matrix 6 and 10, and less for larger ones.
    gap : int, optional
        Pixels between tiles; by default 3, in a matrix 2, or 1 where a filter has one weight per channel.
    columns : int, optional
        Tiles in a row where a unit is one tile; by default near-square.
    inputs : int, optional
        The most input channels shown where a unit is a row; by default 32, or 96 where a filter has one
        weight per channel.

    Returns
    -------
    Sheet
    """
    view = view_filters(result, inputs)
    count, shown, height, width = view.shares.shape
    side = max(height, width)
    matrix = view.layout == "matrix"
    if matrix:
        factor = zoom or (10 if side == 1 else max(2, min(6, 28 // side)))
        gap = (1 if side == 1 else 2) if gap is None else gap
    else:
        factor = zoom or (12 if side == 1 else max(2, min(8, 88 // side)))
        gap = 3 if gap is None else gap
    if view.layout == "rgb":
        tiles = colourise(np.moveaxis(view.shares, 1, -1), "rgb")
    else:
        tiles = colourise(view.shares.reshape(count * shown, height, width), "diverging")
    if matrix:
        columns, rows = shown, count
    else:
        columns = columns or columns_for(count, height * factor + gap, width * factor + gap, ASPECT)
        rows = -(-count // columns)
    return Sheet(
        # Frames around the many small tiles of a matrix would outshine the weights.
        pixels=lay_out(enlarge(tiles, factor), columns, gap, rgb(PAPER), rgb(PAPER if matrix else FRAME)),
        layout=view.layout,
        rows=rows,
        columns=columns,
        tile_height=height * factor,
        tile_width=width * factor,
        gap=gap,
        units=view.units,
        inputs=view.inputs,
        scale=view.scale,
        peaks=tuple(view.peaks.tolist()),
        reduction=1,
        enlargement=factor,
        bad=view.bad,
    )
