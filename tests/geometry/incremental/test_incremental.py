"""Windows against the whole network on the whole image, for every place of the occluder."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netviz.capture.tape import record
from netviz.geometry.incremental.plan import Plan, UnfollowableError
from netviz.geometry.incremental.run import run_plan
from netviz.geometry.incremental.windows import groups
from netviz.geometry.occlusion import grid


class Function(nn.Module):
    """A network given as a function of its image and its convolutions."""

    def __init__(self, forward, *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def conv(inputs: int, outputs: int, *args, **kwargs) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, *args, **kwargs)


def shuffle(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    x = a(x)
    one, two = x.chunk(2, dim=1)
    x = torch.cat([one, b(two)], 1)
    n, c, h, w = x.size()
    x = x.view(n, 2, c // 2, h, w)
    return torch.transpose(x, 1, 2).contiguous().view(n, -1, h, w)


def excite(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    x = F.silu(a(x))
    return x * torch.sigmoid(b(F.adaptive_avg_pool2d(x, 1)))


def residual(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    x = F.relu(a(x), inplace=True)
    y = b(x)
    y += x
    return F.relu_(y) - 0.5 * x


def last(x: Tensor, a: nn.Module, norm: nn.Module, b: nn.Module) -> Tensor:
    y = norm(a(x).permute(0, 2, 3, 1))
    return b(F.gelu(y).permute(0, 3, 1, 2))


def written(x: Tensor, a: nn.Module) -> Tensor:
    y = a(x)
    z = torch.zeros_like(y)
    z[:, :, 1:] = y[:, :, 1:] * 2
    return z


NETWORKS = {
    "stack": lambda: nn.Sequential(
        conv(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(True), conv(8, 8, 3, 1, 1, groups=8), nn.Hardswish()
    ),
    "dilated": lambda: nn.Sequential(conv(3, 4, 3, padding=2, dilation=2), nn.ELU(), conv(4, 4, 5, 3, 1)),
    "unequal axes": lambda: nn.Sequential(
        conv(3, 4, (1, 7), (2, 1), (0, 3)), nn.Tanh(), conv(4, 4, (5, 2), (1, 3), (1, 0), (2, 1))
    ),
    "same padding": lambda: nn.Sequential(
        conv(3, 4, (3, 5), padding="same", dilation=2), nn.Sigmoid(), conv(4, 2, 3, padding="valid")
    ),
    "reflected padding": lambda: nn.Sequential(
        conv(3, 4, 3, padding=1, padding_mode="reflect"), conv(4, 4, 3)
    ),
    "constant padding": lambda: Function(lambda x, a: a(F.pad(a(x), (1, 2, 0, 3), value=0.5)), conv(3, 3, 3)),
    "max pooling": lambda: nn.Sequential(
        conv(3, 4, 3),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.MaxPool2d(2, 1, dilation=2),
    ),
    "average pooling": lambda: nn.Sequential(
        nn.AvgPool2d(3, 2, 1),
        conv(3, 4, 3),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(2, 2, ceil_mode=True),
        nn.AvgPool2d((2, 1), 1, divisor_override=3),
    ),
    "average pooling over the edge": lambda: nn.Sequential(
        nn.AvgPool2d(3, 2, 1, ceil_mode=True), conv(3, 2, 3)
    ),
    "residual": lambda: Function(residual, conv(3, 6, 3, padding=1), conv(6, 6, 5, padding=2)),
    "branches": lambda: Function(
        lambda x, a, b, c: torch.cat((a(x), F.max_pool2d(b(x), 3, 1, 1), c(x)), dim=-3),
        conv(3, 2, 1),
        conv(3, 3, 3, padding=1),
        conv(3, 2, 7, padding=3),
    ),
    "shuffled channels": lambda: Function(shuffle, conv(3, 8, 3, padding=1), conv(4, 4, 3, padding=1)),
    "sliced channels": lambda: Function(lambda x, a: a(x)[:, 1:3] * 2 + a(x)[:, :2], conv(3, 4, 3)),
    "squeeze and excitation": lambda: Function(excite, conv(3, 6, 3, padding=1), conv(6, 6, 1)),
    "channels last": lambda: Function(last, conv(3, 4, 4, 4), nn.LayerNorm(4), conv(4, 2, 3)),
    "local response": lambda: nn.Sequential(
        conv(3, 8, 3), nn.LocalResponseNorm(3), nn.PReLU(8), conv(8, 2, 3)
    ),
    "transposed": lambda: nn.Sequential(conv(3, 4, 3, 2), nn.ConvTranspose2d(4, 2, 4, 2), nn.Softplus()),
    "interpolation": lambda: Function(
        lambda x, a: F.interpolate(a(x), scale_factor=2.0, mode="bilinear"), conv(3, 2, 3, 2)
    ),
    "group norm": lambda: nn.Sequential(conv(3, 4, 3), nn.GroupNorm(2, 4), conv(4, 2, 3)),
    "classifier": lambda: nn.Sequential(
        conv(3, 8, 3, 2),
        nn.ReLU(),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(72, 5),
        nn.Softmax(1),
    ),
    "a constant added": lambda: Function(
        lambda x, a: a(x) + torch.arange(23.0) - torch.ones(2, 1, 1), conv(3, 2, 3)
    ),
    "tokens": lambda: nn.Sequential(conv(3, 8, 4, 4), nn.Flatten(2), nn.LayerNorm(42), nn.Linear(42, 3)),
    "one value": lambda: Function(lambda x, a: a(x).mean(), conv(3, 2, 3)),
}
SIZE = (31, 25)


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors as small as these are no work for several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def calibrated(network: nn.Module, size: int) -> nn.Module:
    """Give a network of random weights the batch statistics of noise, so that its output depends on the image."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(2)))
    return network.eval()


