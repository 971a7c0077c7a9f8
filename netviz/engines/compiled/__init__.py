"""Reductions of maps as machine code, each map read once; without Numba, torch and NumPy give the same answers."""

from functools import cache
from types import ModuleType

from torch import Tensor, float32

from netviz.compiling import available


def compiled_for(x: Tensor) -> ModuleType | None:
    """Return the compiled functions if they can work on a tensor's memory: float32, contiguous, on a CPU."""
    if x.device.type != "cpu" or x.dtype != float32 or not x.is_contiguous():
        return None
    return kernels()


@cache
def kernels() -> ModuleType | None:
    """Return the compiled functions, None where they cannot be had; they are compiled once and kept on disk."""
    if not available():
        return None
    # Its import takes half a second, and only those who look at many maps need it.
    from netviz.engines.compiled import maps

    return maps
