"""The weights that a network computes with, where its file keeps something else in their place."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.modules.utils import WeightedQuantizedModule


def dequantized(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with the values in float32 that its quantized tensors stand for."""
    return {key: value.dequantize() if value.is_quantized else value for key, value in state.items()}


def weight_of(module: nn.Module) -> Tensor | None:
    """Return a module's weight, of torch's quantized modules, which keep it packed, unpacked; None if it has none."""
    if (quantized := quantized_weight(module)) is not None:
        return quantized
    weight = getattr(module, "weight", None)
    return weight if isinstance(weight, Tensor) else None


def quantized_weight(module: nn.Module) -> Tensor | None:
    """Return the weight of a quantized convolution or linear layer; None for any other module."""
    found: Any = module._buffers.get("weight")
    if isinstance(module, WeightedQuantizedModule):
        unpack: Any = getattr(module, "weight", None)
        found = unpack() if callable(unpack) else None
    return found if isinstance(found, Tensor) and found.is_quantized and found.ndim in (2, 4) else None


def computed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with every weight that a reparametrization computes instead of what it is computed from.

    Pruning keeps a weight and its mask; weight norm lengths and directions (Salimans and Kingma, 2016); spectral norm
    a weight and its first singular vectors (Miyato et al., 2018). The last two are known in the form of
    `torch.nn.utils` and in that of `torch.nn.utils.parametrizations`.

    Returns
    -------
    dict of str to Tensor
        In the order of `state`; equal to it where nothing is computed.
    """
    plain: dict[str, Tensor] = {}
    used: set[str] = set()
    for key, value in state.items():
        for ends, compute in _RECIPES:
            name = key.removesuffix(ends[0]).replace("parametrizations.", "")
            keys = [key.removesuffix(ends[0]) + end for end in ends]
            parts = [state[one] for one in keys if one in state]
            if not key.endswith(ends[0]) or name in state or len(parts) < len(keys):
                continue
            # What else may bear such names has other types or shapes.
            real = value.is_floating_point() and all(part.dtype == value.dtype for part in parts)
            weight = compute(*parts) if real else None
            if weight is not None:
                plain[name] = weight
                used.update(keys)
                break
        else:
            plain[key] = value
    return {key: value for key, value in plain.items() if key not in used}


def _masked(weight: Tensor, mask: Tensor) -> Tensor | None:
    return weight * mask if weight.shape == mask.shape else None


def _of_length(length: Tensor, direction: Tensor) -> Tensor | None:
    """Give directions their lengths; a length has one value along the axes of its direction."""
    if length.ndim and length.ndim != direction.ndim:
        return None
    axes = [axis for axis in range(direction.ndim) if not length.ndim or length.shape[axis] == 1]
    norm = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    return direction * (length / norm) if not length.ndim or length.shape == norm.shape else None


def _of_norm_one(weight: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """Divide a weight by its largest singular value, seen as a matrix whose rows are its units."""
    # The units of a transposed convolution lie along axis 1. Where both axes fit, the vectors belong to that of which
    # they give the larger value.
    matrices = [weight.movedim(axis, 0).flatten(1) for axis in range(min(2, weight.ndim - 1))]
    values = [left @ matrix @ right for matrix in matrices if matrix.shape == (*left.shape, *right.shape)]
    return weight / max(values) if values else None


_RECIPES: tuple[tuple[tuple[str, ...], Callable[..., Tensor | None]], ...] = (
    (("_orig", "_mask"), _masked),
    (("_g", "_v"), _of_length),
    (("_orig", "_u", "_v"), _of_norm_one),
    ((".original0", ".original1"), _of_length),
    ((".original", ".0._u", ".0._v"), _of_norm_one),
)
"""The ends of the names of what a weight is computed from, and how."""
