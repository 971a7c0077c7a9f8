"""Names of classes: out of a text or JSON file, and from what Python has."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netviz.errors import ModelError

MOST = 100_000
"""Classes; ImageNet's largest set has 21,843."""

_LARGEST = 16 * 2**20  # bytes


def read_labels(path: Path) -> tuple[str, ...]:
    """Read the names of classes from a file.

    Parameters
    ----------
    path : Path
        Text with a name in each line, in the order of the outputs; or JSON: a list of names, or an object of names by
        index, or of indices by name.

    Raises
    ------
    ModelError
        If it cannot be read, or holds no such names.
    """
    text = _text(path)
    if text.lstrip().startswith(("[", "{")):
        try:
            return as_labels(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path} holds no names of classes ({error}): {_EXPECTED}") from None
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    empty = next((number for number, line in enumerate(lines, 1) if not line), None)
    if empty is not None:
        raise ModelError(f"line {empty} of {path} is empty: {_EXPECTED}")
    try:
        return as_labels(lines)
    except ValueError as error:
        raise ModelError(f"{path} holds no names of classes ({error}): {_EXPECTED}") from None


_EXPECTED = "give a line for each class, a JSON list, or a JSON object {index: name}"


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder, no file of labels: {_EXPECTED}")
        if path.stat().st_size > _LARGEST:
            raise ModelError(f"{path} is larger than {_LARGEST >> 20} MB, no file of labels: {_EXPECTED}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ModelError(f"no such file of labels: {path}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path} is no text in UTF-8, so no file of labels: {_EXPECTED}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"cannot read {path}: {reason}") from error


def as_labels(value: Any) -> tuple[str, ...]:
    """Return names of classes in the order of the outputs.

    Parameters
    ----------
    value : sequence or mapping
        Names; names by index (a text or a number), or indices by name. An index without a name has an empty one. Of
        an entry that is itself a list (Keras's ``["n01440764", "tench"]``) the last counts.

    Raises
    ------
    ValueError
        If it is neither, or has no names.
    """
    if isinstance(value, Mapping):
        return _by_index(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"labels are a list or a mapping, not {type(value).__name__}")
    if not 0 < len(value) <= MOST:
        raise ValueError(f"labels are 1 to {MOST:,} names, not {len(value):,}")
    return tuple(map(_name, value))


def _by_index(value: Mapping[Any, Any]) -> tuple[str, ...]:
    pairs = {_index(key): name for key, name in value.items()}
    if None in pairs:
        pairs = {_index(number): name for name, number in value.items()}
    numbers = [number for number in pairs if number is not None]
    if not numbers or len(numbers) != len(value):
        raise ValueError("neither all of its keys nor all of its values are different indices from 0 on")
    if max(numbers) >= MOST:
        raise ValueError(f"labels are 1 to {MOST:,} names, and an index is {max(numbers):,}")
    found = [""] * (max(numbers) + 1)
    for number, name in pairs.items():
        if number is not None:
            found[number] = _name(name)
    return tuple(found)


def _index(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _name(value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if not isinstance(value, str):
        raise ValueError(f"a name is a text, not {value!r:.40}")
    return " ".join(value.split())
