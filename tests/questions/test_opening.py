"""Every question that opens a MODEL takes the same options, and refuses others by name."""

import inspect
import re
import typing
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netviz
from netviz.errors import NetvizWarning
from netviz.fcn.evaluation.measure import evaluate
from netviz.fcn.streams.measure import show
from netviz.images import Photo
from netviz.models import ModelOptions
from netviz.questions.opening import ImageOptions, InputOptions
from netviz.questions.runs import weights_print

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
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    given = {**ASKED, "model": network, "other": network, "data": tmp_path, "out": tmp_path / "run"}
    needed = {
        name: given[name]
        for name, parameter in inspect.signature(function).parameters.items()
        if name == "model" or (name != "options" and parameter.default is parameter.empty)
    }
    with pytest.raises(TypeError, match="sizes"):
        function(**needed, sizes=(32, 32))


@pytest.mark.parametrize("size", [224, (224,), (0, 32), (3, 32, 32), (32.5, 32), "32x32"])
@pytest.mark.parametrize("ask", [netviz.layers, netviz.field, netviz.maps], ids=lambda one: one.__name__)
def test_a_size_is_two_numbers(ask, size):
    given = {**ASKED, "fit": "full"} if ask is netviz.field else ASKED
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    asked = {name: given[name] for name in inspect.signature(ask).parameters if name in given}
    with pytest.raises(
        ValueError, match=re.escape(f"(height, width) in pixels, such as (224, 224), not {size!r}")
    ):
        ask(**{**asked, "model": network}, size=size)


@pytest.mark.parametrize("function", OPENING, ids=lambda one: one.__name__)
def test_options_are_typed_and_none_is_named_twice(function):
    parameters = inspect.signature(function).parameters
    (options,) = typing.get_args(parameters["options"].annotation)
    assert options in (ModelOptions, InputOptions, ImageOptions)
    assert not set(typing.get_type_hints(options)) & set(parameters)


class Between(nn.Module):
    """A convolution, and what its maps go through before their mean."""

    def __init__(self, between: typing.Callable[["Between", Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.slope = nn.RReLU()
        self.attention = nn.MultiheadAttention(4, 1, dropout=0.3, batch_first=True)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.between(self, self.conv(x)).flatten(1).mean(1, keepdim=True)


RANDOM = {
    "dropout that is always on": lambda m, x: F.dropout(x, 0.3),
    "noise": lambda m, x: x + torch.randn_like(x),
    "noise of a shape": lambda m, x: x + torch.rand(x.shape[-1], device=x.device),
    "noise in place": lambda m, x: x + torch.empty_like(x).normal_(),
    "noise of NumPy": lambda m, x: x * np.random.rand(),  # noqa: NPY002 - what is tested
    "pooling": lambda m, x: F.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.5)),
    "attention": lambda m, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1),
}
SETTLED = {
    "dropout": lambda m, x: m.drop(x),
    "random slopes": lambda m, x: m.slope(x),
    "attention": lambda m, x: m.attention(*[x.flatten(2).transpose(1, 2)] * 3)[0],
    "attention without dropout": lambda m, x: F.scaled_dot_product_attention(x, x, x),
}
"""What is random only in training."""


@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_network_is_told_once(kind):
    model = netviz.load(Between(RANDOM[kind]))
    with pytest.warns(NetvizWarning, match="draws random numbers .* answers differ from run to run"):
        index = netviz.layers(model, size=(16, 16))
    assert len(index.doubts) == 1
    netviz.maps(ASKED["image"], model=model, layer="conv", size=(16, 16))  # a second time would be an error


@pytest.mark.parametrize("kind", SETTLED)
def test_one_that_is_random_in_training_only_is_not(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert netviz.layers(Between(SETTLED[kind]), size=(16, 16)).doubts == ()


def test_a_network_with_an_empty_buffer_has_a_fingerprint():
    network = nn.Conv2d(3, 2, 1)
    before = weights_print(netviz.load(network))
    network.register_buffer("none", torch.empty(0).as_strided((0,), (0,)))
    assert weights_print(netviz.load(network)) != before
