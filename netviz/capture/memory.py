"""What the C library does with memory that is no longer needed, between one forward pass and the next."""

import ctypes
import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

_TRIM, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""glibc's numbers for ``mallopt``: when free memory goes back, how many blocks are mapped, how many heaps are."""

_AS_IT_IS = ((_TRIM, 128 << 10), (_MMAP_MAX, 65536), (_ARENA_MAX, 0))

_KEPT = ((_TRIM, (1 << 31) - 1), (_MMAP_MAX, 0), (_ARENA_MAX, 1))

_users = 0

_lock = threading.Lock()


_GROWN, _OFTEN, _FIRST = 1.1, 3, 4
"""By how much more than after the first rounds is held before it goes back, and in how many it is too often."""


class _Bound:
    """Gives back what is kept once there is much more than the first rounds needed.

    Threads that take and free blocks beside each other leave gaps that fit nobody, and the process grows to several
    times what it holds.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._limit, self._rounds, self._last = 0.0, 0, 0

    def __call__(self) -> None:
        """Look, after each round."""
        self._rounds += 1
        held = _held()
        if self._rounds <= _FIRST:
            self._limit = max(self._limit, _GROWN * held)
        elif held > self._limit:
            self._library.malloc_trim(0)
            if self._rounds - self._last < _OFTEN:  # so much is needed
                self._limit *= _GROWN
            self._last = self._rounds


@contextmanager
def kept_memory() -> Iterator[Callable[[], None]]:
    """Have freed memory kept for what is needed next; it goes back at the end.

    A large block is otherwise taken from the system anew for each map of each forward pass, page by page, which takes
    as long as the arithmetic of a small network. Only glibc is spoken to, and not where the user has set it up.

    Yields
    ------
    callable
        To be called after each of many rounds: what is kept does not grow with their number.
    """
    global _users
    library = _library()
    if library is None:
        yield lambda: None
        return
    with _lock:
        _users += 1
        for option, value in _KEPT:
            library.mallopt(option, value)
    try:
        yield _Bound(library)
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for option, value in _AS_IT_IS:
                    library.mallopt(option, value)
                library.malloc_trim(0)


def _held() -> int:
    """Return how much memory the process holds, in pages."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def joined(parts: Iterable[Tensor], count: int) -> Tensor:
    """Put results of one batch after the other into one tensor, (count, …), each as soon as it is there.

    In a list a small result of each batch would stay between the large blocks of memory that it was made in; these
    could not be put together again, and each batch would take new ones.

    Raises
    ------
    ValueError
        If there is no batch.
    """
    found: Tensor | None = None
    done = 0
    for part in parts:
        if found is None:
            found = part.new_empty((count, *part.shape[1:]))
        found[done : done + len(part)] = part
        done += len(part)
    if found is None:
        raise ValueError("there is no batch")
    return found


@cache
def _library() -> Any:
    """Return glibc, if it manages the memory as it is meant to."""
    set_up = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if set_up or platform.libc_ver()[0] != "glibc" or not Path("/proc/self/statm").exists():
        return None
    return ctypes.CDLL(None)
