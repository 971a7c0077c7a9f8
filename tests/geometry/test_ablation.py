"""What a network gives without a unit, against networks that were edited by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netviz.capture import index_layers, record
from netviz.errors import LayerError, ModelError
from netviz.geometry.ablation import Ablator
from support.network import Awkward, state_of


class Mobile(nn.Module):
    """An inverted residual with squeeze-and-excitation, in place, then a head; normalizations have statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.expand, self.bn1 = nn.Conv2d(6, 12, 1, bias=False), nn.BatchNorm2d(12)
        self.deep, self.bn2 = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), nn.BatchNorm2d(12)
        self.gate = nn.Conv2d(12, 12, 1)
        self.project, self.bn3 = nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.act = nn.ReLU6(inplace=True)
        self.last = nn.Conv2d(6, 10, 3, padding=1)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        y = self.act(self.bn1(self.expand(x)))
        y = self.act(self.bn2(self.deep(y)))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        y = self.bn3(self.project(y))
        y += x
        return self.head(F.relu(self.last(y)).mean((2, 3)))


class Dense(nn.Module):
    """Concatenations, grouped and strided convolutions, poolings, arithmetic with constants and with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, dilation=1)
        self.three = nn.Conv2d(8, 6, 3, stride=2, groups=2)
        self.four, self.norm = nn.Conv2d(6, 8, 1, stride=2), nn.BatchNorm2d(8)
        self.register_buffer("shift", torch.randn(1, 8, 1, 1))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        x = torch.cat([x, F.max_pool2d(self.two(F.leaky_relu(x)), 3, 1, 1)], 1)
        x = F.avg_pool2d(self.three(x) * 2 + 1, 2)
        x = self.norm(self.four(x - 0.5))
        x = x - self.shift
        x = x * x
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Tokens(nn.Module):
    """A class token before the tokens of the image, attention, and a head on the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 8, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.head(self.norm(self.block(x))[:, 0])


class Bare(nn.Module):
    """A value of the network is written through a view: the tape cannot be run again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.more, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.more(self.conv(x).relu())
        x[:, 0].mul_(2)
        return self.head(x.relu().mean((2, 3)))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = kind().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_()
                module.bias.normal_()
    return network


def edited(network: nn.Module, layer: Any, image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a network whose module gives something else; for layers that are modules that run once."""
    module = network.get_submodule(layer.module)
    handle = module.register_forward_hook(lambda module, args, output: output.copy_(change(output.clone())))
    try:
        with torch.no_grad():
            return network(image)
    finally:
        handle.remove()


def ablator(network: nn.Module, name: str, image: Tensor, **options: Any) -> Ablator:
    layer = index_layers(network, size=tuple(image.shape[-2:])).resolve(name)
    tape = record(network, image, keep=True)
    return Ablator(network, layer, image, lambda found: found, lambda found: found, tape=tape, **options)


CASES = [
    *((Mobile, name) for name in ("stem", "expand", "bn1", "deep", "bn2", "gate", "project", "bn3", "last")),
    *((Dense, name) for name in ("one", "two", "three", "four", "norm")),
    (Tokens, "cut"), (Tokens, "block"), (Tokens, "norm"),
    (Bare, "conv"), (Bare, "more"),
]  # fmt: skip


@pytest.mark.parametrize("to", ["zero", "mean"])
@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_each_unit_is_as_in_an_edited_network(kind, name, to):
    network, image = made(kind), torch.randn(1, 3, 32, 40)
    before = state_of(network)
    found = ablator(network, name, image, check=False)
    values = found.units.to(to)
    result = found.run(values)
    assert state_of(network) == before
    assert bool(result.why_full) == (kind is Bare)
    with torch.no_grad():
        torch.testing.assert_close(result.clean, network(image)[0], rtol=1e-5, atol=1e-5)
    axis = -1 if name in ("block", "norm") and kind is Tokens else 1
    for unit in range(found.units.count):

        def change(output: Tensor, unit: int = unit) -> Tensor:
            own = output.select(axis, unit)
            if axis == -1:  # tokens: the class token has no map, and is no part of the mean
                own[:] = 0 if to == "zero" else torch.cat([own[:, :1], own[:, 1:] * 0 + own[:, 1:].mean()], 1)
            else:
                own[:] = 0 if to == "zero" else own.mean()
            return output

        expected = edited(network, found.layer, image, change)[0]
        torch.testing.assert_close(result.values[unit], expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("unit", range(4))
def test_a_unit_at_zero_is_a_unit_that_the_next_convolution_does_not_read(unit):
    torch.manual_seed(1)
    first, second, head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(5, 3)
    network = nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head
    ).eval()
    image = torch.randn(1, 3, 20, 20)
    found = ablator(network, "relu1", image)
    result = found.run(found.units.to("zero"))
    with torch.no_grad():
        second.weight[:, unit] = 0
        torch.testing.assert_close(result.values[unit], network(image)[0])


