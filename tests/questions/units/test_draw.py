"""What the picture of a layer's units claims."""

import time

import numpy as np
import pytest

from netviz.paper import page
from netviz.paper.saving import save_figure
from netviz.paper.style import rgb
from netviz.questions.drawing import figure
from netviz.questions.reader import load_result
from netviz.questions.units.draw import GROUPS
from support.pictures import texts
from support.units import make_units


def correlated(units, seed=0):
    return np.corrcoef(np.random.default_rng(seed).normal(size=(50, units)).T)


def chart(drawn, name):
    return next((axes for axes in drawn.axes if axes.get_label() == name), None)


def fits(drawn):
    """Nothing is cut off, and no two lines of text lie over each other."""
    width, height = drawn.bbox.width, drawn.bbox.height
    boxes = []
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        if artist in drawn.axes[0].texts:
            boxes.append((artist.get_text(), box))
    for at, (one, box) in enumerate(boxes):
        for other, also in boxes[:at]:
            across = min(box.x1, also.x1) - max(box.x0, also.x0)
            down = min(box.y1, also.y1) - max(box.y0, also.y0)
            assert min(across, down) < 2, (one, other)


def test_matrix_strip_histograms_and_lists():
    table = correlated(6)
    table[4], table[:, 4] = np.nan, np.nan
    result = make_units(
        table,
        order=np.array([2, 0, 5, 1, 3, 4]),
        selectivity=np.array([0.05, 0.5, 0.55, 0.9, np.nan, 0.5]),
        class_means=np.eye(6)[:, :3],
        classes=("cat", "dog", "owl"),
        sparsity=np.array([0.2, 0.2, 0.2, 0.99, np.nan, 0.7]),
        zeros=np.array([0, 0, 0.5, 0, 1, 0]),
        alike=((0, 2, 3), (1, 5)),
        redundant=3,
        skipped=(("a.png", "is empty"),),
    )
    drawn = figure(result)
    fits(drawn)
    matrix, strip = drawn.axes[0].images
    shown = [2, 0, 5, 1, 3]
    np.testing.assert_allclose(matrix.get_array(), table[np.ix_(shown, shown)], rtol=1e-6)
    assert matrix.get_clim() == (-1, 1)
    assert strip.get_array()[:, 0].tolist() == [list(rgb(GROUPS[at])) for at in (0, 0, 1, 1, 0)]
    for name, values in (
        ("selectivity", result.selectivity),
        ("sparsity", result.sparsity),
        ("zeros", result.zeros),
    ):
        axes = chart(drawn, name)
        known = values[np.isfinite(values)]
        bars = {round(bar.get_x(), 6): bar.get_height() for bar in axes.patches if bar.get_height()}
        places = np.minimum(np.floor(known * 25 + 1e-9), 24) / 25
        assert bars == {round(place, 6): (places == place).sum() for place in places}
        assert axes.lines[0].get_xdata()[0] == pytest.approx(known.mean())
    said = texts(drawn)
    for claim in (
        "what its 6 units are like", "1,000 of 4,000 positions in 20 images, drawn at random", "1 unit never active",
        "3 redundant", "1 image left out", "without 1 unit that never change", "3 units: 0, 2, 3", "2 units: 1, 5",
        "best of 3 classes", "Morcos", "Treves", "average linkage", "at least half of 3 top patches in common",
    ):  # fmt: skip
        assert claim in said, claim
    assert "3: 0.90, cat" in said
    first, second, r = result.most_correlated(1)[0]
    assert f"{first} and {second}: {r:.3f}".replace("-", "\N{MINUS SIGN}") in said


def test_chance_and_single_images_are_told():
    groups = {"alike": ((0, 2, 3), (1, 5)), "chance": 2.4}
    drawn = figure(make_units(correlated(6), redundant=None, **groups))
    fits(drawn)
    said = texts(drawn)
    assert "3 left over if each group of units with the same patches keeps one, 2.4 by chance" in said
    assert "not called redundant" in said
    assert "chance explains it" in said
    said = texts(figure(make_units(correlated(6), redundant=3, **{**groups, "chance": 0.1})))
    assert "3 redundant, 0.1 by chance" in said
    assert "chance explains it" not in said
    classes = {"classes": ("a", "b"), "class_means": np.ones((6, 2)), "class_images": (2, 5), "single": 4}
    said = texts(figure(make_units(correlated(6), selectivity=np.full(6, 0.5), **classes)))
    assert "2 to 5 images a class" in said
    assert "4 with a single image left out" in said
    said = texts(figure(make_units(correlated(6), single=4)))
    assert "fewer than two classes have several images" in said


def test_without_classes_zeros_or_groups():
    drawn = figure(make_units(correlated(3), images=2))
    fits(drawn)
    assert chart(drawn, "selectivity") is None
    assert chart(drawn, "zeros") is None
    said = texts(drawn)
    assert "the images are not in folders by class" in said
    assert "too few images to tell units with the same patches" in said
    said = texts(figure(make_units(correlated(3), classes=("a", "b"), rectified=False)))
    assert "it is for rectified layers" in said


@pytest.mark.parametrize("units", [1, 40, 641])
def test_any_number_of_units(units):
    groups = tuple((at, at + 1) for at in range(0, min(units, 40) - 1, 2))
    names = {"network": "n" * 90, "layer": "l" * 200, "classes": ("c" * 90, "d")}
    drawn = figure(
        make_units(
            correlated(units) if units > 1 else np.ones((1, 1)),
            alike=groups,
            selectivity=np.linspace(0.1, 1, units),
            class_means=np.ones((units, 2)),
            zeros=np.linspace(0, 1, units),
            **names,
        )
    )
    fits(drawn)
    if units == 40:
        assert "and 10 groups more" in texts(drawn)
    if units == 641:
        assert drawn.axes[0].images[0].get_array().shape == (321, 321)


def test_a_layer_that_never_changes():
    drawn = figure(make_units(np.full((2, 2), np.nan), zeros=np.ones(2), sparsity=np.full(2, np.nan)))
    fits(drawn)
    assert "no unit ever changes" in texts(drawn)


def test_2048_units_are_means_of_blocks_and_fast(tmp_path):
    table = correlated(2048)
    result = make_units(table, order=np.random.default_rng(1).permutation(2048))
    began = time.process_time()
    drawn = figure(result)
    first = save_figure(drawn, tmp_path / "a.png").read_bytes()
    assert time.process_time() - began < 10
    shown = table[np.ix_(result.order, result.order)].reshape(512, 4, 512, 4).mean((1, 3))
    np.testing.assert_allclose(drawn.axes[0].images[0].get_array(), shown, atol=1e-6)
    assert "the mean over 4×4 pairs" in texts(drawn)
    again = figure(load_result(result.save(tmp_path / "a.npz")))
    assert save_figure(again, tmp_path / "b.png").read_bytes() == first


def test_on_a_narrow_page_charts_stand_below_the_matrix(monkeypatch):
    monkeypatch.setattr(page, "widest", lambda: 450)
    drawn = figure(make_units(correlation=correlated(9)))
    fits(drawn)
    assert drawn.bbox.width == pytest.approx(450)
    assert chart(drawn, "sparsity").bbox.y1 < drawn.axes[0].images[0].get_window_extent().y0
