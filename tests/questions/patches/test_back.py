"""What in patches made units answer: gradients by a rule, cut out under the patches' boxes."""

import shutil
from dataclasses import replace

import captum.attr
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ModelError, OutputError, ResultError
from netviz.images import prepare, read_image
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing
from netviz.questions.drawing import draw, picture
from netviz.questions.patches import back as back_of_patches
from netviz.questions.patches.run import open_run, read_back
from support.pictures import texts

WHOLE = Preprocessing(52, (48, 48), (0.5,) * 3, (0.25,) * 3)


class Small(nn.Sequential):
    """Modules for all, so that captum's own deconvnet can be asked."""

    def __init__(self):
        torch.manual_seed(2)
        super().__init__(
            nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)
        )


def opened(network, preprocessing=WHOLE):
    return Model("small", network.eval(), network.state_dict(), preprocessing, (), "made here")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 52, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "r"
    return netviz.patches(
        opened(Small()), out, images=[photos], layer=["2"], top=3, inside=True, deconv=True, deconv_units="3,0",
        workers=0, device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "reference"),
    [("deconvnet", captum.attr.NeuronDeconvolution), ("guided", captum.attr.NeuronGuidedBackprop)],
)
@pytest.mark.filterwarnings("ignore:Setting")
def test_tiles_are_captums_gradients_under_the_box(run, photos, rule, reference):
    opened_run = open_run(run)
    result = opened_run.result(opened_run.choose("2"))
    back = read_back(run, result)
    assert back.drawn_units.tolist() == [3, 0]
    assert back.rules == ("deconvnet", "guided")
    assert back.rectifiers == {"relu": 1}
    network = Small().eval()
    names = (run / "images.txt").read_text().splitlines()
    checked = 0
    for row, unit in enumerate((3, 0)):
        for place in np.flatnonzero(result.shown[unit]):
            photo = read_image(names[result.image[unit, place]])
            image = prepare(photo, WHOLE).tensor.requires_grad_()
            at = (unit, int(result.row[unit, place]), int(result.col[unit, place]))
            slope = reference(network, network[2]).attribute(image, at)[0].detach().numpy()
            # The crop begins 6 rows and 2 columns into the photograph; nothing is resized.
            top, left, bottom, right = result.box[unit, place] - (6, 2, 6, 2)
            wanted = slope.transpose(1, 2, 0)[top:bottom, left:right]
            assert wanted.shape == (9, 9, 3)
            assert np.abs(slope).sum() == pytest.approx(np.abs(wanted).sum(), rel=1e-5)
            end = np.abs(wanted).max()
            rule_at = back.rules.index(rule)
            assert back.ends[rule_at, row, place] == pytest.approx(end, rel=1e-5)
            found = back.of(rule, unit, int(place)).astype(float)
            np.testing.assert_allclose(found, 127.5 + 127.5 * wanted / end, atol=0.51)
            checked += 1
    assert checked > 3
    assert back.of(rule, 1, 0) is None


def test_a_finished_run_gets_it_afterwards_with_the_same_bytes(run, photos, tmp_path):
    options = {"images": [photos], "layer": ["2"], "top": 3, "inside": True, "workers": 0, "device": "cpu"}
    out = netviz.patches(opened(Small()), tmp_path / "r", **options)
    with pytest.raises(OutputError, match="does not hold what made units of 2 answer; measure it with"):
        draw(out, tmp_path / "a.png", beside="deconv")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert netviz.patches(opened(Small()), out, deconv=True, deconv_units="3,0", device="cpu") == out
    assert (out / "back" / "2.npz").read_bytes() == (run / "back" / "2.npz").read_bytes()
    assert {path: path.read_bytes() for path in before} == before
    other = Small()
    nn.init.zeros_(other[0].weight)
    with pytest.raises(ResultError, match="with other weights"):
        netviz.patches(opened(other), out, deconv=True, device="cpu")
    with pytest.raises(ResultError, match=r"saw images as: .*give the same --fit and --size"):
        netviz.patches(opened(Small()), out, deconv=True, device="cpu", fit="full")


