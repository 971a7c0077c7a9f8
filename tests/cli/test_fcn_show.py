import json

import numpy as np
import pytest
from PIL import Image

NETWORK = """
import torch
from torch import nn


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        fine = self.scores(x)
        coarse = nn.functional.interpolate(fine[..., ::4, ::4], size=x.shape[-2:], mode="bilinear")
        return {"2s": fine, "8s": coarse}


def build():
    return Dense()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "dense_here.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    random = np.random.default_rng(0)
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in ("one", "two"):
        Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(
            tmp_path / "images" / f"{name}.jpg"
        )
        Image.fromarray(random.integers(0, 5, (24, 32), dtype=np.uint8)).save(
            tmp_path / "labels" / f"{name}.png"
        )
    return tmp_path


MODEL = ("--model", "dense_here:build")


def test_picture_arrays_and_facts(netviz, folder):
    image = folder / "images" / "one.jpg"
    truth = folder / "labels" / "one.png"
    done = netviz(
        "fcn", "show", image, *MODEL, "--truth", truth, "--void", "4", "-o", folder / "s.npz", "--json"
    )
    assert done.status == 0, done.err
    facts = json.loads(done.out)
    assert facts["names"] == ["8s", "2s"]
    assert facts["arrays"]["8s"] == [4, 24, 32]
    assert set(facts["scores"]["2s"]) >= {"pixel_accuracy", "mean_iu", "per_class"}
    with np.load(folder / "s.npz") as file:
        assert file["2s"].dtype == np.float32
        with Image.open(truth) as mask:
            labels = np.asarray(mask).astype(int)
        np.testing.assert_array_equal(file["truth"], np.where(labels == 4, -1, labels))
    assert netviz("draw", folder / "s.npz", "-o", folder / "s.png").status == 0
    with Image.open(folder / "s.png") as picture:
        assert picture.width > 500
    assert netviz("report", folder / "s.npz").status == 0


def test_several_images_and_a_folder_of_masks(netviz, folder):
    images, labels = folder / "images", folder / "labels"
    done = netviz(
        "fcn", "show", images, *MODEL, "--truth", labels, "--void", "4", "-o", folder / "s.png", "--json"
    )
    assert done.status == 0, done.err
    assert [one["image_name"] for one in json.loads(done.out)] == ["one", "two"]
    assert (folder / "s-one.png").is_file()
    assert (folder / "s-two.png").is_file()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--truth", "labels/one.png"), 1, "--void"),
        (("--truth", "images/one.jpg"), 1, "picture in colour"),
        (("--truth", "a.png", "--truth", "b.png"), 2, "2 for 1 images"),
        (("--short-side", "0"), 2, "--short-side"),
        (("--void", "x"), 2, "no list"),
    ],
)
def test_mistakes_in_one_line(netviz, folder, monkeypatch, options, status, said):
    monkeypatch.chdir(folder)
    done = netviz("fcn", "show", "images/one.jpg", *MODEL, *options)
    assert done.status == status
    assert said in done.err
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1


def test_a_classifier_is_told_where_to_go(netviz, folder):
    done = netviz(
        "fcn", "show", folder / "images" / "one.jpg", "--model", "squeezenet1_1", "--weights", "none",
        "--short-side", "64",
    )  # fmt: skip
    assert done.status == 1
    assert "netviz dense" in done.err
