"""Whatever kind of tensor a checkpoint holds, a command draws its values or says in one line why not."""

import copy
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from netviz import field, filters, layers, load, load_result, maps, stages
from netviz.errors import ModelError, UntrustedError
from netviz.images import prepare, read_image
from netviz.models.builders import build_torchvision
from netviz.models.loading.plain import computed

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns where such tensors are made


def seeded(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


WEIGHT = seeded(4, 3, 3, 3)
NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3))
NETWORK[0].weight.data = WEIGHT


def quantized(kind: torch.dtype) -> Tensor:
    return torch.quantize_per_tensor(WEIGHT, 0.1, 3, kind)


def per_channel(kind: torch.dtype = torch.qint8) -> Tensor:
    zero = torch.zeros(4) if kind == torch.quint4x2 else torch.zeros(4, dtype=torch.int64)
    return torch.quantize_per_channel(WEIGHT, torch.full((4,), 0.2), zero, 0, kind)


def nested(layout: torch.layout) -> Tensor:
    return torch.nested.nested_tensor([seeded(3, 3), seeded(2, 3)], layout=layout)


def reparametrized(change) -> tuple[dict[str, Tensor], Tensor]:
    """Return the state of a network whose convolution was changed, and the weight that it then runs with."""
    network = copy.deepcopy(NETWORK)
    change(network[0])
    with torch.no_grad():
        network(torch.zeros(1, 3, 5, 5))
        network.eval()(torch.zeros(1, 3, 5, 5))
    return network.state_dict(), network[0].weight.detach()


def statically_quantized() -> nn.Module:
    quantization = torch.ao.quantization
    torch.backends.quantized.engine = torch.backends.quantized.supported_engines[-1]
    network = nn.Sequential(
        quantization.QuantStub(), copy.deepcopy(NETWORK[0]), nn.ReLU(), quantization.DeQuantStub()
    ).eval()
    network.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
    prepared = quantization.prepare(network)
    prepared(seeded(1, 3, 16, 16))
    return quantization.convert(prepared)


def levels(tensor: Tensor, scale: float, zero: int) -> Tensor:
    """Return what quantized values stand for, by the definition."""
    return (tensor.int_repr().float() - zero) * scale


