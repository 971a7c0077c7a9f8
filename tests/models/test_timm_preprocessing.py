"""Images are prepared for timm's networks as timm prepares them, by name and from a file."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from netviz import load
from netviz.geometry.field import Field
from netviz.images import prepare
from netviz.images.preparation import display
from netviz.models.builders import build_timm, import_timm
from netviz.models.named import named_facts
from netviz.models.preprocessing import Preprocessing, from_timm
from netviz.questions.patches.boxes import patch_boxes

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")


@cache
def configurations() -> dict[tuple[Any, ...], tuple[str, dict[str, Any]]]:
    """Return all of timm's pretrained configurations that prepare images differently, each with its first name."""
    timm = import_timm()
    found: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {}
    for name in timm.list_pretrained():
        config = vars(timm.get_pretrained_cfg(name))
        keys = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")
        found.setdefault(tuple(str(config[key]) for key in keys), (name, config))
    return found


def check(name: str, config: dict[str, Any]) -> None:
    from timm.data import create_transform, resolve_data_config

    transform = create_transform(**resolve_data_config(pretrained_cfg=config), is_training=False)
    preprocessing = from_timm(config)
    rng = np.random.default_rng(0)
    for size in ((97, 140), (613, 402)):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        expected = transform(Image.fromarray(pixels))
        prepared = prepare(pixels, preprocessing)
        assert prepared.tensor.shape[1:] == expected.shape, name
        torch.testing.assert_close(prepared.tensor[0], expected, rtol=1e-5, atol=1e-5, msg=name)
        np.testing.assert_array_equal(display(prepared.tensor, preprocessing), prepared.image)


@pytest.mark.parametrize(
    "name",
    [
        "resnet50.a1_in1k",
        "inception_v4.tf_in1k",
        "beit_base_patch16_384.in22k_ft_in22k_in1k",
        "convnext_base.fb_in22k_ft_in1k_384",
        "vit_base_patch16_sapiens2.fb",
        "deepseek_vit_412m.deepseek_v4_1_flash",
        "volo_d4_448.sail_in1k",
    ],
)
def test_a_configuration(name: str) -> None:
    check(name, vars(import_timm().get_pretrained_cfg(name)))


@pytest.mark.slow
def test_every_configuration() -> None:
    assert {config["crop_mode"] for _, config in configurations().values()} == {"center", "squash", "border"}
    for name, config in configurations().values():
        check(name, config)


@pytest.mark.parametrize(
    ("name", "mean", "resize", "assumed"),
    [
        # One set of weights, or several that agree.
        ("inception_v4", 0.5, 341, False),
        ("resnetv2_50", 0.5, 235, False),
        # Several that do not.
        ("efficientnet_b0", 0.485, 256, True),
    ],
)
def test_an_architecture_has_its_own(name: str, mean: float, resize: int, assumed: bool) -> None:
    found = named_facts(f"timm:{name}", {})[0]
    assert (found.mean[0], found.resize, found.assumed) == (mean, resize, assumed)


def test_a_file_gets_its_architectures_own(tmp_path: Path) -> None:
    for name, assumed in (("mobilevit_s", False), ("efficientnet_b0", True)):
        # Its name tells it apart from its twins.
        torch.save(build_timm(name, seed=0).state_dict(), tmp_path / f"{name}-1.pt")
        found = load(tmp_path / f"{name}-1.pt")
        assert f"recognised as timm:{name}" in found.origin
        assert found.preprocessing == named_facts(f"timm:{name}", {})[0]
        assert found.preprocessing.assumed == assumed
    # One that takes a single channel gets the mean of the colours' values.
    torch.save(build_timm("efficientnet_b0", seed=0, in_chans=1).state_dict(), tmp_path / f"{name}-grey.pt")
    grey = load(tmp_path / f"{name}-grey.pt").preprocessing
    assert (grey.channels, grey.assumed, grey.crop) == (1, True, (224, 224))
    assert (*grey.mean, *grey.std) == pytest.approx(
        (np.mean([0.485, 0.456, 0.406]), np.mean([0.229, 0.224, 0.225]))
    )


def test_places_know_what_was_filled_up() -> None:
    """What an input pixel shows is found by changing the image's rows and columns one after the other."""
    preprocessing = Preprocessing(resize=(40, 40), crop=(40, 40), fill=(9, 9, 9))
    image = np.full((60, 31, 3), 100, dtype=np.uint8)
    plain = prepare(image, preprocessing).image
    assert (plain[:, :9] == 9).all()
    assert (plain[:, 9:30] == 100).all()
    assert (plain[:, 30:] == 9).all()
    seen = np.zeros((31, 40), dtype=bool)
    for col in range(31):
        changed = image.copy()
        changed[:, col] = 255
        seen[col] = (prepare(changed, preprocessing).image != plain).any(axis=(0, 2))
    position = np.arange(40)
    field = Field((1.0, 1.0), (1.0, 1.0), (0.0, 0.0), "exact")
    box, margin = patch_boxes(
        field, np.zeros_like(position), position, np.tile([[60, 31]], (40, 1)), preprocessing
    )
    for at in range(40):
        assert 0 <= box[at, 1] < box[at, 3] <= 31
        # A pixel at the rim of a filter may weigh too little to change a byte.
        assert not seen[: box[at, 1], at].any()
        assert not seen[box[at, 3] :, at].any()
        assert (margin[at, [1, 3]].max() > 0) == (not seen[:, at].any())
