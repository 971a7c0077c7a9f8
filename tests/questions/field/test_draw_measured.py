import numpy as np

from netviz.questions.drawing import figure
from netviz.questions.field.result import MeasuredResult
from netviz.questions.reader import load_result
from support.pictures import texts


def make(count: int = 5, **changes) -> MeasuredResult:
    """Unit 1 is dead, unit 2 still."""
    rng = np.random.default_rng(0)
    sizes = np.arange(count, dtype=np.float32) + 20
    sizes[1:3] = np.nan
    used = np.full(count, 2, dtype=np.int16)
    used[1] = 0
    values = {
        "units": np.arange(count),
        "sizes": sizes,
        "offsets": np.zeros((count, 2), dtype=np.float32),
        "largest": np.ones(count, dtype=np.float32),
        "activations": np.ones(count, dtype=np.float32),
        "used": used,
        "maps": rng.integers(0, 256, (count, 12, 10), dtype=np.uint8),
        "theoretical": np.array([[19, 11], [4, 4], [-7, -7]], dtype=np.float64),
        "network": "net",
        "layer": "features.3",
        "alias": "conv2",
        "layer_kind": "conv",
        "channels": count,
        "status": "exact",
        "reason": "",
        "map_shape": (8, 8),
        "input_shape": (32, 32),
        "cell": 2,
        "corner": (-12, -10),
        "patch": 3,
        "stride": 2,
        "images": ("a", "b"),
        "seed": 0,
        "threshold": 0.25,
    }
    return MeasuredResult(**{**values, **changes})


def test_a_map_for_each_measured_unit():
    result = make()
    drawn = figure(result)
    images = drawn.axes[0].images
    assert len(images) == 3
    for image, row in zip(images, (0, 3, 4), strict=True):
        np.testing.assert_allclose(image.get_array(), result.maps[row] / 255)
        assert image.get_clim() == (0, 1)
        assert image.get_cmap().name == "netviz-sequential"
    said = texts(drawn)
    for claim in (
        "unit 0: 20 px",
        "unit 3: 23 px",
        "unit 4: 24 px",
        "measured fields of 5 units",
        "mean width 22.3 px",
        "theoretical field 19×11 px",
        "occluder 3 px of random colours, every 2 px",
        "over 2 images",
        "1 unit 0 everywhere on these images",
        "1 unit changed by nothing",
    ):
        assert claim in said
    (bar,) = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert [label.get_text() for label in bar.get_xticklabels()] == ["0", "25 %", "largest"]


def test_the_theoretical_field_is_outlined_around_the_middle():
    drawn = figure(make())
    image = drawn.axes[0].images[0]
    left, right, _, top = image.get_extent()
    scale = (right - left) / 20
    frames = [one.vertices for part in drawn.axes[0].collections for one in part.get_paths()]
    # The middle is pixel 12 down and 10 across; the field reaches 9.5 px up and 5.5 px left from that pixel's middle.
    wanted = np.array([left + (10.5 - 5.5) * scale, top + (12.5 - 9.5) * scale])
    assert min(float(np.abs(one[0] - wanted).max()) for one in frames) < 1


def test_of_many_units_the_first_are_drawn():
    drawn = figure(make(80))
    assert len(drawn.axes[0].images) == 48
    assert "the first 48 of 78 are drawn" in texts(drawn)
    height = drawn.get_figheight() * drawn.dpi
    assert all(0 < image.get_extent()[2] < height for image in drawn.axes[0].images)


def test_nothing_to_draw_is_said():
    result = make(
        sizes=np.full(5, np.nan, dtype=np.float32), used=np.zeros(5, dtype=np.int16), status="unknown"
    )
    drawn = figure(result)
    assert not drawn.axes[0].images
    assert "5 units 0 everywhere" in texts(drawn)
    assert "theoretical field not known" in texts(drawn)


def test_saved_and_loaded(tmp_path):
    result = make()
    again = load_result(result.save(tmp_path / "one.npz"))
    assert isinstance(again, MeasuredResult)
    assert again.facts() == {**result.facts()}
    assert again.dead == [1]
    assert again.still == [2]
    for name, array in result.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
