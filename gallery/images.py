"""Everything about single photographs: saved results → pictures, and what their pages have to say about them."""

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.questions.hypercolumn.result import HypercolumnResult
from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import map_sheet

from .commands import command, sized
from .drawing import DAMAGED, damaged, load_kind, write_copy, write_figure
from .manifest import Layer
from .manifest_concepts import Minimals
from .manifest_images import Fcn, Glimpse, Glimpses, Hypercolumn, ImagePage
from .manifest_parts import Components, Photo, Picture
from .pictures import QUALITY, Write, bar
from .plan import Plan, glimpses, hypercolumn, image_page
from .run_images import RunOn

TILE = 112
"""Longest side of a layer's tile on a photograph's sheet, in pixels."""

ACROSS = 8
"""Tiles in a row of that sheet."""


def draw_images(
    plan: Plan,
    photos: tuple[Photo, ...],
    layers: tuple[Layer, ...],
    components: Components | None,
    minimal: Minimals | None,
    fcn: Fcn | None,
    write: Write,
) -> tuple[ImagePage, ...]:
    """Draw what only the photographs' pages show, and gather what there is already.

    Parameters
    ----------
    plan : Plan
        The run and its addresses.
    photos, layers, components, minimal, fcn
        All of the network's.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Returns
    -------
    tuple of ImagePage
        One for each photograph.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    found = plan.run.hypercolumns
    columns = {
        one.image: _hypercolumn(one, plan, photos[one.image], layers, write)
        for one in (found.shown if found is not None else ())
    }
    parts = components.layers if components is not None else ()
    pages = []
    for place, photo in enumerate(photos):
        image = plan.run.images[place]
        drawings = ((one, tuple(each for each in one.drawings if each.photo == photo)) for one in parts)
        words = [image.typed, "--model", plan.run.model, "--layer", "LAYER", *sized(image.size)]
        pages.append(
            ImagePage(
                page=image_page(plan, place),
                photo=photo,
                source=image.typed,
                command=command("maps", *words),
                glimpses=_glimpses(plan, place, layers, write),
                drawings=tuple((one, few) for one, few in drawings if few),
                minimal=next((one for one in (minimal.shown if minimal else ()) if one.photo == photo), None),
                hypercolumn=columns.get(place),
                heat=next((one for one in (fcn.heats if fcn else ()) if one.photo == photo), None),
                streams=next((one for one in (fcn.streams if fcn else ()) if one.photo == photo), None),
            )
        )
    return tuple(pages)


def _hypercolumn(
    one: RunOn, plan: Plan, photo: Photo, layers: tuple[Layer, ...], write: Write
) -> Hypercolumn:
    """Draw the hypercolumns of one photograph, and copy their file where that is small."""
    image, found = plan.run.images[one.image], plan.run.hypercolumns
    names = found.layers if found is not None else ()
    words = [image.typed, "--model", plan.run.model, "--layers", ",".join(names), *sized(image.size)]
    typed = command("hypercolumn", *words)
    titles = {layer.name: (layer.title, layer.page) for layer in reversed(layers)}
    stacked = tuple(titles.get(name, (name, None)) for name in names)
    if one.path is None:
        return Hypercolumn(photo, None, one.missing, typed, layers=stacked)
    result = load_kind(one.path, HypercolumnResult)
    try:
        explained = tuple(float(share) for share in result.explained)
        clusters = int(result.clusters.max()) + 1
    except DAMAGED as error:
        raise damaged(one.path) from error
    picture = write_figure(result, one.path, hypercolumn(plan, one.image, "jpg"), write)
    kept = write_copy(one.path, hypercolumn(plan, one.image, "npz"), plan, write)
    size = one.path.stat().st_size
    return Hypercolumn(photo, picture, "", typed, kept, size, stacked, explained, clusters)


def _glimpses(plan: Plan, place: int, layers: tuple[Layer, ...], write: Write) -> Glimpses | None:
    """Draw of every layer the map of the unit that answers most to this photograph, on one sheet."""
    run = plan.run
    shown = [
        (known, layer)
        for known, layer in zip(run.layers, layers, strict=True)
        if known.maps is not None and layer.page is not None
    ]
    if not shown:
        return None
    tile: tuple[int, int] | None = None
    tiles: list[Glimpse] = []
    pixels: list[NDArray[np.uint8]] = []
    for number, (known, layer) in enumerate(shown):
        path = (known.maps or run.folder) / f"{run.images[place].stem}.npz"
        result = load_kind(path, MapsResult)
        try:
            if tile is None:
                high, wide = result.image.shape[:2]
                tile = (
                    max(1, round(TILE * wide / max(high, wide))),
                    max(1, round(TILE * high / max(high, wide))),
                )
            drawn, glimpse = _glimpse(result, tile)
        except DAMAGED as error:
            raise damaged(path) from error
        pixels.append(drawn)
        left, top = number % ACROSS * tile[0], number // ACROSS * tile[1]
        tiles.append(
            replace(glimpse, title=layer.title, kind=layer.kind, page=layer.page or "", left=left, top=top)
        )
    wide, high = tile or (TILE, TILE)
    rows = -(-len(tiles) // ACROSS)
    sheet = np.zeros((rows * high, min(len(tiles), ACROSS) * wide, 3), dtype=np.uint8)
    for one, drawn in zip(tiles, pixels, strict=True):
        sheet[one.top : one.top + high, one.left : one.left + wide] = drawn
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    picture = Picture(glimpses(plan, place), sheet.shape[1], sheet.shape[0])
    write(picture.path, buffer.getvalue())
    kinds = (("sequential", False), ("diverging", True))
    bars = tuple((kind, bar(kind)) for kind, signed in kinds if any(one.signed == signed for one in tiles))
    return Glimpses(picture, (wide, high), tuple(tiles), bars)


def _glimpse(result: MapsResult, tile: tuple[int, int]) -> tuple[NDArray[np.uint8], Glimpse]:
    """Draw the map with the largest value in the size of a tile, on its own scale."""
    drawn = result.drawn
    peaks = np.where(np.isfinite(drawn), drawn, -np.inf).reshape(len(drawn), -1).max(axis=1)
    unit = result.units[int(peaks.argmax()) : int(peaks.argmax()) + 1]
    sheet = map_sheet(replace(result, units=unit, scale="shared"), columns=1, size=1)
    left, top = sheet.corner(0)
    pixels = sheet.pixels[top : top + sheet.tile_height, left : left + sheet.tile_width]
    # One square is one number as long as there is room for it.
    way = Image.Resampling.NEAREST if sheet.tile_width <= tile[0] else Image.Resampling.BOX
    resized = np.asarray(Image.fromarray(pixels).resize(tile, way))
    height, width = result.maps.shape[1:]
    return resized, Glimpse(
        title="",
        kind="",
        page="",
        unit=int(unit[0]),
        low=sheet.scale.low,
        high=sheet.scale.high,
        signed=sheet.scale.colours == "diverging",
        left=0,
        top=0,
        shape=(height, width),
    )
