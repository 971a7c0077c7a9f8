"""The picture of votes: the units that vote most for a class and against it, where they do, and what they carry."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.interpolation import linear_weights
from netviz.paper import page, style, words
from netviz.paper.layout import (
    MARGIN,
    Box,
    Canvas,
    Head,
    Panels,
    bad_values,
    fit,
    layer_name,
    placed,
    seen_size,
)
from netviz.paper.regions import grey, over_grey
from netviz.paper.scales import Floats, Scale, peak
from netviz.questions.votes.result import VotesResult

_IMAGE: Final = 240
_TILE: Final = 112
_LEAST: Final = 150
_GAP: Final = 4
_BETWEEN: Final = 18
_ABREAST: Final = 3
_HEADING: Final = 26
_UNDER: Final = 3 * 14 + 8
_READ: Final = 160
"""Pixels of a line below a unit on a narrow page."""
_CLOSE: Final = (8, 2 * 14 + 6)
"""Pixels above and below a unit there."""
_OPACITY: Final = 0.65


def votes_figure(result: VotesResult) -> Figure:
    """Draw the image and, for the units that vote most for the class and against it, where and how much.

    Parameters
    ----------
    result : VotesResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, then, for each unit, the image in grey, the unit's
        contributions over it, and its patch; the Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: VotesResult) -> Figure:
    shape = result.image.shape
    parts = _parts(result)
    narrow = page.narrow()
    wide, tall = fit(shape, _IMAGE)
    named = max(wide, _LEAST)
    if narrow:
        # Two abreast that fill the page: twice the usual sides, as no height makes these shorter than half.
        paper = page.widest()
        named = paper - 2 * MARGIN
        abreast = 2 if named >= 2 * _READ + _BETWEEN else 1
        room = (named - (abreast - 1) * _BETWEEN) // abreast
        wide, tall = fit(shape, 2 * _IMAGE, room=room)
        longest = int((room - _GAP) / (1 + shape[1] / max(shape[:2])))
        tile = fit(shape, 2 * _TILE, whole=False, room=min(longest, _TILE))
        above, below = _CLOSE
        panels = Panels((room, max(tile)), abreast, room, _BETWEEN, above=above, below=below)
    else:
        tile = fit(shape, _TILE, whole=False)
        left = MARGIN + named + 30
        pair = tile[0] + _GAP + max(tile)
        panels = Panels((pair, max(tile)), _ABREAST, max(pair, _LEAST), _BETWEEN, below=_UNDER, left=left)
        paper = max(page.least(640), panels.paper)
    left = panels.left
    values = contributions(result, tile)
    scale = Scale(-1.0, 1.0, "diverging", per_tile=True)
    head = _header(result, scale, paper)
    image_height = tall + 2 * 14 + 12
    begin = head.height - 4 + (image_height + 6 if narrow else 0)
    heights = [_HEADING + panels.height(len(numbers)) for _, numbers in parts]
    bottom = max(begin + sum(heights), head.height + image_height)
    canvas = Canvas(paper, bottom + MARGIN - 8)
    head.draw(canvas)
    box = (MARGIN, head.height, wide, tall)
    canvas.image(result.image, box)
    canvas.text(MARGIN, head.height + tall + 16, result.image_name, style.CAPTION, room=named)
    canvas.paragraph(MARGIN, head.height + tall + 31, [seen_size(result.image)], style.LABEL, named)
    frames: list[Box] = [box]
    pale = grey(result.image)
    top = begin
    for (title, numbers), height in zip(parts, heights, strict=True):
        canvas.heading(left, top + 16 + panels.above, title, paper - left - MARGIN)
        for at, number in enumerate(numbers):
            frames += _unit(
                canvas, result, panels, panels.box(at, top + _HEADING), number, pale, values[number], scale
            )
        top += height
    canvas.frames(frames)
    return canvas.figure


def _parts(result: VotesResult) -> list[tuple[str, range]]:
    """Return the headings, and which of the units shown stand below each."""
    named = words.shorten(result.name, 360, style.CAPTION, bold=True)
    count, first = len(result.units), result.supporting
    largest = result.share[result.units[:1]]
    silent = bool(first) and not largest.any()
    return [
        (heading, numbers)
        for heading, numbers in (
            ("no unit has a share" if silent else f"for {named}", range(first)),
            (f"against {named}", range(first, count)),
        )
        if numbers
    ]


def contributions(result: VotesResult, size: tuple[int, int]) -> Floats:
    """Return where each unit shown votes, at the pixels of a picture of the image, width and height: (K, h, w).

    Between the centres of positions it is read linearly; maps without a place are spread evenly.
    """
    height, width = result.image.shape[:2]
    weights = []
    for axis, (length, pixels) in enumerate(((height, size[1]), (width, size[0]))):
        positions = result.contributions.shape[1 + axis]
        at = (np.arange(pixels) + 0.5) * length / pixels - 0.5
        if result.center is None or result.step is None:
            places = (at + 0.5) * positions / length - 0.5
        else:
            places = (at - result.center[axis]) / result.step[axis]
        weights.append(linear_weights(places, positions))
    down, across = weights
    found: Floats = down @ result.contributions.astype(np.float64) @ across.T
    return found


