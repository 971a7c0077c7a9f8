"""Arrays kept as levels: what a picture shows of them, in a tenth of the bytes.

A map of 32-bit numbers is drawn in 256 colours. As levels of 8 bits it shows the same, and deflates well; as levels
of 16 bits also where the largest of several maps is looked for at every position. Zero, and what is smallest and
largest of each map, stay exactly what they are.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENDS: Final = ".ends"
"""Follows an array's name in the name of the entry that tells what its levels are worth."""

_OUTER: Final = 31
"""Levels on either side for values that stand out, where some do."""

_STANDS_OUT: Final = 1.5
_COMMON: Final = 0.99
_SOME: Final = 1024

_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Steps:
    """Which level is worth what, for each of several maps; all of shape (K, 1).

    From level `first`, worth `low`, to `last`, worth `high`, zero among them, levels rise by `step`. Below and above
    are those for what stands out.
    """

    lowest: Floats
    low: Floats
    high: Floats
    highest: Floats
    first: Floats
    last: Floats
    zero: Floats
    step: Floats

    @classmethod
    def of(cls, ends: Floats, bits: int) -> "_Steps":
        lowest, low, high, highest = ends.T[..., None]
        first = np.where(lowest < low, _OUTER, 0.0)
        last = 2.0**bits - 1 - np.where(high < highest, _OUTER, 0.0)
        # The ends have levels of their own, and one is spared: zero may lie between two, then all move.
        room = last - first - (low < 0) - (high > 0) - 1
        step = np.where(low < high, (high - low) / room, 1.0)
        zero = first + (low < 0) + np.rint(-low / step)
        return cls(lowest, low, high, highest, first, last, zero, step)

    def sides(self) -> Iterator[tuple[int, Floats, Floats, Floats]]:
        """Yield of both sides on which values stand out: direction, the last level before, its worth, the end's."""
        for way, level, near, far in (
            (-1, self.first, self.low, self.lowest),
            (1, self.last, self.high, self.highest),
        ):
            if (near != far).any():
                yield way, level, near, far

    def worth(self, bits: int) -> NDArray[np.float32]:
        """Return what each level is worth, shape (K, 2 ** bits)."""
        every = np.arange(2.0**bits)
        values = np.clip((every - self.zero) * self.step, self.low, self.high)
        values = np.where(every == self.first, self.low, np.where(every == self.last, self.high, values))
        for way, level, near, far in self.sides():
            share = np.clip(way * (every - level) / _OUTER, 0.0, 1.0)
            values = np.where(share > 0, near + (far - near) * share, values)
        return values.astype(np.float32)


def has_levels(path: Path) -> bool:
    """Return whether the NPZ file of a result holds an array as levels; only its list of entries is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"{ENDS}.npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def packed(
    values: NDArray[Any], bits: int, fine: NDArray[Any] | None = None
) -> tuple[NDArray[np.uint8], Floats] | None:
    """Return an array as levels, and what they are worth.

    Parameters
    ----------
    values : ndarray of float32 or float16, shape (K, …) of at least three axes, or (H, W)
        Each of the first axis has levels of its own; of two axes, the whole.
    bits : int
        8 or 16. Of 8 bits only the outermost are for what stands out, such as a border.
    fine : ndarray of shape (K,), optional
        The absolute value of each map up to which levels are fine: where a picture's scale ends. By default half as
        much again as 99 % of the values do not exceed, where the largest is beyond that. 0 is as the largest.

    Returns
    -------
    levels : ndarray of uint8, shape (bits / 8, …)
        Differences along the last axis, which deflate best; of 16 bits the high bytes, then the low ones.
    ends : ndarray of float64, shape (K, 4)
        Lowest value, the ends between which levels are fine, highest value.

    None where a value is not finite, or the array of another kind.
    """
    if values.dtype not in (np.float16, np.float32) or values.ndim < 2 or not values.size:
        return None
    maps = values.reshape(len(values) if values.ndim > 2 else 1, -1).astype(np.float32, copy=False)
    lowest, highest = np.minimum(maps.min(axis=1), 0.0), np.maximum(maps.max(axis=1), 0.0)
    if not (np.isfinite(lowest) & np.isfinite(highest)).all():
        return None
    reach: NDArray[Any] = np.zeros(len(maps)) if bits == 16 else _reach(maps) if fine is None else fine
    reach = np.where((reach > 0) & (reach < np.maximum(-lowest, highest)), reach, np.inf)
    ends: Floats = np.stack(
        [lowest, np.maximum(lowest, -reach), np.minimum(highest, reach), highest], axis=1, dtype=np.float64
    )
    at = _Steps.of(ends, bits)
    levels = maps * (1 / at.step)
    np.rint(levels, out=levels)
    levels += at.zero
    np.copyto(levels, at.first, where=(maps <= at.low) & (at.low < 0))
    np.copyto(levels, at.last, where=(maps >= at.high) & (at.high > 0))
    for way, level, near, far in at.sides():
        share = (maps - near) / np.where(near == far, 1.0, far - near)
        outer = level + way * np.maximum(np.rint(share * _OUTER), 1)
        np.copyto(levels, outer, where=way * (maps - near) > 0)
    whole = levels.astype(np.uint8 if bits == 8 else np.uint16).reshape(values.shape)
    whole = np.diff(whole, axis=-1, prepend=whole.dtype.type(0))
    planes = [whole] if bits == 8 else [whole >> 8, whole & 0xFF]
    return np.stack(planes).astype(np.uint8, copy=False), ends


def _reach(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return half as much again as most values of each map, of some, do not exceed."""
    some = np.abs(maps[:, :: max(1, maps.shape[1] // _SOME)])
    common: NDArray[np.float32] = np.sort(some, axis=1)[:, int(_COMMON * (some.shape[1] - 1))]
    return _STANDS_OUT * common


def unpacked(levels: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.float32]:
    """Return the array that `packed` was given, as near as its levels tell.

    Raises
    ------
    ValueError
        If levels and ends are none of its.
    """
    shape = levels.shape[1:]
    count = shape[0] if len(shape) > 2 else 1
    kinds = levels.dtype == np.uint8 and ends.dtype == np.float64
    if not kinds or len(shape) < 2 or not levels.size or len(levels) > 2 or ends.shape != (count, 4):
        raise ValueError("does not fit its ends")
    if not (np.abs(ends) <= _LARGEST).all() or not (np.diff(np.insert(ends, 2, 0.0, axis=1)) >= 0).all():
        raise ValueError("has ends in no order")
    bits = 8 * len(levels)
    whole = levels[0] if bits == 8 else levels[0].astype(np.uint16) << 8 | levels[1]
    whole = np.cumsum(whole, axis=-1, dtype=whole.dtype).reshape(count, -1)
    found: NDArray[np.float32] = np.take_along_axis(_Steps.of(ends, bits).worth(bits), whole, axis=1)
    return found.reshape(shape)
