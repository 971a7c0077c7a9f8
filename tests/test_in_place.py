"""Whatever is placed on an image lies where the image has it, at any size and aspect at which the network sees it.

A bright square on black is shown to small networks that measure brightness, and looked for in each answer, in the
original's pixels.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import netviz
from netviz.fcn.evaluation.measure import evaluate
from netviz.fcn.streams.measure import show
from netviz.fcn.streams.network import FCN
from netviz.images import Photo
from netviz.models.known.skips.network import SkipNetwork
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing
from netviz.questions.dissect.run import open_dissection
from netviz.questions.patches.run import open_run
from netviz.questions.votes.draw import contributions

SIDE = 64
"""The short side of what the network sees, in pixels; images are smaller, larger, and of other aspects."""


CELLS = 16
"""Rows and columns of a map that adapts to the image."""


SIZES = [(64, 64), (50, 70), (150, 97), (81, 260), (333, 128)]


def averaging(side: int, stride: int, inputs: int = 1, before: int = 0) -> nn.Conv2d:
    """A convolution with equal positive weights that sum to 1."""
    conv = nn.Conv2d(inputs, 1, side, stride, before)
    nn.init.constant_(conv.weight, 1 / (inputs * side * side))
    nn.init.zeros_(conv.bias)
    return conv.requires_grad_(False)


def peaked(side: int = 5) -> nn.Conv2d:
    """A convolution whose weights fall from the middle, so that what it finds has one strongest place."""
    conv = averaging(side, 1, before=side // 2)
    line = 1 + side // 2 - (torch.arange(side) - side // 2).abs().float()
    conv.weight.copy_((torch.outer(line, line) / line.sum() ** 2)[None, None])
    return conv


class Same(nn.Module):
    """Pads an image as TensorFlow does: how much depends on its size, and is more below and to the right."""

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (max(0, (-(-side // 4) - 1) * 4 + 7 - side) for side in x.shape[2:])
        return nn.functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))


class Tokens(nn.Module):
    """Maps as tokens behind a class token and two others, which attend to all; then whatever tokens give."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.new_full((len(x), 3, x.shape[1]), 0.1), tokens], 1)
        weights = (tokens @ tokens.transpose(1, 2)).softmax(-1)
        return tokens + 0.2 * (weights @ tokens)


def brightness(kind: str = "fixed") -> nn.Sequential:
    """Layer ``maps``: how bright an image is, at a stride of 4 pixels, or in 16×16 positions whatever its size."""
    if kind == "tokens":
        return nn.Sequential(OrderedDict(grey=averaging(4, 4, 3), blurred=peaked(), maps=Tokens())).eval()
    if kind == "same":
        made: dict[str, nn.Module] = {"padded": Same(), "grey": averaging(7, 4, 3)}
    else:
        coarse = averaging(2, 2, before=1) if kind == "fixed" else nn.AdaptiveAvgPool2d(CELLS)
        made = {"grey": averaging(2, 2, 3), "coarse": coarse}
    return nn.Sequential(OrderedDict(made | {"maps": peaked()})).eval()


def skips() -> SkipNetwork:
    """Streams of two classes: bright is the second."""
    network = FCN(nn.Sequential(averaging(2, 2, 3), averaging(2, 2)), 2, strides=(4, 2))
    for conv in network.score.values():
        nn.init.constant_(conv.weight[1], 1.0)
        nn.init.constant_(conv.bias[1], -0.5)
    return network


class Halving(nn.Module):
    """Brightness at every pixel, from half resolution and full: only images with even sides fit together."""

    def __init__(self, deep: int = 3) -> None:
        super().__init__()
        self.grey, self.maps, self.deep = averaging(1, 1, 3), peaked(), deep

    def forward(self, x: Tensor) -> Tensor:
        grey = self.grey(x)
        coarse = grey
        for _ in range(self.deep):
            coarse = nn.functional.max_pool2d(coarse, 2)
        coarse = nn.functional.interpolate(coarse, scale_factor=2.0**self.deep)
        bright = self.maps((grey + coarse) / 2)
        return torch.cat([bright, 0.5 - bright], 1)


