from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from netviz.paper import style
from netviz.paper.layout import MARGIN, Canvas, Head, Panels, fit, layer_name, placed
from netviz.paper.scales import Scale, scale_for


def extents(canvas):
    """Left, top, right, bottom of every line of text, in pixels from the top left."""
    renderer = FigureCanvasAgg(canvas.figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in canvas.axes.texts]
    return [(box.x0, canvas.height - box.y1, box.x1, canvas.height - box.y0) for box in boxes]


@pytest.mark.parametrize("bars", [0, 1, 2])
@pytest.mark.parametrize("paper", [560, 900])
def test_a_head_is_as_high_as_it_says_and_as_wide_as_the_paper(bars, paper):
    scales = [(scale_for(-1, 1), ["note " * 30, "other " * 20]), (scale_for(0, 3), ["low"])][:bars]
    caption = ["part " * 9, "another " * 20]
    with style.style():
        head = Head.of(["network", "layer " * 12, "image"], caption, paper, *scales, warnings=["mind " * 40])
        canvas = Canvas(paper, head.height + 10)
        head.draw(canvas)
        found = extents(canvas)
        for left, top, right, bottom in found:
            assert left >= MARGIN - 1
            assert right <= paper - MARGIN + 1
            assert top >= MARGIN - 1
            assert bottom <= head.height
    assert [axes.get_label() for axes in canvas.figure.axes[1:]] == ["scale"] * bars
    colours = {text.get_color() for text in canvas.axes.texts}
    assert colours == {style.INK, style.MUTED, style.WARNING}
    # Lines of one column stand below each other.
    first = sorted((top, bottom) for left, top, _, bottom in found if left < MARGIN + 2)
    assert all(bottom <= top + 1 for (_, bottom), (top, _) in pairwise(first))


def test_a_head_without_a_scale():
    with style.style():
        plain = Head.of(["title"], ["caption"], 500)
        assert plain.height == MARGIN + 24 + 17 + 12
        assert Head.of(["title"], [], 500).height == plain.height - 17


def test_the_colour_bar_has_the_ticks_of_its_scale():
    with style.style():
        canvas = Canvas(400, 100)
        axes = canvas.bar(20, 10, Scale(0.0, 8.0, "sequential", False, ((2.0, "two"), (8.0, "eight"))))
    assert axes.get_xticks().tolist() == [2, 8]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["two", "eight"]
    assert axes.get_xlim() == (0, 8)


@pytest.mark.parametrize(
    ("shape", "side", "whole", "size"),
    [
        ((100, 200), 400, True, (400, 200)),
        ((100, 150), 400, True, (300, 200)),
        ((100, 150), 400, False, (300, 200)),
        ((200, 300), 400, True, (300, 200)),
        ((200, 300), 400, False, (400, 267)),
        ((800, 400), 400, True, (200, 400)),
        ((5000, 1), 400, True, (1, 400)),
    ],
)
def test_images_are_enlarged_by_whole_factors(shape, side, whole, size):
    assert fit((*shape, 3), side, whole) == size


def test_panels_stand_apart_in_rows():
    panels = Panels((90, 60), 3, 100, 20, above=30, below=10)
    assert panels.paper == 2 * MARGIN + 3 * 100 + 2 * 20
    assert panels.height(3) == 100
    assert panels.height(4) == 200
    assert panels.box(0, 50) == (MARGIN, 80, 90, 60)
    assert panels.box(5, 50) == (MARGIN + 240, 180, 90, 60)
    with style.style():
        canvas = Canvas(panels.paper, 300)
        panels.draw(canvas, panels.box(0, 50), np.zeros((6, 9, 3), np.uint8), "a title " * 9, "a note " * 9)
        panels.write_below(canvas, panels.box(4, 50), "a name " * 9, ["what there is " * 9], 2)
        assert len(canvas.axes.texts) == 2 + 3
        for text, (left, _, right, _) in zip(canvas.axes.texts, extents(canvas), strict=True):
            assert right - left <= 101, text


def test_values_are_shown_on_their_scale():
    canvas = Canvas(100, 100)
    values = np.array([[1.0, np.nan, -2.0], [0.0, np.inf, 4.0]])
    own = canvas.values(values, (10, 20, 30, 20), scale_for(-1, 1, per_tile=True), 2.5)
    assert own.get_clim() == (-2.5, 2.5)
    assert own.get_array().mask.tolist() == [[False, True, False], [False, True, False]]
    assert own.get_extent() == [10, 40, 40, 20]
    assert own.get_interpolation() == "nearest"
    assert tuple(own.cmap.get_bad()[:3]) == pytest.approx(tuple(one / 255 for one in style.BAD))
    shared = canvas.values(values, (0, 0, 2, 2), scale_for(0, 4), 2.5, clear=True)
    assert shared.get_clim() == (0, 4)
    assert shared.cmap.get_bad()[3] == 0
    # Three values on two pixels.
    assert shared.get_interpolation() == "antialiased"


@pytest.mark.parametrize("width", [90, 20])
def test_the_largest_numbers_are_shown_as_small_ones(width):
    pictures = []
    for largest in (3.0, 3e38):
        canvas = Canvas(100, 40)
        values = np.linspace(-1, 1, 30, dtype=np.float32)[None] * np.float32(largest)
        canvas.values(values, (5, 5, width, 30), scale_for(-largest, largest)).set_alpha(0.5)
        drawn = FigureCanvasAgg(canvas.figure)
        drawn.draw()
        pictures.append(np.asarray(drawn.buffer_rgba()).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    assert np.ptp(pictures[0][20, 5 : 5 + width, 0]) > 60


def test_a_part_of_an_image_on_the_paper():
    assert placed((10, 20, 30, 40), (100, 200, 80, 160), (80, 80, 3)) == (120, 220, 40, 60)


def test_text_is_shortened_and_wrapped_to_its_room():
    with style.style():
        canvas = Canvas(400, 200)
        canvas.text(10, 20, "a long line " * 9, style.LABEL, room=80)
        canvas.heading(10, 40, "a long line " * 9, 80)
        assert canvas.text(10, 60, "short", style.LABEL, room=80).get_text() == "short"
        below = canvas.paragraph(10, 80, ["one two three four " * 3, "five"], style.LABEL, 80, step=12)
        lines = len(canvas.axes.texts) - 3
        assert lines > 3
        assert below == 80 + 12 * lines
        assert canvas.paragraph(10, 80, ["one two three four " * 3], style.LABEL, 80, most=2) == 80 + 2 * 13
        assert all(right - left <= 81 for left, _, right, _ in extents(canvas))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("conv4", "conv4 (features.3, conv)"),
        ("features.3", "features.3 (conv4, conv)"),
        ("features", "features (features.3, conv4, conv)"),
        ("feat*", "features.3 (conv4, conv)"),
        ("-1", "features.3 (conv4, conv)"),
        ("", "features.3 (conv4, conv)"),
    ],
)
def test_a_layer_is_called_as_it_was_asked_for(asked, name):
    assert layer_name("features.3", "conv4", "conv", asked=asked) == name
