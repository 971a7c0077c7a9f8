import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import LayerError
from netviz.images import Photo
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing
from netviz.questions.hypercolumn.measure import covariance, k_means, principal, project, standardised

# Where the first position of each layer looks, and how far the next lies, by hand: 3×3 windows with a padding of 1
# are centred on their own position, and a 2×2 window on positions 0 and 2 lies around pixel 1.
CENTRES = {"0": (0.0, 1.0), "2": (0.0, 2.0), "4": (1.0, 4.0)}


class Deep(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 9, 2, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(9, 2),
        )


def deep(seed: int = 3) -> Model:
    torch.manual_seed(seed)
    network = Deep().eval()
    plain = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Model("deep", network, network.state_dict(), plain)


def photo(height: int = 32, width: int = 40) -> Photo:
    random = np.random.default_rng(4)
    coarse = random.uniform(0, 255, (5, 5, 3))
    rows, cols = np.linspace(0, 4, height), np.linspace(0, 4, width)
    smooth = np.stack([spread(coarse[..., c], rows, cols) for c in range(3)], axis=-1)
    return Photo(
        "photo", np.rint(smooth + random.uniform(-10, 10, smooth.shape)).clip(0, 255).astype(np.uint8)
    )


def spread(values: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Interpolate (h, w) at fractional rows and columns, the border's value beyond it."""
    down = np.array([np.interp(rows, np.arange(len(values)), one) for one in values.T]).T
    return np.array([np.interp(cols, np.arange(values.shape[1]), one) for one in down])


def brute(model: Model, image: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return every unit of the three layers at every place, (C, H, W), each layer scaled to a variance of 1."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    stacked = []
    with torch.no_grad():
        for name, module in model.network.named_children():
            x = module(x)
            if name in CENTRES:
                first, stride = CENTRES[name]
                at = [(axis - first) / stride for axis in (rows, cols)]
                one = np.array([spread(unit, *at) for unit in x[0].double().numpy()])
                one -= one.mean(axis=(1, 2), keepdims=True)
                stacked.append(one / np.sqrt((one**2).mean(axis=(1, 2)).sum()))
    return np.concatenate(stacked)


@pytest.mark.parametrize(("height", "width", "grid"), [(32, 40, (32, 40)), (64, 320, (51, 256))])
def test_components_are_those_of_the_whole_array(height, width, grid):
    model, shown = deep(), photo(height, width)
    result = netviz.hypercolumn(shown, layers="0,2,4", model=model, clusters=3)
    rows, cols = (
        (np.arange(n) + 0.5) * side / n - 0.5 for n, side in zip(grid, (height, width), strict=True)
    )
    columns = brute(model, shown.pixels, rows, cols)
    flat = columns.reshape(len(columns), -1)
    assert flat.shape == (19, grid[0] * grid[1])
    u, s, _ = np.linalg.svd(flat, full_matrices=False)
    directions = u[:, :3].T
    directions *= np.sign(directions[np.arange(3), np.abs(directions).argmax(axis=1)])[:, None]
    expected = (directions @ flat).reshape(3, *grid)
    assert result.components.dtype == np.float32
    np.testing.assert_allclose(result.components, expected, atol=2e-5)
    np.testing.assert_allclose(result.explained, (s**2)[:3] / (s**2).sum(), atol=1e-6)
    assert result.explained.sum() < 1
    parts = [(directions[:, low:high] ** 2).sum(axis=1) for low, high in ((0, 4), (4, 10), (10, 19))]
    np.testing.assert_allclose([one["share"] for one in result.layers], parts, atol=1e-6)
    np.testing.assert_allclose(result.grid_step, (height / grid[0], width / grid[1]))
    assert result.clusters.shape == grid
    assert result.cluster_components == 16
    assert [one["field_size"] for one in result.layers] == [[3, 3], [5, 5], [7, 7]]


def test_a_wide_layer_and_large_values_do_not_dominate():
    random = np.random.default_rng(0)
    one = np.eye(8)
    maps = random.normal(size=(2, 8, 8))
    few = standardised(maps, one, one)
    many = standardised(np.concatenate([1000 * random.normal(size=(50, 8, 8))]), one, one)
    for depth in (few, many):
        assert (depth.maps**2).mean(axis=(1, 2)).sum() == pytest.approx(1)
        np.testing.assert_allclose(depth.maps.mean(axis=(1, 2)), 0, atol=1e-12)
    assert np.trace(covariance([few, many])) == pytest.approx(2)
    constant = standardised(np.full((3, 8, 8), 0.1), one, one)
    assert not constant.maps.any()
    assert np.array_equal(covariance([few, constant])[2:], np.zeros((3, 5)))


def test_fewer_directions_than_three():
    one = np.eye(6)
    ramp = np.add.outer(np.arange(6.0), np.zeros(6))
    depth = standardised(np.stack([ramp, -2 * ramp]), one, one)
    shares, directions = principal([depth], 5)
    np.testing.assert_allclose(shares, [1.0])
    # The larger weight is positive: the second unit's.
    np.testing.assert_allclose(directions, [[-1 / np.sqrt(5), 2 / np.sqrt(5)]])
    assert project([depth], directions).shape == (1, 6, 6)


def test_same_bytes_and_another_seed(tmp_path):
    model, shown = deep(), photo()
    first, again, other = (
        netviz.hypercolumn(shown, layers=["0", "4"], model=model, clusters=5, seed=seed) for seed in (0, 0, 1)
    )
    paths = [result.save(tmp_path / f"{n}.npz") for n, result in enumerate((first, again))]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    np.testing.assert_array_equal(first.components, other.components)
    loaded = netviz.load_result(paths[0])
    np.testing.assert_array_equal(loaded.clusters, first.clusters)
    assert loaded.summary()["arrays"] == {
        "components": [3, 32, 40],
        "explained": [3],
        "clusters": [32, 40],
        "image": [32, 40, 3],
    }


def test_clusters_by_hand():
    random = np.random.default_rng(1)
    sizes = (50, 30, 20)
    places = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.concatenate([random.normal(places[n], 0.1, (size, 2)) for n, size in enumerate(sizes)])
    labels, shares = k_means(points, 3, seed=5)
    assert labels.tolist() == np.repeat([0, 1, 2], sizes).tolist()
    assert shares == [0.5, 0.3, 0.2]
    # Where nothing moves any more, every point is with the mean that is nearest to it.
    points = random.normal(size=(500, 4))
    labels, _ = k_means(points, 6, seed=0)
    means = np.array([points[labels == number].mean(axis=0) for number in range(6)])
    away = np.linalg.norm(points[:, None] - means, axis=2)
    np.testing.assert_array_equal(labels, away.argmin(axis=1))
    labels, shares = k_means(np.repeat(places, 4, axis=0), 7, seed=0)
    assert len(shares) == 3
    assert len(set(labels.tolist())) == 3


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"layers": "0", "clusters": 1}, ValueError, "2 to 24"),
        ({"layers": " , "}, ValueError, "at least one layer"),
        ({"layers": "0,nothing"}, LayerError, "nothing"),
        ({"layers": "0,7"}, LayerError, "no maps"),
        ({"layers": "5"}, LayerError, "whole image"),
    ],
)
def test_mistakes(options, error, said):
    with pytest.raises(error, match=said) as caught:
        netviz.hypercolumn(photo(), model=deep(), **options)
    assert "\n" not in str(caught.value)


def test_nothing_varies():
    model = deep()
    with torch.no_grad():
        model.network[0].weight.zero_()
    with pytest.raises(LayerError, match="constant"):
        netviz.hypercolumn(photo(), layers="0", model=model)
