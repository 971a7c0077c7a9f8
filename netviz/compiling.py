"""Functions as machine code, where Numba is there."""

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def available() -> bool:
    """Return whether Numba is there."""
    return importlib.util.find_spec("numba") is not None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is compiled for the types that it is called with, and lets other threads run meanwhile.

    What was compiled is kept on disk where that can be written.
    """
    # Its import takes half a second, and only who works on many maps or tiles needs it.
    import numba

    made: Callable[..., Any]
    try:
        made = numba.njit(function, nogil=True, error_model="numpy", cache=True)
    except RuntimeError:  # neither beside the function's file nor in the user's folder
        made = numba.njit(function, nogil=True, error_model="numpy")
    return made
