"""A result: a frozen dataclass of NumPy arrays and facts, saved as one NPZ file.

Array fields become arrays of the file under their own names, the arrays of a field of type `Arrays` under their
keys; everything else becomes JSON text in the array ``facts``. Results and runs show themselves in a notebook.

Where much is kept of which only pictures are made, a file may hold arrays as levels (`netviz.results.levels`) and
name a picture beside it in place of an array. Whoever reads it gets arrays as ever, and is told which are coarse.
"""

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Container, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from netviz._version import __version__
from netviz.results.files import write_bytes
from netviz.results.levels import ENDS, packed


class Displayed:
    """Shows its picture with its facts where a notebook asks for it; without a picture, its facts.

    As text it is one line: a subclass says with ``__repr__`` what stands in it.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A dataclass that finds none in its own class writes one that prints whole arrays.
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str | bytes]:
        # One drawing serves both forms; asked for each by itself, a notebook would have the picture drawn twice.
        # This room knows nothing of pictures and pages: the package, where all rooms meet, passes the question on.
        shown: dict[str, str | bytes] = import_module("netviz")._display(self)
        return shown

    def _repr_html_(self) -> str:
        return str(self._repr_mimebundle_()["text/html"])

    def _repr_png_(self) -> bytes | None:
        png = self._repr_mimebundle_().get("image/png")
        return png if isinstance(png, bytes) else None


R = TypeVar("R", bound="Result")

Arrays: TypeAlias = dict[str, np.ndarray[Any, Any]]
"""Arrays whose names and number are not known beforehand; a result has at most one field of this type."""

KINDS: dict[str, type["Result"]] = {}

BESIDE = "beside"
"""The entry of a file's facts that says, by the name of an array, which picture beside the file holds it."""

_PLAIN = 4096
"""Bytes of an array up to which deflating it is not worth the time."""

_LEVELS = (1, 3)
"""Of deflating, exact and coarse files: 3 takes twice as long for a twentieth fewer bytes, but not for levels."""

_ARRAYS = 12
"""How many arrays a result names where it shows itself in one line."""


