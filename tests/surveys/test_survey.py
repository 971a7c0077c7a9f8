import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates
from torch import nn

import netviz
from netviz.capture import index_layers
from netviz.errors import ImageError
from netviz.gallery.build import build
from netviz.images import Photo
from netviz.models.torchvision_import import import_torchvision
from netviz.questions.dissect.run import open_dissection
from netviz.questions.drawing import picture
from netviz.questions.patches.run import open_run, read_back
from netviz.questions.reader import load_result
from netviz.questions.units.result import NearestResult
from netviz.surveys.steps.components import choose_pair
from netviz.surveys.steps.concepts import choose_layers, pick_units
from netviz.surveys.steps.maps import varied_units
from netviz.surveys.survey import class_units
from support.concepts import make_dissection
from support.patches import make_patches
from support.pictures import texts
from support.scenes import make_scenes
from support.scenes import model as labelled_model


def near(kept, exact):
    """Return whether an array is what levels leave: half of one of 190 between its ends, 1/60 where it stands out."""
    rows, read = (one.reshape(len(one), -1).astype(np.float64) for one in (exact, kept))
    low, high = np.minimum(rows.min(axis=1), 0), np.maximum(rows.max(axis=1), 0)
    away = np.abs(rows - read) / (high - low)[:, None]
    return away.max() < 1 / 60 and np.quantile(away, 0.95) < 1 / 370


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
    picked = np.sort(varied_units(open_run(run / "patches").result(open_run(run / "patches").layers[0]))[:16])
    for image, maps in zip(facts["images"], whole, strict=True):
        stem = image["file"].removeprefix("images/").removesuffix(".png")
        stored = load_result(run / "maps" / "0" / f"{stem}.npz")
        assert list(stored.units) == picked.tolist()
        assert stored.coarse == ("maps",)
        assert near(stored.maps, maps[picked])
        assert np.array_equal(stored.image, netviz.maps(image["source"], layer="0", model=network).image)
    weight = load_result(run / "filters" / "2.npz").weight
    assert near(weight, network[2].weight.detach().numpy())


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


def assert_as_levels(found, expected):
    """Compare what was kept as levels: each map within a level of 8 bits, but for what stands out."""
    for mine, other in zip(found, expected, strict=True):
        off = np.abs(mine.astype(np.float64) - other)
        assert off.max() <= np.ptp(other) / 30
        assert np.quantile(off, 0.98) <= np.ptp(other) / 190


@pytest.mark.slow
def test_components_and_patches_are_what_the_commands_give(tmp_path):
    torch.manual_seed(0)
    model = plain(followed("r", "rp", "r"))
    images = ["skimage:chelsea", "skimage:coins", "skimage:camera"]
    run = netviz.survey(model, tmp_path / "run", images=images)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    # Chelsea is 300 by 451 pixels, and brought to a short side of 256.
    assert facts["images"][0]["size"] == [256, 384]
    first, deeper = facts["components"]["layers"]
    assert [(facts["layers"][one["layer"]]["name"], one["which"]) for one in (first, deeper)] == [
        ("0", "first"),
        ("2", "deeper"),
    ]
    assert [(one["image"], one["verb"]) for one in deeper["shown"]] == [
        (image, verb) for image in (0, 1) for verb in ("stages", "contrast", "sift")
    ]
    size = tuple(facts["images"][0]["size"])
    for place, verb in enumerate(("stages", "contrast", "sift")):
        saved = load_result(run / deeper["shown"][place]["file"])
        options = {"units": saved.units} if verb == "contrast" else {}
        typed = getattr(netviz, verb)("skimage:chelsea", layer="2", model=model, size=size, **options)
        typed = typed.pictured() if saved.coarse else typed
        assert {**saved.facts(), "coarse": ()} == {**typed.facts(), "coarse": ()}
        for name, array in typed.arrays().items():
            if name in saved.coarse:
                assert_as_levels(saved.arrays()[name], array)
            else:
                np.testing.assert_array_equal(saved.arrays()[name], array)
    stem = Path(facts["images"][0]["file"]).stem
    assert_as_levels(
        load_result(run / "maps" / "0" / f"{stem}.npz").maps,
        netviz.maps("skimage:chelsea", layer="0", model=model, size=size).maps,
    )
    assert facts["patches"] == {"folder": "patches", "images": images, "searched": 3}
    found = open_run(run / "patches")
    assert [layer.name for layer in found.layers] == ["0", "2", "5"]
    result = found.result(found.layers[0])
    assert result.image.shape == (8, 9)
    # Of so few photographs a unit may take several patches from one.
    assert result.apart
    assert set(np.unique(result.image).tolist()) == {0, 1, 2}
    # The survey's maps and the patches tell of the same largest values.
    peaks = [netviz.maps(image, layer="0", model=model, size=tuple(entry["size"])).maps.max(axis=(1, 2))
             for image, entry in zip(images, facts["images"], strict=True)]  # fmt: skip
    np.testing.assert_allclose(result.max, np.max(peaks, axis=0), rtol=1e-5)


