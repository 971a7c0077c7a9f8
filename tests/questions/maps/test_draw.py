import json

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from netviz.questions.drawing import figure
from netviz.questions.maps.tiles import map_sheet
from netviz.questions.reader import load_result


def split(drawn):
    """Return the image's artist, the maps' artists and all text."""
    paper = drawn.axes[0]
    return paper.images[0], paper.images[1:], [text.get_text() for text in paper.texts]


def bar(drawn):
    (axes,) = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    return axes


def labels(drawn):
    return [label.get_text() for label in bar(drawn).get_xticklabels()]


def test_image_and_signed_maps(make_maps):
    maps = np.random.default_rng(0).standard_normal((6, 8, 4)).astype(np.float32)
    result = make_maps(maps[[5, 1, 3]], index=np.array([5, 1, 3]), units=np.array([1, 5]), channels=6)
    drawn = figure(result)
    image, tiles, texts = split(drawn)
    np.testing.assert_array_equal(image.get_array(), result.image)
    limit = float(np.abs(maps[[1, 5]]).max())
    for tile, unit in zip(tiles, (1, 5), strict=True):
        np.testing.assert_array_equal(tile.get_array(), maps[unit])
        assert tile.get_clim() == (-limit, limit)
        assert tile.get_interpolation() == "nearest"
        left, right, bottom, top = tile.get_extent()
        assert (bottom - top) == 2 * (right - left) >= 100
    assert texts[0] == "net · features.0 (conv1, conv) · photo"
    caption = " ".join(texts)
    for claim in (
        "maps 8\u00d74 (H\u00d7W)",
        "one scale for all maps",
        "2 of 6 units, by index",
        "64\u00d748 pixels",
    ):
        assert claim in caption
    assert "as the network saw it" in caption
    assert texts.index("1") < texts.index("5")
    assert bar(drawn).get_xlim() == (-limit, limit)


def test_non_negative_maps_start_at_zero(make_maps):
    maps = np.random.default_rng(1).random((4, 7, 7)) + 0.5
    drawn = figure(make_maps(maps, sort="max"))
    _, tiles, texts = split(drawn)
    high = float(maps.astype(np.float32).max())
    assert {tile.get_clim() for tile in tiles} == {(0, high)}
    assert {tile.get_cmap().name for tile in tiles} == {"netviz-sequential"}
    assert bar(drawn).get_xlim() == (0, high)
    assert "by maximum" in " ".join(texts)
    assert labels(drawn)[0] == "0"
    assert labels(drawn)[-1] == f"{high:.3g}"


def test_each_map_by_its_own_range(make_maps):
    maps = np.array([2.0, 0.25, 0.0]).reshape(3, 1, 1) * np.ones((3, 5, 5))
    drawn = figure(make_maps(maps, scale="each"))
    _, tiles, texts = split(drawn)
    assert [tile.get_clim() for tile in tiles] == [(0, 2), (0, 0.25), (0, 1)]
    assert {"max 2", "max 0.25", "max 0"} <= set(texts)
    assert labels(drawn) == ["0", "max"]
    assert "each map by its own range" in " ".join(texts)
    assert "1 map 0 everywhere" in " ".join(texts)
    signed = figure(make_maps(-maps, scale="each"))
    assert [tile.get_clim() for tile in split(signed)[1]] == [(-2, 2), (-0.25, 0.25), (-1, 1)]
    assert {"±2", "±0.25"} <= set(split(signed)[2])
    assert labels(signed) == ["\u2212max", "0", "max"]


def test_normalized_maps_say_so(make_maps):
    maps = np.random.default_rng(1).standard_normal((4, 7, 7))
    said = " ".join(split(figure(make_maps(maps, normalize="lcn")))[2])
    assert "after local contrast normalization" in said
    assert "normalized response of the unit" in said
    assert "normaliz" not in " ".join(split(figure(make_maps(maps)))[2])


