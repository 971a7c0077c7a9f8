import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import netviz
from netviz.errors import OutputError
from netviz.paper import page, style
from netviz.paper.page import Page, inches, lay_out, ratio
from netviz.paper.saving import save_figure
from netviz.paper.tiles import columns_filling
from netviz.questions import drawing


def drawn_to(side):
    """Return what draws a square, 100 pixels of words around what is `side` pixels long, and notes its sizes."""
    sizes = []

    def draw():
        sizes.append(page.side(side))
        long = (100 + sizes[-1]) / style.DPI
        return Figure(figsize=(long, long))

    return draw, sizes


def test_lengths_and_aspects_are_read():
    assert [inches(text) for text in ("3.5in", " 8.89 cm", "88.9mm", "252pt")] == pytest.approx([3.5] * 4)
    assert [ratio(one) for one in ("16:9", "4 : 3", 1.6)] == pytest.approx([16 / 9, 4 / 3, 1.6])
    for wrong in ("3.5", "wide", "0in", "-3in", "1000in"):
        with pytest.raises(ValueError, match="is no width"):
            inches(wrong)
    for wrong in ("16:0", "a", "1:9", "16:"):
        with pytest.raises(ValueError, match="is no aspect"):
            ratio(wrong)


def test_letters_have_their_size_and_the_rest_what_they_leave():
    draw, sizes = drawn_to(600)
    # At 3.5 inches captions of 7 points leave room for 450 pixels, of which words take 100.
    drawn, wide = lay_out(draw, Page(width=3.5, font_size=7))
    assert wide == 3.5
    assert drawn.get_size_inches()[0] == pytest.approx(4.5)
    fitting = [side for side in sizes if side <= 350]
    assert max(fitting) == 300
    assert page.caption_points(drawn, wide) == pytest.approx(7)
    assert page.side(600) == 600


def test_what_does_not_fit_has_smaller_letters():
    def draw():
        return Figure(figsize=(9, 2))

    drawn, wide = lay_out(draw, Page(width=3.5, font_size=9))
    assert page.caption_points(drawn, wide) == pytest.approx(9 * 3.5 / 9)


def test_a_width_alone_leaves_letters_that_can_be_read():
    draw, sizes = drawn_to(1200)
    # At 3.5 inches letters of 6 points, usually of 7, leave room for 408 pixels.
    drawn, wide = lay_out(draw, Page(width=3.5))
    assert len(sizes) > 1
    assert page.smallest_points(drawn, wide) == pytest.approx(6)
    assert page.smallest_points(*lay_out(draw, Page(width=20))) > 6
    assert lay_out(draw, Page())[1] == 13

    def crowded():
        if page.given():
            raise OutputError("too many")
        return Figure(figsize=(9, 2))

    assert page.caption_points(*lay_out(crowded, Page(width=3.5))) == pytest.approx(3.5)
    with pytest.raises(OutputError):
        lay_out(crowded, Page(width=3.5, font_size=7))


def test_no_height_makes_sides_shorter_than_half():
    def draw():
        return Figure(figsize=(page.side(100) / 1000, 100 if page.given() else 0.1))

    drawn, _ = lay_out(draw, Page(width=0.5, font_size=9))
    # White fills the page's width.
    assert drawn.get_size_inches().tolist() == [0.5, 100]
    shares = []
    lay_out(lambda: shares.append(page.side(100)) or draw(), Page(width=0.5, font_size=9))
    assert 50 in shares
    assert page.side(100) == 100


def test_a_slide_has_white_around_and_moves_nothing():
    def draw():
        one = Figure(figsize=(4, 4))
        one.add_axes((0.25, 0.5, 0.5, 0.25))
        return one

    drawn, wide = lay_out(draw, Page(aspect=2.0))
    width, height = drawn.get_size_inches()
    assert (width / height, wide) == (pytest.approx(2), 15)
    left, bottom, across, up = drawn.axes[0].get_position().bounds
    assert (across * width, up * height) == (pytest.approx(2), pytest.approx(1))
    assert left * width == pytest.approx((width - 4) / 2 + 1)
    assert bottom * height == pytest.approx((height - 4) / 2 + 2)


def test_tiles_fill_a_page():
    columns, wide, high = columns_filling(16, (1, 1), (700, 400), 8, 24, 30)
    # 7 columns: 3 rows of 93 + 24 pixels; 6 columns: 3 rows of 110 + 24, too high.
    assert (columns, wide, high) == (7, 93, 93)
    assert columns_filling(1, (1, 2), (700, 400), 8, 24, 30) == (1, 700, 350)
    assert columns_filling(400, (1, 1), (300, 100), 8, 24, 42)[0] == 6


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_width_in_inches(tmp_path, suffix):
    drawn = Figure(figsize=(2, 1))
    drawn.text(0.5, 0.5, "a")
    path = save_figure(drawn, tmp_path / f"a{suffix}", width="3.5in")
    assert drawn.dpi == 100
    if suffix == ".png":
        with Image.open(path) as picture:
            assert picture.size == (1050, 525)
        return
    told = {
        ".svg": rb'<svg [^>]*?\bwidth="([\d.]+)pt" height="([\d.]+)pt" viewBox="0 0 144 72"',
        ".pdf": rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) ",
    }
    width, height = re.search(told[suffix], path.read_bytes()).groups()
    assert (float(width), float(height)) == (pytest.approx(252), pytest.approx(126))


def test_draw_takes_a_page(make_maps, tmp_path, monkeypatch):
    result = make_maps(np.zeros((1, 2, 2)))
    monkeypatch.setattr(drawing, "picture", lambda *_, **__: Figure(figsize=(5, 4)))
    told = []
    netviz.draw(result, tmp_path / "a.png", aspect="16:9", font_size=40, tell=told.append)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1333, 750)
    # What is 400 pixels high at letters of 9 points fills 7.5 inches.
    assert told[0].startswith("its captions are of 17 points, not 40: ")
    for wrong in ({"font_size": 3}, {"aspect": "wide"}, {"width": "3.5"}):
        with pytest.raises(ValueError, match=r"font_size|aspect|width"):
            netviz.draw(result, tmp_path / "b.png", **wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
