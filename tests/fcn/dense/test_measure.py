import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.interpolate import RegularGridInterpolator
from torch import nn

import netviz
from netviz.errors import ImageError, ModelError
from netviz.images import Photo, normalize, read_image
from netviz.models import Model, Preprocessing
from support.network import state_of
from support.photos import noise

NATIVE = 32
PLAIN = Preprocessing(resize=36, crop=(NATIVE, NATIVE), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
WHOLE = Preprocessing(resize=None, crop=None, mean=(0.5,) * 3, std=(0.5,) * 3)


def classifier(classes: int = 4) -> nn.Module:
    """Without padding, so that a cell of the dense pass is the classifier's score of its crop."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, classes),
    ).eval()  # fmt: skip


def opened(network: nn.Module, preprocessing: Preprocessing = PLAIN, labels: tuple[str, ...] = ()) -> Model:
    return Model("net", network, network.state_dict(), preprocessing, labels)


def test_each_cell_is_the_classifier_on_its_crop():
    network, photo = classifier(), noise(50, 61)
    result = netviz.dense(photo, model=opened(network), class_=range(4), short_side="own")
    image = normalize(photo.pixels, PLAIN)
    expected = np.empty((4, 5, 8), dtype=np.float32)
    with torch.no_grad():
        for row in range(5):
            for col in range(8):
                crop = image[..., 4 * row : 4 * row + NATIVE, 4 * col : 4 * col + NATIVE]
                expected[:, row, col] = network(crop)[0]
    assert result.scores.shape == expected.shape
    assert result.scores.dtype == np.float32
    np.testing.assert_allclose(result.scores, expected, atol=1e-5)
    assert result.cast
    assert (result.window_of, result.placed, result.channels) == ("crop", "geometry", 4)
    # conv 5/2, pool 2/2, conv 3, mean over 5: 4 pixels a step, the first looks at 0 to 30.
    np.testing.assert_allclose(result.center_y, 15 + 4 * np.arange(5))
    np.testing.assert_allclose(result.center_x, 15 + 4 * np.arange(8))
    assert result.window(2, 3, 1) == (12, 4, NATIVE, NATIVE)
    assert result.levels == {}


def test_places_are_those_of_the_original():
    result = netviz.dense(noise(50, 60), model=opened(classifier()), short_side=100)
    assert result.inputs == ((100, 120),)
    assert result.stride == (2, 2)
    np.testing.assert_allclose(result.center_x[:2], [(15 + 0.5) / 2 - 0.5, (19 + 0.5) / 2 - 0.5])
    assert result.windows == ((0, 0, NATIVE / 2, NATIVE / 2),)
    # By default a window is half as high as the image.
    assert netviz.dense(noise(50, 60), model=opened(classifier())).inputs == ((2 * NATIVE, 76),)


def test_the_native_size_gives_the_real_classifier():
    photo = Photo("cat", read_image("skimage:chelsea").pixels[20:244, 60:284])
    model = netviz.load("mobilenet_v2")
    result = netviz.dense(photo, model=model, short_side="own", top=5)
    with torch.no_grad():
        scores = model.network(normalize(photo.pixels, model.preprocessing))[0].numpy()
    best = np.argsort(-scores)[:5]
    assert result.classes.tolist() == best.tolist()
    np.testing.assert_allclose(result.scores[:, 0, 0], scores[best], rtol=1e-4)
    assert result.labels == tuple(model.labels[one] for one in best)
    assert result.chosen == "top"


def pnet_by_numpy(weights, pixels):
    """P-Net by the book, (x - 127.5) / 128, in double precision."""

    def conv(x, name):
        weight, bias = (weights[f"{name}.{one}"].double().numpy() for one in ("weight", "bias"))
        windows = sliding_window_view(x, weight.shape[2:], axis=(1, 2))
        return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]

    def prelu(x, name):
        slope = weights[f"{name}.weight"].double().numpy()[:, None, None]
        return np.where(x > 0, x, slope * x)

    x = prelu(conv((pixels.transpose(2, 0, 1) - 127.5) / 128, "conv1"), "prelu1")
    odd = [(0, side % 2) for side in x.shape[1:]]
    x = np.pad(x, [(0, 0), *odd], constant_values=-np.inf)
    x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max(axis=(2, 4))
    x = prelu(conv(prelu(conv(x, "conv2"), "prelu2"), "conv3"), "prelu3")
    powers = np.exp(conv(x, "conv4_1"))
    return powers / powers.sum(axis=0)


@pytest.mark.parametrize(
    ("name", "top", "left"), [("astronaut", 90, 200), ("chelsea", 100, 150), ("coffee", 60, 241)]
)
def test_pnet_equals_numpy(name, top, left):
    pixels = read_image(f"skimage:{name}").pixels[top : top + 40, left : left + 51]
    model = netviz.load("pnet")
    result = netviz.dense(Photo(name, pixels), model=model, class_=[0, 1])
    expected = pnet_by_numpy(model.weights, pixels.astype(float))
    assert result.scores.shape == expected.shape == (2, 15, 21)
    np.testing.assert_allclose(result.scores, expected, atol=1e-5)
    np.testing.assert_allclose(result.center_y, 5.5 + 2 * np.arange(15))
    assert result.window(1, 2, 3) == (4, 6, 12, 12)
    assert (result.labels, result.cast, result.window_of) == (("no face", "face"), False, "field")


def test_pnet_finds_the_astronauts_face():
    result = netviz.dense(
        "skimage:astronaut", model="pnet", class_=["face"], pyramid=(0.5, 0.35, 0.25, 0.18, 0.12)
    )
    row, col = result.peak(0)
    assert 80 < result.center_y[row] < 150
    assert 190 < result.center_x[col] < 270
    top, left, height, width = result.window(0, row, col)
    assert abs(top + height / 2 - result.center_y[row]) <= 10
    assert abs(left + width / 2 - result.center_x[col]) <= 10
    assert height == pytest.approx(12 / result.scales[int(result.level[0, row, col])], rel=0.02)


def test_a_pyramid_is_the_maximum_over_its_levels():
    photo = Photo("cat", read_image("skimage:chelsea").pixels[100:196, 150:230])
    model = opened(classifier())
    result = netviz.dense(photo, model=model, class_=[2], short_side="own", pyramid=(0.6, 1))
    fine = netviz.dense(photo, model=model, class_=[2], short_side="own")
    np.testing.assert_array_equal(result.levels["scores_1"], fine.scores)
    np.testing.assert_array_equal(result.center_y, fine.center_y)
    assert result.inputs == ((58, 48), (96, 80))
    assert (result.finest, result.stride) == (1, fine.stride)
    coarse, y, x = (result.levels[f"{name}_0"] for name in ("scores", "center_y", "center_x"))
    read = RegularGridInterpolator((y, x), coarse[0].astype(float))
    inside_y = (fine.center_y >= y[0]) & (fine.center_y <= y[-1])
    inside_x = (fine.center_x >= x[0]) & (fine.center_x <= x[-1])
    assert inside_y.sum() > 3
    grid = np.stack(np.meshgrid(fine.center_y[inside_y], fine.center_x[inside_x], indexing="ij"), -1)
    part = np.ix_([0], inside_y, inside_x)
    there = read(grid)
    np.testing.assert_allclose(result.scores[part][0], np.maximum(there, fine.scores[part][0]), atol=1e-5)
    np.testing.assert_array_equal(result.level[part][0] == 0, there >= fine.scores[part][0])
    assert set(np.unique(result.level)) == {0, 1}
    # Half a cell outside of its outermost cells a level has no say.
    far = fine.center_y > y[-1] + result.strides[0][0] / 2
    assert (result.level[:, far] == 1).all()


class Heads(nn.Module):
    """Several outputs in a dict or a tuple, as segmentation networks and detectors have."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(3, 2, 3, 2)

    def forward(self, x):
        if self.kind == "dict":
            return {"aux": self.two(x), "out": self.one(x)}
        return self.one(x), self.two(x)


def test_outputs_in_dicts_and_tuples():
    photo = noise(20, 24)
    image = normalize(photo.pixels, WHOLE)
    network = Heads("dict").eval()
    result = netviz.dense(photo, model=opened(network, WHOLE), class_=[4])
    with torch.no_grad():
        np.testing.assert_allclose(result.scores[0], network.one(image)[0, 4], atol=1e-6)
    assert result.placed == "pixels"
    np.testing.assert_array_equal(result.center_x, np.arange(24))
    network = Heads("tuple").eval()
    result = netviz.dense(photo, model=opened(network, WHOLE, ("no", "yes")), class_=["yes"])
    with torch.no_grad():
        np.testing.assert_allclose(result.scores[0], network.two(image)[0, 1], atol=1e-6)
    np.testing.assert_array_equal(result.center_y, 1 + 2 * np.arange(9))
    with pytest.raises(ModelError, match=r"5 maps, which are not its 3 classes \(a, b"):
        netviz.dense(photo, model=opened(network, WHOLE, ("a", "b", "c")))


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 4, 4)

    def forward(self, x):
        x = self.conv(x)
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def test_cells_that_see_everything_are_spread_evenly():
    result = netviz.dense(noise(16, 24), model=opened(Squeezed().eval(), WHOLE))
    assert (result.placed, result.window_of, result.field_status) == ("spread", "image", "global")
    np.testing.assert_allclose(result.center_x, 1.5 + 4 * np.arange(6))
    assert result.window(0, 1, 1) == (0, 0, 16, 24)


