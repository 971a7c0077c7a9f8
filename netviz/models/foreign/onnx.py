"""Networks in ONNX files: their weights, and the network itself, converted to modules of PyTorch."""

import importlib
import math
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from netviz.errors import ModelError
from netviz.models.model import Model, given
from netviz.models.preprocessing import assumed
from netviz.models.torchvision_import import import_torchvision

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

_LATEST = 99
"""No set of operators has a version as high."""

_REDUCING = tuple(
    f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
"""These got their axes as an input later; ReduceSum had them there before."""

_LATER: dict[str, dict[str, Any]] = {
    "Resize": {"antialias": 0, "axes": None, "keep_aspect_ratio_policy": b"stretch"},
    "ScatterND": {"reduction": b"none"},
}
"""What only later versions of operators say, with what it means where nothing is said."""

_EARLIER = frozenset((
    "ArgMax", "ArgMin", "BatchNormalization", "Cast", "DepthToSpace", "Dropout", "Flatten", "Gemm", "Max", "MaxPool",
    "Mean", "Min", "Sum",
))  # fmt: skip
"""Of these the versions before the converter's first say the same with fewer types or settings."""

_MOST_EARLIER = 12
"""The converter's first version of any of these is below."""

_RESERVED = {*dir(nn.Module()), "initializers"}
"""What no module may be called."""

_FLOAT = 1  # onnx.TensorProto.FLOAT


def open_onnx(path: Path) -> Model:
    """Open an ONNX file. Nothing in it is code, and nothing of it is run but the operators that it names.

    Returns
    -------
    Model
        With the file's own names. Where the network cannot be converted, its weights alone, with the reason.

    Raises
    ------
    ModelError
        If the extra ``onnx`` is not installed, the file is damaged, or weights that it keeps in other files are
        missing or lie outside of its folder.
    """
    onnx = _import("onnx", path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        if model.functions:
            model = importlib.import_module("onnx.inliner").inline_local_functions(model)
        _fetch_weights(onnx, model, path)
        _tidy(onnx, model.graph)
        names = _names(model.graph)
    except ModelError:
        raise
    except Exception as error:  # a damaged or hostile file can raise anything
        raise ModelError(f"{path} is a damaged ONNX file ({_brief(error)}): get it again") from error
    origin = f"ONNX {path.name}"
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            network = _converted(model, names, path)
    except Exception as error:  # the converter answers what it does not know with anything
        reason = _brief(error)
        if not isinstance(error, ModelError):
            reason = f"onnx2torch cannot convert it ({type(error).__name__}: {reason})"
        weights = _weights(onnx, model.graph, names)
        if not weights:
            raise ModelError(f"{path} cannot be opened: {reason}") from error
        text = f"only the weights of {path} can be read (filters work, maps do not): {reason}"
        return Model(path.stem, None, weights, assumed(3), origin=origin, obstacle=text)
    found = given(network, path.stem, origin)
    # The converter does some operators only nearly as ONNX says.
    doubts = [f"onnx2torch: {_brief(one.message)}" for one in caught if "differ" in str(one.message)]
    channels, height, width = _input_shape(model.graph)
    preprocessing = assumed(channels) if channels in (1, 3) else found.preprocessing
    if height and width:
        preprocessing = replace(preprocessing.sized(height, width), size_assumed=False)
    return replace(found, preprocessing=preprocessing, doubts=tuple(dict.fromkeys(doubts)))


def _import(name: str, path: Path) -> ModuleType:
    import_torchvision()  # onnx2torch imports torchvision, which may need help
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(f"{path} is an ONNX model ({error}): run pip install 'netviz[onnx]'") from error


def _brief(error: object) -> str:
    """Return the first line of what something says, or what it is."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]


def _fetch_weights(onnx: ModuleType, model: Any, path: Path) -> None:
    """Read the weights that the file keeps in others, which must lie in its folder."""
    folder = path.resolve().parent
    for tensor in _tensors(model.graph):
        if not onnx.external_data_helper.uses_external_data(tensor):
            continue
        location = next((one.value for one in tensor.external_data if one.key == "location"), "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder):
            raise ModelError(
                f"{path} keeps weights in {location!r}, outside of its own folder, which netviz does not read: "
                "save it again with its weights beside it"
            )
        if not file.is_file():
            raise ModelError(
                f"{path} keeps its weights in {location}, which is not beside it: put both into one folder"
            )
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        yield from (one.t for one in node.attribute if one.HasField("t"))


def _tidy(onnx: ModuleType, graph: Any) -> None:
    """Bring a graph to the form that the converter reads.

    The tensors of nodes that hold or repeat nothing else become the graph's own, where the converter looks for
    weights. Outputs that nobody reads (a dropout's mask) go: the converter would take them for parts of one.
    """
    stored = {one.name: one for one in graph.initializer}
    shown = {one.name for one in graph.output}
    kept = []
    for node in graph.node:
        value = next((one.t for one in node.attribute if one.name == "value" and one.HasField("t")), None)
        if node.op_type == "Identity":
            value = stored.get(node.input[0])
        if node.op_type in ("Constant", "Identity") and value is not None and node.output[0] not in shown:
            own = graph.initializer.add()
            own.CopyFrom(value)
            own.name = node.output[0]
            stored[own.name] = own
        else:
            kept.append(node)
    read = {name for node in kept for name in node.input} | shown
    for node in kept:
        while len(node.output) > max(1, _least_outputs(onnx, node)) and node.output[-1] not in read:
            del node.output[-1]
    del graph.node[:]
    graph.node.extend(kept)


def _least_outputs(onnx: ModuleType, node: Any) -> int:
    """Return how many outputs an operator has at least."""
    try:
        return int(onnx.defs.get_schema(node.op_type, domain=node.domain).min_output)
    except onnx.defs.SchemaError:
        return len(node.output)


def _names(graph: Any) -> list[str]:
    """Return a dotted name for each node, none of which is the beginning of another.

    PyTorch's exporters name nodes by the modules that they are in (``/layer1/layer1.0/conv1/Conv``): these get the
    modules' own names (``layer1.0.conv1``). Others keep theirs.
    """
    full, scopes = [], []
    for node in graph.node:
        scope, own = _scope(node.name)
        full.append(".".join(filter(None, (scope, own or node.op_type))))
        scopes.append(scope if node.name.startswith("/") else "")
    # A module of one node is that node.
    alone = Counter(scopes)
    inside = _containers(full)
    names = [
        scope
        if scope and alone[scope] == 1 and not any(one.startswith(f"{scope}.") for one in scopes)
        else one
        for scope, one in zip(scopes, full, strict=True)
    ]
    taken: Counter[str] = Counter()
    found = []
    for node, name in zip(graph.node, names, strict=True):
        if name in inside and name not in scopes:
            name = f"{name}.{node.op_type}"
        name = ".".join(f"{part}_" if part in _RESERVED else part for part in name.split("."))
        taken[name] += 1
        found.append(name if taken[name] == 1 else f"{name}_{taken[name] - 1}")
    return found


def _containers(names: list[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    return {".".join(one[:end]) for one in parts for end in range(1, len(one))}


def _scope(name: str) -> tuple[str, str]:
    """Split a node's name into the dotted name of the module that it is in, and its own."""
    *outer, own = [part for part in name.split("/") if part] or [""]
    if not name.startswith("/"):
        parts = [part for part in ".".join([*outer, own]).split(".") if part]
        return ".".join(parts[:-1]), parts[-1] if parts else ""
    found: list[str] = []
    for part in outer:
        if found and part.startswith(f"{found[-1]}."):
            found[-1] = part  # `layer1.0` in `layer1`
        else:
            found.append(part)
    return ".".join(found).strip("."), own.replace(".", "_")


def _input_shape(graph: Any) -> tuple[int, int, int]:
    """Return channels, height and width of the input, 0 where the file leaves them open."""
    known = {one.name for one in graph.initializer}
    dims = next(one for one in graph.input if one.name not in known).type.tensor_type.shape.dim
    sizes = [max(one.dim_value, 0) for one in dims]
    if len(sizes) != 4:
        return 0, 0, 0
    return (sizes[3], sizes[1], sizes[2]) if _channels_last(sizes) else (sizes[1], sizes[2], sizes[3])


def _channels_last(sizes: list[int]) -> bool:
    return len(sizes) == 4 and sizes[3] in (1, 3) and sizes[1] not in (1, 3)


def _converted(model: Any, names: list[str], path: Path) -> nn.Module:
    """Return the network as modules of PyTorch, under the given names; what does not allow that raises."""
    onnx, onnx2torch = _import("onnx", path), _import("onnx2torch", path)
    graph = model.graph
    known = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in known]
    if len(inputs) != 1:
        listed = ", ".join(one.name for one in inputs)
        raise ModelError(f"it takes {len(inputs)} inputs ({listed}), and netviz gives one batch of images")
    kind = inputs[0].type.tensor_type.elem_type
    if kind != _FLOAT:
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise ModelError(f"its input is {name}, and netviz gives float32")
    _require_known(onnx, model)
    _as_before(onnx, graph, next((one.version for one in model.opset_import if not one.domain), 1))
    own = _own_ways(onnx, graph)
    sizes = [one.dim_value for one in inputs[0].type.tensor_type.shape.dim]
    batch = sizes[0] if sizes else 0
    if batch > 0:
        _free_batch(onnx, model, batch)
    _tell_ranks(onnx, graph)
    for place, node in enumerate(graph.node):
        node.name = str(place)  # the converter takes nodes of one name for one
    made: fx.GraphModule = onnx2torch.convert(model)
    _rename(made, names, [node.op_type for node in graph.node], own)
    _name_outputs(made, graph)
    if _channels_last(sizes):
        _insert_first(made, _channels_to_the_end)
    made.eval()
    made.recompile()
    if batch > 0 and not _takes_batches(made, _input_shape(graph)):
        if batch > 1:
            raise ModelError(f"it takes {batch} images at once, no fewer")
        _insert_first(made, _one_image)
    made.graph.lint()
    return made


def _require_known(onnx: ModuleType, model: Any) -> None:
    """Have the converter take later versions of operators, which add types; raise for what it does not know."""
    converters = importlib.import_module("onnx2torch.node_converters")
    versions = {one.domain: one.version for one in model.opset_import}

    def converter(domain: str, kind: str, version: int) -> Any:
        try:
            return converters.get_converter(kind, version, domain)
        except NotImplementedError:
            return None

    kinds = sorted({(node.domain, node.op_type) for node in model.graph.node})
    unknown = []
    for domain, kind in kinds:
        last = min(versions.get(domain, 1), _LATEST)
        known = next((one for one in range(last, 0, -1) if converter(domain, kind, one)), 0)
        if not known and not domain and kind in _EARLIER:
            known = next((one for one in range(last, _MOST_EARLIER) if converter(domain, kind, one)), 0)
        if not known and not domain and kind in _MODULES:
            _add_converter(kind, last)
        elif not known:
            unknown.append(f"{domain}.{kind}".lstrip("."))
        elif not converter(domain, kind, last):
            since = onnx.defs.get_schema(kind, domain=domain, max_inclusive_version=last).since_version
            registry = importlib.import_module("onnx2torch.node_converters.registry")
            registry.add_converter(kind, since, domain)(converter(domain, kind, known))
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 5 else ""
        raise ModelError(f"onnx2torch does not know {', '.join(unknown[: 4 if more else 5])}{more}")


class SpaceToDepth(nn.Module):
    """ONNX's SpaceToDepth: the pixels of each block become channels, those of one place of the block together."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, side² C, H / side, W / side)."""
        count, channels, height, width = x.shape
        side = self.side
        parts = x.reshape(count, channels, height // side, side, width // side, side)
        return parts.permute(0, 3, 5, 1, 2, 4).reshape(count, -1, height // side, width // side)


class DepthToSpace(nn.Module):
    """ONNX's DepthToSpace in its mode DCR: the channels of one place of the block lie together."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C / side², side H, side W)."""
        places = x.reshape(x.shape[0], self.side**2, -1, *x.shape[2:])
        # PyTorch has the places of a block beside one another for each channel.
        return functional.pixel_shuffle(places.transpose(1, 2).flatten(1, 2), self.side)


class Pad(nn.Module):
    """The padding that a convolution or pooling of ONNX finds by its input's size (`auto_pad`).

    Parameters
    ----------
    window, stride : (int, int)
        Rows and columns that a position sees, with its dilation, and from one position to the next.
    upper : bool
        Where one row or column is over, it goes to the end.
    value : float
        What is put there.
    """

    def __init__(self, window: tuple[int, int], stride: tuple[int, int], upper: bool, value: float) -> None:
        super().__init__()
        self.window, self.stride, self.upper, self.value = window, stride, upper, value

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) with so much more that a position follows every `stride` rows and columns."""
        return functional.pad(x, self.sides(x.shape[-2], x.shape[-1]), value=self.value)

    def sides(self, height: int, width: int) -> list[int]:
        """Return how many columns and rows are added: left, right, top, bottom."""
        found: list[int] = []
        for length, window, stride in zip((width, height), self.window[::-1], self.stride[::-1], strict=True):
            more = max((math.ceil(length / stride) - 1) * stride + window - length, 0)
            less = more // 2
            found += [less, more - less] if self.upper else [more - less, less]
        return found


class AveragePool(nn.Module):
    """ONNX's AveragePool where padding differs from side to side, and only the image's own values count.

    Parameters
    ----------
    kernel, stride : (int, int)
        In rows and columns.
    pad : Pad or list of int
        What finds the padding, or columns and rows themselves: left, right, top, bottom.
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], pad: Pad | list[int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.sides = pad.sides if isinstance(pad, Pad) else lambda *_: pad

    def forward(self, x: Tensor) -> Tensor:
        """Return the means, (N, C, H', W')."""
        sides = self.sides(x.shape[-2], x.shape[-1])
        own = functional.pad(torch.ones_like(x[:1, :1]), sides)
        share = functional.avg_pool2d(own, self.kernel, self.stride)
        return functional.avg_pool2d(functional.pad(x, sides), self.kernel, self.stride) / share


_MODULES: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "Gelu": lambda said: nn.GELU(said.get("approximate", "none")),
    "GlobalMaxPool": lambda said: nn.AdaptiveMaxPool2d(1),
    "Mish": lambda said: nn.Mish(),
    "SpaceToDepth": lambda said: SpaceToDepth(said["blocksize"]),
    "Swish": lambda said: nn.SiLU(),
    "ThresholdedRelu": lambda said: nn.Threshold(said.get("alpha", 1.0), 0),
}
"""Operators that the converter lacks and a module of PyTorch is."""


def _add_converter(kind: str, version: int) -> None:
    """Have the converter take an operator for a module of `_MODULES`."""
    registry = importlib.import_module("onnx2torch.node_converters.registry")
    common = importlib.import_module("onnx2torch.utils.common")
    defs = importlib.import_module("onnx").defs
    since = defs.get_schema(kind, max_inclusive_version=version).since_version

    def converted(node: Any, graph: Any) -> Any:
        module = _MODULES[kind](node.attributes)
        return common.OperationConverterResult(module, common.onnx_mapping_from_node(node))

    registry.add_converter(kind, since, "")(converted)


def _as_before(onnx: ModuleType, graph: Any, version: int) -> None:
    """Write operators that say the same in another way as the converter knows them.

    Raises
    ------
    ModelError
        For what the converter would take for something else.
    """
    stored = {one.name: one for one in graph.initializer}
    for node in graph.node:
        said = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        later = [
            name for name, usual in _LATER.get(node.op_type, {}).items() if said.get(name, usual) != usual
        ]
        if node.op_type == "AveragePool" and set(said.get("dilations", [1])) != {1}:
            later.append("dilations")
        if node.op_type == "Pad" and len(node.input) > 3 and node.input[3]:
            later.append("axes")
        if node.op_type == "Resize" and version < 11 and said.get("mode", b"nearest") != b"nearest":
            later.append("linear interpolation from the corner, as versions below 11 mean it")
        if node.op_type == "Swish" and said.get("alpha", 1.0) != 1:
            later.append("alpha")
        if node.op_type == "BatchNormalization" and said.get("spatial", 1) != 1:
            later.append("spatial")
        if later:
            raise ModelError(f"onnx2torch does not know {node.op_type} with {', '.join(later)}")
        if node.op_type == "Pad" and "value" in said:
            node.attribute.append(onnx.helper.make_attribute("constant_value", said["value"]))
        if node.op_type == "TopK" and "k" in said:
            count = onnx.numpy_helper.from_array(np.array([said["k"]]), f"{node.output[0]}_k")
            graph.initializer.append(count)
            node.input.append(count.name)
        if node.op_type == "CumSum" and "reverse" not in said:
            node.attribute.append(onnx.helper.make_attribute("reverse", 0))  # the converter's default is 1
        if node.op_type in _REDUCING and len(node.input) > 1 and node.input[1] in stored:
            axes = onnx.numpy_helper.to_array(stored[node.input[1]])
            del node.input[1:]
            node.attribute.append(onnx.helper.make_attribute("axes", axes.tolist()))


def _own_ways(onnx: ModuleType, graph: Any) -> dict[int, Callable[[nn.Module], nn.Module]]:
    """Write what the converter refuses, and PyTorch can do, as something that it takes.

    Returns
    -------
    dict of int to callable
        By a node's place, what makes of the converter's module the one that does as the file says.
    """
    found: dict[int, Callable[[nn.Module], nn.Module]] = {}
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    for place, node in enumerate(graph.node):
        said = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        kind, named = node.op_type, said.get("auto_pad", b"NOTSET")
        if kind == "DepthToSpace" and said.get("mode", b"DCR") == b"DCR":
            _say(onnx, node, mode="CRD")
            found[place] = _instead(DepthToSpace(said["blocksize"]))
        if kind not in ("Conv", "MaxPool", "AveragePool") or said.get("ceil_mode"):
            continue
        kernel = shapes.get(node.input[1], ())[2:] if kind == "Conv" else tuple(said["kernel_shape"])
        if len(kernel) != 2:
            continue
        stride, dilation = (tuple(said.get(name, (1, 1))) for name in ("strides", "dilations"))
        value = -math.inf if kind == "MaxPool" else 0.0
        top, left, bottom, right = said.get("pads", (0, 0, 0, 0))
        pad: Pad | None = None
        if named.startswith(b"SAME"):
            rows, columns = ((length - 1) * step + 1 for length, step in zip(kernel, dilation, strict=True))
            pad = Pad((rows, columns), stride, named == b"SAME_UPPER", value)
            left, right, top, bottom = pad.sides(0, 0) if stride == (1, 1) else (0, 0, 0, 0)
            _say(onnx, node, auto_pad="NOTSET", pads=[top, left, bottom, right])
            pad = None if stride == (1, 1) else pad
        uneven = named != b"VALID" and (top, left) != (bottom, right)
        if kind == "AveragePool" and (pad or uneven):
            if not pad:
                _say(onnx, node, pads=[0, 0, 0, 0])
            if not said.get("count_include_pad"):
                found[place] = _instead(AveragePool(kernel, stride, pad or [left, right, top, bottom]))
            else:
                found[place] = partial(nn.Sequential, pad or nn.ZeroPad2d((left, right, top, bottom)))
        elif pad:
            found[place] = partial(nn.Sequential, pad)
    return found


def _instead(module: nn.Module) -> Callable[[nn.Module], nn.Module]:
    return lambda _: module


def _say(onnx: ModuleType, node: Any, **said: Any) -> None:
    """Set attributes of a node."""
    kept = [one for one in node.attribute if one.name not in said]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(*one) for one in said.items())])


