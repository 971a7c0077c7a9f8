"""From numbers to colours, NumPy only."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from netviz.paper.style import BAD, LEVELS, colour_table
from netviz.paper.words import MINUS, number, percent

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scale:
    """What the colours of a picture mean.

    Attributes
    ----------
    low, high : float
        The values of the first and the last colour. Where `per_tile` is true they are relative: 1 stands
        for a tile's own largest absolute value.
    colours : str
        ``"diverging"`` (signed, zero in the middle), ``"sequential"`` (from zero up) or ``"rgb"``
        (three signed channels as a colour, zero is mid-grey).
    per_tile : bool
        Whether each tile (a filter, or a map) has its own scale.
    marks : tuple of (float, str)
        Values and what is written below them on a colour bar, where that are not the usual ticks.
    """

    low: float
    high: float
    colours: str
    per_tile: bool
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Values and what is written below them on a colour bar: by default both ends and the middle."""
        if self.marks:
            return self.marks
        if self.per_tile:
            signed = ((self.low, f"{MINUS}max"),) if self.low < 0 else ()
            return (*signed, (0.0, "0"), (self.high, "max"))
        return tuple((value, number(value)) for value in (self.low, (self.low + self.high) / 2, self.high))

    @property
    def note(self) -> str:
        """What its colours mean, in words."""
        if self.colours == "rgb":
            return "mid-grey is 0, brighter positive, darker negative, in each of red, green and blue"
        if self.colours == "diverging":
            return "white is 0, red positive, blue negative"
        return "black is 0, brighter is more" if self.ticks[0][1] == "0" else "brighter is higher"

    def limits(self, peak: float, floor: float = 0.0) -> tuple[float, float]:
        """Return the values of the first and last colour; of a tile with its own scale by its `peak` and `floor`."""
        if not self.per_tile:
            return self.low, self.high
        if floor:
            return floor, peak if peak > floor else floor + 1.0
        high = peak or 1.0
        return (-high if self.low < 0 else 0.0), high


def scale_for(low: float, high: float, per_tile: bool = False) -> Scale:
    """Return the scale of values in a range: with two equal sides if any is negative, else from zero up."""
    limit = max(-low, high) or 1.0
    return Scale(-limit if low < 0 else 0.0, limit, "diverging" if low < 0 else "sequential", per_tile)


def peak(values: NDArray[Any], within: float = 1.0) -> float:
    """Return the largest finite absolute value; 0 where there is none.

    Where `within` is below 1, return what that share of the finite values does not exceed, unless it is 0: a few
    large ones would leave no colour for all others.
    """
    low, high = finite_range(values)
    if within < 1 and max(-low, high) > 0:
        held = float(np.quantile(np.abs(values[np.isfinite(values)]), within))
        return held or max(-low, high)
    return max(-low, high)


_BORDER: Final = 28
"""A border is this part of a map's shorter side wide; maps that are not twice as long have none."""
_STANDS_OUT: Final = 1.5


def peak_inside(values: NDArray[Any]) -> float:
    """Return the largest finite absolute value of a map, of its border only where that does not stand out.

    A layer that pads its input answers to the edge that the padding makes, often by more than to anything in the
    image: then that alone would have the colours. So where the border's largest value is more than 1.5 times that of
    the rest, the rest's is returned.

    Parameters
    ----------
    values : ndarray of shape (H, W)
    """
    largest, side = peak(values), min(values.shape)
    if side < _BORDER // 2:
        return largest
    border = max(1, side // _BORDER)
    inside = peak(values[border:-border, border:-border])
    return inside if 0 < _STANDS_OUT * inside < largest else largest


def beyond(values: NDArray[Any], scale: Scale, peak: float = 1.0, floor: float = 0.0) -> int:
    """Return how many values lie beyond the ends of a scale, and take their colour."""
    low, high = scale.limits(peak, floor)
    return int(np.count_nonzero((values < low) | (values > high)))


def said_beyond(share: float) -> list[str]:
    """Say which share of the values lies beyond the ends of a scale; nothing where none does."""
    return [f"{percent(share)} of the values lie beyond its ends and take their colour"] if share else []


def finite_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and largest finite value; (0, 0) where there is none."""
    if not values.size:
        return 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = values[np.isfinite(values)]
        if not finite.size:
            return 0.0, 0.0
        low, high = float(finite.min()), float(finite.max())
    return low, high


def relative(values: NDArray[Any], peaks: Floats) -> Floats:
    """Divide each tile, along the first axis, by its peak; a tile whose peak is 0 stays as it is."""
    divisor = np.where(peaks > 0, peaks, 1.0).reshape(-1, *[1] * (values.ndim - 1))
    result: Floats = np.asarray(values, dtype=np.float64) / divisor
    return result


def colourise(shares: Floats, colours: str) -> Pixels:
    """Colour values that lie between -1 and 1 (sequential: 0 and 1).

    Parameters
    ----------
    shares : ndarray of shape (…); for ``"rgb"`` (…, 3)
        Values as shares of the scale's largest. NaN and infinity get a colour of their own.
    colours : str
        ``"diverging"``, ``"sequential"`` or ``"rgb"``.

    Returns
    -------
    ndarray of uint8, shape (…, 3)
    """
    bad = ~np.isfinite(shares)
    shares = np.where(bad, 0.0, shares)
    if colours == "rgb":
        pixels: Pixels = np.rint(127.5 + 127.5 * np.clip(shares, -1, 1)).astype(np.uint8)
        pixels[bad.any(axis=-1)] = BAD
        return pixels
    unit = shares if colours == "sequential" else 0.5 + 0.5 * shares
    # As matplotlib does: LEVELS equal bins, the top value belongs to the last.
    rows = np.clip(np.floor(unit * LEVELS), 0, LEVELS - 1).astype(np.intp)
    table = colour_table(colours)
    pixels = table[rows]
    pixels[bad] = BAD
    return pixels


def colour_bar(scale: Scale, *, width: int = LEVELS, height: int = 12) -> Pixels:
    """Return the colours of a scale from its low to its high end, for a legend.

    Parameters
    ----------
    scale : Scale
        Which colours.
    width, height : int
        Size in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        An ``"rgb"`` scale gives the greys that equal weights in all three channels have.
    """
    shares = np.linspace(0.0 if scale.colours == "sequential" else -1.0, 1.0, width)
    if scale.colours == "rgb":
        row = colourise(np.repeat(shares[:, None], 3, axis=1), "rgb")
    else:
        row = colourise(shares, scale.colours)
    return np.repeat(row[None], height, axis=0)
