from dataclasses import replace

import numpy as np
import pytest

from netviz.errors import LayerError, OutputError
from netviz.paper import words
from netviz.paper.page import Page, lay_out, smallest_points
from netviz.questions.drawing import figure, picture
from netviz.questions.votes.draw import contributions
from netviz.questions.votes.draw_set import chosen_classes
from netviz.questions.votes.result import VotesResult, VotesSetResult
from support.pictures import check_apart, texts


def make(supporting: int = 2, against: int = 1, height: int = 60, width: int = 80, **facts) -> VotesResult:
    rng = np.random.default_rng(3)
    shown = supporting + against
    share = np.zeros(9, dtype=np.float32)
    share[:supporting] = np.arange(supporting, 0, -1)
    share[supporting:shown] = -np.arange(against, 0, -1)
    values = {
        "share": share,
        "beside": np.zeros(9, dtype=np.float32),
        "ablated": (7 - share).astype(np.float32),
        "units": np.arange(shown),
        "maps": rng.random((shown, 3, 4)).astype(np.float32),
        "contributions": rng.standard_normal((shown, 3, 4)).astype(np.float32),
        "peaks": np.zeros((shown, 2), dtype=np.int64),
        "boxes": np.array([[10, 20, 30, 50]] * shown).reshape(-1, 4),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "network": "net",
        "image_name": "photo",
        "layer": "features.2",
        "alias": "conv2",
        "layer_kind": "conv",
        "chosen": True,
        "channels": 9,
        "supporting": supporting,
        "class_index": 7,
        "label": "tabby",
        "called": "class",
        "predicted": True,
        "score": 7.0,
        "score_of": "raw output",
        "to": "zero",
        "offset": 0.5,
        "exact": True,
        "unchanged": 0,
        "center": (9.5, 9.5),
        "step": (20.0, 20.0),
        "patch_of": "field",
        "full_passes": "",
    }
    return VotesResult(**{**values, **facts})


def test_image_maps_and_patches():
    result = make()
    drawn = figure(result)
    plain, *units = drawn.axes[0].images
    np.testing.assert_array_equal(plain.get_array(), result.image)
    assert len(units) == 3 * 3
    for number in range(3):
        grey, over, patch = units[3 * number : 3 * number + 3]
        assert grey.get_extent() == over.get_extent()
        left, right, low, high = over.get_extent()
        values = contributions(result, (round(right - left), round(low - high)))[number]
        np.testing.assert_allclose(over.get_array(), values)
        limit = np.abs(values).max()
        assert over.get_clim() == (-limit, limit)
        np.testing.assert_array_equal(patch.get_array(), result.image[10:30, 20:50])
    said = texts(drawn)
    for claim in (
        "votes for tabby",
        "tabby (class 7), the predicted class",
        "score 7 (raw output)",
        "the last layer whose maps are larger than 1×1",
        "2 units of 9 for it, together +3; 1 unit against it, \u22121",
        "exact: the shares, 2 and 0.5 (all units 0), add up to the score",
        "for tabby",
        "against tabby",
        "unit 2",
        "share +2",
        "score falls by 2 without it",
        "score rises by 1 without it",
    ):
        assert claim in said, claim


@pytest.mark.parametrize(
    ("points", "abreast", "size"),
    [(None, 2, (60, 80)), (8, 2, (224, 224)), (8, 2, (300, 90)), (11, 1, (60, 80))],
)
def test_a_narrow_page_is_filled(points, abreast, size):
    result = make(
        3, 2, *size, share=np.array([0.0123, 0.0111, 0.01, -0.0102, -0.0101, 0, 0, 0, 0], np.float32)
    )
    drawn, wide = lay_out(lambda: figure(result), Page(3.5, points))
    assert smallest_points(drawn, wide) == pytest.approx(6 if points is None else points * 7 / 9)
    image, *units = drawn.axes[0].images
    assert len(units) == 5 * 3
    paper = drawn.get_size_inches()[0] * 100
    overs, patches = units[1::3], units[2::3]
    lefts = {over.get_extent()[0] for over in overs}
    assert len(lefts) == abreast
    for over, patch in zip(overs, patches, strict=True):
        left, right, low, high = over.get_extent()
        # As long as two abreast may be, and no longer than usual.
        assert max(right - left, low - high) >= min(112, 0.18 * paper)
        assert right < patch.get_extent()[0]
        assert patch.get_extent()[1] <= paper - 20
    said = texts(drawn)
    for unit in range(5):
        assert f"unit {unit}: share {words.number(float(result.share[unit]))} " in said.replace("+", "")
    assert "…" not in said
    check_apart(drawn, [image, *overs, *patches])


def test_a_map_lies_where_its_positions_look():
    values = np.zeros((1, 3, 4), dtype=np.float32)
    values[0, 1, 2] = 1
    result = make(1, 0, contributions=values)
    over = contributions(result, (80, 60))[0]
    # The second row stands at 29.5, the third column at 49.5: between the pixels beside.
    assert np.argwhere(over > over.max() - 1e-9).tolist() == [[29, 49], [29, 50], [30, 49], [30, 50]]
    assert over.max() == pytest.approx((1 - 0.5 / 20) ** 2)
    even = contributions(make(1, 0, contributions=values, center=None, step=None), (80, 60))[0]
    np.testing.assert_allclose(even, over)


