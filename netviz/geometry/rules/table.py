"""What each torch function does to the geometry of its input: the table of rules, and those of sums and products.

A rule gets a `Call` and gives the `Spread` of the output (one for each output, or one for all). It raises
`LostError` where it cannot say. A function in no table is unknown.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from netviz.capture.layout import Dim, LostError, total
from netviz.capture.operations import names
from netviz.capture.tape import Ref
from netviz.capture.tensors import tensors_in
from netviz.geometry.axes import Spread, contracted, mixed, neutral, spatial
from netviz.geometry.join import joined, union
from netviz.geometry.rules.call import Call, Rule, integers
from netviz.geometry.rules.shape import SHAPES, SLICES
from netviz.geometry.rules.window import WINDOWS


def one_by_one(call: Call) -> Spread:
    """Every output position reads the same position of every input; a constant map, or a padding, may hide some."""
    spreads = call.spreads()
    found = joined(spreads, call.shape)
    if call.node.name not in _HIDING:
        return found
    constants = [one for one in tensors_in((call.node.args, call.node.kwargs)) if _runs_along(one, found)]
    blank = len(spreads) > 1 and any((axis.first >= axis.last).any() for one in spreads for axis in one.axes)
    return found.doubted() if constants or blank else found


def _runs_along(constant: Tensor, spread: Spread) -> bool:
    """Return whether a constant, broadcast to a value, differs along an axis of the image."""
    sides = zip(reversed(constant.shape), reversed(spread.dims), strict=False)
    return any(side > 1 and spatial(dim) for side, dim in sides)


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


def scan(call: Call) -> Spread:
    """Along one dimension, a position sees some of the others: cumulative sums those before it, sorting any."""
    spread, at = call.first(), call.get("dim") % len(call.shape)
    dim = spread.dims[at]
    if not spatial(dim):
        return spread
    name = dim[0].name
    plain = len(dim) == 1 and dim[0].step == 1 and spread.extent(name) == total(dim)
    if not plain or not call.node.name.startswith(("cum", "logcum")):
        return along(call).doubted()
    axis = spread.axis(name)
    first, last = axis.seen(total(dim))
    first, last = np.minimum.accumulate(first), np.maximum.accumulate(last)
    axis = replace(axis, first=first, last=last)
    return spread.with_axis(name, axis.lined(axis.high - axis.low, 0.0, axis.low, regular=axis.whole))


def along(call: Call) -> Spread:
    """All positions along one dimension see each other."""
    spread, dim = call.only(), call.get("dim")
    if dim is None:
        raise LostError("without a dimension")
    return mixed(spread, [one % len(spread.dims) for one in integers(dim)])


def batch_norm(call: Call) -> Spread:
    """With stored statistics position by position, with its input's own over all positions."""
    spread = call.only()
    # torch's own order of arguments and that of torch.nn.functional differ in places 1 to 4, not in the fifth.
    stored = [call.get("running_mean"), *call.node.args[2:5], call.node.kwargs.get("running_var")]
    if not spread.local and (call.get("training") or all(one is None for one in stored)):
        return mixed(spread, [0, *range(2, len(spread.dims))])
    return spread


def instance_norm(call: Call) -> Spread:
    """Over each channel's positions, unless it uses stored statistics."""
    spread = call.only()
    return (
        mixed(spread, range(2, spread.rank)) if call.get("use_input_stats") and not spread.local else spread
    )


def group_norm(call: Call) -> Spread:
    """Over the positions and some of the channels."""
    spread = call.only()
    return spread if spread.local else mixed(spread, range(1, len(spread.dims)))


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


def summed(spreads: list[tuple[Spread, str]], letters: str, shape: tuple[int, ...]) -> Spread:
    """Return the geometry of a sum of products, in the words of einsum: a letter for every dimension.

    Of one value, the dimensions without a letter in the output are summed up. Of two values of the network every
    output depends on two places in the image at once: all positions along the dimensions that the two do not
    share, or sum up, are taken together, which is what attention makes of them in the end. Followed locally, the
    output stands where the first value stands that runs along the image in the output, too: attention's queries.
    """
    if len(spreads) > 1 and spreads[0][0].local:
        placed = [
            (one, own)
            for one, own in spreads
            if not all(axis.whole for axis in one.axes)
            and any(spatial(dim) and letter in letters for dim, letter in zip(one.dims, own, strict=True))
        ]
        spreads = [*placed, *spreads][:1]
    shared = set(letters).intersection(*(own for _, own in spreads))
    kept: list[Spread] = []
    for spread, own in spreads:
        if len(set(own)) != len(own) or len(own) != spread.rank:
            raise LostError("with a repeated index")
        for at in range(len(own)):
            if own[at] not in letters or (len(spreads) > 1 and own[at] not in shared):
                spread = contracted(spread, at, keep=True)
        by_letter = dict(zip(own, spread.dims, strict=True))
        dims: tuple[Dim, ...] = tuple(by_letter.get(letter, ()) for letter in letters)
        kept.append(spread.with_dims(dims) if len(spreads) == 1 else spread.with_dims(dims).loosened())
    return joined(kept, shape)


