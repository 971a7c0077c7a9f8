import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netviz
from netviz.errors import ImageError, LayerError, ModelError
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from netviz.questions.reader import load_result
from support.network import Several, heads, named
from support.photos import noise

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def model(network: nn.Module, preprocessing: Preprocessing = PLAIN, labels: tuple[str, ...] = ()) -> Model:
    return Model("net", network, network.state_dict(), preprocessing, labels)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(True), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("class_", range(4))
def test_before_a_global_average_shares_are_weights_times_means_and_add_up(class_, tmp_path):
    network, photo = chain(), noise(40, 35)
    result = netviz.votes(photo, model=model(network), class_=class_, top=2)
    with torch.no_grad():
        maps = network[:4](normalize(photo.pixels, PLAIN))[0]
        expected = network[6].weight[class_] * maps.mean((1, 2))
        score = network(normalize(photo.pixels, PLAIN))[0, class_]
    assert (result.layer, result.chosen, result.exact) == ("3", True, True)
    np.testing.assert_allclose(result.share, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert result.offset == pytest.approx(network[6].bias[class_].item(), abs=1e-6)
    again = load_result(result.save(tmp_path / "a.npz"))
    assert again.facts() == result.facts()
    assert float(result.share.sum()) + result.offset == pytest.approx(float(score), abs=1e-5)
    assert result.score == pytest.approx(float(score), abs=1e-6)
    np.testing.assert_allclose(result.score - result.ablated, result.share, atol=1e-5)
    np.testing.assert_allclose(result.contributions.sum((1, 2)), result.share[result.units], atol=1e-6)
    np.testing.assert_allclose(result.maps, maps.numpy()[result.units], rtol=1e-5, atol=1e-6)
    order = np.argsort(-result.share)
    best = [unit for unit in order if result.share[unit] > 0][:2]
    worst = [unit for unit in order[::-1] if result.share[unit] < 0][:2]
    assert result.units.tolist() == [*best, *worst]
    assert result.supporting == len(best)
    told = result.summary()
    assert [one["unit"] for one in told["for"] + told["against"]] == result.units.tolist()
    assert told["shares_sum"] == pytest.approx(float(result.share.sum()))


def test_at_its_mean_a_unit_before_a_global_average_takes_nothing_away():
    result = netviz.votes(noise(40, 35), model=model(chain()), to="mean")
    np.testing.assert_allclose(result.ablated, result.score, atol=1e-5)


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_elsewhere_shares_are_activation_times_gradient_and_the_score_is_measured(to):
    network, photo = chain(), noise(40, 35)
    result = netviz.votes(photo, model=model(network), layer="relu1", class_=1, to=to)
    maps = network[:2](normalize(photo.pixels, PLAIN)).detach().requires_grad_(True)
    score = network[2:](maps * 1)[0, 1]
    (slope,) = torch.autograd.grad(score, maps)
    np.testing.assert_allclose(result.share, (maps * slope).sum((0, 2, 3)).detach(), rtol=1e-4, atol=1e-6)
    assert not result.exact
    assert not result.chosen
    with torch.no_grad():
        for unit in range(8):
            other = maps.clone()
            other[0, unit] = 0 if to == "zero" else other[0, unit].mean()
            assert result.ablated[unit] == pytest.approx(float(network[2:](other)[0, 1]), abs=1e-5)
        assert result.offset == pytest.approx(float(network[2:](maps * 0)[0, 1]), abs=1e-5)


class Head(nn.Module):
    """Homogeneous without an offset: activation times gradient adds up to the score, which yet is not linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.mix, self.last = (nn.Conv2d(i, o, 1, bias=False) for i, o in ((3, 5), (5, 6), (6, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.mix(self.conv(x)))).mean((2, 3))


def test_what_only_adds_up_is_not_called_exact():
    result = netviz.votes(noise(12, 12), model=model(Head()), layer="conv")
    assert float(result.share.sum()) + result.offset == pytest.approx(result.score, abs=1e-5)
    assert not result.exact
    assert np.abs(result.score - result.ablated - result.share).max() > 1e-3


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cut = nn.Conv2d(3, 6, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.block = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut(x).flatten(2).transpose(1, 2)
        x = self.block(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.head(x[:, 0])


def test_a_class_token_belongs_to_the_unit_and_is_told_apart():
    network, photo = Tokens().eval(), noise(32, 40)
    result = netviz.votes(photo, model=model(network, PLAIN.sized(32, 40)), layer="block", class_=2)
    assert result.exact
    assert result.maps.shape[1:] == (4, 5)
    np.testing.assert_allclose(result.beside, result.share)
    assert not result.contributions.any()
    with torch.no_grad():
        expected = network(normalize(photo.pixels, PLAIN))[0, 2]
    assert float(result.share.sum()) + result.offset == pytest.approx(float(expected), abs=1e-5)


def test_of_several_outputs_the_one_asked_for():
    photo = noise(16, 16)
    plain = netviz.votes(photo, model=model(Several("plain").eval()), class_=7)
    for network, output, class_ in (
        (Several().eval(), "0", 7),
        (named(), "logits", 7),
        (heads(), "shape", 1),
    ):
        result = netviz.votes(photo, model=model(network), output=output, class_=class_)
        np.testing.assert_allclose(result.share, plain.share, rtol=1e-5)
        np.testing.assert_allclose(result.ablated, plain.ablated, rtol=1e-5)
        assert result.output == output
    assert netviz.votes(photo, model=model(heads())).output == "colour"
    with pytest.raises(ModelError, match="has no output 'size'"):
        netviz.votes(photo, model=model(heads()), output="size")


def test_one_channel():
    network = chain()
    network[0] = nn.Conv2d(1, 8, 3, 2, 1)
    grey = Preprocessing(resize=None, crop=None, mean=(0.5,), std=(0.25,), channel_order="L")
    result = netviz.votes(noise(20, 22), model=model(network, grey))
    assert result.exact
    assert result.image.shape == (20, 22, 3)
    assert float(result.share.sum()) + result.offset == pytest.approx(result.score, abs=1e-5)


class Places(nn.Module):
    """Each unit answers at one place only: the brightest pixel of its colour."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 3, 3, stride=3, bias=False)
        self.maps.weight.data = torch.eye(3)[:, :, None, None].repeat(1, 1, 3, 3)
        self.head = nn.Linear(3, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0, 2.0, -3.0], [0.0, 0.0, 0.0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).relu().mean((2, 3)))


