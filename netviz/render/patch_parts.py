"""Parts of a contact sheet: its head, and histograms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from netviz.errors import OutputError
from netviz.render import style, words
from netviz.render.canvas import MARGIN, Canvas
from netviz.render.patch_tiles import LEVEL
from netviz.render.scales import Pixels
from netviz.results import PatchesResult

_TITLE_LINE: Final = 24
_LINE: Final = 17


@dataclass(frozen=True)
class Head:
    """Title and caption of a picture that has no scale of colours.

    Attributes
    ----------
    title, caption : tuple of str
        Lines, already of the right width.
    """

    title: tuple[str, ...]
    caption: tuple[str, ...]

    @classmethod
    def wrapped(cls, title: Sequence[str], caption: Sequence[str], paper: int) -> "Head":
        """Break title and caption to the width of the paper."""
        room = paper - 2 * MARGIN
        return cls(
            title=tuple(words.wrap(title, room, style.TITLE, bold=True, whole=True)),
            caption=tuple(words.wrap(caption, room, style.CAPTION)),
        )

    @property
    def height(self) -> int:
        """The pixels it takes, from the top of the paper."""
        return MARGIN + _TITLE_LINE * len(self.title) + _LINE * len(self.caption) + 12

    def draw(self, canvas: Canvas) -> None:
        """Draw it at the top of a canvas."""
        y = MARGIN
        for line in self.title:
            canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
            y += _TITLE_LINE
        for line in self.caption:
            canvas.text(MARGIN, y, line, style.CAPTION, style.MUTED, va="top")
            y += _LINE


def tell_unread(reasons: Sequence[str], read: int, tell: Callable[[str], None] | None) -> None:
    """Tell how many images of a picture's patches could not be read, if any.

    Parameters
    ----------
    reasons : sequence of str
        Why, for each.
    read : int
        How many could.
    tell : callable or None
        Called with the line.

    Raises
    ------
    OutputError
        If none could.
    """
    if not reasons:
        return
    if not read:
        raise OutputError(
            f"none of the {words.counted(len(reasons), 'image')} of these patches can be read; the first: "
            f"{reasons[0]}"
        )
    if tell is not None:
        tell(f"{len(reasons)} of {read + len(reasons)} images cannot be read; the first: {reasons[0]}")


def histogram(result: PatchesResult, unit: int, height: int, width: int) -> Pixels:
    """Draw how often a unit has which value, as pixels.

    Parameters
    ----------
    result : PatchesResult
    unit : int
    height : int
        Pixels of the highest bar. Heights are proportional to log(1 + count).
    width : int
        Pixels of a bar.

    Returns
    -------
    ndarray of uint8, shape (height, bins·width, 3)
        With a line at the quantile `LEVEL`.
    """
    counts = np.log1p(result.histogram[unit].astype(np.float64))
    bars = np.rint(counts / max(float(counts.max()), 1e-9) * height).astype(int)
    filled = np.arange(height)[:, None] >= height - np.repeat(bars, width)
    pixels = np.empty((*filled.shape, 3), dtype=np.uint8)
    pixels[:] = style.rgb(style.BEYOND)
    pixels[filled] = style.rgb(style.DEAD)
    quantiles = result.quantiles[unit].astype(np.float64)
    span = quantiles[-1] - quantiles[0]
    if span > 0:
        value = quantiles[int(np.abs(result.quantile_levels - LEVEL).argmin())]
        at = min(int((value - quantiles[0]) / span * filled.shape[1]), filled.shape[1] - 1)
        pixels[:, at] = style.rgb(style.MARK)
    return pixels
