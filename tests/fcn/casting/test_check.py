"""How far cells are from crops: nothing without padding, and what brute force finds with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netviz
from netviz.errors import ImageError, ModelError
from netviz.fcn.casting.cast import cast
from netviz.fcn.casting.check import cast_check
from support.casting import NATIVE, make, sliding


def noise(height: int, width: int, channels: int = 3) -> Tensor:
    return torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_without_padding_cells_are_crops() -> None:
    network = make(lambda m, x: m.fc(x.mean((2, 3)))).train()
    found = cast_check(network, noise(22, 26), input_size=NATIVE)
    assert network.training
    # 22 = 14 + 4·2, 26 = 14 + 6·2: five rows and seven columns of crops.
    assert found.deviation.shape == (5, 7)
    assert found.deviation.max() < 1e-5
    assert found.agrees.all()
    assert (found.stride, found.native < 1e-5, found.whole) == ((2, 2), True, 0)
    assert found.border[2].tolist() == [0, 1, 2, 2, 2, 1, 0]
    assert [(one["strides"], one["cells"]) for one in found.by_border] == [(0, 20), (1, 12), (2, 3)]


class Padded(nn.Module):
    """Stride 2, padding 1, a field of 7 and more: crops of 8×12 see zeros where the image goes on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv1 = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(torch.relu(self.conv2(torch.relu(self.conv1(x)))).mean((2, 3)))
        return scores


def test_padding_makes_the_deviation_that_brute_force_finds() -> None:
    network, image = Padded(), noise(15, 20, 1)
    found = cast_check(network, image, input_size=(8, 12))
    with torch.no_grad():
        crops = torch.stack(
            [
                torch.stack([network(image[..., y : y + 8, x : x + 12])[0] for x in range(0, 9, 2)])
                for y in range(0, 8, 2)
            ]
        )
        maps = torch.relu(network.conv2(torch.relu(network.conv1(image))))[0]
        cells = network.fc(maps.unfold(1, 4, 1).unfold(2, 6, 1).mean((-2, -1)).permute(1, 2, 0))
    assert cells.shape[:2] == (5, 5)
    cells = cells[:4]
    wanted = (cells - crops).abs().amax(-1) / (crops.amax(-1) - crops.amin(-1))
    # A crop of the last row would need a sixteenth row of pixels.
    assert found.deviation.shape == (5, 5)
    assert np.isnan(found.deviation[4]).all()
    assert (found.border[4] == -1).all()
    np.testing.assert_allclose(found.deviation[:4], wanted.numpy(), rtol=1e-4)
    np.testing.assert_array_equal(found.agrees[:4], (cells.argmax(-1) == crops.argmax(-1)).numpy())
    inside = found.border == 1
    assert found.by_border[1]["mean"] == pytest.approx(float(wanted.numpy()[inside[:4]].mean()), rel=1e-4)
    assert found.native < 1e-6
    assert (found.input_size, found.image_size) == ((8, 12), (15, 20))


@pytest.mark.parametrize(
    "weigh",
    [lambda m, x: x * m.pool(x).sigmoid(), lambda m, x: x * m.pool(x).sigmoid().expand_as(x)],
    ids=["broadcast", "spread"],
)
def test_weights_of_the_whole_image_are_counted(weigh: Callable[[Any, Tensor], Tensor]) -> None:
    network = make(lambda m, x: m.fc(weigh(m, x).mean((2, 3))))
    found = cast_check(network, noise(20, 20), input_size=NATIVE, converted=cast(network, input_size=NATIVE))
    assert found.whole >= 1
    assert found.stride == (2, 2)
    assert found.native < 1e-6
    assert found.deviation.max() > 1e-3


def test_bad_input() -> None:
    network = make(lambda m, x: m.fc(x.mean((2, 3))))
    with pytest.raises(ImageError, match=r"1×3×10×20; give one, .* of at least 14×14"):
        cast_check(network, noise(10, 20), input_size=NATIVE)
    with pytest.raises(ModelError, match="is no classifier"):
        cast_check(netviz.load("pnet"), noise(230, 230))


def test_sliding_is_what_it_says() -> None:
    network, image = make(lambda m, x: m.fc(x.mean((2, 3)))), noise(18, 16)
    with torch.no_grad():
        torch.testing.assert_close(sliding(network, image)[0, :, 2, 1], network(image[..., 4:18, 2:16])[0])
