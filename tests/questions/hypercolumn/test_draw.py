import dataclasses
import itertools

import numpy as np
import pytest

from netviz.paper import page, style
from netviz.questions.drawing import figure
from netviz.questions.hypercolumn.result import HypercolumnResult


def make(height: int = 40, width: int = 60, **facts) -> HypercolumnResult:
    rng = np.random.default_rng(8)
    layers = tuple(
        {
            "layer": f"features.{n}",
            "alias": f"conv{n}",
            "units": 8 * n,
            "maps": [height // n, width // n],
            "field_size": [3.0 * n, 3.0 * n],
            "field_stride": [float(n), float(n)],
            "field_status": "exact" if n < 3 else "upper_bound",
            "share": [0.5, 0.3, 0.2],
        }
        for n in (1, 2, 3)
    )
    values = {
        "components": rng.normal(size=(3, height, width)).astype(np.float32),
        "explained": np.array([0.5, 0.25, 0.0625]),
        "clusters": rng.integers(0, 4, (height, width)).astype(np.int32),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "network": "net",
        "image_name": "photo",
        "layers": layers,
        "grid_step": (1.0, 1.0),
        "cluster_components": 16,
        "cluster_explained": 0.9,
        "cluster_share": (0.4, 0.3, 0.2, 0.1),
        "seed": 0,
        "input": "own size",
    }
    return HypercolumnResult(**{**values, **facts})


def texts(drawn) -> str:
    return "\n".join(text.get_text() for text in drawn.axes[0].texts)


def test_pictures_and_words():
    result = make()
    drawn = figure(result)
    image, colours, clusters, *components = drawn.axes[0].images[:6]
    np.testing.assert_array_equal(image.get_array(), result.image)
    palette = np.array([style.rgb(colour) for colour in style.CLASSES])
    np.testing.assert_array_equal(clusters.get_array(), palette[result.clusters])
    for number, one in enumerate(components):
        np.testing.assert_array_equal(one.get_array(), result.components[number])
        within = np.abs(result.components[number]) <= one.get_clim()[1]
        assert within.mean() == pytest.approx(0.975, abs=0.002)
        assert one.get_clim()[0] == -one.get_clim()[1]
    red = result.components[0].ravel()
    low, high = np.sort(red)[[round(0.025 * 2399), round(0.975 * 2399)]]
    shares = np.clip((red - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(colours.get_array()[..., 0].ravel(), shares, atol=2)
    said = texts(drawn)
    for claim in (
        "hypercolumns of 48 units in 3 layers",
        "conv2 = features.2: 16 units, field 6, stride 2",
        "field at most 9",
        "component 1: 50 % of the variance",
        "component 3: 6.2 % of the variance",
        "2.5 to its 97.5 percentile",
        "4 clusters",
        "16 components (90 % of the variance)",
        "every pixel of the network's input",
        "0: 40 %",
    ):
        assert claim in said


def test_fewer_directions_and_a_coarse_grid():
    result = make(grid_step=(2.5, 2.5))
    result.components[1:] = 0
    drawn = figure(result)
    assert "every 2.5 pixels" in texts(drawn)
    assert "nothing varies in a further direction" in texts(drawn)
    assert (drawn.axes[0].images[1].get_array()[..., 1:] == 128).all()
    assert drawn.axes[0].images[4].get_clim() == (-1, 1)


@pytest.mark.parametrize("size", [(8, 8), (12, 256), (256, 12), (200, 256)])
def test_any_proportions(size):
    layers = tuple({**one, "layer": "w" * 90} for one in make().layers) * 4
    result = dataclasses.replace(
        make(*size),
        layers=layers,
        network="m" * 90,
        image_name="n" * 200,
        cluster_share=(0.04,) * 24,
    )
    drawn = figure(result)
    width, height = drawn.bbox.width, drawn.bbox.height
    boxes = [artist.get_window_extent() for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1


def test_on_a_narrow_page_two_pictures_stand_abreast_and_no_word_is_cut(monkeypatch):
    monkeypatch.setattr(page, "widest", lambda: 450)
    drawn = figure(make())
    boxes = [image.get_window_extent() for image in drawn.axes[0].images[:6]]
    assert len({round(box.x0) for box in boxes}) == 2
    for one in drawn.axes[0].texts:
        assert "\N{HORIZONTAL ELLIPSIS}" not in one.get_text()
        assert one.get_window_extent().x1 <= 450
