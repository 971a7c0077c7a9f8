import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import nn

from netviz.capture import index_layers
from netviz.errors import LayerError
from netviz.geometry.field import Field, geometry
from netviz.models import Preprocessing
from netviz.questions.places import interpolation_matrix, original_pixels, upsample

FIELD = Field((7.0, 5.0), (4.0, 2.0), (-3.0, 1.0), "exact")


def test_matrix_by_hand():
    # Positions look at the centres 1, 5 and 9.
    found = interpolation_matrix(0, 4, 3, 3, np.array([-2.0, 1.0, 2.0, 5.0, 8.0, 9.0, 30.0]))
    expected = [[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0.25, 0.75], [0, 0, 1], [0, 0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(
        interpolation_matrix(0, 4, 3, 1, np.array([-9.0, 1.0, 9.0])), [[1], [1], [1]]
    )
    with pytest.raises(ValueError, match="stride must be positive, not 0"):
        interpolation_matrix(0, 0, 3, 3, np.zeros(1))
    with pytest.raises(ValueError, match="at least 1 position, not 0"):
        interpolation_matrix(0, 1, 3, 0, np.zeros(1))


def test_equals_scipy():
    maps = np.random.default_rng(0).standard_normal((3, 6, 9))
    rows, cols = np.linspace(-8, 40, 23), np.linspace(-5, 30, 31)
    # Centres of the first position: -3 + 3 = 0 and 1 + 2 = 3.
    at = np.stack(np.meshgrid((rows - 0) / 4, (cols - 3) / 2, indexing="ij"))
    expected = np.stack([map_coordinates(one, at, order=1, mode="nearest") for one in maps])
    found = upsample(maps, FIELD, rows, cols)
    assert found.shape == (3, 23, 31)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    narrow = upsample(torch.from_numpy(maps).float()[None], FIELD, rows, cols)
    assert narrow.dtype == torch.float32
    np.testing.assert_allclose(narrow[0].numpy(), expected, atol=1e-5)
    assert upsample(maps.astype(np.float32), FIELD, rows, cols).dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1])
def test_a_map_of_coordinates_comes_back(axis):
    """Averages of a ramp are its values at the fields' centres, so what is read anywhere is the coordinate itself."""
    network = nn.Sequential(
        nn.Conv2d(3, 2, (3, 4), (2, 3)), nn.AvgPool2d(2), nn.Conv2d(2, 1, 3, dilation=2)
    ).eval()
    with torch.no_grad():
        for conv in (network[0], network[2]):
            conv.weight.fill_(1 / conv.weight[0].numel())
            conv.bias.zero_()
    ramp = (
        np.arange(90.0)[:, None] + np.zeros((90, 120)) if axis == 0 else np.zeros((90, 1)) + np.arange(120.0)
    )
    index = index_layers(network, size=(90, 120))
    layer = index[-1]
    field = geometry(network, index)[layer]
    with torch.no_grad():
        maps = network(torch.from_numpy(ramp).float().expand(1, 3, -1, -1))[0].numpy()
    rows, cols = np.arange(90.0), np.arange(120.0)
    found = upsample(maps, field, rows, cols)[0]
    first, last = (field.center(*at)[axis] for at in ((0, 0), (maps.shape[1] - 1, maps.shape[2] - 1)))
    np.testing.assert_allclose(found, np.clip(ramp, first, last), atol=1e-4)
    assert last - first > 40


def test_pixels_of_the_original():
    rows, cols = original_pixels(300, 451, Preprocessing(resize=256, crop=(224, 224)))
    # 300×451 becomes 256×384; the crop begins at row 16 and column 80.
    np.testing.assert_allclose(rows.at, [(y + 0.5) * 256 / 300 - 16.5 for y in range(300)])
    np.testing.assert_allclose(cols.at, [(x + 0.5) * 384 / 451 - 80.5 for x in range(451)])
    np.testing.assert_array_equal(rows.shown, [16 <= (y + 0.5) * 256 / 300 < 240 for y in range(300)])
    np.testing.assert_array_equal(cols.shown, [80 <= (x + 0.5) * 384 / 451 < 304 for x in range(451)])
    rows, cols = original_pixels(20, 30, Preprocessing(resize=None, crop=None))
    np.testing.assert_array_equal(rows.at, np.arange(20))
    assert cols.shown.all()


def test_layers_without_a_place():
    maps = np.zeros((1, 2, 2))
    with pytest.raises(LayerError, match="cannot follow fold"):
        upsample(maps, Field.unknown("fold"), np.zeros(1), np.zeros(1))
    everything = Field((9.0, 9.0), (0.0, 0.0), (0.0, 0.0), "global")
    with pytest.raises(LayerError, match="sees the whole image"):
        upsample(maps, everything, np.zeros(1), np.zeros(1))
    strips = Field((1.0, 9.0), (1.0, 0.0), (0.0, 0.0), "exact")
    with pytest.raises(LayerError, match="the same columns"):
        upsample(maps, strips, np.zeros(1), np.zeros(1))