def einsum(call: Call) -> Spread:
    """Any equation, written with letters; an ellipsis stands for leading dimensions that all share."""
    equation, operands = call.get("equation"), call.get("operands")
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        raise LostError("without a plain equation")
    sources, letters = equation.replace(" ", "").split("->")
    pairs = [
        (call.known[operand.number], own)
        for operand, own in zip(operands, sources.split(","), strict=True)
        if isinstance(operand, Ref)
    ]
    return summed(pairs, letters, call.shape)


def matmul(call: Call) -> Spread:
    """Rows by columns, for matrices and stacks of them."""
    left, right = call.maybe("input"), call.maybe("other")
    ranks = [len(call.shape_of("input")), len(call.shape_of("other"))]
    if min(ranks) < 2:
        raise LostError("of a vector")
    leading = "abcdefgh"[: max(ranks) - 2]
    letters = [
        leading[len(leading) - (rank - 2) :] + end for rank, end in zip(ranks, ("iz", "zj"), strict=True)
    ]
    pairs = [(one, own) for one, own in zip((left, right), letters, strict=True) if one is not None]
    return summed(pairs, leading + "ij", call.shape)


def rmatmul(call: Call) -> Spread:
    """``constant @ x``, called on x."""
    spread = call.only()
    at = spread.rank - 2
    if spread.rank != len(call.shape) or spread.rank < 2:
        raise LostError("of a vector")
    return contracted(spread, at, keep=True).with_dim(at, neutral(call.shape[at]))


def attention(call: Call) -> Spread:
    """Every token sees all tokens, unless a mask hides some: (…, tokens, channels)."""
    if call.spreads()[0].local:
        query = call.spreads()[0]
        return query.with_dim(query.rank - 1, neutral(call.shape[-1]))
    found = union([mixed(one, range(one.rank - 2, one.rank)) for one in call.spreads()], call.shape)
    return found.doubted() if call.get("attn_mask") is not None or call.get("is_causal") else found


def multi_head(call: Call) -> list[Spread]:
    """Every token sees all tokens, unless a mask hides some: (tokens, N, channels); weights (N, tokens, tokens)."""
    seen = [mixed(one, (0, one.rank - 1)) for one in call.spreads()]
    output = call.spreads()[0] if call.spreads()[0].local else union(seen, call.shape)
    if any(call.get(mask) is not None for mask in ("attn_mask", "key_padding_mask")):
        output = output.doubted()
    shapes = call.shapes[1:]
    weights = [output.with_dims((*output.dims[1:-1], *map(neutral, shape[-2:]))) for shape in shapes]
    return [output, *weights]


def recurrence(call: Call) -> list[Spread]:
    """Both ways along a sequence, every step sees all; one way, those before it. Then the last states."""
    spread = call.only()
    if spread.rank != 3:
        raise LostError("over a packed sequence")
    time = 1 if call.get("batch_first") else 0
    seen = mixed(spread, [time, 2])
    states = [(neutral(shape[0]), seen.dims[1 - time], neutral(shape[2])) for shape in call.shapes[1:]]
    one_way = spatial(spread.dims[time]) and not call.get("bidirectional")
    steps = (seen.doubted() if one_way else seen).with_dim(2, neutral(call.shape[2]))
    return [steps, *map(seen.with_dims, states)]


# What a zero (or a truth) in a constant may hide of the other argument; no sum does.
_HIDING = names("arithmetic", "combination") - {
    "add",
    "sub",
    "subtract",
    "rsub",
    "radd",
    "maximum",
    "minimum",
}

ONE_BY_ONE = names("activation", "prelu", "unary", "arithmetic", "combination", "copy", "dropout")

RULES: dict[str, Rule] = {
    **dict.fromkeys(ONE_BY_ONE, one_by_one),
    **dict.fromkeys(names("reduction", "statistic"), reduction),
    **dict.fromkeys(names("vector norm"), vector_norm),
    **dict.fromkeys(names("softmax", "normalize"), along),
    **dict.fromkeys(names("scan"), scan),
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    **dict.fromkeys(names("layer norm"), layer_norm),
    "linear": linear,
    "local_response_norm": local_response_norm,
    **dict.fromkeys(names("recurrence"), recurrence),
    "glu": gated,
    **dict.fromkeys(names("matmul"), matmul),
    "rmatmul": rmatmul,
    "einsum": einsum,
    "scaled_dot_product_attention": attention,
    "multi_head_attention_forward": multi_head,
    **SHAPES,
    **SLICES,
    **WINDOWS,
}
