"""A TorchScript network as modules of Python, which can be watched: its code is run function by function."""

import operator
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.modules import conv as quantized_conv
from torch.nn import functional

_PLAIN: dict[str, Callable[..., Any]] = {
    "__getitem__": operator.getitem, "__is__": operator.is_, "__isnot__": operator.is_not,
    "__not__": operator.not_, "len": len, "dim": Tensor.dim, "size": Tensor.size, "Int": int, "IntImplicit": int,
    "Float": float, "FloatImplicit": float, "Bool": bool, "warn": lambda *_: None,
    "ScalarImplicit": lambda value: value, "append": lambda values, value: values.append(value),
}  # fmt: skip
_ON_NUMBERS = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge", "neg")
} | {"floor_divide": operator.floordiv, "floordiv": operator.floordiv, "div": operator.truediv}
_PRIMITIVES: dict[str, Callable[..., Any]] = {
    "ListConstruct": lambda *values: list(values),
    "TupleConstruct": lambda *values: values,
    "TupleIndex": operator.getitem,
    "NumToTensor": lambda value: value,
    "unchecked_cast": lambda value: value,
    "Uninitialized": lambda: None,
}


class _Code:
    """A graph of TorchScript, which copies of a module share."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def __deepcopy__(self, memo: Any) -> "_Code":
        return self


class Scripted(nn.Module):
    """One module of a TorchScript network, whose forward pass runs what its code says.

    Parameters
    ----------
    script : torch.jit.ScriptModule
        The module; its parameters and buffers are shared.

    """

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.training = bool(script.training)
        for name, parameter in script.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(parameter.detach(), parameter.requires_grad))
        for name, buffer in script.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        for name, child in script.named_children():
            self.add_module(name, as_modules(child))
        packed = getattr(script, "_packed_params", None)
        if isinstance(packed, torch.jit.ScriptModule):  # of a linear layer
            packed = getattr(packed, "_packed_params", None)
        self._unpack(packed)
        self._methods = {name: _Code(_graph(script, name)) for name in script._c._method_names()}
        for code in self._methods.values():
            self._keep_constants(script, code.graph)

    def _keep_constants(self, script: Any, part: Any) -> None:
        """Keep the numbers and texts that the code reads of its module."""
        for node in part.nodes():
            if node.kind() == "prim::GetAttr" and not hasattr(self, node.s("name")):
                setattr(self, node.s("name"), getattr(script, node.s("name"), None))
            for block in node.blocks():
                self._keep_constants(script, block)

    def _unpack(self, packed: Any) -> None:
        """Keep what a quantized layer's code has packed where its weights are looked for."""
        if not isinstance(packed, torch.ScriptObject):
            return
        packed = cast("Any", packed)  # whose methods only its code knows
        convolution = hasattr(packed, "groups")
        if convolution:
            self.groups = packed.groups()
        packing = torch.ops.quantized
        unpack = packing.conv2d_unpack if convolution else packing.linear_unpack
        if convolution and packed.transpose():
            unpack = packing.conv_transpose2d_unpack
        for name, value in zip(("weight", "bias"), unpack(packed), strict=True):
            self.register_buffer(name, value)

    def forward(self, *images: Any) -> Any:
        """Run the network."""
        return self.run_method("forward", *images)

    def run_method(self, name: str, *values: Any) -> Any:
        """Run one of its methods."""
        graph = self._methods[name].graph
        inputs = [one.debugName() for one in graph.inputs()]
        found = _run(graph, dict(zip(inputs, (self, *values), strict=True)))
        return found[0] if len(found) == 1 else tuple(found)


def as_modules(script: Any) -> nn.Module:
    """Return a TorchScript network as modules of Python, of classes that bear the names of the original's."""
    kind = type(str(script.original_name), (Scripted,), {})
    made: nn.Module = kind(script)
    return made


def _graph(script: Any, name: str) -> Any:
    graph = script._c._get_method(name).graph.copy()
    if not any(True for _ in script.named_children()):
        torch._C._jit_pass_inline(graph)
    return graph


def _run(part: Any, values: dict[str, Any]) -> list[Any]:
    """Run the nodes of a graph or a block; return its outputs."""
    for node in part.nodes():
        outputs = [one.debugName() for one in node.outputs()]
        given = [values[one.debugName()] for one in node.inputs()]
        kind = node.kind().partition("::")[2]
        if kind == "If":
            branch, other = node.blocks()
            found: Any = _run(branch if given[0] else other, values)
        elif kind == "Loop":
            found = _loop(next(node.blocks()), given, values)
        elif kind in ("ListUnpack", "TupleUnpack"):
            found = list(given[0])
        else:
            made = _result(node, kind, given)
            found = [made] if len(outputs) == 1 else list(made or ())
        values.update(zip(outputs, found, strict=False))
    return [values[one.debugName()] for one in part.outputs()]


def _function(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(functional, name, None) or getattr(quantized_conv, name, None)

    def refuse(*_: Any) -> Any:
        raise NotImplementedError(f"netviz cannot follow the function {name} in the code of TorchScript")

    return found or refuse  # what is named may never be called


def _loop(block: Any, given: list[Any], values: dict[str, Any]) -> list[Any]:
    most, goes_on, *carried = given
    inputs = [one.debugName() for one in block.inputs()]
    for turn in range(most):
        if not goes_on:
            break
        values.update(zip(inputs, (turn, *carried), strict=True))
        goes_on, *carried = _run(block, values)
    return carried


def _result(node: Any, kind: str, given: list[Any]) -> Any:
    if kind == "Constant":
        # A function of torch.nn.functional, or a value.
        return _function(node.s("name")) if node.hasAttribute("name") else node.output().toIValue()
    if kind == "GetAttr":
        return getattr(given[0], node.s("name"))
    if kind == "CallMethod":
        name = node.s("name")
        return given[0](*given[1:]) if name == "forward" else given[0].run_method(name, *given[1:])
    if kind == "CallFunction":
        return given[0](*given[1:])
    if kind == "RaiseException":
        raise RuntimeError(str(given[0]))
    if kind in _PRIMITIVES and node.kind().startswith("prim"):
        return _PRIMITIVES[kind](*given)
    if node.kind().startswith("quantized::"):
        return getattr(torch.ops.quantized, kind)(*given)
    if not node.kind().startswith("aten"):
        raise NotImplementedError(f"netviz cannot follow {node.kind()} in the code of TorchScript")
    if kind in _PLAIN:
        return _PLAIN[kind](*given)
    if kind in _ON_NUMBERS and not any(isinstance(one, Tensor) for one in given):
        return _ON_NUMBERS[kind](*given[:2])
    return _call(kind, torch._C.parse_schema(node.schema()).arguments, given)


def _call(name: str, arguments: Any, given: list[Any]) -> Any:
    """Call a function of torch by the name that TorchScript gives it."""
    if name == "_convolution" and given[1].ndim == 4:
        image, weight, bias, stride, padding, dilation, transposed, output_padding, groups = given[:9]
        if transposed:
            return torch.conv_transpose2d(
                image, weight, bias, stride, padding, output_padding, groups, dilation
            )
        return torch.conv2d(image, weight, bias, stride, padding, dilation, groups)
    for place in (torch, functional, Tensor):
        function = getattr(place, name, None)
        if function is not None and not any(one.kwarg_only for one in arguments):
            try:
                return function(*given)
            except TypeError:
                break  # Python's arguments differ from TorchScript's
    keywords = {one.name: value for one, value in zip(arguments, given, strict=True) if one.kwarg_only}
    return getattr(torch.ops.aten, name)(*given[: len(given) - len(keywords)], **keywords)
