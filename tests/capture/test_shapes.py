"""What netviz itself answers on the meta device is what torch gives on the processor."""

import itertools
import operator

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netviz.capture.shapes import shaped

X = torch.rand(1, 8, 9, 7)
LAST = X.to(memory_format=torch.channels_last)
ROW = torch.rand(8)
W = torch.rand(6, 4, 3, 2)
TOKENS = torch.rand(2, 5, 8)

ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "hardswish"),
    *("hardsigmoid", "hardtanh", "softshrink", "hardshrink", "softsign", "tanhshrink", "sigmoid", "tanh"),
)

CALLS = [
    *((getattr(F, name), (image,), {}) for name in ACTIVATIONS for image in (X, LAST, TOKENS)),
    *((getattr(F, name), (X, True), {}) for name in ("relu", "relu6", "silu", "hardswish", "hardsigmoid")),
    (F.leaky_relu, (X, 0.1), {"inplace": True}),
    (torch.relu_, (X,), {}),
    (torch.Tensor.sigmoid_, (X,), {}),
    *((getattr(torch, name), (X,), {}) for name in ("exp", "log", "sqrt", "rsqrt", "neg")),
    *((F.batch_norm, (image, ROW, ROW, ROW, ROW), {}) for image in (X, LAST, torch.rand(3, 8))),
    (F.batch_norm, (X, ROW, ROW), {"eps": 1e-3}),
    (F.layer_norm, (TOKENS, (8,), ROW, ROW), {}),
    *((F.layer_norm, (one.permute(0, 2, 3, 1), (8,), ROW, ROW), {}) for one in (X, LAST)),
    (F.layer_norm, (TOKENS.transpose(1, 2), (5,)), {}),
    (F.group_norm, (X, 4, ROW, ROW), {}),
    *((operator.add, pair, {}) for pair in ((LAST, LAST), (LAST, X), (X, LAST), (LAST, 2))),
    (operator.add, (LAST, ROW.view(8, 1, 1)), {}),
    *((operator.mul, pair, {}) for pair in ((ROW.view(8, 1, 1), LAST), (LAST[:, :, :1, :1] * 1, LAST))),
    (torch.Tensor.add_, (LAST, X), {}),
    *((F.conv2d, (LAST, W, ROW[:6] * 1, 1, padding, 1, 2), {}) for padding in (0, 1)),
    (F.conv2d, (LAST, torch.rand(8, 1, 3, 3)), {"padding": 1, "groups": 8}),
    (F.conv2d, (LAST, torch.rand(4, 8, 9, 7)), {}),
    *((one, (LAST, 2), {}) for one in (F.max_pool2d, F.avg_pool2d)),
    *((F.adaptive_avg_pool2d, (LAST, size), {}) for size in (1, (3, 2))),
    *((one, pair, {}) for one in (operator.add, operator.mul) for pair in ((X, X), (X, 2), (X, X[:, :, :1, :1] * 1))),
    *((one, (X, X), {}) for one in (torch.add, torch.sub, torch.div, torch.maximum, torch.Tensor.__iadd__)),
    *((one, (X, 2.5), {}) for one in (torch.Tensor.__radd__, torch.Tensor.__rmul__, torch.Tensor.__rsub__)),
    (torch.Tensor.add_, (X, ROW.view(1, 8, 1, 1)), {}),
    (operator.mul, (ROW.view(8, 1, 1), X), {}),
    *(
        (F.conv2d, (X, W, bias, stride, padding, dilation, 2), {})
        for bias, stride, padding, dilation in itertools.product(
            (None, ROW[:6] * 1), (1, (2, 3)), (0, (1, 2)), (1, 2)
        )
    ),
    (F.conv1d, (TOKENS, torch.rand(4, 5, 3)), {"padding": 1}),
    *(
        (one, (X, kernel), {"stride": stride, "padding": padding, "ceil_mode": ceil})
        for one in (F.max_pool2d, F.avg_pool2d)
        for kernel, stride, padding, ceil in itertools.product((2, (3, 2)), (None, 1, 3), (0, 1), (False, True))
    ),
    (F.max_pool2d, (X, 3), {"dilation": 2, "ceil_mode": True}),
    (F.linear, (TOKENS, torch.rand(3, 8), torch.rand(3)), {}),
    *((F.adaptive_avg_pool2d, (X, size), {}) for size in (1, (3, 2), (None, 4))),
    *((torch.cat, ([X, X[:, :3] * 1], axis), {}) for axis in (1, -3)),
    *((torch.mean, (X, axes), {"keepdim": keep}) for axes in (1, (2, 3), [-1, -2]) for keep in (False, True)),
    (torch.Tensor.mean, (X,), {}),
    *((F.interpolate, (X,), {"scale_factor": scale, "mode": "bilinear"}) for scale in (2, 0.3, (1.7, 2.1))),
    (F.interpolate, (X, (4, 20)), {"mode": "nearest"}),
]  # fmt: skip


