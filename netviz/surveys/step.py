"""How far a survey has come: what it is made of, and what each finished step has left to say."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netviz._version import __version__
from netviz.errors import NetvizError, OutputError
from netviz.images.labelled.folder import open_labelled
from netviz.models import Layer, Model
from netviz.questions.runs import bytes_of, digest, full_name, weights_print
from netviz.results.base import Result
from netviz.results.files import write_bytes

NAME = "steps.json"
"""What the file is called inside a survey's folder; a finished survey has none."""


RUN = "run.json"


Noted = dict[str, Any]
"""What a survey's part has to say, as JSON knows it."""


Report = Callable[[str, int, int], None]


class Steps:
    """The steps of one survey, on disk: each is done once, also when the survey is killed between two.

    Every file that a step makes is written in one step, from nothing but what the fingerprint names: what a killed
    survey has left is taken as it is, or written again with the same bytes.

    Parameters
    ----------
    folder : Path
        The survey's: missing, empty, or that of an unfinished survey with the same fingerprint.
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
        if not folder.exists() or (folder.is_dir() and all(_is_part(one) for one in folder.iterdir())):
            self._clear()
            self._write()
            return
        unfinished = (folder / NAME).exists()
        facts = _facts(folder / (NAME if unfinished else RUN))
        theirs = facts.get("fingerprint")
        if not isinstance(theirs, dict) or facts.get("kind") != ("survey steps" if unfinished else "survey"):
            raise OutputError(f"{folder} exists already and is not empty; name a new folder, or remove it")
        other = [name for name in self.fingerprint if theirs.get(name) != self.fingerprint[name]]
        if other:
            raise OutputError(
                f"{folder} holds a survey with other {' and '.join(other)}; remove it, or name another folder"
            )
        if unfinished and not resume:
            raise OutputError(f"{folder} holds an unfinished survey; go on with --resume, or remove it")
        self.finished = not unfinished
        if unfinished:
            self.done = facts["steps"] if isinstance(facts.get("steps"), dict) else {}
            self._clear()

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """Do a step unless it is done; return what it has left to say, as JSON knows it."""
        if name not in self.done:
            # As it would be read back: a survey that goes on must not differ from one that never stopped.
            self.done[name] = json.loads(json.dumps(make()))
            self._write()
        return self.done[name]

    def finish(self) -> None:
        """Note that everything is done."""
        (self.folder / NAME).unlink(missing_ok=True)
        self.finished = True

    def _clear(self) -> None:
        """Remove the files that were being written when the survey was killed."""
        for part in sorted(self.folder.rglob(".*.part")):
            part.unlink(missing_ok=True)

    def _write(self) -> None:
        facts = {"kind": "survey steps", "fingerprint": self.fingerprint, "steps": self.done}
        write_bytes(self.folder / NAME, json.dumps(facts).encode())


def _is_part(path: Path) -> bool:
    """Return whether a file is what the very first write of a killed survey left."""
    return path.name.startswith(f".{NAME}.") and path.suffix == ".part"


def _facts(path: Path) -> Noted:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def made(
    make: Callable[[], Result], out: Path, file: str, *, beyond: tuple[type[NetvizError], ...] = ()
) -> Noted:
    """Make a result and save it, unless its file is there: an earlier run of the survey wrote it in one step.

    Parameters
    ----------
    make : callable
        Makes the result.
    out : Path
        The survey's folder.
    file : str
        Where the result goes, inside it.
    beyond : tuple of type
        Errors that say more than that there is no such result: they are raised.

    Returns
    -------
    dict
        ``file``; or ``missing``, why there is none.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        if not (out / file).is_file():
            make().save(out / file)
    except NetvizError as error:
        if isinstance(error, (OutputError, *beyond)):
            raise
        return {"missing": str(error)}
    return {"file": file}


class Work:
    """Counts the steps of several parts as one: the whole is known beforehand, and never begins again.

    Parameters
    ----------
    report : callable
        Called with what is being done, how much work is done, and how much there is.
    parts : iterable of (str, int)
        Each part's name and its work, in about the time of one forward pass.
    """

    def __init__(self, report: Report, parts: Iterable[tuple[str, int]]) -> None:
        self.report = report
        self.ends: dict[str, tuple[int, int]] = {}
        self.total = 0
        for name, work in parts:
            self.ends[name] = (self.total, self.total + work)
            self.total += work
        self._told = 0

    def part(self, name: str) -> Report:
        """Return what a part is to call with its own steps."""
        begin, end = self.ends[name]

        def tell(what: str, done: int, of: int) -> None:
            # A part that counts anew in a second pass must not go back.
            share = begin + (end - begin) * min(done, of) // max(of, 1)
            self._told = max(self._told, share)
            self.report(what, self._told, self.total)

        return tell

    def steps(self, name: str, of: int) -> Callable[[str, int], None]:
        """Return what a part is to call that has so many steps."""
        tell = self.part(name)
        return lambda what, done: tell(what, done, of)


def survey_print(
    model: Model,
    *,
    typed: str | None,
    sources: Sequence[str | Path],
    given: Sequence[str | Path],
    data: str | Path | None,
    layers: Sequence[Layer],
    **options: Any,
) -> dict[str, str]:
    """Return the fingerprint of a survey: what must be the same for its folder to serve again.

    Parameters
    ----------
    model : Model
    typed : str, optional
        What a command calls it.
    sources, given : sequence of str or Path
        The images, and what was asked for.
    data : str or Path, optional
        The folder of labelled images.
    layers : sequence of Layer
        The surveyed ones.
    **options
        What else the survey depends on, ready for JSON.
    """
    seen: list[Any] = [[str(source), full_name(source), bytes_of(full_name(source))] for source in sources]
    labelled: Any = None
    if data is not None:
        labels = open_labelled(data)
        files = [
            [str(path), bytes_of(str(path))]
            for number, image in enumerate(labels.images)
            for path in (image, *labels.files(number))
        ]
        labelled = [str(data), labels.kind, labels.concepts, files]
    return {
        "netviz version": __version__,
        "model": digest([typed, weights_print(model), str(model.preprocessing), list(model.labels)]),
        "images": digest([seen, [str(one) for one in given], labelled]),
        "options": digest({**options, "layers": [one.name for one in layers]}),
    }


def survey_parts(
    photos: int, shown: int, layers: Sequence[Layer], form: str, named: bool, finish: bool
) -> list[tuple[str, int]]:
    """Return the parts of a survey and about how much work each is, in forward passes."""
    full, pairs = form == "full", min(2, shown)
    parts = [
        ("images", shown),
        ("patches", 6 * photos),
        ("units", shown),
        ("maps", 4 * shown),
    ]
    if form != "quick":
        parts += [
            ("components", 40 * pairs),
            ("minimal", named * (600 if full else 150) * pairs),
            ("hypercolumns", 10 * pairs),
            ("concepts", (20 if full else 10) * shown),
            ("fields", len(layers) * (9 if full else 2)),
            ("measured", 250 * min(9 if full else 2, shown)),
        ]
    return [*parts, ("finish", 100 if finish else 0)]
