"""Where the channels of a layer are: found by following what becomes of the image's axes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netviz
from netviz.capture import capture, channels_first, index_layers
from netviz.errors import LayerError, ModelError


class Watched(nn.Module):
    """A convolution, what is done with its maps, and a layer that hands out what came of it."""

    def __init__(self, what, channels=12):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1)
        self.watched = nn.Identity()
        self.what = what

    def forward(self, x):
        y = self.conv(x)
        return y.mean() + self.watched(self.what(y)).mean()


def watched(what, size=(16, 12), channels=12):
    return index_layers(Watched(what, channels), size=size).resolve("watched")


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def windows(x, side=4):
    n, c, h, w = x.shape
    return x.view(n, c, h // side, side, w // side, side).permute(0, 2, 4, 3, 5, 1).reshape(-1, side, side, c)


def heads(x, count=3):
    n, t, c = x.shape
    return x.view(n, t, count, c // count).transpose(1, 2)


def square(x, side):
    """Return a matrix made from the image that leaves what it is multiplied with as it is."""
    return x.mean((1, 2, 3)).view(1, 1, 1, 1) * 0 + torch.eye(side, device=x.device)


def with_others(x, count):
    return torch.cat([torch.zeros(1, count, 12, device=x.device), tokens(x)], 1)


SAME = {
    "permute": lambda x: tokens(x).reshape(1, 16, 12, 12).permute(0, 3, 1, 2),
    "movedim": lambda x: tokens(x).reshape(1, 16, 12, 12).movedim(-1, 1),
    "moveaxis": lambda x: torch.moveaxis(tokens(x).view(1, 16, 12, 12), (1, 2), (2, 3)),
    "transposes": lambda x: tokens(x).view(1, 16, 12, 12).transpose(1, 3).swapaxes(2, 3),
    "channels last": lambda x: tokens(x).reshape(1, 16, 12, 12),
    "norm, channels last": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (12,)) * 0 + x.permute(0, 2, 3, 1),
    "linear, channels last": lambda x: F.linear(x.permute(0, 2, 3, 1), torch.eye(12, device=x.device)),
    "columns first": lambda x: x.unflatten(1, (3, 4)).flatten(1, 2),
    "windows and back": lambda x: (
        windows(x).view(1, 4, 3, 4, 4, 12).permute(0, 1, 3, 2, 4, 5).reshape(1, 16, 12, 12)
    ),
    "rolled": lambda x: x.permute(0, 2, 3, 1).roll((1, 1), (1, 2)).roll((-1, -1), (1, 2)),
    "sliced": lambda x: x.permute(0, 2, 3, 1)[:, :, :, [*range(12)]][..., None][..., 0],
    "heads and back": lambda x: heads(tokens(x)).transpose(1, 2).reshape(1, 16, 12, 12),
    "weighted by the image": lambda x: square(x, 16) @ x @ square(x, 12),
    "windows beside a repeated batch": lambda x: (
        (x.mean((2, 3))[:, None].repeat_interleave(12, 0) * 0 + windows(x).flatten(1, 2))
        .view(1, 4, 3, 4, 4, 12)
        .permute(0, 1, 3, 2, 4, 5)
        .reshape(1, 16, 12, 12)
    ),
    "einsum": lambda x: torch.einsum("nchw->nhwc", x),
    "tokens": tokens,
    "tokens, channels first": lambda x: x.flatten(2),
    "tokens, one by one": lambda x: (
        F.layer_norm(tokens(x), (12,)) * 0 + tokens(x) + torch.ones(1, 192, 12, device=x.device) - 1
    ),
    "class token": lambda x: with_others(x, 1),
    "class and register tokens": lambda x: with_others(x, 3),
    "class token in the middle and gone": lambda x: torch.cat(
        [with_others(x, 2), tokens(x)[:, :1].mean(1, True)], 1
    )[:, 1:],
    "two parts": lambda x: with_others(x, 2).split([2, 192], 1)[1],
    "narrowed": lambda x: with_others(x, 2).narrow(1, 1, 193),
    "token by token": lambda x: with_others(x, 1)[:, 1:],
    "tokens of columns": lambda x: x.transpose(2, 3).flatten(2).transpose(1, 2),
    "transposed": lambda x: x.transpose(2, 3),
    "windows": windows,
    "windows, tokens": lambda x: windows(x).flatten(1, 2),
    "windows, channels first": lambda x: windows(x).permute(0, 3, 1, 2),
    "windows, beside the batch": lambda x: windows(x).view(1, 12, 16, 12),
    "rolled windows": lambda x: windows(x.roll((-2, 1), (2, 3))),
    "windows, rolled there and back": lambda x: windows(
        x.roll((-2, 1), (2, 3)).roll((2, 3), (2, 3)).roll(-4, 3)
    ),
    "heads": lambda x: heads(tokens(x)),
    "heads beside class tokens": lambda x: heads(with_others(x, 2)),
    "heads in the batch": lambda x: heads(tokens(x)).flatten(0, 1),
    "heads in windows": lambda x: heads(windows(x).flatten(1, 2)),
    "patches side by side": lambda x: F.unfold(x, 4, stride=4).transpose(1, 2).reshape(12, 12, 4, 4),
    "every fourth position": lambda x: (
        x.view(1, 12, 4, 4, 3, 4).permute(0, 3, 5, 2, 4, 1).reshape(16, 12, 12)
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_channel_axis_is_followed(name):
    # As many rows, columns and channels as can be confused; the maps must be the convolution's own.
    network = Watched(SAME[name])
    index = index_layers(network, size=(16, 12))
    conv, layer = (index.resolve(one) for one in ("conv", "watched"))
    assert (layer.shape, layer.channels, layer.no_maps) == ((12, 16, 12), 12, "")
    with torch.no_grad(), capture(network, [conv, layer]) as run:
        run(torch.rand(1, 3, 16, 12))
    assert channels_first(layer, run[layer]).shape == (1, 12, 16, 12)
    torch.testing.assert_close(channels_first(layer, run[layer]), channels_first(conv, run[conv]))


def with_class_token(x):
    y = torch.cat([torch.zeros(1, 1, 12, device=x.device), tokens(x)], 1)
    return y[:, 1:].reshape(1, 16, 12, 12)


def test_tokens_beside_a_class_token_become_maps_again():
    assert watched(with_class_token).channel_axis == 3
    assert watched(lambda x: with_class_token(x).permute(0, 3, 1, 2)).channel_axis == 1
    assert watched(lambda x: F.avg_pool2d(with_class_token(x).permute(0, 3, 1, 2), 2)).shape == (12, 8, 6)


def test_windows_that_are_pooled_lie_as_before():
    def pooled(x):
        return F.max_pool2d(windows(x).permute(0, 3, 1, 2), 2)

    network = Watched(pooled)
    index = index_layers(network, size=(16, 12))
    conv, layer = (index.resolve(one) for one in ("conv", "watched"))
    with torch.no_grad(), capture(network, [conv, layer]) as run:
        run(torch.rand(2, 3, 16, 12))
    torch.testing.assert_close(channels_first(layer, run[layer]), F.max_pool2d(run[conv], 2))


def test_patches_that_overlap_are_folded_to_maps_again():
    cut = Watched(lambda x: F.unfold(x, 3, padding=1, stride=2))
    index = index_layers(cut, size=(16, 12))
    conv, layer = (index.resolve(one) for one in ("conv", "watched"))
    assert layer.shape == (108, 8, 6)
    with torch.no_grad(), capture(cut, [conv, layer]) as run:
        run(torch.rand(1, 3, 16, 12))
    # The middle of each patch is the position that it lies around.
    torch.testing.assert_close(channels_first(layer, run[layer])[:, 4::9], run[conv][:, :, ::2, ::2])
    assert watched(lambda x: F.fold(F.unfold(x, 3, padding=1), (16, 12), 3, padding=1)).shape == (12, 16, 12)


def test_space_to_depth_keeps_channels():
    def merged(x):
        return x.permute(0, 2, 3, 1).view(1, 8, 2, 6, 2, 12).permute(0, 1, 3, 4, 2, 5).flatten(3)

    assert watched(merged).shape == (48, 8, 6)
    assert watched(lambda x: F.pixel_unshuffle(x, 2)).shape == (48, 8, 6)
    assert watched(lambda x: x.mean((2, 3), keepdim=True)).shape == (12, 1, 1)
    assert watched(lambda x: x.mean((2, 3))[:, :, None, None]).shape == (12, 1, 1)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (lambda x: windows(x).mean(3), "channels, rows and columns"),
        (lambda x: heads(tokens(x)) @ heads(tokens(x)).transpose(2, 3), "of two positions"),
        (lambda x: F.unfold(x.transpose(2, 3), 3, padding=1), "patches that overlap"),
        (lambda x: F.fold(F.unfold(x, 3, padding=1).flip(2), (16, 12), 3, padding=1), "through fold"),
        (lambda x: tokens(x)[:, [*range(1, 192), 0]], "no longer told apart"),
        (lambda x: tokens(x).flip(1), "no longer told apart"),
        (
            lambda x: tokens(x).gather(1, torch.zeros(1, 96, 12, dtype=int, device=x.device)),
            "no longer told apart",
        ),
        (lambda x: F.linear(x.flatten(2), torch.ones(96, 192, device=x.device)), "no longer told apart"),
        (lambda x: windows(x)[:5], "no longer told apart"),
        (lambda x: with_others(x, 2)[:, 5:], "no longer told apart"),
        (lambda x: torch.cat([tokens(x), tokens(x)], 1), "no longer told apart"),
        (lambda x: F.linear(x.flatten(2), torch.ones(20, 192, device=x.device)), "no longer told apart"),
        (lambda x: windows(F.pad(x.roll(1, 2), (0, 0, 0, 4))), "rolled"),
        (lambda x: x.flatten(1).as_strided((1, 12, 16, 12), (2304, 1, 144, 12)), "through as_strided"),
    ],
)
def test_what_has_four_axes_but_is_no_maps_is_refused_with_the_reason(what, reason):
    layer = watched(what)
    assert not layer.spatial
    assert reason in layer.no_maps
    with pytest.raises(LayerError, match="no maps") as caught:
        netviz.maps("skimage:chelsea", model=Watched(what), layer="watched", size=(16, 12))
    assert layer.no_maps in str(caught.value)


def test_the_image_has_a_picture_s_channels_where_a_network_rearranges_it_first():
    deep = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 2, 1))
    index = index_layers(deep, size=(16, 12))
    assert (index.input_shape, index.resolve("1").shape) == ((3, 16, 12), (2, 4, 3))
    assert index_layers(nn.Conv2d(4, 2, 1), size=(16, 12)).input_shape == (4, 16, 12)
    with pytest.raises(ModelError, match=r"image of 4×2×2 \(.*Kernel size"):
        index_layers(nn.Sequential(nn.Conv2d(4, 2, 3)), size=(2, 2))
