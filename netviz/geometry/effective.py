"""The effective receptive field: how much each pixel matters to a unit, by its gradient.

Luo, Li, Urtasun, Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
NeurIPS 2016. Here it is, for one image,

    E(y, x) = Σ_c | ∂a / ∂x_c(y, x) |,        a = Σ_u activation of unit u at one position of the map,

with x the network's input (after normalization) and c its channels, and then the mean of E over the images. The
positive variant, as the Python package OpenERF takes it, is max(0, mean_c ∂a/∂x_c(y, x)) with a the mean over the
units instead of the sum.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import capture, channels_first, network_device, wide
from netviz.errors import LayerError, ModelError
from netviz.models.layers import Layer

GRADIENTS = ("absolute", "positive")

THRESHOLD = 1 - 0.9545
"""A pixel belongs to the field if its value exceeds this share of the largest (Luo et al., section 3)."""


def effective_field(
    network: nn.Module,
    layer: Layer,
    images: Iterable[Tensor],
    *,
    position: tuple[int, int] | None = None,
    units: Sequence[int] | None = None,
    gradient: str = "absolute",
) -> NDArray[np.float32]:
    """Average the gradient of a unit at one position, with respect to the input, over images.

    The network runs in evaluation mode and is afterwards exactly as it was: no ``.grad`` is filled.

    Parameters
    ----------
    network : nn.Module
        On any device.
    layer : Layer
        One with maps, from this network's `LayerIndex`.
    images : iterable of Tensor
        Each of shape (1, C, H, W), normalized, all of one size.
    position : (int, int), optional
        Row and column in the layer's map; by default its middle, (H // 2, W // 2).
    units : sequence of int, optional
        The units whose activations are summed; by default all of the layer.
    gradient : {"absolute", "positive"}
        Which of the two definitions above.

    Returns
    -------
    ndarray of float32, shape (H, W)
        In pixels of the input. All zero if no pixel of any image matters, as behind a ReLU that is shut.

    Raises
    ------
    LayerError
        If the position is outside the map, or there is no such unit.
    ModelError
        If no gradient flows from the layer to the input.
    ValueError
        If `gradient` is none of the values named here, or there is no image.
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be 'absolute' or 'positive', not {gradient!r}")
    total: Tensor | None = None
    count = 0
    device = network_device(network)
    with torch.inference_mode(False), torch.enable_grad(), capture(network, [layer], grad=True) as run:
        for image in images:
            pixels = image.detach().clone().to(device).requires_grad_(True)
            run(pixels)
            one = _slope(layer, run[layer], pixels, position, units, gradient)
            if one is None:
                quantized = any(
                    getattr(value, "is_quantized", False) for value in network.state_dict().values()
                )
                shut = "shuts gradients off there (no_grad, inference_mode or detach in its forward pass)"
                raise ModelError(
                    f"no gradient flows from layer {layer.name} to the input: "
                    f"the network {'is quantized' if quantized else shut}"
                )
            total = wide(one) if total is None else total + wide(one)
            count += 1
    if total is None:
        raise ValueError("an effective field needs at least one image")
    mean: NDArray[np.float32] = (total / count).float().numpy()
    return mean


def effective_fields(
    network: nn.Module, layers: Sequence[Layer], images: Iterable[Tensor]
) -> dict[Layer, NDArray[np.float32]]:
    """Find the effective fields of several layers, of all units together in the middle of the map.

    Each is what `effective_field` gives for that layer alone, but the network runs once for each image.

    Parameters
    ----------
    network : nn.Module
        On any device.
    layers : sequence of Layer
        With maps, from this network's `LayerIndex`.
    images : iterable of Tensor
        Each of shape (1, C, H, W), normalized, all of one size.

    Returns
    -------
    dict of Layer to ndarray of float32, shape (H, W)
        Without layers from which no gradient flows to the input.

    Raises
    ------
    ValueError
        If there is no image.
    """
    totals: dict[Layer, Tensor] = {}
    count = 0
    device = network_device(network)
    with torch.inference_mode(False), torch.enable_grad(), capture(network, layers, grad=True) as run:
        for image in images:
            pixels = image.detach().clone().to(device).requires_grad_(True)
            run(pixels)
            for layer in layers:
                one = _slope(layer, run[layer], pixels, None, None, "absolute", keep=True)
                if one is not None:
                    slope = wide(one)
                    totals[layer] = totals[layer] + slope if layer in totals else slope
            count += 1
    if not count:
        raise ValueError("an effective field needs at least one image")
    return {layer: (total / count).float().numpy() for layer, total in totals.items()}