def test_images_that_share_a_pass_give_the_same_tiles(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(back_of_patches, "AT_ONCE", {})
    out = netviz.patches(
        opened(Small()), tmp_path / "r", images=[photos], layer=["2"], top=3, inside=True, deconv=True,
        deconv_units="3,0", workers=0, device="cpu",
    )  # fmt: skip
    alone, shared = (netviz.load_result(folder / "back" / "2.npz") for folder in (run, out))
    np.testing.assert_allclose(shared.ends, alone.ends, rtol=1e-5)
    assert np.abs(shared.tiles.astype(int) - alone.tiles).max() <= 1


def test_patches_that_share_a_way_back_give_the_same_bytes(run, photos, tmp_path, monkeypatch):
    shared = []

    def alone(*asked):
        shared.extend(len(turn) for turn in turns(*asked))
        return [[entry] for entry in asked[0]]

    turns = back_of_patches._turns
    monkeypatch.setattr(back_of_patches, "_turns", alone)
    out = netviz.patches(
        opened(Small()), tmp_path / "r", images=[photos], layer=["2"], top=3, inside=True, deconv=True,
        deconv_units="3,0", workers=0, device="cpu",
    )  # fmt: skip
    assert max(shared) > 1
    assert (out / "back" / "2.npz").read_bytes() == (run / "back" / "2.npz").read_bytes()


def test_below_each_patch_stands_its_tile(run, tmp_path):
    plain, drawn = picture(run, units=[0, 3]), picture(run, units=[0, 3], beside="guided")
    shown = int(open_run(run).result(open_run(run).choose(None)).shown[[0, 3]].sum())
    assert len(drawn.axes[0].images) == len(plain.axes[0].images) + shown
    assert "by guided backpropagation on 1 relu" in texts(drawn)
    assert "when weights are random (Adebayo et al., 2018)" in texts(drawn)
    assert "by a deconvnet" in texts(picture(run, beside="deconv"))
    back = read_back(run, open_run(run).result(open_run(run).choose(None)))
    held = [image.get_array() for image in drawn.axes[0].images]
    assert any(one.shape == (9, 9, 3) and (one == back.of("guided", 0, 0)).all() for one in held)
    with pytest.raises(OutputError, match=r"what made unit 1 answer was not measured; .*--deconv-units 0,1"):
        picture(run, units=[0, 1], beside="deconv")
    assert "grey all over" not in texts(drawn)
    with pytest.raises(OutputError, match="--with is for the folder of a run of netviz patches"):
        picture(run / "back" / "2.npz", beside="deconv")
    with pytest.raises(ValueError, match="beside must be one of deconv, guided"):
        picture(run, beside="x")


def test_what_a_rule_lets_nothing_through_to_is_counted(run, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    opened = open_run(folder)
    patches = opened.result(opened.choose(None))
    back = read_back(folder, patches)
    ends = back.ends.copy()
    ends[back.rules.index("deconvnet"), back.drawn_units.tolist().index(3)] = 0
    replace(back, ends=ends).save(folder / "back" / "2.npz")
    shown = patches.shown[[3, 0]].sum(axis=1)
    said = f"grey all over: the rule lets nothing through to {shown[0]} of {shown.sum()} patches"
    assert said in texts(picture(folder, units=[3, 0], beside="deconv"))
    for options in ({"units": [0], "beside": "deconv"}, {"units": [3, 0], "beside": "guided"}):
        assert "grey all over" not in texts(picture(folder, **options))


def test_what_cannot_be_measured_is_refused(photos, tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3))
    with pytest.raises(ModelError, match=r"nothing to act on in small: .* meet no ReLU \(but gelu, which"):
        netviz.patches(
            opened(network),
            tmp_path / "r",
            images=[photos],
            layer=["2"],
            deconv=True,
            workers=0,
            device="cpu",
        )
    with pytest.raises(ValueError, match="deconv_units chooses what deconv measures"):
        netviz.patches(opened(network), tmp_path / "s", images=[photos], deconv_units="0", device="cpu")


def test_large_fields_are_reduced_and_resized_images_read_between_pixels(photos, tmp_path):
    """At half of its size, a field of 9 pixels is 18 of the original's and what the filter mixes in."""
    half = Preprocessing(26, None, (0.5,) * 3, (0.25,) * 3)
    out = netviz.patches(
        opened(Small(), half), tmp_path / "r", images=[photos], layer=["2"], top=1, inside=True, deconv=True,
        workers=0, device="cpu",
    )  # fmt: skip
    found = open_run(out)
    result = found.result(found.choose(None))
    back = read_back(out, result)
    unit = int(np.flatnonzero(result.shown[:, 0])[0])
    tile = np.abs(back.of("deconvnet", unit, 0).astype(float) - 127.5).sum(axis=2)
    height = result.box[unit, 0, 2] - result.box[unit, 0, 0]
    assert 18 <= height <= 24
    assert tile.shape[0] == round(height / 2)
    # What made the unit answer lies in the middle of the box, whose borders only the filter reaches.
    rows, columns = np.indices(tile.shape)
    weights = np.where(tile > 1, tile, 0)
    for axis in (rows, columns):
        assert abs((axis * weights).sum() / weights.sum() - (tile.shape[0] - 1) / 2) < 1.5
