"""Dissection against dense NumPy over activations recorded from the same batches."""

import copy
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import netviz
from netviz.engines import Job, Tally, run_local
from netviz.images.labelled.folder import open_labelled
from netviz.models import Layer
from netviz.questions.dissect.layer import quantile_error, sample_size
from netviz.questions.dissect.run import open_dissection
from netviz.questions.dissect.source import Labelled
from netviz.questions.reader import load_result
from netviz.questions.runs import open_network
from support.scenes import QUANTILE, make_scenes, model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"))


class Recorder:
    """Keeps all maps and labels of a run; its chunks may come from several threads."""

    def __init__(self):
        self.maps, self.batches = {}, []
        self.lock, self.seen = threading.Lock(), threading.local()

    def observe(self, layer, maps, batch):
        self.seen.__dict__[layer.name] = maps.float().cpu().numpy().copy()

    def update(self, batch):
        with self.lock:
            self.batches.append(copy.deepcopy(batch))
            for name, maps in self.seen.__dict__.items():
                self.maps.setdefault(name, []).append(maps)

    def discard(self):
        raise AssertionError

    state = merge = restore = discard


def brute_force(asked, data, layer, quantile, batch, fit="resize"):
    """Thresholds and intersections over unions, from dense maps interpolated by SciPy."""
    opened = open_network(asked, layer, fit=fit, size=None, trust=False, weights="default", seed=0)
    labels = open_labelled(data)
    names = [str(path) for path in labels.images]
    source = Labelled(labels, names, opened.preprocessing)
    recorder = Recorder()
    job = Job(
        opened.network,
        "net",
        opened.preprocessing,
        opened.index.input_shape,
        opened.layers,
        source,
        names,
        Recorder,
        batch,
    )
    run_local(job, recorder, Tally.empty(job.chunks))
    found = {}
    for one in opened.layers:
        field, recorded = opened.fields[one], recorder.maps[one.name]
        values = np.concatenate([x.transpose(0, 2, 3, 1).reshape(-1, one.channels) for x in recorded])
        threshold = np.quantile(values.astype(np.float64), quantile, axis=0)
        met = np.zeros((one.channels, len(labels.concepts)))
        active, area = np.zeros(one.channels), np.zeros(len(labels.concepts))
        for x, taken in zip(recorded, recorder.batches, strict=True):
            axes = []
            for axis, pixels in enumerate(taken.pixels.shape[1:3]):
                middle = field.start[axis] + (field.size[axis] - 1) / 2
                axes.append(
                    np.clip((np.arange(pixels) - middle) / field.stride[axis], 0, x.shape[2 + axis] - 1)
                )
            places = np.stack(np.meshgrid(*axes, indexing="ij"))
            for image, codes in enumerate(taken.extra["labels"]):
                known = codes[0] < len(labels.concepts)
                masks = codes[0] == np.arange(len(labels.concepts))[:, None, None]
                area += masks.sum((1, 2))
                for unit in range(one.channels):
                    full = map_coordinates(x[image, unit].astype(np.float64), places, order=1)
                    above = full > threshold[unit]
                    active[unit] += (above & known).sum()
                    met[unit] += (above & masks).sum((1, 2))
        found[one.name] = threshold, met / (active[:, None] + area - met)
    return found


@pytest.mark.parametrize(("fit", "batch"), [("resize", 7), ("crop", 4), ("full", 3)])
def test_iou_and_thresholds_are_those_of_every_pixel(folder, tmp_path, fit, batch):
    options = {"data": folder, "layer": ["relu1", "conv2"], "quantile": QUANTILE, "fit": fit, "batch": batch}
    run = netviz.dissect(model(), tmp_path / "run", workers=0, **options)
    wanted = brute_force(model(), folder, ["relu1", "conv2"], QUANTILE, batch, fit)
    opened = open_dissection(run)
    assert [layer.name for layer in opened.layers] == ["2", "3"]
    for layer in opened.layers:
        result = opened.result(layer)
        threshold, iou = wanted[layer.name]
        np.testing.assert_allclose(result.threshold, threshold, rtol=1e-12)
        np.testing.assert_allclose(result.iou, iou, atol=1e-12)
        assert result.quantile_samples == result.positions
        assert result.quantile_error == 0
        assert result.concepts == (("sky", "class"), ("road", "class"), ("tree", "class"))
        assert np.array_equal(result.best[:, 0], iou.argmax(axis=1))
        assert result.iou.max() > 0.04


@pytest.mark.skipif(
    not (Path(os.environ.get("NETVIZ_DATA", "nowhere")) / "camvid" / "train").is_dir(),
    reason="NETVIZ_DATA names no folder with camvid/train",
)
def test_iou_of_real_images_is_that_of_every_pixel(tmp_path):
    data = Path(os.environ["NETVIZ_DATA"]) / "camvid" / "train"
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for path in sorted((data / kind).iterdir())[:360:18]:
            (tmp_path / "data" / kind / path.name).symlink_to(path)
    (tmp_path / "data" / "classes.txt").write_text("\n".join([*map(str, range(11)), "void"]))
    layer = ["features.14.conv.0.2"]
    run = netviz.dissect("mobilenet_v2", tmp_path / "run", data=tmp_path / "data", layer=layer, device="cpu")
    result = load_result(run / "layers" / f"{layer[0]}.npz")
    threshold, iou = brute_force("mobilenet_v2", tmp_path / "data", layer, 0.995, 16)[layer[0]]
    assert result.images == 20
    np.testing.assert_allclose(result.threshold, threshold, atol=1e-6)
    np.testing.assert_allclose(result.iou, iou, atol=1e-6)


def test_samples_hold_all_positions_while_there_is_room(monkeypatch):
    big = Layer("a", "conv", "Conv2d", 10, (10, 20, 20))
    small = Layer("b", "conv", "Conv2d", 100, (100, 2, 2))
    # 5 images: 2000 positions of 10 units and 20 of 100.
    monkeypatch.setattr("netviz.questions.dissect.layer.SAMPLE_VALUES", 2000 * 10 + 20 * 100)
    assert sample_size([big, small], 5) == 2000
    monkeypatch.setattr("netviz.questions.dissect.layer.SAMPLE_VALUES", 1500 * 10 + 20 * 100)
    assert sample_size([big, small], 5) == 1500
    assert quantile_error(0.9, 100, 100) == 0
    assert quantile_error(0.5, 25, 10**9) == pytest.approx(0.1, rel=1e-6)
