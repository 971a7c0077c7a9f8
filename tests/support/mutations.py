"""What a saved result may look like after damage, or by malice: each array and each fact changed in turn."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]

ARRAYS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "left out": lambda a: None,
    "empty": lambda a: np.zeros((0,) * max(a.ndim, 1), a.dtype),
    "of size 0": lambda a: a[..., :0] if a.ndim else a.reshape(1)[:0],
    "without its first": lambda a: a[1:] if a.ndim else a.reshape(1),
    "transposed": lambda a: a.T,
    "complex": lambda a: a.astype(complex) if a.dtype.kind != "U" else np.full(a.shape, 1j),
    "text": lambda a: np.full(a.shape, "x\x1b[31m"),
    "bytes": lambda a: np.full(a.shape, b"x"),
    "of another kind": lambda a: np.zeros(a.shape, np.int64 if a.dtype.kind in "fbU" else np.float64),
    "true or false": lambda a: np.ones(a.shape, bool),
    "with an axis more": lambda a: a[..., None],
    "with an axis less": lambda a: a[0] if a.ndim else np.zeros((2,), a.dtype),
    "wider": lambda a: a.astype({"f": np.float64, "i": np.int64, "u": np.uint64}.get(a.dtype.kind, a.dtype)),
    "NaN": lambda a: _full(a, np.nan),
    "one NaN": lambda a: _first(a, np.nan),
    "infinite": lambda a: _full(a, np.inf),
    "one minus infinity": lambda a: _first(a, -np.inf),
    "1e308": lambda a: _full(a, 1e308),
    "one 1e308": lambda a: _first(a, 1e308),
    "one -1e308": lambda a: _first(a, -1e308),
    "3e38": lambda a: _first(_full(a, 3e38), -3e38),
    "-1": lambda a: _full(a, -1),
    "one -1": lambda a: _first(a, -1),
    "0": lambda a: _full(a, 0),
    "huge": lambda a: _full(a, 2**62),
    "one huge": lambda a: _first(a, 2**62),
}


def _full(array: np.ndarray[Any, Any], value: float) -> np.ndarray[Any, Any]:
    return _first(array, value, slice(None))


def _first(array: np.ndarray[Any, Any], value: float, where: Any = slice(1)) -> np.ndarray[Any, Any]:
    """Put a number into an array, in the narrowest type of the array's kind that holds it."""
    kind = np.min_scalar_type(value) if isinstance(value, float) else np.dtype(np.int64)
    changed = (
        np.zeros(array.shape, kind) if array.dtype.kind == "U" else array.astype(np.result_type(array, kind))
    )
    changed.reshape(-1)[where] = value
    return changed


FACTS: dict[str, Callable[[Any], Any]] = {
    "None": lambda v: None,
    "text": lambda v: "x\x1b[31m\n",
    "empty text": lambda v: "",
    "long text": lambda v: "x" * 100_000,
    "-1": lambda v: -1,
    "0": lambda v: 0,
    "1.5": lambda v: 1.5,
    "true": lambda v: True,
    "NaN": lambda v: float("nan"),
    "infinite": lambda v: float("inf"),
    "1e308": lambda v: 1e308,
    "huge": lambda v: 2**70,
    "huger": lambda v: 10**400,
    "no list": lambda v: [],
    "no dictionary": lambda v: {},
    "in a list": lambda v: [v],
    "in a dictionary": lambda v: {"x": v},
    "nested deep": lambda v: json.loads("[" * 500 + "]" * 500),
    "twice": lambda v: v * 2 if isinstance(v, list | str) else [v, v],
    "without its last": lambda v: v[:-1] if isinstance(v, list | str) else None,
}


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays.pop("facts")[()]))


def write(path: Path, arrays: Arrays, facts: dict[str, Any]) -> None:
    np.savez(path, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]


def mutations(arrays: Arrays, facts: dict[str, Any]) -> Iterator[tuple[str, Arrays, dict[str, Any]]]:
    """Yield what was changed and how, and what the file then holds."""
    for name, array in arrays.items():
        for how, change in ARRAYS.items():
            made = change(array)
            others = {key: one for key, one in arrays.items() if key != name}
            yield f"{name} {how}", others if made is None else {**others, name: made}, facts
    for place in _places(facts):
        for how, change in FACTS.items():
            told = copy.deepcopy(facts)
            inside: Any = told
            for step in place[:-1]:
                inside = inside[step]
            inside[place[-1]] = change(inside[place[-1]])
            yield f"{'.'.join(map(str, place))} {how}", arrays, told
        told = copy.deepcopy(facts)
        inside = told
        for step in place[:-1]:
            inside = inside[step]
        del inside[place[-1]]
        yield f"{'.'.join(map(str, place))} left out", arrays, told


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where facts are: of a list the first and what is in it, of a dictionary all."""
    some = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, one in some:
        if place == () and key in ("kind", "netviz"):
            continue
        yield (*place, key)
        yield from _places(one, (*place, key))
