"""Networks and snapshots that tests share."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def state_of(network: nn.Module) -> dict[str, Any]:
    """Return everything that must be the same after netviz has looked at a network."""
    state: dict[str, Any] = {}
    for name, module in network.named_modules():
        state[f"{name} training"] = module.training
        for hooks in (
            "_forward_hooks",
            "_forward_pre_hooks",
            "_backward_hooks",
            "_backward_pre_hooks",
            "_forward_hooks_with_kwargs",
            "_forward_hooks_always_called",
            "_forward_pre_hooks_with_kwargs",
        ):
            state[f"{name} {hooks}"] = dict(getattr(module, hooks))
        state[f"{name} attributes"] = sorted(vars(module))
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        state[f"{name} identity"] = id(value)
        state[f"{name} bytes"] = value.detach().cpu().numpy().tobytes()
        state[f"{name} requires_grad"] = value.requires_grad
        state[f"{name} grad"] = None if value.grad is None else value.grad.numpy().tobytes()
    return state


class Awkward(nn.Module):
    """In-place ReLU called twice, a frozen BatchNorm, functions in forward, a nested container."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.inner = nn.ModuleDict({"branch": nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.5))})
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv1(x)))
        y = self.relu(self.inner["branch"](x) + x)
        y = torch.nn.functional.relu(y - 0.1, inplace=True)
        y = torch.nn.functional.max_pool2d(y, 2)
        return self.head(y.mean((2, 3)))


class Labeller(nn.Module):
    """Two streams of four classes at the input's size; on the command line ``support.network:Labeller``."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.scores(x)
        coarse = nn.functional.interpolate(fine[..., ::4, ::4], size=x.shape[-2:], mode="bilinear")
        return {"2s": fine, "8s": coarse}


class Five(nn.Module):
    """Tells five classes by a convolution's maxima; on the command line ``support.network:Five``."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().amax((2, 3)))


class Several(nn.Module):
    """Ten class scores, and the sixteen maps that they are read from; `form` says in what.

    On the command line ``support.network:Several``, a tuple, and ``support.network:named``, as libraries of
    transformers return them.
    """

    def __init__(self, form: str = "tuple") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Any:
        maps = self.features(x)
        scores = self.head(maps.mean((2, 3)))
        if self.form == "tuple":
            return scores, maps
        if self.form == "named":
            return Answer(loss=None, hidden_states=(maps,), logits=scores)
        if self.form == "heads":
            return {"colour": scores[:, :6], "shape": scores[:, 6:]}
        return scores


@dataclass
class Answer:
    """What a network of a library of transformers returns."""

    loss: Tensor | None
    hidden_states: tuple[Tensor, ...]
    logits: Tensor


def named() -> nn.Module:
    return Several("named").eval()


def heads() -> nn.Module:
    return Several("heads").eval()


class Noisy(nn.Module):
    """Adds noise to its image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x + torch.randn_like(x))
