"""Read a pickle of torch without importing or calling anything that it names.

Every class and function in the pickle becomes a stand-in that can do nothing; a tensor becomes a description
of itself. What may be made real is decided after the whole pickle was read.
"""

import argparse
import pickle
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import nn

from netviz.errors import ModelError, UntrustedError

_LARGEST_WALK = 1_000_000  # places visited: shared objects can make a small pickle endlessly wide

_LARGEST_SETTINGS = 300_000  # values beside the tensors; ImageNet-21k's names and numbers are 44,000

_DEEPEST_SETTINGS = 5

_STORAGES = {
    "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16", "IntStorage": "int32",
    "LongStorage": "int64", "HalfStorage": "float16", "FloatStorage": "float32", "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128", "BoolStorage": "bool",
    "BFloat16Storage": "bfloat16", "UntypedStorage": "uint8", "QInt8Storage": "int8",
    "QUInt8Storage": "uint8", "QInt32Storage": "int32",
}  # fmt: skip

_PICKLED_WHOLE = ("segmentation_models_pytorch", "timm", "ultralytics")

_DTYPES = frozenset(_STORAGES.values())


@dataclass(frozen=True)
class Storage:
    """A record of the file that tensors share: its name, the type and the number of its values."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class View:
    """A tensor as the pickle describes it, in values of its storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Stub:
    """Stands for an instance of any class of the file: it keeps its attributes and can do nothing."""

    values: dict[str, Any]

    def __new__(cls, *arguments: Any, **keywords: Any) -> "Stub":
        """Take anything and keep nothing of it."""
        self = super().__new__(cls)
        self.values = {}
        return self

    def __call__(self, *arguments: Any, **keywords: Any) -> "Stub":
        """Stand for what a method that the pickle looked up would return."""
        return Stub()

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes of a module."""
        self.values = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None:
        """Accept an entry of a dict subclass and drop it."""

    def append(self, value: Any) -> None:
        """Accept an element of a list subclass and drop it."""

    def extend(self, values: Any) -> None:
        """Accept elements of a list subclass and drop them."""


class _Function:
    """Stands for a function of torch; slots keep a pickle from changing it."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run

    def __call__(self, *arguments: Any) -> Any:
        return self.run(*arguments)


def package(module: str) -> str:
    """Return what to install for a module whose networks are often pickled whole; "" for any other."""
    first = module.partition(".")[0]
    return first.replace("_", "-") if first in _PICKLED_WHOLE else ""


def untrusted(name: str, refused: str) -> UntrustedError:
    """Return the error for a file that would run code; ``refused`` is what it would run."""
    needed = f" and pip install {package(refused)}" if package(refused) else ""
    return UntrustedError(
        f"{name} is not only weights: opening it would run {refused}; "
        f"if you know where it comes from, allow that with --trust (trust=True in Python){needed}, "
        "or save the network's state_dict() instead"
    )


def unfilled(name: str) -> ModelError:
    """Return the error for a network with lazy layers that has never run; ``name`` is what it is called."""
    return ModelError(
        f"{name} has lazy layers without weights: run the network once on an image, before it is saved or looked at"
    )


