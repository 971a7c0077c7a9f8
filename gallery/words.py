"""What panels share in words: numbers, counts and sizes, and the command lines that make the pictures."""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from markupsafe import Markup

from netviz.results.survey import FieldRecord, OptionsRecord, SurveyRecord

from .manifest import Legend, Made, Picture, Sheet


class Corner(Protocol):
    """What lies on a sheet, by its first pixel."""

    @property
    def left(self) -> int:
        """The column."""

    @property
    def top(self) -> int:
        """The row."""


class Tiled(Protocol):
    """A picture of tiles of one size."""

    @property
    def picture(self) -> Picture:
        """The whole picture."""

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a tile in pixels."""


_OF_A_SURVEY = ("layers", "quick", "full", "optimize")
_WITHOUT_FIT = ("filters", "draw", "dense", "fcn", "dissect")


def command(verb: str, *words: str, run: SurveyRecord | None = None) -> str:
    """Write a command line, quoted for a shell, on one line.

    Parameters
    ----------
    run : SurveyRecord, optional
        Whose network it names: what was typed to open that and to bring images to it is typed again.
    """
    opening = {} if run is None else options(run.options)
    again = [
        word
        for name, values in opening.items()
        if name not in _OF_A_SURVEY and not (name == "fit" and verb in _WITHOUT_FIT)
        for word in option(name, values)
    ]
    return shlex.join(["netviz", verb, *(" ".join(word.split()) for word in (*words, *again))])


def options(asked: OptionsRecord) -> dict[str, tuple[str, ...]]:
    """Return what was asked for, as a command line spells it; a switch has no values."""
    given = {}
    for name, value in sorted(vars(asked).items()):
        if value not in (None, False, ()):
            values = value if isinstance(value, tuple) else () if value is True else (value,)
            given[name.replace("_", "-")] = tuple(map(str, values))
    return given


def option(name: str, values: Sequence[str]) -> list[str]:
    """Return the words of an option: once for each value, or of a switch alone."""
    return [word for value in values for word in (f"--{name}", value)] if values else [f"--{name}"]


def sized(size: Sequence[int] | None) -> list[str]:
    """Return the words that ask for an input size, if one has to be asked for."""
    return [] if size is None else ["--size", "x".join(map(str, size))]


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


def data_text(made: Made, name: str) -> str:
    """Name a file of numbers or facts with its size."""
    suffix = (made.data or "").rsplit(".", 1)[-1]
    what = "Its facts" if suffix == "json" else "Its numbers"
    return f"{what} ({name}.{suffix}, {file_size(made.bytes)})"


def crop(tile: Corner, sheet: Tiled) -> str:
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


def whole(width: int, about: int) -> int:
    """Return the multiple of a width that is nearest to so many pixels: all its cells become equally large."""
    return max(1, round(about / width)) * width


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


def field_text(field: FieldRecord | None) -> str:
    """Say what part of the input a position of a layer can see, and how far its neighbour's part lies from it."""
    if field is None or field.size is None or field.stride is None:
        why = f" (cannot follow {field.reason})" if field is not None and field.reason else ""
        return f"not known{why}"
    if field.status == "global":
        return "the whole input"
    most = "at most " if field.status == "upper_bound" else ""
    seen = f"{most}{_pixels(field.size, always=True)} pixels"
    return f"{seen}, every {_pixels(field.stride)}" if any(field.stride) else f"{seen}, the same everywhere"


def field_short(field: FieldRecord) -> str:
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
        end = f"largest {what}" if legend.largest else "end"
        low, high = f"\N{MINUS SIGN}{end}", end
    return [low, "0", high] if legend.low < 0 else ["0", high]


def remarks(sheet: Sheet) -> str:
    """Say where a sheet's scales end, by how much it was reduced, and how much of it is no number."""
    text = ""
    whose = "Each scale" if sheet.legend.per_tile else "The scale"
    if sheet.percentile < 100:
        text += f" {whose} ends at percentile {sheet.percentile:g} of the absolute values."
    elif sheet.bordered and sheet.legend.per_tile:
        where = counted(sheet.bordered, "map")
        text += f" The scale of {where}, whose border stands out, ends at the largest value inside."
    elif sheet.bordered:
        text += " The scale ends at the largest value inside the maps, whose border stands out."
    if sheet.beyond:
        text += f" {share_text(sheet.beyond)} of the values lie beyond and take its colour."
    if sheet.reduction > 1:
        text += f" Each pixel is the mean of {size((sheet.reduction, sheet.reduction))} positions."
    if sheet.bad:
        text += f" {counted(sheet.bad, 'value')} NaN or infinite, in green."
    return text


def share_text(share: float) -> str:
    """Write a share with two digits: 0.005 → 0.5 %."""
    value = 100 * share
    text = (
        "0"
        if not value
        else "below 0.01"
        if value < 0.01
        else f"{value:.2g}"
        if value < 99.5
        else f"{value:.0f}"
    )
    return f"{text} %"


def percent_of(share: float) -> str:
    """Write a share as a percentage with one digit."""
    return f"{100 * share:.1f} %"


def joined(names: Sequence[str]) -> str:
    """Write names as one does in a sentence: a, b and c."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


WORDS: tuple[Callable[..., Any], ...] = (
    thousands,
    whole,
    size,
    number,
    file_size,
    data_text,
    crop,
    counted,
    listed,
    breakable,
    words,
    tied,
    percent_of,
    field_text,
    field_short,
    ends,
)
"""What every template may call."""
