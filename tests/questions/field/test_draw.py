from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from netviz.questions.drawing import draw, figure
from netviz.questions.field.marks import heat, wash
from netviz.questions.field.result import FieldResult
from netviz.questions.reader import load_result, report


@pytest.fixture
def make() -> Callable[..., FieldResult]:
    def make(**facts: Any) -> FieldResult:
        rng = np.random.default_rng(3)
        values: dict[str, Any] = {
            "theoretical": np.array([[31.0, 23.0], [4.0, 4.0], [-11.0, -7.0]]),
            "image": rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
            "chart_layers": np.array(["conv1", "block1", "pool2", "mul1", "odd1"]),
            "chart_status": np.array(["exact", "upper_bound", "exact", "global", "unknown"]),
            "chart_sizes": np.array([[3.0, 3.0], [19.0, 15.0], [31.0, 23.0], [48.0, 64.0], [np.nan, np.nan]]),
            "network": "net",
            "layer": "features.2",
            "alias": "pool2",
            "layer_kind": "pool",
            "channels": 6,
            "units": None,
            "map_shape": (12, 16),
            "position": (6, 8),
            "box": (13, 25, 44, 48),
            "center": (28.0, 36.0),
            "status": "exact",
            "reason": "",
            "input_shape": (3, 48, 64),
            "images": ("photo", "other"),
        }
        return FieldResult(**{**values, **facts})

    return make


