"""Checkpoints of every format give the same tensors that went in."""

import argparse
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from netviz.errors import ModelError
from netviz.models.loading.checkpoint import read_checkpoint


class Net(nn.Module):
    """A small network with everything that a state holds: parameters, buffers, nesting, a shared module."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


@pytest.fixture
def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().eval()


def same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return state.keys() == expected.keys() and all(
        type(state[key]) is Tensor
        and not state[key].requires_grad
        and state[key].dtype == value.dtype
        and torch.equal(state[key], value)
        for key, value in expected.items()
    )


WRAPPERS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "loss": torch.tensor(0.5)},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"m": torch.ones(2)}}, "groups": []}},
    "nested": lambda state: {"checkpoint": {"model_state_dict": state}, "best": 0.9},
    "net and ema": lambda state: {"ema": {k: v + 1 for k, v in state.items()}, "net": state},
    "ema alone": lambda state: {"ema": {"module": state}, "step": 5},
    "data parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled in parallel": lambda state: {f"module._orig_mod.{k}": v for k, v in state.items()},
    "averaged": lambda state: {"n_averaged": torch.tensor(4), **{f"module.{k}": v for k, v in state.items()}},
    "parameters": lambda state: {
        k: nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()
    },
    "settings": lambda state: {
        "state_dict": state,
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(1),
    },
    "unknown name": lambda state: {"generator": state, "optimizer_g": {"state": {}}},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_state_dict_in_what_scripts_save(wrapper: str, net: Net, tmp_path: Path) -> None:
    torch.save(WRAPPERS[wrapper](net.state_dict()), tmp_path / "c.pth")
    checkpoint = read_checkpoint(tmp_path / "c.pth")
    assert (checkpoint.format, checkpoint.module) == ("state dict", None)
    assert same(checkpoint.state, net.state_dict())


@pytest.mark.parametrize("protocol", [2, 4])
def test_protocols(protocol: int, net: Net, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "c.pth", pickle_protocol=protocol)
    assert same(read_checkpoint(tmp_path / "c.pth").state, net.state_dict())


def test_suffix_does_not_matter(net: Net, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "old.safetensors", _use_new_zipfile_serialization=False)
    save_file(net.state_dict(), tmp_path / "safe.pt")
    old, safe = (read_checkpoint(tmp_path / name) for name in ("old.safetensors", "safe.pt"))
    assert (old.format, safe.format) == ("state dict", "safetensors")
    assert same(old.state, net.state_dict())
    assert same(safe.state, net.state_dict())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["script", "trace"])
@pytest.mark.parametrize("trust", [False, True])
def test_torchscript(kind: str, trust: bool, net: Net, tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 8, 8)
    archive = torch.jit.script(net) if kind == "script" else torch.jit.trace(net, image)
    torch.jit.save(archive, tmp_path / "c.pt")
    checkpoint = read_checkpoint(tmp_path / "c.pt", trust=trust)
    assert checkpoint.format == "TorchScript"
    assert same(checkpoint.state, net.state_dict())
    assert (checkpoint.module is None) != trust
    if checkpoint.module is not None:
        assert torch.equal(checkpoint.module(image), net(image))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Net]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Net().eval()
    path = tmp_path_factory.mktemp("program") / "c.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (torch.ones(1, 3, 8, 8),)), path)
    return path, network


def test_exported_program(program: tuple[Path, Net]) -> None:
    path, network = program
    checkpoint = read_checkpoint(path)
    assert (checkpoint.format, checkpoint.module) == ("exported program", None)
    assert checkpoint.state.keys() == network.state_dict().keys()
    assert same(checkpoint.state, {key: network.state_dict()[key] for key in checkpoint.state})


def test_trusted_program_runs_and_calls_hooks(program: tuple[Path, Net]) -> None:
    path, network = program
    module = read_checkpoint(path, trust=True).module
    assert module is not None
    shapes: list[tuple[int, ...]] = []
    module.get_submodule("features.0").register_forward_hook(lambda _m, _i, out: shapes.append(out.shape))
    image = torch.ones(1, 3, 8, 8)
    assert torch.allclose(module(image), network(image))
    assert shapes == [(1, 4, 6, 6)]


def test_older_exported_program(net: Net, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "weights")
    with zipfile.ZipFile(tmp_path / "c.pt2", "w") as archive:
        archive.writestr("version", "5.1")
        archive.writestr("serialized_exported_program.json", "{}")
        archive.write(tmp_path / "weights", "serialized_state_dict.pt")
    assert same(read_checkpoint(tmp_path / "c.pt2").state, net.state_dict())


def test_pickled_module_needs_trust(tmp_path: Path) -> None:
    layer = nn.Conv2d(3, 4, 3)
    torch.save(layer, tmp_path / "c.pt")
    checkpoint = read_checkpoint(tmp_path / "c.pt", trust=True)
    assert checkpoint.format == "pickled module"
    assert type(checkpoint.module) is nn.Conv2d
    assert same(checkpoint.state, layer.state_dict())


def test_views_keep_their_strides(tmp_path: Path) -> None:
    base = torch.arange(24.0)
    state = {"t": base.reshape(4, 6).T, "part": base[5:9], "half": base.half(), "none": torch.zeros(0, 3)}
    torch.save(state, tmp_path / "c.pt", pickle_protocol=4)  # torch itself reads protocol 2 only
    checkpoint = read_checkpoint(tmp_path / "c.pt")
    assert same(checkpoint.state, state)
    torch.save(state, tmp_path / "d.pt")
    assert same(read_checkpoint(tmp_path / "d.pt").state, state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(2, 3), r"one tensor of shape \(2, 3\)"),
        ([torch.zeros(2)], "holds an object of type list"),
        ({"epoch": 3, "best": 0.5}, r"keys: best, epoch"),
        ({"generator": {"w": torch.ones(1)}, "critic": {"w": torch.ones(1)}}, "keys: critic, generator"),
        ({"w": torch.ones(1).expand(1000)}, "contiguous"),
        ({"w": torch.empty(3, device="meta")}, "meta device"),
        ({"w": torch.eye(3).to_sparse()}, "to_dense"),
    ],
)
def test_what_holds_no_network_says_so(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(ModelError, match=message) as caught:
        read_checkpoint(tmp_path / "c.pt")
    assert "c.pt" in str(caught.value)
    assert "\n" not in str(caught.value)
