"""Every operation alone, against the gradient."""

import pytest

from support.gradients import OPERATIONS, SIZES, alone


@pytest.mark.parametrize("size", [SIZES[0], pytest.param(SIZES[1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_field_after_one_operation_is_what_the_gradient_says(name, size):
    found = alone(OPERATIONS[name], size)
    assert found.status != "wrong", found.why
