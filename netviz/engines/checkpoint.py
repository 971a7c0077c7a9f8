"""The state of a run on disk: written whole, read back only by the same question."""

import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netviz.engines.job import Tally
from netviz.errors import ResultError
from netviz.results.files import written
from netviz.results.ledger import STATE, require_same


class Stateful(Protocol):
    """What can be kept as arrays, and goes on from them; an `Accumulator` is such."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""

    def restore(self, state: Any) -> None:
        """Go on from a state."""


class Checkpoint:
    """Writes where a run stands, now and then, and finds that again.

    Parameters
    ----------
    place : str or Path
        The run's folder; or, with `beside`, the state's own file.
    fingerprint : mapping of str to str
        What makes the run what it is, by name: its model, its images, its options.
    every : float
        Seconds between two writes.
    beside : bool
        Whether the work is no folder, and its state a file beside what it makes.

    Attributes
    ----------
    kept : bool
        Whether some of the images are done in the state that was written last.
    """

    def __init__(
        self,
        place: str | Path,
        fingerprint: Mapping[str, str],
        every: float = 30.0,
        *,
        beside: bool = False,
    ) -> None:
        self.path = Path(place) if beside else Path(place) / STATE
        self.beside = beside
        self.fingerprint = dict(fingerprint)
        self.every = every
        self.kept = False
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time to write the state."""
        return time.monotonic() - self._last >= self.every

    def __call__(self, accumulator: Stateful, tally: Tally) -> None:
        """Write the state if it is time."""
        if self.due():
            self.write(accumulator, tally)

    def write(self, accumulator: Stateful, tally: Tally) -> None:
        """Write the state, in one step.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        facts = {"fingerprint": self.fingerprint, "skipped": sorted(tally.skipped.items())}
        arrays: dict[str, Any] = {f"state/{name}": value for name, value in accumulator.state().items()}
        # Straight to the file: the state of many units is not to lie in memory once more.
        with written(self.path) as stream:
            np.savez(stream, facts=np.array(json.dumps(facts)), done=tally.done, **arrays)
        self.kept = bool(tally.done.any())
        self._last = time.monotonic()

    def read(self, accumulator: Stateful, tally: Tally) -> bool:
        """Bring an empty accumulator and tally to where the run stood; return whether there was a state.

        Raises
        ------
        ResultError
            If the file is damaged, or the run was another one.
        """
        if not self.path.exists():
            return False
        try:
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
            facts = json.loads(str(arrays.pop("facts")))
            theirs = dict(facts["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            what = "it" if self.beside else "the folder"
            raise ResultError(f"{self.path} is damaged; delete {what} and start again") from error
        if self.beside:
            require_same(self.path, theirs, self.fingerprint, "delete it")
        else:
            require_same(self.path.parent, theirs, self.fingerprint)
        tally.done[:] = arrays.pop("done")
        tally.skipped.update({int(number): str(reason) for number, reason in facts["skipped"]})
        accumulator.restore({name.removeprefix("state/"): value for name, value in arrays.items()})
        return True

    def remove(self) -> None:
        """Delete the state of a run that is finished."""
        self.path.unlink(missing_ok=True)
