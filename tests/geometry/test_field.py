"""Geometry against published tables and fields worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netviz.capture import index_layers
from netviz.errors import LayerError, ModelError
from netviz.geometry.field import Field, geometry
from netviz.models.builders import build_torchvision
from netviz.models.layers import index_weights
from support.gradients import support
from support.network import state_of


def fields_of(network: nn.Module, size=(224, 224), channels=3) -> dict[str, Field]:
    index = index_layers(network, size=size, channels=channels)
    fields = geometry(network, index)
    assert list(fields) == [layer for layer in index if layer.spatial]
    return {name: field for layer, field in fields.items() for name in (layer.name, layer.alias, *layer.also)}


class Does(nn.Module):
    """A network that is one function of the image, between two convolutions 1 × 1."""

    def __init__(self, what, channels=4):
        super().__init__()
        self.first = nn.Conv2d(3, channels, 1)
        self.what = what
        self.last = nn.Conv2d(channels, 2, 1)

    def forward(self, x):
        return self.last(self.what(self.first(x)))


def field_after(what, size=(16, 12)) -> Field:
    return fields_of(Does(what), size)["last"]


def triple(field: Field) -> tuple:
    return field.size, field.stride, field.start


# Published: Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
PUBLISHED = {
    "alexnet": {
        "conv1": 11,
        "pool1": 19,
        "conv2": 51,
        "pool2": 67,
        "conv3": 99,
        "conv4": 131,
        "conv5": 163,
        "pool5": 195,
    },
    "vgg16": {"pool1": (6, 2), "pool2": (16, 4), "pool3": (44, 8), "pool4": (100, 16), "pool5": (212, 32)},
    "resnet50": {"layer1": (35, 4), "layer2": (91, 8), "layer3": (267, 16), "layer4": (427, 32)},
}
# Worked out by hand: a window of k at a stride of j so far adds (k - 1) * j.
BY_HAND = {
    "googlenet": {
        "maxpool2": (27, 8),
        "inception3a.branch1.conv": (27, 8),
        "inception3a.branch2.1.conv": (43, 8),
        "inception3a.branch3.1.conv": (43, 8),
        "inception3a.branch4.1.conv": (43, 8),
        "inception3b.branch1.conv": (43, 8),
    },
    "inception_v3": {
        "maxpool2": (31, 8),
        "Mixed_5b.branch5x5_2.conv": (63, 8),
        "Mixed_6a.branch3x3.conv": (143, 16),
        "Mixed_6a.branch3x3dbl_3.conv": (159, 16),
        "Mixed_6b.branch7x7_2.conv": ((159, 255), 16),
        "Mixed_6b.branch7x7_3.conv": (255, 16),
        "Mixed_6b.branch7x7dbl_2.conv": ((255, 159), 16),
        "Mixed_6b.branch7x7dbl_5.conv": (351, 16),
    },
    "densenet121": {
        "features.denseblock1.denselayer6.conv2": (59, 4),
        "features.transition1": (63, 8),
        "features.denseblock2.denselayer12.conv2": (255, 8),
        "features.denseblock3.denselayer24.conv2": (1031, 16),
        "features.denseblock4.denselayer16.conv2": (2071, 32),
    },
    "shufflenet_v2_x1_0": {"maxpool": (7, 4), "stage2": (63, 8), "stage3": (303, 16), "stage4": (527, 32)},
    "mnasnet1_0": {"layers.8": (27, 4), "layers.9": (107, 8), "layers.10": (267, 16), "layers": (843, 32)},
    "convnext_tiny": {
        "features.0": (4, 4),
        "features.1.0.block.0": (28, 4),
        "features.1": (76, 4),
        "features.2": (80, 8),
        "features.3": (224, 8),
        "features.5": (1096, 16),
        "features.7": (1688, 32),
    },
    # Dilation in place of stride: the fields of ResNet-50, at a stride of 8; then 3 × 3, then bilinear by 8, whose
    # 16 phases reach 15/16 of a position to either side.
    "fcn_resnet50": {
        "backbone.layer2": (91, 8),
        "backbone.layer3": (267, 8),
        "backbone.layer4": (427, 8),
        "classifier.0": (443, 8),
        "interpolate": (443 + 8 * 30 / 16, 1),
    },
}
STATUS = {
    "alexnet": {"conv5": "exact"},
    "resnet50": {"maxpool": "exact", "layer1.0.conv1": "exact", "layer1": "exact", "avgpool": "global"},
    "googlenet": {"inception3a.branch2.1.conv": "exact", "inception3b.branch1.conv": "exact"},
    "convnext_tiny": {"features.1.0.block.0": "exact", "features.1": "exact"},
    "fcn_resnet50": {"interpolate": "upper_bound"},
}


@pytest.mark.parametrize("name", [*PUBLISHED, *BY_HAND])
def test_fields_of_known_networks(name):
    fields = fields_of(
        build_torchvision(name, meta=True), (299, 299) if name == "inception_v3" else (224, 224)
    )
    for layer, expected in (PUBLISHED.get(name) or BY_HAND[name]).items():
        size, stride = expected if isinstance(expected, tuple) else (expected, None)
        field = fields[layer]
        assert field.size == (size if isinstance(size, tuple) else (size, size)), layer
        assert stride is None or field.stride == (stride, stride), layer
    for layer, status in STATUS.get(name, {}).items():
        assert fields[layer].status == status, layer


def test_squeeze_and_excitation_sees_everything():
    fields = fields_of(build_torchvision("efficientnet_b0", meta=True), (96, 160))
    before = fields["features.1.0.block.0"]
    assert (before.size, before.status) == ((7, 7), "exact")
    for name in (
        "features.1.0.block.1.avgpool",
        "features.1.0.block.1",
        "features.1.0.block.2.0",
        "features.8",
    ):
        field = fields[name]
        assert (*triple(field), field.status) == ((96, 160), (0, 0), (0, 0), "global"), name
        assert field.box(3, 2) == (0, 0, 96, 160)


def test_functions_alone_make_a_network():
    weight = torch.randn(4, 3, 3, 5)

    class Functional(nn.Module):
        def forward(self, x):
            x = F.relu(F.conv2d(x, weight, stride=(2, 1), padding=(1, 2)))
            skip = F.avg_pool2d(x, 2)
            x = F.max_pool2d(x, (2, 2))
            return F.max_pool2d(torch.cat([x, skip], 1).tanh_(), 3, dilation=2)

    fields = fields_of(Functional(), (33, 40))
    assert triple(fields["conv2d"]) == ((3, 5), (2, 1), (-1, -2))
    assert triple(fields["avg_pool2d"]) == triple(fields["max_pool2d"]) == ((5, 6), (4, 2), (-1, -2))
    assert triple(fields["max_pool2d_1"]) == ((5 + 4 * 4, 6 + 4 * 2), (4 * 3, 2 * 3), (-1, -2))
    assert {field.status for field in fields.values()} == {"exact"}


def test_branches_that_disagree_give_their_hull():
    field = field_after(lambda x: F.avg_pool2d(x, (3, 1), 1, (1, 0)) + F.avg_pool2d(x, (1, 5), 1, (0, 2)))
    assert (*triple(field), field.status) == ((3, 5), (1, 1), (-1, -2), "upper_bound")


def test_rows_and_columns_are_followed_through_reshapes():
    def turned(x):
        n, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2).reshape(n, h, w, c)[:, 2:, 1::3]
        return F.max_pool2d(y.permute(0, 3, 1, 2).contiguous(), (2, 1), 1)

    assert (*triple(field_after(turned)), field_after(turned).status) == ((2, 1), (1, 3), (2, 1), "exact")


def test_space_to_depth_by_views_is_exact_once_the_channels_are_summed():
    def blocks(x):
        n, c, h, w = x.shape
        y = x.view(n, c, h // 2, 2, w // 4, 4).permute(0, 1, 3, 5, 2, 4).reshape(n, c * 8, h // 2, w // 4)
        return F.conv2d(y, torch.ones(4, c * 8, 3, 1, device=x.device), padding=(1, 0))

    field = field_after(blocks)
    assert (*triple(field), field.status) == ((6, 4), (2, 4), (-2, 0), "exact")


def test_attention_in_windows_sees_its_window():
    def windows(x):
        n, c, h, w = x.shape
        y = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        y = torch.softmax(y @ y.transpose(1, 2), -1) @ y
        y = y.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        return x + y

    field = field_after(windows)
    assert field.status == "upper_bound"
    for row in range(16):
        for col in range(12):
            top, left, bottom, right = field.box(row, col)
            assert top <= row // 4 * 4 < row // 4 * 4 + 4 <= bottom
            assert left <= col // 4 * 4 < col // 4 * 4 + 4 <= right
    assert max(field.size) <= 4 + 3


def tokens(x):
    n, c, h, w = x.shape
    y = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(y, y, y).transpose(1, 2).reshape(n, c, h, w)


def gate_of_strips(x):
    return x * x.mean(3, keepdim=True) * x.mean(2, keepdim=True)


@pytest.mark.parametrize(
    "what",
    [
        lambda x: x * x.mean((2, 3), keepdim=True),
        lambda x: x + F.adaptive_max_pool2d(x, 1),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: F.group_norm(x, 2),
        lambda x: F.instance_norm(x),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: x.softmax(3).softmax(2),
        lambda x: x / x.flatten(1).norm(2, 1).view(-1, 1, 1, 1),
        lambda x: F.interpolate(F.adaptive_avg_pool2d(x, 1), (16, 12)) + x,
        tokens,
        gate_of_strips,
    ],
)
def test_operations_over_all_positions_are_global(what):
    field = field_after(what)
    assert (*triple(field), field.status) == ((16, 12), (0, 0), (0, 0), "global")


@pytest.mark.parametrize(
    "what",
    [
        lambda x: F.layer_norm(x.movedim(1, -1), (4,)).movedim(-1, 1),
        lambda x: F.local_response_norm(x, 3),
        lambda x: x.softmax(1),
        lambda x: F.normalize(x),
        lambda x: torch.channel_shuffle(x, 2),
        lambda x: torch.where(x > 0, x, 0.1 * x).clamp_(0, 6),
        lambda x: torch.einsum("nchw,cd->ndhw", x, torch.ones(4, 4, device=x.device)),
        lambda x: torch.stack(x.unbind(1), 1) + x.roll(1, 1) + x[:, [1, 0, 3, 2]],
        lambda x: 1 - x.sigmoid() ** 2 / 3,
        lambda x: F.glu(torch.cat([x, x], 1), 1),
        lambda x: x + torch.zeros_like(x).add_(1),
        lambda x: F.interpolate(x, (16, 12), mode="bilinear"),
    ],
)
def test_operations_at_each_position_change_nothing(what):
    field = field_after(what)
    assert (*triple(field), field.status) == ((1, 1), (1, 1), (0, 0), "exact")


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        with torch._C.DisableTorchFunction():
            return x * 2


def through_a_view(x):
    x[:, :1].mul_(x.mean())
    return x


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (
            lambda x: F.grid_sample(x, torch.zeros(1, 4, 4, 2, device=x.device), align_corners=False),
            "grid_sample",
        ),
        (lambda x: torch.fft.fft2(x).real, "fft_fft2"),
        (lambda x: F.fractional_max_pool2d(x, 2, output_size=3), "fractional_max_pool2d"),
        (lambda x: x[..., x.sum((0, 1, 2)).argsort()], "getitem"),
        (lambda x: x * float(x.max()), "float"),
        (lambda x: x + torch.from_numpy(x.detach().numpy() * 2), "numpy"),
        (through_a_view, "view"),
        (lambda x: x + Hidden.apply(x), "torch does not show"),
    ],
)
def test_what_cannot_be_followed_is_unknown_and_named(what, named):
    field = field_after(what)
    assert field.status == "unknown"
    assert named in field.reason
    assert all(math.isnan(value) for pair in triple(field) for value in pair)
    with pytest.raises(LayerError, match="unknown"):
        field.box(0, 0)


def hidden(x):
    return torch.ones(16, 12, dtype=torch.bool, device=x.device).tril()


@pytest.mark.parametrize(
    "what",
    [
        lambda x: x * hidden(x),
        lambda x: x.mul_(hidden(x)),
        lambda x: x.masked_fill(hidden(x), 0),
        lambda x: torch.where(hidden(x), x, torch.ones(1, device=x.device)),
        lambda x: hidden(x) / x,
        lambda x: torch.lerp(x, torch.ones(1, device=x.device), hidden(x).to(x.dtype)),
    ],
)
def test_what_a_constant_map_may_hide_is_no_more_than_a_bound(what):
    field = field_after(what)
    assert (*triple(field), field.status) == ((1, 1), (1, 1), (0, 0), "upper_bound")
    everything = field_after(lambda x: what(x).mean((2, 3), keepdim=True))
    assert (*triple(everything), everything.status) == ((16, 12), (0, 0), (0, 0), "upper_bound")


def test_a_mask_hides_tokens_from_attention():
    def causal(x):
        y = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(y, y, y, is_causal=True).transpose(1, 2).reshape(x.shape)

    assert field_after(causal).status == field_after(lambda x: x.cumsum(2).cumsum(3)).status == "upper_bound"


@pytest.mark.parametrize(
    ("what", "rows", "columns"),
    [
        (lambda x: x[:, :, 3:-2, 1:].mean((2, 3), keepdim=True), (3, 14), (1, 12)),
        (lambda x: F.avg_pool2d(x, 2, 5).mean((2, 3), keepdim=True), (0, 12), (0, 12)),
        (lambda x: F.avg_pool2d(x[:, :, 4:], 3, 1, 1).mean((2, 3), keepdim=True), (4, 16), (0, 12)),
        (lambda x: F.max_pool2d(x, 1, 4, 0).mean((2, 3), keepdim=True), (0, 13), (0, 9)),
        (lambda x: F.pad(x, (-2, -2, 0, 0)).mean(3, keepdim=True), None, (2, 10)),
    ],
)
def test_a_mean_sees_what_it_is_taken_over(what, rows, columns):
    field = field_after(what)
    pairs = [(0.0, 16.0) if rows is None else rows, columns]
    assert field.status == ("global" if pairs == [(0, 16), (0, 12)] else "exact")
    for axis, (low, high) in enumerate(pairs):
        if axis == 1 or rows is not None:
            assert (field.start[axis], field.size[axis], field.stride[axis]) == (low, high - low, 0)
        else:
            assert (field.start[axis], field.size[axis], field.stride[axis]) == (0, 1, 1)


@pytest.mark.parametrize(("mode", "size"), [("bilinear", 4), ("bicubic", 8)])
def test_antialiased_halving_reads_twice_the_filter(mode, size):
    field = field_after(lambda x: F.interpolate(x, scale_factor=0.5, mode=mode, antialias=True))
    assert (field.size, field.stride, field.status) == ((size, size), (2, 2), "exact")
    assert field.start == (1 - size / 2, 1 - size / 2)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize(("length", "target"), [(16, 48), (19, 57), (36, 60), (41, 71)])
def test_positions_that_rounding_moves_lie_in_the_bound(mode, length, target):
    field = field_after(lambda x: F.interpolate(x, (target, target), mode=mode), (length, length))
    image = torch.ones(1, 1, length, length, requires_grad=True)  # single precision, as networks run
    output = F.interpolate(image, (target, target), mode=mode)
    for at in range(target):
        (gradient,) = torch.autograd.grad(output[0, 0, at, at], image, retain_graph=True)
        seen = gradient[0, 0].abs().amax(1).nonzero().flatten()
        top, _, bottom, _ = field.clipped(at, at, length, length)
        assert top <= seen.min(), (at, field)
        assert seen.max() < bottom, (at, field)


def test_a_sum_is_exact_where_one_branch_holds_the_other():
    field = field_after(lambda x: x + F.avg_pool2d(x, (3, 5), 1, (1, 2)))
    assert (*triple(field), field.status) == ((3, 5), (1, 1), (-1, -2), "exact")
    strips = field_after(lambda x: x * x.mean(3, keepdim=True))
    assert (*triple(strips), strips.status) == ((1, 12), (1, 0), (0, 0), "exact")
    loose = field_after(lambda x: x + F.interpolate(F.avg_pool2d(x, 2), scale_factor=2))
    assert loose.status == "upper_bound"


def put(x, key, value):
    y = x.clone()
    y[key] = value
    return y


def test_lists_repeats_and_assignments_along_the_image():
    rows = field_after(lambda x: x[:, :, [1, 4, 7, 10]])
    assert (*triple(rows), rows.status) == ((1, 1), (3, 1), (1, 0), "exact")
    behind = field_after(lambda x: x.repeat(1, 1, 2, 1))
    assert (*triple(behind), behind.status) == ((16, 1), (0, 1), (0, 0), "upper_bound")
    shifted = field_after(lambda x: put(x, (..., slice(2, None)), x[..., :-2]))
    assert (*triple(shifted), shifted.status) == ((1, 3), (1, 1), (0, -2), "upper_bound")
    blank = field_after(lambda x: put(x, (slice(None), slice(None), 3), 0.0))
    assert (*triple(blank), blank.status) == ((1, 1), (1, 1), (0, 0), "upper_bound")


class Listed(nn.Module):
    """Rows by a list in a buffer, which may be another one in every run."""

    def __init__(self, count=0):
        super().__init__()
        self.register_buffer("places", torch.tensor([[1, 4], [7, 10]]))
        self.count = count

    def forward(self, x):
        y = x[:, :, self.places.flatten()]
        if self.count:
            self.places += self.count
        return y


def test_a_list_is_followed_by_its_values_as_far_as_they_are_the_same_in_every_run():
    kept = field_after(Listed())
    assert (*triple(kept), kept.status) == ((1, 1), (3, 1), (1, 0), "exact")
    for what in (Listed(1), lambda x: x[:, :, torch.randperm(4)], lambda x: x[:, :, torch.arange(16) > 11]):
        field = field_after(what)
        assert field.status == "upper_bound"
        assert field.box(0, 0)[::2] == (0, 16)
        assert (field.size[1], field.stride[1], field.start[1]) == (1, 1, 0)


def test_windows_by_unfold_are_those_of_a_convolution():
    def windows(x):
        y = F.unfold(x, (3, 5), padding=(1, 2), stride=(2, 1)).view(1, 60, 8, 12)
        return F.conv2d(y, torch.ones(4, 60, 1, 1, device=x.device))

    field = field_after(windows)
    assert (*triple(field), field.status) == ((3, 5), (2, 1), (-1, -2), "exact")
    pooled = field_after(lambda x: x.unfold(2, 4, 3).mean(-1))
    assert (*triple(pooled), pooled.status) == ((4, 1), (3, 1), (0, 0), "exact")
    some = field_after(lambda x: F.pixel_unshuffle(x, 2)[:, 1:5])
    assert (*triple(some), some.status) == ((2, 2), (2, 2), (0, 0), "upper_bound")


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_by_pixels_of_inside_adds_nothing_but_where_it_wraps_round(mode):
    field = field_after(lambda x: F.avg_pool2d(F.pad(x, (1, 1, 2, 2), mode), (5, 3), 1))
    if mode == "circular":
        assert field.status == "upper_bound"
        assert field.clipped(5, 5, 16, 12) == (3, 4, 8, 7)
        assert field.clipped(0, 5, 16, 12) == (0, 4, 16, 7)
    else:
        assert (*triple(field), field.status) == ((5, 3), (1, 1), (-2, -1), "exact")


def test_mirrored_pixels_lie_inside():
    mirrored = field_after(lambda x: F.pad(x, (2, 2, 2, 2), "reflect"))
    assert (mirrored.size, mirrored.stride, mirrored.status) == ((9, 9), (1, 1), "upper_bound")
    assert mirrored.clipped(0, 15, 16, 12) == (2, 9, 3, 10)


def test_what_lies_in_padding_beside_a_crop_is_no_more_than_a_bound():
    """Beyond a crop's border are zeros, though the image goes on."""
    field = field_after(lambda x: F.avg_pool2d(x[:, :, 4:], 3, 1, 1))
    assert (*triple(field), field.status) == ((3, 3), (1, 1), (3, -1), "upper_bound")
    assert field.clipped(0, 5, 16, 12) == (4, 4, 6, 7)


