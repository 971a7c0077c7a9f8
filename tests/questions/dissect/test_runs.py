"""Runs of dissection: files, interruptions, engines, bad input."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ImageError, LayerError, NetvizError, OutputError
from netviz.questions.patches.run import open_run
from netviz.questions.reader import load_result
from support.pages import tree
from support.scenes import CLASSES, QUANTILE, make_scenes, model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"))


def test_a_run_holds_what_is_promised(folder, tmp_path):
    run = netviz.dissect(model(), tmp_path / "run", data=folder, layer="conv2", workers=0, top=2)
    assert set(tree(run)) == {
        "images.txt",
        "run.json",
        "layers/3.npz",
        "layers/3.csv",
        "patches/images.txt",
        "patches/run.json",
        "patches/layers/3.npz",
    }
    facts = json.loads((run / "run.json").read_text())
    assert facts["kind"] == "dissection"
    assert facts["images"] == {"listed": 20, "counted": 20, "skipped": 0}
    patches = open_run(run / "patches")
    assert patches.result(patches.layers[0]).score.shape == (5, 2)
    assert (run / "images.txt").read_bytes() == (run / "patches" / "images.txt").read_bytes()


def test_workers_and_batches_change_nothing_but_rounding(folder, tmp_path):
    options = {"data": folder, "layer": ["relu1", "conv2"], "quantile": QUANTILE}
    expected = netviz.dissect(model(), tmp_path / "a", workers=0, batch=7, **options)
    again = netviz.dissect(model(), tmp_path / "b", workers=2, batch=7, **options)
    assert tree(again) == tree(expected)
    single = netviz.dissect(model(), tmp_path / "c", workers=0, batch=1, **options)
    for name in ("2", "3"):
        one, other = (load_result(run / "layers" / f"{name}.npz") for run in (expected, single))
        np.testing.assert_allclose(one.threshold, other.threshold, atol=1e-6)
        np.testing.assert_allclose(one.iou, other.iou, atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_the_same_bytes(folder, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ray.data")
    options = {"data": folder, "layer": "conv2", "quantile": QUANTILE, "batch": 3}
    expected = netviz.dissect(model(), tmp_path / "a", workers=0, **options)
    found = netviz.dissect(model(), tmp_path / "b", engine="ray", workers=2, **options)
    assert tree(found) == tree(expected)


def interrupted(folder, run, at, monkeypatch, **options):
    """Let a run die after so many chunks."""
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
            netviz.dissect(model(), run, data=folder, layer="conv2", batch=4, workers=0, every=0, **options)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(folder, tmp_path, monkeypatch):
    options = {"data": folder, "layer": "conv2", "batch": 4, "workers": 0}
    whole = netviz.dissect(model(), tmp_path / "whole", **options)
    run = tmp_path / "run"
    interrupted(folder, run, 2, monkeypatch)
    assert [path.name for path in run.rglob("*.npz")] == ["state.npz"]
    # Five chunks a pass: the second time it dies in the second one, and the third time too.
    interrupted(folder, run, 4, monkeypatch, resume=True)
    assert (run / "state.npz").exists()
    assert not (run / "patches" / "state.npz").exists()
    interrupted(folder, run, 1, monkeypatch, resume=True)
    with pytest.raises(OutputError, match="go on with --resume"):
        netviz.dissect(model(), run, **options)
    with pytest.raises(NetvizError, match="begun with other options"):
        netviz.dissect(model(), run, resume=True, quantile=0.9, **options)
    with pytest.raises(NetvizError, match="unfinished; go on with netviz dissect --resume"):
        netviz.report(run)
    netviz.dissect(model(), run, resume=True, **options)
    assert tree(run) == tree(whole)


def test_images_whose_labels_do_not_fit_are_left_out_or_stop_the_run(folder, tmp_path):
    data = tmp_path / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
        for path in sorted((folder / kind).iterdir())[:6]:
            (data / kind / path.name).write_bytes(path.read_bytes())
    (data / "classes.txt").write_text("\n".join(CLASSES))
    (data / "labels" / "00.png").unlink()
    Image.fromarray(np.zeros((9, 90), dtype=np.uint8)).save(data / "labels" / "01.png")
    Image.fromarray(np.full((40, 44), 9, dtype=np.uint8)).save(data / "labels" / "02.png")
    (data / "images" / "03.png").write_text("no image")
    run = netviz.dissect(model(), tmp_path / "run", data=data, layer="conv2", workers=0)
    facts = netviz.report(run)
    assert facts["images"] == {"listed": 6, "counted": 2, "skipped": 4}
    reasons = [one["reason"] for one in facts["skipped"]]
    parts = ("no label mask", "another aspect", "unknown label values: 9", "no image")
    assert all(part in reason for part, reason in zip(parts, reasons, strict=True))
    assert open_run(run / "patches").facts["images"]["counted"] == 2
    with pytest.raises(ImageError, match="no label mask"):
        netviz.dissect(model(), tmp_path / "strict", data=data, layer="conv2", workers=0, strict=True)
    for path in (data / "labels").iterdir():
        path.unlink()
    with pytest.raises(ImageError, match="none of the 6 images"):
        netviz.dissect(model(), tmp_path / "none", data=data, layer="conv2", workers=0)


def test_a_layer_that_is_not_spatial_says_so(folder, tmp_path):
    with pytest.raises(LayerError, match="is not spatial: its maps are 1×1"):
        netviz.dissect(model(), tmp_path / "a", data=folder, layer="-1", workers=0)
    flat = model(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 30 * 34, 4)))
    with pytest.raises(LayerError, match="has no maps"):
        netviz.dissect(flat, tmp_path / "b", data=folder, layer="fc2", workers=0)


class Whole(nn.Module):
    """Every position sees the whole image, through a gate, and then through a weighted sum of all."""

    def __init__(self, positions):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, stride=4)
        self.gated = nn.Conv2d(4, 4, 1)
        self.mix = nn.Linear(positions, positions)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.conv(x)
        x = self.gated(x * x.mean((2, 3), keepdim=True).sigmoid())
        return self.last(self.mix(x.flatten(2)).view(x.shape))


def test_where_positions_see_the_whole_image_and_have_no_place_they_are_spread_evenly(folder, tmp_path):
    torch.manual_seed(0)
    run = netviz.dissect(
        model(Whole(7 * 8).eval()), tmp_path / "run", data=folder, layer=["conv", "gated", "last"], workers=0
    )
    told = netviz.report(run)["layers"]
    assert [(one["field_status"], one["placed"]) for one in told] == [
        ("exact", "by field"),
        ("global", "by field"),
        ("global", "evenly"),
    ]


def test_classes_without_names_end_with_the_last_that_occurs(folder, tmp_path):
    (tmp_path / "data").mkdir()
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).symlink_to(folder / kind)
    run = netviz.dissect(model(), tmp_path / "run", data=tmp_path / "data", layer="conv2", workers=0)
    result = load_result(run / "layers" / "3.npz")
    assert result.concepts == tuple((f"class {number}", "class") for number in range(4))
    run = netviz.dissect(model(), tmp_path / "colours", data=folder / "images", layer="conv2", workers=0)
    assert netviz.report(run)["by_category"].keys() == {"colour"}


def test_wrong_values_are_named(folder, tmp_path):
    wrong = [
        {"quantile": 1.5},
        {"iou": -1},
        {"top": 0},
        {"batch": 0},
        {"fit": "no"},
        {"engine": "spark"},
        {"layer": ()},
    ]
    for options in wrong:
        with pytest.raises(ValueError, match=next(iter(options))):
            netviz.dissect(model(), tmp_path / "run", **{"data": folder, "layer": "conv2", **options})
    assert not (tmp_path / "run").exists()