@dataclasses.dataclass(frozen=True)
class Result(Displayed):
    """What a question's answer is made of; a subclass names its arrays and facts as fields.

    `axes` names the axes of arrays, by the array's name, as text: ``"units rows columns"``. A name is one length in
    all of the result, and that of a fact where one is called so (a number, or the length of a tuple); a number is a
    length; ``*`` is any. An axis has at least one entry unless a question mark follows.

    `ranges` names the numbers of arrays and facts, by their name: ``"0:channels"`` (whole numbers below another fact
    or a named axis), ``"0…1"``, ``"0…"``, ``"0… or NaN"`` where some may be missing, ``"any"`` for what a network
    computed in single precision, NaN and infinity among it; of texts the choice, ``"each | shared"``. What is not
    named is finite.

    `netviz.results.validate.build` holds what was read from a file to that.

    `bits` names the arrays that a coarse file holds as levels, and of how many bits (8 or 16).

    Attributes
    ----------
    origin : str
        Where network and weights come from.
    input : str
        What becomes of an image before the network sees it; empty where it sees none.
    image_path : str
        The image, as it was named; empty where there is none, or several.
    layer_asked : str
        The layer as it was asked for: a name, an alias, a glob or a number; empty where no one layer was.
    doubts : tuple of str
        What speaks against the answer: untrained weights, an assumed preprocessing.
    coarse : tuple of str
        The arrays that were read from levels: within half a level, 1/500 or 1/130,000 of what lies between the
        smallest and the largest value; less fine where values stand out.
    """

    kind: ClassVar[str] = ""
    axes: ClassVar[dict[str, str]] = {}
    ranges: ClassVar[dict[str, str]] = {}
    bits: ClassVar[dict[str, int]] = {}

    origin: str = dataclasses.field(default="", kw_only=True)
    input: str = dataclasses.field(default="", kw_only=True)
    image_path: str = dataclasses.field(default="", kw_only=True)
    layer_asked: str = dataclasses.field(default="", kw_only=True)
    doubts: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
    coarse: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        KINDS[cls.kind] = cls

    def __repr__(self) -> str:
        """Tell in one line what it is of, and the shapes of its arrays."""
        told = {name: getattr(self, name) for name in ("kind", "network", "layer") if hasattr(self, name)}
        arrays = self.arrays()
        shapes = [f"{name}={array.shape}" for name, array in list(arrays.items())[:_ARRAYS]]
        more = [f"and {len(arrays) - _ARRAYS} more"] if len(arrays) > _ARRAYS else []
        words = [*(f"{name}={value!r}" for name, value in told.items()), *shapes, *more]
        return f"<{type(self).__name__} {' '.join(words)}>"

    def fault(self) -> str:
        """Return what does not fit where types, axes and values do, by the name of the array or fact; else empty."""
        return ""

    def arrays(self) -> Arrays:
        """Return all arrays by the name that they have in the file."""
        arrays: Arrays = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == Arrays:
                arrays.update(value)
            elif isinstance(value, np.ndarray):
                arrays[field.name] = value
        return arrays

    def facts(self) -> dict[str, Any]:
        """Return everything that is no array, ready for JSON, with ``kind`` and ``netviz`` (the version)."""
        arrays = self.arrays()
        facts: dict[str, Any] = {"kind": self.kind, "netviz": __version__}
        for field in dataclasses.fields(self):
            if field.name not in arrays and field.type != Arrays:
                facts[field.name] = getattr(self, field.name)
        if not self.coarse:
            del facts["coarse"]
        return facts

    def pictured(self: R) -> R:
        """Return the result without what its picture does not show, where that is much."""
        return self

    def summary(self) -> dict[str, Any]:
        """Return the facts with each array's shape: what ``netviz report`` prints."""
        return {**self.facts(), "arrays": {name: list(a.shape) for name, a in self.arrays().items()}}

    def save(
        self,
        path: str | Path,
        *,
        coarse: bool = False,
        fine: Mapping[str, np.ndarray[Any, Any]] | None = None,
        pictures: Mapping[Path, np.ndarray[Any, Any]] | None = None,
    ) -> Path:
        """Write the result as NPZ, in one step; the same result gives the same bytes.

        Parameters
        ----------
        path : str or Path
        coarse : bool
            Whether the arrays that :attr:`bits` names are kept as levels, and everything is deflated. Otherwise
            only whole numbers and those of half precision are.
        fine : mapping of str to ndarray of shape (K,), optional
            By the name of an array, up to which absolute value its levels are fine; see `netviz.results.levels`.
        pictures : mapping of Path to ndarray of uint8, optional
            PNG files in ``images/`` of a folder around it, and what they hold: an array that is one of these is not
            written again.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        facts = self.facts()
        entries = dict(self.arrays())
        for name, array in list(entries.items()):
            file = next(
                (file for file, held in (pictures or {}).items() if np.array_equal(held, array)), None
            )
            if file is not None:
                facts.setdefault(BESIDE, {})[name] = os.path.relpath(file, Path(path).parent).replace(
                    os.sep, "/"
                )
                del entries[name]
        if coarse:
            kept = {}
            for name, bits in self._kept().items():
                both = packed(entries[name], bits, (fine or {}).get(name)) if name in entries else None
                if both is not None:
                    kept[name] = both
            facts["coarse"] = sorted({*self.coarse, *kept})
            for name, (levels, ends) in kept.items():
                entries |= {name: levels, f"{name}{ENDS}": ends}
        entries["facts"] = np.array(json.dumps(facts, sort_keys=True, ensure_ascii=False))
        buffer = io.BytesIO()
        # numpy.savez stamps the clock into the archive; entries opened by a name carry ZIP's fixed first date.
        with zipfile.ZipFile(buffer, "w", compresslevel=_LEVELS[coarse]) as archive:
            for name, array in entries.items():
                deflated = array.nbytes > _PLAIN and (coarse or _sparse(array))
                archive.compression = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.ascontiguousarray(array).reshape(array.shape))
        return write_bytes(path, buffer.getvalue())

    def _kept(self) -> dict[str, int]:
        """Return by the name that arrays have in the file which may be kept as levels, and of how many bits."""
        named: dict[str, int] = {}
        for field in dataclasses.fields(self):
            if field.name in self.bits:
                names = getattr(self, field.name) if field.type == Arrays else (field.name,)
                named |= dict.fromkeys(names, self.bits[field.name])
        return named


def _sparse(array: np.ndarray[Any, Any]) -> bool:
    """Return whether an array holds whole numbers, most of whose bytes are 0, or half precision; not pixels."""
    return array.itemsize > 1 and (array.dtype.kind in "iu" or array.dtype == np.float16)
