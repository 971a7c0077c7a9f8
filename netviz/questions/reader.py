"""Saved results and runs: read without torch and pickle, and believed only after a look."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from netviz.errors import ResultError
from netviz.questions import table
from netviz.results.base import KINDS, Arrays, Result


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
        kind = facts.pop("kind")
        cls = KINDS[kind] if kind in KINDS else table.result_class(kind)
        if cls is None:
            raise KeyError(kind)
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
    """Return the facts of a result or of a run, ready for JSON: what ``netviz report`` prints.

    Parameters
    ----------
    result : Result, str or Path
        A result, the NPZ file of one, the folder of a run, or a CSV file of Network Dissection.

    Raises
    ------
    ResultError
        If it is none of these.
    """
    if isinstance(result, Result):
        return result.summary()
    path = Path(result)
    reader = table.file_reader(path.suffix.lower())
    if reader is None:
        reader = open_folder if path.is_dir() else load_result
    summary: dict[str, Any] = reader(path).summary()
    return summary


def open_folder(folder: Path) -> Any:
    """Open the folder of a run, of whichever kind.

    Raises
    ------
    ResultError
        If it is none.
    """
    # Only a dissection holds a run of patches inside; what is wrong with any other folder is told as of patches.
    return table.run_opener("dissection" if (folder / "patches").is_dir() else "patches")(folder)


def _tuples(value: Any) -> Any:
    """Turn JSON's lists back into the tuples that a frozen dataclass holds."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
