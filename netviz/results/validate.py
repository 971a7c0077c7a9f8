"""Whether a result that was read from a file fits its own dataclass.

Facts are of their types as those of any record, in tuples and dictionaries too: `netviz.results.records` tells.
Looked at here is what only results have: kinds of arrays, their axes, and what numbers arrays and facts hold, as
`netviz.results.base.Result` declares them.
"""

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import numpy as np

from netviz.results.base import Arrays, Result
from netviz.results.records import from_json, type_hints

R = TypeVar("R", bound=Result)

_KINDS = {
    "b": "true and false",
    "i": "whole numbers",
    "u": "whole numbers without a sign",
    "f": "numbers",
    "U": "texts",
}

_LONGEST = 10_000
"""Characters of a text; a name or a sentence has fewer."""

_WHOLE = 1 << 53
"""Below this whole numbers are told apart by every reader of JSON; no count comes near."""

_ROOM = 1e30
"""Largest number of which sums and squares are safe in a drawing; what may be anything is not held to it."""

_LARGEST = float(np.finfo(np.float32).max)
"""Largest number that a network computes."""


def build(cls: type[R], facts: Mapping[str, Any], arrays: Arrays) -> R:
    """Make a result of what was read from a file.

    Parameters
    ----------
    cls : type
        Its class.
    facts : mapping
        As JSON gave them. A field that has a default may be missing.
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If something is missing or does not fit, naming the array or fact.
    """
    hints = type_hints(cls)
    values: dict[str, Any] = {}
    rest = dict(arrays)
    others = ""
    for field in dataclasses.fields(cls):
        name, hint = field.name, hints[field.name]
        if hint == Arrays:
            others = name
        elif name in facts:
            values[name] = _fact(hint, facts[name], name, cls.ranges.get(name, ""))
        elif name in rest and _dtypes(hint):
            values[name] = rest.pop(name)
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"{name} is missing")
    if others:
        values[others] = rest
    result = cls(**values)
    problem = _problem(result)
    if problem:
        raise ValueError(problem)
    return result


def _problem(result: Result) -> str:
    """Return the first thing that does not fit, by the name of the array or fact; empty where all does.

    An array has the kind of numbers that its annotation names (of any precision), and the axes and numbers that its
    class declares; so has a fact, whose type is told before.
    """
    hints = type_hints(type(result))
    values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    # What an axis may be called by: a number, or the entries of a tuple.
    lengths = {name: len(value) for name, value in values.items() if isinstance(value, tuple)}
    lengths |= {name: value for name, value in values.items() if type(value) is int}
    for name, value in values.items():
        for called, one, hint in _parts(name, value, hints[name]):
            problem = _kind(one, hint) or _axes(one, result.axes.get(name), lengths)
            if problem:
                return f"{called} {problem}"
    for name, value in values.items():
        for called, one, hint in _parts(name, value, hints[name]):
            problem = _numbers(one, hint, result.ranges.get(name, ""), lengths)
            if problem:
                return f"{called} {problem}"
    return result.fault()


