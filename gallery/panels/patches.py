"""The patches that excite a layer's units: sheets of blocks for the units' pages, and small ones for walls."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netviz.paper import style
from netviz.paper.raster import encode_jpeg, encode_png, encode_webp
from netviz.paper.tiles import fill
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.run import read_patches
from netviz.questions.patches.sheet import PatchSheet, crossed, patch_sheet
from netviz.questions.patches.tiles import Cuts, Images, RunImages, cut_tiles, oversized
from netviz.results.survey import Missing

from ..addresses import Addresses
from ..drawing import (
    COLUMNS,
    COUNT,
    Pixels,
    Write,
    chunks,
    side_by_side,
    sprite_sheets,
    write_copy,
)
from ..loading import is_small
from ..manifest import Picture, Sprites, Tile
from ..panel import Panel, Recipe
from ..words import command, counted, listed, number, sized

SMALL = 48
"""Pixels of CSS of a patch along one side, on a wall."""

DENSE = {"quick": 1, "standard": 2, "full": 2}
"""Pixels of its picture for each of these, by the form of the survey."""

SIDE = 4 * SMALL
"""Pixels of a patch on a unit's page."""

QUALITY = {"quick": 70, "standard": 70, "full": 50}
"""Of the pictures of units' pages: in the full form all units have one."""

WALL_QUALITY = {1: 70, 2: 30}
"""Of walls, by how dense they are: of two pixels for one, faults are finer than what is seen."""

GAP = 3
"""Pixels between two patches."""

SHOWN = 4
"""Patches of each unit on a wall."""

BESIDE = 1
"""Of each unit that has no page: a network has tens of thousands, and cutting patches takes most of a build."""

MEMORY = 1 << 28
"""Bytes of photographs that are kept from one layer to the next."""

FLAT = 4
"""Pixels of a receptive field that are enlarged so much that a patch is a few flat squares: better as PNG."""

_SQUARE = 0.8

_ACROSS = {4: 2, 6: 3, 8: 4, 9: 3}

RECIPE = Recipe(
    "Patches",
    "For every unit the places of the photographs with its largest values, cut out with the receptive field; "
    "bright is where its map is among its highest values.",
    (
        "Girshick, Donahue, Darrell and Malik, Rich feature hierarchies, CVPR 2014",
        "Zhou et al., Object detectors emerge in deep scene CNNs, ICLR 2015",
    ),
)


@dataclass(frozen=True)
class UnitPatches:
    """The patches that excite one unit most, as one block of a sheet.

    Attributes
    ----------
    unit : int
        Its number.
    sheet : int
        Which sheet the block is on.
    left, top : int
        The block's first pixel.
    names : tuple of str
        Which photograph each patch is from, the strongest first.
    scores : tuple of float
        The unit's value at each.
    largest : float
        Its largest value on any photograph.
    mark : str
        ``"dead"``, ``"always on"`` or nothing.
    cut : int
        How many of its strongest patches, those on a wall, the photograph's edge cuts off: they are drawn with what
        lies beyond it, or are no squares.
    """

    unit: int
    sheet: int
    left: int
    top: int
    names: tuple[str, ...]
    scores: tuple[float, ...]
    largest: float
    mark: str
    cut: int = 0


@dataclass(frozen=True)
class Patches:
    """What excites the units of a layer.

    Attributes
    ----------
    sheets : tuple of Sprites
        The sheets; a tile is what belongs to one unit.
    units : tuple of UnitPatches
        In the order of their numbers.
    total, top, images, per_image : int
        Units of the layer, patches of each, photographs looked at, and most patches from one of them.
    apart : bool
        Whether several patches come from one photograph only where their fields overlap by less than a quarter.
    status : str
        As of a :class:`Field`.
    outlined, halved, missing : int
        Patches with an outline, those with one at half of the largest value, and those whose photograph is gone.
    beyond : (int, int) or None
        Of how many patches the field reaches beyond the photograph, and how many there are; None without a field.
    margins : int
        Patches of which that is drawn.
    find, draw : str
        The commands that find them, and that draw them.
    """

    sheets: tuple[Sprites, ...]
    units: tuple[UnitPatches, ...]
    total: int
    top: int
    images: int
    per_image: int
    apart: bool
    status: str
    outlined: int
    halved: int
    beyond: tuple[int, int] | None
    margins: int
    missing: int
    find: str
    draw: str


