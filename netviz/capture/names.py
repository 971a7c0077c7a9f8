"""What the names of torch functions tell."""

from typing import Any

_LIKE = ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like")
_NEW = ("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "new_empty_strided")
# What these return does not depend on the values of the tensor that they are called with.
CONSTANTS = frozenset(_LIKE + _NEW)
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
    return name.partition(".")[0].strip("_") or name


def writes(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call may overwrite an argument: by its name, ``out=``, or a flag such as ``inplace=True``."""
    name = str(getattr(function, "__name__", ""))
    if name.startswith("__"):
        return name in _IN_PLACE or name == "__setitem__"
    return name.endswith("_") or "out" in kwargs or any(value is True for value in (*args, *kwargs.values()))
