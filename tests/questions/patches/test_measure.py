"""Patches of every unit: the run's files, boxes to the pixel, interruptions, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.capture import capture
from netviz.errors import ImageError, LayerError, NetvizError, OutputError, ResultError
from netviz.geometry.field import Field
from netviz.images import prepare, read_image
from netviz.models import Preprocessing
from netviz.questions.patches.boxes import cell_boxes, resampled

PREPROCESSING = Preprocessing(resize=40, crop=(32, 36), mean=(0.5,) * 3, std=(0.25,) * 3)


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ).eval()


def model(**changes):
    made = netviz.load(network())
    return replace(made, name="net", preprocessing=replace(PREPROCESSING, **changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(12):
        size = [(60, 90), (90, 60), (40, 40), (33, 70), (200, 150)][number % 5]
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"n0000000{number % 3}_{number}.png")
    return folder


def files(run):
    return {
        str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()
    }


def test_a_run_holds_what_is_promised(folder, tmp_path):
    (folder / "bad.png").write_bytes((folder / "n00000000_0.png").read_bytes()[:900])
    try:
        run = netviz.patches(
            model(), tmp_path / "run", images=[folder], layer=["relu1", "conv2"], top=3, workers=0
        )
    finally:
        (folder / "bad.png").unlink()
    names = (run / "images.txt").read_text().splitlines()
    facts = json.loads((run / "run.json").read_text())
    assert len(names) == 13
    assert facts["images"] == {"listed": 13, "counted": 12, "skipped": 1}
    assert facts["skipped"][0]["image"].endswith("bad.png")
    assert "damaged" in facts["skipped"][0]["reason"]
    assert set(files(run)) == {"images.txt", "run.json", "layers/2.npz", "layers/3.npz"}
    with np.load(run / "layers" / "2.npz") as saved:
        assert saved["score"].shape == (6, 3)
        assert saved["score"].dtype == np.float32
        assert saved["image"].shape == saved["row"].shape == saved["col"].shape == (6, 3)
        assert saved["box"].shape == (6, 3, 4)
        for name in ("mean", "max", "nonzero"):
            assert saved[name].shape == (6,)
        assert saved["quantiles"].shape == (6, len(saved["quantile_levels"]))
        assert np.issubdtype(saved["box"].dtype, np.integer)
        assert (np.diff(saved["score"], axis=1) <= 0).all()
        assert np.array_equal(saved["max"], saved["score"][:, 0])
        assert not np.isin(saved["image"], names.index(facts["skipped"][0]["image"])).any()


@pytest.mark.parametrize("fit", ["crop", "resize", "full"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_nothing_outside_of_a_box_changes_the_score(fit, interpolation, folder, tmp_path):
    asked = model(interpolation=interpolation)
    run = netviz.patches(asked, tmp_path / "run", images=[folder], layer=["conv2"], top=2, fit=fit, workers=0)
    result = netviz.load_result(run / "layers" / "3.npz")
    names = (run / "images.txt").read_text().splitlines()
    preprocessing = asked.preprocessing.fitted(fit)
    index = netviz.layers(asked)
    layer = index.resolve("conv2")
    rng = np.random.default_rng(1)
    border = 0

    def score(pixels, unit, row, col):
        with capture(asked.network, [layer]) as seen, torch.no_grad():
            seen(prepare(pixels, preprocessing).tensor)
        return float(seen[layer][0, unit, row, col])

    for unit in range(4):
        for at in range(2):
            photo = read_image(names[result.image[unit, at]])
            place = unit, int(result.row[unit, at]), int(result.col[unit, at])
            top, left, bottom, right = result.box[unit, at]
            assert result.size[unit, at].tolist() == list(photo.pixels.shape[:2])
            assert 0 <= top < bottom <= photo.pixels.shape[0]
            assert 0 <= left < right <= photo.pixels.shape[1]
            clean = score(photo.pixels, *place)
            assert clean == pytest.approx(float(result.score[unit, at]), abs=1e-4)
            noise = rng.integers(0, 256, photo.pixels.shape, dtype=np.uint8)
            outside = noise.copy()
            outside[top:bottom, left:right] = photo.pixels[top:bottom, left:right]
            assert score(outside, *place) == pytest.approx(clean, abs=1e-6)
            inside = photo.pixels.copy()
            inside[top:bottom, left:right] = noise[top:bottom, left:right]
            assert abs(score(inside, *place) - clean) > 1e-3
            border += result.margin[unit, at].any()
    assert border or fit != "crop"


def maps_of(asked, folder, layer):
    """Maps of each image, in the order of the list, by a plain pass."""
    found = []
    for path in sorted(folder.iterdir()):
        with capture(asked.network, [layer]) as seen, torch.no_grad():
            seen(prepare(read_image(path).pixels, asked.preprocessing).tensor)
        found.append(seen[layer][0].numpy())
    return np.stack(found)


def test_inside_keeps_to_fields_inside_the_image(folder, tmp_path):
    asked = model()
    values = maps_of(asked, folder, netviz.layers(asked).resolve("relu2"))
    options = {"images": [folder], "layer": ["relu2"], "top": 12, "per_image": 1, "workers": 0}
    everywhere = netviz.patches(asked, tmp_path / "all", **options)
    # Two convolutions of 3 with padding 1, the first every 2 pixels: position i sees 7 pixels from 2 i - 3 on.
    # Of 16 rows (32 pixels) and 18 columns (36) 2 to 14 and 2 to 16 lie inside.
    result = netviz.load_result(everywhere / "layers" / "4.npz")
    outside = (result.row < 2) | (result.row > 14) | (result.col < 2) | (result.col > 16)
    assert result.inside is False
    assert 0 < outside.mean() < 1
    assert np.array_equal((result.margin > 0).any(axis=-1), outside)
    assert result.outside == pytest.approx(outside[result.score > 0].mean())
    told = json.loads((everywhere / "run.json").read_text())["layers"][0]
    assert (told["inside"], told["outside"]) == (False, result.outside)
    run = netviz.patches(asked, tmp_path / "inside", inside=True, **options)
    result = netviz.load_result(run / "layers" / "4.npz")
    assert (result.inside, result.outside) == (True, 0.0)
    assert not result.margin.any()
    best = np.sort(values[:, :, 2:15, 2:17].max(axis=(2, 3)), axis=0)[::-1].T
    np.testing.assert_allclose(result.score, best, atol=1e-4)
    np.testing.assert_allclose(result.max, values.max(axis=(0, 2, 3)), atol=1e-4)


def test_a_margin_of_an_enlarged_image_is_never_lost(tmp_path):
    # One pixel of padding is a fifth of a pixel of an image that is enlarged five times.
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
        tmp_path / "a.png"
    )
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1))
    asked = replace(netviz.load(network), name="net", preprocessing=replace(PREPROCESSING, crop=(40, 40)))
    run = netviz.patches(
        asked, tmp_path / "run", images=[tmp_path / "a.png"], top=1600, per_image=1600, workers=0
    )
    result = netviz.load_result(run / "layers" / "0.npz")
    border = np.isin(result.row, (0, 39)) | np.isin(result.col, (0, 39))
    assert np.array_equal((result.margin > 0).any(axis=-1), border)


@pytest.mark.parametrize("layer", ["gap", "wide"])
def test_a_layer_without_fields_inside_is_searched_everywhere_and_says_so(layer, folder, tmp_path):
    last = {"gap": nn.AdaptiveAvgPool2d(1), "wide": nn.Conv2d(4, 2, 41, padding=20)}[layer]
    network = nn.Sequential(nn.Conv2d(3, 4, 3), last)
    asked = replace(netviz.load(network), name="net", preprocessing=PREPROCESSING)
    run = netviz.patches(asked, tmp_path / "run", images=[folder], layer=["0", "1"], inside=True, workers=0)
    first, second = (netviz.load_result(run / "layers" / f"{at}.npz") for at in range(2))
    assert (first.inside, first.outside) == (True, 0.0)
    assert (second.inside, second.outside) == (None, None if layer == "gap" else 1.0)
    assert (second.image >= 0).all()


def test_few_images_give_several_patches_that_hardly_overlap(folder, tmp_path):
    asked = model()
    options = {"images": [folder], "layer": ["relu2"], "workers": 0}
    run = netviz.patches(asked, tmp_path / "auto", top=30, **options)
    result = netviz.load_result(run / "layers" / "4.npz")
    assert result.apart
    assert json.loads((run / "run.json").read_text())["options"]["per_image"] == "auto"
    assert (result.image >= 0).all()
    for unit in range(4):
        several = 0
        for at in range(30):
            for other in range(at):
                if result.image[unit, at] != result.image[unit, other]:
                    continue
                several += 1
                ends = [
                    np.clip([2 * r - 3, 2 * c - 3, 2 * r + 4, 2 * c + 4], 0, [32, 36] * 2)
                    for r, c in zip(result.row[unit, [at, other]], result.col[unit, [at, other]], strict=True)
                ]
                shared = np.minimum(*ends)[2:] - np.maximum(*ends)[:2]
                areas = [(one[2:] - one[:2]).prod() for one in ends]
                assert shared.min() <= 0 or 4 * shared.prod() < min(areas)
        assert several
    one = netviz.patches(asked, tmp_path / "one", top=9, per_image=1, **options)
    assert not netviz.load_result(one / "layers" / "4.npz").apart
    many = tmp_path / "many"
    many.mkdir()
    for number, path in enumerate([*sorted(folder.iterdir())] * 5):
        shutil.copy(path, many / f"{number:02}.png")
    run = netviz.patches(asked, tmp_path / "auto50", images=[many], layer=["relu2"], workers=0)
    result = netviz.load_result(run / "layers" / "4.npz")
    assert (result.apart, result.per_image) == (False, 1)
    assert all(len(set(row)) == 9 for row in result.image.tolist())


@pytest.mark.parametrize("method", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize(
    ("original", "resized"), [(90, 40), (40, 90), (101, 7), (33, 32), (8, 8), (500, 224)]
)
def test_bounds_of_the_filter_are_those_that_pillow_uses(method, original, resized):
    """A pixel is inside the bounds if changing it changes the resized one, found by changing each in turn."""
    base = np.full((original, 1), 0, dtype=np.float32)
    reach = np.zeros((resized, original), dtype=bool)
    for pixel in range(original):
        changed = base.copy()
        changed[pixel] = 1e6
        reach[:, pixel] = np.asarray(Image.fromarray(changed).resize((1, resized), method))[:, 0] != 0
    at = np.arange(resized)
    size = np.full(resized, original), np.full(resized, resized)
    low, high = resampled(at, at + 1, *size, method.name.lower())
    for pixel in range(resized):
        touched = np.flatnonzero(reach[pixel])
        assert low[pixel] <= touched.min()
        assert high[pixel] > touched.max()
        # No wider than needed: zeros of the kernel at its ends are all that may be counted in vain.
        assert touched.min() - low[pixel] <= 1
        assert high[pixel] - 1 - touched.max() <= 1


def test_cells_of_positions_that_all_see_the_same_are_spread_over_the_image():
    strips = Field((3.0, 12.0), (2.0, 0.0), (1.0, 0.0), "exact")
    sizes, start = np.array([[14, 12]]), np.array([[2, 1]])
    box = cell_boxes(strips, start, (2, 2), (7, 4), sizes, Preprocessing(resize=None, crop=None))
    np.testing.assert_array_equal(box, [[4, 3, 8, 9]])


def test_classes_come_from_names_and_folders(folder, tmp_path):
    run = netviz.patches(
        model(), tmp_path / "a", images=[folder], layer=["conv1"], per_class=1, top=2, workers=0
    )
    result = netviz.load_result(run / "layers" / "0.npz")
    assert result.classes == ("n00000000", "n00000001", "n00000002")
    names = (run / "images.txt").read_text().splitlines()
    for number, name in enumerate(result.classes):
        assert all(f"{name}_" in names[image] for image in result.class_image[:, number, 0])
    assert np.array_equal(result.class_score.max(axis=(1, 2)), result.max)
    for kind in ("cat", "dog"):
        (tmp_path / "classed" / kind).mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        shutil.copy(path, tmp_path / "classed" / ("cat", "dog")[number % 2] / f"photo {number}a.png")
    run = netviz.patches(
        model(), tmp_path / "b", images=[tmp_path / "classed"], layer=["conv1"], per_class=2, workers=0
    )
    assert netviz.load_result(run / "layers" / "0.npz").classes == ("cat", "dog")
    with pytest.raises(ImageError, match="name no classes"):
        netviz.patches(model(), tmp_path / "c", images=["skimage:coffee"], per_class=1)


def interrupted(folder, run, at, monkeypatch, **options):
    """Let a run die after some chunks."""
    from netviz.engines import local

    original, seen = local.load_chunk, []

    def dying(source, number, batch):
        seen.append(number)
        if len(seen) > at:
            raise KeyboardInterrupt
        return original(source, number, batch)

    with monkeypatch.context() as patch:
        patch.setattr(local, "load_chunk", dying)
        with pytest.raises(KeyboardInterrupt):
            netviz.patches(model(), run, images=[folder], batch=2, workers=0, every=0, **options)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(folder, tmp_path, monkeypatch):
    whole = netviz.patches(model(), tmp_path / "whole", images=[folder], batch=2, workers=0)
    run = tmp_path / "run"
    interrupted(folder, run, 2, monkeypatch)
    interrupted(folder, run, 1, monkeypatch, resume=True)
    assert [path.name for path in run.iterdir()] == ["state.npz"]
    with pytest.raises(OutputError, match="go on with --resume"):
        netviz.patches(model(), run, images=[folder], batch=2, workers=0)
    netviz.patches(model(), run, images=[folder], batch=2, workers=2, resume=True)
    assert files(run) == files(whole)
    with pytest.raises(OutputError, match="no unfinished run"):
        netviz.patches(model(), run, images=[folder], resume=True)


def test_another_question_is_not_resumed(folder, tmp_path, monkeypatch):
    run = tmp_path / "run"
    interrupted(folder, run, 2, monkeypatch)
    other = model()
    with torch.no_grad():
        other.network[0].weight[0, 0, 0, 0] += 1e-6
    for name, asked, options in (
        ("model", other, {}),
        ("images", model(), {"images": [folder, "skimage:coffee"]}),
        ("options", model(), {"top": 3}),
        ("options", model(), {"batch": 3}),
        ("options", model(), {"layer": ["conv1"]}),
    ):
        given = {"images": [folder], "batch": 2, "workers": 0, **options}
        with pytest.raises(ResultError, match=f"begun with other.*{name}"):
            netviz.patches(asked, run, resume=True, **given)
    (run / "state.npz").write_bytes((run / "state.npz").read_bytes()[:500])
    with pytest.raises(ResultError, match="damaged"):
        netviz.patches(model(), run, images=[folder], batch=2, resume=True)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_patches
import netviz.engines.local as local
load = local.load_chunk
def slow(*arguments):
    time.sleep(0.05)
    return load(*arguments)
local.load_chunk = slow
import netviz
run, state = Path({run!r}), Path({run!r}) / "state.npz"
# A process that has imported all it takes, as a first run shows, begins the runs as copies of itself.
begin = netviz.patches
begin(test_patches.model(), run.with_name("first"), images=[{folder!r}], batch=12, workers=0)
for number, moment in enumerate({moments!r}):
    before = state.stat().st_mtime_ns if state.exists() else 0
    child = os.fork()
    if not child:
        begin(test_patches.model(), run, images=[{folder!r}], batch=1, workers=0, every=0, resume=number > 0)
        os._exit(0)
    # Wait until the run has come further, then kill it at some moment.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (state.exists() and state.stat().st_mtime_ns != before):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), state.exists())
"""


