from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netviz.capture import index_layers
from netviz.errors import LayerError, ModelError
from netviz.geometry.effective import THRESHOLD, effective_field, extent
from netviz.models.builders import build_torchvision
from support.network import Awkward, state_of

DATA = Path(__file__).parent / "data" / "openerf_resnet18.npz"


@pytest.mark.parametrize("name", ["layer2", "layer4"])
def test_equals_openerf_on_resnet18(name):
    # What openerf 0.6.1 found is stored; data/make_openerf.py made it.
    network = build_torchvision("resnet18", seed=0).eval()
    layer = index_layers(network, size=(96, 96)).resolve(name)
    pixels = np.random.default_rng(7).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = [(torch.from_numpy(one).permute(2, 0, 1)[None] / 255 - mean) / std for one in pixels]
    found = effective_field(network, layer, images, gradient="positive").astype(np.float64)
    with np.load(DATA) as stored:
        expected = stored[name]
    assert found.shape == expected.shape == (96, 96)
    assert np.abs(found / found.sum() - expected).max() < 1e-5 * expected.max()
    # The absolute gradient reaches the same pixels and more, for nothing is cut off.
    absolute = effective_field(network, layer, images)
    assert (absolute[found > 0] > 0).all()


def test_linear_network_has_its_composed_kernel_as_field():
    # Two convolutions without a non-linearity: the gradient is their kernels convolved, wherever the image.
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, (5, 3), stride=2))
    layer = index_layers(network, size=(21, 19)).resolve("conv2")
    first, second = (module.weight.detach().double().numpy() for module in network)
    for units in (None, [3], [0, 4]):
        chosen = range(5) if units is None else units
        kernel = np.zeros((3, 7, 5))
        for u in chosen:
            for m in range(4):
                for dy in range(5):
                    for dx in range(3):
                        kernel[:, dy : dy + 3, dx : dx + 3] += second[u, m, dy, dx] * first[m]
        expected = np.zeros((21, 19))
        # The map is 8 × 8 (19 - 5 and 17 - 3, halved, and one), its middle (4, 4), so the window starts at 8, 8.
        expected[8:15, 8:13] = np.abs(kernel).sum(0)
        images = [torch.randn(1, 3, 21, 19) for _ in range(2)]
        found = effective_field(network, layer, images, units=units)
        assert found.dtype == np.float32
        assert np.allclose(found, expected, atol=1e-5)
        moved = effective_field(network, layer, images[:1], units=units, position=(0, 7))
        assert np.allclose(moved[0:7, 14:19], np.abs(kernel).sum(0), atol=1e-5)
        assert np.count_nonzero(moved) <= 35


def test_equals_finite_differences_behind_relus():
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3), nn.ReLU()
    )
    network = network.double()
    layer = index_layers(network, size=(7, 7)).resolve("relu2")
    image = torch.randn(1, 1, 7, 7, dtype=torch.float64)
    expected = np.zeros((7, 7))
    with torch.no_grad():
        for y in range(7):
            for x in range(7):
                step = torch.zeros_like(image)
                step[0, 0, y, x] = 1e-6
                up, down = (network(image + sign * step)[0, :, 2, 2].sum() for sign in (1, -1))
                expected[y, x] = abs(float(up - down)) / 2e-6
    assert expected.max() > 0
    assert np.allclose(effective_field(network, layer, [image]), expected, atol=1e-6)


def test_mean_over_images_and_dead_unit():
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        network[0].weight[:] = torch.tensor([2.0, -3.0]).view(2, 1, 1, 1)
    layer = index_layers(network, size=(3, 3)).resolve("relu1")
    bright, dark = torch.ones(1, 1, 3, 3), -torch.ones(1, 1, 3, 3)
    one = np.zeros((3, 3))
    one[1, 1] = 1
    assert np.array_equal(effective_field(network, layer, [bright]), 2 * one)
    assert np.array_equal(effective_field(network, layer, [bright, dark]), 2.5 * one)
    assert not effective_field(network, layer, [bright], units=[1]).any()
    assert extent(effective_field(network, layer, [bright], units=[1])) is None


def test_network_is_left_as_it_was(awkward: Awkward):
    index = index_layers(awkward)
    before = state_of(awkward)
    for layer in index:
        if layer.spatial:
            effective_field(awkward, layer, [torch.randn(1, 3, 16, 16)])
    with torch.inference_mode(), pytest.raises(LayerError):
        effective_field(awkward, index.resolve("conv1"), [torch.randn(1, 3, 16, 16)], position=(16, 0))
    assert state_of(awkward) == before


class _Shut(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    @torch.no_grad()
    def forward(self, x):
        return self.conv(x)


def test_bad_input():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    layer = index_layers(network, size=(9, 12)).resolve("conv1")
    image = torch.zeros(1, 3, 9, 12)
    with pytest.raises(LayerError, match=r"position 7,0 .* 7×10 positions: rows 0 to 6, columns 0 to 9"):
        effective_field(network, layer, [image], position=(7, 0))
    with pytest.raises(LayerError, match="no unit 4: its units are 0 to 3"):
        effective_field(network, layer, [image], units=[4])
    with pytest.raises(ValueError, match="'absolute' or 'positive'"):
        effective_field(network, layer, [image], gradient="signed")
    with pytest.raises(ValueError, match="at least one image"):
        effective_field(network, layer, [])
    shut = _Shut()
    with pytest.raises(ModelError, match=r"no gradient flows from layer conv .*no_grad"):
        effective_field(shut, index_layers(shut).resolve("conv1"), [torch.zeros(1, 3, 9, 9)])


def test_extent_of_a_gaussian():
    y, x = np.mgrid[:201, :301]
    found = extent(np.exp(-((y - 90.5) ** 2) / (2 * 12.0**2) - (x - 160.0) ** 2 / (2 * 20.0**2)))
    assert found is not None
    assert found.center == pytest.approx((90.5, 160.0), abs=1e-6)
    assert found.sigma == pytest.approx((12.0, 20.0), rel=1e-4)
    # The level line at 4.55 % of the peak is an ellipse of area π r² sy sx with r² = -2 ln 0.0455.
    assert found.width == pytest.approx(np.sqrt(np.pi * -2 * np.log(0.0455) * 12 * 20), rel=1e-3)
    assert pytest.approx(0.0455) == THRESHOLD
    assert extent(np.zeros((4, 4))) is None
    assert extent(np.full((4, 4), np.nan)) is None