def _slope(
    layer: Layer,
    output: Tensor,
    pixels: Tensor,
    position: tuple[int, int] | None,
    units: Sequence[int] | None,
    gradient: str,
    *,
    keep: bool = False,
) -> Tensor | None:
    """Return one image's gradient at each pixel, (H, W); None where none flows."""
    maps = channels_first(layer, output)
    row, column = locate(layer, maps.shape[2:], position)
    chosen = _chosen(layer, maps.shape[1], units)
    activations = maps[:, :, row, column] if chosen is None else maps[:, chosen, row, column]
    value = activations.mean() if gradient == "positive" else activations.sum()
    if not value.requires_grad:
        return None
    (slope,) = torch.autograd.grad(
        value, pixels, allow_unused=True, materialize_grads=True, retain_graph=keep
    )
    return slope[0].mean(0).clamp(min=0) if gradient == "positive" else slope[0].abs().sum(0)


def locate(layer: Layer, shape: Sequence[int], position: tuple[int, int] | None) -> tuple[int, int]:
    """Return a position of a layer's map, its middle (H // 2, W // 2) by default.

    Raises
    ------
    LayerError
        If it is outside the map.
    """
    height, width = shape
    if position is None:
        return height // 2, width // 2
    row, column = position
    if not (0 <= row < height and 0 <= column < width):
        raise LayerError(
            f"position {row},{column} is outside the map of layer {layer.name}, which has {height}×{width} "
            f"positions: rows 0 to {height - 1}, columns 0 to {width - 1}"
        )
    return row, column


def _chosen(layer: Layer, channels: int, units: Sequence[int] | None) -> list[int] | None:
    if units is None:
        return None
    missing = [unit for unit in units if not 0 <= unit < channels]
    if missing:
        raise LayerError(f"layer {layer.name} has no unit {missing[0]}: its units are 0 to {channels - 1}")
    return list(units)


class Extent(NamedTuple):
    """How large an effective field is, in pixels of the input.

    Attributes
    ----------
    width : float
        Square root of the number of pixels that exceed `THRESHOLD` of the largest, as Luo et al. measure it: the
        side of a square of the same area. It prefers no direction and, for a round Gaussian, is 4.41 times
        its standard deviation.
    sigma : (float, float)
        Gaussian fit by moments, y and x: the field, as weights, has this standard deviation about its `center`.
    center : (float, float)
        Its centre of mass, y and x; whole numbers are the centres of pixels.
    """

    width: float
    sigma: tuple[float, float]
    center: tuple[float, float]


def extent(field: NDArray[np.floating]) -> Extent | None:
    """Measure an effective field.

    Parameters
    ----------
    field : ndarray of shape (H, W)
        Not negative.

    Returns
    -------
    Extent or None
        None if the field is zero everywhere, or not finite.
    """
    values = np.asarray(field, dtype=np.float64)
    total = float(values.sum())
    if not np.isfinite(total) or total <= 0:
        return None
    width = float(np.sqrt(np.count_nonzero(values > THRESHOLD * values.max())))
    moments = []
    for axis in (0, 1):
        weights = values.sum(axis=1 - axis) / total
        places = np.arange(len(weights))
        middle = float(weights @ places)
        moments.append((middle, float(np.sqrt(weights @ (places - middle) ** 2))))
    (y, sigma_y), (x, sigma_x) = moments
    return Extent(width, (sigma_y, sigma_x), (y, x))