class Classifier(nn.Module):
    """Two classes: how bright the image is, and how dark."""

    def __init__(self) -> None:
        super().__init__()
        self.features = brightness()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[10.0], [-10.0]]))
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.pool(self.features(x)).flatten(1))
        return scores


class TokenMean(nn.Module):
    """The mean of tokens behind the first three."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 3:].mean(1)


def classifier(kind: str) -> Classifier:
    """Tell bright from dark by maps of a kind, layer ``features.maps``."""
    network = Classifier()
    network.features = brightness(kind)
    if kind == "tokens":
        network.pool = nn.Identity()
        network.head = nn.Sequential(nn.Unflatten(1, (-1, 1)), TokenMean(), network.head)
    return network


def model(network: nn.Module, crop: int | None = None, labels: tuple[str, ...] = ()) -> Model:
    """A network that sees images at `SIDE`, of a crop of that or whole."""
    preprocessing = Preprocessing(SIDE, crop and (crop, crop), (0.0,) * 3, (1.0,) * 3)
    return Model("small", network, network.state_dict(), preprocessing, labels, "made here")


@dataclass(frozen=True)
class Scene:
    """A bright square on black, a little beside the middle.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
    mask : ndarray of bool, shape (H, W)
        Where the square is.
    """

    pixels: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, height: int, width: int) -> "Scene":
        side = round(min(height, width) / 5)
        top, left = round(0.42 * height - side / 2), round(0.56 * width - side / 2)
        if width > 2 * height or height > 2 * width:  # what a crop keeps is narrow
            top, left = round(0.47 * height - side / 2), round(0.52 * width - side / 2)
        mask = np.zeros((height, width), dtype=bool)
        mask[top : top + side, left : left + side] = True
        return cls(np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2), mask)

    @property
    def photo(self) -> Photo:
        return Photo("square", self.pixels)

    @property
    def ratio(self) -> float:
        """Pixels of the original for each of the network's input."""
        return min(self.mask.shape) / SIDE

    def folder(self, path: Path) -> Path:
        """Write the image and its mask where labelled images are looked for."""
        for name, values in (("images", self.pixels), ("labels", self.mask.astype(np.uint8))):
            (path / name).mkdir(parents=True)
            Image.fromarray(values).save(path / name / "square.png")
        (path / "classes.txt").write_text("ground\nsquare\n")
        return path


def center(values: np.ndarray) -> tuple[float, float]:
    """Return the centre of mass of what is above half of the maximum, in rows and columns."""
    values = np.nan_to_num(np.asarray(values, dtype=np.float64))
    weights = np.where(values > values.max() / 2, values, 0)
    rows, cols = np.indices(weights.shape)
    return float((rows * weights).sum() / weights.sum()), float((cols * weights).sum() / weights.sum())


def original(place: tuple[float, float], scene: Scene, crop: int | None, step: float = 1.0) -> list[float]:
    """Return where a place of the network's input lies in the original, reckoned anew.

    Along an axis of N pixels the input shows M of them, resized to R, from pixel (R - M) / 2 on.
    """
    found = []
    shape = scene.mask.shape
    for at, whole in zip(place, shape, strict=True):
        resized = SIDE if whole == min(shape) else int(SIDE * whole / min(shape))
        first = 0 if crop is None else round((resized - crop) / 2)
        found.append(((at + 0.5) * step + first) * whole / resized - 0.5)
    return found


Places = list[Any]
Look = Callable[[Scene, Path], Places]
"""Asks a question about a scene; returns where its answers have the square, in pixels of the original."""


KINDS = ("fixed", "same", "adaptive", "tokens")


