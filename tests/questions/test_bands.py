"""Networks of any number of channels, and pictures in memory, through the questions and the command line."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.signal import correlate2d
from torch import nn

import netviz
from netviz.cli.main import netviz as group
from netviz.errors import ImageError, ModelError
from netviz.questions import opening

RNG = np.random.default_rng(0)


def network(channels: int) -> nn.Sequential:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 4, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


@pytest.mark.parametrize("channels", [2, 4, 5, 12])
def test_maps_equal_scipys_correlation(channels):
    values = RNG.integers(0, 65536, (16, 18, channels), dtype=np.uint16)
    mean, std = RNG.uniform(0.2, 0.6, channels), RNG.uniform(0.1, 0.4, channels)
    net = network(channels)
    found = netviz.maps(values, layer="conv1", model=net, size=(16, 18), mean=mean, std=std)
    normal = (values / 65535 - mean) / std
    weight, bias = (value.detach().double().numpy() for value in net[0].parameters())
    for unit in range(4):
        expected = bias[unit] + sum(
            correlate2d(normal[..., band], weight[unit, band], mode="same") for band in range(channels)
        )
        np.testing.assert_allclose(found.maps[unit], expected, atol=1e-4)
    assert found.image_name == "array 1"
    assert not found.image_path


def test_arrays_tensors_and_files_answer_alike(tmp_path):
    net = network(5)
    values = RNG.uniform(0, 1, (2, 24, 24, 5)).astype(np.float32)
    files = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, one in zip(files, values, strict=True):
        np.save(path, one)
    tensors = torch.from_numpy(values).permute(0, 3, 1, 2)
    given = {"model": net, "layer": "conv1", "size": (24, 24)}
    for array, path, tensor in zip(values, files, tensors, strict=True):
        maps = [netviz.maps(one, **given).maps for one in (array, path, tensor)]
        np.testing.assert_array_equal(maps[0], maps[1])
        np.testing.assert_array_equal(maps[0], maps[2])
    several = [
        netviz.segment(files[0], images=images, unit=1, **given).threshold
        for images in (files, values, tensors, list(values))
    ]
    assert len(set(several)) == 1
    runs = [
        netviz.patches(images=images, out=tmp_path / f"run{at}", top=2, workers=0, device="cpu", **given)
        for at, images in enumerate((files, values))
    ]
    scores = [np.load(run / "layers/0.npz")["score"] for run in runs]
    np.testing.assert_array_equal(*scores)
    # What was given as an array can be drawn later, from the run's folder.
    assert [Path(name).name for name in (runs[1] / "images.txt").read_text().splitlines()] == [
        "array 1.npy",
        "array 2.npy",
    ]
    netviz.draw(runs[1], tmp_path / "patches.png")


def test_a_picture_of_pillows():
    pixels = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    given = {"model": network(3), "size": (24, 24), "patch": 8, "stride": 8}
    found = [netviz.occlusion(one, **given).map for one in (pixels, Image.fromarray(pixels))]
    np.testing.assert_array_equal(*found)


def test_depth_alone_changes_nothing():
    pixels = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    deep = pixels.astype(np.uint16) * np.uint16(257)
    given = {"model": network(3), "size": (24, 24), "segments": 6}
    eight, sixteen = (netviz.minimal(one, **given) for one in (pixels, deep))
    np.testing.assert_array_equal(eight.order, sixteen.order)
    np.testing.assert_array_equal(eight.minimal, sixteen.minimal)
    # What is filled in is rounded to 8 bits in one of them.
    np.testing.assert_allclose(eight.scores, sixteen.scores, atol=1e-2)


OPTIONS = ["--size", "24x24", "--mean", "0.5", "--std", "0.25", "--bands", "3,2,1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bands")
    tifffile.imwrite(
        folder / "scene.tif", RNG.integers(0, 65536, (24, 30, 5), dtype=np.uint16), planarconfig="contig"
    )
    (folder / "bandnet.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def five():\n"
        "    return nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "maps scene.tif --model bandnet:five -l conv1 -o OUT.png",
        "occlusion scene.tif --model bandnet:five --patch 8 --stride 8 -o OUT.png",
        "minimal scene.tif --model bandnet:five --segments 4 -o OUT.png",
        "segment scene.tif --model bandnet:five -l conv1 --unit 1 --threshold 0.5 -o OUT.png",
        "field bandnet:five -l conv1 --kind effective -i scene.tif -o OUT.png",
        "patches bandnet:five -l conv1 -i scene.tif --workers 0 --device cpu -o OUT",
        "filters bandnet:five -o OUT.png",
        "gallery bandnet:five --quick -i scene.tif -o OUT",
    ],
    ids=lambda command: command.split()[0],
)
def test_five_bands_on_the_command_line(command, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    words = command.replace("OUT", str(tmp_path / "out")).split()
    options = [*OPTIONS[2:]] if words[0] == "filters" else OPTIONS
    done = CliRunner().invoke(group, [*words, *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert any(tmp_path.iterdir())


def test_which_range_was_taken_is_said():
    values = RNG.uniform(0, 1, (24, 24, 5))
    given = {"model": network(5), "layer": "conv1", "size": (24, 24), "input_scale": (-1, 1)}
    assert (
        "the image's values, all in 0…1, are taken as shares of -1…1" in netviz.maps(values, **given).doubts
    )
    assert not netviz.maps(2 * values - 1, **given).doubts


def test_what_cannot_be_shown():
    values = np.zeros((24, 24, 5))
    with pytest.raises(ModelError, match="bands 6 cannot be shown: Sequential takes 5 channels"):
        netviz.maps(values, model=network(5), layer="conv1", bands=6)
    with pytest.raises(ModelError, match="3 channels, which are shown as they are"):
        netviz.maps(values, model=network(3), layer="conv1", bands=(3, 2, 1))
    with pytest.raises(ValueError, match="one number or three, counted from 1"):
        netviz.load(network(5), bands=(1, 2))


def test_more_than_fits_into_memory_is_refused(monkeypatch):
    net = nn.Conv2d(3, 64, 3, padding=1)
    image = np.zeros((600, 700, 3), dtype=np.uint8)
    # 64 maps of 600 × 700 floats, four times over: 430 MB.
    monkeypatch.setattr(opening, "free_memory", lambda: 3e8)
    with pytest.raises(
        ImageError, match=r"array 1 at 600×700 pixels needs about 0\.4 GB .* 0\.3 GB are free"
    ):
        netviz.maps(image, model=net, layer="conv1", size=(600, 700))
    monkeypatch.setattr(opening, "free_memory", lambda: 1e9)
    netviz.maps(image, model=net, layer="conv1", size=(600, 700), units="0")