class Memory:
    """Keeps photographs that were read, up to a limit: all layers of a network cut their patches out of the same."""

    def __init__(self) -> None:
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._bytes = 0
        self.cuts: Cuts = {}

    def through(self, read: Images) -> Images:
        """Return a reader that reads only what is not kept."""

        def get(number: int) -> NDArray[np.uint8]:
            pixels = self._kept.get(number)
            if pixels is None:
                pixels = read(number)
                if self._bytes + pixels.nbytes <= MEMORY:
                    self._kept[number] = pixels
                    self._bytes += pixels.nbytes
            return pixels

        return get


@dataclass(frozen=True)
class Drawn:
    """A layer's patches as drawn.

    Attributes
    ----------
    patches : Patches
        What the pages say.
    previews, others : tuple of Sprites
        The strongest of each unit, small: of those that have pages, and of those that have none.
    result : PatchesResult
        What they were drawn from.
    data : str or None
        The address of its file, where that is small enough.
    bytes : int
        Its size.
    """

    patches: Patches
    previews: tuple[Sprites, ...]
    others: tuple[Sprites, ...]
    result: PatchesResult
    data: str | None
    bytes: int


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    for place in addresses.paged:
        found = addresses.run.layers[place].patches
        if found and addresses.units[place]:
            for unit in addresses.units[place]:
                yield _sheet(addresses, place, unit)
            for number in sprite_sheets(addresses.units[place]):
                yield _small(addresses, place, number)
            for number in sprite_sheets(addresses.others[place]):
                yield _beside(addresses, place, number)
            if is_small(found):
                yield _numbers(addresses, place)


def _sheet(addresses: Addresses, place: int, unit: int) -> str:
    return addresses.beside(place, f"patches-{unit}.{_suffix(addresses, place)}")


def _small(addresses: Addresses, place: int, number: int) -> str:
    # Several patches of many units: what a page weighs most with.
    suffix = _suffix(addresses, place)
    dense = suffix == "jpg" and DENSE[addresses.run.form] > 1
    return addresses.beside(place, f"wall-{number}.{'webp' if dense else suffix}")


def _beside(addresses: Addresses, place: int, number: int) -> str:
    return addresses.beside(place, f"others-{number}.{_suffix(addresses, place)}")


def _suffix(addresses: Addresses, place: int) -> str:
    """Return how sheets are encoded: of a few flat squares JPEG would make a mess."""
    field = addresses.run.layers[place].receptive_field
    return "png" if field is not None and field.size is not None and max(field.size) <= FLAT else "jpg"


def _numbers(addresses: Addresses, place: int) -> str:
    return addresses.beside(place, "patches.npz")


