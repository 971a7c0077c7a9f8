import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from torch import nn

import netviz
from netviz.errors import LayerError, ModelError


def small(**options):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, **options), nn.ReLU(), nn.Conv2d(6, 6, 1, groups=3))


def test_weight_is_exactly_the_parameter():
    network = small()
    for layer, index in (("conv1", 0), ("conv2", 2), ("-1", 2)):
        result = netviz.filters(network, layer=layer)
        assert np.array_equal(result.weight, network[index].weight.detach().numpy())
        assert result.weight.dtype == np.float32
    assert netviz.filters(network).layer == "0"
    assert result.groups == 3


def test_transposed_filters_are_put_by_unit():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, groups=2))
    result = netviz.filters(network, layer="deconv2")
    weight = network[1].weight.detach().numpy()
    assert result.transposed
    assert np.array_equal(result.weight, weight)
    by_unit = result.filters
    assert by_unit.shape == (6, 2, 3, 3)
    for unit in range(6):
        group, inside = divmod(unit, 3)
        for channel in range(2):
            assert np.array_equal(by_unit[unit, channel], weight[group * 2 + channel, inside])


@pytest.mark.parametrize("transposed", [False, True])
def test_filters_that_read_different_inputs_repeat_none(transposed):
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    depthwise, grouped = make(6, 6, 3, groups=6), make(4, 6, 3, groups=2)
    kernel = torch.randn(3, 3)
    with torch.no_grad():
        depthwise.weight[:] = kernel
        grouped.weight[:] = kernel
    network = nn.Sequential(nn.Conv2d(3, 6, 1), depthwise, nn.Conv2d(6, 4, 1), grouped)
    assert netviz.filters(network, layer="1").duplicates == ()
    # Units 0 to 2 read the first two inputs, 3 to 5 the others.
    assert set(netviz.filters(network, layer="3").duplicates) == {(1, 0), (2, 0), (4, 3), (5, 3)}


def test_dead_and_near_duplicate_filters():
    network = small()
    with torch.no_grad():
        weight = network[0].weight
        weight[1] = weight[0] * 3 + 1e-3 * torch.randn_like(weight[0])
        weight[4] = -weight[0]
        weight[5] *= 1e-4
        weight[3] = 0
    result = netviz.filters(network)
    assert result.dead == (3, 5)
    flat = weight.detach().double().reshape(6, -1).numpy()
    live = [unit for unit in range(6) if unit not in result.dead]
    pairs = {
        (b, a) for i, a in enumerate(live) for b in live[i + 1 :] if 1 - cosine(flat[a], flat[b]) >= 0.95
    }
    assert set(result.duplicates) == pairs == {(1, 0)}


def test_orders():
    network = small()
    norms = network[0].weight.detach().flatten(1).norm(dim=1).numpy()
    by_norm = netviz.filters(network, sort="norm").units
    assert np.array_equal(norms[by_norm], np.sort(norms)[::-1])
    assert list(netviz.filters(network, max_units=4).units) == [0, 1, 2, 3]
    assert list(netviz.filters(network, units="5,2:4,-1").units)[:3] == [5, 2, 3]
    by_norm = list(netviz.filters(network, sort="norm").units)
    assert list(netviz.filters(network, sort="norm", units=by_norm[3:0:-1]).units) == by_norm[1:4]
    with pytest.raises(LayerError, match="has no unit 900"):
        netviz.filters(network, units="900")


def test_hue_puts_like_colours_together_and_gray_last():
    network = nn.Sequential(nn.Conv2d(3, 6, 3))
    texture = torch.randn(3, 3)
    colours = [[1, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1.0], [-1, 0, 0], [0, 0, -1]]
    with torch.no_grad():
        for unit, colour in enumerate(colours):
            network[0].weight[unit] = torch.tensor(colour).view(3, 1, 1) * texture
    order = list(netviz.filters(network, sort="hue").units)
    assert order[-2:] == [0, 3]
    assert {frozenset(order[:2]), frozenset(order[2:4])} == {frozenset({1, 4}), frozenset({2, 5})}
    with pytest.raises(LayerError, match="hue"):
        netviz.filters(small(), layer="conv2", sort="hue")


def test_half_precision_is_kept():
    network = small().half()
    result = netviz.filters(network)
    assert result.weight.dtype == np.float16
    assert np.array_equal(result.weight, network[0].weight.detach().numpy())


def test_a_network_that_does_not_run_still_shows_its_filters():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.left = nn.Conv2d(3, 4, 3)

        def forward(self, a, b):
            return self.left(a) + b

    network = Pair()
    result = netviz.filters(network, layer="left")
    assert np.array_equal(result.weight, network.left.weight.detach().numpy())


def test_what_cannot_serve():
    with pytest.raises(LayerError, match="has no filters"):
        netviz.filters(small(), layer="relu1")
    with pytest.raises(LayerError, match="conv1"):
        netviz.filters(small(), layer="conv9")
    with pytest.raises(ModelError, match="not convolutional"):
        netviz.filters(nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 2)))
    with pytest.raises(ValueError, match="'other'"):
        netviz.filters(small(), scale="other")
    broken = small()
    with torch.no_grad():
        broken[0].weight[2, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match="1 filters"):
        netviz.filters(broken)
