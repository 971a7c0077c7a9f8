"""How far long work has come: what its folder is of, whether it is finished, what is done, what a killed one left.

Long work leaves its results in a folder. While it is unfinished, a file in there holds its *state*; `RUN` is written
last. The state tells of what the work is by a *fingerprint*: it goes on with the same model, images and options only.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from netviz.errors import ImageError, OutputError, ResultError
from netviz.results.files import check_writable, is_part, write_bytes
from netviz.results.names import IN_PACKAGES
from netviz.results.records import from_json, to_json

RUN = "run.json"
"""What finished work tells of itself."""

STATE = "state.npz"
"""The state of one pass over many images."""

QUESTION = "question"
"""The part of a fingerprint that says what kind of run an unfinished one is, where that is none of patches."""

TWO_PASSES = (STATE, f"patches/{STATE}")
"""States of a question of two passes, of which the first finds patches: an unfinished one has one of them."""

STEPS = "steps.json"
"""The state of a survey: which of its steps are done."""

Standing = Literal["new", "unfinished", "finished", "other"]


def digest(value: Any) -> str:
    """Return a fingerprint of what JSON can tell."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def full_name(source: str | Path) -> str:
    """Return an image's name as it can be found again from any folder, on one line.

    Raises
    ------
    ImageError
        If the name has several lines, or is no UTF-8.
    """
    name = str(source)
    if not name.startswith(IN_PACKAGES) and "://" not in name:
        name = str(Path(name).absolute())
    # Surrogates stand for bytes that are no UTF-8.
    if len(name.splitlines()) > 1 or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ImageError(f"the name of {name!a} has several lines, or is no UTF-8; rename it")
    return name


def bytes_of(name: str) -> int:
    """Return a file's size; -1 for what is no file."""
    path = Path(name)
    return path.stat().st_size if path.is_file() else -1


def other_parts(theirs: Mapping[str, str], mine: Mapping[str, str]) -> str:
    """Name the parts in which two fingerprints differ, as a sentence lists them; "" if they are the same."""
    return " and ".join(name for name in {**mine, **theirs} if theirs.get(name) != mine.get(name))


def require_same(
    folder: Path, theirs: Mapping[str, str], mine: Mapping[str, str], else_: str = "name a new folder"
) -> None:
    """Refuse to go on with work of another fingerprint.

    Raises
    ------
    ResultError
        Naming what differs.
    """
    other = other_parts(theirs, mine)
    if other:
        raise ResultError(f"{folder} was begun with other {other}; resume with the same, or {else_}")


def standing(folder: Path, states: Sequence[str] = (STATE,)) -> Standing:
    """Say whether a folder is free for new work, or what it holds.

    Parameters
    ----------
    folder : Path
    states : sequence of str
        Files in it of which unfinished work has one.

    Returns
    -------
    {"new", "unfinished", "finished", "other"}
        A folder is new if it is missing or empty, or holds only what a process that was killed while it wrote the
        first state has left. ``"other"`` is anything that is no such work.
    """
    paths = [folder / state for state in states]
    if any(path.is_file() for path in paths):
        return "unfinished"
    if (folder / RUN).is_file():
        return "finished"
    if not folder.exists():
        return "new"
    parents = {parent for path in paths for parent in path.parents}
    left = folder.is_dir() and all(
        (one in parents and one.is_dir()) or any(is_part(one, path) for path in paths)
        for one in folder.rglob("*")
    )
    return "new" if left else "other"


def clear_parts(folder: Path) -> None:
    """Remove the files that were being written when a process was killed."""
    for part in sorted(folder.rglob(".*.part")):
        part.unlink(missing_ok=True)


def run_folder(out: Path, resume: bool, states: Sequence[str] = (STATE,)) -> Path:
    """Return the folder of a run, if the run may go there, without what a killed process left half written.

    Parameters
    ----------
    out : Path
    resume : bool
        Whether an unfinished run is to go on.
    states : sequence of str
        Files in it of which an unfinished run has one.

    Raises
    ------
    OutputError
        If it holds something else, or nothing can be written there.
    """
    found = standing(out, states)
    if found == "new" or (resume and found == "unfinished"):
        check_writable(out / RUN)
        clear_parts(out)
        return out
    if resume:
        raise OutputError(f"{out} holds no unfinished run; name another folder, or drop --resume")
    remedy = "go on with --resume, or name a new folder" if found == "unfinished" else "name a new folder"
    raise OutputError(f"{out} exists already and is not empty; {remedy}")