def draw_patches(addresses: Addresses, place: int, memory: Memory, write: Write) -> Drawn | None:
    """Draw the patches of a layer's units, one sheet after the other; None where the run has none."""
    run = addresses.run
    layer = run.layers[place]
    if layer.patches is None or isinstance(run.patches, Missing) or not addresses.units[place]:
        return None
    result = read_patches(layer.patches)
    units = [unit for unit in addresses.units[place] if unit < result.channels]
    top: int = result.image.shape[1]
    across = patches_across(top)
    dense = DENSE[run.form]
    sheets, previews, told = [], [], []
    missing = outlined = halved = margins = 0
    for at, chosen in enumerate(chunks(units)):
        shown = sorted({int(image) for image in result.image[list(chosen)].ravel() if image >= 0})
        images = RunImages(run.patches.folder, shown)
        reader = memory.through(images)
        sheet = patch_sheet(result, reader, chosen, size=SIDE, gap=GAP, columns=across, cuts=memory.cuts)
        # These make up most of a site, and of what a unit's page weighs: each page has its own.
        for row, unit in enumerate(sheet.units):
            left, first = sheet.corner(row * top)
            block = _block(int(result.shown[unit].sum()), top)
            own = sheet.pixels[first : first + block[1], left : left + block[0]]
            path = _sheet(addresses, place, unit)
            sheets.append(Sprites(_write(own, path, write, QUALITY[run.form]), block))
        tiles = preview_tiles(sheet, dense)
        small = _write(side_by_side(tiles), _small(addresses, place, at), write, WALL_QUALITY[dense])
        previews.append(Sprites(small, (tiles.shape[2], tiles.shape[1]), dense))
        names = {one: run.images[one].name if one < len(run.images) else images.name(one) for one in shown}
        told += [_unit(unit, at * COUNT + row, (0, 0), result, names) for row, unit in enumerate(sheet.units)]
        missing += len(sheet.missing)
        outlined += sheet.outlined
        halved += sheet.halved
        margins += sheet.margins
    others = draw_others(result, addresses, place, memory, run.patches.folder, write)
    asked = [word for one in run.patches.images for word in ("--images", one)]
    named = ("--layer", layer.name)
    drawn = [] if len(units) == result.channels else ["--units", ",".join(map(str, units))]
    patches = Patches(
        sheets=tuple(sheets),
        units=tuple(told),
        total=result.channels,
        top=top,
        images=result.images,
        per_image=result.per_image,
        apart=result.apart,
        status=result.field_status,
        outlined=outlined,
        halved=halved,
        beyond=result.beyond(units),
        margins=margins,
        missing=missing,
        find=command("patches", run.model, *asked, *named, *sized(run.size), "-o", "RUN", run=run),
        draw=command("draw", "RUN", *named, *drawn, "-o", "patches.png"),
    )
    data = write_copy(layer.patches, _numbers(addresses, place), write)
    return Drawn(patches, tuple(previews), others, result, data, layer.patches.stat().st_size)


def _block(count: int, top: int) -> tuple[int, int]:
    """Return the width and height of so many patches in rows, without rows and columns that are empty."""
    wide = patches_across(top, count)
    return wide * (SIDE + GAP) - GAP, max(1, math.ceil(count / wide)) * (SIDE + GAP) - GAP


def _write(pixels: Pixels, path: str, write: Write, quality: int) -> Picture:
    if path.endswith(".png"):
        data = encode_png(pixels)
    elif path.endswith(".webp"):
        data = encode_webp(pixels, quality)
    else:
        data = encode_jpeg(pixels, quality, coarse=True, optimize=True)
    write(path, data)
    return Picture(path, pixels.shape[1], pixels.shape[0])


def patches_across(top: int, count: int | None = None) -> int:
    """Return how many of a unit's `top` patches stand in a row of its block; of fewer, how many of these."""
    across = _ACROSS.get(top, top)
    return across if count is None else min(across, max(1, count))


def unit_mark(result: PatchesResult, unit: int) -> str:
    """Return whether a unit is dead or always on, or neither: an empty text."""
    return "dead" if unit in result.dead else "always on" if unit in result.always_on else ""


def _unit(
    unit: int, sheet: int, corner: tuple[int, int], result: PatchesResult, names: Mapping[int, str]
) -> UnitPatches:
    there = result.shown[unit]
    found = [
        (int(n), float(s)) for n, s in zip(result.image[unit][there], result.score[unit][there], strict=True)
    ]
    mark = unit_mark(result, unit)
    first = result.margin[unit][there][:SHOWN] * np.tile(~np.array(oversized(result)), 2)
    sides = np.diff(result.box[unit][there][:SHOWN].reshape(-1, 2, 2), axis=1)[:, 0]
    return UnitPatches(
        unit,
        sheet,
        *corner,
        tuple(names[number] for number, _ in found),
        tuple(score for _, score in found),
        float(result.max[unit]),
        mark,
        int(((first > 0).any(axis=-1) | (_SQUARE * sides.max(axis=-1) > sides.min(axis=-1))).sum()),
    )


