"""What the operations of a traced network are called, whichever way they were written."""

import operator
from typing import Any

from torch import Tensor, fx, nn

from netviz.capture.names import plain_name
from netviz.fields.rules import RULES, one_by_one

# Each number of the output comes from the same place of the input.
ONE_BY_ONE = frozenset(name for name, rule in RULES.items() if rule is one_by_one) | {"stochastic_depth"}
_SHAPES = """
    view reshape flatten unflatten squeeze unsqueeze permute transpose movedim moveaxis swapaxes swapdims
    t T mT getitem select narrow chunk split tensor_split unbind expand expand_as view_as reshape_as ravel flip roll
"""
_PRODUCTS = "matmul bmm baddbmm einsum addbmm mm dot tensordot bilinear cdist outer"
_STATISTICS = """
    std var std_mean var_mean norm logsumexp prod min amin median argmax argmin linalg_vector_norm softmax
    log_softmax softmin normalize cumsum cumprod sort argsort topk kthvalue
"""
# These only move numbers.
SHAPES = frozenset(_SHAPES.split())
# These weigh the values of some positions by those of others; products do if both factors come from the image.
ATTENTION = frozenset(("scaled_dot_product_attention", "multi_head_attention_forward", "attention"))
PRODUCTS = frozenset(_PRODUCTS.split())
# These make one number of many that a window can make as well, those do not.
REDUCTIONS = frozenset(("mean", "sum", "amax", "max"))
STATISTICS = frozenset(_STATISTICS.split())
_MODULES: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.Flatten: "flatten",
    nn.Unflatten: "unflatten",
    nn.Conv2d: "conv2d",
    nn.AvgPool2d: "avg_pool2d",
    nn.MaxPool2d: "max_pool2d",
    nn.AdaptiveAvgPool1d: "adaptive_avg_pool1d",
    nn.AdaptiveAvgPool2d: "adaptive_avg_pool2d",
    nn.AdaptiveMaxPool2d: "adaptive_max_pool2d",
    nn.LayerNorm: "layer_norm",
    nn.BatchNorm1d: "batch_norm",
    nn.BatchNorm2d: "batch_norm",
    nn.SyncBatchNorm: "batch_norm",
    nn.Softmax: "softmax",
    nn.LogSoftmax: "log_softmax",
    nn.Identity: "clone",
    nn.MultiheadAttention: "attention",
    nn.Transformer: "attention",
    nn.TransformerEncoder: "attention",
    nn.TransformerEncoderLayer: "attention",
    nn.TransformerDecoderLayer: "attention",
    nn.PReLU: "module PReLU",
    nn.GLU: "module GLU",
    nn.Softmax2d: "module Softmax2d",
    nn.Softmin: "softmin",
}
_ELEMENTWISE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")


def name_of(node: fx.Node, module: nn.Module | None) -> str:
    """Return what a node does, in one word: ``flatten`` for a function, a method or a layer."""
    if module is not None:
        found = next((_MODULES[one] for one in type(module).__mro__ if one in _MODULES), None)
        if found is not None:
            return found
        return "clone" if type(module).__module__ in _ELEMENTWISE else f"module {type(module).__name__}"
    if node.op == "call_method":
        name = str(node.target)
        return name.strip("_") or name
    if node.target is getattr:
        return str(node.args[1])
    name = plain_name(node.target)
    if "attention" in name:
        return "attention"
    if getattr(operator, name, None) is node.target and name.startswith("i") and hasattr(operator, name[1:]):
        return name[1:]
    return name


def words(node: fx.Node, module: nn.Module | None) -> str:
    """Return what a node is called in a message: its layer, or its function and the place in the network."""
    if module is not None:
        return f"layer {node.target} ({type(module).__name__})"
    name = node.target if isinstance(node.target, str) else plain_name(node.target)
    stack = node.meta.get("nn_module_stack")
    # The trace keeps, for each node, the modules that were running: the innermost comes last.
    place = next(reversed(stack.values()))[0] if stack else ""
    return f"{name} in {place}" if isinstance(place, str) and place else f"{name} in its forward"


def option(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    """Return an argument of a function, given by its place or by its name."""
    if len(node.args) > place:
        return node.args[place]
    return node.kwargs.get(name, default)


def holds_tensor(value: Any) -> bool:
    """Return whether a value is a tensor or a tuple with one."""
    return isinstance(value, Tensor) or (
        isinstance(value, tuple | list) and any(isinstance(one, Tensor) for one in value)
    )
