"""The picture of a check: the score as pixels go and come, and what shuffled weights leave of each method."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Canvas, Head, layer_name
from netviz.paper.scales import finite_range
from netviz.questions.attribute.result import NAMES, CheckResult

_WIDTH: Final = 330
_HEIGHT: Final = 240
_LEFT: Final = 46
_BETWEEN: Final = 28
_ABOVE: Final = 24
_BELOW: Final = 40
_LINE: Final = 15
_KEY: Final = 40
_COLOURS: Final = (
    "#0969da", "#bc4c00", "#1a7f37", "#8250df", "#d1495b", "#9a6700", "#0a7ea4", "#bf3989", "#57606a",
)  # fmt: skip
_DASHES: Final = {"occlusion": (0, (5, 2)), "random": (0, (1, 1.5))}
_OTHERS: Final = {"occlusion": "occlusion", "random": "random order"}


def check_figure(result: CheckResult) -> Figure:
    """Draw a chart each of deletion, insertion and shuffled weights, with one legend.

    Parameters
    ----------
    result : CheckResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels; those labelled ``"deletion"``, ``"insertion"`` and ``"shuffled"`` hold
        a line for each order, or method, labelled by its name.
    """
    with style.style():
        return _draw(result)


def _draw(result: CheckResult) -> Figure:
    each = _LEFT + _WIDTH + _BETWEEN
    columns = max(1, min(3, (page.widest() - 2 * MARGIN + _BETWEEN) // each))
    paper = max(2 * MARGIN + columns * each - _BETWEEN, page.least(each + 2 * MARGIN))
    head = Head.of(
        [result.network, f"check of attributions to {result.name}", result.image_name],
        _caption(result),
        paper,
        warnings=result.doubts,
    )
    entries = _legend(result)
    beside = _beside(entries, paper)
    legend = len(entries) * _LINE * (1 if beside else 2) + 22
    tall = _ABOVE + _HEIGHT + _BELOW
    canvas = Canvas(paper, head.height + legend + -(-3 // columns) * tall + MARGIN)
    head.draw(canvas)
    _draw_legend(canvas, entries, head.height, beside)
    for number, (name, title, across) in enumerate(
        (
            (
                "deletion",
                "deletion: the score as important pixels go",
                "share of pixels that show the mean colour",
            ),
            ("insertion", "insertion: the score as they come", "share of pixels that show the image"),
            ("shuffled", "rank correlation, weights shuffled", "layers shuffled, from the last one on"),
        )
    ):
        row, column = divmod(number, columns)
        left, top = MARGIN + column * each, head.height + legend + row * tall
        canvas.heading(left, top + 12, title, each - _BETWEEN)
        axes = canvas.add_chart((left + _LEFT, top + _ABOVE, _WIDTH, _HEIGHT), name)
        if name == "shuffled":
            _draw_shuffled(axes, result)
        else:
            _draw_curves(axes, result, getattr(result, name))
        canvas.text(
            left + _LEFT + _WIDTH / 2,
            top + _ABOVE + _HEIGHT + 32,
            across,
            style.LABEL,
            style.MUTED,
            ha="center",
        )
    return canvas.figure


def _draw_curves(axes: Axes, result: CheckResult, curves: NDArray[np.float32]) -> None:
    both = np.concatenate([result.deletion, result.insertion])
    for number, order in enumerate(result.orders):
        axes.plot(result.shares, curves[number], label=order, **_look(order, result.methods))
    axes.set_xlim(0, 1)
    low, high = finite_range(both)
    room = 0.04 * (high - low or 1.0)
    axes.set_ylim(low - room, high + room)
    if np.isfinite(result.empty_score):
        axes.axhline(result.empty_score, color=style.FRAME, linewidth=0.8, zorder=1)


def _draw_shuffled(axes: Axes, result: CheckResult) -> None:
    # Before any is shuffled a method agrees with itself.
    stages = np.concatenate([[0], result.stages])
    for number, method in enumerate(result.methods):
        values = np.concatenate([[1.0], result.correlation[number]])
        look = _look(method, result.methods)
        # The first and the last point stand on the chart's edges.
        axes.plot(stages, values, label=method, marker="o", markersize=2.5, clip_on=False, **look)
    axes.set_xlim(0, float(stages[-1]))
    axes.set_ylim(min(-0.1, float(result.correlation.min()) - 0.05), 1.05)
    axes.axhline(0, color=style.FRAME, linewidth=0.8, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _look(order: str, methods: Sequence[str]) -> dict[str, Any]:
    if order in _DASHES:
        return {"color": style.MUTED, "linewidth": 1.2, "linestyle": _DASHES[order], "zorder": 1.8}
    return {"color": _COLOURS[methods.index(order) % len(_COLOURS)], "linewidth": 1.3, "zorder": 2}


def _legend(result: CheckResult) -> list[tuple[str, str, dict[str, Any]]]:
    """Return name, areas and line of each order."""
    entries = []
    for number, order in enumerate(result.orders):
        areas = (
            f"deletion {words.number(result.deletion_area[number])}, "
            f"insertion {words.number(result.insertion_area[number])}"
        )
        if order in result.methods:
            kept = float(result.correlation[result.methods.index(order), -1])
            areas += f", correlation when all is shuffled {words.number(kept, 2)}"
        entries.append((NAMES.get(order) or _OTHERS[order], areas, _look(order, result.methods)))
    return entries


def _beside(entries: Sequence[tuple[str, str, dict[str, Any]]], paper: int) -> float | None:
    """Return where areas stand to the right of all names; None where the paper is too narrow for that."""
    at = MARGIN + _KEY + max(words.width(name, style.LABEL) for name, _, _ in entries) + 12
    longest = max(words.width(areas, style.LABEL) for _, areas, _ in entries)
    return at if at + longest <= paper - MARGIN else None


def _draw_legend(
    canvas: Canvas, entries: Sequence[tuple[str, str, dict[str, Any]]], top: int, at: float | None
) -> None:
    y = top + 8.0
    for name, areas, look in entries:
        canvas.axes.plot([MARGIN, MARGIN + _KEY - 10], [y, y], **look)
        canvas.text(MARGIN + _KEY, y + 4, name, style.LABEL)
        if at is None:
            y += _LINE
        left = MARGIN + _KEY if at is None else at
        canvas.text(left, y + 4, areas, style.LABEL, style.MUTED, room=canvas.width - MARGIN - left)
        y += _LINE


def _caption(result: CheckResult) -> list[str]:
    lines = [
        words.scored(result.label, result.class_index, result.called, result.predicted),
        f"score {words.number(result.score)} ({result.score_of})",
        f"{words.number(result.empty_score)} on the image's mean colour (the thin line)",
    ]
    if result.layer:
        lines.append(f"maps of {layer_name(result.layer, result.alias)}")
    lines += [
        f"occlusion: patch {result.patch}, stride {result.stride}",
        f"random order: squares of {result.stride} pixels, seed {result.seed}",
        "areas: mean of the score, 1 as on the image, 0 as on the mean colour; deletion the smaller, insertion the "
        "larger the better",
        f"shuffled: the weights of {words.counted(len(result.shuffled), 'layer')}, each tensor in itself, from the "
        "last on; what still correlates then does not come from what the network has learnt (Adebayo et al., 2018)",
    ]
    return lines