def test_a_file_from_before_maps_could_be_normalized(make_maps, tmp_path):
    result = make_maps(np.ones((2, 3, 3)))
    path = result.save(tmp_path / "a.npz")
    with np.load(path) as saved:
        entries = dict(saved)
    facts = json.loads(str(entries["facts"]))
    assert facts.pop("normalize") == ""
    np.savez(path, **{**entries, "facts": np.array(json.dumps(facts))})
    assert load_result(path).facts() == result.facts()


def test_bad_values_are_masked_and_counted(make_maps):
    maps = np.ones((2, 3, 3))
    maps[0, 1, 1], maps[1, 0, 2] = np.nan, np.inf
    drawn = figure(make_maps(maps))
    _, tiles, texts = split(drawn)
    assert "2 values NaN or infinite (green)" in " ".join(texts)
    assert np.argwhere(tiles[0].get_array().mask).tolist() == [[1, 1]]
    assert np.argwhere(tiles[1].get_array().mask).tolist() == [[0, 2]]
    assert tiles[0].get_clim() == (0, 1)
    assert "not finite" in split(figure(make_maps(np.full((1, 3, 3), np.nan), scale="each")))[2]


def test_large_maps_are_averaged_and_it_is_said(make_maps):
    maps = np.random.default_rng(2).random((1, 900, 600)).astype(np.float32)
    _, (tile,), texts = split(figure(make_maps(maps)))
    (factor,) = {900 // tile.get_array().shape[0], 600 // tile.get_array().shape[1]}
    assert factor > 1
    assert f"a pixel is the mean of {factor}\u00d7{factor} positions" in " ".join(texts)
    np.testing.assert_allclose(
        tile.get_array()[1, 2], maps[0, factor : 2 * factor, 2 * factor : 3 * factor].mean()
    )


def test_nothing_overlaps_and_all_is_on_the_paper(make_maps):
    maps = np.random.default_rng(3).standard_normal((40, 6, 9))
    names = {"image_name": "w" * 80, "network": "n" * 200, "layer": "body." * 60, "alias": "conv999"}
    drawn = figure(make_maps(maps, scale="each", **names))
    width, height = drawn.bbox.width, drawn.bbox.height
    boxes = []
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        # Half a pixel of tolerance: neighbours may touch.
        boxes.append((box.x0 + 0.5, box.y0 + 0.5, box.x1 - 0.5, box.y1 - 0.5))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (50, 1, 1), (3, 7, 7), (2, 1, 500), (2, 400, 3), (0, 5, 5), (200, 7, 7)]
)
@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, np.nan])
def test_unusual_maps(make_maps, shape, value):
    for scale in ("shared", "each", "range"):
        drawn = figure(make_maps(np.full(shape, value)[:200], scale=scale, percentile=99.0))
        assert len(split(drawn)[1]) == (0 if 1 in shape[1:] else min(shape[0], 200))
        assert max(drawn.get_size_inches()) <= 24


def test_many_maps_stay_on_one_sheet(make_maps):
    drawn = figure(make_maps(np.ones((1280, 7, 7))))
    assert max(drawn.get_size_inches()) <= 24
    for tile in split(drawn)[1]:
        left, right, _, _ = tile.get_extent()
        assert right - left >= 14


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (500, 40), (224, 224), (600, 800)])
def test_the_image_keeps_its_proportions(make_maps, size):
    picture = np.zeros((*size, 3), dtype=np.uint8)
    image, _, _ = split(figure(make_maps(np.ones((1, 2, 2)), image=picture)))
    left, right, bottom, top = image.get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0], rel=0.03)
    assert max(right - left, bottom - top) <= 256


