"""A device that is not there: one that, as Apple's MPS, has no float64, played by the CPU.

Under `Device`, ``network.to(NAME)`` moves a network to it. A tensor there tells that it is on `NAME`; its values lie
in the CPU's memory. As on a real device, it fails to meet a tensor on the CPU or to be read as a NumPy array; as on
MPS, whatever makes a tensor of float64 there fails.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "lazy"
"""The one type of device that torch lets a mode answer for, without asking whether it was built for it."""

_WIDE = (torch.float64, torch.complex128)

COPIES: list[str] = []
"""What made the CPU wait for the device: the operations that gave it values from there."""

_BETWEEN = ("_to_copy", "copy_", "index", "index_put", "index_put_", "_index_put_impl_")
"""What takes tensors of two devices: copies, and indices that lie on the CPU."""


class Device(TorchDispatchMode):
    """Lets tensors be on the device."""

    def __enter__(self) -> "Device":
        # Python's numbers become tensors on the CPU first, and are then moved where a mode sees it.
        self._lifts = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(self._lifts)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class There(Tensor):
    """A tensor on the device, over the memory of one on the CPU."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Return lists, which torch refuses of every subclass."""
        return self.cpu().tolist()


def _there(here: Tensor, name: str) -> Tensor:
    """Return a tensor on the device over the same memory; `name` is the operation that made it."""
    if here.dtype in _WIDE:
        raise TypeError(f"{name} makes a tensor of float64 on {NAME}, which has none")
    made: Tensor = Tensor._make_subclass(
        There, here, here.requires_grad, dispatch_device=True, device_for_backend_keys=torch.device(NAME)
    )
    return made


def _here(there: Tensor) -> Tensor:
    """Return the same memory as a tensor on the CPU."""
    place = there.untyped_storage(), there.storage_offset(), there.size(), there.stride()
    return torch.empty(0, dtype=there.dtype).set_(*place)


def _mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return the operands or results of an operation with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_mapped(one, change) for one in value])
    return value


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation: on the device if an operand is there, or if its result is to be."""
    if func is torch.ops.prim.device.default:
        return torch.device(NAME if isinstance(args[0], There) else args[0].device)
    inference = torch.is_inference_mode_enabled()
    if inference and func._can_decompose():  # compositions come whole in this mode
        with Device():
            return func.decompose(*args, **kwargs)
    given: list[Tensor] = []
    _mapped([*args, *kwargs.values()], given.append)
    moved = [one for one in given if isinstance(one, There)]
    device = kwargs.get("device")
    lands = bool(moved) if device is None else torch.device(device).type == NAME
    if not moved and not lands:
        return func(*args, **kwargs)
    name = func._schema.name.removeprefix("aten::")
    if moved and name not in _BETWEEN and any(one.ndim and one.device.type == "cpu" for one in given):
        raise RuntimeError(f"{name} expects all tensors to be on one device, but found {NAME} and cpu")
    # MPS turns numbers into others before it hands them to the CPU.
    if moved and (kwargs.get("dtype") in _WIDE or (name == "copy_" and args[0].dtype in _WIDE)):
        raise TypeError(f"{name} makes a tensor of float64 on {NAME}, which has none")
    if inference and any(one.alias_info for one in func._schema.returns):
        inference = any(map(Tensor.is_inference, moved))  # a view of a usual tensor is a usual tensor
    with torch.inference_mode(inference), torch.no_grad():
        here = {id(one): _here(one) for one in moved}
        plain = [
            _mapped(one, lambda tensor: here.get(id(tensor), tensor)) for one in (args, [*kwargs.values()])
        ]
        keywords = dict(zip(kwargs, plain[1], strict=True))
        if lands and device is not None:
            keywords["device"] = torch.device("cpu")
        out = func(*plain[0], **keywords)
        if not lands:
            COPIES.append(name)
            return out
        if name == "copy_" and not isinstance(args[0], There):
            return args[0]
        there = {id(here[id(one)]): one for one in moved}
        return _mapped(
            out, lambda tensor: there.get(id(tensor)) if id(tensor) in there else _there(tensor, name)
        )
