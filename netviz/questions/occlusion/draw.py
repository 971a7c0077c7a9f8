"""The picture of an occlusion: the image, the drop of the score over it, and the patch that matters most."""

import numpy as np
from matplotlib.figure import Figure

from netviz.paper import style, words
from netviz.paper.layout import MARGIN, Canvas, Head, Panels, bad_values, fit, placed, seen_size
from netviz.paper.regions import grey, over_grey
from netviz.paper.scales import Scale, peak, scale_for
from netviz.paper.words import TIMES
from netviz.questions.occlusion.result import OcclusionResult

_SIDE = 320
_LEAST = 150
_OPACITY = 0.6
_UNDER = 3 * 14 + 6
_FILLS = {"mean": "the image's mean colour", "noise": "random colours", "zero": "0 in the network's units"}


def occlusion_figure(result: OcclusionResult) -> Figure:
    """Draw the image, the drop of the class score as a heat map over it, and the patch that lowers it most.

    Parameters
    ----------
    result : OcclusionResult

    Returns
    -------
    matplotlib.figure.Figure
        The first Axes is the paper in pixels and holds the image, the image in grey with the map over it, and the
        image once more; the Axes labelled ``"scale"`` is the colour bar.
    """
    with style.style():
        return _draw(result)


def _draw(result: OcclusionResult) -> Figure:
    width, height = fit(result.image.shape, _SIDE)
    panels = Panels((width, height), 3, max(width, _LEAST), 24, below=_UNDER)
    values = np.asarray(result.map, dtype=np.float64)
    limit = peak(values) or 1.0
    scale = scale_for(-limit, limit)
    head = _header(result, scale, panels.paper)
    canvas = Canvas(panels.paper, head.height + panels.height(3) + MARGIN)
    head.draw(canvas)
    boxes = [panels.box(number, head.height) for number in range(3)]
    canvas.image(result.image, boxes[0])
    canvas.image(grey(result.image), boxes[1])
    canvas.values(values, boxes[1], scale).set_alpha(_OPACITY)
    canvas.image(result.image, boxes[2])
    canvas.frames(boxes)
    up, left, down, right = result.worst
    patch = placed((up, left, down - up, right - left), boxes[2], result.image.shape)
    canvas.frames([patch], colour=style.PAPER, line=4.0, out=0.0)
    canvas.frames([patch], colour=style.INK, line=2.0, out=0.0)

    row, col = np.unravel_index(int(np.argmax(result.drops)), result.drops.shape)
    notes = (
        (result.image_name, seen_size(result.image)),
        ("drop of the score", "at each pixel, the mean over the patches that cover it"),
        (
            "most harmful patch",
            f"rows {up}–{down - 1}, columns {left}–{right - 1}: score {words.number(result.score)} falls to "
            f"{words.number(result.score - float(result.drops[row, col]))}"
            if result.drops[row, col] > 0
            else "no patch lowers the score",
        ),
    )
    for box, (name, note) in zip(boxes, notes, strict=True):
        panels.write_below(canvas, box, name, [note], 2)
    return canvas.figure


def _header(result: OcclusionResult, scale: Scale, paper: int) -> Head:
    title = [result.network, f"occlusion of {result.name}", result.image_name]
    count = result.drops.size
    caption = [
        words.scored(result.label, result.class_index, result.called, result.predicted),
        f"score {words.number(result.score)} ({result.score_of})",
        f"patch {result.patch}{TIMES}{result.patch}, stride {result.stride}: {words.counted(count, 'place')}",
        f"filled with {_FILLS.get(result.fill, result.fill)}"
        + (f", seed {result.seed}" if result.fill == "noise" else ""),
        *bad_values(int(np.count_nonzero(~np.isfinite(result.map)))),
    ]
    note = [
        "score drop, clean minus covered",
        "red: covering it lowers the score",
        "blue: covering it raises it",
        over_grey(_OPACITY),
    ]
    return Head.of(title, caption, paper, (scale, note), warnings=result.doubts)
