"""Everything that hangs on a network, for comparison: built apart from what netviz itself looks at."""

import inspect
import random
import types
from collections import deque
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_OBJECTS = (types.SimpleNamespace, nn.Module)


def everything_of(network: nn.Module) -> dict[str, Any]:
    """Return a flat description, by path, of all that can be reached from a network, and the random states."""
    found: dict[str, Any] = {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "random's state": random.getstate(),
    }
    _walk("network", network, found, set())
    return found


def _walk(path: str, value: Any, found: dict[str, Any], seen: set[int]) -> None:
    found[path] = id(value) if isinstance(value, Tensor) or not isinstance(value, tuple) else len(value)
    if isinstance(value, int | float | str | bytes | bool):
        found[path] = value
        return
    if id(value) in seen and not isinstance(value, Tensor):
        return
    seen.add(id(value))
    for name, member in _members(path, value, found):
        _walk(f"{path}{name}", member, found, seen)


def _members(path: str, value: Any, found: dict[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(value, Tensor):
        dense = value.detach()
        dense = dense.to_dense() if dense.is_sparse else dense
        found[f"{path} is"] = (
            str(value.device),
            value.dtype,
            tuple(value.shape),
            value.stride() if not value.is_sparse else (),
        )
        found[f"{path} bytes"] = None if value.is_meta else dense.float().numpy().tobytes()
        found[f"{path} memory"] = None if value.is_meta or value.is_sparse else value.data_ptr()
        found[f"{path} requires_grad"] = value.requires_grad
        grad = value.grad if value.is_leaf else None
        return [] if grad is None else [(".grad", grad)]
    if isinstance(value, torch.Generator):
        found[f"{path} state"] = value.get_state().numpy().tobytes()
        return []
    if isinstance(value, dict):
        found[f"{path} keys"] = list(map(str, value))
        return [(f"[{key}]", one) for key, one in value.items()]
    if isinstance(value, list | tuple | deque):
        found[f"{path} length"] = len(value)
        return [(f"[{number}]", one) for number, one in enumerate(value)]
    if isinstance(value, set | frozenset):
        found[f"{path} members"] = set(map(str, value))
        return []
    if isinstance(value, partial):
        return [(".func", value.func), (".args", value.args)]
    if isinstance(value, types.MethodType):
        return [(".self", value.__self__), (".func", value.__func__)]
    if isinstance(value, types.FunctionType):
        return [(f"<{name}>", one) for name, one in inspect.getclosurevars(value).nonlocals.items()]
    if isinstance(value, _OBJECTS) or type(value).__module__.startswith(("support", "tests")):
        slots = [
            name
            for one in type(value).__mro__
            for name in getattr(one, "__slots__", ())
            if name != "__dict__"
        ]
        held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        return [(f".{name}", one) for name, one in {**vars(value), **held}.items()]
    return []
