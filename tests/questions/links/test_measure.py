"""Links against products of weights, multiplied out by plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netviz
from netviz.errors import LayerError
from netviz.models import Model, Preprocessing
from netviz.models.torchvision_import import import_torchvision

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def opened(network: nn.Module, labels: tuple[str, ...] = ()) -> Model:
    """Give every batch normalization statistics of its own, as training does."""
    torch.manual_seed(1)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.running_var, norm.weight):
                value.data.uniform_(0.5, 1.5)
            for value in (norm.running_mean, norm.bias):
                value.data.uniform_(-0.5, 0.5)
    return Model("net", network, network.state_dict(), PLAIN, labels)


def ask(network, layer, unit, size=(24, 24), **arguments):
    model = network if isinstance(network, Model) else opened(network)
    return netviz.links(model, layer=layer, unit=unit, size=size, top=1000, **arguments)


def kernels_of(result, side):
    """Return the kernels of all units of a side, by number."""
    shown = getattr(result, f"{side}_units")
    kernels = getattr(result, f"{side}_kernels")
    every = np.zeros((len(getattr(result, f"{side}_norms")), *kernels.shape[1:]))
    every[shown] = kernels
    return every


def dense(conv):
    """Return a convolution's weights (O, I, kh, kw) without groups and dilation."""
    weight = conv.weight.detach().double().numpy()
    outputs, inner, height, width = weight.shape
    step = conv.dilation[0]
    full = np.zeros((outputs, inner * conv.groups, (height - 1) * step + 1, (width - 1) * step + 1))
    for o in range(outputs):
        first = o // (outputs // conv.groups) * inner
        for i in range(inner):
            full[o, first + i, ::step, ::step] = weight[o, i]
    return full


def scale(norm):
    weight, variance = (one.detach().double().numpy() for one in (norm.weight, norm.running_var))
    return weight / np.sqrt(variance + norm.eps)


def product(first, second, stride=1):
    """Return the weights of one convolution after another, whose first has this stride."""
    middle, inputs, height, width = first.shape
    outputs, _, rows, columns = second.shape
    found = np.zeros((outputs, inputs, (rows - 1) * stride + height, (columns - 1) * stride + width))
    for o in range(outputs):
        for m in range(middle):
            for y in range(rows):
                for x in range(columns):
                    top, left = y * stride, x * stride
                    found[o, :, top : top + height, left : left + width] += second[o, m, y, x] * first[m]
    return found


