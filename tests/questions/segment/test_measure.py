import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ImageError, LayerError, ResultError
from netviz.images import Photo
from netviz.models import Model, Preprocessing
from support.network import state_of
from support.photos import noise

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
CROPPED = dataclasses.replace(PLAIN, resize=16, crop=(16, 16))


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 3, 2)).eval()


def opened(net: nn.Module, preprocessing: Preprocessing = PLAIN) -> Model:
    return Model("net", net, net.state_dict(), preprocessing, ())


def maps_of(net: nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(pixels / 255).permute(2, 0, 1).float()[None])[0].numpy()


def read_at(values: np.ndarray, y: float, x: float) -> float:
    """Bilinear by hand; positions of the last layer look at 5×5 pixels from 0, every 2: centres 2, 4, 6, …"""
    row, col = (min(max((place - 2) / 2, 0), n - 1) for place, n in zip((y, x), values.shape, strict=True))
    top, left = int(row), int(col)
    bottom, right = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
    down, across = row - top, col - left
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[bottom, left] * (1 - across) + values[bottom, right] * across
    return upper * (1 - down) + lower * down


@pytest.fixture
def folder(tmp_path):
    for seed, size in enumerate([(40, 30), (25, 31), (33, 33)]):
        Image.fromarray(noise(*size, seed=seed + 5).pixels).save(tmp_path / f"{seed}.png")
    return tmp_path


def test_fraction_in_pixels_of_a_cropped_original():
    net = network()
    rng = np.random.default_rng(2)
    small = rng.integers(0, 256, (16, 40, 3), dtype=np.uint8)
    # Twice as large by repetition, and seen at half size: an antialiased halving gives nearly the same pixels.
    photo = Photo("photo", np.repeat(np.repeat(small, 2, axis=0), 2, axis=1))
    result = netviz.segment(photo, layer="2", unit=1, model=opened(net, CROPPED), threshold=0.4)
    seen = np.asarray(Image.fromarray(photo.pixels).resize((40, 16), Image.Resampling.BILINEAR))[:, 12:28]
    values = maps_of(net, seen)[1]
    np.testing.assert_allclose(result.map, values, atol=1e-5)
    expected = np.full((32, 80), np.nan)
    for y in range(32):
        for x in range(24, 56):
            expected[y, x] = read_at(values, (y + 0.5) / 2 - 0.5, (x + 0.5) / 2 - 12.5)
    assert result.mask.dtype == np.bool_
    assert result.mask.shape == (32, 80)
    np.testing.assert_allclose(result.heat, expected, atol=1e-4)
    limit = 0.4 * values.max()
    sure = ~(np.abs(expected - limit) < 1e-4)
    np.testing.assert_array_equal(result.mask[sure], (np.nan_to_num(expected, nan=-9) >= limit)[sure])
    assert result.mask.any()
    assert result.threshold == pytest.approx(limit, rel=1e-5)
    assert result.share == pytest.approx(result.mask.mean())
    assert result.shown == pytest.approx(0.4)
    assert result.shown_box == (0, 24, 32, 56)
    np.testing.assert_array_equal(result.image, photo.pixels)


@pytest.mark.parametrize("quantile", [0.995, 0.8])
def test_quantile_over_images(folder, quantile):
    net = network()
    result = netviz.segment(
        noise(28, 36), layer="-1", unit=-1, model=opened(net), images=[folder], quantile=quantile
    )
    values = [maps_of(net, np.asarray(Image.open(path)))[2].ravel() for path in sorted(folder.iterdir())]
    expected = float(np.quantile(np.concatenate(values), quantile))
    assert result.threshold == pytest.approx(expected, abs=1e-5)
    assert (result.unit, result.images, result.samples) == (2, 3, len(np.concatenate(values)))
    assert result.positions == result.samples
    np.testing.assert_array_equal(result.mask, result.heat > np.float32(result.threshold))


