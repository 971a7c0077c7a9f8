"""Every operator of convolutional networks, in every version that onnx knows, gives what ONNX Runtime gives."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import netviz as library
from netviz.errors import ModelError

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
if importlib.util.find_spec("onnx2torch") is None:
    pytest.skip("onnx2torch is not installed", allow_module_level=True)

FIRST = 7
SHAPE = (2, 3, 8, 8)

Case = Callable[[int], list[Any]]


def floats(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


class Graph:
    """A graph under construction: stored arrays become its weights, calls its nodes."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.weights: dict[str, Any] = {}
        self.nodes: list[Any] = []

    def __call__(self, kind: str, *inputs: Any, outputs: int = 1, **said: Any) -> str:
        names = []
        for value in inputs:
            if isinstance(value, np.ndarray):
                name = f"w{len(self.weights)}"
                self.weights[name] = value
            else:
                name = value or ""
            names.append(name)
        made = [f"v{len(self.nodes)}_{place}" for place in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, names, made, **said))
        return made[0]

    def moved(self, kind: str, x: str, since: int, name: str, value: list[int], **said: Any) -> str:
        """Give what became an input with a version: before it an attribute, from it on a stored array."""
        if self.version >= since:
            return self(kind, x, ints(*value), **said)
        return self(kind, x, **{name: value}, **said)


X = "image"
EVEN = floats(1, 3, 8, 8, seed=5)
POSITIVE = np.abs(EVEN) + 0.5


def unary(kind: str, positive: bool = False, **said: Any) -> Callable[[Graph], str]:
    return lambda g: g(kind, g("Abs", X) if positive else X, **said)


def binary(kind: str, other: Any = EVEN, **said: Any) -> Callable[[Graph], str]:
    return lambda g: g(kind, X, other, **said)


def compared(kind: str) -> Callable[[Graph], str]:
    return lambda g: g("Cast", g(kind, X, EVEN), to=1)


def logic(kind: str) -> Callable[[Graph], str]:
    return lambda g: g("Cast", g(kind, g("Greater", X, EVEN), g("Less", X, POSITIVE)), to=1)


def reduced(kind: str, since: int, **said: Any) -> Callable[[Graph], str]:
    return lambda g: g.moved(kind, g("Abs", X), since, "axes", [2, 3], **said)


def resized(**said: Any) -> Callable[[Graph], str]:
    scales = np.array([1, 1, 2, 1.5], np.float32)

    def make(g: Graph) -> str:
        if g.version < 11:
            return g("Resize", X, scales, mode=said["mode"])
        return g("Resize", X, None, scales, **said)

    return make


def clipped(g: Graph) -> str:
    if g.version < 11:
        return g("Clip", X, min=-0.3, max=0.4)
    return g("Clip", X, np.array(-0.3, np.float32), np.array(0.4, np.float32))


def padded(g: Graph) -> str:
    pads = [0, 0, 1, 2, 0, 0, 2, 1]
    if g.version < 11:
        return g("Pad", X, pads=pads, mode="constant", value=0.5)
    return g("Pad", X, ints(*pads), np.array(0.5, np.float32), mode="constant")


def sliced(g: Graph) -> str:
    if g.version < 10:
        return g("Slice", X, starts=[1, 0], ends=[7, -1], axes=[2, 3])
    return g("Slice", X, ints(1, -1), ints(7, -7), ints(2, 3), ints(2, -2))


def normalized(kind: str) -> Callable[[Graph], str]:
    mean, var = floats(3, seed=3), np.abs(floats(3, seed=4)) + 0.5
    more = (mean, var) if kind == "BatchNormalization" else ()
    return lambda g: g(kind, X, floats(3, seed=1), floats(3, seed=2), *more, epsilon=1e-3)


def grouped(g: Graph) -> str:
    x = g("Concat", X, X, axis=1)
    count = 2 if g.version < 21 else 6
    return g("GroupNormalization", x, floats(count, seed=1), floats(count, seed=2), num_groups=2)


def upsampled(g: Graph) -> str:
    scales = np.array([1, 1, 2, 2], np.float32)
    if g.version < 9:
        return g("Upsample", X, scales=scales.tolist(), mode="nearest")
    return g("Upsample", X, scales, mode="nearest")


def topmost(g: Graph) -> str:
    if g.version < 10:
        return g("TopK", X, k=3, axis=3, outputs=2)
    return g("TopK", X, ints(3), axis=3, outputs=2)


