import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

import netviz
from netviz.errors import LayerError
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from netviz.models.known.hed import HED
from support.network import state_of

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
IMAGE = normalize(PHOTO.pixels, PLAIN)


def opened(network: nn.Module) -> Model:
    return Model("net", network, network.state_dict(), PLAIN, ())


def run(network, layer, **arguments):
    return netviz.stages(PHOTO, model=opened(network), layer=layer, **arguments)


def keys(result):
    assert [column.key for column in result.columns] == list(result.maps)
    return list(result.maps)


def varied(network: nn.Module) -> nn.Module:
    """Give every batch normalization statistics of its own, as training does."""
    torch.manual_seed(1)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.running_var, norm.weight):
                value.data.uniform_(0.5, 1.5)
            for value in (norm.running_mean, norm.bias):
                value.data.uniform_(-0.5, 0.5)
    return network


def batch_norm(x, norm):
    mean, var, scale, shift = (
        value.detach().numpy()[:, None, None].astype(np.float64)
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / np.sqrt(var + norm.eps) * scale + shift


def first_conv(network, conv):
    with torch.no_grad():
        return F.conv2d(IMAGE, conv.weight, conv.bias, conv.stride, conv.padding)[0].numpy()


def same(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_normalization_before_the_non_linearity(builder):
    network = varied(builder("mobilenet_v2"))
    result = run(network, "conv1", units=[5, 1])
    assert keys(result) == ["conv1", "norm1", "relu1"]
    conv, norm, _ = network.features[0]
    same(result.maps["conv1"], first_conv(network, conv))
    expected = batch_norm(result.maps["conv1"], norm)
    same(result.maps["norm1"], expected)
    # The ReLU6 works in place; the columns before it keep their own values.
    assert (expected < 0).any()
    same(result.maps["relu1"], np.clip(result.maps["norm1"], 0, 6))
    assert result.columns[2].zero == np.mean(result.maps["relu1"] == 0)
    assert result.columns[2].saturated == np.mean(np.isin(result.maps["relu1"], [0, 6]))
    assert result.columns[2].where == "y = 0 or y = 6"
    assert [column.layer for column in result.columns] == [f"features.0.{i}" for i in range(3)]
    assert result.next == "features.1.conv.0.0 (conv2)"
    assert result.units.tolist() == [5, 1]
    assert np.array_equal(result.filters, conv.weight.detach().numpy()[[5, 1]])
    last = run(network, "conv52")
    assert keys(last) == ["conv52", "norm52", "relu52", "pool52"]
    assert last.maps["pool52"].shape == (1280, 1, 1)


def test_any_order_also_response_normalization_and_pooling(builder):
    network = builder("alexnet")
    network.features.insert(2, nn.LocalResponseNorm(5, alpha=0.5, beta=0.75, k=2.0))
    result = run(network, "conv1")
    assert keys(result) == ["conv1", "relu1", "norm1", "pool1"]
    same(result.maps["conv1"], first_conv(network, network.features[0]))
    relu = result.maps["relu1"].astype(np.float64)
    same(result.maps["relu1"], np.maximum(result.maps["conv1"], 0))
    channels = np.pad(relu**2, ((2, 2), (0, 0), (0, 0)))
    energy = sum(channels[i : i + 64] for i in range(5))
    norm = relu / (2 + 0.5 / 5 * energy) ** 0.75
    same(result.maps["norm1"], norm)
    same(result.maps["pool1"], sliding_window_view(norm, (3, 3), (1, 2))[:, ::2, ::2].max((-1, -2)))
    assert result.columns[3].note == "MaxPool2d 3×3, step 2"


def test_a_sum_closes_its_own_block_only(builder):
    network = varied(builder("resnet18"))
    first, last = run(network, "conv1"), run(network, "conv3")
    assert keys(first) == ["conv1", "norm1", "relu1", "pool1"]
    assert first.next == "layer1.0.conv1 (conv2), a sum in layer1.0"
    assert keys(last) == ["conv3", "norm3", "sum3", "relu3"]
    same(last.maps["norm3"], batch_norm(last.maps["conv3"], network.layer1[0].bn2))
    same(last.maps["sum3"], last.maps["norm3"] + first.maps["pool1"])
    same(last.maps["relu3"], np.maximum(last.maps["sum3"], 0))
    # Both paths into a sum lead through it.
    assert keys(run(network, "layer2.0.downsample.0")) == ["conv8", "norm8", "sum8", "relu8"]


def test_concatenation_ends_the_stages(builder):
    network = builder("densenet121")
    assert keys(run(network, "conv1")) == ["conv1", "norm1", "relu1", "pool1"]
    assert keys(run(network, "conv2")) == ["conv2", "norm2", "relu2"]
    with pytest.raises(LayerError, match=r"no stage .*\(conv3\).* concatenation.* stages is conv2$"):
        run(network, "conv3")
    fire = run(builder("squeezenet1_1"), "conv3")
    assert keys(fire) == ["conv3", "relu3"]
    assert fire.next == "a concatenation in features.3"


def test_channels_last(builder):
    result = run(builder("convnext_tiny"), "conv2")
    assert keys(result) == ["conv2", "norm2"]
    conv = result.maps["conv2"].astype(np.float64)
    assert conv.shape[0] == 96
    same(result.maps["norm2"], (conv - conv.mean(0)) / np.sqrt(conv.var(0) + 1e-6))
    # A layer of several functions: it permutes, normalizes and permutes back; and it has no non-linearity.
    first = run(builder("convnext_tiny"), "conv1", nonlinearity=("relu",))
    conv = first.maps["conv1"].astype(np.float64)
    same(first.maps["norm1"], (conv - conv.mean(0)) / np.sqrt(conv.var(0) + 1e-6))
    same(first.maps["what_if_relu"], np.maximum(conv, 0))


def test_squeeze_and_excitation_is_a_product(builder):
    network = varied(builder("efficientnet_b0"))
    result, gate = run(network, "conv2"), run(network, "conv4")
    assert keys(result) == ["conv2", "norm2", "silu2", "product2"]
    assert result.also_read_by == (("silu2", "features.1.0.block.1.avgpool (pool2)"),)
    silu = result.maps["silu2"].astype(np.float64)
    norm = result.maps["norm2"].astype(np.float64)
    same(silu.astype(np.float32), norm / (1 + np.exp(-norm)))
    assert keys(gate) == ["conv4", "sigmoid4"]
    assert gate.maps["sigmoid4"].shape == (32, 1, 1)
    same(result.maps["product2"], silu * gate.maps["sigmoid4"])
    assert result.columns[2].saturated is None


def test_several_readers():
    torch.manual_seed(0)
    network = HED().eval()
    result = run(network, "conv1_2")
    assert keys(result) == ["conv1_2", "relu1_2", "pool1"]
    assert result.also_read_by == (("relu1_2", "side1 (conv14)"),)
    relu = np.maximum(result.maps["conv1_2"], 0)
    same(result.maps["relu1_2"], relu)
    same(result.maps["pool1"], relu.reshape(64, 32, 2, 32, 2).max((2, 4)))
    with pytest.raises(LayerError, match=r"layer side1 .*a concatenation"):
        run(network, "side1")


class Overwritten(nn.Module):
    """Writes into a convolution's output through a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        y[:, 0].mul_(2)
        return self.norm(y) + torch.relu(self.other(x))


def test_what_torch_does_not_show_ends_the_stages():
    with pytest.raises(LayerError, match=r"\(conv1\).* a write through a view.*stages is conv2$"):
        run(Overwritten(), "conv1")


class Odd(nn.Module):
    """A convolution called twice, functions, dropout, an untouched identity, a crop and an absolute value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.drop = nn.Dropout2d()
        self.pool = nn.AdaptiveMaxPool2d(1)

    def forward(self, x):
        x = F.relu(self.drop(self.conv(x)), inplace=True)
        x = F.dropout(torch.tanh(self.conv(x))[:, :, 1:-1], training=self.training).abs()
        return self.pool(x) * 2 + x.mean()


def test_functions_calls_dropout_and_crops():
    torch.manual_seed(0)
    network = Odd().train()
    first, second = run(network, "conv1"), run(network, "conv2")
    assert keys(first) == ["conv1", "relu1"]
    assert keys(second) == ["conv2", "tanh2", "abs2"]
    with torch.no_grad():
        again = network.conv(torch.from_numpy(first.maps["relu1"])[None])[0].numpy()
    same(second.maps["conv2"], again)
    same(second.maps["abs2"], np.abs(np.tanh(second.maps["conv2"]))[:, 1:-1])
    assert second.columns[1].saturated == np.mean(np.abs(second.maps["tanh2"]) > 0.95)
    assert second.also_read_by == ()
    assert second.next == "pool (pool2), mean"


def test_the_network_is_left_as_found(awkward):
    before = state_of(awkward)
    result = run(awkward, "conv2", nonlinearity=("tanh",), pool=("sum",))
    assert state_of(awkward) == before
    assert keys(result) == [
        "conv2",
        "sum2",
        "relu2",
        "sum2b",
        "relu2b",
        "pool2",
        "what_if_tanh",
        "what_if_sum",
    ]
    assert (result.maps["sum2"] < 0).any()
    same(result.maps["relu2b"], np.maximum(np.maximum(result.maps["sum2"], 0) - 0.1, 0))


def test_trained_network():
    result = netviz.stages("skimage:chelsea", layer="conv1", nonlinearity=("tanh",))
    np.testing.assert_array_equal(result.maps["conv1"], netviz.maps("skimage:chelsea", layer="conv1").maps)
    same(result.maps["what_if_tanh"], np.tanh(result.maps["norm1"]))
    assert 0 < result.columns[2].zero < 1
