"""Histograms of units, and lists of those that stand out."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from netviz.render import style, words
from netviz.render.canvas import Box, Canvas
from netviz.results import UnitsResult

CHART: Final = 214
"""Pixels that a histogram takes with its heading."""

BINS: Final = 25
LISTED: Final = 10

_BAR: Final = "#54aeff"
_ABOVE: Final = 52
_BELOW: Final = 42
_NUMBERS: Final = 34
_LINE: Final = 17
_PAIRS: Final = 170
_GAP: Final = 30


def draw_chart(
    canvas: Canvas, box: Box, name: str, values: NDArray[np.float64], heading: str, notes: Sequence[str]
) -> Axes:
    """Draw how many units have which value between 0 and 1, and their mean as a line.

    Parameters
    ----------
    canvas : Canvas
    box : (left, top, width, height)
    name : str
        The label of the Axes.
    values : ndarray of float64, shape (units,)
        Units whose value is NaN are left out, and counted.
    heading : str
    notes : sequence of str
        What the number means; as many lines as there is room for.
    """
    left, top, width, height = box
    finite = values[np.isfinite(values)]
    said = f"mean {words.number(float(finite.mean()))}" if len(finite) else "no unit has one"
    if len(finite) < len(values):
        said += f"; without {words.counted(len(values) - len(finite), 'unit')}"
    canvas.text(left, top - 8, heading, style.CAPTION, weight="bold", va="baseline")
    canvas.text(left + width, top - 8, said, style.LABEL, style.MARK, ha="right", va="baseline")
    for row, line in enumerate(words.wrap(notes, width, style.SMALL)[:3]):
        canvas.text(left, top + 6 + 13 * row, line, style.SMALL, style.MUTED, va="baseline")
    inner = (left + _NUMBERS, top + _ABOVE - 8, width - _NUMBERS - 8, height - _ABOVE - _BELOW)
    axes = canvas.figure.add_axes(
        (
            inner[0] / canvas.width,
            1 - (inner[1] + inner[3]) / canvas.height,
            inner[2] / canvas.width,
            inner[3] / canvas.height,
        ),
        label=name,
    )
    counts, edges = np.histogram(finite, BINS, (0.0, 1.0))
    axes.bar(edges[:-1], counts, 1 / BINS, align="edge", color=_BAR, edgecolor=style.PAPER, linewidth=0.5)
    if len(finite):
        axes.axvline(float(finite.mean()), color=style.MARK, linewidth=1.0, label="mean")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(1, int(counts.max(initial=0))) * 1.05)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.tick_params(
        axis="both", labelsize=style.SMALL, labelcolor=style.MUTED, color=style.FAINT, width=0.6, length=3
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("units", fontsize=style.SMALL, color=style.MUTED, labelpad=2)
    return axes


def groups_height(result: UnitsResult) -> int:
    """Return the pixels that the list of groups takes, its heading included."""
    return 44 + _LINE * max(1, min(len(result.alike), LISTED) + (len(result.alike) > LISTED))


def lists_height(result: UnitsResult) -> int:
    """Return the pixels that the lists of selective and of correlated units take, headings included."""
    rows = max(len(result.most_correlated(LISTED)), len(result.most_selective(LISTED)))
    return 44 + _LINE * rows if rows else 0


def draw_groups(
    canvas: Canvas, result: UnitsResult, at: tuple[float, float], width: float, colours: Sequence[str]
) -> None:
    """List the largest groups of units with the same patches, each with its colour."""
    note = f"at least half of {result.top} top patches in common (half overlapping)"
    if result.images <= result.top:
        seen = words.counted(result.images, "image")
        note = f"{seen}: every unit has a patch in each; give more"
    groups = result.alike[:LISTED]
    lines = [f"{len(units)} units: {', '.join(map(str, units))}" for units in groups] or ["none"]
    if len(result.alike) > LISTED:
        lines.append(f"and {len(result.alike) - LISTED} groups more")
    marks = [colours[place] if place < len(colours) else style.HATCH for place in range(len(groups))]
    _list(canvas, *at, width, ("units with the same patches", note), lines, marks)


def draw_lists(canvas: Canvas, result: UnitsResult, at: tuple[float, float], width: float) -> None:
    """List the most selective units, and the most correlated pairs."""
    left, top = at
    selective, pairs = result.most_selective(LISTED), result.most_correlated(LISTED)
    if selective:
        lines = [f"{unit}: {index:.2f}, {name}" for unit, index, name in selective]
        heading = "most selective units", "index, and the class with the largest mean"
        _list(canvas, left, top, width - _PAIRS - _GAP, heading, lines)
        left += width - _PAIRS
    if pairs:
        lines = [f"{a} and {b}: {_signed(r)}" for a, b, r in pairs]
        _list(canvas, left, top, _PAIRS, ("most correlated units", "of either sign"), lines)


def _list(
    canvas: Canvas,
    left: float,
    top: float,
    width: float,
    heading: tuple[str, str],
    lines: Sequence[str],
    marks: Sequence[str] = (),
) -> None:
    canvas.text(left, top + 8, heading[0], style.CAPTION, weight="bold", va="baseline")
    note = words.shorten(heading[1], width, style.SMALL)
    canvas.text(left, top + 22, note, style.SMALL, style.MUTED, va="baseline")
    indent = 14 if marks else 0
    for row, line in enumerate(lines):
        y = top + 42 + _LINE * row
        if row < len(marks):
            canvas.axes.fill_between([left, left + 9], y - 9, y, color=marks[row], linewidth=0)
        text = _cut(line, width - indent)
        canvas.text(left + indent, y, text, style.LABEL, va="baseline")


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", words.MINUS)


def _cut(text: str, width: float) -> str:
    """Leave out the end of a line that is too long."""
    text = words.clean(text[:400])
    if words.width(text, style.LABEL) <= width:
        return text
    low, high = 0, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        fits = words.width(f"{text[:middle]} …", style.LABEL) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{text[:low].rstrip(' ,')} …"
