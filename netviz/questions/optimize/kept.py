"""What is done of pictures that are being optimized, on disk: finished parts, and how far others have come."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.engines import Checkpoint, Tally

Stand = dict[str, Tensor]
"""Tensors by name: a part that is finished, or one that is under way."""


class Kept:
    """Keeps what is done of some parts; several threads may tell of theirs.

    Parameters
    ----------
    file : Path or None
        Where; None for nowhere.
    fingerprint : callable
        Returns what the pictures are of; asked only where something is written or read.
    parts : int
        How many there are.
    every : float
        Seconds between two writes of what one part has to tell.
    """

    def __init__(
        self, file: Path | None, fingerprint: Callable[[], Mapping[str, str]], parts: int, every: float
    ) -> None:
        self.tally = Tally.empty(parts)
        self._parts: dict[int, Stand] = {}
        self._file, self._fingerprint, self._every = file, fingerprint, every
        self._checkpoint: Checkpoint | None = None
        self._lock = threading.Lock()
        self._told = dict.fromkeys(range(parts), time.monotonic())
        if file is not None and file.exists():
            self._open(file).read(self, self.tally)

    def _open(self, file: Path) -> Checkpoint:
        if self._checkpoint is None:
            self._checkpoint = Checkpoint(file, self._fingerprint(), self._every, beside=True)
        return self._checkpoint

    def part(self, number: int) -> Stand | None:
        """Return a part that is finished, or as it stood; None if it has not begun."""
        return self._parts.get(number)

    def finish(self, number: int, made: Stand) -> None:
        """Take a part that is finished."""
        with self._lock:
            self._parts[number] = made
            self.tally.done[number] = True
            if self._file is not None and self._open(self._file).due():
                self._open(self._file).write(self, self.tally)

    def under_way(self, number: int, stand: Callable[[], Stand]) -> None:
        """Take how far a part has come, if it is time."""
        if self._file is None or time.monotonic() - self._told[number] < self._every:
            return
        with self._lock:
            self._parts[number] = {name: value.detach().cpu().clone() for name, value in stand().items()}
            self._open(self._file).write(self, self.tally)
        self._told[number] = time.monotonic()

    def flush(self) -> None:
        """Write what is there, if anything was written before: what follows may be interrupted, too."""
        if self._file is not None and self._checkpoint is not None:
            self._checkpoint.write(self, self.tally)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later."""
        return {
            f"{number}/{name}": value.numpy()
            for number, part in sorted(self._parts.items())
            for name, value in part.items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        for name, value in state.items():
            number, _, what = name.partition("/")
            self._parts.setdefault(int(number), {})[what] = torch.from_numpy(value)
