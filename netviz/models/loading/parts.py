"""Find a part of what a checkpoint holds by the beginning of its names."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from netviz.errors import ModelError

_DEEPEST = 5  # dicts in dicts


def find_part(tree: Any, prefix: str, name: str) -> nn.Module | dict[str, Tensor]:
    """Return the part of a checkpoint whose names begin with a prefix, without it.

    Parameters
    ----------
    tree : mapping
        What the file holds: tensors by name, dicts of them, networks.
    prefix : str
        What the names begin with, up to a dot, in the file or in a dict of it; or one word of that.
    name : str
        What messages call the file.

    Raises
    ------
    ModelError
        If there is no such part, naming those that there are.
    """
    flat = dict(_flattened(tree))
    wanted = prefix.strip(".")
    places = Counter(path[:end] for path in flat for end in _ends(path))
    exact = [place for place in places if place == wanted or place.endswith(f".{wanted}")]
    by_word = [place for place in places if wanted in re.split(r"[_.]", place)]
    for place in sorted(exact or by_word, key=lambda place: (len(place), place)):
        found = flat.get(place)
        if isinstance(found, nn.Module):
            return found
        inside = {
            path[len(place) + 1 :]: value for path, value in flat.items() if path.startswith(place + ".")
        }
        tensors = {path: value for path, value in inside.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
    raise ModelError(f"{name} has no part {prefix!r}; {_parts(flat)}")


def _flattened(tree: Any, above: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor | nn.Module]]:
    if isinstance(tree, nn.Module):
        yield above, tree
    elif isinstance(tree, Tensor):
        yield above, tree.detach()
    elif isinstance(tree, Mapping) and depth < _DEEPEST:
        for key, value in tree.items():
            if isinstance(key, str):
                yield from _flattened(value, f"{above}.{key}" if above else key, depth + 1)


def _ends(path: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\.", path)] + [len(path)]


def _parts(flat: Mapping[str, Any]) -> str:
    """Tell the first words of the names by which parts of a file can be told apart, and how much is in each."""
    paths = [path.split(".") for path in flat]
    while len({path[0] for path in paths}) == 1 and min(map(len, paths)) > 1:
        paths = [path[1:] for path in paths]
    counts = Counter(path[0] for path in paths if len(path) > 1)
    if not counts:
        return "its names have no parts"
    some = ", ".join(f"{part}. ({count} tensors)" for part, count in counts.most_common(6))
    return f"it has {some}{', …' if len(counts) > 6 else ''}"
