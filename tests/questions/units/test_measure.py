"""Facts of units on images in class folders, against NumPy over stored activations."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.capture import capture
from netviz.cli.units import units_lines
from netviz.errors import LayerError
from netviz.images import list_images, prepare, read_image
from netviz.models import Preprocessing
from netviz.questions.reader import load_result
from netviz.questions.units.measure import units
from support.scenes import model, scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classed")
    rng = np.random.default_rng(0)
    for number in range(10):
        path = folder / ("cat", "dog", "owl")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scene(rng, 40, 60)[0]).save(path)
    return folder


def test_facts_are_those_of_stored_activations(folder, tmp_path):
    asked = model()
    found = units(asked, "relu1", images=[folder], batch=4, top=3)
    layer = netviz.layers(asked).resolve("relu1")
    maps, classes = [], []
    for path in list_images([folder]):
        with capture(asked.network, [layer]) as run, torch.no_grad():
            run(prepare(read_image(path).pixels, asked.preprocessing).tensor)
        maps.append(run[layer][0].numpy())
        classes.append(path.parent.name)
    values = np.stack(maps).astype(np.float64)
    means = np.stack(
        [values[np.array(classes) == name].mean(axis=(0, 2, 3)) for name in ("cat", "dog", "owl")], axis=1
    )
    np.testing.assert_allclose(found.class_means, means, atol=1e-6)
    ranked = np.sort(means, axis=1)
    others = ranked[:, :2].mean(axis=1)
    wanted = (ranked[:, 2] - others) / (ranked[:, 2] + others)
    np.testing.assert_allclose(found.selectivity, wanted, atol=1e-5)
    flat = values.transpose(0, 2, 3, 1).reshape(-1, 6)
    assert found.samples == found.positions == len(flat)
    np.testing.assert_allclose(found.correlation, np.corrcoef(flat.T), atol=1e-5)
    np.testing.assert_allclose(found.zeros, (flat == 0).mean(axis=0), atol=1e-3)
    assert found.classes == ("cat", "dog", "owl")
    again = load_result(found.save(tmp_path / "a.npz"))
    assert again.summary() == found.summary()
    assert again.alike == found.alike


def test_without_classes_or_rectification_there_is_no_selectivity(folder):
    found = units(model(), "conv2", images=[folder])
    assert np.isnan(found.selectivity).all()
    assert found.summary()["mean_selectivity"] is None
    found = units(model(), "relu1", images=["skimage:coffee", "skimage:chelsea"])
    assert found.classes == ()
    assert np.isnan(found.selectivity).all()
    with pytest.raises(LayerError, match="fits 2 layers"):
        units(model(), "relu*", images=[folder])


def test_classes_with_one_image_tell_no_selectivity(folder, tmp_path):
    paths = sorted(folder.rglob("*.png"))
    alone = tmp_path / "alone"
    for number, path in enumerate(paths):
        one = alone / f"class{number}" / path.name
        one.parent.mkdir(parents=True)
        shutil.copy(path, one)
    found = units(model(), "relu1", images=[alone])
    assert np.isnan(found.selectivity).all()
    assert (found.classes, found.single) == ((), 10)
    told = units_lines(found.summary())
    assert "class selectivity: none, fewer than two classes have several images" in told
    # Two classes more, of two and three images: only these are compared.
    for number, path in enumerate(paths[:5]):
        more = alone / f"more{number % 2}" / path.name
        more.parent.mkdir(exist_ok=True)
        shutil.copy(path, more)
    found = units(model(), "relu1", images=[alone])
    assert (found.classes, found.class_images, found.single) == (("more0", "more1"), (3, 2), 10)
    assert found.class_means.shape == (6, 2)
    only = tmp_path / "only"
    for name in found.classes:
        shutil.copytree(alone / name, only / name)
    wanted = units(model(), "relu1", images=[only])
    np.testing.assert_allclose(found.selectivity, wanted.selectivity, atol=1e-6)
    assert "over 2 classes of 2 to 3 images; 10 with a single image left out" in " ".join(
        units_lines(found.summary())
    )


def test_units_are_not_called_redundant_where_chance_explains_it(folder):
    torch.manual_seed(0)
    # Every field is the whole image, and any two units have half of their eight images of ten in common.
    network = nn.Sequential(nn.Conv2d(3, 12, 65, padding=32), nn.ReLU())
    asked = replace(netviz.load(network), preprocessing=Preprocessing(32, (32, 32), (0.5,) * 3, (0.25,) * 3))
    found = units(asked, "relu1", images=[folder], top=8)
    assert (found.left, found.chance, found.redundant) == (11, 11, None)
    told = " ".join(units_lines(found.summary()))
    assert "11 units left over, not called redundant (11.0 expected by chance)" in told
    assert load_result(found.save(folder.parent / "a.npz")).redundant is None
