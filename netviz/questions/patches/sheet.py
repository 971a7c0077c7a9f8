"""Sheets of patches as plain pixels, for pages of many."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from netviz.paper import style
from netviz.paper.scales import Pixels
from netviz.paper.tiles import TileSheet, lay_out
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.tiles import Cuts, Images, cut_tiles
from netviz.results.choose import choose_units


@dataclass(frozen=True, kw_only=True)
class PatchSheet(TileSheet):
    """A sheet of patches, a tile for each unit and place.

    The patch of the unit number u of `units` and place p is tile ``u * top + p``; tile i stands in row ``i //
    columns`` and column ``i % columns``.

    Attributes
    ----------
    top : int
        Patches of each unit.
    missing : tuple of int
        Tiles, crossed out, whose image could not be read.
    empty : tuple of int
        Tiles left white: the unit has no patch there.
    outlined, halved : int
        How many patches have an outline; how many of these at half of the score, for the 0.995 quantile tells nothing
        apart there.
    margins : int
        How many patches reach beyond the image (hatched).
    """

    top: int
    missing: tuple[int, ...]
    empty: tuple[int, ...]
    outlined: int
    halved: int
    margins: int


def patch_sheet(
    result: PatchesResult,
    images: Images,
    units: int | str | Iterable[int] | None = None,
    *,
    size: int = 96,
    gap: int = 3,
    columns: int | None = None,
    cuts: Cuts | None = None,
) -> PatchSheet:
    """Draw the patches of a layer's units as a sheet of tiles.

    Parameters
    ----------
    result : PatchesResult
    images : callable
        Gives the pixels of an image by its number, such as `RunImages`; each is asked for once.
    units : int, str or iterable of int, optional
        Which units, in this order; by default all.
    size : int, optional
        Side of a tile in pixels.
    gap : int, optional
        Pixels between tiles.
    columns : int, optional
        Tiles in a row; by default a row for each unit. 3 makes a square of a single unit's nine.
    cuts : dict, optional
        As for `netviz.questions.patches.tiles.cut_tiles`.

    Returns
    -------
    PatchSheet

    Raises
    ------
    LayerError
        If a unit does not exist.
    """
    chosen = choose_units(units, result.channels, result.layer) or list(range(result.channels))
    tiles = cut_tiles(result, images, chosen, size, mean=False, cuts=cuts)
    top = result.image.shape[1]
    flat = tiles.pixels.reshape(-1, size, size, 3)
    missing = np.flatnonzero(tiles.missing)
    if len(missing):
        flat[missing] = crossed(size)
    columns = columns or top
    return PatchSheet(
        pixels=lay_out(flat, columns, gap, style.rgb(style.PAPER), style.rgb(style.FRAME)),
        rows=-(-len(flat) // columns),
        columns=columns,
        tile_height=size,
        tile_width=size,
        gap=gap,
        units=tiles.units,
        top=top,
        missing=tuple(missing.tolist()),
        empty=tuple(np.flatnonzero(~tiles.filled).tolist()),
        outlined=tiles.outlined,
        halved=tiles.halved,
        margins=tiles.margins,
    )


def crossed(size: int) -> Pixels:
    """Return the tile of an image that is not there, ndarray of uint8, shape (size, size, 3)."""
    tile = np.empty((size, size, 3), dtype=np.uint8)
    tile[:] = style.rgb(style.PAPER)
    y, x = np.mgrid[:size, :size]
    tile[(y == x) | (y + x == size - 1)] = style.rgb(style.FAINT)
    return tile