def _free_batch(onnx: ModuleType, model: Any, batch: int) -> None:
    """Let what keeps the length of a fixed batch take any: in a shape, 0 is the length that is there."""
    known = onnx.shape_inference.infer_shapes(model).graph
    first = {
        one.name: one.type.tensor_type.shape.dim[0].dim_value
        for one in (*known.input, *known.value_info)
        if one.type.tensor_type.shape.dim
    }
    nodes = model.graph.node
    reshapes = [node for node in nodes if node.op_type == "Reshape" and len(node.input) > 1]
    shapes = {node.input[1] for node in reshapes if first.get(node.input[0]) == batch}
    shapes -= {node.input[1] for node in reshapes if first.get(node.input[0]) != batch}
    shapes -= {name for node in nodes if node.op_type != "Reshape" for name in node.input}
    for tensor in model.graph.initializer:
        shape = onnx.numpy_helper.to_array(tensor).copy() if tensor.name in shapes else None
        if shape is not None and shape.ndim == 1 and len(shape) > 1 and shape[0] == batch:
            shape[0] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(shape, tensor.name))


def _tell_ranks(onnx: ModuleType, graph: Any) -> None:
    """Say how many axes a convolution's output has, where the shapes before it are lost; the converter asks."""
    axes = {one.name: len(one.dims) for one in graph.initializer}
    told = {one.name for one in (*graph.value_info, *graph.output)}
    for node in graph.node:
        if node.op_type in _WEIGHTED[:2] and node.output[0] not in told and node.input[1] in axes:
            graph.value_info.append(
                onnx.helper.make_tensor_value_info(node.output[0], _FLOAT, [None] * axes[node.input[1]])
            )


