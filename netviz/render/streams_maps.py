"""The picture of streams of one map each, such as the side outputs of an edge detector, coarse to fine."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Box, Canvas, Header, header
from netviz.render.regions import fitted
from netviz.render.scales import Floats, Scale, finite_range
from netviz.render.stream_rasters import stream_map, stream_scale
from netviz.render.words import TIMES
from netviz.results import StreamsResult

_SIDE: Final = 400
_LEAST: Final = 170
_BETWEEN: Final = 14
_ABOVE: Final = 34
_BELOW: Final = 16
_MOST: Final = 4


def stream_maps_figure(result: StreamsResult) -> Figure:
    """Draw the image and each stream's map beside it, coarse to fine, all on one scale.

    Parameters
    ----------
    result : StreamsResult
        Of the form ``"edges"``, drawn as the sigmoid in 0…1, or ``"values"``, drawn as they are.
    """
    maps = {name: np.asarray(stream_map(result, name), dtype=np.float64) for name in result.names}
    scale = stream_scale(result)
    count = 1 + len(maps)
    # As many rows as are needed, filled evenly.
    columns = -(-count // -(-count // _MOST))
    shape = (result.image.shape[0], result.image.shape[1])
    room = (style.LARGEST - 2 * MARGIN + _BETWEEN) // columns - _BETWEEN
    width, height = fitted(shape, min(_SIDE, room), whole=False)
    column = max(width, _LEAST)
    paper = max(2 * MARGIN + columns * (column + _BETWEEN) - _BETWEEN, 620)
    head = _header(result, scale, paper)
    rows = -(-count // columns)
    each = _ABOVE + height + _BELOW
    canvas = Canvas(paper, head.height + rows * each - _BELOW + MARGIN)
    head.draw(canvas)
    small = width < shape[1]
    boxes: list[Box] = []
    for number, name in enumerate(("", *maps)):
        row, place = divmod(number, columns)
        left, top = MARGIN + place * (column + _BETWEEN), head.height + row * each
        box = (left, top + _ABOVE, width, height)
        if name:
            colours = style.colour_map(scale.colours)
            canvas.image(maps[name], box, colours, (scale.low, scale.high), smooth=small)
        else:
            canvas.image(result.image, box, smooth=small)
        boxes.append(box)
        title = words.shorten(name or result.image_name, column, style.CAPTION, bold=True)
        canvas.text(left, top + 12, title, style.CAPTION, weight="bold", va="baseline")
        note = words.shorten(_note(result, name, maps), column, style.LABEL)
        canvas.text(left, top + 27, note, style.LABEL, style.MUTED, va="baseline")
    canvas.frames(boxes)
    return canvas.figure


def _note(result: StreamsResult, name: str, maps: dict[str, Floats]) -> str:
    height, width = result.image.shape[:2]
    if not name:
        own = (height, width) == tuple(result.original)
        return f"{width}{TIMES}{height} pixels, {'its own size' if own else 'resized'}"
    if result.form == "edges":
        return f"{100 * float((maps[name] > 0.5).mean()):.1f} % of the pixels above 0.5"
    low, high = finite_range(maps[name])
    return f"{words.number(low)} … {words.number(high)}"


def _header(result: StreamsResult, scale: Scale, paper: int) -> Header:
    height, width = result.image.shape[:2]
    plural = "streams" if len(result.names) > 1 else "output"
    title = [result.network, f"{plural} {', '.join(result.names)}", result.image_name]
    grid = f"every map on {height}{TIMES}{width} pixels (H{TIMES}W)"
    if (height, width) == tuple(result.original):
        grid += ", the image's own"
    else:
        grid += f", to which the image of {result.original[0]}{TIMES}{result.original[1]} was resized"
    caption = ["coarse to fine" if len(result.names) > 1 else "one output", grid]
    middle = 0.0 if scale.low < 0 else (scale.low + scale.high) / 2
    ticks = [(value, words.number(value)) for value in (scale.low, middle, scale.high)]
    if result.form == "edges":
        what = result.classes[0] if result.classes else "edge"
        note = [f"sigmoid of the logit: how likely a pixel is {'an' if what[:1] in 'aeiou' else 'a'} {what}"]
    else:
        note = ["output of the network, one scale for all"]
    note.append(
        "white is 0, red positive, blue negative" if scale.low < 0 else "black is 0, brighter is more"
    )
    return header(title, caption, scale, ticks, note, paper)
