"""What units want to see: for a large value and for a small one a picture made by optimization."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from netviz.errors import ResultError
from netviz.paper import style
from netviz.paper.raster import encode_jpeg
from netviz.questions.optimize.result import OptimizeResult
from netviz.results.survey import Missing, OptimizedLayer, OptimizeRecord

from ..addresses import Addresses
from ..drawing import QUALITY, Write, chunks, side_by_side, sprite_sheets
from ..loading import load_kind
from ..manifest import Picture, Sprites
from ..panel import Panel, Recipe
from ..words import command, counted, number

SIDE = 128
"""Longest side of a picture in pixels."""

GAP = 6
"""Pixels between a unit's two pictures."""

RECIPE = Recipe(
    "What units want to see",
    "Pictures for which a unit's value is as large, or as small, as a few steps of optimization make it: a spectrum "
    "in decorrelated colours, shown to the network moved, scaled and turned. What one core does in the seconds given "
    "was reckoned beforehand, and the first shown units of some layers have pictures.",
    ("Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017",),
)


@dataclass(frozen=True)
class Wanted:
    """The two pictures of a unit, as one tile of a sheet.

    Attributes
    ----------
    sheet : Sprites
    left, top : int
        The tile's first pixel.
    values : (float, float)
        The largest value of the unit's map for the first picture, and the smallest for the second.
    shares : (float or None, float or None)
        Each as a multiple of what the best photograph reaches, and the lowest; None where that has the other sign.
    short : (bool, bool)
        Whether it does not reach that.
    steps : int
    command : str
    """

    sheet: Sprites
    left: int
    top: int
    values: tuple[float, float]
    shares: tuple[float | None, float | None]
    short: tuple[bool, bool]
    steps: int
    command: str


def of_layer(addresses: Addresses, place: int) -> OptimizedLayer | None:
    """Return what the run notes of a layer's pictures."""
    found = addresses.run.optimize
    layers = found.layers if isinstance(found, OptimizeRecord) else ()
    return next((one for one in layers if one.layer == place and one.file is not None), None)


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every sheet."""
    for place in addresses.paged:
        found = of_layer(addresses, place)
        for at in sprite_sheets(found.units) if found else ():
            yield _sheet(addresses, place, at)


def _sheet(addresses: Addresses, place: int, at: int) -> str:
    return addresses.beside(place, f"wanted-{at}.jpg")


def draw_wanted(addresses: Addresses, place: int, write: Write) -> dict[int, Wanted]:
    """Draw the pictures of a layer's units, one sheet after the other; return each unit's.

    Raises
    ------
    ResultError
        If the file is missing, damaged, or of other units.
    """
    found, run = of_layer(addresses, place), addresses.run
    if found is None or found.file is None:
        return {}
    result = load_kind(found.file, OptimizeResult, run.layers[place])
    if result.targets != found.units or result.columns != ("+", "-"):
        raise ResultError(f"{found.file} does not fit its layer; run the survey again")
    drawn = {}
    for at, rows in enumerate(chunks(range(len(found.units)))):
        tiles = np.stack([_tile(result, row) for row in rows])
        high, wide = tiles.shape[1:3]
        pixels = side_by_side(tiles)
        path = _sheet(addresses, place, at)
        write(path, encode_jpeg(pixels, QUALITY, optimize=True))
        sheet = Sprites(Picture(path, pixels.shape[1], pixels.shape[0]), (wide, high))
        across = pixels.shape[1] // wide
        for here, row in enumerate(rows):
            unit = found.units[row]
            words = (run.model, "--layer", run.layers[place].name, "--units", str(unit), "--sign", "both")
            drawn[unit] = Wanted(
                sheet,
                here % across * wide,
                here // across * high,
                (float(result.activation[row, 0]), float(result.activation[row, 1])),
                (result.share(row, 0), result.share(row, 1)),
                (result.failed(row, 0), result.failed(row, 1)),
                result.steps,
                command("optimize", *words, "--steps", str(result.steps), "--run", "RUN", run=run),
            )
    return drawn


def _tile(result: OptimizeResult, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Lay a unit's two pictures side by side, each as it is or smaller; one that fell short has a violet frame."""
    height, width = result.pictures.shape[2:4]
    shrink = min(1.0, SIDE / max(height, width))
    high, wide = max(1, round(height * shrink)), max(1, round(width * shrink))
    tile = np.empty((high, 2 * wide + GAP, 3), dtype=np.uint8)
    tile[:] = style.rgb(style.PAPER)
    for column in range(2):
        picture = Image.fromarray(result.pictures[row, column])
        part = np.array(picture.resize((wide, high), Image.Resampling.LANCZOS))
        if result.failed(row, column):
            frame = min(3, high // 4, wide // 4)
            inner = part[frame : high - frame, frame : wide - frame].copy()
            part[:] = style.rgb(style.DUPLICATE)
            part[frame : high - frame, frame : wide - frame] = inner
        tile[:, column * (wide + GAP) : column * (wide + GAP) + wide] = part
    return tile


def wanted_note(wanted: Wanted) -> str:
    """Say what the network gives for both pictures, and how that compares."""
    said = []
    kinds = (("Left, for a large value", "best"), ("Right, for a small value", "lowest"))
    for place, (what, end) in enumerate(kinds):
        share, value = wanted.shares[place], number(wanted.values[place])
        told = f"{what}: {value}"
        told += "" if share is None else f", {number(share)} times its {end} of the photographs"
        said.append(f"{told}{' (violet: it does not reach that)' if wanted.short[place] else ''}.")
    return f"{' '.join(said)} Made from the network's weights alone, in {counted(wanted.steps, 'step')}."


def left_out(record: OptimizeRecord | Missing) -> str:
    """Say of how many units there are no pictures, where that is for the budget; else empty."""
    if isinstance(record, Missing) or record.seconds is None or record.units >= record.candidates:
        return ""
    return (
        f"{record.units:,} of {record.candidates:,} units have pictures of what they want to see: what one core "
        f"makes in {record.seconds:g} seconds (--optimize)"
    )


PANEL = Panel(files=files, words=(wanted_note,))
