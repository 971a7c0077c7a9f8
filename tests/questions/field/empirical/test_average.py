import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netviz.engines import Progress
from netviz.geometry.field import Field, geometry
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from netviz.questions.field.empirical.average import Alignment, Average, find_peaks, random_colours
from netviz.questions.field.empirical.passes import (
    Shot,
    averages,
    choose_occluders,
    find_changes,
    finest,
    measured_result,
    window,
)
from netviz.questions.field.empirical.windows import empirical_field
from netviz.questions.field.result import MeasuredResult
from netviz.questions.opening import layers
from netviz.questions.reader import load_result
from netviz.results.survey import Form, ImageRecord, MeasuredRecord, Missing
from netviz.surveys.step import Scope
from netviz.surveys.steps.measured import survey_measured
from netviz.surveys.survey import open_scope
from support.network import state_of

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), assumed=False)
SIZE = (60, 52)


def opened() -> Model:
    """Three depths: unit 0 of the first is dead, and of the second unit 0 is held at 0 and unit 1 never changes."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3, 2, 1),
        nn.Conv2d(6, 5, 5, padding=2),
    )
    with torch.no_grad():
        network[0].weight[0] = 0
        network[0].bias[0] = -1
        network[2].weight[1] = 0
        network[2].bias[1] = 2
    return Model("net", network.eval(), network.state_dict(), PLAIN)


def photos(count: int) -> list[Photo]:
    rng = np.random.default_rng(1)
    return [Photo(f"noise{at}", rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)) for at in range(count)]


def measured(model: Model, images: list[Photo]) -> dict[str, tuple[MeasuredResult, np.ndarray]]:
    """All layers with maps, by alias: what is measured, and the mean changes in the window."""
    index = layers(model, size=SIZE)
    fields = geometry(model.network, index)
    units = {layer: list(range(layer.channels)) for layer in index if layer.spatial}
    shots: dict = {layer: [] for layer in units}
    parts = list(finest(choose_occluders(SIZE), {layer: fields[layer] for layer in units}))
    for number, photo in enumerate(images):
        image = normalize(photo.pixels, PLAIN)
        colours = random_colours(SIZE, PLAIN, 0, number)
        peaks = find_peaks(model.network, image, units)
        for occluder, some in parts:
            there = {layer: peaks[layer] for layer in some}
            for layer, changes in find_changes(model.network, image, colours, there, occluder).items():
                shots[layer].append(Shot(peaks[layer], changes))
    found = {}
    for occluder, some in parts:
        for layer in some:
            alignment = Alignment(fields[layer], layer.shape[1:], SIZE)
            facts = {"network": "net", "layer": layer.name, "alias": layer.alias, "layer_kind": layer.kind,
                     "channels": layer.channels, "images": tuple(one.name for one in images), "seed": 0}  # fmt: skip
            result = measured_result(alignment, occluder, shots[layer], facts)
            maps = np.concatenate([one for one, _ in averages(alignment, occluder, shots[layer])])
            found[layer.alias] = (result, maps)
    return found


def test_equals_the_empirical_field_of_each_layer_alone():
    model, images = opened(), photos(3)
    index = layers(model, size=SIZE)
    before = state_of(model.network)
    found = measured(model, images)
    assert state_of(model.network) == before
    assert set(found) == {"conv1", "relu1", "conv2", "conv3"}
    patches = set()
    for alias, (result, maps) in found.items():
        layer = index.resolve(alias)
        alone = empirical_field(
            model, index, layer, range(layer.channels), images, top=len(images), patch=result.patch,
            stride=result.stride,
        )  # fmt: skip
        assert result.dead == list(alone.dead)
        assert result.still == list(alone.still)
        rows = [int(unit) for unit in alone.units]
        top, left, bottom, right = window(
            Alignment(geometry(model.network, index)[layer], layer.shape[1:], SIZE)
        )
        np.testing.assert_allclose(
            maps[rows], alone.maps[:, top:bottom, left:right], rtol=1e-4, atol=1e-4 * alone.maps.max()
        )
        outside = alone.maps.copy()
        outside[:, top:bottom, left:right] = 0
        assert not outside.any()
        # Counts of pixels at a threshold: rounding may move one over it.
        np.testing.assert_allclose(result.sizes[rows] ** 2, np.array(alone.sizes) ** 2, atol=2)
        np.testing.assert_allclose(result.largest[rows], alone.maps.max(axis=(1, 2)), rtol=1e-4)
        patches.add(result.patch)
    assert found["relu1"][0].dead == [0]
    assert found["conv2"][0].still == [1]
    assert len(patches) > 1


def test_positions_that_all_see_the_same_have_their_place_along_the_map():
    """Rows are their own, columns all see all: as a layer that sees the whole image, along columns only."""
    strips = Alignment(Field((3.0, 12.0), (2.0, 0.0), (1.0, 0.0), "exact"), (6, 4), (14, 12))
    assert strips.shift(2, 0) == (7 - 6, 6 - 1)
    assert strips.shift(2, 3) == (7 - 6, 6 - 10)
    assert window(strips) == (4, 0, 11, 12)
    # A part that all see is where it is.
    part = Alignment(Field((3.0, 4.0), (2.0, 0.0), (1.0, 5.0), "exact"), (6, 4), (14, 12))
    assert part.shift(2, 0) == part.shift(2, 3) == (7 - 6, 6 - round(6.5))
    assert window(part) == (4, 3, 11, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_average_equals_a_loop_over_pixels(dtype):
    """Units read at other positions on each image, one of them at the border; the last one on one image of three."""
    rng = np.random.default_rng(5)
    size, patch, starts = (12, 10), 4, (np.array([0, 3, 6, 9]), np.array([0, 2, 4, 6]))
    alignment = Alignment(Field((7.0, 5.0), (2.0, 2.0), (-2.0, -1.0), "exact"), (6, 5), size)
    average = Average(alignment, 3, (1, 0, 11, 10), dtype)
    shots = [
        ([0, 1], [(2, 3), (0, 4)]),
        ([0, 1], [(3, 2), (5, 0)]),
        ([2, 0], [(1, 1), (0, 0)]),
    ]
    total, seen = np.zeros((3, *size)), np.zeros((3, *size))
    for units, positions in shots:
        changes = rng.random((2, 4, 4)).astype(dtype)
        average.add(np.array(units), positions, changes, starts, patch)
        for unit, (row, col), change in zip(units, positions, changes, strict=True):
            middle = (row * 2 - 2 + 3, col * 2 - 1 + 2)
            for y in range(size[0]):
                for x in range(size[1]):
                    down, across = y + size[0] // 2 - middle[0], x + size[1] // 2 - middle[1]
                    if not (0 <= down < size[0] and 0 <= across < size[1]):
                        continue
                    seen[unit, down, across] += 1
                    if abs(y - middle[0]) <= 3 and abs(x - middle[1]) <= 2:
                        covering = [
                            change[i, j]
                            for i, top in enumerate(starts[0])
                            for j, left in enumerate(starts[1])
                            if top <= y < top + patch and left <= x < left + patch
                        ]
                        total[unit, down, across] += np.mean(covering)
    used = np.array([3, 2, 1])
    expected = np.where(2 * seen >= used[:, None, None], total / np.maximum(seen, 1), 0)
    assert average.used.tolist() == used.tolist()
    assert average.maps().dtype == dtype
    np.testing.assert_allclose(average.maps(), expected[:, 1:11], rtol=1e-6)


FOLDER = "measured"
IMAGES = ["skimage:chelsea", "skimage:coffee", "skimage:rocket"]


def scope_of(model: Model, out: Path, images: Sequence[str], names: Sequence[str], form: Form) -> Scope:
    """A survey of some layers whose units 0 and 2 are shown."""
    scope = open_scope(model, out, images=images, only=names, form=form)
    scope.made["images"] = tuple(
        ImageRecord(one.removeprefix("skimage:"), one, out / one, 0, 0, None) for one in images
    )
    scope.made["units"] = (((0, 2), ()),) * len(scope.chosen)
    scope.made["concepts"] = Missing("no concepts")
    return scope


def step(out: Path, form: Form = "standard", report: Progress = lambda *_: None) -> MeasuredRecord | Missing:
    """Measure two units of each layer on small photographs."""
    model = opened()
    model = replace(model, preprocessing=replace(PLAIN, resize=40, crop=(40, 40)))
    some = [layer.name for layer in layers(model) if layer.spatial]
    scope = scope_of(model, out, IMAGES, some, form)
    return survey_measured(scope, report)


def test_a_survey_measures_its_first_photographs(tmp_path):
    told: list[tuple[str, int, int]] = []
    noted = step(tmp_path / "one", report=lambda *one: told.append(one))
    passes = told[-1][2]
    assert noted == MeasuredRecord(tmp_path / "one" / FOLDER, 2, passes)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == passes
    files = sorted((tmp_path / "one" / FOLDER).iterdir())
    assert [file.name for file in files] == ["0.npz", "1.npz", "2.npz", "3.npz"]
    for file in files:
        result = load_result(file)
        assert isinstance(result, MeasuredResult)
        assert result.images == ("chelsea", "coffee")
        assert result.units.tolist() == [0, 2]
        assert max(result.maps.shape) <= 28
        assert max(result.used) <= 2
    # What is there is kept, and what is made again has the same bytes.
    before = [file.read_bytes() for file in files]
    files[1].unlink()
    assert step(tmp_path / "one") == noted
    assert [file.read_bytes() for file in files] == before
    told.clear()
    assert step(tmp_path / "one", report=lambda *one: told.append(one)) == noted
    assert not told


def test_the_full_form_takes_more_photographs(tmp_path):
    noted = step(tmp_path, form="full")
    assert isinstance(noted, MeasuredRecord)
    assert noted.photos == 3


def test_what_does_not_run_is_said(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("netviz.surveys.steps.measured.find_changes", fail)
    assert step(tmp_path) == Missing("net does not run on covered photographs (no such kernel)")
    assert not (tmp_path / FOLDER).exists()


def test_the_saved_map_is_the_mean_change_in_255ths_of_the_largest():
    model, images = opened(), photos(2)
    for result, maps in measured(model, images).values():
        cell = result.cell
        rows, cols = (math.ceil(length / cell) for length in maps.shape[1:])
        assert result.maps.shape == (len(maps), rows, cols)
        for at, one in enumerate(maps):
            if not one.max():
                assert not result.maps[at].any()
                assert math.isnan(result.sizes[at])
                continue
            padded = np.zeros((rows * cell, cols * cell))
            padded[: one.shape[0], : one.shape[1]] = one
            expected = [
                [
                    padded[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell].mean()
                    for col in range(cols)
                ]
                for row in range(rows)
            ]
            np.testing.assert_allclose(result.maps[at], 255 * np.array(expected) / one.max(), atol=0.51)
            inside = np.argwhere(one >= 0.25 * one.max())
            assert result.sizes[at] == pytest.approx(math.sqrt(len(inside)))
            np.testing.assert_allclose(
                result.offsets[at], inside.mean(axis=0) + np.array(result.corner), atol=1e-4
            )


def test_images_of_any_size_are_brought_to_a_moderate_one(tmp_path):
    model = opened()
    noted = survey_measured(scope_of(model, tmp_path, IMAGES[:1], ["conv1"], "full"), lambda *_: None)
    result = load_result(next((tmp_path / FOLDER).iterdir()))
    assert isinstance(result, MeasuredResult)
    # The photograph has 300 by 451 pixels; its short side would be 256.
    height, width = result.input_shape
    assert height * width == pytest.approx(224**2, rel=0.01)
    assert width / height == pytest.approx(451 / 300, rel=0.01)
    assert isinstance(noted, MeasuredRecord)
    assert noted.photos == 1
