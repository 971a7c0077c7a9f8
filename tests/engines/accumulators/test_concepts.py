"""Intersections of units and concepts against dense NumPy: every pixel of every map, in double precision."""

import numpy as np
import pytest
import torch

from netviz.engines import Batch
from netviz.engines.accumulators.concepts import Centers, Concepts, ConceptsQuery
from netviz.engines.accumulators.spans import grid, rounded_down
from netviz.models import Layer

CATEGORY = np.array([0, 0, 0, 1, 1, 2])
CONCEPTS, CATEGORIES = 6, 3
VOID = CONCEPTS + CATEGORIES

# Map, image, stride, centre of the first position: fractional ones, maps of one row, finer than the image, without
# padding (so that the outermost centres lie far inside), and coarser by a number that is not whole.
SHAPES = [
    ((7, 7), (224, 224), (32, 32), (15.0, 15.0)),
    ((5, 6), (40, 50), (7.5, 8), (3.25, 2)),
    ((1, 3), (10, 12), (10, 3), (4, 1)),
    ((20, 20), (20, 20), (1, 1), (0, 0)),
    ((6, 6), (40, 40), (4, 4), (12.5, 12.5)),
    ((30, 30), (15, 15), (0.5, 0.5), (0, 0)),
    ((3, 3), (31, 33), (31 / 3, 11), (14 / 3, 5)),
]


def labels(height, width, rng):
    """Four images: without planes, with one, and with three of two categories; the third is a second plane."""
    coarse = rng.integers(0, 4, (height // 2 + 1, width // 3 + 1)).repeat(2, 0).repeat(3, 1)[:height, :width]
    first = np.where(coarse == 3, CONCEPTS, coarse)
    first[rng.random(first.shape) < 0.1] = VOID
    second = rng.integers(3, 6, (height, width))
    second = np.where(second == 5, CONCEPTS + 1, second)
    third = np.where(second == 3, 4, CONCEPTS + 1)
    planes = np.stack([first, second, third])
    counts = (1, 3, 3, 0)
    return {
        "labels": tuple(planes[:count] for count in counts),
        "first": tuple(np.array([True, True, False][:count], dtype=bool) for count in counts),
        "whole": tuple(np.array([] if image == 1 else [5], dtype=np.int64) for image in range(4)),
    }


def dense(x, centers, threshold, extra, size):
    """Count pixel by pixel."""
    x = x.astype(np.float64)
    corners = []
    for axis in range(2):
        length, last = size[axis], x.shape[2 + axis] - 1
        at = np.clip((np.arange(length) - centers.center[axis]) / centers.stride[axis], 0, last)
        low = np.floor(at).astype(int)
        corners.append((low, np.minimum(low + 1, last), at - low))
    (top, bottom, down), (left, right, across) = corners
    rows = x[:, :, top] + (x[:, :, bottom] - x[:, :, top]) * down[:, None]
    full = rows[..., left] + (rows[..., right] - rows[..., left]) * across
    active = full > threshold[:, None, None]
    met = np.zeros((x.shape[1], CONCEPTS), dtype=int)
    area = np.zeros((x.shape[1], CATEGORIES), dtype=int)
    concept, pixels, present = np.zeros(CONCEPTS, int), np.zeros(CATEGORIES, int), np.zeros(CONCEPTS, int)
    for image, planes in enumerate(extra["labels"]):
        masks = np.zeros((CONCEPTS, *size), dtype=bool)
        known = np.zeros((CATEGORIES, *size), dtype=bool)
        for plane in planes:
            masks |= plane == np.arange(CONCEPTS)[:, None, None]
            known |= plane == np.arange(CONCEPTS, VOID)[:, None, None]
        masks[extra["whole"][image]] = True
        for number, category in enumerate(CATEGORY):
            known[category] |= masks[number]
        met += np.einsum("uhw,lhw->ul", active[image].astype(int), masks.astype(int))
        area += np.einsum("uhw,lhw->ul", active[image].astype(int), known.astype(int))
        concept += masks.sum((1, 2))
        present += masks.any((1, 2))
        pixels += known.sum((1, 2))
    return met, area, concept, pixels, present


def made(case, seed=0):
    (height, width), size, stride, center = case
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 5, height, width)).astype(np.float32)
    # Whole numbers make plateaus and ties with the threshold; a rectified unit, a dead and a constant one.
    x[:, 0] = np.round(x[:, 0])
    x[:, 1] = np.maximum(x[:, 1], 0)
    x[:, 2], x[:, 3] = 0, 7
    threshold = np.quantile(x.transpose(1, 0, 2, 3).reshape(5, -1).astype(np.float64), 0.9, axis=1)
    threshold[0] = 1.0
    centers = Centers(tuple(map(float, center)), tuple(map(float, stride)))
    extra = labels(*size, rng)
    return x, centers, threshold, extra, size


