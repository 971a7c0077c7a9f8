"""Images for networks that take only sides of certain multiples: continued by reflection, and maps cropped back.

They are continued below and to the right, so that every position keeps its place.
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from netviz.capture.copies import stand_in
from netviz.capture.tensors import replace_tensor, tensors_in
from netviz.capture.trace import network_device, network_dtype
from netviz.capture.watch import evaluation

AnyMaps = TypeVar("AnyMaps", Tensor, NDArray[np.float32])

_MULTIPLES = (2, 4, 8, 16, 32, 64, 128)


def padding_multiple(network: nn.Module, channels: int, size: Sequence[int]) -> int:
    """Return the multiple to which an image's sides must be brought for a network to run; 0 if that does not help.

    Parameters
    ----------
    network : nn.Module
        Does not run on an image of this size itself. Tried without arithmetic where that goes.
    channels : int
    size : (int, int)
        Height and width of the image, in pixels. It must be large enough to be reflected.
    """
    if runs(network, (channels, 2 * size[0] + 1, 2 * size[1] + 1)):
        return 0  # the image is too small
    at = functools.cache(lambda tall, wide: runs(network, (channels, tall, wide)))
    for multiple in _MULTIPLES:
        tall, wide = larger(size, multiple)
        if tall >= 2 * size[0] or wide >= 2 * size[1]:
            return 0
        # A network of one size only does not take the next multiples.
        if (tall, wide) != tuple(size) and at(tall, wide) and at(tall + multiple, wide + multiple):
            return multiple
    return 0


def larger(size: Sequence[int], multiple: int) -> tuple[int, int]:
    """Return the next multiples of both sides; themselves for a multiple of 0."""
    height, width = (side + (-side % multiple if multiple else 0) for side in size)
    return height, width


def runs(network: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Return whether a network runs on an image of this shape, (C, H, W)."""
    image = torch.zeros(1, *shape, device="meta", dtype=network_dtype(network))
    for device in ("meta", network_device(network)):
        with torch.no_grad():
            try:
                one = stand_in(network) if device == "meta" else network
                with evaluation(one):
                    one(torch.zeros_like(image, device=device))
            except Exception:  # whatever a network's own code raises
                continue
        return True
    return False


def reflected(image: Tensor, multiple: int) -> Tensor:
    """Return images (N, C, H, W) continued below and to the right."""
    height, width = image.shape[-2:]
    tall, wide = larger((height, width), multiple)
    return functional.pad(image, (0, wide - width, 0, tall - height), mode="reflect")


def cropped(maps: AnyMaps, size: Sequence[int], multiple: int) -> AnyMaps:
    """Return the part of maps (…, h, w) whose cells begin within an image of this height and width."""
    tall, wide = larger(size, multiple)
    rows = -(-maps.shape[-2] * size[0] // tall)
    columns = -(-maps.shape[-1] * size[1] // wide)
    part: AnyMaps = maps[..., :rows, :columns]
    return part


class Padded(nn.Module):
    """A network that takes images of any size by continuing them to multiples, and crops its maps back."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.training = network.training  # alone: `train` would change the network's own modules

    def forward(self, image: Tensor) -> Any:
        """Run the network; return what it gives, its maps (N, C, h, w) cropped."""
        size = image.shape[-2:]
        output = self.network(reflected(image, self.multiple))
        for one in list(tensors_in(output)):
            if one.ndim == 4:
                output = replace_tensor(output, one, cropped(one, size, self.multiple))
        return output


class PaddedAsNeeded(nn.Module):
    """A network of which images are continued to multiples where it does not run on them as they are.

    Attributes
    ----------
    multiple : int
        The largest of these so far; 0 if it ran on all as they were.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training
        self.multiple = 0
        self._multiples: dict[tuple[int, ...], int] = {}

    def forward(self, image: Tensor) -> Any:
        """Run the network; its maps (N, C, h, w) are those of the image."""
        size = tuple(image.shape[-2:])
        if size not in self._multiples:
            try:
                return self.network(image)
            except (RuntimeError, ValueError, IndexError):
                self._multiples[size] = padding_multiple(self.network, image.shape[1], size)
                if not self._multiples[size]:
                    raise
        self.multiple = max(self.multiple, self._multiples[size])
        return Padded(self.network, self._multiples[size])(image)
