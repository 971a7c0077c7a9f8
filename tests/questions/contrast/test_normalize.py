import math
import operator

import numpy as np
import pytest
import torch
from scipy import ndimage

import netviz
from netviz.questions.contrast.normalize import local_response, local_statistics, normalize


def gaussian(window, sigma=None):
    sigma = 1.591 * window / 9 if sigma is None else sigma
    at = np.arange(window) - window // 2
    weights = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def scipy_mean(stack, weights):
    """Mean over the maps of a stack and a window that is renormalised at the border."""
    inside = ndimage.correlate(np.ones(stack.shape[1:]), weights, mode="constant")
    return np.mean([ndimage.correlate(one, weights, mode="constant") / inside for one in stack], axis=0)


def expected_lcn(maps, window=7, sigma=None, across="maps"):
    """Jarrett's formula in float64; also its mean, its deviation and the floor of every stack."""
    weights = gaussian(window, sigma)
    stacks = [image[None] if across == "maps" else image[:, None] for image in maps.astype(np.float64)]
    done, means, stds, floors = [], [], [], []
    for stack in (one for image in stacks for one in image):
        mean = scipy_mean(stack, weights)
        std = np.sqrt(scipy_mean((stack - mean) ** 2, weights))
        done.append((stack - mean) / np.maximum(std.mean(), std))
        means.append(mean)
        stds.append(std)
        floors.append(std.mean())
    count = len(maps)
    return (
        np.reshape(done, maps.shape),
        *(np.reshape(one, (count, -1, *maps.shape[2:])) for one in (means, stds)),
        np.reshape(floors, (count, -1, 1, 1)),
    )


def random(*shape, seed=0, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


@pytest.mark.parametrize("across", ["maps", "each"])
@pytest.mark.parametrize(
    ("shape", "window", "sigma"),
    [
        ((2, 3, 12, 17), 7, None),
        ((1, 1, 8, 8), 7, None),
        ((1, 512, 14, 14), 7, None),
        ((3, 5, 7, 20), 7, 0.8),
        ((1, 4, 11, 10), 3, 5.0),
        ((1, 70, 42, 44), 9, None),
        ((1, 2, 3, 5), 3, None),
    ],
)
def test_equals_scipy_in_double_precision(shape, window, sigma, across):
    maps = random(*shape) * 3 + 1
    found = normalize(maps, window=window, sigma=sigma, across=across)
    want, mean, std, floor = expected_lcn(maps.numpy(), window, sigma, across)
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - want).max() < 1e-5
    local = local_statistics(maps, window=window, sigma=sigma, across=across)
    for one, other in zip(local, (mean, std, floor), strict=True):
        assert tuple(one.shape) == other.shape
        assert np.allclose(one.numpy(), other, atol=1e-5)


def test_the_formula_by_loops():
    maps = random(1, 2, 5, 6, seed=3).double()
    x, weights = maps[0].numpy(), gaussian(3)
    places = [(row, col) for row in range(5) for col in range(6)]

    def mean(values):
        found = np.zeros((5, 6))
        for row, col in places:
            near = [
                (weights[q - row + 1, p - col + 1], k, q, p)
                for q, p in places
                if abs(q - row) < 2 and abs(p - col) < 2
                for k in range(2)
            ]
            total = sum(weight for weight, *_ in near)
            found[row, col] = sum(weight * values[k, q, p] for weight, k, q, p in near) / total
        return found

    v = x - mean(x)
    s = np.sqrt(mean(v**2))
    assert np.allclose(normalize(maps, window=3)[0].numpy(), v / np.maximum(s.mean(), s), atol=1e-12)


def test_what_is_claimed_holds():
    maps = random(2, 6, 20, 23, seed=1).double() * torch.linspace(0.1, 4, 23, dtype=torch.float64)
    local = local_statistics(maps)
    weights = gaussian(7)
    done = normalize(maps)
    for image, mean, std, floor, after in zip(maps, *local, done, strict=True):
        x, m, s = image.numpy(), mean[0].numpy(), std[0].numpy()
        for row, col in ((3, 3), (10, 11), (0, 0), (19, 4)):
            top, left = max(0, row - 3), max(0, col - 3)
            part = np.s_[top : row + 4, left : col + 4]
            near = x[:, part[0], part[1]]
            here = weights[top - row + 3 :, left - col + 3 :][: near.shape[1], : near.shape[2]]
            here = here / here.sum() / len(x)
            assert abs(np.sum(here * (near - m[row, col]))) < 1e-12
            v = near - m[part]
            assert math.sqrt(np.sum(here * v**2)) == pytest.approx(s[row, col])
        # Where the deviation is above the floor, it is what was divided by; elsewhere the floor was.
        divisor = (x - m) / after.numpy()
        assert np.allclose(divisor, np.maximum(s, float(floor)), rtol=1e-9)
        assert float(floor) == pytest.approx(s.mean())
        assert (s < float(floor)).any()
        assert (s > float(floor)).any()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6, 1e-30, -7.3, 0.0])
@pytest.mark.parametrize("channels", [1, 3, 7, 512])
@pytest.mark.parametrize("across", ["maps", "each"])
def test_a_constant_gives_exactly_0(value, channels, across):
    for size in ((7, 7), (8, 10), (21, 14)):
        maps = torch.full((2, channels, *size), value)
        maps[1] *= 1.7
        if across == "each":
            maps = maps * torch.linspace(1, 3, channels)[:, None, None]
        for given in (maps, maps.clone().requires_grad_(), maps.double(), maps.bfloat16()):
            found = normalize(given, across=across).detach()
            assert (found == 0).all()


