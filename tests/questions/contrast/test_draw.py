import dataclasses

import numpy as np
import pytest

from netviz.questions.contrast.draw import arrange, scale_of
from netviz.questions.contrast.result import ContrastResult
from netviz.questions.drawing import figure
from support.pictures import texts


def make(channels: int = 5, height: int = 12, width: int = 16, **facts) -> ContrastResult:
    rng = np.random.default_rng(3)
    maps = rng.standard_normal((2, channels, height, width)).astype(np.float32)
    local = rng.random((4, height, width)).astype(np.float32)
    values = {
        "before": 10 * maps[0],
        "after": maps[1],
        "local_mean_before": local[0],
        "local_std_before": local[1],
        "local_mean_after": local[2] - 0.5,
        "local_std_after": local[3],
        "image": rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
        "units": np.arange(channels),
        "network": "net",
        "layer": "features.0",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": channels,
        "image_name": "photo",
        "method": "lcn",
        "window": 7,
        "sigma": 1.2374,
        "across": "maps",
        "constants": "",
        "recorded": "",
        "c": 0.5,
        "floor_share": 0.46,
    }
    return ContrastResult(**{**values, **facts})


def labelled(drawn, label):
    return [axes for axes in drawn.axes if axes.get_label() == label]


def test_before_and_after_in_the_same_order():
    result = make(units=np.array([3, 1]))
    drawn = figure(result)
    images = drawn.axes[0].images
    assert len(images) == 2 + 2 + 1 + 4
    for first, maps in ((0, result.before), (2, result.after)):
        # The scale holds 99.5 % of what is drawn, by its size; it is the same for all maps of a block.
        limit = float(np.quantile(np.abs(maps[[3, 1]]), 0.995))
        for image, unit in zip(images[first : first + 2], (3, 1), strict=True):
            np.testing.assert_array_equal(image.get_array(), maps[unit])
            assert image.get_clim() == pytest.approx((-limit, limit))
            assert image.get_cmap().name == "netviz-diverging"
    lefts = [image.get_extent()[0] for image in images[:4]]
    assert lefts[2] - lefts[0] == lefts[3] - lefts[1] > 700
    np.testing.assert_array_equal(images[4].get_array(), result.image)
    for image, values, signed in zip(
        images[5:],
        (
            result.local_mean_before,
            result.local_std_before,
            result.local_mean_after,
            result.local_std_after,
        ),
        (True, False, True, False),
        strict=True,
    ):
        np.testing.assert_array_equal(image.get_array(), values)
        high = float(np.abs(values).max())
        assert image.get_clim() == pytest.approx((-high if signed else 0, high))


def test_every_scale_is_declared():
    drawn = figure(make())
    images = drawn.axes[0].images
    bars = labelled(drawn, "scale")
    drawn_on = [images[0], images[5], *images[11:]]
    assert len(bars) == len(drawn_on) == 6
    for bar, image in zip(bars, drawn_on, strict=True):
        assert bar.get_xlim() == pytest.approx(image.get_clim())
        assert len([label for label in bar.get_xticklabels() if label.get_text()]) == 3
    assert "0.5 % of the values lie beyond its ends" in texts(drawn)


def test_each_map_by_its_own_range():
    result = make(scale="each")
    drawn = figure(result)
    images = drawn.axes[0].images[:10]
    ends = [
        float(np.abs(maps[unit]).max()) for maps in (result.before, result.after) for unit in result.units
    ]
    assert [image.get_clim()[1] for image in images] == pytest.approx(ends)
    said = [text.get_text() for text in drawn.axes[0].texts]
    assert {f"±{end:.3g}" for end in ends} <= set(said)
    assert [label.get_text() for label in labelled(drawn, "scale")[0].get_xticklabels()] == [
        "\u2212max",
        "0",
        "max",
    ]


def test_what_lrn_divides_by_is_said():
    before = np.random.default_rng(2).random((5, 12, 16)).astype(np.float32)
    after = before / np.linspace(1, 3, before.size, dtype=np.float32).reshape(before.shape)
    said = texts(figure(make(method="lrn", before=before, after=after, c=None, floor_share=None)))
    assert "values are divided by 1 … 3, half of them by less than 2" in said


def test_histograms_count_every_value():
    result = make(units=np.array([0]))
    one, other = labelled(figure(result), "histogram")
    for axes, values in ((one, result.before), (other, result.after)):
        counts = axes.patches[0].get_data().values
        assert counts.sum() == values.size
        np.testing.assert_array_equal(
            counts, np.histogram(values, bins=len(counts), range=(values.min(), values.max()))[0]
        )
        assert axes.get_yscale() == "log"
        assert axes.get_xlim() == pytest.approx((values.min(), values.max()))


