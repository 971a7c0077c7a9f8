"""Where the cells of a cast network look, also where it weighs its maps by values of the whole image."""

from collections import OrderedDict

import torch
from torch import fx, nn

from netviz.capture import index_layers, input_channels
from netviz.errors import ModelError
from netviz.fields.geometry import Field, geometry

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
    channels = input_channels(network)
    if isinstance(network, fx.GraphModule):
        channels = network.meta.get(CHANNELS, channels)
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