@pytest.mark.parametrize("across", ["maps", "each"])
@pytest.mark.parametrize("scale", [1e-25, 1e-3, 1e25])
def test_unit_and_offset_do_not_matter(scale, across):
    maps = random(1, 3, 9, 12, seed=5)
    want = normalize(maps, across=across)
    assert np.abs(normalize(maps * scale, across=across).numpy() - want.numpy()).max() < 1e-5
    shifted = maps + 1e5
    assert (
        np.abs(
            normalize(shifted, across=across).numpy() - expected_lcn(shifted.numpy(), across=across)[0]
        ).max()
        < 1e-5
    )


@pytest.mark.parametrize("across", ["maps", "each"])
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (1, 1, 7, 7), (1, 2, 3, 4)])
def test_gradients(shape, across):
    maps = random(*shape, seed=2, dtype=torch.float64).requires_grad_()
    window = min(7, shape[2])
    assert torch.autograd.gradcheck(lambda x: normalize(x, window=window, across=across), maps)


def test_gradients_agree_with_functorch_and_are_finite_where_nothing_differs():
    maps = random(2, 3, 8, 8)
    own = maps.clone().requires_grad_()
    (normalize(own) ** 3).sum().backward()
    found = torch.func.grad(lambda x: (normalize(x) ** 3).sum())(maps)
    assert torch.allclose(found, own.grad)
    flat = torch.ones(1, 2, 8, 8, requires_grad=True)
    normalize(flat).sum().backward()
    assert (flat.grad == 0).all()


@pytest.mark.parametrize("constants", ["paper", "pytorch"])
def test_gradients_of_local_response(constants):
    maps = (10 * random(1, 6, 3, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: normalize(x, method="lrn", constants=constants), maps)


def test_local_response_is_krizhevskys_formula():
    maps = 20 * random(2, 9, 3, 4, seed=4).double()
    a, n = maps.numpy(), 5
    want = np.zeros_like(a)
    for at in np.ndindex(*a.shape):
        image, i, y, x = at
        total = sum(a[image, j, y, x] ** 2 for j in range(max(0, i - n // 2), min(8, i + n // 2) + 1))
        want[at] = a[at] / (2 + 1e-4 * total) ** 0.75
    assert np.allclose(normalize(maps, method="lrn").numpy(), want, rtol=1e-12)
    theirs = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    assert torch.allclose(normalize(maps, method="lrn"), theirs(maps))
    assert torch.allclose(
        normalize(maps, method="lrn", constants="pytorch"), torch.nn.LocalResponseNorm(5)(maps)
    )
    # An even window has one map more before than after.
    even = local_response(maps, size=4, alpha=0.3, beta=1.0, k=1.0)[0, 4, 0, 0]
    assert even == pytest.approx(a[0, 4, 0, 0] / (1 + 0.3 * (a[0, 2:6, 0, 0] ** 2).sum()))


@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-12)]
)
def test_every_precision(dtype, within):
    maps = (300 * random(1, 4, 9, 9)).to(dtype)
    for arguments in ({}, {"across": "each"}, {"method": "lrn"}):
        found, want = normalize(maps, **arguments), normalize(maps.double(), **arguments)
        assert found.dtype == dtype
        assert ((found.double() - want).abs() <= within * want.abs().clamp_min(1)).all()


def test_input_stays_as_it_is_and_layout_does_not_matter():
    maps = random(3, 20, 41, 9)
    before = maps.clone()
    want = normalize(maps, across="each")
    assert torch.equal(maps, before)
    strided = maps.to(memory_format=torch.channels_last)
    assert torch.allclose(normalize(strided, across="each"), want, atol=1e-6)
    assert torch.allclose(normalize(strided), normalize(maps), atol=1e-6)
    assert torch.allclose(normalize(maps)[1:2], normalize(maps[1:2]), atol=1e-6)
    assert torch.allclose(want[:, 3:4], normalize(maps[:, 3:4]), atol=1e-6)
    assert normalize(maps.to("meta")).shape == maps.shape
    assert normalize(maps[:0]).shape == (0, 20, 41, 9)
    assert torch.func.vmap(normalize)(maps[:, None]).shape == (3, 1, 20, 41, 9)


def test_bad_values_stay_visible():
    maps = random(2, 3, 9, 9)
    maps[1, 1, 4, 4] = math.nan
    found = normalize(maps)
    assert torch.isfinite(found[0]).all()
    assert torch.isnan(found[1]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("across", ["maps", "each"])
def test_on_a_gpu(across):
    maps = random(2, 33, 40, 56) + 100
    found = normalize(maps.cuda(), across=across)
    assert found.is_cuda
    assert np.abs(found.cpu().numpy() - expected_lcn(maps.numpy(), across=across)[0]).max() < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "batch"}, "method must be one of lcn, lrn"),
        ({"window": 6}, "window must be odd and positive, not 6"),
        ({"window": -1}, "window must be odd"),
        ({"window": 9}, "window 9 is larger than the maps"),
        ({"sigma": 0.0}, "sigma must be positive, not 0.0"),
        ({"sigma": math.nan}, "sigma must be positive"),
        ({"across": "all"}, "across must be 'maps' or 'each'"),
        ({"method": "lrn", "constants": "mine"}, "constants must be 'paper' or 'pytorch'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        netviz.normalize(torch.zeros(1, 2, 8, 12), **arguments)


@pytest.mark.parametrize("change", [operator.methodcaller("int"), operator.itemgetter(0)])
def test_what_is_no_stack_of_maps(change):
    with pytest.raises(ValueError, match="floating point"):
        normalize(change(torch.zeros(1, 2, 8, 8)))
