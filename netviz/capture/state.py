"""What hangs on a network: everything that its own code can change, and how that is given back."""

import operator
import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from netviz.capture.tensors import ATOMS, tensors_in

_DEPTH = 2
"""How many plain objects are looked into, one within the other: a network may hold on to a whole program."""

_CONTAINERS = frozenset((dict, OrderedDict, set, list, deque))
_CLOSED = (type, ModuleType, BuiltinFunctionType)


class State:
    """A network as it is now; `give_back` makes it so again, in place.

    That is: every module's attributes, members, parameters and buffers; what is in its containers, in objects that it
    holds, and in what its hooks refer to; the values of all tensors; and the random states. What has no state that
    could be set (an open file, a running generator) is left alone.

    Values are not copied: parameters when something inside `guard` writes to them, buffers at once, since they are
    small and something may write to them outside a pass too.
    """

    def __init__(self, network: nn.Module) -> None:
        self._random = random.getstate(), np.random.get_state()  # noqa: NPY002 - whatever a network uses
        self._undo: list[Callable[[], object]] = [
            partial(torch.set_rng_state, torch.get_rng_state()),
            partial(random.setstate, self._random[0]),
            partial(np.random.set_state, self._random[1]),
        ]
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            self._undo.append(partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._empty: list[Any] = []
        self._tensors: list[tuple[Tensor, Tensor, int, bool]] = []
        self._seen: dict[int, Any] = {}
        every = list(network.buffers())
        self._walk([network, *every])  # TorchScript keeps its buffers where Python does not see them
        self._seen.clear()
        memory = {part.untyped_storage()._cdata for _, now, *_ in self._tensors for part in _strided(now)}
        self._buffers: dict[Any, list[Tensor]] = defaultdict(list)
        for buffer in every:
            if buffer.layout is torch.strided and not buffer.is_meta and not is_lazy(buffer):
                kept = _bytes(buffer) if buffer.is_quantized else buffer.detach()
                self._buffers[kept.dtype, kept.device].append(kept)
        self._values = {key: _joined(buffers) for key, buffers in self._buffers.items()}
        self.guard = (_HiddenGuard if "torch._dynamo" in sys.modules else Guard)(memory)

    @property
    def drew(self) -> bool:
        """Whether a pass has drawn random numbers, from whatever generator."""
        python, numpy = self._random
        now = np.random.get_state()  # noqa: NPY002
        return self.guard.drew or random.getstate() != python or not all(map(np.array_equal, now, numpy))

    def give_back(self) -> None:
        """Put everything back as it was."""
        for held, before in self._dicts:
            if not (len(held) == len(before) and all(map(operator.is_, held.values(), before.values()))) or (
                list(held) != list(before)
            ):
                held.clear()
                held.update(before)
        for held in self._empty:
            if held:
                held.clear()
        for undo in self._undo:
            undo()
        for tensor, memory, address, requires_grad in self._tensors:
            if address and tensor.data_ptr() != address:
                tensor.data = memory
            if tensor.requires_grad != requires_grad and tensor.is_leaf:
                tensor.requires_grad_(requires_grad)
        for storage, copy in self.guard.copies.values():
            storage.copy_(copy)
        for key, buffers in self._buffers.items():
            if not torch.equal(_joined(buffers), self._values[key]):
                values = torch.split(self._values[key], [buffer.numel() for buffer in buffers])
                for buffer, value in zip(buffers, values, strict=True):
                    buffer.copy_(value.view(buffer.shape))

    def _walk(self, things: Iterable[Any]) -> None:
        """Note whatever can be reached."""
        seen = self._seen
        todo = [(thing, _DEPTH) for thing in things]
        while todo:
            thing, depth = todo.pop()
            if id(thing) in seen:
                continue
            seen[id(thing)] = thing
            if isinstance(thing, nn.Module):
                members = self._object(thing)
            elif type(thing) is tuple:
                members = thing
            elif isinstance(thing, Tensor):
                if not thing.is_meta and not is_lazy(thing):
                    address = thing.data_ptr() if thing.layout is torch.strided else 0
                    self._tensors.append((thing, thing.detach(), address, thing.requires_grad))
                continue
            elif _is_ours(thing):
                continue
            else:
                depth -= _is_object(thing)
                members = self._members(thing) if depth >= 0 else ()
            for one in members:
                kind = type(one)
                if kind in _CONTAINERS and not one:
                    self._empty.append(one)
                elif kind not in ATOMS:
                    todo.append((one, depth))

    def _members(self, thing: Any) -> Iterable[Any]:
        """Note what a thing holds, and return that."""
        if isinstance(thing, dict):
            return self._dict(thing)
        if isinstance(thing, list | deque | set):
            self._undo.append(partial(_refill, thing, list(thing)))
            return list(thing)
        if isinstance(thing, tuple | frozenset):
            return thing
        if isinstance(thing, MethodType):
            return thing.__self__, thing.__func__
        if isinstance(thing, partial):
            return thing.func, thing.args, thing.keywords
        if isinstance(thing, FunctionType):
            return self._function(thing)
        if isinstance(thing, torch.Generator):
            self._undo.append(partial(thing.set_state, thing.get_state()))
        elif isinstance(thing, random.Random):
            self._undo.append(partial(thing.setstate, thing.getstate()))
        elif isinstance(thing, np.random.Generator | np.random.RandomState):
            bits = thing.bit_generator if isinstance(thing, np.random.Generator) else thing._bit_generator
            self._undo.append(partial(setattr, bits, "state", bits.state))
        elif isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
            self._undo.append(partial(_refill_array, thing, thing.copy()))
        elif not isinstance(thing, _CLOSED) and _is_object(thing):
            return self._object(thing)
        return ()

    def _object(self, thing: Any) -> Iterable[Any]:
        own = self._dict(vars(thing)) if hasattr(thing, "__dict__") else ()
        if not _slots(type(thing)):  # type: ignore[arg-type]  # a type is hashable
            return own
        held = slots_of(thing)
        self._undo.append(partial(_refill_slots, thing, held))
        return [*own, *held.values()]

    def _dict(self, held: dict[Any, Any]) -> Iterable[Any]:
        before = dict(held)
        self._dicts.append((held, before))
        return before.values()

    def _function(self, function: FunctionType) -> Iterable[Any]:
        """Note what a function keeps: its attributes, what it encloses, and containers among its globals."""
        cells = [(cell, cell.cell_contents) for cell in function.__closure__ or () if is_filled(cell)]
        for cell, content in cells:
            self._undo.append(partial(setattr, cell, "cell_contents", content))
        named = (function.__globals__.get(name) for name in _names(function.__code__))
        shared = [one for one in named if isinstance(one, dict | list | set | deque)]
        rest = [one for one in (function.__defaults__, function.__kwdefaults__, vars(function)) if one]
        return [content for _, content in cells] + shared + rest


class Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Copies what an operation is about to write to, if it lies in some memory, once; notes whether one is random."""

    hidden: ClassVar[bool] = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return whether torch has its compiler not look into the class, for which it imports it."""
        return cls.hidden

    def __init__(self, memory: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory = memory
        self.copies: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self.drew = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        # What runs below is no function that the network calls.
        with torch._C.DisableTorchFunction():
            switches = _chance(func)
            if switches is not None and all(at < len(args) and args[at] for at in switches):
                self.drew = True
            # Where no tensor holds values, as in a stand-in, there is nothing to copy.
            places = _written(func, _trains(func, args)) if self.memory else ()
            for tensor in (
                tensors_in([*(args[at] for at in places if at < len(args)), keywords]) if places else ()
            ):
                self._save(tensor)
            return func(*args, **keywords)

    def _save(self, tensor: Tensor) -> None:
        for part in _strided(tensor):
            storage = part.untyped_storage()
            key = storage._cdata
            if key in self.memory and key not in self.copies:
                self.copies[key] = storage, storage.clone()  # type: ignore[no-untyped-call]


class _HiddenGuard(Guard):  # type: ignore[no-untyped-call]
    """A guard for where torch's compiler is there, and must not look into it."""

    hidden = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)


@cache
def _written(func: Any, trains: bool) -> tuple[int, ...]:
    """Return which arguments an operation writes to; batch normalizations do not declare their statistics."""
    arguments = func._schema.arguments
    silent = "batch_norm" in func._schema.name and trains
    return tuple(
        at for at, one in enumerate(arguments) if silent or (one.alias_info and one.alias_info.is_write)
    )


def _trains(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether a batch normalization may write to its statistics: not where it is told that none trains."""
    at = _training(func)
    return at is None or at >= len(args) or bool(args[at])


@cache
def _training(func: Any) -> int | None:
    """Return which argument says whether an operation trains; None if none does."""
    return next(
        (at for at, one in enumerate(func._schema.arguments) if one.name in ("training", "train")), None
    )


@cache
def _chance(func: Any) -> tuple[int, ...] | None:
    """Return which arguments of a random operation must be set for it to be so; None if it is not random."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return None
    switches = ("dropout_p", "train", "training")
    return tuple(at for at, one in enumerate(func._schema.arguments) if one.name in switches)


def slots_of(thing: Any) -> dict[str, Any]:
    """Return what a thing keeps in its classes' ``__slots__``, as far as it is set."""
    names = _slots(type(thing))  # type: ignore[arg-type]
    return {name: getattr(thing, name) for name in names if hasattr(thing, name)}


@cache
def _slots(kind: Any) -> tuple[str, ...]:
    every = [vars(one).get("__slots__", ()) for one in kind.__mro__]
    names = {name for slots in every for name in ([slots] if isinstance(slots, str) else slots)}
    return tuple(sorted(names - {"__dict__", "__weakref__"}))


def _is_object(thing: Any) -> bool:
    """Return whether a thing is an object of somebody's own class, or keeps names as one does."""
    return (
        (hasattr(thing, "__dict__") or hasattr(type(thing), "__slots__"))
        and not isinstance(thing, dict | list | tuple | set | deque | FunctionType | MethodType | partial)
        and not type(thing).__module__.startswith("torch.")
    )


def _is_ours(thing: Any) -> bool:
    """Return whether netviz put a thing there: a hook around another question's pass, and what that gathers."""
    place = thing.__module__ if isinstance(thing, FunctionType) else type(thing).__module__
    return not isinstance(thing, nn.Module) and str(place).startswith("netviz.")


def _strided(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors whose memory holds the values of one: itself, unless it is sparse or holds none."""
    if tensor.layout is torch.strided:
        return () if tensor.is_meta or is_lazy(tensor) else (tensor,)
    return (tensor._indices(), tensor._values()) if tensor.layout is torch.sparse_coo else ()


def _bytes(tensor: Tensor) -> Tensor:
    """Return the memory of a tensor as bytes: quantized ones of a scale for each unit cannot be joined."""
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([one.reshape(-1) for one in tensors])


def is_filled(cell: CellType) -> bool:
    """Return whether a variable that a function encloses has a value."""
    try:
        return cell.cell_contents is not cell
    except ValueError:  # empty
        return False


def _names(code: CodeType) -> set[str]:
    """Return the names that a function's code, or that of functions within it, looks up outside of it."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*inner)


def _refill(held: Any, before: list[Any]) -> None:
    if len(held) != len(before) or not all(map(operator.is_, held, before)):
        held.clear()
        held.update(before) if isinstance(held, set) else held.extend(before)


def _refill_array(held: Any, before: Any) -> None:
    if held.tobytes() != before.tobytes():
        held[...] = before


def _refill_slots(thing: Any, before: dict[str, Any]) -> None:
    now = slots_of(thing)
    for name in now.keys() - before.keys():
        object.__delattr__(thing, name)
    for name, value in before.items():
        if now.get(name) is not value:
            object.__setattr__(thing, name, value)
