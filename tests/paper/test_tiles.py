import math

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import Normalize

from netviz.paper.scales import Scale, colour_bar
from netviz.paper.style import BAR, rgb
from netviz.paper.tiles import columns_for, reduce_blocks
from netviz.questions.filters.tiles import filter_sheet
from netviz.questions.maps.tiles import map_sheet

GREEN = (0, 200, 83)
NAMES = {"diverging": "RdBu_r", "sequential": "magma"}


def painted(values, low, high, colours):
    """Colours by matplotlib itself, at as many levels as a palette leaves room for."""
    table = matplotlib.colormaps[NAMES[colours]].resampled(249)
    return table(Normalize(low, high)(np.asarray(values, dtype=float)), bytes=True)[..., :3]


def grey(values, limit):
    return np.array([[[round(127.5 + 127.5 * v / limit) for v in p] for p in row] for row in values])


def tile(sheet, index):
    left, top = sheet.corner(index)
    return sheet.pixels[top : top + sheet.tile_height, left : left + sheet.tile_width]


def test_signed_tiles_are_the_weights_enlarged(make_filters):
    weight = np.random.default_rng(0).standard_normal((5, 1, 2, 3)).astype(np.float32)
    sheet = filter_sheet(make_filters(weight, groups=5, units=np.array([4, 0, 2])), zoom=4, gap=2, columns=2)
    assert (sheet.rows, sheet.columns, sheet.tile_height, sheet.tile_width, sheet.gap) == (2, 2, 8, 12, 2)
    assert sheet.pixels.shape == (2 + 2 * 10, 2 + 2 * 14, 3)
    assert sheet.pixels.dtype == np.uint8
    assert (sheet.units, sheet.layout, sheet.enlargement, sheet.reduction) == ((4, 0, 2), "tiles", 4, 1)
    limit = max(abs(float(v)) for unit in (4, 0, 2) for v in weight[unit].ravel())
    assert sheet.scale == Scale(-limit, limit, "diverging", False)
    for index, unit in enumerate((4, 0, 2)):
        expected = painted(weight[unit, 0], -limit, limit, "diverging")
        for y in range(8):
            for x in range(12):
                assert tuple(tile(sheet, index)[y, x]) == tuple(expected[y // 4, x // 4])


def test_everything_outside_the_tiles_is_paper_or_frame(make_filters):
    sheet = filter_sheet(make_filters(np.ones((3, 1, 3, 3)), groups=3), zoom=2, gap=4, columns=2)
    outside = np.ones(sheet.pixels.shape[:2], dtype=bool)
    for index in range(3):
        left, top = sheet.corner(index)
        outside[top : top + 6, left : left + 6] = False
        assert tuple(sheet.pixels[top - 1, left]) == tuple(sheet.pixels[top + 6, left + 5]) == (208, 215, 222)
    assert {tuple(p) for p in sheet.pixels[outside]} == {(255, 255, 255), (208, 215, 222)}
    left, top = sheet.corner(3)
    assert (sheet.pixels[top : top + 6, left : left + 6] == 255).all()


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("scale", ["shared", "each"])
def test_colour_tiles_are_display_colours_around_mid_grey(make_filters, order, scale):
    weight = np.random.default_rng(1).standard_normal((4, 3, 3, 3))
    weight[2] = 0
    sheet = filter_sheet(make_filters(weight, sees_image=True, channel_order=order, scale=scale), zoom=1)
    assert (sheet.layout, sheet.scale.colours, sheet.scale.per_tile) == ("rgb", "rgb", scale == "each")
    for unit in range(4):
        limit = np.abs(weight[unit] if scale == "each" else weight).max() or 1.0
        shown = weight[unit][::-1] if order == "BGR" else weight[unit]
        np.testing.assert_array_equal(tile(sheet, unit), grey(shown.transpose(1, 2, 0), limit))
    assert (tile(sheet, 2) == 128).all()


def test_a_matrix_has_a_row_per_unit_and_a_column_per_input(make_filters):
    weight = np.random.default_rng(2).standard_normal((4, 40, 3, 3))
    sheet = filter_sheet(make_filters(weight, scale="each", units=np.array([3, 1])), zoom=2)
    assert (sheet.layout, sheet.rows, sheet.columns, sheet.inputs) == ("matrix", 2, 32, 40)
    assert (sheet.scale.low, sheet.scale.high, sheet.scale.per_tile) == (-1, 1, True)
    for row, unit in enumerate((3, 1)):
        limit = np.abs(weight[unit]).max()
        assert sheet.peaks[row] == limit
        assert (sheet.pixels[sheet.corner(row * 32)[1] - 1] == 255).all()
        for column in (0, 7, 31):
            expected = painted(weight[unit, column], -limit, limit, "diverging")
            np.testing.assert_array_equal(tile(sheet, row * 32 + column)[::2, ::2], expected)


def test_one_weight_per_channel_shows_more_inputs(make_filters):
    assert filter_sheet(make_filters(np.ones((2, 80, 1, 1)))).columns == 80
    assert filter_sheet(make_filters(np.ones((2, 200, 1, 1)))).columns == 96
    assert filter_sheet(make_filters(np.ones((2, 200, 1, 1))), inputs=10).columns == 10


def test_transposed_filters_are_shown_by_unit(make_filters):
    weight = np.random.default_rng(3).standard_normal((2, 3, 2, 2))
    sheet = filter_sheet(make_filters(weight, transposed=True, units=np.arange(3)), zoom=1)
    assert (sheet.rows, sheet.columns) == (3, 2)
    limit = np.abs(weight).max()
    expected = painted(weight[1, 2], -limit, limit, "diverging")
    np.testing.assert_array_equal(tile(sheet, 2 * 2 + 1), expected)


@pytest.mark.parametrize("scale", ["shared", "each"])
@pytest.mark.parametrize("signed", [True, False])
def test_maps_are_coloured_on_their_scale(make_maps, scale, signed):
    maps = np.random.default_rng(4).random((3, 5, 7)).astype(np.float32) * np.array([1, 10, 0])[:, None, None]
    if signed:
        maps[1, 0, 0] = -3
    sheet = map_sheet(make_maps(maps, scale=scale), size=21, columns=3)
    colours = "diverging" if signed else "sequential"
    assert (sheet.scale.colours, sheet.scale.per_tile) == (colours, scale == "each")
    assert (sheet.enlargement, sheet.tile_height, sheet.tile_width) == (3, 15, 21)
    for unit in range(3):
        high = float(np.abs(maps[unit] if scale == "each" else maps).max()) or 1.0
        low = -high if signed else 0.0
        assert signed == (sheet.scale.low < 0)
        expected = painted(maps[unit].astype(float), low, high, colours)
        np.testing.assert_array_equal(tile(sheet, unit)[1::3, 1::3], expected)
        np.testing.assert_array_equal(tile(sheet, unit)[::3, 2::3], expected)


def test_large_maps_are_block_means(make_maps):
    maps = np.random.default_rng(6).random((2, 9, 7))
    sheet = map_sheet(make_maps(maps), limit=4, size=1)
    assert (sheet.reduction, sheet.tile_height, sheet.tile_width) == (3, 3, 3)
    raw = maps.astype(np.float32).astype(float)
    means = [[raw[1, y : y + 3, x : x + 3].mean() for x in (0, 3, 6)] for y in (0, 3, 6)]
    np.testing.assert_array_equal(tile(sheet, 1), painted(means, 0, raw.max(), "sequential"))


def test_block_means_leave_nan_where_it_is():
    maps = np.arange(20.0).reshape(1, 4, 5)
    maps[0, 0, 0] = np.nan
    reduced = reduce_blocks(maps, 2)
    np.testing.assert_allclose(reduced[0], [[np.nan, (2 + 3 + 7 + 8) / 4, 6.5], [13, 15, 16.5]])


def test_what_has_no_place_on_a_scale_is_green_and_counted(make_maps, make_filters):
    maps = np.ones((2, 4, 4))
    maps[0, 1, 2], maps[1, 3, 3], maps[1, 0, 0] = np.nan, np.inf, -np.inf
    sheet = map_sheet(make_maps(maps), size=4)
    assert sheet.bad == 3
    assert sheet.scale == Scale(0.0, 1.0, "sequential", False)
    assert (sheet.pixels == GREEN).all(axis=-1).sum() == 3
    weight = np.zeros((2, 3, 2, 2))
    weight[1, 0, 0, 0] = np.nan
    coloured = filter_sheet(make_filters(weight, sees_image=True), zoom=1)
    assert coloured.bad == 1
    assert (coloured.pixels == GREEN).all(axis=-1).sum() == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (2, 300, 2), (0, 4, 4)])
