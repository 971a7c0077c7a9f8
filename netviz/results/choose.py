"""What a user may give one or several of, and the choice of units from what is typed, without torch."""

import re
from collections.abc import Iterable
from typing import Any

from netviz.errors import LayerError


def several(given: Any) -> tuple[Any, ...]:
    """Return what was given, one or several of a kind, as a tuple: a text, a path or a number is one."""
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else (given,)


def choose_units(units: int | str | Iterable[int] | None, channels: int, where: str) -> list[int] | None:
    """Return the unit numbers that a user asked for, in that order; None if nothing was asked.

    Parameters
    ----------
    units : int, str or iterable of int
        One, or several: ``0:16`` (a range as in Python), ``3,7``, or both: ``0:4,9``.
    channels : int
        How many units the layer has; negative numbers count from its end.
    where : str
        The layer's name, for the message.

    Raises
    ------
    LayerError
        If a unit does not exist, or the text is no list of units.
    """
    if units is None:
        return None
    chosen: list[int] = []
    parts: Iterable[str | int] = units.split(",") if isinstance(units, str) else several(units)
    for part in parts:
        span = re.fullmatch(r"\s*(-?\d*):(-?\d*)\s*", part) if isinstance(part, str) else None
        if span:
            first, last = (int(text) if text else None for text in span.groups())
            chosen.extend(range(channels)[slice(first, last)])
            continue
        try:
            number = int(part)
        except ValueError:
            raise LayerError(f"{units!r} is no list of units; write 0:16 or 3,7") from None
        if not -channels <= number < channels:
            raise LayerError(f"layer {where} has no unit {number}: its units are 0 to {channels - 1}")
        chosen.append(number % channels)
    if not chosen:
        raise LayerError(f"{units!r} chooses no unit: layer {where} has units 0 to {channels - 1}")
    return list(dict.fromkeys(chosen))
