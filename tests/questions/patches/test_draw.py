from dataclasses import replace

import numpy as np
import pytest

from netviz.errors import ImageError, LayerError, OutputError
from netviz.paper.page import Page, lay_out, smallest_points
from netviz.questions.drawing import draw, figure
from netviz.questions.patches.draw import patches_figure
from netviz.questions.patches.sheet import patch_sheet
from netviz.questions.patches.tiles import RunImages, cut_tiles, histogram, threshold
from support.patches import coordinates, make_patches, make_run
from support.pictures import check_apart

PAPER, BEYOND, HATCH = (255, 255, 255), (0xA9, 0xB1, 0xBA), (0x8F, 0x99, 0xA4)


def plain(box, **changes):
    """A result whose maps are flat, so that tiles are the bare pixels."""
    return make_patches(box, **{"field_size": (9.0, 9.0), **changes})


def texts(drawn):
    return [text.get_text() for text in drawn.axes[0].texts]


def test_small_patches_are_enlarged_by_a_whole_factor():
    result = plain([[[10, 20, 15, 24], [0, 0, 3, 3]]])
    tiles = cut_tiles(result, coordinates, [0], 96)
    # 96 // 5 = 19 for both sides of the first; 96 // 3 = 32.
    for place, (top, left, bottom, right), zoom in ((0, (10, 20, 15, 24), 19), (1, (0, 0, 3, 3), 32)):
        cut = coordinates(place)[top:bottom, left:right]
        wanted = np.kron(cut, np.ones((zoom, zoom, 1), dtype=np.uint8))
        y, x = (96 - wanted.shape[0]) // 2, (96 - wanted.shape[1]) // 2
        tile = tiles.pixels[0, place]
        np.testing.assert_array_equal(tile[y : y + wanted.shape[0], x : x + wanted.shape[1]], wanted)
        around = np.ones((96, 96), dtype=bool)
        around[y : y + wanted.shape[0], x : x + wanted.shape[1]] = False
        assert (tile[around] == PAPER).all()
        assert tiles.drawn[0, place].tolist() == [y, x, y + wanted.shape[0], x + wanted.shape[1]]
    assert tiles.margins == tiles.outlined == 0


def test_large_patches_are_reduced_smoothly():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    tile = cut_tiles(plain([[[8, 16, 104, 112]]]), lambda _: coordinates(0), [0], 32).pixels[0, 0]
    # A ramp stays a ramp: the middle of tile pixel i is 3 (i + 0.5) pixels behind the edge.
    ramp = 3 * (np.arange(32) + 0.5) - 0.5
    assert np.abs(tile[4:-4, :, 0].astype(float) - (8 + ramp)[4:-4, None]).max() <= 1
    assert np.abs(tile[:, 4:-4, 1].astype(float) - (16 + ramp)[None, 4:-4]).max() <= 1
    tile = cut_tiles(plain([[[8, 16, 104, 112]]]), lambda _: noise, [0], 32).pixels[0, 0].astype(float)
    means = noise[8:104, 16:112].reshape(32, 3, 32, 3, 3).mean((1, 3))
    # Not one pixel of nine, but all of them.
    assert np.abs(tile - means).mean() < 12 < np.abs(noise[9:104:3, 17:112:3] - means).mean()