def scaled(weights, norm):
    return weights * scale(norm)[:, None, None, None]


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 2}, {"dilation": 2, "padding": 2}])
def test_a_chain(options):
    torch.manual_seed(0)
    first = nn.Conv2d(4, 6, 3, **{"padding": 1, **options})
    second = nn.Conv2d(6, 5, 3, padding=1)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), first, nn.BatchNorm2d(6), second, nn.BatchNorm2d(5), nn.ReLU()
    )
    result = ask(network, "relu3", 2)
    stride = options.get("stride", 1)
    expected = scaled(product(scaled(dense(first), network[3]), dense(second), stride), network[5])
    assert (result.before.layer, result.before.at) == ("1", "5 (norm3)")
    np.testing.assert_allclose(kernels_of(result, "before"), expected[2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.before_norms, np.sqrt((expected[2] ** 2).sum(axis=(1, 2))), rtol=1e-9)
    np.testing.assert_allclose(result.before_sums, expected[2].sum(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(result.shares("before").sum(), 1)
    assert result.before_by_weight.tolist() == np.argsort(-result.before_norms).tolist()
    after = ask(network, "conv1", 1)
    assert (after.after.layer, after.after.at) == ("5", "1 (relu1)")
    np.testing.assert_allclose(kernels_of(after, "after"), expected[:, 1], rtol=1e-9, atol=1e-12)
    assert not result.before.cut
    assert not after.after.cut


def test_the_first_layer_is_built_from_the_image():
    network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
    result = ask(network, "conv1", 3)
    assert result.before.labels == ("red", "green", "blue")
    np.testing.assert_allclose(kernels_of(result, "before"), dense(network[0])[3], rtol=1e-9)


class Residual(nn.Module):
    def __init__(self, last: bool, in_place: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.last, self.in_place = nn.Conv2d(3, 4, 3), last, in_place
        self.one, self.norm, self.two = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)
        self.head = nn.Conv2d(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x), inplace=self.in_place)
        y = self.two(self.norm(self.one(x)))
        y = y.add_(x) if self.in_place else y + x
        return self.head(F.relu(y, inplace=self.in_place) if self.last else y)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_residual_block(in_place):
    network = Residual(last=True, in_place=in_place)
    result = ask(network, "relu_1", 2)
    expected = product(scaled(dense(network.one), network.norm), dense(network.two))[2]
    expected[2, 1, 1] += 1
    assert result.before.layer == "relu"
    np.testing.assert_allclose(kernels_of(result, "before"), expected, rtol=1e-9, atol=1e-12)


def test_a_unit_feeds_through_the_sum_and_the_convolutions():
    network = Residual(last=False)
    result = ask(network, "stem", 1)
    inner = product(scaled(dense(network.one), network.norm), dense(network.two))
    inner[range(4), range(4), 1, 1] += 1
    np.testing.assert_allclose(
        kernels_of(result, "after"), product(inner, dense(network.head))[:, 1], rtol=1e-9, atol=1e-12
    )


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.grow, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3, padding=1), nn.BatchNorm2d(6)
        self.next = nn.Conv2d(6, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.next(self.norm(torch.cat([x, self.grow(x)], 1)))


def test_a_concatenation():
    network = Dense()
    result = ask(network, "next", 4)
    weights = dense(network.next) * scale(network.norm)[:, None, None]
    inner = product(dense(network.grow), weights[:, 4:])
    inner[:, :, 1:4, 1:4] += weights[:, :4]
    np.testing.assert_allclose(kernels_of(result, "before"), inner[4], rtol=1e-9, atol=1e-12)
    after = ask(network, "stem", 3)
    np.testing.assert_allclose(kernels_of(after, "after"), inner[:, 3], rtol=1e-9, atol=1e-12)
    # A unit behind another part has a number of its own in it.
    grown = ask(network, "grow", 1)
    assert grown.after.at == "norm (norm2)"
    np.testing.assert_allclose(kernels_of(grown, "after"), dense(network.next)[:, 5], rtol=1e-9, atol=1e-12)


def test_what_else_reads_a_unit_is_named():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.one, self.two = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
            self.b, self.c = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return F.relu(self.b(F.relu(self.one(x))) + self.c(F.relu(self.two(x))))

    result = ask(Twice(), "a", 1)
    assert (result.after.at, result.after.also) == ("relu (relu1)", ("two (norm2)",))


def inverted() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
        nn.Conv2d(12, 4, 1, bias=False), nn.BatchNorm2d(4),
    )  # fmt: skip


def test_an_inverted_residual():
    network = inverted()
    opened(network)
    wide, deep, narrow = (scaled(dense(network[at]), network[at + 1]) for at in (1, 4, 7))
    linear = ask(network, "8", 2)
    assert (linear.before.layer, linear.before.opened) == ("6", ())
    np.testing.assert_allclose(kernels_of(linear, "before"), narrow[2], rtol=1e-9)
    once = ask(network, "8", 2, through=1)
    assert (once.before.layer, once.before.opened) == ("3", ("6 (relu3)",))
    np.testing.assert_allclose(kernels_of(once, "before"), product(deep, narrow)[2], rtol=1e-9, atol=1e-12)
    twice = ask(network, "8", 2, through=2, before="0")
    assert twice.before.opened == ("3 (relu2)", "6 (relu3)")
    every = product(product(wide, deep), narrow)
    np.testing.assert_allclose(kernels_of(twice, "before"), every[2], rtol=1e-9, atol=1e-12)
    feeds = ask(network, "0", 3, through=2, after="8")
    np.testing.assert_allclose(kernels_of(feeds, "after"), every[:, 3], rtol=1e-9, atol=1e-12)
    with pytest.raises(LayerError, match=r"give --through 2 to take 2 non-linearities"):
        ask(network, "8", 2, before="0", through=1)


def test_no_way_passes_more_non_linearities_than_told():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.c(F.relu(x + self.b(F.relu(x))))

    network = Skip()
    result = ask(network, "c", 0, through=1)
    assert result.before.opened == ("relu_1 (relu2)",)
    # The image comes in through the skip alone; the other way would pass two.
    a, c = (one.weight.detach().double().numpy()[..., 0, 0] for one in (network.a, network.c))
    image = ask(network, "c", 0, through=1, before="image")
    np.testing.assert_allclose(kernels_of(image, "before")[:, 0, 0], (c @ a)[0], rtol=1e-9)


def test_a_mean_pooling_is_a_kernel():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3)
    )
    pool = np.zeros((4, 4, 2, 2))
    pool[range(4), range(4)] = 0.25
    expected = product(product(dense(network[2]), pool), dense(network[4]), 2)
    np.testing.assert_allclose(kernels_of(ask(network, "conv3", 1), "before"), expected[1], rtol=1e-9)


