"""Results → PNG and what the pages need to know about it; nothing is kept after it is written."""

import io
import math
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.paper import tiles
from netviz.paper.raster import encode_png
from netviz.paper.scales import Scale, colour_bar
from netviz.questions.filters.result import FiltersResult
from netviz.questions.filters.tiles import filter_sheet
from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import map_sheet

from .manifest import Legend, Sheet, Tile
from .manifest_parts import Picture

Write = Callable[[str, bytes], None]
"""Takes a path inside the site and the file's bytes."""

COLOURS = ("diverging", "rgb", "sequential")
"""The colour scales that a sheet may have."""

UNITS = 128
"""Most units that a page shows; the command beside them draws the rest."""

CELL = 15
"""Pixels of a matrix's cell along one side."""

SMALL = 128
"""Short side of a photograph where it is one of many, in pixels."""

QUALITY = 80
"""Of photographs as JPEG: outlines stay crisp, and it takes a third of the bytes of a PNG."""

SMALL_QUALITY = 70
"""The same where colours may be half as fine as brightness."""

THUMB = 240
"""Longest side of a preview in pixels: twice what a card shows."""


def draw_filters(
    result: FiltersResult, path: str, preview: str | None, write: Write
) -> tuple[Sheet, Picture | None]:
    """Draw a layer's filters, and a preview of them where one is asked for.

    Returns
    -------
    Sheet, Picture or None
        Facts of the sheet and of the preview.
    """
    first = filter_sheet(replace(result, units=result.units[:1]), columns=1)
    if first.layout == "matrix":
        # A row has to fit the width of a page, two abreast where filters extend in space.
        side = max(result.filters.shape[2:])
        zoom = 10 if side == 1 else max(1, CELL // side)
        sheet = filter_sheet(replace(result, units=result.units[:UNITS]), zoom=zoom, gap=2)
    else:
        units = result.units[:UNITS]
        sheet = filter_sheet(replace(result, units=units), columns=_columns(units))
    return _describe(sheet, path, write), _preview(sheet, preview, write)


def draw_maps(
    result: MapsResult, path: str, preview: str | None, write: Write
) -> tuple[Sheet, Picture | None]:
    """Draw a layer's maps on one photograph, and a preview of them where one is asked for."""
    units = result.units[:UNITS]
    sheet = map_sheet(replace(result, units=units), columns=_columns(units))
    return _describe(sheet, path, write), _preview(sheet, preview, write)


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


def thumbnail(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG and reduce it to a short side of :data:`SMALL` pixels, if it is larger.

    Raises
    ------
    OSError, ValueError
        If it cannot be decoded.
    """
    with Image.open(io.BytesIO(data)) as image:
        pixels = image.convert("RGB")
    scale = min(1.0, SMALL / min(pixels.size))
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    return np.asarray(pixels.resize(size, Image.Resampling.LANCZOS, reducing_gap=2))


def jpeg(pixels: NDArray[np.uint8], *, small: bool = False) -> bytes:
    """Encode a sheet of photographs; in half of the bytes where each is small and there are many."""
    buffer = io.BytesIO()
    quality, subsampling = (SMALL_QUALITY, 2) if small else (QUALITY, 0)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling, optimize=small)
    return buffer.getvalue()


def write_bars(write: Write) -> None:
    """Write the colour bars that all pages share."""
    for colours in COLOURS:
        scale = Scale(0.0 if colours == "sequential" else -1.0, 1.0, colours, per_tile=False)
        write(bar(colours).path, encode_png(colour_bar(scale, width=BAR[0], height=BAR[1])))


def bar_paths() -> list[str]:
    """Return the addresses of the colour bars."""
    return [bar(colours).path for colours in COLOURS]


BAR = (249, 12)
"""Width and height of a colour bar in pixels: one column per colour of a scale."""


def _columns(units: NDArray[np.int64]) -> int:
    """Lay a sheet out as a square; a page lays its tiles out anew to its own width."""
    return max(1, math.ceil(math.sqrt(len(units))))


def bar(colours: str) -> Picture:
    """Return the colour bar of one of :data:`COLOURS`."""
    return Picture(f"static/colours-{colours}.png", *BAR)


def _describe(sheet: tiles.Sheet, path: str, write: Write) -> Sheet:
    """Write a sheet's pixels and keep its facts."""
    write(path, encode_png(sheet.pixels))
    height, width = sheet.pixels.shape[:2]
    step = sheet.columns if sheet.layout == "matrix" else 1
    wide = step * (sheet.tile_width + sheet.gap) - sheet.gap
    corners = [sheet.corner(place * step) for place in range(len(sheet.units))]
    scale = sheet.scale
    return Sheet(
        picture=Picture(path, width, height),
        tile=(wide, sheet.tile_height),
        tiles=tuple(Tile(unit, left, top) for unit, (left, top) in zip(sheet.units, corners, strict=True)),
        layout=sheet.layout,
        columns=sheet.columns,
        legend=Legend(bar(scale.colours), scale.low, scale.high, scale.colours, scale.per_tile),
        reduction=sheet.reduction,
        bad=sheet.bad,
    )


def _preview(sheet: tiles.Sheet, path: str | None, write: Write) -> Picture | None:
    """Write the first few tiles of a sheet, at most 240 pixels wide and high."""
    if path is None:
        return None
    pitch = max(sheet.tile_height, sheet.tile_width) + sheet.gap
    full = sheet.rows if sheet.layout == "matrix" else len(sheet.units) // sheet.columns
    many = max(1, min(sheet.columns, full, THUMB // pitch if pitch < THUMB // 2 else 2))
    height = many * (sheet.tile_height + sheet.gap) - sheet.gap
    width = many * (sheet.tile_width + sheet.gap) - sheet.gap
    left, top = sheet.corner(0)
    pixels = _shrink(sheet.pixels[top : top + height, left : left + width])
    write(path, encode_png(pixels))
    return Picture(path, pixels.shape[1], pixels.shape[0])


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average blocks of pixels until no side is longer than a preview's."""
    factor = -(-max(pixels.shape[:2]) // THUMB)
    if factor == 1:
        return pixels
    height, width = (side // factor * factor for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    shrunk: NDArray[np.uint8] = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return shrunk
