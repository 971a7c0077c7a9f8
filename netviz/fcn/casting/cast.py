"""cast: a classifier becomes fully convolutional, so that it says something of every place of a larger image.

Where its cells look is reckoned also where it weighs its maps by values of the whole image.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import fx, nn

from netviz.capture import brief, duplicate, evaluation, index_layers, stand_in, unwrap
from netviz.capture.tensors import tensors_in
from netviz.capture.trace import network_device, network_dtype
from netviz.errors import ModelError
from netviz.fcn.casting.forms import Cell, Form, Whole
from netviz.fcn.casting.graph import attribute, trace
from netviz.fcn.casting.rewrite import Writer, gathers
from netviz.fcn.casting.rules import RULES, maps_rule
from netviz.geometry.field import Field, geometry
from netviz.models import Model, load
from netviz.questions.opening import layers

WHOLE = "netviz.whole"
"""Under this name a cast network's ``meta`` lists the nodes that give one value for the whole image."""

CHANNELS = "netviz.channels"
"""Under this name it holds how many channels an image has."""

_NORMALIZING = (nn.GroupNorm, nn.InstanceNorm2d)


def cast_field(network: nn.Module, size: tuple[int, int]) -> Field:
    """Return the receptive field of a cell of a cast network, along the way of its maps.

    Squeeze-and-excitation and its like weigh maps by values of the whole image, so that strictly every cell sees
    all of it and has no place. Here these weights count as given, and the field is that of the maps alone.

    Parameters
    ----------
    network : nn.Module
        What `cast` returned; left exactly as it is.
    size : (int, int)
        Height and width of the input in pixels, at which the network gives at least two cells each way.

    Returns
    -------
    Field
        Cell (i, j) is the classifier on the crop that begins i and j strides on.

    Raises
    ------
    ModelError
        If the network does not run at this size.
    """
    channels = None
    if isinstance(network, fx.GraphModule):
        channels = network.meta.get(CHANNELS)
        network = _given_weights(network)
    marked = nn.Sequential(OrderedDict(network=network, cells=nn.Identity())).train(network.training)
    index = index_layers(marked, size=size, channels=channels)
    try:
        return geometry(marked, index)[index.resolve("cells")]
    except KeyError:
        raise ModelError(
            f"{type(network).__name__} gives no maps at {size[0]}×{size[1]}; cast a classifier"
        ) from None


def _given_weights(network: fx.GraphModule) -> fx.GraphModule:
    """Return the same layers in a graph in which values of the whole image are constants."""
    graph = fx.Graph()
    output = graph.graph_copy(network.graph, {})
    graph.output(output)
    whole = set(network.meta.get(WHOLE, ()))
    layers = dict(network.named_modules())
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(layers[str(node.target)], _NORMALIZING):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.name in whole:
            with graph.inserting_after(node):
                # Geometry follows values; what zeros_like gives has the shape of its argument, not its value.
                constant = graph.call_function(torch.zeros_like, (node,))
            node.replace_all_uses_with(constant, delete_user_cb=lambda user, kept=constant: user is not kept)
    return fx.GraphModule(network, graph).train(network.training)


def cast(
    network: "nn.Module | Model | str | Path", *, input_size: tuple[int, int] | int | None = None
) -> nn.Module:
    """Make a classifier fully convolutional.

    At its native input size the new network gives the classifier's scores as (N, K, 1, 1). On a larger image it
    gives (N, K, h, w): one cell for every place that the classifier's input could take, in steps of the network's
    stride. A linear layer becomes a convolution with the same weights, shaped (O, C, h, w) where it follows
    flattened maps; global and adaptive pooling becomes a window of the size that it has at the native size, which
    slides by one position; dropout, normalization and softmax work position by position.

    Two things keep a cell from being exactly the classifier on its crop, and `cast_check` measures both. Inside a
    larger image there are neighbours where a crop is padded with zeros. And what a network pools from its whole
    input only to weigh its own maps by it (squeeze-and-excitation) or to normalize them (group and instance
    normalization) still sees the whole image.

    Parameters
    ----------
    network : nn.Module, Model, str or Path
        A classifier, or what `netviz.load` opens; left exactly as it is.
    input_size : (int, int) or int, optional
        The native input size in pixels, height and width; by default the one that the network was trained with,
        else the first common size that it takes.

    Returns
    -------
    nn.Module
        A new network in evaluation mode, with copies of the weights, on the same device and of the same type.
        Layers keep their names. Control flow is fixed as it is at the native size, in evaluation mode. If the
        classifier returns several things, the first that is no map becomes the output. A network that is fully
        convolutional already comes back as a copy, with all that it returns.

    Raises
    ------
    ModelError
        If MODEL cannot be opened or does not run at this size, or if it cannot be cast (a transformer), naming
        the operation.
    """
    model = load(network)
    model.require_classifier()
    # Opened, a network of other numbers is a copy in float32; what is cast keeps its own.
    original = unwrap(network if isinstance(network, nn.Module) else model.runnable())
    if isinstance(original, torch.jit.ScriptModule):
        raise ModelError(f"{model.name} cannot be cast: it is TorchScript, whose layers cannot be exchanged")
    shape = _input_shape(model, input_size)
    copied = duplicate(original).eval()
    try:
        with evaluation(original):  # the copy shares what cannot be copied
            graph = trace(copied, shape)
    except Exception as error:  # whatever a network's own code raises when it meets a proxy
        raise ModelError(
            f"{model.name} cannot be cast: its forward pass cannot be followed ({brief(error)})"
        ) from error
    writer, output = _written(copied, graph)
    form = None if output is None else writer.forms.get(output)
    if isinstance(form, Whole):
        remedy = "; use a convolutional classifier" if writer.attention else ""
        raise ModelError(f"{model.name} cannot be cast: {writer.attention or form.reason}{remedy}")
    if output is None or not isinstance(form, Cell):
        return copied
    made = _finish(copied, writer, output, form, f"{type(original).__name__}Cast")
    made.meta[CHANNELS] = shape[0]
    _try(made, model.name, shape)
    return made


