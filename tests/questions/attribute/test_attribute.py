import warnings
from collections import OrderedDict

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netviz
from netviz.errors import LayerError, ModelError
from netviz.images import Photo, prepare
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing, channel_order
from netviz.questions.drawing import figure
from support.pictures import texts

SIZE = (24, 30)
PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))
WHOLE = Preprocessing(None, None, (0.5,) * 3, (0.25,) * 3)
IMAGE = prepare(PHOTO, WHOLE).tensor
PIXELS = ("gradient", "guided", "deconvnet", "integrated")


class Awkward(nn.Module):
    """One ReLU module, in place, for several calls; functions and methods; a pool; a mean and a linear layer."""

    def __init__(self, inputs=3):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x)) + x
        x = F.max_pool2d(x.relu_(), 2)
        x = F.relu(self.conv3(x), inplace=True)
        return self.fc(x.mean((2, 3)))


class Twin(Awkward):
    """The same with modules for all, none of them in place or called twice."""

    def __init__(self, inputs=3):
        super().__init__(inputs)
        self.relu = None
        for number in range(4):
            setattr(self, f"relu{number}", nn.ReLU())
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.relu0(self.conv1(x))
        x = self.relu1(self.conv2(x)) + x
        x = self.pool(self.relu2(x))
        x = self.relu3(self.conv3(x))
        return self.fc(x.mean((2, 3)))


def networks(inputs=3):
    torch.manual_seed(3)
    network, twin = Awkward(inputs).eval(), Twin(inputs).eval()
    twin.load_state_dict(network.state_dict())
    return network, twin


def opened(network, preprocessing=WHOLE, labels=()):
    return Model("small", network, network.state_dict(), preprocessing, labels, "made here")


def ask(network, method, photo=PHOTO, **options):
    return netviz.attribute(photo, model=opened(network), method=method, **options)


@pytest.fixture(params=["awkward", "twin"])
def either(request):
    network, twin = networks()
    return (network if request.param == "awkward" else twin), twin


def captums(twin, method, target):
    image = IMAGE.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "gradient":
            return captum.attr.Saliency(twin).attribute(image, target=target, abs=False)
        if method == "guided":
            return captum.attr.GuidedBackprop(twin).attribute(image, target=target)
        if method == "deconvnet":
            return captum.attr.Deconvolution(twin).attribute(image, target=target)
        return captum.attr.IntegratedGradients(twin).attribute(image, target=target, n_steps=20)


