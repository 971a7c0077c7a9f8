"""Where a unit looks: its place on a photograph, and its layer's and its own receptive fields, drawn as lines."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.questions.field.result import FieldResult, MeasuredResult
from netviz.questions.patches.result import PatchesResult
from netviz.results.survey import FieldRecord, LayerRecord

from ..addresses import Addresses
from ..drawing import Write, write_copy
from ..loading import is_small, load_kind
from ..manifest import Photo
from ..panel import Panel, Recipe
from ..words import command, counted, field_text, number, percent, sized

MARGIN = 1.2
"""The picture shows so many times the theoretical field, as far as the photograph goes."""

Pair = tuple[float, float]

_TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
_PX = "\N{NO-BREAK SPACE}px"

RECIPE = Recipe(
    "Receptive fields",
    "From the network's own operations, one after another: size, stride and start of what a position sees. "
    "The effective field is the gradient of the units in the middle with respect to the image. The measured "
    "field of a unit is what changes it when squares of random colours cover parts of a few photographs: "
    "averaged around the middle of what it sees, at least a quarter of the largest change.",
    (
        "Luo, Li, Urtasun and Zemel, Understanding the effective receptive field, NeurIPS 2016",
        "Zhou, Khosla, Lapedriza, Oliva and Torralba, Object detectors emerge in deep scene CNNs, ICLR 2015",
    ),
)


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
class LayerFields:
    """What is the same for all units of a layer.

    Attributes
    ----------
    width : float or None
        Of the effective field, in pixels; None where there is none.
    share : float or None
        That width over the theoretical field's.
    images : int
        Over how many photographs the gradient is averaged.
    missing : str
        Why there is no effective field.
    patch, stride : int
        The occluder's side and step in pixels; 0 where nothing was measured.
    covered : int
        How many photographs were covered.
    reason : str
        Why nothing was measured.
    theory, gradient, occlusion : str
        The commands for the three; that of the last names no unit yet.
    data : str or None
        The address of what was measured, where it is small enough.
    bytes : int
        Its size.
    """

    width: float | None
    share: float | None
    images: int
    missing: str
    patch: int
    stride: int
    covered: int
    reason: str
    theory: str
    gradient: str
    occlusion: str
    data: str | None = None
    bytes: int = 0


@dataclass(frozen=True)
class UnitFields:
    """What is drawn for one unit, in pixels of the photograph, or of a sheet of paper of the input's size.

    Attributes
    ----------
    photo : Photo or None
        What lies below; None for paper.
    view : (int, int, int, int)
        Left, top, width and height of what is shown; it may reach beyond the photograph.
    box : (float, float, float, float) or None
        The theoretical field: left, top, right, bottom.
    ellipse : (float, float, float, float) or None
        The effective field: its middle, x and y, and its half axes across and down.
    region : str
        The outline of the measured field, as an SVG path.
    size : float or None
        Of the measured field; None where there is none.
    used : int
        On how many photographs it was measured.
    missing : str
        Why there is none.
    """

    photo: Photo | None
    view: tuple[int, int, int, int]
    box: tuple[float, float, float, float] | None
    ellipse: tuple[float, float, float, float] | None
    region: str = ""
    size: float | None = None
    used: int = 0
    missing: str = ""


@dataclass(frozen=True)
class Fields:
    """A layer's fields: its share of the manifest, and what each unit's picture is drawn from."""

    told: LayerFields
    place: FieldRecord
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


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    for place in addresses.paged:
        layer = addresses.run.layers[place]
        if addresses.units[place] and layer.receptive_field and layer.measured and is_small(layer.measured):
            yield _file(addresses, place)


def _file(addresses: Addresses, place: int) -> str:
    return addresses.beside(place, "measured.npz")


def find_spot(
    result: PatchesResult,
    unit: int,
    field: FieldRecord | None,
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


def read_fields(addresses: Addresses, place: int, write: Write) -> Fields | None:
    """Read the fields of a layer; None where the run has neither an effective nor a measured one.

    Raises
    ------
    ResultError
        If a file of the run is damaged, or of another layer.
    """
    layer = addresses.run.layers[place]
    if layer.receptive_field is None or (layer.fields is None and layer.measured is None):
        return None
    gradient, measured = _gradient(layer), _measured(layer)
    known = gradient or measured
    if known is None:
        return None
    height, width = known.input_shape[-2:]
    data, weight = None, 0
    if layer.measured is not None:
        data, weight = (
            write_copy(layer.measured, _file(addresses, place), write),
            layer.measured.stat().st_size,
        )
    typed = [one.source for one in addresses.run.images]
    words = [addresses.run.model, "--layer", layer.name, "--kind"]
    asked = sized(addresses.run.size)

    def shown(count: int) -> list[str]:
        return [word for one in typed[:count] for word in ("--images", one)]

    seen = len(gradient.images) if gradient else 0
    covered = len(measured.images) if measured else 0
    quick = addresses.run.form == "quick"
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
        theory=command("field", *words, "theoretical", *asked, run=addresses.run),
        gradient=command("field", *words, "effective", *asked, *shown(seen), run=addresses.run),
        occlusion=command("field", *words, "empirical", *asked, *shown(covered), run=addresses.run),
        data=data,
        bytes=weight,
    )
    return Fields(
        told,
        layer.receptive_field,
        known.map_shape,
        (height, width),
        _ellipse(gradient),
        measured,
        {} if measured is None else {unit: row for row, unit in enumerate(measured.units.tolist())},
    )


def middle(
    field: FieldRecord, at: tuple[int, int], map_shape: tuple[int, int], size: tuple[int, int]
) -> Pair:
    """Return the middle (y, x) of what a position sees; of a field without a place, as far along as the position."""
    middles = [(one + 0.5) * size[axis] / map_shape[axis] - 0.5 for axis, one in enumerate(at)]
    if field.size is not None and field.stride is not None and field.start is not None:
        for axis, (extent, step, start) in enumerate(zip(field.size, field.stride, field.start, strict=True)):
            if field.status != "global" and (step or extent < size[axis]):
                middles[axis] = start + at[axis] * step + (extent - 1) / 2
    return middles[0], middles[1]


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


def _gradient(layer: LayerRecord) -> FieldResult | None:
    """Load the effective field of a layer, where the run has one."""
    if layer.fields is None:
        return None
    result = load_kind(layer.fields, FieldResult, layer)
    if min(result.map_shape) < 1:
        raise ResultError(f"{layer.fields} does not fit its layer; run the survey again")
    return result


def _measured(layer: LayerRecord) -> MeasuredResult | None:
    """Load what was measured of a layer, where the run has it."""
    if layer.measured is None:
        return None
    result = load_kind(layer.measured, MeasuredResult, layer)
    if result.cell < 1 or min(result.map_shape) < 1:
        raise ResultError(f"{layer.measured} does not fit its layer; run the survey again")
    return result


def spot_style(spot: Spot) -> str:
    """Return the CSS that frames a part of a photograph."""
    left, top, right, bottom = spot.box
    width, height = spot.photo.picture.width, spot.photo.picture.height
    return (
        f"left:{percent(left, width)};top:{percent(top, height)};"
        f"width:{percent(right - left, width)};height:{percent(bottom - top, height)}"
    )


def spot_note(spot: Spot, field: FieldRecord) -> str:
    """Say where a unit is strongest."""
    left, top, right, bottom = spot.box
    whole = field.status == "global"
    seen = "the whole photograph" if whole else f"{right - left:.6g} pixels wide, {bottom - top:.6g} high"
    inside = "" if whole else ", clipped to the photograph,"
    return (
        f"The unit is strongest at row {spot.row:,}, column {spot.column:,} of its map. What it can see "
        f"there{inside} is framed: {seen}."
    )


def fields_lead(fields: UnitFields, field: FieldRecord) -> str:
    """Say what the picture shows, and of which place."""
    if fields.photo is None:
        return "Drawn on plain paper, in the middle of the map."
    cut = ""
    if fields.box is not None and field.status != "global":
        left, top, right, bottom = fields.box
        x, y, width, height = fields.view
        if left < x or top < y or right > x + width or bottom > y + height:
            cut = " The theoretical field goes on beyond the picture."
    return f"Laid over {fields.photo.name}, around the place where the unit is strongest.{cut}"


def fields_list(fields: UnitFields, told: LayerFields, field: FieldRecord) -> list[tuple[str, str, str, str]]:
    """Return class of the line, name, size, and meaning of each field."""
    size, meaning = "not known", f"{field_text(field)}."
    if field.size is not None:
        meaning = "All that can reach the unit."
        size = _TIMES.join(f"{length:,.6g}" for length in field.size) + _PX
        size = {"global": "the whole input", "upper_bound": f"at most {size}"}.get(field.status, size)
    rows = [("box", "Theoretical", size, meaning[0].upper() + meaning[1:])]
    if told.width is not None:
        share = (
            ""
            if told.share is None
            else f", {100 * told.share:.0f}\N{NO-BREAK SPACE}% of the theoretical width"
        )
        rows.append(
            (
                "ring",
                "Effective",
                f"{told.width:.0f}{_PX}",
                f"What the units of the layer use: the gradient of all of them in the middle of the map, over "
                f"{counted(told.images, 'photograph')}. The ellipse is as large as the pixels above "
                f"4.55\N{NO-BREAK SPACE}% of the largest value{share}.",
            )
        )
    else:
        rows.append(("", "Effective", "not known", f"{told.missing}."))
    if fields.size is not None:
        rows.append(
            (
                "blot",
                "Measured",
                f"{number(fields.size)}{_PX}",
                f"What changes this unit when it is covered by {told.patch}{_PX} of random colours, in steps of "
                f"{told.stride}{_PX}, over {counted(fields.used, 'photograph')}: at least a quarter of the largest "
                f"change.",
            )
        )
    else:
        rows.append(("", "Measured", "not known", f"{fields.missing}."))
    return rows


def fields_alt(fields: UnitFields, told: LayerFields, field: FieldRecord, unit: str) -> str:
    """Describe the picture for those who cannot see it; `unit` is what the unit is called."""
    shown = "; ".join(f"{name.lower()} {size}" for _, name, size, _ in fields_list(fields, told, field))
    where = "" if fields.photo is None else f" on photograph {fields.photo.name}"
    return f"Receptive fields of {unit}{where}: {shown}".replace("\N{NO-BREAK SPACE}", " ")


def field_frame(fields: UnitFields) -> str:
    """Return the view as SVG takes it."""
    return " ".join(map(str, fields.view))


def field_photo(fields: UnitFields) -> str:
    """Return the CSS that lays a photograph below the view."""
    if fields.photo is None:
        return ""
    left, top, width, height = fields.view
    picture = fields.photo.picture
    return (
        f"width:{percent(picture.width, width)};height:{percent(picture.height, height)};"
        f"left:{percent(-left, width)};top:{percent(-top, height)}"
    )


def field_lines(fields: UnitFields) -> list[tuple[str, str]]:
    """Return the class and the SVG path of each field, the measured one first, as it is filled."""
    lines = [("blot", fields.region)] if fields.region else []
    if fields.box is not None:
        left, top, right, bottom = fields.box
        x, y, width, height = fields.view
        # Half of a line at the picture's border would be lost.
        edge = max(width, height) / 160
        left, right = max(left, x + edge), min(right, x + width - edge)
        top, bottom = max(top, y + edge), min(bottom, y + height - edge)
        if right > left and bottom > top:
            lines.append(("box", f"M{left:.5g} {top:.5g}H{right:.5g}V{bottom:.5g}H{left:.5g}z"))
    if fields.ellipse is not None:
        middle, level, across, down = fields.ellipse
        arc = f"a{across:.4g} {down:.4g} 0 1 0"
        path = f"M{middle - across:.5g} {level:.5g}{arc} {2 * across:.5g} 0{arc} {-2 * across:.5g} 0z"
        lines.append(("ring", path))
    return lines


def occlusion_command(told: LayerFields, unit: int) -> str:
    """Return the command that measures one unit."""
    return f"{told.occlusion} --unit {unit}"


PANEL = Panel(
    files=files,
    words=(
        spot_style,
        spot_note,
        fields_lead,
        fields_list,
        fields_alt,
        field_frame,
        field_photo,
        field_lines,
        occlusion_command,
    ),
)
