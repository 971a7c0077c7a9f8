from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.images import prepare
from netviz.models import Model, Preprocessing
from netviz.questions.hypercolumn.result import HypercolumnResult
from netviz.questions.reader import load_result
from netviz.results.survey import AnswerRecord, HypercolumnsRecord, Missing, OnImage
from netviz.surveys.step import Scope
from netviz.surveys.steps.hypercolumns import choose_depths, survey_hypercolumns
from netviz.surveys.steps.images import answers, part_seen, survey_images
from netviz.surveys.survey import open_scope

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.5,) * 3, std=(0.5,) * 3)


def opened(network: nn.Module) -> Model:
    return Model("net", network.eval(), network.state_dict(), PLAIN, ())


def stack(count: int, *, units: int = 4, tail: tuple[nn.Module, ...] = ()) -> Model:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for place in range(count):
        layers += [nn.Conv2d(3 if place == 0 else units, units, 3, padding=1), nn.ReLU()]
    return opened(nn.Sequential(*layers, *tail))


def surveyed(model: Model, out: Path, *sides: int, constant: bool = False) -> Scope:
    """A survey of pictures of these sides, each seen at its own size, whose first step is done."""
    rng = np.random.default_rng(0)
    files = []
    for place, side in enumerate(sides):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        files.append(out / f"noise{place}.png")
        Image.fromarray(np.full_like(pixels, 127) if constant else pixels).save(files[-1])
    scope = replace(open_scope(model, out / "run", images=files), model=model, own_size=False)
    scope.made["images"] = survey_images(scope, lambda *_: None)
    return scope


@pytest.mark.parametrize(
    ("count", "places"),
    [(16, [2, 8, 14]), (8, [1, 4, 7]), (2, [0, 1]), (1, [0])],
)
def test_layers_lie_at_an_eighth_a_half_and_seven_eighths(count: int, places: list[int]) -> None:
    model = stack(count)
    found = choose_depths(model, netviz.layers(model))
    assert [layer.name for layer in found] == [str(2 * place) for place in places]


def test_layers_that_see_everything_do_not_count() -> None:
    model = stack(2, tail=(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)))
    assert [layer.name for layer in choose_depths(model, netviz.layers(model))] == ["0", "2"]


def test_too_many_units_leave_out_the_late_layers() -> None:
    # 4000 units each: two of them stay below 8192, three do not.
    model = opened(
        nn.Sequential(
            nn.Conv2d(3, 4000, 1),
            nn.Conv2d(4000, 4000, 1, groups=4000),
            nn.Conv2d(4000, 4000, 1, groups=4000),
        )
    )
    assert [layer.name for layer in choose_depths(model, netviz.layers(model, size=(8, 8)))] == ["0", "1"]


def test_saves_what_hypercolumn_gives_and_keeps_what_is_there(tmp_path: Path) -> None:
    model = stack(4)
    scope = surveyed(model, tmp_path, 32, 24)
    told = []
    noted = survey_hypercolumns(scope, lambda what, done, of: told.append(done))
    files = [tmp_path / "run" / "hypercolumns" / f"{image.stem}.npz" for image in scope.images]
    assert noted == HypercolumnsRecord(("0", "4", "6"), (OnImage(0, files[0]), OnImage(1, files[1])))
    assert told == [0, 1]
    stored = load_result(files[1])
    assert isinstance(stored, HypercolumnResult)
    wanted = netviz.hypercolumn(tmp_path / "noise1.png", layers=["0", "4", "6"], model=model)
    np.testing.assert_array_equal(stored.components, wanted.components)
    files[1].write_bytes(b"mine")
    assert survey_hypercolumns(scope, lambda *_: None) == noted
    assert files[1].read_bytes() == b"mine"


def test_says_why_there_is_none(tmp_path: Path) -> None:
    model = opened(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1)))
    noted = survey_hypercolumns(surveyed(model, tmp_path, 32), lambda *_: None)
    assert noted == Missing("no convolution of net has maps with a place in the image")
    model = opened(nn.Sequential(nn.Conv2d(3, 4, 1)))
    noted = survey_hypercolumns(surveyed(model, tmp_path, 32, constant=True), lambda *_: None)
    assert isinstance(noted, HypercolumnsRecord)
    assert "constant on noise" in noted.shown[0].missing
    assert not (tmp_path / "run" / "hypercolumns").exists()


def classifier(scores: tuple[float, ...], *tail: nn.Module) -> Model:
    """A network that gives these scores for every image."""
    network = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(scores)), *tail
    )
    with torch.no_grad():
        network[3].weight.zero_()
        network[3].bias.copy_(torch.tensor(scores))
    return replace(opened(network), labels=tuple(f"c{place}" for place in range(len(scores))))


def test_the_five_likeliest_classes_are_kept_with_their_softmax() -> None:
    scores = (0.0, 3.0, -1.0, 3.0, 1.0, 2.0, float(np.log(9.0)))
    found = answers(classifier(scores), torch.zeros(1, 3, 8, 8))
    assert [one.name for one in found] == ["c1", "c3", "c6", "c5", "c4"]
    shares = np.exp(scores) / np.exp(scores).sum()
    assert [one.probability for one in found] == pytest.approx(shares[[1, 3, 6, 5, 4]], abs=1e-6)
    # What is a probability already is not taken for a score.
    assert answers(classifier(scores, nn.Softmax(1)), torch.zeros(1, 3, 8, 8)) == found


def test_a_network_without_classes_of_the_image_answers_with_none(tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 8, 8)
    assert answers(stack(2), image) == ()
    assert answers(replace(stack(2), labels=("a", "b", "c", "d")), image) == ()
    assert answers(classifier((float("nan"), 1.0)), image) == ()
    assert answers(classifier((0.0, 1.0)), torch.zeros(1, 1, 8, 8)) == ()
    scope = surveyed(classifier((0.0, 0.0)), tmp_path, 16)
    assert scope.images[0].answers == (AnswerRecord("c0", 0.5), AnswerRecord("c1", 0.5))


@pytest.mark.parametrize(
    ("preprocessing", "part"),
    [
        (PLAIN, (0, 0, 1, 1)),
        # The short side of 60 × 120 becomes 32, the long one 64; of it 24 × 24 from the middle.
        (replace(PLAIN, resize=32, crop=(24, 24)), (4 / 32, 20 / 64, 28 / 32, 44 / 64)),
        (replace(PLAIN, crop=(80, 80), fill=(0, 0, 0)), (-10 / 60, 20 / 120, 70 / 60, 100 / 120)),
    ],
)
def test_a_survey_notes_which_part_of_a_photograph_the_network_saw(
    preprocessing: Preprocessing, part: tuple[float, ...]
) -> None:
    prepared = prepare(np.zeros((60, 120, 3), dtype=np.uint8), preprocessing)
    assert part_seen(prepared) == pytest.approx(part)