@pytest.mark.parametrize("target", [0, 4])
def test_pixels_are_captums(either, target):
    network, twin = either
    found = ask(network, PIXELS, class_=target, steps=20)
    for number, method in enumerate(PIXELS):
        expected = captums(twin, method, target)[0].detach().numpy()
        np.testing.assert_allclose(found.by_band(method), expected.transpose(1, 2, 0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.attribution[number], expected.sum(axis=0), rtol=1e-5, atol=3e-6)
    scores = twin(IMAGE)[0].detach()
    assert found.score == pytest.approx(float(scores[target]), rel=1e-5)
    assert found.baseline_score == pytest.approx(
        float(twin(torch.zeros_like(IMAGE))[0, target].detach()), rel=1e-5
    )
    assert found.rectifiers == {"relu": 4}
    assert found.others == {}


@pytest.mark.parametrize("layer", ["conv3", "conv1"])
def test_gradcam_is_captums(either, layer):
    network, twin = either
    found = ask(network, "gradcam", class_=2, layer=layer)
    reference = captum.attr.LayerGradCam(twin, getattr(twin, layer))
    expected = reference.attribute(IMAGE, target=2, relu_attributions=True)[0, 0].detach().numpy()
    np.testing.assert_allclose(found.maps[0], expected, rtol=1e-5, atol=1e-8)
    assert found.maps[0].max() > 0
    assert (found.layer, found.layer_chosen) == (layer, False)


def last_maps(twin, target):
    """The last maps and the gradient of the score with respect to them, by hand."""
    twin.relu3.register_forward_hook(lambda module, args, output: kept.append(output))
    kept = []
    score = twin(IMAGE)[0, target]
    (slopes,) = torch.autograd.grad(score, kept[0])
    return kept[0][0].detach().double().numpy(), slopes[0].double().numpy()


def test_weighed_maps_are_those_of_plain_loops(either):
    network, twin = either
    maps, slopes = last_maps(twin, 1)
    units, height, width = maps.shape
    expected = np.zeros((3, height, width))
    for unit in range(units):
        weight = 0.0
        for row in range(height):
            for col in range(width):
                slope = slopes[unit, row, col]
                share = slope**2 / (2 * slope**2 + maps[unit].sum() * slope**3)
                weight += share * max(slope, 0)
        expected[0] += slopes[unit].mean() * maps[unit]
        expected[1] += weight * maps[unit]
        expected[2] += np.maximum(slopes[unit], 0) * maps[unit]
    found = ask(network, ("gradcam", "gradcam++", "layercam"), class_=1)
    np.testing.assert_allclose(found.maps, np.maximum(expected, 0), rtol=1e-4, atol=1e-7)
    assert found.layer_chosen
    assert found.layer == ("relu_2" if network is not twin else "relu3") or found.layer.startswith("relu")


def test_cam_is_the_weighted_sum_whose_mean_is_the_score(either):
    network, twin = either
    maps, _ = last_maps(twin, 3)
    found = ask(network, ("cam", "gradcam"), class_=3)
    expected = np.einsum("c,chw->hw", twin.fc.weight[3].detach().double().numpy(), maps)
    np.testing.assert_allclose(found.maps[0], expected, rtol=1e-4, atol=1e-6)
    assert expected.mean() + float(twin.fc.bias[3].detach()) == pytest.approx(found.score, rel=1e-4)
    np.testing.assert_allclose(found.maps[1] * expected.size, np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


def test_cam_averaged_over_windows_is_the_dense_map():
    """A dense score is the classifier's on a crop: the mean of the CAM over it, and the bias."""
    photo = Photo("noise", np.random.default_rng(1).integers(0, 256, (288, 320, 3), dtype=np.uint8))
    model = netviz.load("mobilenet_v2", weights="none", seed=1)
    dense = netviz.dense(photo, model=model, class_=7, short_side="own")
    whole = Model(
        model.name,
        model.network,
        model.weights,
        Preprocessing(None, None, *statistics(model)),
        model.labels,
        "",
    )
    cam = netviz.attribute(photo, model=whole, class_=7, method="cam").maps[0].astype(np.float64)
    assert cam.shape == (9, 10)
    windows = np.lib.stride_tricks.sliding_window_view(cam, (7, 7)).mean(axis=(2, 3))
    bias = float(model.network.classifier[1].bias[7].detach())
    np.testing.assert_allclose(windows + bias, dense.scores[0], atol=1e-4 * np.ptp(cam))


def statistics(model):
    return model.preprocessing.mean, model.preprocessing.std


def test_smoothgrad_is_the_mean_gradient_of_noisy_images(either):
    network, twin = either
    found = ask(network, "smoothgrad", class_=0, samples=11, noise=0.1, seed=5)
    spread = 0.1 * float(IMAGE.max() - IMAGE.min())
    noise = np.random.default_rng(5).standard_normal((11, *IMAGE.shape[1:]), dtype=np.float32)
    total = torch.zeros_like(IMAGE)
    for one in noise:
        image = (IMAGE + spread * torch.from_numpy(one)).requires_grad_()
        total += torch.autograd.grad(twin(image)[0, 0], image)[0]
    np.testing.assert_allclose(
        found.by_band("smoothgrad"), total[0].permute(1, 2, 0) / 11, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("method", PIXELS[:3])
def test_a_unit_where_it_is_largest(either, method):
    network, twin = either
    found = ask(network, method, layer="conv3", unit=4)
    before = nn.Sequential(
        OrderedDict(conv1=twin.conv1, relu0=twin.relu0, rest=Rest(twin), pool=twin.pool, conv3=twin.conv3)
    )
    image = IMAGE.clone().requires_grad_()
    maps = before(image)[0, 4]
    at = np.unravel_index(int(maps.argmax()), maps.shape)
    assert found.position == at
    assert found.score == pytest.approx(float(maps.detach().max()), rel=1e-5)
    assert (found.target, found.unit, found.name, found.class_index) == ("unit", 4, "unit 4", -1)
    rules = {"guided": captum.attr.NeuronGuidedBackprop, "deconvnet": captum.attr.NeuronDeconvolution}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method in rules:
            expected = rules[method](twin, twin.conv3).attribute(image, (4, *map(int, at)))
        else:
            (expected,) = torch.autograd.grad(maps[at], image)
    np.testing.assert_allclose(
        found.by_band(method), expected[0].detach().permute(1, 2, 0), rtol=1e-5, atol=1e-6
    )
    assert found.rectifiers == {"relu": 3}
    first = ask(network, "guided", layer="conv1", unit=0)
    assert first.rectifiers == {}
    assert "no rectifier runs before this layer" in texts(figure(first))
    top, left, bottom, right = found.box
    seen = np.zeros(SIZE, dtype=bool)
    seen[top:bottom, left:right] = True
    assert (found.attribution[0][~seen] == 0).all()
    assert found.attribution[0][seen].any()


class Rest(nn.Module):
    def __init__(self, twin):
        super().__init__()
        self.conv2, self.relu1, self.relu2 = twin.conv2, twin.relu1, twin.relu2

    def forward(self, x):
        return self.relu2(self.relu1(self.conv2(x)) + x)


def test_a_whole_layer_sends_back_what_it_answered():
    network, twin = networks()
    found = ask(network, "gradient", layer="conv1", unit="all")
    image = IMAGE.clone().requires_grad_()
    maps = twin.conv1(image)
    (expected,) = torch.autograd.grad(maps, image, maps.detach())
    np.testing.assert_allclose(found.bands[0], expected[0].permute(1, 2, 0), rtol=1e-4, atol=1e-5)
    assert found.score == pytest.approx(float(maps.detach().square().sum() / 2), rel=1e-5)
    assert found.target == "layer"


def test_blue_first_is_drawn_as_blue():
    network = head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    nn.init.zeros_(network[0].weight)
    nn.init.ones_(network[0].weight[:, 0])
    nn.init.ones_(network[4].weight)
    for order, strongest in (("RGB", 0), ("BGR", 2)):
        preprocessing = Preprocessing(None, None, (0.0,) * 3, (1.0,) * 3, channel_order=order)
        found = netviz.attribute(PHOTO, model=opened(network, preprocessing), method="guided", class_=0)
        assert found.bands[0, ..., 0].min() > 0
        pixels = figure(found).axes[0].images[1].get_array()
        assert pixels[..., strongest].min() > 127
        assert (np.delete(pixels, strongest, axis=2) == 128).all()


@pytest.mark.parametrize("count", [1, 5])
def test_other_numbers_of_bands(count):
    network, _ = networks(count)
    values = np.random.default_rng(2).integers(0, 256, (*SIZE, count), dtype=np.uint8)
    preprocessing = Preprocessing(
        None, None, (0.5,) * count, (0.25,) * count, channel_order=channel_order(count)
    )
    photo = Photo("bands", np.repeat(values[..., :1], 3, axis=2), values=values)
    found = netviz.attribute(photo, model=opened(network, preprocessing), method="guided,gradcam,deconvnet")
    assert found.bands.shape == (2, *SIZE, count)
    np.testing.assert_allclose(found.attribution[0], found.bands[0].sum(axis=2), rtol=1e-5, atol=1e-6)
    assert "mid-grey" not in texts(figure(found))


def test_a_network_of_no_rectifier_is_refused_and_others_are_counted():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    with pytest.raises(
        ModelError, match=r"guided backpropagation has nothing .* no ReLU there \(but silu, which"
    ):
        ask(network.eval(), "guided")
    mixed = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), *network[1:]).eval()
    mixed[2] = nn.Conv2d(4, 4, 1)
    mixed.insert(3, nn.SiLU())
    found = ask(mixed, "deconvnet")
    assert (found.rectifiers, found.others) == ({"relu6": 1}, {"silu": 1})
    assert "guided and deconvnet act on 1 relu6; 1 silu keep their derivative" in texts(figure(found))


def head(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *layers).eval()


class Last(nn.Module):
    """Channels last, as transformers of windows are."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x).permute(0, 2, 3, 1).relu()
        return self.fc(x.mean((1, 2)))


def test_cam_of_maps_with_channels_last():
    torch.manual_seed(0)
    network = Last().eval()
    found = ask(network, "cam,gradcam", class_=1)
    maps = network.conv(IMAGE)[0].relu().detach()
    expected = torch.einsum("c,chw->hw", network.fc.weight[1].detach(), maps)
    np.testing.assert_allclose(found.maps[0], expected, rtol=1e-4, atol=1e-6)
    assert found.layer == "relu"


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (head(nn.Flatten(), nn.Linear(4 * 22 * 28, 3)), "it runs flatten there"),
        (
            head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 3)),
            "2 weighted layers follow",
        ),
        (head(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)), "it runs adaptive_max_pool2d there"),
        (
            head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)),
            "it runs softmax there",
        ),
    ],
)
def test_networks_without_cam_are_refused(network, said):
    with pytest.raises(ModelError, match=f"no CAM at 1 .*{said}.*take --method gradcam"):
        ask(network, "cam", size=SIZE)
    assert ask(network, "gradcam", size=SIZE).layer == "1"


def test_a_softmax_of_the_network_is_told():
    network = head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1))
    assert ask(network, "gradcam").score_of == "raw output, after the network's own softmax"
    assert ask(network[:-1], "gradcam").score_of == "raw output"


class Shut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x):
        with torch.no_grad():
            return self.body(x)


def test_what_shuts_gradients_off_is_refused():
    with pytest.raises(ModelError, match="no gradient flows from the score to the image in small: it shuts"):
        ask(Shut().eval(), "gradient")


class Tokens(nn.Module):
    """A class token reads the others before the last block, which then only it counts in."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 6, 6)
        self.mix = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([x.new_zeros(len(x), 1, 8), x], 1)
        x = self.mix(x)
        x = x + (x @ x.transpose(1, 2)).softmax(-1) @ x
        return self.head(self.last(x)[:, 0])


def test_the_last_layer_on_which_the_score_depends_is_taken():
    torch.manual_seed(0)
    found = ask(Tokens().eval(), "gradcam")
    assert found.layer == "mix"
    assert found.maps.shape == (1, 4, 5)
    assert np.abs(found.maps).max() > 0
    with pytest.raises(LayerError, match="does not depend on the maps of last"):
        ask(Tokens().eval(), "gradcam", layer="last")


def test_a_long_way_behind_the_last_layer_on_which_the_score_depends_is_no_refusal():
    torch.manual_seed(0)
    network = Tokens().eval()
    network.last = nn.Sequential(*(nn.Linear(8, 8) for _ in range(40)))
    assert ask(network, "gradcam").layer == "mix"


def test_a_head_of_zeros_is_told():
    network = Tokens().eval()
    nn.init.zeros_(network.head.weight)
    nn.init.constant_(network.head.bias, 0.5)
    with pytest.raises(LayerError, match=r"is 0\.5 whatever its layers give: .* needs trained weights"):
        ask(network, "gradcam")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "gradcan"}, "no method 'gradcan'; choose of cam, gradcam"),
        (
            {"method": "gradcam", "unit": 1, "layer": "conv1"},
            "gradcam weighs a layer's maps for the score of a class",
        ),
        ({"unit": 1}, "a unit belongs to a layer"),
        ({"unit": 1, "layer": "conv1", "class_": 1}, "give --class or --unit, not both"),
        ({"method": "gradient", "layer": "conv1"}, "takes no layer"),
        ({"steps": 0}, "steps must lie between 1 and 10000, not 0"),
        ({"noise": 0.0}, "noise must be above 0"),
    ],
)
def test_what_does_not_fit_together(options, said):
    with pytest.raises(ValueError, match=said):
        ask(networks()[0], **{"method": (), **options})


