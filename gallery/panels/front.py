"""What the first page shows of a network: striking units, its stages drawn to scale, and a map normalized."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from netviz.paper import style
from netviz.paper.raster import encode_jpeg, encode_png
from netviz.paper.scales import colourise, finite_range, peak, scale_for
from netviz.paper.tiles import fill
from netviz.questions.contrast.result import ContrastResult
from netviz.questions.patches.run import read_patches
from netviz.questions.patches.tiles import RunImages, cut_tiles
from netviz.results.survey import ComponentsRecord, Missing

from ..addresses import Addresses
from ..drawing import QUALITY, Pixels, Write, side_by_side
from ..loading import load_kind
from ..manifest import Photo, Picture
from ..panel import Panel
from ..words import counted, number, size
from .layer import Layer
from .patches import Memory
from .unit import Unit

SHELF = 12
"""Striking units on the first page, of all networks together."""

SIDE = 192
"""Pixels of a unit's tile along one side: four patches, or one."""

TALL, WIDE = 112, 160
"""CSS pixels of the tallest and of the widest stage: all others are to scale."""

FINE = 16
"""Pixels of a receptive field up to which patches are a few flat squares: a shelf shows others, if there are any."""

_LAST = -9.0

_HELD = 0.99
"""The share of a map's values that its colours hold: a few large ones would leave none for the others."""


@dataclass(frozen=True)
class Piece:
    """A part of a picture, by its first pixel and its width and height: alone on the page, with what stands below.

    Attributes
    ----------
    picture : Picture
    left, top : int
    tile : (int, int)
    alt, text : str
        What it shows, and what is written below it, if anything.
    page : str
        Where it leads; empty if nowhere.
    shape : (int, int)
        Proportions to which it is stretched.
    """

    picture: Picture
    left: int
    top: int
    tile: tuple[int, int]
    alt: str
    text: str = ""
    page: str = ""
    shape: tuple[int, int] = (0, 0)

    @property
    def aspect(self) -> str:
        """Its proportions for CSS."""
        wide, high = self.shape if all(self.shape) else self.tile
        return f"{wide}/{high}"


def whole(picture: Picture, alt: str, text: str = "", page: str = "") -> Piece:
    """Return all of a picture as a piece."""
    return Piece(picture, 0, 0, (picture.width, picture.height), alt, text, page)


@dataclass(frozen=True)
class Shown:
    """A unit on the first page.

    Attributes
    ----------
    layer : Layer
    unit : Unit
    piece : Piece
        Its strongest patches.
    """

    layer: Layer
    unit: Unit
    piece: Piece


@dataclass(frozen=True)
class Stage:
    """Layers with a page, one after the other, whose maps have one size.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the maps.
    units : int
        Of the layer that has most.
    titles : (str, str)
        The first and the last layer.
    count : int
        How many there are.
    page : str
        Where the stage leads: to its face, else to its first layer.
    face : Piece or None
        Patches of one of its units, else the first tile of its first layer.
    """

    shape: tuple[int, int]
    units: int
    titles: tuple[str, str]
    count: int
    page: str
    face: Piece | None


@dataclass(frozen=True)
class Front:
    """What the first page shows of a network.

    Attributes
    ----------
    shelf : tuple of Shown
        Striking units, one of each part of the network, in the order of their layers.
    stages : tuple of Stage
    contrast : tuple of Piece
        A photograph, a unit's map on it, and that map after contrast normalization; empty where the run has none.
    """

    shelf: tuple[Shown, ...]
    stages: tuple[Stage, ...]
    contrast: tuple[Piece, ...]


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    if _has_patches(addresses):
        yield _file(addresses, "shelf.jpg")
        yield _file(addresses, "stages.jpg")
    if _normalized(addresses) is not None:
        yield _file(addresses, "before.png")
        yield _file(addresses, "after.png")


def _file(addresses: Addresses, name: str) -> str:
    return f"{addresses.folder}/front/{name}"


def _has_patches(addresses: Addresses) -> bool:
    """Return whether a unit with a page has patches."""
    if isinstance(addresses.run.patches, Missing):
        return False
    return any(addresses.run.layers[at].patches and addresses.units[at] for at in addresses.paged)


def _normalized(addresses: Addresses) -> tuple[int, int, int] | None:
    """Return a component, its picture of contrast normalization, and the photograph; None where the run has none."""
    found = addresses.run.components
    for at, component in enumerate(found.layers if isinstance(found, ComponentsRecord) else ()):
        for place, one in enumerate(component.shown):
            if one.verb == "contrast" and one.file is not None:
                return at, place, one.image
    return None


