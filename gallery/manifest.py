"""The manifest: everything the pages say, as frozen dataclasses; the one contract between results and HTML.

Here are the parts that several panels share; each panel has its own in its file. Every path is relative to the site,
made of safe names (:mod:`.names`), with ``/`` between them. Text is kept as it came from the user and escaped where
it is printed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A PNG of the site, and its size in pixels."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Photo:
    """One photograph that the network was shown, and a small copy of it to choose it by."""

    name: str
    picture: Picture
    small: Picture


@dataclass(frozen=True)
class Over:
    """A picture of the places of a photograph, to lay over it: its title, what it shows, and the picture."""

    title: str
    text: str
    picture: Picture


@dataclass(frozen=True)
class Made:
    """What a command makes of one photograph.

    Attributes
    ----------
    photo : Photo
        Of which photograph.
    picture : Picture or None
        None where there is none.
    missing : str
        Why.
    command : str
        What to type for it.
    data : str or None
        The address of its numbers, where they are small enough.
    bytes : int
        Their size.
    """

    photo: Photo
    picture: Picture | None
    missing: str
    command: str
    data: str | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Sprites:
    """A picture of equal tiles.

    Attributes
    ----------
    picture : Picture
        The whole.
    tile : (int, int)
        A tile's width and height in pixels.
    dense : int
        How many of its pixels stand along a pixel of CSS: two are crisp on a screen that has as many.
    """

    picture: Picture
    tile: tuple[int, int]
    dense: int = 1

    @property
    def shown(self) -> tuple[float, float]:
        """A tile's width and height in pixels of CSS."""
        return self.tile[0] / self.dense, self.tile[1] / self.dense


@dataclass(frozen=True)
class Legend:
    """What the colours of a sheet mean.

    Attributes
    ----------
    bar : Picture
        A strip of the colours from low to high.
    low, high : float
        The values at both ends; where `per_tile` is true, as shares of a tile's own largest absolute value.
    colours : str
        ``"diverging"``, ``"sequential"`` or ``"rgb"``.
    per_tile : bool
        Whether every tile has its own scale.
    largest : bool
        Whether a tile's own scale ends at its largest value, not at a percentile or at the largest within its border.
    """

    bar: Picture
    low: float
    high: float
    colours: str
    per_tile: bool
    largest: bool = True


@dataclass(frozen=True)
class Tile:
    """One unit's place on a sheet, in pixels of the sheet from its top left corner."""

    unit: int
    left: int
    top: int


@dataclass(frozen=True)
class Sheet:
    """Many tiles on one picture.

    Attributes
    ----------
    picture : Picture
        The whole sheet.
    tile : (int, int)
        Width and height in pixels of what belongs to one unit: a filter, a map, or a row of a matrix.
    tiles : tuple of Tile
        The units in drawing order.
    layout : str
        ``"rgb"`` or ``"tiles"``: a tile per unit; ``"bars"``: a tile per unit, of bars; ``"matrix"``: a row per unit,
        a cell per input channel.
    columns : int
        Tiles in a row.
    legend : Legend
        What the colours mean.
    reduction : int
        One pixel stands for this many positions of a map, along each axis.
    bad : int
        How many of the values are NaN or infinite.
    bordered : int
        Of how many maps the border, which stands out, does not count where the scale ends.
    percentile : float
        At which percentile of the values a scale ends; 100 is the largest.
    beyond : float
        Which share of the values lies beyond the ends of their scale.
    """

    picture: Picture
    tile: tuple[int, int]
    tiles: tuple[Tile, ...]
    layout: str
    columns: int
    legend: Legend
    reduction: int
    bad: int
    bordered: int = 0
    percentile: float = 100.0
    beyond: float = 0.0
