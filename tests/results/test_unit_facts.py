"""Facts of units against definitions written out, and NumPy's own correlation."""

import numpy as np
import pytest

from netviz.results.unit_facts import (
    alike,
    class_selectivity,
    common_patches,
    correlation,
    sparsity,
)
from support_patches import make_patches


def test_class_selectivity_is_the_index_of_morcos():
    means = [[1, 1, 1], [4, 0, 0], [3, 1, 2], [0, 0, 0]]
    assert class_selectivity(np.array(means)).tolist() == [0, 1, (3 - 1.5) / (3 + 1.5), 0]
    for wrong, message in (([[1.0]], "at least 2 classes"), ([[-1, 2]], "must not be negative")):
        with pytest.raises(ValueError, match=message):
            class_selectivity(np.array(wrong))


def test_sparsity_runs_from_everywhere_to_one_position():
    values = np.array([[1, 0, 0, 2], [1, 0, 0, 0], [1, 5, 0, 2], [1, 0, 0, 0]], dtype=np.float32)
    found = sparsity(values)
    assert found[:2].tolist() == [0, 1]
    assert np.isnan(found[2])
    # Half of the positions: a = 1² / 2 = 1/2, and (1 - 1/2) / (1 - 1/4) = 2/3.
    assert found[3] == pytest.approx(2 / 3, rel=1e-12)
    with pytest.raises(ValueError, match="at least 2 positions"):
        sparsity(values[:1])


def test_correlation_is_pearsons():
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    values[:, 1] = 2 * values[:, 0] + 1
    values[:, 2] = 0.1
    found = correlation(values)
    wanted = np.corrcoef(np.delete(values, 2, axis=1).astype(np.float64).T)
    np.testing.assert_allclose(np.delete(np.delete(found, 2, 0), 2, 1), wanted, atol=1e-12)
    assert found[0, 1] == pytest.approx(1, abs=1e-6)
    assert np.isnan(found[2]).all()
    with pytest.raises(ValueError, match="at least 2 positions"):
        correlation(values[:1])


def test_units_with_the_same_patches_are_found():
    first, near, far = (0, 0, 20, 20), (5, 5, 25, 25), (60, 60, 80, 80)
    boxes = [
        [first, first, first, first],
        [near, near, far, far],
        [far, far, far, far],
        [near, far, far, far],
    ]
    result = make_patches(boxes)
    found = common_patches(result)
    # Of 400 pixels 225 are common to the first and the near one: more than half.
    assert found[0].tolist() == [1, 0.5, 0, 0.25]
    assert found[1].tolist() == [0.5, 1, 0.5, 0.75]
    assert np.array_equal(found, found.T)
    assert alike(found) == ((0, 1, 2, 3),)
    assert alike(found, 0.75) == ((1, 2, 3),)
    assert alike(found, 0.76) == ()
    other = make_patches(boxes, image=np.array([[0, 1, 2, 3]] * 3 + [[-1, -1, -1, -1]]))
    assert common_patches(other)[3].tolist() == [0, 0, 0, 0]