class Weighing(nn.Module):
    """Squeeze-and-excitation: every cell sees the whole image, but a classifier's window has its place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 3)

    def forward(self, x):
        x = self.conv(x)
        x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        return self.head(x.mean((2, 3)))


class WeighingMaps(Weighing):
    """The same, fully convolutional by itself: nothing is cast."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 3, 8)

    def forward(self, x):
        x = self.conv(x)
        return self.head(x * torch.sigmoid(x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize(("network", "placed"), [(Weighing, "geometry"), (WeighingMaps, "window")])
def test_cells_have_their_place_where_the_whole_image_weighs_the_maps(network, placed):
    result = netviz.dense(noise(40, 47), model=opened(network().eval()), short_side="own")
    assert (result.placed, result.window_of) == (placed, "crop")
    assert result.stride == (4, 4)
    np.testing.assert_allclose(result.center_y, 15.5 + 4 * np.arange(3))


def test_classes_by_name_and_number():
    model = opened(classifier(3), labels=("tabby cat", "tiger cat", "crane"))
    photo = noise(40, 40)
    found = netviz.dense(photo, model=model, class_=["Crane", 0, "0"], short_side="own")
    assert (found.labels, found.classes.tolist()) == (("crane", "tabby cat"), [2, 0])
    assert found.chosen == "asked"
    with pytest.raises(ModelError, match=r"no class 'tigre cat'; the closest: tiger cat"):
        netviz.dense(photo, model=model, class_=["tigre cat"])
    with pytest.raises(ModelError, match="classes are 0 to 2"):
        netviz.dense(photo, model=model, class_=[3])


def test_bad_input():
    model = opened(classifier())
    for arguments, message in [
        ({"pyramid": (1, 0)}, "positive number, not 0"),
        ({"pyramid": (float("nan"),)}, "positive number, not nan"),
        ({"top": 0}, "at least 1, not 0"),
        ({"short_side": 0}, "not 0"),
        ({"short_side": "big"}, "'big'"),
    ]:
        with pytest.raises(ValueError, match=message):
            netviz.dense(noise(40, 40), model=model, **arguments)
    with pytest.raises(ImageError, match=r"30×90, smaller than the window of net, 32×32; .*--short-side 32"):
        netviz.dense(noise(30, 90), model=model)
    with pytest.raises(ImageError, match="--short-side 32"):
        netviz.dense(noise(50, 90), model=model, short_side=20)
    assert netviz.dense(noise(30, 90), model=model, short_side=32).scores.shape[1] == 1
    with pytest.raises(ImageError, match=r"at scale 0.4 .* leave that scale out"):
        netviz.dense(noise(40, 40), model=model, short_side="own", pyramid=(1, 0.4))
    with pytest.raises(ImageError, match="larger image"):
        netviz.dense(noise(9, 9), model="pnet")
    tokens = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(2))
    with pytest.raises(ModelError, match="neither"):
        netviz.dense(noise(40, 40), model=opened(tokens))


def test_the_network_is_left_as_found(awkward):
    before = state_of(awkward)
    netviz.dense(noise(40, 50), model=opened(awkward), pyramid=(1, 0.9))
    assert state_of(awkward) == before


def test_results_survive_the_file(tmp_path):
    result = netviz.dense(noise(60, 40), model=opened(classifier()), pyramid=(1, 0.7))
    path = result.save(tmp_path / "a.npz")
    again = netviz.load_result(path)
    assert again.facts() == result.facts()
    assert again.arrays().keys() == result.arrays().keys()
    assert {"scores", "center_y", "center_x", "classes", "scores_1"} <= result.arrays().keys()
    for name, array in result.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    assert again.save(tmp_path / "b.npz").read_bytes() == path.read_bytes()
