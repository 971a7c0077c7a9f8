import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from torch import nn

import netviz
from netviz.errors import LayerError
from netviz.images import Photo
from netviz.models import Model, Preprocessing

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def run(network, layer, **arguments):
    model = Model("net", network, network.state_dict(), PLAIN, ())
    return netviz.stages(PHOTO, model=model, layer=layer, **arguments)


def keys(result):
    return list(result.maps)


def same(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_other_non_linearities(builder):
    names = ("relu", "tanh", "sigmoid", "leaky_relu", "elu")
    network = builder("mobilenet_v2")
    network.features[0][1].weight.data.fill_(3)
    result = run(network, "conv1", nonlinearity=names)
    assert keys(result)[3:] == [f"what_if_{name}" for name in names]
    x = result.maps["norm1"].astype(np.float64)
    expected = {
        "relu": np.maximum(x, 0),
        "tanh": np.tanh(x),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "leaky_relu": np.where(x > 0, x, 0.01 * x),
        "elu": np.where(x > 0, x, np.expm1(x)),
    }
    columns = {column.title: column for column in result.columns if column.what_if}
    for name in names:
        same(result.maps[f"what_if_{name}"], expected[name])
        assert columns[name].zero == np.mean(result.maps[f"what_if_{name}"] == 0)
        assert columns[name].note == "of norm1"
    y = result.maps["what_if_sigmoid"]
    assert columns["sigmoid"].saturated == np.mean((y < 0.05) | (y > 0.95))
    assert columns["tanh"].saturated == np.mean(np.abs(result.maps["what_if_tanh"]) > 0.95) > 0
    assert columns["relu"].saturated == columns["relu"].zero > 0.1


@pytest.mark.parametrize(
    ("window", "step", "how"),
    [(3, 2, "overlapping"), (2, 2, "side by side"), (2, 5, "with gaps"), (1, 1, "side")],
)
def test_other_poolings(builder, window, step, how):
    network = builder("alexnet")
    result = run(network, "conv1", pool=("max", "sum", "average"), window=window, step=step)
    assert keys(result)[3:] == ["what_if_max", "what_if_sum", "what_if_average"]
    windows = sliding_window_view(result.maps["relu1"].astype(np.float64), (window, window), (1, 2))
    windows = windows[:, ::step, ::step]
    same(result.maps["what_if_max"], windows.max((-1, -2)))
    same(result.maps["what_if_sum"], windows.sum((-1, -2)))
    same(result.maps["what_if_average"], windows.mean((-1, -2)))
    if window == 3:
        around = ndimage.maximum_filter(result.maps["relu1"], (1, 3, 3))[:, 1:-1, 1:-1]
        assert np.array_equal(result.maps["what_if_max"], around[:, ::2, ::2])
    assert all(how in column.note and "relu1" in column.note for column in result.columns[3:])
    # Without a pooling of its own: the last stage's output.
    last = run(network, "conv3", pool=("max",), window=1, step=1)
    assert np.array_equal(last.maps["what_if_max"], last.maps["relu3"])


def test_the_most_active_units_are_drawn():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.MaxPool2d(2))
    result = run(network, "conv1")
    peaks = result.maps["pool1"].max((1, 2))
    assert result.units.tolist() == sorted(range(12), key=lambda unit: -peaks[unit])[:8]
    assert result.sort == "activity"
    assert result.next == "the end of the network"
    asked = run(network, "conv1", units="3,0:2")
    assert (asked.units.tolist(), asked.sort) == ([3, 0, 1], "asked")
    assert asked.maps["conv1"].shape == (12, 62, 62)


def test_bad_input():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(4, 2, 3))
    for arguments, message in [
        ({"window": 0}, "window must be at least 1 position, not 0"),
        ({"step": 0}, "step must be at least 1 position, not 0"),
        ({"pool": ("median",)}, "max, sum, average, not 'median'"),
        ({"pool": "median"}, "one or several of max, sum, average, not 'median'"),
        ({"nonlinearity": ("relu", "step")}, "not 'step'"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(network, "conv1", **arguments)
    with pytest.raises(LayerError, match=r"window of 63 is larger than the maps of relu1 .*62×62"):
        run(network, "conv1", pool=("sum",), window=63)
    with pytest.raises(LayerError, match=r"relu1.*is no convolution.* such as conv1$"):
        run(network, "relu1")
    with pytest.raises(LayerError, match=r"no stage .*\(conv2\).*the end of the network.* is conv1$"):
        run(network, "-1")
    with pytest.raises(LayerError, match="no convolution has stages"):
        run(nn.Sequential(nn.Conv2d(3, 4, 3)), "conv1")
    with pytest.raises(LayerError, match="units are 0 to 3"):
        run(network, "conv1", units="4")
