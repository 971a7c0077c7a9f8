from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from netviz.capture import capture, index_layers
from netviz.errors import LayerError


def test_in_place_relu_does_not_reach_the_kept_convolution(builder):
    network = builder("alexnet", num_classes=10)
    image = torch.randn(1, 3, 224, 224)
    conv1 = index_layers(network).resolve("features.0")
    with capture(network, [conv1]) as run:
        output = run(image)
    weight, bias = network.features[0].weight, network.features[0].bias
    expected = nn.functional.conv2d(image, weight, bias, stride=4, padding=2)
    assert (run[conv1] < 0).any()
    assert torch.equal(run[conv1], expected)
    assert torch.equal(output, network(image))


def test_in_place_function_does_not_reach_the_kept_norm(builder):
    network = builder("densenet121", num_classes=3)
    index = index_layers(network, size=(64, 64))
    norm, relu = index.resolve("features.norm5"), index.resolve("relu")
    assert relu.function == "relu"
    with capture(network, [norm, relu]) as run, torch.no_grad():
        image = torch.randn(2, 3, 64, 64)
        run(image)
        assert torch.equal(run[norm], network.features(image))
    assert (run[norm] < 0).any()
    assert torch.equal(run[relu], run[norm].clamp(min=0))


def test_each_call_of_a_shared_module_is_kept(awkward):
    index = index_layers(awkward, size=(8, 8))
    calls = [layer for layer in index if layer.module == "relu"]
    assert [(layer.name, layer.call, layer.calls) for layer in calls] == [("relu", 0, 2), ("relu_1", 1, 2)]
    image = torch.randn(1, 3, 8, 8)
    with capture(awkward, calls) as run:
        run(image)
        awkward.eval()
        first = awkward.bn(awkward.conv1(image)).clamp(min=0)
        second = (awkward.inner["branch"](first) + first).clamp(min=0)
    assert torch.equal(run[calls[0]], first)
    assert torch.equal(run[calls[1]], second)
    assert not torch.equal(first, second)


def test_functions_are_layers_too(awkward):
    index = index_layers(awkward, size=(8, 8))
    assert [layer.name for layer in index if layer.function] == ["relu_2", "max_pool2d"]
    pool = index.resolve("max_pool2d")
    with capture(awkward, [pool]) as run:
        run(torch.randn(1, 3, 8, 8))
    assert run[pool].shape == (1, 4, 4, 4) == (1, *pool.shape)


@dataclass
class Both:
    extra: Tensor
    main: Tensor


class Holder(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.wrap = wrap

    def forward(self, x):
        y = self.conv(x)
        return self.wrap(y.mean((2, 3)), y * 2)


class Outer(nn.Module):
    def __init__(self, wrap, take):
        super().__init__()
        self.inner = Holder(wrap)
        self.take = take

    def forward(self, x):
        return self.take(self.inner(x)).sum((1, 2, 3))


OUTPUTS = [
    pytest.param(lambda a, b: (a, b), lambda out: out[1], id="tuple"),
    pytest.param(lambda a, b: [a, b], lambda out: out[1], id="list"),
    pytest.param(lambda a, b: {"aux": a, "out": b}, lambda out: out["out"], id="dict"),
    pytest.param(Both, lambda out: out.main, id="dataclass"),
    pytest.param(lambda a, b: {"deep": (a, [b])}, lambda out: out["deep"][1][0], id="nested"),
]


@pytest.mark.parametrize(("wrap", "take"), OUTPUTS)
@pytest.mark.parametrize("grad", [False, True])
def test_outputs_that_are_no_tensor(wrap, take, grad):
    network = Outer(wrap, take)
    index = index_layers(network, size=(4, 4))
    inner = index.resolve("inner")
    image = torch.randn(1, 3, 4, 4)
    with capture(network, [inner], grad=grad) as run:
        output = run(image)
    assert torch.equal(run[inner], network.inner.conv(image) * 2)
    if grad:
        (gradient,) = torch.autograd.grad(output.sum(), run[inner])
        assert torch.equal(gradient, torch.ones_like(gradient))


def test_gradients_reach_the_kept_output(builder):
    network = builder("alexnet", num_classes=10)
    image = torch.randn(1, 3, 128, 128)
    conv5 = index_layers(network, size=(128, 128)).resolve("conv5")
    with capture(network, [conv5], grad=True) as run:
        (gradient,) = torch.autograd.grad(run(image)[0, 3], run[conv5])
    before = network.features[:11](image).detach().requires_grad_()
    after = network.avgpool(network.features[11:](before.clone())).flatten(1)
    (expected,) = torch.autograd.grad(network.classifier(after)[0, 3], before)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-8)
    assert expected.abs().max() > 0


def test_each_image_is_answered_as_if_alone():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=True, track_running_stats=False))
    nn.init.normal_(network[1].weight)
    nn.init.normal_(network[1].bias)
    images = torch.randn(3, 3, 8, 8) * torch.tensor([1.0, 5, 0.2])[:, None, None, None]
    with capture(network, index_layers(network, size=(8, 8))) as run:
        found = run(images)
    with torch.no_grad():
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(found, alone)


def test_without_gradients_nothing_is_recorded(awkward):
    conv1 = index_layers(awkward, size=(8, 8)).resolve("conv1")
    with capture(awkward, [conv1]) as run:
        output = run(torch.randn(1, 3, 8, 8))
    assert not output.requires_grad
    assert not run[conv1].requires_grad


def test_data_parallel_is_looked_through(awkward):
    index = index_layers(nn.DataParallel(awkward), size=(8, 8))
    conv1 = index.resolve("module.conv1")
    assert conv1.name == "conv1"
    with capture(nn.DataParallel(awkward), [conv1]) as run:
        run(torch.ones(1, 3, 8, 8))
    assert torch.equal(run[conv1], awkward.conv1(torch.ones(1, 3, 8, 8)))


def test_reduce_sees_the_output_before_it_is_overwritten(builder):
    network = builder("alexnet", num_classes=10)
    conv1 = index_layers(network).resolve("conv1")
    with capture(network, [conv1], reduce=lambda layer, output: (layer.name, output.min().item())) as run:
        run(torch.randn(1, 3, 224, 224))
    assert run[conv1][0] == "features.0"
    assert run[conv1][1] < 0


def test_asking_for_what_is_not_there(awkward):
    index = index_layers(awkward, size=(8, 8))
    conv1, bn = index.resolve("conv1"), index.resolve("bn")
    with capture(awkward, [conv1]) as run:
        with pytest.raises(LayerError, match="did not run"):
            run[conv1]
        run(torch.randn(1, 3, 8, 8))
    assert torch.equal(run["conv1"], run[conv1])
    with pytest.raises(LayerError, match="bn"):
        run[bn]
