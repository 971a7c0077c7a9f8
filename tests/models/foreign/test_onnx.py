"""ONNX networks answer as ONNX Runtime does, layer by layer, or one line says what they cannot."""

import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import netviz as library
from netviz.errors import ModelError
from netviz.images import prepare, read_image
from netviz.models.known.weights import PackagedFile
from netviz.models.loading.sniff import is_onnx

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
if importlib.util.find_spec("onnx2torch") is None:
    pytest.skip("onnx2torch is not installed", allow_module_level=True)

TEXTS = PackagedFile(
    distribution="rapidocr-onnxruntime",
    version="1.4.4",
    path="rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
    sha256="d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
)
"""A trained detector of lines of text."""


def node(kind, inputs, outputs, name="", **attributes):
    return onnx.helper.make_node(kind, inputs, outputs, name=name, **attributes)


def save(path, nodes, weights, outputs, shape=("n", 3, "h", "w"), opset=13, kind=1, **options):
    """Save a graph; `outputs` are names, with the number of axes of each."""
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("image", kind, shape)],
        [onnx.helper.make_tensor_value_info(name, 1, [None] * axes) for name, axes in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path), **options)
    return path


def answers(path, image, *names):
    """Run a file with ONNX Runtime, which hands out any value of the graph."""
    model = onnx.load(str(path))
    for name in names:
        if name not in {one.name for one in model.graph.output}:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(names) or None, {session.get_inputs()[0].name: image})


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    """As PyTorch's exporter writes a network: names of modules, and a batch that is fixed to 1 in its shapes."""
    weights = {
        "stem.weight": random(8, 3, 3, 3),
        "stem.bias": random(8, seed=1),
        "onnx::Conv_7": random(8, 4, 3, 3, seed=2),
        "head.weight": random(5, 8, seed=3),
        "head.bias": random(5, seed=4),
        "flat": np.array([1, -1]),
    }
    nodes = [
        node("Conv", ["image", "stem.weight", "stem.bias"], ["a"], "/stem/Conv", pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"], "/relu/Relu"),
        node("Conv", ["b", "onnx::Conv_7"], ["c"], "/blocks/blocks.0/conv/Conv", pads=[0, 0, 2, 2], group=2),
        node("Add", ["b", "c"], ["d"], "/blocks/blocks.0/Add"),
        node("Dropout", ["d"], ["e", "mask"], "/drop/Dropout"),
        node("GlobalAveragePool", ["e"], ["f"], "/pool/GlobalAveragePool"),
        node("Reshape", ["f", "flat"], ["g"], "/Reshape"),
        node("Gemm", ["g", "head.weight", "head.bias"], ["scores"], "/head/Gemm", transB=1),
    ]
    path = tmp_path_factory.mktemp("onnx") / "residual.onnx"
    return save(path, nodes, weights, {"scores": 2}, (1, 3, 20, 24))


def test_layers_bear_the_names_of_modules_and_the_kinds_of_operators(residual):
    found = [(layer.name, layer.kind, layer.shape) for layer in library.layers(residual)]
    assert found == [
        ("stem", "conv", (8, 20, 24)),
        ("relu", "relu", (8, 20, 24)),
        ("blocks.0.conv.0", "pad", (8, 22, 26)),
        ("blocks.0.conv.1", "conv", (8, 20, 24)),
        ("blocks.0.Add", "add", (8, 20, 24)),
        ("drop", "dropout", (8, 20, 24)),
        ("pool", "pool", (8, 1, 1)),
        ("Reshape", "reshape", (8,)),
        ("head", "fc", (5,)),
    ]


def test_maps_are_those_of_onnx_runtime(residual):
    model = library.load(residual)
    assert (model.preprocessing.crop, model.preprocessing.size_assumed) == ((20, 24), False)
    photo = read_image("skimage:chelsea")
    image = prepare(photo.pixels, model.preprocessing).tensor.numpy()
    for layer, value in {"stem": "a", "blocks.0.conv": "c", "blocks.0.Add": "d"}.items():
        found = library.maps(photo, layer=layer, model=model)
        assert np.abs(found.maps - answers(residual, image, value)[0][0]).max() < 1e-5
    assert found.doubts == ("mean and std are assumed: ImageNet's usual values",)
    said = library.maps(photo, layer="stem", model=residual, mean=0.5, std=0.25)
    assert said.doubts == ()
    assert library.filters(residual, layer="conv2").groups == 2


def test_a_batch_that_the_file_fixes_to_one_is_freed(residual):
    images = random(3, 3, 20, 24, seed=9)
    with torch.no_grad():
        found = library.load(residual).network(torch.from_numpy(images))
    alone = [answers(residual, one[None], "scores")[0] for one in images]
    assert np.abs(found.numpy() - np.concatenate(alone)).max() < 1e-5


def test_a_batch_that_cannot_be_freed_is_refused_with_its_reason(tmp_path):
    shape = np.array([2, 2, 4, 4])  # of one image of 8×8: not what it is for two
    nodes = [
        node("Conv", ["image", "k"], ["a"]),
        node("Reshape", ["a", "shape"], ["b"]),
        node("Softmax", ["b"], ["out"], axis=0),
    ]
    path = save(
        tmp_path / "one.onnx", nodes, {"k": random(1, 3, 1, 1), "shape": shape}, {"out": 4}, (1, 3, 8, 8)
    )
    network = library.load(path).network
    assert network(torch.zeros(1, 3, 8, 8)).shape == (2, 2, 4, 4)
    with pytest.raises(ValueError, match="takes one image at a time"):
        network(torch.zeros(2, 3, 8, 8))


def test_a_batch_of_several_is_freed_or_refused(tmp_path):
    weights = {"k": random(2, 3, 1, 1), "flat": np.array([4, -1]), "rows": np.array([8, -1])}
    nodes = [node("Conv", ["image", "k"], ["a"]), node("Reshape", ["a", "flat"], ["out"])]
    path = save(tmp_path / "four.onnx", nodes, weights, {"out": 2}, (4, 3, 8, 8))
    images = random(4, 3, 8, 8)
    found = library.load(path).network(torch.from_numpy(images[:1])).detach().numpy()
    assert np.abs(found - answers(path, images)[0][:1]).max() < 1e-5
    nodes[1].input[1] = "rows"
    save(path, nodes, weights, {"out": 2}, (4, 3, 8, 8))
    assert "it takes 4 images at once" in library.load(path).obstacle


def test_later_versions_of_operators_say_the_same(tmp_path):
    nodes = [
        node("Identity", ["stored"], ["k"]),
        node("Conv", ["image", "k"], ["a"]),
        node("Pad", ["a", "pads"], ["b"]),
        node("Resize", ["b", "", "scales"], ["c"], mode="linear"),
        node("ReduceMean", ["c", "axes"], ["d"], keepdims=1),
        node("Sub", ["c", "d"], ["out"]),
    ]
    weights = {
        "stored": random(4, 3, 3, 3),
        "pads": np.array([0, 0, 1, 0, 0, 0, 2, 1]),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "axes": np.array([2, 3]),
    }
    path = save(tmp_path / "later.onnx", nodes, weights, {"out": 4}, opset=21)
    model = library.load(path)
    image = random(1, 3, 9, 9)
    assert (
        np.abs(model.network(torch.from_numpy(image)).detach().numpy() - answers(path, image)[0]).max() < 1e-5
    )
    assert model.doubts == ()
    nodes[3] = node("Resize", ["b", "", "scales"], ["c"], mode="linear", antialias=1)
    save(path, nodes, weights, {"out": 4}, opset=21)
    assert "onnx2torch does not know Resize with antialias" in library.load(path).obstacle


def test_what_the_converter_does_only_nearly_is_said(tmp_path):
    nodes = [
        node("Conv", ["image", "k"], ["a"]),
        node("Resize", ["a", "", "scales"], ["out"], mode="nearest"),  # rounds another way than PyTorch
    ]
    weights = {"k": random(4, 3, 3, 3), "scales": np.array([1, 1, 2, 2], np.float32)}
    path = save(tmp_path / "near.onnx", nodes, weights, {"out": 4})
    doubts = library.maps("skimage:coffee", layer="conv1", model=path, size=(32, 32)).doubts
    assert any(one.startswith("onnx2torch: ") and "results might differ" in one for one in doubts)


def test_a_real_network_gives_the_maps_of_onnx_runtime(netviz, tmp_path):
    try:
        importlib.metadata.distribution(TEXTS.distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{TEXTS.distribution} is not installed")
    path = TEXTS.locate()
    model = library.load(path)
    photo = read_image("skimage:page")
    image = prepare(photo.pixels, model.preprocessing.sized(96, 192)).tensor.numpy()
    for layer, value in {"p2o.Conv.9": "depthwise_conv2d_4.tmp_0", "-1": "sigmoid_0.tmp_0"}.items():
        found = library.maps(photo, layer=layer, model=model, size=(96, 192))
        expected = answers(path, image, value)[0][0]
        assert found.maps.shape == expected.shape
        assert np.abs(found.maps - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    assert expected.max() > 0.9  # it sees lines of text
    stored = {
        one.output[0]: one.attribute[0].t
        for one in onnx.load(str(path)).graph.node
        if one.op_type == "Constant"
    }
    first = onnx.numpy_helper.to_array(stored["conv2d_0.w_0"])
    assert np.array_equal(library.filters(model, layer="conv1").weight, first)
    done = netviz("filters", path, "--layer", "p2o.Conv.[0]", "-o", tmp_path / "filters.png")
    assert (done.status, (tmp_path / "filters.png").stat().st_size > 5000) == (0, True)


def test_a_product_with_weights_is_a_linear_layer(tmp_path):
    nodes = [
        node("Conv", ["image", "k"], ["a"]),
        node("GlobalAveragePool", ["a"], ["b"]),
        node("Flatten", ["b"], ["c"]),
        node("MatMul", ["c", "w"], ["scores"], "head"),
    ]
    weights = {"k": random(4, 3, 3, 3), "w": random(4, 6)}
    path = save(tmp_path / "product.onnx", nodes, weights, {"scores": 2}, ("n", 3, 16, 16))
    image = random(2, 3, 16, 16)
    model = library.load(path)
    assert (
        np.abs(model.network(torch.from_numpy(image)).detach().numpy() - answers(path, image)[0]).max() < 1e-5
    )
    assert [layer.kind for layer in library.layers(model)] == ["conv", "pool", "flatten", "fc"]
    dense = library.dense("skimage:chelsea", model=model, short_side=20)  # as a fully convolutional network
    assert dense.network == "product"


def test_outputs_bear_the_names_of_the_file(tmp_path):
    nodes = [
        node("Conv", ["image", "k"], ["map"], "odd/conv.1"),
        node("Split", ["map"], ["left", "right"], axis=1),
        node("ReduceMean", ["right"], ["logits"], axes=[2, 3], keepdims=0),
    ]
    path = save(tmp_path / "two.onnx", nodes, {"k": random(4, 3, 3, 3)}, {"left": 4, "logits": 2})
    image = random(2, 3, 9, 9)
    found = library.load(path).network(torch.from_numpy(image))
    for name, expected in zip(("left", "logits"), answers(path, image), strict=True):
        assert np.abs(found[name].detach().numpy() - expected).max() < 1e-5
    assert library.layers(path, size=(9, 9)).resolve("odd.*").alias == "conv1"


def test_channels_that_come_last_are_given_last(tmp_path):
    nodes = [
        node("Transpose", ["image"], ["a"], perm=[0, 3, 1, 2]),
        node("Slice", ["a", "starts", "ends", "axes", "steps"], ["b"]),
        node("Conv", ["b", "k"], ["out"]),
    ]
    weights = {
        "k": random(4, 3, 3, 3),
        "starts": np.array([-1, 1]),
        "ends": np.array([-10000, 10000]),
        "axes": np.array([3, 2]),
        "steps": np.array([-1, 2]),
    }
    path = save(tmp_path / "last.onnx", nodes, weights, {"out": 4}, ("n", 16, 16, 3))
    model = library.load(path)
    image = random(2, 3, 16, 16)
    expected = answers(path, image.transpose(0, 2, 3, 1))[0]
    assert np.abs(model.network(torch.from_numpy(image)).detach().numpy() - expected).max() < 1e-5
    assert library.filters(model).sees_image


def test_a_network_that_cannot_be_converted_gives_its_filters(tmp_path, netviz):
    nodes = [
        node("Conv", ["image", "w", "b"], ["a"], "first"),
        node("BitShift", ["a", "a"], ["out"], direction="LEFT"),
    ]
    weights = {"w": random(4, 3, 3, 3), "b": random(4)}
    path = save(tmp_path / "odd.onnx", nodes, weights, {"out": 4})
    assert np.array_equal(library.filters(path, layer="first").weight, weights["w"])
    done = netviz("maps", "skimage:coffee", "--model", path, "--layer", "first")
    assert done.status == 1
    assert "onnx2torch does not know BitShift" in done.err


@pytest.mark.parametrize(
    ("kind", "inputs", "reason"), [(2, 1, "its input is uint8"), (1, 2, r"takes 2 inputs \(image, scale\)")]
)
def test_other_input_is_refused_with_its_reason(tmp_path, kind, inputs, reason):
    path = save(
        tmp_path / "in.onnx",
        [node("Conv", ["image", "w"], ["out"])],
        {"w": random(2, 3, 1, 1)},
        {"out": 4},
        kind=kind,
    )
    if inputs == 2:
        model = onnx.load(str(path))
        model.graph.input.append(onnx.helper.make_tensor_value_info("scale", 1, [1]))
        onnx.save(model, str(path))
    with pytest.raises(ModelError, match=f"only the weights .*{reason}"):
        library.maps("skimage:coffee", layer="1", model=path)


def test_weights_in_other_files(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    weights = {"w": random(64, 3, 3, 3)}
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path = save(
        folder / "net.onnx", [node("Conv", ["image", "w"], ["out"], "c")], weights, {"out": 4}, **options
    )
    assert np.array_equal(library.filters(path, layer="c").weight, weights["w"])
    shutil.move(folder / "weights.bin", tmp_path / "weights.bin")
    with pytest.raises(ModelError, match=r"keeps its weights in weights\.bin, which is not beside it"):
        library.load(path)
    for location in ("../weights.bin", str(tmp_path / "weights.bin")):
        model = onnx.load(str(path), load_external_data=False)
        model.graph.initializer[0].external_data[0].value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="outside of its own folder"):
            library.load(path)
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    model.graph.initializer[0].external_data[0].value = "link.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside of its own folder"):
        library.load(path)


def test_a_damaged_file_gives_one_line(residual, tmp_path):
    whole = residual.read_bytes()
    for place, end in enumerate((9, 40, len(whole) // 2, len(whole) - 3)):
        path = tmp_path / f"cut{place}.onnx"
        path.write_bytes(whole[:end])
        with pytest.raises(ModelError) as error:
            library.load(path)
        assert str(path) in str(error.value)


def test_without_the_extra_one_line_names_it(residual, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"is an ONNX model .*pip install 'netviz\[onnx\]'"):
        library.load(residual)


def test_what_is_no_onnx_is_not_taken_for_it(residual):
    assert is_onnx(residual.read_bytes()[:512])
    for head in (b"", b"\x08\x08", b"\x0a\x03abc", b"PK\x03\x04", b"\x80\x02}", b"# text\n", bytes(512)):
        assert not is_onnx(head)
    assert not is_onnx(Path(__file__).read_bytes()[:512])
