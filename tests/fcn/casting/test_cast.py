"""Classifiers cast: each cell is the classifier on its crop, whatever the head looks like."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netviz
from netviz.errors import ModelError
from netviz.fcn.casting.cast import cast
from support.casting import CLASSES, NATIVE, make, sliding, wide
from support.kinds import KINDS

HEADS: dict[str, tuple[Callable[..., Any], dict[str, Callable[[], nn.Module]]]] = {
    "pool, flatten": (lambda m, x: m.fc(torch.flatten(m.pool(x), 1)), {}),
    "mean of two dims": (lambda m, x: m.fc(x.mean([2, 3])), {}),
    "mean, kept, from behind": (lambda m, x: m.fc(x.mean(dim=(-1, -2), keepdim=True).squeeze()), {}),
    "mean, one dim at a time": (lambda m, x: m.fc(x.mean(3).mean(2)), {}),
    "sum": (lambda m, x: m.fc(x.sum((2, 3))), {}),
    "largest": (lambda m, x: m.fc(torch.amax(x, (2, 3))), {}),
    "functional pool, index": (lambda m, x: m.fc(F.adaptive_avg_pool2d(x, (1, 1))[:, :, 0, 0]), {}),
    "fixed pool": (lambda m, x: m.fc(F.avg_pool2d(x, 4).view(x.size(0), -1)), {}),
    "tokens": (lambda m, x: m.fc(x.flatten(2).transpose(1, 2).mean(1)), {}),
    "channels last": (lambda m, x: m.fc(x.permute(0, 2, 3, 1).mean((1, 2))), {}),
    "mirrored": (lambda m, x: m.wide(x.flip(3).flatten(1)), {"wide": wide}),
    "maps flattened": (lambda m, x: m.wide(x.reshape(-1, x[0].numel())), {"wide": wide}),
    "flattened, channels last": (lambda m, x: m.wide(x.permute(0, 2, 3, 1).flatten(1)), {"wide": wide}),
    "half of the flattened": (
        lambda m, x: m.later(x.flatten(1).chunk(2, dim=1)[1]),
        {"later": lambda: nn.Linear(64, CLASSES)},
    ),
    "grid of windows": (
        lambda m, x: m.grid(m.two(x).flatten(1)),
        {"grid": lambda: nn.Linear(128, CLASSES), "two": lambda: nn.AdaptiveAvgPool2d(4)},
    ),
    "functional linear": (
        lambda m, x: F.linear(x.flatten(1), m.wide.weight * 2, m.wide.bias),
        {"wide": wide},
    ),
    "dropout, norm, softmax": (
        lambda m, x: F.softmax(m.fc(m.drop(m.norm(F.gelu(m.pool(x).flatten(1))))), dim=1),
        {"norm": lambda: nn.BatchNorm1d(8), "drop": lambda: nn.Dropout(0.5)},
    ),
    "layer norm, log softmax": (
        lambda m, x: m.soft(m.fc(m.norm(x.mean((2, 3))))),
        {"norm": lambda: nn.LayerNorm(8), "soft": lambda: nn.LogSoftmax(-1)},
    ),
    "layer norm of kept maps": (
        lambda m, x: m.fc(m.norm(m.pool(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).flatten(1)),
        {"norm": lambda: nn.LayerNorm(8)},
    ),
    "scaled, prelu": (
        lambda m, x: m.prelu(m.fc(x.mean((2, 3)) * m.norm.weight + 0.5)),
        {"norm": lambda: nn.LayerNorm(8), "prelu": lambda: nn.PReLU(CLASSES)},
    ),
    "two pools together": (
        lambda m, x: m.both(torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)),
        {"both": lambda: nn.Linear(16, CLASSES)},
    ),
    "scores pooled": (
        lambda m, x: m.pool(m.score(x)).flatten(1),
        {"score": lambda: nn.Conv2d(8, CLASSES, 1)},
    ),
    "convolution after the pool": (
        lambda m, x: m.score(m.pool(x)).squeeze(-1).squeeze(-1),
        {"score": lambda: nn.Conv2d(8, CLASSES, 1)},
    ),
    "normalized": (lambda m, x: m.fc(F.normalize(F.normalize(x).mean((2, 3)), dim=-1)), {}),
    "residual layers": (
        lambda m, x: (lambda v: m.fc(v + F.relu(m.more(v))))(x.mean((2, 3))),
        {"more": lambda: nn.Linear(8, 8)},
    ),
    "some of the scores, reversed": (lambda m, x: m.fc(x.mean((2, 3))).flip(1)[:, 1:], {}),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_cell_is_the_classifier_on_its_crop(name: str) -> None:
    head, layers = HEADS[name]
    network = make(head, **layers)
    dense = cast(network, input_size=NATIVE)
    image = torch.randn(2, 3, 23, 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        alone = dense(image[:, :, :NATIVE, :NATIVE])
        wanted = sliding(network, image)
        found = dense(image)
    assert alone.shape[2:] == (1, 1)
    torch.testing.assert_close(alone, wanted[:, :, :1, :1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        found[:, :, : wanted.shape[2], : wanted.shape[3]], wanted, rtol=1e-4, atol=1e-5
    )


def test_layers_keep_their_names_and_gradients_flow() -> None:
    network = make(HEADS["maps flattened"][0], wide=wide)
    network.conv1.weight.requires_grad_(False)
    dense = cast(network, input_size=NATIVE)
    layer = dense.get_submodule("wide")
    assert isinstance(layer, nn.Conv2d)
    torch.testing.assert_close(layer.weight, network.wide.weight.reshape(CLASSES, 8, 4, 4))
    dense(torch.randn(1, 3, 18, 18)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
    assert dense.get_submodule("conv1").weight.grad is None
    assert dense.get_submodule("conv2").weight.grad is not None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_layer_called_twice_stays_one() -> None:
    network = make(lambda m, x: m.fc(m.more(F.relu(m.more(x.mean((2, 3)))))), more=lambda: nn.Linear(8, 8))
    dense = cast(network, input_size=NATIVE)
    assert [name for name, _ in dense.named_parameters() if name.startswith("more")] == [
        "more.weight",
        "more.bias",
    ]
    image = torch.randn(1, 3, 18, 16)
    torch.testing.assert_close(dense(image), sliding(network, image))


class Standardized(nn.Conv2d):
    """A convolution of its own kind: its weights have mean 0."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


