"""Fields of whole networks, against the gradient: one network of each of timm's families."""

import importlib.util
from pathlib import Path

import pytest

from support.gradients import at_two_sizes, families, parameters

MANY = 13_000_000


def _modules() -> list[str]:
    """Return the files of timm's networks, without importing it."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return []
    return sorted(path.stem for path in (Path(spec.origin).parent / "models").glob("[a-z]*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("family", _modules())
def test_the_gradient_of_a_network_s_layers_lies_in_their_fields(family):
    name = families().get(family)
    if name is None:
        pytest.skip("no networks of its own")
    if parameters(name) > MANY:
        pytest.skip(f"{name} is large: benchmarks/fields.py networks {name}")
    found = [one for _, _, verdicts in at_two_sizes(name, 4) for one in verdicts]
    assert found
    assert not [one.why for one in found if one.status == "wrong"]
