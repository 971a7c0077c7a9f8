"""A result: a frozen dataclass of NumPy arrays and facts, saved as one NPZ file.

Array fields become arrays of the file under their own names, the arrays of a field of type `Arrays` under their
keys; everything else becomes JSON text in the array ``facts``. Reading needs neither torch nor pickle.
"""

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from netviz._version import __version__
from netviz.errors import ResultError
from netviz.results.display import Displayed
from netviz.results.files import write_bytes

R = TypeVar("R", bound="Result")

Arrays: TypeAlias = dict[str, np.ndarray[Any, Any]]
"""Arrays whose names and number are not known beforehand; a result has at most one field of this type."""

KINDS: dict[str, type["Result"]] = {}


@dataclasses.dataclass(frozen=True)
class Result(Displayed):
    """What a question's answer is made of; a subclass names its arrays and facts as fields."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        KINDS[cls.kind] = cls

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


def load_result(path: str | Path) -> Result:
    """Read a result that netviz saved.

    Parameters
    ----------
    path : str or Path
        An NPZ file written by any netviz command.

    Returns
    -------
    Result
        An instance of the class that saved it.

    Raises
    ------
    ResultError
        If the file is missing, damaged, or no result of netviz.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts = json.loads(str(arrays.pop("facts")[()]))
        cls = KINDS[facts.pop("kind")]
        facts.pop("netviz")
        values: dict[str, Any] = {}
        rest = None
        for field in dataclasses.fields(cls):
            if field.type == Arrays:
                rest = field.name
            elif field.name in facts or field.name in arrays or field.default is dataclasses.MISSING:
                values[field.name] = (
                    _tuples(facts[field.name]) if field.name in facts else arrays.pop(field.name)
                )
        if rest is not None:
            values[rest] = arrays
        return cls(**values)
    except FileNotFoundError:
        raise ResultError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise ResultError(f"{path} is a folder; name a result file (.npz)") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{path} is no netviz result ({error} is missing); give a .npz written by a netviz command"
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ResultError(
            f"cannot read {path} as a netviz result; give a .npz written by a netviz command"
        ) from error


def report(result: Result | str | Path) -> dict[str, Any]:
    """Return a result's facts, ready for JSON: what ``netviz report`` prints.

    Parameters
    ----------
    result : Result, str or Path
        A result, or the NPZ file of one.

    Raises
    ------
    ResultError
        If the file is no result.
    """
    return (result if isinstance(result, Result) else load_result(result)).summary()


def _tuples(value: Any) -> Any:
    """Turn JSON's lists back into the tuples that a frozen dataclass holds."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
