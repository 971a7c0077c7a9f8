"""Dissection of torchvision's and timm's networks, two small images each, and NumPy's own count for a few."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

import netviz
from netviz.capture import capture, channels_first
from netviz.errors import LayerError
from netviz.images import prepare, read_image
from netviz.images.labelled.folder import open_labelled
from netviz.models.builders import torchvision_families, torchvision_names
from netviz.models.torchvision_import import import_torchvision
from netviz.questions.dissect.run import open_dissection
from netviz.questions.opening import layer_fields

LARGEST = 200_000_000
"""Networks of more parameters take too much memory for a test: 0.8 GB for their weights alone."""

DETECTORS = {
    name for family, names in torchvision_families().items() if "detection" in family for name in names
}
"""What they compute depends on values of the image, and their layers cannot be listed."""

QUANTILE = 0.9
CLASSES = ("sky", "road", "tree")

TIMM = {
    "convmixer_768_32": 64,
    "convnext_atto": 64,
    "cspresnet50": 64,
    "darknet53": 64,
    "densenet121": 64,
    "dla34": 64,
    "dpn68": 64,
    "edgenext_xx_small": 64,
    "efficientformer_l1": None,
    "efficientnet_b0": 64,
    "fbnetc_100": 64,
    "ghostnet_100": 64,
    "hardcorenas_a": 64,
    "hrnet_w18_small": 64,
    "inception_v4": 139,
    "lcnet_050": 64,
    "legacy_seresnet18": 64,
    "levit_128s": None,
    "maxvit_tiny_tf_224": None,
    "mixer_s32_224": None,
    "mixnet_s": 64,
    "mnasnet_small": 64,
    "mobilenetv3_small_050": 64,
    "mobileone_s0": 64,
    "mobilevit_xxs": 64,
    "nf_resnet50": 64,
    "nfnet_l0": 64,
    "poolformer_s12": 64,
    "regnetx_002": 64,
    "repvgg_a0": 64,
    "res2net50_14w_8s": 64,
    "resmlp_12_224": None,
    "resnest14d": 64,
    "resnet18": 64,
    "resnetv2_50": 64,
    "rexnet_100": 64,
    "selecsls42b": 64,
    "skresnet18": 64,
    "swin_tiny_patch4_window7_224": None,
    "tf_efficientnetv2_b0": 64,
    "tinynet_e": 64,
    "vgg11": 64,
    "vit_tiny_patch16_224": None,
    "vovnet39a": 64,
    "xception41": 64,
}
"""One network of each family, and its input's side in pixels; None: its own."""


@cache
def torchvision_weights(name: str) -> dict[str, object]:
    weights = list(import_torchvision().models.get_model_weights(name))
    return dict(weights[-1].meta) if weights else {}


def parameters(name: str) -> int:
    return int(torchvision_weights(name).get("num_params", 0))


