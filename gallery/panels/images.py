"""Everything about single photographs: each with a page of its own, and small among the others."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.errors import ResultError
from netviz.paper.raster import encode_jpeg
from netviz.paper.scales import Scale, colourise
from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import view_maps
from netviz.questions.patches.result import PatchesResult
from netviz.results.survey import AnswerRecord

from ..addresses import Addresses
from ..drawing import QUALITY, SMALL_QUALITY, Pixels, Write, bar, png_size
from ..manifest import Over, Photo, Picture
from ..panel import Panel
from ..words import command, size, sized
from .attributed import Attributed, draw_attributed
from .components import Component, Components, Drawing
from .fcn import Fcn, Heat, Streams
from .hypercolumns import Hypercolumn, draw_hypercolumns
from .journey import Answering, Places, Votes, find_places, find_strongest, own_scale, tell_votes
from .minimal import Minimal, Minimals

SMALL = 128
"""Short side of a photograph where it is one of many, in pixels."""

TILE = 112
"""Longest side of a layer's tile on a photograph's sheet, in pixels."""

ACROSS = 8
"""Tiles in a row of that sheet."""

FINE = 64
"""Width in pixels up to which a photograph is so small that its page shows every pixel as it is, and enlarged."""

_SEEN_QUALITY = 88
"""Of a photograph as its own page shows it; the exact one, which may be ten times as large, is linked."""

_MOST = 160
"""Positions along a side of a map beyond which it is averaged in blocks before it is brought to a tile's size."""


@dataclass(frozen=True)
class Glimpse:
    """A layer's map on one photograph, as a tile of the photograph's sheet.

    Attributes
    ----------
    title, page : str
        The layer and its page.
    unit : int
        The unit whose response is the largest.
    high : float
        The value at the upper end of the tile's own scale.
    signed : bool
        Whether its colours are those of a signed map.
    left, top : int
        The tile's first pixel on the sheet.
    shape : (int, int)
        Positions of the map, down and across.
    unit_page : str
        The page of that unit.
    strongest : tuple of Answering
        The units that answer most, each on its own scale.
    places : Places
        Which do at each place.
    """

    title: str
    page: str
    unit: int
    high: float
    signed: bool
    left: int
    top: int
    shape: tuple[int, int]
    unit_page: str
    strongest: tuple[Answering, ...]
    places: Places


class Spot(NamedTuple):
    """What a glimpse is made of, before it has a place on a sheet: the tile, its unit, the map's shape and scale."""

    pixels: Pixels
    unit: int
    shape: tuple[int, int]
    scale: Scale
    strongest: tuple[Answering, ...]
    places: Places


@dataclass(frozen=True)
class Glimpses:
    """A photograph's maps by layer: sheet, width and height of a tile in pixels, tiles, and their colour bars."""

    picture: Picture
    tile: tuple[int, int]
    tiles: tuple[Glimpse, ...]
    bars: tuple[tuple[str, Picture], ...]


@dataclass(frozen=True)
class ImagePage:
    """Everything about one photograph.

    Attributes
    ----------
    page : str
        Its address.
    photo : Photo
    seen : Picture
        The photograph as the page shows it: no larger a file than it has to be.
    source : str
        What a command calls it.
    command : str
        What to type for its maps.
    drawings : tuple of (Component, tuple of Drawing)
        Its pictures of each component.
    answers : tuple of AnswerRecord
        The classes that the network finds most likely.
    over : tuple of Over
        The photograph, and pictures of its places to lay over it; empty where there are none.
    minimal : Minimal or None
    glimpses, hypercolumn, heat, streams, votes, attributed
        What there is of them.
    """

    page: str
    photo: Photo
    seen: Picture
    source: str
    command: str
    answers: tuple[AnswerRecord, ...]
    glimpses: Glimpses | None
    drawings: tuple[tuple[Component, tuple[Drawing, ...]], ...]
    minimal: Minimal | None
    hypercolumn: Hypercolumn | None
    heat: Heat | None
    streams: Streams | None
    votes: Votes | None
    attributed: Attributed | None
    over: tuple[Over, ...]


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    for place in range(len(addresses.photos)):
        yield _photo(addresses, place)
        yield _photo(addresses, place, "jpg")
        yield _page(addresses, place)
        if addresses.run.images[place].width > FINE:
            yield _seen(addresses, place)
        if _mapped(addresses):
            yield _glimpses_file(addresses, place)


def photo_page_of(photo: Photo) -> str:
    """Return the address of a photograph's page: beside the photograph, by the same name."""
    return f"{photo.picture.path.removesuffix('.png')}.html"


def place_address(addresses: Addresses, image: int, layer: int) -> str:
    """Return the address at which a photograph's page tells of a layer at a place, but for the place itself.

    Behind it come a comma and the place, ``x,y`` as shares of the width and the height.
    """
    return f"{_page(addresses, image)}#place={_mapped(addresses).index(layer)}"


