"""Copies of a network's structure, whatever it holds: to be traced without arithmetic, or to be changed."""

import copy
import operator
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from netviz.capture.state import is_filled, slots_of
from netviz.capture.tensors import ATOMS

_N = TypeVar("_N", bound=nn.Module)

_Memo = dict[int, Any]


def stand_in(network: nn.Module) -> nn.Module:
    """Return a network of the same structure on the meta device, which runs without arithmetic and memory.

    It shares no module, container or tensor with the network. What the network holds under several names is one here
    too.

    Raises
    ------
    TypeError
        If a part is TorchScript, which Python cannot copy by parts.
    """
    made: nn.Module = _copied(network, {}, _without_values)
    return made


def duplicate(network: _N) -> _N:
    """Return a copy of a network with tensors of its own; what cannot be copied (a lock, an open file) it shares."""
    made: _N = _copied(network, {}, _with_values)
    return made


def sibling(network: _N) -> _N:
    """Return a copy of a network that shares its parameters, and nothing else that can be copied."""
    made: _N = _copied(network, {}, _with_parameters)
    return made


def _with_parameters(value: Any, memo: _Memo) -> Any:
    return value if isinstance(value, nn.Parameter) else _with_values(value, memo)


def _without_values(value: Any, memo: _Memo) -> Any:
    if isinstance(value, torch.jit.ScriptModule):
        raise TypeError(f"{type(value).__name__} is TorchScript")
    if not isinstance(value, Tensor):
        return value
    empty = empty_like(value.detach())
    return (
        nn.Parameter(empty, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else empty
    )


def empty_like(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape, type and layout on the meta device."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and type(tensor) is Tensor
    if plain and tensor.is_contiguous():
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    if plain and tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return torch.empty_like(tensor, device="meta")


def _with_values(value: Any, memo: _Memo) -> Any:
    if isinstance(value, Tensor) and not value.is_leaf:
        return copy.deepcopy(value.detach(), memo).requires_grad_(value.requires_grad)
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # an object may hold anything, also what cannot be copied
        return value


def _copied(value: Any, memo: _Memo, leaf: Callable[[Any, _Memo], Any]) -> Any:
    """Return a copy of modules, containers and functions that enclose such; of anything else what `leaf` makes."""
    if type(value) in ATOMS:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Tensor | torch.jit.ScriptModule):
        made = leaf(value, memo)
    elif isinstance(value, nn.Module):
        made = object.__new__(type(value))
        memo[id(value)] = made
        vars(made).update({name: _copied(one, memo, leaf) for name, one in vars(value).items()})
        for name, one in slots_of(value).items():
            object.__setattr__(made, name, _copied(one, memo, leaf))
    elif isinstance(value, dict):
        # Modules hold many small ones of these types, for which `copy` is slow.
        plain = type(value) is dict or (type(value) is OrderedDict and not vars(value))
        memo[id(value)] = made = type(value)() if plain else copy.copy(value)
        if value:
            made.update({key: _copied(one, memo, leaf) for key, one in value.items()})
    elif isinstance(value, list | deque | set):
        memo[id(value)] = made = copy.copy(value)
        items = [_copied(one, memo, leaf) for one in value]
        made.clear()
        made.update(items) if isinstance(made, set) else made.extend(items)
    elif isinstance(value, tuple):
        items = [_copied(one, memo, leaf) for one in value]
        same = all(map(operator.is_, items, value))
        made = value if same else value._make(items) if hasattr(value, "_make") else type(value)(items)
    elif isinstance(value, MethodType):
        owner = _copied(value.__self__, memo, leaf)
        made = value if owner is value.__self__ else MethodType(value.__func__, owner)
    elif isinstance(value, partial):
        parts = [_copied(one, memo, leaf) for one in (value.func, value.args, value.keywords)]
        made = partial(parts[0], *parts[1], **parts[2])
    elif isinstance(value, FunctionType) and value.__closure__:
        made = _function(value, memo, leaf)
    else:
        made = leaf(value, memo)
    memo[id(value)] = made
    return made


def _function(function: FunctionType, memo: _Memo, leaf: Callable[[Any, _Memo], Any]) -> FunctionType:
    """Return a function that encloses copies of what another encloses."""
    cells = tuple(CellType() for _ in function.__closure__ or ())
    made = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
    )
    made.__kwdefaults__ = function.__kwdefaults__
    vars(made).update(vars(function))
    memo[id(function)] = made
    for cell, old in zip(cells, function.__closure__ or (), strict=True):
        if is_filled(old):
            cell.cell_contents = _copied(old.cell_contents, memo, leaf)
    return made
