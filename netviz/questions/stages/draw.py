"""The picture of a convolution's stages: a row for each unit, a column for each stage, the filter first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, bad_values, fit, layer_name, seen_size, write_below
from netviz.paper.scales import Floats, Pixels, Scale, colourise, finite_range, peak, scale_for
from netviz.paper.tiles import enlarge, lay_out, reduce_blocks
from netviz.paper.words import MINUS, TIMES
from netviz.questions.stages.result import Column, StagesResult

_STRONGEST = 16
_LEAST_ZOOM = 3


@dataclass(frozen=True)
class FilterTiles:
    """The drawn filters.

    Attributes
    ----------
    pixels : tuple of ndarray of uint8, shape (height, width, 3)
        One tile for each drawn unit, in colours.
    peaks : tuple of float
        Each filter's largest absolute weight: the high end of its own scale.
    scale : Scale
    note : str
        What of a filter a tile shows.
    """

    pixels: tuple[Pixels, ...]
    peaks: tuple[float, ...]
    scale: Scale
    note: str


def filter_tiles(result: StagesResult, side: int) -> FilterTiles:
    """Draw each filter in at most `side` by `side` pixels, where its weights can be seen at all.

    An RGB filter is one colour tile. Else its inputs stand in a grid, row by row: all of them where each weight gets
    three pixels, else the 16 with the largest norms, strongest first.
    """
    filters = result.filters.astype(np.float64)
    _, inputs, height, width = filters.shape
    peaks = tuple(peak(one) for one in filters)
    shares = filters / np.array([one or 1.0 for one in peaks]).reshape(-1, 1, 1, 1)
    longest = max(height, width)
    size = f"{height}{TIMES}{width}"
    if result.sees_image and inputs == 3:
        if result.channel_order == "BGR":
            shares = shares[:, ::-1]
        colours = colourise(np.moveaxis(shares, 1, -1), "rgb")
        zoom = max(1, side // longest)
        return FilterTiles(
            tuple(enlarge(colours, zoom)), peaks, Scale(-1.0, 1.0, "rgb", True), f"{size}, RGB"
        )
    gap = 0 if longest == 1 or inputs == 1 else 2
    room = max(1, (side + gap) // (_LEAST_ZOOM * longest + gap))
    shown = inputs if inputs <= room**2 else min(_STRONGEST, inputs)
    columns = math.ceil(math.sqrt(shown))
    zoom = max(1, ((side + gap) // columns - gap) // longest)
    tiles = tuple(_grid(one, shown, columns, zoom, gap) for one in shares)
    each = " of each group" if result.groups > 1 else ""
    if inputs == 1:
        note = f"{size}, one input"
    elif shown == inputs:
        note = f"{size}, all {inputs} inputs{each}"
    else:
        note = f"{size}, {shown} strongest of {inputs} inputs{each}"
    return FilterTiles(tiles, peaks, Scale(-1.0, 1.0, "diverging", True), note)


def _grid(shares: NDArray[np.float64], shown: int, columns: int, zoom: int, gap: int) -> Pixels:
    """Lay one filter's inputs out; the strongest first where not all are shown."""
    if shown < len(shares):
        norms = np.nan_to_num(np.linalg.norm(shares.reshape(len(shares), -1), axis=1))
        shares = shares[np.argsort(-norms, kind="stable")[:shown]]
    tiles = enlarge(colourise(shares, "diverging"), zoom)
    paper = style.rgb(style.PAPER if gap else style.FRAME)
    sheet = lay_out(tiles, columns, gap, paper, paper)
    return sheet[gap : len(sheet) - gap, gap : sheet.shape[1] - gap] if gap else sheet


_IMAGE = 224
_BETWEEN = 28
_LABEL = 34
_GAP = 14
_LEAST_COLUMN = 116
_NARROW_COLUMN = 96
_MANY = 12
_LINE = 13
_UNDER = 14
_LARGEST_TILE = 176
_SMALLEST_TILE = 24
_LEAST_FILTER = 80
_WIDE = 1760
_FEW = 8
_HIGH = 1280  # of few rows; more may take what the paper has
_HIGHEST = 1760
_MOST_ROWS = 36
_WORDS = 70
"""Pixels that the words above a column take at least."""
_HEADS = 300
"""Pixels above the first unit, about."""


