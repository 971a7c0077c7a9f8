"""A layer's maps on each photograph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import map_sheet

from ..addresses import Addresses
from ..drawing import UNITS, Write, square, write_sheet
from ..manifest import Legend, Photo, Sheet, Tile
from ..panel import Panel, Recipe
from ..words import command, counted, ends, remarks, size, sized

RECIPE = Recipe(
    "Maps",
    "A unit's raw output at every position, before anything that follows the layer; hard edges, one square "
    "is one number.",
    ("Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014",),
)


@dataclass(frozen=True)
class Maps:
    """A layer's maps on one photograph."""

    photo: Photo
    sheet: Sheet
    shape: tuple[int, int]
    scale: str
    sort: str
    command: str


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    for place in addresses.paged:
        if addresses.run.layers[place].maps:
            for image in range(len(addresses.photos)):
                yield _sheet(addresses, place, image)


def _sheet(addresses: Addresses, place: int, image: int) -> str:
    return f"{addresses.folder}/maps/{addresses.slugs[place]}/{addresses.photos[image]}.png"


def draw_maps(
    result: MapsResult,
    addresses: Addresses,
    place: int,
    image: int,
    photo: Photo,
    write: Write,
) -> Maps:
    """Draw a layer's maps on one photograph.

    Parameters
    ----------
    result : MapsResult
    image, photo : int, Photo
        The photograph's place among the run's, and the photograph.
    """
    run = addresses.run
    units = result.units[:UNITS]
    sheet = map_sheet(replace(result, units=units), columns=square(units))
    drawn = ",".join(map(str, result.units.tolist()))
    words = ["--model", run.model, "--layer", run.layers[place].name, *sized(run.images[image].size)]
    height, width = result.maps.shape[1:]
    return Maps(
        photo=photo,
        sheet=write_sheet(sheet, _sheet(addresses, place, image), write),
        shape=(height, width),
        scale=result.scale,
        sort=result.sort,
        command=command("maps", run.images[image].source, *words, "--units", drawn, run=run),
    )


def maps_lead(maps: Sequence[Maps], channels: int | None) -> str:
    """Say which units of a layer its maps show."""
    drawn = len(maps[0].sheet.tiles)
    if channels == drawn == 1:
        return "How its only unit answers to each photograph."
    units = f"all {drawn:,}" if channels == drawn else f"{drawn:,}"
    whole = f" of {channels:,}" if channels and channels != drawn else ""
    return (
        f"How {units}{whole} units answer to each photograph: the same units every time, in the same order."
    )


def maps_note(maps: Maps) -> str:
    """Say what a sheet of maps shows and on which scale."""
    scale = "; one scale for all of them" if maps.scale == "shared" else "; every map on its own scale"
    order = ", strongest first" if maps.sort == "max" else ""
    count, positions = len(maps.sheet.tiles), f"{size(maps.shape)} positions each"
    if maps.shape == (1, 1):
        values = " over ".join(dict.fromkeys(ends(maps.sheet.legend, "value")))
        positions, scale = "one position each", f"; a bar is a map's value, all from {values}"
    elif maps.sheet.layout == "bars":
        positions += ", a bar for each"
    if count == 1:
        only = f"One map, {positions.removesuffix(' each')}"
        return f"{only}{scale if maps.shape == (1, 1) else ''}.{remarks(maps.sheet)}"
    return f"{counted(count, 'map')}, {positions}{order}{scale}.{remarks(maps.sheet)}"


def unit_command(maps: Maps, unit: int) -> str:
    """Return the command that draws one unit's map on a photograph."""
    start, _, rest = maps.command.rpartition(" --units ")
    return " ".join([start, "--units", str(unit), *rest.split(" ")[1:]])


def legends(maps: Sequence[tuple[Maps, Tile]]) -> list[tuple[str, Legend]]:
    """Return the colour bars of a unit's maps, each once, with the photographs that it is for; none of bars."""
    told: dict[tuple[str, ...], tuple[list[str], Legend]] = {}
    for one, _ in maps:
        if one.sheet.layout == "bars":
            continue
        legend = one.sheet.legend
        key = (legend.bar.path, *ends(legend, "value"))
        told.setdefault(key, ([], legend))[0].append(one.photo.name)
    return [(", ".join(names), legend) for names, legend in told.values()]


PANEL = Panel(
    folders=("maps",),
    files=files,
    words=(maps_lead, maps_note, unit_command, legends),
)
