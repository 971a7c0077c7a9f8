import warnings

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import ImageError, ModelError
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from netviz.questions.classes import find_class
from support.network import state_of
from support.photos import noise

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def classifier(classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(8, classes, 3), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip


def opened(network: nn.Module, labels: tuple[str, ...] = ()) -> Model:
    return Model("net", network, network.state_dict(), PLAIN, labels)


def captum_occlusion(network, image, baseline, target, patch, stride):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attr = pytest.importorskip("captum.attr")
        found = attr.Occlusion(network).attribute(
            image, (3, patch, patch), (3, stride, stride), baseline, target, perturbations_per_eval=8
        )
    return found[0].sum(0).numpy() / 3


@pytest.mark.parametrize(("patch", "stride"), [(6, 3), (5, 4), (7, 7), (30, 1)])
@pytest.mark.parametrize("fill", ["mean", "noise", "zero"])
def test_equals_captum(fill, patch, stride):
    network = classifier().eval()
    photo = noise(40, 35)
    result = netviz.occlusion(
        photo, model=opened(network), patch=patch, stride=stride, fill=fill, seed=5, class_=2
    )
    image = normalize(photo.pixels, PLAIN)
    if fill == "zero":
        baseline = torch.zeros_like(image)
    elif fill == "mean":
        baseline = image.mean((2, 3), keepdim=True).expand_as(image)
    else:
        random = np.random.default_rng(5).integers(0, 256, (40, 35, 3), dtype=np.uint8)
        baseline = normalize(random, PLAIN)
    expected = captum_occlusion(network, image, baseline, 2, patch, stride)
    with torch.no_grad():
        scores = network(image)[0]
    assert result.map.shape == (40, 35)
    assert result.map.dtype == np.float32
    assert np.abs(result.map - expected).max() <= 1e-4 * float(scores.max() - scores.min())
    assert np.abs(expected).max() > 1e-3
    assert result.score == pytest.approx(float(scores[2]), abs=1e-6)
    assert result.full_passes == ""


def test_real_network_equals_a_plain_loop():
    model = netviz.load("mobilenet_v2")
    result = netviz.occlusion("skimage:chelsea", model=model, patch=64, stride=40)
    mean, std = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pixels = ((result.image / 255 - mean) / std).transpose(2, 0, 1)[None]
    image = torch.from_numpy(pixels.astype(np.float32))
    with torch.no_grad():
        scores = model.network(image)[0]
        assert result.class_index == int(scores.argmax()) == 285
        assert result.label == "Egyptian cat"
        assert result.tops.tolist() == result.lefts.tolist() == [0, 40, 80, 120, 160]
        for row, col in [(0, 0), (2, 3), (4, 4)]:
            covered = image.clone()
            top, left = 40 * row, 40 * col
            covered[..., top : top + 64, left : left + 64] = image.mean((2, 3), keepdim=True)
            drop = float(scores[285] - model.network(covered)[0, 285])
            assert result.drops[row, col] == pytest.approx(
                drop, abs=1e-4 * float(scores.max() - scores.min())
            )
    # The corner is covered by one patch only.
    assert result.map[0, 0] == result.drops[0, 0]


def test_the_part_that_matters_is_found():
    network = nn.Sequential(nn.AvgPool2d(1), nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 2)).eval()
    with torch.no_grad():
        network[3].weight.zero_()
        network[3].weight[1, 2 * 8 + 5] = 1.0
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[8:12, 20:24] = 255
    result = netviz.occlusion(Photo("dot", pixels), model=opened(network), patch=4, stride=4, class_=1)
    assert result.worst == (8, 20, 12, 24)
    assert (result.map > 1e-6).sum() == 16


def test_statistics_of_the_batch_are_those_of_each_covered_image():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    photo = noise(16, 12)
    result = netviz.occlusion(photo, model=opened(network), patch=4, stride=4, class_=1)
    image = normalize(photo.pixels, PLAIN)
    with torch.no_grad():
        score = float(network(image)[0, 1])
        for row, top in enumerate(result.tops):
            for col, left in enumerate(result.lefts):
                covered = image.clone()
                covered[..., top : top + 4, left : left + 4] = image.mean((2, 3), keepdim=True)
                drop = score - float(network(covered)[0, 1])
                assert result.drops[row, col] == pytest.approx(drop, abs=1e-5)