def draw_others(
    result: PatchesResult, addresses: Addresses, place: int, memory: Memory, folder: Path, write: Write
) -> tuple[Sprites, ...]:
    """Draw the strongest patches of the units that have no page, at the size of a wall."""
    most = min(BESIDE, result.image.shape[1])
    units = [unit for unit in addresses.others[place] if unit < result.channels]
    if not units:
        return ()
    asked = result.image[units, :most]
    images = RunImages(folder, np.unique(asked[asked >= 0]).tolist())
    # All at once: what it takes to begin is as much as the tiles of a sheet.
    dense = DENSE[addresses.run.form]
    side = dense * SMALL
    found = cut_tiles(result, memory.through(images), units, side, top=most, mean=False, cuts=memory.cuts)
    found.pixels[found.missing] = crossed(side)
    every = _in_rows(found.pixels, dense)
    sheets = []
    for at in sprite_sheets(units):
        tiles = every[at * COUNT : (at + 1) * COUNT]
        path = _beside(addresses, place, at)
        picture = _write(side_by_side(tiles), path, write, WALL_QUALITY[dense])
        sheets.append(Sprites(picture, (tiles.shape[2], tiles.shape[1]), dense))
    return tuple(sheets)


def thumbnail(addresses: Addresses, place: int, unit: int, top: int) -> tuple[Tile, Sprites] | None:
    """Return where on which sheet a unit's strongest patches are, small; None where the run has none of its layer.

    It depends on nothing that is drawn: any page may show any unit. The run has `top` patches of each.
    """
    layer = addresses.run.layers[place]
    if layer.patches is None or isinstance(addresses.run.patches, Missing):
        return None
    for units, most, path in (
        (addresses.units[place], SHOWN, _small),
        (addresses.others[place], BESIDE, _beside),
    ):
        if unit not in units:
            continue
        sheet, at = divmod(units.index(unit), COUNT)
        count = len(units[sheet * COUNT : (sheet + 1) * COUNT])
        dense = DENSE[addresses.run.form]
        side, shown = dense * (SMALL + 2), min(most, top)
        across = min(2, shown)
        width, height = across * side, math.ceil(shown / across) * side
        row, column = divmod(at, COLUMNS)
        size = COLUMNS * width, math.ceil(count / COLUMNS) * height
        sprites = Sprites(Picture(path(addresses, place, sheet), *size), (width, height), dense)
        return Tile(unit, column * width, row * height), sprites
    return None


def preview_tiles(sheet: PatchSheet, dense: int) -> Pixels:
    """Shrink the strongest patches of a sheet's units; a tile for each unit, with paper around.

    Parameters
    ----------
    sheet : PatchSheet
    dense : int
        Pixels of a tile for one of CSS.

    Returns
    -------
    ndarray of uint8, shape (units, H, W, 3)
    """
    shown = min(SHOWN, sheet.top)
    side = sheet.tile_width
    cut = np.empty((len(sheet.units), shown, side, side, 3), dtype=np.uint8)
    for at in range(len(sheet.units)):
        for place in range(shown):
            left, top = sheet.corner(at * sheet.top + place)
            cut[at, place] = sheet.pixels[top : top + side, left : left + side]
    return _in_rows(_shrink(cut, dense * SMALL), dense)


def _in_rows(small: Pixels, edge: int) -> Pixels:
    """Lay each unit's patches (K, P, S, S, 3) out two abreast, an edge of paper around each."""
    count, shown, side = small.shape[:3]
    side += 2 * edge
    across = min(2, shown)
    down = math.ceil(shown / across)
    tiles = np.empty((count, down * across, side, side, 3), dtype=np.uint8)
    fill(tiles, style.rgb(style.PAPER))
    tiles[:, :shown, edge:-edge, edge:-edge] = small
    joined: Pixels = (
        tiles.reshape(count, down, across, side, side, 3)
        .swapaxes(2, 3)
        .reshape(count, down * side, across * side, 3)
    )
    return joined


