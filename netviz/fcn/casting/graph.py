"""A forward pass as a graph: torch.fx with an example value beside every node, so that control flow is settled."""

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from netviz.capture import evaluation, stand_in

# Two images: with one, a squeeze would take the batch for a dimension of its own.
BATCH = 2

_ASSERTIONS = frozenset(("_assert",))


class ValueProxy(fx.Proxy):
    """A proxy that knows its example: Python may ask it for its length, its truth or a whole number."""

    @property
    def example(self) -> Any:
        """What the node gives for the example image."""
        return self.node.meta["value"]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """A tensor's proxy passes for a tensor where a network's own code asks."""
        return Tensor if isinstance(self.node.meta.get("value"), Tensor) else ValueProxy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        held = getattr(self.example, name)
        if name in ("ndim", "dtype", "is_cuda", "requires_grad", "training"):
            return held
        if not callable(held):
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name)

    def __len__(self) -> int:
        return len(self.example)

    def __iter__(self) -> Iterator[Any]:
        make = self.tracer.create_proxy
        return (make("call_function", operator.getitem, (self, at), {}) for at in range(len(self.example)))

    def __bool__(self) -> bool:
        return bool(self.example)

    def __int__(self) -> int:
        return int(self.example)

    def __index__(self) -> int:
        return int(self.example)

    def __float__(self) -> float:
        return float(self.example)


class ValueTracer(fx.Tracer):
    """Traces a network for one image batch; torch's own layers stay whole."""

    def __init__(self, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.image = torch.zeros(BATCH, *shape, dtype=dtype, device=device)
        self.running = False

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Give the image alone; every other argument keeps its default."""
        return root_fn, [self.root, self.create_proxy("placeholder", "image", (), {})]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep convolutions whole also where a network has a kind of its own; none whose weights the pass makes."""
        if any(isinstance(one, fx.Proxy) for one in (*m._parameters.values(), *m._buffers.values())):
            return False
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> ValueProxy:
        """Return a node's stand-in."""
        return ValueProxy(node, self)

    def create_arg(self, a: Any) -> Any:
        """Return an argument as the graph holds it."""
        if isinstance(a, fx.Proxy):
            return a.node
        if isinstance(a, nn.Parameter) and all(a is not one for one in self.root.parameters()):
            a = a.detach()  # of a module that is no member: a constant
        return super().create_arg(a)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a module's attribute: a parameter as a node, except while an example is made."""
        if self.running or isinstance(attr_val, fx.Proxy):
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Run a module for its example, or note the call."""
        if self.running or m not in (self.submodule_paths or {}):
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def create_node(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any | None = None,
    ) -> fx.Node:
        """Note a call, with what it gives for the example image."""
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        if kind != "output":
            self.running, before = True, self.running
            try:
                node.meta["value"] = self._run(node)
            finally:
                self.running = before
        return node

    def _run(self, node: fx.Node) -> Any:
        args, kwargs = example(node.args), example(node.kwargs)
        if node.op == "placeholder":
            return self.image
        if node.op == "get_attr":
            return self._here(attribute(self.root, str(node.target)))
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "call_function":
            if getattr(node.target, "__name__", "") in _ASSERTIONS:
                return None
            return node.target(*args, **kwargs)  # type: ignore[operator]
        module = self.root.get_submodule(str(node.target))
        return (stand_in(module) if self.image.is_meta else module)(*args, **kwargs)

    def _here(self, value: Any) -> Any:
        """Return a tensor where the example image is; on the meta device without its values."""
        return value.detach().to(self.image.device) if isinstance(value, Tensor) else value


def trace(network: nn.Module, shape: tuple[int, int, int]) -> fx.Graph:
    """Return the graph of a network in evaluation mode, each node's example under ``meta["value"]``.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    shape : (int, int, int)
        Channels, height and width of the image for which control flow is settled.

    Raises
    ------
    Exception
        Whatever the network's own code raises when it meets a proxy for its image.
    """
    first = next((one for one in network.parameters() if one.is_floating_point()), torch.zeros(()))
    try:
        return _trace(network, shape, first.dtype, torch.device("meta"))
    except Exception:  # a network's own code may ask for values, which are not there on the meta device
        return _trace(network, shape, first.dtype, first.device)


def _trace(
    network: nn.Module, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device
) -> fx.Graph:
    tracer = ValueTracer(shape, dtype, device)
    with torch.no_grad(), evaluation(network):  # what its code sets is a proxy here
        graph = tracer.trace(network)
    for constant, name in tracer.tensor_attrs.items():
        if "." not in name:
            setattr(network, name, constant)
    return graph


def example(args: Any) -> Any:
    """Return arguments with every node replaced by its example."""
    return fx.node.map_arg(args, lambda node: node.meta["value"])


def attribute(network: nn.Module, target: str) -> Any:
    """Return what a dotted name stands for."""
    found: Any = network
    for part in target.split("."):
        found = getattr(found, part)
    return found