def test_what_is_said_of_other_results():
    said = texts(figure(make(1, 0, exact=False, to="mean", ablated=np.full(9, 7, dtype=np.float32))))
    assert "first order: the shares sum up to 1; with all units 0 the score is 0.5" in said
    assert "score the same at its mean" in said
    assert "against tabby" not in said
    nothing = np.zeros(9, dtype=np.float32)
    silent = texts(figure(make(2, 0, share=nothing, ablated=nothing + 7, contributions=np.zeros((2, 3, 4)))))
    assert "no unit has a share" in silent
    assert "no units of 9 for it" in silent
    beside = texts(figure(make(beside=np.array([1, 0.5, -0.5] + [0] * 6, dtype=np.float32))))
    assert "50 % of the shares are of tokens without a place in the image" in beside
    bad = make(
        contributions=np.full((3, 3, 4), np.nan, dtype=np.float32),
        patch_of="positions",
        center=None,
        step=None,
    )
    said = texts(figure(bad))
    assert "36 values NaN or infinite" in said
    assert "patch: three positions around the one that votes most" in said
    assert "positions are spread evenly over the image" in said


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"boxes": np.array([[0, 0, 61, 9]] * 3)}, "boxes"),
        ({"boxes": np.array([[5, 5, 5, 9]] * 3)}, "boxes"),
        ({"center": None}, "center and step"),
    ],
)
def test_what_does_not_fit_is_told(wrong, fault):
    assert fault in make(**wrong).fault()
    assert not make().fault()


def make_set(units: int = 5, classes: int = 4, labels: bool = True, **facts) -> VotesSetResult:
    change = np.random.default_rng(1).standard_normal((units, classes)).astype(np.float32)
    values = {
        "change": change,
        "score": np.arange(classes, dtype=np.float32),
        "network": "net",
        "layer": "features.2",
        "alias": "conv2",
        "layer_kind": "conv",
        "chosen": True,
        "channels": units,
        "labels": tuple(f"kind {at}" for at in range(classes)) if labels else (),
        "called": "class",
        "score_of": "raw output",
        "to": "zero",
        "exact": True,
        "images": 3,
        "full": 0,
    }
    return VotesSetResult(**{**values, **facts})


def test_the_matrix_of_units_and_classes():
    result = make_set(40, 60)
    drawn = figure(result)
    (image,) = drawn.axes[0].images
    units = np.argsort(result.change.min(axis=1), kind="stable")[:24]
    classes = chosen_classes(result, units)
    np.testing.assert_allclose(image.get_array(), -result.change[units][:, classes])
    limit = np.abs(result.change[units][:, classes]).max()
    assert image.get_clim() == pytest.approx((-limit, limit))
    assert len(set(classes.tolist())) == len(classes) == 28
    assert classes[int(image.get_array()[0].argmax())] == result.change[units[0]].argmin()
    said = texts(drawn)
    strongest = result.falling(int(units[0]))
    for claim in (
        "the classes that fall without a unit",
        "mean over 3 images",
        "the 24 of 40 units without which some score falls most",
        "28 of 60 classes, those that fall most",
        "exact: scores are linear in the layer's output",
        f"kind {strongest[0]} ",
    ):
        assert claim in said, claim


def test_units_of_the_matrix_are_those_asked_for():
    result = make_set(200, 60)
    drawn = picture(result, units="7,3,-1")
    (image,) = drawn.axes[0].images
    classes = chosen_classes(result, np.array([7, 3, 199]))
    np.testing.assert_allclose(image.get_array(), -result.change[[7, 3, 199]][:, classes])
    assert {int(result.change[unit].argmin()) for unit in (7, 3, 199)} <= set(classes.tolist())
    said = texts(drawn)
    assert "3 of 200 units " in said
    assert "without which some score falls most" not in said
    assert texts(picture(result)) == texts(figure(result))
    narrow, _ = lay_out(lambda: picture(result, units="7,3,-1"), Page(3.5))
    np.testing.assert_allclose(narrow.axes[0].images[0].get_array(), image.get_array())
    check_apart(narrow, narrow.axes[0].images)
    with pytest.raises(LayerError, match="no unit 200"):
        picture(result, units=200)
    with pytest.raises(OutputError, match="at most 100 units, not 200"):
        picture(result, units=":")


def test_a_layer_of_one_unit_that_changes_nothing():
    result = make_set(1, 2, labels=False, change=np.zeros((1, 2), dtype=np.float32), exact=False, to="mean")
    said = texts(figure(result))
    assert "no class falls" in said
    assert "class 1" in said
    assert "measured on every image" in said
    assert "the unit is the mean of its map everywhere" in said
    assert result.strongest()["strongest"] == [{"unit": 0, "falls": []}]


def test_labels_of_other_classes_are_told():
    assert not make_set().fault()
    assert replace(make_set(), labels=("a",)).fault() == "labels names 1 classes, not 4"
    assert make_set(labels=False, called="channel").name(2) == "channel 2"
