"""Units of two networks: read at the same places, held against NumPy's own correlation."""

import numpy as np
import pytest

from netviz.questions.units.across import (
    MOST,
    axis_places,
    best,
    correlations_across,
    grid_side,
    overlap,
    read_maps,
    whole_steps,
)


def test_correlations_are_numpy_s_whatever_the_order_of_the_sum() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(9, MOST)) * rng.lognormal(0, 3, (9, 1)) + 5
    second = np.maximum(rng.normal(size=(7, MOST)), 0)
    second[3] = -2 * first[4] + 1
    one, two = whole_steps(first), whole_steps(second)
    found = correlations_across(one, two)
    np.testing.assert_allclose(found, np.corrcoef(first, second)[:9, 9:], atol=1e-3)
    assert found[4, 3] == pytest.approx(-1, abs=1e-6)
    # No sum is rounded, not even of its parts.
    assert (np.abs(one) @ np.abs(two).T).max() < 2**24
    order = rng.permutation(MOST)
    assert correlations_across(one[:, order], two[:, order]).tobytes() == found.tobytes()
    assert correlations_across(one[:2], two[:1]).tobytes() == found[:2, :1].tobytes()


def test_a_unit_that_is_the_same_everywhere_is_like_none() -> None:
    values = np.random.default_rng(1).normal(size=(4, 50)).astype(np.float32)
    values[0], values[1, 7] = 0.1, np.nan
    values[2] *= 1e30
    found = correlations_across(whole_steps(values), whole_steps(values))
    assert np.isnan(found[:2]).all()
    assert np.isnan(found[:, :2]).all()
    assert found[2, 2] == found[3, 3] == 1
    assert found[2, 3] == pytest.approx(np.corrcoef(values[2:].astype(np.float64))[0, 1], abs=1e-3)


def test_the_best_are_the_largest_above_zero_and_of_equals_the_first() -> None:
    related = np.array([[0.2, 0.9, 0.9, np.nan], [-1, -0.2, np.nan, 0], [np.nan] * 4])
    assert best(related, 2) == [[(1, 0.9), (2, 0.9)], [], []]


def test_maps_are_read_where_the_photograph_is() -> None:
    """Two networks see different parts at different sizes: a map of each that tells the place gives the same."""
    parts = (0.0, 0.1, 1.0, 0.8), (0.2, 0.0, 0.9, 1.0)
    shared = overlap(*parts)
    assert shared == (0.2, 0.1, 0.9, 0.8)
    read = []
    for part, pixels, (size, stride, start) in zip(
        parts, ((224, 160), (350, 420)), ((11, 4, -5), (3, 2, -1)), strict=True
    ):
        # What a position shows: the place on the photograph that it looks at, by hand.
        rows, columns = (
            part[axis]
            + (np.arange(pixels[axis] // stride) * stride + start + (size - 1) / 2 + 0.5)
            / pixels[axis]
            * (part[axis + 2] - part[axis])
            for axis in (0, 1)
        )
        maps = np.stack([np.add.outer(rows, 0 * columns), np.add.outer(0 * rows, columns)])
        grid = [
            axis_places(
                (shared[axis], shared[axis + 2]),
                (part[axis], part[axis + 2]),
                pixels[axis],
                maps.shape[1 + axis],
                8,
                (size, stride, start),
            )
            for axis in (0, 1)
        ]
        read.append(read_maps(maps, *grid).reshape(2, 8, 8))
    wanted = shared[0] + 0.7 * (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(read[0][0, :, 0], wanted, atol=1e-12)
    np.testing.assert_allclose(read[0], read[1], atol=1e-12)
    assert read[0][1, 3, 5] == pytest.approx(0.1 + 0.7 * 5.5 / 8)


def test_maps_of_unknown_fields_divide_the_photograph() -> None:
    places = axis_places((0.0, 1.0), (0.0, 1.0), 224, 7, 14, None)
    np.testing.assert_allclose(places, (np.arange(14) + 0.5) / 2 - 0.5)


def test_a_nan_spoils_only_what_is_read_between_it() -> None:
    maps = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    maps[0, 0, 0] = np.nan
    found = read_maps(maps, np.array([-3.0, 1.5]), np.array([0.5, 2.25, 9.0])).reshape(2, 3)
    assert np.isnan(found[0, 0])
    assert np.isfinite(found).sum() == 5
    np.testing.assert_allclose(found[0, 1:], [2.25, 3])
    np.testing.assert_allclose(found[1], [6.5, 8.25, 9])


def test_parts_that_share_nothing() -> None:
    assert overlap((0, 0, 0.5, 1), (0.5, 0, 1, 1)) is None
    # What was continued beyond the photograph is of neither.
    assert overlap((-0.2, 0, 1.2, 1), (-0.1, 0.5, 1.1, 1.5)) == (0, 0.5, 1, 1)


def test_many_photographs_are_read_at_fewer_places() -> None:
    assert [grid_side(photos) for photos in (1, 4, 5, 16, 10_000)] == [28, 28, 25, 14, 2]
    assert all(photos * grid_side(photos) ** 2 <= MOST for photos in range(1, 700))