class Slice(nn.Module):
    """ONNX's Slice; the converter's own indexes with a list, which PyTorch is giving up."""

    def forward(
        self, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
    ) -> Tensor:
        """Return the part of a tensor, or the numbers of a shape, between starts and ends."""
        places = range(len(starts)) if axes is None else axes.tolist()
        by = [1] * len(starts) if steps is None else steps.tolist()
        index = [slice(None)] * x.ndim
        turned = []
        for axis, start, end, step in zip(places, starts.tolist(), ends.tolist(), by, strict=True):
            if step < 0:
                turned.append(axis)
                start, end, step = -start - 1, -end - 1, -step
            index[axis] = slice(start, end, step)
        x = x.flip(turned) if turned else x
        return x[tuple(index)]


class ScatterND(nn.Module):
    """ONNX's ScatterND, for the same reason."""

    def forward(self, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        """Return the tensor with others in the places that the last axis of `indices` names."""
        result = x.clone()
        places = indices.reshape(-1, indices.shape[-1]).T
        result[tuple(places)] = updates.reshape(-1, *updates.shape[indices.ndim - 1 :])
        return result


def _rename(made: fx.GraphModule, names: list[str], kinds: list[str], own: Mapping[int, Any]) -> None:
    """Give the modules of a converted graph, which come in the order of its nodes, other names.

    What stands for an operator without a module in PyTorch becomes of a class of the operator's name; in the
    places of `own` stands what `_own_ways` tells.
    """
    calls = [node for node in made.graph.nodes if node.op == "call_module"]
    modules = [made.get_submodule(str(node.target)) for node in calls]
    for node in calls:
        made.delete_submodule(str(node.target))
    for place, (node, module, name, kind) in enumerate(zip(calls, modules, names, kinds, strict=True)):
        module = own[place](module) if place in own else module
        if kind == "Slice" and type(module).__name__ == "OnnxSlice":
            module = Slice()
        if kind == "ScatterND" and type(module).__name__ == "OnnxScatterND":
            module = ScatterND()
        if kind == "MatMul":
            module = _linear(made, node) or module
        if not type(module).__module__.startswith(("torch.nn.", __name__)):
            module.__class__ = _named_class(type(module), kind)
        for one in module.children():
            # A convolution's or pooling's own padding, where its sides differ.
            if type(one).__name__.startswith("OnnxPad"):
                one.__class__ = _named_class(type(one), "Pad")
        made.add_submodule(name, module)
        node.target = name


def _linear(made: fx.GraphModule, node: fx.Node) -> nn.Linear | None:
    """Return the layer that a product with a matrix of weights is; None for any other."""
    weight = _stored(made, node.args[1])
    if weight is None or weight.ndim != 2:
        return None
    inputs, outputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=False, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight.T.contiguous())
    node.args = node.args[:1]
    return layer