def state_beside(out: str | Path, resume: bool) -> Path:
    """Return where work that makes one file keeps its state, without what a killed process left half written.

    Parameters
    ----------
    out : str or Path
        The file.
    resume : bool
        Whether unfinished work is to go on.

    Raises
    ------
    OutputError
        If there is a state that is not to go on, or none that could.
    """
    out = Path(out)
    state = out.with_name(f"{out.name}.{STATE}")
    if state.is_file() != resume:
        raise OutputError(
            f"there is no {state}, so no unfinished work for {out.name}; drop --resume"
            if resume
            else f"{state} holds unfinished work; go on with --resume, or delete it"
        )
    for one in state.parent.glob(".*.part"):
        if is_part(one, state):
            one.unlink(missing_ok=True)
    return state


class Start:
    """A context in which long work begins: if it fails before anything is worth keeping, nothing is left of it.

    Else what was mistyped would be refused once it is right, as the folder holds other work. What is killed or
    interrupted stays, to be resumed; so does a folder in which there was a file before.

    Parameters
    ----------
    folder : Path
        The work's, before anything is written there.
    kept : callable
        Whether the folder holds something to go on with.
    """

    def __init__(self, folder: Path, kept: Callable[[], bool]) -> None:
        self._folder, self._kept = folder, kept
        self._new = not any(path.is_file() for path in folder.rglob("*"))
        self._missing = [path for path in (folder, *folder.parents) if not path.exists()]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, Exception) or not self._new or self._kept():
            return
        for path in self._folder.glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            for path in self._missing:
                path.rmdir()


class Ledger:
    """The steps of a survey, on disk: each is done once, also when the survey is killed between two.

    Every file that a step makes is written in one step, from nothing but what the fingerprint names: what a killed
    survey has left is taken as it is, or written again with the same bytes.

    Parameters
    ----------
    folder : Path
        The survey's: missing, empty, or that of a survey with the same fingerprint.
    fingerprint : mapping of str to str
        What makes the survey what it is, by name: its model, its images, its options.
    resume : bool
        Whether an unfinished survey is to go on.

    Attributes
    ----------
    finished : bool
        Whether the folder holds the finished survey already.

    Raises
    ------
    OutputError
        If it holds something else, or an unfinished survey that is not to go on.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str], resume: bool) -> None:
        self.folder = folder
        self.fingerprint = dict(fingerprint)
        self.done: dict[str, Any] = {}
        self.finished = False
        found = standing(folder, (STEPS,))
        if found == "new":
            clear_parts(folder)
        self._start = Start(folder, lambda: bool(self.done))
        if found == "new":
            self._write()
            return
        facts = _facts(folder / (STEPS if found == "unfinished" else RUN))
        theirs = facts.get("fingerprint")
        if not isinstance(theirs, dict) or facts.get("kind") != _KINDS.get(found):
            raise OutputError(f"{folder} exists already and is not empty; name a new folder, or remove it")
        other = other_parts(theirs, self.fingerprint)
        if other:
            raise OutputError(
                f"{folder} holds a survey with other {other}; remove it, or name another folder"
            )
        self.finished = found == "finished"
        if self.finished:
            return
        if not resume:
            raise OutputError(f"{folder} holds an unfinished survey; go on with --resume, or remove it")
        self.done = facts["steps"] if isinstance(facts.get("steps"), dict) else {}
        clear_parts(folder)

    def __call__(self, name: str, kind: Any, make: Callable[[], Any]) -> Any:
        """Do a step unless it is done; return what it notes.

        Parameters
        ----------
        name : str
            The step's.
        kind
            The type of what it notes: see `netviz.results.records`.
        make : callable
            Does the step; returns what it notes.

        Raises
        ------
        OutputError
            If what an earlier process noted of it is damaged.
        """
        if name not in self.done:
            with self._start:
                self.done[name] = to_json(make(), self.folder)
            self._write()
        try:
            # Also what was just made is read back: a survey that goes on must not differ.
            return from_json(kind, self.done[name], self.folder, name)
        except ValueError as error:
            raise OutputError(f"{self.folder / STEPS} is damaged: {error}; remove the folder") from error

    def finish(self) -> None:
        """Note that everything is done."""
        (self.folder / STEPS).unlink(missing_ok=True)
        self.finished = True

    def _write(self) -> None:
        facts = {"kind": _KINDS["unfinished"], "fingerprint": self.fingerprint, "steps": self.done}
        write_bytes(self.folder / STEPS, json.dumps(facts).encode())


_KINDS = {"unfinished": "survey steps", "finished": "survey"}


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
