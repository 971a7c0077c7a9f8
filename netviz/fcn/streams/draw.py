"""The picture of a dense network's streams: classes, what each skip changed, how sure and how wrong each is.

Streams of one map each, such as the side outputs of an edge detector, are drawn coarse to fine.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.fcn.streams.result import StreamsResult
from netviz.paper import page, style, words
from netviz.paper.classes import Legend, class_colour, class_colours, legend, palette
from netviz.paper.layout import MARGIN, Box, Canvas, Head, Panels, fit
from netviz.paper.regions import grey, pale
from netviz.paper.scales import Floats, Pixels, Scale, finite_range, scale_for
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
        The streams first. Classes have the colours of `palette`, maps those of `stream_scale`.
    """
    if result.form == "classes":
        faded, colours = pale(grey(result.image)), palette(result.classes)
        found = [Raster(name, "", class_colours(result.predicted(name), colours)) for name in result.names]
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
    picture[other] = class_colours(new, palette(result.classes))[other]
    return picture


def held_classes(result: StreamsResult, added: bool = False) -> tuple[list[int], int]:
    """Return the classes that occur in any stream or in the truth, and how many more there are.

    Of very many those with most pixels are kept, in the order of their numbers. With `added`, what each stream's own
    layer scores highest is looked at as well.
    """
    pictures = [result.predicted(name).ravel() for name in result.names]
    if added:
        pictures += [result.added(name).ravel() for name in result.taps]
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
        return scale_for(0.0, 1.0)
    return scale_for(*finite_range(np.concatenate([stream_map(result, one).ravel() for one in result.names])))


_MAPS_SIDE: Final = 400
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
    room = (page.widest() - 2 * MARGIN + _BETWEEN) // columns - _BETWEEN
    width, height = fit(shape, _MAPS_SIDE, whole=False, room=room)
    panels = Panels((width, height), columns, max(width, _LEAST), _BETWEEN, _ABOVE, _BELOW)
    paper = max(panels.paper, page.least(620))
    head = _maps_header(result, scale, paper)
    canvas = Canvas(paper, head.height + panels.height(count) - _BELOW + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(number, head.height) for number in range(count)]
    panels.draw(canvas, boxes[0], result.image, result.image_name, _size(result))
    for box, (name, values) in zip(boxes[1:], maps.items(), strict=True):
        panels.draw(canvas, box, values, name, _note(result, values), scale)
    canvas.frames(boxes)
    return canvas.figure


def _note(result: StreamsResult, values: Floats) -> str:
    if result.form == "edges":
        return f"{100 * float((values > 0.5).mean()):.1f} % of the pixels above 0.5"
    low, high = finite_range(values)
    return f"{words.number(low)} … {words.number(high)}"


def _maps_header(result: StreamsResult, scale: Scale, paper: int) -> Head:
    plural = "streams" if len(result.names) > 1 else "output"
    title = [result.network, f"{plural} {', '.join(result.names)}", result.image_name]
    alone = f"output {result.output}" if result.output else "one output"
    caption = ["coarse to fine" if len(result.names) > 1 else alone, f"every map {_grid(result)}"]
    caption += words.padded(result.padded)
    if result.form == "edges":
        what = result.classes[0] if result.classes else "edge"
        note = [f"sigmoid of the logit: how likely a pixel is {'an' if what[:1] in 'aeiou' else 'a'} {what}"]
    else:
        note = ["output of the network, one scale for all"]
    return Head.of(title, caption, paper, (scale, [*note, scale.note]), warnings=result.doubts)


def _grid(result: StreamsResult) -> str:
    """Say on how many pixels streams lie, and whether these are the image's own."""
    height, width = result.image.shape[:2]
    grid = f"on {height}{TIMES}{width} pixels (H{TIMES}W)"
    if (height, width) == tuple(result.original):
        return f"{grid}, the image's own"
    return f"{grid}, to which the image of {result.original[0]}{TIMES}{result.original[1]} was resized"


