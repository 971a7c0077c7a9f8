"""The units of a layer: what the run knows of each → sheets of small pictures, and the wall in the manifest."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.paper.raster import encode_png
from netviz.questions.filters.result import FiltersResult
from netviz.questions.patches.result import PatchesResult
from netviz.questions.reader import load_result
from netviz.questions.units.result import NearestResult

from .manifest import Field
from .manifest_parts import Photo, Picture, Sprites
from .manifest_units import Numbers, Spot, Unit, Wall
from .patches import Drawn
from .pictures import Write
from .plan import Plan
from .runs import RunLayer
from .sprites import COLUMNS, COUNT, chunks, filter_tiles, side_by_side
from .unit_fields import read_fields

NEAREST = 5
"""How many of the nearest units a page names."""

Floats = NDArray[np.float64]


def draw_wall(
    layer: RunLayer,
    units: Sequence[int],
    slug: str,
    plan: Plan,
    photos: Sequence[Photo],
    filters: FiltersResult | None,
    drawn: Drawn | None,
    shapes: Sequence[tuple[int, int]],
    write: Write,
) -> Wall | None:
    """Draw the filters of some of a layer's units, and gather what their pages say; None where no unit has a page.

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
    photos : sequence of Photo
        The run's.
    filters : FiltersResult, optional
        The layer's filters.
    drawn : Drawn, optional
        The patches of the same units.
    shapes : sequence of (int, int)
        Rows and columns of the layer's maps on each photograph, as far as they are known.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is missing, damaged or of another layer.
    """
    if not units:
        return None
    total = layer.channels or 0
    found = None if drawn is None else drawn.result
    for what, count in (
        (layer.filters, None if filters is None else len(filters.filters)),
        (layer.patches, None if found is None else found.channels),
    ):
        if count is not None and units[-1] >= count:
            raise ResultError(
                f"{what} has {count} units, but unit {units[-1]} is asked for; run the survey again"
            )
    nearest = _nearest(layer)
    sparsity = None
    if found is not None:
        sparsity = histogram_sparsity(found) if nearest is None else nearest.sparsity
    repeats = {} if filters is None else dict(filters.duplicates)
    patches = {} if drawn is None else {one.unit: one for one in drawn.patches.units}
    told = []
    fields = read_fields(layer, slug, plan, write)
    for unit in units:
        mine = patches.get(unit)
        spot = None if found is None else _spot(found, unit, layer.field, photos, shapes)
        marks = [mine.mark] if mine is not None and mine.mark else []
        marks += ["dead filter"] if filters is not None and unit in filters.dead else []
        marks += ["near-duplicate"] if unit in repeats else []
        told.append(
            Unit(
                unit=unit,
                page=plan.unit(slug, unit),
                marks=tuple(marks),
                repeats=repeats.get(unit),
                numbers=None if found is None or sparsity is None else _numbers(found, unit, sparsity),
                patches=mine,
                spot=spot,
                nearest=_alike(nearest, unit),
                fields=None if fields is None else fields.unit(unit, spot),
            )
        )
    sheets, inputs = ((), 0) if filters is None else _filters(filters, units, slug, plan, write)
    data, size = None, 0
    if layer.patches is not None and plan.run.patches is not None and plan.is_small(layer.patches):
        data, size = plan.numbers(slug), layer.patches.stat().st_size
        write(data, layer.patches.read_bytes())
    return Wall(
        units=tuple(told),
        total=total,
        count=COUNT,
        columns=COLUMNS,
        previews=() if drawn is None else drawn.previews,
        filters=sheets,
        inputs=inputs,
        levels=() if found is None else tuple(found.quantile_levels.tolist()),
        samples=0 if found is None else found.quantile_samples,
        data=data,
        bytes=size,
        measured=nearest is not None,
        fields=None if fields is None else fields.told,
    )


def histogram_sparsity(result: PatchesResult) -> Floats:
    """Reckon the sparsity of each unit's activity from its histogram.

    As `netviz.questions.units.result.sparsity`, each value taken at the middle of its bin.

    Returns
    -------
    ndarray of float64, shape (units,)
        0 … 1; NaN for a unit that is 0 everywhere.
    """
    counts = np.maximum(result.histogram, 0).astype(np.float64)
    low, high = (result.quantiles[:, end].astype(np.float64)[:, None] for end in (0, -1))
    bins = counts.shape[1]
    values = np.abs(low + (high - low) * (np.arange(bins) + 0.5) / bins)
    total = counts.sum(axis=1)
    safe = np.maximum(total, 1)
    mean, square = (counts * values).sum(axis=1) / safe, (counts * values**2).sum(axis=1) / safe
    ratio = np.divide(mean**2, square, out=np.full_like(square, np.nan), where=square > 0)
    share: Floats = (1 - ratio) / (1 - 1 / np.maximum(total, 2))
    return share


def _numbers(result: PatchesResult, unit: int, sparsity: Floats) -> Numbers:
    return Numbers(
        largest=float(result.max[unit]),
        mean=float(result.mean[unit]),
        zeros=1 - float(result.nonzero[unit]),
        sparsity=float(sparsity[unit]),
        quantiles=tuple(result.quantiles[unit].tolist()),
        histogram=tuple(result.histogram[unit].tolist()),
    )


def _spot(
    result: PatchesResult,
    unit: int,
    field: Field | None,
    photos: Sequence[Photo],
    shapes: Sequence[tuple[int, int]],
) -> Spot | None:
    """Return where a unit is strongest, if the maps on that photograph are of the size that was searched."""
    number = int(result.image[unit, 0])
    if field is None or field.size is None or field.stride is None or field.start is None:
        return None
    if not 0 <= number < len(photos) or len(shapes) <= number or shapes[number] != result.map_size:
        return None
    photo = photos[number]
    at = int(result.row[unit, 0]), int(result.col[unit, 0])
    ends = []
    for axis, length in enumerate((photo.picture.height, photo.picture.width)):
        low, high = 0.0, float(length)
        if field.status != "global":
            low = field.start[axis] + at[axis] * field.stride[axis]
            high = low + field.size[axis]
        ends.append((min(max(low, 0.0), length), min(max(high, 0.0), length)))
    (top, bottom), (left, right) = ends
    return Spot(photo, *at, (left, top, right, bottom)) if right > left and bottom > top else None


def _filters(
    result: FiltersResult, units: Sequence[int], slug: str, plan: Plan, write: Write
) -> tuple[tuple[Sprites, ...], int]:
    sheets, inputs = [], 0
    for number, chosen in enumerate(chunks(units)):
        tiles, inputs = filter_tiles(result, chosen)
        pixels = side_by_side(tiles)
        path = plan.weights(slug, number)
        write(path, encode_png(pixels))
        side = tiles.shape[1]
        sheets.append(Sprites(Picture(path, pixels.shape[1], pixels.shape[0]), (side, side)))
    return tuple(sheets), inputs


def _nearest(layer: RunLayer) -> NearestResult | None:
    """Read which units are alike; None where the run has not looked."""
    if layer.units is None:
        return None
    result = load_result(layer.units)
    if not isinstance(result, NearestResult):
        raise ResultError(
            f"{layer.units} holds {result.kind}, not {NearestResult.kind}; run the survey again"
        )
    near, alike = result.nearest, result.similarity
    fits = near.ndim == 2 and near.shape == alike.shape and near.dtype.kind == "i"
    if (
        not fits
        or (result.channels, len(near), result.sparsity.shape)
        != (layer.channels, layer.channels, (len(near),))
        or near.max(initial=-1) >= len(near)
    ):
        raise ResultError(f"{layer.units} does not fit its layer; run the survey again")
    return result


def _alike(result: NearestResult | None, unit: int) -> tuple[tuple[int, float], ...]:
    if result is None:
        return ()
    pairs = zip(result.nearest[unit].tolist(), result.similarity[unit].tolist(), strict=True)
    return tuple((other, value) for other, value in pairs if other >= 0 and math.isfinite(value))[:NEAREST]
