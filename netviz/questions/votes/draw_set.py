"""The picture of votes over many images: the strongest units, and the classes that fall without each, as a matrix."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.errors import OutputError
from netviz.paper import page, style, words
from netviz.paper.layout import MARGIN, Canvas, Head, bad_values, layer_name
from netviz.paper.scales import peak, scale_for
from netviz.questions.votes.result import LEADING, STRONGEST, VotesSetResult
from netviz.results.choose import choose_units

COLUMNS: Final = 28
"""How many classes are drawn at most."""
ROWS: Final = 100
"""How many units may be asked for."""
_ROW: Final = 16
_COLUMN: Final = 18
_NUMBER: Final = 44
_TOLD: Final = 400
_NAME: Final = 84
_LABEL: Final = 130
_PAPER: Final = 700


def chosen_classes(result: VotesSetResult, units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the classes that are drawn: those that fall most without one of some units, in the units' order."""
    found: list[int] = []
    for place in range(LEADING):
        for unit in units.tolist():
            falling = result.falling(unit)
            if place < len(falling) and falling[place] not in found and len(found) < COLUMNS:
                found.append(falling[place])
    rank: dict[int, int] = {}
    for row, unit in enumerate(units.tolist()):
        for number in result.falling(unit):
            rank.setdefault(number, row)
    some = found or list(range(min(len(result.score), COLUMNS)))
    return np.array(sorted(some, key=lambda number: (rank.get(number, len(units)), number)), dtype=np.int64)


def votes_set_figure(result: VotesSetResult, *, units: int | str | Iterable[int] | None = None) -> Figure:
    """Draw how far class scores fall without each of some units, and name the classes that fall most.

    Parameters
    ----------
    result : VotesSetResult
    units : int, str or iterable of int, optional
        Which units, in this order, at most 100; by default those without which some class falls most.

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the matrix as its only image; the Axes labelled ``"scale"`` is
        the colour bar.

    Raises
    ------
    LayerError
        If a unit does not exist.
    OutputError
        If there are too many.
    """
    chosen = choose_units(units, result.channels, result.layer)
    if chosen is not None and len(chosen) > ROWS:
        raise OutputError(
            f"one picture holds at most {ROWS} units, not {len(chosen)}; choose some with --units, such as 0:{ROWS}"
        )
    with style.style():
        return _draw(result, chosen)


def _draw(result: VotesSetResult, chosen: list[int] | None) -> Figure:
    units = result.order()[:STRONGEST] if chosen is None else np.array(chosen, dtype=np.int64)
    classes = chosen_classes(result, units)
    values = -result.change[units][:, classes].astype(np.float64)
    limit = peak(values) or 1.0
    scale = scale_for(-limit, limit)
    narrow = page.narrow()
    room = page.widest() - 2 * MARGIN - _NUMBER if narrow else 504
    across = max(_COLUMN, min(40, room // len(classes)))
    told = 0 if narrow else _TOLD
    if narrow:
        classes = classes[: max(1, room // across)]
        values = values[:, : len(classes)]
    wide, tall = across * len(classes), _ROW * len(units)
    paper = max(page.least(_PAPER), 2 * MARGIN + _NUMBER + wide + told)
    names = [result.name(number) for number in classes.tolist()]
    label = min(_LABEL, int(max(words.width(words.clean(name), style.LABEL) for name in names)) + 4)
    title, caption = _words(result, len(units), chosen is not None, len(classes), values)
    notes = ["fall of the mean score without the unit", "red: the class falls", "blue: it rises"]
    head = Head.of(title, caption, paper, (scale, notes), warnings=result.doubts)
    left, top = MARGIN + _NUMBER, head.height + label + 12
    canvas = Canvas(paper, top + tall + MARGIN)
    head.draw(canvas)
    box = (left, top, wide, tall)
    canvas.values(values, box, scale)
    canvas.frames([box])
    canvas.text(left - 6, top - 6, "unit", style.SMALL, style.MUTED, ha="right")
    for at, name in enumerate(names):
        x = left + across * (at + 0.5)
        canvas.text(x, top - 4, name, style.LABEL, room=label, rotation=90, ha="center", va="bottom")
    if told:
        canvas.text(left + wide + 8, top - 6, "falls most without it", style.SMALL, style.MUTED)
    for row, unit in enumerate(units.tolist()):
        middle = top + _ROW * (row + 0.5)
        canvas.text(left - 6, middle, str(unit), style.SMALL, style.MUTED, ha="right", va="center")
        if told:
            said = ", ".join(
                f"{words.shorten(result.name(at), _NAME, style.SMALL)} {words.number(float(result.change[unit, at]))}"
                for at in result.falling(unit)
            )
            text = said or "no class falls"
            canvas.text(left + wide + 8, middle, text, style.SMALL, room=told - 12, va="center")
    return canvas.figure


def _words(
    result: VotesSetResult, units: int, asked: bool, classes: int, values: NDArray[np.float64]
) -> tuple[list[str], list[str]]:
    """Return title and caption."""
    title = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind, asked=result.layer_asked),
        "the classes that fall without a unit",
    ]
    drawn = f"{units} of {words.counted(result.channels, 'unit')}"
    kinds = "classes" if result.called == "class" else "channels"
    caption = [
        f"mean over {words.counted(result.images, 'image')}",
        f"{result.score_of}",
        f"without it: the unit is {'0' if result.to == 'zero' else 'the mean of its map'} everywhere",
        *(["the last layer whose maps are larger than 1×1"] if result.chosen else []),
        *(
            [f"the {drawn} without which some score falls most"]
            if units < result.channels and not asked
            else [drawn]
        ),
        f"{classes} of {len(result.score)} {kinds}, those that fall most",
        "exact: scores are linear in the layer's output" if result.exact else "measured on every image",
        *bad_values(int(np.count_nonzero(~np.isfinite(values)))),
    ]
    return title, caption
