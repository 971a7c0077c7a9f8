import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ImageError, LayerError
from netviz.models import Model, Preprocessing
from netviz.questions.field.result import FieldResult
from netviz.questions.opening import describe_field, layer_fields, layers
from support.network import Awkward, state_of

OWN_SIZE = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)


def opened(network: nn.Module, preprocessing: Preprocessing = OWN_SIZE) -> Model:
    return Model("net", network, network.state_dict(), preprocessing)


@pytest.fixture
def photos(tmp_path):
    """Two photographs, 40 × 52 and 90 × 60."""
    rng = np.random.default_rng(11)
    for name, shape in (("a", (40, 52, 3)), ("b", (90, 60, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return [tmp_path / "a.png", tmp_path / "b.png"]


def linear() -> nn.Module:
    """Convolutions 5×3 and 3×3 by 2: sizes 9 and 7, stride 2, no padding."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, (5, 3)), nn.Conv2d(4, 6, 3, stride=2, padding=(1, 0)))


def test_theoretical_field_by_hand(photos):
    result = netviz.field(opened(linear()), layer="conv2", images=photos)
    assert isinstance(result, FieldResult)
    # Rows size, stride, start; columns y, x: 5 + 2, 3 + 2; the padding of one row starts one pixel earlier.
    assert result.theoretical.tolist() == [[7, 5], [2, 2], [-1, 0]]
    assert result.theoretical.dtype == np.float64
    # 40 × 52: the maps are 36 × 50, then (36 + 2 - 3) // 2 + 1 = 18 rows and (50 - 3) // 2 + 1 = 24 columns.
    assert result.map_shape == (18, 24)
    assert result.position == (9, 12)
    assert result.box == (17, 24, 24, 29)
    assert result.center == (20.0, 26.0)
    assert result.status == "exact"
    assert result.input_shape == (3, 40, 52)
    assert result.image.shape == (40, 52, 3)
    assert result.chart_layers.tolist() == ["conv1", "conv2"]
    assert result.chart_sizes.tolist() == [[5, 3], [7, 5]]
    assert (result.effective, result.empirical, result.images) == (None, None, ("a",))
    corner = netviz.field(opened(linear()), layer="conv2", images=photos, position=(0, 23))
    assert corner.box == (-1, 46, 6, 51)


def test_effective_field_lies_in_the_box_and_averages_images(photos):
    network = linear()
    model = opened(network)
    result = netviz.field(model, layer="conv2", kind="effective", images=photos, position=(3, 4), unit=2)
    assert result.effective is not None
    assert result.effective.shape == (40, 52)
    assert result.effective.dtype == np.float32
    assert result.images == ("a", "b")
    top, left, bottom, right = result.box
    assert (
        np.count_nonzero(result.effective) == np.count_nonzero(result.effective[top:bottom, left:right]) == 35
    )
    # The network is linear: the field of unit 2 is its composed kernel, whatever the image.
    first, second = (module.weight.detach().double().numpy() for module in network)
    kernel = np.zeros((3, 7, 5))
    for middle in range(4):
        for y in range(3):
            for x in range(3):
                kernel[:, y : y + 5, x : x + 3] += second[2, middle, y, x] * first[middle]
    expected = np.abs(kernel).sum(0)
    assert np.allclose(result.effective[top:bottom, left:right], expected, atol=1e-6)
    assert result.effective_width == pytest.approx(np.sqrt((expected > 0.0455 * expected.max()).sum()))
    assert result.effective_ratio == pytest.approx(result.effective_width / np.sqrt(35))
    share = expected.sum(1) / expected.sum()
    rows = np.arange(top, bottom)
    assert result.effective_center[0] == pytest.approx(share @ rows)
    assert result.effective_sigma[0] == pytest.approx(np.sqrt(share @ (rows - share @ rows) ** 2))


def test_small_input_and_units(photos):
    model = opened(linear())
    result = netviz.field(model, layer="-1", kind="effective", images=photos[:1], size=(16, 20), unit="1,3")
    assert result.input_shape == (3, 16, 20)
    assert result.effective.shape == (16, 20)
    assert result.units == (1, 3)
    one, two = (
        netviz.field(model, layer="-1", kind="effective", images=photos[:1], size=(16, 20), unit=unit)
        for unit in (1, 3)
    )
    # Absolute values of a sum are at most the sum of absolute values.
    assert (result.effective <= one.effective + two.effective + 1e-6).all()


def test_large_photograph_is_reduced(tmp_path):
    Image.new("RGB", (900, 600), (200, 10, 10)).save(tmp_path / "big.png")
    result = netviz.field(opened(linear()), layer="conv1", images=[tmp_path / "big.png"])
    assert result.input_shape == (3, 256, 384)


def test_real_networks_have_their_published_fields():
    alexnet = netviz.field("alexnet", layer="pool5", weights="none", images=["skimage:chelsea"])
    assert alexnet.theoretical[:2].tolist() == [[195, 195], [32, 32]]
    hed = netviz.field("hed", layer="conv3_3", kind="effective", images=["skimage:chelsea"], size=(96, 128))
    # VGG-16 without padding's shift: 40 pixels, every 4.
    assert hed.theoretical[:2].tolist() == [[40, 40], [4, 4]]
    assert 0 < hed.effective_ratio < 1
    top, left, bottom, right = hed.box
    outside = hed.effective.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any()


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.last(torch.fft.fft2(self.conv(x)).abs())


def test_unknown_field_is_said_and_stops_nothing(photos, tmp_path):
    result = netviz.field(opened(Mixing()), layer="last", kind="effective", images=photos)
    assert result.status == "unknown"
    assert "fft2" in result.reason
    assert np.isnan(result.theoretical).all()
    assert (result.box, result.center, result.effective_ratio) == (None, None, None)
    assert result.effective.any()
    (note,) = result.notes
    assert note.startswith("the theoretical field of layer last is unknown: cannot follow ")
    assert "fft2" in note
    result.save(tmp_path / "a.npz")
    again = netviz.load_result(tmp_path / "a.npz")
    assert again.facts() == result.facts()
    netviz.draw(again, tmp_path / "a.png")


def test_dead_unit_is_said(photos):
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        network[0].weight[1] = -network[0].weight[1].abs()
        network[0].bias[1] = -1
    result = netviz.field(opened(network), layer="relu1", unit=1, kind="effective", images=photos)
    assert result.effective is None
    assert "unit 1 of layer 1" in result.notes[0]
    assert "is zero on every image" in result.notes[0]
    assert result.box is not None


def test_network_is_left_as_it_was(awkward: Awkward, photos):
    before = state_of(awkward)
    model = opened(awkward)
    for layer in ("conv1", "relu_1"):
        netviz.field(model, layer=layer, kind="all", unit="0:2", images=photos, top=1, size=(24, 24))
    with pytest.raises(LayerError):
        netviz.field(model, layer="conv1", kind="effective", images=photos, position=(999, 0))
    assert state_of(awkward) == before


def test_bad_input(photos):
    model = opened(linear())
    with pytest.raises(LayerError, match=r"position 18,0 is outside .* 18×24 positions"):
        netviz.field(model, layer="conv2", images=photos, position=(18, 0))
    with pytest.raises(LayerError, match="no unit 6: its units are 0 to 5"):
        netviz.field(model, layer="conv2", images=photos, unit=6)
    with pytest.raises(LayerError, match="has no maps: its output is 1000"):
        netviz.field("alexnet", weights="none", layer="fc8", images=photos)
    with pytest.raises(LayerError, match="closest"):
        netviz.field(model, layer="konv2", images=photos)
    with pytest.raises(ImageError, match="but the network takes 5 channels"):
        netviz.field(nn.Sequential(nn.Conv2d(5, 2, 3)), layer="conv1", images=photos)
    for word in ({"kind": "real"}, {"gradient": "signed"}, {"top": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(word))} must be"):
            netviz.field(model, layer="conv1", images=photos, **word)


def test_description_for_json():
    model = opened(Mixing())
    index = layers(model, size=(32, 48))
    conv, last = (
        describe_field(layer_fields(model, index)[index.resolve(name)]) for name in ("conv", "last")
    )
    assert conv == {"size": [3, 3], "stride": [1, 1], "start": [-1, -1], "status": "exact"}
    assert [type(number) for number in conv["size"]] == [int, int]
    assert {key: last[key] for key in ("size", "stride", "start", "status")} == {
        "size": None,
        "stride": None,
        "start": None,
        "status": "unknown",
    }
    assert "fft2" in last["reason"]
    assert describe_field(None) is None


def test_all_three_of_a_network_of_one_kernel(photos, tmp_path):
    # Unit 0 sums a window of 5 × 5, unit 1 never fires, unit 2 sees one pixel: what moves them is known.
    network = nn.Sequential(nn.Conv2d(3, 3, 5, padding=2), nn.ReLU())
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.copy_(torch.tensor([0.0, -1.0, 0.0]))
        network[0].weight[0] = 1.0
        network[0].weight[2, :, 2, 2] = 1.0
    result = netviz.field(opened(network), layer="relu1", kind="all", images=photos, top=1)
    assert result.dead == (1,)
    assert result.empirical_units == (0, 2)
    assert result.empirical.shape == (2, 40, 52)
    assert result.empirical.dtype == np.float32
    assert "unit 1 of layer 1 is dead: none of the images activates it" in result.notes[0]
    assert result.effective.shape == (40, 52)
    assert len(result.empirical_sizes) == 2
    assert result.empirical_size == pytest.approx(np.mean(result.empirical_sizes))
    assert result.empirical_spread == pytest.approx(np.std(result.empirical_sizes))
    # Nothing beyond the window and an occluder that touches it: 5 pixels and patch - 1 on each side.
    reach = 2 + result.patch - 1
    inside = result.empirical[:, 20 - reach : 21 + reach, 26 - reach : 27 + reach]
    assert np.count_nonzero(inside) == np.count_nonzero(result.empirical) > 0
    assert result.images == ("a", "b")
    assert [len(names) for names in result.empirical_images] == [1, 1]
    netviz.draw(result, tmp_path / "a.png")
    result.save(tmp_path / "a.npz")
    assert netviz.load_result(tmp_path / "a.npz").facts() == result.facts()
    dead = netviz.field(opened(network), layer="relu1", kind="all", unit=1, images=photos, top=1)
    assert dead.empirical is None
    assert dead.effective is None
    assert dead.box is not None
    assert len(dead.notes) == 2
    netviz.draw(dead, tmp_path / "dead.png")
