import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ResultError
from netviz.fcn.streams.measure import show
from netviz.models import Model, Preprocessing
from netviz.questions.reader import load_result
from netviz.surveys.steps.fcn import survey_fcn

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


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write what a survey leaves of some photographs of these sides."""

    def run(*sides: int) -> Path:
        rng = np.random.default_rng(0)
        images = []
        for place, side in enumerate(sides):
            pixels = rng.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{place}.png")
            source = str(tmp_path / f"{place}.png")
            images.append({"name": f"photo{place}", "source": source, "file": f"images/00{place}-photo.png"})
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"kind": "survey", "images": images, "other": 7}))
        return folder

    return run


def noted(run: Path) -> dict[str, Any]:
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["other"] == 7
    found: dict[str, Any] = facts["fcn"]
    return found


def test_streams_of_every_photograph_up_to_four(make: Callable[..., Path]) -> None:
    run = make(40, 400, 24, 24, 24)
    assert survey_fcn(run, dense_network()) == run
    shown = noted(run)["streams"]["shown"]
    assert [one["image"] for one in shown] == [0, 1, 2, 3]
    # Two streams, and what the second changed.
    assert shown[0] == {"image": 0, "file": "fcn/000-photo-streams.npz", "form": "classes", "views": 3}
    stored = load_result(run / shown[0]["file"])
    wanted = show(run.parent / "0.png", model=dense_network())
    np.testing.assert_array_equal(stored.streams["16s"], wanted.streams["16s"])
    assert stored.image_name == "photo0"
    # A larger photograph is brought to a short side of 360.
    assert load_result(run / shown[1]["file"]).image.shape[:2] == (360, 367)


def test_heat_maps_and_what_they_save(make: Callable[..., Path]) -> None:
    run = make(64, 20, 64)
    survey_fcn(run, classifier())
    found = noted(run)
    assert found["dense"]["shown"][0] == {"image": 0, "file": "fcn/000-photo-dense.npz"}
    assert "smaller than the window" in found["dense"]["shown"][1]["missing"]
    assert len(found["dense"]["shown"]) == 2
    assert found["compare"] == {"image": 0, "file": "fcn/000-photo-compare.npz"}
    stored = load_result(run / "fcn" / "000-photo-dense.npz")
    wanted = netviz.dense(run.parent / "0.png", model=classifier(), top=3)
    np.testing.assert_array_equal(stored.scores, wanted.scores)


def test_what_is_there_is_kept_with_its_times(make: Callable[..., Path]) -> None:
    run = make(64)
    survey_fcn(run, classifier())
    before = {path.name: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    (run / "fcn" / "000-photo-dense.npz").unlink()
    survey_fcn(run, classifier())
    assert {path.name: path.read_bytes() for path in run.rglob("*.*") if path.is_file()} == before


def test_the_comparison_can_be_left_out_and_the_photographs_chosen(make: Callable[..., Path]) -> None:
    run = make(64, 64, 64)
    told: list[tuple[int, int]] = []
    survey_fcn(
        run, classifier(), photos=3, compare=False, progress=lambda what, done, of: told.append((done, of))
    )
    assert "compare" not in noted(run)
    assert len(noted(run)["dense"]["shown"]) == 3
    assert told == [(0, 3), (1, 3), (2, 3)]


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


def test_a_network_that_cannot_be_cast_says_why(make: Callable[..., Path]) -> None:
    network = Attention().eval()
    run = make(64)
    survey_fcn(run, Model("net", network, network.state_dict(), WINDOW, ()))
    found = noted(run)
    assert list(found) == ["dense"]
    assert "attention" in found["dense"]["missing"]
    assert not (run / "fcn").exists()


def test_photographs_that_are_gone_are_left_out(make: Callable[..., Path]) -> None:
    run = make(64)
    (run.parent / "0.png").unlink()
    survey_fcn(run, classifier())
    assert "0.png" in noted(run)["dense"]["missing"]


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "patches"}', '{"kind": "survey", "images": [{}]}'])
def test_what_is_no_survey_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ResultError, match="is no survey"):
        survey_fcn(tmp_path, classifier())