def test_one_map_of_one_position_is_refused():
    network = head(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.Flatten())
    with pytest.raises(LayerError, match=r"maps of 1×1, which tell of no place"):
        ask(network, "gradcam", layer="conv2")
    with pytest.raises(LayerError, match="no unit 9"):
        ask(network, "guided", layer="conv1", unit=9)


def test_a_saved_result_draws_the_same_picture(tmp_path):
    found = ask(networks()[0], ("cam", "gradcam", "gradient", "guided", "deconvnet"), class_=1)
    netviz.draw(found, tmp_path / "a.npz")
    again = netviz.load_result(tmp_path / "a.npz")
    assert again.facts() == found.facts()
    drawn = figure(again)
    assert [axes.get_label() for axes in drawn.axes[1:]] == ["scale"] * 3
    assert len(drawn.axes[0].images) == 1 + 2 * 2 + 3
    said = texts(drawn)
    assert said == texts(figure(found))
    assert "small · attribution to channel 1 · noise" in said
    assert "such pictures look much the same when weights are random (Adebayo et al., 2018)" in said
    assert "maps of relu" in said


def test_a_dead_unit_is_told():
    network, _ = networks()
    nn.init.zeros_(network.conv3.weight[2])
    nn.init.constant_(network.conv3.bias[2:3], -1.0)
    found = ask(network, "gradient", layer="relu_3", unit=2)
    assert found.score == 0
    assert not found.attribution.any()
    assert "0 everywhere: no gradient reaches the image" in texts(figure(found))
