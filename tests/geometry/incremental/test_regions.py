import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netviz.capture.tape import record
from netviz.geometry.incremental.plan import UnfollowableError, clean_values, readable
from netviz.geometry.incremental.regions import Clean, RegionPlan, run_regions


class Varied(nn.Module):
    """Padding, an average that does not count it, a residual in place, branches, dilation, normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.mixed = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        y = self.mixed(nn.functional.pad(x, (1, 0, 2, 1)))[..., :-3, :-1]
        y = nn.functional.max_pool2d(torch.cat([x, y], 1), 3, 2, 1)
        y += 0.5
        return self.head(torch.relu_(y).mean((2, 3)))


def regions(height: int, width: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    seeds = rng.uniform((0, 0), (height, width), (count, 2))
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
    labels = ((grid[:, :, None] - seeds) ** 2).sum(-1).argmin(-1)
    return np.unique(labels, return_inverse=True)[1].reshape(height, width)


@pytest.mark.parametrize("size", [(64, 64), (47, 80)])
@pytest.mark.parametrize("count", [3, 40])
def test_equals_full_passes(size, count):
    torch.manual_seed(0)
    network = Varied().eval()
    image, baseline = torch.randn(1, 3, *size), torch.randn(1, 3, *size)
    labels = regions(*size, count)
    chosen = list(range(int(labels.max()) + 1))[::-1][: max(3, count - 5)]
    tape = record(network, image, keep=True)
    plan = RegionPlan(tape, tape.output, labels, chosen)
    found = run_regions(plan, tape.values, baseline, lambda scores: scores)
    with torch.no_grad():
        expected = torch.cat(
            [network(torch.where(torch.from_numpy(labels == one), baseline, image)) for one in chosen]
        )
        clean = network(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert float((expected - clean).abs().max()) > 1e-3
    # The same plan serves another image.
    other = torch.randn(1, 3, *size)
    found = run_regions(plan, record(network, other, keep=True).values, baseline, lambda scores: scores)
    with torch.no_grad():
        last = network(torch.where(torch.from_numpy(labels == chosen[-1]), baseline, other))
    torch.testing.assert_close(found[-1:], last, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cores", [1, 2])
def test_regions_replaced_for_good(cores):
    torch.manual_seed(0)
    network = Varied().eval()
    image, baseline = torch.randn(1, 3, 48, 48), torch.randn(1, 3, 48, 48)
    labels = regions(48, 48, 12)
    tape = record(network, image, keep=())
    plan = RegionPlan(tape, tape.output, labels, list(range(12)))
    clean = Clean(clean_values(tape, network, image, readable(tape, tape.output)), baseline)
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        for gone in (0, 7):
            clean.judge(plan, lambda scores: scores)
            clean.replace(plan.only([gone]))
            image = torch.where(torch.from_numpy(labels == gone), baseline, image)
        left = [one for one in range(12) if one not in (0, 7)]
        found = clean.judge(plan.only(left), lambda scores: scores)
        assert torch.get_num_threads() == cores
    finally:
        torch.set_num_threads(before)
    with torch.no_grad():
        expected = torch.cat(
            [network(torch.where(torch.from_numpy(labels == one), baseline, image)) for one in left]
        )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_what_cannot_be_followed_is_said():
    class Reads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) * float(x.max())

    tape = record(Reads(), torch.rand(1, 3, 8, 8), keep=True)
    with pytest.raises(UnfollowableError):
        RegionPlan(tape, tape.output, regions(8, 8, 3), [0])