def _shrink(tiles: Pixels, small: int) -> Pixels:
    """Shrink tiles (K, P, H, W, 3) to a wall's, every pixel the mean of the square that it covers."""
    count, places, side, _, _ = tiles.shape
    step = side // small
    blocks = tiles.reshape(count, places, small, step, small, step, 3)
    # Planes are added one by one: a sum along axes as short as these takes six times as long. 16² values of a byte
    # still fit.
    rows = np.zeros((count, places, small, small, step, 3), dtype=np.uint16)
    for at in range(step):
        rows += blocks[:, :, :, at]
    # A half goes up.
    sums = np.full((count, places, small, small, 3), step * step // 2, dtype=np.uint16)
    for at in range(step):
        sums += rows[:, :, :, :, at]
    shrunk: Pixels = (sums // np.uint16(step * step)).astype(np.uint8)
    return shrunk


def patches_lead(patches: Patches) -> str:
    """Say what the patches are, and out of how many photographs."""
    if patches.total == 1:
        text = "Its only unit, with the parts of the photographs that excite it most, the strongest first."
    else:
        text = (
            f"All {patches.total:,} units, each with the parts of the photographs that excite it most, the "
            "strongest first."
        )
    out_of = counted(patches.images, "photograph")
    if patches.images <= patches.top and patches.per_image == 1:
        who = "it has" if patches.total == 1 else "every unit has"
        honest = f"With only {out_of} these are not the best of many"
        return f"{text} {honest}: {who} one patch from each, the weakest included."
    most = f", at most {patches.per_image:,} from one of them" if patches.per_image < patches.top else ""
    if patches.apart and patches.top > 1:
        most = ", several in one of them where their fields overlap by less than a quarter"
    return f"{text} They were found among {out_of}{most}."


def patches_note(patches: Patches) -> str:
    """Say what is drawn of a patch."""
    notes = [
        {
            "global": "A patch is the whole photograph: the unit sees all of it.",
            "unknown": "How far a unit sees is not known: a patch is all that the network saw.",
        }.get(
            patches.status, "A patch is the receptive field of the unit, cut out of the original photograph."
        )
    ]
    if patches.outlined:
        share = ", or above half of the value there where nearly all or none is" if patches.halved else ""
        notes.append(f"Bright and outlined: the map of the unit is among its highest 0.5 % of values{share}.")
    if patches.beyond is not None and patches.beyond[0]:
        outside, count = patches.beyond
        most = "at most " if patches.status == "upper_bound" else ""
        drawn = ": grey margins" if patches.margins else ""
        notes.append(f"Fields that reach beyond the photograph: {most}{outside:,} of {count:,}{drawn}.")
    if patches.missing:
        gone = counted(patches.missing, "patch is", "patches are")
        notes.append(f"{gone} crossed out: the photograph is no longer where the survey found it.")
    return " ".join(notes)


def patches_alt(unit: UnitPatches, title: str) -> str:
    """Describe a unit's patches for those who cannot see them."""
    if not unit.names:
        return f"{title}, unit {unit.unit}: no patch"
    found = "; ".join(f"{name} {number(score)}" for name, score in zip(unit.names, unit.scores, strict=True))
    return f"{title}, unit {unit.unit}, patches from {found}"


def marked(patches: Patches) -> str:
    """Say which of the units shown are dead or always on."""
    parts = []
    for mark in ("dead", "always on"):
        units = tuple(unit.unit for unit in patches.units if unit.mark == mark)
        if units:
            what = "answer with 0 everywhere" if mark == "dead" else "never answer with 0"
            parts.append(f"{mark.capitalize()} ({what} on these photographs): {listed(units)}.")
    return " ".join(parts)


def draw_command(patches: Patches, unit: int) -> str:
    """Return the command that draws one unit's patches."""
    start = patches.draw.removesuffix(" -o patches.png").rsplit(" --units ", 1)[0]
    return f"{start} --units {unit} -o patches.png"


PANEL = Panel(
    folders=("patches",),
    files=files,
    words=(patches_note, patches_alt, marked, draw_command, patches_across),
)