def test_patches_followed_back_are_those_of_the_command(tmp_path):
    torch.manual_seed(0)
    model = plain(followed("r", "r", "r"), resize=48, crop=(40, 40))
    images = ["skimage:chelsea", "skimage:coffee", "skimage:rocket"]
    run = netviz.survey(model, tmp_path / "run", images=images)
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    noted = told["deconv"]
    assert (noted["folder"], noted["patches"]) == ("patches/back", 1)
    assert [told["layers"][place]["name"] for place in noted["layers"]] == ["0", "2", "4"]
    typed = netviz.patches(
        model, tmp_path / "p", images=images, top=3, deconv=True, deconv_units="0:8", workers=0, device="cpu"
    )
    found = open_run(run / "patches")
    for layer in found.layers:
        back = read_back(run / "patches", found.result(layer))
        asked = load_result(typed / "back" / f"{layer.name}.npz")
        np.testing.assert_array_equal(back.drawn_units, range(4))
        np.testing.assert_array_equal(back.score, asked.score[:4, :1])
        np.testing.assert_allclose(back.ends, asked.ends[:, :4, :1], rtol=1e-5)
        assert back.rectifiers == asked.rectifiers
        for rule in ("deconvnet", "guided"):
            for unit in range(4):
                tile = back.of(rule, unit, 0).astype(int)
                assert np.abs(tile - asked.of(rule, unit, 0)).max() <= 1
                assert back.of(rule, unit, 1) is None
        assert (back.ends > 0).any()
    drawn = texts(picture(run / "patches", layer="2", beside="guided"))
    assert "below the best patch: what in it made the unit answer, by guided" in drawn


def test_links_of_the_shown_units_are_those_of_the_command(tmp_path):
    torch.manual_seed(0)
    model = plain(followed("r", "nr", "r"), resize=48, crop=(40, 40))
    run = netviz.survey(model, tmp_path / "run", images=["skimage:chelsea"])
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert told["links"]["top"] == 8
    files = {told["layers"][one["layer"]]["name"]: one["file"] for one in told["links"]["layers"]}
    assert files == {name: f"links/{name}.npz" for name in ("0", "2", "5")}
    found = load_result(run / files["2"])
    np.testing.assert_array_equal(found.table_units, range(8))
    alone = netviz.links(model, layer="2", unit=5, top=8)
    np.testing.assert_array_equal(found.before_units[5], alone.before_by_weight)
    np.testing.assert_array_equal(found.after_units[5], alone.after_by_weight)
    np.testing.assert_allclose(
        np.abs(found.after_shares[5]), alone.shares("after")[alone.after_by_weight], rtol=1e-6
    )


def test_links_of_the_full_form_are_those_of_all_units(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Conv2d(20, 4, 3), nn.ReLU())
    model = plain(network, resize=20, crop=(20, 20))
    tables = {}
    for form in ("standard", "full"):
        run = netviz.survey(model, tmp_path / form, images=["skimage:chelsea"], only=["0"], form=form)
        tables[form] = load_result(run / "links" / "0.npz")
    # In the standard form those that are shown or have masks.
    assert 16 <= len(tables["standard"].table_units) < 20
    found = tables["full"]
    assert found.table_units.tolist() == list(range(20))
    alone = netviz.links(model, layer="0", unit=19, top=8)
    np.testing.assert_array_equal(found.after_units[19][: len(alone.after_by_weight)], alone.after_by_weight)


