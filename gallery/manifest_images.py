"""Parts of the manifest that are about single photographs, and the FCN page."""

from dataclasses import dataclass

from .manifest_concepts import Minimal
from .manifest_parts import Component, Drawing, Photo, Picture


@dataclass(frozen=True)
class Made:
    """A picture on one photograph.

    Attributes
    ----------
    photo : Photo
        On which photograph.
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
class Hypercolumn(Made):
    """What several layers together say of a photograph.

    Attributes
    ----------
    layers : tuple of (str, str or None)
        The title and the page of each.
    explained : tuple of float
        Share of the variance in each of the three components, in 0…1.
    clusters : int
        How many there are.
    """

    layers: tuple[tuple[str, str | None], ...] = ()
    explained: tuple[float, ...] = ()
    clusters: int = 0


@dataclass(frozen=True)
class Peak:
    """A class of a heat map: its name, its highest raw score, and where that is, in pixels of the original."""

    name: str
    score: float
    y: float
    x: float


@dataclass(frozen=True)
class Heat(Made):
    """Heat maps of a classifier, or of another network whose output has places.

    Attributes
    ----------
    peaks : tuple of Peak
        The classes drawn.
    cells : (int, int)
        Rows and columns of a map.
    stride : (float, float)
        From cell to cell, (y, x), in pixels of the original.
    cast : bool
        Whether the network was made fully convolutional for this.
    """

    peaks: tuple[Peak, ...] = ()
    cells: tuple[int, int] = (0, 0)
    stride: tuple[float, float] = (0.0, 0.0)
    cast: bool = False


@dataclass(frozen=True)
class Cost:
    """A row of the comparison: the way, how often the network ran, the seconds, and these over the dense pass's."""

    way: str
    evaluations: int
    seconds: float
    ratio: float


@dataclass(frozen=True)
class Comparison(Made):
    """Three ways to the same scores.

    Attributes
    ----------
    name : str
        The class.
    rows : tuple of Cost
        The dense pass first.
    regions : int
        How many were measured.
    correlation : float
        Between dense pass and sliding window.
    where : str
        The device and its threads.
    """

    name: str = ""
    rows: tuple[Cost, ...] = ()
    regions: int = 0
    correlation: float = 0.0
    where: str = ""


@dataclass(frozen=True)
class View:
    """One of several pictures of the same size that can be laid over one another.

    Attributes
    ----------
    key : str
        What kind it is: ``"image"``, ``"stream"`` or ``"changed"``.
    name, before : str
        The stream; of what it changed, the stream before it.
    picture : Picture
    share : float or None
        Of what it changed: the share of pixels with another class. Of an edge map: of pixels above one half.
    layer : str
        The layer that the stream scores, where the network tells.
    stride : int
        Of that layer, in pixels of the network's input; 0 where it is not told.
    """

    key: str
    name: str
    before: str
    picture: Picture
    share: float | None = None
    layer: str = ""
    stride: int = 0


@dataclass(frozen=True)
class Swatch:
    """A class of a legend and its colour, ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True)
class Streams(Made):
    """A dense network's streams on one photograph.

    Attributes
    ----------
    views : tuple of View
        The photograph, the streams coarse to fine, and what each changed.
    form : str
        ``"classes"``, ``"edges"`` or ``"values"``.
    swatches : tuple of Swatch
        The classes that occur.
    more : int
        How many more do.
    what : str
        Of an edge detector: what it detects.
    low, high : float
        The values at the ends of the colour scale of maps.
    bar : Picture or None
        That scale.
    """

    views: tuple[View, ...] = ()
    form: str = "classes"
    swatches: tuple[Swatch, ...] = ()
    more: int = 0
    what: str = ""
    low: float = 0.0
    high: float = 1.0
    bar: Picture | None = None

    @property
    def streams(self) -> tuple[View, ...]:
        """The streams alone."""
        return tuple(view for view in self.views if view.key == "stream")


@dataclass(frozen=True)
class Fcn:
    """The FCN page of a network: what there is; or why there is nothing, and then no page."""

    page: str | None
    streams: tuple[Streams, ...]
    heats: tuple[Heat, ...]
    comparison: Comparison | None
    missing: str = ""


@dataclass(frozen=True)
class Glimpse:
    """A layer's map on one photograph, as a tile of the photograph's sheet.

    Attributes
    ----------
    title, kind, page : str
        The layer and its page.
    unit : int
        The unit whose response is the largest.
    low, high : float
        The values at the ends of the tile's own scale.
    signed : bool
        Whether its colours are those of a signed map.
    left, top : int
        The tile's first pixel on the sheet.
    shape : (int, int)
        Positions of the map, down and across.
    """

    title: str
    kind: str
    page: str
    unit: int
    low: float
    high: float
    signed: bool
    left: int
    top: int
    shape: tuple[int, int]


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
    source : str
        What a command calls it.
    command : str
        What to type for its maps.
    drawings : tuple of (Component, tuple of Drawing)
        Its pictures of each component.
    minimal : Minimal or None
    glimpses, hypercolumn, heat, streams
        What there is of them.
    """

    page: str
    photo: Photo
    source: str
    command: str
    glimpses: Glimpses | None
    drawings: tuple[tuple[Component, tuple[Drawing, ...]], ...]
    minimal: Minimal | None
    hypercolumn: Hypercolumn | None
    heat: Heat | None
    streams: Streams | None


@dataclass(frozen=True)
class Origin:
    """How a network's pages came about.

    Attributes
    ----------
    model, netviz : str
        What a command calls the network, and the version of netviz that looked into it.
    options : tuple of (str, str)
        What was asked for.
    command : str
        What to type for these pages alone.
    """

    model: str
    netviz: str
    options: tuple[tuple[str, str], ...]
    command: str