def test_what_the_caption_says():
    result = make()
    said = texts(figure(result))
    for claim in (
        "net · features.0 (conv1, conv) · photo · local contrast normalization",
        "y = (x \u2212 m) / max(c, s)",
        "Gaussian window 7\u00d77, sigma 1.24 positions, spanning all maps",
        "c = 0.5, the mean of s, divides at 46 % of the positions",
        f"the local mean is 0 within {np.abs(result.local_mean_after).max():.3g}",
        "the local std, where s is above c",
        "maps 12\u00d716 (H\u00d7W)",
        "5 of 5 units",
        "output of features.0",
    ):
        assert claim in said
    above = result.local_std_after[result.local_std_before >= 0.5]
    low, high = np.quantile(above, (0.05, 0.95))
    assert f"{low:.2f}–{high:.2f}" in said
    assert "each map by itself" in texts(figure(make(across="each")))
    plain = {"c": None, "floor_share": None}
    said = texts(figure(make(method="lrn", constants="paper", **plain)))
    assert "k = 2, \u03b1 = 1e-4, β = 0.75 (Krizhevsky's constants)" in said
    assert "after it" not in said
    said = texts(figure(make(method="lrn", constants="pytorch", **plain)))
    assert "k = 1, \u03b1 = 1e-4 / 5, β = 0.75 (PyTorch's constants)" in said
    said = texts(figure(make(method="batch", recorded="features.1", **plain)))
    assert "what the batch norm features.1 read" in said
    assert "as the network applies it, recorded" in said


def test_scales():
    scale, beyond = scale_of(np.array([0.0, 1.0, 4.0]))
    assert (scale.low, scale.high, scale.colours, beyond) == (0, 4, "sequential", 0)
    scale, beyond = scale_of(np.array([-1.0, 0.5]))
    assert (scale.low, scale.high, scale.colours) == (-1, 1, "diverging")
    values = np.concatenate([np.linspace(0, 1, 999), [100.0]])
    scale, beyond = scale_of(values, 0.995)
    assert 0.99 < scale.high < 1
    assert beyond == pytest.approx(0.005)
    # Nearly all zeros: the scale is that of the few others.
    assert scale_of(np.array([0.0] * 999 + [2.0]), 0.995)[0].high == 2
    assert scale_of(np.zeros(4))[0].high == 1
    assert scale_of(np.array([np.nan, -3.0]))[0].high == 3


@pytest.mark.parametrize("side", [1, 7, 28, 56, 112, 128, 500])
@pytest.mark.parametrize("count", [1, 2, 36, 200, 1280])
def test_layouts(count, side):
    grid = arrange(count, side, side)
    assert grid.columns * grid.rows >= count > grid.columns * (grid.rows - 1)
    assert grid.columns * grid.cell[1] <= grid.width + 6
    assert grid.height <= 1850
    if (count, side) == (36, 128):
        assert grid.reduction == 1
    assert grid.zoom == 1 or grid.reduction == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "image"),
    [((1, 1, 1), (8, 8)), ((40, 6, 90), (16, 300)), ((3, 90, 6), (300, 16)), ((300, 5, 5), (500, 700))],
)
def test_nothing_overlaps_and_all_is_on_the_paper(shape, image):
    pixels = np.zeros((*image, 3), dtype=np.uint8)
    names = {"image_name": "w" * 80, "network": "n" * 200, "layer": "body." * 60, "alias": "conv999"}
    result = make(*shape, image=pixels, method="batch", recorded="x" * 200, **names)
    drawn = figure(dataclasses.replace(result, before=1e-7 * result.before, c=None, floor_share=None))
    drawn.canvas.draw()
    width, height = drawn.bbox.width, drawn.bbox.height
    assert max(width, height) <= 2400
    extents = [artist.get_window_extent() for artist in (*drawn.axes[0].images, *drawn.axes[0].texts)]
    # Scales and histograms with the numbers on their axes.
    extents += [axes.get_tightbbox() for axes in drawn.axes[1:]]
    boxes = []
    for box in extents:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        boxes.append((box.x0 + 0.5, box.y0 + 0.5, box.x1 - 0.5, box.y1 - 0.5))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, (a, b)


@pytest.mark.parametrize("value", [0.0, 3.0, 4e18, np.nan])
def test_unusual_maps(value):
    flat = np.full((4, 9, 9), value, dtype=np.float32)
    drawn = figure(make(4, 9, 9, before=flat, after=0 * flat, local_std_before=flat[0]))
    assert ("NaN or infinite" in texts(drawn)) == bool(np.isnan(value))