def test_unusual_maps(make_maps, shape):
    sheet = map_sheet(make_maps(np.zeros(shape)))
    assert sheet.rows * sheet.columns >= shape[0]
    assert max(sheet.tile_height, sheet.tile_width) <= 160
    assert (sheet.scale.low, sheet.scale.high) == (0, 1)


@pytest.mark.parametrize("colours", ["diverging", "sequential", "rgb"])
def test_colour_bar_runs_from_low_to_high(colours):
    bar = colour_bar(Scale(-2, 2, colours, False), width=31, height=5)
    assert bar.shape == (5, 31, 3)
    assert (bar == bar[0]).all()
    if colours == "rgb":
        assert (tuple(bar[0, 0]), tuple(bar[0, 15]), tuple(bar[0, 30])) == ((0,) * 3, (128,) * 3, (255,) * 3)
    else:
        np.testing.assert_array_equal(bar[0], painted(np.linspace(0, 1, 31), 0, 1, colours))


@pytest.mark.parametrize("count", [1, 2, 7, 16, 32, 64, 100, 1280])
def test_grids_are_near_square_and_well_filled(count):
    columns = columns_for(count, 10, 10, 1.3)
    rows = math.ceil(count / columns)
    assert rows * columns - count < columns
    assert 0.3 <= columns / rows <= 5
    assert columns_for(0, 10, 10) == 1


