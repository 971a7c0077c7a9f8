"""Every error that netviz raises on purpose.

::

    NetvizError
    ├── ModelError              a MODEL that cannot be opened, recognised or run
    │   ├── UntrustedError      it would have to run code from the file: needs trust
    │   └── MissingWeightsError a known network whose weights are not on this machine
    ├── LayerError              a layer or unit that the network does not have, or that cannot serve
    ├── ImageError              an image that cannot be read, or that the network cannot take
    ├── ResultError             a result file that netviz did not write, or that is damaged
    └── OutputError             a picture or file that cannot be written

A message is one line: what is wrong, with which value, and what to do. What only makes an answer doubtful is a
`NetvizWarning`.
"""

import difflib
from collections.abc import Iterable


def printable(text: str) -> str:
    """Return a line with what is not printable replaced, so that no name out of a file steers a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def closest(word: str, words: Iterable[str], most: int = 3) -> str:
    """Return ``; the closest: …`` with the words that look like what was typed, or nothing where none does."""
    close = difflib.get_close_matches(word, list(words), n=most, cutoff=0.5)
    return f"; the closest: {', '.join(close)}" if close else ""


class NetvizWarning(UserWarning):
    """What a user should know of an answer that netviz gives all the same; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


class NetvizError(Exception):
    """A mistake that the user can mend; the message is one line that says how."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


class ModelError(NetvizError):
    """A MODEL that cannot be opened, recognised or run."""


class UntrustedError(ModelError):
    """Opening the file would run code that is stored in it."""


class MissingWeightsError(ModelError):
    """A known network whose weights are not on this machine."""


class LayerError(NetvizError):
    """A layer or unit that the network does not have, or that cannot serve."""


class ImageError(NetvizError):
    """An image that cannot be read, or that the network cannot take."""


class ResultError(NetvizError):
    """A result file that netviz did not write, or that is damaged."""


class OutputError(NetvizError):
    """A picture or file that cannot be written."""