def batch_of(extra, size, chosen):
    some = {name: tuple(values[at] for at in chosen) for name, values in extra.items()}
    numbers = np.array(chosen)
    return Batch(
        numbers, torch.zeros(len(chosen), *size, 3, dtype=torch.uint8), np.zeros((len(chosen), 2)), some
    )


def counted(layer, query, x, extra, size, groups):
    whole = Concepts(query)
    for chosen in groups:
        part = Concepts(query)
        batch = batch_of(extra, size, chosen)
        part.observe(layer, torch.from_numpy(x[chosen]), batch)
        part.discard()
        part.observe(layer, torch.from_numpy(x[chosen]), batch)
        part.update(batch)
        again = Concepts(query)
        again.restore(part.state())
        whole.merge(again)
    return whole


@pytest.mark.parametrize("groups", [[[0, 1, 2, 3]], [[3, 1], [0], [2]]])
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_counts_are_those_of_every_pixel(case, groups):
    x, centers, threshold, extra, size = made(case)
    layer = Layer("conv", "conv", "Conv2d", 5, (5, *x.shape[2:]))
    query = ConceptsQuery((layer,), (centers,), (threshold,), CATEGORY, CATEGORIES)
    found = counted(layer, query, x, extra, size, groups)
    met, area, concept, pixels, present = dense(x, centers, threshold, extra, size)
    assert met.sum() > 0
    assert np.array_equal(found.intersection[0], met)
    assert np.array_equal(found.active[0], area)
    assert np.array_equal(found.area, concept)
    assert np.array_equal(found.pixels, pixels)
    assert np.array_equal(found.present, present)
    assert found.images == 4


def test_a_layer_without_places_is_spread_evenly():
    """Four positions over twelve pixels: centres at 1, 4, 7 and 10."""
    x, _, threshold, extra, size = made(((4, 4), (12, 12), (3, 3), (1, 1)))
    layer = Layer("conv", "conv", "Conv2d", 5, (5, *x.shape[2:]))
    found = counted(
        layer,
        ConceptsQuery((layer,), (None,), (threshold,), CATEGORY, CATEGORIES),
        x,
        extra,
        size,
        [[0, 1, 2, 3]],
    )
    met = dense(x, Centers((1.0, 1.0), (3.0, 3.0)), threshold, extra, size)[0]
    assert np.array_equal(found.intersection[0], met)


@pytest.mark.parametrize("limit", [1, 64])
def test_work_in_small_pieces_gives_the_same(limit, monkeypatch):
    x, centers, threshold, extra, size = made(SHAPES[1])
    monkeypatch.setattr("netviz.engines.accumulators.spans._VALUES", limit)
    monkeypatch.setattr("netviz.engines.accumulators.spans._ROWS", limit)
    layer = Layer("conv", "conv", "Conv2d", 5, (5, *x.shape[2:]))
    query = ConceptsQuery((layer,), (centers,), (threshold,), CATEGORY, CATEGORIES)
    found = counted(layer, query, x, extra, size, [[0, 1, 2, 3]])
    assert np.array_equal(found.intersection[0], dense(x, centers, threshold, extra, size)[0])


def test_every_pixel_lies_in_one_cell():
    rng = np.random.default_rng(0)
    for _ in range(200):
        positions, pixels = rng.integers(1, 20), rng.integers(1, 60)
        stride, center = rng.uniform(0.3, 12), rng.uniform(-20, 40)
        found = grid(center, stride, int(positions), int(pixels))
        assert found.first[0] == 0
        assert found.first[-1] == pixels
        assert (np.diff(found.first) >= 0).all()
        assert (np.diff(found.first) <= np.ceil(stride)).all()
        assert ((found.part >= 0) & (found.part < 1)).all()
        for position in range(positions):
            cells = np.flatnonzero((found.low == position) | (found.high == position))
            assert cells.tolist() == list(range(found.begin[position], found.end[position]))


def test_thresholds_are_rounded_down():
    exact = np.array([0.1, -0.1, 1.0, 0.0, 1e-60])
    down = rounded_down(exact)
    assert (down <= exact).all()
    assert (np.nextafter(down, np.float32(np.inf)) > exact).all()