def _parts(name: str, value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield a field's value with what it is called in a message: each of its arrays, if there may be several."""
    if hint == Arrays and isinstance(value, dict):
        for key, array in value.items():
            yield f"{key!r:.60}", array, np.ndarray[Any, np.dtype[Any]]
    else:
        yield name, value, hint


def _fact(hint: Any, value: Any, name: str, allowed: str) -> Any:
    """Return a fact as its type has it; arrays are told elsewhere, but for that there is none."""
    if allowed == "any" and hint in (float, float | None) and isinstance(value, float):
        return value
    if _dtypes(hint):
        if value is None and type(None) in get_args(hint):
            return None
        raise ValueError(f"{name} is {'missing' if value is None else 'no array'}")
    return from_json(hint, value, Path(), name)


def _dtypes(hint: Any) -> str:
    """Return the dtype kinds that an annotation of an array allows; empty where it is none of an array."""
    if get_origin(hint) in (Union, types.UnionType):
        return "".join(map(_dtypes, get_args(hint)))
    if get_origin(hint) is not np.ndarray:
        return ""
    scalar = _scalar(hint)
    if scalar is None:
        return "biuf"
    return "f" if scalar is np.floating else np.dtype(scalar).kind


def _scalar(hint: Any) -> Any:
    """Return the type of an array's numbers; None where the annotation leaves that open."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = get_args(hint)[0]
    (scalar,) = get_args(get_args(hint)[1]) or (Any,)
    known = isinstance(scalar, type) and issubclass(scalar, np.generic)
    return scalar if known and scalar not in (np.generic, np.number) else None


def _kind(value: object, hint: Any) -> str:
    wanted = _dtypes(hint)
    if not isinstance(value, np.ndarray) or value.dtype.kind in wanted:
        return ""
    return f"holds {value.dtype}, not {_KINDS.get(wanted, 'numbers')}"


def _axes(value: object, axes: str | None, lengths: dict[str, int]) -> str:
    """Compare a shape with its axes; a name stands for one length in all of the result."""
    if axes is None or not isinstance(value, np.ndarray | tuple):
        return ""
    names = axes.split()
    sides = value.shape if isinstance(value, np.ndarray) else (len(value),)
    shape = "×".join(map(str, sides)) or "none"
    if len(sides) != len(names):
        return f"has the shape {shape}, not {' × '.join(names)}"
    for axis, length in zip(names, sides, strict=True):
        name = axis.removesuffix("?")
        if not length and name == axis:
            return f"has the shape {shape}: it is empty"
        if name == "*":
            continue
        wanted = int(name) if name.isdigit() else lengths.setdefault(name, length)
        if length != wanted:
            return f"has the shape {shape}, not {wanted} for {name!r}"
    return ""


def _numbers(value: Any, hint: Any, allowed: str, lengths: Mapping[str, int]) -> str:
    """Compare numbers, or texts, with those that a class allows."""
    has = "holds" if isinstance(value, np.ndarray) else "is"
    if " | " in allowed:
        known = allowed.split(" | ")
        return "" if value in known else f"is {value!r:.60}, none of {', '.join(filter(None, known))}"
    if any(len(one) > _LONGEST for one in _texts(value)):
        return f"{has} a text of more than {_LONGEST} characters"
    span, _, extra = allowed.partition(" or ")
    low, high, whole, finite = _extent(value)
    if not finite and "any" not in (span, extra) and extra != "NaN":
        return f"{has} NaN or infinity"
    if low is None or high is None:
        return ""
    least, most = _bounds(span, lengths, whole)
    scalar = _scalar(hint) if isinstance(value, np.ndarray) else None
    # A wider array may hold what is no number of the annotated type.
    if scalar is not None and issubclass(scalar, np.integer):
        least, most = max(least, np.iinfo(scalar).min), min(most, np.iinfo(scalar).max)
    elif scalar is not None and scalar is not np.floating and issubclass(scalar, np.floating):
        least, most = max(least, float(np.finfo(scalar).min)), min(most, float(np.finfo(scalar).max))
    elif scalar is None and isinstance(value, np.ndarray) and span == "any":
        least, most = -math.inf, math.inf  # weights are of whatever type they were saved in
    if least <= low and high <= most:
        return ""
    return f"{has} {low if low < least else high!r:.20}, which is not in {least:.6g} … {most:.6g}"


def _extent(value: Any) -> tuple[float | None, float | None, bool, bool]:
    """Return the lowest and the highest finite number, whether all are whole, and whether all are finite."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iuf" or not value.size:
            return None, None, True, True
        there = np.isfinite(value)
        finite = bool(there.all())
        some = value if finite else value[there]
        if not some.size:
            return None, None, False, finite
        return some.min().item(), some.max().item(), value.dtype.kind != "f", finite
    numbers = list(_leaves(value))
    known = [one for one in numbers if isinstance(one, int) or math.isfinite(one)]
    if not known:
        return None, None, True, not numbers
    return min(known), max(known), all(isinstance(one, int) for one in known), len(known) == len(numbers)


def _leaves(value: Any) -> Iterator[float]:
    """Yield the numbers of a fact, in what it is nested in."""
    if isinstance(value, tuple | list):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a fact, in what it is nested in; of an array the longest that it has room for."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for one in (*value, *value.values()):
            yield from _texts(one)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "U":
        yield " " * (value.dtype.itemsize // 4)


def _bounds(span: str, lengths: Mapping[str, int], whole: bool) -> tuple[float, float]:
    """Return the lowest and the highest number of a span, such as ``0:channels`` or ``0…1``."""
    if span == "any":
        return -_LARGEST, _LARGEST
    least, most = (-_WHOLE, _WHOLE) if whole else (-_ROOM, _ROOM)
    mark = ":" if ":" in span else "…"
    first, _, last = span.partition(mark)
    low, high = (lengths[one] if one in lengths else float(one) if one else None for one in (first, last))
    return least if low is None else low, most if high is None else high - (mark == ":")