def gaussian(height: int, width: int, y: float, x: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.fixture
def full(make) -> FieldResult:
    return make(
        units=(3,),
        effective=gaussian(48, 64, 28, 36, 5.0),
        effective_width=22.1,
        effective_ratio=0.83,
        effective_sigma=(5.0, 4.0),
        effective_center=(28.0, 36.0),
        empirical=np.stack([gaussian(48, 64, 24, 32, 3.0)] * 2),
        empirical_units=(3, 4),
        empirical_sizes=(12.0, 16.0),
        empirical_size=14.0,
        empirical_spread=2.0,
        patch=5,
        stride=2,
        top=10,
        dead=(5,),
        notes=("unit 5 is dead",),
    )


def texts(drawn: Any) -> str:
    return "\n".join(text.get_text() for text in drawn.axes[0].texts)


def plates(drawn: Any) -> list[Any]:
    """Return the photographs on the paper, without scales and corners."""
    return [one for one in drawn.axes[0].images if one.get_array().shape == (48, 64, 3)]


def chart(drawn: Any) -> Any:
    return next(axes for axes in drawn.axes if axes.get_label() == "chart")


def line(axes: Any, label: str) -> Any:
    return next(one for one in axes.lines if one.get_label() == label)


def test_box_is_where_the_field_is(make):
    drawn = figure(make())
    (plate,) = plates(drawn)
    left, right, bottom, top = plate.get_extent()
    scale = (right - left) / 64
    assert (bottom - top) / 48 == pytest.approx(scale)
    blue = [
        one for one in drawn.axes[0].lines if to_hex(one.get_color()) == "#0096c7" and one.get_zorder() == 4
    ]
    points = np.concatenate([one.get_xydata() for one in blue[:4]])
    # The line's own half width lies inside the box.
    assert (points.min(0) - (left, top)) / scale == pytest.approx((25, 13), abs=0.2)
    assert (points.max(0) - (left, top)) / scale == pytest.approx((48, 44), abs=0.2)
    assert {one.get_linestyle() for one in blue[:4]} == {"-"}
    cross = [one for one in drawn.axes[0].lines if one.get_zorder() == 5][:2]
    middle = np.concatenate([one.get_xydata() for one in cross]).mean(0)
    # The centre of pixel 28, 36 lies half a pixel beyond its upper left corner.
    assert (middle - (left, top)) / scale == pytest.approx((36.5, 28.5))
    said = texts(drawn)
    assert "theoretical: 31×23 px" in said
    assert "row 6, column 8 of the 12×16 map" in said
    assert "sees 31×23 px, every 4 px" in said
    assert "beyond the border" not in said


def test_cut_box_is_dashed_at_the_border(make):
    drawn = figure(make(position=(0, 0), box=(-11, -7, 20, 16), center=(4.0, 4.0)))
    blue = [
        one for one in drawn.axes[0].lines if to_hex(one.get_color()) == "#0096c7" and one.get_zorder() == 4
    ]
    assert [one.get_linestyle() for one in blue[:4]] == ["--", "-", "--", "-"]
    assert "goes on beyond the border; inside 20×16 px" in texts(drawn)
    pixels = np.asarray(plates(drawn)[0].get_array())
    image = make().image
    assert np.array_equal(pixels[:20, :16], image[:20, :16])
    assert (pixels[20:] >= 150).all()


def test_three_side_by_side_on_the_same_image(full):
    drawn = figure(full)
    first, second, third = plates(drawn)
    extents = [one.get_extent() for one in (first, second, third)]
    assert len({(bottom, top) for _, _, bottom, top in extents}) == 1
    assert extents[0][1] < extents[1][0] < extents[1][1] < extents[2][0]
    # Heat lies on the photograph in greys: where there is none, they show.
    corner = np.asarray(second.get_array())[0, 0].astype(int)
    grey = full.image[0, 0] @ np.array([0.299, 0.587, 0.114]) * 0.75 + 48
    assert np.abs(corner - grey).max() < 1
    # The empirical field, whose own middle is 24, 32, lies on the position drawn: 28, 36.
    far = np.abs(np.asarray(third.get_array()).astype(int) - (252, 253, 191)).sum(2)
    assert far.min() <= 3
    assert np.array_equal(np.unravel_index(far.argmin(), (48, 64)), (28, 36))
    (ellipse,) = drawn.axes[0].patches
    scale = (extents[1][1] - extents[1][0]) / 64
    assert ellipse.get_width() / scale == pytest.approx(4 * 4.0)
    assert ellipse.get_height() / scale == pytest.approx(4 * 5.0)
    dotted = next(one for one in drawn.axes[0].lines if len(one.get_xdata()) == 5)
    corners = (dotted.get_xydata() - (extents[2][0], extents[2][3])) / scale
    # A square of 14 pixels about the middle of pixel 28, 36.
    assert corners.min(0) == pytest.approx((36.5 - 7, 28.5 - 7))
    assert corners.max(0) == pytest.approx((36.5 + 7, 28.5 + 7))
    said = texts(drawn)
    assert "effective: 22 px wide, 83 % of the theoretical" in said
    assert "empirical: 14 ± 2 px wide" in said
    assert "2 s.d. of 5.0 px down, 4.0 px across" in said
    said = said.replace("\n", " ")
    assert "3 (12 px), 4 (16 px)" in said
    assert "under 5 px of noise" in said
    assert "left out (dead, or nothing changes them): 5" in said
    assert "unit 5 is dead" in said
    assert "unit 3 of 6" in said
    assert "mean over 2 images" in said


def test_chart_holds_every_layer(make):
    axes = chart(figure(make()))
    height, width = line(axes, "height"), line(axes, "width")
    assert list(height.get_ydata())[:3] == [3, 19, 31]
    assert list(width.get_ydata())[:3] == [3, 15, 23]
    assert np.isnan(height.get_ydata()[3:]).all()
    assert list(line(axes, "input height").get_ydata()) == [48, 48]
    assert list(line(axes, "input width").get_ydata()) == [64, 64]
    assert list(line(axes, "this layer").get_xdata()) == [2]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "conv1",
        "block1",
        "pool2",
        "mul1",
        "odd1",
    ]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [
        "height",
        "width",
        "exact",
        "upper bound (branches differ)",
        "sees the whole input",
        "not known",
        "input, 48×64 px",
        "pool2, drawn here",
    ]
    hollow = [one for one in axes.lines if one.get_marker() == "o" and one.get_markerfacecolor() == "#ffffff"]
    assert [list(one.get_xdata()) for one in hollow] == [[1], [1]]
    triangles = [one for one in axes.lines if one.get_marker() == "^"]
    assert [(list(one.get_xdata()), list(one.get_ydata())) for one in triangles] == [([3], [64]), ([3], [48])]
    assert "mul1 is the first whose field can cover the input" in [text.get_text() for text in axes.texts]


def test_square_fields_have_one_line(make):
    sizes = np.repeat(np.array([[3.0], [7.0], [15.0], [99.0], [120.0]]), 2, axis=1)
    axes = chart(figure(make(chart_sizes=sizes, chart_status=np.array(["exact"] * 5))))
    assert "width" not in [one.get_label() for one in axes.lines]
    assert "from mul1 on a field can cover the input" in [text.get_text() for text in axes.texts]


