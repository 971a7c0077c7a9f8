import dataclasses

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from scipy.interpolate import RegularGridInterpolator

from netviz.fcn.dense.draw import interpolated
from netviz.fcn.dense.result import CompareResult, DenseResult
from netviz.questions.drawing import figure
from support.pictures import texts


def make(height: int = 60, width: int = 80, classes: int = 2, **facts) -> DenseResult:
    rng = np.random.default_rng(3)
    rows, cols = max(1, height // 10 - 1), max(1, width // 10 - 1)
    values = {
        "scores": rng.standard_normal((classes, rows, cols)).astype(np.float32),
        "center_y": 9.5 + 10.0 * np.arange(rows),
        "center_x": 9.5 + 10.0 * np.arange(cols),
        "classes": np.arange(5, 5 + classes),
        "level": np.zeros((classes, rows, cols), dtype=np.uint8),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "network": "net",
        "image_name": "photo",
        "labels": tuple(f"name{one}" for one in range(classes)),
        "channels": 10,
        "chosen": "top",
        "cast": True,
        "placed": "geometry",
        "window_of": "crop",
        "scales": (1.0,),
        "inputs": ((2 * height, 2 * width),),
        "strides": ((10.0, 10.0),),
        "windows": ((0.0, 0.0, 20.0, 20.0),),
        "field": (31.0, 31.0),
        "field_status": "exact",
        "input": "own size",
        "levels": {},
    }
    return DenseResult(**{**values, **facts})


def compared(height: int = 60, width: int = 80, **facts) -> CompareResult:
    rng = np.random.default_rng(4)
    values = {
        "dense": rng.standard_normal((5, 7)).astype(np.float32),
        "sliding": rng.standard_normal((5, 7)).astype(np.float32),
        "regions": np.where(np.eye(height, width) > 0, np.nan, 0.5).astype(np.float32),
        "boxes": np.array([[0, 0, 20, 30], [10, 10, 40, 60]]),
        "box_scores": np.array([0.5, 9.0], dtype=np.float32),
        "center_y": 9.5 + 10.0 * np.arange(5),
        "center_x": 9.5 + 10.0 * np.arange(7),
        "seconds": np.array([0.1, 2.0, 1.5, 0.3]),
        "evaluations": np.array([1, 35, 35, 2]),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "network": "net",
        "image_name": "photo",
        "class_index": 7,
        "label": "tabby",
        "stride": (10.0, 10.0),
        "window": (0.0, 0.0, 20.0, 20.0),
        "input_size": (120, 160),
        "crop": (40, 40),
        "batch": 16,
        "repeats": 3,
        "proposals": 321,
        "proposal_seconds": 0.25,
        "per_image": 2000,
        "deviation": 0.4,
        "correlation": 0.9,
        "device": "cpu",
        "threads": 2,
    }
    return CompareResult(**{**values, **facts})


def outlines(drawn) -> list[np.ndarray]:
    return [path.vertices for one in drawn.axes[0].collections for path in one.get_paths()]


def test_heat_is_bilinear_between_the_cells():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 5))
    y, x = 7.25 + 6.0 * np.arange(4), 3.0 + 8.5 * np.arange(5)
    heat, (top, left, bottom, right) = interpolated(values, y, x, (6.0, 8.5), (40, 44))
    # Half a stride around the outermost places, 4.25 to 28.25 and -1.25 to 41.25, in whole pixels.
    assert (top, left, bottom, right) == (4, 0, 29, 42)
    at = np.stack(np.meshgrid(np.arange(8, 25), np.arange(3, 37), indexing="ij"), -1)
    np.testing.assert_allclose(heat[4:21, 3:37], RegularGridInterpolator((y, x), values)(at))
    np.testing.assert_allclose(heat[0, 3], values[0, 0])
    single, part = interpolated(np.ones((1, 1)), np.array([10.0]), np.array([4.0]), (40.0, 40.0), (20, 30))
    assert part == (0, 0, 20, 25)
    assert (single == 1).all()
    holed = values.copy()
    holed[1, 1] = np.nan
    assert np.isnan(interpolated(holed, y, x, (6.0, 8.5), (40, 44))[0][8, 8])


def test_maps_stand_where_their_cells_look():
    result = make()
    drawn = figure(result)
    plain, *rest = drawn.axes[0].images
    np.testing.assert_array_equal(plain.get_array(), result.image)
    assert len(rest) == 4
    grey, heat = rest[:2]
    left, right, bottom, top = grey.get_extent()
    across, down = (right - left) / 80, (bottom - top) / 60
    # Cells at 9.5, 19.5, … 69.5 take 5 to 75 of 80 columns and 5 to 55 of 60 rows, in edges of pixels.
    assert heat.get_extent() == pytest.approx(
        [left + 5 * across, left + 75 * across, top + 55 * down, top + 5 * down]
    )
    assert heat.get_cmap().name == "netviz-sequential"
    low, high = float(result.scores.min()), float(result.scores.max())
    assert heat.get_clim() == rest[3].get_clim() == (low, high)
    (bar,) = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert bar.get_xlim() == (low, high)
    row, col = np.unravel_index(result.scores[1].argmax(), (5, 7))
    left, _, _, top = rest[2].get_extent()
    corner = (left + 10 * col * across, top + 10 * row * down)
    assert sum(np.allclose(one.min(axis=0), corner, atol=1.5) for one in outlines(drawn)) >= 2
    said = texts(drawn)
    for claim in ("net · dense evaluation · photo", "name0", "2 of 10 classes", "made fully convolutional",
                  "7×5 cells", "160×120 pixels", "10 pixels from one to the next",
                  f"at row {9.5 + 10 * row:.0f}, column {9.5 + 10 * col:.0f}",
                  "what the classifier would be shown (20×20 pixels"):  # fmt: skip
        assert claim in said


