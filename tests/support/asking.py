"""Every public function that takes a network, and how each is asked."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import netviz
from netviz.images import Photo

SIZE = (40, 48)
PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))


class Small(nn.Module):
    """Everything that must come back: a mode for each module, buffers that a pass writes, gradients, a hook."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.head = head
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes.add_(1)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.head(self.pool(nn.functional.relu(x - 0.1, inplace=True)))


def small(head: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    network = Small(head).train()
    network.bn2.eval()
    network.conv1.weight.requires_grad_(False)
    network.conv2.weight.grad = torch.ones_like(network.conv2.weight)
    with torch.no_grad():
        for norm in (network.bn1, network.bn2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    network.bn1.register_forward_hook(lambda module, args, output: None)
    return network


def classifier() -> nn.Module:
    return small(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 4)))


def labeller() -> nn.Module:
    return small(nn.Sequential(nn.Conv2d(8, 4, 1), nn.Upsample(scale_factor=4, mode="bilinear")))


def labelled_images(folder: Path) -> Path:
    """Write four labelled images of 40 by 48 pixels into an empty folder."""
    rng = np.random.default_rng(0)
    for kind, shape, high in (("images", (*SIZE, 3), 256), ("labels", SIZE, 4)):
        (folder / kind).mkdir()
        for number in range(4):
            pixels = rng.integers(0, high, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    (folder / "classes.txt").write_text("sky\nroad\ntree\ncar")
    return folder


MORE = {
    "attribute_check": {"layer": "conv2"},
    "attribute": {"method": "gradcam,guided,deconvnet,integrated", "unit": None, "steps": 3},
    "dense": {"short_side": 232},
    "dense_compare": {"short_side": 232, "regions": 2},
    "fcn.FCN": {"strides": 2},
    "fcn.cast_check": {"image": torch.zeros(1, 3, 48, 56)},
    "fcn.train": {"strides": 2, "epochs": 1},
    "diff": {"other": "support.asking:classifier"},
    "field": {"kind": "all", "top": 1},
    "minimal": {"segments": 6},
    "minimal_set": {"segments": 6},
    "occlusion": {"stride": 16},
    "optimize": {"side": 24, "steps": 2},
    "patches": {"layer": ["conv2"]},
    "stages": {"layer": "conv1"},
    "survey": {"only": ["conv2"]},
}
"""What a function is given besides, or in place of, what every one is given for a parameter of that name."""

LABELLERS = ("fcn.evaluate", "fcn.show")


def parameters(function: Callable[..., object]) -> set[str]:
    """Return the names that a function takes, also those of its ``**options``."""
    found: set[str] = set()
    for name, one in inspect.signature(function).parameters.items():
        unpacked = one.kind is one.VAR_KEYWORD
        found |= get_args(one.annotation)[0].__annotations__.keys() if unpacked else {name}
    return found


def asking() -> dict[str, Callable[..., object]]:
    """Return every function of `netviz` and `netviz.fcn` that takes a network."""
    public = {name: getattr(netviz, name) for name in netviz.__all__ if name != "fcn"}
    public |= {f"fcn.{name}": getattr(netviz.fcn, name) for name in netviz.fcn.__all__}
    return {
        name: one
        for name, one in public.items()
        if inspect.isfunction(one)
        and any("Module" in str(value.annotation) for value in inspect.signature(one).parameters.values())
    }


ASKING = asking()


def ask(name: str, network: nn.Module, data: Path, out: Path, **options: Any) -> Any:
    """Ask a question about a network, with options of its own before those of all."""
    given = {
        **dict.fromkeys(("model", "network", "spec", "backbone"), network),
        "image": PHOTO,
        "images": [data / "images"],
        "data": data,
        "out": out,
        "layer": "conv2",
        "layers": ["conv1", "conv2"],
        "unit": 1,
        "window": 3,
        **dict.fromkeys(("size", "input_size"), SIZE),
        "workers": 0,
        "device": "cpu",
    }
    takes = parameters(ASKING[name])
    return ASKING[name](
        **{key: value for key, value in given.items() if key in takes} | MORE.get(name, {}) | options
    )