def _stored(made: fx.GraphModule, value: Any) -> Tensor | None:
    """Return the tensor that a node of a graph reads of the network itself."""
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return None
    return made.get_buffer(str(value.target))


def _named_class(kind: type, name: str) -> Any:
    return type(name, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def _name_outputs(made: fx.GraphModule, graph: Any) -> None:
    """Have the network return its outputs by the file's names, where it has several."""
    calls = [node for node in made.graph.nodes if node.op == "call_module"]
    makers = {
        value: (call, place, len(node.output))
        for call, node in zip(calls, graph.node, strict=True)
        for place, value in enumerate(node.output)
    }
    end = next(node for node in made.graph.nodes if node.op == "output")
    found: dict[str, Any] = {}
    with made.graph.inserting_before(end):
        for one in graph.output:
            call, place, count = makers[one.name]
            found[one.name] = (
                call if count == 1 else made.graph.call_function(operator.getitem, (call, place))
            )
        made.graph.output(found if len(found) > 1 else next(iter(found.values())))
    made.graph.erase_node(end)


def _channels_to_the_end(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)


def _one_image(images: Tensor) -> Tensor:
    if images.shape[0] != 1:
        raise ValueError("its ONNX file takes one image at a time")
    return images


def _insert_first(made: fx.GraphModule, function: Any) -> None:
    """Have a function change the images before the network sees them."""
    first = next(node for node in made.graph.nodes if node.op == "placeholder")
    with made.graph.inserting_after(first):
        changed = made.graph.call_function(function, (first,))
    first.replace_all_uses_with(changed, delete_user_cb=lambda user: user is not changed)
    made.recompile()


def _takes_batches(made: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Return whether two images at once are answered as each alone."""
    channels, height, width = (one or usual for one, usual in zip(shape, (3, 224, 224), strict=True))
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    with suppress(Exception), torch.inference_mode():
        both, alone = made(images), made(images[1:])
        pairs = zip(_listed(both), _listed(alone), strict=True)
        return all(
            one.shape[1:] == two.shape[1:] and torch.allclose(one[1:], two, rtol=1e-3, atol=1e-4)
            for one, two in pairs
        )
    return False


def _listed(value: Any) -> list[Tensor]:
    return list(value.values()) if isinstance(value, Mapping) else [value]


def _weights(onnx: ModuleType, graph: Any, names: list[str]) -> dict[str, Tensor]:
    """Return the weights of convolutions and linear layers by the names of their nodes."""
    stored = {one.name: one for one in graph.initializer}
    found: dict[str, Tensor] = {}
    for node, name in zip(graph.node, names, strict=True):
        if node.op_type not in _WEIGHTED:
            continue
        turned = node.op_type == "MatMul" or (
            node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute)
        )
        for end, value in zip(("weight", "bias"), node.input[1:3], strict=False):
            with suppress(KeyError, ValueError, TypeError):  # computed from others, or damaged
                tensor = torch.from_numpy(onnx.numpy_helper.to_array(stored[value]).astype("float32"))
                found[f"{name}.{end}"] = tensor.T if turned and tensor.ndim == 2 else tensor
    return found
