"""Tile sheets: the same filters and maps as plain pixels, made in milliseconds for pages of many."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from netviz.render.scales import Pixels, Scale, colourise
from netviz.render.style import FRAME, PAPER, rgb
from netviz.render.tiles import columns_for, enlarge, lay_out
from netviz.render.views import view_filters, view_maps
from netviz.results import FiltersResult, MapsResult

# A page is wide: a sheet about twice as wide as high fills it without scrolling.
_ASPECT: Final = 2.2


@dataclass(frozen=True)
class Sheet:
    """A picture of equal tiles, and the facts for its caption.

    Tile i stands in row ``i // columns`` and column ``i % columns``; :meth:`corner` gives its pixel.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    layout : str
        ``"rgb"`` or ``"tiles"``: a tile per unit, the last row may be shorter; ``"matrix"``: a row per
        unit, a column per input channel.
    rows, columns : int
    tile_height, tile_width : int
        Size of a tile in pixels.
    gap : int
        Pixels between two tiles and around the sheet.
    units : tuple of int
        The drawn units: by tile, or by row of a ``"matrix"``.
    inputs : int
        How many input channels a filter has (a ``"matrix"`` shows the first `columns` of them); 0 for maps.
    scale : Scale
        What the colours mean.
    peaks : tuple of float
        The value at the high end of the scale, by unit; all equal unless ``scale.per_tile``.
    reduction : int
        Side of the blocks of map positions that one pixel is the mean of; 1 where nothing is averaged.
    enlargement : int
        Pixels per weight or map position along one side.
    bad : int
        How many of the drawn values are NaN or infinite (coloured green).
    """

    pixels: Pixels
    layout: str
    rows: int
    columns: int
    tile_height: int
    tile_width: int
    gap: int
    units: tuple[int, ...]
    inputs: int
    scale: Scale
    peaks: tuple[float, ...]
    reduction: int
    enlargement: int
    bad: int

    def corner(self, tile: int) -> tuple[int, int]:
        """Return (left, top) of a tile's first pixel in the sheet."""
        row, column = divmod(tile, self.columns)
        return (
            self.gap + column * (self.tile_width + self.gap),
            self.gap + row * (self.tile_height + self.gap),
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
        columns = columns or columns_for(count, height * factor + gap, width * factor + gap, _ASPECT)
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
    columns = columns or columns_for(count, height * factor + gap, width * factor + gap, _ASPECT)
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