def shifted_windows(x):
    n, c, h, w = x.shape
    y = x.roll((-2, -2), (2, 3)).view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
    y = F.scaled_dot_product_attention(y, y, y)
    y = y.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
    return y.roll((2, 2), (2, 3))


def test_rolled_positions_are_put_back():
    """The layer's maps are in their place, and so is its field."""
    assert field_after(lambda x: x.roll((3, -2), (2, 3))) == Field((1, 1), (1, 1), (0, 0), "exact")


@pytest.mark.parametrize(
    "what",
    [
        shifted_windows,
        lambda x: F.pad(x, (2, 2, 2, 2), "circular"),
        lambda x: F.avg_pool2d(x, 3, 1, 1).flip((2, 3)),
        lambda x: F.avg_pool2d(F.interpolate(x, scale_factor=2), 3, 1, 1),
        lambda x: F.conv_transpose2d(x, torch.ones(4, 4, 3, 3, dtype=x.dtype, device=x.device), stride=2),
        lambda x: x.cumsum(2),
        lambda x: x[:, :, [3, 3, 0, 15, 7]],
        lambda x: F.adaptive_avg_pool2d(x, (5, 7)),
        lambda x: torch.cat([x[:, :, 8:], x[:, :, 2:5], x[:, :, :1]], 2),
    ],
)
def test_each_position_is_told_what_it_sees_where_no_line_does(what):
    field = field_after(what)
    assert field.status == "upper_bound"
    image = torch.rand(1, 4, 16, 12, dtype=torch.float64, requires_grad=True)
    output = what(image).sum(1)[0]
    for at in np.ndindex(*output.shape):
        (gradient,) = torch.autograd.grad(output[at], image, retain_graph=True)
        assert field.clipped(*at, 16, 12) == support(gradient), at
        assert field.clipped(*at, 16, 12)[0] >= field.box(*at)[0]
        assert field.clipped(*at, 16, 12)[2] <= field.box(*at)[2]
    assert field.clipped(1, 1, 17, 12) == replace(field, seen=None).clipped(1, 1, 17, 12)


