"""Accumulators against brute force; merging in any order and grouping gives the same."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netviz.engines.accumulators.sample import Sample, position_hashes
from netviz.engines.accumulators.sums import ExactSum
from netviz.engines.accumulators.top import NONE, Top

ENTRIES = st.lists(
    st.tuples(
        st.integers(0, 2),  # row of the accumulator
        st.sampled_from([-1.5, -0.0, 0.0, 0.25, 0.25000003, 7.0]),
        st.integers(0, 6),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    unique_by=lambda entry: (entry[0], *entry[2:]),
    max_size=40,
)


def top_of(entries, k=3):
    top = Top(3, k, {"mark": ((2,), np.int32)})
    offer(top, entries)
    return top


def offer(top, entries):
    if not entries:
        return
    rows, scores, images, row, col = (np.array(column) for column in zip(*entries, strict=True))
    marks = np.stack([images * 10 + row, col], axis=1).astype(np.int32)
    top.update(
        rows,
        (scores + 0.0).astype(np.float32),
        images.astype(np.int64),
        row.astype(np.int32),
        col.astype(np.int32),
        {"mark": marks},
    )


def best(entries, row, k=3):
    mine = [(np.float32(score + 0.0), *place) for one, score, *place in entries if one == row]
    return sorted(mine, key=lambda entry: (-entry[0], *entry[1:]))[:k]


def assert_same(one, other):
    first, second = one.state(), other.state()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.tobytes() == second[name].tobytes(), name


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=150)
def test_top_is_the_sorted_beginning_whatever_the_order_and_grouping(entries, random, parts):
    whole = top_of(entries)
    for row in range(3):
        expected = best(entries, row)
        found = [
            (whole.score[row, at], whole.image[row, at], whole.row[row, at], whole.col[row, at])
            for at in range(3)
            if whole.image[row, at] != NONE
        ]
        assert found == expected
        for at, (_, image, place, col) in enumerate(expected):
            assert whole.carried("mark")[row, at].tolist() == [image * 10 + place, col]
        assert (whole.score[row, len(expected) :] == -np.inf).all()
    shuffled = list(entries)
    random.shuffle(shuffled)
    pieces = [top_of(shuffled[part::parts]) for part in range(parts)]
    random.shuffle(pieces)
    left = Top(3, 3, {"mark": ((2,), np.int32)})
    for piece in pieces:
        left.merge(piece)
    assert_same(left, whole)
    right = pieces[-1]
    for piece in reversed(pieces[:-1]):
        piece.merge(right)
        right = piece
    assert_same(right, whole)


def test_top_says_beforehand_what_cannot_enter():
    top = top_of([(0, 5.0, image, 0, 0) for image in (2, 4, 6)])
    scores = np.array([4.0, 5.0, 5.0, 6.0], dtype=np.float32)
    wanted = top.wanted(scores[:, None], np.array([0, 9, 5, 9]), np.zeros(4, dtype=np.intp), 1)[:, 0]
    assert wanted.tolist() == [False, False, True, True]


def test_a_state_brings_everything_back():
    top = top_of([(1, 5.0, 2, 0, 1), (2, 1.0, 0, 0, 0)])
    again = Top(3, 3, {"mark": ((2,), np.int32)})
    again.restore(top.state())
    offer(top, [(1, 9.0, 3, 0, 0)])
    assert again.score[1, 0] == 5
    offer(again, [(1, 9.0, 3, 0, 0)])
    assert_same(top, again)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=30), st.integers(0, 29))
@settings(max_examples=200)
def test_sums_are_exact(rows, cut):
    values = np.array(rows, dtype=np.float32)
    total = ExactSum(2)
    total.update(values)
    exact = [sum((Fraction(float(value)) for value in column), Fraction(0)) for column in values.T]
    assert total.result().tolist() == [float(value) for value in exact]
    first, second = ExactSum(2), ExactSum(2)
    first.update(values[cut:][::-1])
    second.update(values[:cut])
    first.merge(second)
    assert_same(first, total)
    again = ExactSum(2)
    again.restore(total.state())
    again.update(-values)
    assert again.result().tolist() == [0, 0]


def test_hashes_do_not_repeat_and_spread_evenly():
    hashes = position_hashes(np.arange(50), 30, 40)
    assert len(np.unique(hashes)) == 60000
    counts = np.histogram(hashes.astype(np.float64), bins=16, range=(0, 2.0**64))[0]
    # 3750 expected in each, a standard deviation of 59.
    assert (abs(counts - 3750) < 300).all()


@pytest.mark.parametrize("size", [1, 5, 100, 1000])
def test_a_sample_is_that_of_the_smallest_hashes(size):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 30, 4)).astype(np.float32)
    hashes = position_hashes(np.arange(8), 5, 6).reshape(8, -1)
    order = np.argsort(hashes.ravel())[:size]

    def fed(images):
        sample = Sample(size, 4)
        for image in images:
            chosen = sample.wanted(hashes[image])
            sample.update(hashes[image][chosen], values[image][chosen], 30)
        return sample

    whole = fed(range(8))
    assert whole.seen == 240
    assert np.array_equal(whole.sorted()[1], values.reshape(-1, 4)[order])
    parts = [fed([7, 2]), fed([]), fed([4, 5, 0]), fed([6]), fed([1, 3])]
    for one in (parts[1], parts[2], parts[3], parts[4]):
        parts[0].merge(one)
    assert_same(parts[0], whole)
    again = Sample(size, 4)
    again.restore(fed([0, 1, 2]).state())
    for image in range(3, 8):
        chosen = again.wanted(hashes[image])
        again.update(hashes[image][chosen], values[image][chosen], 30)
    assert_same(again, whole)