@pytest.mark.parametrize(("name", "call"), [("relu", 0), ("relu", 1), ("relu", 2)])
def test_calls_of_a_module_that_runs_again_in_place(name, call):
    network, image = made(Awkward), torch.randn(1, 3, 16, 16)
    layers = [one for one in index_layers(network, size=(16, 16)) if one.kind == "relu"]
    found = ablator(network, layers[call].name, image)
    result = found.run(found.units.to("zero"))
    assert not result.why_full
    for unit in range(4):
        seen = []

        def act(x: Tensor, unit: int = unit, seen: list[int] = seen) -> Tensor:
            x = x.relu()
            if len(seen) == call:
                x[:, unit] = 0
            seen.append(1)
            return x

        with torch.no_grad():
            x = act(network.bn(network.conv1(image)))
            y = act(act(network.inner["branch"](x) + x) - 0.1)
            expected = network.head(F.max_pool2d(y, 2).mean((2, 3)))[0]
        torch.testing.assert_close(result.values[unit], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_slopes_are_those_of_autograd(kind, name):
    network, image = made(kind), torch.randn(1, 3, 32, 40)
    before = state_of(network)
    found = ablator(network, name, image)
    slope = found.slope(lambda scores: scores[2])
    assert state_of(network) == before
    kept = []

    def keep(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    network.get_submodule(found.layer.module).register_forward_hook(keep)
    (expected,) = torch.autograd.grad(network(image)[0, 2], kept[0])
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-6)


def test_what_is_linear_is_known_as_such():
    image = torch.randn(1, 3, 32, 40)
    said = {
        (Mobile, "last"): (False, False),
        (Mobile, "gate"): (False, False),
        (Dense, "norm"): (False, False),
        (Tokens, "norm"): (True, True),
        (Tokens, "block"): (False, False),
    }
    for (kind, name), expected in said.items():
        tail = ablator(made(kind), name, image).tail
        assert tail is not None
        assert (tail.linear, tail.fixed) == expected, (kind, name)


class Gated(nn.Module):
    """The scores are linear in `maps`, but how depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.gate, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        return self.head((self.maps(x) * gate).mean((2, 3)))


def test_linear_on_one_image_is_not_the_same_on_all():
    tail = ablator(made(Gated), "maps", torch.randn(1, 3, 9, 9)).tail
    assert (tail.linear, tail.fixed) == (True, False)


def test_a_tape_that_does_not_tell_what_the_network_does_is_noticed():
    network, image = made(Mobile), torch.randn(1, 3, 32, 40)
    found = ablator(network, "expand", image)
    network.head = nn.Linear(10, 4)
    result = found.run(found.units.to("zero"))
    assert result.why_full == "the recorded functions do not give what the network gives"

    def change(output: Tensor) -> Tensor:
        output[:, 5] = 0
        return output

    torch.testing.assert_close(result.values[5], edited(network, found.layer, image, change)[0])


class Closed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(torch.tensor(x.numpy()).mean((2, 3)))


def test_where_no_gradient_flows_one_line_says_so():
    network, image = made(Closed), torch.randn(1, 3, 9, 9)
    found = ablator(network, "conv", image)
    with pytest.raises(
        ModelError, match=r"no gradient flows from the scores to layer conv \(.*\); choose another layer"
    ):
        found.slope(lambda scores: scores[0])


def test_complex_values_are_refused():
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
            self.spectrum = Spectrum()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.spectrum(self.conv(x)).abs().mean((2, 3)))

    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft2(x)

    with pytest.raises(LayerError, match="the values of layer spectrum are complex; choose another layer"):
        ablator(made(Spectral), "spectrum", torch.randn(1, 3, 8, 8))


class Windows(nn.Module):
    """Attention within windows: the windows' axis comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 8, 4, stride=4)
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut(x)
        n, c, h, w = x.shape
        x = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        x = self.mix(x)
        x = (x @ x.transpose(1, 2)).softmax(-1) @ x
        x = x.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_windows(to):
    network, image = made(Windows), torch.randn(1, 3, 32, 32)
    found = ablator(network, "mix", image)
    assert found.units.output.shape == (4, 16, 8)
    result = found.run(found.units.to(to))
    assert not result.why_full
    slope = found.slope(lambda scores: scores[1])
    assert slope.shape == (4, 16, 8)
    for unit in range(8):

        def change(output: Tensor, unit: int = unit) -> Tensor:
            output[..., unit] = 0 if to == "zero" else output[..., unit].mean()
            return output

        expected = edited(network, found.layer, image, change)[0]
        torch.testing.assert_close(result.values[unit], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_of_an_image_no_more_is_kept_than_the_tail_reads(kind, name):
    network, image = made(kind), torch.randn(1, 3, 32, 40)
    everything = ablator(network, name, image)
    counted: list[int] = []
    tape = record(network, image, keep=())
    assert not any(value.numel() for number, value in enumerate(tape.values) if number != tape.output)
    found = Ablator(
        network, everything.layer, image, lambda one: one, lambda one: one, tape=tape, reserve=counted.append
    )
    if kind is Bare:
        assert found.tail is None
        assert counted == []
    else:
        assert found.tail is not None
        kept = {number for number, value in enumerate(found.tail.values) if value.numel()}
        assert kept == found.tail.reads
        assert counted == [4 * sum(tape.shapes[number].numel() for number in kept)]
    values = everything.units.to("mean")
    for one, other in (
        (found.units.to("mean"), values),
        (found.run(values).values, everything.run(values).values),
        (found.at(values), everything.at(values)),
        (found.slope(lambda scores: scores[0]), everything.slope(lambda scores: scores[0])),
    ):
        assert torch.equal(one, other)


def test_what_comes_before_a_layer_is_let_go_unless_it_is_joined_again():
    network, image = made(Mobile), torch.randn(1, 3, 32, 40)
    layer = index_layers(network, size=(32, 40)).resolve("bn2")
    tape = record(network, image, keep=())
    found = Ablator(network, layer, image, lambda one: one, lambda one: one, tape=tape)
    assert found.tail is not None
    before = [node for node in tape.nodes if node.outputs[0] <= found.tail.source]
    kept = [node.name for node in before if node.outputs[0] in found.tail.reads]
    # The stem's result, which the residual adds, and the layer itself.
    assert kept == ["hardtanh", "batch_norm"]
    assert [node.name for node in before][:2] == ["conv2d", "hardtanh"]
