"""Networks that take something else than a batch of images, or do so in an unusual way; for the command line, too."""

from typing import Any

import torch
from torch import Tensor, nn


def classifier(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 4, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = classifier(6)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.net(torch.cat([left, right], 1))


class Dicts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = classifier()

    def forward(self, batch: Any) -> Any:
        return [{"scores": self.net(item["image"][None])} for item in batch]


class Methods(nn.Module):
    """Wants an object with a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = classifier()

    def forward(self, batch: Any) -> Any:
        return self.net(batch.images())


class WithoutOperators(nn.Module):
    """Fails as torchvision's detection networks do where its compiled operators are missing."""

    def __init__(self) -> None:
        super().__init__()
        self.net = classifier()

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(
            "Couldn't load custom C++ ops. This can happen if your PyTorch and torchvision ..."
        )


class Idle(nn.Module):
    """One module runs only if that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.aux = classifier(), nn.Conv2d(3, 4, 3)
        self.heads = nn.ModuleList([nn.Conv2d(3, 4, 3)])

    def forward(self, x: Tensor, *, detail: bool = False) -> Any:
        return (self.net(x), self.aux(x)) if detail else self.net(x)


class LateStem(nn.Module):
    """The convolution that reads the image is registered last."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 5, 1)
        self.stem = nn.Conv2d(channels, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).relu()).mean((2, 3))


class Shuffled(nn.Module):
    """No convolution takes as many channels as the image has: space to depth comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(48, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(nn.functional.pixel_unshuffle(x, 4))


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x)


class Spectral(nn.Module):
    """Its middle layer has complex maps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.fft, self.out = (
            nn.Conv2d(3, 4, 3, padding=1),
            Spectrum(),
            nn.Conv2d(4, 4, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.fft.irfft2(self.fft(self.stem(x)), s=x.shape[-2:]))


class Lines(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv1d(1, 4, 9), nn.ReLU())


class Volumes(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv3d(1, 4, 3), nn.ReLU())


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.LazyConv2d(4, 3), nn.ReLU())


class Halving(nn.Module):
    """Takes only images whose sides are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.conv(x)
        return fine + nn.functional.interpolate(nn.functional.max_pool2d(fine, 8), scale_factor=8.0)
