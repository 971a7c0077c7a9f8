from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netviz.capture.tape import record
from netviz.geometry.field import Field, geometry
from netviz.geometry.incremental.points import read_points
from netviz.models import Model, Preprocessing
from netviz.questions.field.empirical import passes
from netviz.questions.field.empirical.average import find_peaks
from netviz.questions.field.empirical.passes import choose_occluders, find_changes, finest
from netviz.questions.opening import layers
from support.network import state_of

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3, assumed=False)


def field(size: float, status: str = "exact") -> Field:
    return Field((size, size), (1.0, 1.0), (0.0, 0.0), status)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(224, 224), (224, 150), (33, 40), (7, 7), (300, 500)])
def test_the_passes_cover_every_place_once(size):
    for occluder in choose_occluders(size):
        count = np.zeros(size, dtype=int)
        for number in range(occluder.passes):
            count += occluder.covered(number, size).numpy()
        expected = np.zeros(size, dtype=int)
        for top in occluder.tops:
            for left in occluder.lefts:
                expected[top : top + occluder.patch, left : left + occluder.patch] += 1
        # Occluders of one pass may touch, but they never overlap: then the union is the sum.
        np.testing.assert_array_equal(count, expected)
        assert expected.min() >= 1


def test_standard_input_takes_few_passes():
    assert [(one.patch, one.stride, one.passes) for one in choose_occluders((224, 224))] == [
        (1, 1, 144),
        (3, 3, 144),
        (8, 7, 196),
        (16, 14, 256),
    ]


@pytest.mark.parametrize("size", [3, 7, 11, 12, 33, 60, 90, 91])
def test_no_field_meets_two_occluders_of_a_pass(size):
    occluders = choose_occluders((224, 224))
    for occluder in occluders[:-1]:
        starts = occluder.tops[:: occluder.apart[0]]
        most = max(
            sum(low - occluder.patch < start < low + size for start in starts) for low in range(-size, 224)
        )
        if occluder.suits(field(size)):
            assert most <= 1
    assert occluders[-1].suits(field(size))


def test_a_field_without_a_place_takes_one_occluder():
    occluders = choose_occluders((224, 224))
    for status in ("global", "unknown"):
        assert [one.suits(field(5, status)) for one in occluders] == [False, False, False, True]


class Functional(nn.Module):
    """Functions that no module wraps, and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 3, 2)
        self.runs = 0
        self.last = nn.Linear(5, 2)
        self.last.register_forward_hook(self.count)

    def count(self, *_: object) -> None:
        self.runs += 1

    def forward(self, image: Tensor) -> Tensor:
        maps = torch.relu(self.first(image))
        return self.last(torch.relu_(self.second(maps)).mean((2, 3)))


class Mixing(nn.Module):
    """Looks at its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.first(image - image.mean(0, keepdim=True) * (len(image) > 1))


