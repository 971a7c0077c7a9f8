"""What intersection over union could be at most."""

from dataclasses import replace

import numpy as np

from support.dissection import dissection


def random():
    """A result whose areas let some concepts be detected by some units only."""
    rng = np.random.default_rng(3)
    found = dissection(rng.random((7, 5)) ** 4 * 0.2)
    active = rng.integers(0, 60, found.unit_area.shape)
    active[4] = 2
    return replace(found, unit_area=active, concept_area=np.array([100, 900, 1500, 400, 1900]))


def test_the_ceiling_is_that_of_areas_one_within_the_other():
    result = random()
    found = result.ceiling()
    for unit in range(7):
        for concept, (_, category) in enumerate(result.concepts):
            pixels = np.zeros((2, 1 + max(result.unit_area.max(), result.concept_area.max())), dtype=bool)
            pixels[0, : result.unit_area[unit, result.categories.index(category)]] = True
            pixels[1, : result.concept_area[concept]] = True
            either = pixels.any(axis=0).sum()
            assert found[unit, concept] == (pixels.all(axis=0).sum() / either if either else 0)


def test_the_nearest_is_one_that_could_be_detected():
    result = random()
    ceiling = result.ceiling()
    assert {0} < {int((row > result.detect).sum()) for row in ceiling}
    for (one, highest), row in zip(result.nearest(), ceiling, strict=True):
        able = [at for at in range(5) if row[at] > result.detect]
        if not able:
            assert (one.label, one.category, one.score, highest) == ("", "", 0.0, row.max())
            continue
        best = max(able, key=lambda at: result.iou[one.unit, at])
        assert (one.label, one.category) == result.concepts[best]
        assert (one.score, highest) == (result.iou[one.unit, best], row[best])
