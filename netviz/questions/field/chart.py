"""Field size against depth, over all layers of a network."""

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from netviz.paper import style, words
from netviz.paper.layout import Box, Canvas
from netviz.paper.words import TIMES
from netviz.questions.field.marks import THEORY
from netviz.questions.field.result import FieldResult

_OTHER_AXIS: Final = "#bc4c00"
"""The width of the fields, where it is not the height."""
_ROOM_LEFT: Final = 46
_LONGEST: Final = 84
_ROOM_ABOVE: Final = 46
_TICK: Final = 17
_LEGEND_LINE: Final = 16
_HANDLE: Final = 34
"""Pixels that a legend's sign takes, with what is free beside it."""

_DOTS: Final = (0, (1, 1.5))

_MARKS: Final = {
    "exact": ("o", "full"),
    "upper_bound": ("o", "none"),
    "global": ("^", "full"),
}

_MEANING: Final = {
    "exact": "exact",
    "upper_bound": "upper bound (branches differ)",
    "global": "sees the whole input",
    "unknown": "not known",
}


def chart(canvas: Canvas, result: FieldResult, box: Box) -> Axes:
    """Draw the size of every layer's theoretical field, the input's size as a line.

    Parameters
    ----------
    canvas : Canvas
    result : FieldResult
    box : (left, top, width, height)
        On the paper, with room for the axes' numbers.

    Returns
    -------
    matplotlib.axes.Axes
        Labelled ``"chart"``: the lines ``"height"`` (and ``"width"`` where it differs) and ``"input height"`` hold
        the data.
    """
    left, top, width, height = box
    handles = _handles(result)
    columns = _abreast(handles, width - 8)
    above = _ROOM_ABOVE + _LEGEND_LINE * (-(-len(handles) // columns) - 1)
    left, top, width, height = (
        left + _ROOM_LEFT,
        top + above,
        width - _ROOM_LEFT - 8,
        height - above - _below(result),
    )
    heading = "theoretical field of every layer, in running order: size in pixels"
    if words.width(heading, style.CAPTION, bold=True) > box[2]:
        heading = "theoretical field of every layer, in pixels"
    canvas.heading(box[0], box[1] + 12, heading, box[2])
    axes = canvas.add_chart((left, top, width, height), "chart")
    sizes = result.chart_sizes
    places = np.arange(len(sizes))
    known = np.isfinite(sizes).all(axis=1)
    high, wide = result.input_shape[1:]
    local = np.full_like(sizes, np.nan) if result.chart_local is None else result.chart_local
    most = float(np.nanmax([high, wide, *sizes.ravel(), *local.ravel()]))
    axes.set_xlim(-0.5 - 0.01 * len(places), len(places) - 0.5 + 0.01 * len(places))
    axes.set_ylim(0, most * 1.08)
    _limits(axes, high, wide)
    same = _same(result)
    for column, colour, name in ((1, _OTHER_AXIS, "width"), (0, THEORY, "height"))[1 if same else 0 :]:
        # A layer that sees everything is no step of the growth: its size is the input's, whatever came before.
        grown = np.where(result.chart_status == "global", np.nan, sizes[:, column])
        axes.plot(*_parted(places, grown), color=colour, linewidth=0.9, label=name, zorder=2)
        if np.isfinite(local).any():
            without = np.where(result.chart_status == "global", local[:, column], grown)
            (dots,) = axes.plot(*_parted(places, without), color=colour, linewidth=1.1, zorder=1.9)
            dots.set(linestyle=_DOTS, label=f"{name} without gates")
        _points(axes, places, sizes[:, column], result.chart_status, colour)
    for at in places[~known]:
        axes.plot(
            [at], [0.02], "x", color=style.MUTED, markersize=4, transform=axes.get_xaxis_transform(), zorder=3
        )
    _own(axes, result)
    _crossing(axes, result)
    _frame(axes, result, width)
    _legend(axes, handles, columns, _ROOM_LEFT / width)
    return axes


def _parted(places: NDArray[np.intp], sizes: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Part a line where sizes fall: what runs next then begins another branch, and follows from an earlier layer."""
    with np.errstate(invalid="ignore"):
        falls = np.flatnonzero(np.diff(sizes) < 0) + 1
    return np.insert(places.astype(np.float64), falls, np.nan), np.insert(sizes, falls, np.nan)


def _below(result: FieldResult) -> float:
    """Return the room that the layers' names take below the axes."""
    longest = max(
        (words.width(words.clean(str(name)), style.SMALL) for name in result.chart_layers), default=0.0
    )
    return min(longest, _LONGEST) + 12


def _limits(axes: Axes, high: int, wide: int) -> None:
    """Draw the size of the input as a line, or as two."""
    for size, name in ((high, "input height"), (wide, "input width"))[: 1 if high == wide else 2]:
        axes.axhline(size, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)), label=name, zorder=1)


def _points(
    axes: Axes, places: NDArray[np.intp], sizes: NDArray[np.float64], status: NDArray[np.str_], colour: str
) -> None:
    small = 3.4 if len(places) < 90 else 2.6
    for one, (marker, fill) in _MARKS.items():
        here = status == one
        axes.plot(
            places[here],
            sizes[here],
            linestyle="none",
            marker=marker,
            markersize=small + 1.4 if marker == "^" else small,
            color=colour,
            markerfacecolor=style.PAPER if fill == "none" else colour,
            markeredgewidth=0.8,
            zorder=3,
        )


def _own(axes: Axes, result: FieldResult) -> None:
    """Mark the layer whose field is drawn."""
    aliases = [str(alias) for alias in result.chart_layers]
    if result.alias not in aliases:
        return
    at = aliases.index(result.alias)
    size = float(result.chart_sizes[at].max())
    if np.isfinite(size):
        axes.plot([at, at], [0, size], color=style.FAINT, linewidth=0.8, zorder=0.5)
        axes.plot(
            [at], [size], "o", color=style.INK, markersize=8, fillstyle="none", zorder=4, label="this layer"
        )


def _crossing(axes: Axes, result: FieldResult) -> None:
    """Say at the input's line from which layer on a field is at least as large."""
    high, wide = result.input_shape[1:]
    with np.errstate(invalid="ignore"):
        large: NDArray[np.bool_] = np.all(result.chart_sizes >= (high, wide), axis=1)
    if not large.any() or large.all():
        return
    at = int(np.flatnonzero(large)[0])
    right = at < len(large) / 2
    axes.annotate(
        f"from {words.clean(str(result.chart_layers[at]))} on a field can cover the input"
        if large[at:].all()
        else f"{words.clean(str(result.chart_layers[at]))} is the first whose field can cover the input",
        (at, max(high, wide)), xytext=(6 if right else -6, 5), textcoords="offset points",
        ha="left" if right else "right", va="bottom", fontsize=style.SMALL, color=style.INK, parse_math=False,
    )  # fmt: skip


def _frame(axes: Axes, result: FieldResult, width: float) -> None:
    """Name a few of the layers below the axis; at most as many as there is room for."""
    count = len(result.chart_layers)
    step = max(1, -(-count * _TICK // max(1, int(width))))
    places = list(range(0, count, step))
    axes.set_xticks(
        places,
        [words.shorten(str(result.chart_layers[at]), _LONGEST, style.SMALL) for at in places],
        rotation=90,
    )
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def _same(result: FieldResult) -> bool:
    """Tell whether every field is as wide as high."""
    known = result.chart_sizes[np.isfinite(result.chart_sizes).all(axis=1)]
    return np.array_equal(known[:, 0], known[:, 1])


def _handles(result: FieldResult) -> list[Line2D]:
    """Return a handle for each kind of line and mark that occurs, labelled by what it means."""
    high, wide = result.input_shape[1:]
    handles: list[Line2D] = []
    if not _same(result):
        handles += [_line(THEORY, "height"), _line(_OTHER_AXIS, "width")]
    for status, meaning in _MEANING.items():
        if (result.chart_status == status).any():
            marker, fill = _MARKS.get(status, ("x", "full"))
            colour = style.MUTED if status == "unknown" else THEORY
            handles.append(_mark(marker, colour, colour if fill == "full" else style.PAPER, 4.0, meaning))
    if result.chart_local is not None and np.isfinite(result.chart_local).any():
        handles.append(_line(THEORY, "without attention or gates", _DOTS))
    text = f"input, {high} px" if high == wide else f"input, {high}{TIMES}{wide} px"
    handles.append(_line(style.INK, text, (0, (4, 3))))
    if any(np.isfinite(result.size)):
        handles.append(_mark("o", style.INK, "none", 7.0, f"{words.clean(result.alias)}, drawn here"))
    return handles


def _abreast(handles: list[Line2D], room: float) -> int:
    """Return in how many columns a legend has room; its handles run down the columns."""
    widths = [words.width(str(one.get_label()), style.SMALL) + _HANDLE for one in handles]
    for columns in range(len(handles), 1, -1):
        if sum(max(part) for part in np.array_split(widths, columns)) <= room:
            return columns
    return 1


def _legend(axes: Axes, handles: list[Line2D], columns: int, left: float) -> None:
    """Say what the lines and marks mean, from the left end of the paper if one row has no room above the axes."""
    # Above the axes, where it can cover no layer.
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0 if columns == len(handles) else -left, 1.0),
        ncols=columns,
        fontsize=style.SMALL,
        labelcolor=style.MUTED,
        frameon=False,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.3,
        borderaxespad=0.2,
        borderpad=0.2,
    )


def _line(colour: str, label: str, dashes: Any = "solid") -> Line2D:
    return Line2D([], [], color=colour, linewidth=0.9, linestyle=dashes, label=label)


def _mark(marker: str, colour: str, face: str, size: float, label: str) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        color=colour,
        markerfacecolor=face,
        markersize=size,
        label=label,
    )
