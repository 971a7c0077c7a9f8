"""Sums whose result does not depend on the order of their terms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.engines.compiled import kernels

_LOWEST = -149  # the exponent of the smallest float32

_BITS = 32

_LIMBS = (128 - _LOWEST) // _BITS + 3

_MASK = np.int64((1 << _BITS) - 1)


class ExactSum:
    """Adds float32 numbers exactly, in fixed point: whatever the order and the grouping, the same result.

    Every number is cut into limbs of 32 bits, each limb is a 64-bit integer; so up to 2³¹ numbers fit.

    Parameters
    ----------
    size : int
        How many sums are kept side by side.
    """

    def __init__(self, size: int) -> None:
        self.limbs = np.zeros((size, _LIMBS), dtype=np.int64)

    def update(self, values: NDArray[np.float32]) -> None:
        """Add values of shape (N, size), finite."""
        fast = kernels()
        if fast is not None:
            fast.add_exactly(self.limbs, values)
            return
        everyone = np.arange(len(self.limbs))
        mantissas, exponents = np.frexp(values)
        whole = np.ldexp(mantissas, 24).astype(np.int64)
        # The smallest float32 have fewer bits: what lies below the lowest exponent is zero in them.
        places = exponents.astype(np.int64) - 24 - _LOWEST
        whole >>= np.maximum(-places, 0)
        limb, shift = np.divmod(np.maximum(places, 0), _BITS)
        whole <<= shift
        low, high = whole & _MASK, whole >> _BITS
        for at, lower, upper in zip(limb, low, high, strict=True):
            self.limbs[everyone, at] += lower
            self.limbs[everyone, at + 1] += upper

    def merge(self, other: "ExactSum") -> None:
        """Add another's sums."""
        self.limbs += other.limbs

    def result(self) -> NDArray[np.float64]:
        """Return the sums, each rounded once."""
        totals = []
        for row in self.limbs.tolist():
            total = sum(limb << (_BITS * at) for at, limb in enumerate(row))
            # A quotient of two whole numbers is rounded correctly.
            totals.append(total / (1 << -_LOWEST))
        return np.array(totals, dtype=np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that must be kept to go on later; equal sums have equal states."""
        limbs = self.limbs.copy()
        for at in range(_LIMBS - 1):
            limbs[:, at + 1] += limbs[:, at] >> _BITS
            limbs[:, at] &= _MASK
        return {"limbs": limbs}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.limbs = state["limbs"].copy()