def draw_front(
    addresses: Addresses, networks: int, photos: Sequence[Photo], layers: Sequence[Layer], write: Write
) -> Front:
    """Choose and draw what the first page shows of a network.

    Parameters
    ----------
    networks : int
        How many networks share the page.
    layers : sequence of Layer
        All of the network's.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    memory = Memory()
    places = {at: layers[at] for at in addresses.paged}
    groups = group_stages(places)
    large = {at: layer for at, layer in places.items() if not _sees_little(layer)}
    picked = striking(large or places, math.ceil(SHELF / max(1, networks)))
    faces = [next(iter(striking({at: layers[at] for at in group}, 1)), None) for group in groups]
    shelf: list[Piece] = []
    some: list[Piece] = []
    if _has_patches(addresses):
        shelf = _draw_units(addresses, layers, picked, "shelf.jpg", "Strongest patches", memory, write)
        there = [face for face in faces if face is not None]
        some = _draw_units(addresses, layers, there, "stages.jpg", "A stage", memory, write)
    drawn = iter(some)
    return Front(
        shelf=tuple(Shown(layers[at], unit, piece) for (at, unit), piece in zip(picked, shelf, strict=True)),
        stages=tuple(
            _stage([layers[at] for at in group], None if face is None else next(drawn))
            for group, face in zip(groups, faces, strict=True)
        ),
        contrast=_draw_contrast(addresses, photos, write),
    )


def _sees_little(layer: Layer) -> bool:
    field = layer.field
    return field is not None and field.size is not None and max(field.size) <= FINE


def group_stages(layers: dict[int, Layer]) -> list[list[int]]:
    """Return the places of layers by stages: one after the other while their maps have one size."""
    groups: list[list[int]] = []
    for at, layer in layers.items():
        before = layers[groups[-1][-1]] if groups else None
        if len(layer.shape) != 3:
            continue
        if before is not None and before.shape[1:] == layer.shape[1:]:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def striking(layers: dict[int, Layer], count: int) -> list[tuple[int, Unit]]:
    """Choose units by their numbers: one of each of so many parts of a network, several where it has fewer layers.

    Returns
    -------
    list of (int, Unit)
        The layer's place, and the units with the highest :func:`strength`; in the order of the layers.
    """
    best: list[list[tuple[int, Unit]]] = []
    for at, layer in layers.items():
        units = () if layer.wall is None else layer.wall.units
        seen = [unit for unit in units if unit.patches is not None and unit.patches.names]
        if seen:
            # Of equals the first.
            best.append([(at, unit) for unit in sorted(seen, key=lambda one: -strength(one))])
    if len(best) < count:
        ends = [count * part // len(best) for part in range(len(best) + 1)] if best else []
        return [
            one
            for units, (first, last) in zip(best, pairwise(ends), strict=True)
            for one in units[: last - first]
        ]
    ends = [len(best) * part // count for part in range(count + 1)]
    return [
        max((units[0] for units in best[first:last]), key=lambda one: strength(one[1]))
        for first, last in pairwise(ends)
    ]


def strength(unit: Unit) -> float:
    """Return how striking a unit is: its sparsity times the score of its last patch over that of its first.

    Both are 1 at most: it is seldom active, and its last patch excites it as much as its first. Each of its strongest
    patches that is cut off takes 1 off. Last come units that are remarkable otherwise (dead,
    always on, excited only at the border), and those whose numbers are missing.
    """
    patches, numbers = unit.patches, unit.numbers
    scores = () if patches is None else patches.scores
    if unit.marks or patches is None or numbers is None or not scores or scores[0] <= 0:
        return _LAST
    if math.isnan(numbers.sparsity):
        return _LAST
    return numbers.sparsity * max(0.0, scores[-1] / scores[0]) - patches.cut


def _draw_units(
    addresses: Addresses,
    layers: Sequence[Layer],
    chosen: Sequence[tuple[int, Unit]],
    name: str,
    alt: str,
    memory: Memory,
    write: Write,
) -> list[Piece]:
    """Cut the strongest patches of units, and lay them out on one sheet."""
    tiles = np.empty((max(1, len(chosen)), SIDE, SIDE, 3), dtype=np.uint8)
    fill(tiles, style.rgb(style.PAPER))
    for tile, (at, unit) in zip(tiles, chosen, strict=False):
        _cut(addresses, at, unit.unit, memory, tile)
    pixels = side_by_side(tiles)
    path = _file(addresses, name)
    write(path, encode_jpeg(pixels, QUALITY, coarse=True, optimize=True))
    picture = Picture(path, pixels.shape[1], pixels.shape[0])
    across = pixels.shape[1] // SIDE
    return [
        Piece(
            picture,
            place % across * SIDE,
            place // across * SIDE,
            (SIDE, SIDE),
            f"{alt} of {addresses.run.network}, {layers[at].title}, unit {unit.unit}",
            page=unit.page,
        )
        for place, (at, unit) in enumerate(chosen)
    ]


def _cut(addresses: Addresses, at: int, unit: int, memory: Memory, tile: Pixels) -> None:
    """Draw a unit's four strongest patches into a tile, or the strongest alone where it has not so many."""
    run, file = addresses.run, addresses.run.layers[at].patches
    if file is None or isinstance(run.patches, Missing):
        return
    result = read_patches(file)
    many = 4 if int(result.shown[unit].sum()) >= 4 else 1
    side = SIDE if many == 1 else SIDE // 2 - 1
    numbers = sorted({int(image) for image in result.image[unit, :many] if image >= 0})
    images = memory.through(RunImages(run.patches.folder, numbers))
    found = cut_tiles(result, images, [unit], side, top=many, mean=False, cuts=memory.cuts)
    for place, patch in enumerate(found.pixels[0]):
        down, across = divmod(place, 2)
        top, left = down * (SIDE - side), across * (SIDE - side)
        tile[top : top + side, left : left + side] = patch


