import dataclasses

import numpy as np
import pytest

from netviz.paper.regions import edges
from netviz.questions.drawing import figure
from netviz.questions.segment.result import SegmentResult
from support.pictures import texts


def make(height: int = 48, width: int = 64, **facts) -> SegmentResult:
    rng = np.random.default_rng(3)
    heat = rng.uniform(0, 4, (height, width)).astype(np.float32)
    left, right = width // 8, width - width // 8
    heat[:, :left] = heat[:, right:] = np.nan
    mask = np.nan_to_num(heat, nan=-1) > 3.5
    values = {
        "mask": mask,
        "heat": heat,
        "map": rng.uniform(0, 4, (6, 6)).astype(np.float32),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "network": "net",
        "image_name": "photo",
        "layer": "features.3",
        "alias": "conv4",
        "layer_kind": "conv",
        "unit": 17,
        "channels": 32,
        "threshold": 3.5,
        "threshold_of": "quantile",
        "level": 0.995,
        "source": "the images given",
        "images": 12,
        "positions": 2400,
        "samples": 2400,
        "skipped": (),
        "share": float(mask.mean()),
        "shown": 0.75,
        "shown_box": (0, left, height, right),
        "field_size": (27.0, 27.0),
        "field_stride": (8.0, 8.0),
        "field_status": "exact",
        "input": "own size",
    }
    return SegmentResult(**{**values, **facts})


def test_edges_by_hand():
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    lines = {tuple(line) for line in edges(mask).tolist()}
    assert lines == {(1, 0, 3, 0), (2, 1, 3, 1), (1, 2, 2, 2), (1, 0, 1, 2), (2, 1, 2, 2), (3, 0, 3, 1)}
    segments = np.array([[4, 4, 7], [4, 4, 7]])
    assert edges(segments, border=False).tolist() == [[2, 0, 2, 2]]
    assert edges(np.zeros((3, 3), dtype=bool)).shape == (0, 4)


def test_image_heat_and_mask():
    result = make()
    drawn = figure(result)
    plain, grey, heat, masked = drawn.axes[0].images
    np.testing.assert_array_equal(plain.get_array()[:, 8:56], result.image[:, 8:56])
    np.testing.assert_array_equal(heat.get_array(), result.heat[:, 8:56])
    np.testing.assert_array_equal(masked.get_array()[result.mask], result.image[result.mask])
    outside = ~result.mask
    assert (masked.get_array()[outside] > 170).all()
    # The heat lies over the part that was shown, 48 of 64 columns.
    left, right, bottom, top = grey.get_extent()
    across = (right - left) / 64
    assert heat.get_extent() == pytest.approx((left + 8 * across, left + 56 * across, bottom, top))
    high = max(float(result.map.max()), 3.5)
    assert heat.get_clim() == (0, high)
    (bar,) = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert bar.get_xlim() == (0, high)
    said = texts(drawn)
    for claim in (
        "features.3 (conv4, conv)",
        "unit 17",
        "threshold 3.5: the unit's 0.995 quantile over 2,400 positions of 12 images (the images given)",
        f"{int(result.mask.sum())} pixels",
        "25 % not shown",
        "every 8 pixels",
        "27\u00d727",
    ):
        assert claim in said


def test_facts_that_change_the_words():
    assert "1,000 of 2,400 positions" in texts(figure(make(samples=1000)))
    assert "40 % of the map's maximum" in texts(figure(make(threshold_of="fraction", level=0.4)))
    nothing = texts(figure(make(mask=np.zeros((48, 64), dtype=bool), share=0.0)))
    assert "stays below its threshold" in nothing
    signed = figure(make(map=np.array([[-5.0, 2.0]], dtype=np.float32)))
    assert signed.axes[0].images[2].get_clim() == (-5, 5)
    assert signed.axes[0].images[2].get_cmap().name == "netviz-diverging"
    assert "sees at most 27" in texts(figure(make(field_status="upper_bound")))


@pytest.mark.parametrize("size", [(8, 8), (16, 300), (300, 16), (350, 250)])
def test_any_proportions(size):
    result = make(*size)
    drawn = figure(dataclasses.replace(result, layer="w" * 200, image_name="n" * 200, network="m" * 90))
    width, height = drawn.bbox.width, drawn.bbox.height
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
