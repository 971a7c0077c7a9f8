"""Fields against the support of the gradient: which pixels a position of a layer truly depends on."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netviz.capture import capture, channels_first, index_layers
from netviz.errors import ModelError
from netviz.geometry.field import Field, geometry
from netviz.models.builders import build_timm, import_timm
from netviz.models.layers import Layer

SIZES = ((16, 24), (28, 20))
POSITIONS = 40


@dataclass(frozen=True)
class Verdict:
    """What the gradient says of a field.

    Attributes
    ----------
    status : str
        The field's own, or ``wrong``: outside of it something is seen, or it is ``exact`` or ``global`` and not met.
    tight : float
        Share of the field's pixels that lie in the box of what is seen, mean over positions; NaN if unknown.
    why : str
        The first position at which it is wrong, or the operation that could not be followed.
    """

    status: str
    tight: float
    why: str = ""


def average(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Stand in for F.max_pool2d: the same windows, all of whose pixels count."""
    assert not return_indices
    if dilation in (1, (1, 1)):
        return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode)
    assert not ceil_mode
    channels, size = input.shape[1], (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    ones = torch.ones(channels, 1, *size, dtype=input.dtype)
    return F.conv2d(input, ones, None, stride or size, padding, dilation, channels)


_softmax = torch.softmax


def soft(input: Tensor, dim: int = -1, *_: Any, **__: Any) -> Tensor:
    """Stand in for softmax: no score is so much larger than the others that these weigh nothing."""
    scores = input.detach()
    largest = scores[scores.isfinite()].abs().max().clamp(min=1)
    return _softmax(input / largest, dim)


def attended(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **options: Any
) -> Tensor:
    """Stand in for F.scaled_dot_product_attention, with `soft` weights."""
    assert not options.get("is_causal")
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        hidden = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if hidden else scores + attn_mask
    return soft(scores) @ value


@contextmanager
def every_pixel_counting() -> Iterator[None]:
    """Replace what would hide pixels from the gradient: maxima and saturating functions."""
    linear = ("relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "elu", "mish")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "max_pool2d", average)
        patch.setattr(F, "adaptive_max_pool2d", F.adaptive_avg_pool2d)
        for name in linear:
            patch.setattr(F, name, lambda input, *_, inplace=False, **__: input * 0.5)
        patch.setattr(F, "scaled_dot_product_attention", attended)
        for owner in (torch, Tensor, F):
            patch.setattr(owner, "softmax", soft)
        for owner in (torch, Tensor):
            patch.setattr(owner, "sigmoid", lambda input: input * 0.5)
        yield


def positive(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Give a network positive random weights that keep the size of its values, and identical normalization."""
    generator = torch.Generator().manual_seed(0)
    network = network.to(dtype).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            fan = max(math.prod(parameter.shape[1:]), 1) if parameter.ndim > 1 else 1
            parameter.uniform_(0.5 / fan, 1.5 / fan, generator=generator)
            parameter.requires_grad_(False)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
    return network


class Between(nn.Module):
    """One operation between two convolutions 3 × 3 with positive weights: the first padded, the second not."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.what = what
        nn.init.uniform_(self.first.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the second convolution gives, or the first where its input is smaller than its window."""
        y = self.what(self.first(x))
        sides = [min(3, side) for side in y.shape[2:]]
        weight = torch.linspace(0.5, 1.5, 2 * y.shape[1] * math.prod(sides), dtype=y.dtype, device=y.device)
        return F.conv2d(y, weight.view(2, y.shape[1], *sides))


def support(gradient: Tensor) -> tuple[int, int, int, int]:
    """Return the box (top, left, bottom, right) of all pixels with a gradient."""
    rows, cols = (np.flatnonzero(gradient.abs().amax((0, 1)).amax(axis).numpy()) for axis in (1, 0))
    return (0, 0, 0, 0) if len(rows) == 0 else (rows[0], cols[0], rows[-1] + 1, cols[-1] + 1)


def verdict(field: Field, maps: Tensor, image: Tensor, positions: int = POSITIONS) -> Verdict:
    """Compare a field with the gradient of maps (1, C, H, W) at the corners and some other positions."""
    if field.status == "unknown":
        return Verdict("unknown", math.nan, field.reason)
    height, width = image.shape[2:]
    rows, cols = maps.shape[2:]
    generator = np.random.default_rng(0)
    places = [(0, 0), (rows - 1, cols - 1), (rows // 2, cols // 2)]
    places += [(int(generator.integers(rows)), int(generator.integers(cols))) for _ in range(positions)]
    mix = torch.linspace(0.5, 1.5, maps.shape[1], dtype=maps.dtype)
    shares = []
    for at in dict.fromkeys(places):
        (gradient,) = torch.autograd.grad((maps[0, :, at[0], at[1]] * mix).sum(), image, retain_graph=True)
        seen, box = support(gradient), field.clipped(*at, height, width)
        inside = seen[0] >= box[0] and seen[1] >= box[1] and seen[2] <= box[2] and seen[3] <= box[3]
        met = seen == box or field.status == "upper_bound" or (box != field.box(*at))
        if not (inside or seen == (0, 0, 0, 0)) or not met:
            return Verdict("wrong", 0.0, f"{field.status} {box} at {at}: seen {seen}")
        areas = [(bottom - top) * (right - left) for top, left, bottom, right in (seen, box)]
        shares.append(areas[0] / max(areas[1], 1))
    return Verdict(field.status, float(np.mean(shares)))


def alone(what: Callable[[Tensor], Tensor], size: tuple[int, int]) -> Verdict:
    """Check the field after one operation between two convolutions."""
    torch.manual_seed(0)
    network = Between(what).double().eval()
    index = index_layers(network, size=size)
    if not index[-1].spatial:
        return Verdict("no maps", math.nan, index[-1].no_maps)
    field = geometry(network, index)[index[-1]]
    generator = torch.Generator().manual_seed(1)
    image = (torch.rand(1, 3, *size, generator=generator, dtype=torch.float64) + 0.5).requires_grad_()
    return verdict(field, channels_first(index[-1], network(image)), image)


# The smallest network of a family is mostly called so.
_SMALL = re.compile("test|atto|femto|pico|xxs|xx_small|nano|xs|tiny|_[sbmt]0|_050|small|18|26|_s|mini")
# Not square; the larger ones are for networks that compute in windows. None stands for the network's own.
NETWORK_SIZES = ((160, 224), (256, 192), (224, 448), (256, 512), None)


def families() -> dict[str, str]:
    """Return for each of timm's families the network whose name promises the least."""
    found: dict[str, str] = {}
    for family in import_timm().list_modules():
        names = import_timm().list_models(module=family)
        if names:
            found[family] = min(names, key=lambda name: (not _SMALL.search(name), len(name), name))
    return found


def parameters(name: str) -> int:
    """Return how many parameters one of timm's networks has."""
    return sum(one.numel() for one in build_timm(name, meta=True).parameters())


def at_two_sizes(
    name: str, some: int
) -> Iterator[tuple[tuple[int, int] | None, Counter[str], list[Verdict]]]:
    """Check one of timm's networks at the first two sizes that it takes; its own only if it takes no other."""
    done = 0
    for size in NETWORK_SIZES:
        if done == 2 or (done and size is None):
            return
        try:
            statuses, found = network(_built(name, size), size, some)
        except ModelError:  # it does not run at this size
            continue
        done += 1
        yield size, statuses, found


def _built(name: str, size: tuple[int, int] | None) -> nn.Module:
    """Build a network for a size; one that takes a single size is told it now."""
    if size is not None:
        try:
            return build_timm(name, img_size=size)
        except ModelError:  # it takes any size, or not this one
            pass
    return build_timm(name)


def network(
    network: nn.Module, size: tuple[int, int] | None, some: int
) -> tuple[Counter[str], list[Verdict]]:
    """Count the statuses of a network's layers with maps, and check about so many of each, evenly spread."""
    network = positive(network, torch.float64)
    index = index_layers(network, size=size)
    fields = geometry(network, index)
    statuses = Counter(str(field.status) for field in fields.values())
    chosen: list[Layer] = []
    for status in ("exact", "upper_bound", "global"):
        alike = [
            layer
            for layer, field in fields.items()
            if field.status == status and "max_pool" not in (layer.function or "")  # replaced below
        ]
        chosen += [*alike[:: math.ceil(len(alike) / some) or 1], *alike[-1:]]
    known = [layer for layer in index if layer in chosen]
    shape = index.input_shape or (3, 0, 0)
    generator = torch.Generator().manual_seed(1)
    image = (torch.rand(1, *shape, generator=generator, dtype=torch.float64) + 0.5).requires_grad_()
    with every_pixel_counting(), capture(network, known, grad=True) as run:
        try:
            run(image)
        except (RuntimeError, IndexError) as error:  # the meta device does not look into tables
            raise ModelError(str(error)) from error
    found = []
    for layer in known:
        one = verdict(fields[layer], channels_first(layer, run[layer]), image, 0)
        found.append(replace(one, why=f"{layer.name}: {one.why}"))
    return statuses, found


def counted(verdicts: list[Verdict]) -> Counter[str]:
    """Return how many there are of each status."""
    return Counter(one.status for one in verdicts)


def _ones(x: Tensor, *shape: int) -> Tensor:
    return torch.ones(shape, dtype=x.dtype, device=x.device)


def _weights(x: Tensor, *shape: int) -> Tensor:
    return torch.linspace(0.5, 1.5, math.prod(shape), dtype=x.dtype, device=x.device).view(shape)


def _border(x: Tensor) -> Tensor:
    mask = torch.zeros(x.shape[2:], dtype=torch.bool, device=x.device)
    mask[:2] = True
    mask[:, -3:] = True
    return mask


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def _image(tokens: Tensor, x: Tensor) -> Tensor:
    return tokens.transpose(1, 2).reshape(x.shape)


def _set(x: Tensor, key: Any, value: Any) -> Tensor:
    y = x.clone()
    y[key] = value
    return y


def _windows(x: Tensor, side: int) -> Tensor:
    n, c, h, w = x.shape
    y = x.view(n, c, h // side, side, w // side, side).permute(0, 2, 4, 3, 5, 1)
    return y.reshape(-1, side * side, c)


def _unwindowed(y: Tensor, x: Tensor, side: int) -> Tensor:
    n, c, h, w = x.shape
    y = y.view(n, h // side, w // side, side, side, c).permute(0, 5, 1, 3, 2, 4)
    return y.reshape(n, c, h, w)


def _shifted(x: Tensor) -> Tensor:
    y = x.roll((-2, -2), (2, 3))
    z = _windows(y, 4)
    z = F.scaled_dot_product_attention(z, z, z)
    return _unwindowed(z, y, 4).roll((2, 2), (2, 3))


def _local(x: Tensor) -> Tensor:
    z = _windows(x, 4)
    return _unwindowed(F.scaled_dot_product_attention(z, z, z), x, 4)


def _in_windows(x: Tensor, what: Callable[[Tensor], Tensor]) -> Tensor:
    y = what(_windows(x, 4).transpose(1, 2).unflatten(2, (4, 4)))
    return _unwindowed(y.flatten(2).transpose(1, 2), x, 4)


def _recurrent(x: Tensor, both: bool, state: bool = False) -> Tensor:
    columns = x.permute(0, 3, 2, 1).flatten(0, 1) / 1e3
    ways = 2 if both else 1
    start = [x.new_zeros(ways, columns.shape[0], 3) for _ in range(2)]
    weights = [_weights(x, 12, side) for _ in range(ways) for side in (4, 3)]
    steps, last, _ = torch._VF.lstm(columns, start, weights, False, 1, 0.0, False, both, True)
    return (last if state else steps.transpose(0, 1)).movedim(-1, 0)[None]


def _grid(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    y = x.view(n, c, 4, h // 4, 4, w // 4).permute(0, 3, 5, 2, 4, 1).reshape(-1, 16, c)
    y = F.scaled_dot_product_attention(y, y, y)
    y = y.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 3, 1, 4, 2)
    return y.reshape(n, c, h, w)


def _unfolded(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return F.unfold(x, 3, padding=1).view(n, c * 9, h, w)


def _folded(x: Tensor) -> Tensor:
    return F.fold(F.unfold(x, 3, padding=1, stride=2), x.shape[2:], 3, padding=1, stride=2)


def _involved(x: Tensor) -> Tensor:
    kernel = F.conv2d(x, _weights(x, 18, 4, 1, 1)).view(1, 2, 1, 9, *x.shape[2:])
    return (kernel * _unfolded(x).view(1, 2, 2, 9, *x.shape[2:])).sum(3).view(x.shape)


def _outlook(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    rows, cols = h // 2, w // 2
    values = F.unfold(x, 3, padding=1, stride=2).view(n, 1, c, 9, rows * cols).permute(0, 1, 4, 3, 2)
    pooled = F.avg_pool2d(x, 2, 2).permute(0, 2, 3, 1)
    weights = F.linear(pooled, _weights(x, 81, c)).view(n, rows * cols, 1, 9, 9).permute(0, 2, 1, 3, 4)
    y = ((weights / 1e4).softmax(-1) @ values).permute(0, 1, 4, 3, 2).reshape(n, c * 9, rows * cols)
    return F.fold(y, (h, w), 3, padding=1, stride=2)


def _halos(x: Tensor) -> Tensor:
    n, c = x.shape[:2]
    q = _windows(x, 4)
    k = F.pad(x, (1, 1, 1, 1)).unfold(2, 6, 4).unfold(3, 6, 4)
    k = k.reshape(n, c, -1, 36).permute(0, 2, 3, 1).reshape(-1, 36, c)
    return _unwindowed((q @ k.transpose(1, 2) / 1e4).softmax(-1) @ k, x, 4)


def _scaled(mode: str, factor: float, **options: bool) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, scale_factor=factor, mode=mode, **options)


def _sized(mode: str, size: tuple[int, int], **options: bool) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, size, mode=mode, **options)


def _attended(x: Tensor, causal: bool = False) -> Tensor:
    y = _tokens(x)
    return _image(F.scaled_dot_product_attention(y, y, y, is_causal=causal), x)


def _some(x: Tensor) -> Tensor:
    return torch.arange(24, device=x.device) * 7


class Buffered(nn.Module):
    """Rows by a list in a buffer, as it is or the other way round and one time more."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("places", torch.tensor([[1], [4], [7], [10]]))

    def forward(self, x: Tensor) -> Tensor:
        """Return some rows."""
        places = self.places.flatten()
        if self.how == "rows":
            return x.index_select(2, places)
        return x.take_along_dim(torch.cat([places.flip(0), places + 1])[None, None, :, None], 2)


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    # One by one.
    "sigmoid": lambda x: x.sigmoid(),
    "gelu": F.gelu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "softplus": F.softplus,
    "hardtanh": lambda x: F.hardtanh(x, -1e9, 1e9),
    "prelu": lambda x: F.prelu(x, _ones(x, 4)),
    "exp": lambda x: (x / 100).exp(),
    "pow": lambda x: x**2,
    "clamp": lambda x: x.clamp(-1e9, 1e9),
    "sqrt": lambda x: x.sqrt(),
    "abs": lambda x: x.abs(),
    "add itself": lambda x: x + x.relu(),
    "rsub": lambda x: 1 - x,
    "divide": lambda x: x / 3,
    "add a constant map": lambda x: x + _ones(x, 1, 1, *x.shape[2:]),
    "multiply by channel": lambda x: x * _weights(x, 4, 1, 1),
    "multiply by a map": lambda x: x * _weights(x, *x.shape[2:]),
    "multiply by a mask": lambda x: x * (~_border(x)),
    "multiply in place by a mask": lambda x: x.clone().mul_((~_border(x)).to(x.dtype)),
    "divide a constant mask": lambda x: (~_border(x)).to(x.dtype) / x,
    "addcmul by a mask": lambda x: torch.addcmul(_ones(x, 1), x, (~_border(x)).to(x.dtype)),
    "masked_fill": lambda x: x.masked_fill(_border(x), 0),
    "masked_fill in place": lambda x: x.clone().masked_fill_(_border(x), 0),
    "where by a mask": lambda x: torch.where(_border(x), _ones(x, 1), x),
    "where by itself": lambda x: torch.where(x > 0, x, 0.1 * x),
    "where between two": lambda x: torch.where(_border(x), x, F.avg_pool2d(x, 3, 1, 1)),
    "lerp": lambda x: torch.lerp(x, x.relu(), 0.3),
    "lerp by a mask": lambda x: torch.lerp(x, _ones(x, 1), _border(x).to(x.dtype)),
    "addcmul": lambda x: torch.addcmul(x, x, x),
    "type": lambda x: x.float().double(),
    "clone": lambda x: x.contiguous().clone(),
    "dropout": lambda x: F.dropout(x, 0.5, False),
    # Windows.
    "conv2d 3": lambda x: F.conv2d(x, _weights(x, 4, 4, 3, 3), padding=1),
    "conv2d stride": lambda x: F.conv2d(x, _weights(x, 4, 4, 3, 2), stride=(2, 3)),
    "conv2d dilated": lambda x: F.conv2d(x, _weights(x, 4, 4, 3, 3), padding=2, dilation=2),
    "conv2d same": lambda x: F.conv2d(x, _weights(x, 4, 4, 4, 2), padding="same"),
    "conv2d groups": lambda x: F.conv2d(x, _weights(x, 4, 1, 5, 1), padding=(2, 0), groups=4),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, _weights(x, 4, 4, 4, 4), stride=2, padding=1),
    "conv_transpose2d 3": lambda x: F.conv_transpose2d(x, _weights(x, 4, 4, 3, 3), stride=2, padding=1),
    "conv_transpose2d 2": lambda x: F.conv_transpose2d(x, _weights(x, 4, 4, 2, 2), stride=2),
    "conv_transpose2d holes": lambda x: F.conv_transpose2d(x, _weights(x, 4, 4, 1, 1), stride=2),
    "conv1d rows": lambda x: F.conv1d(x[0].transpose(0, 1), _weights(x, 4, 4, 3), padding=1).transpose(0, 1)[
        None
    ],
    "conv1d channels": lambda x: (
        x
        * F.conv1d(x.mean((2, 3)).unsqueeze(1) / 100, _weights(x, 1, 1, 3), padding=1).sigmoid()[
            0, 0, :, None, None
        ]
    ),
    "conv3d": lambda x: F.conv3d(x[:, None], _weights(x, 1, 1, 3, 3, 3), padding=1)[:, 0],
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool2d ceil": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "avg_pool2d gaps": lambda x: F.avg_pool2d(x, 2, 3),
    "avg_pool2d gaps global": lambda x: F.avg_pool2d(x, 1, 3).mean((2, 3), keepdim=True),
    "lp_pool2d": lambda x: F.lp_pool2d(x, 2, 3),
    "avg_pool1d rows": lambda x: F.avg_pool1d(x[0].transpose(0, 1), 3, 1, 1).transpose(0, 1)[None],
    "avg_pool1d flat": lambda x: F.avg_pool1d(x.flatten(2), 3, 1, 1).view(x.shape),
    "avg_pool1d flat uneven": lambda x: F.avg_pool1d(x.flatten(2), 8).view(1, 4, 2, -1),
    "conv1d flat": lambda x: F.conv1d(x.flatten(2), _weights(x, 4, 4, 3), padding=1).view(x.shape),
    "avg_pool1d flat stride": lambda x: F.avg_pool1d(x.flatten(2), 2).view(*x.shape[:3], -1),
    "avg_pool3d": lambda x: F.avg_pool3d(x[:, None], (1, 3, 3), 1, (0, 1, 1))[:, 0],
    "adaptive_avg_pool2d 1": lambda x: x + F.adaptive_avg_pool2d(x, 1),
    "adaptive_avg_pool2d whole": lambda x: F.adaptive_avg_pool2d(x, (4, 4)),
    "adaptive_avg_pool2d uneven": lambda x: F.adaptive_avg_pool2d(x, (5, 7)),
    "adaptive_avg_pool2d row": lambda x: x * F.adaptive_avg_pool2d(x, (None, 1)),
    "local_response_norm": lambda x: F.local_response_norm(x, 3),
    "pad zeros": lambda x: F.pad(x, (1, 2, 3, 0)),
    "pad crop": lambda x: F.pad(x, (-1, -2, -3, 1)),
    "pad reflect": lambda x: F.pad(x, (2, 2, 2, 2), "reflect"),
    "pad replicate": lambda x: F.pad(x, (2, 1, 0, 3), "replicate"),
    "pad circular": lambda x: F.pad(x, (1, 1, 2, 2), "circular"),
    "pad reflect, convolved": lambda x: F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), _weights(x, 4, 4, 3, 3)),
    "pad replicate, convolved": lambda x: F.conv2d(
        F.pad(x, (2, 2, 2, 2), "replicate"), _weights(x, 4, 4, 5, 5)
    ),
    "pad circular, convolved": lambda x: F.conv2d(
        F.pad(x, (1, 1, 1, 1), "circular"), _weights(x, 4, 4, 3, 3)
    ),
    "pad a crop": lambda x: F.pad(x[:, :, 4:-3], (0, 0, 2, 2)),
    "pad, reflect a crop": lambda x: F.pad(x[:, :, 4:-3], (0, 0, 2, 2), "reflect"),
    "pad what saw all": lambda x: F.pad(x.mean((2, 3), keepdim=True).expand(x.shape), (3, 3, 3, 3)),
    "pad reflect, pool": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), "reflect"), 3, 2),
    "unfold": _unfolded,
    "unfold strided": lambda x: (
        F.unfold(x, (3, 2), dilation=(2, 1), stride=(2, 3)).mean((1, 2)).view(1, 1, 1, 1)
    ),
    "unfold, grouped": lambda x: F.conv2d(_unfolded(x), _weights(x, 4, 9, 1, 1), groups=4),
    "unfold, softmax": lambda x: (_unfolded(x) / 100).unflatten(1, (4, 9)).softmax(2)[:, :, 3:5].sum(2),
    "unfold, gated": lambda x: (_unfolded(x).unflatten(1, (4, 9)) * x.sigmoid().unsqueeze(2)).sum(2),
    "fold": _folded,
    "fold of channels": lambda x: F.fold(
        F.conv2d(x, _weights(x, 36, 4, 1, 1), stride=2).flatten(2), x.shape[2:], 3, padding=1, stride=2
    ),
    "involution": _involved,
    "outlook attention": _outlook,
    "attention in halos": _halos,
    "tensor unfold": lambda x: x.unfold(2, 4, 2).flatten(-1).mean(-1),
    # Interpolation.
    **{
        f"interpolate {mode} {factor:.3g}": _scaled(mode, factor)
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        for factor in (2, 0.5, 3, 1 / 3, 1.5, 0.75)
    },
    **{
        f"interpolate {mode} to {size}": _sized(mode, size)
        for mode in ("nearest", "bilinear", "bicubic")
        for size in ((7, 11), (33, 21))
    },
    **{
        f"interpolate {mode} to {size} corners": _sized(mode, size, align_corners=True)
        for mode in ("bilinear", "bicubic")
        for size in ((31, 47), (29, 41))
    },
    **{
        f"interpolate {mode} {factor:.3g} antialias": _scaled(mode, factor, antialias=True)
        for mode in ("bilinear", "bicubic")
        for factor in (0.5, 0.25, 1 / 3, 0.6, 2)
    },
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3),
    # Normalization and sums.
    "batch_norm": lambda x: F.batch_norm(x, _ones(x, 4), _ones(x, 4)),
    "instance_norm": lambda x: F.instance_norm(x),
    "group_norm": lambda x: F.group_norm(x, 2),
    "layer_norm": lambda x: F.layer_norm(x.movedim(1, -1), (4,)).movedim(-1, 1),
    "layer_norm of all": lambda x: F.layer_norm(x, x.shape[1:]),
    "normalize": lambda x: F.normalize(x),
    "softmax channels": lambda x: (x / 100).softmax(1),
    "softmax columns": lambda x: (x / 100).softmax(3),
    "linear": lambda x: F.linear(x.movedim(1, -1), _weights(x, 4, 4)).movedim(-1, 1),
    "linear over columns": lambda x: F.linear(x, _weights(x, 5, x.shape[3])),
    "matmul by a constant": lambda x: x @ _weights(x, x.shape[3], 6),
    "constant matmul": lambda x: _weights(x, 5, x.shape[2]) @ x,
    "einsum": lambda x: torch.einsum("nchw,cd->ndhw", x, _weights(x, 4, 4)),
    "attention": _attended,
    "attention causal": lambda x: _attended(x, True),
    "attention by matmul": lambda x: _image((_tokens(x) @ x.flatten(2) / 1e4).softmax(-1) @ _tokens(x), x),
    "attention of channels": lambda x: ((x.flatten(2) @ _tokens(x) / 1e4).softmax(-1) @ x.flatten(2)).view(
        x.shape
    ),
    "attention in windows": _local,
    "attention in shifted windows": _shifted,
    "attention in a grid": _grid,
    "conv2d 1 in windows": lambda x: _in_windows(x, lambda y: F.conv2d(y, _weights(x, 4, 4, 1, 1))),
    "conv2d in windows": lambda x: _in_windows(x, lambda y: F.conv2d(y, _weights(x, 4, 4, 3, 3), padding=1)),
    "conv2d dilated in windows": lambda x: _in_windows(
        x, lambda y: F.conv2d(y, _weights(x, 4, 4, 2, 2), padding=(2, 2), dilation=4)
    ),
    "mean": lambda x: x * x.mean((2, 3), keepdim=True),
    "mean over columns": lambda x: x * x.mean(3, keepdim=True),
    "mean of a crop": lambda x: x[:, :, 2:-3].mean(2, keepdim=True),
    "mean of a crop twice": lambda x: x[:, :, 2:-3, 4:].mean((2, 3), keepdim=True),
    "sum beside a crop": lambda x: x + x[:, :, 3:-3, 3:-3].mean((2, 3), keepdim=True),
    "mean of every third": lambda x: x[:, :, 1::3, 2::3].mean((2, 3), keepdim=True),
    "mean of a crop, convolved": lambda x: F.conv2d(x[:, :, 3:-3], _weights(x, 4, 4, 3, 3), padding=1).mean(
        (2, 3), keepdim=True
    ),
    "amax as a mean of windows": lambda x: x.unfold(2, 2, 2).sum(-1),
    "std": lambda x: x / x.std((2, 3), keepdim=True),
    "norm": lambda x: x / x.flatten(1).norm(2, 1).view(-1, 1, 1, 1),
    "cumsum": lambda x: x.cumsum(2),
    "cumsum both": lambda x: x.cumsum(2).cumsum(3),
    "lstm both ways": lambda x: _recurrent(x, True),
    "lstm one way": lambda x: _recurrent(x, False),
    "lstm's last state": lambda x: _recurrent(x, False, state=True),
    "logsumexp": lambda x: (x / 100).logsumexp(2, keepdim=True),
    "glu": lambda x: F.glu(torch.cat([x, x], 1), 1),
    # Arrangements.
    "view": lambda x: x.flatten(2).view(x.shape),
    "permute": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "transposed map": lambda x: x.transpose(2, 3),
    "transposed sum": lambda x: x[..., :16, :16] + x[..., :16, :16].transpose(2, 3),
    "space to depth": lambda x: (
        x.view(1, 4, x.shape[2] // 2, 2, x.shape[3] // 2, 2)
        .permute(0, 1, 3, 5, 2, 4)
        .reshape(1, 16, x.shape[2] // 2, x.shape[3] // 2)
    ),
    "cat channels": lambda x: torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1),
    "cat rows": lambda x: torch.cat([x, x], 2),
    "cat parts": lambda x: torch.cat([x[:, :, :5], x[:, :, 5:]], 2),
    "stack": lambda x: torch.stack([x, x.relu()], 1).sum(1),
    "sum of branches": lambda x: F.avg_pool2d(x, (3, 1), 1, (1, 0)) + F.avg_pool2d(x, (1, 5), 1, (0, 2)),
    "sum with the larger": lambda x: x + F.avg_pool2d(x, 3, 1, 1),
    "sum of shifted": lambda x: x[..., 2:] + x[..., :-2],
    "sum of scales": lambda x: x + F.interpolate(F.avg_pool2d(x, 2), scale_factor=2),
    "crop": lambda x: x[:, :, 2:, 1:-1],
    "every second": lambda x: x[:, :, ::2, 1::2],
    "narrow": lambda x: x.narrow(2, 3, 8),
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "split rows": lambda x: torch.split(x, 4, 2)[1],
    "unbind": lambda x: torch.stack(x.unbind(2)[1:9], 2),
    "select": lambda x: x.select(2, 3).unsqueeze(2),
    "flip channels": lambda x: x.flip(1),
    "flip columns": lambda x: x.flip(3),
    "flip there and back": lambda x: F.avg_pool2d(x.flip((2, 3)), 3, 1, 1).flip((2, 3)),
    "sum with a flip": lambda x: x + x.flip(3),
    "flip, mean": lambda x: x.flip(2).mean((2, 3), keepdim=True),
    "roll, mean": lambda x: x.roll(3, 2).mean((2, 3), keepdim=True),
    "roll channels": lambda x: x.roll(1, 1),
    "roll rows": lambda x: x.roll(1, 2),
    "roll both": lambda x: x.roll((2, -3), (2, 3)),
    "roll there and back": lambda x: F.gelu(x.roll((2, -3), (2, 3))).roll((-2, 3), (2, 3)),
    "channel_shuffle": lambda x: torch.channel_shuffle(x, 2),
    "index_select rows": lambda x: x.index_select(2, torch.tensor([0, 2, 3, 7], device=x.device)),
    "list of channels": lambda x: x[:, [1, 0, 3, 2]],
    "list of rows": lambda x: x[:, :, [1, 3, 5, 7]],
    "list of rows, unordered": lambda x: x[:, :, [6, 1, 12, 7]],
    "list of positions": lambda x: x.flatten(2)[:, :, _some(x)].view(1, 4, 4, 6),
    "list of a buffer": Buffered("rows"),
    "list of a buffer, turned": Buffered("turned"),
    "table of rows": lambda x: x[:, :, torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]], device=x.device)].mean(
        3
    ),
    "list beside a number": lambda x: x[:, :, [1, 2, 3, 4]][0, [0, 2]][None],
    "gather of positions": lambda x: x.flatten(2).gather(2, _some(x).expand(1, 4, 24)).view(1, 4, 4, 6),
    "gather": lambda x: x.gather(3, torch.arange(5, device=x.device).expand(*x.shape[:3], 5)),
    "take_along_dim": lambda x: x.take_along_dim(torch.arange(5, device=x.device).view(1, 1, 1, 5), 3),
    "repeat channels": lambda x: x.repeat(1, 2, 1, 1),
    "repeat rows": lambda x: x.repeat(1, 1, 2, 1),
    "tile": lambda x: x.tile((1, 1, 1, 2)),
    "expand": lambda x: x.mean(2, keepdim=True).expand(x.shape),
    "setitem a constant": lambda x: _set(x, (slice(None), slice(None), slice(0, 2)), 0.0),
    "setitem a part": lambda x: _set(x, (slice(None), slice(0, 2)), x[:, 2:]),
    "setitem shifted": lambda x: _set(x, (..., slice(1, None)), x[..., :-1]),
    "copy": lambda x: torch.zeros_like(x).copy_(x),
    "zeros filled": lambda x: _set(torch.zeros_like(x), (slice(None), slice(0, 2)), x[:, 1:3]),
    "tril": lambda x: x.tril(),
    "fft": lambda x: torch.fft.fft2(x).real,
}
