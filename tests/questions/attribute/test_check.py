"""Deletion, insertion and shuffled weights, against plain loops."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import netviz
from netviz.errors import ModelError
from netviz.images import Photo, prepare
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing
from netviz.questions.drawing import figure
from support.network import state_of
from support.pictures import texts

WHOLE = Preprocessing(None, None, (0.5,) * 3, (0.25,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
PHOTO = Photo("noise", PIXELS)
IMAGE = prepare(PHOTO, WHOLE).tensor


def small():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


def opened(network):
    return Model("small", network, network.state_dict(), WHOLE, (), "made here")


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def checked(network):
    before = state_of(network)
    found = netviz.attribute_check(
        PHOTO, model=opened(network), method="gradcam,guided,gradient", class_=2, seed=3
    )
    assert state_of(network) == before
    return found


def test_curves_are_those_of_a_plain_loop(network, checked):
    given = netviz.attribute(PHOTO, model=opened(network), method="gradcam,guided,gradient", class_=2)
    covered = netviz.occlusion(PHOTO, model=opened(network), class_=2, patch=4, stride=2)
    mean = IMAGE.mean((2, 3), keepdim=True)
    assert checked.orders == ("gradcam", "guided", "gradient", "occlusion", "random")
    assert (checked.patch, checked.stride) == (4, 2)
    for number, order in enumerate((*given.attribution, covered.map)):
        ranked = np.argsort(-order.ravel().astype(np.float64), kind="stable")
        for step in (0, 4, 13, 20):
            gone = np.zeros(order.size, dtype=bool)
            gone[ranked[: round(checked.shares[step] * order.size)]] = True
            mask = torch.from_numpy(gone.reshape(order.shape))
            for curve, there in ((checked.deletion, ~mask), (checked.insertion, mask)):
                with torch.no_grad():
                    score = float(network(torch.where(there, IMAGE, mean))[0, 2])
                assert curve[number, step] == pytest.approx(score, abs=1e-5)
    assert checked.deletion[:, 0] == pytest.approx(checked.score, abs=1e-5)
    assert checked.insertion[:, -1] == pytest.approx(checked.score, abs=1e-5)
    assert checked.deletion[:, -1] == pytest.approx(checked.empty_score, abs=1e-5)
    share = (checked.deletion[1].astype(float) - checked.empty_score) / (checked.score - checked.empty_score)
    assert checked.deletion_area[1] == pytest.approx(share.mean(), abs=1e-5)


def test_shuffled_weights_are_those_of_a_copy(network, checked):
    assert checked.shuffled == ("7", "3", "1", "0")
    assert checked.stages.tolist() == [1, 2, 3, 4]
    plain = netviz.attribute(PHOTO, model=opened(network), method="gradient", class_=2).attribution[0]
    rng = np.random.default_rng(3)
    changed = copy.deepcopy(network)
    for stage, name in enumerate(checked.shuffled):
        for weights in changed[int(name)].parameters():
            values = weights.detach().numpy().ravel()
            weights.data = torch.from_numpy(values[rng.permutation(values.size)].reshape(weights.shape))
        image = IMAGE.clone().requires_grad_()
        slope = torch.autograd.grad(changed(image)[0, 2], image)[0][0].sum(0).numpy()
        expected = spearmanr(np.abs(plain).ravel(), np.abs(slope).ravel()).statistic
        assert checked.correlation[2, stage] == pytest.approx(expected, abs=2e-3)


def test_the_picture_has_a_line_for_each(checked, tmp_path):
    netviz.draw(checked, tmp_path / "a.npz")
    again = netviz.load_result(tmp_path / "a.npz")
    assert again.facts() == checked.facts()
    drawn = figure(again)
    axes = {one.get_label(): one for one in drawn.axes[1:]}
    for name in ("deletion", "insertion"):
        lines = {line.get_label(): line for line in axes[name].get_lines()}
        for number, order in enumerate(checked.orders):
            np.testing.assert_array_equal(lines[order].get_ydata(), getattr(checked, name)[number])
    lines = {line.get_label(): line for line in axes["shuffled"].get_lines()}
    assert lines["guided"].get_ydata().tolist() == [1.0, *checked.correlation[1].tolist()]
    said = texts(drawn)
    assert "check of attributions to channel 2" in said
    assert "shuffled: the weights of 4 layers" in said
    assert "random order: squares of 2 pixels, seed 3" in said


def test_the_same_seed_gives_the_same(network, checked):
    again = netviz.attribute_check(
        PHOTO, model=opened(network), method="gradcam,guided,gradient", class_=2, seed=3
    )
    for name, array in checked.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    other = netviz.attribute_check(PHOTO, model=opened(network), method="gradcam", class_=2, seed=4)
    assert (other.deletion[-1] != checked.deletion[-1]).any()


def test_a_score_that_is_no_number_is_refused(network):
    broken = copy.deepcopy(network)
    nn.init.constant_(broken[7].bias, float("nan"))
    with pytest.raises(ModelError, match="the score of small on noise is nan"):
        netviz.attribute_check(PHOTO, model=opened(broken), method="gradient", class_=0)
    found = netviz.attribute(PHOTO, model=opened(broken), method="gradcam", class_=0)
    assert np.isnan(found.score)
    assert "score nan" in texts(figure(found))
