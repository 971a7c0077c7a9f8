import json

import numpy as np
import pytest
from PIL import Image

from netviz.questions.reader import load_result

SMALL = ("--backbone", "squeezenet1_1", "--weights", "none", "--strides", "16,8,4", "--workers", "0")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four images: a bright thing on a dark ground."""
    folder = tmp_path_factory.mktemp("data") / "a"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    (folder / "classes.txt").write_text("ground\nthing\n")
    rng = np.random.default_rng(0)
    for number in range(4):
        labels = np.zeros((48, 64), dtype=np.uint8)
        top, left = rng.integers(4, 16, 2)
        labels[top : top + 20, left : left + 30] = 1
        pixels = np.repeat((60 + 150 * labels)[..., None], 3, axis=2).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    from netviz.cli.main import run as command

    folder = tmp_path_factory.mktemp("run") / "run"
    arguments = ["fcn", "train", "-d", str(data), *SMALL, "--epochs", "1", "--batch", "2", "-o", str(folder)]
    with pytest.raises(SystemExit) as stop:
        command([*arguments, "--device", "cpu"])
    assert not stop.value.code
    return folder


def test_eval_tells_each_stream_as_json(netviz, tmp_path, data, run):
    model = run / "best.safetensors"
    common = ("fcn", "eval", "-d", data, "--model", model, "--workers", "0", "--device", "cpu")
    done = netviz(*common, "--json", "-o", tmp_path / "a.npz")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert list(told) == ["16s", "8s", "4s"]
    names = {"pixel_accuracy", "mean_accuracy", "mean_iu", "frequency_weighted_iu", "per_class"}
    assert all(set(one) == names for one in told.values())
    assert set(told["4s"]["per_class"]) == {"ground", "thing"}
    result = load_result(tmp_path / "a.npz")
    table = result.arrays()["4s"]
    assert table.sum() == 4 * 48 * 64
    assert told["4s"]["pixel_accuracy"] == pytest.approx(np.trace(table) / table.sum())
    assert json.loads(netviz("report", tmp_path / "a.npz", "--json").out)["metrics"] == told

    said = netviz(*common, "--boundary").out
    line = next(line for line in said.splitlines() if line.startswith("mean IU"))
    assert [float(value) for value in line.split()[2:]] == [
        pytest.approx(100 * one["mean_iu"], abs=0.051) for one in told.values()
    ]
    assert "boundary, 20 px" in said
    done = netviz(*common, "--json", "--boundary")
    assert len(json.loads(done.out)["4s"]["boundary_mean_iu"]) == 20


def test_a_trained_network_is_a_model(netviz, run):
    done = netviz("layers", run / "best.safetensors", "--json")
    assert done.status == 0, done.err
    assert {"score.16s", "score.8s", "score.4s"} <= {layer["name"] for layer in json.loads(done.out)}