def _stage(layers: Sequence[Layer], face: Piece | None) -> Stage:
    first = layers[0]
    page = first.page or ""
    if face is None:
        face = _sheet_face(first)
    _, height, width = first.shape
    return Stage(
        shape=(height, width),
        units=max(layer.channels or 0 for layer in layers),
        titles=(first.title, layers[-1].title),
        count=len(layers),
        page=face.page if face is not None else page,
        face=face,
    )


def _sheet_face(layer: Layer) -> Piece | None:
    """Return the first map or filter of a layer that has no patches; None where it has neither."""
    sheet = layer.maps[0].sheet if layer.maps else layer.filters.sheet if layer.filters else None
    if sheet is None or not sheet.tiles or sheet.layout == "matrix":
        return None
    tile = sheet.tiles[0]
    what = f"map on {layer.maps[0].photo.name}" if layer.maps else "filter"
    alt = f"Stage that begins with {layer.title}: unit {tile.unit}, {what}"
    return Piece(sheet.picture, tile.left, tile.top, sheet.tile, alt, page=layer.page or "")


def _draw_contrast(addresses: Addresses, photos: Sequence[Photo], write: Write) -> tuple[Piece, ...]:
    """Draw the map that has most to lose before and after contrast normalization, and its photograph."""
    found, place = addresses.run.components, _normalized(addresses)
    if place is None or not isinstance(found, ComponentsRecord):
        return ()
    component = found.layers[place[0]]
    one = component.shown[place[1]]
    if one.file is None:
        return ()
    result = load_kind(one.file, ContrastResult)
    unit = int(result.units[0])
    photo = photos[place[2]]
    title = addresses.run.layers[component.layer].title
    pieces = [
        whole(
            photo.picture,
            f"Photograph {photo.name}, shown to {title} of {addresses.run.network}",
            "the photograph",
        )
    ]
    for name, text, values in (
        ("before.png", f"map of {title}, unit {unit}", result.before[unit]),
        ("after.png", "after contrast normalization", result.after[unit]),
    ):
        high = peak(values, _HELD) or 1.0
        scale = scale_for(-high if finite_range(values)[0] < 0 else 0.0, high)
        pixels = colourise(np.clip(values / high, -1, 1), scale.colours)
        path = _file(addresses, name)
        write(path, encode_png(pixels))
        picture = Picture(path, pixels.shape[1], pixels.shape[0])
        pieces.append(whole(picture, f"{addresses.run.network} on {photo.name}: {text}", text))
    return tuple(pieces)


def slab(stage: Stage, stages: Sequence[Stage]) -> str:
    """Return the CSS size of a stage: its height is the longer side of its maps, its width its units, to scale."""
    tall, wide = max(max(one.shape) for one in stages), max(one.units for one in stages)
    height, width = TALL * max(stage.shape) / tall, WIDE * stage.units / max(1, wide)
    return f"height:{max(2, round(height))}px;width:{max(2, round(width))}px"


def stage_text(stage: Stage) -> str:
    """Name the layers of a stage."""
    first, last = stage.titles
    return first if stage.count == 1 else f"{first} to {last}, {counted(stage.count, 'layer')}"


def stage_size(stage: Stage) -> str:
    """Say how large its maps are, and how many there are."""
    return f"{size(stage.shape)}, {counted(stage.units, 'unit')}"


def shown_text(shown: Shown) -> str:
    """Say what is known of a striking unit, in few words."""
    concepts = {} if shown.layer.concepts is None else shown.layer.concepts.by_unit()
    concept = concepts.get(shown.unit.unit)
    if shown.unit.label:
        return shown.unit.label
    if concept is not None and concept.detects:
        return concept.concept
    return "" if shown.unit.numbers is None else f"sparsity {number(shown.unit.numbers.sparsity)}"


PANEL = Panel(folders=("front",), files=files, words=(slab, stage_text, stage_size, shown_text))