def test_convolutions_of_a_kind_of_their_own_stay_whole() -> None:
    def head(m: Any, x: Tensor) -> Tensor:
        return m.fc(m.own(x).mean((2, 3)))

    network = make(head, own=lambda: Standardized(8, 8, 1))
    dense = cast(network, input_size=NATIVE)
    assert isinstance(dense.get_submodule("own"), Standardized)
    image = torch.randn(1, 3, 18, 16)
    torch.testing.assert_close(dense(image), sliding(network, image))
    with pytest.raises(ModelError, match=r"own \(Standardized\) is a convolution of an unknown kind"):
        cast(
            make(lambda m, x: m.own(m.pool(x)).flatten(1), own=lambda: Standardized(8, 5, 1)),
            input_size=NATIVE,
        )


def test_the_network_is_left_alone() -> None:
    network = make(HEADS["dropout, norm, softmax"][0], **HEADS["dropout, norm, softmax"][1]).train()
    network.bn.eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    state = torch.random.get_rng_state()
    dense = cast(network, input_size=NATIVE)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.zero_()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in network.modules()] == modes
    assert not any(module.training for module in dense.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_double_precision_and_channels_last() -> None:
    network = make(HEADS["pool, flatten"][0]).double()
    image = torch.randn(1, 3, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dense = cast(network, input_size=NATIVE)
    wanted = sliding(network, image)
    torch.testing.assert_close(dense(image), wanted, rtol=1e-10, atol=1e-12)
    last = cast(network.to(memory_format=torch.channels_last), input_size=NATIVE)
    torch.testing.assert_close(last(image.contiguous(memory_format=torch.channels_last)), wanted)


def test_twice_the_same() -> None:
    network = make(HEADS["pool, flatten"][0])
    one, other = (cast(network, input_size=NATIVE) for _ in range(2))
    assert one.code == other.code
    image = torch.randn(1, 3, 20, 20)
    assert torch.equal(one(image), other(image))


class Pair(NamedTuple):
    features: Tensor
    logits: Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x, y: {"features": x, "logits": y},
        lambda x, y: (y, x),
        lambda x, y: [x, (y,)],
        Pair,
    ],
    ids=["dict", "tuple", "list", "namedtuple"],
)
def test_outputs_of_several_parts(wrap: Callable[[Tensor, Tensor], Any]) -> None:
    network = make(lambda m, x: wrap(x, m.fc(x.mean((2, 3)))))
    plain = make(HEADS["mean of two dims"][0])
    image = torch.randn(1, 3, 18, 18)
    torch.testing.assert_close(cast(network, input_size=NATIVE)(image), sliding(plain, image))