def whole_state(network: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a network's state; ``name`` is what the network is called.

    Raises
    ------
    ModelError
        If its modules lack what every module has, as torch leaves quantized convolutions that were pickled.
    """
    try:
        state = network.state_dict()
    except AttributeError as error:
        raise ModelError(
            f"{name} was not unpickled whole by torch {torch.__version__} ({error}): "
            "save its state_dict() instead, or give what makes it as module.path:factory"
        ) from error
    # A quantized module's state holds more than tensors.
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}


# pickle's own C reader allocates a table as large as any index that the file names; the Python one does not.
class InertUnpickler(pickle._Unpickler):
    """Read one pickle; ``storages`` lists the records that it points to.

    Parameters
    ----------
    stream : binary file
        Positioned at the pickle.
    name : str
        What messages call the file.
    allowed : callable
        Takes the full name of a class or function; where it is false the pickle is refused.
    """

    def __init__(self, stream: IO[bytes], name: str, allowed: Callable[[str], bool]) -> None:
        super().__init__(stream)
        self.name, self.allowed = name, allowed
        self.storages: list[Storage] = []

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for a class or function.

        Raises
        ------
        UntrustedError
            If it is not allowed.
        ModelError
            If it is a parameter of a lazy layer.
        """
        full = f"{module}.{name}"
        if full == "torch._utils._rebuild_tensor_v2":
            return _Function(_view)
        if full == "torch._utils._rebuild_parameter" or module == "torch.jit._pickle":
            return _Function(lambda data=None, *_: data)
        if full == "collections.OrderedDict":
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch.nn.parameter" and name in ("UninitializedParameter", "UninitializedBuffer"):
            raise unfilled(self.name)
        if not self.allowed(full):
            raise untrusted(self.name, full)
        return type("Stub", (Stub,), {})

    def persistent_load(self, pid: Any) -> Storage:
        """Return the record that a tensor points to."""
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("a reference to something else than a storage")
        # A storage type that is newer than this list is untyped: its count is in bytes.
        known = getattr(torch, dtype) if isinstance(dtype, str) and dtype in _DTYPES else torch.uint8
        self.storages.append(Storage(str(key), known, count))
        return self.storages[-1]


def _view(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> View:
    return View(storage, int(offset), tuple(map(int, size)), tuple(map(int, stride)))


def views(root: Any, name: str) -> Iterator[tuple[tuple[str, ...], View]]:
    """Yield every tensor in a tree of stand-ins and dicts with its path, depth first.

    Raises
    ------
    ModelError
        If the tree has more than a million places.
    """
    waiting: list[tuple[tuple[str, ...], Any, frozenset[int]]] = [((), root, frozenset())]
    visits = 0
    while waiting:
        visits += 1
        path, value, above = waiting.pop()
        if visits > _LARGEST_WALK:
            raise ModelError(f"{name} nests its parts without end: it is damaged; get the file again")
        if isinstance(value, View):
            yield path, value
        inside = value.values if isinstance(value, Stub) else value
        if isinstance(inside, dict) and id(inside) not in above:
            further = above | {id(inside)}
            items = [((*path, key), item, further) for key, item in inside.items() if isinstance(key, str)]
            waiting += reversed(items)


def settings(root: Any) -> dict[str, Any]:
    """Return what lies beside the tensors in the dict that a checkpoint is: texts, numbers, lists and dicts of them.

    Objects of any kind are left out, but for the attributes of those that hold settings (argparse's Namespace). What
    nests deeper than a checkpoint's settings do, or without end, is left out too.
    """
    visits = 0

    def plain(value: Any, deep: int) -> Any:
        nonlocal visits
        visits += 1
        if visits > _LARGEST_SETTINGS:
            raise _TooMany
        if isinstance(value, Stub):
            value = value.values
        elif isinstance(value, argparse.Namespace | types.SimpleNamespace):
            value = vars(value)
        if isinstance(value, Mapping) and deep:
            pairs = ((key, plain(one, deep - 1)) for key, one in value.items() if isinstance(key, str | int))
            return {key: one for key, one in pairs if one is not None}
        if isinstance(value, list | tuple) and deep:
            return [plain(one, deep - 1) for one in value]
        return value if isinstance(value, str | int | float) else None

    try:
        found = plain(root, _DEEPEST_SETTINGS)
    except _TooMany:
        return {}
    return found if isinstance(found, dict) else {}


class _TooMany(Exception):
    """More settings than a checkpoint has."""


def make_tensor(data: bytearray, dtype: torch.dtype, view: View, name: str) -> torch.Tensor:
    """Make a tensor real on the bytes of its record.

    Raises
    ------
    ModelError
        If it claims more values than the record holds.
    """
    count = 1
    for length in view.size:
        count *= length
    if count * dtype.itemsize > len(data) or min((*view.size, *view.stride, view.offset), default=0) < 0:
        raise ModelError(
            f"{name} is damaged: a tensor of {view.size} is larger than its record; get the file again"
        )
    if count == 0:
        return torch.empty(view.size, dtype=dtype)
    values = torch.frombuffer(data, dtype=dtype, count=len(data) // dtype.itemsize)
    return values.as_strided(view.size, view.stride, view.offset)
