"""What kind of layer a module or function is, and what the names of torch functions tell."""

import operator
from typing import Any

from torch import nn
from torch.nn.modules import activation, batchnorm, conv, dropout, instancenorm

from netviz.capture.operations import OPERATIONS
from netviz.models.loading.plain import quantized_weight


def function_name(name: str) -> str | None:
    """Return the plain name of a torch function that makes a layer (``relu_`` is ``relu``), or None."""
    plain = name.partition(".")[0].strip("_").removesuffix("_with_indices")
    return plain if plain in OPERATIONS and OPERATIONS[plain].layer else None


def function_kind(name: str) -> str:
    """Return the kind of layer that a function named by `function_name` makes."""
    return OPERATIONS[name].layer


def module_kind(module: nn.Module, functions: tuple[str, ...] = ()) -> str:
    """Return the kind of layer that a leaf module is, as a user would call it.

    A module of a class of its own that runs one known function is what that function is.
    """
    name = type(module).__name__.lower()
    if (weight := quantized_weight(module)) is not None:
        return "fc" if weight.ndim == 2 else "deconv" if "transpose" in name else "conv"
    if isinstance(module, conv._ConvTransposeNd):
        return "deconv"
    if isinstance(module, conv._ConvNd):
        return "conv"
    if isinstance(module, nn.Linear) or name == "linear":
        return "fc"
    if isinstance(module, batchnorm._NormBase | instancenorm._InstanceNorm) or "norm" in name:
        return "norm"
    if "pool" in name:
        return "pool"
    if isinstance(module, dropout._DropoutNd) or "drop" in name or name == "stochasticdepth":
        return "dropout"
    if "upsampl" in name or name == "pixelshuffle":
        return "upsample"
    if name in ("relu", "relu6"):
        return "relu"
    if type(module).__module__ == activation.__name__ and name == "leakyrelu":
        return "leaky_relu"
    foreign = not type(module).__module__.startswith("torch.nn.")
    return function_kind(functions[0]) if foreign and len(functions) == 1 else name


# These hand the values of a tensor to Python, where they cannot be followed.
READS = frozenset(("item", "tolist", "numpy", "float", "int", "complex", "array", "index", "dlpack"))

# The names of nodes that the tape makes up where it lost the thread.
ALIASED = "a write through a view"

UNSEEN = "an operation that torch does not show"

_OPERATORS = "add sub mul truediv div floordiv mod pow matmul and or xor lshift rshift"

_IN_PLACE = frozenset(f"__i{name}__" for name in _OPERATORS.split())


def plain_name(function: Any) -> str:
    """Return a torch function's name without marks: ``relu`` for ``relu_``, ``add`` for ``__iadd__``."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "__get__":  # a property such as Tensor.T
        return str(getattr(getattr(function, "__self__", None), "__name__", "a property"))
    if name in _IN_PLACE:
        return name[3:-2]
    if getattr(operator, name, None) is function and name.startswith("i") and hasattr(operator, name[1:]):
        return name[1:]  # operator.iadd
    return name.partition(".")[0].strip("_") or name


def writes(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call may overwrite an argument: by its name, ``out=``, or a flag such as ``inplace=True``."""
    name = str(getattr(function, "__name__", ""))
    if name.startswith("__"):
        return name in _IN_PLACE or name == "__setitem__"
    return name.endswith("_") or "out" in kwargs or any(value is True for value in (*args, *kwargs.values()))
