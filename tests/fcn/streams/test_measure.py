from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ImageError, MissingWeightsError, ModelError
from netviz.fcn.streams.measure import show
from netviz.images import Photo, prepare, read_image
from netviz.models.known import networks as known
from netviz.models.known.skips.network import SkipNetwork, Tap
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing

PLAIN = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)


class Streams(nn.Module):
    """Gives three streams whose classes are known: which third of the brightness, blurred over blocks."""

    def __init__(self, output: str = "dict", classes: int = 3) -> None:
        super().__init__()
        self.output, self.classes = output, classes
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> Any:
        found = {}
        for name, block in (("8s", 2), ("32s", 8), ("16s", 4)):
            mean = nn.functional.avg_pool2d(x[:, :1], block, block, ceil_mode=True)
            mean = mean.repeat_interleave(block, 2).repeat_interleave(block, 3)
            mean = mean[..., : x.shape[2], : x.shape[3]]
            middles = torch.linspace(0.1, 0.9, self.classes).view(1, -1, 1, 1)
            found[name] = -10 * (mean - middles).abs()
        if self.output == "tensor":
            return found["8s"]
        if self.output == "small":
            return {"out": found["8s"][..., ::2, ::2]}
        if self.output == "nan":
            return {"out": found["8s"] / 0}
        return {"out": found["8s"], "aux": found["32s"]} if self.output == "torchvision" else found


def model(
    output: str = "dict", classes: int = 3, labels: tuple[str, ...] = ("dark", "middle", "light")
) -> Model:
    network = Streams(output, classes)
    return Model("stub", network, {}, PLAIN, labels, "made here")


@pytest.fixture
def photo() -> Photo:
    values = np.random.default_rng(2).integers(0, 256, (22, 30), dtype=np.uint8)
    return Photo("photo", np.repeat(values[..., None], 3, axis=2))


def write(path, values: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return str(path)


def expected(photo: Photo, block: int) -> np.ndarray:
    """Return the class of every pixel, from means over blocks."""
    gray = photo.pixels[..., 0] / 255
    classes = np.zeros(gray.shape, dtype=int)
    for top in range(0, gray.shape[0], block):
        for left in range(0, gray.shape[1], block):
            part = np.s_[top : top + block, left : left + block]
            classes[part] = np.argmin(np.abs(gray[part].mean() - np.array([0.1, 0.5, 0.9])))
    return classes


def test_streams_on_the_images_own_pixels(photo, tmp_path):
    result = show(photo, model=model())
    assert result.names == ("32s", "16s", "8s")
    assert result.form == "classes"
    assert result.classes == ("dark", "middle", "light")
    found = {}
    for name, block in (("32s", 8), ("16s", 4), ("8s", 2)):
        assert result.streams[name].shape == (3, 22, 30)
        assert result.streams[name].dtype == np.float32
        found[name] = expected(photo, block)
        np.testing.assert_array_equal(result.predicted(name), found[name])
    assert result.changed["16s"] == {"from": "32s", "share": np.mean(found["32s"] != found["16s"])}
    assert result.changed["8s"] == {"from": "16s", "share": np.mean(found["16s"] != found["8s"])}
    scores = result.streams["8s"].astype(np.float64)
    softmax = np.exp(scores) / np.exp(scores).sum(axis=0)
    np.testing.assert_allclose(result.confidence("8s"), softmax.max(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(result.image, photo.pixels)
    with np.load(result.save(tmp_path / "r.npz")) as file:
        assert {"32s", "16s", "8s", "image"} < set(file.files)
        assert "truth" not in file.files
    loaded = netviz.load_result(tmp_path / "r.npz")
    assert loaded.truth is None
    np.testing.assert_array_equal(loaded.streams["16s"], result.streams["16s"])


def test_scores_against_the_truth(photo, tmp_path):
    random = np.random.default_rng(3)
    mask = random.choice([0, 1, 2, 255], size=(22, 30), p=[0.4, 0.3, 0.2, 0.1])
    result = show(photo, model=model(), truth=write(tmp_path / "mask.png", mask))
    np.testing.assert_array_equal(result.truth, np.where(mask == 255, -1, mask))
    assert result.void_share == pytest.approx(np.mean(mask == 255))
    for name, block in (("32s", 8), ("16s", 4), ("8s", 2)):
        said, counted = expected(photo, block), mask != 255
        hits = (said == mask) & counted
        shares = [
            np.sum(hits & (mask == c)) / np.sum(counted & ((mask == c) | (said == c))) for c in range(3)
        ]
        assert result.scores[name]["pixel_accuracy"] == pytest.approx(hits.sum() / counted.sum())
        assert result.scores[name]["mean_iu"] == pytest.approx(np.mean(shares))
    loaded = netviz.load_result(result.save(tmp_path / "r.npz"))
    np.testing.assert_array_equal(loaded.truth, result.truth)
    assert loaded.scores == result.scores
    nothing = show(photo, model=model(), truth=write(tmp_path / "void.png", np.full((22, 30), 255)))
    assert nothing.void_share == 1
    assert nothing.scores["8s"]["mean_iu"] is None


def test_classes_txt_gives_the_numbers_a_meaning(photo, tmp_path):
    (tmp_path / "classes.txt").write_text("Light\nvoid\ndark\nmiddle\n")
    mask = np.tile([0, 1, 2, 3, 2], 22 * 6).reshape(22, 30)
    result = show(photo, model=model(), truth=write(tmp_path / "labels" / "photo.png", mask))
    np.testing.assert_array_equal(result.truth, np.array([2, -1, 0, 1])[mask])
    (tmp_path / "classes.txt").write_text("light\nvoid\ndark\nspoon\n")
    with pytest.raises(ImageError, match=r"3 \(spoon\)"):
        show(photo, model=model(), truth=tmp_path / "labels" / "photo.png")
    result = show(photo, model=model(), truth=tmp_path / "labels" / "photo.png", void=(3,))
    np.testing.assert_array_equal(result.truth, np.array([2, -1, 0, -1])[mask])


def test_short_side_resizes_image_and_mask(photo, tmp_path):
    mask = np.repeat(np.repeat(np.arange(11 * 15).reshape(11, 15) % 3, 2, axis=0), 2, axis=1)
    result = show(photo, model=model(), truth=write(tmp_path / "m.png", mask), short_side=11)
    assert result.image.shape == (11, 15, 3)
    assert result.original == (22, 30)
    np.testing.assert_array_equal(result.truth, mask[::2, ::2])


def test_other_dense_networks(photo):
    result = show(photo, model=model("torchvision", classes=5))
    assert result.names == ("aux", "out")
    assert result.classes == tuple(f"class {n}" for n in range(5))
    assert show(photo, model=model("tensor")).names == ("out",)
    one = show(photo, model=model("tensor", classes=1, labels=()))
    assert one.form == "values"


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((30, 22)), "30×22"),
        (np.full((22, 30), 7), "no class of stub"),
        (np.zeros((22, 30, 3)), "picture in colour"),
    ],
)
def test_bad_masks(photo, tmp_path, mask, said):
    with pytest.raises(ImageError, match=said) as caught:
        show(photo, model=model(), truth=write(tmp_path / "m.png", mask))
    assert "\n" not in str(caught.value)