def test_a_max_pooling_is_the_unit_s_own_or_taken_as_a_mean():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3), nn.ReLU())
    result = ask(network, "conv1", 2)
    assert result.after.at == "2 (pool1)"
    np.testing.assert_allclose(kernels_of(result, "after"), dense(network[3])[:, 2], rtol=1e-9)
    pool = np.zeros((4, 4, 2, 2))
    pool[range(4), range(4)] = 0.25
    opened = ask(network, "conv2", 1, before="relu1", through=1)
    assert opened.before.opened == ("2 (pool1)",)
    expected = product(pool, dense(network[3]), 2)[1]
    np.testing.assert_allclose(kernels_of(opened, "before"), expected, rtol=1e-9)


def test_weights_that_read_a_unit_before_and_after_its_pooling():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.side, self.on = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1), nn.Conv2d(4, 2, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = F.relu(self.a(x))
            return F.relu(self.on(F.max_pool2d(x, 2))), F.relu(self.side(x))

    network = Two()
    result = ask(network, "a", 0)
    assert (result.after.layer, result.after.also) == ("on", ("side (conv3)",))
    np.testing.assert_allclose(kernels_of(result, "after"), dense(network.on)[:, 0], rtol=1e-9)


def test_a_gate_is_the_unit_s_own():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.down, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.a(x))
            gate = torch.sigmoid(self.down(x.mean((2, 3), keepdim=True)))
            return self.b(x * gate)

    network = Gated()
    result = ask(network, "a", 1)
    assert (result.after.layer, result.after.at) == ("b", "mul")
    np.testing.assert_allclose(kernels_of(result, "after"), dense(network.b)[:, 1], rtol=1e-9)
    before = ask(network, "b", 1)
    assert before.before.layer == "mul"
    np.testing.assert_allclose(kernels_of(before, "before"), dense(network.b)[1], rtol=1e-9)


def test_channels_last():
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 5, 3)
            self.a, self.norm = nn.Conv2d(5, 4, 3, padding=1), nn.LayerNorm(4)
            self.wide, self.narrow = nn.Linear(4, 8), nn.Linear(8, 4)
            self.b = nn.Conv2d(4, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(F.relu(self.first(x)))
            y = self.narrow(F.gelu(self.wide(self.norm(x.permute(0, 2, 3, 1)))))
            return self.b(y.permute(0, 3, 1, 2) + x)

    network = Last()
    wide = ask(network, "wide", 5)
    assert wide.before.layer == "norm"
    np.testing.assert_allclose(
        kernels_of(wide, "before")[:, 0, 0], network.wide.weight[5].tolist(), rtol=1e-6
    )
    first = ask(network, "first", 2)
    assert first.after.layer == "a"
    np.testing.assert_allclose(kernels_of(first, "after"), dense(network.a)[:, 2], rtol=1e-9)
    narrow = network.narrow.weight.detach().double().numpy()
    expected = np.einsum("omyx,m->oyx", dense(network.b), narrow[:, 5])
    np.testing.assert_allclose(kernels_of(wide, "after"), expected, rtol=1e-9)


def test_channels_that_change_places():
    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=2)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.a(x))
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            return F.relu(self.b(x))

    network = Shuffled()
    places = np.arange(6).reshape(2, 3).T.ravel()
    expected = np.zeros((6, 3, 3))
    expected[places] = dense(network.b)[4]
    np.testing.assert_allclose(kernels_of(ask(network, "b", 4), "before"), expected, rtol=1e-9)


