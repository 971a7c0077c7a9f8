import math
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netviz.capture import index_layers
from netviz.capture.tape import record
from netviz.geometry.incremental.plan import Plan
from netviz.geometry.occlusion import covered_mean, grid, occlude, taped
from support.network import state_of


class Branching(nn.Module):
    """Its way depends on the values that it sees, which no recording shows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y.mean((2, 3)) if float(x.sum()) > 0 else -y.mean((2, 3))


class OneByOne(nn.Module):
    """Takes no batch, and hands values to Python."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (y * y.max().item()).view(1, -1)


def brute_force(network: nn.Module, image: Tensor, baseline: Tensor, tops, lefts, patch) -> Tensor:
    found = []
    for top in tops:
        for left in lefts:
            covered = image.clone()
            covered[..., top : top + patch, left : left + patch] = baseline[
                ..., top : top + patch, left : left + patch
            ]
            found.append(network(covered)[0])
    return torch.stack(found).unflatten(0, (len(tops), len(lefts)))


@pytest.mark.parametrize(
    ("length", "patch", "stride", "expected"),
    [
        (224, 16, 8, [8 * i for i in range(27)]),
        (20, 6, 4, [0, 4, 8, 12, 16]),
        (10, 10, 3, [0]),
        (11, 10, 3, [0, 3]),
        (5, 1, 1, [0, 1, 2, 3, 4]),
    ],
)
def test_places_cover_the_axis_to_its_end(length, patch, stride, expected):
    assert grid(length, patch, stride).tolist() == expected


def test_a_pixel_gets_the_mean_over_the_patches_that_cover_it():
    rng = np.random.default_rng(0)
    tops, lefts = np.array([0, 3, 6]), np.array([2, 4])
    drops = rng.standard_normal((3, 2))
    total, count = np.zeros((8, 9)), np.zeros((8, 9))
    for row, top in enumerate(tops):
        for col, left in enumerate(lefts):
            total[top : top + 4, left : left + 3] += drops[row, col]
            count[top : top + 4, left : left + 3] += 1
    with np.errstate(invalid="ignore"):
        expected = total / count
    np.testing.assert_allclose(covered_mean(drops, tops, lefts, (4, 3), (8, 9)), expected)


@pytest.mark.parametrize("network", [Branching, OneByOne])
def test_networks_that_cannot_be_followed_take_full_passes(network):
    torch.manual_seed(0)
    network = network().eval()
    image, baseline = torch.randn(2, 1, 3, 12, 10)
    image -= image.mean() - 0.01
    tops, lefts = grid(12, 5, 3), grid(10, 5, 3)
    with torch.no_grad():
        found = occlude(network, image, baseline, tops, lefts, (5, 5), lambda output: output)
        expected = brute_force(network, image, baseline, tops, lefts, 5)
    assert found.why_full
    torch.testing.assert_close(found.values, expected)
    torch.testing.assert_close(found.clean, network(image)[0])


def test_a_layer_and_a_part_of_it(awkward):
    before = state_of(awkward)
    index = index_layers(awkward, size=(16, 12))
    layer = index.resolve("bn")
    image, baseline = torch.randn(2, 1, 3, 16, 12)
    tops, lefts = grid(16, 4, 2), grid(12, 4, 2)
    found = occlude(
        awkward,
        image,
        baseline,
        tops,
        lefts,
        (4, 4),
        lambda x: x[:, 1, 0, 0],
        layer=layer,
        focus=(7, 5, 8, 6),
    )
    assert state_of(awkward) == before
    assert found.why_full == ""
    awkward.eval()
    with torch.no_grad():
        maps = nn.Sequential(awkward.conv1, awkward.bn)
        expected = brute_force(maps, image, baseline, tops, lefts, 4)[..., 1, 7, 5]
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-5)
    # The unit sees rows 6 … 8 and columns 4 … 6: nothing else may change it.
    far = np.zeros((len(tops), len(lefts)), dtype=bool)
    for row, top in enumerate(tops):
        for col, left in enumerate(lefts):
            far[row, col] = top > 8 or top + 4 <= 6 or left > 6 or left + 4 <= 4
    assert far.any()
    assert float((found.values - found.clean)[torch.from_numpy(far)].abs().max()) <= 1e-6