def patch_pages(
    result: PatchesResult,
    unit: int,
    addresses: Addresses,
    layer: int,
    shapes: Sequence[tuple[int, int]],
) -> tuple[str | None, ...]:
    """Return for each of a unit's patches where its photograph's page tells of that place; None without a page."""
    mapped = layer in _mapped(addresses)
    found: list[str | None] = []
    for at in np.flatnonzero(result.shown[unit]).tolist():
        image = int(result.image[unit, at])
        if image >= len(addresses.photos):
            found.append(None)
        elif not mapped or image >= len(shapes):
            found.append(_page(addresses, image))
        else:
            rows, columns = shapes[image]
            x, y = (int(result.col[unit, at]) + 0.5) / columns, (int(result.row[unit, at]) + 0.5) / rows
            found.append(f"{place_address(addresses, image, layer)},{min(x, 1):.2f},{min(y, 1):.2f}")
    return tuple(found)


def seen_picture(addresses: Addresses, place: int, photo: Photo) -> Picture:
    """Return the photograph as its page shows it: no larger a file than it has to be."""
    if addresses.run.images[place].width <= FINE:
        return photo.picture
    return Picture(_seen(addresses, place), photo.picture.width, photo.picture.height)


def _photo(addresses: Addresses, place: int, suffix: str = "png") -> str:
    """Return the address of a photograph, or with ``jpg`` of its small copy."""
    return f"{addresses.folder}/images/{addresses.photos[place]}.{suffix}"


def _seen(addresses: Addresses, place: int) -> str:
    """Return the address of a photograph as its own page shows it."""
    return f"{addresses.folder}/seen/{addresses.photos[place]}.jpg"


def _page(addresses: Addresses, place: int) -> str:
    return _photo(addresses, place, "html")


def _glimpses_file(addresses: Addresses, place: int) -> str:
    return f"{addresses.folder}/glimpses/{addresses.photos[place]}.jpg"


def _mapped(addresses: Addresses) -> list[int]:
    """Return the places of the layers with pages that have maps."""
    return [place for place in addresses.paged if addresses.run.layers[place].maps is not None]


def draw_photo(addresses: Addresses, place: int, write: Write) -> Photo:
    """Copy a photograph and draw it small; its size is what its own header says.

    Raises
    ------
    ResultError
        If it is missing or damaged.
    """
    image = addresses.run.images[place]
    path, small = _photo(addresses, place), _photo(addresses, place, "jpg")
    try:
        data = image.file.read_bytes()
    except OSError as error:
        raise ResultError(
            f"cannot read {image.file}: {error.strerror or error}; run the survey again"
        ) from error
    try:
        width, height = png_size(data)
    except ValueError:
        raise ResultError(f"{image.file} is no PNG; run the survey again") from None
    write(path, data)
    try:
        pixels = thumbnail(data)
    except (OSError, ValueError) as error:
        raise ResultError(f"{image.file} is damaged: {error}; run the survey again") from error
    write(small, encode_jpeg(pixels, SMALL_QUALITY, coarse=True, optimize=True))
    return Photo(image.name, Picture(path, width, height), Picture(small, pixels.shape[1], pixels.shape[0]))


def thumbnail(data: bytes) -> Pixels:
    """Decode a PNG and bring it to a short side of :data:`SMALL` pixels, if it is larger, or much smaller.

    A small one is enlarged by a whole number, with hard edges.

    Raises
    ------
    OSError, ValueError
        If it cannot be decoded.
    """
    with Image.open(io.BytesIO(data)) as image:
        pixels = image.convert("RGB")
    times = SMALL // min(pixels.size)
    if times > 1:
        return np.asarray(
            pixels.resize((pixels.width * times, pixels.height * times), Image.Resampling.NEAREST)
        )
    scale = min(1.0, SMALL / min(pixels.size))
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    return np.asarray(pixels.resize(size, Image.Resampling.LANCZOS, reducing_gap=2))


def draw_images(
    addresses: Addresses,
    photos: tuple[Photo, ...],
    components: Components | None,
    minimal: Minimals | None,
    fcn: Fcn | None,
    spots: Mapping[int, Sequence[Spot]],
    write: Write,
) -> tuple[ImagePage, ...]:
    """Draw what only the photographs' pages show, and gather what there is already.

    Parameters
    ----------
    components, minimal, fcn
        All of the network's.
    spots : mapping of int to sequence of Spot
        By a layer's place what `draw_spot` has drawn of it on each photograph.
    """
    columns = draw_hypercolumns(addresses, photos, write)
    attributed = draw_attributed(addresses, write)
    parts = components.layers if components is not None else ()
    pages = []
    for place, photo in enumerate(photos):
        image = addresses.run.images[place]
        seen = _draw_seen(addresses, place, photo, write)
        column = columns.get(place)
        heat = next((one for one in (fcn.heats if fcn else ()) if one.photo == photo), None)
        least = next((one for one in (minimal.shown if minimal else ()) if one.photo == photo), None)
        drawings = ((one, tuple(each for each in one.drawings if each.photo == photo)) for one in parts)
        words = [image.source, "--model", addresses.run.model, "--layer", "LAYER", *sized(image.size)]
        pages.append(
            ImagePage(
                page=_page(addresses, place),
                photo=photo,
                seen=seen,
                source=image.source,
                command=command("maps", *words, run=addresses.run),
                answers=image.answers,
                glimpses=_glimpses(addresses, place, spots, write),
                drawings=tuple((one, few) for one, few in drawings if few),
                minimal=least,
                hypercolumn=column,
                heat=heat,
                streams=next((one for one in (fcn.streams if fcn else ()) if one.photo == photo), None),
                votes=tell_votes(addresses, place),
                attributed=attributed.get(place),
                over=_over(seen, column, least, heat, attributed.get(place)),
            )
        )
    return tuple(pages)