def on_meta(value):
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), device="meta")
    if isinstance(value, list | tuple):
        return type(value)(map(on_meta, value))
    return value


@torch.no_grad()
def test_shapes_layouts_and_writes_are_those_of_the_processor():
    for function, args, kwargs in CALLS:
        real, meta = (
            [one.clone() if isinstance(one, torch.Tensor) else one for one in args],
            list(map(on_meta, args)),
        )
        expected, found = function(*real, **kwargs), shaped(function, tuple(meta), kwargs)
        told = f"{function} of {[getattr(one, 'shape', one) for one in args]}, {kwargs}"
        assert found is not None, told
        assert (found.shape, found.stride(), found.dtype) == (
            expected.shape,
            expected.stride(),
            expected.dtype,
        ), told
        assert (found is meta[0]) == (expected is real[0]), told
        written = [one for one in args if isinstance(one, torch.Tensor)] and real[0]
        if isinstance(written, torch.Tensor):
            assert (meta[0]._version > 0) == (written._version > X._version), told


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (F.batch_norm, (X, ROW, ROW), {"training": True}),
        (F.batch_norm, (X, ROW[:3], ROW[:3]), {}),
        (F.conv2d, (X, W), {}),  # channels that do not fit
        (F.conv2d, (X, W), {"groups": 2, "padding": "same"}),
        (F.conv2d, (X, W.to(memory_format=torch.channels_last)), {"groups": 2}),
        (torch.add, (LAST, X[:, :, :, :1] * 1), {}),
        (F.conv2d, (X[..., :2, :1] * 1, W), {"groups": 2}),  # too small
        (F.linear, (TOKENS, torch.rand(3, 7)), {}),
        (F.max_pool2d, (X, 2), {"padding": 2}),
        (F.max_pool2d, (X, 2), {"return_indices": True}),
        (torch.cat, ([X, X[..., :2] * 1], 1), {}),
        (torch.add, (X, ROW), {}),
        (torch.add, (X, X), {"alpha": 2}),
        (torch.add, (X, True), {}),
        (torch.mul, (X, 2j), {}),
        (F.relu, (X.transpose(1, 2),), {}),
        (F.rrelu, (X, 0.1, 0.3, True), {}),
        (torch.mean, (X, 4), {}),
        (torch.mean, (X, 1), {"dtype": torch.float64}),
        (F.interpolate, (X,), {"scale_factor": 2, "size": 3}),
        (torch.exp, (X,), {"out": X}),
    ],
)  # fmt: skip
@torch.no_grad()
def test_what_is_not_plain_is_left_to_torch(function, args, kwargs):
    assert shaped(function, tuple(map(on_meta, args)), kwargs) is None


def test_only_passes_without_values_gradients_and_casts_are_answered():
    weight = nn.Parameter(torch.empty(8, device="meta"))
    assert shaped(F.relu, (weight,), {}) is None
    with torch.no_grad():
        assert shaped(F.relu, (weight,), {}).shape == (8,)
        assert shaped(F.relu, (ROW,), {}) is None
        assert shaped(F.relu, (weight.to(torch.complex64),), {}) is None
        with torch.autocast("cpu"):
            assert shaped(F.relu, (weight,), {}) is None