def test_tokens_have_no_links_and_no_patches_followed_back(tmp_path):
    torch.manual_seed(0)
    network = import_torchvision().models.VisionTransformer(
        32, 8, num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=8, num_classes=3
    )
    model = replace(plain(network, resize=32, crop=(32, 32)), labels=("a", "b", "c"))
    run = netviz.survey(model, tmp_path / "run", images=["skimage:coins"])
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    noted = {told["layers"][one["layer"]]["kind"]: one for one in told["links"]["layers"]}
    assert noted["conv"]["file"] == "links/conv_proj.npz"
    (other,) = [one for kind, one in noted.items() if kind != "conv"]
    assert "has tokens: attention joins them" in other["missing"]
    assert "file" not in other
    assert "gradients from conv_proj meet no ReLU" in told["deconv"]["missing"]


def test_without_rectifiers_no_patch_is_followed_back(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3))
    run = netviz.survey(plain(network, resize=40, crop=(40, 40)), tmp_path / "run", images=["skimage:coins"])
    missing = json.loads((run / "run.json").read_text(encoding="utf-8"))["deconv"]["missing"]
    assert missing.startswith("a deconvnet has nothing to act on")
    assert missing.endswith("meet no ReLU")
    assert not (run / "patches" / "back").exists()


def test_what_cannot_be_made_says_why(tmp_path):
    Image.new("RGB", (64, 48), (90, 120, 30)).save(tmp_path / "flat.png")
    torch.manual_seed(0)
    run = netviz.survey(
        plain(followed("r", "")), tmp_path / "run", images=[tmp_path / "flat.png"], size=(48, 64)
    )
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (first,) = facts["components"]["layers"]
    stages, _, sift = first["shown"]
    assert "no keypoint" in sift["missing"]
    assert (run / stages["file"]).is_file()
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


def dense(model, layer, image, field, threshold):
    """Masks of all units of a layer, interpolated by SciPy between the centres of what positions see."""
    found = netviz.maps(image, layer=layer, model=model)
    axes = []
    for axis, pixels in enumerate(found.image.shape[:2]):
        centre = field["start"][axis] + (field["size"][axis] - 1) / 2
        axes.append(
            np.clip((np.arange(pixels) - centre) / field["stride"][axis], 0, found.maps.shape[1 + axis] - 1)
        )
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    values = [map_coordinates(one.astype(np.float64), places, order=1) for one in found.maps]
    return np.array(values) - threshold[:, None, None], found.maps.max(axis=(1, 2))


@pytest.mark.slow
def test_concepts_are_those_of_a_dissection_of_the_surveys_images(tmp_path):
    torch.manual_seed(0)
    model = plain(followed("r", "rp", "r"), resize=64, crop=(48, 64))
    images = ["skimage:chelsea", "skimage:coffee", "skimage:rocket"]
    run = netviz.survey(model, tmp_path / "run", images=images)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    told = facts["concepts"]
    assert (told["data"], told["surveyed"]) == (None, 3)
    found = open_dissection(run / "concepts")
    again = open_dissection(
        netviz.dissect(model, tmp_path / "again", data=run / "images", layer=["0", "2", "5"], workers=0)
    )
    for layer, other, noted in zip(found.layers, again.layers, told["masks"], strict=True):
        result = found.result(layer)
        np.testing.assert_array_equal(result.iou, again.result(other).iou)
        sheet = np.asarray(Image.open(run / noted["file"])).reshape(len(noted["units"]), 48, 64)
        assert noted["units"] == list(range(8))
        field = next(row for row in facts["layers"] if row["name"] == layer.name)["receptive_field"]
        above, peaks = zip(
            *(dense(model, layer.name, image, field, result.threshold) for image in images), strict=True
        )
        for unit, image, mask in zip(noted["units"], noted["images"], sheet, strict=True):
            number = [one["name"] for one in facts["images"]].index(told["images"][image]["name"])
            assert number == np.argmax([one[unit] for one in peaks])
            # Rounding decides only where the map is as high as the threshold.
            clear = np.abs(above[number][unit]) > 1e-5
            np.testing.assert_array_equal(mask[clear], above[number][unit][clear] > 0)
    assert {file["file"] for file in told["images"]} <= {one["file"] for one in facts["images"]}
    assert build([run], tmp_path / "site").index.is_file()


