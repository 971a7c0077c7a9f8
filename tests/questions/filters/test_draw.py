import numpy as np
import pytest

from netviz.questions.drawing import figure

BAR = "scale"


def paper(drawn):
    return drawn.axes[0]


def bar(drawn):
    (axes,) = [axes for axes in drawn.axes if axes.get_label() == BAR]
    return axes


def texts(drawn):
    return [text.get_text() for text in paper(drawn).texts]


def caption(drawn):
    return " ".join(texts(drawn))


def ticks(drawn):
    return [
        (t, label.get_text())
        for t, label in zip(bar(drawn).get_xticks(), bar(drawn).get_xticklabels(), strict=True)
    ]


def test_colour_tiles(make_filters):
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    result = make_filters(weight, sees_image=True, channel_order="BGR", units=np.array([2, 0]))
    drawn = figure(result)
    limit = np.abs(weight[[2, 0]]).max()
    for image, unit in zip(paper(drawn).images, (2, 0), strict=True):
        expected = np.rint(127.5 + 127.5 * weight[unit, ::-1].transpose(1, 2, 0) / limit)
        np.testing.assert_array_equal(image.get_array(), expected)
        left, right, bottom, top = image.get_extent()
        assert right - left == bottom - top > 30
    assert "net · features.0 (conv1) · 4 filters 3\u00d73\u00d73" in texts(drawn)
    assert "2 of 4 units, by index" in caption(drawn)
    assert "shown as red, green, blue" in caption(drawn)
    assert bar(drawn).get_xlim() == (-limit, limit)


def test_depthwise_tiles_hold_the_weights_on_a_symmetric_scale(make_filters):
    weight = np.random.default_rng(1).standard_normal((6, 1, 3, 5)).astype(np.float32)
    drawn = figure(make_filters(weight, groups=6))
    limit = np.abs(weight).max()
    assert len(paper(drawn).images) == 6
    for unit, image in enumerate(paper(drawn).images):
        np.testing.assert_array_equal(image.get_array(), weight[unit, 0])
        assert image.get_clim() == (-limit, limit)
        left, right, bottom, top = image.get_extent()
        assert (right - left) * 3 == (bottom - top) * 5
        assert str(unit) in texts(drawn)
    assert bar(drawn).get_xlim() == (-limit, limit)
    assert [value for value, _ in ticks(drawn)] == [pytest.approx(-limit), 0, pytest.approx(limit)]
    assert "depthwise" in caption(drawn)


def test_each_filter_on_its_own_scale(make_filters):
    weight = np.array([1.0, -4.0, 0.0]).reshape(3, 1, 1, 1) * np.ones((3, 1, 2, 2))
    drawn = figure(make_filters(weight, groups=3, scale="each"))
    assert [image.get_clim() for image in paper(drawn).images] == [(-1, 1), (-4, 4), (-1, 1)]
    assert ticks(drawn) == [(-1, "\u22121"), (0, "0"), (1, "1")]
    assert "share of each filter's largest weight" in caption(drawn)
    assert "each filter by its own largest weight" in caption(drawn)


def test_caption_counts_and_tiles_say_which(make_filters):
    weight = np.random.default_rng(2).standard_normal((5, 1, 3, 3))
    drawn = figure(make_filters(weight, groups=5, dead=(3,), duplicates=((4, 1), (2, 0)), sort="norm"))
    assert "1 dead filter (L2 norm below 1 % of the layer's median norm)" in caption(drawn)
    assert "2 near-duplicates (cosine similarity \u2265 0.95 with an earlier filter)" in caption(drawn)
    assert "by norm" in caption(drawn)
    assert {"0", "1", "2 \u2248 0", "3 dead", "4 \u2248 1"} <= set(texts(drawn))
    assert "no dead filters" in caption(figure(make_filters(weight, groups=5)))


