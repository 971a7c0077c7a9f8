"""The picture of a unit's links: kernels, shares and patches of what it is built from and of what it feeds."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Box, Canvas, Head, bad_values, layer_name
from netviz.paper.scales import Scale, peak
from netviz.questions.links.result import LinksResult, Side

_LIMIT: Final = 1600
"""Pixels that blocks side by side take at most, unless a page says otherwise."""
_SIDE: Final = 46
_LARGE: Final = 64
_LEAST: Final = 34
"""Pixels of a row at least: two lines of letters."""
_MANY: Final = 7
"""Rows or columns from which a kernel is drawn larger."""
_BAR: Final = 190
_CLASS_BAR: Final = 120
_NAME: Final = 150
_GAP: Final = 4
_BETWEEN: Final = 34
_NARROW: Final = 300
_LINE: Final = 13
_CLASS_LINE: Final = 18
_OWN: Final = 56
_SCALE: Final = Scale(-1.0, 1.0, "diverging", True)


@dataclass(frozen=True)
class _Row:
    """One link: a unit, its kernel, its signed share, what is said of it, and its patches."""

    name: str
    kernel: NDArray[np.float64]
    share: float
    said: str
    patches: NDArray[np.uint8] | None
    filled: NDArray[np.bool_] | None
    remark: str = ""


@dataclass(frozen=True)
class _Block:
    """Links of one kind, best first."""

    heading: str
    notes: tuple[str, ...]
    rows: tuple[_Row, ...]
    side: int
    label: int
    patches: int
    peak: float
    least: int

    @property
    def width(self) -> int:
        patches = self.patches * (self.side + _GAP)
        return max(
            self.side + self.label + _BAR + 2 * _GAP + (patches + 2 * _GAP if patches else 0), self.least
        )

    def lines(self) -> list[str]:
        """Return the lines below the heading."""
        return words.wrap(self.notes, self.width, style.LABEL)

    @property
    def top(self) -> int:
        return 22 + _LINE * len(self.lines()) + 6

    @property
    def height(self) -> int:
        return self.top + len(self.rows) * (self.side + _GAP) + 10


@dataclass(frozen=True)
class _Classes:
    """The classes that a unit raises, and those that it lowers."""

    heading: str
    notes: tuple[str, ...]
    parts: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    largest: float
    width: int = 2 * _GAP + _NAME + _CLASS_BAR + 52

    def lines(self) -> list[str]:
        """Return the lines below the heading."""
        return words.wrap(self.notes, self.width, style.LABEL)

    @property
    def top(self) -> int:
        return 22 + _LINE * len(self.lines()) + 6

    @property
    def height(self) -> int:
        rows = sum(1 + max(1, len(rows)) for _, rows in self.parts)
        return self.top + rows * _CLASS_LINE + 24


def links_figure(result: LinksResult) -> Figure:
    """Draw the links of a unit, strongest first.

    Parameters
    ----------
    result : LinksResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels. Its images are the unit's own patches, then, link by link, the kernel
        and the patches: of what the unit is built from, by weights and, where a run was given, by typical activation,
        and of what it feeds. The Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: LinksResult) -> Figure:
    limit = page.widest() if page.given() else _LIMIT
    blocks = _blocks(result, limit - 2 * MARGIN)
    places, width, below = _placed(blocks, limit - 2 * MARGIN)
    paper = max(page.least(760), width + 2 * MARGIN)
    head = _head(result, blocks, paper)
    own = _own_patches(result, paper)
    above = 0 if own is None else _own_side() + 34
    canvas = Canvas(paper, head.height + above + below + MARGIN)
    head.draw(canvas)
    frames: list[Box] = []
    if own is not None:
        frames += _strip(canvas, result, own, head.height)
    for block, (left, top) in zip(blocks, places, strict=True):
        at = (left, top + head.height + above)
        if isinstance(block, _Classes):
            _draw_classes(canvas, block, at)
        else:
            frames += _draw_block(canvas, block, at)
    canvas.frames(frames)
    return canvas.figure


