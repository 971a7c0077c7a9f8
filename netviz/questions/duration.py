"""How long work will take, told before it begins."""

import warnings

from netviz.errors import NetvizWarning

LONG = 120.0
"""Seconds; of what takes longer a user is told before it begins."""


def warn_if_long(seconds: float, what: str, remedy: str) -> None:
    """Say that work takes long, and what makes it less.

    Parameters
    ----------
    seconds : float
        About how long it takes.
    what : str
        The work: "8 places of the patch on cat, 2 s each, take".
    remedy : str
        What makes it less.
    """
    if seconds > LONG:
        warnings.warn(NetvizWarning(f"{what} about {duration(seconds)}; {remedy}"), stacklevel=3)


def duration(seconds: float) -> str:
    """Return a length of time in words.

    Examples
    --------
    >>> duration(0.123), duration(75), duration(5400), duration(1e6)
    ('0.12 s', '75 s', '90 minutes', '12 days')
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    for unit, length, most in (("s", 1, 120), ("minutes", 60, 120), ("hours", 3600, 48)):
        if seconds < most * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
