import pytest
import torch
from torch import nn

from netviz.capture import index_layers
from netviz.errors import LayerError
from netviz.models import index_weights


@pytest.fixture(scope="module")
def index(builder):
    return index_layers(builder("resnet18"))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("layer2.0.conv1", "layer2.0.conv1"),
        ("conv1", "conv1"),
        ("CONV1", "conv1"),
        ("pool1", "maxpool"),
        ("fc21", "fc"),
        ("layer1.0.relu_1", "layer1.0.relu_1"),
        ("layer1.0", "layer1.0.relu_1"),
        ("layer4", "layer4.1.relu_1"),
        ("module.layer4", "layer4.1.relu_1"),
        ("layer4.?.downsample.0", "layer4.0.downsample.0"),
        ("-1", "avgpool"),
        ("-2", "layer4.1.relu_1"),
    ],
)
def test_every_way_to_name_a_layer(index, spec, name):
    assert index.resolve(spec).name == name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("layer2.0.conv9", "layer2.0.conv1"),
        ("conv01", "conv1"),
        ("layer9", "layer"),
        ("zzzz", "netviz layers"),
        ("layer1.*", "fits 12 layers"),
        ("-100", "59"),
        ("nothing*", "netviz layers"),
    ],
)
def test_a_miss_names_the_closest(index, spec, message):
    with pytest.raises(LayerError, match=message) as error:
        index.resolve(spec)
    assert "\n" not in str(error.value)


def test_globs_and_last_look_only_at_layers_that_can_serve(index):
    found = index.resolve("-1", among=lambda layer: layer.kernel is not None)
    assert found.name == "layer4.1.conv2"
    found = index.resolve_all("layer4.1.*", among=lambda layer: layer.kernel is not None)
    assert [layer.name for layer in found] == ["layer4.1.conv1", "layer4.1.conv2"]


def test_a_dotted_name_beats_an_alias_unless_only_the_alias_can_serve(builder):
    index = index_layers(builder("googlenet", num_classes=10))
    assert index.resolve("conv1").name == "conv1.relu"
    assert index.resolve("conv1", among=lambda layer: layer.kernel is not None).name == "conv1.conv"


def test_what_a_first_convolution_sees(builder):
    index = index_layers(builder("resnet18"))
    assert [layer.name for layer in index if layer.kernel and layer.kernel.sees_image] == ["conv1"]
    grayscale = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3), nn.Conv2d(1, 2, 3))
    found = index_layers(grayscale)
    assert found.input_shape == (1, 224, 224)
    assert [layer.kernel.sees_image for layer in found if layer.kernel] == [True, False, False]


def test_the_facts_for_json(builder):
    facts = [layer.describe() for layer in index_layers(builder("alexnet", num_classes=10))]
    assert facts[0] == {
        "name": "features.0",
        "alias": "conv1",
        "kind": "conv",
        "type": "Conv2d",
        "channels": 64,
        "shape": [64, 55, 55],
        "parameters": 64 * 3 * 11 * 11 + 64,
        "calls": 1,
        "call": 0,
        "tokens": None,
    }
    assert facts[-1]["shape"] == [10]


def test_input_size_is_found_when_nothing_tells_it():
    for side in (28, 8):
        digits = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Flatten(), nn.Linear(6 * side * side, 10))
        assert index_layers(digits).input_shape == (1, side, side)


def test_weights_alone_still_list_convolutions():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8, 2)
    )
    index = index_weights(network.state_dict())
    assert [(layer.name, layer.alias, layer.kind) for layer in index] == [
        ("0", "conv1", "conv"),
        ("2", "conv2", "conv"),
        ("4", "fc3", "fc"),
    ]
    assert [layer.parameters for layer in index] == [8 * 27 + 8, 8 * 9 + 8, 16 + 2]
    assert index[0].kernel.sees_image
    assert index[1].kernel.groups == 8
    assert not index[0].spatial