def _placed(blocks: list[_Block | _Classes], room: int) -> tuple[list[tuple[int, int]], int, int]:
    """Put blocks side by side as long as there is room, then below; return their corners, and width and height."""
    places: list[tuple[int, int]] = []
    left = top = tallest = widest = 0
    for block in blocks:
        if left and left + block.width > room:
            left, top, tallest = 0, top + tallest + 12, 0
        places.append((MARGIN + left, top))
        widest = max(widest, left + block.width)
        tallest = max(tallest, block.height)
        left += block.width + _BETWEEN
    return places, widest, top + tallest


def _blocks(result: LinksResult, room: int) -> list[_Block | _Classes]:
    found: list[_Block | _Classes] = [_side_block(result, "before", room)]
    if result.before_by_typical is not None:
        found.append(_side_block(result, "before", room, typical=True))
    if result.after is not None or result.class_weights is None:
        found.append(_side_block(result, "after", room))
    return [*found, *_classes(result)]


def _side_block(result: LinksResult, which: str, room: int, *, typical: bool = False) -> _Block:
    side: Side | None = getattr(result, which)
    verb = "built from" if which == "before" else "feeds"
    if side is None:
        return _Block(f"{verb}: not told", (getattr(result, f"{which}_missing"),), (), 0, 0, 0, 1.0, _NARROW)
    units: NDArray[np.int64] = getattr(result, f"{which}_by_{'typical' if typical else 'weight'}")
    shown: NDArray[np.int64] = getattr(result, f"{which}_units")
    whole = getattr(result, f"{which}_kernels")
    kernels = _without_holes(whole)
    patches, filled, turned = (getattr(result, f"{which}_{one}") for one in ("patches", "filled", "turned"))
    shares, sums = result.shares(which, typical), getattr(result, f"{which}_sums")
    large = max(page.side(_LARGE if max(kernels.shape[1:]) >= _MANY else _SIDE), _LEAST)
    rows = []
    for unit in units.tolist():
        at = int(np.flatnonzero(shown == unit)[0])
        said = _share(float(shares[unit]))
        remarks = ["turned"] if turned is not None and turned[at] else []
        if typical and result.before_typical is not None:
            remarks.insert(0, f"at {words.number(float(result.before_typical[unit]))}")
        rows.append(
            _Row(
                name=side.labels[unit] if side.labels else str(unit),
                kernel=kernels[at],
                share=float(shares[unit]) * (-1.0 if sums[unit] < 0 else 1.0),
                said=said,
                patches=None if patches is None else patches[at],
                filled=None if filled is None else filled[at],
                remark=", ".join(remarks),
            )
        )
    named = [words.width(row.name, style.CAPTION, bold=True) for row in rows]
    named += [words.width(row.remark, style.SMALL) for row in rows]
    label = int(min(max(named, default=0), _NAME)) + 16
    held = (room - large - label - _BAR - 4 * _GAP) // (large + _GAP)
    count = 0 if patches is None or filled is None else min(patches.shape[1], max(1, held))
    called = layer_name(side.layer, side.alias)
    heading = f"{verb} {called}" + (", by activation" if typical else "")
    notes = _notes(result, which, side, len(rows), float(shares[units].sum()), typical)
    if whole.shape[1:] != (1, 1) and not typical:
        size = words.TIMES.join(map(str, whole.shape[1:]))
        holes = ", without the rows and columns between in which nothing is" if kernels is not whole else ""
        notes = (*notes, f"kernels of {size}{holes}")
    least = max(_NARROW, min(room, math.ceil(words.width(heading, style.LABEL, bold=True))))
    return _Block(heading, notes, tuple(rows), large, label, count, peak(kernels) or 1.0, least)