def test_killed_at_five_random_moments_it_ends_with_the_same_bytes(folder, tmp_path):
    whole = netviz.patches(model(), tmp_path / "whole", images=[folder], batch=1, workers=0)
    run = tmp_path / "run"
    moments = np.random.default_rng(7).uniform(0, 0.15, 5).tolist()
    shutil.copy(__file__, tmp_path / "test_patches.py")
    script = SCRIPT.format(tests=str(tmp_path), run=str(run), folder=str(folder), moments=moments)
    # A copy of a process has none of its threads.
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, env=alone
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.splitlines() == [f"{-signal.SIGKILL} True"] * 5
    with np.load(run / "state.npz") as saved:
        assert 0 < saved["done"].sum() < 12
    netviz.patches(model(), run, images=[folder], batch=1, workers=0, resume=True)
    assert files(run) == files(whole)


@pytest.mark.parametrize("write", [1, 2, 4])
def test_what_a_run_was_writing_when_it_was_killed_is_removed(folder, tmp_path, monkeypatch, write):
    from pathlib import Path

    whole = netviz.patches(model(), tmp_path / "whole", images=[folder], batch=4, workers=0)
    run, done, own = tmp_path / "run", 0, Path.replace

    def killed(self, target):
        nonlocal done
        done += 1
        if done == write:
            self.with_name(f"{self.name[:-9]}lost.part").write_bytes(b"half")
            raise KeyboardInterrupt
        return own(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            netviz.patches(model(), run, images=[folder], batch=4, workers=0, every=0)
    assert len(list(run.glob(".state.npz.*.part"))) == 1
    netviz.patches(model(), run, images=[folder], batch=4, workers=0, resume=True)
    assert files(run) == files(whole)
    assert not list(run.rglob("*.part"))


def test_a_unit_that_is_0_everywhere_is_dead_also_where_others_are_negative(folder, tmp_path):
    asked = model()
    with torch.no_grad():
        convolution = asked.runnable()[3]
        convolution.weight[2], convolution.bias[2] = 0, 0
    run = netviz.patches(asked, tmp_path / "run", images=[folder], layer=["conv2"], workers=0)
    (layer,) = netviz.report(run)["layers"]
    assert (layer["rectified"], layer["dead"], layer["always_on"]) == (False, [2], [])
    result = netviz.load_result(run / "layers" / "3.npz")
    assert result.shown.any(axis=1).tolist() == [True, True, False, True]
    told = netviz.units(asked, "conv2", images=[folder], workers=0).summary()
    assert told["never_active"] == [2]


def test_bad_input_is_one_line(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no image")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    odd = [tmp_path / "a\nb.png", tmp_path / "a\udcff.png"]
    for path in odd:
        path.touch()
    sick = netviz.load(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 30 * 34, 4)))
    sick = replace(sick, preprocessing=PREPROCESSING)
    cases = [
        (ImageError, "holds no image", model(), {"images": [tmp_path / "empty"]}),
        (ImageError, "none of the 1 images can be read", model(), {"images": [tmp_path / "broken"]}),
        (ImageError, "no image that Pillow", model(), {"images": [tmp_path / "broken"], "strict": True}),
        (ImageError, "several lines", model(), {"images": odd[:1]}),
        (ImageError, "no UTF-8", model(), {"images": odd[1:]}),
        (ImageError, "no such image", model(), {"images": [folder, tmp_path / "gone.png"]}),
        (LayerError, "has no maps", sick, {"layer": ["fc2"]}),
        (OutputError, "not empty", model(), {"out": tmp_path / "full"}),
    ]
    for number, (kind, message, asked, options) in enumerate(cases):
        given = {"out": tmp_path / f"run{number}", "images": [folder], "workers": 0, **options}
        with pytest.raises(kind, match=message) as error:
            netviz.patches(asked, **given)
        assert "\n" not in str(error.value)
        assert not (tmp_path / f"run{number}").exists()
    for options in (
        {"engine": "spark"},
        {"fit": "no"},
        {"top": 0},
        {"dtype": "int8"},
        {"per_image": 0},
        {"per_image": "all"},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            netviz.patches(model(), tmp_path / "x", images=[folder], **options)


def test_a_full_disk_is_told_in_one_line(folder, tmp_path, monkeypatch):
    from pathlib import Path

    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NetvizError, match=r"No space left") as error:
        netviz.patches(model(), tmp_path / "run", images=[folder], workers=0)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.part"))
