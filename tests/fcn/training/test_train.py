"""Training: what is learned, repeated, resumed, refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from netviz.errors import ImageError, LayerError, ModelError, NetvizError, OutputError, ResultError
from netviz.fcn.data import Augmentation, check, open_segmentation
from netviz.fcn.evaluation.measure import evaluate
from netviz.fcn.metrics import VOID
from netviz.fcn.training.recipes import RECIPES, plan_stages
from netviz.fcn.training.train import train
from netviz.models import load

COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=np.uint8)


def make_data(folder: Path, count: int = 6, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Images of rectangles, whose colour is their class."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    (folder / "classes.txt").write_text("red\ngreen\nblue\nvoid\n")
    for number in range(count):
        labels = np.zeros(size, dtype=np.uint8)
        for kind in (1, 2, 3):
            top, left = rng.integers(0, size[0] - 16), rng.integers(0, size[1] - 24)
            labels[top : top + 16, left : left + 24] = kind
        pixels = np.append(COLOURS, [[90, 90, 90]], axis=0).astype(np.uint8)[labels]
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "a")


def backbone(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    width = 3
    for _ in range(3):
        parts += [nn.Conv2d(width, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
        width = 8
    return nn.Sequential(*parts, nn.Dropout2d(dropout))


OPTIONS = {"strides": (8, 4), "batch": 2, "epochs": 2, "workers": 0, "device": "cpu", "crop": (32, 48)}


def trained(data, out, **options):
    return train(data, out, **{"backbone": backbone(), **OPTIONS, **options})


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("run") / "run")


class Stop(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_interrupted_run_ends_the_same(data, run, tmp_path, steps):
    def stop(what: str, done: int, total: int) -> None:
        if "epoch" in what and done == steps:
            raise Stop

    kept = torch.get_rng_state()
    with pytest.raises(Stop):
        trained(data, tmp_path / "run", progress=stop, every=0)
    with pytest.raises(OutputError, match="go on with --resume"):
        trained(data, tmp_path / "run")
    with pytest.raises(ResultError, match="begun with other options"):
        trained(data, tmp_path / "run", resume=True, lr=0.5)
    trained(data, tmp_path / "run", resume=True)
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes()
    assert torch.equal(torch.get_rng_state(), kept)
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_a_run_killed_before_its_first_state_begins_anew(data, run, tmp_path, monkeypatch):
    def kill(*_):
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr("netviz.fcn.training.loop.write_state", kill)
        with pytest.raises(Stop):
            trained(data, tmp_path / "run")
    trained(data, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (run / "last.safetensors").read_bytes()


def test_a_run_that_fails_before_there_is_something_to_go_on_with_leaves_nothing(data, tmp_path, monkeypatch):
    def fail(*_):
        raise ModelError("the loss is nan; choose a smaller --lr")

    monkeypatch.setattr("netviz.fcn.training.loop.Trainer._step", fail)
    with pytest.raises(ModelError, match="choose a smaller --lr"):
        trained(data, tmp_path / "runs" / "run")
    assert not list(tmp_path.iterdir())


def test_stages_go_on_too(data, tmp_path):
    options = {"recipe": "paper", "epochs": 1, "lr": 1e-6}
    whole = trained(data, tmp_path / "whole", **options)
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [entry["stage"] for entry in log] == ["8s", "4s"]
    assert log[1]["lr"] == pytest.approx(log[0]["lr"] / 100)

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("4s"):
            raise Stop

    with pytest.raises(Stop):
        trained(data, tmp_path / "run", progress=stop, **options)
    again = trained(data, tmp_path / "run", resume=True, **options)
    assert (again / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


def test_workers_do_not_matter(data, run, tmp_path):
    other = trained(data, tmp_path / "run", workers=1)
    assert (other / "last.safetensors").read_bytes() == (run / "last.safetensors").read_bytes()


def test_the_run_tells_what_it_did(data, run):
    facts = json.loads((run / "run.json").read_text())
    assert facts["options"]["classes"] == ["red", "green", "blue"]
    assert facts["options"]["images"] == {"train": 5, "val": 1}
    assert [tap["stride"] for tap in facts["options"]["taps"]] == [8, 4]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(log) == 2
    assert set(log[0]["mean_iu"]) == {"8s", "4s"}
    assert facts["result"] == max(log, key=lambda entry: entry["mean_iu"]["4s"])
    with pytest.raises(ModelError, match="its backbone was given in Python"):
        load(run / "best.safetensors")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_shorter_numbers_learn_too(data, tmp_path, precision):
    run = trained(data, tmp_path / "run", precision=precision, ema=0.0, learned=True, class_weights=True)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert log[1]["loss"] < log[0]["loss"] < 1.2


def test_colours_are_learned_and_measured(data, tmp_path):
    """A squeezenet learns what a colour is called; what evaluate tells of the file is what was measured then."""
    val = make_data(tmp_path / "val", count=2, seed=5)
    run = train(
        data,
        tmp_path / "run",
        backbone="squeezenet1_1",
        weights="none",
        val=val,
        strides=(16, 8, 4),
        batch=3,
        epochs=8,
        lr=4e-3,
        backbone_rate=1.0,
        ema=0.0,
        workers=0,
        device="cpu",
    )
    facts = json.loads((run / "run.json").read_text())["result"]
    found = evaluate(val, run / "best.safetensors", workers=0, device="cpu", boundary=True)
    assert found.streams == ("16s", "8s", "4s")
    assert found.classes == ("red", "green", "blue")
    for name in found.streams:
        assert found.metrics[name]["mean_iu"] == pytest.approx(facts["mean_iu"][name], abs=1e-6)
    assert found.metrics["4s"]["pixel_accuracy"] > 0.6
    truth = [np.array(Image.open(path)) for path in sorted((val / "labels").iterdir())]
    assert found.tables["8s"].sum(axis=1).tolist() == [
        int(sum((t == k).sum() for t in truth)) for k in range(3)
    ]
    assert len(found.boundary["4s"]) == 20

    # The same names in another order are matched by name; other names, and other numbers, are refused.
    (val / "classes.txt").write_text("blue\ngreen\nred\n")
    for path in (val / "labels").iterdir():
        Image.fromarray(np.array([2, 1, 0, 255], dtype=np.uint8)[np.array(Image.open(path))]).save(path)
    again = evaluate(val, run / "best.safetensors", workers=0, device="cpu")
    assert again.classes == ("blue", "green", "red")
    assert again.metrics["4s"]["mean_iu"] == pytest.approx(found.metrics["4s"]["mean_iu"])
    (val / "classes.txt").write_text("blue\ngreen\npink\n")
    with pytest.raises(ModelError, match=r"the data name pink, the network red"):
        evaluate(val, run / "best.safetensors", workers=0, device="cpu")
    (val / "classes.txt").unlink()
    Image.fromarray(np.full((48, 64), 7, dtype=np.uint8)).save(val / "labels" / "0.png")
    with pytest.raises(ImageError, match=r"0.png holds 'class 7', but the network has only 3 classes"):
        evaluate(val, run / "best.safetensors", workers=0, device="cpu")
    with pytest.raises(ModelError, match="not a score for each class at every pixel"):
        evaluate(data, "squeezenet1_1", weights="none", workers=0, device="cpu")


def test_any_network_that_labels_pixels_is_measured(data):
    """A 1×1 convolution that knows the three colours; its preprocessing is assumed, its size is not."""
    network = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        network.weight.copy_(torch.eye(3)[:, :, None, None])
        network.bias.copy_(torch.tensor([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225]))
    network.train()
    found = evaluate(data, network, workers=0, device="cpu")
    assert found.metrics["out"]["mean_iu"] == 1
    assert network.training


def test_augmentation_keeps_pixels_and_classes_together(data):
    found, counts = check(open_segmentation(data))
    pixels, truth = found.read(0)
    assert counts.sum() == sum((found.read(at)[1] != VOID).sum() for at in range(len(found)))
    plan = Augmentation(flip=True, scale=(0.5, 2.0), crop=(40, 80), fill=(1, 2, 3))
    seen = set()
    for seed in range(30):
        image, labels = plan(pixels, truth, np.random.default_rng(seed))
        again = plan(pixels, truth, np.random.default_rng(seed))
        assert (image == again[0]).all()
        assert image.shape == (40, 80, 3)
        assert labels.shape == (40, 80)
        pure = [(image == colour).all(axis=-1) for colour in COLOURS]
        for number, where in enumerate(pure):
            assert (labels[where] == number).mean() > 0.97 if where.any() else True
        # Smoothing at the rectangles' edges is all that is not of a pure colour.
        assert sum(where.sum() for where in pure) > 0.7 * (labels != VOID).sum()
        assert (labels[(image == (1, 2, 3)).all(axis=-1)] == VOID).all()
        seen.add(image.tobytes())
    assert len(seen) == 30
    dark, same = Augmentation(jitter=0.3)(pixels, truth, np.random.default_rng(0))
    assert (same == truth).all()
    assert (dark != pixels).any()


def broken(data, tmp_path, number, labels):
    folder = tmp_path / "broken"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for path in (data / kind).iterdir():
            (folder / kind / path.name).write_bytes(path.read_bytes())
    (folder / "classes.txt").write_text("red\ngreen\nblue\nvoid\n")
    Image.fromarray(labels).save(folder / "labels" / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((24, 32), np.uint8), r"3.png is 24×32 pixels .* its image is 48×64"),
        (np.zeros((48, 48), np.uint8), r"3.png is 48×48 pixels"),
        (np.full((48, 64), 9, np.uint8), r"3.png holds unknown label values: 9"),
        (np.zeros((48, 64, 3), np.uint8), r"3.png is a picture in colour"),
    ],
)
def test_masks_that_do_not_fit_are_named(data, tmp_path, labels, message):
    folder = broken(data, tmp_path, 3, labels)
    with pytest.raises(ImageError, match=message):
        trained(folder, tmp_path / "run")


def test_a_class_that_never_occurs_is_named(data, tmp_path):
    folder = broken(data, tmp_path, 0, np.zeros((48, 64), np.uint8))
    (folder / "classes.txt").write_text("red\ngreen\nblue\nvoid\nyellow\n")
    with pytest.raises(ImageError, match=r"no pixel of class yellow; .* --void 4"):
        trained(folder, tmp_path / "run")
    assert trained(folder, tmp_path / "run", void=(4,), epochs=1).is_dir()
    (folder / "labels" / "2.png").unlink()
    with pytest.raises(ImageError, match=r"has no label mask"):
        trained(folder, tmp_path / "other")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_one_line(data, tmp_path, workers):
    folder = broken(data, tmp_path, 3, np.zeros((48, 64), np.uint8))
    whole = (folder / "images" / "2.png").read_bytes()
    (folder / "images" / "2.png").write_bytes(whole[: len(whole) // 2])
    for run in (
        lambda: trained(folder, tmp_path / "run", workers=workers, epochs=1, batch=1),
        lambda: evaluate(folder, nn.Conv2d(3, 3, 1), workers=workers, device="cpu"),
    ):
        with pytest.raises(ImageError, match=r"2\.png is damaged") as caught:
            run()
        assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recipe": "old"}, ValueError, "recipe must be one of paper, modern"),
        ({"stages": ("4s", "8s")}, ValueError, "stages must be among 8s, 4s in this order"),
        ({"stages": ("16s",)}, ValueError, "stages must be among 8s, 4s"),
        ({"precision": "float8"}, ValueError, "precision must be one of"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"lr": -1.0}, ValueError, "lr must be positive"),
        ({"norm": "none"}, ValueError, "norm must be one of"),
        ({"strides": (32, 16)}, LayerError, "its strides are 2, 4, 8"),
        ({"backbone": "no_such_network"}, NetvizError, "the closest"),
        ({"lr": 1e30, "ema": 0.0}, ModelError, "choose a smaller --lr"),
    ],
)
def test_wrong_options_are_told(data, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        trained(data, tmp_path / "run", **options)


def test_stages_of_recipes():
    streams = ("32s", "16s", "8s")
    paper = RECIPES["paper"]
    assert [(s.streams, s.rate) for s in plan_stages(paper, streams, streams)] == [
        (("32s",), 1.0),
        (("16s",), 1e-2),
        (("8s",), 1e-4),
    ]
    assert plan_stages(paper, streams, ())[0].streams == streams
