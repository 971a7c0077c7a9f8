import math

import numpy as np
import pytest
import torch
from torch import nn

from netviz.errors import ImageError, LayerError, NetvizError
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from netviz.questions.field.empirical.average import THRESHOLD
from netviz.questions.field.empirical.windows import empirical_field
from netviz.questions.opening import layers
from support.network import state_of

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), assumed=False)


def opened(network: nn.Module) -> Model:
    return Model("net", network, network.state_dict(), PLAIN)


def photos(count: int, height: int, width: int) -> list[Photo]:
    rng = np.random.default_rng(1)
    return [
        Photo(f"noise{number}", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for number in range(count)
    ]


def stack() -> nn.Module:
    """Unit 0 is dead, unit 1 sees the middle row of its field only, unit 2 sees all of it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 5, 2), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        network[0].weight[0] = 0
        network[0].bias.copy_(torch.tensor([-1.0, 0.1, 0.1]))
        network[0].weight[1, :, [0, 1, 3, 4]] = 0
    return network.eval()


def by_hand(network, images, unit, top, patch, stride, seed):
    """Do the same with a loop over places and full passes."""
    height, width = images[0].pixels.shape[:2]
    tensors = [normalize(photo.pixels, PLAIN) for photo in images]
    with torch.no_grad():
        maps = [network[:2](tensor)[0, unit].numpy() for tensor in tensors]
    order = sorted(range(len(images)), key=lambda number: -maps[number].max())[:top]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for number in order:
        row, col = np.unravel_index(maps[number].argmax(), maps[number].shape)
        peak = maps[number][row, col]
        noise = np.random.default_rng([seed, number]).integers(0, 256, (height, width, 3), dtype=np.uint8)
        noise = normalize(noise, PLAIN)
        sums, covers = np.zeros((height, width)), np.zeros((height, width))
        for y in range(0, math.ceil((height - patch) / stride) * stride + 1, stride):
            for x in range(0, math.ceil((width - patch) / stride) * stride + 1, stride):
                covered = tensors[number].clone()
                where = (slice(y, y + patch), slice(x, x + patch))
                covered[(..., *where)] = noise[(..., *where)]
                with torch.no_grad():
                    value = network[:2](covered)[0, unit, row, col]
                sums[where] += abs(float(value) - peak)
                covers[where] += 1
        inside = np.zeros((height, width), dtype=bool)
        inside[2 * row : 2 * row + 5, 2 * col : 2 * col + 5] = True
        mean = np.where(inside, sums / covers, 0)
        for y in range(height):
            for x in range(width):
                to = (y - (2 * row + 2) + height // 2, x - (2 * col + 2) + width // 2)
                if 0 <= to[0] < height and 0 <= to[1] < width:
                    total[to] += mean[y, x]
                    count[to] += 1
    return np.where(count * 2 >= top, total / np.maximum(count, 1), 0)


def test_equals_a_loop_over_full_passes():
    network, images = stack(), photos(4, 18, 15)
    model = opened(network)
    index = layers(model, size=(18, 15))
    layer = index.resolve("relu1")
    before = state_of(network)
    found = empirical_field(model, index, layer, [0, 1, 2], images, top=3, patch=2, stride=1, seed=7)
    assert state_of(network) == before
    assert (found.units, found.dead, found.still) == ((1, 2), (0,), ())
    assert found.theoretical == (5, 5)
    for row, unit in enumerate(found.units):
        expected = by_hand(network, images, unit, 3, 2, 1, 7)
        np.testing.assert_allclose(found.maps[row], expected, atol=1e-5 * expected.max())
        area = (expected >= THRESHOLD * expected.max()).sum()
        assert found.sizes[row] == pytest.approx(math.sqrt(area))
        # Nothing outside of the five pixels around the middle, and nothing that is changed by what lies there.
        outside = np.ones((18, 15), dtype=bool)
        outside[9 - 2 : 9 + 3, 7 - 2 : 7 + 3] = False
        assert not found.maps[row][outside].any()
    assert found.outside <= 1e-5
    # A unit that looks at one row of its field is narrower than one that looks at all of it: the patch is 2 high.
    assert found.sizes[0] <= math.sqrt(3 * 5)
    assert found.sizes[0] < found.sizes[1]
    assert found.mean == pytest.approx(np.mean(found.sizes))
    assert found.std == pytest.approx(np.std(found.sizes))
    assert found.quartiles[1] == pytest.approx(np.median(found.sizes))


def test_images_are_the_most_active_ones():
    network, images = stack(), photos(5, 16, 16)
    model = opened(network)
    index = layers(model, size=(16, 16))
    found = empirical_field(model, index, index.resolve("relu1"), [2], images, top=2)
    with torch.no_grad():
        peaks = [float(network[:2](normalize(photo.pixels, PLAIN))[0, 2].max()) for photo in images]
    order = np.argsort(peaks)[::-1][:2]
    assert found.images == (tuple(f"noise{number}" for number in order),)
    assert found.activations[0] == pytest.approx([peaks[number] for number in order])
    again = empirical_field(model, index, index.resolve("relu1"), [2], images, top=2)
    assert again.maps.tobytes() == found.maps.tobytes()
    other = empirical_field(model, index, index.resolve("relu1"), [2], images, top=2, seed=1)
    assert other.maps.tobytes() != found.maps.tobytes()


def test_deep_units_are_measured_together_and_agree_with_alone():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 6, 5, 1, 2)
    ).eval()
    model, images = opened(network), photos(3, 40, 32)
    index = layers(model, size=(40, 32))
    layer = index.resolve("-1")
    together = empirical_field(model, index, layer, range(6), images, top=2, patch=8, stride=8)
    for unit in together.units:
        alone = empirical_field(model, index, layer, [unit], images, top=2, patch=8, stride=8)
        row = together.units.index(unit)
        np.testing.assert_allclose(alone.maps[0], together.maps[row], atol=1e-5 * together.maps.max())


def test_units_held_at_a_limit_are_named():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Hardtanh(0, 1)).eval()
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([100.0, -100.0]))
    model = opened(network)
    index = layers(model, size=(12, 12))
    found = empirical_field(model, index, index.resolve("hardtanh1"), [0, 1], photos(1, 12, 12))
    assert (found.units, found.still, found.dead) == ((), (0,), (1,))
    assert found.maps.shape == (0, 12, 12)
    assert math.isnan(found.mean)
    assert all(math.isnan(quartile) for quartile in found.quartiles)


def test_a_global_layer_is_centred_where_its_position_is():
    torch.manual_seed(0)

    class Excited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            x = self.conv(x)
            return torch.relu(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))

    network = Excited().eval()
    model = opened(network)
    index = layers(model, size=(24, 24))
    layer = next(one for one in reversed(index) if one.spatial)
    assert layer.kind == "relu"
    found = empirical_field(model, index, layer, [0, 1], photos(2, 24, 24), top=1, patch=3, stride=3)
    assert math.isnan(found.outside)
    for one in found.maps:
        row, col = np.unravel_index(one.argmax(), one.shape)
        assert abs(row - 12) <= 3
        assert abs(col - 12) <= 3


def test_default_occluder_is_the_papers_at_224_pixels():
    network = nn.Sequential(*[nn.Conv2d(3, 3, 33, 4, 16), nn.Conv2d(3, 3, 15, 1, 7)]).eval()
    model = opened(network)
    for size, patch, stride in [((224, 224), 11, 3), ((112, 130), 6, 3)]:
        index = layers(model, size=size)
        found = empirical_field(model, index, index.resolve("conv2"), [0], photos(1, *size), top=1)
        assert (found.patch, found.stride) == (patch, stride)
    model = opened(stack())
    index = layers(model, size=(64, 64))
    small = empirical_field(model, index, index.resolve("conv1"), [2], photos(1, 64, 64))
    assert small.patch == 1


def test_bad_input(tmp_path):
    model = opened(stack())
    index = layers(model, size=(16, 16))
    layer = index.resolve("relu1")
    images = photos(1, 16, 16)
    with pytest.raises(LayerError, match="no unit 3: its units are 0 to 2"):
        empirical_field(model, index, layer, [3], images)
    for arguments, message in [
        ({"top": 0}, "top must be at least 1"),
        ({"patch": 17}, "1 to 16 pixels"),
        ({"patch": 4, "stride": 5}, "1 to 4 pixels"),
        ({"stride": 0}, "stride must be 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            empirical_field(model, index, layer, [2], images, **arguments)
    with pytest.raises(ImageError, match="at least one image"):
        empirical_field(model, index, layer, [2], [])
    with pytest.raises(NetvizError, match="no such image"):
        empirical_field(model, index, layer, [2], [tmp_path / "none.png"])
