"""The patches that excite a layer's units: a run's result → one sheet, a block for each unit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netviz import render
from netviz.render.patch_tiles import Images
from netviz.results import PatchesResult
from netviz.results.patches_run import read_patches

from .commands import command, sized
from .manifest_parts import Patches, Picture, UnitPatches
from .pictures import Write, jpeg
from .plan import Plan
from .runs import Run, RunLayer

SIDE = 72
"""Pixels of a patch along one side."""

GAP = 3
"""Pixels between two patches."""

UNITS = 16
"""Units that are shown of a layer that has no maps."""

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


def draw_patches(
    layer: RunLayer, units: Sequence[int] | None, slug: str, plan: Plan, memory: Memory, write: Write
) -> Patches | None:
    """Draw the patches of some of a layer's units; None where the run has none.

    Parameters
    ----------
    layer : RunLayer
        The layer.
    units : sequence of int, optional
        Which units; by default the first 16.
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
    if layer.patches is None or run.patches is None:
        return None
    result = read_patches(layer.patches)
    chosen = [unit for unit in units or range(UNITS) if unit < result.channels]
    numbers = sorted({int(number) for number in result.image[chosen].ravel() if number >= 0})
    images = memory.through(render.RunImages(run.patches.folder, numbers))
    top: int = result.image.shape[1]
    across = _ACROSS.get(top, top)
    sheet = render.patch_sheet(result, images, chosen, size=SIDE, gap=GAP, columns=across)
    path = plan.patches(slug, layer)
    # Of a few flat squares JPEG would make a mess.
    write(path, render.encode_png(sheet.pixels) if path.endswith(".png") else jpeg(sheet.pixels))
    height, width = sheet.pixels.shape[:2]
    asked = [word for one in run.patches.images for word in ("--images", one)]
    named = ("--layer", layer.name)
    return Patches(
        picture=Picture(path, width, height),
        tile=(across * (SIDE + GAP) - GAP, top // across * (SIDE + GAP) - GAP),
        units=tuple(
            _unit(unit, sheet.corner(place * top), result, run) for place, unit in enumerate(sheet.units)
        ),
        total=result.channels,
        top=top,
        images=result.images,
        per_image=result.per_image,
        status=result.field_status,
        outlined=sheet.outlined,
        halved=sheet.halved,
        margins=sheet.margins,
        missing=len(sheet.missing),
        find=command("patches", run.model, *asked, *named, *sized(run.size), "-o", "RUN"),
        draw=command("draw", "RUN", *named, "--units", ",".join(map(str, chosen)), "-o", "patches.png"),
    )


def _unit(unit: int, corner: tuple[int, int], result: PatchesResult, run: Run) -> UnitPatches:
    found = [
        (int(n), float(s)) for n, s in zip(result.image[unit], result.score[unit], strict=True) if n >= 0
    ]
    names = [
        run.images[number].name if number < len(run.images) else f"image {number}" for number, _ in found
    ]
    mark = "dead" if unit in result.dead else "always on" if unit in result.always_on else ""
    return UnitPatches(
        unit, *corner, tuple(names), tuple(score for _, score in found), float(result.max[unit]), mark
    )