def test_output_maps_are_averaged_and_it_is_said():
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)).eval()
    photo = noise(12, 10)
    result = netviz.occlusion(photo, model=opened(network), patch=4, stride=4, class_=1)
    image = normalize(photo.pixels, PLAIN)
    with torch.no_grad():
        assert result.score == pytest.approx(float(network(image)[0, 1].mean()), abs=1e-6)
    assert "12×10 positions" in result.score_of


def test_classes_by_name_and_number():
    labels = ("tabby cat", "tiger cat", "crane", "Crane")
    model, photo = opened(classifier(), labels), noise(20, 20)

    def run(target):
        return netviz.occlusion(photo, model=model, class_=target, patch=10, stride=10)

    assert run("Tiger CAT").class_index == run(1).class_index == run("1").class_index == 1
    assert run(1).label == "tiger cat"
    assert not run(1).predicted
    assert run(None).predicted
    with pytest.raises(ModelError, match=r"no class 'tigre cat'; the closest: tiger cat"):
        run("tigre cat")
    with pytest.raises(ModelError, match=r"the closest: tabby cat, tiger cat$"):
        run("cat")
    with pytest.raises(ModelError, match=r"2 classes 'crane'; .*2, 3"):
        run("crane")
    for wrong in (4, "-1", "99"):
        with pytest.raises(ModelError, match="classes are 0 to 3"):
            run(wrong)
    with pytest.raises(ModelError, match="give the index"):
        netviz.occlusion(photo, model=opened(classifier()), class_="cat")

    for wrong in (4, "-1", "99"):
        with pytest.raises(ModelError, match="classes are 0 to 3"):
            run(wrong)
    with pytest.raises(ModelError, match="give the index"):
        netviz.occlusion(photo, model=opened(classifier()), class_="cat")


def test_what_holds_the_word_is_closest():
    """Letters that are alike say nothing where a name holds what was typed."""
    names = ("crate", "oxcart", "castle", "tabby, tabby cat", *(f"cat {number}" for number in range(8)))
    model = Model("own", None, {}, PLAIN, names)
    with pytest.raises(ModelError, match=r"the closest: tabby, tabby cat, cat 0, .* cat 4 and 3 more$"):
        find_class("cat", torch.zeros(len(names)), model)
    model = Model("own", None, {}, PLAIN, ("oxcart", "castle", "dog"))
    with pytest.raises(ModelError, match=r"the closest: oxcart, castle$"):
        find_class("ca", torch.zeros(3), model)


def test_bad_input():
    model = opened(classifier())
    for arguments, message in [
        ({"patch": 0}, "at least 1 pixel, not 0"),
        ({"stride": 0}, "at least 1 pixel, not 0"),
        ({"patch": 4, "stride": 5}, "uncovered"),
        ({"fill": "black"}, "'black'"),
    ]:
        with pytest.raises(ValueError, match=message):
            netviz.occlusion(noise(20, 20), model=model, **arguments)
    with pytest.raises(ImageError, match=r"patch of 21 pixels is larger than noise .*20×30"):
        netviz.occlusion(noise(20, 30), model=model, patch=21, stride=8)
    with pytest.raises(ImageError, match="larger image"):
        netviz.occlusion(noise(3, 3), model=model, patch=2, stride=2)
    with pytest.raises(ModelError, match=r"4 channels, which are not its 2 classes \(no face, face"):
        netviz.occlusion("skimage:coins", model="pnet", size=(48, 48), output=0)
    tokens = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(2))
    with pytest.raises(ModelError, match="no class scores"):
        netviz.occlusion(noise(20, 20), model=opened(tokens))


def test_the_network_is_left_as_found(awkward):
    before = state_of(awkward)
    netviz.occlusion(noise(24, 20), model=opened(awkward), patch=8, stride=8)
    assert state_of(awkward) == before


def test_results_survive_the_file(tmp_path):
    result = netviz.occlusion(
        noise(24, 20), model=opened(classifier()), patch=8, stride=4, fill="noise", seed=3
    )
    path = result.save(tmp_path / "a.npz")
    again = netviz.load_result(path)
    assert again.facts() == result.facts()
    for name, array in result.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    assert again.save(tmp_path / "b.npz").read_bytes() == path.read_bytes()


def test_the_only_channel_was_not_chosen_among_others():
    result = netviz.occlusion(noise(12, 10), model=opened(nn.Conv2d(3, 1, 3).eval()), patch=4, stride=4)
    assert (result.class_index, result.predicted) == (0, False)
