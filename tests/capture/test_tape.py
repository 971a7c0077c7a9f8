"""The tape: what a forward pass did with the image, in order."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netviz.capture import capture, index_layers
from netviz.capture.tape import Node, Ref, Tape, followed_once, record, with_values
from netviz.capture.watch import Key
from support.network import state_of

EVERYDAY = ("resnet18", "densenet121", "googlenet", "shufflenet_v2_x0_5", "swin_t", "mobilenet_v3_small")


class Does(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.what = what

    def forward(self, x):
        return self.what(self.conv(x))


def filled(value, values: list[Tensor]):
    """Put recorded values in place of their Refs."""
    if isinstance(value, Ref):
        return values[value.number].clone()
    if isinstance(value, list | tuple):
        return type(value)(filled(item, values) for item in value)
    return {key: filled(item, values) for key, item in value.items()} if isinstance(value, dict) else value


def played(node: Node, tape: Tape) -> list[Tensor]:
    """Run one node again on the kept values."""
    args, kwargs = filled(node.args, tape.values), filled(node.kwargs, tape.values)
    result = node.function(*args, **kwargs)
    if result is None:  # x[…] = y
        result = args[0]
    return list(result) if isinstance(result, tuple | list) else [result]


@pytest.mark.parametrize("name", EVERYDAY)
def test_every_node_run_again_gives_what_was_recorded(name, builder):
    network = builder(name).eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tape = record(network, image, keep=True)
    with torch.no_grad():
        expected = network(image)
        assert torch.equal(tape.values[tape.output], expected)
        for node in tape.nodes:
            for number, value in zip(node.outputs, played(node, tape), strict=True):
                assert torch.equal(value, tape.values[number]), node
    assert tape.trouble == ""
    assert [value.shape for value in tape.values] == tape.shapes


@pytest.mark.parametrize("name", EVERYDAY)
def test_layers_are_those_of_the_index_with_their_values(name, builder):
    network = builder(name)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    index = index_layers(network, size=(64, 64))
    tape = record(network, image, keep=True)
    with capture(network, index) as run:
        run(image)
    for layer in index:
        number = tape.layers[Key(layer.module, layer.function, layer.call)]
        assert torch.equal(tape.values[number], run[layer]), layer.name


def test_the_meta_device_records_the_same_without_values(builder):
    network = builder("resnet18")
    real = record(network, torch.zeros(1, 3, 64, 64), keep=False)
    meta = record(network, torch.zeros(1, 3, 64, 64, device="meta"), keep=False)
    assert real.values == meta.values == []
    assert real.shapes == meta.shapes
    assert real.layers == meta.layers
    assert [(node.name, node.inputs, node.outputs, node.module) for node in real.nodes] == [
        (node.name, node.inputs, node.outputs, node.module) for node in meta.nodes
    ]


def test_what_an_in_place_function_overwrote_is_kept(awkward):
    tape = record(awkward, torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), keep=True)
    assert [node.name for node in tape.nodes][:4] == ["conv2d", "batch_norm", "relu", "conv2d"]
    conv, norm, relu = tape.nodes[:3]
    assert relu.in_place
    assert not norm.in_place
    assert relu.module == "relu"
    assert (conv.inputs, norm.inputs, relu.inputs) == ((0,), conv.outputs, norm.outputs)
    before, after = tape.values[norm.outputs[0]], tape.values[relu.outputs[0]]
    assert (before < 0).any()
    assert torch.equal(after, before.clamp(min=0))


@pytest.mark.parametrize(
    "what",
    [
        lambda x: x.add_(1).mul_(2),
        lambda x: F.relu(x, True) + F.relu_(x),
        lambda x: torch.relu_(x[:, :2]) * 2,
        lambda x: torch.mul(x, 2, out=torch.empty_like(x)),
        lambda x: torch.zeros_like(x).copy_(x),
        lambda x: x.view(1, -1).sub_(1).sum(),
    ],
)
def test_values_are_those_of_the_moment(what):
    network = Does(what)
    tape = record(network, torch.randn(1, 3, 6, 6), keep=True)
    with torch.no_grad():
        for node in tape.nodes:
            for number, value in zip(node.outputs, played(node, tape), strict=True):
                assert torch.equal(value, tape.values[number]), node
    assert any(node.in_place for node in tape.nodes)
    assert tape.trouble == ""


def changes_a_part(x):
    x[:, :2].relu_()
    return x * 2


def writes_into_a_part(x):
    half = x[:, :2]
    x[:, 2:] = 0
    return half + 1


def returns_what_was_changed(x):
    x[:, :2].relu_()
    return x


def fills_a_canvas(x):
    canvas = x.new_zeros(1, 4, 8, 8)
    canvas[:, :, :4, :4].copy_(x)
    return canvas * 2


def returns_a_canvas(x):
    canvas = torch.zeros(1, 4, 8, 8)
    canvas[0].narrow(1, 0, 4).narrow(2, 0, 4).add_(x[0])
    return canvas


@pytest.mark.parametrize(
    "what",
    [changes_a_part, writes_into_a_part, returns_what_was_changed, fills_a_canvas, returns_a_canvas],
)
def test_a_change_through_a_view_is_said(what):
    tape = record(Does(what), torch.randn(1, 3, 6, 6), keep=True)
    assert "view" in tape.trouble
    assert any("view" in node.name and node.function is None for node in tape.nodes)
    assert tape.output == len(tape.shapes) - 1
    assert tape.layers[Key("", None, 0)] == tape.output


def test_a_part_written_is_a_new_value():
    def what(x):
        x[:, 1] = 0
        return x

    tape = record(Does(what), torch.randn(1, 3, 6, 6), keep=True)
    conv, written = tape.nodes
    assert (written.name, written.in_place, written.inputs) == ("setitem", True, conv.outputs)
    assert tape.values[conv.outputs[0]][:, 1].abs().sum() > 0
    assert tape.values[tape.output][:, 1].abs().sum() == 0
    assert tape.trouble == ""


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        with torch._C.DisableTorchFunction():
            return x * 2


class HiddenModule(nn.Module):
    def forward(self, x):
        return Hidden.apply(x)


@pytest.mark.parametrize("what", [lambda x: x + Hidden.apply(x), HiddenModule()])
def test_what_torch_does_not_show_is_said(what):
    tape = record(Does(what), torch.randn(1, 3, 6, 6), keep=False)
    assert "does not show" in tape.trouble
    assert any("does not show" in node.name and node.function is None for node in tape.nodes)


def test_constants_from_anywhere_are_no_trouble():
    everywhere = torch.rand(1, 4, 1, 1)

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = {"scale": [torch.rand(4, 1, 1)]}

        def forward(self, x):
            return x * self.tables["scale"][0] + everywhere + torch.arange(4).view(4, 1, 1)

    tape = record(Does(Holder()), torch.randn(1, 3, 6, 6), keep=False)
    assert tape.trouble == ""
    assert [node.name for node in tape.nodes] == ["conv2d", "mul", "add", "add"]


def test_values_read_by_python_leave_a_node_without_outputs():
    tape = record(Does(lambda x: x * x.mean().item()), torch.randn(1, 3, 6, 6), keep=False)
    assert [(node.name, len(node.outputs)) for node in tape.nodes][-2:] == [("item", 0), ("mul", 1)]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_network_is_left_as_found(awkward, device):
    before = state_of(awkward)
    record(awkward, torch.zeros(1, 3, 8, 8, device=device), keep=False)
    assert state_of(awkward) == before


def test_also_after_an_exception(awkward):
    before = state_of(awkward)
    with pytest.raises(RuntimeError):
        record(awkward, torch.zeros(1, 4, 8, 8), keep=True)
    assert state_of(awkward) == before


def test_a_network_is_followed_once_for_each_size_where_that_is_asked_for():
    network = Does(torch.relu)
    small, large = (torch.zeros(1, 3, side, side, device="meta") for side in (8, 9))
    outside = record(network, small, keep=False)
    with followed_once():
        first = record(network, small, keep=False)
        assert first is not outside
        assert record(network, small, keep=False) is first
        assert record(network, large, keep=False).shapes[0] == large.shape
        with followed_once():
            assert record(network, small, keep=False) is first
        # Values are those of each pass, and another module is another network.
        assert record(network, torch.zeros(1, 3, 8, 8), keep=True) is not first
        network.conv = nn.Conv2d(3, 5, 3)
        assert record(network, small, keep=False).shapes[1] == (1, 5, 6, 6)
    assert record(network, small, keep=False) is not first


def test_of_all_values_some_are_kept_by_another_pass(awkward):
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    everything = record(awkward, image, keep=True)
    tape = record(awkward, image, keep=())
    assert tape.like(everything)
    assert tape.holds({tape.output})
    assert [number for number, value in enumerate(tape.values) if value.numel()] == [tape.output]
    counted = []
    for node in tape.nodes:
        numbers = {0, *node.inputs, *node.outputs}
        found = with_values(tape, awkward, image, numbers, counted.append)
        assert found is not None
        assert found.nodes is tape.nodes
        assert found.holds(numbers)
        for number, value in enumerate(found.values):
            if number in numbers or number == tape.output:
                assert torch.equal(value, everything.values[number])
            else:
                assert not value.numel()
        assert counted.pop() == 4 * sum(everything.values[number].numel() for number in numbers)
        # What is there is not computed again.
        assert with_values(found, awkward, image, numbers, counted.append) is found
        assert counted == []


RUNS = itertools.count()
"""How often `Restless` has run: not a part of it, nor torch's random numbers, which are given back."""


class Restless(nn.Module):
    def forward(self, x):
        return x.relu() if next(RUNS) % 2 else x.sigmoid().relu()


def test_a_network_that_does_something_else_the_next_time_keeps_nothing():
    image = torch.rand(1, 3, 6, 6)
    tape = record(Restless(), image, keep=())
    assert with_values(tape, Restless(), image, {0}) is None
    again = with_values(tape, Restless(), image, {0})
    assert again is not None
    assert again.holds({0})


@pytest.mark.parametrize("numbers", [{0}, {1}, {2}])
def test_some_values_are_those_of_the_moment(numbers):
    network, image = Does(lambda x: x.add_(1).mul_(2).relu_()), torch.randn(1, 3, 6, 6)
    everything = record(network, image, keep=True)
    found = record(network, image, keep=numbers)
    for number in numbers:
        assert torch.equal(found.values[number], everything.values[number])
