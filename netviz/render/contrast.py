"""The picture of contrast normalization: a layer's maps before and after, and what they are like locally."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netviz.render import style, words
from netviz.render.canvas import MARGIN, Canvas, bad_values, layer_name
from netviz.render.contrast_panels import BAR, LINE, arrange, block, heat, histogram
from netviz.render.words import MINUS, TIMES
from netviz.results import ContrastResult

_BETWEEN: Final = 32
_HEADING: Final = 26
_PANEL: Final = 172
_PANEL_GAP: Final = 22
_AXIS: Final = 34
_TITLE_LINE: Final = 24
_CAPTION_LINE: Final = 17
_ALPHA: Final = "\u03b1"  # by its code because it is easily taken for the letter a
_NAMES: Final = {
    "lcn": "local contrast normalization",
    "lrn": "local response normalization",
    "batch": "batch norm",
}


def contrast_figure(result: ContrastResult) -> Figure:
    """Draw a layer's maps before and after normalization, in the same order, and their local mean and deviation.

    Parameters
    ----------
    result : ContrastResult
        Its `units` are drawn; local statistics and histograms are those of all units.

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the maps before, the maps after, the image, and the local mean
        and deviation before and after; the Axes labelled ``"scale"`` are their colour bars, in this order, and two
        labelled ``"histogram"`` follow.
    """
    with style.style():
        return _draw(result)


def _draw(result: ContrastResult) -> Figure:
    height, width = result.before.shape[1:]
    grid = arrange(len(result.units), height, width)
    paper = 2 * MARGIN + 2 * grid.width + _BETWEEN
    title, caption = _title(result, paper), _caption(result, grid.reduction, paper)
    top = MARGIN + _TITLE_LINE * len(title) + _CAPTION_LINE * len(caption) + 14
    panel_height = max(1, min(_PANEL, round(_PANEL * height / width)))
    panel_width = max(40, min(_PANEL, round(_PANEL * width / height)))
    lower = top + _HEADING + BAR + grid.height + 48
    image_height, image_width = _fit(result.image)
    body = max(image_height + 2 * LINE + 8, panel_height + 10 + BAR + 3 * LINE, _PANEL + 42)
    canvas = Canvas(paper, round(lower + body + MARGIN))

    y: float = MARGIN
    for line in title:
        canvas.text(MARGIN, y, line, style.TITLE, weight="bold", va="top")
        y += _TITLE_LINE
    for line in caption:
        canvas.text(MARGIN, y, line, style.CAPTION, style.MUTED, va="top")
        y += _CAPTION_LINE

    lefts = (MARGIN, MARGIN + grid.width + _BETWEEN)
    for left, maps, (heading, of) in zip(
        lefts, (result.before, result.after), _headings(result), strict=True
    ):
        canvas.text(left, top + 12, heading, style.CAPTION + 1, weight="bold", va="baseline")
        room = words.width(heading, style.CAPTION + 1, bold=True) + 12
        said = words.shorten(of, grid.width - room, style.CAPTION)
        canvas.text(left + room, top + 12, said, style.CAPTION, style.MUTED, va="baseline")
        block(canvas, maps[result.units], result.units, grid, left, top + _HEADING)
    _summary(canvas, result, lower, (image_height, image_width), (panel_height, panel_width))
    return canvas.figure


def _summary(
    canvas: Canvas, result: ContrastResult, top: float, image: tuple[int, int], panel: tuple[int, int]
) -> None:
    """Draw the image, the local mean and deviation before and after, and the histograms in a row."""
    box = (MARGIN, top, image[1], image[0])
    canvas.image(result.image, box, smooth=image[1] < result.image.shape[1])
    canvas.frames([box])
    canvas.text(
        MARGIN,
        top - 7,
        words.shorten(result.image_name, _PANEL, style.CAPTION),
        style.CAPTION,
        weight="bold",
        va="baseline",
    )
    high, wide = result.image.shape[:2]
    seen = f"{wide}{TIMES}{high} pixels, as the network saw it"
    for row, line in enumerate(words.wrap([seen], _PANEL, style.LABEL)):
        canvas.text(MARGIN, top + image[0] + 14 + LINE * row, line, style.LABEL, style.MUTED, va="baseline")
    left = float(MARGIN + _PANEL + _PANEL_GAP)
    for name, values, amount, signed in (
        ("local mean before", result.local_mean_before, _root_mean_square, True),
        ("local std before", result.local_std_before, _range, False),
        ("local mean after", result.local_mean_after, _root_mean_square, True),
        ("local std after", result.local_std_after, _range, False),
    ):
        heat(canvas, values, (left, top, panel[1], panel[0]), [name, amount(values)], signed)
        left += _PANEL + _PANEL_GAP
    room = (canvas.width - MARGIN - left - _PANEL_GAP) / 2
    for heading, maps in (("values before", result.before), ("values after", result.after)):
        histogram(canvas, maps, (left + _AXIS, top, room - _AXIS, _PANEL), heading)
        note = "how many values, log scale"
        canvas.text(left + _AXIS, top + _PANEL + 34, note, style.LABEL, style.MUTED, va="baseline")
        left += room + _PANEL_GAP


def _fit(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the height and width at which the image is drawn."""
    height, width = image.shape[:2]
    factor = _PANEL / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _title(result: ContrastResult, paper: int) -> list[str]:
    parts = [
        result.network,
        layer_name(result.layer, result.alias, result.layer_kind),
        result.image_name,
        _NAMES.get(result.method, result.method),
    ]
    return words.wrap(parts, paper - 2 * MARGIN, style.TITLE, bold=True, whole=True)