def test_one_map_is_drawn_by_itself():
    result = make(
        classes=1, channels=1, labels=("",), placed="pixels", cast=False, window_of="image",
        windows=((0.0, 0.0, 60.0, 80.0),), scores=np.ones((1, 60, 80), dtype=np.float32), strides=((1.0, 1.0),),
        center_y=np.arange(60.0), center_x=np.arange(80.0), level=np.zeros((1, 60, 80), dtype=np.uint8),
    )  # fmt: skip
    drawn = figure(result)
    assert drawn.axes[0].images[-1].get_alpha() == 1
    said = texts(drawn)
    assert "its one map" in said
    assert "output" in said
    assert "yellow" not in said


def test_what_each_scale_covers_is_outlined():
    centers = {
        "center_y_0": [9.5, 19.5],
        "center_x_0": [9.5, 19.5, 29.5],
        "center_y_1": [19.5],
        "center_x_1": [39.5],
    }
    levels = {
        **{name: np.array(values) for name, values in centers.items()},
        "scores_0": np.zeros((1, 2, 3), np.float32),
        "scores_1": np.zeros((1, 1, 1), np.float32),
    }
    two = {"strides": ((10.0, 10.0), (20.0, 20.0)), "windows": ((0.0, 0.0, 20.0, 20.0),) * 2}
    drawn = figure(make(classes=1, scales=(1.0, 0.5), inputs=((60, 80), (30, 40)), levels=levels, **two))
    paper = drawn.axes[0]
    left, right, bottom, top = paper.images[1].get_extent()
    down, across = (bottom - top) / 60, (right - left) / 80
    white = [
        one
        for one in paper.collections
        if isinstance(one, PolyCollection) and (one.get_edgecolor()[0] == 1).all()
    ]
    found = [one.get_paths()[0].vertices[[0, 2]] for one in white]
    wanted = [((5, 5), (35, 25)), ((30, 10), (50, 30))]
    for corners, (begin, end) in zip(found, wanted, strict=True):
        for corner, (x, y), inside in zip(corners, (begin, end), (1, -1), strict=True):
            np.testing.assert_allclose(corner - inside, (left + x * across, top + y * down))
    assert [text.get_text() for text in paper.texts if text.get_path_effects()] == ["1", "0.5"]
    assert "white: what the cells of each scale cover" in texts(drawn)


def test_few_regions_are_outlined_and_many_not():
    def outlined(count):
        boxes = np.tile(np.array([[10, 10, 40, 60]]), (count, 1))
        drawn = figure(compared(boxes=boxes, box_scores=np.arange(count, dtype=np.float32)))
        return max(len(one.get_paths()) for one in drawn.axes[0].collections), "outlined" in texts(drawn)

    assert outlined(8) == (8, True)
    assert outlined(25) == (3, False)


def test_pyramids_many_classes_and_holes():
    level = np.ones((2, 5, 7), dtype=np.uint8)
    result = make(
        level=level, scales=(1.0, 0.5), inputs=((60, 80), (30, 40)), strides=((10.0, 10.0), (20.0, 20.0)),
        windows=((0.0, 0.0, 20.0, 20.0), (0.0, 0.0, 40.0, 40.0)),
    )  # fmt: skip
    said = texts(figure(result))
    assert "maximum over 2 scales: 1, 0.5" in said
    assert "found at scale 0.5" in said
    # The window of cell 2, 4 is 20 to 40 and 40 to 60; the coarse one's middle is as near to its as can be.
    top, left, height, width = result.window(0, 2, 4)
    assert (height, width) == (40, 40)
    assert abs(top + 20 - 30) <= 10
    assert abs(left + 20 - 50) <= 10
    many = make(classes=30, channels=30)
    assert "11 drawn of 30 chosen" in texts(figure(many))
    holes = make()
    holes.scores[0, 1, 1] = np.nan
    drawn = figure(holes)
    assert "1 value NaN or infinite" in texts(drawn)
    assert drawn.axes[0].images[2].get_array().mask.any()


def test_three_ways_and_their_costs():
    result = compared()
    drawn = figure(result)
    heats = drawn.axes[0].images[1::2]
    assert len(heats) == 3
    low = float(min(result.dense.min(), result.sliding.min()))
    assert all(one.get_clim() == (low, 9.0) for one in heats)
    # Where no region was measured, the image stays as it is.
    assert heats[2].get_cmap().get_bad()[3] == 0
    said = texts(drawn)
    for claim in ("tabby by three ways", "dense pass", "sliding window, batches of 16", "regions, scaled to 2000",
                  "300", "3,000", "20.0", "321 regions proposed in 0.25 s (not counted), 2 measured",
                  "median of 3", "0.40 standard deviations", "correlation 0.900"):  # fmt: skip
        assert claim in said


def test_scores_that_are_all_nan_have_no_highest():
    result = compared()
    said = texts(figure(dataclasses.replace(result, dense=np.full_like(result.dense, np.nan))))
    assert "highest nan" in said


@pytest.mark.parametrize("size", [(12, 12), (20, 300), (300, 20), (700, 500)])
@pytest.mark.parametrize("kind", ["dense", "one", "compare"])
def test_any_proportions(size, kind):
    if kind == "compare":
        result = compared(*size)
    else:
        result = make(*size, classes=1 if kind == "one" else 4)
        result = dataclasses.replace(result, labels=("w" * 200,) * len(result.labels))
    drawn = figure(dataclasses.replace(result, image_name="n" * 200, network="m" * 90))
    width, height = drawn.bbox.width, drawn.bbox.height
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