def smallest(name: str) -> int:
    """Return the smallest input, in pixels, that torchvision declares for a builder's weights."""
    if name == "maxvit_t" or name.startswith("vit"):
        return 224
    return max(*torchvision_weights(name).get("min_size", (64, 64)), 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images whose brightness goes with their labels."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for number in range(2):
        label = rng.integers(0, 3, (5, 6)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        pixels = label[..., None] * 80 + rng.integers(0, 60, (*label.shape, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(label).save(folder / "labels" / f"{number}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


def pixels_of(result):
    height, width = result.resolution.split("(")[1].split(")")[0].split("×")
    return int(height), int(width)


def check(result, images):
    """What holds for any counts in which each pixel has one of the concepts."""
    height, width = pixels_of(result)
    met, active, area = result.intersection, result.unit_area, result.concept_area
    assert met.shape == (result.channels, len(CLASSES))
    assert area.sum() == result.category_area.sum() == images * height * width
    assert np.array_equal(met.sum(axis=1), active[:, 0])
    assert (met <= np.minimum(active, area)).all()
    np.testing.assert_allclose(result.iou, met / (active + area - met), rtol=1e-12)
    assert ((result.iou >= 0) & (result.iou <= 1)).all()
    # About a tenth of the values is above the threshold; none of a unit that has one value for all of an image.
    assert active.sum() < 0.5 * result.channels * area.sum()
    assert np.array_equal(result.best[:, 0], result.iou.argmax(axis=1))


def dissected(model, folder, out, size, names):
    side = None if size is None else (size, size)
    run = netviz.dissect(
        model, out, data=folder, layer=names, quantile=QUANTILE, size=side, workers=0, device="cpu"
    )
    opened = open_dissection(run)
    return [opened.result(layer) for layer in opened.layers]


def first_and_last(model, folder, tmp_path, size):
    """Dissect the first layer with maps and the last whose rows and columns are the image's."""
    index = netviz.layers(model, size=None if size is None else (size, size))
    maps = [one for one in index if one.spatial and one.shape[1] * one.shape[2] > 1]
    refused = {}
    for last in reversed(maps):
        if last.shape[1:] not in refused:
            try:
                return dissected(model, folder, tmp_path / "run", size, [maps[0].name, last.name])
            except LayerError as error:
                refused[last.shape[1:]] = str(error)
                one_line(error)
    raise AssertionError(f"no layer can be dissected: {refused}")


def one_line(error):
    assert "is not spatial" in str(error) or "has no maps" in str(error)
    assert "\n" not in str(error)


def refuses(model, folder, tmp_path, size):
    """A layer without several places is refused in one line, and nothing is written."""
    side = None if size is None else (size, size)
    index = netviz.layers(model, size=side)
    for one in (
        one for one in index if one.shape is not None and not (one.spatial and one.shape[1:] != (1, 1))
    ):
        with pytest.raises(LayerError) as caught:
            netviz.dissect(model, tmp_path / "no", data=folder, layer=one.name, size=side, device="cpu")
        one_line(caught.value)
        assert not (tmp_path / "no").exists()
        return


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("mobilenet_v3_small", 48),
        pytest.param("swin_t", 64, marks=pytest.mark.slow),
        ("timm:vit_tiny_patch16_224", None),
    ],
)
def test_iou_is_that_of_every_pixel(folder, tmp_path, name, size):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    model = netviz.load(name, weights="none", seed=0)
    results = first_and_last(model, folder, tmp_path, size)
    index = netviz.layers(model, size=None if size is None else (size, size))
    fields = layer_fields(model, index)
    for result in results:
        check(result, 2)
        layer = index.resolve(result.layer)
        met, active = count(model, layer, fields[layer], folder, result)
        # Positions in single precision may put a pixel on the threshold to either side.
        np.testing.assert_allclose(met, result.intersection, atol=2)
        np.testing.assert_allclose(active, result.unit_area[:, 0], atol=2)
    refuses(model, folder, tmp_path, size)


def count(model, layer, field, folder, result):
    """Count pixels where each unit is active, and where it meets each concept, from dense maps."""
    labels = open_labelled(folder)
    met = np.zeros((layer.channels, len(CLASSES)))
    for number, path in enumerate(labels.images):
        photo = read_image(path)
        height, width = pixels_of(result)
        shown = replace(model.preprocessing, resize=None, crop=(height, width)).fitted("resize")
        prepared = prepare(photo.pixels, shown)
        with capture(model.network.eval(), [layer]) as run, torch.no_grad():
            run(prepared.tensor)
        maps = channels_first(layer, run[layer])[0].double().numpy()
        code = np.asarray(Image.open(folder / "labels" / f"{number}.png"))
        at = [(2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip((height, width), code.shape, strict=True)]
        code = code[at[0][:, None], at[1]]
        axes = []
        for axis, pixels in enumerate((height, width)):
            stride, centre = pixels / maps.shape[1 + axis], (pixels / maps.shape[1 + axis] - 1) / 2
            if result.placed == "by field":
                place = field.place
                stride, centre = place.stride[axis], place.start[axis] + (place.size[axis] - 1) / 2
            axes.append(np.clip((np.arange(pixels) - centre) / stride, 0, maps.shape[1 + axis] - 1))
        places = np.stack(np.meshgrid(*axes, indexing="ij"))
        for unit, values in enumerate(maps):
            above = map_coordinates(values, places, order=1) > result.threshold[unit]
            met[unit] += [(above & (code == concept)).sum() for concept in range(len(CLASSES))]
    return met, met.sum(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in torchvision_names() if name not in DETECTORS])
def test_torchvision(folder, tmp_path, name):
    if parameters(name) > LARGEST:
        pytest.skip(f"{parameters(name) / 1e6:.0f} million parameters")
    size = smallest(name)
    model = netviz.load(name, weights="none", seed=0)
    for result in first_and_last(model, folder, tmp_path, size):
        check(result, 2)
    refuses(model, folder, tmp_path, size)


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_timm(folder, tmp_path, name):
    pytest.importorskip("timm")
    model = netviz.load(f"timm:{name}", weights="none", seed=0)
    for result in first_and_last(model, folder, tmp_path, TIMM[name]):
        check(result, 2)
    refuses(model, folder, tmp_path, TIMM[name])


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("mixer_s32_224", "blocks.0.mlp_tokens.fc1"),
        ("swin_tiny_patch4_window7_224", "layers.0.blocks.0.attn.softmax"),
    ],
)
def test_mixtures_and_pairs_of_positions_are_no_places(folder, tmp_path, name, layer):
    pytest.importorskip("timm")
    model = netviz.load(f"timm:{name}", weights="none", seed=0)
    with pytest.raises(LayerError, match=r"has no maps \(.*(two positions|no longer told apart)") as caught:
        netviz.dissect(model, tmp_path / "no", data=folder, layer=layer, device="cpu")
    one_line(caught.value)
