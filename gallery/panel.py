"""What the site asks of every panel."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .addresses import Addresses


def no_files(addresses: Addresses) -> Iterator[str]:
    """Yield nothing: a panel without files of its own."""
    yield from ()


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes
    ----------
    folders : tuple of str
        Names in a network's folder that are the panel's, of folders or of pages without ``.html``.
    files : callable
        Yields the address of every file that the panel writes for a network.
    words : tuple of callable
        What the templates may call of the panel, each by its own name.
    """

    folders: tuple[str, ...] = ()
    files: Callable[[Addresses], Iterator[str]] = no_files
    words: tuple[Callable[..., Any], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A kind of picture: its heading, how it is made, and the publications that it follows."""

    title: str
    text: str
    sources: tuple[str, ...] = ()
