"""What checkpoints and modules say of themselves is read, without running anything that is stored in them."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import netviz
from netviz.errors import UntrustedError
from netviz.models.preprocessing import Preprocessing
from support.network import Five

NAMES = ["ant", "bee", "cat", "dog", "eel"]
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
IMAGE = {"config": {"image_mean": MEAN, "image_std": STD}}
CONFIG = {
    "input_size": (3, 64, 64), "crop_pct": 0.8, "crop_mode": "squash", "interpolation": "bilinear",
    "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "architecture": "five",
}  # fmt: skip


class Unknown:
    """A class that no reader may import."""


def load_file(path: Path, **said: Any) -> Any:
    return netviz.load("support.network:Five", weights=path, **said)


@pytest.mark.parametrize(
    "beside",
    [
        {"names": dict(enumerate(NAMES)), "mean": MEAN, "std": STD},
        {"classes": NAMES, "hyper_parameters": {"mean": MEAN, "std": STD, "lr": 0.1}},
        {"class_to_idx": {"eel": 4, "ant": 0, "cat": 2, "bee": 1, "dog": 3}, **IMAGE},
        {"meta": {"CLASSES": tuple(NAMES), "x": ["other"]}, "args": argparse.Namespace(mean=MEAN, std=STD)},
        {"hyper_parameters": {"data": {"class_names": NAMES, "pixel_mean": MEAN, "pixel_std": STD}}},
    ],
)  # fmt: skip
def test_a_checkpoints_own(beside: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": Five().state_dict(), **beside}, tmp_path / "five.ckpt")
    found = load_file(tmp_path / "five.ckpt")
    assert list(found.labels) == NAMES
    assert (list(found.preprocessing.mean), list(found.preprocessing.std)) == (MEAN, STD)
    assert not found.preprocessing.assumed
    # Beside the file counts more, and most what is typed.
    (tmp_path / "five.ckpt.netviz.json").write_text(json.dumps({"mean": [0.7], "labels": NAMES[::-1]}))
    found = load_file(tmp_path / "five.ckpt", std=0.9)
    assert found.preprocessing.mean == (0.7,) * 3
    assert found.preprocessing.std == (0.9,) * 3
    assert list(found.labels) == NAMES[::-1]


@pytest.mark.parametrize(
    "beside",
    [
        {"names": NAMES[:3], "classes": 5, "mean": "0.5", "std": [0, 0, 0]},
        {"names": [1, 2, 3, 4, 5], "mean": [[0.1, 0.2, 0.3]], "std": 5},
        {"class_to_idx": {"a": 10**9}, "mean": [0.1, 0.2], "std": [0.1, 0.2]},
        {"labels": "file", "pretrained_cfg": {"input_size": (3, -1, 5), "mean": 7}},
        {"pretrained_cfg": {"interpolation": "magic", "crop_mode": 5, "crop_pct": "a"}},
        {"mean": [0.1] * 3},
    ],
)
def test_what_makes_no_sense_is_passed_over(beside: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": Five().state_dict(), **beside}, tmp_path / "five.pt")
    found = load_file(tmp_path / "five.pt")
    assert found.preprocessing == netviz.load(Five()).preprocessing
    assert found.preprocessing.assumed
    assert not found.labels


def test_values_of_255_are_known_by_their_mean(tmp_path: Path) -> None:
    said = {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}
    torch.save({"model": Five().state_dict(), **said}, tmp_path / "k.pt")
    found = load_file(tmp_path / "k.pt").preprocessing
    assert (found.scale, found.mean) == (255, (123.7, 116.3, 103.5))


def test_safetensors_say_it_in_their_metadata(tmp_path: Path) -> None:
    said = {"classes": json.dumps(NAMES), "mean": json.dumps(MEAN), "std": json.dumps(STD), "format": "pt"}
    save_file(Five().state_dict(), tmp_path / "five.safetensors", metadata=said)
    found = load_file(tmp_path / "five.safetensors")
    assert list(found.labels) == NAMES
    assert list(found.preprocessing.mean) == MEAN


def test_timms_configuration_in_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": Five().state_dict(), "pretrained_cfg": CONFIG}, tmp_path / "five.pt")
    assert load_file(tmp_path / "five.pt").preprocessing == Preprocessing(
        resize=(80, 80), crop=(64, 64), mean=(0.5,) * 3, std=(0.5,) * 3
    )


def test_settings_without_end_are_left(tmp_path: Path) -> None:
    wide: Any = NAMES
    for _ in range(40):
        wide = [wide, wide]
    torch.save({"state_dict": Five().state_dict(), "classes": NAMES, "hparams": wide}, tmp_path / "five.pt")
    assert load_file(tmp_path / "five.pt").labels in ((), tuple(NAMES))


class Stated(Five):
    """A network that says what it wants in attributes."""

    def __init__(self, **said: Any) -> None:
        super().__init__()
        for name, value in said.items():
            setattr(self, name, value)


def test_a_modules_own() -> None:
    found = netviz.load(Stated(classes=NAMES, mean=np.array(MEAN), std=torch.tensor(STD)))
    assert list(found.labels) == NAMES
    np.testing.assert_allclose(found.preprocessing.mean, MEAN)
    np.testing.assert_allclose(found.preprocessing.std, STD)
    found = netviz.load(
        Stated(hparams={"class_names": NAMES}, config=SimpleNamespace(image_mean=MEAN, image_std=STD))
    )
    assert list(found.labels) == NAMES
    assert list(found.preprocessing.mean) == MEAN
    found = netviz.load(Stated(pretrained_cfg=CONFIG), mean=0.2)
    assert (found.preprocessing.resize, found.preprocessing.mean) == ((80, 80), (0.2,) * 3)
    assert netviz.load(nn.DataParallel(Stated(classes=NAMES))).labels == tuple(NAMES)


def test_a_library_that_never_normalizes() -> None:
    detector = type("DetectionModel", (Five,), {"__module__": "ultralytics.nn.tasks"})
    found = netviz.load(detector()).preprocessing
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))
    assert (found.black, found.scale, found.assumed) == (0, 1, False)


def test_a_module_that_normalizes_itself_says_nothing() -> None:
    class Normalizing(Stated):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward((x - self.mean) / self.std)

    class Registered(Five):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("std", torch.ones(3))

    for network in (Normalizing(mean=0.5, std=0.5), Registered()):
        assert netviz.load(network).preprocessing == netviz.load(Five()).preprocessing


def test_what_does_not_fit_the_network_is_passed_over() -> None:
    found = netviz.load(Five(1))
    for said in ({"mean": MEAN, "std": STD}, {"mean": -0.5, "std": 1.0}):
        grey = Five(1)
        for name, value in {**said, "classes": NAMES}.items():
            setattr(grey, name, value)
        again = netviz.load(grey)
        assert again.preprocessing == found.preprocessing
        assert list(again.labels) == NAMES


def test_transforms_that_run_inside_say_nothing() -> None:
    class Preparing(Stated):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.transforms(x))

    from torchvision.transforms import Compose, Normalize

    found = netviz.load(Preparing(transforms=Compose([Normalize(MEAN, STD)])))
    assert found.preprocessing == netviz.load(Five()).preprocessing
    ran: list[int] = []
    part = nn.Sequential(nn.Identity())
    part.register_forward_pre_hook(lambda *_: ran.append(1))
    netviz.load(Stated(transforms=part))
    assert not ran


def test_torchvisions_weights_and_transforms() -> None:
    weights = pytest.importorskip("torchvision.models").AlexNet_Weights.DEFAULT
    own = netviz.load("alexnet", weights="none").preprocessing
    found = netviz.load(Stated(weights=weights))
    assert found.preprocessing == own
    assert not found.labels  # a thousand, of five outputs
    assert netviz.load(Stated(transforms=weights.transforms())).preprocessing == own
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    steps = Compose([Resize(70), CenterCrop(60), ToTensor(), Normalize(MEAN, STD)])
    found = netviz.load(Stated(transforms=steps))
    assert found.preprocessing == Preprocessing(resize=70, crop=(60, 60), mean=tuple(MEAN), std=tuple(STD))


def test_grey_versions_of_an_architecture() -> None:
    found = netviz.load(Stated(pretrained_cfg={**CONFIG, "mean": (0.4, 0.5, 0.6)})).preprocessing
    assert found.channels == 3
    grey = Five(1)
    grey.pretrained_cfg = {**CONFIG, "mean": (0.4, 0.5, 0.6)}  # type: ignore[assignment]
    found = netviz.load(grey).preprocessing
    assert (found.channels, found.mean, found.std, found.crop) == (1, (0.5,), (0.5,), (64, 64))
    assert found.assumed


def test_on_the_command_line(tmp_path: Path, netviz: Callable[..., Any]) -> None:
    torch.save(
        {"state_dict": Five().state_dict(), "names": NAMES, "mean": MEAN, "std": STD}, tmp_path / "k.pt"
    )
    call = ("layers", "support.network:Five", "--weights", tmp_path / "k.pt")
    assert "nothing says" not in netviz(*call).err
    assert "nothing says" in netviz(*call[:2]).err


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Five().state_dict(), "names": Unknown()}, tmp_path / "k.pt")
    with pytest.raises(UntrustedError):
        load_file(tmp_path / "k.pt")
