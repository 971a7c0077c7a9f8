"""For which page a picture is laid out: how wide it will be, how large its letters, of which aspect.

Letters have one size on the paper that pictures are counted on. Where they are to be larger beside the whole, the
rest becomes smaller: a drawer asks here how long a side is to be, how many columns stand abreast, and what the paper
holds.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from netviz.errors import OutputError
from netviz.paper.style import CAPTION, DPI, LARGEST, SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNITS: Final = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72}
_SLIDE: Final = 7.5
"""Height of a slide in inches."""
_TALLEST: Final = 1.4
"""Height / width up to which a picture may grow where it was not so tall before."""
_SHEET: Final = 9.0
"""Inches up to which a picture of a given width may grow in any case: what a printed page holds."""
_HALF: Final = 0.5
"""To which share of their length sides become shorter for a picture to be no higher, without an aspect asked for."""
LEAST: Final = 6.0
"""Points of the smallest letters where a width alone is asked for: what is drawn gives way, if it can."""
_SHARES: Final = (3.0, 2.5, 2.0, 1.6, 1.3, 1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2)
"""How long sides may be, as shares of the usual, the longest first."""


@dataclass(frozen=True)
class Page:
    """What a picture is wanted for.

    Attributes
    ----------
    width : float or None
        Inches; None for what the picture needs.
    font_size : float or None
        Of captions in points; titles and labels keep their proportion to them.
    aspect : float or None
        Width / height.
    """

    width: float | None = None
    font_size: float | None = None
    aspect: float | None = None


@dataclass(frozen=True)
class _Room:
    """What drawers are told: pixels of the paper, shares of the usual sides."""

    width: float = LARGEST
    height: float = LARGEST
    share: float = 1.0
    bound: bool = False
    """Whether the picture is for a page at all."""
    fixed: bool = False
    """Whether it may be no higher."""


_NONE: Final = _Room()
_ROOM: Final[ContextVar[_Room]] = ContextVar("room", default=_NONE)


def side(usual: float) -> int:
    """Return how long a side of a picture is that is usually so many pixels long."""
    return max(1, round(usual * _ROOM.get().share))


def widest() -> int:
    """Return how many pixels the paper may be wide."""
    return int(_ROOM.get().width)


def highest() -> int:
    """Return how many pixels the paper may be high."""
    return int(_ROOM.get().height)


def least(usual: int) -> int:
    """Return how wide the paper is at least: `usual` pixels, but for a narrower page."""
    return min(usual, widest())


def given() -> bool:
    """Tell whether a picture is to fill a page, not to be as large as it needs."""
    return _ROOM.get().bound


def endless() -> bool:
    """Tell whether a picture may be higher than its page, as only a width or the size of letters was asked for."""
    return given() and not _ROOM.get().fixed


def narrow() -> bool:
    """Tell whether two things that are usually side by side stand one below the other."""
    return widest() < 600


def aspect(usual: float) -> float:
    """Return the width / height at which a sheet fills the page; `usual` where none is asked for."""
    room = _ROOM.get()
    return room.width / room.height if room.bound else usual


def columns(usual: int, column: float, between: float, margins: float) -> int:
    """Return how many columns of so many pixels stand abreast: `usual`, or as many as the page holds."""
    return max(1, min(usual, int((widest() - margins + between) // (column + between))))


def inches(length: str) -> float:
    """Read a length such as ``3.5in``, ``89mm``, ``8.9cm`` or ``252pt`` in inches.

    Raises
    ------
    ValueError
        If it is none, or not within 0.5 and 100 inches.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(in|cm|mm|pt)\s*", length)
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0.5 <= value <= 100:
        raise ValueError(
            f"{length!r} is no width; write pixels (1200) or a length: 3.5in, 89mm, 8.9cm, 252pt"
        )
    return value


