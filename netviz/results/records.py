"""Records: frozen dataclasses that JSON keeps, and that are read back strictly, by their own types.

A field is of one of these types: `str`, `bool`, `int`, `Count`, `float` (finite), `Path` (a file or folder inside the
record's own folder), a `Literal`, a tuple (also a named one), a list, a dictionary by text or with keys of its own,
another record, one of several, or `Any`. JSON keeps a path relative to the folder, and leaves out a field that has
its default.
"""

import dataclasses
import sys
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

Count: TypeAlias = Annotated[int, "at least 0"]
"""A whole number, at least 0."""

_LARGEST = sys.float_info.max


def to_json(value: Any, folder: Path) -> Any:
    """Return a record, or a part of one, as JSON knows it.

    Parameters
    ----------
    value
        A record or a value of one.
    folder : Path
        In which its files lie.
    """
    if dataclasses.is_dataclass(value):
        known = {
            field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)
        }
        return {name: to_json(own, folder) for name, (own, default) in known.items() if own != default}
    if isinstance(value, Path):
        return value.relative_to(folder).as_posix()
    if isinstance(value, tuple):
        return [to_json(one, folder) for one in value]
    if isinstance(value, dict):
        return {name: to_json(one, folder) for name, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def from_json(kind: Any, value: Any, folder: Path, name: str = "") -> Any:
    """Return a value of a type that is given; the inverse of `to_json`.

    Parameters
    ----------
    kind
        The type: a record's class, or that of one of its fields.
    value
        As JSON gave it.
    folder : Path
        In which files lie.
    name : str
        What the value is called in a message, such as ``layers[3].shape``.

    Raises
    ------
    ValueError
        If it is of another type, naming the first entry that does not fit.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _record(kind, value, folder, name)
    if origin in (Union, UnionType):
        if value is None and NoneType in parts:
            return None
        return from_json(_alternative(parts, value), value, folder, name)
    if kind is Any:
        return value
    if is_typeddict(kind) and isinstance(value, dict):
        return _dictionary(kind, value, folder, name)
    if hasattr(kind, "_fields") and isinstance(value, list | tuple):
        known = type_hints(kind)
        if len(value) == len(known):
            return kind(
                *(
                    from_json(part, one, folder, f"{name}.{called}")
                    for (called, part), one in zip(known.items(), value, strict=True)
                )
            )
    if origin is tuple and isinstance(value, list | tuple):
        if parts[1:] == (...,):
            parts = parts[:1] * len(value)
        if len(parts) == len(value):
            return tuple(
                from_json(part, one, folder, f"{name}[{place}]")
                for place, (part, one) in enumerate(zip(parts, value, strict=True))
            )
    if origin is list and isinstance(value, list):
        return [from_json(parts[0], one, folder, f"{name}[{place}]") for place, one in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: from_json(parts[1], one, folder, f"{name}[{key!r}]") for key, one in value.items()}
    if kind is Path and isinstance(value, str) and _is_inside(value):
        return folder / value
    if kind is float and type(value) in (int, float) and -_LARGEST <= value <= _LARGEST:
        return float(value)
    if origin is Annotated and type(value) is int and value >= 0:
        return value
    if origin is Literal and isinstance(value, str) and value in parts:
        return value
    if kind in (str, bool, int, NoneType) and type(value) is kind:
        return value
    raise ValueError(f"{name or 'it'} is {_short(value)}, {_expected(kind)}")


def type_hints(kind: Any, extras: bool = False) -> dict[str, Any]:
    """Return the types of the parts of a record, a result or a named tuple; each is looked at once."""
    return _type_hints(kind, extras)


@cache
def _type_hints(kind: Any, extras: bool) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=extras)


def _dictionary(kind: Any, value: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    hints = type_hints(kind)
    for key in kind.__required_keys__:
        if key not in value:
            raise ValueError(f"{name}[{key!r}] is missing")
    return {
        key: from_json(hints.get(key, Any), one, folder, f"{name}[{key!r}]") for key, one in value.items()
    }


def _record(kind: Any, value: dict[str, Any], folder: Path, name: str) -> Any:
    hints = type_hints(kind, extras=True)
    found = {}
    for field in dataclasses.fields(kind):
        called = f"{name}.{field.name}" if name else field.name
        if field.name in value:
            found[field.name] = from_json(hints[field.name], value[field.name], folder, called)
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"{called} is missing")
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from error


def _alternative(kinds: tuple[Any, ...], value: Any) -> Any:
    """Return of several types the record whose fields are all there, the one with the most; else the first."""
    some = [kind for kind in kinds if kind is not NoneType]
    fits = {
        kind: len(dataclasses.fields(kind))
        for kind in some
        if dataclasses.is_dataclass(kind)
        and isinstance(value, dict)
        and all(
            one.name in value or one.default is not dataclasses.MISSING for one in dataclasses.fields(kind)
        )
    }
    return max(fits, key=fits.__getitem__, default=some[0])


def _is_inside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return not any(part in ("", ".", "..") or ":" in part or "\0" in part for part in parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _expected(kind: Any) -> str:
    """Say what a value is not that should be of a type."""
    if get_origin(kind) is Literal:
        return f"none of {', '.join(get_args(kind))}"
    if kind is Path:
        return "no path inside the folder"
    return f"no {_called(kind)}"


def _called(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _called(next(part for part in parts if part is not NoneType))
    if origin is tuple:
        few = parts[1:] != (...,) and len(parts)
        return f"list of {f'{few} ' if few else ''}{_called(parts[0])}s"
    plain = {str: "text", bool: "true or false", float: "number", NoneType: "null"}
    return plain.get(kind, "whole number" if kind is int or origin is Annotated else "object")
