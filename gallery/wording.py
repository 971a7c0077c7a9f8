"""How the pages put numbers and facts into words."""

import re

from markupsafe import Markup

from .manifest import Field, Filters, Layer, Legend, Maps, Network, Sheet, Tile
from .manifest_concepts import Mask
from .manifest_parts import Sprites, UnitPatches
from .manifest_units import Place


def thousands(value: int) -> str:
    """Write a whole number with commas: 3504872 → 3,504,872."""
    return f"{value:,}"


def size(shape: tuple[int, ...]) -> str:
    """Write a shape with multiplication signs between the lengths."""
    return " \N{MULTIPLICATION SIGN} ".join(str(length) for length in shape)


def number(value: float) -> str:
    """Write a measured number to three significant digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def file_size(count: int) -> str:
    """Write how large a file is, as file managers do: 950 bytes, 12 KB, 1.3 MB."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} KB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def percent(part: float, whole: float) -> str:
    """Write a share for CSS, to a ten-thousandth of a per cent."""
    return f"{100 * part / whole:.4f}".rstrip("0").rstrip(".") + "%"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: No layers, 1 layer, 1,200 layers."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}" if count else f"No {many or f'{one}s'}"


def listed(items: tuple[int, ...], most: int = 12) -> str:
    """Write the first few of some unit numbers and how many more there are."""
    text = ", ".join(str(item) for item in items[:most])
    return text if len(items) <= most else f"{text} and {len(items) - most:,} more"


def paired(pairs: tuple[tuple[int, int], ...], most: int = 8) -> str:
    """Write the first few pairs of near-duplicates and how many more there are."""
    text = ", ".join(f"{unit} repeats {earlier}" for unit, earlier in pairs[:most])
    return f"Unit {text}" + (f" and {len(pairs) - most:,} more" if len(pairs) > most else "")


def find_text(layer: Layer) -> str:
    """Return what a search for a layer looks at."""
    return " ".join((layer.title, layer.name, layer.kind, size(layer.shape)))


def filters_note(filters: Filters) -> str:
    """Say what a layer's filters are and how much of them is shown."""
    drawn = len(filters.sheet.tiles)
    shown = (
        f"{drawn:,} of {filters.total:,}" if drawn < filters.total else f"All {drawn:,}" if drawn > 1 else "1"
    )
    what = f"{size(filters.kernel)} weights over {counted(filters.inputs, 'input channel')}"
    text = f"{shown} {'filter' if filters.total == 1 else 'filters'}, each {what}"
    if filters.groups > 1:
        text += f" (of {counted(filters.groups, 'group')}: a unit reads the inputs of its own group alone)"
    if filters.sheet.layout == "matrix":
        text += ": a row per unit, a cell per input channel"
        if filters.sheet.columns < filters.inputs:
            text += f", the first {filters.sheet.columns:,} of {filters.inputs:,}"
    order = {"norm": ", largest L2 norm first", "hue": ", ordered by hue"}.get(filters.sort, "")
    scale = "; one scale for all" if filters.scale == "shared" else "; every filter on its own scale"
    return f"{text}{order}{scale if drawn > 1 else ''}.{_remarks(filters.sheet)}"


def maps_lead(layer: Layer) -> str:
    """Say which units of a layer its maps show."""
    drawn = len(layer.maps[0].sheet.tiles)
    if layer.channels == drawn == 1:
        return "How its only unit answers to each photograph."
    units = f"all {drawn:,}" if layer.channels == drawn else f"{drawn:,}"
    whole = f" of {layer.channels:,}" if layer.channels and layer.channels != drawn else ""
    return (
        f"How {units}{whole} units answer to each photograph: the same units every time, in the same order."
    )


def maps_note(maps: Maps) -> str:
    """Say what a sheet of maps shows and on which scale."""
    scale = "; one scale for all of them" if maps.scale == "shared" else "; every map on its own scale"
    order = ", strongest first" if maps.sort == "max" else ""
    count = len(maps.sheet.tiles)
    if count == 1:
        return f"One map, {size(maps.shape)} positions.{_remarks(maps.sheet)}"
    return f"{counted(count, 'map')}, {size(maps.shape)} positions each{order}{scale}.{_remarks(maps.sheet)}"