@pytest.mark.parametrize("windows", [False, True, "wrong"])
@pytest.mark.parametrize("kind", [Functional, Mixing])
def test_equals_covering_one_place_after_the_other(kind, windows, monkeypatch):
    monkeypatch.setattr(passes, "WORTH", np.inf)
    read: list[Any] = []

    def seen(*given: Any) -> Any:
        found = read_points(*given)
        read.extend(found)
        return [values + (windows == "wrong") for values in found]

    monkeypatch.setattr(passes, "read_points", seen)
    torch.manual_seed(0)
    network = kind().eval()
    model = Model("net", network, network.state_dict(), PLAIN)
    index = layers(model, size=(40, 30))
    fields = {layer: one for layer, one in geometry(network, index).items() if layer.spatial}
    rng = np.random.default_rng(0)
    image, baseline = (torch.from_numpy(rng.random((1, 3, 40, 30), dtype=np.float32)) for _ in range(2))
    before = state_of(network)
    peaks = find_peaks(network, image, {layer: [2, 0] for layer in fields})
    tape = record(network, image, keep=True) if windows else None
    told, compared = [], 0
    for occluder, some in finest(choose_occluders((40, 30)), fields):
        mine = {layer: peaks[layer] for layer in some}
        if hasattr(network, "runs"):
            network.runs = 0
        found = find_changes(network, image, baseline, mine, occluder, told.append, tape)
        # Nothing runs after the last layer that is wanted.
        assert getattr(network, "runs", 0) == 0
        for layer in some:
            assert found[layer].shape == (2, *occluder.apart)
            for at, (unit, value, row, col) in enumerate(zip(*peaks[layer], strict=True)):
                for down, top in enumerate(occluder.tops):
                    for across, left in enumerate(occluder.lefts):
                        y, x = (
                            fields[layer].start[axis] + (row, col)[axis] * fields[layer].stride[axis]
                            for axis in (0, 1)
                        )
                        height, width = fields[layer].size
                        if not (
                            top - height < y < top + occluder.patch
                            and left - width < x < left + occluder.patch
                        ):
                            continue
                        covered = image.clone()
                        where = (..., slice(top, top + occluder.patch), slice(left, left + occluder.patch))
                        covered[where] = baseline[where]
                        with torch.no_grad():
                            if isinstance(network, Mixing):
                                maps = network.first(covered)
                            else:
                                maps = network.first(covered)
                                maps = torch.relu(maps) if "relu1" in (layer.alias, layer.name) else maps
                                if layer.alias in ("conv2", "relu2"):
                                    maps = network.second(torch.relu(network.first(covered)))
                                    maps = torch.relu(maps) if layer.alias == "relu2" else maps
                        expected = abs(float(maps[0, unit, row, col]) - value)
                        wrapped = found[layer][at, down % occluder.apart[0], across % occluder.apart[1]]
                        assert wrapped == pytest.approx(expected, abs=2e-5)
                        compared += 1
    assert compared >= 18
    assert len(read) == (len(fields) if windows else 0)
    assert sum(told) == sum(one.passes for one, _ in finest(choose_occluders((40, 30)), fields))
    assert state_of(network) == before


def test_a_value_that_is_handed_on_is_read_for_each_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.Conv2d(4, 2, 3)).eval()
    model = Model("net", network, network.state_dict(), PLAIN)
    first, same, last = layers(model, size=(40, 30))
    image, baseline = torch.rand(2, 1, 3, 40, 30)
    peaks = find_peaks(network, image, {first: [3], same: [1, 0, 2], last: [0]})
    occluder = choose_occluders((40, 30))[-1]
    tape = record(network, image, keep=True)
    by_windows = passes._changes_of_windows(network, image, baseline, peaks, occluder, tape)
    assert by_windows is not None
    for layer, expected in find_changes(network, image, baseline, peaks, occluder).items():
        np.testing.assert_allclose(by_windows[layer], expected, atol=1e-5)


@pytest.mark.parametrize("pays", [True, False])
def test_values_are_kept_only_where_windows_pay_and_only_those_that_they_read(pays, monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.LazyLinear(2)
    ).eval()
    network(torch.zeros(1, 3, 40, 30))
    model = Model("net", network, network.state_dict(), PLAIN)
    relu, last = (layers(model, size=(40, 30)).resolve(one) for one in ("2", "3"))
    image, baseline = torch.rand(2, 1, 3, 40, 30)
    peaks = find_peaks(network, image, {relu: [3], last: [0]})
    occluder = choose_occluders((40, 30))[-1]
    monkeypatch.setattr(passes, "WORTH", np.inf if pays else 0)
    kept: list[set[str]] = []
    tape = record(network, image, keep=False)

    def seen(plan: Any, values: Any, *given: Any) -> Any:
        made = {number: node.name for node in tape.nodes for number in node.outputs}
        kept.append({made.get(number, "image") for number, value in enumerate(values) if value.numel()})
        return read_points(plan, values, *given)

    monkeypatch.setattr(passes, "read_points", seen)
    found = find_changes(network, image, baseline, peaks, occluder, None, tape)
    # The network's output is kept besides; neither a convolution that is normalized nor the normalization is.
    assert kept == ([{"image", "relu", "conv2d", "linear"}] if pays else [])
    assert tape.values == []
    monkeypatch.undo()
    for layer, expected in find_changes(network, image, baseline, peaks, occluder).items():
        np.testing.assert_allclose(found[layer], expected, atol=1e-5)
