from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.cli.main import run as command
from netviz.engines import Progress
from netviz.fcn.streams.measure import show
from netviz.gallery.build import build
from netviz.models import Model, Preprocessing
from netviz.questions.reader import load_result
from netviz.results.survey import FcnRecord, Form, ImageRecord, Missing, OnImage, StreamsOnImage, read_survey
from netviz.surveys.step import Scope
from netviz.surveys.steps.fcn import survey_fcn
from netviz.surveys.survey import open_scope
from support.pages import tree

WINDOW = Preprocessing(resize=36, crop=(32, 32), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
WHOLE = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)


class Streams(nn.Module):
    """Gives two streams of three classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.score = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> Any:
        fine = self.score(x)
        coarse = nn.functional.avg_pool2d(fine, 8, 8, ceil_mode=True)
        coarse = coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)
        return {"16s": coarse[..., : x.shape[2], : x.shape[3]], "8s": fine}


def classifier() -> Model:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    ).eval()
    return Model("net", network, network.state_dict(), WINDOW, ())


def dense_network() -> Model:
    network = Streams().eval()
    return Model("net", network, network.state_dict(), WHOLE, ("sky", "road", "car"))


Make = Callable[..., Scope]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Survey some photographs of these sides, as far as their names and files."""

    def scope(model: Model, *sides: int, form: Form = "standard") -> Scope:
        rng = np.random.default_rng(0)
        files = []
        for place, side in enumerate(sides):
            pixels = rng.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
            files.append(tmp_path / f"{place}.png")
            Image.fromarray(pixels).save(files[-1])
        found = open_scope(model, tmp_path / "run", images=files, form=form)
        found.made["images"] = tuple(
            ImageRecord(f"photo{place}", str(file), found.out / f"images/00{place}-photo.png", 0, 0, None)
            for place, file in enumerate(files)
        )
        return found

    return scope


def noted(scope: Scope, report: Progress = lambda *_: None) -> FcnRecord:
    found = survey_fcn(scope, report)
    assert isinstance(found, FcnRecord)
    return found


def test_streams_of_every_photograph_up_to_four(make: Make, tmp_path: Path) -> None:
    scope = make(dense_network(), 40, 400, 24, 24, 24)
    shown = noted(scope).streams
    assert [one.image for one in shown] == [0, 1, 2, 3]
    # Two streams, and what the second changed.
    file = scope.out / "fcn/000-photo-streams.npz"
    assert shown[0] == StreamsOnImage(image=0, file=file, form="classes", views=3)
    stored = load_result(file)
    wanted = show(tmp_path / "0.png", model=dense_network())
    np.testing.assert_array_equal(stored.streams["16s"], wanted.streams["16s"])
    assert stored.image_name == "photo0"
    # A larger photograph is brought to a short side of 360.
    assert load_result(scope.out / "fcn/001-photo-streams.npz").image.shape[:2] == (360, 367)


def test_heat_maps_and_what_they_save(make: Make, tmp_path: Path) -> None:
    scope = make(classifier(), 64, 20, 64, form="full")
    found = noted(scope)
    assert found.dense[0] == OnImage(0, scope.out / "fcn/000-photo-dense.npz")
    assert "smaller than the window" in found.dense[1].missing
    assert len(found.dense) == 2
    assert found.compare == OnImage(0, scope.out / "fcn/000-photo-compare.npz")
    stored = load_result(scope.out / "fcn" / "000-photo-dense.npz")
    wanted = netviz.dense(tmp_path / "0.png", model=classifier(), top=3)
    np.testing.assert_array_equal(stored.scores, wanted.scores)


def test_what_is_there_is_kept_with_its_times(make: Make) -> None:
    scope = make(classifier(), 64, form="full")
    first = noted(scope)
    before = {path.name: path.read_bytes() for path in scope.out.rglob("*.*") if path.is_file()}
    assert len(before) == 2
    (scope.out / "fcn" / "000-photo-dense.npz").unlink()
    assert noted(scope) == first
    assert {path.name: path.read_bytes() for path in scope.out.rglob("*.*") if path.is_file()} == before


def test_only_the_full_form_has_the_comparison(make: Make) -> None:
    scope = make(classifier(), 64, 64, 64)
    told: list[tuple[int, int]] = []
    found = noted(scope, lambda what, done, of: told.append((done, of)))
    assert found.compare is None
    assert len(found.dense) == 2
    assert told == [(0, 2), (1, 2)]


class Attention(nn.Module):
    """A classifier that cannot be made fully convolutional."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        answer: torch.Tensor = self.attention(tokens, tokens, tokens)[0].mean(1)
        return answer


def test_a_network_that_cannot_be_cast_says_why(make: Make) -> None:
    network = Attention().eval()
    scope = make(Model("net", network, network.state_dict(), WINDOW, ()), 64)
    found = survey_fcn(scope, lambda *_: None)
    assert isinstance(found, Missing)
    assert "attention" in found.missing
    assert not (scope.out / "fcn").exists()


def test_photographs_that_are_gone_are_left_out(make: Make, tmp_path: Path) -> None:
    scope = make(classifier(), 64)
    (tmp_path / "0.png").unlink()
    found = survey_fcn(scope, lambda *_: None)
    assert isinstance(found, Missing)
    assert "0.png" in found.missing


@pytest.mark.slow
def test_a_survey_has_its_fcn_page_from_python_and_from_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(classifier().network, tmp_path / "net.pt")
    monkeypatch.chdir(tmp_path)
    asked = {"images": ["skimage:coffee", "skimage:chelsea"], "size": (40, 48), "trust": True}
    netviz.survey("net.pt", "python.runs/net.pt", **asked)
    build(["python.runs/net.pt"], "python")
    words = [
        "gallery",
        "net.pt",
        "-i",
        "skimage:coffee",
        "-i",
        "skimage:chelsea",
        "--size",
        "40x48",
        "--trust",
        "--optimize",
        "0",
    ]
    with pytest.raises(SystemExit) as stop:
        command([*words, "-o", "command"])
    assert not stop.value.code
    assert tree(tmp_path / "python") == tree(tmp_path / "command")
    assert (tmp_path / "python" / "net" / "fcn.html").is_file()
    record = read_survey("python.runs/net.pt")
    assert isinstance(record.fcn, FcnRecord)
    assert [one.file is not None for one in record.fcn.dense] == [True, True]
