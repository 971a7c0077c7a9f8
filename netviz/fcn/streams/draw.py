"""The picture of a dense network's streams: classes, what each skip changed, how sure and how wrong each is.

Streams of one map each, such as the side outputs of an edge detector, are drawn coarse to fine.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.fcn.streams.result import StreamsResult
from netviz.paper import style, words
from netviz.paper.classes import Legend, class_colour, class_colours, legend
from netviz.paper.layout import MARGIN, Box, Canvas, Header, header
from netviz.paper.regions import fitted, grey, outside_pale
from netviz.paper.scales import Floats, Pixels, Scale, finite_range
from netviz.paper.words import TIMES

NAMED: Final = 48
"""Most classes that a legend names."""


class Raster(NamedTuple):
    """A picture of the image's size.

    Attributes
    ----------
    name : str
        The stream, or ``"16s"`` of what it changed.
    before : str
        Of what a stream changed: the stream before it; else nothing.
    pixels : ndarray of uint8, shape (H, W, 3)
    """

    name: str
    before: str
    pixels: Pixels


def stream_rasters(result: StreamsResult) -> list[Raster]:
    """Colour every stream, coarse to fine; of classes also what each changed.

    Parameters
    ----------
    result : StreamsResult

    Returns
    -------
    list of Raster
        The streams first. Classes have the colours of `class_colour`, maps those of `stream_scale`.
    """
    if result.form == "classes":
        faded = outside_pale(grey(result.image), np.zeros(result.image.shape[:2], dtype=np.bool_))
        found = [Raster(name, "", class_colours(result.predicted(name))) for name in result.names]
        for name, change in result.changed.items():
            before = str(change["from"])
            found.append(Raster(name, before, changed(result, before, name, faded)))
        return found
    scale = stream_scale(result)
    table = style.colour_table(scale.colours)
    rasters = []
    for name in result.names:
        share = (stream_map(result, name).astype(np.float64) - scale.low) / (scale.high - scale.low)
        level = np.rint(np.nan_to_num(np.clip(share, 0, 1)) * (len(table) - 1)).astype(np.intp)
        rasters.append(Raster(name, "", table[level]))
    return rasters


def changed(result: StreamsResult, before: str, after: str, faded: Pixels) -> Pixels:
    """Return a faded image with the new class where a stream has another one than the stream before it."""
    new = result.predicted(after)
    other = new != result.predicted(before)
    picture: Pixels = faded.copy()
    picture[other] = class_colours(new)[other]
    return picture


def held_classes(result: StreamsResult) -> tuple[list[int], int]:
    """Return the classes that occur in any stream or in the truth, and how many more there are.

    Of very many those with most pixels are kept, in the order of their numbers.
    """
    pictures = [result.predicted(name).ravel() for name in result.names]
    if result.truth is not None:
        pictures.append(result.truth[result.truth >= 0].astype(np.intp))
    counts = np.bincount(np.concatenate(pictures), minlength=len(result.classes))
    held = np.flatnonzero(counts).tolist()
    kept = sorted(sorted(held, key=lambda code: -counts[code])[:NAMED])
    return kept, len(held) - len(kept)


def stream_map(result: StreamsResult, name: str) -> NDArray[np.float32]:
    """Return what is drawn of a stream of one map, (H, W): the sigmoid of a logit, else the map itself."""
    values: NDArray[np.float32] = (
        result.probability(name) if result.form == "edges" else result.streams[name][0]
    )
    return values


def stream_scale(result: StreamsResult) -> Scale:
    """Return the one scale of all streams of one map each."""
    if result.form == "edges":
        return Scale(0.0, 1.0, "sequential", False)
    values: NDArray[Any] = np.concatenate([stream_map(result, name).ravel() for name in result.names])
    low, high = finite_range(values)
    if low < 0:
        limit = max(-low, high)
        return Scale(-limit, limit, "diverging", False)
    return Scale(0.0, high or 1.0, "sequential", False)


_MAPS_SIDE: Final = 400
_MAPS_LEAST: Final = 170
_MAPS_BETWEEN: Final = 14
_MAPS_ABOVE: Final = 34
_MAPS_BELOW: Final = 16
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
    room = (style.LARGEST - 2 * MARGIN + _MAPS_BETWEEN) // columns - _MAPS_BETWEEN
    width, height = fitted(shape, min(_MAPS_SIDE, room), whole=False)
    column = max(width, _MAPS_LEAST)
    paper = max(2 * MARGIN + columns * (column + _MAPS_BETWEEN) - _MAPS_BETWEEN, 620)
    head = _maps_header(result, scale, paper)
    rows = -(-count // columns)
    each = _MAPS_ABOVE + height + _MAPS_BELOW
    canvas = Canvas(paper, head.height + rows * each - _MAPS_BELOW + MARGIN)
    head.draw(canvas)
    small = width < shape[1]
    boxes: list[Box] = []
    for number, name in enumerate(("", *maps)):
        row, place = divmod(number, columns)
        left, top = MARGIN + place * (column + _MAPS_BETWEEN), head.height + row * each
        box = (left, top + _MAPS_ABOVE, width, height)
        if name:
            colours = style.colour_map(scale.colours)
            canvas.image(maps[name], box, colours, (scale.low, scale.high), smooth=small)
        else:
            canvas.image(result.image, box, smooth=small)
        boxes.append(box)
        title = words.shorten(name or result.image_name, column, style.CAPTION, bold=True)
        canvas.text(left, top + 12, title, style.CAPTION, weight="bold")
        note = words.shorten(_note(result, name, maps), column, style.LABEL)
        canvas.text(left, top + 27, note, style.LABEL, style.MUTED)
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


def _maps_header(result: StreamsResult, scale: Scale, paper: int) -> Header:
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


_SIDE: Final = 300
_LEAST: Final = 170
_BETWEEN: Final = 14
_ABOVE: Final = 34
_BELOW: Final = 16
_CONFIDENCE: Final = Scale(0.0, 1.0, "sequential", False)
_BLACK: Final = ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))


def streams_figure(result: StreamsResult) -> Figure:
    """Draw what a dense network's streams say of an image.

    Parameters
    ----------
    result : StreamsResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels; the Axes labelled ``"scale"`` is the colour bar. Streams of classes:
        the image, each stream's classes and the truth; below, a row each for what changed from one stream to the
        next, for each stream's confidence and, with a truth, for its mistakes. Streams of one map: the image and the
        maps.
    """
    with style.style():
        return _draw(result) if result.form == "classes" else stream_maps_figure(result)


def _draw(result: StreamsResult) -> Figure:
    columns = 1 + len(result.names) + (result.truth is not None)
    shape = (result.image.shape[0], result.image.shape[1])
    room = (style.LARGEST - 2 * MARGIN + _BETWEEN) // columns - _BETWEEN
    width, height = fitted(shape, max(40, min(_SIDE, room)))
    column = max(width, min(_LEAST, room))
    paper = max(2 * MARGIN + columns * (column + _BETWEEN) - _BETWEEN, 720)
    head, key = _header(result, paper), _legend(result, paper - 2 * MARGIN)
    rows = 2 + (len(result.names) > 1) + bool(result.taps) + (result.truth is not None)
    each = _ABOVE + height + _BELOW
    top = head.height + key.height + 10
    canvas = Canvas(paper, top + rows * each + MARGIN - _BELOW)
    head.draw(canvas)
    key.draw(canvas, MARGIN, head.height)
    sheet = _Sheet(canvas, top, each, column, (width, height), width < shape[1])
    sheet.place(0, 0, result.image, result.image_name, _size(result))
    for number, name in enumerate(result.names, start=1):
        sheet.place(0, number, class_colours(result.predicted(name)), name, "class with the highest score")
    if result.truth is not None:
        void = f"void {_percent(result.void_share)}, grey" if result.void_share else "nothing is void"
        sheet.place(0, columns - 1, class_colours(result.truth), "truth", void)
    row = 1
    faded = outside_pale(grey(result.image), np.zeros(shape, dtype=np.bool_))
    if len(result.names) > 1:
        sheet.say(row, "What each stream changed: the new class where it is another one, the rest faded.")
        for number, name in enumerate(result.names[1:], start=2):
            change = result.changed[name]
            picture = changed(result, str(change["from"]), name, faded)
            said = f"{_percent(change['share'])} of the pixels change class"
            sheet.place(row, number, picture, f"{change['from']} → {name}", said)
        row += 1
    if result.taps:
        sheet.say(row, "What each stream's own layer adds: the class that it scores highest, before the sum.")
        for number, name in enumerate(result.names, start=1):
            tap, grid = result.taps[name], result.streams[f"added_{name}"].shape[1:]
            said = f"{grid[0]}{TIMES}{grid[1]} positions, every {tap['stride']} pixels"
            sheet.place(row, number, class_colours(result.added(name)), f"scores of {tap['layer']}", said)
        row += 1
    sheet.say(row, "How sure each stream is: the share that softmax gives to its class.")
    for number, name in enumerate(result.names, start=1):
        sure = result.confidence(name)
        mean = f"mean {float(sure.mean()):.2f}"
        sheet.place(row, number, sure, f"confidence of {name}", mean, _CONFIDENCE)
    if result.truth is not None:
        sheet.say(row + 1, "Where each stream disagrees with the truth: wrong pixels red, void ones grey.")
        for number, name in enumerate(result.names, start=1):
            score = result.scores[name]
            said = "no pixel counts: all is void"
            if score["mean_iu"] is not None:
                right, united = _percent(score["pixel_accuracy"]), _percent(score["mean_iu"])
                said = f"pixel accuracy {right}, mean IU {united}"
            picture = _wrong(result.predicted(name), result.truth, faded)
            sheet.place(row + 1, number, picture, f"mistakes of {name}", said)
    sheet.finish()
    return canvas.figure


class _Sheet:
    """Pictures of one size in rows and columns, a title and a note above each."""

    def __init__(
        self, canvas: Canvas, top: int, each: int, column: int, size: tuple[int, int], smooth: bool
    ) -> None:
        self._canvas, self._top, self._each, self._column = canvas, top, each, column
        self._size, self._smooth = size, smooth
        self._boxes: list[Box] = []

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        return MARGIN + column * (self._column + _BETWEEN), self._top + row * self._each

    def place(
        self,
        row: int,
        column: int,
        pixels: Pixels | NDArray[np.float32],
        name: str,
        note: str,
        scale: Scale | None = None,
    ) -> None:
        """Place a picture; one of numbers in the colours of a scale."""
        left, top = self._corner(row, column)
        box = (left, top + _ABOVE, *self._size)
        if scale is None:
            self._canvas.image(pixels, box, smooth=self._smooth)
        else:
            colours = style.colour_map(scale.colours)
            self._canvas.image(pixels, box, colours, (scale.low, scale.high), smooth=self._smooth)
        self._boxes.append(box)
        name = words.shorten(name, self._column, style.CAPTION, bold=True)
        self._canvas.text(left, top + 12, name, style.CAPTION, weight="bold")
        note = words.shorten(note, self._column, style.LABEL)
        self._canvas.text(left, top + 27, note, style.LABEL, style.MUTED)

    def say(self, row: int, text: str) -> None:
        """Say what a row shows, where the first row has its image."""
        left, top = self._corner(row, 0)
        fits = max(1, int(self._size[1] // 15))
        for line, part in enumerate(words.wrap([text], self._column, style.CAPTION)[:fits]):
            y = top + _ABOVE + 12 + 16 * line
            self._canvas.text(left, y, part, style.CAPTION, style.MUTED)

    def finish(self) -> None:
        """Frame what was placed."""
        self._canvas.frames(self._boxes)


def _wrong(predicted: NDArray[np.intp], truth: NDArray[np.int32], faded: Pixels) -> Pixels:
    picture: Pixels = faded.copy()
    picture[(predicted != truth) & (truth >= 0)] = style.rgb(style.MARK)
    picture[truth < 0] = style.rgb(style.VOID)
    return picture


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _size(result: StreamsResult) -> str:
    height, width = result.image.shape[:2]
    own = (height, width) == tuple(result.original)
    return f"{width}{TIMES}{height} pixels, {'its own size' if own else 'resized'}"


def _legend(result: StreamsResult, width: int) -> Legend:
    """Name the classes that occur, in any stream or in the truth; of very many those with most pixels."""
    kept, more = held_classes(result)
    entries = [(class_colour(code), result.classes[code]) for code in kept]
    if more:
        entries.append((style.PAPER, f"and {more} more"))
    if result.void_share:
        entries.append((style.VOID, "void"))
    return legend(entries, width)


def _header(result: StreamsResult, paper: int) -> Header:
    height, width = result.image.shape[:2]
    count = len(result.classes)
    title = [result.network, f"streams {', '.join(result.names)}", result.image_name]
    grid = f"every stream on {height}{TIMES}{width} pixels (H{TIMES}W)"
    if (height, width) == tuple(result.original):
        grid += ", the image's own"
    else:
        grid += f", to which the image of {result.original[0]}{TIMES}{result.original[1]} was resized"
    caption = [f"{count} classes", grid]
    if count > len(style.CLASSES):
        caption.append(f"colours repeat after {len(style.CLASSES)} classes")
    if result.scores:
        caption.append("mean IU of this image, over the classes in its truth")
    note = ["confidence: the largest share of softmax", f"{1 / count:.2g} is the least there can be"]
    return header(title, caption, _CONFIDENCE, _BLACK, note, paper)
