from hypothesis import given
from hypothesis import strategies as st

from netviz.capture import index_layers
from netviz.models.layers import LayerCall, name_calls


def conv_pool_fc(network, size=(224, 224)):
    kinds = ("conv", "pool", "fc")
    return [layer.alias for layer in index_layers(network, size=size) if layer.kind in kinds]


def test_alexnet_has_the_papers_names(builder):
    names = "conv1 pool1 conv2 pool2 conv3 conv4 conv5 pool5 pool5b fc6 fc7 fc8"
    assert conv_pool_fc(builder("alexnet", num_classes=10)) == names.split()


def test_vgg16_has_the_papers_names(builder):
    names = """conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 pool3
    conv4_1 conv4_2 conv4_3 pool4 conv5_1 conv5_2 conv5_3 pool5 pool5b fc6 fc7 fc8"""
    network = builder("vgg16", num_classes=10)
    assert conv_pool_fc(network) == names.split()
    index = index_layers(network)
    assert index.resolve("conv3_2").name == "features.12"
    assert index.resolve("conv6").name == "features.12"
    assert index.resolve("relu3_2").name == "features.13"


def test_branched_networks_number_by_convolution(builder):
    index = index_layers(builder("inception_v3", num_classes=10))
    convolutions = [layer.alias for layer in index if layer.kind == "conv"]
    assert convolutions == [f"conv{number}" for number in range(1, len(convolutions) + 1)]
    aliases = {layer.name: layer.alias for layer in index_layers(builder("resnet18"))}
    assert aliases["layer1.0.relu"] == "relu2"
    assert aliases["layer1.0.relu_1"] == "relu3"
    assert aliases["maxpool"] == "pool1"


def test_second_of_a_kind_gets_a_letter():
    kinds = ["conv", "relu", "relu", "pool", "relu"]
    assert [names[0] for names in name_calls([LayerCall(kind, True) for kind in kinds])] == [
        "conv1",
        "relu1",
        "relu1b",
        "pool1",
        "relu1c",
    ]


calls = st.builds(
    LayerCall, st.sampled_from(["conv", "relu", "pool", "norm", "fc", "dropout"]), st.booleans()
)


@given(st.lists(calls, max_size=60))
def test_first_names_are_unique_and_no_second_name_takes_one(listed):
    names = name_calls(listed)
    first = [one for one, *_ in names]
    assert len(set(first)) == len(first) == len(listed)
    assert not {name for _, *also in names for name in also} & set(first)