def ratio(text: str | float) -> float:
    """Read an aspect, such as ``16:9`` or 1.6, as width / height.

    Raises
    ------
    ValueError
        If it is none, or not within 1:5 and 5:1.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*(?::\s*(\d+\.?\d*))?\s*", str(text))
    value = float(found[1]) / (float(found[2] or 1) or float("inf")) if found else 0.0
    if not 0.2 <= value <= 5:
        raise ValueError(f"{str(text)!r} is no aspect; write width:height, such as 16:9 or 4:3")
    return value


def lay_out(draw: Callable[[], "Figure"], page: Page) -> tuple["Figure", float]:
    """Draw a picture for a page.

    Parameters
    ----------
    draw : callable
        Draws it anew, as it is asked several times.
    page : Page

    Returns
    -------
    Figure
        Laid out as large as its letters of the usual size allow; of the aspect asked for, by white around it.
    float
        How many inches it is to be wide.
    """
    figure = draw()
    wide, high = figure.get_size_inches() * DPI
    size = page.font_size or CAPTION
    if page.font_size is None and page.aspect is None:
        if page.width is None or smallest_points(figure, page.width) >= LEAST:
            return figure, page.width or wide / DPI
        size = CAPTION * LEAST / SMALL
    width = page.width
    if width is None:
        width = _SLIDE * page.aspect if page.aspect else wide / DPI
    room = _Room(width=width * DPI * CAPTION / size, bound=True, fixed=page.aspect is not None)
    tallest = 1 / page.aspect if page.aspect else max(_TALLEST, high / wide, _SHEET / width)
    room = replace(room, height=room.width * tallest)
    try:
        figure = _largest(draw, room, 0.0 if page.aspect else _HALF)
    except OutputError:
        if page.font_size is not None or page.aspect is not None:
            raise
        # Nothing was said of letters: rather small ones than no picture.
        return figure, width
    if page.aspect is not None:
        _pad(figure, room, page.aspect)
    elif page.width is not None:
        _pad(figure, room, None)
    drawn = figure.get_size_inches()[0]
    return figure, float(width if page.width or page.aspect else drawn * size / CAPTION)


def _largest(draw: Callable[[], "Figure"], room: _Room, enough: float) -> "Figure":
    """Draw with the longest sides that the room holds, else with those that exceed it least.

    No height makes sides shorter than a share that is `enough`.
    """
    drawn: dict[int, tuple[float, Figure]] = {}
    low, high = 0, len(_SHARES) - 1
    while low <= high:
        at = (low + high) // 2
        with _in(replace(room, share=_SHARES[at])):
            figure = draw()
        wide, tall = figure.get_size_inches() * DPI
        # A pixel more is rounding.
        height = (tall - 1) / room.height if _SHARES[at] > enough else 0.0
        drawn[at] = max((wide - 1) / room.width, height), figure
        low, high = (low, at - 1) if drawn[at][0] <= 1 else (at + 1, high)
    fitting = [at for at, (excess, _) in drawn.items() if excess <= 1]
    best = min(fitting) if fitting else min(drawn, key=lambda at: drawn[at][0])
    return drawn[best][1]


@contextlib.contextmanager
def _in(room: _Room) -> Iterator[None]:
    token = _ROOM.set(room)
    try:
        yield
    finally:
        _ROOM.reset(token)


def _pad(figure: "Figure", room: _Room, aspect: float | None) -> None:
    """Add white around a picture until it is as wide as the room, and of an aspect if one is asked for."""
    wide, high = figure.get_size_inches() * DPI
    to_wide = max(wide, room.width)
    to_high = high
    if aspect is not None:
        to_wide = max(to_wide, high * aspect)
        to_high = to_wide / aspect
    left, below = (to_wide - wide) / 2, (to_high - high) / 2
    if aspect is None:
        left = 0.0
    figure.set_size_inches(to_wide / DPI, to_high / DPI)
    for axes in figure.axes:
        box = axes.get_position(original=True)
        axes.set_position(
            (
                (box.x0 * wide + left) / to_wide,
                (box.y0 * high + below) / to_high,
                box.width * wide / to_wide,
                box.height * high / to_high,
            )
        )


def caption_points(figure: "Figure", width: float) -> float:
    """Return how large captions are, in points, in a picture that is so many inches wide."""
    return float(CAPTION * width / figure.get_size_inches()[0])


def smallest_points(figure: "Figure", width: float) -> float:
    """Return how large the smallest letters are, in points, in a picture that is so many inches wide."""
    return caption_points(figure, width) * SMALL / CAPTION
