"""Finding the activation in whatever a module returns."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_T = TypeVar("_T")

ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes, torch.Size, torch.dtype, torch.device))
"""Types of things that hold nothing else."""

_PLAIN = frozenset((tuple, list))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield every tensor inside tuples, lists, dicts and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    elif type(value) in _PLAIN:
        for item in value:
            yield from tensors_in(item)
    elif type(value) not in ATOMS:
        for _, item in entries(value) or ():
            yield from tensors_in(item)


def entries(value: Any) -> Sequence[tuple[Any, Any]] | None:
    """Return what a tuple, list, dict or dataclass holds, each with its name or number; None for anything else."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple | list):
        return list(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def main_tensor(value: Any) -> Tensor | None:
    """Return the tensor that stands for an output: its first with maps (four axes), else its first."""
    found = list(tensors_in(value))
    return next((tensor for tensor in found if tensor.ndim == 4), found[0] if found else None)


def replace_tensor(value: Any, old: Tensor, new: Tensor) -> Any:
    """Return the same structure with one tensor of it replaced."""
    if value is old:
        return new
    if isinstance(value, Mapping):
        items = {key: replace_tensor(item, old, new) for key, item in value.items()}
        try:
            return type(value)(**items) if dataclasses.is_dataclass(value) else type(value)(items)  # type: ignore[call-arg]
        except TypeError:
            return items
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replace_tensor(item, old, new) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(replace_tensor(item, old, new) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: replace_tensor(getattr(value, name), old, new) for name in names}
        )
    return value


def plain_values(tensor: Tensor) -> Tensor:
    """Return the values to be shown: the magnitude of complex ones, quantized ones as what they stand for."""
    if tensor.is_complex():
        # Halves have no magnitude of their own.
        return (tensor.to(torch.complex64) if tensor.dtype == torch.complex32 else tensor).abs()
    return tensor.dequantize() if tensor.is_quantized else tensor


def wide(tensor: Tensor) -> Tensor:
    """Return values as float64 on the CPU, in this order: Apple's devices (MPS) have no float64."""
    return tensor.cpu().double()


class HeldTensors(Generic[_T]):
    """Something for each of many tensors, found by the tensor itself; it keeps them alive.

    For passes without values, where that takes no memory: several times as fast as torch's `WeakTensorKeyDictionary`,
    whose interface this is, as far as it is used.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[Tensor, _T]] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self._held

    def __getitem__(self, tensor: Tensor) -> _T:
        return self._held[id(tensor)][1]

    def __setitem__(self, tensor: Tensor, value: _T) -> None:
        self._held[id(tensor)] = tensor, value

    def get(self, tensor: Tensor, default: Any = None) -> Any:
        """Return what is there for a tensor, or else the default."""
        held = self._held.get(id(tensor))
        return default if held is None else held[1]

    def pop(self, tensor: Tensor) -> _T:
        """Forget a tensor, and return what was there for it."""
        return self._held.pop(id(tensor))[1]


def tensor_table(shapes_only: bool) -> Any:
    """Return an empty table from tensors: one that keeps them, if they have no values, or else a weak one."""
    return HeldTensors() if shapes_only else WeakTensorKeyDictionary()


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor's memory was written to; -1 for inference tensors, which do not count."""
    return -1 if tensor.is_inference() else tensor._version
