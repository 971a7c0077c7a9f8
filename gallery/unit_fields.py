"""The three receptive fields of a layer's units: a run's results → what is drawn for each unit, as lines."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.questions.field.result import FieldResult, MeasuredResult
from netviz.questions.reader import load_result

from .commands import command, sized
from .manifest import Field
from .manifest_fields import LayerFields, UnitFields
from .manifest_units import Spot
from .pictures import Write
from .plan import Plan
from .runs import RunLayer

MARGIN = 1.2
"""The picture shows so many times the theoretical field, as far as the photograph goes."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class Fields:
    """A layer's fields: its share of the manifest, and what each unit's picture is drawn from."""

    told: LayerFields
    place: Field
    map_shape: tuple[int, int]
    size: tuple[int, int]
    effective: tuple[Pair, Pair] | None
    measured: MeasuredResult | None
    rows: dict[int, int]

    def unit(self, unit: int, spot: Spot | None) -> UnitFields:
        """Return what is drawn for a unit, at the place where it is strongest or else in the middle of the map."""
        height, width = self.size
        at = (self.map_shape[0] // 2, self.map_shape[1] // 2)
        if spot is not None:
            at = (spot.row, spot.column)
            height, width = spot.photo.picture.height, spot.photo.picture.width
        y, x = middle(self.place, at, self.map_shape, (height, width))
        box = None
        view = (0, 0, width, height)
        if self.place.size is not None:
            down, across = self.place.size
            box = (x + 0.5 - across / 2, y + 0.5 - down / 2, x + 0.5 + across / 2, y + 0.5 + down / 2)
            side = math.ceil(max(MARGIN * max(down, across), max(down, across) + 4))
            if self.place.status == "global":
                box = (0.0, 0.0, float(width), float(height))
            elif side < max(height, width):
                view = (math.floor(x + 0.5 - side / 2), math.floor(y + 0.5 - side / 2), side, side)
        ellipse = None
        if self.effective is not None:
            (dy, dx), (ry, rx) = self.effective
            ellipse = (x + dx + 0.5, y + dy + 0.5, rx, ry)
        drawn = UnitFields(None if spot is None else spot.photo, view, box, ellipse)
        return self._measured(drawn, unit, (round(y), round(x)))

    def _measured(self, drawn: UnitFields, unit: int, at: tuple[int, int]) -> UnitFields:
        """Add a unit's measured field around a pixel, or why there is none."""
        found, row = self.measured, self.rows.get(unit)
        reason, region, size, used = self.told.reason, "", None, 0
        if found is not None:
            used = 0 if row is None else int(found.used[row])
            if row is None:
                reason = "This unit was not measured"
            elif not used:
                reason = "Nowhere on the covered photographs is this unit above 0, so there is nothing to take away"
            elif math.isnan(float(found.sizes[row])):
                reason = "No occluder changes this unit, as where a limit holds its value"
            else:
                size, reason = float(found.sizes[row]), ""
                mask = found.maps[row] >= 255 * found.threshold
                region = outline(mask, (at[1] + found.corner[1], at[0] + found.corner[0]), found.cell)
        return UnitFields(drawn.photo, drawn.view, drawn.box, drawn.ellipse, region, size, used, reason)


def read_fields(layer: RunLayer, slug: str, plan: Plan, write: Write) -> Fields | None:
    """Read the fields of a layer; None where the run has neither an effective nor a measured one.

    Parameters
    ----------
    layer : RunLayer
    slug : str
        What the layer's files are called.
    plan : Plan
        The run and its addresses.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is damaged, or of another layer.
    """
    if layer.field is None or (layer.fields is None and layer.measured is None):
        return None
    gradient, measured = _gradient(layer), _measured(layer)
    known = gradient or measured
    if known is None:
        return None
    height, width = known.input_shape[-2:]
    data, weight = None, 0
    if layer.measured is not None and plan.is_small(layer.measured):
        data, weight = plan.measured(slug), layer.measured.stat().st_size
        write(data, layer.measured.read_bytes())
    typed = [one.typed for one in plan.run.images]
    words = [plan.run.model, "--layer", layer.name, "--kind"]
    asked = sized(plan.run.size)

    def shown(count: int) -> list[str]:
        return [word for one in typed[:count] for word in ("--images", one)]

    seen = len(gradient.images) if gradient else 0
    covered = len(measured.images) if measured else 0
    quick = plan.run.form == "quick"
    told = LayerFields(
        width=None if gradient is None else gradient.effective_width,
        share=None if gradient is None else gradient.effective_ratio,
        images=seen,
        missing=""
        if gradient and gradient.effective_width
        else "No gradient reached the photographs' pixels",
        patch=measured.patch if measured else 0,
        stride=measured.stride if measured else 0,
        covered=covered,
        reason="" if measured else f"Nothing was covered{' in the quick form' if quick else ''}",
        theory=command("field", *words, "theoretical", *asked),
        gradient=command("field", *words, "effective", *asked, *shown(seen)),
        occlusion=command("field", *words, "empirical", *asked, *shown(covered)),
        data=data,
        bytes=weight,
    )
    return Fields(
        told,
        layer.field,
        known.map_shape,
        (height, width),
        _ellipse(gradient),
        measured,
        {} if measured is None else {unit: row for row, unit in enumerate(measured.units.tolist())},
    )


def middle(field: Field, at: tuple[int, int], map_shape: tuple[int, int], size: tuple[int, int]) -> Pair:
    """Return the middle (y, x) of what a position sees; of a field without a place, as far along as the position."""
    if field.size is None or field.stride is None or field.start is None or field.status == "global":
        y, x = ((one + 0.5) * size[axis] / map_shape[axis] - 0.5 for axis, one in enumerate(at))
        return y, x
    y, x = (
        field.start[axis] + at[axis] * field.stride[axis] + (field.size[axis] - 1) / 2 for axis in range(2)
    )
    return y, x


def _ellipse(result: FieldResult | None) -> tuple[Pair, Pair] | None:
    """Return an effective field as an ellipse: its middle, from that of the theoretical field, and its half axes.

    It is as large as the pixels that count for the field's width, and as oblong as the Gaussian fit.
    """
    if (
        result is None
        or not result.effective_width
        or not result.effective_sigma
        or not result.effective_center
    ):
        return None
    down, across = (max(one, 1e-3) for one in result.effective_sigma)
    y, x = result.center or (0.0, 0.0)
    if result.center is None or result.status == "global":
        height, width = result.input_shape[1:]
        y = (result.position[0] + 0.5) * height / result.map_shape[0] - 0.5
        x = (result.position[1] + 0.5) * width / result.map_shape[1] - 0.5
    radius = result.effective_width / math.sqrt(math.pi)
    long = math.sqrt(down / across)
    offset = (result.effective_center[0] - y, result.effective_center[1] - x)
    return offset, (radius * long, radius / long)


def outline(mask: NDArray[np.bool_], corner: tuple[int, int], cell: int) -> str:
    """Return the SVG path around the squares of a mask, clockwise, holes the other way round.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
    corner : (int, int)
        Where the first square begins: x and y.
    cell : int
        A square's side.
    """
    rows, cols = mask.shape
    field = np.zeros((rows + 2, cols + 2), dtype=bool)
    field[1:-1, 1:-1] = mask
    own = field[1:-1, 1:-1]
    # Each edge of the mask leads along its square, which lies to the right of it.
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for outside, begin, end in (
        (field[:-2, 1:-1], (0, 0), (0, 1)),
        (field[1:-1, 2:], (0, 1), (1, 1)),
        (field[2:, 1:-1], (1, 1), (1, 0)),
        (field[1:-1, :-2], (1, 0), (0, 0)),
    ):
        for row, col in np.argwhere(own & ~outside).tolist():
            steps.setdefault((row + begin[0], col + begin[1]), []).append((row + end[0], col + end[1]))
    parts = []
    while steps:
        start = at = min(steps)
        heading, run = (0, 0), 0
        parts.append(f"M{corner[0] + at[1] * cell} {corner[1] + at[0] * cell}")
        while True:
            ends = steps[at]
            following = ends.pop()
            if not ends:
                del steps[at]
            step = (following[0] - at[0], following[1] - at[1])
            if step != heading and run:
                parts.append(_stroke(heading, run * cell))
                run = 0
            heading, run, at = step, run + 1, following
            if at == start:
                break
        parts.append("z")
    return "".join(parts)


def _stroke(heading: tuple[int, int], length: int) -> str:
    return f"h{heading[1] * length}" if heading[1] else f"v{heading[0] * length}"


def _gradient(layer: RunLayer) -> FieldResult | None:
    """Load the effective field of a layer, where the run has one."""
    if layer.fields is None:
        return None
    result = load_result(layer.fields)
    if not isinstance(result, FieldResult):
        raise ResultError(f"{layer.fields} holds {result.kind}, not {FieldResult.kind}; run the survey again")
    if result.channels != layer.channels or min(result.map_shape) < 1:
        raise ResultError(f"{layer.fields} does not fit its layer; run the survey again")
    return result


def _measured(layer: RunLayer) -> MeasuredResult | None:
    """Load what was measured of a layer, where the run has it."""
    if layer.measured is None:
        return None
    result = load_result(layer.measured)
    if not isinstance(result, MeasuredResult):
        raise ResultError(
            f"{layer.measured} holds {result.kind}, not {MeasuredResult.kind}; run the survey again"
        )
    count = len(result.units)
    if (
        result.channels != layer.channels
        or not len(result.sizes) == len(result.used) == len(result.maps) == count
        or result.maps.ndim != 3
        or result.cell < 1
        or min(result.map_shape) < 1
    ):
        raise ResultError(f"{layer.measured} does not fit its layer; run the survey again")
    return result
