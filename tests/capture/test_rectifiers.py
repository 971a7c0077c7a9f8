import copy
import warnings

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop
from torch import nn
from torch.nn import functional as F

from netviz.capture import backward_rule, capture, index_layers
from netviz.errors import ModelError
from support.everything import everything_of

RULES = {
    "gradient": lambda g, x, bound: g * (x > 0) * (x < bound),
    "guided": lambda g, x, bound: g.clamp(min=0) * (x > 0) * (x < bound),
    "deconvnet": lambda g, x, bound: g.clamp(min=0),
}

INF = float("inf")

CALLS = {
    "module": (nn.ReLU(), INF),
    "module in place": (nn.ReLU(inplace=True), INF),
    "function": (F.relu, INF),
    "function in place": (lambda x: F.relu(x, inplace=True), INF),
    "flag by place": (lambda x: F.relu(x, True), INF),
    "by keyword": (lambda x: F.relu(input=x), INF),
    "torch": (torch.relu, INF),
    "torch in place": (torch.relu_, INF),
    "method": (lambda x: x.relu(), INF),
    "method in place": (lambda x: x.relu_(), INF),
    "operator": (torch.ops.aten.relu.default, INF),
    "clamp": (lambda x: x.clamp(min=0), INF),
    "clamp in place": (lambda x: x.clamp_(min=0.0), INF),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), INF),
    "clip between": (lambda x: torch.clip(x, 0, 1), 1.0),
    "relu6": (nn.ReLU6(), 6.0),
    "relu6 in place": (lambda x: F.relu6(x, inplace=True), 6.0),
    "hardtanh": (nn.Hardtanh(0, 2, inplace=True), 2.0),
    "threshold": (nn.Threshold(0, 0), INF),
}

OTHERS = {
    "gelu": nn.GELU(),
    "silu": nn.SiLU(inplace=True),
    "hardswish": nn.Hardswish(),
    "leaky_relu": nn.LeakyReLU(),
    "elu": nn.ELU(),
    "hardtanh": nn.Hardtanh(),
    "prelu": nn.PReLU(),
    "threshold": nn.Threshold(1, 0),
}


class Called(nn.Module):
    """Calls a rectifier, and reads what was its argument again afterwards."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        x = x * 1
        y = self.call(x)
        return y + x if y is x else y


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("call", CALLS)
def test_any_call_follows_the_rule(call, rule):
    function, bound = CALLS[call]
    network = Called(function)
    x = torch.tensor([-8.0, -1.0, -0.5, 0.5, 0.9, 3.0, 8.0, 8.0], requires_grad=True)
    above = torch.tensor([1.0, -1.0, 2.0, -2.0, 3.0, 4.0, 5.0, -5.0])
    plain = network(x)
    doubled = 2 if "in place" in call or call in ("flag by place", "hardtanh") else 1
    with backward_rule(network, rule) as met:
        y = network(x)
    assert torch.equal(y, plain)
    assert torch.equal(y, doubled * x.clamp(0, bound))
    assert sum(met.rectifiers.values()) == 1
    assert not met.others
    (gradient,) = torch.autograd.grad(y, x, above)
    assert torch.equal(gradient, RULES[rule](doubled * above, x.detach(), bound))


@pytest.mark.parametrize("name", OTHERS)
def test_other_nonlinearities_keep_their_derivative(name):
    network = Called(OTHERS[name])
    x = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    above = torch.tensor([1.0, -1.0, -2.0, 3.0])
    (expected,) = torch.autograd.grad(network(x), x, above)
    with backward_rule(network, "deconvnet") as met:
        (gradient,) = torch.autograd.grad(network(x), x, above)
    assert torch.equal(gradient, expected)
    assert met.others == {name: 1}
    assert not met.rectifiers


class Awkward(nn.Module):
    """One ReLU module for all, in place; a function, a method; a sum that reads what was overwritten."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 6, 3),
        )
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        first = self.conv1(x)
        self.relu(first)
        second = self.relu(self.conv2(first)) + first
        second.relu_()
        third = F.relu(self.conv3(F.max_pool2d(second, 2)), inplace=True)
        return self.fc(torch.relu(third.mean((2, 3))))


class Twin(Awkward):
    """The same numbers from a module for each ReLU, none in place."""

    def __init__(self):
        super().__init__()
        self.relu = None
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(5))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        first = self.relus[0](self.conv1(x))
        second = self.relus[2](self.relus[1](self.conv2(first)) + first)
        third = self.relus[3](self.conv3(self.pool(second)))
        return self.fc(self.relus[4](third.mean((2, 3))))


@pytest.fixture
def awkward_pair():
    torch.manual_seed(1)
    network = Awkward().eval()
    twin = Twin().eval()
    twin.load_state_dict(network.state_dict())
    return network, twin, torch.randn(2, 3, 12, 12)


@pytest.mark.parametrize(("rule", "reference"), [("guided", GuidedBackprop), ("deconvnet", Deconvolution)])
@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_reused_functional_and_in_place_as_captum_on_separate_modules(awkward_pair, rule, reference):
    network, twin, image = awkward_pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference(twin).attribute(image.clone().requires_grad_(), target=3)
    before = everything_of(network)
    image.requires_grad_()
    with backward_rule(network, rule) as met:
        (gradient,) = torch.autograd.grad(network(image)[:, 3].sum(), image)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)
    assert met.rectifiers == {"relu": 5}
    assert everything_of(network) == before
    plain = torch.autograd.grad(network(image)[:, 3].sum(), image)[0]
    assert not torch.allclose(plain, gradient, atol=1e-3 * float(plain.abs().max()))


def test_layers_are_captured_on_the_way(awkward_pair):
    network, twin, image = awkward_pair
    layers = index_layers(network, size=(12, 12))
    relu = layers.resolve("relu_1")
    kept = {}
    twin.relus[1].register_forward_hook(lambda module, args, output: kept.update(relu=output))
    with backward_rule(twin, "deconvnet"):
        (expected,) = torch.autograd.grad(twin(image)[:, 3].sum(), kept["relu"])
    with capture(network, [relu], grad=True, rule="deconvnet") as run:
        (gradient,) = torch.autograd.grad(run(image.requires_grad_())[:, 3].sum(), run[relu])
    assert torch.equal(run[relu], kept["relu"])
    torch.testing.assert_close(gradient, expected)
    assert run.met.rectifiers == {"relu": 5}
    third = layers.resolve("relu_3")
    assert third.function == "relu"
    with capture(network, [third], grad=True, rule="guided") as run, torch.no_grad():
        output = run(image)
    assert torch.equal(output, network(image))
    assert run[third].shape == (2, 6, 3, 3)


def test_without_gradients_nothing_is_replaced():
    network = copy.deepcopy(Twin())
    with backward_rule(network, "guided") as met, torch.no_grad():
        network(torch.randn(1, 3, 12, 12))
    assert not met.rectifiers


def test_torchscript_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(network, torch.zeros(1, 3, 4, 4))
    with pytest.raises(ModelError, match="TorchScript"), backward_rule(nn.Sequential(scripted), "guided"):
        pass
    with backward_rule(scripted, "gradient"):
        assert scripted(torch.zeros(1, 3, 4, 4)).shape == (1, 2, 4, 4)
    with (
        pytest.raises(ValueError, match="choose one of gradient, guided, deconvnet"),
        backward_rule(network, "x"),
    ):
        pass
