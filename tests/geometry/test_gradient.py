"""Geometry against what the gradient says: which pixels one unit in the middle of a layer depends on."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netviz.capture import capture, channels_first, index_layers
from netviz.geometry.field import geometry
from netviz.models.builders import classification_names
from netviz.models.torchvision_import import import_torchvision

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


def average(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Stand in for F.max_pool2d: the same windows, all of whose pixels count."""
    assert not return_indices
    if dilation in (1, (1, 1)):
        return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode)
    assert not ceil_mode
    channels, size = input.shape[1], (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    ones = torch.ones(channels, 1, *size, dtype=input.dtype)
    return F.conv2d(input, ones, None, stride or size, padding, dilation, channels)


@pytest.fixture
def all_pixels_count(monkeypatch) -> Iterator[None]:
    """Replace what would hide pixels from the gradient: maxima and saturating functions."""
    monkeypatch.setattr(F, "max_pool2d", average)
    for name in ("relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu"):
        monkeypatch.setattr(F, name, lambda input, *_, inplace=False, **__: input * 0.5)


def positive(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Give a network positive random weights that keep the size of its values, and identical normalization."""
    generator = torch.Generator().manual_seed(0)
    network = network.to(dtype).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            fan = max(math.prod(parameter.shape[1:]), 1) if parameter.ndim > 1 else 1
            parameter.uniform_(0.5 / fan, 1.5 / fan, generator=generator)
            parameter.requires_grad_(False)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.zero_()
                module.running_var.fill_(1)
    return network


def support(gradient: torch.Tensor) -> tuple[int, int, int, int]:
    """Return the box (top, left, bottom, right) of all pixels with a gradient."""
    rows, cols = (np.flatnonzero(gradient.abs().amax((0, 1)).amax(axis).numpy()) for axis in (1, 0))
    return (0, 0, 0, 0) if len(rows) == 0 else (rows[0], cols[0], rows[-1] + 1, cols[-1] + 1)


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
