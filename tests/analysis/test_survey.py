import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.analysis.survey_components import choose_pair
from netviz.gallery import build
from netviz.images import Photo
from netviz.results import load_result, open_run


def test_run_folder_holds_what_maps_and_filters_give(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 20, 3, stride=2), nn.ReLU(), nn.Conv2d(20, 4, 3))
    images = ["skimage:coffee", "skimage:coins"]
    run = netviz.survey(network, tmp_path / "run", images=images)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert [(image["name"], image["source"]) for image in facts["images"]] == [
        ("coffee", "skimage:coffee"),
        ("coins", "skimage:coins"),
    ]
    assert [row["slug"] for row in facts["layers"]] == ["0", None, "2"]
    whole = [netviz.maps(image, layer="0", model=network).maps for image in images]
    strongest = np.argsort(-np.max([maps.max(axis=(1, 2)) for maps in whole], axis=0), kind="stable")[:16]
    for image, maps in zip(facts["images"], whole, strict=True):
        stem = image["file"].removeprefix("images/").removesuffix(".png")
        stored = load_result(run / "maps" / "0" / f"{stem}.npz")
        assert list(stored.units) == sorted(strongest.tolist())
        assert np.array_equal(stored.maps, maps[np.sort(strongest)])
    weight = load_result(run / "filters" / "2.npz").weight
    assert np.array_equal(weight, network[2].weight.detach().numpy())


def plain(network, **preprocessing):
    """A model whose images keep their own size unless told otherwise."""
    model = netviz.load(network)
    return replace(
        model, preprocessing=replace(model.preprocessing, **{"resize": None, "crop": None, **preprocessing})
    )


def followed(*kinds):
    """Convolutions of eight units, each with what follows it: ``""``, ``"r"``, ``"rp"`` or ``"nr"``."""
    parts, channels = [], 3
    for kind in kinds:
        parts.append(nn.Conv2d(channels, 8, 3, padding=1))
        parts += [{"n": nn.BatchNorm2d(8), "r": nn.ReLU(), "p": nn.MaxPool2d(2)}[one] for one in kind]
        channels = 8
    return nn.Sequential(*parts)


def pair(network, side=64):
    model = plain(network)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found = choose_pair(model, netviz.layers(model), Photo("noise", pixels), None)
    names = [None if layer is None else layer.alias for layer in (found.first, found.deeper)]
    return names, found.missing


@pytest.mark.parametrize(
    ("kinds", "side", "deeper"),
    [
        # The middle third of nine is 4 to 6; pooling after one of them makes it the one.
        (("r", "r", "r", "r", "r", "rp", "r", "r", "r"), 64, 6),
        (("r", "r", "r", "r", "r", "r", "r", "rp", "r"), 64, 5),
        (("r", "r", "rp", "r", "", "nr", "r", "r", "r"), 64, 6),
        # Its maps are too small: the nearest before it.
        (("r", "rp", "rp", "r", "r"), 24, 2),
        (("r", ""), 64, None),
        (("r", "r"), 13, None),
        (("r", "r"), 14, 2),
    ],
)
def test_the_deeper_convolution(kinds, side, deeper):
    torch.manual_seed(0)
    names, missing = pair(followed(*kinds), side)
    assert names[0] is not None
    network = [one.alias for one in netviz.layers(followed(*kinds)) if one.kind == "conv"]
    assert names == [network[0], None if deeper is None else network[deeper - 1]]
    assert len(missing) == (deeper is None)


def test_components_and_patches_are_what_the_commands_give(tmp_path):
    torch.manual_seed(0)
    model = plain(followed("r", "rp", "r"))
    images = ["skimage:chelsea", "skimage:coins", "skimage:camera"]
    run = netviz.survey(model, tmp_path / "run", images=images)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    # Chelsea is 300 by 451 pixels, and brought to a short side of 256.
    assert facts["images"][0]["size"] == [256, 384]
    first, deeper = facts["components"]["layers"]
    assert (first["layer"], first["which"], deeper["layer"], deeper["which"]) == ("0", "first", "2", "deeper")
    assert [entry["image"] for entry in deeper["shown"]] == [0, 1]
    size = tuple(facts["images"][0]["size"])
    for verb in ("stages", "contrast", "sift"):
        saved = load_result(run / deeper["shown"][0][verb]["file"])
        options = {"units": saved.units} if verb == "contrast" else {}
        typed = getattr(netviz, verb)("skimage:chelsea", layer="2", model=model, size=size, **options)
        assert saved.facts() == typed.facts()
        for name, array in typed.arrays().items():
            np.testing.assert_array_equal(saved.arrays()[name], array)
    stem = Path(facts["images"][0]["file"]).stem
    np.testing.assert_array_equal(
        load_result(run / "maps" / "0" / f"{stem}.npz").maps,
        netviz.maps("skimage:chelsea", layer="0", model=model, size=size).maps,
    )
    assert facts["patches"] == {"folder": "patches", "images": images}
    found = open_run(run / "patches")
    assert [layer.name for layer in found.layers] == ["0", "2", "5"]
    result = found.result(found.layers[0])
    assert result.image.shape == (8, 3)
    assert all(sorted(numbers) == [0, 1, 2] for numbers in result.image.tolist())
    # The survey's maps and the patches tell of the same largest values.
    peaks = [netviz.maps(image, layer="0", model=model, size=tuple(entry["size"])).maps.max(axis=(1, 2))
             for image, entry in zip(images, facts["images"], strict=True)]  # fmt: skip
    np.testing.assert_allclose(result.max, np.max(peaks, axis=0), rtol=1e-5)


def test_what_cannot_be_made_says_why(tmp_path):
    Image.new("RGB", (64, 48), (90, 120, 30)).save(tmp_path / "flat.png")
    torch.manual_seed(0)
    run = netviz.survey(
        plain(followed("r", "")), tmp_path / "run", images=[tmp_path / "flat.png"], size=(48, 64)
    )
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (first,) = facts["components"]["layers"]
    assert "no keypoint" in first["shown"][0]["sift"]["missing"]
    assert (run / first["shown"][0]["stages"]["file"]).is_file()
    assert "no deeper convolution" in facts["components"]["missing"][0]
    assert facts["size"] == facts["images"][0]["size"] == [48, 64]
    site = build([run], tmp_path / "site").index.parent
    (page,) = site.glob("*/components.html")
    assert "Left out: no deeper convolution" in page.read_text()


def test_nothing_to_show_of_infinite_maps(tmp_path):
    network = followed("r", "r", "r")
    with torch.no_grad():
        network[0].bias.fill_(float("inf"))
    run = netviz.survey(plain(network), tmp_path / "run", images=["skimage:coins"], size=(40, 40))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert "missing" in facts["patches"]
    assert not (run / "patches").exists()
    assert build([run], tmp_path / "site").index.is_file()


def test_network_of_one_channel(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()
    )
    run = netviz.survey(network, tmp_path / "run", images=["skimage:coins"], size=(64, 64))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert [layer["which"] for layer in facts["components"]["layers"]] == ["first", "deeper"]
    site = build([run], tmp_path / "site").index.parent
    assert "Its only unit" in next(site.glob("*/0.html")).read_text()
