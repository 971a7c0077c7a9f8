"""What a value of ``run.json`` has to be: anything else is refused, in words that follow the file's name."""

import math
from pathlib import Path
from typing import Any


def pair(entry: dict[str, Any], key: str) -> tuple[float, float] | None:
    """Return two finite numbers, y and x, or None."""
    value = entry[key]
    if value is None:
        return None
    numbers = [float(one) for one in value if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(value) != 2 or len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{key!r} is {str(value)[:60]}, no pair of numbers")
    return numbers[0], numbers[1]


def text(entry: dict[str, Any], key: str) -> str:
    """Return a value that has to be text."""
    value = entry[key]
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is no text")
    return value


def count(entry: dict[str, Any], key: str) -> int:
    """Return a value that has to be a whole number, at least 0."""
    return whole(entry[key], key)


def whole(value: object, key: str) -> int:
    """Check a whole number, at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key!r} is {value!r}, no whole number")
    return value


def size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """Return ``size``, a height and width in pixels; None where there is none."""
    value = entry.get("size")
    if value is None:
        return None
    height, width = (whole(side, "size") for side in value)
    return height, width


def inside(folder: Path, name: str) -> Path:
    """Join a name from ``run.json`` to the folder, refusing one that would leave it."""
    parts = name.replace("\\", "/").split("/")
    if any(part in ("", ".", "..") or ":" in part or "\0" in part for part in parts):
        raise ValueError(f"{name[:60]!r} is no path inside the folder")
    return folder.joinpath(*parts)
