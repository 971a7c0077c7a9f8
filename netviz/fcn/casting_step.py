"""One node of a classifier's graph on its way into that of the cast network: what the rules get."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, fx, nn

from netviz.fcn.casting_forms import Cell, UnfollowedError
from netviz.fcn.casting_names import name_of, option, words
from netviz.fcn.casting_trace import example

if TYPE_CHECKING:
    from netviz.fcn.casting_rewrite import Writer


class Step:
    """One node of the old graph on its way into the new one; what the rules get.

    Attributes
    ----------
    writer : Writer
    node : Node
        Of the old graph.
    name : str
        What it does, in one word.
    module : Module or None
        The layer that it calls.
    """

    def __init__(self, writer: "Writer", node: fx.Node) -> None:
        self.writer = writer
        self.node = node
        called = node.op == "call_module"
        self.module = writer.network.get_submodule(str(node.target)) if called else None
        self.name = name_of(node, self.module)
        self.sources = [one for one in node.all_input_nodes if writer.forms.get(one) is not None]

    @property
    def reads(self) -> int:
        """How many of its arguments come from the image; one value given twice counts twice."""
        found: list[fx.Node] = []
        fx.node.map_arg((self.node.args, self.node.kwargs), found.append)
        return sum(one in self.sources for one in found)

    @property
    def value(self) -> Any:
        """What the classifier's node gives for the example image."""
        return self.node.meta["value"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of that value."""
        value = self.value
        return tuple((value if isinstance(value, Tensor) else value[0]).shape)

    def words(self) -> str:
        """Return what it is called in a message."""
        return words(self.node, self.module)

    def option(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument of a function, by place or name, or a layer's attribute of that name."""
        if self.module is not None:
            return getattr(self.module, name, default)
        return example(option(self.node, place, name, default))

    def cells(self) -> list[Cell]:
        """Return the cells among its inputs, in order."""
        found = [self.writer.forms[one] for one in self.sources]
        return [one for one in found if isinstance(one, Cell)]

    def cell(self) -> Cell:
        """Return its only input that comes from the image, which must be its first argument."""
        cells = self.cells()
        if len(cells) != 1 or self.node.args[0] is not self.sources[0]:
            raise UnfollowedError("takes several values of the network")
        return cells[0]

    def new(self, node: fx.Node | None = None) -> Any:
        """Return what stands for a node of the old graph (this one's first input) in the new one."""
        return self.writer.known[node or self.sources[0]]

    def call(self, function: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a function call to the new graph."""
        return self.writer.graph.call_function(function, args, kwargs)

    def place(self, module: nn.Module, *args: Any) -> fx.Node:
        """Add a layer to the new network, in the place of this one, and call it."""
        return self.writer.place(str(self.node.target), module, args)

    def copy(self) -> fx.Node:
        """Take the node over as it is."""
        return self.writer.copy(self.node)
