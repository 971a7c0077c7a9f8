"""Classifiers of a few layers whose every crop can be tried."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NATIVE = 14
CLASSES = 5


class Head(nn.Module):
    """A trunk without padding, stride 2, 14×14 to 8×4×4, so that cells equal crops; then any head."""

    def __init__(self, head: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.bn = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 5, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, CLASSES)
        self.head = head
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.bn(self.conv1(x)), inplace=True)
        return self.head(self, F.relu(self.conv2(x)))


def make(head: Callable[..., Any], **layers: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = Head(head, **{name: build() for name, build in layers.items()})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


def sliding(network: nn.Module, image: Tensor, stride: int = 2, native: int = NATIVE) -> Tensor:
    """The classifier on every crop, one at a time: (N, K, h, w)."""
    rows, columns = ((side - native) // stride + 1 for side in image.shape[2:])
    cells = [
        network(image[:, :, y * stride : y * stride + native, x * stride : x * stride + native])
        for y in range(rows)
        for x in range(columns)
    ]
    return torch.stack([one.flatten(1) for one in cells], dim=2).unflatten(2, (rows, columns))


def wide() -> nn.Module:
    return nn.Linear(8 * 4 * 4, CLASSES)