def _without_holes(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return kernels without the rows and columns that dilation leaves empty, where these are most of all."""
    rows, columns = ((kernels != 0).any(axis=axes) for axes in ((0, 2), (0, 1)))
    if 2 * rows.sum() > len(rows) or 2 * columns.sum() > len(columns) or not rows.any():
        return kernels
    return kernels[:, rows][:, :, columns]


def _share(share: float) -> str:
    return words.percent(share) if np.isfinite(share) else "NaN"


def _notes(
    result: LinksResult, which: str, side: Side, count: int, share: float, typical: bool
) -> tuple[str, ...]:
    if typical:
        return (
            "weights times typical activation, the number below a unit: the largest absolute value from the 0.01 "
            "to the 0.99 quantile",
            f"of {', '.join(side.typical_of[:3])}{', …' if len(side.typical_of) > 3 else ''} in the run",
            f"{count} of {side.channels} units have {_share(share)}",
        )
    of = "its links" if which == "after" else "all"
    notes = [f"{count} of {side.channels} units have {_share(share)} of {of}"]
    if side.at:
        notes.append(f"weights {'enter' if which == 'before' else 'leave'} {side.at}")
    if side.opened:
        some = ", ".join(side.opened[:3]) + (
            f" and {len(side.opened) - 3} more" if len(side.opened) > 3 else ""
        )
        notes.append(f"as if {some} were not there")
    if side.also:
        some = ", ".join(side.also[:2]) + (f" and {len(side.also) - 2} more" if len(side.also) > 2 else "")
        notes.append(f"also {'built from' if which == 'before' else 'feeds'} {some}")
    if side.whole:
        notes.append("a kernel is of all the map")
    if side.phased:
        notes.append("positions of the map have not all this kernel: it is enlarged on the way")
    if side.cut:
        notes.append("the map is too small for the kernel, which is cut; give a larger --size")
    turned = getattr(result, f"{which}_turned")
    if turned is not None and turned.any():
        notes.append("“turned”: a negative scale follows, so the patches are of its opposite")
    return tuple(notes)


def _classes(result: LinksResult) -> list[_Classes]:
    weights = result.class_weights
    if weights is None:
        return []
    largest = max((abs(float(weights[one.number])) for one in (*result.raised, *result.lowered)), default=1.0)
    plural = "classes" if result.called == "class" else "channels"
    parts = tuple(
        (word, tuple((f"{one.number} {one.name}".strip(), float(weights[one.number])) for one in some))
        for word, some in (("raises", result.raised), ("lowers", result.lowered))
    )
    notes = (f"out of {len(weights)}: what a score gains if the unit is larger by 1 all over its map",)
    return [_Classes(f"{plural} whose scores it raises, and lowers", notes, parts, largest or 1.0)]


def _colour(negative: bool) -> Any:
    red, green, blue, _ = style.colour_map("diverging")(0.12 if negative else 0.88)
    return (float(red), float(green), float(blue))


def _heading(canvas: Canvas, block: _Block | _Classes, at: tuple[float, float]) -> float:
    left, top = at
    canvas.heading(left, top + 12, block.heading, block.width)
    y = top + 27
    for line in block.lines():
        canvas.text(left, y, line, style.LABEL, style.MUTED)
        y += _LINE
    return top + block.top


def _draw_block(canvas: Canvas, block: _Block, at: tuple[float, float]) -> list[Box]:
    """Draw the links of one kind; return the boxes to be framed."""
    left, y = at[0], _heading(canvas, block, at)
    frames: list[Box] = []
    largest = max((abs(row.share) for row in block.rows if np.isfinite(row.share)), default=0.0) or 1.0
    zero = left + block.side + block.label + _GAP + _BAR / 2
    longest = _BAR / 2 - max((words.width(row.said, style.SMALL) for row in block.rows), default=0.0) - 6
    bars = []
    for row in block.rows:
        box = _kernel_box(row.kernel.shape, (left, y), block.side)
        canvas.values(row.kernel, box, _SCALE, block.peak)
        frames.append(box)
        middle = y + block.side / 2
        canvas.text(
            left + block.side + 8,
            middle + (2 if row.remark else 4),
            row.name,
            style.CAPTION,
            room=block.label - 8,
            weight="bold",
        )
        if row.remark:
            canvas.text(left + block.side + 8, middle + 16, row.remark, style.SMALL, style.MUTED)
        if np.isfinite(row.share):
            length = row.share / largest * longest
            bars.append(((zero, middle, zero + length, middle), _colour(row.share < 0)))
            at_end = zero + length + (-5 if row.share < 0 else 5)
            side = "right" if row.share < 0 else "left"
            canvas.text(at_end, middle + 4, row.said, style.SMALL, style.MUTED, ha=side)
        else:
            canvas.text(zero + 5, middle + 4, row.said, style.SMALL, style.MUTED)
        if row.patches is not None and row.filled is not None:
            x = left + block.side + block.label + _BAR + 4 * _GAP
            frames += _draw_patches(canvas, row.patches[: block.patches], row.filled, (x, y), block.side)
        y += block.side + _GAP
    canvas.lines(bars, 11.0)
    if block.rows:
        canvas.lines([((zero, at[1] + block.top, zero, y - _GAP), style.FAINT)])
    return frames


def _kernel_box(shape: tuple[int, ...], corner: tuple[float, float], side: int) -> Box:
    """Return where a kernel is drawn: as large as its row, its weights square."""
    zoom = side / max(shape)
    wide, high = shape[1] * zoom, shape[0] * zoom
    return corner[0] + (side - wide) / 2, corner[1] + (side - high) / 2, wide, high


def _draw_patches(
    canvas: Canvas,
    pixels: NDArray[np.uint8],
    filled: NDArray[np.bool_],
    corner: tuple[float, float],
    side: int,
) -> list[Box]:
    frames: list[Box] = []
    for place, patch in enumerate(pixels):
        if filled[place]:
            box = (corner[0] + place * (side + _GAP), corner[1], side, side)
            canvas.image(patch, box, smooth=True)
            frames.append(box)
    return frames


def _draw_classes(canvas: Canvas, block: _Classes, at: tuple[float, float]) -> None:
    left, y = at[0], _heading(canvas, block, at)
    bars = []
    start = left + _NAME + 2 * _GAP
    for word, rows in block.parts:
        canvas.text(left, y + 12, word if rows else f"{word} none", style.LABEL, style.MUTED)
        y += _CLASS_LINE
        for name, weight in rows:
            canvas.text(left, y + 12, name, style.LABEL, room=_NAME)
            length = abs(weight) / block.largest * _CLASS_BAR
            bars.append(((start, y + 8, start + length, y + 8), _colour(weight < 0)))
            canvas.text(start + length + 5, y + 12, words.number(weight), style.SMALL, style.MUTED)
            y += _CLASS_LINE
        y += 10
    canvas.lines(bars, 10.0)


def _own_side() -> int:
    return max(page.side(_OWN), _LEAST)


def _own_patches(result: LinksResult, paper: int) -> NDArray[np.uint8] | None:
    if result.unit_patches is None or result.unit_filled is None or not result.unit_filled.any():
        return None
    held = (paper - 2 * MARGIN + _GAP) // (_own_side() + _GAP)
    return result.unit_patches[: max(1, held)]


def _strip(canvas: Canvas, result: LinksResult, pixels: NDArray[np.uint8], top: int) -> list[Box]:
    assert result.unit_filled is not None
    canvas.heading(MARGIN, top + 8, f"unit {result.unit}: its strongest patches", canvas.width - 2 * MARGIN)
    return _draw_patches(canvas, pixels, result.unit_filled, (MARGIN, top + 16), _own_side())


def _head(result: LinksResult, blocks: list[_Block | _Classes], paper: int) -> Head:
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        f"links of unit {result.unit}",
    ]
    caption = [
        "expanded weights: convolutions, normalizations, sums and concatenations between two units multiplied out, "
        "biases left out",
        "a bar is the kernel's share: its L2 norm over the sum of those of all units; to the right, red: the "
        "kernel's sum is positive",
    ]
    if result.through:
        caption.append(f"up to {words.counted(result.through, 'non-linear step')} on a way taken as open")
    if result.run:
        caption.append(f"patches out of the run {result.run}")
    drawn = (row.kernel for block in blocks if isinstance(block, _Block) for row in block.rows)
    bad = sum(int((~np.isfinite(kernel)).sum()) for kernel in drawn)
    caption += bad_values(bad)
    note = ["share of the largest weight in each column of kernels", _SCALE.note]
    return Head.of(title, caption, paper, (_SCALE, note), warnings=result.doubts)
