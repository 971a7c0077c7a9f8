"""How units with their patches stand on a contact sheet: how large and how many abreast, also on a narrow page."""

from dataclasses import dataclass, replace
from typing import Final

from netviz.errors import OutputError
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN

_SIDES: Final = (160, 128, 112, 96, 80, 64, 56, 48, 40)
_NARROWEST: Final = 48
_NAMED: Final = 112
_ABREAST: Final = 12
FACTS: Final = 104
GAP: Final = 4
BETWEEN: Final = 14
APART: Final = 36
LINE: Final = 13
_ROOM: Final = 260
_ABOVE: Final = 18
BROKEN: Final = 330
"""Pixels of a line below which what stands above a unit's patches takes two."""
_NARROW_ROOM: Final = 440
_BESIDE: Final = 120
"""Pixels between a mean and its unit's values, and to the right of these, on a narrow page."""
_TINY: Final = 36
FAIR: Final = 56
"""Pixels of a patch up to which a narrow page rather has larger patches than means and values."""


@dataclass(frozen=True)
class Grid:
    """How units stand on the paper: in columns of blocks.

    Attributes
    ----------
    side : int
        Height and width of a patch in pixels.
    columns, rows : int
        Of blocks.
    lines, abreast : int
        Rows of a unit's patches, and how many stand in each.
    named : bool
        Whether there is room for the name of a patch's image below it.
    steps : int
        Of a histogram of values.
    twice : bool
        Whether something as large as a patch stands below it.
    above : int
        Pixels above a unit's patches in which its facts stand, on a narrow page; 0 where they stand beside.
    means : bool
        Whether there is room for means and values; on a narrow page they stand below the patches.
    """

    side: int
    columns: int
    rows: int
    lines: int
    abreast: int
    named: bool
    steps: int
    twice: bool = False
    above: int = 0
    means: bool = True

    @property
    def left(self) -> int:
        """Pixels to the left of the patches."""
        return 0 if self.above else FACTS

    @property
    def patches(self) -> int:
        """How many pixels a unit's patches take across."""
        return self.abreast * (self.side + GAP) - GAP

    def mean(self, left: int, top: int) -> tuple[int, int]:
        """Return where the mean stands of a unit whose block begins there."""
        if self.above:
            return left, top + self.above + self.lines * (self.cell + GAP)
        return left + FACTS + self.patches + BETWEEN, top

    @property
    def cell(self) -> int:
        """Pixels from the top of a patch to the end of what stands below it."""
        return self.shown + LINE * (2 if self.named else 1)

    @property
    def shown(self) -> int:
        """Pixels of a patch, and of what stands below it."""
        return 2 * self.side + GAP if self.twice else self.side

    @property
    def height(self) -> int:
        """Pixels from one unit to the next."""
        patches = self.lines * (self.cell + GAP)
        if self.above:
            return self.above + patches + (self.side + LINE + GAP if self.means else 0) + 8
        return max(patches, 5 * LINE) + 8

    @property
    def bar(self) -> int:
        """Pixels of one bar of a histogram."""
        return 3 if self.side >= 80 else 2

    @property
    def bars(self) -> int:
        """Pixels of a histogram."""
        return self.steps * self.bar

    @property
    def width(self) -> int:
        """Pixels that a unit takes across."""
        if self.above:
            return self.patches
        return FACTS + self.patches + BETWEEN + self.side + BETWEEN + self.bars


def arrange(count: int, top: int, steps: int, twice: bool) -> Grid:
    """Choose how units stand on the paper.

    Parameters
    ----------
    count, top, steps : int
        Units; patches of each; steps of their histograms.
    twice : bool
        Whether something as large stands below each patch.

    Raises
    ------
    OutputError
        If the paper does not hold them.
    """
    return (_stack if page.narrow() else _abreast)(count, top, steps, twice)


def _abreast(count: int, top: int, steps: int, twice: bool) -> Grid:
    """Choose the largest tiles with which all units fit on the paper."""
    most = 0
    held = (page.widest() - 2 * MARGIN - FACTS - 2 * BETWEEN - 3 * steps) // (_NARROWEST + GAP) - 1
    lines = -(-top // min(_ABREAST, max(1, held)))
    abreast = -(-top // lines)
    largest = page.side(160 if count <= 2 else 128 if count <= 6 else 96)
    for side in _SIDES:
        if side > largest:
            continue
        grid = Grid(side, 1, count, lines, abreast, side >= _NAMED, steps, twice)
        across = (page.widest() - 2 * MARGIN + APART) // (grid.width + APART)
        down = (page.highest() - _ROOM) // grid.height
        most = max(most, across * down)
        if count <= across * down:
            columns = -(-count // down)
            rows = -(-count // columns)
            return Grid(side, -(-count // rows), rows, lines, abreast, grid.named, steps, twice)
    if page.endless():
        # What is wanted at a width may be higher than a page: rather so than with letters that nobody can read.
        grid = Grid(_NARROWEST, 1, count, lines, abreast, False, steps, twice)
        across = max(1, (page.widest() - 2 * MARGIN + APART) // (grid.width + APART))
        return _bounded(replace(grid, columns=min(across, count), rows=-(-count // across)), top, count)
    raise _too_many(most, top, count)


def _stack(count: int, top: int, steps: int, twice: bool) -> Grid:
    """Choose tiles for a narrow page, one unit below the other, with a unit's facts above its patches.

    They are the largest with which all units fit on the page, else as small as they can be: then the picture is
    higher than the page.
    """
    room = page.widest() - 2 * MARGIN
    above = _ABOVE if room >= BROKEN else _ABOVE + LINE
    filling = {(room + GAP) // abreast - GAP for abreast in range(1, top + 1)}
    sides = sorted(
        {side for side in {*filling, *_SIDES} if _TINY <= side <= min(room, _SIDES[0])}, reverse=True
    )
    for means in (True, False):
        for side in sides or [max(room, 1)]:
            lines = -(-top // max(1, (room + GAP) // (side + GAP)))
            abreast = -(-top // lines)
            grid = Grid(side, 1, count, lines, abreast, side >= _NAMED, steps, twice, above, means)
            readable = side >= FAIR and side + _BESIDE + grid.bars <= room
            if (readable or not means) and count * grid.height <= page.highest() - _NARROW_ROOM:
                return grid
    if not page.endless():
        raise _too_many((page.highest() - _NARROW_ROOM) // grid.height, top, count)
    return _bounded(grid, top, count)


def _bounded(grid: Grid, top: int, count: int) -> Grid:
    """Refuse what no paper holds."""
    most = (style.LARGEST - _NARROW_ROOM) // grid.height * grid.columns
    if count > most:
        raise _too_many(most, top, count)
    return grid


def _too_many(most: int, top: int, count: int) -> OutputError:
    if most < 1:
        return OutputError(
            f"one picture of this size does not hold {top} patches of a unit; give it more room"
        )
    return OutputError(
        f"one picture holds at most {words.counted(most, 'unit')} of this layer ({top} patches each), not {count}; "
        f"choose some with --units, such as 0:{most}"
    )