FLOATS = [
    torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int8, torch.int64, torch.uint16, torch.bool,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip
CHANGES = {
    "pruned": lambda one: prune.l1_unstructured(one, "weight", 0.5),
    "pruned twice": lambda one: [prune.ln_structured(one, "weight", 0.25, n=2, dim=d) for d in (0, 1)],
    "weight norm": nn.utils.weight_norm,
    "weight norm of all": lambda one: nn.utils.weight_norm(one, dim=None),
    "weight norm, parametrized": parametrizations.weight_norm,
    "spectral norm": nn.utils.spectral_norm,
    "spectral norm, parametrized": parametrizations.spectral_norm,
}
DRAWN = {
    "quint8": lambda: ({"0.weight": quantized(torch.quint8)}, levels(quantized(torch.quint8), 0.1, 3)),
    "qint32": lambda: ({"0.weight": quantized(torch.qint32)}, levels(quantized(torch.qint32), 0.1, 3)),
    "per channel": lambda: ({"0.weight": per_channel()}, levels(per_channel(), 0.2, 0)),
    "compiled part": lambda: ({"a._orig_mod.b.weight": WEIGHT, "a._orig_mod.c.weight": seeded(2, 4)}, WEIGHT),
    "1e307": lambda: ({"0.weight": WEIGHT.double() * 1e307}, WEIGHT.double() * 1e307),
    **{
        str(kind): lambda kind=kind: ({"0.weight": WEIGHT.abs().to(kind)}, WEIGHT.abs().to(kind).float())
        for kind in FLOATS
    },
}
REFUSED = {
    "nested": lambda: ({"a.weight": nested(torch.strided)}, "a nested tensor", True),
    "jagged": lambda: ({"a.weight": nested(torch.jagged)}, "a nested tensor", True),
    "sparse": lambda: ({"a.weight": WEIGHT.to_sparse()}, "as torch.sparse_coo", True),
    "compressed": lambda: ({"a.weight": torch.eye(3).to_sparse_csr()}, "as torch.sparse_csr", True),
    "meta": lambda: ({"a.weight": WEIGHT.to("meta")}, "meta device", True),
    "lazy": lambda: (nn.Sequential(nn.LazyConv2d(4, 3)).state_dict(), "run the network once", True),
    "half lazy": lambda: (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyLinear(4)).state_dict(), "network once", True),
    "3-D": lambda: (nn.Conv3d(1, 4, 3).state_dict(), "weight is 4×1×3×3×3, of a 3-D convolution", True),
    "1-D": lambda: (nn.Sequential(nn.Conv1d(3, 4, 3)).state_dict(), "0.weight is 4×3×3, of a 1-D", True),
    "no units": lambda: ({"a.weight": torch.zeros(0, 3, 3, 3)}, r"no weights: their shape is \(0, 3", False),
    "no inputs": lambda: ({"a.weight": torch.zeros(4, 0, 3, 3)}, r"no weights: their shape is \(4, 0", False),
    "no kernel": lambda: ({"a.weight": torch.zeros(4, 3, 0, 3)}, r"no weights: their shape is \(4, 3, 0", False),
    "complex": lambda: ({"a.weight": seeded(4, 3, 3, 3, dtype=torch.complex64)}, "complex weights", False),
    "half complex": lambda: ({"a.weight": WEIGHT.to(torch.complex32)}, "complex weights", False),
    "linear": lambda: ({"a.weight": seeded(4, 3)}, "not convolutional", False),
    "one number": lambda: ({"a.weight": torch.tensor(1.0)}, "no weights of a 2-D convolution", True),
    "NaN": lambda: ({"a.weight": WEIGHT * float("nan")}, "4 filters of layer a of k hold NaN", False),
}  # fmt: skip
"""What is said of each kind by ``netviz filters``, and whether ``netviz layers`` says it, too."""


@pytest.fixture
def folder(tmp_path, monkeypatch, photo):
    """A working folder."""
    monkeypatch.chdir(tmp_path)


def check_drawn(netviz, state, expected):
    torch.save(state, "k.pt")
    for out in ("k.npz", "k.png"):
        done = netviz("filters", "k.pt", "-o", out)
        assert (done.status, done.err) == (0, f"wrote {out}\n")
    np.testing.assert_allclose(load_result("k.npz").weight, expected.numpy(), rtol=2e-6, atol=1e-7)
    done = netviz("layers", "k.pt")
    assert done.status == 0
    assert "1 layers" in done.err or "2 layers" in done.err
    done = netviz("maps", "photo.png", "--model", "k.pt", "-l", "-1")
    assert done.status == 1
    assert "only the weights of k.pt can be read" in done.err


@pytest.mark.parametrize("kind", DRAWN)
def test_it_is_drawn(netviz, folder, kind):
    check_drawn(netviz, *DRAWN[kind]())
    if kind.startswith(("q", "per")):
        assert load_result("k.npz").network == "k (dequantized)"


@pytest.mark.parametrize("change", CHANGES)
def test_a_weight_is_computed_from_its_parts(netviz, folder, change):
    check_drawn(netviz, *reparametrized(CHANGES[change]))
    assert "weights computed from their reparametrization" in netviz("layers", "k.pt").err


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, parametrizations.spectral_norm])
def test_units_of_a_transposed_convolution_lie_along_another_axis(norm):
    network = nn.Sequential(norm(nn.ConvTranspose2d(4, 4, 3)))
    network.train()(seeded(1, 4, 5, 5))
    network.eval()(seeded(1, 4, 5, 5))
    torch.testing.assert_close(computed(network.state_dict())["0.weight"], network[0].weight.detach())