_SIDE: Final = 300
_LEAST: Final = 170
_BETWEEN: Final = 14
_ABOVE: Final = 34
_BELOW: Final = 16
_CONFIDENCE: Final = scale_for(0.0, 1.0)


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
    room = (page.widest() - 2 * MARGIN + _BETWEEN) // columns - _BETWEEN
    width, height = fit(shape, _SIDE, room=max(40, room))
    panels = Panels((width, height), columns, max(width, min(_LEAST, room)), _BETWEEN, _ABOVE, _BELOW)
    paper = max(panels.paper, page.least(720))
    head, key = _header(result, paper), _legend(result, paper - 2 * MARGIN)
    rows = 2 + (len(result.names) > 1) + bool(result.taps) + (result.truth is not None)
    top = head.height + key.height + 10
    canvas = Canvas(paper, top + rows * panels.each + MARGIN - _BELOW)
    head.draw(canvas)
    key.draw(canvas, MARGIN, head.height)
    boxes: list[Box] = []

    def place(
        row: int, column: int, pixels: NDArray[Any], name: str, note: str, scale: Scale | None = None
    ) -> None:
        boxes.append(panels.box(row * columns + column, top))
        panels.draw(canvas, boxes[-1], pixels, name, note, scale)

    def say(row: int, text: str) -> None:
        """Say what a row shows, where the first row has its image."""
        left, y, _, _ = panels.box(row * columns, top)
        most = max(1, height // 15)
        canvas.paragraph(left, y + 12, [text], style.CAPTION, panels.column, step=16, most=most)

    colours = palette(result.classes)
    place(0, 0, result.image, result.image_name, _size(result))
    for number, name in enumerate(result.names, start=1):
        place(0, number, class_colours(result.predicted(name), colours), name, "class with the highest score")
    if result.truth is not None:
        void = f"void {words.percent(result.void_share)}, grey" if result.void_share else "nothing is void"
        place(0, columns - 1, class_colours(result.truth, colours), "truth", void)
    row = 1
    faded = pale(grey(result.image))
    if len(result.names) > 1:
        say(row, "What each stream changed: the new class where it is another one, the rest faded.")
        for number, name in enumerate(result.names[1:], start=2):
            change = result.changed[name]
            picture = changed(result, str(change["from"]), name, faded)
            said = f"{words.percent(change['share'])} of the pixels change class"
            place(row, number, picture, f"{change['from']} → {name}", said)
        row += 1
    if result.taps:
        where = f" Strides are in pixels of the network's input, {_seen(result)}." if _seen(result) else ""
        say(
            row,
            f"What each stream's own layer adds: the class that it scores highest, before the sum.{where}",
        )
        for number, name in enumerate(result.names, start=1):
            tap, grid = result.taps[name], result.streams[f"added_{name}"].shape[1:]
            said = f"{grid[0]}{TIMES}{grid[1]} positions, every {tap['stride']} pixels"
            place(row, number, class_colours(result.added(name), colours), f"scores of {tap['layer']}", said)
        row += 1
    say(row, "How sure each stream is: the share that softmax gives to its class.")
    for number, name in enumerate(result.names, start=1):
        sure = result.confidence(name)
        mean = f"mean {float(sure.mean()):.2f}"
        place(row, number, sure, f"confidence of {name}", mean, _CONFIDENCE)
    if result.truth is not None:
        say(row + 1, "Where each stream disagrees with the truth: wrong pixels red, void ones grey.")
        for number, name in enumerate(result.names, start=1):
            score = result.scores[name]
            said = "no pixel counts: all is void"
            right, united = score["pixel_accuracy"], score["mean_iu"]
            if right is not None and united is not None:
                said = f"pixel accuracy {100 * right:.1f} %, mean IU {100 * united:.1f} %"
            picture = _wrong(result.predicted(name), result.truth, faded)
            place(row + 1, number, picture, f"mistakes of {name}", said)
    canvas.frames(boxes)
    return canvas.figure


def _wrong(predicted: NDArray[np.intp], truth: NDArray[np.int32], faded: Pixels) -> Pixels:
    picture: Pixels = faded.copy()
    picture[(predicted != truth) & (truth >= 0)] = style.rgb(style.MARK)
    picture[truth < 0] = style.rgb(style.VOID)
    return picture


def _size(result: StreamsResult) -> str:
    height, width = result.image.shape[:2]
    own = (height, width) == tuple(result.original)
    return f"{width}{TIMES}{height} pixels, {'its own size' if own else 'resized'}"


def _seen(result: StreamsResult) -> str:
    """Say at which size the network saw the image, where streams are on other pixels."""
    size = result.input_size
    return "" if size in (None, result.image.shape[:2]) else TIMES.join(map(str, size))


def _legend(result: StreamsResult, width: int) -> Legend:
    """Name the classes that occur in any row; of very many those with most pixels."""
    kept, more = held_classes(result, added=True)
    colours = palette(result.classes)
    entries = [(class_colour(code, colours), result.classes[code]) for code in kept]
    if more:
        entries.append((style.PAPER, f"and {more} more"))
    if result.void_share:
        entries.append((style.VOID, "void"))
    return legend(entries, width)


def _header(result: StreamsResult, paper: int) -> Head:
    count = len(result.classes)
    title = [result.network, f"streams {', '.join(result.names)}", result.image_name]
    chosen = [f"output {result.output}"] if result.output else []
    taken = (
        "classes" if result.called == "class" else "channels, taken for classes: nothing says what they are"
    )
    caption = [*chosen, f"{count} {taken}", f"every stream {_grid(result)}"]
    if _seen(result):
        caption.append(f"the network saw the image at {_seen(result)}")
    caption += words.padded(result.padded)
    colours = len(set(palette(result.classes)))
    if colours < count:
        caption.append(f"{colours} colours for {count} classes: some repeat")
    if result.scores:
        caption.append("mean IU of this image, over the classes in its truth")
    note = ["confidence: the largest share of softmax", f"{1 / count:.2g} is the least there can be"]
    return Head.of(title, caption, paper, (_CONFIDENCE, note), warnings=result.doubts)
