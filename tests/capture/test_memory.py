"""What becomes of memory between forward passes."""

import weakref

import pytest
import torch

from netviz.capture import memory
from netviz.capture.memory import joined, kept_memory


class Library:
    """As glibc; what is free goes back, down to what is in use."""

    def __init__(self, used: int) -> None:
        self.held = self.used = used
        self.trims = 0

    def mallopt(self, *_: int) -> None:
        pass

    def malloc_trim(self, _: int) -> None:
        self.trims += 1
        self.held = self.used


def peak(monkeypatch, library: Library, rounds: int, grows: int) -> int:
    """Return the most that is held after a round, if each leaves gaps."""
    monkeypatch.setattr(memory, "_library", lambda: library)
    monkeypatch.setattr(memory, "_held", lambda: library.held)
    most = 0
    with kept_memory() as give_back:
        for _ in range(rounds):
            library.held += grows
            give_back()
            most = max(most, library.held)
    return most


def test_what_is_kept_does_not_grow_with_the_rounds(monkeypatch):
    library = Library(1000)
    assert peak(monkeypatch, library, 1000, 15) < 1.2 * 1000
    assert 1 < library.trims < 1000 / 5


def test_what_is_needed_is_not_given_back_again_and_again(monkeypatch):
    library = Library(1000)

    def in_use() -> int:
        library.used = library.held
        return library.held

    monkeypatch.setattr(memory, "_library", lambda: library)
    monkeypatch.setattr(memory, "_held", in_use)
    with kept_memory() as give_back:
        for held in [1000] * 4 + [5000] * 1000:
            library.held = held
            give_back()
    assert library.trims < 25


def test_results_are_joined_as_they_come_and_none_is_kept():
    values = torch.randn(7, 3)
    alive: list[weakref.ref[torch.Tensor]] = []

    def parts():
        for first, last in ((0, 3), (3, 4), (4, 7)):
            assert not any(part() is not None for part in alive[:-1])
            part = values[first:last].clone()
            alive.append(weakref.ref(part))
            yield part
            del part

    assert torch.equal(joined(parts(), 7), values)
    assert not any(part() is not None for part in alive)


def test_numbers_are_of_the_kind_of_the_first():
    found = joined(iter([torch.ones(2, dtype=torch.float64)]), 2)
    assert found.dtype == torch.float64
    with pytest.raises(ValueError, match="no batch"):
        joined(iter(()), 0)
