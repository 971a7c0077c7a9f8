import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from netviz.results.base import KINDS, Arrays, Result
from netviz.results.validate import build


@pytest.fixture(scope="module")
def good():
    @dataclass(frozen=True)
    class Toy(Result):
        kind: ClassVar[str] = "toy"
        axes: ClassVar[dict[str, str]] = {
            "maps": "units rows columns",
            "label": "names",
            "chosen": "picked?",
            "scores": "picked?",
            "colour": "* 3",
            "levels": "* *",
            "units": "units",
        }
        ranges: ClassVar[dict[str, str]] = {"maps": "any"}

        maps: NDArray[np.float32]
        label: NDArray[np.str_]
        chosen: NDArray[np.int64]
        scores: NDArray[np.float64] | None
        colour: NDArray[np.uint8]
        weight: NDArray[Any]
        levels: Arrays
        units: int
        names: tuple[str, ...]
        pair: tuple[int, float] | None
        told: dict[str, dict[str, Any]]
        sure: bool

    yield Toy(
        maps=np.zeros((2, 3, 4), np.float16),
        label=np.array(["a", "b", "c"]),
        chosen=np.zeros(0, np.int32),
        scores=np.zeros(0),
        colour=np.zeros((5, 3), np.uint8),
        weight=np.zeros((), np.float32),
        levels={"one": np.zeros((1, 2)), "two": np.zeros((3, 1))},
        units=2,
        names=("a", "b", "c"),
        pair=(1, 2),
        told={"a": {"b": [None]}},
        sure=True,
    )
    del KINDS["toy"]


def read(good, **changes):
    """Make a result of what its file would hold, with something changed."""
    arrays = {name: one for name, one in {**good.arrays(), **changes}.items() if isinstance(one, np.ndarray)}
    levels = changes.pop("levels", {})
    facts = {**good.facts(), **changes}
    return build(
        type(good), {name: one for name, one in facts.items() if name not in arrays}, {**arrays, **levels}
    )


def test_what_fits_has_no_problem(good):
    found = read(good)
    assert found.arrays().keys() == good.arrays().keys()
    assert found.facts() == good.facts()
    assert (read(good, scores=None, pair=None).scores, read(good, scores=None, pair=None).pair) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"maps": np.zeros((2, 3))}, "maps has the shape 2×3, not units × rows × columns"),
        ({"maps": np.zeros((3, 3, 4))}, "maps has the shape 3×3×4, not 2 for 'units'"),
        ({"maps": np.zeros((2, 0, 4))}, "maps has the shape 2×0×4: it is empty"),
        ({"maps": np.zeros((2, 3, 4), int)}, "maps holds int64, not numbers"),
        ({"maps": np.zeros((2, 3, 4), complex)}, "maps holds complex128, not numbers"),
        (
            {"maps": np.full((2, 3, 4), -1e308)},
            "maps holds -1e+308, which is not in -3.40282e+38 … 3.40282e+38",
        ),
        ({"maps": 3}, "maps is no array"),
        ({"maps": None}, "maps is missing"),
        ({"label": np.array(["a"])}, "label has the shape 1, not 3 for 'names'"),
        ({"label": np.zeros(3)}, "label holds float64, not texts"),
        ({"chosen": np.zeros(2, np.int64)}, "scores has the shape 0, not 2 for 'picked'"),
        ({"chosen": np.zeros(0)}, "chosen holds float64, not whole numbers"),
        ({"colour": np.zeros((5, 4), np.uint8)}, "colour has the shape 5×4, not 3 for '3'"),
        ({"weight": np.array("x")}, "weight holds <U1, not numbers"),
        ({"levels": {"one": np.zeros(2)}}, "'one' has the shape 2, not * × *"),
        ({"units": 2.0}, "units is 2.0, no whole number"),
        ({"units": True}, "units is True, no whole number"),
        ({"names": "abc"}, "names is 'abc', no list of texts"),
        ({"names": ("a", "b", 3)}, "names[2] is 3, no text"),
        ({"pair": (1, 2, 3)}, "pair is (1, 2, 3), no list of 2 whole numbers"),
        ({"pair": (1.5, 2.0)}, "pair[0] is 1.5, no whole number"),
        ({"told": {"a": 1}}, "told['a'] is 1, no object"),
        ({"told": []}, "told is [], no object"),
        ({"sure": 1}, "sure is 1, no true or false"),
    ],
)
def test_what_does_not_fit_is_named(good, changes, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        read(good, **changes)