def test_an_image_that_is_not_finite_is_no_reason_to_fail():
    network = nn.Sequential(nn.Conv2d(3, 2, 3))
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, 0, 0] = math.nan
    found = occlude(
        network,
        image,
        torch.zeros_like(image),
        grid(8, 4, 4),
        grid(8, 4, 4),
        (4, 4),
        lambda x: x.sum((1, 2, 3)),
    )
    assert torch.isfinite(found.values[0, 0])
    assert torch.isnan(found.values[1, 1])


@pytest.mark.parametrize(("patch", "places", "passes"), [(6, 4, 4), (4, 9, 2)])
def test_few_places_take_a_pass_each_and_no_check(awkward, monkeypatch, patch, places, passes):
    image, baseline = torch.randn(2, 1, 3, 12, 12)
    tops = lefts = grid(12, patch, patch)
    assert len(tops) * len(lefts) == places
    tape = record(awkward, image, keep=True)
    forwards = []
    run = type(awkward).forward
    monkeypatch.setattr(type(awkward), "forward", lambda self, x: forwards.append(1) or run(self, x))
    found = occlude(awkward, image, baseline, tops, lefts, (patch, patch), lambda output: output, tape=tape)
    assert len(forwards) == passes
    assert found.why_full == ("there are few places" if places == passes else "")
    expected = brute_force(awkward.eval(), image, baseline, tops, lefts, patch)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.clean, awkward(image)[0])


class Mixing(nn.Module):
    """Tokens that all see each other, behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 2, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).relu_().flatten(2).transpose(1, 2)
        weights = (tokens @ tokens.transpose(1, 2)).softmax(-1)
        return self.head((weights @ tokens).mean(1))


def test_what_no_window_is_taken_from_is_not_kept():
    torch.manual_seed(0)
    network = Mixing().eval()
    image, baseline = torch.rand(1, 3, 12, 12), torch.zeros(1, 3, 12, 12)
    tape = record(network, image, keep=())
    tops = lefts = grid(12, 4, 4)
    reads = Plan(tape, tape.output, tops, lefts, (4, 4)).reads
    # The map is where windows are put together; tokens are whole from there on.
    assert [node.name for node in tape.nodes if node.outputs[0] in reads] == ["relu", "linear"]
    found = occlude(network, image, baseline, tops, lefts, (4, 4), lambda output: output, tape=tape)
    assert found.why_full == ""
    expected = brute_force(network, image, baseline, tops, lefts, 4)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-6)


MADE: dict[str, weakref.ref[Tensor]] = {}
"""What a `Watched` network gave last: not a part of it, as whatever is put into a network is taken out again."""


def alive() -> list[str]:
    return [name for name, value in MADE.items() if value() is not None]


class Watched(nn.Module):
    """Three stages before an average."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 4), (4, 8), (8, 8))
        self.convs = nn.ModuleList(nn.Conv2d(*one, 3, padding=1, bias=False) for one in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _, after in sizes)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(x)
            MADE[f"conv{number}"] = weakref.ref(x)
            x = norm(x)
            MADE[f"norm{number}"] = weakref.ref(x)
            x = x.relu()
            MADE[f"relu{number}"] = weakref.ref(x)
        x = x.mean((2, 3))
        MADE["mean"] = weakref.ref(x)
        return self.head(x)


def test_values_that_no_window_is_taken_from_are_let_go():
    torch.manual_seed(0)
    network = Watched().eval()
    image, baseline = torch.rand(1, 3, 24, 24), torch.zeros(1, 3, 24, 24)
    seen: list[list[str]] = []
    tops = lefts = grid(24, 4, 4)
    arguments = (network, image, baseline, tops, lefts, (4, 4))
    counted: list[int] = []

    def look(done: int, total: int) -> None:
        seen.append(alive())

    found = occlude(*arguments, lambda output: output, check=False, progress=look, reserve=counted.append)
    assert found.why_full == ""
    # A ReLU's result is read by the next convolution, around each window; what comes before it is not.
    assert seen[0] == ["relu0", "relu1", "relu2"]
    assert counted == [4 * (3 + 4 + 8 + 8) * 24 * 24 + 4 * 5]
    torch.testing.assert_close(
        found.values, brute_force(network, image, baseline, tops, lefts, 4), rtol=0, atol=1e-6
    )
    tape = taped(network, image)
    assert alive() == ["relu0", "relu1", "relu2"]
    again = occlude(*arguments, lambda output: output, tape=tape, reserve=counted.append)
    assert len(counted) == 1
    torch.testing.assert_close(again.values, found.values)
