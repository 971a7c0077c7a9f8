"""The picture of a receptive field: what a unit can see, what it uses, what it reacts to, and all layers' sizes."""

from typing import Final

from matplotlib.figure import Figure

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Canvas, layer_name
from netviz.render.field_chart import chart
from netviz.render.field_inset import choose_inset, enlarge, note_on
from netviz.render.field_marks import WARNING, Plate
from netviz.render.field_panels import draw_legend, legend_height, panels_of
from netviz.render.scales import Pixels
from netviz.render.words import TIMES
from netviz.results import FieldResult

_SIDE: Final = 336
_BETWEEN: Final = 28
_HEADING: Final = 22
_CHART: Final = (640, 330)
_LEAST: Final = 560


def field_figure(result: FieldResult) -> Figure:
    """Draw a unit's field on the image, up to three ways side by side, and the field sizes of all layers.

    Parameters
    ----------
    result : FieldResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the pictures; the Axes labelled ``"chart"`` holds the sizes.
    """
    with style.style():
        return _draw(result)


def _draw(result: FieldResult) -> Figure:
    panels = panels_of(result)
    width, height = _fit(result.image)
    inset = choose_inset(result, width, height)
    if inset is not None:
        panels = [
            panel._replace(legend=(*panel.legend, note_on(inset, width / result.image.shape[1])))
            for panel in panels
        ]
    room = max(width, 230)
    row = len(panels) * room + (len(panels) - 1) * _BETWEEN
    beside = len(panels) == 1
    paper = 2 * MARGIN + (row + _BETWEEN + _CHART[0] if beside else max(row, _LEAST))
    title = words.wrap(_title(result), paper - 2 * MARGIN, style.TITLE, bold=True, whole=True)
    caption = words.wrap(_caption(result), paper - 2 * MARGIN, style.CAPTION)
    notes = [line for note in result.notes for line in words.wrap([note], paper - 2 * MARGIN, style.CAPTION)]
    top = MARGIN + 24 * len(title) + 17 * (len(caption) + len(notes)) + 14
    below = max(legend_height(panel, room) for panel in panels)
    body = _HEADING + height + 18 + below
    chart_height = max(_CHART[1], body) if beside else _CHART[1]
    total = top + (chart_height if beside else body + 18 + chart_height) + MARGIN
    canvas = Canvas(paper, int(total))
    y: float = MARGIN
    for line in title:
        canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
        y += 24
    for line in caption:
        canvas.text(MARGIN, y, line, style.CAPTION, style.MUTED, va="top")
        y += 17
    for line in notes:
        canvas.text(MARGIN, y, line, style.CAPTION, WARNING, va="top")
        y += 17
    boxes = []
    for number, panel in enumerate(panels):
        left = MARGIN + number * (room + _BETWEEN)
        place = (float(left), float(top + _HEADING), float(width), float(height))
        plate = Plate(place, width / result.image.shape[1], place)
        boxes.append(place)
        canvas.text(left, top + 12, panel.heading, style.CAPTION, weight="bold", va="baseline")
        whole = plate.scale >= 1 and float(plate.scale).is_integer()
        canvas.image(panel.pixels, plate.box, smooth=not whole)
        panel.over(canvas, plate)
        if inset is not None:
            boxes.append(enlarge(canvas, panel, plate, inset))
        draw_legend(canvas, panel, left, top + _HEADING + height + 18, room)
    canvas.frames(boxes)
    if beside:
        chart(canvas, result, (MARGIN + row + _BETWEEN, top, _CHART[0], max(_CHART[1], body)))
    else:
        chart(canvas, result, (MARGIN, top + body + 18, paper - 2 * MARGIN, _CHART[1]))
    return canvas.figure


def _fit(image: Pixels) -> tuple[int, int]:
    """Return the width and height at which the image is drawn."""
    height, width = image.shape[:2]
    longest = max(height, width)
    factor = float(_SIDE // longest) if longest <= _SIDE / 2 else _SIDE / longest
    return max(1, round(width * factor)), max(1, round(height * factor))


def _title(result: FieldResult) -> list[str]:
    return [result.network, layer_name(result.layer, result.alias, result.layer_kind), _units(result)]


def _units(result: FieldResult) -> str:
    if result.units is None:
        return words.counted(result.channels, "unit")
    numbers = ", ".join(str(unit) for unit in result.units[:6])
    more = f" and {len(result.units) - 6} more" if len(result.units) > 6 else ""
    return f"unit{'' if len(result.units) == 1 else 's'} {numbers}{more} of {result.channels}"


def _caption(result: FieldResult) -> list[str]:
    row, column = result.position
    rows, columns = result.map_shape
    _, height, width = result.input_shape
    caption = [
        f"receptive field of row {row}, column {column} of the {rows}{TIMES}{columns} map",
        f"input {height}{TIMES}{width} pixels",
    ]
    if len(result.images) > 1:
        caption.append(f"drawn on {result.images[0]}, the first of {len(result.images)} images")
    else:
        caption += [f"drawn on {name}" for name in result.images]
    return caption
