"""Facts of units against definitions written out, and NumPy's own correlation."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

from netviz.questions.units.result import (
    alike,
    class_selectivity,
    cluster_order,
    common_patches,
    correlation,
    left_by_chance,
    left_over,
    nearest_units,
    plane,
    sparsity,
)
from support.patches import make_patches
from support.units import make_units


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


@pytest.mark.parametrize(("images", "top"), [(12, 4), (9, 3), (30, 9)])
def test_chance_is_hypergeometric_for_whole_images(images, top):
    result = make_patches(np.tile([0, 0, 120, 160], (2, top, 1)), images=images)
    draws = 1000
    found = left_by_chance(result, np.zeros(2, dtype=bool), draws)
    wanted = hypergeom.sf(np.ceil(top / 2) - 1, images, top, top)
    assert found == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / draws))
    assert left_by_chance(result, np.array([True, False]), 20) == 0
    apart = np.zeros((2, top, 4), dtype=np.int64)
    apart[0], apart[1] = (0, 0, 40, 160), (60, 0, 120, 160)
    assert left_by_chance(make_patches(apart, images=images), np.zeros(2, dtype=bool), 20) == 0


def test_chance_joins_most_units_where_images_are_few():
    """1280 units with 9 whole images of 60 and of 100 each, counted over a plain graph of sets."""
    rng = np.random.default_rng(5)
    for images, share in ((60, 0.94), (100, 0.098)):
        result = make_patches(np.tile([0, 0, 120, 160], (1280, 9, 1)), images=images)
        shown = np.zeros((1280, images), dtype=np.int64)
        for row in shown:
            row[rng.permutation(images)[:9]] = 1
        near = csr_matrix(shown @ shown.T >= 5)
        plain = 1280 - connected_components(near, directed=False)[0]
        found = left_by_chance(result, np.zeros(1280, dtype=bool), 2)
        assert found == pytest.approx(plain, abs=30)
        assert found / 1280 == pytest.approx(share, abs=0.02)


def test_of_equally_near_units_the_first_come_first():
    values = np.random.default_rng(0).normal(size=(40, 3))[:, [0, 1, 0, 2, 0, 1]]
    values = np.concatenate((values, np.zeros((40, 1))), axis=1)
    nearest, similarity = nearest_units(values)
    assert nearest[0, :2].tolist() == [2, 4]
    assert nearest[4, :2].tolist() == [0, 2]
    assert nearest[5, 0] == 1
    assert (nearest[6] == -1).all()
    related = np.corrcoef(values[:, :6].T)
    np.fill_diagonal(related, -2)
    for unit in range(6):
        order = np.lexsort((np.arange(6), -np.round(related[unit], 6)))[:5]
        assert nearest[unit].tolist() == order.tolist()
    assert np.isnan(similarity[6]).all()
    # Of two units each has one neighbour, and no more.
    nearest, similarity = nearest_units(values[:, [0, 1]])
    assert nearest.tolist() == [[1, -1, -1, -1, -1], [0, -1, -1, -1, -1]]
    assert np.isnan(similarity[:, 1:]).all()


def test_units_that_act_alike_lie_near_each_other():
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(400, 3)) * (3, 2, 0.5)
    values = hidden @ rng.normal(size=(3, 12)) + rng.normal(size=(400, 12)) / 10
    values[:, 4] = 7
    places, share = plane(correlation(values))
    assert np.isnan(places[4]).all()
    # The principal components of the units, each a point whose coordinates are its standardized values.
    rest = np.delete(values, 4, axis=1)
    points = ((rest - rest.mean(axis=0)) / rest.std(axis=0)).T / np.sqrt(len(rest))
    left, length, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * length[:2]
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), [0, 1]])
    np.testing.assert_allclose(np.delete(places, 4, axis=0), expected, atol=1e-3)
    assert share == pytest.approx((length[:2] ** 2).sum() / (length**2).sum(), abs=1e-3)
    few, none = plane(correlation(values[:, [4, 0]]))
    assert np.isnan(few).all(axis=1).tolist() == [True, True]
    assert none is None


def test_left_over():
    assert left_over(((1, 2, 3), (5, 9))) == 3


def test_correlated_units_become_neighbours():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 24)) + rng.normal(size=(100, 4)) @ rng.normal(size=(4, 24))
    values[:, 5] = 1
    found = correlation(values)
    order = cluster_order(found)
    assert sorted(order.tolist()) == list(range(24))
    assert order[-1] == 5
    # Each cluster of SciPy's tree takes successive places.
    varying = np.delete(np.arange(24), 5)
    distance = 1 - found[np.ix_(varying, varying)]
    place = {unit: at for at, unit in enumerate(order.tolist())}
    clusters = [[place[unit]] for unit in varying.tolist()]
    for one, other, _, _ in linkage(distance[np.triu_indices(23, 1)], "average").astype(int).tolist():
        clusters.append(sorted(clusters[one] + clusters[other]))
        assert clusters[-1][-1] - clusters[-1][0] == len(clusters[-1]) - 1
    assert cluster_order(np.ones((4, 4))).tolist() == [0, 1, 2, 3]
    assert cluster_order(np.full((2, 2), np.nan)).tolist() == [0, 1]
    assert cluster_order(np.ones((1, 1))).tolist() == [0]


def test_extremes_are_told():
    result = make_units(
        correlation=[[1, 0.2, -0.9, np.nan], [0.2, 1, 0.5, np.nan], [-0.9, 0.5, 1, np.nan], [np.nan] * 4],
        selectivity=np.array([0.1, 0.7, 0, np.nan]),
        class_means=np.array([[2, 1], [1, 6], [1, 1], [0, 0]]),
        zeros=np.array([0, 0.5, 0, 1]),
        classes=("cat", "dog"),
    )
    assert result.never() == (3,)
    assert result.most_selective(5) == [(1, 0.7, "dog"), (0, 0.1, "cat")]
    assert result.most_selective(1) == [(1, 0.7, "dog")]
    wanted = [(0, 2, -0.9), (1, 2, 0.5), (0, 1, 0.2)]
    for count in (1, 2, 9):
        found = result.most_correlated(count)
        assert [pair[:2] for pair in found] == [pair[:2] for pair in wanted[:count]]
        np.testing.assert_allclose([r for *_, r in found], [r for *_, r in wanted[:count]], rtol=1e-6)
    told = result.summary()
    assert told["never_active"] == [3]
    assert told["most_selective"] == [[1, 0.7, "dog"], [0, 0.1, "cat"]]
    assert told["mean_selectivity"] == pytest.approx(0.8 / 3)