def shaped(g: Graph) -> str:
    shape = g("Shape", X)
    return g("Cast", g("ConstantOfShape", shape, value=onnx.numpy_helper.from_array(np.float32([2]))), to=1)


CASES: dict[str, Callable[[Graph], str]] = {
    "Conv": lambda g: g("Conv", X, floats(4, 3, 3, 3), floats(4), pads=[1, 0, 2, 1], strides=[2, 1]),
    "Conv same": lambda g: g("Conv", X, floats(4, 3, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv same lower": lambda g: g("Conv", X, floats(4, 3, 4, 3), auto_pad="SAME_LOWER", strides=[2, 1]),
    "Conv same, dilated": lambda g: g(
        "Conv", X, floats(4, 3, 3, 2), auto_pad="SAME_UPPER", dilations=[2, 3], strides=[3, 3]
    ),
    "Conv same, strided more": lambda g: g("Conv", X, floats(4, 3, 1, 1), auto_pad="SAME_UPPER", strides=[3, 2]),
    "Conv depthwise": lambda g: g("Conv", X, floats(6, 1, 3, 3), group=3, dilations=[2, 2]),
    "ConvTranspose": lambda g: g(
        "ConvTranspose", X, floats(3, 2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
    ),
    "Gemm": lambda g: g("Gemm", g("Flatten", X, axis=1), floats(5, 192), floats(5), transB=1, alpha=0.5, beta=2.0),
    "MatMul": lambda g: g("MatMul", X, floats(8, 5)),
    "BatchNormalization": normalized("BatchNormalization"),
    "InstanceNormalization": normalized("InstanceNormalization"),
    "GroupNormalization": grouped,
    "LayerNormalization": lambda g: g("LayerNormalization", X, floats(8, seed=1), floats(8, seed=2), axis=-1),
    "RMSNormalization": lambda g: g("RMSNormalization", X, floats(8, seed=1), axis=-1),
    "LpNormalization": unary("LpNormalization", axis=1, p=2),
    "LRN": unary("LRN", size=3, alpha=0.1, beta=0.75, bias=1.5),
    "AveragePool": unary("AveragePool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    "AveragePool uneven, counted": unary(
        "AveragePool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1
    ),
    "AveragePool same lower": unary("AveragePool", kernel_shape=[2, 3], strides=[1, 2], auto_pad="SAME_LOWER"),
    "AveragePool same, counted": unary(
        "AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER", count_include_pad=1
    ),
    "AveragePool counted": unary("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "AveragePool same": unary("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "MaxPool": unary("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    "MaxPool same": unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    "LpPool": unary("LpPool", kernel_shape=[2, 2], strides=[2, 2], p=2),
    "GlobalAveragePool": unary("GlobalAveragePool"),
    "GlobalMaxPool": unary("GlobalMaxPool"),
    **{kind: unary(kind) for kind in (
        "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus",
        "Softsign", "Mish", "Swish", "ThresholdedRelu", "Erf", "Exp", "Neg", "Abs", "Floor", "Ceil", "Round", "Sign",
        "Sin", "Cos", "Atan", "Identity", "Dropout", "Shrink",
    )},
    "Gelu tanh": unary("Gelu", approximate="tanh"),
    "LeakyRelu told": unary("LeakyRelu", alpha=0.3),
    "HardSigmoid told": unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    **{kind: unary(kind, positive=True) for kind in ("Log", "Sqrt", "Reciprocal")},
    "PRelu": binary("PRelu", np.abs(floats(3, 1, 1))),
    "Softmax": unary("Softmax"),
    "Softmax of channels": unary("Softmax", axis=1),
    "LogSoftmax": unary("LogSoftmax"),
    "Hardmax": unary("Hardmax"),
    "Clip": clipped,
    "Add": binary("Add"), "Sub": binary("Sub"), "Mul": binary("Mul"), "Div": binary("Div", POSITIVE),
    "Pow": binary("Pow", np.array(2, np.float32)),
    "Max": binary("Max"), "Min": binary("Min"), "Mean": binary("Mean"), "Sum": binary("Sum"),
    "Mod": binary("Mod", POSITIVE, fmod=1),
    **{kind: compared(kind) for kind in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")},
    "And": logic("And"), "Or": logic("Or"), "Xor": logic("Xor"),
    "Not": lambda g: g("Cast", g("Not", g("Less", X, EVEN)), to=1),
    "Where": lambda g: g("Where", g("Less", X, EVEN), X, POSITIVE),
    "Concat": lambda g: g("Concat", X, g("Neg", X), axis=1),
    "Split": lambda g: g.moved("Split", X, 13, "split", [1, 2], axis=1, outputs=2),
    "Slice": sliced,
    "Reshape": lambda g: g("Reshape", X, ints(0, -1, 4)),
    "Flatten": unary("Flatten", axis=2),
    "Flatten last": unary("Flatten", axis=-1),
    "Transpose": unary("Transpose", perm=[0, 2, 3, 1]),
    "Squeeze": lambda g: g.moved("Squeeze", g("GlobalAveragePool", X), 13, "axes", [2, 3]),
    "Unsqueeze": lambda g: g.moved("Unsqueeze", X, 13, "axes", [1]),
    "Expand": lambda g: g("Expand", X, ints(2, 1, 3, 8, 8)),
    "Tile": lambda g: g("Tile", X, ints(1, 2, 1, 2)),
    "Gather": lambda g: g("Gather", X, ints(2, 0), axis=1),
    "GatherElements": lambda g: g("GatherElements", X, np.zeros((2, 2, 8, 8), np.int64), axis=1),
    "GatherND": lambda g: g("GatherND", X, np.array([[0, 1], [1, 2]])),
    "ScatterND": lambda g: g("ScatterND", X, np.array([[0, 1], [1, 2]]), floats(2, 8, 8)),
    "Pad": padded,
    "Resize nearest": resized(mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"),
    "Resize linear": resized(mode="linear", coordinate_transformation_mode="half_pixel"),
    "Resize aligned": resized(mode="linear", coordinate_transformation_mode="align_corners"),
    "Resize of PyTorch": resized(mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    "Resize cubic": resized(mode="cubic", cubic_coeff_a=-0.75, coordinate_transformation_mode="half_pixel"),
    "Upsample": upsampled,
    "DepthToSpace": lambda g: g("DepthToSpace", g("Concat", X, X, X, X, axis=1), blocksize=2),
    "DepthToSpace CRD": lambda g: g("DepthToSpace", g("Concat", X, X, X, X, axis=1), blocksize=2, mode="CRD"),
    "SpaceToDepth": unary("SpaceToDepth", blocksize=2),
    "ReduceSum": reduced("ReduceSum", 13),
    **{f"Reduce{kind}": reduced(f"Reduce{kind}", 18) for kind in (
        "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare",
    )},
    "ReduceMean flat": reduced("ReduceMean", 18, keepdims=0),
    "ArgMax": lambda g: g("Cast", g("ArgMax", X, axis=1), to=1),
    "ArgMin": lambda g: g("Cast", g("ArgMin", X, axis=1, keepdims=0), to=1),
    "TopK": topmost,
    "Cast": lambda g: g("Cast", g("Cast", X, to=7), to=1),
    "Shape": lambda g: g("Reshape", X, g("Concat", g("Gather", g("Shape", X), ints(0), axis=0), ints(-1), axis=0)),
    "ConstantOfShape": shaped,
    "Constant": lambda g: g("Add", X, g("Constant", value=onnx.numpy_helper.from_array(EVEN))),
    "Einsum": lambda g: g("Einsum", X, floats(8, 4), equation="nchw,wk->nchk"),
    "CumSum": lambda g: g("CumSum", X, np.array(2)),
    "Attention": lambda g: g("Attention", X, X, X),
}  # fmt: skip


def versions() -> list[tuple[str, int]]:
    """Return each case with each version in which its operator says anything new, and the newest of all."""
    since: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and not schema.deprecated:
            since.setdefault(schema.name, set()).add(schema.since_version)
    newest = onnx.defs.onnx_opset_version()
    found = []
    for case in CASES:
        kind = case.split()[0]
        first = max(FIRST, min(since[kind]))
        some = {max(one, first) for one in since[kind]}
        some |= {newest} if kind != "Upsample" else set()
        found += [(case, one) for one in sorted(some)]
    return found


REFUSED = {
    "Resize linear": "versions below 11",
    "Resize aligned": "versions below 11",
    "Resize of PyTorch": "versions below 11",
    "Resize cubic": "versions below 11",
    **{kind: f"onnx2torch does not know {kind}" for kind in (
        "Attention", "GroupNormalization", "Hardmax", "LpNormalization", "LpPool", "RMSNormalization", "Shrink",
        "Slice", "Upsample",
    )},
}  # fmt: skip
"""What is refused, and with which reason; of `ONLY` some versions alone."""

ONLY = {
    "Slice": 7,
    **dict.fromkeys(("Resize linear", "Resize aligned", "Resize of PyTorch", "Resize cubic"), 10),
}


def truth(model: Any, image: Any) -> Any:
    """Run a file with ONNX Runtime; what it does not know, with onnx's own reference."""
    try:
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {X: image})[0]
    except Exception:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, {X: image})[0]


def difference(case: str, version: int, folder: Any) -> str:
    """Say how netviz's answer differs from the truth, or why it refuses; "" if it gives the same."""
    g = Graph(version)
    end = CASES[case](g)
    graph = onnx.helper.make_graph(
        g.nodes,
        "net",
        [onnx.helper.make_tensor_value_info(X, 1, ["n", *SHAPE[1:]])],
        [onnx.ValueInfoProto(name=end)],
        [onnx.numpy_helper.from_array(value, name) for name, value in g.weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)], ir_version=8)
    image = floats(*SHAPE, seed=9)
    wanted = truth(model, image)
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    try:
        opened = library.load(path)
    except ModelError as error:
        return f"refused: {error}"
    if opened.network is None:
        return f"refused: {opened.obstacle}"
    with torch.no_grad():
        found = opened.network(torch.from_numpy(image))
    found = next(iter(found.values())) if isinstance(found, dict) else found
    found = found.numpy() if isinstance(found, torch.Tensor) else found[0].numpy()
    if found.shape != wanted.shape:
        return f"shape {found.shape}, not {wanted.shape}"
    if not np.allclose(found, wanted, rtol=1e-4, atol=1e-5):
        said = " (told)" if opened.doubts else ""
        return f"differs by {np.abs(found - wanted).max():.3g}{said}"
    return ""


def check(case: str, version: int, folder: Any) -> None:
    found = difference(case, version, folder)
    if case in REFUSED and version <= ONLY.get(case, version):
        assert found.startswith("refused: ")
        assert REFUSED[case] in found
    else:
        assert found == ""


# Those that the converter lacks or would take for something else.
SAMPLE = [
    *[
        (kind, 22)
        for kind in (
            "CumSum",
            "Gelu tanh",
            "GlobalMaxPool",
            "Mish",
            "SpaceToDepth",
            "ThresholdedRelu",
            "TopK",
        )
    ],
    *[(kind, 7) for kind in ("BatchNormalization", "Flatten", "MaxPool", "Pad", "TopK")],
    *[(kind, 13) for kind in ("AveragePool same lower", "Conv same", "DepthToSpace", "MaxPool same")],
    ("Resize linear", 10),
    ("Swish", 24),
]


@pytest.mark.parametrize(("case", "version"), SAMPLE)
def test_operators_give_what_onnx_runtime_gives(case, version, tmp_path):
    check(case, version, tmp_path)


@pytest.mark.parametrize("shape", [(1, 3, 33, 34), (1, 3, 16, 18)])
def test_padding_follows_the_size_of_the_image(shape, tmp_path):
    g = Graph(13)
    x = g("Conv", X, floats(8, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    x = g("MaxPool", x, kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2])
    x = g("AveragePool", x, kernel_shape=[3, 2], auto_pad="SAME_LOWER", strides=[2, 1])
    x = g("Conv", x, floats(8, 8, 3, 3), auto_pad="SAME_UPPER")
    end = g("DepthToSpace", x, blocksize=2)
    graph = onnx.helper.make_graph(
        g.nodes,
        "net",
        [onnx.helper.make_tensor_value_info(X, 1, ["n", 3, "h", "w"])],
        [onnx.ValueInfoProto(name=end)],
        [onnx.numpy_helper.from_array(value, name) for name, value in g.weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "net.onnx"))
    opened = library.load(tmp_path / "net.onnx")
    image = floats(*shape, seed=9)
    with torch.no_grad():
        found = opened.network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(found, truth(model, image), rtol=1e-4, atol=1e-5)
    # Where it is the same for every size, it is the convolution's own.
    assert [one.padding for one in opened.network.modules() if isinstance(one, torch.nn.Conv2d)] == [
        (0, 0),
        (1, 1),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "version"), versions())
def test_every_version_of_every_operator_gives_what_onnx_runtime_gives(case, version, tmp_path):
    check(case, version, tmp_path)
