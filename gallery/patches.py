"""The patches that excite a layer's units: a run's result → sheets of blocks, and small ones for walls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.paper.raster import encode_png
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.run import read_patches
from netviz.questions.patches.sheet import patch_sheet
from netviz.questions.patches.tiles import Images, RunImages

from .commands import command, sized
from .manifest_parts import Patches, Picture, Sprites, UnitPatches
from .pictures import Write, jpeg
from .plan import Plan
from .runs import RunLayer
from .sprites import chunks, preview_tiles, side_by_side

SIDE = 72
"""Pixels of a patch along one side."""

GAP = 3
"""Pixels between two patches."""

MEMORY = 1 << 28
"""Bytes of photographs that are kept from one layer to the next."""

_ACROSS = {4: 2, 6: 3, 8: 4, 9: 3}


class Memory:
    """Keeps photographs that were read, up to a limit: all layers of a network cut their patches out of the same."""

    def __init__(self) -> None:
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._bytes = 0

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
    """A layer's patches as drawn: their share of the manifest, the small ones, and what they were drawn from."""

    patches: Patches
    previews: tuple[Sprites, ...]
    result: PatchesResult


def draw_patches(
    layer: RunLayer, units: Sequence[int], slug: str, plan: Plan, memory: Memory, write: Write
) -> Drawn | None:
    """Draw the patches of some of a layer's units, one sheet after the other; None where the run has none.

    Parameters
    ----------
    layer : RunLayer
        The layer.
    units : sequence of int
        Which units, in the order of their numbers.
    slug : str
        What the layer's files are called.
    plan : Plan
        The run and its addresses.
    memory : Memory
        Of this network.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    run = plan.run
    if layer.patches is None or run.patches is None or not units:
        return None
    result = read_patches(layer.patches)
    units = [unit for unit in units if unit < result.channels]
    top: int = result.image.shape[1]
    across = _ACROSS.get(top, top)
    block = across * (SIDE + GAP) - GAP, top // across * (SIDE + GAP) - GAP
    sheets, previews, told = [], [], []
    missing = outlined = halved = margins = 0
    for number, chosen in enumerate(chunks(units)):
        shown = sorted({int(image) for image in result.image[list(chosen)].ravel() if image >= 0})
        images = RunImages(run.patches.folder, shown)
        sheet = patch_sheet(result, memory.through(images), chosen, size=SIDE, gap=GAP, columns=across)
        # These sheets make up most of a site, and of what a unit's page weighs.
        picture = _write(sheet.pixels, plan.patches(slug, layer, number), write)
        sheets.append(Sprites(picture, block))
        tiles = preview_tiles(sheet)
        small = _write(side_by_side(tiles), plan.wall(slug, layer, number), write)
        previews.append(Sprites(small, (tiles.shape[2], tiles.shape[1])))
        names = {one: run.images[one].name if one < len(run.images) else images.name(one) for one in shown}
        told += [
            _unit(unit, number, sheet.corner(place * top), result, names)
            for place, unit in enumerate(sheet.units)
        ]
        missing += len(sheet.missing)
        outlined, halved, margins = (
            outlined + sheet.outlined,
            halved + sheet.halved,
            margins + sheet.margins,
        )
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
        status=result.field_status,
        outlined=outlined,
        halved=halved,
        margins=margins,
        missing=missing,
        find=command("patches", run.model, *asked, *named, *sized(run.size), "-o", "RUN"),
        draw=command("draw", "RUN", *named, *drawn, "-o", "patches.png"),
    )
    return Drawn(patches, tuple(previews), result)


def _write(pixels: NDArray[np.uint8], path: str, write: Write) -> Picture:
    # Of a few flat squares JPEG would make a mess.
    write(path, encode_png(pixels) if path.endswith(".png") else jpeg(pixels, small=True))
    return Picture(path, pixels.shape[1], pixels.shape[0])


def _unit(
    unit: int, sheet: int, corner: tuple[int, int], result: PatchesResult, names: Mapping[int, str]
) -> UnitPatches:
    found = [
        (int(n), float(s)) for n, s in zip(result.image[unit], result.score[unit], strict=True) if n >= 0
    ]
    mark = "dead" if unit in result.dead else "always on" if unit in result.always_on else ""
    return UnitPatches(
        unit,
        sheet,
        *corner,
        tuple(names[number] for number, _ in found),
        tuple(score for _, score in found),
        float(result.max[unit]),
        mark,
    )
