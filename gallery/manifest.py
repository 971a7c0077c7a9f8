"""The manifest: everything the pages say, as frozen dataclasses; the one contract between results and HTML.

Every path is relative to the site, made of safe names (:mod:`.names`), with ``/`` between them. Text is
kept as it came from the user and escaped where it is printed.
"""

from dataclasses import dataclass

from .manifest_concepts import Concepts, LayerConcepts, Minimals
from .manifest_images import Fcn, ImagePage, Origin
from .manifest_parts import Component, Components, Patches, Photo, Picture
from .manifest_units import Wall


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
    """

    bar: Picture
    low: float
    high: float
    colours: str
    per_tile: bool


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
        ``"rgb"`` or ``"tiles"``: a tile per unit; ``"matrix"``: a row per unit, a cell per input channel.
    columns : int
        Tiles in a row.
    legend : Legend
        What the colours mean.
    reduction : int
        One pixel stands for this many positions of a map, along each axis.
    bad : int
        How many of the values are NaN or infinite.
    """

    picture: Picture
    tile: tuple[int, int]
    tiles: tuple[Tile, ...]
    layout: str
    columns: int
    legend: Legend
    reduction: int
    bad: int


@dataclass(frozen=True)
class Filters:
    """A layer's filters: the sheet and what its caption counts."""

    sheet: Sheet
    total: int
    inputs: int
    kernel: tuple[int, ...]
    groups: int
    scale: str
    sort: str
    dead: tuple[int, ...]
    duplicates: tuple[tuple[int, int], ...]
    command: str


@dataclass(frozen=True)
class Maps:
    """A layer's maps on one photograph."""

    photo: Photo
    sheet: Sheet
    shape: tuple[int, int]
    scale: str
    sort: str
    command: str


@dataclass(frozen=True)
class Field:
    """A layer's theoretical receptive field, in pixels of the network's input; each pair is (y, x).

    Attributes
    ----------
    size, stride, start : (float, float) or None
        Position i sees the pixels from ``start + i * stride`` on, `size` of them; None where it is not known.
    status : str
        ``"exact"``, ``"upper_bound"``, ``"global"`` or ``"unknown"``.
    reason : str
        Why, if there is something to say.
    """

    size: tuple[float, float] | None
    stride: tuple[float, float] | None
    start: tuple[float, float] | None
    status: str
    reason: str


@dataclass(frozen=True)
class Layer:
    """One layer; ``page`` is its address, or None where it is only listed."""

    name: str
    alias: str
    kind: str
    channels: int | None
    shape: tuple[int, ...]
    parameters: int
    calls: int
    page: str | None
    preview: Picture | None
    filters: Filters | None
    maps: tuple[Maps, ...]
    field: Field | None = None
    patches: Patches | None = None
    concepts: LayerConcepts | None = None
    wall: Wall | None = None

    @property
    def title(self) -> str:
        """The alias, or the dotted name of a layer that has none."""
        return self.alias or self.name or "(the network)"


@dataclass(frozen=True)
class Network:
    """One network: where it comes from, what it was shown, its layers in the order in which they run.

    `without` names parts that there are none of, each with the reason; `searched` is how many images were searched
    for patches, where they were.
    """

    name: str
    folder: str
    origin: str
    parameters: int
    input: str
    photos: tuple[Photo, ...]
    layers: tuple[Layer, ...]
    components: Components | None = None
    concepts: Concepts | None = None
    minimal: Minimals | None = None
    without: tuple[tuple[str, str], ...] = ()
    images: tuple[ImagePage, ...] = ()
    fcn: Fcn | None = None
    made: Origin | None = None
    searched: int = 0

    def component(self, layer: Layer) -> Component | None:
        """Return a layer's place on the components page, if it has one."""
        found = self.components.layers if self.components is not None else ()
        return next((one for one in found if one.page is not None and one.page == layer.page), None)

    @property
    def paged(self) -> tuple[Layer, ...]:
        """The layers that have a page."""
        return tuple(layer for layer in self.layers if layer.page is not None)


@dataclass(frozen=True)
class Manifest:
    """The whole site."""

    version: str
    networks: tuple[Network, ...]
