"""Geometry of random small networks, against which pixels a position reads as found by following indices."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from netviz.capture import index_layers
from netviz.geometry.field import geometry

Step = Callable[[list[Tensor]], Tensor]
CHANNELS = 2


class Steps(nn.Module):
    """A network that is a list of steps, each of which reads some earlier results."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps
        self.last = nn.Conv2d(CHANNELS, 1, 1, bias=False)
        nn.init.ones_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        done = [x]
        for step in self.steps:
            done.append(step(done))
        return self.last(done[-1])


def ones(kernel: tuple[int, int], like: Tensor) -> Tensor:
    return torch.ones(CHANNELS, CHANNELS, *kernel, dtype=like.dtype, device=like.device)


def fits(x: Tensor, kernel: tuple[int, int], dilation: tuple[int, int], pad: tuple[int, int]) -> bool:
    return all(x.shape[2 + i] + 2 * pad[i] > dilation[i] * (kernel[i] - 1) for i in (0, 1))


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def conv(draw) -> Step:
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    pad = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    source = draw(st.integers(0, 20))

    def step(done):
        x = done[-1 - source % len(done)]
        if not fits(x, kernel, dilation, pad):
            return x
        return F.conv2d(x, ones(kernel, x), None, stride, pad, dilation)

    return step


@st.composite
def transposed(draw) -> Step:
    kernel, stride = draw(pairs), draw(pairs)
    extra = [draw(st.integers(0, one - 1)) for one in stride]

    def step(done):
        x = done[-1]
        if x.shape[-1] > 40 or x.shape[-2] > 40:
            return x
        return F.conv_transpose2d(x, ones(kernel, x), None, stride, 0, extra)

    return step


@st.composite
def pool(draw) -> Step:
    kernel, stride, ceil = draw(pairs), draw(pairs), draw(st.booleans())
    kind = draw(st.sampled_from(["avg", "lp", "adaptive"]))

    def step(done):
        x = done[-1]
        if not fits(x, kernel, (1, 1), (0, 0)):
            return x
        if kind == "adaptive":
            return F.adaptive_avg_pool2d(x, [max(1, n - k) for n, k in zip(x.shape[2:], kernel, strict=True)])
        if kind == "lp":
            return F.lp_pool2d(x, 1, kernel, stride, ceil)
        return F.avg_pool2d(x, kernel, stride, 0, ceil)

    return step


@st.composite
def resized(draw) -> Step:
    mode = draw(st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic", "area"]))
    corners = draw(st.booleans()) if mode in ("bilinear", "bicubic") else None
    size = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    scale = draw(st.sampled_from([None, 2, 0.5, 1.5, 3, (2.0, 0.7)]))

    def step(done):
        x = done[-1]
        if scale is None:
            return F.interpolate(x, size, None, mode, corners)
        if min(x.shape[2:]) < 3 or max(x.shape[2:]) > 40:
            return x
        return F.interpolate(x, None, scale, mode, corners)

    return step


@st.composite
def padded(draw) -> Step:
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    amounts = draw(st.tuples(*[st.integers(0, 2)] * 4))

    def step(done):
        x = done[-1]
        return x if min(x.shape[2:]) < 3 else F.pad(x, amounts, mode)

    return step


@st.composite
def joined(draw) -> Step:
    how = draw(st.sampled_from(["add", "mul", "cat", "stack", "rows"]))
    source = draw(st.integers(0, 20))

    def step(done):
        x, y = done[-1], done[-1 - source % len(done)]
        if how == "rows":
            return torch.cat([x, y], 2) if x.shape == y.shape and x.shape[2] < 30 else x
        rows, cols = (min(x.shape[i], y.shape[i]) for i in (2, 3))
        x, y = x[..., :rows, :cols], y[..., -rows:, :cols]
        if how == "cat":
            return torch.cat([x[:, :1], y.narrow(1, 1, 1)], dim=1)
        if how == "stack":
            return torch.stack([x, y]).sum(0)
        return x + y if how == "add" else x * y

    return step


@st.composite
def sliced(draw) -> Step:
    start, every = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    how = draw(
        st.sampled_from(
            (
                *("rows", "cols", "chunk", "flip", "shuffle", "gate", "permute", "turn", "blocks"),
                *("roll", "mirror", "windows", "tokens"),
            )
        )
    )

    def step(done):
        x = done[-1]
        n, c, h, w = x.shape
        if how == "rows" and h > 3:
            return x[:, :, start::every]
        if how == "cols" and w > 3:
            return x[..., start:w:every]
        if how == "chunk":
            return torch.cat(list(x.chunk(c, 1))[::-1], 1)
        if how == "flip":
            return x.flip(1)
        if how == "shuffle":
            return x.view(n, 1, c, h, w).transpose(1, 2).reshape(n, c, h, w)
        if how == "gate" and start == 0:
            return x * x.mean((2, 3), keepdim=True)
        if how == "permute":
            y = x.permute(0, 2, 3, 1).contiguous()
            return F.linear(y, torch.ones(c, c, dtype=x.dtype, device=x.device)).permute(0, 3, 1, 2)
        if how == "roll":
            return x.roll(every, 2 + start % 2)
        if how == "mirror":
            return x.flip(2 + start % 2)
        if how == "windows" and min(h, w) > 2:
            y = F.unfold(x, 3, padding=1, stride=every)
            sides = ((h - 1) // every + 1, (w - 1) // every + 1)
            return (y.view(n, c, 9, *sides) if start else y.view(n, c, 3, 3, *sides).sum(3)).sum(2)
        if how == "tokens":
            return F.avg_pool1d(x.flatten(2), 3, 1, 1).view(x.shape)
        if how == "turn" and h == w:
            return x + x.transpose(2, 3)
        if how == "blocks" and h % 2 == 0 and w % 2 == 0:
            y = F.pixel_unshuffle(x, 2)
            return y[:, :c] + y[:, -c:] if start else F.pixel_shuffle(y, 2)
        return x

    return step


steps = st.lists(
    st.one_of(conv(), conv(), pool(), resized(), padded(), joined(), joined(), sliced(), transposed()),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, derandomize=True)
@given(steps, st.tuples(st.integers(8, 24), st.integers(8, 24)), st.integers(0, 10**6))
def test_field_contains_the_gradient_and_equals_it_where_exact(todo, size, choice):
    network = Steps(todo).double()
    index = index_layers(network, size=size, channels=CHANNELS)
    layer = index[-1]
    field = geometry(network, index)[layer]
    assert field.status != "unknown", field.reason
    image = (
        torch.rand(1, CHANNELS, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    )
    image.requires_grad_()
    output = network(image)
    rows, cols = output.shape[2:]
    for number in range(4):
        row, col = (choice + 7 * number) % rows, (choice // 1000 + 5 * number) % cols
        (gradient,) = torch.autograd.grad(output[0, 0, row, col], image, retain_graph=True)
        top, left, bottom, right = field.clipped(row, col, *size)
        inside = np.zeros(size, bool)
        inside[top:bottom, left:right] = True
        seen = (gradient.abs().sum((0, 1)) > 1e-12 * gradient.abs().max()).numpy()
        assert not (seen & ~inside).any(), (row, col, field)
        if field.status == "exact" and field.box(row, col) == (top, left, bottom, right):
            assert seen.any(0)[[left, right - 1]].all(), (row, col, field)
            assert seen.any(1)[[top, bottom - 1]].all(), (row, col, field)
