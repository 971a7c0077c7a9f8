"""Writing files so that none is ever half there."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from netviz.errors import OutputError


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file in one step: it appears complete, or not at all.

    Parameters
    ----------
    path : str or Path
        Where the file goes. Missing folders are made.
    data : bytes
        The whole content.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    with written(path) as stream:
        stream.write(data)
    return Path(path)


@contextmanager
def written(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file that appears complete at the end of the ``with``, or not at all, as `write_bytes` writes it."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=".part")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
            part.chmod(0o666 & ~_umask())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def check_writable(path: str | Path) -> None:
    """Refuse a place where no file can be written, before there is anything to write; nothing is left there.

    Raises
    ------
    OutputError
        As `write_bytes` would.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.exists()  # a name that is too long is told here
        nearest = next(one for one in path.absolute().parents if one.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose another place with -o")


def is_part(path: Path, of: Path) -> bool:
    """Return whether a file is what a process that was killed while it wrote a file left of it."""
    return path.parent == of.parent and path.name.startswith(_prefix(of)) and path.suffix == ".part"


def write_if_changed(path: str | Path, data: bytes) -> bool:
    """Write a file only where its bytes differ; return whether it was written."""
    path = Path(path)
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return False
    write_bytes(path, data)
    return True


def _prefix(path: Path) -> str:
    """Return how the name of what is being written begins."""
    return f".{path.name[:40]}."


def _umask() -> int:
    """Return the process's umask (reading it needs setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