def native_size(model: Model, input_size: tuple[int, int] | int | None = None) -> tuple[int, int]:
    """Return the height and width for which a classifier is made, in pixels, as `cast` finds them."""
    _, height, width = _input_shape(model, input_size)
    return height, width


def _input_shape(model: Model, input_size: tuple[int, int] | int | None) -> tuple[int, int, int]:
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    if size is not None and not (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(side, int) and side > 0 for side in size)
    ):
        raise ValueError(
            f"input_size must be one or two positive whole numbers of pixels, not {input_size!r}"
        )
    shape = layers(model, size=size).input_shape
    if shape is None:
        raise ModelError(f"{model.name} cannot be cast: only its weights could be read")
    channels, height, width = shape
    return channels, height, width


def _written(network: nn.Module, graph: fx.Graph) -> tuple[Writer, fx.Node | None]:
    """Write the graph anew, until it is known where positions are given up for good; return the output too."""
    inner: dict[fx.Node, str] = {}
    while True:
        writer = Writer(network, RULES, maps_rule, inner)
        output = None
        for node in graph.nodes:
            if node.op == "output":
                output = _main(node, writer.forms)
            else:
                writer.take(node)
        if not writer.found.keys() - inner.keys():
            return writer, output
        inner = {**writer.found, **inner}


def _main(node: fx.Node, forms: dict[fx.Node, Form]) -> fx.Node | None:
    """Return the output that is to be cast: the first that is a cell, else that has no positions, else the first."""
    given = [
        one
        for outer in node.all_input_nodes
        for one in (outer.all_input_nodes if gathers(outer) else [outer])
    ]
    found = [one for one in given if forms.get(one) is not None]
    for kind in (Cell, Whole):
        for one in found:
            if isinstance(forms[one], kind):
                return one
    return found[0] if found else None


def _finish(network: nn.Module, writer: Writer, output: fx.Node, cell: Cell, name: str) -> fx.GraphModule:
    new = writer.known[output]
    if cell.window != (1, 1):
        raise ModelError(
            f"{type(network).__name__} cannot be cast: it ends in flattened maps of "
            f"{cell.window[0]}×{cell.window[1]} positions, and no layer sums them up"
        )
    graph = writer.graph
    if not cell.straight:
        order = nn.Module()
        order.register_buffer("channels", cell.index.flatten().to(network_device(network)))
        network.add_module("cast_output", order)
        chosen = graph.get_attr("cast_output.channels")
        new = graph.call_method("index_select", (new, 1, chosen))
    graph.output(new)
    for target, module in writer.modules.items():
        parent, _, leaf = target.rpartition(".")
        setattr(attribute(network, parent) if parent else network, leaf, module)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output") and not _writes(node, network):
            graph.erase_node(node)
    made = fx.GraphModule(network, graph, name)
    kept = {node.name for node in made.graph.nodes}
    made.meta[WHOLE] = tuple(name for name in writer.whole() if name in kept)
    return made.eval()


def _writes(node: fx.Node, network: nn.Module) -> bool:
    """Return whether a call changes its input, which others may read."""
    if node.op == "call_module":
        return bool(getattr(attribute(network, str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    return name.endswith("_") and not name.endswith("__")


def _try(made: nn.Module, name: str, shape: tuple[int, int, int]) -> None:
    """Run the cast network on twice the native size, without arithmetic where that goes.

    Raises
    ------
    ModelError
        If it does not run, or gives no grid.
    """
    channels, height, width = shape
    size = f"{2 * height}×{2 * width}"
    image = torch.zeros(1, channels, 2 * height, 2 * width, dtype=network_dtype(made), device="meta")
    with torch.no_grad():
        try:
            output = nn.Module.__call__(stand_in(made), image)  # a graph's own call prints what fails
        except Exception:  # the meta device does not know every function; the real run tells
            try:
                output = made(torch.zeros_like(image, device=network_device(made)))
            except Exception as error:
                raise ModelError(
                    f"{name} cannot be cast: it does not run on {size} pixels ({brief(error)})"
                ) from error
    found = next(tensors_in(output))
    if found.ndim != 4 or min(found.shape[2:]) < 2:
        raise ModelError(f"{name} cannot be cast: on {size} pixels it still gives one answer")
