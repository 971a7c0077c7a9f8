import numpy as np
import pytest
import torch
from PIL import Image

from netviz.images import PHOTOGRAPHS, read_image
from netviz.questions.optimize import basis, views

SIZE = (10, 13)


def logistic(values):
    return 1 / (1 + np.exp(-values))


def test_the_colour_basis_is_the_published_one():
    matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    longest = max(np.sqrt((matrix[:, column] ** 2).sum()) for column in range(3))
    assert np.allclose(basis.colour_basis(), matrix / longest, atol=1e-15)


def test_a_picture_is_the_inverse_transform_of_its_spectrum():
    made = basis.fourier(SIZE, 3, [[0, 7]])
    numbers = np.random.default_rng(1).normal(size=(1, 3, 10, 7, 2))
    found = made.render(torch.from_numpy(numbers).float()).numpy()[0]
    plain = np.empty((3, *SIZE))
    for channel in range(3):
        spectrum = np.empty((10, 7), dtype=complex)
        for row in range(10):
            for column in range(7):
                rows = (row if row <= 5 else row - 10) / 10
                frequency = np.hypot(rows, column / 13)
                number = complex(*numbers[0, channel, row, column])
                spectrum[row, column] = number / max(frequency, 1 / 13)
        plain[channel] = np.fft.irfft2(spectrum, SIZE) * np.sqrt(130) / 4
    matrix = basis.colour_basis()
    expected = logistic(np.stack([sum(matrix[c, k] * plain[k] for k in range(3)) for c in range(3)]))
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", list(basis.BASES))
def test_gradients_of_every_basis(name, channels):
    made = basis.BASES[name]((4, 5), channels, [[0], [1]])
    leaves = made.leaves.double().requires_grad_(True)
    assert made.pictures().shape == (2, channels, 4, 5)
    assert torch.autograd.gradcheck(made.render, (leaves,), eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", list(basis.BASES))
def test_a_beginning_does_not_depend_on_what_stands_beside_it(name):
    alone = basis.BASES[name](SIZE, 3, [[0, 5, 0]]).pictures()
    beside = basis.BASES[name](SIZE, 3, [[0, 4, 0], [0, 5, 0], [1, 5, 0]]).pictures()
    assert torch.equal(alone[0], beside[1])
    assert not torch.equal(beside[1], beside[2])


def test_a_given_picture_is_where_it_begins():
    start = torch.rand(2, 3, 8, 6).clamp(0.01, 0.99)
    assert torch.allclose(basis.onward(start).pictures(), start, atol=1e-6)


def test_magnitudes_are_those_of_photographs():
    found = basis.photographs_magnitude(SIZE, 1)[0]
    sums = np.zeros((10, 7))
    for name in PHOTOGRAPHS:
        small = Image.fromarray(read_image(f"skimage:{name}").pixels).resize(
            (13, 10), Image.Resampling.BILINEAR
        )
        grey = np.asarray(small, dtype=float).mean(axis=2) / 255
        sums += np.abs(np.fft.rfft2(grey - grey.mean()))
    assert np.allclose(found, sums / len(PHOTOGRAPHS), atol=1e-9)
    made = basis.phases(SIZE, 1, [[0]]).pictures().numpy()[0, 0]
    inner = np.abs(np.fft.rfft2(np.log(made / (1 - made)) / 4))[1:5, 1:6]
    assert np.allclose(inner, found[1:5, 1:6], rtol=1e-3)


def test_views_are_the_picture_moved_scaled_and_turned():
    """A view's pixel is the picture where the step's own map sends it, read linearly; grey beyond."""
    picture = torch.rand(2, 1, 20, 30)
    seen = views.whole(picture, 3, 11)
    random = np.random.default_rng([3, 11])
    first, last = random.integers(-4, 5, 2), random.integers(-2, 3, 2)
    scale = random.choice([1 + (step - 5) / 50 for step in range(11)])
    angle = np.radians(random.choice(range(-10, 11)))
    for row, column in ((3, 4), (10, 15), (19, 0), (0, 29)):
        x, y = column + 0.5 - 15 + last[0], row + 0.5 - 10 + last[1]
        x, y = (
            (np.cos(angle) * x - np.sin(angle) * y) / scale + 15 + first[0] - 0.5,
            (np.sin(angle) * x + np.cos(angle) * y) / scale + 10 + first[1] - 0.5,
        )
        expected = np.zeros(2)
        for dy in (0, 1):
            for dx in (0, 1):
                at, to = int(np.floor(y)) + dy, int(np.floor(x)) + dx
                share = (1 - abs(y - at)) * (1 - abs(x - to))
                inside = 0 <= at < 20 and 0 <= to < 30
                expected += share * (picture[:, 0, at, to].numpy() if inside else 0.5)
        assert np.allclose(seen[:, 0, row, column].numpy(), expected, atol=1e-4)


def test_parts_are_parts():
    picture = torch.linspace(0, 1, 32).expand(2, 3, 32, 32)
    seen = views.parts(picture, 0, 0)
    assert seen.shape == (16, 3, 32, 32)
    assert torch.equal(seen[:8], seen[8:])
    assert 0 <= seen.min() <= seen.max() <= 1
