"""Convolutions of small windows, each in the way that suits its filter.

torch's are made for whole maps: windows of a few pixels are too little for them to divide.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netviz.capture.tensors import wide
from netviz.geometry.incremental.compiled import compiled_for, square_kernels, window_kernels
from netviz.geometry.incremental.windows import Slide, Taking, last_channels

_LANES = 16
"""Compiled functions take so many channels at a time."""


@dataclass(frozen=True)
class Convolution:
    """A convolution without padding, whose results are brought between two bounds.

    Attributes
    ----------
    weight : Tensor of shape (O, I / groups, kh, kw)
    bias : Tensor of shape (O,) or None
    stride, dilation : (int, int)
    groups : int
    low, high : float
        The bounds: those of a ReLU, if one follows.
    """

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    low: float = -math.inf
    high: float = math.inf

    def between(self, low: float, high: float) -> "Convolution":
        """Return the same convolution with bounds."""
        return replace(self, low=low, high=high)

    def __call__(self, halo: Tensor) -> Tensor:
        """Return what windows (P, I, h, w) give, (P, O, h', w')."""
        if compiled_for(halo) and self.weight.dtype == torch.float32:
            if self._pointwise:
                return self._by_pixel(halo)
            height, width = halo.shape[-2] - 2, halo.shape[-1] - 2
            if self._square and min(height, width) >= square_kernels().SIDE:
                return self._by_squares(halo)
        made = torch.conv2d(halo, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
        return self._bounded(made)

    def taken(self, way: Taking, base: Tensor, windows: Tensor) -> Tensor:
        """Return what windows give that are taken from others and from the clean map around them."""
        if self._apart and compiled_for(base) and self.weight.dtype == torch.float32:
            return self._by_channel(way, base, windows)
        return self(way(base, windows))

    def whole(self, maps: Tensor, slides: tuple[Slide, Slide]) -> Tensor:
        """Return what whole maps (P, I, H, W) give, padded with zeros as each axis's slide says."""
        lengths = (maps.shape[-2], maps.shape[-1])
        if all((one.pad, one.extent) == (0, 1) for one in slides):
            return self(maps)
        halos = [(one.length - 1) * one.stride + one.extent for one in slides]
        begin = np.zeros((len(maps), 2), np.int64)
        way = Taking(
            begin, begin - np.array([one.pad for one in slides]), lengths, (halos[0], halos[1]), lengths, 0.0
        )
        # All of the map is in the window: nothing is taken from a clean one but what lies beyond.
        clean = maps.new_zeros((math.prod(lengths) + 1, maps.shape[1]))
        return self.taken(way, clean, maps)

    def _bounded(self, made: Tensor) -> Tensor:
        if self.low > -math.inf or self.high < math.inf:
            made.clamp_(self.low, self.high)
        return made

    @property
    def _pointwise(self) -> bool:
        return self.weight.shape[-2:] == (1, 1) and self.stride == (1, 1) and self.groups == 1

    @cached_property
    def _square(self) -> bool:
        plain = self.stride == self.dilation == (1, 1) and self.groups == 1
        whole = not any(count % _LANES for count in self.weight.shape[:2])
        return plain and whole and self.weight.shape[-2:] == (3, 3)

    @cached_property
    def _apart(self) -> bool:
        """Whether each channel is convolved by a filter of its own."""
        return self.weight.shape[:2] == (self.groups, 1) and self.groups % _LANES == 0

    @cached_property
    def _offsets(self) -> Any:
        if self.bias is None:
            return np.zeros(len(self.weight), np.float32)
        return self.bias.detach().contiguous().numpy()

    @cached_property
    def _columns(self) -> Tensor:
        """The weight of a convolution of pixels, (I, O)."""
        return self.weight.detach().flatten(1).T.contiguous()

    @cached_property
    def _filters(self) -> Any:
        """The filter of each channel, (kh, kw, C)."""
        return self.weight.detach()[:, 0].permute(1, 2, 0).contiguous().numpy()

    @cached_property
    def _transformed(self) -> Tensor:
        """The filters as squares are multiplied by, (36, I, O); made in double precision."""
        side = torch.tensor(square_kernels().FILTER, dtype=torch.float64)
        weight = wide(self.weight.detach()).permute(2, 3, 1, 0)
        made = torch.mm(torch.kron(side, side), weight.reshape(9, -1)).to(torch.float32)
        return made.view(-1, *weight.shape[2:])

    def _by_pixel(self, x: Tensor) -> Tensor:
        pixels = last_channels(x)
        made = torch.mm(pixels.reshape(-1, pixels.shape[-1]), self._columns)
        if made.shape[1] % _LANES == 0:
            window_kernels().finish(made.numpy(), self._offsets, self.low, self.high)
        else:
            if self.bias is not None:
                made += self.bias
            self._bounded(made)
        return made.view(*pixels.shape[:-1], -1).permute(0, 3, 1, 2)

    def _by_channel(self, way: Taking, base: Tensor, windows: Tensor) -> Tensor:
        count, (height, width) = len(windows), way.size
        extents = [
            step * (side - 1) + 1 for side, step in zip(self._filters.shape, self.dilation, strict=False)
        ]
        sizes = [
            (long - extent) // step + 1
            for long, extent, step in zip((height, width), extents, self.stride, strict=True)
        ]
        out = base.new_empty((count, *sizes, self.groups))
        window_kernels().by_channel(
            base.numpy(), *way.lengths, last_channels(windows).numpy(), way.given, way.wanted,
            np.empty((height, width, self.groups), np.float32), self._filters, self._offsets,
            np.array(self.stride), np.array(self.dilation), self.low, self.high, out.numpy(),
        )  # fmt: skip
        return out.permute(0, 3, 1, 2)

    def _by_squares(self, halo: Tensor) -> Tensor:
        given = last_channels(halo)
        count, height, width, channels = given.shape
        height, width = height - 2, width - 2
        parts = halo.new_empty(
            (len(self._transformed), count * square_kernels().squares(height, width), channels)
        )
        square_kernels().apart(given.numpy(), parts.numpy())
        out = halo.new_empty((count, height, width, len(self.weight)))
        products = torch.bmm(parts, self._transformed)
        square_kernels().together(products.numpy(), self._offsets, self.low, self.high, out.numpy())
        return out.permute(0, 3, 1, 2)
