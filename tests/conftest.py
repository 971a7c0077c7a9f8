"""Fixtures that tests share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from netviz.models.torchvision_import import import_torchvision
from support import Awkward


@pytest.fixture
def awkward() -> nn.Module:
    torch.manual_seed(0)
    network = Awkward().train()
    network.bn.eval()
    network.conv1.weight.requires_grad_(False)
    network.head.weight.grad = torch.ones_like(network.head.weight)
    with torch.no_grad():
        network.bn.running_mean.normal_()
        network.bn.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(scope="session")
def builder() -> Callable[..., nn.Module]:
    """Build a torchvision classifier with random weights."""
    models = import_torchvision().models

    def build(name: str, seed: int = 0, **arguments: Any) -> nn.Module:
        torch.manual_seed(seed)
        if name in ("googlenet", "inception_v3"):
            arguments.setdefault("init_weights", False)
        return models.get_model(name, weights=None, **arguments).eval()

    return build
