"""Streams lie where Geometry says, at every input size."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import LayerError, MissingWeightsError, ModelError
from netviz.fcn.streams.network import FCN, choose_taps
from netviz.models import Preprocessing, load
from netviz.models.builders import build_torchvision
from netviz.models.known.skips.file import OwnFile, pack
from netviz.models.known.skips.network import (
    Refinement,
    SkipNetwork,
    Tap,
    linear_kernel,
    linear_matrix,
    to_pixels,
)
from netviz.questions.opening import layers
from support.kinds import KINDS
from support.network import state_of

SIZES = [(97, 131), (224, 224), (500, 500), (501, 333)]


def tower(kernel: int, pooled: bool = False) -> nn.Sequential:
    """Five layers of stride 2: positions at 0, 32, … (kernels of 1, 3), or half a cell in (pooling)."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    width = 3
    for _ in range(5):
        if pooled:
            parts += [nn.Conv2d(width, 6, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        else:
            parts += [nn.Conv2d(width, 6, kernel, stride=2, padding=kernel // 2), nn.ReLU(inplace=True)]
        width = 6
    return nn.Sequential(*parts)


def scored(backbone: nn.Module, learned: bool = False) -> SkipNetwork:
    network = FCN(backbone, 3, learned=learned)
    torch.manual_seed(1)
    for conv in network.score.values():
        nn.init.normal_(conv.weight)
        nn.init.normal_(conv.bias)
    return network.double()


def read_linearly(scores: np.ndarray, centers: tuple, stride: int, places: tuple) -> np.ndarray:
    """Interpolate (K, h, w) at rows and columns, with NumPy's own interpolation, which holds the border's value."""
    for axis in (0, 1):
        at = centers[axis] + stride * np.arange(scores.shape[1 + axis])
        scores = np.apply_along_axis(
            lambda line, x=at, p=places[axis]: np.interp(p, x, line), 1 + axis, scores
        )
    return scores


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("backbone", [tower(3), tower(1, pooled=True)], ids=["strided", "pooled"])
def test_streams_are_what_numpy_interpolates(backbone, learned, size):
    network = scored(backbone, learned)
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        found = network(x)
        maps = network.backbone(x)
        thinned = network(x, ["16s"], (1, 3))
    assert list(found) == ["8s", "16s", "32s"]
    torch.testing.assert_close(thinned, {"16s": found["16s"][..., 1::3, 1::3]})
    half = isinstance(backbone[2], nn.MaxPool2d)
    before = None
    for stride in (32, 16, 8):
        center = ((stride - 1) / 2,) * 2 if half else (0.0, 0.0)
        name = f"{stride}s"
        with torch.no_grad():
            scores = network.score[name](maps[name])[0].numpy()
        if before is not None:
            coarse, there = before
            places = [c + stride * np.arange(n) for c, n in zip(center, scores.shape[1:], strict=True)]
            scores = scores + read_linearly(coarse, there, 2 * stride, places)
        before = scores, center
        expected = read_linearly(scores, center, stride, (np.arange(size[0]), np.arange(size[1])))
        assert found[name].shape == (1, 3, *size)
        np.testing.assert_allclose(found[name][0].numpy(), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pooled", [False, True])
def test_a_shift_of_32_pixels_shifts_the_streams_by_32(size, pooled):
    network = scored(tower(1, pooled))
    height, width = size
    canvas = torch.randn(1, 3, height + 32, width + 32, dtype=torch.float64)
    with torch.no_grad():
        here = network(canvas[..., 32:, 32:])
        moved = network(canvas[..., :height, :width])
    for name, first in (("32s", 0), ("16s", 16), ("8s", 24)):
        # Where both have real positions on all sides; the rest holds the border's value.
        edges = []
        for length in size:
            last = (length // 32 - 1) * 32 + 15.5 if pooled else (length - 1) // 32 * 32
            edges.append((int(first + (16 if pooled else 0)), int(last - 32 - first)))
        (top, bottom), (left, right) = edges
        if bottom < top:
            assert pooled
            assert height < 100
            continue
        torch.testing.assert_close(
            moved[name][..., top + 32 : bottom + 33, left + 32 : right + 33],
            here[name][..., top : bottom + 1, left : right + 1],
        )


@pytest.mark.parametrize(
    "centers", [((0, 0), (0, 0)), ((15.5, 31), (7.5, 15)), ((37, 22), (21, 14)), ((5, 0), (40, 3))]
)
def test_a_ramp_stays_a_ramp(centers):
    coarse, fine = Tap("a", 32, centers[0], 1), Tap("b", 16, centers[1], 1)
    ramp = [torch.arange(n) * 32.0 + c for n, c in zip((6, 7), centers[0], strict=True)]
    scores = (3 * ramp[0][:, None] - 2 * ramp[1])[None, None]
    step = Refinement(coarse, fine, 1, learned=False)
    found = step(scores, (11, 13))[0, 0].numpy()
    inside = [np.arange(n) * 16.0 + c for n, c in zip((11, 13), centers[1], strict=True)]
    clipped = [np.clip(p, r[0], r[-1]) for p, r in zip(inside, [r.numpy() for r in ramp], strict=True)]
    np.testing.assert_allclose(found, 3 * clipped[0][:, None] - 2 * clipped[1], rtol=1e-6, atol=1e-3)

    pixels = to_pixels(scores, coarse, (181, 203))[0, 0].numpy()
    rows, cols = (
        np.clip(np.arange(n), r[0], r[-1]) for n, r in zip((181, 203), [r.numpy() for r in ramp], strict=True)
    )
    np.testing.assert_allclose(pixels, 3 * rows[:, None] - 2 * cols, rtol=1e-5, atol=1e-3)


def test_kernels_are_the_papers():
    kernel, first = linear_kernel(2, -0.25)
    assert kernel.tolist() == [0.25, 0.75, 0.75, 0.25]
    assert first == -1
    assert linear_kernel(2, 0)[0].tolist() == [0.5, 1, 0.5]
    assert linear_matrix(1, 5, 2.0, 32).tolist() == [[1]] * 5


@pytest.mark.parametrize(
    ("name", "centers", "kernel"),
    [
        ("mobilenet_v2", (0, 0, 0), 3),
        ("resnet18", (0, 0, 0), 3),
        ("vgg16", (15.5, 7.5, 3.5), 4),
        ("efficientnet_b0", (0, 0, 0), 3),
    ],
)
def test_taps_of_known_networks(name, centers, kernel):
    taps = choose_taps(load(build_torchvision(name, meta=True).eval()))
    assert [tap.stride for tap in taps] == [32, 16, 8]
    assert [tap.center for tap in taps] == [(c, c) for c in centers]
    assert all(Refinement(a, b, 1, False).kernel.shape[-1] == kernel for a, b in pairwise(taps))


def test_skips_start_at_zero_and_the_backbone_is_left_alone(awkward):
    before = state_of(awkward)
    backbone = tower(3)
    kept = state_of(backbone)
    network = FCN(backbone, 4)
    assert state_of(backbone) == kept
    assert not network.training
    with torch.no_grad():
        assert all(bool((one == 0).all()) for one in network(torch.randn(2, 3, 64, 80)).values())
    # A backbone that decides on values cannot be followed, and is told so, unchanged.
    with pytest.raises(LayerError, match=r"no layer of stride 32 or 16 or 8: its strides are 1, 2"):
        FCN(awkward, 4)
    assert state_of(awkward) == before


def test_strides_and_taps_are_checked():
    backbone = tower(3)
    assert FCN(backbone, 2, strides=(16, 4)).streams == ("16s", "4s")
    assert FCN(backbone, 2, taps=["8", "relu2"]).streams == ("32s", "4s")
    with pytest.raises(
        LayerError, match=r"no layer of stride 64: its strides are 2, 4, 8, 16, 32; choose among"
    ):
        FCN(backbone, 2, strides=(64, 32))
    for strides in ((8, 16), (32, 12), (), (0,)):
        with pytest.raises(ValueError, match="from coarse to fine"):
            FCN(backbone, 2, strides=strides)
    with pytest.raises(ValueError, match="classes must be at least 1"):
        FCN(backbone, 0)
    with pytest.raises(LayerError, match="no layer 'pool9'"):
        FCN(backbone, 2, taps=["pool9"])


def test_a_tap_is_not_written_over():
    # The tapped convolution is followed by a ReLU in place.
    backbone = tower(3)
    network = FCN(backbone, 2, taps=["8", "4"])
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert float(network.backbone(x)["8s"].min()) < 0
    assert backbone[5].inplace


@pytest.mark.parametrize("kind", ["lock", "file", "slots", "tensor kept as attribute", "sparse buffer"])
def test_streams_stand_on_networks_that_are_hard_to_copy(kind):
    torch.manual_seed(0)
    network = KINDS[kind]().eval()
    x = torch.randn(1, 3, 20, 24)
    seen = []
    hook = network.relu.register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        network(x)
        hook.remove()
        torch.testing.assert_close(FCN(network, 2, strides=2).backbone(x)["2s"], seen[-1])


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = tower(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) if float(x.sum()) < 1e9 else x


def test_a_network_that_decides_on_values_is_told_of():
    with pytest.raises(LayerError, match=r"no layer whose stride is known \(.*a value read by Python"):
        FCN(Deciding(), 2)
    with pytest.raises(ModelError, match=r"cannot be followed by torch.fx"):
        SkipNetwork(Deciding(), [Tap("body.9", 32, (0, 0), 6)], 2)


def test_other_questions_take_it_like_any_network():
    network = FCN(tower(3), 4)
    names = [layer.name for layer in layers(network)]
    assert {"score.32s", "score.16s", "score.8s"} <= set(names)
    result = netviz.maps("skimage:chelsea", model=network, layer="score.8s", size=(97, 131))
    assert result.maps.shape[-2:] == (13, 17)


def test_a_file_is_opened_again(tmp_path: Path):
    backbone = build_torchvision("squeezenet1_1", seed=0)
    taps = choose_taps(load(backbone), (16, 8, 4))
    network = SkipNetwork(backbone, taps, 5, learned=True).eval()
    torch.manual_seed(0)
    for value in network.score.parameters():
        nn.init.normal_(value)
    preprocessing = Preprocessing(resize=None, crop=None, mean=(0.5,) * 3, std=(0.25,) * 3)
    labels = ("a", "b", "c", "d", "e")
    x = torch.randn(1, 3, 65, 90)
    for half, tolerance in ((False, 0.0), (True, 0.02)):
        path = tmp_path / f"{half}.safetensors"
        data = pack(network, backbone="squeezenet1_1", preprocessing=preprocessing, labels=labels, half=half)
        path.write_bytes(data)
        model = load(path)
        assert (model.labels, model.preprocessing) == (labels, preprocessing)
        with torch.no_grad():
            for name, expected in network(x).items():
                found = model.runnable()(x)[name]
                torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.std()))
    assert len(data) < 0.6 * (tmp_path / "False.safetensors").stat().st_size

    path.write_bytes(pack(network, backbone="", preprocessing=preprocessing, labels=labels))
    with pytest.raises(ModelError, match="its backbone was given in Python"):
        load(path)
    path.write_bytes(pack(network, backbone="os:system", preprocessing=preprocessing, labels=labels))
    with pytest.raises(ModelError, match="no network of torchvision's or timm's"):
        load(path)
    path.write_bytes(data.replace(b"stride", b"strude"))
    with pytest.raises(ModelError, match="does not say how its network is built"):
        load(path)


def test_netviz_s_own_network_is_known_by_name(tmp_path, monkeypatch):
    backbone = load("squeezenet1_1", weights="none").runnable()
    network = SkipNetwork(backbone, choose_taps(load(backbone), (16, 8, 4)), 11).eval()
    nn.init.ones_(network.score["4s"].bias)
    path = tmp_path / "own.safetensors"
    labels = ("sky", "building", *("x",) * 9)
    model = {"backbone": "squeezenet1_1", "preprocessing": Preprocessing(), "labels": labels}
    path.write_bytes(pack(network, half=True, **model))
    with pytest.raises(MissingWeightsError, match=r"has no nothing\.safetensors; install netviz again"):
        OwnFile("nothing.safetensors").locate()
    monkeypatch.setattr(OwnFile, "locate", lambda self: path)
    opened = load("fcn_camvid")
    assert opened.labels[:2] == ("sky", "building")
    assert float(opened.runnable()(torch.zeros(1, 3, 33, 40))["4s"].detach().min()) == 1
    assert load("fcn_camvid", weights="none").runnable().score["4s"].bias.max() == 0


def test_netviz_s_own_weights_are_what_is_known_of_them():
    path = OwnFile("fcn_camvid.safetensors").locate()
    opened = load("fcn_camvid")
    assert opened.preprocessing == Preprocessing(resize=540, crop=None)
    assert opened.labels == (
        *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence"),
        *("car", "pedestrian", "bicyclist"),
    )
    assert path.stat().st_size <= 8_000_000
    assert list(opened.runnable()(torch.zeros(1, 3, 97, 131))) == ["8s", "16s", "32s"]