def whole_passes(network: nn.Module, image: Tensor, baseline: Tensor, tops, lefts, patch) -> Tensor:
    rows = []
    for top in tops:
        for left in lefts:
            covered = image.clone()
            where = (..., slice(top, top + patch[0]), slice(left, left + patch[1]))
            covered[where] = baseline[where]
            rows.append(network(covered))
    return torch.stack(rows)


def check(
    network: nn.Module, size: tuple[int, int], patch: tuple[int, int], stride: int, tolerance: float = 1e-5
) -> Plan:
    network.eval()
    generator = torch.Generator().manual_seed(1)
    image, baseline = torch.randn(2, 1, 3, *size, generator=generator)
    tops, lefts = grid(size[0], patch[0], stride), grid(size[1], patch[1], stride)
    with torch.no_grad():
        tape = record(network, image, keep=True)
        plan = Plan(tape, tape.output, tops, lefts, patch)
        found = run_plan(plan, tape.values, baseline, lambda values: values)
        expected = whole_passes(network, image, baseline, tops, lefts, patch)
    assert found.shape[:2] == (len(tops), len(lefts))
    expected = expected.reshape(found.shape)
    scale = float(expected.max() - expected.min())
    assert scale > 1e-3
    assert float((found - expected).abs().max()) <= tolerance * scale
    return plan


@pytest.mark.parametrize("patch", [(5, 5), (1, 4)])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_place_equals_a_full_pass(name, patch):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    check(network, SIZE, patch, 4)


@pytest.mark.parametrize(
    "name",
    ["stack", "dilated", "max pooling", "average pooling", "residual", "branches", "shuffled channels"],
)
def test_local_functions_run_on_windows(name):
    torch.manual_seed(0)
    plan = check(NETWORKS[name](), (64, 48), (3, 3), 3)
    first = plan.groups[0].nodes
    assert all(step.tracks is not None for step in first)
    assert first[0].tracks[0].size < 10


def test_windows_give_way_to_whole_maps():
    torch.manual_seed(0)
    network = nn.Sequential(conv(3, 4, 3, padding=1), conv(4, 4, 37, padding=18), conv(4, 4, 3))
    nodes = check(network, (40, 40), (4, 4), 4).groups[0].nodes
    assert [node.tracks is not None for node in nodes] == [True, False, False]


