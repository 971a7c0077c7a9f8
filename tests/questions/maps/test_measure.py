import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import correlate2d
from torch import nn

import netviz
from netviz.errors import ImageError, LayerError, ModelError
from netviz.models import Model, Preprocessing
from netviz.results.choose import choose_units
from support.photos import noise

IDENTITY = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)


def opened(network: nn.Module, preprocessing: Preprocessing = IDENTITY) -> Model:
    return Model("net", network, network.state_dict(), preprocessing)


def test_maps_equal_scipys_correlation():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=True), nn.ReLU(inplace=True))
    photo = noise(12, 17)
    result = netviz.maps(photo, layer="conv1", model=opened(network))
    weight, bias = (value.detach().double().numpy() for value in network[0].parameters())
    pixels = photo.pixels.astype(float) / 255
    expected = [
        sum(correlate2d(pixels[..., c], weight[unit, c], mode="valid") for c in range(3)) + bias[unit]
        for unit in range(4)
    ]
    assert result.maps.shape == (4, 10, 15)
    assert result.maps.dtype == np.float32
    assert np.allclose(result.maps, expected, atol=1e-5)
    assert (result.maps < 0).any()
    assert np.array_equal(result.image, photo.pixels)


def test_real_network_equals_a_plain_pytorch_loop():
    model = netviz.load("mobilenet_v2")
    result = netviz.maps("skimage:chelsea", layer="features.3.conv.1.0", model=model)
    mean, std = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    values = ((result.image / 255 - mean) / std).transpose(2, 0, 1)[None]
    x = torch.from_numpy(values.astype(np.float32))
    with torch.no_grad():
        for block in model.network.features[:3]:
            x = block(x)
        x = model.network.features[3].conv[0](x)
        x = model.network.features[3].conv[1][0](x)
    assert result.maps.shape == (144, 56, 56)
    assert np.allclose(result.maps, x[0].numpy(), rtol=1e-4, atol=1e-4 * float(x.abs().max()))


def test_sorting_and_choice_of_units():
    network = nn.Sequential(nn.Conv2d(3, 80, 1))
    result = netviz.maps(noise(6, 6), layer="conv1", model=opened(network), sort="max")
    peaks = result.maps.max(axis=(1, 2))
    assert np.array_equal(result.units, np.argsort(-peaks, kind="stable")[:64])
    assert len(result.maps) == 80
    result = netviz.maps(noise(6, 6), layer="conv1", model=opened(network), units="70:,3", sort="index")
    assert list(result.units) == [*range(70, 80), 3]
    assert np.array_equal(result.drawn, result.maps[[*range(70, 80), 3]])


def test_channels_last_layers_come_as_units(builder):
    network = builder("convnext_tiny", num_classes=2)
    layer = next(one for one in netviz.layers(network) if one.channel_axis == 3 and one.kind == "fc")
    result = netviz.maps(noise(224, 224), layer=layer.name, model=network)
    assert result.maps.shape == layer.shape == (384, 56, 56)


def test_grayscale_network():
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False))
    photo = noise(224, 224)
    preprocessing = Preprocessing(resize=None, crop=None, mean=(0.0,), std=(1.0,), channel_order="L")
    result = netviz.maps(photo, layer="conv1", model=opened(network, preprocessing))
    gray = np.rint(photo.pixels @ np.array([0.299, 0.587, 0.114])) / 255
    weight = network[0].weight.detach().numpy().reshape(2)
    assert np.allclose(result.maps[1], gray * weight[1], atol=1e-5)
    assert np.array_equal(result.image[..., 0], result.image[..., 2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:3", [0, 1, 2]),
        ("3,7", [3, 7]),
        ("-1", [9]),
        (":2,8:", [0, 1, 8, 9]),
        ("1,1", [1]),
        ([4, 5], [4, 5]),
    ],
)
def test_units_as_typed(text, expected):
    assert choose_units(text, 10, "conv1") == expected


@pytest.mark.parametrize("text", ["10", "-11", "x", "5:5", "", "1;2"])
def test_units_that_do_not_exist(text):
    with pytest.raises(LayerError, match=r"conv1|write 0:16"):
        choose_units(text, 10, "conv1")


def test_what_cannot_serve(builder, tmp_path):
    network = builder("alexnet", num_classes=10)
    with pytest.raises(LayerError, match=r"has no maps: its output is 4096"):
        netviz.maps(noise(64, 64), layer="fc6", model=network)
    with pytest.raises(ImageError, match="larger image"):
        netviz.maps(noise(8, 8), layer="conv1", model="pnet")
    with pytest.raises(ModelError, match="--size"):
        netviz.maps(noise(64, 64), layer="conv1", model=network, size=(8, 8))
    with pytest.raises(ModelError, match="not convolutional"):
        netviz.maps(
            noise(64, 64), layer="conv1", model=nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
        )
    path = tmp_path / "a.png"
    Image.new("RGB", (1, 1)).save(path)
    assert netviz.maps(path, layer="conv1", model=network).image.shape == (224, 224, 3)


def test_maps_may_be_normalized_first():
    network = nn.Sequential(nn.Conv2d(3, 6, 3))
    raw = netviz.maps(noise(12, 17), layer="conv1", model=opened(network))
    assert raw.normalize == ""
    for method in ("lcn", "lrn"):
        result = netviz.maps(
            noise(12, 17), layer="conv1", model=opened(network), normalize=method, sort="max"
        )
        expected = netviz.normalize(torch.from_numpy(raw.maps)[None], method=method)[0].numpy()
        assert np.array_equal(result.maps, expected)
        assert np.array_equal(result.units, np.argsort(-expected.max(axis=(1, 2)), kind="stable"))
        assert result.normalize == method
    with pytest.raises(ValueError, match="normalize must be '' or one of lcn, lrn, not 'batch'"):
        netviz.maps(noise(12, 17), layer="conv1", model=opened(network), normalize="batch")


def test_too_many_channels_for_an_image():
    with pytest.raises(ImageError, match="12 channels"):
        netviz.maps(noise(64, 64), layer="conv1", model=nn.Sequential(nn.Conv2d(12, 2, 3)))
