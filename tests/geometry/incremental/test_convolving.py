"""Windows taken and convolved by compiled functions, against torch on whole maps."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from netviz.compiling import available
from netviz.geometry.incremental import convolving, windows
from netviz.geometry.incremental.convolving import Convolution
from netviz.geometry.incremental.windows import Slide, Taking, flat_map

HEIGHT, WIDTH = 13, 11


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch) -> str:
    """Run everything by compiled functions, then without."""
    if request.param == "torch":
        for module in (convolving, windows):
            monkeypatch.setattr(module, "compiled_for", lambda x: False)
    elif not available():
        pytest.skip("Numba is not installed")
    return request.param


def pasted(clean: Tensor, changed: Tensor, given, pad: int, outside: float) -> list[Tensor]:
    """Return a padded map for each window, which lies over it."""
    found = []
    for one, (top, left) in zip(changed, given, strict=True):
        full = clean[0].clone()
        full[:, top : top + one.shape[1], left : left + one.shape[2]] = one
        found.append(F.pad(full, (pad,) * 4, value=outside))
    return found


def around(channels: int, size: tuple[int, int], outside: float = 0.0) -> tuple[Taking, Tensor, Tensor]:
    """Return windows at corners, at borders and inside, and how larger ones are taken from them."""
    clean, changed = torch.randn(1, channels, HEIGHT, WIDTH), torch.randn(5, channels, 3, 4)
    given = np.array([[0, 0], [10, 7], [4, 3], [0, 5], [6, 0]])
    wanted = given - [[1, 1], [3, 2], [2, 2], [1, 2], [4, 3]]
    return Taking(given, wanted, (3, 4), size, (HEIGHT, WIDTH), outside), clean, changed


@pytest.mark.parametrize("channels", [1, 5, 16, 48])
@pytest.mark.parametrize("outside", [0.0, -math.inf])
def test_windows_hold_what_has_changed_and_the_clean_map_around(way, channels, outside):
    torch.manual_seed(0)
    taking, clean, changed = around(channels, (8, 7), outside)
    expected = [
        full[:, top + 4 : top + 12, left + 4 : left + 11]
        for full, (top, left) in zip(
            pasted(clean, changed, taking.given, 4, outside), taking.wanted, strict=True
        )
    ]
    assert torch.equal(taking(flat_map(clean, outside), changed), torch.stack(expected))


@pytest.mark.parametrize("bounds", [(-math.inf, math.inf), (0.0, math.inf), (0.0, 0.4)])
@pytest.mark.parametrize(
    ("filters", "groups", "stride", "dilation"),
    [
        ((32, 16, 1, 1), 1, (1, 1), (1, 1)),
        ((5, 7, 1, 1), 1, (1, 1), (1, 1)),
        ((16, 1, 3, 3), 16, (1, 1), (1, 1)),
        ((48, 1, 3, 5), 48, (2, 1), (1, 1)),
        ((32, 1, 3, 2), 32, (1, 2), (2, 3)),
        ((32, 16, 3, 3), 1, (1, 1), (1, 1)),
        ((16, 48, 3, 3), 1, (1, 1), (1, 1)),
        ((16, 16, 3, 3), 1, (2, 2), (1, 1)),
        ((6, 5, 3, 3), 1, (1, 1), (1, 1)),
        ((32, 2, 3, 3), 16, (1, 1), (1, 1)),
    ],
)
def test_convolutions_equal_those_of_double_precision(way, filters, groups, stride, dilation, bounds):
    torch.manual_seed(0)
    weight = torch.randn(filters) / math.sqrt(math.prod(filters[1:]))
    conv = Convolution(weight, torch.randn(filters[0]) / 2, stride, dilation, groups).between(*bounds)
    taking, clean, changed = around(filters[1] * groups, (9, 8))
    halo = taking(flat_map(clean, 0.0), changed)
    expected = torch.conv2d(halo.double(), weight.double(), conv.bias.double(), stride, 0, dilation, groups)
    room = 1e-5 * float(expected.abs().max())
    for found in (conv(halo), conv.taken(taking, flat_map(clean, 0.0), changed)):
        torch.testing.assert_close(found.double(), expected.clamp(*bounds), rtol=0, atol=room)


@pytest.mark.parametrize("filters", [(16, 1, 3, 3), (32, 16, 3, 3), (16, 16, 1, 1), (6, 16, 3, 3)])
def test_whole_maps_are_padded_with_zeros(way, filters):
    torch.manual_seed(0)
    weight, groups = torch.randn(filters) / 4, 16 if filters[1] == 1 else 1
    maps, pad = torch.randn(3, 16, HEIGHT, WIDTH), filters[-1] // 2
    slides = tuple(Slide(filters[-1], 1, pad, length) for length in (HEIGHT, WIDTH))
    found = Convolution(weight, None, (1, 1), (1, 1), groups).whole(maps, slides)
    expected = torch.conv2d(maps.double(), weight.double(), None, 1, pad, 1, groups)
    room = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=room)


def test_what_is_not_a_number_stays_so(way):
    for filters, groups in [((16, 16, 1, 1), 1), ((16, 1, 3, 3), 16), ((16, 16, 3, 3), 1)]:
        maps = torch.zeros(1, 16, 6, 6)
        maps[0, 3, 2, 2] = math.nan
        pad = filters[-1] // 2
        slides = tuple(Slide(filters[-1], 1, pad, 6) for _ in range(2))
        conv = Convolution(torch.ones(filters), None, (1, 1), (1, 1), groups).between(0.0, 6.0)
        assert torch.isnan(conv.whole(maps, slides)[0, 3, 2, 2])
