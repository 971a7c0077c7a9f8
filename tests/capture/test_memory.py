"""What becomes of memory between forward passes."""

import weakref

import pytest
import torch

from netviz.capture.memory import joined


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
