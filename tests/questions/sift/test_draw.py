import dataclasses

import numpy as np
import pytest

from netviz.paper.page import Page, lay_out, smallest_points
from netviz.questions.drawing import figure
from netviz.questions.sift.result import MatchResult, SiftResult
from support.pictures import texts

METHODS = ("SIFT", "layer", "normalized")
STRENGTHS = {
    "rotation": (10, 20, 45),
    "scale": (0.6, 1.6),
    "illumination": (-1, 1),
    "perspective": (0.02, 0.1),
}


def make(count: int = 5, height: int = 96, width: int = 96, units: int = 8, **facts) -> SiftResult:
    rng = np.random.default_rng(2)
    values = {
        "keypoints": rng.uniform(10, min(height, width) - 10, (count, 2)).astype(np.float32),
        "scales": rng.uniform(0.8, 4, count).astype(np.float32),
        "orientations": rng.uniform(-3, 3, count).astype(np.float32),
        "patches": rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8),
        "descriptors": rng.uniform(0, 0.3, (count, 4, 4, 8)).astype(np.float32),
        "layer_raw": rng.normal(size=(count, 20)).astype(np.float32),
        "layer_normalized": rng.normal(size=(count, 20)).astype(np.float32),
        "clamped": np.zeros(count, dtype=bool),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "stage_orientations": rng.uniform(size=(8, 64, 64)).astype(np.float32),
        "stage_cells": rng.uniform(size=(8, 4, 4)).astype(np.float32),
        "stage_filters": rng.normal(size=(units, 3, 5, 5)).astype(np.float32),
        "stage_units": np.arange(units),
        "stage_maps": rng.normal(size=(units, 12, 15)).astype(np.float32),
        "stage_normalized": rng.normal(size=(units, 12, 15)).astype(np.float32),
        "network": "net",
        "layer": "features.3",
        "alias": "conv2",
        "layer_kind": "conv",
        "channels": 20,
        "image_name": "photo",
        "window": 7,
        "found": 321,
        "field_size": (11.0, 11.0),
        "field_stride": (4.0, 4.0),
        "field_status": "exact",
        "first_conv": "conv1",
        "convolutions": 2,
        "poolings": 1,
        "norms": 0,
    }
    return SiftResult(**{**values, **facts})


def make_match(side: int = 96, **facts) -> MatchResult:
    rng = np.random.default_rng(4)
    rows = []
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            for place, method in enumerate(METHODS):
                count = {"kind": kind, "strength": float(strength), "method": method, "keypoints": 60}
                right = int(rng.integers(5, 25)) + place
                found = {"keypoints_warped": 50, "matchable": 40, "matches": 30}
                rows.append({**count, **found, "right": right, "precision": right / 30})
    totals = []
    for kind in (*STRENGTHS, "all"):
        for method in METHODS:
            some = [row for row in rows if row["method"] == method and kind in ("all", row["kind"])]
            sums = {name: sum(row[name] for row in some) for name in ("matchable", "matches", "right")}
            precision = sums["right"] / sums["matches"]
            totals.append(
                {"kind": kind, "method": method, "warps": len(some), **sums, "precision": precision}
            )
    pairs = rng.uniform(0, side - 1, (3, 30, 5)).astype(np.float32)
    pairs[..., 4] = pairs[..., 4] > side / 2
    values = {
        "image": rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "warped": rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "homographies": np.tile(np.eye(3), (9, 1, 1)),
        "pair_sift": pairs[0],
        "pair_layer": pairs[1],
        "pair_normalized": pairs[2],
        "rows": tuple(rows),
        "totals": tuple(totals),
        "keypoints": 60,
        "tolerance": 3.0,
        "network": "net",
        "layer": "features.3",
        "alias": "conv2",
        "layer_kind": "conv",
        "channels": 20,
        "image_name": "photo",
        "window": 7,
        "field_size": (11.0, 11.0),
        "field_stride": (4.0, 4.0),
        "field_status": "exact",
        "seed": 5,
        "pair_kind": "rotation",
        "pair_strength": 20.0,
    }
    return MatchResult(**{**values, **facts})


def labelled(drawn, label: str) -> list:
    return [one for one in drawn.axes[0].collections if one.get_label() == label]


