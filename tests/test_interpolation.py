import numpy as np
import pytest

from netviz.interpolation import between, linear_weights


@pytest.mark.parametrize("length", [1, 2, 7])
def test_weights_read_a_row_as_numpy_does(length):
    values = np.random.default_rng(length).standard_normal(length)
    places = np.concatenate([np.linspace(-2, length + 1, 41), np.arange(length), [length - 1 - 1e-12]])
    matrix = linear_weights(places, length)
    np.testing.assert_allclose(matrix @ values, np.interp(places, np.arange(length), values), atol=1e-14)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert (np.count_nonzero(matrix, axis=1) <= 2).all()


def test_neighbours_by_hand():
    low, high, share = between(np.array([-3, 0, 0.25, 1, 2, 9]), 3)
    assert low.tolist() == [0, 0, 0, 1, 1, 1]
    assert high.tolist() == [1, 1, 1, 2, 2, 2]
    assert share.tolist() == [0, 0, 0.25, 0, 1, 1]
    assert [one.tolist() for one in between(np.array([-1.0, 5.0]), 1)] == [[0, 0], [0, 0], [0, 0]]
