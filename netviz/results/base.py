"""A result: a frozen dataclass of NumPy arrays and facts, saved as one NPZ file.

Array fields become arrays of the file under their own names, the arrays of a field of type `Arrays` under their
keys; everything else becomes JSON text in the array ``facts``. Results and runs show themselves in a notebook.
"""

import dataclasses
import io
import json
import zipfile
from collections.abc import Container
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from netviz._version import __version__
from netviz.results.files import write_bytes


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
    """

    kind: ClassVar[str] = ""
    axes: ClassVar[dict[str, str]] = {}
    ranges: ClassVar[dict[str, str]] = {}

    origin: str = dataclasses.field(default="", kw_only=True)
    input: str = dataclasses.field(default="", kw_only=True)
    image_path: str = dataclasses.field(default="", kw_only=True)
    layer_asked: str = dataclasses.field(default="", kw_only=True)
    doubts: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

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
        return facts

    def summary(self) -> dict[str, Any]:
        """Return the facts with each array's shape: what ``netviz report`` prints."""
        return {**self.facts(), "arrays": {name: list(a.shape) for name, a in self.arrays().items()}}

    def save(self, path: str | Path) -> Path:
        """Write the result as NPZ, in one step; the same result gives the same bytes.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        buffer = io.BytesIO()
        entries = dict(self.arrays())
        entries["facts"] = np.array(json.dumps(self.facts(), sort_keys=True, ensure_ascii=False))
        # numpy.savez stamps the clock into the archive; entries made here carry ZIP's fixed first date.
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, array in entries.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.ascontiguousarray(array).reshape(array.shape))
        return write_bytes(path, buffer.getvalue())
