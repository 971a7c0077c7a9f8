import dataclasses
import itertools

import numpy as np
import pytest

from netviz.paper import style, words
from netviz.paper.scales import colourise
from netviz.questions.drawing import figure
from netviz.questions.stages.result import Column, StagesResult


def column(key, kind="conv", what_if=False, zero=0.0, saturated=None, where="", note="Conv2d"):
    title = key.removeprefix("what_if_")
    return Column(key, title, kind, "" if what_if else f"net.{key}", what_if, zero, saturated, where, note)


def make(
    units=(3, 0), channels=5, inputs=3, kernel=(3, 3), size=(12, 8), pooled=(6, 4), what_if=True, **facts
) -> StagesResult:
    rng = np.random.default_rng(7)
    conv = rng.standard_normal((channels, *size)).astype(np.float32)
    maps = {"conv1": conv, "relu1": np.maximum(conv, 0), "pool1": rng.random((channels, *pooled), np.float32)}
    columns = [
        column("conv1"),
        column("relu1", "relu", zero=0.5, saturated=0.5, where="y = 0", note="ReLU"),
        column("pool1", "pool", note="MaxPool2d 2\u00d72, step 2"),
    ]
    if what_if:
        maps["what_if_tanh"] = np.tanh(conv)
        columns.append(column("what_if_tanh", "tanh", True, 0.0, 0.1234, "|y| > 0.95", "of conv1"))
    values = {
        "filters": rng.standard_normal((len(units), inputs, *kernel)).astype(np.float32),
        "image": rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
        "units": np.array(units),
        "maps": maps,
        "columns": tuple(columns),
        "also_read_by": (("relu1", "side1"),),
        "next": "conv2",
        "network": "net",
        "layer": "features.0",
        "alias": "conv1",
        "image_name": "photo",
        "channels": channels,
        "groups": 1,
        "transposed": False,
        "sees_image": inputs == 3,
        "channel_order": "RGB",
        "sort": "activity",
        "window": 3,
        "step": 2,
    }
    return StagesResult(**{**values, **facts})


def texts(drawn) -> list[str]:
    return [text.get_text() for text in drawn.axes[0].texts]


def extent(artist):
    left, right, bottom, top = artist.get_extent()
    return left, top, right - left, bottom - top


def test_rows_are_units_and_columns_are_stages():
    result = make()
    drawn = figure(result)
    image, *tiles = drawn.axes[0].images
    np.testing.assert_array_equal(image.get_array(), result.image)
    assert len(tiles) == 2 * 5
    for row, unit in enumerate((3, 0)):
        filter_tile, *maps = tiles[5 * row : 5 * row + 5]
        weights = result.filters[row].astype(np.float64)
        zoom = filter_tile.get_array().shape[0] // 3
        expected = colourise(np.moveaxis(weights / np.abs(weights).max(), 0, -1), "rgb")
        np.testing.assert_array_equal(filter_tile.get_array()[::zoom, ::zoom], expected)
        for tile, (name, values) in zip(maps, result.maps.items(), strict=True):
            np.testing.assert_array_equal(tile.get_array(), values[unit])
            peak = float(np.abs(values[unit]).max())
            signed = name in ("conv1", "what_if_tanh")
            assert tile.get_clim() == (-peak if signed else 0, peak)
            assert tile.get_cmap().name == f"netviz-{'diverging' if signed else 'sequential'}"
            _, _, width, height = extent(tile)
            assert width / values.shape[2] == height / values.shape[1] == width // values.shape[2]
            assert f"{'±' if signed else 'max '}{peak:.3g}" in texts(drawn)
        tops = {extent(tile)[1] for tile in tiles[5 * row : 5 * row + 5]}
        assert len(tops) == 1
    lefts = [extent(tile)[0] for tile in tiles[:5]]
    assert lefts == [extent(tile)[0] for tile in tiles[5:]] == sorted(lefts)
    gaps = [right - left for left, right in itertools.pairwise(lefts)]
    assert gaps[3] >= gaps[2] + 20, "what-ifs stand apart"


def test_what_the_picture_says():
    drawn = figure(make())
    said = " ".join(texts(drawn))
    for claim in (
        "net · stages of features.0 (conv1) · photo",
        "conv1 → relu1 → pool1, then conv2",
        "2 of 5 units, largest maxima at pool1",
        "shares are those of the whole layer",
        "relu1 is also read by side1",
        "in the network",
        "what if",
        "12\u00d78",
        "6\u00d74",
        "50 % zeros",
        "no zeros",
        "12 % saturated: |y| > 0.95",
        "MaxPool2d 2\u00d72 step 2",
        "3\u00d73, RGB",
        "64\u00d748 pixels",
        "each tile by its own largest absolute value, written under it",
    ):
        assert claim in said
    # What a ReLU sets to zero is told once.
    assert said.count("saturated") == 1
    bars = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert [axes.get_xlim() for axes in bars] == [(-1, 1), (0, 1), (-1, 1)]
    plain = " ".join(texts(figure(make(what_if=False, sort="asked", also_read_by=()))))
    assert "what if" not in plain
    assert "as asked" in plain
    assert "also read" not in plain