def segmented(kind: str, crop: int | None = None) -> Look:
    def look(scene: Scene, path: Path) -> Places:
        opened = model(brightness(kind), crop)
        found = netviz.segment(scene.photo, layer="maps", unit=0, model=opened, threshold=0.5)
        assert found.heat.shape == scene.mask.shape
        return [center(found.heat), center(found.mask)]

    return look


def hypercolumns(kind: str, crop: int | None = None) -> Look:
    def look(scene: Scene, path: Path) -> Places:
        found = netviz.hypercolumn(
            scene.photo, layers="grey,maps", model=model(brightness(kind), crop), clusters=2
        )
        step = found.grid_step[0]
        return [
            original(center(found.components[0]), scene, crop, step),
            original(center(found.clusters), scene, crop, step),
        ]

    return look


def occluded(scene: Scene, path: Path) -> Places:
    found = netviz.occlusion(
        scene.photo, model=model(Classifier(), 48), class_=0, patch=8, stride=2, fill="zero"
    )
    return [original(center(found.map), scene, 48)]


def attributed(kind: str, crop: int | None = None) -> Look:
    """Maps of brightness, weighed."""

    def look(scene: Scene, path: Path) -> Places:
        found = netviz.attribute(
            scene.photo,
            model=model(classifier(kind), crop),
            class_=0,
            layer="features.maps",
            method="gradcam,layercam",
        )
        return [original(center(one), scene, crop) for one in found.attribution]

    return look


def voted(kind: str, crop: int | None = None) -> Look:
    """Where the unit of brightness votes, and the part of the image that belongs to its strongest position."""

    def look(scene: Scene, path: Path) -> Places:
        found = netviz.votes(
            scene.photo, model=model(classifier(kind), crop), class_=0, layer="features.maps", top=1
        )
        over = contributions(found, found.image.shape[1::-1])[0]
        corners = found.boxes[0].reshape(2, 2)
        return [original(place, scene, crop) for place in (center(over), corners.mean(axis=0) - 0.5)]

    return look


def attributed_pixels(scene: Scene, path: Path) -> Places:
    found = netviz.attribute(
        scene.photo, model=model(Classifier(), 48), class_=0, method="integrated", steps=2
    )
    unit = netviz.attribute(
        scene.photo, model=model(brightness(), 48), layer="maps", unit=0, method="gradient"
    )
    return [original(center(one.attribution[0]), scene, 48) for one in (found, unit)]


def dense_scores(network: nn.Module, crop: int | None = None, **options: Any) -> Look:
    def look(scene: Scene, path: Path) -> Places:
        found = netviz.dense(scene.photo, model=model(network, crop), class_=[0], **options)
        row, col = center(found.scores[0] - found.scores[0].min())
        return [
            (
                np.interp(row, np.arange(len(found.center_y)), found.center_y),
                np.interp(col, np.arange(len(found.center_x)), found.center_x),
            )
        ]

    return look


def streamed(short_side: int | None, network: Callable[[], nn.Module] = skips) -> Look:
    def look(scene: Scene, path: Path) -> Places:
        found = show(scene.photo, model=model(network()), short_side=short_side)
        pictures = (found.predicted, found.added) if found.taps else (lambda name: found.streams[name][0],)
        looked = [picture(name) for picture in pictures for name in found.names]
        per = np.array(scene.mask.shape) / found.image.shape[:2]
        return [(np.array(center(one)) + 0.5) * per - 0.5 for one in looked]

    return look


def mapped(scene: Scene, path: Path) -> Places:
    network = model(Halving())
    height, width = (round(side / scene.ratio) for side in scene.mask.shape)
    found = netviz.maps(scene.photo, layer="maps", model=network, size=(height, width))
    assert found.maps.shape[1:] == (height, width)
    assert found.padded == (8 if height % 8 or width % 8 else 0)
    per = np.array(scene.mask.shape) / (height, width)
    return [(np.array(center(found.maps[0])) + 0.5) * per - 0.5]


