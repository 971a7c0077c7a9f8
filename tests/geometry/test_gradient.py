"""Geometry against what the gradient says: which pixels one unit in the middle of a layer depends on."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from netviz.capture import capture, channels_first, index_layers
from netviz.geometry.field import geometry
from netviz.models.builders import classification_names
from netviz.models.torchvision_import import import_torchvision
from support.gradients import every_pixel_counting, positive, support

EVERYDAY = (
    "alexnet",
    "convnext_tiny",
    "googlenet",
    "mobilenet_v2",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vit_b_16",
)
NAMES = [
    pytest.param(name, marks=[] if name in EVERYDAY else pytest.mark.slow) for name in classification_names()
]
# Builders that take no other size than these.
FIXED = {"vit_h_14": (224, 224), "maxvit_t": (224, 224)}
MANY_PARAMETERS = 15_000_000


@pytest.fixture
def all_pixels_count() -> Iterator[None]:
    with every_pixel_counting():
        yield


def check(network: nn.Module, size: tuple[int, int], some: int | None, dtype=torch.float64) -> int:
    """Compare every layer, or so many of them; return for how many the comparison was for equality."""
    channels = index_layers(network, size=size).input_shape[0]
    index = index_layers(network, size=size, channels=channels)
    fields = geometry(network, index)
    known = [layer for layer, field in fields.items() if field.status != "unknown"]
    if some is not None:
        exact = [layer for layer in known if fields[layer].status == "exact"]
        known = [*known[:: max(len(known) // some, 1)], *exact[:: max(len(exact) // 2, 1)], known[-1]]
    generator = torch.Generator().manual_seed(1)
    image = (torch.rand(1, channels, *size, generator=generator, dtype=dtype) + 0.5).requires_grad_()
    equal = 0
    with capture(network, known, grad=True) as run:
        run(image)
    for layer in dict.fromkeys(known):
        field = fields[layer]
        at = (layer.shape[1] // 2, layer.shape[2] // 2)
        maps = channels_first(layer, run[layer])
        mix = torch.rand(maps.shape[1], generator=generator, dtype=dtype) + 0.5
        unit = (maps[0, :, at[0], at[1]] * mix).sum()
        (gradient,) = torch.autograd.grad(unit, image, retain_graph=True)
        seen, box = support(gradient), field.clipped(*at, *size)
        assert seen[0] >= box[0], (layer.name, field, seen)
        assert seen[1] >= box[1], (layer.name, field, seen)
        assert seen[2] <= box[2], (layer.name, field, seen)
        assert seen[3] <= box[3], (layer.name, field, seen)
        if field.status == "exact" and box == field.box(*at):
            assert seen == box, (layer.name, field, seen)
            equal += 1
    return equal


@pytest.mark.parametrize("name", NAMES)
def test_classification_builders(name, builder, all_pixels_count):
    network = builder(name)
    large = sum(parameter.numel() for parameter in network.parameters()) > MANY_PARAMETERS
    dtype = torch.float32 if large else torch.float64
    smallest = import_torchvision().models.get_model_weights(name).DEFAULT.meta["min_size"][0]
    size = (160, 128) if smallest <= 128 else (smallest + 32, smallest + 16)
    size = FIXED.get(name, (224, 224) if name.startswith("vit") else size)
    assert check(positive(network, dtype), size, 4, dtype) >= 1
