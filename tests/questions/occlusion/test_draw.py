import dataclasses

import numpy as np
import pytest

from netviz.questions.drawing import figure
from netviz.questions.occlusion.result import OcclusionResult
from support.pictures import texts


def make(height: int = 48, width: int = 64, **facts) -> OcclusionResult:
    rng = np.random.default_rng(3)
    tops, lefts = np.arange(0, height - 7, 8), np.arange(0, width - 7, 8)
    drops = rng.standard_normal((len(tops), len(lefts))).astype(np.float32)
    values = {
        "map": rng.standard_normal((height, width)).astype(np.float32),
        "drops": drops,
        "tops": tops,
        "lefts": lefts,
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "network": "net",
        "image_name": "photo",
        "class_index": 7,
        "label": "tabby",
        "predicted": True,
        "score": 9.5,
        "score_of": "raw output",
        "patch": 8,
        "stride": 8,
        "fill": "mean",
        "seed": 0,
        "full_passes": "",
    }
    return OcclusionResult(**{**values, **facts})


def test_image_map_and_patch():
    result = make()
    drawn = figure(result)
    plain, grey, heat, marked = drawn.axes[0].images
    np.testing.assert_array_equal(plain.get_array(), result.image)
    np.testing.assert_array_equal(marked.get_array(), result.image)
    np.testing.assert_array_equal(heat.get_array(), result.map)
    limit = float(np.abs(result.map).max())
    assert heat.get_clim() == (-limit, limit)
    assert heat.get_cmap().name == "netviz-diverging"
    assert heat.get_extent() == grey.get_extent()
    assert plain.get_extent() != grey.get_extent()
    (bar,) = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert bar.get_xlim() == (-limit, limit)
    row, col = np.unravel_index(result.drops.argmax(), result.drops.shape)
    fallen = 9.5 - float(result.drops[row, col])
    said = texts(drawn)
    for claim in (
        "occlusion of tabby",
        "tabby (class 7), the predicted class",
        "score 9.5 (raw output)",
        f"patch 8\u00d78, stride 8: {result.drops.size} places",
        "the image's mean colour",
        "score drop, clean minus covered",
        f"rows {8 * row}–{8 * row + 7}, columns {8 * col}–{8 * col + 7}",
        f"{fallen:.3g}",
    ):
        assert claim in said


def test_the_patch_is_drawn_where_it_was():
    drops = np.zeros((6, 8), dtype=np.float32)
    drops[2, 5] = 1
    result = make(drops=drops)
    drawn = figure(result)
    left, right, bottom, top = drawn.axes[0].images[3].get_extent()
    outlines = [path.vertices for collection in drawn.axes[0].collections for path in collection.get_paths()]
    across = (right - left) / 64
    corner = (left + 40 * across, top + 16 * across)
    assert sum(np.allclose(outline.min(axis=0), corner) for outline in outlines) == 2
    assert any(
        np.allclose(outline.max(axis=0), (left + 48 * across, top + 24 * across)) for outline in outlines
    )
    assert bottom > top


def test_facts_that_are_missing_or_odd():
    assert "class 7" in texts(figure(make(label="", predicted=False)))
    assert "the predicted class" not in texts(figure(make(predicted=False)))
    assert "random colours, seed 4" in texts(figure(make(fill="noise", seed=4)))
    assert "no patch lowers the score" in texts(figure(make(drops=-np.ones((6, 8), dtype=np.float32))))
    holes = make().map.copy()
    holes[0, 0] = np.nan
    drawn = figure(make(map=holes))
    assert "1 value NaN or infinite" in texts(drawn)
    assert drawn.axes[0].images[2].get_array().mask[0, 0]
    assert figure(make(map=np.zeros((48, 64), dtype=np.float32))).axes[0].images[2].get_clim() == (-1, 1)


@pytest.mark.parametrize("size", [(8, 8), (16, 300), (300, 16), (700, 500)])
def test_any_proportions(size):
    result = make(*size)
    drawn = figure(dataclasses.replace(result, label="w" * 200, image_name="n" * 200, network="m" * 90))
    width, height = drawn.bbox.width, drawn.bbox.height
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
