"""The site's folder: write what changed, remove what an earlier build left, touch nothing else."""

import json
from collections.abc import Iterable
from pathlib import Path

from netviz.errors import OutputError
from netviz.results.files import check_writable, write_if_changed

from .names import is_path

LIST = "site.json"
"""The file that names every file of the site: what a later build may remove."""


def check_site(folder: str | Path) -> None:
    """Refuse a folder that cannot become a site, before any work is done for it.

    Raises
    ------
    OutputError
        If it holds something else than a netviz site, or cannot be written.
    """
    folder = Path(folder)
    _noted_files(folder)
    check_writable(folder / LIST)


class SiteFolder:
    """One build into one folder.

    ``site.json`` names what the folder holds and what is about to be written, before anything is: an
    interrupted build therefore never leaves a file that the next one would not recognise as its own.

    Parameters
    ----------
    folder : str or Path
        Missing, empty, or a site of an earlier build.
    version : str
        netviz's version, noted in ``site.json``.
    expected : iterable of str
        Paths that this build is going to write, as far as they are known.

    Raises
    ------
    OutputError
        If the folder holds something that is no netviz site, or cannot be written.
    """

    def __init__(self, folder: str | Path, version: str, expected: Iterable[str]) -> None:
        self.folder = Path(folder)
        self.version = version
        self.list_before, self.before = _noted_files(self.folder)
        self.made: set[str] = set()
        self.written: list[str] = []
        self.unchanged: list[str] = []
        self.removed: list[str] = []
        self.bytes = 0
        self._clear_parts()
        self._list({*self.before, *expected})

    def write(self, path: str, data: bytes) -> None:
        """Write one file of the site, where its bytes differ."""
        changed = write_if_changed(self.folder / path, data)
        (self.written if changed else self.unchanged).append(path)
        self.made.add(path)
        self.bytes += len(data)

    def finish(self) -> None:
        """Remove the files of an earlier build that this one did not make, and write ``site.json``."""
        for path in sorted(self.before - self.made):
            self._remove(path)
        data = self._list(self.made)
        (self.written if data != self.list_before else self.unchanged).append(LIST)
        self.bytes += len(data)

    def _list(self, paths: set[str]) -> bytes:
        """Write ``site.json``; return its bytes."""
        facts = {"kind": "netviz site", "netviz": self.version, "files": sorted(paths)}
        data = (json.dumps(facts, indent=1) + "\n").encode()
        write_if_changed(self.folder / LIST, data)
        return data

    def _clear_parts(self) -> None:
        """Remove the file that an earlier build was writing when it was killed."""
        for parent in sorted({(self.folder / path).parent for path in (*self.before, LIST)}):
            if not parent.is_dir() or self._leads_out(parent / LIST):
                continue
            for part in sorted(parent.glob(".*.part")):
                part.unlink(missing_ok=True)

    def _leads_out(self, target: Path) -> bool:
        """Return whether a folder on the way to a file was replaced by a link."""
        return any(parent.is_symlink() for parent in target.parents if self.folder in parent.parents)

    def _remove(self, path: str) -> None:
        """Remove one file of an earlier build, and the folder that it leaves empty."""
        target = self.folder / path
        if self._leads_out(target):
            return
        try:
            target.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(
                f"cannot remove {target}: {error.strerror or error}; remove it yourself"
            ) from error
        self.removed.append(path)
        for parent in target.parents:
            if parent == self.folder or any(parent.iterdir()):
                break
            parent.rmdir()


def _noted_files(folder: Path) -> tuple[bytes, set[str]]:
    """Return an earlier build's list of files, as bytes and as paths; refuse a folder that is no site."""
    refusal = OutputError(f"{folder} holds something else than a netviz site; choose an empty folder")
    try:
        if not folder.exists() and not folder.is_symlink():
            return b"", set()
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file; choose a folder for the site")
        if not any(folder.iterdir()):
            return b"", set()
        data = (folder / LIST).read_bytes()
        facts = json.loads(data)
        if not isinstance(facts, dict) or facts.get("kind") != "netviz site":
            raise refusal
        # The list may have been edited: a path that netviz would never write is never removed.
        files = facts.get("files")
        if not isinstance(files, list) or not all(isinstance(path, str) for path in files):
            raise refusal
        return data, {path for path in files if is_path(path) and path != LIST}
    except (FileNotFoundError, ValueError, RecursionError):
        raise refusal from None
    except OSError as error:
        raise OutputError(
            f"cannot read {folder}: {error.strerror or error}; choose another folder"
        ) from error
