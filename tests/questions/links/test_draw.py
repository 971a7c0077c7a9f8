"""What the picture of links holds."""

from dataclasses import replace

import numpy as np
import pytest
from questions.links.test_measure import ask, opened
from torch import nn

import netviz
from netviz.paper.page import Page, lay_out
from netviz.questions.drawing import figure
from netviz.questions.links.result import LinksResult
from netviz.results.base import Result


def texts(drawn):
    return [text.get_text() for text in drawn.axes[0].texts]


def images(drawn):
    return [image.get_array() for image in drawn.axes[0].images]


@pytest.fixture(scope="module")
def result() -> LinksResult:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip
    return ask(opened(network, ("cat", "dog", "$x$")), "conv2", 4)


def test_kernels_are_drawn_strongest_first(result):
    drawn = figure(result)
    for kernel, shown in zip(images(drawn), result.before_kernels, strict=True):
        np.testing.assert_array_equal(kernel, shown)
    largest = np.abs(result.before_kernels).max()
    assert {image.get_clim() for image in drawn.axes[0].images} == {(-largest, largest)}
    named = [text for text in texts(drawn) if text.isdecimal()]
    assert named == [str(unit) for unit in result.before_by_weight]


def test_bars_are_shares_with_the_sum_s_sign(result):
    drawn = figure(result)
    bars = next(one for one in drawn.axes[0].collections if len(one.get_segments()) == 4)
    lengths = np.array([line[1][0] - line[0][0] for line in bars.get_segments()])
    order = result.before_by_weight
    signed = result.shares("before")[order] * np.sign(result.before_sums[order])
    np.testing.assert_allclose(lengths / np.abs(lengths).max(), signed / np.abs(signed).max(), rtol=1e-6)


def test_classes_stand_with_their_weights(result):
    said = texts(figure(result))
    for one in (*result.raised, *result.lowered):
        assert f"{one.number} {one.name}" in said


def test_a_layer_s_long_name_is_not_shortened(result):
    assert result.before is not None
    side = result.before._replace(layer="backbone.features.3.conv.0.2", alias="relu7")
    assert "built from backbone.features.3.conv.0.2 (relu7)" in texts(figure(replace(result, before=side)))


def test_a_side_that_is_missing_says_why():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 3))
    assert "what reads a unit of 0 (conv1) is not linear: group_norm in 1" in " ".join(
        texts(figure(ask(network, "conv1", 0)))
    )


def test_a_unit_without_weights_and_weights_that_are_no_numbers(result):
    for value in (0.0, np.nan, np.inf):
        changed = replace(
            result,
            before_kernels=np.full_like(result.before_kernels, value),
            before_norms=np.full_like(result.before_norms, value),
            before_sums=np.full_like(result.before_sums, value),
        )
        said = texts(figure(changed))
        assert any("NaN or infinite" in text for text in said) == (value != 0)
        assert changed.summary()["before_strongest"][0]["norm"] == (0.0 if value == 0 else None)


def test_rows_that_dilation_leaves_empty_are_not_drawn():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 3, dilation=6), nn.ReLU())
    result = ask(network, "conv2", 1)
    drawn = figure(result)
    assert result.before_kernels.shape == (4, 13, 13)
    for kernel, shown in zip(images(drawn), result.before_kernels, strict=True):
        np.testing.assert_array_equal(kernel, shown[::6, ::6])
    assert any("kernels of 13×13, without the rows" in text for text in texts(drawn))


def test_a_saved_result_is_drawn_the_same(result, tmp_path):
    netviz.draw(result, tmp_path / "a.png")
    again = netviz.load_result(result.save(tmp_path / "a.npz"))
    assert isinstance(again, Result)
    netviz.draw(again, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_narrow_page_has_blocks_below_each_other(result):
    drawn, _ = lay_out(lambda: figure(result), Page(width=3.5, font_size=8))
    tops = {text.get_text(): text.get_position()[1] for text in drawn.axes[0].texts}
    heading = next(y for text, y in tops.items() if text.startswith("built from"))
    classes = next(y for text, y in tops.items() if text.startswith("classes whose"))
    assert classes > heading