def test_labelled_images_are_dissected_in_all_layers(tmp_path):
    scenes = make_scenes(tmp_path)
    model = labelled_model()
    run = netviz.survey(model, tmp_path / "run", images=["skimage:coins"], data=scenes)
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))["concepts"]
    assert (told["data"], told["surveyed"]) == (str(scenes), 2)
    found = open_dissection(run / "concepts")
    assert found.facts["data"] == "masks"
    assert found.facts["images"]["counted"] == 20
    for image in told["images"]:
        assert Path(image["source"]).is_file()
        with Image.open(run / image["file"]) as picture:
            assert picture.size == (36, 32)
    site = build([run], tmp_path / "site").index.parent
    page = next(site.glob("*/concepts.html")).read_text()
    assert "labelled concepts of 20 images" in page
    with pytest.raises(ImageError, match="no folder"):
        netviz.survey(model, tmp_path / "other", images=["skimage:coins"], data=tmp_path / "nowhere")
    assert not (tmp_path / "other").exists()


def test_of_many_layers_every_fourth_is_dissected():
    index = netviz.layers(followed(*["r"] * 12))
    convolutions = [one for one in index if one.kind == "conv"]
    names = [one.alias for one in choose_layers(convolutions, labelled=False, also=[convolutions[6].name])]
    assert names == ["conv1", "conv5", "conv7", "conv9"]
    assert choose_layers(convolutions, labelled=True, also=[]) == convolutions
    assert choose_layers(convolutions[:8], labelled=False, also=[]) == convolutions[:8]


