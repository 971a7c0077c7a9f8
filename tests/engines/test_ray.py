"""The engine of a cluster gives the bytes of the local one, whatever happens to its nodes."""

import os
import sys
import time
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from netviz.engines.ray.run import runs
from netviz.errors import ImageError, ModelError, OutputError
from netviz.questions.patches.measure import patches

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    from ray.cluster_utils import Cluster

# Ray's own warnings are not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")


class Net(nn.Sequential):
    """A network with random weights that are the same everywhere.

    With a folder it notes there on which nodes it runs, waits for the others, and takes its time; it may also kill as
    many processes as it is told to.
    """

    def __init__(self, notes: Path | None = None, nodes: int = 0, deaths: int = 0) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3)
        )
        self.notes, self.nodes, self.deaths = notes, nodes, deaths
        self.eval()

    def forward(self, x):
        if self.notes and x.device.type != "meta" and ray.is_initialized():
            if self.deaths > len(list(self.notes.iterdir())):
                (self.notes / str(os.getpid())).touch()
                os._exit(1)
            (self.notes / ray.get_runtime_context().get_node_id()).touch()
            for _ in range(300):
                time.sleep(0.1)
                if len(list(self.notes.iterdir())) >= self.nodes:
                    break
            time.sleep(0.3)
        return super().forward(x)


@pytest.fixture(scope="module", autouse=True)
def classes_of_this_file():
    """Send this file's classes whole: the workers cannot import a test."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty noisy images, one of them damaged."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for number in range(40):
        pixels = generator.integers(0, 256, (36, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    damaged = folder / "13.png"
    damaged.write_bytes(damaged.read_bytes()[:500])
    return folder


def run(folder, out, model=None, **options):
    patches(model or Net(), out, images=[folder], size=(32, 32), batch=2, top=3, **options)
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory):
    """What one process gives."""
    return run(folder, tmp_path_factory.mktemp("local") / "run", workers=0)


@pytest.fixture
def cluster():
    """Three nodes with one core each."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
def test_one_node_gives_the_same_bytes(folder, expected, tmp_path, monkeypatch, capfd):
    # Ten tasks, merged twice: into three, and into one.
    monkeypatch.setattr("netviz.engines.ray.run.ROOT", 2)
    seen = []
    found = run(folder, tmp_path / "run", engine="ray", workers=2, progress=lambda *now: seen.append(now))
    assert list(expected) == list(found)
    assert found == expected
    assert b"13.png" in found["run.json"]
    assert seen[0] == ("Net", 0, 40)
    assert seen[-1] == ("Net", 40, 40)
    assert not ray.is_initialized()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_three_nodes_give_the_same_bytes_also_if_one_is_removed(
    folder, expected, cluster, tmp_path, monkeypatch
):
    from netviz.engines.ray import run as engine

    assert run(folder, tmp_path / "whole", engine="ray", address=cluster.address) == expected
    lost = []
    judge = engine._judge
    monkeypatch.setattr(engine, "_judge", lambda *given: (lost.append(given[1]), judge(*given)))
    notes = tmp_path / "notes"
    notes.mkdir()

    def progress(_, done, total):
        if done and len(cluster.worker_nodes) == 2:
            assert done < total / 2
            cluster.remove_node(
                max(cluster.worker_nodes, key=lambda node: node.node_id), allow_graceful=False
            )

    model = Net(notes, nodes=3)
    found = run(folder, tmp_path / "run", model, engine="ray", address=cluster.address, progress=progress)
    assert len(list(notes.iterdir())) == 3
    assert len(cluster.worker_nodes) == 1
    assert lost
    assert found == expected


@pytest.mark.slow
def test_no_cluster_at_an_address(folder, tmp_path):
    with pytest.raises(OutputError, match=r"no Ray cluster at 127.0.0.1:1 .* ray start --head"):
        run(folder, tmp_path / "run", engine="ray", address="127.0.0.1:1")


class Stop(Exception):
    """What ends a run in the middle."""


def stop_in_the_middle(_, done, total):
    if total / 4 <= done < total:
        raise Stop


