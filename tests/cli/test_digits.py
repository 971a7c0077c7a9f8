"""A network of a user's own, trained here on scikit-learn's digits, through the command line."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

import netviz as nv
from netviz.images import prepare, read_image
from netviz.questions.opening import input_preprocessing

CODE = """
from torch import nn

class LeNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 10),
        )
"""
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
MODEL = ("--model", "digit_net:LeNet", "--weights", "digits.pth")


class Digits(NamedTuple):
    folder: Path
    state: dict[str, Tensor]
    held: Tensor
    """What the network should see of the held-out images, 8×8 greys."""
    classes: np.ndarray[Any, Any]
    files: list[str]
    mean: float
    std: float


def scores(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run the network by hand."""
    for at in ("0", "3"):
        x = F.avg_pool2d(F.conv2d(x, state[f"{at}.weight"], state[f"{at}.bias"], padding=1).tanh(), 2)
    x = F.linear(x.flatten(1), state["7.weight"], state["7.bias"]).tanh()
    return F.linear(x, state["9.weight"], state["9.bias"])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """Train it for a second or two; a fifth of the images is held out and lies there as PNG."""
    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    greys = np.round(data.images * 255 / 16).astype(np.uint8)
    held = np.arange(len(greys)) % 5 == 0
    shown = torch.from_numpy(greys / 255).float()[:, None]
    mean, std = round(float(shown[~held].mean()), 3), round(float(shown[~held].std()), 3)
    seen, classes = (shown - mean) / std, torch.from_numpy(data.target)

    (folder / "digit_net.py").write_text(CODE)
    parts: dict[str, Any] = {"nn": nn}
    exec(CODE, parts)
    torch.manual_seed(0)
    network = parts["LeNet"]()
    adam = torch.optim.Adam(network.parameters(), lr=5e-3)
    trained = torch.from_numpy(np.flatnonzero(~held))
    for _ in range(20):
        for some in trained[torch.randperm(len(trained))].split(64):
            adam.zero_grad()
            F.cross_entropy(network(seen[some]), classes[some]).backward()
            adam.step()
    torch.save(network.state_dict(), folder / "digits.pth")
    (folder / "digits.txt").write_text("\n".join(NAMES))
    files = []
    for number in np.flatnonzero(held):
        files.append(f"photos/{data.target[number]}/{number:04}.png")
        (folder / files[-1]).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(greys[number]).save(folder / files[-1])
    state = {name: value.detach() for name, value in network.state_dict().items()}
    return Digits(folder, state, seen[held], data.target[held], files, mean, std)


@pytest.fixture(autouse=True)
def _there(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(digits.folder)


def test_it_is_described_once(netviz, digits):
    said = (
        "--mean",
        digits.mean,
        "--std",
        digits.std,
        "--labels",
        "digits.txt",
        "--save-model",
        "digits.pth",
    )
    done = netviz("layers", "digit_net:LeNet", *MODEL[2:], *said)
    assert done.status == 0
    assert "input 1×8×8" in done.err
    assert json.loads(Path("digits.pth.netviz.json").read_text()) == {
        "mean": [digits.mean],
        "std": [digits.std],
        "labels": NAMES,
    }


def test_it_sees_what_it_was_trained_with(digits):
    model = nv.load("digit_net:LeNet", weights="digits.pth")
    assert list(model.labels) == NAMES
    preprocessing = input_preprocessing(model.preprocessing, nv.layers(model), None)
    seen = torch.cat([prepare(read_image(file).pixels, preprocessing).tensor for file in digits.files])
    assert torch.allclose(seen, digits.held, atol=1e-5)
    with torch.no_grad():
        right = np.mean(model.network(seen).argmax(1).numpy() == digits.classes)
    assert len(seen) == 360
    assert right > 0.95


def test_filters_and_maps(netviz, digits):
    assert netviz("filters", "digit_net:LeNet", *MODEL[2:], "-o", "filters.npz").status == 0
    assert np.array_equal(np.load("filters.npz")["weight"], digits.state["0.weight"])
    assert netviz("maps", digits.files[7], *MODEL, "-l", "conv1", "-o", "maps.npz").status == 0
    expected = F.conv2d(digits.held[7:8], digits.state["0.weight"], digits.state["0.bias"], padding=1)
    assert np.allclose(np.load("maps.npz")["maps"], expected[0], atol=1e-5)
    assert netviz("draw", "maps.npz", "-o", "maps.png").status == 0


def test_patches(netviz, digits):
    asked = ("-i", "photos", "-l", "conv1", "--workers", 0, "-o", "run")
    assert netviz("patches", "digit_net:LeNet", *MODEL[2:], *asked).status == 0
    maps = F.conv2d(digits.held, digits.state["0.weight"], digits.state["0.bias"], padding=1)
    best = np.sort(maps.amax((2, 3)).numpy(), axis=0)[::-1][:9].T
    (found,) = Path("run/layers").glob("*.npz")
    assert np.allclose(np.load(found)["score"], best, atol=1e-5)
    assert netviz("draw", "run", "-l", "conv1", "-o", "patches.png").status == 0


def test_occlusion(netviz, digits):
    number = int(np.flatnonzero(digits.classes == 3)[0])
    asked = ("--patch", 2, "--stride", 1, "--fill", "zero", "--json", "-o", "occlusion.npz")
    done = netviz("occlusion", digits.files[number], *MODEL, *asked)
    facts = json.loads(done.out)
    assert (facts["label"], facts["class_index"], facts["predicted"]) == ("three", 3, True)
    covered = digits.held[number].repeat(49, 1, 1, 1)
    for place in range(49):
        row, column = divmod(place, 7)
        covered[place, :, row : row + 2, column : column + 2] = 0
    clean = scores(digits.state, digits.held[number][None])[0, 3]
    drops = (clean - scores(digits.state, covered)[:, 3]).reshape(7, 7)
    assert np.allclose(np.load("occlusion.npz")["drops"], drops, atol=1e-4)
    assert netviz("draw", "occlusion.npz", "-o", "occlusion.png").status == 0


def test_gallery(netviz, digits):
    few = ["photos/3", "photos/8"]
    asked = [word for one in few for word in ("-i", one)]
    done = netviz("gallery", "digit_net:LeNet", *MODEL[2:], *asked, "--quick", "--workers", 0, "-o", "site")
    assert done.status == 0
    assert "centre crop 8×8" in Path("site/index.html").read_text()
    # What is typed to make a picture again names the weights, too.
    page = Path("site/LeNet/0.html").read_text()
    assert page.count("--weights</span> <span>digits.pth") >= 3
    # An image of eight pixels stays eight squares.
    small = np.asarray(Image.open(next(Path("site/LeNet/images").glob("*.jpg"))).convert("L")).astype(int)
    assert small.shape == (128, 128)
    squares = small.reshape(8, 16, 8, 16)
    assert np.abs(squares - np.median(squares, (1, 3), keepdims=True)).max() < 24
    assert 'class="late framed seen fine"' in page