def test_no_line_between_branches_and_fields_without_gates(make):
    sizes = np.repeat(np.array([[3.0], [15.0], [7.0], [48.0], [48.0]]), 2, axis=1)
    local = np.full((5, 2), np.nan)
    local[3] = 90
    status = np.array(["exact", "exact", "exact", "global", "global"])
    axes = chart(
        figure(make(chart_sizes=sizes, chart_status=status, chart_local=local, input_shape=(3, 48, 48)))
    )
    np.testing.assert_array_equal(line(axes, "height").get_ydata(), [3, 15, np.nan, 7, np.nan, np.nan])
    np.testing.assert_array_equal(
        line(axes, "height without gates").get_ydata(), [3, 15, np.nan, 7, 90, np.nan]
    )
    assert axes.get_ylim()[1] > 90
    assert "without attention or gates" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_unknown_and_global_fields(make):
    nothing = np.full((3, 2), np.nan)
    unknown = make(
        theoretical=nothing,
        box=None,
        center=None,
        status="unknown",
        reason="fft_fft2 in mix",
        alias="odd1",
        effective=gaussian(48, 64, 20, 20, 3),
    )
    drawn = figure(unknown)
    assert "theoretical: not known" in texts(drawn)
    assert "cannot follow fft_fft2 in mix" in texts(drawn)
    assert np.array_equal(plates(drawn)[0].get_array(), unknown.image)
    assert not [one for one in drawn.axes[0].lines if one.get_zorder() == 5]
    whole = make(
        theoretical=np.array([[48.0, 64.0], [0, 0], [0, 0]]),
        box=(0, 0, 48, 64),
        center=(23.5, 31.5),
        status="global",
    )
    drawn = figure(whole)
    assert "sees the whole input" in texts(drawn)
    assert ", every" not in texts(drawn)
    assert np.array_equal(plates(drawn)[0].get_array(), whole.image)


def test_small_field_is_enlarged_in_a_corner(make):
    image = np.zeros((200, 200, 3), np.uint8)
    image[100:112, 60:72] = 200
    result = make(image=image, input_shape=(3, 200, 200), box=(100, 60, 112, 72), center=(105.5, 65.5))
    drawn = figure(result)
    inset = drawn.axes[0].images[1]
    assert np.array_equal(np.asarray(inset.get_array())[3:15, 3:15], image[100:112, 60:72])
    left, right, bottom, top = inset.get_extent()
    assert (right - left) / 18 == (bottom - top) / 18 == 7
    # The field is in the lower left, so the corner is the upper right.
    outer_left, outer_right, outer_bottom, outer_top = drawn.axes[0].images[0].get_extent()
    assert outer_right - right == top - outer_top == 8
    assert left > (outer_left + outer_right) / 2
    assert bottom < (outer_bottom + outer_top) / 2
    assert "corner: the field, enlarged 4.2 times" in texts(drawn)


def test_absent_arrays_stay_absent_on_disk(make, full, tmp_path):
    full.save(tmp_path / "full.npz")
    again = load_result(tmp_path / "full.npz")
    assert isinstance(again, FieldResult)
    assert again.facts() == full.facts()
    for name, array in full.arrays().items():
        assert np.array_equal(getattr(again, name), array, equal_nan=array.dtype.kind == "f"), name
    make().save(tmp_path / "bare.npz")
    with np.load(tmp_path / "bare.npz") as saved:
        assert not {"effective", "empirical"} & set(saved.files)
        assert saved["theoretical"].tolist() == [[31, 23], [4, 4], [-11, -7]]
        assert saved["chart_layers"].tolist() == ["conv1", "block1", "pool2", "mul1", "odd1"]
    bare = load_result(tmp_path / "bare.npz")
    assert isinstance(bare, FieldResult)
    assert bare.effective is None
    assert bare.empirical is None
    assert report(bare)["arrays"]["theoretical"] == [3, 2]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_same_bytes_and_drawn_again_from_disk(full, tmp_path, suffix):
    full.save(tmp_path / "a.npz")
    one = draw(full, tmp_path / f"one{suffix}").read_bytes()
    assert one == draw(tmp_path / "a.npz", tmp_path / f"two{suffix}").read_bytes()


def test_hostile_names(make):
    hostile = make(
        network="$x^{", alias="$\\frac{1}{0}$", chart_layers=np.array(["$a_", "b\n", "c" * 300, "🦔", ""])
    )
    drawn = figure(hostile)
    drawn.canvas.draw()


def test_wash_and_heat():
    image = np.full((4, 4, 3), 100, np.uint8)
    pale = wash(image, (1, 1, 3, 3))
    assert (pale[1:3, 1:3] == 100).all()
    assert pale[0, 0].tolist() == [round(100 * 0.38 + 255 * 0.62)] * 3
    assert wash(image, None) is image
    hot = heat(image, np.array([[0.0, 1.0, np.nan, 0.25]] * 4))
    assert hot[0, 0].tolist() == hot[0, 2].tolist() == [123, 123, 123]
    assert hot[0, 1].sum() > 600
