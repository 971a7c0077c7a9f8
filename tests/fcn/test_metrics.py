"""The metrics against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netviz.fcn.evaluation.measure import boundary_band
from netviz.fcn.metrics import VOID, Confusion, metrics

NAMES = ("a", "b", "c", "d", "e")


def by_hand(truth, called, classes):
    pairs = [(t, p) for t, p in zip(truth.ravel(), called.ravel(), strict=True) if t != VOID]
    share, iu, size = [], [], []
    for k in range(classes):
        true = [p for t, p in pairs if t == k]
        if true:
            hit = sum(p == k for p in true)
            share.append(hit / len(true))
            iu.append(hit / sum(t == k or p == k for t, p in pairs))
            size.append(len(true))
    return {
        "pixel_accuracy": sum(t == p for t, p in pairs) / len(pairs),
        "mean_accuracy": sum(share) / len(share),
        "mean_iu": sum(iu) / len(iu),
        "frequency_weighted_iu": sum(s * i for s, i in zip(size, iu, strict=True)) / len(pairs),
    }, iu


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_what_counting_gives(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice([VOID, 0, 1, 3, 4], size=(13, 17))  # class 2 never occurs
    called = rng.integers(0, 5, size=(13, 17))
    table = Confusion(5)
    table.update(truth, called)
    expected, iu = by_hand(truth, called, 5)
    found = metrics(table.result(), NAMES)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value)
    assert list(found["per_class"]) == ["a", "b", "d", "e"]
    assert list(found["per_class"].values()) == pytest.approx(iu)
    assert table.result().sum() == (truth != VOID).sum()


def test_the_paper_s_words_on_a_small_table():
    # 8 of class 0, of which 6 are called so; 2 of class 1, of which 1.
    found = metrics(np.array([[6, 2], [1, 1]]), ("x", "y"))
    assert found["pixel_accuracy"] == pytest.approx(0.7)
    assert found["mean_accuracy"] == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert found["mean_iu"] == pytest.approx((6 / 9 + 1 / 4) / 2)
    assert found["frequency_weighted_iu"] == pytest.approx(0.8 * 6 / 9 + 0.2 * 1 / 4)


def test_nothing_counted_is_none():
    table = Confusion(3)
    table.update(np.full((4, 4), VOID), np.zeros((4, 4), dtype=int))
    found = metrics(table.result(), NAMES[:3])
    assert found["mean_iu"] is None
    assert found["per_class"] == {}


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_any_grouping_counts_the_same(seed, parts):
    rng = np.random.default_rng(seed)
    truth, called = rng.integers(-1, 4, size=60), rng.integers(0, 4, size=60)
    plane = rng.integers(0, 4, size=60)
    whole = Confusion(4, planes=3)
    whole.update(truth, called, plane)
    merged = Confusion(4, planes=3)
    for chosen in np.array_split(rng.permutation(60), parts):
        one = Confusion(4, planes=3)
        one.update(truth[chosen], called[chosen], plane[chosen])
        merged.merge(one)
    again = Confusion(4, planes=3)
    again.restore(merged.state())
    assert (again.counts == whole.counts).all()
    assert whole.counts.sum() == ((truth != VOID) & (plane < 3)).sum()


def test_wrong_numbers_are_refused():
    table = Confusion(2)
    with pytest.raises(ValueError, match="class numbers must be in 0…1"):
        table.update(np.array([2]), np.array([0]))
    with pytest.raises(ValueError, match="give both one shape"):
        table.update(np.zeros((2, 2), dtype=int), np.zeros(4, dtype=int))


def test_bands_are_distances_from_label_changes():
    labels = np.zeros((40, 50), dtype=int)
    labels[10:30, 15:40] = 1
    labels[20:, 30:] = -1
    rows, cols = np.mgrid[:40, :50]
    edge = np.array(
        [
            (r, c)
            for r in range(40)
            for c in range(50)
            for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))
            if 0 <= r + dr < 40 and 0 <= c + dc < 50 and labels[r, c] != labels[r + dr, c + dc]
        ]
    )
    distance = np.sqrt(
        ((rows[..., None] - edge[:, 0]) ** 2 + (cols[..., None] - edge[:, 1]) ** 2).min(axis=-1)
    )
    band = boundary_band(labels, 6)
    for radius in range(1, 7):
        assert ((band < radius) == (distance <= radius - 1)).all()
    assert (boundary_band(np.zeros((5, 5), dtype=int), 4) == 4).all()