def test_quantile_of_a_run(folder, tmp_path_factory):
    model, run = opened(network()), tmp_path_factory.mktemp("runs") / "run"
    netviz.patches(model, run, images=[folder], layer=["2"], size=(24, 24), workers=0)
    asked = {"layer": "2", "unit": 0, "model": model, "size": (24, 24)}
    with_run = netviz.segment(noise(28, 36), run=run, **asked)
    direct = netviz.segment(noise(28, 36), images=[folder], **asked)
    assert with_run.threshold == pytest.approx(direct.threshold, abs=1e-6)
    assert with_run.source == "run run"
    assert (with_run.images, with_run.positions) == (direct.images, direct.positions)
    with pytest.raises(ResultError, match=r"no 0.7 quantile; it holds 0, 0.01, .*0.995"):
        netviz.segment(noise(28, 36), run=run, quantile=0.7, **asked)
    with pytest.raises(LayerError, match="no layer '0'"):
        netviz.segment(noise(28, 36), run=run, **{**asked, "layer": "0"})
    other = dataclasses.replace(model, name="other")
    with pytest.raises(ResultError, match="is of net, not of other"):
        netviz.segment(noise(28, 36), run=run, **{**asked, "model": other})
    with pytest.raises(ResultError, match="no run"):
        netviz.segment(noise(28, 36), run=folder, **asked)


def test_an_image_that_cannot_be_read_is_named(folder):
    (folder / "bad.png").write_bytes(b"no image")
    result = netviz.segment(noise(28, 36), layer="2", unit=0, model=opened(network()), images=[folder])
    assert result.images == 3
    ((name, reason),) = result.skipped
    assert name.endswith("bad.png")
    assert "no image that Pillow can read" in reason
    with pytest.raises(ImageError, match="none of the 1 images"):
        netviz.segment(noise(28, 36), layer="2", unit=0, model=opened(network()), images=[folder / "bad.png"])


def test_bad_input(folder):
    asked = {"layer": "2", "unit": 0, "model": opened(network())}
    for arguments, message in [
        ({"threshold": 0.0}, "not 0.0"),
        ({"threshold": 1.5}, "not 1.5"),
        ({"threshold": "half"}, "'half'"),
        ({"threshold": float("nan")}, "nan"),
        ({"quantile": 1.0}, "between 0 and 1, not 1.0"),
        ({"images": [folder], "run": folder}, "one of them"),
    ]:
        with pytest.raises(ValueError, match=message):
            netviz.segment(noise(20, 20), **{**asked, **arguments})
    with pytest.raises(LayerError, match="no unit 3: its units are 0 to 2"):
        netviz.segment(noise(20, 20), **{**asked, "unit": 3})
    negative = network()
    with torch.no_grad():
        negative[2].bias.fill_(-1e3)
    with pytest.raises(LayerError, match=r"unit 0 of 2 .* is nowhere positive on noise"):
        netviz.segment(noise(20, 20), **{**asked, "model": opened(negative), "threshold": 0.5})
    pooled = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1)).eval()
    with pytest.raises(LayerError, match="sees the whole image"):
        netviz.segment(noise(20, 20), layer="1", unit=0, model=opened(pooled), threshold=0.5)


def test_a_silent_unit_covers_nothing(folder):
    net = network()
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(-1)
    result = netviz.segment(noise(20, 24), layer="1", unit=0, model=opened(net), images=[folder])
    assert result.threshold == 0
    assert not result.mask.any()


def test_the_network_is_left_as_found_and_results_survive(awkward, folder, tmp_path_factory):
    before = state_of(awkward)
    result = netviz.segment(noise(24, 20), layer="conv1", unit=1, model=opened(awkward), images=[folder])
    assert state_of(awkward) == before
    where = tmp_path_factory.mktemp("out")
    path = result.save(where / "a.npz")
    again = netviz.load_result(path)
    assert again.facts() == result.facts()
    assert again.save(where / "b.npz").read_bytes() == path.read_bytes()