def test_weights_for_each_position_of_a_map():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(4 * 25, 7),
        nn.ReLU(),
        nn.Linear(7, 2),
    )
    result = ask(network, "conv1", 2, size=(22, 22))
    weights = network[4].weight.detach().double().numpy().reshape(7, 4, 5, 5)
    assert result.after.whole
    np.testing.assert_allclose(kernels_of(result, "after"), weights[:, 2], rtol=1e-6, atol=1e-9)
    assert result.class_weights is None


def test_classes_are_the_classifier_s_weights():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    names = ("a", "b", "c", "d", "e")
    result = ask(opened(network, names), "conv1", 3)
    weights = network[5].weight.detach().double().numpy()[:, 3]
    np.testing.assert_allclose(result.class_weights, weights, rtol=1e-9)
    order = np.argsort(-weights)
    assert [one.name for one in result.raised] == [names[at] for at in order if weights[at] > 0]
    assert [one.number for one in result.lowered] == [at for at in order[::-1] if weights[at] < 0]
    assert (result.after, result.called) == (None, "class")


def test_classes_of_mobilenet_v2():
    model = netviz.load("mobilenet_v2", weights="none")
    result = netviz.links(model, layer="features.18", unit=1279, top=3)
    weights = model.network.classifier[1].weight.detach().double().numpy()[:, 1279]
    np.testing.assert_allclose(result.class_weights, weights, rtol=1e-9, atol=1e-12)
    narrow, last = model.network.features[17].conv, model.network.features[18]
    expected = (
        scaled(dense(last[0]), last[1])[1279, :, 0, 0] @ scaled(dense(narrow[2]), narrow[3])[:, :, 0, 0]
    )
    np.testing.assert_allclose(result.before_norms, np.abs(expected), rtol=1e-9, atol=1e-12)
    assert result.before.layer == "features.17.conv.1.2"


def test_a_kernel_that_the_map_cannot_hold_is_said_to_be_cut():
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 5, padding=2)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.a(x))
            return F.relu(self.b(x.view(x.shape[0], 1, 2, *x.shape[2:]).flatten(1, 2)[:, :, : x.shape[2]]))

    assert ask(Once(), "b", 0, size=(4, 4)).before.cut
    assert not ask(Once(), "b", 0, size=(9, 9)).before.cut


def test_batch_size_and_size_do_not_matter():
    network = inverted()
    some = ask(network, "8", 2, through=2, before="0")
    other = ask(network, "8", 2, through=2, before="0", size=(40, 64))
    np.testing.assert_array_equal(some.before_kernels, other.before_kernels)


class Stretched(nn.Module):
    """Scores, read at twice as many rows and columns by matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.eye(x.shape[2]).repeat_interleave(2, 0)
        columns = torch.eye(x.shape[3]).repeat_interleave(2, 0)
        return rows @ (self.b(self.a(x)) @ columns.T)


def test_matrices_that_read_rows_and_columns_mix_no_units():
    network = Stretched()
    found = ask(network, "a", 3)
    assert found.after.layer == "b"
    np.testing.assert_allclose(kernels_of(found, "after"), dense(network.b)[:, 3], rtol=1e-6)
    assert ask(network, "b", 0).after_missing == "no weights read a unit of b (conv2)"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.q, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        rows = self.q(x).flatten(2)
        mixed = (rows.transpose(1, 2) @ rows).softmax(-1)
        return self.b((rows @ mixed).view_as(x))


@pytest.mark.parametrize(
    ("network", "layer", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
            "norm1",
            "norm1.*is not linear: group_norm in 1",
        ),
        (Attention(), "b", r"what a unit of b \(conv3\) is built from has no maps: matmul"),
    ],
)
def test_what_is_not_linear_is_refused(network, layer, message):
    with pytest.raises(LayerError, match=message):
        ask(network, layer, 0)


def test_tokens_are_refused():
    network = import_torchvision().models.VisionTransformer(
        32, 16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8
    )
    with pytest.raises(
        LayerError, match="has tokens: attention joins them, or another product that is not linear"
    ):
        ask(network, "-1", 0, size=(32, 32))


def test_a_side_that_is_missing_says_why():
    result = ask(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 2, 1)), "conv1", 0
    )
    assert result.after is None
    assert result.after_missing == "what reads a unit of 0 (conv1) is not linear: group_norm in 1"
    assert result.before is not None


@pytest.mark.parametrize(("name", "value"), [("through", -1), ("top", 0)])
def test_options_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        netviz.links(opened(inverted()), layer="8", unit=0, **{name: value})
