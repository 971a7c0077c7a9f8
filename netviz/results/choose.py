"""The choice of units from what a user types, without torch."""

import re
from collections.abc import Iterable, Sequence

from netviz.errors import LayerError


def choose_units(units: str | Iterable[int] | None, channels: int, where: str) -> list[int] | None:
    """Return the unit numbers that a user asked for, in that order; None if nothing was asked.

    Parameters
    ----------
    units : str or iterable of int
        ``0:16`` (a range as in Python), ``3,7``, or both: ``0:4,9``.
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
    parts: Sequence[str | int] = units.split(",") if isinstance(units, str) else list(units)
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
