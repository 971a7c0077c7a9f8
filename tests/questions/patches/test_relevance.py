"""Patches by relevance: a unit's value times the gradient of a class's score, against a plain loop."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ModelError, ResultError
from netviz.images import prepare, read_image
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing
from netviz.questions.drawing import picture
from netviz.questions.patches.run import open_run
from support.network import state_of
from support.pictures import texts

PREPROCESSING = Preprocessing(40, (40, 40), (0.5,) * 3, (0.25,) * 3)


class Small(nn.Module):
    """Writes to its input; one ReLU in place for both calls; a norm that an engine's fast copy would fold."""

    def __init__(self):
        torch.manual_seed(4)
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
        self.conv2, self.relu = nn.Conv2d(5, 6, 3, stride=2), nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 3)
        self.norm.running_mean.normal_()

    def forward(self, x):
        x += 0.125
        x = self.relu(self.norm(self.conv1(x)))
        x = self.relu(self.conv2(x))
        return self.fc(x.mean((2, 3)))


def opened(network):
    return Model(
        "small", network.eval(), network.state_dict(), PREPROCESSING, ("cat", "dog", "cow"), "made here"
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (44, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def ask(photos, out, **options):
    given = {
        "layer": ["conv1", "conv2"],
        "top": 3,
        "per_image": 1,
        "workers": 0,
        "device": "cpu",
        "by": "relevance",
    }
    run = netviz.patches(opened(Small()), out, images=[photos], **given | options)
    found = open_run(run)
    return run, [found.result(layer) for layer in found.layers]


def by_hand(photos, target):
    """The relevance of both layers' units on each image: what they give, times the gradient of the class's score."""
    network = Small().eval()
    maps = ([], [])
    for path in sorted(photos.iterdir()):
        x = prepare(read_image(path), PREPROCESSING).tensor
        first = network.conv1(x + 0.125).detach().requires_grad_()
        second = network.conv2(network.norm(first).relu())
        scores = network.fc(second.relu().mean((2, 3)))[0]
        score = scores[int(scores.argmax()) if target is None else target]
        slopes = torch.autograd.grad(score, [first, second])
        for kept, one, slope in zip(maps, (first, second), slopes, strict=True):
            kept.append((one.detach() * slope)[0].numpy())
    return [np.stack(kept) for kept in maps]


@pytest.mark.parametrize(("class_", "target"), [(None, None), ("cow", 2), (0, 0)])
def test_scores_and_places_are_those_of_a_plain_loop(photos, tmp_path, class_, target):
    run, results = ask(photos, tmp_path / "r", class_=class_)
    names = [line.rsplit("/", 1)[1] for line in (run / "images.txt").read_text().splitlines()]
    for result, relevance in zip(results, by_hand(photos, target), strict=True):
        assert result.by == "relevance"
        assert result.by_class == {None: "each image's own class", "cow": "cow", 0: "cat"}[class_]
        for unit in range(result.channels):
            best = relevance[:, unit].reshape(len(relevance), -1)
            order = np.argsort(-best.max(axis=1))[:3]
            np.testing.assert_allclose(result.score[unit], best.max(axis=1)[order], rtol=1e-4, atol=1e-9)
            for place, image in enumerate(order):
                assert names[result.image[unit, place]] == f"{image}.png"
                at = np.unravel_index(int(best[image].argmax()), relevance.shape[2:])
                assert (result.row[unit, place], result.col[unit, place]) == at
            assert result.mean[unit] == pytest.approx(relevance[:, unit].mean(), rel=1e-3, abs=1e-8)


def test_neither_batches_nor_readers_change_the_answer(photos, tmp_path):
    _, one = ask(photos, tmp_path / "a", batch=1)
    _, other = ask(photos, tmp_path / "b", batch=4, workers=2)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_allclose(first.score, second.score, rtol=1e-5, atol=1e-9)


def test_the_network_is_left_and_the_picture_tells(photos, tmp_path):
    network = Small().eval()
    before = state_of(network)
    out = netviz.patches(
        opened(network), tmp_path / "r", images=[photos], layer=["conv2"], by="relevance", class_="dog", workers=0,
        device="cpu", deconv=True,
    )  # fmt: skip
    assert state_of(network) == before
    said = texts(picture(out, beside="deconv"))
    assert "the 9 patches most relevant to dog" in said
    assert "all values are relevance: the unit's value times the gradient of the score of dog" in said
    assert "most relevant patches, best first; below: its relevance there" in said
    options = open_run(out).facts["options"]
    assert (options["by"], options["class"], options["by_class"]) == ("relevance", 1, "dog")
    with pytest.raises(ResultError, match="holds relevance, not activations"):
        netviz.segment(next(photos.iterdir()), layer="conv2", unit=0, model=opened(network), run=out)


def test_what_does_not_go_is_refused(photos, tmp_path):
    with pytest.raises(ModelError, match="no class 'bat'"):
        ask(photos, tmp_path / "a", class_="bat")
    with pytest.raises(ValueError, match="are for patches by relevance"):
        ask(photos, tmp_path / "a", by="activation", class_="cow")
    with pytest.raises(ValueError, match="by must be 'activation' or 'relevance'"):
        ask(photos, tmp_path / "a", by="size")
    maps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(2))
    with pytest.raises(ModelError, match="no class scores"):
        netviz.patches(
            opened(maps),
            tmp_path / "a",
            images=[photos],
            layer=["0"],
            by="relevance",
            workers=0,
            device="cpu",
        )
    assert not (tmp_path / "a").exists()
