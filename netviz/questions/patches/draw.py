"""The contact sheet of a layer: for each unit the patches that excite it most."""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, layer_name
from netviz.paper.words import TIMES
from netviz.questions.patches.grid import APART, BETWEEN, BROKEN, FACTS, FAIR, GAP, LINE, Grid, arrange
from netviz.questions.patches.result import BackResult, PatchesResult
from netviz.questions.patches.tiles import (
    LEVEL,
    SHARE,
    Images,
    Tiles,
    cut_tiles,
    histogram,
    oversized,
    tell_unread,
)
from netviz.results.choose import choose_units

_HEADINGS: Final = 20


def patches_figure(
    result: PatchesResult,
    images: Images | None = None,
    *,
    units: int | str | Iterable[int] | None = None,
    back: tuple[BackResult, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Figure:
    """Draw a row for each unit: its patches, their mean, and how often which values occur.

    Parameters
    ----------
    result : PatchesResult
    images : callable
        Gives the pixels of an image by its number, such as `RunImages`.
    units : int, str or iterable of int, optional
        Which units, in this order; by default the first 16 that are not dead, or those that `back` has.
    back : (BackResult, str), optional
        What in the patches made units answer, and by which rule: drawn below each.
    tell : callable, optional
        Called with a line that counts the images that could not be read.

    Returns
    -------
    matplotlib.figure.Figure
        One Axes, the paper in pixels; its images are, for each unit, the patches, their mean and the histogram.

    Raises
    ------
    OutputError
        If there are no images, none of them can be read, or the paper does not hold the units.
    LayerError
        If a unit does not exist.

    Notes
    -----
    On a narrow page a unit's facts stand above its patches, mean and histogram below them; where these would leave
    the patches too small they are left out.
    """
    if images is None:
        raise OutputError(
            "the patches of a result are cut out of the run's images; draw the run's folder, or the .npz in it"
        )
    chosen = choose_units(units, result.channels, result.layer)
    if chosen is None:
        chosen = result.usual_units() if back is None else back[0].drawn_units.tolist()
    elif back is not None:
        lost = sorted(set(chosen) - set(back[0].drawn_units.tolist()))
        if lost:
            raise OutputError(
                f"what made unit {lost[0]} answer was not measured; run netviz patches --deconv again with "
                f"--deconv-units {','.join(map(str, sorted(chosen)))}"
            )
    top, steps = result.image.shape[1], result.histogram.shape[1]
    grid = arrange(len(chosen), top, steps, back is not None)
    tiles = cut_tiles(result, images, chosen, grid.side, mean=grid.means)
    tell_unread(tiles.reasons, tiles.read, tell)
    with style.style():
        return _draw(result, tiles, grid, units is not None, back)


def _draw(
    result: PatchesResult, tiles: Tiles, grid: Grid, asked: bool, back: tuple[BackResult, str] | None
) -> Figure:
    paper = 2 * MARGIN + grid.columns * (grid.width + APART) - APART
    paper = max(paper, page.least(640))
    head = _head(result, tiles, grid, asked, back, paper)
    canvas = Canvas(paper, head.height + _HEADINGS + grid.rows * grid.height + MARGIN - 8)
    head.draw(canvas)
    frames: list[Box] = []
    for column in range(grid.columns):
        left = MARGIN + column * (grid.width + APART)
        _headings(canvas, grid, left, head.height + 11, result.by)
        for row in range(grid.rows):
            number = column * grid.rows + row
            if number < len(tiles.units):
                top = head.height + _HEADINGS + row * grid.height
                frames += _unit(canvas, result, tiles, grid, number, left, top, back)
    canvas.frames(frames)
    return canvas.figure


def _headings(canvas: Canvas, grid: Grid, left: int, y: int, by: str) -> None:
    which = ("most relevant", "its relevance") if by == "relevance" else ("strongest", "the unit's value")
    said = f"{which[0]} patches, best first; below: {which[1]} there"
    mean, _ = grid.mean(0, 0)
    parts: tuple[tuple[int, int, str], ...] = (
        (0, FACTS - 4, "unit"),
        (FACTS, grid.patches, said),
        (mean, grid.side + BETWEEN - 2, "mean"),
        (mean + grid.side + BETWEEN, grid.bars + 10, "values"),
    )
    if grid.above:
        room = page.widest() - 2 * MARGIN
        parts = ((0, room, said if room >= BROKEN else f"best first; below: {which[1]} there"),)
    for x, room, text in parts:
        canvas.text(left + x, y, text, style.LABEL, style.MUTED, room=room)


def _unit(
    canvas: Canvas,
    result: PatchesResult,
    tiles: Tiles,
    grid: Grid,
    number: int,
    left: int,
    top: int,
    back: tuple[BackResult, str] | None,
) -> list[Box]:
    """Draw one unit; return the boxes to be framed."""
    unit = tiles.units[number]
    (_facts_above if grid.above else _facts)(canvas, result, unit, left, top)
    side, mean = grid.side, grid.mean(left, top)
    left, top = left + grid.left, top + grid.above
    frames: list[Box] = []
    for place in range(result.image.shape[1]):
        if not tiles.filled[number, place]:
            continue
        line, at = divmod(place, grid.abreast)
        x, y = left + at * (side + GAP), top + line * (grid.cell + GAP)
        frames.append(draw_tile(canvas, tiles, number, place, (x, y), 0, side))
        if back is not None:
            frames += _draw_back(canvas, tiles, back, number, place, (x, y + side + GAP))
        score = words.number_within(float(result.score[unit, place]), side + GAP - 3, style.SMALL)
        canvas.text(x, y + grid.shown + 10, score, style.SMALL, style.MUTED)
        if grid.named:
            name = tiles.names[number][place]
            canvas.text(x, y + grid.shown + 10 + LINE, name, style.SMALL, style.FAINT, room=side)
    if not tiles.filled[number].any():
        what = "dead: 0 at every position" if unit in result.dead else "no patch"
        canvas.text(left, top + side / 2, what, style.LABEL, style.MUTED)
    if not grid.means:
        return frames
    x, top = mean
    if (tiles.filled[number] & ~tiles.missing[number]).any():
        canvas.image(tiles.mean[number], (x, top, side, side))
        frames.append((x, top, side, side))
        if grid.above:
            canvas.text(x, top + side + 10, "mean", style.SMALL, style.MUTED)
    x += side + BETWEEN
    canvas.image(histogram(result, unit, side, grid.bar), (x, top, grid.bars, side))
    low, high = (words.number(float(result.quantiles[unit, at])) for at in (0, -1))
    if grid.above:
        for row, said in enumerate(("values", f"{low} … {high}")):
            canvas.text(x + grid.bars + 8, top + 12 + row * LINE, said, style.SMALL, style.MUTED)
        return frames
    y = top + side + 10
    # Nothing stands below the mean: two long numbers reach to there, not over each other.
    both = words.width(low, style.SMALL) + 6 + words.width(high, style.SMALL)
    canvas.text(x - max(0.0, both - grid.bars), y, low, style.SMALL, style.MUTED)
    canvas.text(x + grid.bars, y, high, style.SMALL, style.MUTED, ha="right")
    return frames


def _draw_back(
    canvas: Canvas,
    tiles: Tiles,
    back: tuple[BackResult, str],
    number: int,
    place: int,
    corner: tuple[float, float],
) -> list[Box]:
    """Draw what in a patch made the unit answer, as large as what the patch shows of its image; return its box."""
    result, rule = back
    pixels = result.of(rule, tiles.units[number], place)
    if pixels is None:
        return []
    top, left, bottom, right = tiles.inner[number, place].tolist()
    box = (corner[0] + left, corner[1] + top, right - left, bottom - top)
    canvas.image(pixels, box)
    return [box]


def draw_tile(
    canvas: Canvas, tiles: Tiles, number: int, place: int, corner: tuple[float, float], cut: int, tall: int
) -> Box:
    """Draw a patch, or say that its image is not there; return the box to be framed.

    Parameters
    ----------
    number, place : int
        Which of the tiles' units, and which of its patches.
    corner : (float, float)
        Left and top.
    cut, tall : int
        Which rows of the tile are drawn: `tall` of them, from `cut` on.
    """
    left, top = corner
    if tiles.missing[number, place]:
        said = ("image", "not found") if tiles.side >= FAIR else ("image", "not", "found")
        for row, word in enumerate(said):
            where = (left + tiles.side / 2, top + tall / 2 + 8 + 11 * (row - len(said) / 2))
            canvas.text(*where, word, style.SMALL, style.MUTED, ha="center")
    else:
        canvas.image(tiles.pixels[number, place, cut : cut + tall], (left, top, tiles.side, tall))
    first, begin, last, end = tiles.drawn[number, place].tolist()
    return left + begin, top + first - cut, end - begin, last - first


def _facts(canvas: Canvas, result: PatchesResult, unit: int, left: int, top: int) -> None:
    """Write a unit's number, and beside its patches what it does over all images."""
    canvas.heading(left, top + 9, str(unit))
    lines, state = _told(result, unit)
    for row, line in enumerate(lines):
        canvas.text(left, top + 22 + row * LINE, line, style.SMALL, style.MUTED)
    if state:
        where = (left, top + 22 + len(lines) * LINE)
        canvas.text(*where, state, style.SMALL, style.DUPLICATE, weight="bold")


def _facts_above(canvas: Canvas, result: PatchesResult, unit: int, left: int, top: int) -> None:
    """Write a unit's number above its patches, and beside it, or below, what it does over all images."""
    canvas.heading(left, top + 9, str(unit))
    lines, state = _told(result, unit)
    x = left + words.width(str(unit), style.CAPTION, bold=True) + 10
    if state:
        canvas.text(x, top + 9, state, style.SMALL, style.DUPLICATE, weight="bold")
        x += words.width(state, style.SMALL, bold=True) + 10
    y = top + 9
    if page.widest() - 2 * MARGIN < BROKEN:
        x, y = left, y + LINE
    canvas.text(x, y, " · ".join(lines), style.SMALL, style.MUTED)


def _told(result: PatchesResult, unit: int) -> tuple[list[str], str]:
    """Return what a unit does over all images, and whether it is dead or always on."""
    lines = [
        f"max {words.number(float(result.max[unit]))}",
        f"mean {words.number(float(result.mean[unit]))}",
        f"{words.percent(float(result.nonzero[unit]))} non-zero",
    ]
    return lines, "dead" if unit in result.dead else "always on" if unit in result.always_on else ""


def _head(
    result: PatchesResult,
    tiles: Tiles,
    grid: Grid,
    asked: bool,
    back: tuple[BackResult, str] | None,
    paper: int,
) -> Head:
    top = result.image.shape[1]
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        _which(result, top),
    ]
    each = f", at most {result.per_image} from an image" if result.per_image < top else ""
    if result.apart:
        each = ", several from one image where their fields overlap by less than a quarter"
    drawn = f"{len(tiles.units)} of {result.channels} units"
    if not asked and len(tiles.units) < result.channels:
        drawn = f"the first {drawn}{' that are not dead' if result.dead else ''}"
    caption = [drawn, f"patches out of {words.counted(result.images, 'image')}{each}", *_field(result)]
    caption += _inside(result, tiles)
    if result.rectified or result.dead:
        dead = f"{words.counted(len(result.dead), 'dead unit')} (0 everywhere)"
        always = f", {len(result.always_on) or 'none'} always on (never 0)" if result.rectified else ""
        caption.append(dead + always)
    if result.by == "relevance":
        caption.append(
            f"all values are relevance: the unit's value times the gradient of the score of {result.by_class} with "
            "respect to it"
        )
    notes: list[str] = [] if back is None else _said_back(*back, tiles, result.image.shape[1])
    if tiles.outlined:
        level = words.number(LEVEL)
        note = f"bright, outlined: the unit's map is above its {level} quantile"
        if tiles.halved:
            which = f"{tiles.halved} of {tiles.outlined}"
            note += f" (in {which} patches, where all or none is: above {words.number(SHARE)} of the score)"
        notes += [note, "interpolated linearly between the map's positions"]
    elif float(np.nanmax(np.where(tiles.filled, result.score[list(tiles.units)], -np.inf))) > 0:
        notes.append("no outline: a field holds too few positions of the map")
    if not tiles.filled.all():
        notes.append("an empty place: no further patch in which the unit is not 0")
    if tiles.margins:
        notes.append("hatched: the field goes on where the network saw no image")
    if not grid.means:
        notes.append("on a page so narrow the mean of the patches and the histogram of values are left out")
        return Head.of(title, [*caption, *notes], paper, warnings=result.doubts)
    notes.append("mean: of the patches shown, pixel by pixel")
    sampled = "all" if result.quantile_samples >= result.positions else f"{result.quantile_samples:,} sampled"
    notes.append(
        f"values: of {sampled} positions, in {result.histogram.shape[1]} equal steps from lowest to highest, counts "
        f"on a logarithmic scale; line: {words.number(LEVEL)} quantile"
    )
    return Head.of(title, [*caption, *notes], paper, warnings=result.doubts)


def _which(result: PatchesResult, top: int) -> str:
    """Say which patches these are, for a title."""
    if result.by == "relevance":
        first = "the patch" if top == 1 else f"the {top} patches"
        return f"{first} most relevant to {result.by_class}"
    return "the strongest patch" if top == 1 else f"the {top} strongest patches"


def _said_back(back: BackResult, rule: str, tiles: Tiles, top: int) -> list[str]:
    """Say what stands below the patches."""
    how = {"deconvnet": "a deconvnet", "guided": "guided backpropagation"}[rule]
    acts = ", ".join(f"{count} {name}" for name, count in back.rectifiers.items())
    left = ", ".join(f"{count} {name}" for name, count in back.others.items())
    acts = f" on {acts}" if acts else " (no rectifier runs before this layer, so by the plain gradient)"
    few = back.score.shape[1]
    which = "each patch" if few == top else "the best patch" if few == 1 else f"the best {few} patches"
    rows = np.flatnonzero(np.isin(back.drawn_units, tiles.units))
    places = [list(tiles.units).index(unit) for unit in back.drawn_units[rows].tolist()]
    shown = tiles.filled[places, :few]
    silent = int(
        np.count_nonzero(shown & (back.ends[back.rules.index(rule), rows][:, : shown.shape[1]] == 0))
    )
    return [
        f"below {which}: what in it made the unit answer, by {how}{acts}"
        + (f" ({left} keep their derivative)" if left else ""),
        "mid-grey is 0, brighter raises the unit, each by its own largest value; such pictures look much the same "
        "when weights are random (Adebayo et al., 2018)",
        *(
            [f"grey all over: the rule lets nothing through to {silent} of {int(shown.sum())} patches"]
            if silent
            else []
        ),
    ]


def _inside(result: PatchesResult, tiles: Tiles) -> list[str]:
    """Say which share of the patches shown does not lie inside the image, and whether that was asked for."""
    said = []
    beyond = result.beyond(tiles.units)
    if beyond is not None:
        outside, count = beyond
        most = "at most " if result.field_status == "upper_bound" and outside else ""
        said.append(
            f"fields that reach beyond the image: {most}{outside} of {count} ({words.percent(outside / count)})"
        )
    if result.inside:
        said.append("only those inside were searched; max, mean and values are of all positions")
    elif result.inside is None:
        said.append("all positions were searched: of this layer no field lies inside the image")
    return said


def _field(result: PatchesResult) -> list[str]:
    """Say what a patch is."""
    if result.field_size is None or result.field_status == "unknown":
        return ["a unit's field is not known: patches are all that the network saw"]
    if result.field_status == "global":
        return ["each unit sees the whole image"]
    size = TIMES.join(words.number(side) for side in result.field_size)
    most = "at most " if result.field_status == "upper_bound" else ""
    within = ", as far as the image goes" if any(oversized(result)) else ""
    return [
        f"a patch is the unit's field, {most}{size} pixels of the input{within}, cut from the original file with all "
        f"pixels that resizing mixed in"
    ]
