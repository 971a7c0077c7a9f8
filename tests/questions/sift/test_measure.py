import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import nn

import netviz
from netviz.errors import ImageError, LayerError, ModelError
from netviz.geometry.field import Field
from netviz.images import Photo, normalize, read_image
from netviz.models import Model, Preprocessing
from netviz.questions.places import contrast_normalized, sample
from netviz.questions.sift.keypoints import choose, detect, patch, stages
from support.network import state_of

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
ROWS, COLUMNS = np.mgrid[:160, :180].astype(float)


def opened(network: nn.Module, preprocessing: Preprocessing = PLAIN) -> Model:
    return Model("net", network.eval(), network.state_dict(), preprocessing, ())


def convolutions() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 10, 5, padding=2))


def blob(row: float, column: float, sigma: float) -> np.ndarray:
    return np.exp(-((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * sigma**2))


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("shape", [(7, 9), (1, 5), (1, 1)])
def test_sampling_equals_scipy(shape):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(4, *shape)).astype(np.float32)
    points = rng.uniform(-20, 60, (200, 2))
    field = Field((11.0, 14.0), (4.0, 6.0), (-5.0, -3.0), "exact")
    values, clamped = sample(maps, field, points)
    places = np.stack([(points[:, 0] + 5 - 5) / 4, (points[:, 1] + 3 - 6.5) / 6])
    last = np.array(shape)[:, None] - 1.0
    within = np.clip(places, 0, last)
    expected = np.stack([map_coordinates(one.astype(float), within, order=1) for one in maps])
    np.testing.assert_allclose(values, expected, atol=1e-5)
    np.testing.assert_array_equal(clamped, ((places < 0) | (places > last)).any(axis=0))
    assert clamped.any()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 2, 0), (5, 4, 2), (4, 3, 1)])
