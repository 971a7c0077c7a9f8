"""Names that come from a network or a user, made fit for a file or a folder of the site."""

import hashlib
import re
from collections.abc import Iterable

LONGEST = 80
"""Characters of a file name before its suffix; every file system in use takes three times as many."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_safe(name: str) -> bool:
    """Return whether a name may stand in a path and an address exactly as it is."""
    return len(name) <= LONGEST and _SAFE.fullmatch(name) is not None and not name.endswith(".")


def is_path(path: str) -> bool:
    """Return whether a relative path is made only of characters that netviz itself would write."""
    return all(_SAFE.fullmatch(part) for part in path.split("/"))


def safe_names(names: Iterable[str], reserved: Iterable[str] = ()) -> list[str]:
    """Turn names into file names: unique, plain ASCII, at most 80 characters.

    A name that is already safe stays as it is, so that its address lasts. Any other keeps its harmless
    characters and gains eight hexadecimal digits of its SHA-256, which no other name shares.

    Parameters
    ----------
    names : iterable of str
        Any text.
    reserved : iterable of str
        File names that are taken already.

    Returns
    -------
    list of str
        One per name, in the same order; no two are equal, also where upper and lower case are one.
    """
    taken = {name.casefold() for name in reserved}
    made = []
    for name in names:
        stem = name if is_safe(name) else _mended(name)
        unique, count = stem, 1
        while unique.casefold() in taken:
            count += 1
            unique = f"{stem}-{count}"
        taken.add(unique.casefold())
        made.append(unique)
    return made


def _mended(name: str) -> str:
    """Keep a name's harmless characters and mark it with its own hash."""
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[: LONGEST // 2].strip("-_")
    return f"{kept}-{digits}" if kept else digits
