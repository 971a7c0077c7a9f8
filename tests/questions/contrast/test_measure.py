import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

import netviz
from netviz.errors import ImageError, LayerError
from netviz.models import Model, Preprocessing
from netviz.questions.reader import load_result
from support.photos import noise

IDENTITY = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)


def opened(network: nn.Module) -> Model:
    return Model("net", network, network.state_dict(), IDENTITY)


class Small(nn.Module):
    """Convolutions with and without a batch norm, one used twice, one inside a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.both = NormAndReLU(4)
        self.third = nn.Conv2d(4, 2, 3)
        for norm in (self.norm, self.both):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)

    def forward(self, x):
        x = torch.relu_(self.norm(self.first(x)))
        x = self.both(self.second(x)) + self.norm(x)
        return self.third(x)


class NormAndReLU(nn.BatchNorm2d):
    def forward(self, x):
        return nn.functional.relu(super().forward(x), inplace=True)


def mean_of(stack, window=7):
    at = np.arange(window) - window // 2
    one = np.exp(-(at**2) / (2 * (1.591 * window / 9) ** 2))
    inside = np.ones(stack.shape[1:])
    blur = [stack.mean(0), inside]
    for axis in (0, 1):
        blur = [ndimage.correlate1d(values, one, axis=axis, mode="constant") for values in blur]
    return blur[0] / blur[1]


def test_lcn_and_its_statistics():
    result = netviz.contrast(noise(), layer="first", model=opened(Small()))
    raw = netviz.maps(noise(), layer="first", model=opened(Small())).maps
    assert np.array_equal(result.before, raw)
    x = raw.astype(np.float64)
    m = mean_of(x)
    s = np.sqrt(mean_of((x - m) ** 2))
    y = (x - m) / np.maximum(s.mean(), s)
    after = mean_of(y)
    assert np.allclose(result.after, y, atol=1e-5)
    assert np.allclose(result.local_mean_before, m, atol=1e-5)
    assert np.allclose(result.local_std_before, s, atol=1e-5)
    assert np.allclose(result.local_mean_after, after, atol=1e-5)
    assert np.allclose(result.local_std_after, np.sqrt(mean_of((y - after) ** 2)), atol=1e-5)
    assert result.c == pytest.approx(s.mean(), rel=1e-5)
    assert result.floor_share == pytest.approx((s < s.mean()).mean())
    assert result.sigma == pytest.approx(1.2374, abs=1e-4)
    assert {array.dtype for array in (result.before, result.after, result.local_std_after)} == {
        np.dtype(np.float32)
    }


def test_each_map_by_itself():
    result = netviz.contrast(noise(), layer="first", model=opened(Small()), across="each", window=5)
    x = result.before.astype(np.float64)
    m = np.stack([mean_of(one[None], 5) for one in x])
    s = np.sqrt([mean_of((one[None] - mean) ** 2, 5) for one, mean in zip(x, m, strict=True)])
    floor = s.mean(axis=(1, 2), keepdims=True)
    assert np.allclose(result.after, (x - m) / np.maximum(floor, s), atol=1e-5)
    assert np.allclose(result.local_mean_before, m.mean(0), atol=1e-5)
    assert np.allclose(result.local_std_before, np.sqrt((s**2).mean(0)), atol=1e-5)
    assert result.c == pytest.approx(floor.mean(), rel=1e-5)
    assert result.floor_share == pytest.approx((s < floor).mean())


def by_hand(norm, x):
    mean, var, gamma, beta = (
        value.detach().double().numpy()[:, None, None]
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return gamma * (x - mean) / np.sqrt(var + norm.eps) + beta


@pytest.mark.parametrize(
    ("layer", "norm"),
    [("first", "norm"), ("norm", "norm"), ("norm_1", "norm"), ("second", "both"), ("both", "both")],
)
def test_batch_norm_as_recorded(layer, norm):
    network = Small()
    result = netviz.contrast(noise(), layer=layer, model=opened(network), method="batch")
    assert result.recorded == norm
    assert (result.c, result.floor_share, result.constants) == (None, None, "")
    assert np.allclose(
        result.after, by_hand(getattr(network, norm), result.before.astype(np.float64)), atol=1e-5
    )
    if layer in ("first", "second"):
        raw = netviz.maps(noise(), layer=layer, model=opened(network)).maps
        assert np.array_equal(result.before, raw)
    if layer == "both":
        assert (result.after < 0).any()
        assert np.array_equal(
            np.maximum(result.after, 0), netviz.maps(noise(), layer=layer, model=opened(network)).maps
        )


def test_batch_norm_of_a_real_network():
    model = netviz.load("mobilenet_v2")
    result = netviz.contrast("skimage:chelsea", layer="conv2", model=model, method="batch")
    norm = model.network.get_submodule(result.recorded)
    assert result.recorded == "features.1.conv.0.1"
    assert np.allclose(result.after, by_hand(norm, result.before.astype(np.float64)), rtol=1e-4, atol=1e-4)


def test_alexnet_with_local_response_normalization(builder, tmp_path):
    network = builder("alexnet", num_classes=10)
    network.features.insert(2, nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2))
    network.features[0].weight.data *= 40
    arguments = {"model": network, "size": (64, 64)}
    result = netviz.contrast(noise(64, 64), layer="relu1", method="lrn", **arguments)
    own = netviz.maps(noise(64, 64), layer="features.2", **arguments)
    assert own.layer_kind == "norm"
    assert np.allclose(result.after, own.maps, rtol=1e-5, atol=1e-6)
    assert not np.allclose(result.after, result.before / 2**0.75, rtol=1e-3)
    short = netviz.maps(noise(64, 64), layer="relu1", normalize="lrn", **arguments)
    assert np.array_equal(short.maps, result.after)
    other = netviz.contrast(noise(64, 64), layer="relu1", method="lrn", constants="pytorch", **arguments)
    theirs = nn.LocalResponseNorm(5)(torch.from_numpy(other.before)[None])[0].numpy()
    assert np.allclose(other.after, theirs, rtol=1e-6)
    again = load_result(other.save(tmp_path / "r.npz"))
    assert again.facts() == other.facts()
    assert np.array_equal(again.after, other.after)


def test_units_and_facts():
    result = netviz.contrast(noise(), layer="first", model=opened(Small()), units="2,0", sigma=2)
    assert list(result.units) == [2, 0]
    assert result.sigma == 2
    facts = json.loads(json.dumps(result.facts()))
    assert facts["kind"] == "contrast"
    assert (facts["method"], facts["window"], facts["across"]) == ("lcn", 7, "maps")
    wide = netviz.contrast(noise(), layer="-1", model=opened(nn.Sequential(nn.Conv2d(3, 40, 1))))
    assert list(wide.units) == list(range(36))
    assert len(wide.after) == 40


class Broken(nn.Module):
    def forward(self, x):
        return nn.functional.relu(x - 1) / 0


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        ("third", {"window": 19}, r"window 19 is larger than the maps of third \(\w+\), 18×22"),
        ("third", {"method": "batch"}, r"no batch norm, and none follows it directly; name one \(norm1"),
        ("third", {"method": "batch", "window": 21}, r"none follows"),
        ("first", {"units": "4"}, "has no unit 4"),
        ("fourth", {}, "no layer 'fourth'"),
    ],
)
def test_layers_that_cannot_serve(layer, arguments, message):
    with pytest.raises(LayerError, match=message):
        netviz.contrast(noise(), layer=layer, model=opened(Small()), **arguments)


def test_what_cannot_serve():
    with pytest.raises(LayerError, match="the network has none: choose --method lcn or lrn"):
        netviz.contrast(noise(64, 64), layer="conv3_3", model="hed", method="batch", size=(64, 64))
    broken = opened(nn.Sequential(nn.Conv2d(3, 2, 1), Broken()))
    with pytest.raises(LayerError, match=r"gives NaN or infinity on noise \(\d+ of 960 values\)"):
        netviz.contrast(noise(), layer="1", model=broken)
    with pytest.raises(LayerError, match="NaN or infinity"):
        netviz.maps(noise(), layer="1", model=broken, normalize="lrn")
    with pytest.raises(LayerError, match="window 7 is larger than the maps"):
        netviz.maps(noise(6, 30), layer="first", model=opened(Small()), normalize="lcn")
    with pytest.raises(ImageError, match="larger image"):
        netviz.contrast(noise(2, 2), layer="first", model=opened(Small()), method="batch")
    with pytest.raises(ImageError, match="12 channels"):
        netviz.contrast(noise(), layer="0", model=nn.Sequential(nn.Conv2d(12, 2, 3)), method="batch")


@pytest.mark.parametrize(
    "arguments",
    [{"method": "zca"}, {"window": 4}, {"sigma": -1.0}, {"across": "none"}, {"constants": "x"}],
)
def test_arguments_out_of_range(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=rf"{name} must be .*, not '?{value}"):
        netviz.contrast(noise(), layer="first", model=opened(Small()), **arguments)


def test_the_network_is_left_as_it_was():
    network = Small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for method in ("lcn", "batch"):
        netviz.contrast(noise(), layer="first", model=opened(network), method=method)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
