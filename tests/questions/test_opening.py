"""Every question that opens a MODEL takes the same options, and refuses others by name."""

import inspect
import typing

import numpy as np
import pytest
from torch import nn

import netviz
from netviz.fcn.evaluation.measure import evaluate
from netviz.fcn.streams.measure import show
from netviz.images import Photo
from netviz.models import ModelOptions
from netviz.questions.opening import ImageOptions, InputOptions

ASKED = {
    "layer": "conv1",
    "layers": "conv1",
    "unit": 0,
    "image": Photo("dark", np.zeros((32, 32, 3), np.uint8)),
}
FUNCTIONS = [
    *(getattr(netviz, name) for name in sorted(netviz._HOMES)),
    show,
    evaluate,
]
OPENING = [
    one for one in FUNCTIONS if inspect.isfunction(one) and "options" in inspect.signature(one).parameters
]


def test_all_questions_that_open_a_model_are_looked_at():
    names = {one.__name__ for one in OPENING}
    wanted = (
        "contrast dense dissect field filters hypercolumn layers maps minimal occlusion patches segment stages "
        "survey"
    )
    assert set(wanted.split()) <= names


@pytest.mark.parametrize("function", OPENING, ids=lambda one: one.__name__)
def test_an_unknown_option_is_refused_by_name(function, tmp_path):
    given = {**ASKED, "model": nn.Sequential(nn.Conv2d(3, 4, 3)), "data": tmp_path, "out": tmp_path / "run"}
    needed = {
        name: given[name]
        for name, parameter in inspect.signature(function).parameters.items()
        if name == "model" or (name != "options" and parameter.default is parameter.empty)
    }
    with pytest.raises(TypeError, match="sizes"):
        function(**needed, sizes=(32, 32))


@pytest.mark.parametrize("function", OPENING, ids=lambda one: one.__name__)
def test_options_are_typed_and_none_is_named_twice(function):
    parameters = inspect.signature(function).parameters
    (options,) = typing.get_args(parameters["options"].annotation)
    assert options in (ModelOptions, InputOptions, ImageOptions)
    assert not set(typing.get_type_hints(options)) & set(parameters)
