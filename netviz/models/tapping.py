"""A network cut open: a copy of it, up to some layers, that gives these layers' outputs."""

import copy
import importlib
import math
import operator
from typing import Any

import torch
from torch import nn

from netviz.errors import LayerError, ModelError
from netviz.models.torchvision_import import import_torchvision


def tapped(backbone: nn.Module, taps: dict[str, str]) -> nn.Module:
    """Return a copy of a backbone that gives a dict of some layers' outputs; what only others need is left out.

    Parameters
    ----------
    backbone : nn.Module
        Left as it is.
    taps : dict of str to str
        The names of the outputs, by the layers' dotted names.

    Raises
    ------
    ModelError
        If the backbone cannot be followed by torch.fx.
    LayerError
        If it has no such layer.
    """
    import_torchvision()
    modes = {name: module.training for name, module in backbone.named_modules()}
    try:
        graph, names = _followed(copy.deepcopy(backbone).eval())
    except Exception as error:  # whatever a network's own code raises on torch.fx's stand-ins
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"{type(backbone).__name__} cannot be followed by torch.fx ({lines[0][:120]}); choose another backbone"
        ) from error
    outputs: dict[str, torch.fx.Node] = {}
    for layer, name in taps.items():
        # A module that holds others gives what the last of them gives.
        found = [node for node, known in names.items() if known == layer or known.startswith(f"{layer}.")]
        if not found:
            raise LayerError(
                f"layer {layer!r} cannot be tapped in {type(backbone).__name__}; name another (see: netviz layers)"
            )
        outputs[name] = found[-1]
    ends = [node for node in graph.graph.nodes if node.op == "output"]
    with graph.graph.inserting_after(ends[-1]):
        graph.graph.output(outputs)
    for node in ends:
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    _keep_outputs(graph)
    for name, module in graph.named_modules():
        module.training = modes.get(name, graph.training)
    return graph


def _followed(network: nn.Module) -> tuple[torch.fx.GraphModule, dict[torch.fx.Node, str]]:
    """Return a network as a graph, and its nodes' names as torchvision's feature extraction gives them."""
    ops: Any = import_torchvision().ops
    extraction: Any = importlib.import_module("torchvision.models.feature_extraction")
    tracer = extraction.NodePathTracer(
        autowrap_modules=(math, ops), leaf_modules=[ops.StochasticDepth, ops.FrozenBatchNorm2d]
    )
    graph = torch.fx.GraphModule(network, tracer.trace(network), type(network).__name__)
    return graph, dict(tracer.node_to_qualname)


def _keep_outputs(graph: torch.fx.GraphModule) -> None:
    """Have no later layer write over an output."""
    outputs = next(node for node in reversed(graph.graph.nodes) if node.op == "output")
    for node in outputs.all_input_nodes:
        for user in node.users:
            if user.op == "call_module":
                module = graph.get_submodule(str(user.target))
                if getattr(module, "inplace", False):
                    module.inplace = False  # type: ignore[assignment]
            elif user.op == "call_function" and user.target is operator.iadd:
                user.target = operator.add
            elif user.op == "call_function" and user.kwargs.get("inplace"):
                user.kwargs = {**user.kwargs, "inplace": False}
    graph.recompile()
