import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
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


MODEL = ("--model", "support.network:Labeller")


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
