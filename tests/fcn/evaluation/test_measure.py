import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from netviz.errors import ImageError
from netviz.fcn.evaluation.measure import evaluate
from support.network import state_of


class Counting(nn.Module):
    """Two classes at every pixel; counts its passes in a buffer, also in evaluation, and fails at a given one."""

    def __init__(self, fails_at=0):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.fails_at = fails_at
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))

    def forward(self, image):
        self.passes += 1
        if self.passes == self.fails_at:
            raise RuntimeError("no more")
        # Its normalization goes on measuring, whatever the mode of the whole.
        return self.norm.train()(self.conv(image))


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(
            tmp_path / "images" / f"{name}.png"
        )
        Image.fromarray(random.integers(0, 2, (24, 32), dtype=np.uint8)).save(
            tmp_path / "labels" / f"{name}.png"
        )
    return tmp_path


@pytest.mark.parametrize("fails_at", [0, 2])
def test_the_network_is_left_as_it_was(data, fails_at):
    torch.manual_seed(0)
    network = Counting(fails_at).train()
    network.conv.eval()
    before = state_of(network)
    if fails_at:
        with pytest.raises(ImageError, match="no more"):
            evaluate(data, network, device="cpu", workers=0)
    else:
        assert evaluate(data, network, device="cpu", workers=0).images == 2
    assert state_of(network) == before


class Streams(nn.Module):
    """Calls what is bright in red class 1, in one of its streams; the other calls nothing so."""

    def __init__(self, kind=dict, channels=2):
        super().__init__()
        self.kind, self.channels = kind, channels

    def forward(self, image):
        bright = image[:, :1]
        fine = torch.cat([-bright, bright], dim=1)
        coarse = torch.zeros_like(bright).repeat(1, self.channels, 1, 1)
        return {"8s": fine, "32s": coarse} if self.kind is dict else [coarse, fine]


@pytest.mark.parametrize(("kind", "names"), [(dict, ("32s", "8s")), (list, ("out0", "out1"))])
def test_streams_in_a_dictionary_or_a_list_are_measured_each(data, kind, names):
    found = evaluate(data, Streams(kind), device="cpu", workers=0)
    assert found.streams == names
    pairs = [
        [np.asarray(Image.open(data / folder / f"{name}.png")) for folder in ("images", "labels")]
        for name in ("a", "b")
    ]
    image, label = (np.concatenate(one) for one in zip(*pairs, strict=True))
    # A network that nothing is known of sees images with ImageNet's mean subtracted.
    called = image[..., 0] / 255 > 0.485
    for name, said in zip(names, (np.zeros_like(label), called), strict=True):
        assert found.metrics[name]["pixel_accuracy"] == pytest.approx((said == label).mean())


def test_what_is_not_shaped_as_the_scores_is_no_stream(data):
    assert evaluate(data, Streams(channels=3), device="cpu", workers=0).streams == ("8s",)


class Blocks(nn.Module):
    """Calls blocks of 16 × 16 pixels whose mean is bright in red class 1; takes only sides that these fill."""

    def forward(self, image):
        bright = functional.interpolate(functional.avg_pool2d(image[:, :1], 16), scale_factor=16.0)
        return torch.cat([0 * image[:, :1], bright], dim=1)


def test_images_are_continued_to_the_multiples_that_a_network_takes(data):
    found = evaluate(data, Blocks(), device="cpu", workers=0)
    right = []
    for name in ("a", "b"):
        image, label = (
            np.asarray(Image.open(data / place / f"{name}.png")) for place in ("images", "labels")
        )
        tall = np.pad(image[..., 0] / 255, ((0, 8), (0, 0)), mode="reflect")
        means = tall.reshape(2, 16, 2, 16).mean(axis=(1, 3))
        called = np.kron(means > 0.485, np.ones((16, 16), dtype=bool))[:24]
        right.append(called == label)
    assert found.metrics[found.streams[0]]["pixel_accuracy"] == pytest.approx(np.mean(right))
    assert found.padded == 16
    assert found.table().endswith("images are continued (reflected) to multiples of 16 pixels")
