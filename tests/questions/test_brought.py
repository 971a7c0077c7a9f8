"""On every command that brings an image to a network: the same options, and results that tell what was done."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import netviz
from netviz.questions.drawing import figure
from netviz.questions.reader import load_result
from support.network import Five
from support.pictures import texts

ONE_IMAGE: dict[str, tuple[str, ...]] = {
    "maps": ("-l", "conv"),
    "stages": ("-l", "conv"),
    "contrast": ("-l", "conv", "--window", "3"),
    "occlusion": ("--patch", "16", "--stride", "16"),
    "minimal": ("--segments", "4"),
    "segment": ("-l", "conv", "--unit", "0", "--threshold", "0.5"),
    "hypercolumn": ("-l", "conv", "--clusters", "2"),
    "sift": ("-l", "conv", "--window", "3", "--keypoints", "2"),
}
SAID = ("--mean", "0.1,0.2,0.3", "--std", "0.5", "--channel-order", "bgr")
TOLD = "BGR, mean (0.1, 0.2, 0.3), std (0.5, 0.5, 0.5) of 0…1"
SIDE = 32


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soft noise, 40 by 60 pixels."""
    path = tmp_path_factory.mktemp("photo") / "wide.png"
    small = np.random.default_rng(0).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    Image.fromarray(small).resize((60, 40), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "five.pth"
    torch.save(Five().state_dict(), path)
    return path


def seen(photo: Path, fit: str) -> Any:
    """What the network is shown, by Pillow alone: 32×32, or with a short side of 32."""
    image = Image.open(photo)
    if fit == "resize":
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    whole = np.asarray(image.resize((SIDE * 60 // 40, SIDE), Image.Resampling.BILINEAR))
    left = (whole.shape[1] - SIDE) // 2
    return whole if fit == "full" else whole[:, left : left + SIDE]


@pytest.mark.parametrize(
    ("command", "fit"),
    [*((command, "full") for command in ONE_IMAGE), ("segment", "crop"), ("segment", "resize")],
)
def test_an_image_is_brought_as_was_asked(
    command: str, fit: str, photo: Path, weights: Path, tmp_path: Path, netviz: Callable[..., Any]
) -> None:
    file = tmp_path / "result.npz"
    model = ("--model", "support.network:Five", "--weights", weights, "--size", SIDE, *SAID)
    done = netviz(command, photo, *ONE_IMAGE[command], *model, "--fit", fit, "-o", file, "--json")
    assert done.status == 0, done.err
    facts, result = json.loads(done.out), load_result(file)
    assert facts["input"].endswith(TOLD)
    assert (facts["image_path"], facts["origin"], facts["doubts"]) == (str(photo), "Five with five.pth", [])
    if command == "segment":
        # In pixels of the original: where the network was shown nothing, there is no heat.
        expected = 40 / 60 if fit == "crop" else 1
        assert np.isfinite(result.heat).mean() == pytest.approx(expected, abs=0.02)
    else:
        np.testing.assert_array_equal(result.image, seen(photo, fit))


def test_in_python(photo: Path) -> None:
    for fit in ("crop", "resize", "full"):
        result = maps(photo, layer="conv", model=Five(), size=(SIDE, SIDE), fit=fit)
        np.testing.assert_array_equal(result.image, seen(photo, fit))
        assert result.doubts == ("mean and std are assumed: ImageNet's usual values",)
    with pytest.raises(ValueError, match="'crop', 'resize' or 'full', not 'squash'"):
        maps(photo, layer="conv", model=Five(), fit="squash")


def maps(*args: Any, **options: Any) -> Any:
    return netviz.maps(*args, **options)


@pytest.mark.parametrize("fit", ["crop", "resize", "full"])
def test_fields_too(fit: str, photo: Path, weights: Path, tmp_path: Path, netviz: Callable[..., Any]) -> None:
    file = tmp_path / "field.npz"
    model = ("support.network:Five", "--weights", weights, "--size", SIDE, *SAID)
    done = netviz("field", *model, "-l", "conv", "-i", photo, "--fit", fit, "-o", file)
    assert done.status == 0, done.err
    result = load_result(file)
    np.testing.assert_array_equal(result.image, seen(photo, fit))
    assert result.input.endswith(TOLD)


def test_over_many_images_and_at_any_size(
    photo: Path, weights: Path, tmp_path: Path, netviz: Callable[..., Any]
) -> None:
    five = ("support.network:Five", "--weights", weights, *SAID)
    sized = (*five, "--size", SIDE, "-i", photo, "--workers", "0", "-o")
    assert netviz("patches", *sized[:-1], "-l", "conv", "-o", tmp_path / "run").status == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["options"]["input"].endswith(TOLD)
    assert facts["doubts"] == []
    (layer,) = (tmp_path / "run" / "layers").iterdir()
    assert load_result(layer).input.endswith(TOLD)
    done = netviz("dense", photo, "--model", *five, "--short-side", 240, "--json", "-o", tmp_path / "d.npz")
    assert done.status == 0, done.err
    assert json.loads(done.out)["input"].endswith(TOLD)
    labeller = ("--model", "support.network:Labeller", *SAID, "--json")
    done = netviz("fcn", "show", photo, *labeller, "-o", tmp_path / "s.npz")
    assert done.status == 0, done.err
    facts = json.loads(done.out)
    # Values that are said do not make a size of those that are assumed.
    assert facts["input"].startswith("own size, BGR")
    assert facts["image_path"] == str(photo)


def test_doubts_stand_under_the_caption(photo: Path, tmp_path: Path) -> None:
    options = {"layer": "conv", "size": (SIDE, SIDE)}
    assumed = maps(photo, model=Five(), **options)
    told = maps(photo, model=Five(), mean=0.5, std=0.5, **options)
    untrained = maps(photo, model="squeezenet1_1", weights="none", layer="conv1", size=(SIDE, SIDE))
    for result, said in (
        (assumed, "mean and std are assumed: ImageNet's usual values"),
        (untrained, "untrained weights: what the network answers to is chance"),
        (told, ""),
    ):
        drawn = texts(figure(result))
        assert said in drawn
        assert bool(said) == ("assumed" in drawn or "untrained" in drawn)
        again = load_result(result.save(tmp_path / "again.npz"))
        assert again.doubts == result.doubts


@pytest.mark.parametrize("fit", ["resize", "full"])
def test_a_gallery_too(
    fit: str, photo: Path, weights: Path, tmp_path: Path, netviz: Callable[..., Any]
) -> None:
    size = ("--size", SIDE) if fit == "resize" else ()
    five = ("support.network:Five", "--weights", weights, *SAID, "--fit", fit, *size)
    done = netviz("gallery", *five, "--quick", "-i", photo, "-o", tmp_path / "site", "--workers", 0)
    assert done.status == 0, done.err
    (run,) = (tmp_path / "site.runs").iterdir()
    noted = json.loads((run / "run.json").read_text())
    assert TOLD in noted["input"]
    assert noted["options"]["fit"] == fit
    result = load_result(next((run / "maps").rglob("*.npz")))
    if fit == "resize":
        np.testing.assert_array_equal(result.image, seen(photo, fit))
    else:
        assert result.image.shape == (256, 384, 3)
    told = re.sub("<[^>]*>", "", (tmp_path / "site" / "about.html").read_text())
    assert f"--channel-order bgr --fit {fit} --mean 0.1,0.2,0.3" in told
    done = netviz("gallery", *five, "--fit", "full", "--size", SIDE, "-o", tmp_path / "other")
    assert (done.status, "leave one out" in done.err) == (2, True)