def test_other_tensors_of_such_names_stay():
    for state in (
        {"a_g": seeded(3), "a_v": seeded(4)},
        {"a_orig": seeded(3), "a_mask": seeded(4)},
        {"a_orig": seeded(3, 3), "a_u": seeded(4), "a_v": seeded(3)},
        {"a_orig": torch.ones(3, dtype=torch.int64), "a_mask": torch.ones(3)},
        {"a_orig": seeded(3), "a_mask": seeded(3), "a": seeded(3)},
        {"a_orig": torch.tensor(1.0), "a_u": torch.tensor(1.0), "a_v": torch.tensor(1.0)},
    ):
        assert computed(state) == state


def test_a_quantized_network(netviz, folder):
    network = statically_quantized()
    state = network.state_dict()
    weight = state["1.weight"]
    per_unit = weight.qscheme() == torch.per_channel_affine
    scale = weight.q_per_channel_scales().float()[:, None, None, None] if per_unit else weight.q_scale()
    check_drawn(netviz, state, weight.int_repr() * scale)
    # The network itself answers, too.
    found = filters(network, layer="1")
    np.testing.assert_allclose(found.weight, (weight.int_repr() * scale).numpy(), rtol=1e-6)
    assert found.network == "Sequential (dequantized)"
    image = prepare(read_image("photo.png").pixels, load(network).preprocessing.sized(32, 32))
    expected = network[1](network[0](image.tensor))[0]
    got = maps("photo.png", model=network, layer="1", size=(32, 32))
    np.testing.assert_allclose(
        got.maps, levels(expected, expected.q_scale(), expected.q_zero_point()), rtol=1e-5
    )
    assert got.origin == "given in Python, quantized, shown dequantized"
    found = stages("photo.png", model=network, layer="1", size=(32, 32))
    assert [column.key for column in found.columns] == ["conv1", "relu1"]
    np.testing.assert_array_equal(found.maps["conv1"], got.maps)
    np.testing.assert_array_equal(found.maps["relu1"], np.maximum(got.maps, 0))
    with pytest.raises(
        ModelError, match="no gradient flows from layer 1 to the input: the network is quantized"
    ):
        field(network, layer="1", kind="effective", images="photo.png", size=(32, 32))


@pytest.mark.parametrize("how", [torch.jit.script, lambda one: torch.jit.trace(one, seeded(1, 3, 16, 16))])
def test_a_quantized_network_in_torchscript(netviz, folder, how):
    network = statically_quantized()
    torch.jit.save(how(network), "k.pt")
    with pytest.raises(
        UntrustedError, match=r"^k.pt holds a quantized network, whose weights its code has packed;"
    ):
        load("k.pt")
    model = load("k.pt", trust=True)
    np.testing.assert_array_equal(
        filters(model).weight, network.state_dict()["1.weight"].dequantize().numpy()
    )
    image = prepare(read_image("photo.png").pixels, model.preprocessing.sized(32, 32))
    got = maps("photo.png", model=model, layer="conv1", size=(32, 32))
    np.testing.assert_array_equal(got.maps, network[1](network[0](image.tensor))[0].dequantize().numpy())


