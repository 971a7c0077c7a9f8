"""What each torch function does to the geometry of its input: the tables, and the functions that need few words.

A rule gets a `Call` and gives the `Spread` of the output (one for each output, or one for all). It raises
`LostError` where it cannot say. A function in no table is unknown.
"""

from netviz.capture.operations import names
from netviz.geometry.axes import LostError, Spread, contracted, mixed, neutral
from netviz.geometry.join import joined, union
from netviz.geometry.rules.call import Call, Rule, integers
from netviz.geometry.rules.product import PRODUCTS
from netviz.geometry.rules.shape import SHAPES, SLICES
from netviz.geometry.rules.window import WINDOWS


def one_by_one(call: Call) -> Spread:
    """Every output position reads the same position of every input."""
    return joined(call.spreads(), call.shape)


def reduction(call: Call) -> Spread:
    """Sum up some dimensions, or make one number of many in another way."""
    if len(call.node.inputs) > 1 or call.is_tensor(1):
        if call.node.name in ("max", "min"):
            return one_by_one(call)
        raise LostError("by another value of the network")
    return vector_norm(call)


def vector_norm(call: Call) -> Spread:
    """Over some dimensions, or over all."""
    spread, dim = call.first(), call.get("dim")
    rank = len(spread.dims)
    ats = range(rank) if dim is None else [one % rank for one in integers(dim)]
    keep = len(call.shape) == rank
    for at in sorted(ats, reverse=True):
        spread = contracted(spread, at, keep=keep)
    return spread


def along(call: Call) -> Spread:
    """All positions along one dimension see each other: softmax, cumulative sums, sorting."""
    spread, dim = call.only(), call.get("dim")
    if dim is None:
        raise LostError("without a dimension")
    return mixed(spread, [one % len(spread.dims) for one in integers(dim)])


def batch_norm(call: Call) -> Spread:
    """With stored statistics position by position, with its input's own over all positions."""
    spread = call.only()
    # torch's own order of arguments and that of torch.nn.functional differ in places 1 to 4, not in the fifth.
    stored = [call.get("running_mean"), *call.node.args[2:5], call.node.kwargs.get("running_var")]
    if call.get("training") or all(one is None for one in stored):
        return mixed(spread, [0, *range(2, len(spread.dims))])
    return spread


def instance_norm(call: Call) -> Spread:
    """Over each channel's positions, unless it uses stored statistics."""
    spread = call.only()
    return mixed(spread, range(2, spread.rank)) if call.get("use_input_stats") else spread


def group_norm(call: Call) -> Spread:
    """Over the positions and some of the channels."""
    spread = call.only()
    return mixed(spread, range(1, len(spread.dims)))


def layer_norm(call: Call) -> Spread:
    """Over the last dimensions."""
    spread = call.only()
    rank = len(spread.dims)
    return mixed(spread, range(rank - len(integers(call.get("normalized_shape"))), rank))


def local_response_norm(call: Call) -> Spread:
    """Over neighbouring channels."""
    return mixed(call.only(), [1])


def gated(call: Call) -> Spread:
    """One half of a dimension gates the other: GLU."""
    spread = call.only()
    at = call.get("dim") % spread.rank
    return contracted(spread, at, keep=True).with_dim(at, neutral(call.shape[at]))


def linear(call: Call) -> Spread:
    """Sum over the last dimension."""
    spread = call.only()
    at = len(spread.dims) - 1
    return contracted(spread, at, keep=True).with_dim(at, neutral(call.shape[-1]))


def attention(call: Call) -> Spread:
    """Every token sees all tokens: (…, tokens, channels)."""
    return union([mixed(one, range(one.rank - 2, one.rank)) for one in call.spreads()], call.shape)


def multi_head(call: Call) -> list[Spread]:
    """Every token sees all tokens: (tokens, N, channels), and the weights (N, tokens, tokens)."""
    seen = [mixed(one, (0, one.rank - 1)) for one in call.spreads()]
    output = union(seen, call.shape)
    shapes = call.shapes[1:]
    weights = [output.with_dims((*output.dims[1:-1], *map(neutral, shape[-2:]))) for shape in shapes]
    return [output, *weights]


ONE_BY_ONE = names("activation", "prelu", "unary", "arithmetic", "combination", "copy", "dropout")


RULES: dict[str, Rule] = {
    **dict.fromkeys(ONE_BY_ONE, one_by_one),
    **dict.fromkeys(names("reduction", "statistic"), reduction),
    **dict.fromkeys(names("vector norm"), vector_norm),
    **dict.fromkeys(names("softmax", "normalize", "scan"), along),
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    **dict.fromkeys(names("layer norm"), layer_norm),
    "linear": linear,
    "local_response_norm": local_response_norm,
    "glu": gated,
    **PRODUCTS,
    "scaled_dot_product_attention": attention,
    "multi_head_attention_forward": multi_head,
    **SHAPES,
    **SLICES,
    **WINDOWS,
}