def test_keypoints_patches_and_stages():
    result = make()
    drawn = figure(result)
    pictures = drawn.axes[0].images
    np.testing.assert_array_equal(pictures[0].get_array(), result.image)
    np.testing.assert_array_equal(pictures[1].get_array(), result.patches[0])
    for offset, tiles in ((2, result.stage_orientations), (10, result.stage_cells)):
        limit = float(np.abs(tiles).max())
        for number, tile in enumerate(tiles):
            np.testing.assert_array_equal(pictures[offset + number].get_array(), tile)
            assert pictures[offset + number].get_clim() == pytest.approx((-limit, limit))
    for number in range(8):
        np.testing.assert_array_equal(pictures[18 + number].get_array(), result.descriptors[0, :, :, number])
    # The image again, 8 filters, 8 maps, 8 maps normalized, then two pictures for each keypoint.
    assert len(pictures) == 26 + 1 + 24 + 2 * 5
    for number in range(5):
        np.testing.assert_array_equal(pictures[51 + 2 * number].get_array(), result.patches[number])
    said = texts(drawn)
    for claim in (
        "SIFT beside features.3 (conv2, conv)", "5 of 321 keypoints", "gradients in 8 orientations",
        "summed over 4×4 cells", "unit length, clipped at 0.2", "filters of conv1, 5×5", "every 4 px",
        "after 2 convolutions, 1 pooling", "sees 11×11 px", "over 7×7 and all units",
        f"cell's edge: {result.descriptors.max():.3g}", f"20 units, ±{np.abs(result.layer_raw).max():.3g}",
    ):  # fmt: skip
        assert claim in said
    assert [axes.get_label() for axes in drawn.axes[1:]] == ["scale"]