def test_matrix_is_unit_by_input_channel(make_filters):
    weight = np.random.default_rng(3).standard_normal((3, 4, 2, 3))
    drawn = figure(make_filters(weight, units=np.array([2, 0, 1])))
    blocks = [np.asarray(image.get_array()) for image in paper(drawn).images]
    assert {block.shape[1] for block in blocks} == {4 * 3}
    whole = np.concatenate(blocks)
    limit = np.abs(weight).max()
    for row, unit in enumerate((2, 0, 1)):
        for channel in range(4):
            np.testing.assert_array_equal(
                whole[row * 2 : row * 2 + 2, channel * 3 : channel * 3 + 3], weight[unit, channel]
            )
    assert all(image.get_clim() == (-limit, limit) for image in paper(drawn).images)
    assert "first" not in caption(drawn)


def test_matrix_normalises_each_unit_and_says_what_is_cut(make_filters):
    weight = np.random.default_rng(4).standard_normal((3, 50, 3, 3))
    weight[1, 45, 0, 0] = 100
    drawn = figure(make_filters(weight, scale="each"))
    whole = np.concatenate([np.asarray(image.get_array()) for image in paper(drawn).images])
    assert whole.shape == (9, 32 * 3)
    np.testing.assert_allclose(whole[3:6, 3:6], weight[1, 1] / 100)
    assert all(image.get_clim() == (-1, 1) for image in paper(drawn).images)
    assert "first 32 of 50 input channels" in caption(drawn)


def test_groups_are_named(make_filters):
    drawn = figure(make_filters(np.ones((8, 2, 3, 3)), groups=4))
    assert {"0 g0", "1 g0", "2 g1", "7 g3"} <= set(texts(drawn))
    assert "4 groups" in caption(drawn)
    assert "input channel of the unit's group" in caption(drawn)


@pytest.mark.parametrize(
    "shape",
    [(512, 512, 3, 3), (1280, 320, 1, 1), (960, 1, 3, 3), (64, 512, 7, 7), (300, 2, 1, 1), (2000, 3, 1, 1)],
)
def test_many_units_stay_on_one_sheet_with_visible_weights(make_filters, shape):
    weight = np.broadcast_to(np.float32(1), shape)
    drawn = figure(make_filters(weight, groups=shape[0] if shape[1] == 1 else 1))
    assert max(drawn.get_size_inches()) <= 24
    rows = 0
    for image in paper(drawn).images:
        left, right, bottom, top = image.get_extent()
        height, width = image.get_array().shape
        assert (right - left) / width == (bottom - top) / height >= 3
        assert 0 <= left < right <= drawn.bbox.width
        assert 0 <= top < bottom <= drawn.bbox.height
        rows += height
    assert rows == shape[0] * shape[2]


def test_tags_of_low_rows_become_marks(make_filters):
    weight = np.broadcast_to(np.float32(1), (1280, 64, 1, 1))
    drawn = figure(make_filters(weight, dead=(3,), duplicates=((700, 2),)))
    assert "violet near-duplicate, grey dead" in caption(drawn)


@pytest.mark.parametrize(
    "shape", [(2, 3, 1, 1), (2, 1, 1, 7), (2, 5, 7, 1), (1, 1, 64, 64), (3, 4, 200, 200)]
)
@pytest.mark.parametrize("scale", ["shared", "each"])
def test_unusual_weights(make_filters, shape, scale):
    weight = np.zeros(shape, dtype=np.float16)
    weight.flat[0] = np.nan
    weight.flat[-1] = np.inf
    for sees_image in (True, False):
        drawn = figure(make_filters(weight, scale=scale, sees_image=sees_image))
        assert "2 values NaN or infinite (green)" in caption(drawn)
    assert figure(make_filters(weight, scale=scale, units=np.array([], dtype=int))).axes


def test_signed_bad_values_are_masked_and_green(make_filters):
    weight = np.ones((1, 1, 2, 2))
    weight[0, 0, 0, 1] = -np.inf
    (image,) = paper(figure(make_filters(weight))).images
    assert image.get_array().mask.tolist() == [[False, True], [False, False]]
    assert np.round(255 * np.array(image.cmap.get_bad())).tolist() == [0, 200, 83, 255]