def test_what_torch_says_of_itself_is_told_in_debugging_alone(netviz, folder):
    Path("loud.py").write_text(
        "import warnings, torch\ndef made():\n    warnings.warn('of torch')\n    return torch.nn.Conv2d(3, 4, 3)\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert "of torch" not in netviz("layers", "loud.py:made").err
        assert "of torch" in netviz("layers", "loud.py:made", "--debug").err


def test_a_quantized_network_that_torch_does_not_unpickle_whole(folder):
    torch.save(statically_quantized(), "k.pt")
    whole = r"was not unpickled whole by torch .* has no attribute .*: save its state_dict\(\) instead"
    with pytest.raises(ModelError, match=rf"^k.pt {whole}"):
        load("k.pt", trust=True)
    with pytest.raises(ModelError, match=f"^Sequential {whole}"):
        load(torch.load("k.pt", weights_only=False))


def test_a_dynamically_quantized_network(folder):
    network = nn.Sequential(copy.deepcopy(NETWORK[0]), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    changed = torch.ao.quantization.quantize_dynamic(network.eval(), {nn.Linear})
    np.testing.assert_array_equal(filters(changed).weight, WEIGHT.numpy())
    assert maps("photo.png", model=changed, layer="-1", size=(32, 32)).maps.shape == (4, 1, 1)
    assert [layer.name for layer in layers(changed, size=(32, 32))][:2] == ["0", "1"]
    torch.save(changed, "k.pt")
    np.testing.assert_array_equal(filters("k.pt", trust=True).weight, WEIGHT.numpy())


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x)


def test_complex_maps_are_drawn_by_their_magnitude(folder):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Spectrum())
    before = maps("photo.png", model=network, layer="0", size=(32, 32)).maps
    result = maps("photo.png", model=network, layer="1", size=(32, 32))
    # The mean outshines all other frequencies, so it must not set the scale.
    assert (result.percentile, maps("photo.png", model=network, layer="0", size=(32, 32)).percentile) == (
        99,
        100,
    )
    np.testing.assert_allclose(result.maps, np.abs(np.fft.fft2(before)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_or_one_line_says_why_not(netviz, folder, kind):
    state, said, everywhere = REFUSED[kind]()
    torch.save(state, "k.pt")
    for command in (
        ["filters"],
        ["filters", "-l", "-1"],
        ["layers"],
        ["maps", "photo.png", "-l", "-1", "--model"],
    ):
        done = netviz(*command, "k.pt")
        assert "unexpected" not in done.err
        assert "Warning" not in done.err
        if command == ["filters"] or (command == ["layers"] and everywhere):
            assert done.status == 1
            assert re.search(said, done.err)
        if done.status == 1:
            assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda: nn.LazyConv2d(4, 3), "run the network once"),
        (lambda: nn.Conv3d(1, 4, 3, padding=1), "takes no images: its convolutions are of type Conv3d"),
        (lambda: nn.Conv1d(1, 4, 3), "takes no images: its convolutions are of type Conv1d"),
    ],
)
def test_nor_is_such_a_network_taken(network, said):
    with pytest.raises(ModelError, match=said):
        load(nn.Sequential(network()))


def test_a_pruned_file_is_recognised(tmp_path):
    network = build_torchvision("resnet18", seed=0)
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            prune.random_unstructured(module, "weight", 0.5)
    torch.save({f"_orig_mod.{key}": value for key, value in network.state_dict().items()}, tmp_path / "k.pt")
    model = load(tmp_path / "k.pt")
    assert "recognised as resnet18" in model.origin
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            expected = module.weight_orig * module.weight_mask
            assert torch.equal(model.network.get_submodule(name).weight, expected)


def test_what_is_assumed_is_said(netviz):
    done = netviz("layers", "support.network:Labeller", "--size", "32")
    said = "netviz: nothing says how images are prepared: short side 32, centre crop 32×32, RGB, mean (0.485"
    assert said in done.err
    assert "(assumed: ImageNet's usual values)" in done.err
    assert "assumed" not in netviz("layers", "squeezenet1_1", "--weights", "none").err


def test_a_random_network_is_told(netviz, photo, tmp_path):
    asked = (
        "maps",
        photo,
        "--model",
        "support.network:Noisy",
        "--size",
        "32",
        "-l",
        "-1",
        "-o",
        tmp_path / "a.npz",
    )
    first, *rest = netviz(*asked).err.splitlines()
    assert first.endswith(
        "Noisy: the network draws random numbers as it runs: answers differ from run to run"
    )
    assert [line[:5] for line in rest] == ["wrote"]