def bar_heights(pixels):
    return (pixels == rgb(BAR)).all(axis=-1).sum(axis=0)


@pytest.mark.parametrize("values", [[3.0, 1.5, 0.0], [2.0, -1.0, 1.0], [-2.0, -1.0, 0.0]])
def test_maps_of_one_position_are_bars_on_one_scale(make_maps, values):
    sheet = map_sheet(make_maps(np.array(values).reshape(3, 1, 1), scale="each"), size=120)
    assert (sheet.layout, sheet.scale.per_tile) == ("bars", False)
    assert (sheet.scale.low, sheet.scale.high) == (min(*values, 0.0), max(values))
    heights = np.array([bar_heights(tile(sheet, unit)).max() for unit in range(3)])
    share = np.abs(values) / (sheet.scale.high - sheet.scale.low)
    # The row of 0 belongs to every bar.
    np.testing.assert_allclose(heights, share * (sheet.tile_height - 1) + 1, atol=1)


def test_maps_of_one_row_are_bars_on_their_own_scales(make_maps):
    maps = np.array([[[1.0, 2.0, np.nan, 4.0]], [[10.0, 20.0, 30.0, 40.0]]])
    sheet = map_sheet(make_maps(maps, scale="each"), size=40)
    assert (sheet.layout, sheet.tile_width, sheet.peaks, sheet.bad) == ("bars", 40, (4, 40), 1)
    first, second = bar_heights(tile(sheet, 0))[5::10], bar_heights(tile(sheet, 1))[5::10]
    assert first.tolist() == [6, 10, 0, 20]
    assert second.tolist() == [6, 10, 15, 20]
    assert (tile(sheet, 0)[:, 25] == GREEN).all()


def test_a_border_that_stands_out_sets_no_scale_of_a_sheet(make_maps):
    maps = np.ones((2, 20, 20))
    maps[0, 5, 5], maps[0, 0, 3] = 2, 9
    sheet = map_sheet(make_maps(maps, scale="each"), size=20)
    assert (sheet.peaks, sheet.bordered, sheet.beyond) == ((2, 1), 1, 1 / 800)
    np.testing.assert_array_equal(tile(sheet, 0)[5, 5], painted([9.0], 0, 2, "sequential")[0])
