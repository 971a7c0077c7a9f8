import numpy as np
import pytest

from netviz.errors import ImageError, LayerError, OutputError
from netviz.questions.dissect.draw_matrix import dissection_matrix_figure, ordered
from netviz.questions.dissect.draw_units import best_units, dissection_units_figure
from netviz.questions.patches.tiles import cut_tiles
from support.dissection import check_layout, counted, dissection, random, said
from support.patches import coordinates, make_patches


def test_the_matrix_shows_the_numbers_in_blocks():
    result = random(200, 70)
    peak, best = result.iou.max(axis=1), result.iou.argmax(axis=1)
    block = ordered(result)
    assert sorted(block.units) == sorted(sorted(range(200), key=lambda unit: (-peak[unit], unit))[:64])
    np.testing.assert_array_equal(block.best, best[block.units])
    # The units of a concept stand together, the highest first, and blocks in the order of the columns.
    columns = [block.concepts.tolist().index(at) for at in block.best]
    assert columns == sorted(columns)
    for at in set(block.best.tolist()):
        scores = block.score[block.best == at]
        assert (np.diff(scores) <= 0).all()
    kinds = [result.concepts[at][1] for at in block.concepts]
    assert kinds == sorted(kinds)
    assert len(kinds) == 48
    assert block.left_out == 22
    drawn = dissection_matrix_figure(result)
    (image,) = drawn.axes[0].images
    np.testing.assert_array_equal(image.get_array(), result.iou[np.ix_(block.units, block.concepts)])
    assert image.get_clim() == (0, peak.max())
    assert drawn.axes[1].get_label() == "scale"
    assert "the 64 of 200 units with the highest IoU" in " ".join(said(drawn))
    check_layout(drawn)


def test_the_matrix_of_chosen_units():
    result = dissection([[0.1, 0.2], [0, 0], [0.3, 0.1], [0.5, 0.6]], concept_area=np.array([0, 9]))
    drawn = dissection_matrix_figure(result, units="0,3")
    assert drawn.axes[0].images[0].get_array().tolist() == [[0.6], [0.2]]
    assert "2 detectors among them" in " ".join(said(drawn))
    check_layout(dissection_matrix_figure(dissection(np.zeros((3, 2)))))
    with pytest.raises(LayerError, match="no unit 4"):
        dissection_matrix_figure(result, units="4")
    with pytest.raises(OutputError, match="at most 140 units, not 141"):
        dissection_matrix_figure(dissection(np.zeros((150, 2))), units="0:141")


def test_the_best_units_of_each_concept():
    iou = np.zeros((9, 4))
    iou[:5, 1] = [0.1, 0.3, 0.2, 0.05, 0.03]
    iou[5:7, 0] = [0.041, 0.04]
    iou[7, 3] = 0.9
    chosen, left_out = best_units(dissection(iou))
    # Most units first; of as many, the higher IoU first.
    assert [(one.concept, one.units, one.detectors) for one in chosen] == [
        (1, (1, 2, 0), 4),
        (3, (7,), 1),
        (0, (5,), 1),
    ]
    assert left_out == 0
    chosen, _ = best_units(dissection(iou), "6,4,7,0")
    assert [(one.concept, one.units) for one in chosen] == [(3, (7,)), (1, (0, 4)), (0, (6,))]
    chosen, left_out = best_units(dissection(iou / 100, concept_area=np.array([1, 1, 0, 1])))
    assert [(one.concept, one.units) for one in chosen] == [(3, (7, 0, 1)), (1, (1, 2, 0)), (0, (5, 6, 0))]
    assert best_units(random(400, 40))[1] == len(counted(random(400, 40))) - 12


def test_masks_are_where_the_interpolated_map_is_above_the_units_threshold():
    gray = np.full((120, 160, 3), 200, dtype=np.uint8)
    maps = np.zeros((3, 1, 3, 3), dtype=np.float16)
    maps[:, 0, 1, 1] = 1
    score = np.array([[2], [2], [-2]], dtype=np.float32)
    patches = make_patches(np.tile([8, 8, 56, 56], (3, 1, 1)), maps=maps, score=score)
    tiles = cut_tiles(patches, lambda _: gray, [0, 1, 2], 96, top=4, thresholds=np.array([0.5, 3.0, -1.0]))
    # Cells of 32 tile pixels; a quarter of the peak is reached 0.75 cells away.
    row = tiles.pixels[0, 0, 48].astype(int)
    assert (row[30:67] == 200).all()
    assert (row[:20] == 130).all()
    assert (row[77:] == 130).all()
    yellow = np.flatnonzero(row[:, 0] - row[:, 2] > 60)
    assert {24, 71} <= set(yellow.tolist()) <= {22, 23, 24, 25, 70, 71, 72, 73}
    # Above the score nothing is: no other level takes its place.
    assert (tiles.pixels[1, 0] == 130).all()
    # Of a negative score the middle is the lowest: the rest is above half of it.
    row = tiles.pixels[2, 0, 48].astype(int)
    assert (row[:29] == 200).all()
    assert (row[36:60] == 130).all()
    flat = make_patches([[[8, 8, 56, 56]]], maps=np.zeros((1, 1, 3, 3), np.float16))
    assert (cut_tiles(flat, lambda _: gray, [0], 96, top=1, thresholds=np.zeros(1)).pixels == 130).all()


def test_units_are_drawn_with_their_patches():
    result = dissection([[0.2, 0], [0.1, 0], [0, 0.3], [0, 0]])
    patches = make_patches(np.tile([10, 20, 50, 60], (4, 6, 1)))
    drawn = dissection_units_figure(result, patches, coordinates)
    assert len(drawn.axes[0].images) == 3 * 4
    text = said(drawn)
    assert [part for part in text if part.startswith("unit ")] == ["unit 0", "unit 1", "unit 2"]
    assert [part for part in text if part.startswith("IoU ")] == ["IoU 0.2000", "IoU 0.1000", "IoU 0.3000"]
    assert text.count("active above 0.5") == 3
    assert "known of 3×3 positions" in " ".join(text)
    check_layout(drawn)
    drawn = dissection_units_figure(result, patches, coordinates, units="3")
    assert "none of these units detects" in " ".join(said(drawn))
    assert "object · 2 units detect it, none of them drawn" in said(drawn)
    with pytest.raises(OutputError, match="run netviz dissect again"):
        dissection_units_figure(dissection(np.zeros((5, 2))), patches, coordinates)
    many = make_patches(np.tile([10, 20, 50, 60], (60, 1, 1)))
    with pytest.raises(OutputError, match="does not hold 60 units of 1 concept"):
        dissection_units_figure(dissection(np.ones((60, 2))), many, coordinates, units=":")


def test_images_that_have_gone_are_counted():
    def images(number):
        if number in (1, 2):
            raise ImageError("no such image: b.png")
        return coordinates(number)

    result, told = dissection([[0.2, 0]]), []
    patches = make_patches(np.tile([10, 20, 50, 60], (1, 3, 1)))
    drawn = dissection_units_figure(result, patches, images, tell=told.append)
    assert told == ["2 of 3 images cannot be read; the first: no such image: b.png"]
    assert said(drawn).count("not found") == 2
    assert "2 images could not be read" in " ".join(said(drawn))
    small = coordinates(0, 60, 60)
    with pytest.raises(
        OutputError, match=r"none of the 3 images .* image 0 was 160×120 pixels and is 60×60 now"
    ):
        dissection_units_figure(result, patches, lambda _: small)
