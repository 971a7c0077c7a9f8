"""What a picture says."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage


def texts(drawn: Figure) -> str:
    """All that is written on the paper, in the order in which it was."""
    return " ".join(text.get_text() for text in drawn.axes[0].texts)


def check_apart(drawn: Figure, images: Sequence[AxesImage]) -> None:
    """Hold that all that is written and these images lie on the paper, and none over another."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    written = [text for text in drawn.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in written]
    boxes += [image.get_window_extent().padded(-0.5) for image in images]
    names = [text.get_text() for text in written] + ["image"] * len(images)
    edges = np.array([box.extents for box in boxes])
    outside = (edges[:, :2] < 0).any(1) | (edges[:, 2:] > canvas.get_width_height()).any(1)
    assert not outside.any(), [names[at] for at in np.flatnonzero(outside)]
    low, high = edges[:, None, :2], edges[:, None, 2:]
    over = (low < high.swapaxes(0, 1)).all(-1) & (low.swapaxes(0, 1) < high).all(-1)
    np.fill_diagonal(over, False)
    assert not over.any(), [(names[a], names[b]) for a, b in np.argwhere(over)]
