"""torchvision's classifiers cast: their scores at the native size, their fields, and who cannot be cast."""

import pytest
import torch
from torch import Tensor, nn

import netviz
from netviz.errors import ModelError
from netviz.fcn.casting.cast import cast, cast_field
from netviz.models.builders import build_torchvision, classification_names

TRANSFORMERS = ("maxvit", "swin", "vit")
MANY = 60_000_000
"""Parameters above which only shapes are looked at, but for these two."""
LARGE = ("alexnet", "vgg16")


def settled(network: nn.Module, size: int) -> nn.Module:
    """Give batch normalization the statistics of noise: untrained, it lets scores shrink to nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        with torch.no_grad():
            network.train()(noise(size, 2))
    return network.eval()


def noise(size: int, seed: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def deviation(network: nn.Module, size: int) -> float:
    """Largest difference at the native size, relative to the range of the scores of either image."""
    image = noise(size, 1)
    with torch.no_grad():
        wanted, found = network(image), cast(network, input_size=size)(image)
    assert found.shape == (*wanted.shape, 1, 1)
    span = (wanted.amax(1) - wanted.amin(1)).min()
    return float((found.flatten(1) - wanted).abs().max() / span)


@pytest.mark.parametrize("name", ["mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1", "resnet18"])
def test_small_builders(name: str) -> None:
    assert deviation(settled(build_torchvision(name, seed=0), 64), 64) < 1e-5


def test_trained_mobilenet() -> None:
    network = netviz.load("mobilenet_v2").runnable()
    assert deviation(network, 224) < 1e-5


@pytest.mark.parametrize(("name", "size"), [("alexnet", 355), ("vgg16", 404)])
def test_fields_of_the_paper(name: str, size: int) -> None:
    """Long, Shelhamer and Darrell (2015), table 1."""
    field = cast_field(cast(build_torchvision(name, meta=True), input_size=224), (500, 500))
    assert field.status == "exact"
    assert (field.size, field.stride) == ((size, size), (32, 32))


def test_a_cell_has_a_place_where_maps_are_weighed() -> None:
    field = cast_field(cast(build_torchvision("mobilenet_v3_small", meta=True), input_size=224), (500, 470))
    assert field.status == "exact"
    assert field.stride == (32, 32)


@pytest.mark.slow
def test_native_size_of_a_name() -> None:
    model = netviz.load("inception_v3", weights="none")
    with torch.no_grad():
        assert cast(model)(torch.zeros(1, 3, 299, 331)).shape == (1, 1000, 1, 2)


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t"])
def test_transformers_say_why(name: str) -> None:
    with pytest.raises(
        ModelError, match=r"cannot be cast: .* weighs all positions by each other \(attention\)"
    ):
        cast(build_torchvision(name, meta=True), input_size=224)


@pytest.mark.slow
@pytest.mark.parametrize("name", classification_names())
def test_every_builder_casts_or_says_why(name: str) -> None:
    network = build_torchvision(name, meta=True)
    size = 299 if name == "inception_v3" else 224
    if name.startswith(TRANSFORMERS):
        with pytest.raises(ModelError, match="cannot be cast: "):
            cast(network, input_size=size)
        return
    dense = cast(network, input_size=size)
    field = cast_field(dense, (2 * size, 2 * size + 31))
    stride = 16 if name.startswith("squeezenet") else 32
    assert field.stride == (stride, stride)
    with torch.no_grad():
        assert dense(torch.zeros(1, 3, size, size, device="meta")).shape == (1, 1000, 1, 1)
    if name in LARGE or sum(one.numel() for one in network.parameters()) < MANY:
        assert deviation(settled(build_torchvision(name, seed=0), size), size) < 1e-5