def test_one_number_for_a_unit_is_a_bar(make_maps):
    values = np.random.default_rng(4).standard_normal(70).astype(np.float32)
    values[3] = np.nan
    drawn = figure(make_maps(values[:, None, None]))
    rows = [axes for axes in drawn.axes if axes.get_label() == "bars"]
    first, bad, rest, _ = (collection for axes in rows for collection in axes.collections)
    heights = [path[1, 1] for path in [*first.get_segments(), *rest.get_segments()]]
    np.testing.assert_array_equal(np.array(heights, dtype=np.float32), np.delete(values, 3))
    assert [path[0, 0] for path in bad.get_segments()] == [3]
    assert len({axes.get_ylim() for axes in rows}) == 1
    assert [label.get_text() for label in rows[1].get_xticklabels()] == ["64", "68"]
    assert not [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert "1 value NaN or infinite (green)" in " ".join(split(drawn)[2])


def test_a_row_of_positions_is_drawn_as_bars(make_maps):
    maps = np.array([[[0.5, -1.0, 0.0, np.nan]], [[2.0, 1.0, -1.0, 2.0]]])
    drawn = figure(make_maps(maps, scale="each"))
    assert not split(drawn)[1]
    bars = [
        [(y - other) for (_, y), (_, other) in one.get_segments()]
        for one in drawn.axes[0].collections
        if isinstance(one, LineCollection) and len(one.get_segments()) == 4
    ]
    # Up from 0, in the middle, as far as half of the tile for the map's own largest value; NaN takes all of it.
    half = bars[1][0]
    np.testing.assert_allclose(bars, [[half / 2, -half, 0, -2 * half], [half, half / 2, -half / 2, half]])
    said = " ".join(split(drawn)[2])
    assert "a bar for each position, from left to right" in said
    assert "±2" in said
    assert "from top to bottom" in " ".join(split(figure(make_maps(maps.swapaxes(1, 2))))[2])
    assert [axes.get_label() for axes in drawn.axes] == [""]


def test_a_large_mean_leaves_room_for_what_varies(make_maps):
    maps = 50 + np.arange(9.0).reshape(1, 3, 3) / 100 * np.array([1, -1]).reshape(2, 1, 1)
    drawn = figure(make_maps(maps, scale="range"))
    _, tiles, texts = split(drawn)
    np.testing.assert_allclose([tile.get_clim() for tile in tiles], [(50, 50.08), (49.92, 50)], rtol=1e-6)
    assert {"50 … 50.08", "49.92 … 50"} <= set(texts)
    assert labels(drawn) == ["low", "high"]
    said = " ".join(texts)
    assert "each map from its smallest to its largest value" in said
    assert "brighter is higher" in said
    # The same share of the way from low to high, whatever the mean.
    assert np.array_equal(
        *(map_sheet(make_maps(one, scale="range")).pixels for one in (maps[:1], maps[:1] - 50))
    )


@pytest.mark.parametrize(("scale", "ends"), [("each", [(0, 1), (0, 2)]), ("shared", [(0, 2), (0, 2)])])
def test_a_border_does_not_set_the_scale(make_maps, scale, ends):
    maps = np.array([1.0, 2.0]).reshape(2, 1, 1) * np.ones((2, 20, 20))
    maps[:, 0, :2] = 1000
    drawn = figure(make_maps(maps, scale=scale, percentile=99.0))
    _, tiles, texts = split(drawn)
    np.testing.assert_allclose([tile.get_clim() for tile in tiles], ends, rtol=1e-6)
    said = " ".join(texts)
    assert "percentile 99 of" in said
    assert "0.5 % of the values lie beyond its ends" in said
    assert ("end 2" in texts) == (scale == "each")
    # Without a percentile the scale ends at what lies inside of a border that stands out.
    maps[:, 0, :2] = 1.4
    maps[1, 0, 0] = 4
    _, tiles, texts = split(figure(make_maps(maps, scale=scale)))
    assert [tile.get_clim() for tile in tiles] == [
        (0, pytest.approx(1.4)) if scale == "each" else (0, 2),
        (0, 2),
    ]
    assert "border stands out" in " ".join(texts)
    assert "lie beyond its ends" in " ".join(texts)
