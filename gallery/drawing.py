"""How all panels draw: figures, sheets of tiles and colour bars; nothing is kept once it is written."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style, tiles
from netviz.paper.raster import encode_jpeg, encode_png
from netviz.paper.regions import grey
from netviz.paper.saving import encode_figure
from netviz.paper.scales import Scale, colour_bar, colourise
from netviz.questions.drawing import figure
from netviz.results.base import Result

from .loading import is_small
from .manifest import Legend, Picture, Sheet, Tile

Write = Callable[[str, bytes], None]
"""Takes a path inside the site and the file's bytes."""

Pixels = NDArray[np.uint8]

COLOURS = ("diverging", "rgb", "sequential")
"""The colour scales that a sheet may have."""

BAR = (249, 12)
"""Width and height of a colour bar in pixels: one column per colour of a scale."""

UNITS = 128
"""Most units that a sheet shows; the command beside it draws the rest."""

COUNT = 8
"""Units that share a sheet of sprites: what a wall loads before it is scrolled is six or seven of these."""

COLUMNS = 8
"""Units in a row of such a sheet."""

QUALITY = 80
"""Of photographs as JPEG: outlines stay crisp, and it takes a third of the bytes of a PNG."""

FIGURE_QUALITY = 85
"""Of figures as JPEG: letters stay crisp, and they take a quarter of the bytes of a PNG."""

SMALL_QUALITY = 70
"""Of small photographs of which there are many, where colours may be half as fine as brightness."""


def over_grey(image: Pixels, shares: NDArray[np.float64], colours: str, opacity: float = 0.6) -> Pixels:
    """Lay a map in colours over an image (H, W, 3) in greys; values as `netviz.paper.scales.colourise` takes them."""
    laid = (1 - opacity) * grey(image) + opacity * colourise(shares, colours)
    pixels: Pixels = np.rint(laid).astype(np.uint8)
    return pixels


def png_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of a PNG, as its own header says.

    Raises
    ------
    ValueError
        If it is no PNG.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("no PNG")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def write_figure(result: Result, address: str, write: Write) -> Picture:
    """Draw a result as its command does and write it as PNG or JPEG.

    Parameters
    ----------
    result : Result
    address : str
        Where it goes; its suffix, ``.png`` or ``.jpg``, chooses which.
    write : callable
        Takes the file's path and bytes.
    """
    drawn = encode_figure(figure(result))
    picture = Picture(address, *png_size(drawn))
    write(address, encode_jpeg(drawn, FIGURE_QUALITY, optimize=True) if address.endswith(".jpg") else drawn)
    return picture


def write_copy(path: Path, address: str, write: Write) -> str | None:
    """Copy a result's file where that is small; return where it went."""
    if not is_small(path):
        return None
    write(address, path.read_bytes())
    return address


def write_bars(write: Write) -> None:
    """Write the colour bars that all pages share."""
    for colours in COLOURS:
        scale = Scale(0.0 if colours == "sequential" else -1.0, 1.0, colours, per_tile=False)
        write(bar(colours).path, encode_png(colour_bar(scale, width=BAR[0], height=BAR[1])))


def bar_paths() -> list[str]:
    """Return the addresses of the colour bars."""
    return [bar(colours).path for colours in COLOURS]


def bar(colours: str) -> Picture:
    """Return the colour bar of one of :data:`COLOURS`."""
    return Picture(f"static/colours-{colours}.png", *BAR)


def square(units: Sequence[int] | NDArray[np.int64]) -> int:
    """Lay a sheet out as a square; a page lays its tiles out anew to its own width."""
    return max(1, math.ceil(math.sqrt(len(units))))


def write_sheet(sheet: tiles.Sheet, path: str, write: Write) -> Sheet:
    """Write a sheet's pixels and keep its facts."""
    write(path, encode_png(sheet.pixels))
    height, width = sheet.pixels.shape[:2]
    step = sheet.columns if sheet.layout == "matrix" else 1
    wide = step * (sheet.tile_width + sheet.gap) - sheet.gap
    corners = [sheet.corner(place * step) for place in range(len(sheet.units))]
    scale, largest = sheet.scale, sheet.percentile == 100 and not sheet.bordered
    return Sheet(
        picture=Picture(path, width, height),
        tile=(wide, sheet.tile_height),
        tiles=tuple(Tile(unit, left, top) for unit, (left, top) in zip(sheet.units, corners, strict=True)),
        layout=sheet.layout,
        columns=sheet.columns,
        legend=Legend(bar(scale.colours), scale.low, scale.high, scale.colours, scale.per_tile, largest),
        reduction=sheet.reduction,
        bad=sheet.bad,
        bordered=sheet.bordered,
        percentile=sheet.percentile,
        beyond=sheet.beyond,
    )


def chunks(units: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the units of one sheet of sprites after the other."""
    for first in range(0, len(units), COUNT):
        yield units[first : first + COUNT]


def sprite_sheets(units: Sequence[int]) -> range:
    """Return the numbers of the sheets of sprites that units take."""
    return range(math.ceil(len(units) / COUNT))


def side_by_side(drawn: Pixels) -> Pixels:
    """Lay tiles (K, H, W, 3) out in rows of `COLUMNS`, with nothing between them and paper after the last."""
    count, height, width, _ = drawn.shape
    rows = math.ceil(count / COLUMNS)
    cells = np.empty((rows * COLUMNS, height, width, 3), dtype=np.uint8)
    tiles.fill(cells, style.rgb(style.PAPER))
    cells[:count] = drawn
    joined: Pixels = (
        cells.reshape(rows, COLUMNS, height, width, 3)
        .swapaxes(1, 2)
        .reshape(rows * height, COLUMNS * width, 3)
    )
    return joined
