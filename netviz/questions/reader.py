"""Saved results and runs: read without torch and pickle, and believed only after a look."""

import json
import re
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from netviz.errors import ResultError
from netviz.questions import table
from netviz.results.base import BESIDE, KINDS, Arrays, Result
from netviz.results.levels import ENDS, unpacked
from netviz.results.runs import told_kind
from netviz.results.validate import build

R = TypeVar("R", bound=Result)

_PACKED = 100
"""How many times its size a file may hold, beyond `_SMALL` bytes: most numbers are not deflated."""
_SMALL = 1 << 26


def load_result(path: str | Path) -> Result:
    """Read a result that netviz saved, and look whether all of it fits.

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
        If the file is missing, damaged, or no result of netviz. Of an array or a fact that does not fit, its name.
    """
    return load_kind(path, Result)


def load_kind(
    path: str | Path, kind: type[R], *, again: str = "measure it again", wrong: str = "is damaged"
) -> R:
    """Read a result that has to be of one kind.

    Parameters
    ----------
    path : str or Path
    kind : type
        Its class.
    again : str
        For the message: how a whole file is got.
    wrong : str
        For the message: what is the matter with a file that does not fit.

    Raises
    ------
    ResultError
        As for `load_result`, or if the file holds another kind.
    """
    path = Path(path)
    try:
        arrays = _arrays(path)
        facts = json.loads(str(arrays.pop("facts", np.array("{}"))[()]))
    except FileNotFoundError:
        raise ResultError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise ResultError(f"{path} is a folder; name a result file (.npz)") from None
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ResultError(
            f"cannot read {path} as a netviz result; give a .npz written by a netviz command"
        ) from error
    cls = _class(facts)
    if cls is None:
        raise ResultError(f"{path} is no netviz result; give a .npz written by a netviz command")
    if not issubclass(cls, kind):
        raise ResultError(f"{path} holds {cls.kind}, not {kind.kind}; {again}")
    try:
        return build(cls, facts, _restored(arrays, facts, path))
    except ValueError as error:
        raise ResultError(f"{path} {wrong}: {error}; {again}") from error


def _arrays(path: Path) -> Arrays:
    """Read all arrays of an NPZ file.

    Raises
    ------
    OSError, ValueError, EOFError, MemoryError, NotImplementedError, RuntimeError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            held = sum(entry.file_size for entry in archive.infolist())
            if held > max(_SMALL, _PACKED * path.stat().st_size):
                raise ValueError(f"{path} unpacks to {held} bytes")
            arrays = {}
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                arrays[entry.filename.removesuffix(".npy")] = array
            return arrays
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error


def _restored(arrays: Arrays, facts: dict[str, Any], path: Path) -> Arrays:
    """Return the arrays that were kept as levels or as a picture beside the file, with all others.

    Raises
    ------
    ValueError
        If one cannot be had.
    """
    found = {name: array for name, array in arrays.items() if not name.endswith(ENDS)}
    for name, ends in arrays.items():
        of = name.removesuffix(ENDS)
        if of == name or of not in found:
            continue
        try:
            found[of] = unpacked(found[of], ends)
        except ValueError as error:
            raise ValueError(f"{of} {error}") from error
    beside = facts.pop(BESIDE, {})
    if not isinstance(beside, dict):
        raise ValueError(f"{BESIDE} is no list of files")
    for name, file in beside.items():
        # A file that came from elsewhere must not show any picture that there is.
        if not isinstance(file, str) or not _PICTURE.fullmatch(file) or name in found:
            raise ValueError(f"{name!r:.60} lies in no picture beside it")
        # By the one name that it has: from every folder of results another path leads to the same picture.
        picture = (path.parent / file).resolve()
        found[name] = _picture(picture, *_state(picture))
    return found


_PICTURE = re.compile(r"(?:\.\./){1,3}images/\w[\w.-]*\.png")


def _state(path: Path) -> tuple[int, int]:
    """Return what changes when another file takes a path."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=16)
def _picture(path: Path, *_: int) -> np.ndarray[Any, Any]:
    """Read a picture that many results share; whatever follows the path tells one content from another."""
    try:
        with Image.open(path) as opened:
            pixels = np.array(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is missing or no picture") from error
    pixels.flags.writeable = False
    return pixels


def _class(facts: Any) -> type[Result] | None:
    """Return the class of a result by its facts; None if there is none."""
    kind = facts.get("kind") if isinstance(facts, dict) else None
    if not isinstance(kind, str) or "netviz" not in facts:
        return None
    found: type[Result] | None = KINDS.get(kind) or table.result_class(kind)
    return found


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
    # Only a dissection holds a run of patches inside, also unfinished; what is wrong with a folder that does not say
    # what it is, is told as of patches.
    kind = "dissection" if (folder / "patches").is_dir() else told_kind(folder)
    return (table.run_opener(kind) or table.run_opener("patches"))(folder)
