import dataclasses

import numpy as np
import pytest

from netviz.questions.drawing import figure
from netviz.questions.minimal.draw import shown_steps
from netviz.questions.minimal.result import MinimalResult, MinimalSetResult
from support.pictures import texts


def make(height: int = 48, width: int = 64, **facts) -> MinimalResult:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    filling = np.full_like(image, 99)
    segments = np.repeat(np.arange(width) * 16 // width, height).reshape(width, height).T.astype(np.int64)
    order = np.array([4, 0, 9, 15, 3, 2, 7, 8, 1, 11, 12])
    kept = ~np.isin(segments, order[:10])
    values = {
        "image": image,
        "minimal": np.where(kept[..., None], image, filling),
        "filling": filling,
        "segments": segments,
        "order": order,
        "scores": np.linspace(9, 4, 11),
        "predictions": np.array([7] * 10 + [3]),
        "network": "net",
        "image_name": "photo",
        "class_index": 7,
        "label": "tabby",
        "score": 8.5,
        "score_of": "raw output",
        "fill": "blur",
        "blur": 4.8,
        "asked": 20,
        "count": 16,
        "removed": 10,
        "share": float(kept.mean()),
        "flipped": True,
        "end_index": 3,
        "end_label": "lynx",
        "evaluations": 121,
        "full_passes": "",
    }
    return MinimalResult(**{**values, **facts})


def test_panels_steps_and_curve():
    result = make()
    drawn = figure(result)
    whole, order, minimal, *steps = drawn.axes[0].images
    np.testing.assert_array_equal(whole.get_array(), result.image)
    np.testing.assert_array_equal(minimal.get_array(), result.minimal)
    kept = ~np.isin(result.segments, result.order[:10])
    np.testing.assert_array_equal(order.get_array()[kept], result.image[kept])
    # A segment's colour says when it went: the first is darker than the last.
    first, last = (order.get_array()[result.segments == result.order[at]].mean() for at in (0, 9))
    assert first + 60 < last
    assert shown_steps(result) == [0, 2, 3, 5, 7, 8, 10, 11]
    for image, count in zip(steps, shown_steps(result), strict=True):
        gone = np.isin(result.segments, result.order[:count])
        np.testing.assert_array_equal(
            image.get_array(), np.where(gone[..., None], result.filling, result.image)
        )
    (chart,) = [axes for axes in drawn.axes if axes.get_label() == "chart"]
    lines = {line.get_label(): line for line in chart.lines}
    np.testing.assert_allclose(lines["score"].get_ydata(), [8.5, *result.scores])
    assert lines["score"].get_xdata().tolist() == list(range(12))
    assert set(lines["minimal image"].get_xdata()) == {10}
    assert (lines["prediction changes"].get_xdata()[0], lines["prediction changes"].get_ydata()[0]) == (11, 4)
    said = texts(drawn)
    for claim in (
        "minimal image of tabby",
        "tabby (class 7) is predicted, score 8.5 (raw output)",
        "16 segments by colour and place",
        "a Gaussian of 4.8 pixels",
        "121 images judged",
        f"minimal image: {100 * result.share:.1f} % of the image",
        "6 segments left",
        "without the next one: lynx",
        "11 removed",
    ):
        assert claim in said
    assert said.count("16") == 1


def test_a_prediction_that_stays():
    order = np.arange(16)
    result = make(
        order=order, scores=np.linspace(9, 8, 16), predictions=np.full(16, 7), removed=16, share=0.0,
        flipped=False, end_index=7, end_label="tabby", fill="mean", blur=0.0,
    )  # fmt: skip
    drawn = figure(result)
    assert shown_steps(result) == [0, 2, 5, 7, 9, 11, 14, 16]
    said = texts(drawn)
    assert "stays tabby with every segment removed" in said
    assert "the image's mean colour" in said
    (chart,) = [axes for axes in drawn.axes if axes.get_label() == "chart"]
    assert "prediction changes" not in [line.get_label() for line in chart.lines]
    assert "class 7" in texts(figure(make(label="", end_label="")))


def inside(drawn) -> None:
    width, height = drawn.bbox.width, drawn.bbox.height
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (300, 16), (700, 500)])
def test_any_proportions(size):
    names = {"label": "w" * 200, "end_label": "v" * 99, "image_name": "n" * 200, "network": "m" * 90}
    inside(figure(dataclasses.replace(make(*size), **names)))


def make_set(count: int = 5) -> MinimalSetResult:
    rng = np.random.default_rng(0)
    share = rng.uniform(0, 1, count)
    classes = np.arange(count) // 2
    return MinimalSetResult(
        share=share,
        class_index=classes,
        removed=np.full(count, 4),
        count=np.full(count, 9),
        images=rng.integers(0, 256, (count, 112, 112, 3), dtype=np.uint8),
        minimals=rng.integers(0, 256, (count, 112, 112, 3), dtype=np.uint8),
        network="net",
        fill="mean",
        score_of="raw output",
        asked=9,
        names=tuple(f"photo {number} " + "x" * 60 for number in range(count)),
        labels=tuple(f"label {one} " + "y" * 60 for one in classes),
        skipped=(("bad.png", "is empty"),),
        mean_share=float(share.mean()),
        by_class=tuple(
            {
                "class_index": int(one),
                "label": f"label {one} " + "y" * 60,
                "images": int((classes == one).sum()),
                "mean": float(share[classes == one].mean()),
                "least": float(share[classes == one].min()),
                "most": float(share[classes == one].max()),
            }
            for one in np.unique(classes)
        ),
    )


@pytest.mark.parametrize("count", [1, 5, 100])
def test_a_set(count):
    result = make_set(count)
    drawn = figure(result)
    inside(drawn)
    images = drawn.axes[0].images
    assert len(images) == 2 * min(count, 24)
    most = int(result.share.argmax())
    np.testing.assert_array_equal(images[0].get_array(), result.images[most])
    np.testing.assert_array_equal(images[1].get_array(), result.minimals[most])
    said = texts(drawn)
    assert f"on average {100 * result.mean_share:.1f} %" in said
    assert "1 image left out" in said
    assert f"{100 * result.by_class[0]['mean']:.1f} %, {result.by_class[0]['images']} image" in said
    if count == 100:
        assert "24 of 100" in said
        assert "the first 40 of 50 classes" in said