@pytest.fixture(scope="module")
def joined():
    """A cluster that this process has joined itself: it stays."""
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [("ray", "local"), ("local", "ray")])
def test_one_engine_goes_on_where_the_other_stopped(folder, expected, joined, tmp_path, first, then):
    with pytest.raises(Stop):
        run(folder, tmp_path / "run", engine=first, workers=1, every=0, progress=stop_in_the_middle)
    with np.load(tmp_path / "run" / "state.npz") as state:
        assert 0 < state["done"].sum() < len(state["done"])
    assert run(folder, tmp_path / "run", engine=then, workers=1, resume=True) == expected


@pytest.mark.slow
def test_workers_that_die_change_nothing(folder, expected, joined, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    model = Net(notes, nodes=1, deaths=2)
    assert run(folder, tmp_path / "run", model, engine="ray", workers=2) == expected
    assert len(list(notes.iterdir())) == 3


@pytest.mark.slow
def test_workers_that_always_die_are_told_in_one_line(folder, joined, tmp_path, monkeypatch):
    monkeypatch.setattr("netviz.engines.ray.run.TRIES", 2)
    monkeypatch.setattr("netviz.engines.ray.run.RESTARTS", 1)
    notes = tmp_path / "notes"
    notes.mkdir()
    with pytest.raises(ModelError, match=r"Ray lost its workers 2 times .* choose fewer --workers"):
        run(folder, tmp_path / "run", Net(notes, nodes=1, deaths=1000), engine="ray", workers=1)
    assert len(list(notes.iterdir())) <= 4


@pytest.mark.slow
def test_a_damaged_image_stops_a_strict_run(folder, joined, tmp_path):
    with pytest.raises(ImageError) as caught:
        run(folder, tmp_path / "run", engine="ray", workers=1, strict=True)
    assert str(caught.value).startswith(f"{folder / '13.png'} is damaged or truncated")
    with pytest.raises(ImageError) as local:
        run(folder, tmp_path / "local", workers=0, strict=True)
    assert str(caught.value) == str(local.value)


class Late(Net):
    """The same, whose first batch on a cluster comes after many others."""

    def forward(self, x):
        with suppress(FileExistsError):
            if x.device.type != "meta" and ray.is_initialized():
                (self.notes / "begun").touch(exist_ok=False)
                time.sleep(3)
        return nn.Sequential.forward(self, x)


@pytest.mark.slow
def test_nan_is_told_in_the_local_engine_s_line(folder, joined, tmp_path):
    """That of the first image, though workers find it in others before."""
    model = Late(tmp_path)
    with torch.no_grad():
        model[4].bias[3] = float("nan")
    lines = []
    for engine in ("local", "ray"):
        (tmp_path / "begun").unlink(missing_ok=True)
        with pytest.raises(ModelError) as caught:
            run(folder, tmp_path / engine, model, engine=engine, workers=2)
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    assert "00.png" in lines[0]


def refused(folder, out):
    model = Net()
    model.handle = (value for value in ())
    with pytest.raises(ModelError, match=r"cannot be sent to other processes .* choose --engine local"):
        run(folder, out, model, engine="ray", workers=1)


def test_a_network_that_cannot_be_sent(folder, tmp_path, monkeypatch):
    # What Ray packs with; the slow test has a cluster.
    packing = SimpleNamespace(put=ray.cloudpickle.dumps)
    monkeypatch.setattr("netviz.engines.ray.run._cluster", lambda *_: nullcontext(packing))
    refused(folder, tmp_path / "run")


@pytest.mark.slow
def test_a_network_that_cannot_be_sent_to_a_cluster(folder, joined, tmp_path):
    refused(folder, tmp_path / "run")


def test_ray_is_not_installed(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModelError, match=r"pip install 'netviz\[ray\]'"):
        run(folder, tmp_path / "run", engine="ray")


def test_tasks_are_runs_of_chunks_that_are_not_done():
    assert runs([False] * 5, 2) == [(0, 2), (2, 4), (4, 5)]
    assert runs([True, False, False, True, False, True], 8) == [(1, 3), (4, 5)]
    assert runs([True, True], 8) == []