def test_control_flow_is_settled_at_the_native_size() -> None:
    def head(m: Any, x: Tensor) -> Tensor:
        assert x.shape[2] == 4
        if not isinstance(x, Tensor) or len(x.shape) != 4:
            raise TypeError
        for _ in range(x.shape[-1] // 2):
            x = F.relu(x - 0.01)
        if x.abs().max() >= 0:  # depends on values
            x = x * 2
        b, c, *_ = x.shape
        return m.fc(m.pool(x).view(b, c))

    network = make(head)
    plain = make(lambda m, x: m.fc((F.relu(F.relu(x - 0.01) - 0.01) * 2).mean((2, 3))))
    image = torch.randn(2, 3, 18, 20)
    torch.testing.assert_close(cast(network, input_size=NATIVE)(image), sliding(plain, image))


@pytest.mark.parametrize(
    "kind", ["tensor kept as attribute", "parameter exchanged", "module made late", "modules in a list"]
)
def test_what_the_pass_itself_sets_stays_out_of_the_graph(kind: str, capfd: Any) -> None:
    torch.manual_seed(0)
    network = KINDS[kind]().eval()
    image = torch.rand(2, 3, 40, 48)
    dense = cast(network, input_size=(40, 48))
    torch.testing.assert_close(dense(image).flatten(1), network(image))
    assert capfd.readouterr().err == ""


def test_squeeze_and_excitation_stays_global() -> None:
    def head(m: Any, x: Tensor) -> Tensor:
        weights = m.gate(F.relu(m.more(x.mean((2, 3))))).view(x.size(0), -1, 1, 1)
        return m.fc((x * weights.sigmoid().expand_as(x)).mean((2, 3)))

    network = make(head, more=lambda: nn.Linear(8, 2), gate=lambda: nn.Linear(2, 8))
    dense = cast(network, input_size=NATIVE)
    image = torch.randn(2, 3, 20, 20)
    crop = image[:, :, :NATIVE, :NATIVE]
    torch.testing.assert_close(dense(crop).flatten(1), network(crop))
    # By hand: weights of the whole image, then the mean of each 4×4 window.
    x = F.relu(network.conv2(F.relu(network.bn(network.conv1(image)))))
    weights = network.gate(F.relu(network.more(x.mean((2, 3))))).sigmoid()
    x = (x * weights[:, :, None, None]).unfold(2, 4, 1).unfold(3, 4, 1).mean((-2, -1))
    torch.testing.assert_close(dense(image), network.fc(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def test_what_is_fully_convolutional_is_copied() -> None:
    pnet = netviz.load("pnet").runnable()
    copied = cast(pnet)
    image = torch.rand(1, 3, 20, 24)
    assert copied is not pnet
    for one, other in zip(copied(image), pnet(image), strict=True):
        assert torch.equal(one, other)
    dense = cast(make(HEADS["pool, flatten"][0]), input_size=NATIVE)
    again = cast(dense, input_size=NATIVE)
    image = torch.randn(1, 3, 20, 20)
    assert again is not dense
    assert torch.equal(again(image), dense(image))
