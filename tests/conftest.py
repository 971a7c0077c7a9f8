"""Fixtures that tests share."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn

from netviz.cli.main import run
from netviz.models.torchvision_import import import_torchvision
from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult
from support.network import Awkward

# No test fails because a machine is slow.
settings.register_profile("netviz", deadline=None)
settings.load_profile("netviz")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests list away from what this machine's user has kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules that a test wrote and read: another may write one of the same name."""
    before = set(sys.modules)
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules.get(name), "__file__", "")).startswith(written):
            del sys.modules[name]


PROMISED = ("tests/engines/", "tests/gallery/", "tests/surveys/", "tests/cli/test_gallery.py")
"""Where also the slow tests must hold before a change lands."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark them, for ``.ci/run`` to choose."""
    if item.get_closest_marker("slow") and item.nodeid.startswith(PROMISED):
        item.add_marker("promised")


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def netviz(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command line in this process."""

    def call(*args: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run([str(arg) for arg in args])
        return Done(int(stop.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def awkward() -> nn.Module:
    torch.manual_seed(0)
    network = Awkward().train()
    network.bn.eval()
    network.conv1.weight.requires_grad_(False)
    network.head.weight.grad = torch.ones_like(network.head.weight)
    with torch.no_grad():
        network.bn.running_mean.normal_()
        network.bn.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(scope="session")
def builder() -> Callable[..., nn.Module]:
    """Build a torchvision classifier with random weights."""
    models = import_torchvision().models

    def build(name: str, seed: int = 0, **arguments: Any) -> nn.Module:
        torch.manual_seed(seed)
        if name in ("googlenet", "inception_v3"):
            arguments.setdefault("init_weights", False)
        return models.get_model(name, weights=None, **arguments).eval()

    return build


@pytest.fixture
def make_filters() -> Callable[..., FiltersResult]:
    def make(weight: np.ndarray[Any, Any], **facts: Any) -> FiltersResult:
        values: dict[str, Any] = {
            "units": np.arange(weight.shape[0]),
            "network": "net",
            "layer": "features.0",
            "alias": "conv1",
            "groups": 1,
            "transposed": False,
            "sees_image": False,
            "channel_order": "RGB",
            "scale": "shared",
            "sort": "index",
            "dead": (),
            "duplicates": (),
        }
        return FiltersResult(weight=weight, **{**values, **facts})

    return make


@pytest.fixture
def make_maps() -> Callable[..., MapsResult]:
    def make(maps: np.ndarray[Any, Any], **facts: Any) -> MapsResult:
        values: dict[str, Any] = {
            "image": np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8),
            "index": np.arange(len(maps)),
            "units": np.arange(len(maps)),
            "network": "net",
            "layer": "features.0",
            "alias": "conv1",
            "layer_kind": "conv",
            "channels": len(maps),
            "image_name": "photo",
            "scale": "shared",
            "sort": "index",
        }
        return MapsResult(maps=maps.astype(np.float32), **{**values, **facts})

    return make