def test_glyphs_point_from_the_cells_middle_along_the_gradient():
    descriptors = np.zeros((1, 4, 4, 8), dtype=np.float32)
    for turn in range(8):
        descriptors[0, turn // 4, turn % 4, turn] = 0.25
    drawn = figure(make(count=1, descriptors=descriptors))
    left, right, bottom, top = drawn.axes[0].images[-1].get_extent()
    cell = (right - left) / 4
    (collection,) = labelled(drawn, "glyphs")
    assert len(collection.get_paths()) == 8
    for turn, path in enumerate(collection.get_paths()):
        middle = np.array([left + (turn % 4 + 0.5) * cell, top + (turn // 4 + 0.5) * cell])
        apart = path.vertices - middle
        tip = apart[np.hypot(*apart.T).argmax()]
        expected = 0.5 * cell * np.array([np.sin(turn * np.pi / 4), np.cos(turn * np.pi / 4)])
        np.testing.assert_allclose(tip, expected, atol=1e-6)
        assert np.hypot(*apart.T).min() < 1
    assert bottom > top


def test_bars_are_the_layers_values():
    drawn = figure(make(count=1, layer_raw=np.array([[2.0, -1.0, 0.5, 0.0]], dtype=np.float32)))
    raw, _ = labelled(drawn, "bars")
    heights = [path.vertices[:, 1] for path in raw.get_paths()]
    zero = heights[0].max()
    tips = [
        float(zero - (one.min() if value >= 0 else one.max()))
        for one, value in zip(heights, (2, -1, 0.5, 0), strict=True)
    ]
    np.testing.assert_allclose(np.array(tips) / tips[0], [1, -0.5, 0.25, 0], atol=1e-6)
    positive = figure(make(count=1, layer_raw=np.array([[2.0, 1.0]], dtype=np.float32)))
    assert "20 units, 0 … 2" in texts(positive)


def test_clamped_and_missing_parts_are_told():
    assert "*" not in texts(figure(make()))
    clamped = np.array([False, True, False, False, False])
    assert "1 keypoint beyond the layer's outermost positions" in texts(figure(make(clamped=clamped)))
    bare = make(stage_filters=np.zeros((0, 3, 1, 1), dtype=np.float32), first_conv="")
    assert "no convolution reads the image itself" in texts(figure(bare))


def test_matches_are_drawn_where_they_are():
    result = make_match()
    drawn = figure(result)
    pictures = drawn.axes[0].images
    assert len(pictures) == 6
    wrong, right = labelled(drawn, "wrong"), labelled(drawn, "right")
    for number, found in enumerate((result.pair_sift, result.pair_layer, result.pair_normalized)):
        upper, lower = pictures[2 * number : 2 * number + 2]
        np.testing.assert_array_equal(upper.get_array(), result.image)
        np.testing.assert_array_equal(lower.get_array(), result.warped)
        for drawn_lines, value in ((wrong[number], 0), (right[number], 1)):
            expected = found[found[:, 4] == value]
            assert len(drawn_lines.get_segments()) == len(expected)
            for line, (row, column, other_row, other_column, _) in zip(
                drawn_lines.get_segments(), expected, strict=True
            ):
                for end, picture, y, x in (
                    (line[0], upper, row, column),
                    (line[1], lower, other_row, other_column),
                ):
                    left, edge, bottom, top = picture.get_extent()
                    place = (left + (x + 0.5) / 96 * (edge - left), top + (y + 0.5) / 96 * (bottom - top))
                    np.testing.assert_allclose(end, place, atol=1e-3)
    assert wrong[0].get_color()[0] is not None
    assert not np.allclose(wrong[0].get_color()[0], right[0].get_color()[0])


def test_curves_and_table():
    result = make_match()
    drawn = figure(result)
    for axes in drawn.axes[1:]:
        kind = axes.get_label()
        assert [line.get_label() for line in axes.lines] == list(METHODS)
        for line in axes.lines:
            rows = [row for row in result.rows if (row["kind"], row["method"]) == (kind, line.get_label())]
            factor = 100 if kind == "perspective" else 1
            np.testing.assert_allclose(line.get_xdata(), [factor * row["strength"] for row in rows])
            np.testing.assert_allclose(line.get_ydata(), [100 * row["precision"] for row in rows])
        assert axes.get_ylim() == (0, 100)
    assert [axes.get_label() for axes in drawn.axes[1:]] == list(STRENGTHS)
    said = texts(drawn)
    for total in result.totals:
        assert f"{100 * total['precision']:.1f} %" in said
        assert str(total["right"]) in said
    for claim in (
        "60 keypoints in 96×96 pixels",
        "within 3 px",
        "seed 5",
        "matches for rotation by 20°",
        "window 7×7",
    ):
        assert claim in said


@pytest.mark.parametrize(("inches", "abreast"), [(3.5, False), (7.0, True)])
def test_on_a_narrower_page_the_same_is_stacked(inches, abreast):
    result = make_match()
    drawn, wide = lay_out(lambda: figure(result), Page(width=inches))
    assert smallest_points(drawn, wide) == pytest.approx(6)
    assert [axes.get_label() for axes in drawn.axes[1:]] == list(STRENGTHS)
    said = texts(drawn)
    for total in result.totals:
        assert f"{100 * total['precision']:.1f} %" in said
        assert f"{total['right']} of {total['matches']}" in said
    boxes = [picture.get_extent() for picture in drawn.axes[0].images]
    assert len(boxes) == 6
    paper = drawn.get_size_inches()[0] * 100
    for (left, right, bottom, top), (_, other, below, above) in zip(boxes[::2], boxes[1::2], strict=True):
        assert right - left > 150
        assert (above >= bottom) == abreast
        assert other <= paper
        assert below > top
    lines = [*labelled(drawn, "right"), *labelled(drawn, "wrong")]
    assert sum(len(one.get_segments()) for one in lines) == 90


def test_methods_without_matches():
    rows = tuple({**row, "matches": 0, "right": 0, "precision": None} for row in make_match().rows)
    totals = tuple({**one, "matches": 0, "right": 0, "precision": None} for one in make_match().totals)
    empty = np.zeros((0, 5), dtype=np.float32)
    drawn = figure(
        make_match(rows=rows, totals=totals, pair_sift=empty, pair_layer=empty, pair_normalized=empty)
    )
    assert "SIFT: 0 matches, 0 right" in texts(drawn)
    assert not labelled(drawn, "right")[0].get_segments()


@pytest.mark.slow
@pytest.mark.parametrize(
    "result",
    [
        make(count=1, units=1), make(count=30), make(height=40, width=400), make(height=400, width=40),
        make_match(), make(count=2, layer_raw=np.ones((2, 2000), dtype=np.float32)),
    ],
)  # fmt: skip
def test_everything_lies_on_the_paper(result):
    long = dataclasses.replace(result, network="m" * 90, layer="l" * 90, alias="a" * 60, image_name="n" * 200)
    for one in (result, long):
        drawn = figure(one)
        width, height = drawn.bbox.width, drawn.bbox.height
        assert max(width, height) <= 2400
        for axes in drawn.axes:
            for artist in [*axes.images, *axes.texts]:
                box = artist.get_window_extent()
                assert box.x0 >= 0
                assert box.x1 <= width
                assert box.y0 >= 0
                assert box.y1 <= height
