"""The copy of a network that runs faster: the maps of the network itself, the same bytes with Numba and without."""

import pytest
import torch
from torch import nn

from netviz.capture import capture, index_layers
from netviz.engines import compiled
from netviz.engines.fast import fast_copy

SHAPE = (3, 20, 14)


class Network(nn.Module):
    """Normalizations that are read by one rectifier, by a sum, by two, and by one that runs twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU6(inplace=True))
        self.wide = nn.Conv2d(24, 40, 3, groups=4)
        self.norm = nn.BatchNorm2d(40, affine=False)
        self.hard = nn.Hardtanh(-0.4, 0.3)
        self.last = nn.Sequential(
            nn.Sequential(nn.Conv2d(40, 7, 1, bias=False), nn.BatchNorm2d(7)), nn.ReLU()
        )
        self.one, self.norm_one = nn.Conv2d(7, 7, 1), nn.BatchNorm2d(7)
        self.two, self.norm_two = nn.Conv2d(7, 7, 1), nn.BatchNorm2d(7)
        self.twice = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.last(self.hard(self.norm(self.wide(self.stem(x)))))
        x = self.twice(self.norm_one(self.one(x)))
        found = self.norm_two(self.two(x))
        return self.twice(found + x) + found


def made():
    torch.manual_seed(0)
    network = Network().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network


def maps_of(network, wanted, image):
    found = {}
    # Looked at while they are there: what comes behind may write over them.
    with (
        torch.inference_mode(),
        capture(
            network,
            wanted,
            reduce=lambda layer, output: found.setdefault(layer.name, output.clone()),
            private=True,
        ) as run,
    ):
        output = run(image.clone())
    return found, output


@pytest.mark.parametrize(
    "kinds",
    [("conv",), ("norm",), ("conv", "norm"), ("conv", "relu"), ("relu", "hardtanh"), ()],
    ids="+".join,
)
@pytest.mark.parametrize("numba", [True, False])
def test_a_fast_copy_gives_the_maps_of_the_network(kinds, numba, monkeypatch):
    network = made()
    index = index_layers(network, size=SHAPE[1:])
    wanted = [layer for layer in index if layer.kind in kinds]
    assert len(wanted) >= len(kinds)
    image = torch.randn(3, *SHAPE).to(memory_format=torch.channels_last)
    expected, output = maps_of(network, wanted, image)
    if not numba:
        monkeypatch.setattr(compiled, "kernels", lambda: None)
    found, fast = maps_of(fast_copy(network, wanted, SHAPE), wanted, image)
    for name, values in expected.items():
        assert torch.allclose(found[name], values, atol=1e-5), name
    assert torch.allclose(fast, output, atol=1e-5)


def test_a_fast_copy_gives_the_same_bytes_without_numba(monkeypatch):
    network = made()
    wanted = [layer for layer in index_layers(network, size=SHAPE[1:]) if layer.kind == "conv"]
    image = torch.randn(3, *SHAPE).to(memory_format=torch.channels_last)
    found, output = maps_of(fast_copy(network, wanted, SHAPE), wanted, image)
    monkeypatch.setattr(compiled, "kernels", lambda: None)
    again, without = maps_of(fast_copy(network, wanted, SHAPE), wanted, image)
    assert all(
        torch.equal(again[name].view(torch.int32), one.view(torch.int32)) for name, one in found.items()
    )
    assert torch.equal(output.view(torch.int32), without.view(torch.int32))


def test_a_rectifier_is_taken_in_only_where_nobody_sees_it():
    network = made()
    index = index_layers(network, size=SHAPE[1:])
    convolutions = [layer for layer in index if layer.kind == "conv"]

    def idle(wanted):
        fast = fast_copy(network, wanted, SHAPE)
        return {
            name
            for name, module in fast.named_modules()
            if isinstance(module, nn.ReLU | nn.Hardtanh) and "forward" in vars(module)
        }

    assert idle(convolutions) == {"stem.2", "hard", "last.1"}
    norms = [layer for layer in index if layer.kind in ("conv", "norm")]
    assert idle(norms) == set()
