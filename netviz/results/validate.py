"""Whether a result that was read from a file fits its own dataclass: kinds of arrays, their axes, types of facts."""

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from netviz.results.base import Arrays, Result

_KINDS = {
    "b": "true and false",
    "i": "whole numbers",
    "u": "whole numbers without a sign",
    "f": "numbers",
    "U": "texts",
}


def find_problem(result: Result) -> str:
    """Return the first thing that does not fit, by the name of the array or fact; empty where all does.

    An array has the kind of numbers that its annotation names (of any precision), and the axes that ``axes`` of its
    class names, if it does: see `netviz.results.base.Result`. A fact is of its annotated type.

    Parameters
    ----------
    result : Result
        As read from a file.
    """
    hints = get_type_hints(type(result))
    values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    # What an axis may be called by: a number, or the entries of a tuple.
    lengths = {name: len(value) for name, value in values.items() if isinstance(value, tuple)}
    lengths |= {name: value for name, value in values.items() if type(value) is int}
    for name, value in values.items():
        hint = hints[name]
        axes = result.axes.get(name)
        if hint == Arrays:
            for key, array in value.items():
                problem = _kind(array, "biuf") or _axes(array, axes, lengths)
                if problem:
                    return f"{key!r:.60} {problem}"
            continue
        wanted = _dtypes(hint)
        if not wanted:
            problem = "" if _fits(value, hint) else f"is {value!r:.60}: of the wrong type"
        elif value is None:
            problem = "" if type(None) in get_args(hint) else "is missing"
        else:
            problem = _kind(value, wanted) or _axes(value, axes, lengths)
        if problem:
            return f"{name} {problem}"
    return ""


def _dtypes(hint: Any) -> str:
    """Return the dtype kinds that an annotation of an array allows; empty where it is none of an array."""
    if get_origin(hint) in (Union, types.UnionType):
        return "".join(map(_dtypes, get_args(hint)))
    if get_origin(hint) is not np.ndarray:
        return ""
    (scalar,) = get_args(get_args(hint)[1]) or (Any,)
    if not (isinstance(scalar, type) and issubclass(scalar, np.generic)) or scalar in (np.generic, np.number):
        return "biuf"
    return "f" if scalar is np.floating else np.dtype(scalar).kind


def _kind(value: object, wanted: str) -> str:
    if not isinstance(value, np.ndarray):
        return "is no array"
    if value.dtype.kind in wanted:
        return ""
    return f"holds {value.dtype}, not {_KINDS.get(wanted, 'numbers')}"


def _axes(array: np.ndarray[Any, Any], axes: str | None, lengths: dict[str, int]) -> str:
    """Compare an array's shape with its axes; a name stands for one length in all of the result."""
    if axes is None:
        return ""
    names = axes.split()
    shape = "×".join(map(str, array.shape)) or "none"
    if array.ndim != len(names):
        return f"has the shape {shape}, not {' × '.join(names)}"
    for axis, length in zip(names, array.shape, strict=True):
        name = axis.removesuffix("?")
        if not length and name == axis:
            return f"has the shape {shape}: it is empty"
        if name == "*":
            continue
        wanted = int(name) if name.isdigit() else lengths.setdefault(name, length)
        if length != wanted:
            return f"has the shape {shape}, not {wanted} for {name!r}"
    return ""


def _fits(value: object, hint: Any) -> bool:
    """Return whether a fact is of the type that its annotation names."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in args)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        each = [args[0]] * len(value) if args[1:] == (...,) else list(args)
        return len(value) == len(each) and all(map(_fits, value, each))
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(key, args[0]) and _fits(one, args[1]) for key, one in value.items()
        )
    if hint in (int, float):
        number = isinstance(value, int) or (hint is float and isinstance(value, float))
        return number and not isinstance(value, bool)
    return isinstance(value, hint)