@dataclass(frozen=True)
class _Maps:
    """One column's drawn maps, averaged over blocks and to be enlarged, by a whole factor unless they fill a page.

    Attributes
    ----------
    peaks : tuple of float
        Each map's own largest absolute value.
    reach : tuple of float
        That of what is drawn of it, where its colours end.
    """

    column: Column
    size: tuple[int, int]
    values: Floats
    peaks: tuple[float, ...]
    reach: tuple[float, ...]
    signed: bool
    reduction: int
    zoom: float
    bad: int

    @property
    def scale(self) -> Scale:
        return scale_for(-1.0 if self.signed else 0.0, 1.0, per_tile=True)

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a tile in pixels."""
        height, width = self.values.shape[1:]
        return max(1, round(width * self.zoom)), max(1, round(height * self.zoom))


def stages_figure(result: StagesResult) -> Figure:
    """Draw the units' filters and maps, a column for each stage, what-ifs set apart.

    Parameters
    ----------
    result : StagesResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, then column by column the tiles of the drawn units;
        the Axes labelled ``"scale"`` are the colour bars, one for each kind of scale.
    """
    with style.style():
        return _draw(result)


def _draw(result: StagesResult) -> Figure:
    units = [int(unit) for unit in result.units[:_MOST_ROWS]]
    picture = fit(result.image.shape, _IMAGE)
    left = MARGIN + max(picture[0], _picture_words()) + _BETWEEN + _LABEL
    # On a narrow page the units stand below the image.
    down = 0
    if page.narrow():
        left, down = MARGIN + _LABEL, picture[1] + 4 * 16 + 8
    blocks, side, least = _blocks(result, len(units), page.widest() - left - MARGIN)
    maps = [_column(result, column, side) for column in result.columns]
    filters = filter_tiles(result, min(side, max(_LEAST_FILTER, *(one.tile[1] for one in maps))))
    widths = [max(least, width) for width in (filters.pixels[0].shape[1], *(one.tile[0] for one in maps))]
    apart = [one.column.what_if for one in maps]
    places = [left]
    for number, width in enumerate(widths[:-1]):
        starts = apart[number] and not (number and apart[number - 1])
        places.append(places[-1] + width + _GAP + (_BETWEEN if starts else 0))
    block = places[-1] + widths[-1] - left + _BETWEEN + _LABEL
    paper = max(page.least(760), left + blocks * block - _BETWEEN - _LABEL + MARGIN)
    heads = [_head("filter", [filters.note], widths[0])]
    heads += [
        _head(one.column.title, _notes(one), width) for one, width in zip(maps, widths[1:], strict=True)
    ]
    row_height = max(filters.pixels[0].shape[0], *(one.tile[1] for one in maps)) + _UNDER + 8
    above = _header(result, maps, filters, len(units), paper)
    top = above.height + down
    first = top + 24 + _LINE * max(map(len, heads)) + 6
    rows = -(-len(units) // blocks)
    bottom = max(first + row_height * rows, above.height + picture[1] + 4 * 16)
    canvas = Canvas(paper, bottom + MARGIN)
    above.draw(canvas)
    boxes = [_picture(canvas, result, picture, above.height)]
    ends = [place + width for place, width in zip(places, widths, strict=True)]
    own = sum(not what_if for what_if in apart)
    for number in range(blocks):
        right = number * block
        _group(canvas, "in the network", places[0] + right, ends[own] + right, top)
        if own < len(maps):
            _group(canvas, "what if", places[own + 1] + right, ends[-1] + right, top)
        for place, head in zip(places, heads, strict=True):
            for line_number, (line, size, colour, weight) in enumerate(head):
                y = top + 36 + _LINE * line_number
                canvas.text(place + right, y, line, size, colour, weight=weight)
        for row in range(number * rows, min(len(units), (number + 1) * rows)):
            y = first + (row - number * rows) * row_height
            canvas.text(places[0] + right - 8, y + 10, str(units[row]), style.CAPTION, ha="right")
            boxes += _row(canvas, row, y, [place + right for place in places], filters, maps)
    canvas.frames(boxes)
    return canvas.figure


def _picture_words() -> int:
    """Return how many pixels the words below the image take at least."""
    return 120 if page.given() else 150


def _blocks(result: StagesResult, count: int, room: int) -> tuple[int, int, int]:
    """Choose in how many blocks side by side units stand: one, or as many as give a page the largest tiles.

    Returns
    -------
    tuple of int
        How many blocks; the length of a tile, and of a column at least, in pixels.
    """
    if not page.given():
        least = _LEAST_COLUMN if len(result.columns) < _MANY else _NARROW_COLUMN
        return 1, _tile_side(result, count, _WIDE, 0), least
    fits = []
    extra = _BETWEEN if any(column.what_if for column in result.columns) else 0
    for blocks in range(1, max(1, min(4, count)) + 1):
        wide = (room + _BETWEEN + _LABEL) // blocks - _BETWEEN - _LABEL - extra
        column = (wide + _GAP) // (1 + len(result.columns)) - _GAP
        if blocks == 1 or column >= _WORDS:
            side = _tile_side(result, -(-count // blocks), wide, page.highest() - _HEADS)
            fits.append((side, -blocks, max(_WORDS, min(_LEAST_COLUMN, column))))
    side, blocks, least = max(fits)
    return -blocks, side, least


def _row(
    canvas: Canvas, row: int, y: int, places: Sequence[int], filters: FilterTiles, maps: Sequence[_Maps]
) -> list[Box]:
    """Draw one unit; return where its tiles are."""
    pixels = filters.pixels[row]
    boxes: list[Box] = [(places[0], y, pixels.shape[1], pixels.shape[0])]
    canvas.image(pixels, boxes[0])
    _write_peak(canvas, boxes[0], filters.peaks[row], True)
    for place, one in zip(places[1:], maps, strict=True):
        box = (place, y, *one.tile)
        canvas.values(one.values[row], box, one.scale, one.reach[row])
        _write_peak(canvas, box, one.peaks[row], one.signed)
        boxes.append(box)
    return boxes


def _write_peak(canvas: Canvas, box: Box, peak: float, signed: bool) -> None:
    text = f"±{words.number(peak)}" if signed and peak else f"max {words.number(peak)}"
    canvas.text(box[0], box[1] + box[3] + 11, text, style.SMALL, style.FAINT)


def _group(canvas: Canvas, title: str, left: float, right: float, y: float) -> None:
    canvas.text(left, y + 10, title, style.CAPTION, style.MUTED)
    canvas.lines([((left, y + 17, right, y + 17), style.FAINT)])


def _tile_side(result: StagesResult, rows: int, width: int, height: int) -> int:
    """Choose how large tiles may be: within what the columns and rows leave, where whole factors fill most.

    `height` is what all rows may take; 0 for what they usually take.
    """
    count = 1 + len(result.columns)
    shapes = [one.shape[1:] for one in result.maps.values()]
    sides = [max(shape) for shape in shapes]
    high = max(shape[0] / max(shape) for shape in shapes)
    wide = max(shape[1] / max(shape) for shape in shapes)
    under = (height or (_HIGH if rows <= _FEW else _HIGHEST)) // max(rows, 1) - _UNDER - 8
    room = min((width // count - _GAP) / wide, under / high)
    most = max(_SMALLEST_TILE, min(page.side(_LARGEST_TILE), int(room)))

    def fill(side: int) -> tuple[float, int]:
        lengths = [_drawn(one, side)[2] for one in sides]
        return min(lengths) - (max(lengths) - min(lengths)) / 2, -side

    return max(range(max(_SMALLEST_TILE, 3 * most // 4), most + 1), key=fill)


def _drawn(side: int, room: int) -> tuple[int, float, int]:
    """Return block size, factor of enlargement and drawn length of a side in so much room."""
    if page.given():
        # A page has a density of its own, which shows two positions a pixel.
        reduction = max(1, -(-side // (2 * room)))
        return reduction, room / -(-side // reduction), room
    reduction = max(1, -(-side // room))
    blocks = -(-side // reduction)
    zoom = max(1, room // blocks)
    return reduction, zoom, blocks * zoom


def _column(result: StagesResult, column: Column, side: int) -> _Maps:
    raw = result.drawn(column.key)
    reduction, zoom, _ = _drawn(max(raw.shape[1:]), side)
    values = reduce_blocks(raw, reduction)
    # The scale is that of what is drawn: the peak of a thin line would leave its block means all but white.
    ranges, drawn = ([finite_range(one) for one in maps] for maps in (raw, values))
    return _Maps(
        column=column,
        size=(raw.shape[1], raw.shape[2]),
        values=values,
        peaks=tuple(max(-low, high) for low, high in ranges),
        reach=tuple(max(-low, high) for low, high in drawn),
        signed=any(low < 0 for low, _ in ranges),
        reduction=reduction,
        zoom=zoom,
        bad=int(np.count_nonzero(~np.isfinite(raw))),
    )


def _notes(one: _Maps) -> list[str]:
    """Say of a column what made it, the size of its maps, and how many responses are 0 or saturated."""
    column = one.column
    notes = [*column.note.split(", "), f"{one.size[0]}{TIMES}{one.size[1]}"]
    if one.reduction > 1:
        notes.append(f"means of {one.reduction}{TIMES}{one.reduction}")
    notes.append(f"{words.percent(column.zero)} zeros" if column.zero else "no zeros")
    if column.saturated is not None and column.where != "y = 0":
        notes += [f"{words.percent(column.saturated)} saturated:", column.where.replace("-", MINUS)]
    return notes


def _head(title: str, notes: Sequence[str], width: int) -> list[tuple[str, float, str, str]]:
    lines = [(words.shorten(title, width, style.CAPTION, bold=True), style.CAPTION, style.INK, "bold")]
    for note in notes:
        wrapped = words.wrap([note], width, style.LABEL)
        lines += [(line, style.LABEL, style.MUTED, "normal") for line in wrapped]
    return lines


def _picture(canvas: Canvas, result: StagesResult, picture: tuple[int, int], top: int) -> Box:
    box = (MARGIN, top, *picture)
    canvas.image(result.image, box)
    y, room = top + picture[1] + 15, max(picture[0], _picture_words())
    write_below(canvas, MARGIN, y, result.image_name, [seen_size(result.image)], room, 2)
    return box


def _bars(filters: FilterTiles, maps: Sequence[_Maps]) -> list[tuple[Scale, list[str]]]:
    """Return every scale that the picture uses, with what it means."""
    scales = [one.scale for one in maps]
    bars = []
    signed = next((scale for scale in scales if scale.low < 0), None)
    weights = filters.scale.colours == "diverging"
    if signed or weights:
        what = "filters and signed maps" if signed and weights else "signed maps" if signed else "filters"
        scale = signed or filters.scale
        bars.append((scale, [f"{what}: {scale.note}"]))
    positive = next((scale for scale in scales if scale.low == 0), None)
    if positive:
        bars.append((positive, [f"maps without negative values: {positive.note}"]))
    if not weights:
        bars.append((filters.scale, [f"filters: {filters.scale.note}"]))
    bars[0][1].append("each tile by its own largest absolute value, written under it")
    return bars


def _header(result: StagesResult, maps: Sequence[_Maps], filters: FilterTiles, rows: int, paper: int) -> Head:
    own = [column for column in result.columns if not column.what_if]
    title = [
        result.network,
        f"stages of {layer_name(result.layer, result.alias, asked=result.layer_asked)}",
        result.image_name,
    ]
    chosen = f"largest maxima at {own[-1].title}" if result.sort == "activity" else "as asked"
    caption = [
        " → ".join(column.title for column in own) + f", then {result.next}",
        f"{len(result.units)} of {result.channels} units, {chosen}",
        "shares are those of the whole layer",
    ]
    if any(one.reduction > 1 for one in maps):
        caption.append(
            "where blocks are averaged, colours end at the largest mean, and the numbers are the maps' own"
        )
    if rows < len(result.units):
        caption.append(f"the first {rows} are drawn")
    readers: dict[str, list[str]] = {}
    for name, reader in result.also_read_by:
        readers.setdefault(name, []).append(reader)
    for name, names in readers.items():
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        caption.append(f"{name} is also read by {some}")
    caption += bad_values(sum(one.bad for one in maps))
    return Head.of(title, caption, paper, *_bars(filters, maps), warnings=result.doubts)