@pytest.mark.parametrize(
    "what",
    [
        lambda x: F.avg_pool2d(x.roll((3, -2), (2, 3)), 3, 1, 1).roll((-3, 2), (2, 3)),
        lambda x: F.avg_pool2d(torch.cat([x[:, :, 8:], x[:, :, :8]], 2), 3, 1, 1),
    ],
)
def test_positions_that_wrap_round_are_bounded(what):
    field = field_after(what)
    assert field.status == "upper_bound"
    assert all(stride >= 0 for stride in field.stride)
    image = torch.ones(1, 1, 16, 12, requires_grad=True)
    output = what(image)
    for row in range(16):
        for col in range(12):
            (gradient,) = torch.autograd.grad(output[0, 0, row, col], image, retain_graph=True)
            rows, cols = gradient[0, 0].nonzero(as_tuple=True)
            top, left, bottom, right = field.box(row, col)
            assert top <= rows.min() <= rows.max() < bottom
            assert left <= cols.min() <= cols.max() < right


def test_control_flow_follows_the_branch_taken():
    field = field_after(lambda x: F.avg_pool2d(x, 3, 1) if x.sum() < 1e9 else x)
    assert (field.size, field.status) == ((3, 3), "exact")


def test_boxes_and_centres():
    field = Field((11.0, 7.0), (4.0, 2.0), (-2.0, -3.0), "exact")
    assert field.box(3, 0) == (10, -3, 21, 4)
    assert field.clipped(3, 0, 20, 30) == (10, 0, 20, 4)
    assert field.clipped(50, 0, 20, 30) == (20, 0, 20, 4)
    assert field.center(3, 0) == (10 + 5, -3 + 3)
    # Half positions are rounded outwards, sums such as 0.1 + 0.2 are not.
    assert Field((1.5, 3.3), (0.5, 0.1), (-0.5, -0.3), "upper_bound").box(2, 3) == (0, 0, 2, 4)


def test_a_list_made_of_weights_alone_has_no_geometry():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ModelError, match="weights alone"):
        geometry(network, index_weights(network.state_dict()))


def test_the_network_is_left_as_found(awkward):
    index = index_layers(awkward, size=(8, 8))
    before = state_of(awkward)
    fields = geometry(awkward, index)
    assert state_of(awkward) == before
    assert {field.status for field in fields.values()} == {"exact"}