def test_filters_of_many_inputs():
    rng = np.random.default_rng(0)
    result = make(inputs=4, sees_image=False)
    drawn = figure(result)
    tile = drawn.axes[0].images[1].get_array()
    weights = result.filters[0].astype(np.float64)
    assert "3\u00d73, all 4 inputs" in " ".join(texts(drawn))
    corner = colourise(weights / np.abs(weights).max(), "diverging")
    np.testing.assert_array_equal(tile[0, 0], corner[0, 0, 0])
    np.testing.assert_array_equal(tile[0, -1], corner[1, 0, -1])
    np.testing.assert_array_equal(tile[-1, 0], corner[2, -1, 0])
    assert len([axes for axes in drawn.axes if axes.get_label() == "scale"]) == 2
    many = rng.standard_normal((2, 300, 3, 3)).astype(np.float32)
    many[0, 217] *= 9
    drawn = figure(make(inputs=300, sees_image=False, filters=many))
    assert "16 strongest of 300 inputs" in " ".join(texts(drawn))
    first = colourise(many[0, 217].astype(np.float64) / np.abs(many[0]).max(), "diverging")
    np.testing.assert_array_equal(drawn.axes[0].images[1].get_array()[0, 0], first[0, 0])
    depthwise = make(inputs=1, sees_image=False, groups=5)
    assert "3\u00d73, one input" in " ".join(texts(figure(depthwise)))
    grouped = make(inputs=4, sees_image=False, groups=2)
    assert "all 4 inputs of each group" in " ".join(texts(figure(grouped)))


def test_blue_green_red_is_shown_in_its_colours():
    filters = np.zeros((2, 3, 1, 1), np.float32)
    filters[:, 0] = 1
    drawn = figure(make(filters=filters, channel_order="BGR"))
    assert drawn.axes[0].images[1].get_array()[0, 0].tolist() == [128, 128, 255]


def test_large_maps_are_averaged_and_it_is_said():
    result = make(size=(320, 480), pooled=(160, 240))
    drawn = figure(result)
    tile = drawn.axes[0].images[2].get_array()
    factor = -(-320 // tile.shape[0])
    assert f"means of {factor}\u00d7{factor}" in " ".join(texts(drawn))
    means = result.maps["conv1"][3].reshape(320 // factor, factor, -1, factor).mean((1, 3))
    np.testing.assert_allclose(tile, means, atol=1e-6)
    assert drawn.axes[0].images[2].get_clim()[1] == pytest.approx(np.abs(means).max(), rel=1e-5)
    said = " ".join(" ".join(texts(drawn)).split())
    assert "colours end at the largest mean, and the numbers are the maps' own" in said
    for key in ("conv1", "relu1", "pool1"):
        highest = np.abs(result.maps[key][3]).max()
        sign = "\u00b1" if (result.maps[key][3] < 0).any() else "max "
        assert f"{sign}{words.number(highest)}" in texts(drawn)


def test_odd_values():
    result = make()
    conv = result.maps["conv1"].copy()
    conv[3, 0, 0] = np.nan
    conv[0] = 0
    drawn = figure(dataclasses.replace(result, maps={**result.maps, "conv1": conv}))
    assert drawn.axes[0].images[2].get_array().mask[0, 0]
    assert "1 value NaN or infinite (green)" in " ".join(texts(drawn))
    assert "max 0" in texts(drawn)


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (90, 2), (7, 7), (224, 224)])
@pytest.mark.parametrize("count", [1, 90])
def test_nothing_is_cut_off(size, count):
    result = make(units=range(count), channels=count, size=size, pooled=(1, 1))
    drawn = figure(
        dataclasses.replace(
            result,
            image_name="n" * 200,
            network="m" * 90,
            next="k" * 200,
            also_read_by=(("relu1", "r" * 90),) * 9,
        )
    )
    width, height = drawn.bbox.width, drawn.bbox.height
    assert max(width, height) <= style.LARGEST
    boxes = [artist.get_window_extent() for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
    if count == 90:
        assert "the first 36 are drawn" in " ".join(texts(drawn))
    tiles = [artist.get_window_extent() for artist in drawn.axes[0].images]
    for number, one in enumerate(tiles):
        assert not any(
            one.x0 < two.x1 - 1e-6
            and two.x0 < one.x1 - 1e-6
            and one.y0 < two.y1 - 1e-6
            and two.y0 < one.y1 - 1e-6
            for two in tiles[:number]
        )
