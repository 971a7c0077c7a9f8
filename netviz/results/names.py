"""Names that come from a network or a user, made fit for files."""

import re

IN_PACKAGES = ("skimage:", "package:")
"""How names of images begin that lie in packages: the same from any folder."""


def slug(name: str) -> str:
    """Return a name as a file name: letters, digits, ``.``, ``-`` and ``_`` only, 80 characters at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "x"


def unique_name(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, also where a file system does not see capitals.

    Parameters
    ----------
    name : str
    taken : set of str
        Case-folded; the name that is returned is added to it.

    Returns
    -------
    str
        The name itself, or with ``-2``, ``-3``, … behind it.
    """
    unique, number = name, 1
    while unique.casefold() in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique.casefold())
    return unique