def test_a_focus_needs_less_and_gives_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(
        conv(3, 4, 5, 2, 2), nn.ReLU(True), nn.MaxPool2d(2), conv(4, 6, 3, padding=1)
    ).eval()
    image, baseline = torch.randn(2, 1, 3, 48, 40)
    tops, lefts = grid(48, 4, 3), grid(40, 4, 3)
    with torch.no_grad():
        tape = record(network, image, keep=True)
        every = run_plan(Plan(tape, tape.output, tops, lefts, (4, 4)), tape.values, baseline, lambda x: x)
        for focus in [(5, 3, 6, 4), (0, 0, 2, 3), (11, 9, 12, 10)]:
            plan = Plan(tape, tape.output, tops, lefts, (4, 4), focus=focus)
            found = run_plan(plan, tape.values, baseline, lambda x: x)
            top, left, bottom, right = focus
            torch.testing.assert_close(found, every[..., top:bottom, left:right], rtol=0, atol=1e-5)
            # No place has to compute more of the last map than is wanted.
            assert all(group.nodes[-1].tracks[0].size <= bottom - top for group in plan.groups)


def test_the_kept_values_are_not_touched():
    torch.manual_seed(0)
    network = NETWORKS["residual"]().eval()
    image, baseline = torch.randn(2, 1, 3, *SIZE)
    tape = record(network, image, keep=True)
    before = [value.clone() for value in tape.values]
    plan = Plan(tape, tape.output, grid(31, 5, 4), grid(25, 5, 4), (5, 5))
    first = run_plan(plan, tape.values, baseline, lambda x: x)
    second = run_plan(plan, tape.values, baseline, lambda x: x)
    assert torch.equal(first, second)
    assert all(torch.equal(*pair) for pair in zip(before, tape.values, strict=True))


def peek(x: Tensor, a: nn.Module) -> Tensor:
    y = a(x)
    return y * float(y.max())


@pytest.mark.parametrize("forward", [peek, written])
def test_what_cannot_be_followed_is_refused(forward):
    tape = record(Function(forward, conv(3, 2, 3)), torch.randn(1, 3, 9, 9), keep=True)
    with pytest.raises(UnfollowableError):
        Plan(tape, tape.output, np.array([0]), np.array([0]), (2, 2))


def test_progress_counts_every_place():
    network = NETWORKS["stack"]().eval()
    image = torch.randn(1, 3, 32, 32)
    tape = record(network, image, keep=True)
    plan = Plan(tape, tape.output, grid(32, 4, 2), grid(32, 4, 2), (4, 4))
    told = []
    run_plan(plan, tape.values, image, lambda x: x, lambda *args: told.append(args))
    assert told[-1] == (15 * 15, 15 * 15)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_groups_hold_every_position_once_and_like_with_like():
    sizes = np.array([[3, 9], [5, 9], [5, 9], [5, 9], [5, 8], [2, 4], [3, 9]])
    found = groups(sizes, np.array([1.0, 1.0]), 3)
    assert len(found) == 3
    assert sorted(np.concatenate(found).tolist()) == list(range(7))
    # Merging 5,8 into 5,9 costs 17; merging the two of 3,9 into it 2·16: the small one stays alone.
    assert sorted(sorted(one.tolist()) for one in found) == [[0, 6], [1, 2, 3, 4], [5]]


@pytest.mark.parametrize(
    ("name", "size", "patch"),
    [
        ("mobilenet_v2", 96, 16),
        ("shufflenet_v2_x0_5", 96, 16),
        ("squeezenet1_1", 80, 16),
        ("mnasnet0_5", 64, 24),
    ],
)
def test_torchvision_networks(builder, name, size, patch):
    check(calibrated(builder(name, num_classes=10), size), (size, size), (patch, patch), patch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(
            "alexnet",
            "vgg11",
            "resnet18",
            "densenet121",
            "googlenet",
            "inception_v3",
            "efficientnet_b0",
            "maxvit_t",
        ),
        *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnext50_32x4d", "swin_t", "vit_b_32"),
        "convnext_tiny",
    ],
)
def test_more_torchvision_networks(builder, name):
    size = {"vit_b_32": 224, "maxvit_t": 224, "inception_v3": 299}.get(name, 128)
    # A hundred layers of rounding: the promise to users is 1e-4 of the output's range.
    check(calibrated(builder(name, num_classes=10), size), (size, size), (40, 40), 40, tolerance=1e-4)
