"""The compiled reductions against NumPy, and against what runs where there is no Numba: the same bytes."""

import functools

import numpy as np
import pytest
import torch
from engines.accumulators.test_units import PREPROCESSING, Memory, images, network, query_for

from netviz.engines import Job, Tally, Units, compiled, run_local
from netviz.engines.accumulators.positions import Places, first_maximum, reduced, windows
from netviz.engines.accumulators.spans import grid, hot_cells
from support.network import state_of

WHOLE = slice(None)


@pytest.fixture
def without_numba(monkeypatch):
    def take_away():
        monkeypatch.setattr(compiled, "available", lambda: False)
        compiled.kernels.cache_clear()

    yield take_away
    monkeypatch.undo()
    compiled.kernels.cache_clear()


def maps(shape, seed=0):
    """Values with ties, zeros of both signs, and magnitudes from the smallest floats to large ones."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape[-1])
    values[rng.random(shape) < 0.3] = 0
    values[rng.random(shape) < 0.1] = -0.0
    values[..., :: max(1, shape[-1] // 3)] = np.round(values[..., :: max(1, shape[-1] // 3)])
    values[0, ..., 0] = -np.abs(values[0, ..., 0])
    values[-1, ..., -1] = 3e-42
    return values.astype(np.float32)


SHAPES = [(1, 1, 1, 1), (2, 5, 7, 3), (3, 9, 4, 8), (2, 6, 11, 47), (1, 3, 2, 130)]


@pytest.mark.parametrize("part", [(WHOLE, WHOLE), (slice(1, 3), slice(0, 2))])
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_are_reduced_as_numpy_does_it(shape, part):
    values = maps(shape)
    if part != (WHOLE, WHOLE) and shape[1] < 3:
        return
    found = reduced(torch.from_numpy(values), part)
    some = values[:, part[0], part[1]]
    assert np.array_equal(found.peak, some.max((1, 2)))
    assert not np.signbit(found.peak[found.peak == 0]).any()
    rows = some.max(2).argmax(1) + (part[0].start or 0)
    assert np.array_equal(found.row, rows)
    assert np.array_equal(found.nonzero, np.count_nonzero(some, axis=(1, 2)))
    lines = np.zeros((len(some), some.shape[1], shape[-1]), np.float32)
    for column in range(some.shape[2]):
        lines += some[:, :, column]
    totals = np.cumsum(lines.astype(np.float64), axis=1)[:, -1]
    assert np.array_equal(found.total, totals.astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES)
def test_without_numba_the_bytes_are_the_same(shape, without_numba):
    x = torch.from_numpy(maps(shape, 1))
    which, units = (axis.ravel() for axis in np.mgrid[: shape[0], : shape[3]])

    def all_of_it():
        found = reduced(x)
        places = first_maximum(x, found, which, units)
        return [*found, *places, *windows(x, places, (3, 4))]

    fast = all_of_it()
    without_numba()
    for mine, other in zip(fast, all_of_it(), strict=True):
        assert mine.dtype == other.dtype
        assert mine.tobytes() == other.tobytes()


@pytest.mark.parametrize(("positions", "pixels"), [(1, 5), (4, 16), (6, 15)])
def test_cells_above_a_limit_are_those_found_without_numba(positions, pixels, without_numba):
    values = maps((3, positions, positions, 11))
    limit = torch.from_numpy(np.quantile(values, 0.8, axis=(0, 1, 2)).astype(np.float32))
    cells = grid((pixels / positions - 1) / 2, pixels / positions, positions, pixels)

    def found():
        hot = hot_cells(torch.from_numpy(values), limit, cells, cells)
        order = np.lexsort((hot.across, hot.down, hot.unit, hot.image))
        return np.stack([hot.image, hot.unit, hot.down, hot.across])[:, order], hot.corners[:, order]

    fast = found()
    without_numba()
    for mine, other in zip(fast, found(), strict=True):
        assert np.array_equal(mine, other)
    assert fast[0].size


def test_no_place_has_no_window():
    x = torch.zeros(1, 4, 4, 2)
    shares, start = windows(x, Places.none(), (3, 3))
    assert (shares.shape, start.shape) == ((0, 3, 3), (0, 2))


@pytest.mark.parametrize("per_class", [0, 2])
def test_a_run_has_the_same_bytes_on_one_thread_on_three_and_without_numba(per_class, without_numba):
    net, pictures = network(), images()
    classes = tuple(number % 3 for number in range(len(pictures)))
    query = query_for(net, top=4, sample=50, classes=classes, per_class=per_class)
    before, threads = state_of(net), torch.get_num_threads()

    def run(count):
        job = Job(
            net, "net", PREPROCESSING, (3, 21, 21), query.layers, Memory(pictures),
            [str(at) for at in range(len(pictures))], functools.partial(Units, query), 4,
        )  # fmt: skip
        units = Units(query)
        torch.set_num_threads(count)
        run_local(job, units, Tally.empty(job.chunks))
        assert torch.get_num_threads() == count
        return units.state()

    try:
        states = [run(3), run(1)]
        without_numba()
        states.append(run(2))
    finally:
        torch.set_num_threads(threads)
    for other in states[1:]:
        assert {name: value.tobytes() for name, value in other.items()} == {
            name: value.tobytes() for name, value in states[0].items()
        }
    assert state_of(net) == before


def test_shares_are_rounded_to_halves_as_numpy_rounds_them():
    rng = np.random.default_rng(0)
    halves = np.arange(1 << 15, dtype=np.uint16).view(np.float16)
    halves = halves[halves <= 1].astype(np.float32)
    # Every half up to 1, what lies between two of them, and what lies close to that.
    between = (halves[1:] + halves[:-1]) / 2
    shares = np.concatenate((halves, between, np.nextafter(between, 0), np.nextafter(between, 1)))
    shares = np.concatenate((shares, -shares, rng.uniform(-1, 1, 1 << 15).astype(np.float32)))
    maps = torch.from_numpy(shares[:, None, None, None].copy())
    count = len(shares)
    at = np.zeros(count, np.int32)
    ones = Places(np.arange(count), np.zeros(count, np.intp), np.ones(count, np.float32), at, at)
    found, _ = windows(maps, ones, (1, 1))
    assert np.array_equal(found.ravel().view(np.uint16), shares.astype(np.float16).view(np.uint16))
