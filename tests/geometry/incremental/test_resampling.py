"""Interpolation on windows, against full passes."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netviz.capture.tape import record
from netviz.geometry.incremental.plan import Plan
from netviz.geometry.incremental.run import run_plan
from netviz.geometry.occlusion import grid

PATCH = 4

WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest exact": lambda x: F.interpolate(x, size=(31, 26), mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear, corners": lambda x: F.interpolate(x, size=(41, 37), mode="bilinear", align_corners=True),
    "bilinear, odd": lambda x: F.interpolate(x, size=(40, 45), mode="bilinear", align_corners=False),
    "bilinear, factor": lambda x: F.interpolate(x, scale_factor=(1.7, 2.3), mode="bilinear"),
    "factor again": lambda x: F.interpolate(
        x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True
    ),
    "bicubic": lambda x: F.interpolate(x, size=(40, 45), mode="bicubic"),
    "smaller": lambda x: F.interpolate(x, size=(7, 9), mode="bilinear"),
    "area": lambda x: F.interpolate(x, size=(7, 9), mode="area"),
}


class Resizing(nn.Module):
    """Two branches of which one is smaller, as a network with side outputs has them."""

    def __init__(self, way: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.last = nn.Conv2d(5, 2, 3, padding=1)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.way(self.second(self.first(x).relu_())).relu_())


@pytest.mark.parametrize("way", WAYS)
def test_interpolation_runs_on_windows(way):
    torch.manual_seed(0)
    network = Resizing(WAYS[way]).eval()
    image, baseline = torch.randn(2, 1, 3, 44, 38)
    tops, lefts = grid(44, PATCH, 6), grid(38, PATCH, 6)
    with torch.no_grad():
        tape = record(network, image, keep=True)
        assert tape.output is not None
        plan = Plan(tape, tape.output, tops, lefts, (PATCH, PATCH))
        assert all(step.tracks is not None for group in plan.groups for step in group.nodes)
        found = run_plan(plan, tape.values, baseline, lambda values: values)
        for row, top in enumerate(tops):
            for col, left in enumerate(lefts):
                covered = image.clone()
                where = (..., slice(top, top + PATCH), slice(left, left + PATCH))
                covered[where] = baseline[where]
                torch.testing.assert_close(found[row, col], network(covered)[0], rtol=0, atol=1e-5)


def test_what_is_smoothed_as_it_gets_smaller_takes_whole_maps():
    torch.manual_seed(0)
    network = Resizing(lambda x: F.interpolate(x, size=(7, 9), mode="bilinear", antialias=True)).eval()
    image = torch.randn(1, 3, 44, 38)
    tape = record(network, image, keep=True)
    assert tape.output is not None
    plan = Plan(tape, tape.output, grid(44, 4, 20), grid(38, 4, 20), (4, 4))
    tracks = {step.node.name: step.tracks is not None for step in plan.groups[0].nodes}
    assert tracks == {"conv2d": False, "interpolate": False, "relu": False}