def _unit(
    canvas: Canvas,
    result: VotesResult,
    panels: Panels,
    box: Box,
    number: int,
    pale: NDArray[np.uint8],
    values: Floats,
    scale: Scale,
) -> list[Box]:
    """Draw one unit; return the boxes to be framed."""
    left, top, _, side = box
    height, width = values.shape
    over: Box = (left, top, width, height)
    canvas.image(pale, over)
    canvas.values(values, over, scale, peak(values)).set_alpha(_OPACITY)
    up, begin, down, end = result.boxes[number].tolist()
    mark = placed((up, begin, down - up, end - begin), over, result.image.shape)
    canvas.frames([mark], colour=style.PAPER, line=2.6, out=-0.5)
    canvas.frames([mark], colour=style.INK, line=1.2, out=-0.5)
    cut = result.image[up:down, begin:end]
    longest = max(cut.shape[:2])
    across, high = (max(1, round(length * side / longest)) for length in (cut.shape[1], cut.shape[0]))
    patch: Box = (left + width + _GAP, top, across, high)
    canvas.image(cut, patch)
    unit = int(result.units[number])
    share, becomes = said_of(result, unit)
    if panels.below >= _UNDER:
        panels.write_below(canvas, box, f"unit {unit}", [share, becomes], 2)
    else:
        room = panels.column + _BETWEEN - 6
        for y, line, sizes, colour in (
            (15, f"unit {unit}: {share}", (style.CAPTION, style.LABEL), style.INK),
            (29, becomes, (style.LABEL, style.SMALL), style.MUTED),
        ):
            size = sizes[words.width(line, sizes[0]) > room]
            canvas.text(left, top + side + y, line, size, colour, room=room)
    return [over, patch]


def said_of(result: VotesResult, unit: int) -> list[str]:
    """Say in two lines what a unit carries."""
    share, drop = float(result.share[unit]), float(result.drop[unit])
    sign = "+" if share > 0 else ""
    without = "without it" if result.to == "zero" else "at its mean"
    if not np.isfinite(drop) or not drop:
        becomes = f"score the same {without}" if not drop else f"score not finite {without}"
    else:
        falls = "falls by" if drop > 0 else "rises by"
        becomes = f"score {falls} {words.number(abs(drop))} {without}"
    return [f"share {sign}{words.number(share)}", becomes]


def _header(result: VotesResult, scale: Scale, paper: int) -> Head:
    title = [
        result.network,
        f"votes for {result.name}",
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        result.image_name,
    ]
    share = result.share.astype(np.float64)
    up, down = share[share > 0], share[share < 0]
    caption = [
        words.scored(result.label, result.class_index, result.called, result.predicted),
        f"score {words.number(result.score)} ({result.score_of})",
        *(["the last layer whose maps are larger than 1×1"] if result.chosen else []),
        f"{words.counted(len(up), 'unit')} of {result.channels} for it, together +{words.number(float(up.sum()))}; "
        f"{words.counted(len(down), 'unit')} against it, {words.number(float(down.sum()))}",
        _adding_up(result, float(share.sum())),
        f"without it: the unit is {'0' if result.to == 'zero' else 'the mean of its map'} everywhere",
        *([] if not result.beside.any() else [_beside(result)]),
        "patch: the field of the position that votes most"
        if result.patch_of == "field"
        else "patch: three positions around the one that votes most, as its field is not smaller than the image",
        *bad_values(int(np.count_nonzero(~np.isfinite(result.contributions)))),
    ]
    note = [
        "contribution of a position: activation × gradient of the score; max is each unit's own",
        "red votes for the class, blue against it",
        over_grey(_OPACITY),
        *([] if result.center is not None else ["positions are spread evenly over the image"]),
    ]
    return Head.of(title, caption, paper, (scale, note), warnings=result.doubts)


def _adding_up(result: VotesResult, total: float) -> str:
    parts = f"{words.number(total)} and {words.number(result.offset)} (all units 0)"
    if result.exact:
        return f"exact: the shares, {parts}, add up to the score"
    silent = words.number(result.offset)
    return f"first order: the shares sum up to {words.number(total)}; with all units 0 the score is {silent}"


def _beside(result: VotesResult) -> str:
    whole = float(np.abs(result.share.astype(np.float64)).sum())
    part = float(np.abs(result.beside.astype(np.float64)).sum())
    told = words.percent(min(1.0, part / whole) if whole else 0.0)
    return f"{told} of the shares are of tokens without a place in the image"