def test_a_map_of_coordinates_gives_the_keypoints_coordinates(kernel, stride, padding):
    network = nn.Sequential(nn.Conv2d(3, 2, kernel, stride, padding, bias=False))
    with torch.no_grad():
        # The mean over the window of red (the row) and blue (the column).
        network[0].weight.zero_()
        network[0].weight[0, 0] = network[0].weight[1, 2] = 1 / kernel**2
    plain = Preprocessing(resize=None, crop=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    green = 255 * np.clip(0.9 * blob(60, 70, 5) + 0.9 * blob(100, 120, 4), 0, 1)
    pixels = np.stack([ROWS, green, COLUMNS], axis=2).astype(np.uint8)
    result = netviz.sift(Photo("ramp", pixels), layer="conv1", model=opened(network, plain), window=3)
    assert len(result.keypoints)
    assert not result.clamped.any()
    np.testing.assert_allclose(result.layer_raw * 255, result.keypoints, atol=1e-3)


def test_keypoints_lie_where_blobs_are():
    found = detect(grey(0.2 + 0.6 * blob(60.0, 120.0, 2.5) + 0.5 * blob(110.0, 50.0, 9)))
    assert len(found.points) == 2
    order = np.argsort(found.sigmas)
    np.testing.assert_allclose(found.points[order], [(60, 120), (110, 50)], atol=0.1)
    assert 0.7 < found.sigmas[order][0] / 2.5 < 1.1
    assert 0.7 < found.sigmas[order][1] / 9 < 1.3
    np.testing.assert_allclose(np.linalg.norm(found.descriptors.reshape(2, -1), axis=1), 1, atol=0.03)


def test_layout_of_stages():
    """A step in one cell, rising one way, is the largest value at that row, column and bin."""
    point, sigma, orientation = np.array([80.0, 90.0]), 4.0, 0.7
    cos, sin = np.cos(orientation), np.sin(orientation)
    down, right = ROWS - 80, COLUMNS - 90
    along, across = cos * down + sin * right, -sin * down + cos * right
    for row, column in [(0, 0), (0, 3), (3, 1), (2, 3)]:
        first, second = along - (row - 1.5) * 12, across - (column - 1.5) * 12
        for turn in (0, 3, 6):
            rise = first * np.cos(turn * np.pi / 4) + second * np.sin(turn * np.pi / 4)
            bump = np.exp(-(first**2 + second**2) / (2 * 4.0**2))
            _, cells = stages(grey(0.5 + 0.4 * bump * np.tanh(rise / 3)), point, sigma, orientation)
            assert np.unravel_index(cells.argmax(), cells.shape) == (turn, row, column)


def test_stages_are_scikit_images_descriptor():
    """The steps computed for the picture agree with scikit-image's own, in layout and value."""
    image = read_image("skimage:astronaut").pixels[64:320, 64:320]
    found = detect(image)
    inside = choose(found, 20, image.shape[:2])
    alike = []
    for one in inside:
        _, cells = stages(image, found.points[one], found.sigmas[one], found.orientations[one])
        values = cells.transpose(1, 2, 0).ravel()
        values = np.minimum(values, 0.2 * np.linalg.norm(values))
        alike.append(values @ found.descriptors[one].ravel() / np.linalg.norm(values))
        layout = values.reshape(4, 4, 8)
        for other in (
            layout.swapaxes(0, 1),
            layout[::-1],
            layout[:, ::-1],
            layout[..., ::-1],
            np.roll(layout, 1, -1),
        ):
            assert other.ravel() @ found.descriptors[one].ravel() < values @ found.descriptors[one].ravel()
    assert np.median(alike) > 0.97
    assert min(alike) > 0.85


def test_patches_are_turned_to_the_orientation():
    # Brightness grows to the right: with the orientation to the right, the patch grows brighter downwards.
    pixels = grey(COLUMNS / 180)
    cut = patch(pixels, np.array([80.0, 90.0]), 4.0, np.pi / 2)[..., 0].astype(float)
    expected = 255 / 180 * (90 + (np.arange(64) - 31.5) / 64 * 48)
    np.testing.assert_allclose(cut, np.repeat(expected[:, None], 64, axis=1), atol=1.1)
    assert (patch(pixels, np.array([0.0, 0.0]), 4.0, 0.0)[:31, :31] == 255).all()


def test_chosen_keypoints_are_large_and_apart():
    image = read_image("skimage:coffee").pixels[:256, :256]
    found = detect(image)
    chosen = choose(found, 12, image.shape[:2])
    assert len(set(chosen.tolist())) == 12
    first = found.at(chosen)
    apart = np.hypot(*(first.points[:, None] - first.points[None]).transpose(2, 0, 1))
    reach = 6 * (first.sigmas[:, None] + first.sigmas[None])
    assert (apart >= reach)[~np.eye(12, dtype=bool)].all()
    assert (np.diff(first.sigmas) <= 0).all()
    # No larger one fits: each that was passed over reaches beyond the image or touches one taken before it.
    for one in np.flatnonzero(found.sigmas > first.sigmas[0]):
        turn = abs(np.cos(found.orientations[one])) + abs(np.sin(found.orientations[one]))
        low, high = (
            found.points[one] - 6 * found.sigmas[one] * turn,
            found.points[one] + 6 * found.sigmas[one] * turn,
        )
        assert low.min() < 0 or high.max() > 255
    assert len(choose(found, 10**4, image.shape[:2])) == len(found.points)
    assert len(np.unique(found.points, axis=0)) == len(found.points)


def test_descriptors_come_from_the_layer():
    network = convolutions()
    photo = Photo("astronaut", read_image("skimage:astronaut").pixels[:96, 160:290])
    before = state_of(network.eval())
    result = netviz.sift(photo, layer="conv2", model=opened(network), keypoints=6, window=5)
    assert state_of(network) == before
    with torch.no_grad():
        maps = network(normalize(photo.pixels, PLAIN))[0]
    normalized = contrast_normalized(maps.numpy(), 5)
    # conv 3/2 pad 1, pool 2/2, conv 5 pad 2: centres at 0 + 1 + 4 i.
    places = (result.keypoints.T - 1) / 4
    places = np.clip(places, 0, np.array(maps.shape[1:])[:, None] - 1)
    for values, expected in ((maps.numpy(), result.layer_raw), (normalized, result.layer_normalized)):
        read = np.stack([map_coordinates(one.astype(float), places, order=1) for one in values], axis=1)
        np.testing.assert_allclose(expected, read, atol=1e-4)
    assert (result.field_stride, result.convolutions, result.poolings) == ((4.0, 4.0), 2, 1)
    assert result.stage_filters.shape == (6, 3, 3, 3)
    assert result.patches.shape == (6, 64, 64, 3)
    assert result.descriptors.shape == (6, 4, 4, 8)
    spread = maps.numpy().reshape(10, -1).std(axis=1)
    assert set(result.stage_units.tolist()) == set(np.argsort(-spread)[:8].tolist())


def test_bad_input():
    photo = Photo("photo", read_image("skimage:coffee").pixels[:96, :96])
    pooled = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4, 2)
    )
    with pytest.raises(ImageError, match=r"finds no keypoint in flat at 96×96"):
        netviz.sift(Photo("flat", np.full((96, 96, 3), 90, np.uint8)), layer="conv1", model=opened(pooled))
    with pytest.raises(LayerError, match="sees the whole image"):
        netviz.sift(photo, layer="conv2", model=opened(pooled))
    with pytest.raises(LayerError, match="has no maps"):
        netviz.sift(photo, layer="fc3", model=opened(pooled))
    with pytest.raises(LayerError, match=r"window of 97 positions is larger than the 94×94"):
        netviz.sift(photo, layer="conv1", model=opened(pooled), window=97)
    with pytest.raises(LayerError, match="unknown"):
        sample(np.zeros((1, 2, 2)), Field.unknown("roll"), np.zeros((1, 2)))
    with pytest.raises(ImageError, match="does not run on tiny"):
        netviz.sift(Photo("tiny", np.zeros((2, 2, 3), np.uint8)), layer="conv1", model=opened(pooled))
    with pytest.raises(ModelError):
        netviz.sift(photo, layer="conv1", model="no such network")
    for arguments, message in [
        ({"window": 4}, "odd"), ({"window": 0}, "odd"), ({"keypoints": 0}, "1 to 30"), ({"keypoints": 31}, "1 to 30"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            netviz.sift(photo, layer="conv1", model=opened(pooled), **arguments)


def test_results_survive_the_file(tmp_path):
    photo = Photo("coffee", read_image("skimage:coffee").pixels[:96, :96])
    result = netviz.sift(photo, layer="conv1", model=opened(convolutions()), keypoints=3)
    path = result.save(tmp_path / "a.npz")
    again = netviz.load_result(path)
    assert again.facts() == result.facts()
    assert again.save(tmp_path / "b.npz").read_bytes() == path.read_bytes()
    again = netviz.sift(photo, layer="conv1", model=opened(convolutions()), keypoints=3)
    for one in dataclasses.fields(result):
        np.testing.assert_array_equal(getattr(again, one.name), getattr(result, one.name))
