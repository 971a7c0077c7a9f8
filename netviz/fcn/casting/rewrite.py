"""Write the graph of a classifier again, so that what it says of one image becomes one cell of maps.

What the rules get is one node at a time, and names for operations, whichever way they were written.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from netviz.capture.kinds import plain_name
from netviz.capture.operations import MODULES, arguments, names
from netviz.fcn.casting.forms import Cell, Form, Maps, UnfollowedError, Whole, cell_of, layout, shaped
from netviz.fcn.casting.graph import example

# These only move numbers.
SHAPES = names(
    "view",
    "squeeze",
    "unsqueeze",
    "permutation",
    "transposition",
    "moving",
    "expansion",
    "getitem",
    "narrow",
    "slice",
    "select",
    "unbind",
    "split",
    "reordering",
)

# These weigh the values of some positions by those of others; products do if both factors come from the image.
ATTENTION = names("attention", "multi-head attention", "any attention")

PRODUCTS = names("matmul", "einsum", "product")

# These make one number of many that a window can make as well, those do not.
REDUCTIONS = names("reduction")

STATISTICS = names("statistic", "vector norm", "softmax", "normalize", "scan", "ranking")

_ELEMENTWISE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")


def name_of(node: fx.Node, module: nn.Module | None) -> str:
    """Return what a node does, in one word: ``flatten`` for a function, a method or a layer."""
    if module is not None:
        found = next((MODULES[one] for one in type(module).__mro__ if one in MODULES), None)
        if found is not None:
            return found
        return "clone" if type(module).__module__ in _ELEMENTWISE else f"module {type(module).__name__}"
    if node.op == "call_method":
        name = str(node.target)
        return name.strip("_") or name
    if node.target is getattr:
        return str(node.args[1])
    name = plain_name(node.target)
    return "attention" if "attention" in name else name


def words(node: fx.Node, module: nn.Module | None) -> str:
    """Return what a node is called in a message: its layer, or its function and the place in the network."""
    if module is not None:
        return f"layer {node.target} ({type(module).__name__})"
    name = node.target if isinstance(node.target, str) else plain_name(node.target)
    stack = node.meta.get("nn_module_stack")
    # The trace keeps, for each node, the modules that were running: the innermost comes last.
    place = next(reversed(stack.values()))[0] if stack else ""
    return f"{name} in {place}" if isinstance(place, str) and place else f"{name} in its forward"


def holds_tensor(value: Any) -> bool:
    """Return whether a value is a tensor or a tuple with one."""
    return isinstance(value, Tensor) or (
        isinstance(value, tuple | list) and any(isinstance(one, Tensor) for one in value)
    )


class GraphCall:
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

    def given(self, name: str) -> Any:
        """Return an argument by the name that the table of operations gives it, or a layer's attribute: as called."""
        return arguments(self.name, self.node.args, self.node.kwargs, self.module)[name]

    def option(self, name: str) -> Any:
        """Return an argument, with the example's value of what is a node."""
        return example(self.given(name))

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

    def add(self, function: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a function call to the new graph."""
        return self.writer.graph.call_function(function, args, kwargs)

    def place(self, module: nn.Module, *args: Any) -> fx.Node:
        """Add a layer to the new network, in the place of this one, and call it."""
        return self.writer.place(str(self.node.target), module, args)

    def copy(self) -> fx.Node:
        """Take the node over as it is."""
        return self.writer.copy(self.node)


Rule = Callable[[GraphCall], Cell]
"""Writes what becomes of a cell, as ``call.writer.known[call.node]``, and returns its form."""


class Writer:
    """One attempt at the new graph.

    Parameters
    ----------
    network : nn.Module
        A copy of the classifier, in evaluation mode.
    rules : dict of str to Rule
        What becomes of a cell in each operation; the rule writes the new node under ``writer.known[call.node]``.
    maps_rule : callable
        What becomes of maps, given a GraphCall and the form of the first of them.
    inner : dict of Node to str
        Where positions are given up for something that returns to maps: it stays what it is. With the reason.
    """

    def __init__(
        self,
        network: nn.Module,
        rules: dict[str, Rule],
        maps_rule: Callable[[GraphCall, Maps], Form],
        inner: dict[fx.Node, str],
    ) -> None:
        self.network = network
        self.rules = rules
        self.maps_rule = maps_rule
        self.inner = inner
        self.found: dict[fx.Node, str] = {}
        self.graph = fx.Graph()
        self.known: dict[fx.Node, Any] = {}
        self.forms: dict[fx.Node, Form] = {}
        self.modules: dict[str, nn.Module] = {}
        self.placed: dict[tuple[Any, ...], str] = {}
        self.attention = ""

    def copy(self, node: fx.Node) -> fx.Node:
        """Take a node over as it is, with its inputs as they now are."""
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda one: self.known[one])
        return self.graph.create_node(node.op, node.target, args, kwargs, node.name)

    def place(self, target: str, module: nn.Module, args: tuple[Any, ...]) -> fx.Node:
        """Put a layer into the new network and call it; a second one in the same place gets a number."""
        name, count = target, 1
        while name in self.modules:
            count += 1
            name = f"{target}_{count}"
        self.modules[name] = module
        return self.graph.call_module(name, args)

    def once(self, key: tuple[Any, ...], make: Callable[[], nn.Module], new: Any) -> fx.Node:
        """Put a layer into the new network and call it, or call it again: `key` begins with its name."""
        if key in self.placed:
            return self.graph.call_module(self.placed[key], (new,))
        made = self.place(key[0], make(), (new,))
        self.placed[key] = str(made.target)
        return made

    def whole(self) -> list[str]:
        """Return the names of the new nodes at which something becomes one value for the whole image."""
        return [
            self.known[node].name
            for node, form in self.forms.items()
            if isinstance(form, Whole)
            and not all(isinstance(self.forms.get(one), Whole | None) for one in node.all_input_nodes)
        ]

    def take(self, node: fx.Node) -> None:
        """Write one node of the old graph."""
        call = GraphCall(self, node)
        if node.op == "placeholder":
            self.known[node], self.forms[node] = self.copy(node), Maps(2, 3)
        elif gathers(node):
            self.known[node] = None
        elif not call.sources:
            self.known[node] = self.copy(node)
        elif not holds_tensor(call.value):
            self._number(call)
        else:
            self.forms[node] = self._tensor(call)

    def maps(self, node: fx.Node) -> tuple[Cell, Any]:
        """Return maps as a cell that holds all of them, and the new node that gives them as (N, C, H, W)."""
        form, shape = self.forms[node], tuple(node.meta["value"].shape)
        if not isinstance(form, Maps):
            raise TypeError("only maps can be brought into the order of maps")
        rest = [dim for dim in range(1, len(shape)) if dim not in (form.y, form.x)]
        order, new = (0, *rest, form.y, form.x), self.known[node]
        if order != tuple(range(len(shape))):
            new = self.graph.call_method("permute", (new, *order))
        if not rest:
            new = self.graph.call_method("unsqueeze", (new, 1))
        elif len(rest) > 1:
            new = self.graph.call_method("flatten", (new, 1, len(rest)))
        return cell_of(form, shape, node), new

    def _number(self, call: GraphCall) -> None:
        """Sizes of maps are asked for anew; those of a cell are the classifier's."""
        if call.name == "_assert" or call.value is None:
            self.known[call.node] = None
        elif call.name not in ("device", "dtype") and call.cells():
            self.known[call.node] = call.value
        else:
            self.known[call.node] = call.copy()

    def _tensor(self, call: GraphCall) -> Form:
        forms = [self.forms[one] for one in call.sources]
        weighs = call.name in ATTENTION or (call.name in PRODUCTS and call.reads > 1)
        if weighs and not self.attention:
            self.attention = f"{call.words()} weighs all positions by each other (attention)"
        lost = next((one for one in forms if isinstance(one, Whole) and one.final), None)
        if lost is not None:
            return self._whole(call, lost.reason, final=True)
        live = [one for one in forms if not isinstance(one, Whole)]
        if live and weighs:
            return self._whole(call, self.attention, final=True)
        if all(isinstance(one, Maps) for one in forms):
            return self._maps(call, forms[0])
        if not live:
            reason = next(one.reason for one in forms if isinstance(one, Whole))
            return self._whole(call, reason)
        if any(isinstance(one, Cell | tuple) for one in forms) and all(
            isinstance(one, Cell | tuple) or (isinstance(one, Maps) and self._single(node, one))
            for node, one in zip(call.sources, forms, strict=True)
        ):
            return self._cell(call)
        return self._joined(call, forms)

    def _single(self, node: fx.Node, maps: Maps) -> bool:
        shape = node.meta["value"].shape
        return bool(shape[maps.y] == shape[maps.x] == 1)

    def _maps(self, call: GraphCall, form: Form) -> Form:
        if not isinstance(form, Maps):
            raise TypeError("not maps")
        if call.name in SHAPES and call.node.args and call.node.args[0] is call.sources[0]:
            return self._moved_maps(call, form)
        return self.maps_rule(call, form)

    def _moved_maps(self, call: GraphCall, form: Maps) -> Form:
        """Follow views, permutations and slices of maps: to maps, or to a cell if rows or columns vanish."""
        source = call.sources[0]
        value = source.meta["value"]
        if isinstance(value, tuple | list):
            self.known[call.node] = call.copy()
            return form
        try:
            pieces = shaped(cell_of(form, tuple(value.shape), call.node), self._mover(call))
        except UnfollowedError as error:
            return self._whole(call, f"{call.words()} {error}", final=True)
        kept = layout(pieces[0])
        if kept is not None or call.node in self.inner:
            self.known[call.node] = call.copy()
            return kept or Whole(self.inner[call.node])
        self.known[call.node] = self.maps(source)[1]
        return pieces if isinstance(call.value, tuple | list) else pieces[0]

    def _mover(self, call: GraphCall) -> Callable[[Tensor], Any]:
        """Return what a node does to its first argument, the others as they were for the example."""
        node, module = call.node, call.module
        if module is not None:
            return lambda index: module.forward(index)
        rest, kwargs = example((node.args[1:], node.kwargs))
        if node.op == "call_method":
            return lambda index: getattr(index, str(node.target))(*rest, **kwargs)
        target: Any = node.target
        return lambda index: target(index, *rest, **kwargs)

    def _cell(self, call: GraphCall) -> Form:
        """Apply the rule for cells; where there is none, try to leave positions alone from their source on."""
        for node in call.sources:
            form = self.forms[node]
            if isinstance(form, Maps):
                self.forms[node], self.known[node] = self.maps(node)
        first = self.forms[call.sources[0]]
        if isinstance(first, tuple):
            self.known[call.node] = self.known[call.sources[0]]
            return first[int(example(call.node.args[1]))] if call.name == "getitem" else first
        try:
            if call.name in SHAPES:
                return self._moved_cell(call)
            rule = self.rules.get(call.name)
            if rule is None:
                raise UnfollowedError("has no counterpart that works position by position")
            return rule(call)
        except UnfollowedError as error:
            return self._give_up(call, f"{call.words()} {error}")

    def _moved_cell(self, call: GraphCall) -> Form:
        cell = call.cell()
        pieces = shaped(cell, self._mover(call))
        self.known[call.node] = self.known[call.sources[0]]
        if isinstance(call.value, tuple | list):
            return pieces
        moved = pieces[0]
        shape = (cell.channels, *cell.window)
        if min(cell.window) > 1 and tuple(moved.index.shape) == shape:
            whole = torch.arange(moved.index.numel()).reshape(shape)
            return Maps(2, 3) if torch.equal(moved.index, whole) else moved
        return moved

    def _give_up(self, call: GraphCall, reason: str) -> Whole:
        sources = {one for cell in call.cells() for one in cell.sources}
        for one in sources:
            self.found.setdefault(one, reason)
        return self._whole(call, reason, final=not sources)

    def _joined(self, call: GraphCall, forms: list[Form]) -> Form:
        """One value for the image meets maps: it scales or shifts them, and so stays one value for the image."""
        pieces = [one for form in forms for one in (form if isinstance(form, tuple) else (form,))]
        for cell in pieces:
            for one in cell.sources if isinstance(cell, Cell) else ():
                self.found.setdefault(one, f"{call.words()} mixes values of the whole image with maps")
        self.known[call.node] = call.copy()
        maps = [one for one in forms if isinstance(one, Maps)]
        if (
            isinstance(forms[0], Whole) and call.name in SHAPES
        ):  # spread over maps, of which it takes the shape
            return forms[0]
        if not maps:
            reasons = [one.reason for one in forms if isinstance(one, Whole)]
            return Whole(
                reasons[0] if reasons else f"{call.words()} mixes values of the whole image with others"
            )
        return same_rank(maps, len(call.shape)) or Maps(len(call.shape) - 2, len(call.shape) - 1)

    def _whole(self, call: GraphCall, reason: str, *, final: bool = False) -> Whole:
        self.known[call.node] = call.copy()
        return Whole(reason, final)


def same_rank(maps: list[Maps], rank: int) -> Maps | None:
    """Return the first of several maps whose rows and columns fit a value of this rank."""
    return next((one for one in maps if max(one.y, one.x) < rank), None)


def gathers(node: fx.Node) -> bool:
    """Return whether a node only puts the network's outputs into a named tuple."""
    return isinstance(node.target, type) and issubclass(node.target, tuple)
