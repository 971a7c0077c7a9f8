import re
from typing import Any

import numpy as np
import pytest

from netviz.gallery.manifest import Picture
from netviz.gallery.panels.ranges import Part, Shown, offer_places, tell_parts, value_ends
from netviz.questions.maps.result import MapsResult
from netviz.results.survey import FieldRecord
from support.patches import make_patches


def maps(values: Any) -> MapsResult:
    return MapsResult(
        maps=values, image=np.zeros((32, 40, 3), dtype=np.uint8), index=np.array([3, 5]), units=np.array([3, 5]),
        network="toy", layer="conv1", alias="conv1", layer_kind="conv", channels=8, image_name="x", scale="each",
        sort="index",
    )  # fmt: skip


@pytest.fixture
def values() -> Any:
    """Of seven photographs the maps of units 3 and 5: few values are large, as those of a network."""
    return (10 * np.random.default_rng(2).random((7, 2, 8, 10)) ** 4).astype(np.float32)


def parts_of(values: Any, unit: int, ends: dict[int, tuple[float, float]]) -> tuple[Part, ...]:
    photos = [Shown(f"photo{at}", Picture(f"{at}.jpg", 40, 32), (8, 10)) for at in range(len(values))]
    field = FieldRecord((9.0, 9.0), (4.0, 4.0), (-3.0, -3.0), "exact", "")
    offered = [offer_places(maps(one), ends, at) for at, one in enumerate(values)]
    return tell_parts(offered, unit, ends, photos, field, [f"{at}.html#place=2" for at in range(len(values))])


def test_examples_are_of_their_part_of_the_range(values: Any) -> None:
    told = parts_of(values, 5, {5: (0.0, 10.0)})
    mine = values[:, 1]
    for at, part in enumerate(told):
        inside = (mine >= at) & (mine < at + 1)
        assert (part.low, part.high) == pytest.approx((at, at + 1))
        assert part.positions == inside.sum()
        assert len(part.examples) == min(5, inside.sum())
        # At most one of a photograph, where there are enough.
        photos = [one.name for one in part.examples]
        assert len(set(photos)) == min(len(photos), inside.any(axis=(1, 2)).sum())
        for one in part.examples:
            found = re.fullmatch(r"(\d).html#place=2,(.*),(.*)", one.page)
            assert found
            row, column = int(float(found[3]) * 8), int(float(found[2]) * 10)
            assert mine[int(found[1]), row, column] == one.value
            assert at <= one.value < at + 1
            # The middle of the field is one pixel behind that of position 0, and four for each further one.
            left, top, width, height = one.view
            assert left + one.dot[0] * width == pytest.approx(4 * column + 1.5)
            assert top + one.dot[1] * height == pytest.approx(4 * row + 1.5)
            assert 0 <= left < left + width <= 40
            assert 0 <= top < top + height <= 32


def test_values_beyond_the_ends_count_for_the_outer_parts(values: Any) -> None:
    told = parts_of(values, 3, {3: (2.0, 4.0)})
    mine = values[:, 0]
    assert told[0].positions == (mine < 2.2 - 1e-6).sum()
    assert told[-1].positions == (mine >= 3.8).sum()
    assert sum(part.positions for part in told) == mine.size


def test_a_unit_of_one_value_has_no_examples(values: Any) -> None:
    result = make_patches(np.zeros((8, 2, 4)), max=np.array([2, 0] * 4, dtype=np.float32))
    result.quantiles[1] = 0
    ends = value_ends(result)
    assert 1 not in ends
    assert ends[0] == (0.0, 2.0)
    assert parts_of(values, 1, ends) == ()
    # A unit without maps.
    assert parts_of(values, 0, ends) == ()
