"""The command lines that make the pictures, as a page prints them."""

import shlex
from collections.abc import Sequence


def command(verb: str, *words: str) -> str:
    """Write a command line, quoted for a shell, on one line."""
    return shlex.join(["netviz", verb, *(" ".join(word.split()) for word in words)])


def sized(size: Sequence[int] | None) -> list[str]:
    """Return the words that ask for an input size, if one has to be asked for."""
    return [] if size is None else ["--size", "x".join(map(str, size))]