def _headings(result: ContrastResult) -> tuple[tuple[str, str], tuple[str, str]]:
    name = _NAMES.get(result.method, result.method)
    if result.method == "batch":
        return ("before", f"what the batch norm {result.recorded} read"), ("after", "what it gave")
    return ("before", f"output of {result.layer}"), ("after", f"the same maps after {name}")


def _caption(result: ContrastResult, reduction: int, paper: int) -> list[str]:
    height, width = result.before.shape[1:]
    across = "spanning all maps" if result.across == "maps" else "each map by itself"
    window = (
        f"Gaussian window {result.window}{TIMES}{result.window}, sigma {words.number(result.sigma)} positions, "
        f"{across}"
    )
    if result.method == "lcn":
        parts = [f"y = (x {MINUS} m) / max(c, s)", f"m, s: mean and deviation in a {window}"]
    elif result.method == "lrn":
        alpha = "1e-4" if result.constants == "paper" else "1e-4 / 5"
        whose = "Krizhevsky's" if result.constants == "paper" else "PyTorch's"
        k = 2 if result.constants == "paper" else 1
        parts = [
            f"y = x / (k + {_ALPHA} Σx²)^β over 5 neighbouring maps, k = {k}, {_ALPHA} = {alpha}, β = 0.75 "
            f"({whose} constants)",
            f"local mean and std: {window}",
        ]
    else:
        parts = ["as the network applies it, recorded", f"local mean and std: {window}"]
    parts += [
        *_claim(result),
        f"maps {height}{TIMES}{width} (H{TIMES}W)",
        f"{len(result.units)} of {result.channels} units",
    ]
    if reduction > 1:
        parts.append(f"a pixel is the mean of {reduction}{TIMES}{reduction} positions")
    bad = sum(int(np.count_nonzero(~np.isfinite(maps))) for maps in (result.before, result.after))
    return words.wrap([*parts, *bad_values(bad)], paper - 2 * MARGIN, style.CAPTION)


def _claim(result: ContrastResult) -> list[str]:
    """Say how far local contrast normalization brings the local mean to 0 and the deviation to 1."""
    if result.c is None or result.floor_share is None:
        return []
    parts = [
        f"c = {words.number(result.c)}, the mean of s, divides at {100 * result.floor_share:.0f} % of the positions",
        f"after it the local mean is 0 within {words.number(float(np.abs(result.local_mean_after).max()))}",
    ]
    own = result.local_std_before >= result.c
    if result.across == "maps" and own.any():
        low, high = np.quantile(result.local_std_after[own], (0.05, 0.95))
        parts.append(f"the local std, where s is above c, {low:.2f}–{high:.2f} (nine positions in ten)")
    return parts


def _root_mean_square(values: NDArray[np.float32]) -> str:
    return f"root mean square {words.number(float(np.sqrt(np.mean(values.astype(np.float64) ** 2))))}"


def _range(values: NDArray[np.float32]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{words.number(low)} to {words.number(high)}, mean {words.number(float(values.mean(dtype=np.float64)))}"