def test_units_are_classes_where_only_such_layers_follow():
    """As many units as classes are none in the middle of a network."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
        nn.ConvTranspose2d(4, 4, 4, 2, groups=4),
    )
    index = index_layers(network)
    labels = ("sky", "road", "tree", "car")
    told = [class_units(index, layer, labels) for layer in index if layer.kind in ("conv", "deconv")]
    assert told == [(), (), labels, labels]
    assert class_units(index, index.resolve("3"), labels[:3]) == ()


def test_units_picked_for_a_concept():
    rng = np.random.default_rng(5)
    shares = [rng.random((30, 4)) * 0.06, rng.random((20, 4)) * 0.06]
    for one in shares:
        one[:, 2] = np.minimum(one[:, 2], 0.03) * (one[:, 2] > 0.05)
        one[:, 3] = 0
    results = [make_dissection(one, "abcd", layer=str(at), alias="") for at, one in enumerate(shares)]
    every = [(at, unit, row) for at, one in enumerate(shares) for unit, row in enumerate(one)]
    wanted = {}
    for concept in range(3):
        mine = [one for one in every if one[2].argmax() == concept and one[2].max() > 0.04]
        some = mine or [one for one in every if one[2][concept] > 0]
        some = sorted(some, key=lambda one: (-one[2][concept], one[:2]))[: 8 if mine else 3]
        wanted[concept] = [one[:2] for one in some]
    picked = pick_units(results)
    assert dict(picked) == wanted
    assert [concept for concept, _ in picked][-1] == 2


def test_units_that_cannot_detect_a_concept_are_not_picked_as_its_nearest():
    """Areas of 50 and 100 pixels have an IoU of at most 0.5, of 50 and 2,000 one of at most 0.025."""
    shares = np.array([[0.02, 0.02], [0.03, 0.025]])
    result = replace(make_dissection(shares, "ab", layer="0", alias=""), concept_area=np.array([100, 2000]))
    assert pick_units([result]) == [(0, [(0, 1), (0, 0)])]


def test_minimal_images_of_a_classifier(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )
    model = replace(plain(network, resize=48, crop=(48, 48)), labels=("a", "b", "c"))
    run = netviz.survey(
        model, tmp_path / "run", images=["skimage:chelsea", "skimage:coffee", "skimage:rocket"]
    )
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert [one["image"] for one in facts["minimal"]["shown"]] == [0, 1]
    saved = load_result(run / facts["minimal"]["shown"][1]["file"])
    typed = netviz.minimal("skimage:coffee", model=model, segments=facts["minimal"]["segments"])
    assert saved.facts() == typed.facts()
    np.testing.assert_array_equal(saved.minimal, typed.minimal)
    assert [one["image"] for one in facts["votes"]["shown"]] == [0, 1]
    voted = load_result(run / facts["votes"]["shown"][1]["file"])
    counted = netviz.votes("skimage:coffee", model=model, top=8)
    assert voted.facts() == counted.facts()
    np.testing.assert_array_equal(voted.share, counted.share)
    attributed = facts["attribution"]["shown"]
    asked = [(0, "gradcam"), (1, "gradcam"), (2, "gradcam"), (0, "guided")]
    assert [(one["image"], one["rank"], one["method"]) for one in attributed] == [
        (image, *one) for image in (0, 1) for one in asked
    ]
    # The second of the three classes, by the probabilities.
    second = load_result(run / attributed[5]["file"])
    asked_for = netviz.attribute(
        "skimage:coffee", model=model, method="gradcam", class_=facts["images"][1]["answers"][1]["name"]
    )
    assert second.facts() == asked_for.facts()
    np.testing.assert_array_equal(second.attribution, asked_for.attribution)
    nameless = netviz.survey(
        replace(model, labels=()), tmp_path / "other", images=["skimage:coins"], size=(48, 48)
    )
    told = json.loads((nameless / "run.json").read_text(encoding="utf-8"))
    assert "have no names" in told["minimal"]["missing"]
    assert "have no names" in told["votes"]["missing"]


def test_no_minimal_images_of_a_network_that_scores_every_pixel(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    model = replace(netviz.load(network), labels=("a", "b"))
    run = netviz.survey(model, tmp_path / "run", images=["skimage:coins"], size=(24, 24))
    facts = json.loads((run / "run.json").read_text())
    assert "every pixel" in facts["minimal"]["missing"]
    assert "every pixel" in facts["votes"]["missing"]
    assert "no score for each class" in facts["attribution"]["missing"]


def test_units_shown_are_strong_inside_on_their_own_scale_and_varied():
    inside, leaving = [40, 40, 80, 80], [0, 40, 30, 80]
    box = np.array([[inside] * 2, [inside] * 2, [leaving, inside], [inside] * 2, [leaving] * 2, [inside] * 2])
    margin = np.zeros_like(box)
    margin[(box[..., 0] == 0), 0] = 10
    # The best value of each: on its own scale (high - median) these are 9, 3, 8, 4, 5, and 2 times the spread.
    quantiles = np.array(
        [[0, 1, 2, 10], [0, 10, 20, 50], [0, 1, 2, 11], [0, 1, 2, 6], [0, 1, 2, 7], [0, 1, 2, 4]]
    )
    best = np.array([10, 40, 9, 5, 6, 3], dtype=np.float32)
    found = make_patches(
        box,
        margin=margin,
        score=np.stack([best, best - 0.5], axis=1),
        max=best,
        quantiles=quantiles.astype(np.float32),
        image=np.array([[0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [1, 0]]),
        map_size=(30, 40),
    )
    # Photograph 1's only unit has its turn after the first of photograph 0; then those not strongest inside; last the
    # one without a patch inside.
    assert varied_units(found) == [0, 5, 3, 1, 2, 4]
    alike = NearestResult(
        nearest=np.array([[5], [0], [0], [0], [0], [0]]),
        similarity=np.array([[0.9], [0], [0], [0], [0], [0.9]], dtype=np.float32),
        sparsity=np.zeros(6, dtype=np.float32),
        network="net",
        layer="features.0",
        alias="conv1",
        layer_kind="conv",
        channels=6,
        images=2,
        positions=96,
        samples=96,
        input="as it is",
    )
    assert varied_units(found, alike) == [0, 3, 1, 5, 2, 4]
