import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from netviz.capture import trace
from netviz.capture.operations import MODULES, OPERATIONS, arguments, names
from netviz.fcn.casting import rewrite, rules
from netviz.geometry.incremental import rules as windowed
from netviz.geometry.rules.table import RULES
from netviz.questions.stages import chain

LAID_OUT = (
    "view", "squeeze", "unsqueeze", "permutation", "transposition", "moving", "convolution", "linear", "matmul",
    "attention", "einsum", "unbind", "select", "stack", "getitem", "reduction", "statistic", "vector norm",
)  # fmt: skip
ROOMS = {
    "geometry": set(RULES),
    "incremental inference": {
        *windowed.UNARY, *windowed.BINARY, *windowed.POOLS, *windowed._JOINING, *windowed._RESHAPING,
        *windowed._SWAPPING, *windowed._PARTING, *windowed._BATCHED,
        "conv2d", "pad", "batch_norm", "prelu", "contiguous", "permute", "getitem", "mean", "flatten",
    },
    "casting": {
        *rules.RULES, *rules._ADAPTIVE, *rules._FIXED, *rewrite.SHAPES, *rewrite.ATTENTION, *rewrite.PRODUCTS,
        *rewrite.REDUCTIONS, *rewrite.STATISTICS, *MODULES.values(),
    },
    "stages": {*chain._BARE, *chain._MOVES, *chain._LOOKED_THROUGH, *chain._MIXES, *chain._JOINING},
    "capture": {
        *trace._CONVOLVING, *names(*LAID_OUT),
        *names("constant"), *(name for name, one in OPERATIONS.items() if one.layer),
    },
}  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_in_a_room_is_in_the_table(room):
    assert ROOMS[room] <= set(OPERATIONS)


def test_every_name_in_the_table_is_for_a_room():
    assert set(OPERATIONS) == set().union(*ROOMS.values())


def test_what_geometry_does_not_follow_is_so_on_purpose():
    kinds = {OPERATIONS[name].kind for name in set(OPERATIONS) - set(RULES)}
    assert kinds == {
        "any attention", "channel softmax", "constant", "fractional pooling", "product", "ranking"
    }  # fmt: skip


def told(name: str) -> list[inspect.Parameter] | None:
    """What torch itself says of a function's parameters; None where it does not."""
    try:
        found = list(inspect.signature(getattr(functional, name)).parameters.values())
    except (AttributeError, ValueError):
        return None
    return None if any(one.kind is one.VAR_POSITIONAL for one in found) else found


@pytest.mark.parametrize("name", sorted(name for name in OPERATIONS if told(name)))
def test_parameters_are_those_of_torch(name):
    """Where torch tells a signature: the names in the table stand in the same order, with the same defaults."""
    known = told(name)
    assert known
    for (words, default), one in zip(OPERATIONS[name].parameters, known, strict=False):
        assert one.name in words
        if one.default is not one.empty:
            assert default == one.default


def test_arguments_are_read_by_position_by_keyword_and_from_a_module():
    image, weight = torch.zeros(1, 2, 5, 5), torch.zeros(3, 2, 3, 3)
    expected = {
        "input": image,
        "weight": weight,
        "bias": None,
        "stride": 2,
        "padding": 1,
        "dilation": 1,
        "groups": 1,
    }
    assert arguments("conv2d", (image, weight, None, 2, 1), {}) == expected
    assert arguments("conv2d", (image,), {"padding": 1, "weight": weight, "stride": 2}) == expected
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    assert arguments("conv2d", (image,), {}, layer)["stride"] == (2, 2)
    assert arguments("mean", (image,), {"axis": 1}) == {"input": image, "dim": 1, "keepdim": False}


@pytest.mark.parametrize("args", [(0, 3, 1, 2), ((0, 3, 1, 2),), ([0, 3, 1, 2],)])
def test_a_parameter_may_take_all_that_is_left(args):
    assert list(arguments("permute", (None, *args), {})["dims"]) == [0, 3, 1, 2]
    assert list(arguments("permute", (None,), {"dims": args[0] if len(args) == 1 else args})["dims"]) == [
        0,
        3,
        1,
        2,
    ]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no operation is of the kind 'convolutoin'"):
        names("pooling", "convolutoin")