def _over(
    seen: Picture,
    column: Hypercolumn | None,
    minimal: Minimal | None,
    heat: Heat | None,
    attributed: Attributed | None,
) -> tuple[Over, ...]:
    """Gather what is laid over the photograph, which comes first; nothing where it would be alone."""
    found = list(column.over) if column is not None else []
    if minimal is not None and minimal.over is not None:
        found.append(minimal.over)
    if heat is not None and heat.over is not None:
        found.append(heat.over)
    if attributed is not None:
        found += attributed.over
    return (Over("Photograph", "As the network saw it.", seen), *found) if found else ()


def _draw_seen(addresses: Addresses, place: int, photo: Photo, write: Write) -> Picture:
    """Write a photograph as its page shows it, unless it is so small that the page shows it exactly."""
    found = seen_picture(addresses, place, photo)
    if found != photo.picture:
        with Image.open(addresses.run.images[place].file) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        write(found.path, encode_jpeg(pixels, _SEEN_QUALITY, optimize=True))
    return found


def _glimpses(
    addresses: Addresses, place: int, spots: Mapping[int, Sequence[Spot]], write: Write
) -> Glimpses | None:
    """Lay out of every layer the map of the unit that answers most to this photograph, on one sheet."""
    run = addresses.run
    mapped = [(at, spots[at][place]) for at in _mapped(addresses)]
    if not mapped:
        return None
    high, wide = mapped[0][1].pixels.shape[:2]
    tiles = tuple(
        Glimpse(
            title=run.layers[at].title,
            page=addresses.page(at),
            unit=spot.unit,
            high=spot.scale.high,
            signed=spot.scale.colours == "diverging",
            left=number % ACROSS * wide,
            top=number // ACROSS * high,
            shape=spot.shape,
            unit_page=addresses.unit(at, spot.unit),
            strongest=spot.strongest,
            places=spot.places,
        )
        for number, (at, spot) in enumerate(mapped)
    )
    rows = -(-len(tiles) // ACROSS)
    sheet = np.zeros((rows * high, min(len(tiles), ACROSS) * wide, 3), dtype=np.uint8)
    for one, (_, spot) in zip(tiles, mapped, strict=True):
        sheet[one.top : one.top + high, one.left : one.left + wide] = spot.pixels
    picture = Picture(_glimpses_file(addresses, place), sheet.shape[1], sheet.shape[0])
    write(picture.path, encode_jpeg(sheet, QUALITY, optimize=True))
    kinds = (("sequential", False), ("diverging", True))
    bars = tuple((kind, bar(kind)) for kind, signed in kinds if any(one.signed == signed for one in tiles))
    return Glimpses(picture, (wide, high), tiles, bars)


def draw_spot(
    result: MapsResult, addresses: Addresses, layer: int, largest: NDArray[np.float32] | None
) -> Spot:
    """Draw the map with the largest value, by its own scale, in the proportions of its photograph.

    Parameters
    ----------
    result : MapsResult
    addresses : Addresses
    layer : int
        The layer's place among the run's.
    largest : ndarray of float32, shape (units,), optional
        Each unit's largest value on all photographs that were searched.
    """
    high, wide = result.image.shape[:2]
    tile = tuple(max(1, round(TILE * side / max(high, wide))) for side in (wide, high))
    drawn = result.drawn
    peaks = np.where(np.isfinite(drawn), drawn, -np.inf).reshape(len(drawn), -1).max(axis=1)
    unit = result.units[int(peaks.argmax()) : int(peaks.argmax()) + 1]
    view = view_maps(replace(result, units=unit, scale="shared"), _MOST)
    pixels = colourise(view.shares[0], view.scale.colours)
    # One square is one number as long as there is room for it.
    way = Image.Resampling.NEAREST if pixels.shape[1] <= tile[0] else Image.Resampling.BOX
    resized = np.asarray(Image.fromarray(pixels).resize(tile, way))
    rows, columns = result.maps.shape[1:]
    own, units = own_scale(result, largest), result.units.tolist()
    strongest = find_strongest(own, units, addresses, layer)
    return Spot(resized, int(unit[0]), (rows, columns), view.scale, strongest, find_places(own, units))


def glimpse_alt(glimpse: Glimpse, photo: str) -> str:
    """Describe a layer's tile."""
    return f"{glimpse.title} on {photo}: unit {glimpse.unit}, {size(glimpse.shape)} positions"


PANEL = Panel(folders=("images", "seen", "glimpses"), files=files, words=(glimpse_alt, photo_page_of))