def evaluated(scene: Scene, path: Path) -> Places:
    found = evaluate(scene.folder(path / "data"), model(skips()), boundary=True, device="cpu", workers=0)
    # A shift by half a stride would lose a third of the square, and most of what lies near its border.
    for name, boundary in found.boundary.items():
        assert found.metrics[name]["per_class"]["square"] > 0.85
        assert boundary[1] is not None
        assert boundary[1] > 0.6
    return []


def strongest(fit: str, kind: str) -> Look:
    def look(scene: Scene, path: Path) -> Places:
        files = scene.folder(path / "data")
        out = netviz.patches(
            model(brightness(kind), SIDE), path / "run", images=[files / "images"], layer=["maps"], top=1,
            fit=fit, device="cpu", workers=0,
        )  # fmt: skip
        run = open_run(out)
        found = run.result(run.choose("maps"))
        assert not found.margin.any()
        cells, corners = found.maps[0, 0].astype(float), found.maps_box[0, 0].reshape(2, 2)
        per = (corners[1] - corners[0]) / cells.shape
        cell = corners[0] + (np.array(center(cells)) + 0.5) * per - 0.5
        # Behind attention the patch is the whole image.
        return [cell] if kind == "tokens" else [cell, found.box[0, 0].reshape(2, 2).mean(axis=0) - 0.5]

    return look


def dissected(kind: str) -> Look:
    def look(scene: Scene, path: Path) -> Places:
        out = netviz.dissect(
            model(brightness(kind), SIDE), path / "run", data=scene.folder(path / "data"), layer="maps",
            fit="full", quantile=1 - 1.5 * scene.mask.mean(), device="cpu", workers=0,
        )  # fmt: skip
        run = open_dissection(out)
        found = run.result(run.layers[0])
        # What is brightest is as large as one and a half squares: the square, and a little around it.
        assert found.intersection[0, 1] > 0.8 * found.concept_area[1]
        return []

    return look


LOOKS: dict[str, Look] = {
    "segment": segmented("fixed", SIDE),
    "occlusion": occluded,
    "attribute": attributed("fixed", 48),
    "attribute, pixels": attributed_pixels,
    "votes": voted("fixed", 48),
    **{f"votes, {kind}": voted(kind) for kind in KINDS},
    **{f"attribute, {kind}": attributed(kind) for kind in KINDS},
    "dense": dense_scores(brightness()),
    "dense, pyramid": dense_scores(brightness(), pyramid=(1, 0.5)),
    "dense, classifier": dense_scores(Classifier(), crop=16, short_side=64),
    "streams": streamed(None),
    "streams, resized": streamed(48),
    "maps, continued to multiples": mapped,
    "dense, continued to multiples": dense_scores(Halving()),
    "streams, continued to multiples": streamed(None, Halving),
    "evaluate": evaluated,
    "hypercolumn": hypercolumns("fixed", SIDE),
    **{f"segment, {kind}": segmented(kind) for kind in KINDS},
    **{f"hypercolumn, {kind}": hypercolumns(kind) for kind in KINDS},
    **{f"dissect, {kind}": dissected(kind) for kind in KINDS},
    **{f"patches, full, {kind}": strongest("full", kind) for kind in KINDS},
    "patches, crop": strongest("crop", "fixed"),
    "patches, resize": strongest("resize", "fixed"),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", LOOKS)
def test_the_square_is_where_it_is(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    scene = Scene.of(*size)
    middle = center(scene.mask)
    # In pixels of the original: of the input 4, or what each of 16 positions has.
    stride = (
        np.array(size) / CELLS
        if "adaptive" in name or name == "patches, resize"
        else np.full(2, 4 * scene.ratio)
    )
    for place in LOOKS[name](scene, tmp_path):
        assert (np.abs(np.array(place) - middle) < stride).all()
