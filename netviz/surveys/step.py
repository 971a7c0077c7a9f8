"""How far a survey has come: what it is made of, and what each finished step has left to say."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from netviz._version import __version__
from netviz.errors import NetvizError, OutputError
from netviz.images.labelled.folder import open_labelled
from netviz.models import Layer, Model
from netviz.questions.runs import weights_print
from netviz.results.base import Result
from netviz.results.ledger import bytes_of, digest, full_name

Noted = dict[str, Any]
"""What a survey's part has to say, as JSON knows it."""


Report = Callable[[str, int, int], None]


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
