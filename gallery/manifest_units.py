"""Parts of the manifest: the units of a layer, each with a page of its own, and the wall that shows them all."""

from dataclasses import dataclass

from .manifest_fields import LayerFields, UnitFields
from .manifest_parts import Photo, Sprites, UnitPatches

MARKS = ("dead", "always on", "dead filter", "near-duplicate")
"""What may be remarkable of a unit; on a wall a bit each, in this order, and one more for a unit that detects."""


@dataclass(frozen=True)
class Place:
    """A tile on a sheet by its first pixel."""

    left: int
    top: int


@dataclass(frozen=True)
class Numbers:
    """What is known of a unit's values over all positions of all photographs.

    Attributes
    ----------
    largest, mean : float
        The largest value and the mean.
    zeros : float
        Which share of the values is 0.
    sparsity : float
        0 for a unit that is equally active everywhere, 1 for one active at one position only; NaN for one that never
        is.
    quantiles : tuple of float
        At the levels of the wall.
    histogram : tuple of int
        In equal steps from the lowest to the highest quantile.
    """

    largest: float
    mean: float
    zeros: float
    sparsity: float
    quantiles: tuple[float, ...]
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Spot:
    """Where a unit is strongest: which photograph, the position in the map, and what the unit sees there.

    `box` is left, top, right and bottom in pixels of the photograph, clipped to it.
    """

    photo: Photo
    row: int
    column: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes
    ----------
    unit : int
        Its number.
    page : str
        Its address.
    marks : tuple of str
        Some of `MARKS`.
    repeats : int or None
        The earlier unit whose filter it repeats.
    numbers : Numbers or None
        None where the run has none.
    patches : UnitPatches or None
        What excites it.
    spot : Spot or None
        Where it is strongest; None where its field is not known.
    nearest : tuple of (int, float)
        Units of the layer whose activity is most like its own, and how alike.
    fields : UnitFields or None
        Its three fields on one picture; None where the run has one of them only.
    """

    unit: int
    page: str
    marks: tuple[str, ...] = ()
    repeats: int | None = None
    numbers: Numbers | None = None
    patches: UnitPatches | None = None
    spot: Spot | None = None
    nearest: tuple[tuple[int, float], ...] = ()
    fields: UnitFields | None = None


@dataclass(frozen=True)
class Wall:
    """The units of a layer that have pages.

    Attributes
    ----------
    units : tuple of Unit
        In the order of their numbers; `count` of them share a sheet.
    total : int
        How many units the layer has.
    count, columns : int
        Units of one sheet, and how many of them stand in a row.
    previews : tuple of Sprites
        Their strongest patches, small; there is nothing between two tiles.
    filters : tuple of Sprites
        Their filters, in the same way.
    inputs : int
        How many input channels of a filter are drawn.
    levels : tuple of float
        Of the quantiles.
    samples : int
        How many values the quantiles and the histogram stand on.
    data : str or None
        The address of the arrays behind it, where they are small enough.
    bytes : int
        Their size.
    measured : bool
        Whether sparsity was measured; else it is reckoned from the histogram.
    fields : LayerFields or None
        What the units' fields have in common.
    """

    units: tuple[Unit, ...]
    total: int
    count: int
    columns: int
    previews: tuple[Sprites, ...] = ()
    filters: tuple[Sprites, ...] = ()
    inputs: int = 0
    levels: tuple[float, ...] = ()
    samples: int = 0
    data: str | None = None
    bytes: int = 0
    measured: bool = False
    fields: LayerFields | None = None

    def place(self, at: int) -> Place:
        """Return where the unit at this place of `units` is on its filters' sheet."""
        width, height = self.filters[at // self.count].tile
        row, column = divmod(at % self.count, self.columns)
        return Place(column * width, row * height)