def preview_text(layer: Layer) -> str:
    """Describe a layer's preview for those who cannot see it."""
    return f"Preview of {layer.title}, {layer.kind} {layer.name}"


def previewed(network: Network) -> str | None:
    """Return the name of the photograph whose maps the previews show, if any."""
    return next((layer.maps[0].photo.name for layer in network.paged if layer.maps), None)


def crop(tile: Tile | UnitPatches | Mask | Place, sheet: Sheet | Sprites | Mask) -> str:
    """Return the CSS that moves a sheet behind a frame until one tile fills it.

    Half a pixel of the sheet is left out at each side: where the browser rounds, the paper between two
    tiles would show.
    """
    width, height = sheet.tile
    inset = 0.5 if min(width, height) > 2 else 0.0
    across, down = width - 2 * inset, height - 2 * inset
    return (
        f"width:{percent(sheet.picture.width, across)};height:{percent(sheet.picture.height, down)};"
        f"left:{percent(-tile.left - inset, across)};top:{percent(-tile.top - inset, down)}"
    )


def breakable(name: str) -> Markup:
    """Escape a name and let a line break after each dot and underscore."""
    parts = re.split(r"(?<=[._])", name)
    return Markup("<wbr>").join(parts)


def words(command: str) -> list[str]:
    """Return the words of a command, at whose spaces alone a line may break."""
    return command.split(" ")


def tied(text: str) -> str:
    """Keep a per cent sign on the line of its number."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def calls_text(calls: int) -> str:
    """Say how often a layer runs."""
    return "once per image" if calls == 1 else f"{calls:,} times per image"


def field_text(field: Field | None) -> str:
    """Say what part of the input a position of a layer can see, and how far its neighbour's part lies from it."""
    if field is None or field.size is None or field.stride is None:
        why = f" (cannot follow {field.reason})" if field is not None and field.reason else ""
        return f"not known{why}"
    if field.status == "global":
        return "the whole input"
    most = "at most " if field.status == "upper_bound" else ""
    return f"{most}{_pixels(field.size, always=True)} pixels, every {_pixels(field.stride)}"


def field_short(field: Field) -> str:
    """Say how much of the input a position of a layer can see, in as few words as a card takes."""
    if field.size is None:
        return "field not known"
    if field.status == "global":
        return "sees the whole input"
    most = "at most " if field.status == "upper_bound" else ""
    return f"sees {most}" + f"{_pixels(field.size, always=True)} px".replace(" ", "\N{NO-BREAK SPACE}")


def _pixels(pair: tuple[float, float], always: bool = False) -> str:
    """Write a height and width; one number where they are the same, unless always two."""
    first, second = (f"{length:,.6g}" for length in pair)
    return first if first == second and not always else f"{first} \N{MULTIPLICATION SIGN} {second}"


def ends(legend: Legend, what: str) -> list[str]:
    """Return what stands below a colour bar, from its low to its high end.

    Parameters
    ----------
    legend : Legend
        The bar.
    what : str
        What the numbers are: weights or values.
    """
    if not legend.per_tile:
        low, high = number(legend.low), number(legend.high)
    else:
        low, high = f"\N{MINUS SIGN}largest {what}", f"largest {what}"
    return [low, "0", high] if legend.low < 0 else ["0", high]


def _remarks(sheet: Sheet) -> str:
    """Say by how much a sheet was reduced, and how much of it is no number."""
    text = ""
    if sheet.reduction > 1:
        text += f" Each pixel is the mean of {size((sheet.reduction, sheet.reduction))} positions."
    if sheet.bad:
        text += f" {counted(sheet.bad, 'value')} NaN or infinite, in green."
    return text


FILTERS = {
    "thousands": thousands,
    "size": size,
    "number": number,
    "file_size": file_size,
    "crop": crop,
    "counted": counted,
    "listed": listed,
    "paired": paired,
    "find_text": find_text,
    "filters_note": filters_note,
    "maps_lead": maps_lead,
    "maps_note": maps_note,
    "preview_text": preview_text,
    "previewed": previewed,
    "breakable": breakable,
    "words": words,
    "calls_text": calls_text,
    "tied": tied,
    "field_text": field_text,
    "field_short": field_short,
    "ends": ends,
}
"""What the templates may call."""
