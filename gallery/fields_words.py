"""How a unit's page puts its three fields into words, and into numbers for SVG."""

from .manifest import Layer
from .manifest_fields import UnitFields
from .manifest_units import Unit, Wall
from .wording import counted, field_text, number, percent

_TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
_PX = "\N{NO-BREAK SPACE}px"


def fields_lead(fields: UnitFields, layer: Layer) -> str:
    """Say what the picture shows, and of which place."""
    if fields.photo is None:
        return "Drawn on plain paper, in the middle of the map."
    cut = ""
    if fields.box is not None and layer.field is not None and layer.field.status != "global":
        left, top, right, bottom = fields.box
        x, y, width, height = fields.view
        if left < x or top < y or right > x + width or bottom > y + height:
            cut = " The theoretical field goes on beyond the picture."
    return f"Laid over {fields.photo.name}, around the place where the unit is strongest.{cut}"


def fields_list(unit: Unit, layer: Layer, wall: Wall) -> list[tuple[str, str, str, str]]:
    """Return class of the line, name, size, and meaning of each field."""
    fields, told = unit.fields, wall.fields
    if fields is None or told is None:
        return []
    field = layer.field
    known = field is not None and field.size is not None
    size = "not known"
    if field is not None and field.size is not None:
        size = _TIMES.join(f"{length:,.6g}" for length in field.size) + _PX
        size = {"global": "the whole input", "upper_bound": f"at most {size}"}.get(field.status, size)
    meaning = "All that can reach the unit." if known else f"{field_text(field)}."
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


def fields_alt(unit: Unit, layer: Layer, wall: Wall) -> str:
    """Describe the picture for those who cannot see it."""
    shown = "; ".join(
        f"{name.lower()} {size}" for _, name, size, _ in fields_list(unit, layer, wall)
    ).replace("\N{NO-BREAK SPACE}", " ")
    where = (
        "" if unit.fields is None or unit.fields.photo is None else f" on photograph {unit.fields.photo.name}"
    )
    return f"Receptive fields of {layer.title}, unit {unit.unit}{where}: {shown}"


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


def occlusion_command(wall: Wall, unit: Unit) -> str:
    """Return the command that measures one unit."""
    return f"{wall.fields.occlusion} --unit {unit.unit}" if wall.fields is not None else ""


FILTERS = {
    "fields_lead": fields_lead,
    "fields_list": fields_list,
    "fields_alt": fields_alt,
    "field_frame": field_frame,
    "field_photo": field_photo,
    "field_lines": field_lines,
    "occlusion_command": occlusion_command,
}
"""What the templates may call."""