def test_other_mistakes(photo, tmp_path):
    with pytest.raises(ImageError, match="no such label file"):
        show(photo, model=model(), truth=tmp_path / "none.png")
    with pytest.raises(ValueError, match="at least 1"):
        show(photo, model=model(), short_side=0)
    with pytest.raises(ModelError, match="no stream at its input's size"):
        show(photo, model=model("small"))
    with pytest.raises(ModelError, match="NaN"):
        show(photo, model=model("nan"))
    with pytest.raises(ModelError, match="no classes to compare"):
        show(photo, model=model("tensor", classes=1, labels=()), truth=tmp_path / "none.png")
    with pytest.raises(ImageError, match="--short-side"):
        show(Photo("huge", np.zeros((2001, 2000, 3), dtype=np.uint8)), model=model())


def skips() -> tuple[SkipNetwork, nn.Sequential]:
    torch.manual_seed(1)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1))
    network = SkipNetwork(backbone, [Tap("1", 4, (0.0, 0.0), 5), Tap("0", 2, (0.0, 0.0), 4)], 3)
    for conv in network.score.values():
        nn.init.normal_(conv.weight)
    return network.eval(), backbone


def test_skip_network_tells_what_each_layer_adds(photo):
    network, backbone = skips()
    result = show(photo, model=Model("skips", network, {}, PLAIN, (), ""))
    assert result.names == ("4s", "2s")
    x = torch.from_numpy(photo.pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        for name, stream in network(x).items():
            np.testing.assert_allclose(result.streams[name], stream[0].numpy(), atol=1e-6)
        first = backbone[0](x)
        own = {"4s": network.score["4s"](backbone[1](first)), "2s": network.score["2s"](first)}
    for name, scores in own.items():
        np.testing.assert_allclose(result.streams[f"added_{name}"], scores[0].numpy(), atol=1e-5)
    assert result.taps["2s"] == {"layer": "0", "stride": 2, "center": [0.0, 0.0]}
    # Position i lies at pixel 4 i: pixels 0 to 2 are its, pixel 2 by rounding to even, then 3 to 5 the next one's.
    classes = own["4s"][0].argmax(dim=0).numpy()
    nearest = [
        np.rint(np.arange(n) / 4).astype(int).clip(0, m - 1) for n, m in zip((22, 30), (6, 8), strict=True)
    ]
    np.testing.assert_array_equal(result.added("4s"), classes[np.ix_(*nearest)])


def weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return HED's kernels (3, 3, I, O) and biases from Keras' own file."""
    try:
        path = known.KNOWN["hed"].file.locate()
    except MissingWeightsError as missing:
        pytest.skip(str(missing))
    found = {}
    with h5py.File(path) as file:

        def take(name: str, place: str) -> None:
            found[name] = tuple(file[f"{place}/{n}"][()].astype(np.float64) for n in "01")

        for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
            for step in range(count):
                suffix = f"_{step}" if step else ""
                take(f"{stage}.{step}", f"block{stage}/layers/conv2d{suffix}/vars")
            take(f"side{stage}", f"dsn{stage}/vars")
        take("fuse", "fuse/vars")
    return found


def convolved(maps: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Cross-correlate maps (H, W, I), padded by zeros to keep their size."""
    reach = kernel.shape[0] // 2
    padded = np.pad(maps, ((reach, reach), (reach, reach), (0, 0)))
    height, width = maps.shape[:2]
    total = np.zeros((height, width, kernel.shape[3])) + bias
    for row in range(kernel.shape[0]):
        for col in range(kernel.shape[1]):
            total += padded[row : row + height, col : col + width] @ kernel[row, col]
    return total


def pooled(maps: np.ndarray) -> np.ndarray:
    """Take the largest of 2×2 positions; of an odd side the last is alone."""
    height, width = (side + side % 2 for side in maps.shape[:2])
    even = np.full((height, width, maps.shape[2]), -np.inf)
    even[: maps.shape[0], : maps.shape[1]] = maps
    return even.reshape(height // 2, 2, width // 2, 2, -1).max(axis=(1, 3))


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate (h, w) linearly between the middles of its positions, the whole stretched over `size`."""
    at = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, values.shape, strict=True)]
    down = np.array([np.interp(at[0], np.arange(len(values)), one) for one in values.T]).T
    return np.array([np.interp(at[1], np.arange(values.shape[1]), one) for one in down])


def test_hed_equals_an_independent_evaluation():
    stored = weights()
    crop = read_image("skimage:coffee").pixels[60:97, 200:245]
    maps = crop[..., ::-1].astype(np.float64) - np.array([104.00699, 116.66877, 122.67892])
    sides = []
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        if stage > 1:
            maps = pooled(maps)
        for step in range(count):
            maps = np.maximum(convolved(maps, *stored[f"{stage}.{step}"]), 0)
        sides.append(enlarged(convolved(maps, *stored[f"side{stage}"])[..., 0], crop.shape[:2]))
    fused = convolved(np.stack(sides, axis=-1), *stored["fuse"])[..., 0]
    result = show(Photo("coffee", crop), model="hed")
    assert result.form == "edges"
    assert result.names == ("side5", "side4", "side3", "side2", "side1", "fused")
    for name, own in zip(
        ["side1", "side2", "side3", "side4", "side5", "fused"], [*sides, fused], strict=True
    ):
        assert result.streams[name].shape == (1, 37, 45)
        scale = np.abs(own).max()
        assert scale > 1
        np.testing.assert_allclose(result.streams[name][0], own, atol=1e-4 * scale)
    np.testing.assert_allclose(result.probability("fused"), 1 / (1 + np.exp(-fused)), atol=1e-4)


def test_a_network_trained_at_its_own_size_is_read_at_the_images_pixels(photo):
    network, _ = skips()
    rows, cols = photo.pixels.shape[:2]
    preprocessing = replace(PLAIN, resize=2 * min(rows, cols), crop=None)
    found = show(photo, model=Model("skips", network, {}, preprocessing, (), ""))
    image = prepare(photo.pixels, preprocessing).tensor
    with torch.no_grad():
        fused = network.coarse(image)
    np.testing.assert_array_equal(found.image, photo.pixels)
    for tap in network.taps:
        scores = fused[tap.stream][0].numpy().astype(np.float64)
        # The middle of a pixel of the image lies between two pixels of the input, which has twice as many.
        values = scores
        for axis, count in enumerate((rows, cols)):
            places = (2 * np.arange(count) + 0.5 - tap.center[axis]) / tap.stride
            grid = np.arange(values.shape[1 + axis])
            values = np.apply_along_axis(
                lambda line, at=places, on=grid: np.interp(at, on, line), 1 + axis, values
            )
        np.testing.assert_allclose(found.streams[tap.stream], values, atol=1e-5)
    assert found.input_size == (2 * rows, 2 * cols)
    backbone = network.backbone(image)
    for tap in network.taps:
        with torch.no_grad():
            own = network.score[tap.stream](backbone[tap.stream])[0].argmax(dim=0).numpy()
        nearest = [
            np.abs(2 * np.arange(count)[:, None] + 0.5 - middle - tap.stride * np.arange(length)).argmin(
                axis=1
            )
            for count, length, middle in zip((rows, cols), own.shape, tap.center, strict=True)
        ]
        np.testing.assert_array_equal(found.added(tap.stream), own[np.ix_(*nearest)])


def test_an_image_that_would_be_resized_beyond_all_bounds(photo):
    network, _ = skips()
    narrow = Photo("narrow", np.zeros((4, 900, 3), dtype=np.uint8))
    opened = Model("skips", network, {}, replace(PLAIN, resize=300, crop=None), (), "")
    with pytest.raises(ImageError, match="300×67500 pixels, more than the 4,000,000"):
        show(narrow, model=opened)
