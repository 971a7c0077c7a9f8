"""Windows gathered and convolved by machine code; without Numba torch does the same."""

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from netviz.compiling import available


def compiled_for(x: Tensor) -> bool:
    """Return whether compiled functions can work on a tensor: float32 on a CPU, and Numba is there."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and available()
    )


@cache
def window_kernels() -> ModuleType:
    """Return the functions that take windows and convolve them channel by channel.

    They are compiled once and kept on disk. Their import takes half a second: only those who cover images need it.
    """
    from netviz.geometry.incremental.compiled import windows

    return windows


@cache
def square_kernels() -> ModuleType:
    """Return the functions that convolve by squares."""
    from netviz.geometry.incremental.compiled import squares as found

    return found
