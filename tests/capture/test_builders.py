"""LayerIndex and capture on torchvision's classification builders, against hooks and another library's extractor."""

import math

import pytest
import torch
from torch import nn

from netviz.capture import capture, index_layers
from netviz.models.builders import classification_names
from netviz.models.torchvision_import import import_torchvision

EVERYDAY = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vgg11_bn",
    "vit_b_16",
)
NAMES = [
    pytest.param(name, marks=[] if name in EVERYDAY else pytest.mark.slow) for name in classification_names()
]


def smallest_input(name: str) -> tuple[int, int]:
    """Return the smallest input that torchvision declares for a builder's weights."""
    weights = import_torchvision().models.get_model_weights(name).DEFAULT
    height, width = weights.meta["min_size"]
    if name == "maxvit_t" or name.startswith("vit"):
        return 224, 224
    return max(height, 32), max(width, 32)


def observe(network: nn.Module, image: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Return name and a copy of the output of every leaf module's call, in order, with hooks of our own."""
    seen: list[tuple[str, torch.Tensor]] = []
    handles = [
        module.register_forward_hook(lambda _, args, output, name=name: seen.append((name, output.clone())))
        for name, module in network.named_modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    return [(name, output) for name, output in seen if isinstance(output, torch.Tensor) and output.ndim >= 2]


@pytest.mark.parametrize("name", NAMES)
def test_layers_and_capture(name, builder):
    network = builder(name)
    size = smallest_input(name)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    index = index_layers(network, size=size)
    seen = observe(network, image)

    leaves = [layer for layer in index if layer.function is None and layer.kind != "block"]
    attention = [layer for layer in leaves if layer.kind == "multiheadattention"]
    listed = [layer for layer in leaves if layer not in attention]
    # Modules fed by something else than the image (Swin v2's position bias) are no layers of the image.
    seen = [(module, output) for module, output in seen if "cpb_mlp" not in module]
    assert [layer.module for layer in listed] == [module for module, _ in seen]
    for layer, (_, output) in zip(listed, seen, strict=True):
        shape = list(output.shape)
        if layer.arrangement is not None:  # tokens or windows, put together
            others = layer.arrangement.others * layer.channels
            assert math.prod(layer.shape) == output[0].numel() * len(output) - others, layer.name
            shape = [1, *layer.shape]
        elif output.ndim == 4:
            shape.insert(1, shape.pop(layer.channel_axis))
        assert layer.shape == tuple(shape[1:]), layer.name
        module = network.get_submodule(layer.module)
        width = getattr(module, "out_channels", getattr(module, "out_features", layer.channels))
        assert layer.channels == width, layer.name
        assert layer.parameters == sum(p.numel() for p in module.parameters()), layer.name
    assert len({layer.name for layer in index}) == len(index)
    assert len({layer.alias for layer in index}) == len(index)

    with capture(network, listed) as run:
        run(image)
    for layer, (_, output) in zip(listed, seen, strict=True):
        assert torch.equal(run[layer], output), layer.name


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained")
@pytest.mark.parametrize("name", ["resnet18", "densenet121", "shufflenet_v2_x0_5", "inception_v3"])
def test_names_and_values_agree_with_torchvisions_own_extractor(name, builder):
    """Repeated calls, functions and blocks bear the names that torchvision's extractor gives them."""
    network = builder(name)
    size = max(75, smallest_input(name)[0])
    index = index_layers(network, size=(size, size))
    wanted = [layer for layer in index if layer.function or layer.call or layer.kind == "block"]
    image = torch.randn(1, 3, size, size)
    import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    extractor = create_feature_extractor(network, return_nodes=[layer.name for layer in wanted])
    with torch.no_grad():
        expected = extractor(image)
    with capture(network, wanted) as run:
        run(image)
    assert len(wanted) > 2
    for layer in wanted:
        assert torch.equal(run[layer], expected[layer.name]), layer.name


def test_meta_and_real_passes_list_the_same_layers():
    """A network that the meta device refuses (its control flow reads a value) is followed for real."""

    class Peeks(nn.Module):
        def __init__(self, peek):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.peek = peek

        def forward(self, x):
            x = self.conv(x)
            return torch.relu(x) if self.peek and float(x.sum()) < 1e9 else x.relu()

    plain, peeking = index_layers(Peeks(False)), index_layers(Peeks(True))
    assert [(layer.name, layer.shape) for layer in plain] == [(layer.name, layer.shape) for layer in peeking]
    assert [layer.name for layer in peeking] == ["conv", "relu"]