@pytest.mark.parametrize("size", [(80, 40), (40, 80)])
def test_the_aspect_is_kept(size):
    height, width = size
    tiles = cut_tiles(plain([[[10, 20, 10 + height, 20 + width]]]), coordinates, [0], 64)
    top, left, bottom, right = tiles.drawn[0, 0].tolist()
    assert (bottom - top, right - left) == (64 * height // 80, 64 * width // 80)
    assert top + bottom == left + right == 64


def test_what_lies_beyond_the_image_is_hatched_and_not_stretched():
    box, margin = [[[0, 20, 30, 60]]], np.array([[[10, 0, 0, 0]]])
    tiles = cut_tiles(plain(box, margin=margin), coordinates, [0], 80)
    tile = tiles.pixels[0, 0]
    # A field of 40 × 40 pixels in 80 × 80: its 10 outermost rows have no image.
    colours = {tuple(colour) for colour in tile[:20].reshape(-1, 3).tolist()}
    assert colours == {BEYOND, HATCH}
    inner = tile[20:].astype(float)
    assert np.abs(inner[4:-4, :, 0] - (np.arange(60) / 2)[4:-4, None]).max() <= 1
    assert tiles.margins == 1
    assert tiles.drawn[0, 0].tolist() == [0, 0, 80, 80]


def test_a_field_larger_than_the_image_shows_the_image():
    box, margin = [[[10, 20, 50, 60]]], np.array([[[90, 30, 50, 70]]])
    tiles = cut_tiles(plain(box, margin=margin), coordinates, [0], 80)
    bare = cut_tiles(plain(box), coordinates, [0], 80)
    np.testing.assert_array_equal(tiles.pixels, bare.pixels)
    assert tiles.margins == 0


def test_of_a_field_larger_than_the_input_only_the_image_is_drawn():
    # Maps of 6 × 8 positions with stride 8 come from an input of 48 × 64 pixels.
    box, margin = [[[0, 20, 20, 60]]], np.array([[[20, 0, 0, 10]]])
    tiles = cut_tiles(plain(box, margin=margin, field_size=(48.0, 50.0)), coordinates, [0], 80)
    # 20 rows, 40 columns and 10 more beyond, at zoom 1.6.
    assert tiles.drawn[0, 0].tolist() == [24, 0, 56, 80]
    assert np.isin(tiles.pixels[0, 0, 24:56, 64:], (*BEYOND, *HATCH)).all()
    assert not np.isin(tiles.pixels[0, 0, 24:56, :64], (*BEYOND, *HATCH)).all(-1).any()


def test_a_field_wider_than_the_image_on_one_axis_stays_square():
    # 40 rows with 20 beyond on either side, 60 columns with 20 beyond on the left only.
    box, margin = [[[10, 20, 50, 80]]], np.array([[[20, 20, 20, 0]]])
    tiles = cut_tiles(plain(box, margin=margin), coordinates, [0], 80)
    hatched = np.isin(tiles.pixels[0, 0], (*BEYOND, *HATCH)).all(-1)
    assert hatched[:20].all()
    assert hatched[60:].all()
    assert hatched[:, :20].all()
    assert not hatched[20:60, 20:].any()


def peaked(score=2.0, **changes):
    """A patch of 48 × 48 pixels at zoom 2 with cells of 16 pixels, of which only the middle one is 1."""
    maps = np.zeros((1, 1, 3, 3), dtype=np.float16)
    maps[..., 1, 1] = 1
    values = {"maps": maps, "score": np.full((1, 1), score, np.float32)}
    return make_patches([[[8, 8, 56, 56]]], **{**values, **changes})


def test_the_outline_stands_where_the_interpolated_map_crosses_its_threshold():
    gray = np.full((120, 160, 3), 200, dtype=np.uint8)
    # The 0.995 quantile is 0.5 and the score 2: a quarter of the peak, reached 0.75 cells = 24 tile pixels away.
    tiles = cut_tiles(peaked(), lambda _: gray, [0], 96)
    assert (tiles.outlined, tiles.halved) == (1, 0)
    row = tiles.pixels[0, 0, 48].astype(int)
    assert (row[30:67] == 200).all()
    assert (row[:20] == round(200 * 0.65)).all()
    assert (row[77:] == round(200 * 0.65)).all()
    yellow = np.flatnonzero(row[:, 0] - row[:, 2] > 60)
    assert {24, 71} <= set(yellow.tolist()) <= {22, 23, 24, 25, 70, 71, 72, 73}
    column = tiles.pixels[0, 0, :, 48]
    np.testing.assert_array_equal(column, tiles.pixels[0, 0, 48])


def test_thresholds():
    assert threshold(peaked(), 0, 0) == (0.25, False)
    # The quantile above the score: nothing would be bright.
    assert threshold(peaked(score=0.4), 0, 0) == (0.5, True)
    everywhere = np.array([[[[0.3, 0.3, 0.3], [0.3, 1, 0.6], [0.3, 0.3, 0.3]]]], dtype=np.float16)
    assert threshold(peaked(maps=everywhere), 0, 0) == (0.5, True)
    assert threshold(peaked(maps=np.ones((1, 1, 3, 3), np.float16)), 0, 0) is None
    assert threshold(peaked(score=-1.0), 0, 0) is None
    assert threshold(peaked(score=0.0), 0, 0) is None
    assert threshold(peaked(field_size=(15.0, 15.0)), 0, 0) is None
    assert threshold(peaked(field_size=None, field_stride=None), 0, 0) == (0.25, False)


def test_each_image_is_asked_for_once_and_those_that_have_gone_are_counted():
    asked = []

    def images(number):
        asked.append(number)
        if number == 1:
            raise ImageError("no such image: b.png")
        return coordinates(0, 60, 60) if number == 2 else coordinates(number)

    result = plain(np.tile([10, 20, 40, 50], (3, 4, 1)))
    tiles = cut_tiles(result, images, [2, 0], 48)
    assert asked == [0, 1, 2, 3]
    assert tiles.missing.tolist() == [[False, True, True, False]] * 2
    assert tiles.reasons == ("no such image: b.png", "image 2 was 160×120 pixels and is 60×60 now")
    told = []
    drawn = patches_figure(result, images, tell=told.append)
    assert told == ["2 of 4 images cannot be read; the first: no such image: b.png"]
    assert texts(drawn).count("not found") == 6
    with pytest.raises(
        OutputError, match="none of the 4 images of these patches can be read; the first: gone"
    ):
        patches_figure(result, gone)


def gone(number):
    raise ImageError("gone")


def test_the_mean_is_of_the_patches_where_they_have_pixels():
    box = [[[0, 20, 30, 60], [40, 40, 80, 80]]]
    margin = np.array([[[10, 0, 0, 0], [0, 0, 0, 0]]])
    tiles = cut_tiles(plain(box, margin=margin), coordinates, [0], 80)
    first, second = tiles.pixels[0].astype(float)
    np.testing.assert_array_equal(tiles.mean[0, :20], second[:20])
    assert np.abs(tiles.mean[0, 20:] - (first + second)[20:] / 2).max() <= 0.5


def test_histogram_bars():
    pixels = histogram(plain([[[0, 0, 9, 9]]]), 0, 64, 3)
    assert pixels.shape == (64, 96, 3)
    dark = (pixels == (0x6E, 0x77, 0x81)).all(-1).sum(0).reshape(32, 3)
    line = int(0.5 / 2 * 96)
    wanted = np.rint(64 * np.log(1 + np.arange(32)) / np.log(32)).astype(int)
    np.testing.assert_array_equal(np.delete(dark.ravel(), line), np.delete(np.repeat(wanted, 3), line))
    assert (pixels[:, line] == (0xD1, 0x49, 0x5B)).all()


def test_a_figure_says_what_it_shows():
    result = plain(np.tile([10, 20, 40, 50], (20, 3, 1)), dead=(0, 3), always_on=(1,))
    drawn = patches_figure(result, coordinates)
    said = texts(drawn)
    assert [text for text in said if text.isdecimal()][:3] != ["0"]
    assert "0" not in [text.get_text() for text in drawn.axes[0].texts if text.get_weight() == "bold"]
    assert said.count("always on") == 1
    caption = " ".join(said)
    for part in (
        "the first 16 of 20 units that are not dead",
        "3 images, at most 1 from an image",
        "2 dead units (0 everywhere), 1 always on",
        "no outline",
        "all positions",
        "9×9 pixels of the input",
    ):
        assert part in caption
    # Three patches, a mean and a histogram each.
    assert len(drawn.axes[0].images) == 16 * 5
    drawn = patches_figure(result, coordinates, units="4,3")
    assert texts(drawn).count("dead") == 1
    np.testing.assert_array_equal(
        np.asarray(drawn.axes[0].images[0].get_array()),
        cut_tiles(result, coordinates, [4], 160).pixels[0, 0],
    )


def test_nothing_leaves_the_paper_or_overlaps():
    for count, top in ((1, 1), (2, 9), (5, 30), (40, 9)):
        result = make_patches(np.tile([10, 20, 40, 50], (count, top, 1)), image=np.zeros((count, top), int))
        drawn = patches_figure(result, coordinates, units=f"0:{count}")
        check_apart(drawn, drawn.axes[0].images)


@pytest.mark.parametrize(
    ("inches", "points", "count", "top", "means"),
    [
        (3.5, None, 16, 9, False),
        (3.5, None, 2, 9, True),
        (3.5, None, 2, 1, True),
        (3.5, None, 7, 3, False),
        (3.5, 11, 3, 9, False),
        (7.0, None, 16, 9, True),
    ],
)
def test_a_narrow_page_holds_all_patches(inches, points, count, top, means):
    score = np.tile(np.linspace(3e-4, -8.061e-4, top, dtype=np.float32), (count, 1))
    result = make_patches(
        np.tile([10, 20, 40, 50], (count, top, 1)),
        image=np.zeros((count, top), int),
        score=score,
        always_on=(0,),
    )
    drawn, wide = lay_out(
        lambda: patches_figure(result, coordinates, units=f"0:{count}"), Page(inches, points)
    )
    assert smallest_points(drawn, wide) == pytest.approx(6 if points is None else points * 7 / 9)
    said = " ".join(texts(drawn))
    assert ("histogram of values are left out" in said) != means
    assert ("mean: of the patches shown" in said) == means
    # Of each unit, its patches, and its mean and histogram where there are any.
    each = top + 2 * means
    images = drawn.axes[0].images
    assert len(images) == count * each
    side = images[0].get_extent()[1] - images[0].get_extent()[0]
    assert side >= 36
    for unit in range(count):
        shown = cut_tiles(result, coordinates, [unit], int(side)).pixels[0]
        for image, pixels in zip(images[unit * each :], shown, strict=False):
            np.testing.assert_array_equal(image.get_array(), pixels)
    assert said.count(" non-zero") == count
    assert said.count("always on") >= 1
    check_apart(drawn, images)


def test_a_page_of_a_given_height_holds_no_more_than_it_does():
    result = plain(np.tile([10, 20, 40, 50], (80, 3, 1)))
    for page, count, said in (
        (Page(3.5, aspect=0.4), 80, r"at most [1-9] units? of this layer \(3 patches each\), not 80"),
        (Page(3.5, aspect=1.0), 1, "of this size does not hold 3 patches of a unit"),
        (Page(aspect=2.0), 80, r"at most \d\d units of this layer"),
    ):
        with pytest.raises(OutputError, match=said):
            lay_out(lambda count=count: patches_figure(result, coordinates, units=f"0:{count}"), page)


def test_a_narrow_page_tells_of_dead_units_and_images_that_have_gone():
    result = make_patches(
        np.tile([10, 20, 40, 50], (16, 9, 1)), image=np.tile(np.arange(9), (16, 1)), dead=(3,),
        score=np.where(np.arange(16) == 3, 0, 1)[:, None] * np.ones((16, 9), np.float32),
    )  # fmt: skip
    images = lambda number: gone(number) if number == 2 else coordinates(number)  # noqa: E731
    drawn, _ = lay_out(lambda: patches_figure(result, images, units=":"), Page(3.5))
    said = texts(drawn)
    assert said.count("dead: 0 at every position") == 1
    assert said.count("dead") == 1
    assert said.count("found") == 15
    check_apart(drawn, drawn.axes[0].images)


def test_empty_places_stay_empty():
    image = np.array([[0, -1]])
    result = plain(np.tile([10, 20, 40, 50], (1, 2, 1)), image=image)
    drawn = patches_figure(result, coordinates)
    assert len(drawn.axes[0].images) == 3
    sheet = patch_sheet(result, coordinates, size=32)
    assert sheet.empty == (1,)
    left, top = sheet.corner(1)
    assert (sheet.pixels[top : top + 32, left : left + 32] == PAPER).all()


def test_a_dead_unit_has_no_patches():
    score = np.array([[3, 2, 1], [0, 0, 0], [2, 0, 0]], dtype=np.float32)
    box = np.tile([10, 20, 40, 50], (3, 3, 1))
    result = plain(box, score=score, dead=(1,))
    drawn = patches_figure(result, coordinates, units="0:3")
    # Patches, a mean and a histogram; a histogram alone; a patch, a mean and a histogram.
    assert len(drawn.axes[0].images) == 5 + 1 + 3
    assert texts(drawn).count("dead: 0 at every position") == 1
    assert "an empty place" in " ".join(texts(drawn))
    assert patch_sheet(result, coordinates, size=32).empty == (3, 4, 5, 7, 8)
    # A value of 0 excites a unit that also takes negative ones; one that is 0 everywhere is dead in any layer.
    signed = plain(box, score=score, rectified=False, dead=(1,))
    assert patch_sheet(signed, coordinates, size=32).empty == (3, 4, 5)
    said = " ".join(texts(patches_figure(signed, coordinates)))
    assert "1 dead unit (0 everywhere)" in said
    assert "always on" not in said


def test_the_caption_counts_fields_beyond_the_image():
    margin = np.zeros((2, 4, 4), dtype=np.int64)
    margin[0, 0, 1] = margin[0, 3, 2] = margin[1, 1, 0] = 1
    result = plain(np.tile([10, 20, 40, 50], (2, 4, 1)), margin=margin, per_image=4, apart=True)
    for changes, wanted in (
        ({}, "fields that reach beyond the image: 3 of 8 (38 %)"),
        ({"field_status": "upper_bound"}, "fields that reach beyond the image: at most 3 of 8 (38 %)"),
        ({}, "several from one image where their fields overlap by less than a quarter"),
        ({"inside": True}, "only those inside were searched"),
        ({"inside": None}, "all positions were searched: of this layer no field lies inside the image"),
    ):
        assert wanted in " ".join(texts(patches_figure(replace(result, **changes), coordinates)))
    drawn = patches_figure(result, coordinates, units="0")
    assert "fields that reach beyond the image: 2 of 4 (50 %)" in " ".join(texts(drawn))
    drawn = patches_figure(replace(result, field_status="global"), coordinates)
    assert "beyond the image" not in " ".join(texts(drawn))


def test_a_sheet_has_a_tile_for_each_unit_and_place():
    def images(number):
        return gone(number) if number == 2 else coordinates(number)

    result = plain(np.tile([10, 20, 40, 50], (4, 3, 1)) + np.arange(4)[:, None, None])
    for columns, shape in ((None, (2, 3)), (2, (3, 2))):
        sheet = patch_sheet(result, images, [3, 1], size=40, gap=2, columns=columns)
        assert (sheet.rows, sheet.columns) == shape
        assert sheet.units == (3, 1)
        assert sheet.missing == (2, 5)
        assert sheet.pixels.shape == (2 + shape[0] * 42, 2 + shape[1] * 42, 3)
        tiles = cut_tiles(result, images, [3, 1], 40).pixels.reshape(-1, 40, 40, 3)
        for tile in (0, 1, 3, 4):
            left, top = sheet.corner(tile)
            np.testing.assert_array_equal(sheet.pixels[top : top + 40, left : left + 40], tiles[tile])
        left, top = sheet.corner(2)
        assert (sheet.pixels[top, left] != PAPER).all()
        assert (sheet.pixels[top, left + 3] == PAPER).all()


def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path):
    result = plain(np.tile([10, 20, 40, 50], (300, 3, 1)))
    with pytest.raises(OutputError, match=r"at most \d+ units of this layer \(3 patches each\), not 300"):
        patches_figure(result, coordinates, units=":")
    with pytest.raises(LayerError, match="no unit 300"):
        patches_figure(result, coordinates, units="300")
    with pytest.raises(OutputError, match="draw the run's folder"):
        figure(result)
    with pytest.raises(OutputError, match="draw the run's folder"):
        draw(result.save(tmp_path / "alone" / "a.npz"), tmp_path / "a.png")


def test_a_run_and_a_file_in_it_give_the_same_bytes(tmp_path):
    folder = make_run(tmp_path / "run")
    draw(folder, tmp_path / "a.png", layer="conv2", units="1:4")
    draw(folder / "layers" / "features.3.npz", tmp_path / "b.png", units=[1, 2, 3])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(OutputError, match="--layer chooses in the folder"):
        draw(folder / "layers" / "features.3.npz", tmp_path / "b.png", layer="conv1")
    images = RunImages(folder, [1])
    assert images.name(1) == "photo1"
    np.testing.assert_array_equal(images(1), coordinates(1))
