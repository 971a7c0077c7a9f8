"""The kept index of what all builders of torchvision and timm save, so that none needs to be built to compare.

`netviz.models.recognition.make` writes it. Neither library is imported to ask it.
"""

import json
import lzma
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.models.recognition.signatures import Shape, Signature

DATA = Path(__file__).with_name("data") / "builders.xz"


class Known:
    """One network of the index.

    Attributes
    ----------
    builder : str
        A torchvision builder, or ``timm:NAME``.
    heads : tuple of str
        The parts, by the first word of their names, whose shapes follow the number of classes.
    behaviour : tuple of str
        What it computes beside that; see `netviz.models.recognition.signatures.behaviour`.
    size : int
        How many tensors it has, without BatchNorm's counters.
    """

    def __init__(self, place: int, entry: list[Any]) -> None:
        self.place = place
        self.builder, self.arguments, self.classes, heads, transient, does, self.size = entry
        self.heads, self.transient, self.behaviour = tuple(heads), frozenset(transient), tuple(does)

    def computes_as(self, other: "Known") -> bool:
        """Return whether two networks with the same weights give the same answers."""
        libraries = {one.builder.startswith("timm:") for one in (self, other)}
        place = 0 if len(libraries) == 1 else 1
        return bool(self.behaviour[place] == other.behaviour[place])


class Index:
    """What the builders of torchvision and timm save, torchvision's first, the plainest names first.

    Attributes
    ----------
    versions : dict of str to str
        Of the libraries that it was made with.
    networks : tuple of Known
    """

    def __init__(self, data: bytes) -> None:
        line, _, rest = lzma.decompress(data).partition(b"\n")
        header = json.loads(line)
        self.versions: dict[str, str] = header["versions"]
        self.networks = tuple(Known(place, entry) for place, entry in enumerate(header["builders"]))
        self._words: list[str] = header["names"]
        self._word = {name: number for number, name in enumerate(self._words)}
        self._shapes: list[Shape] = [tuple(shape) for shape in header["shapes"]]
        self._shape = {shape: number for number, shape in enumerate(self._shapes)}
        self.sizes = np.array([known.size for known in self.networks])
        total = int(self.sizes.sum())
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._keys = np.cumsum(np.frombuffer(rest, dtype="<i4", count=total))
        self._of_shape = np.frombuffer(rest, dtype="<u2", offset=4 * total, count=total).astype(np.int64)

    def signature(self, known: Known) -> Signature:
        """Return names and shapes of a network, in its own order."""
        part = slice(self._starts[known.place], self._starts[known.place] + known.size)
        names = (self._words[number] for number in self._keys[part])
        shapes = (self._shapes[number] for number in self._of_shape[part])
        return Signature(
            known.builder,
            known.arguments,
            dict(zip(names, shapes, strict=True)),
            known.transient,
            known.classes,
        )

    def familiar(self, names: Iterable[str]) -> int:
        """Return how many of these names any network has."""
        return sum(name in self._word for name in names)

    def common(self, shapes: Mapping[str, Shape]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each network how many of its names a state has, and for how many the shapes agree, too."""
        wanted = np.full(len(self._words), -2)
        for name, shape in shapes.items():
            if name in self._word:
                wanted[self._word[name]] = self._shape.get(shape, -1)
        found = wanted[self._keys]
        named, agree = found != -2, found == self._of_shape
        return tuple(np.add.reduceat(hits.astype(np.int64), self._starts) for hits in (named, agree))  # type: ignore[return-value]

    def beginning(self, shapes: list[Shape]) -> list[Known]:
        """Return the networks whose first tensors have these shapes, in this order."""
        numbers = np.array([self._shape.get(shape, -1) for shape in shapes])
        fitting = []
        for known, start in zip(self.networks, self._starts, strict=True):
            if known.size >= len(numbers) and np.array_equal(
                self._of_shape[start : start + len(numbers)], numbers
            ):
                fitting.append(known)
        return fitting


@cache
def kept_index() -> Index:
    """Return the index that comes with the package."""
    return Index(DATA.read_bytes())
