"""In what a picture is optimized: a spectrum of decorrelated colours, pixels, or phases alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.images import PHOTOGRAPHS, read_image
from netviz.images.preparation import resample

COLOURS: Final = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Columns are the directions in which the colours of photographs vary, as long as they vary (Olah et al., 2017)."""

_CALM: Final = 0.25
"""What a picture made of a spectrum is multiplied by before it is pressed into 0…1, so that it begins as grey."""
_SPREAD: Final = 0.01
"""Standard deviation of the numbers that a picture begins with."""
_SLOPE: Final = 4.0
"""The inverse of the slope of the logistic function at 0."""


@dataclass(frozen=True)
class Basis:
    """Pictures that can be optimized.

    Attributes
    ----------
    leaves : Tensor of shape (N, …)
        What is optimized, one entry for each picture: no picture depends on another's.
    render : callable
        Gets the leaves, returns the pictures, (N, C, H, W), in 0…1.
    """

    leaves: Tensor
    render: Callable[[Tensor], Tensor]

    def pictures(self) -> Tensor:
        """Return the pictures, (N, C, H, W), in 0…1; C is 3 for RGB."""
        return self.render(self.leaves)


def colour_basis() -> NDArray[np.float64]:
    """Return `COLOURS`, (3, 3), its longest column of length 1."""
    scaled: NDArray[np.float64] = COLOURS / np.linalg.norm(COLOURS, axis=0).max()
    return scaled


def weights(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return by what each entry of a real spectrum, (H, W // 2 + 1), is multiplied: 1 / frequency.

    Frequencies are in cycles per pixel; that of a constant counts as one cycle along the longer side.
    """
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    found: NDArray[np.float64] = 1 / np.maximum(frequency, 1 / max(size))
    return found


def noise(shape: Sequence[int], seeds: Sequence[Sequence[int]]) -> Tensor:
    """Return normally distributed numbers, (N, …): each picture's by its own seeds, whatever stands beside it."""
    drawn = [np.random.default_rng(list(seed)).standard_normal(shape, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(drawn) * np.float32(_SPREAD))


def fourier(size: tuple[int, int], channels: int, seeds: Sequence[Sequence[int]]) -> Basis:
    """Optimize a spectrum in which each frequency counts as much as in photographs: by 1 / frequency.

    Parameters
    ----------
    size : (int, int)
        Height and width of the pictures, in pixels.
    channels : int
        3 for RGB, whose colours are decorrelated; else each channel by itself.
    seeds : sequence of sequences of int
        For each picture what its beginning is drawn by.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.
    """
    return Basis(
        noise((channels, size[0], size[1] // 2 + 1, 2), seeds),
        lambda leaves: torch.sigmoid(_of_spectrum(leaves, size)),
    )


def _of_spectrum(leaves: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what spectra, (N, C, H, W // 2 + 1, 2), amount to: about 0 at the beginning, in RGB."""
    spectrum = torch.view_as_complex(leaves) * torch.from_numpy(weights(size)).to(leaves)
    return coloured(torch.fft.irfft2(spectrum, s=size, norm="ortho") * _CALM)


def pixels(size: tuple[int, int], channels: int, seeds: Sequence[Sequence[int]]) -> Basis:
    """Optimize pixels of decorrelated colours; parameters as for `fourier`."""
    return Basis(noise((channels, *size), seeds), lambda leaves: torch.sigmoid(coloured(leaves)))


def phases(size: tuple[int, int], channels: int, seeds: Sequence[Sequence[int]]) -> Basis:
    """Optimize phases alone; the magnitude of each frequency is that of photographs.

    Magnitudes are the mean of those of scikit-image's photographs. Parameters as for `fourier`.

    References
    ----------
    Fel et al., "Unlocking Feature Visualization for Deep Networks with MAgnitude Constrained Optimization",
    NeurIPS 2023.
    """
    magnitude = torch.from_numpy(photographs_magnitude(size, channels)).float()

    def render(leaves: Tensor) -> Tensor:
        spectrum = torch.polar(magnitude.to(leaves).expand_as(leaves), leaves)
        return torch.sigmoid(coloured(torch.fft.irfft2(spectrum, s=size)) * _SLOPE)

    return Basis(noise((channels, size[0], size[1] // 2 + 1), seeds) * (math.pi / _SPREAD), render)


def onward(start: Tensor) -> Basis:
    """Optimize what is added to pictures, (N, C, H, W) in 0…1, as a spectrum, as in `fourier`."""
    held = torch.logit(start.clamp(1 / 255, 1 - 1 / 255))
    height, width = start.shape[-2:]
    return Basis(
        start.new_zeros(*start.shape[:2], height, width // 2 + 1, 2),
        lambda leaves: torch.sigmoid(held + _of_spectrum(leaves, (height, width))),
    )


def coloured(plain: Tensor) -> Tensor:
    """Return pictures of decorrelated colours, (N, C, H, W), in RGB; of other channels as they are."""
    if plain.shape[1] != 3:
        return plain
    return torch.einsum("rc,nchw->nrhw", torch.from_numpy(colour_basis()).to(plain), plain)


def photographs_magnitude(size: tuple[int, int], channels: int) -> NDArray[np.float64]:
    """Return the mean magnitude of the spectra of scikit-image's photographs, (C, H, W // 2 + 1).

    Of decorrelated colours where there are 3 channels, else of the photographs' grey values. Each photograph is
    brought to the size; its mean is not in it.
    """
    spectra = []
    inverse = np.linalg.inv(colour_basis())
    for name in PHOTOGRAPHS:
        values = resample(read_image(f"skimage:{name}").pixels, size, "bilinear") / 255
        values = np.moveaxis(values - values.mean(axis=(0, 1)), 2, 0)
        plain = np.tensordot(inverse, values, axes=1) if channels == 3 else values.mean(axis=0)[None]
        spectra.append(np.abs(np.fft.rfft2(plain)))
    mean: NDArray[np.float64] = np.mean(spectra, axis=0)
    return mean if channels == 3 else np.repeat(mean, channels, axis=0)


BASES: Final = {"fourier": fourier, "pixels": pixels, "maco": phases}