def test_patches_are_where_a_unit_votes():
    pixels = np.zeros((30, 36, 3), dtype=np.uint8)
    corners = [(3, 6), (21, 30), (12, 15)]
    for unit, (row, col) in enumerate(corners):
        pixels[row : row + 3, col : col + 3, unit] = 255
    photo = Photo("places", pixels)
    plain = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)
    result = netviz.votes(photo, model=model(Places(), plain), layer="maps", class_=0)
    assert result.units.tolist() == [1, 0, 2]
    assert result.supporting == 2
    for unit, peak, box in zip(
        result.units.tolist(), result.peaks.tolist(), result.boxes.tolist(), strict=True
    ):
        row, col = corners[unit]
        assert peak == [row // 3, col // 3]
        assert box == [row, col, row + 3, col + 3]
    assert (result.center, result.step, result.patch_of) == ((1.0, 1.0), (3.0, 3.0), "field")


def test_a_network_whose_last_maps_are_its_classes_votes_one_layer_before():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    assert netviz.votes(noise(16, 16), model=model(network)).layer == "1"


def test_refusals():
    photo, network = noise(16, 16), chain()
    for wrong in ({"to": "one"}, {"top": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            netviz.votes(photo, model=model(network), **wrong)
    with pytest.raises(ModelError, match="its classes are 0 to 3"):
        netviz.votes(photo, model=model(network), class_=4)
    with pytest.raises(ModelError, match="votes needs a classifier"):
        netviz.votes(photo, model=model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(0))))
    with pytest.raises(LayerError, match="has no maps"):
        netviz.votes(photo, model=model(network), layer="6")
    with pytest.raises(LayerError, match="no layer of net before its scores has maps larger than 1×1"):
        netviz.votes(
            photo, model=model(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)))
        )
    with pytest.raises(ImageError, match="does not run on"):
        netviz.votes(
            noise(1, 1), model=model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)))
        )


class Aside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.side, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.conv(x).relu().mean((2, 3))), self.side(x)


def test_a_layer_that_the_score_does_not_come_from_is_refused():
    assert netviz.votes(noise(16, 16), model=model(Aside())).layer == "relu"
    with pytest.raises(LayerError, match="the scores do not come from layer side"):
        netviz.votes(noise(16, 16), model=model(Aside()), layer="side")


def test_a_unit_that_is_0_anyway_changes_nothing():
    network = chain()
    network[2].bias.data[3] = -100
    result = netviz.votes(noise(20, 20), model=model(network), layer="relu2")
    assert result.unchanged >= 1
    assert result.share[3] == 0
    assert result.ablated[3] == result.score
    assert 3 not in result.units
