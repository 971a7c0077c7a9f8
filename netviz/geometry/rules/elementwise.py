"""What each torch function does to the geometry of its input: the tables, and the functions that need few words.

A rule gets a `Call` and gives the `Spread` of the output (one for each output, or one for all). It raises
`LostError` where it cannot say. A function in no table is unknown.
"""

from netviz.geometry.axes import LostError, Spread, contracted, mixed, neutral
from netviz.geometry.join import joined, union
from netviz.geometry.rules.call import Call, Rule, integers
from netviz.geometry.rules.product import PRODUCTS
from netviz.geometry.rules.shape import SHAPES, SLICES
from netviz.geometry.rules.window import WINDOWS

_ONE_BY_ONE = """
    abs absolute acos acosh add addcdiv addcmul alias alpha_dropout and arccos arccosh arcsin arcsinh arctan
    arctan2 arctanh asin asinh atan atan2 atanh bfloat16 bitwise_and bitwise_not bitwise_or bitwise_xor bool byte
    ceil celu clamp clamp_max clamp_min clip clone contiguous copysign cos cosh cpu cuda data deg2rad detach div
    divide double dropout dropout1d dropout2d dropout3d elu eq erf erfc erfinv exp exp2 expm1
    feature_alpha_dropout feature_dropout fix float float_power floor floor_divide floordiv fmax fmin fmod frac ge
    gelu greater greater_equal gt half hardshrink hardsigmoid hardswish hardtanh heaviside hypot int invert
    isfinite isinf isnan ldexp le leaky_relu lerp less less_equal lgamma log log10 log1p log2 logaddexp
    logaddexp2 logical_and logical_not logical_or logical_xor logit logsigmoid log_sigmoid long lt masked_fill
    maximum minimum mish mod mul multiply nan_to_num ne neg negative not_equal or pos positive pow prelu
    rad2deg radd rand rdiv real reciprocal relu relu6 remainder requires_grad rfloordiv rmod rmul ror round rpow
    rrelu rsqrt rsub rtruediv rxor selu sgn short sigmoid sign signbit silu sin sinc sinh softplus softshrink
    softsign sqrt square sub subtract swish tan tanh tanhshrink threshold to true_divide truediv trunc type
    type_as where xlogy xor
"""


_REDUCTIONS = """
    mean sum amax amin max min prod std var logsumexp all any median nanmean nansum nanmedian argmax argmin mode
    count_nonzero std_mean var_mean aminmax
"""


def one_by_one(call: Call) -> Spread:
    """Every output position reads the same position of every input."""
    return joined(call.spreads(), call.shape)


def reduction(call: Call) -> Spread:
    """Sum up some dimensions, or make one number of many in another way."""
    first = call.spread(0)
    if len(call.node.inputs) > 1 or call.is_tensor(1):
        if call.node.name in ("max", "min"):
            return one_by_one(call)
        raise LostError("by another value of the network")
    return _reduced(call, first, call.get(1, "dim", call.node.kwargs.get("axis")))


def norm(call: Call) -> Spread:
    """``torch.norm(x, p, dim)`` and its like."""
    return _reduced(call, call.spread(0), call.get(2, "dim", None))


def _reduced(call: Call, spread: Spread, dim: object) -> Spread:
    rank = len(spread.dims)
    ats = range(rank) if dim is None else [one % rank for one in integers(dim)]
    keep = len(call.shape) == rank
    for at in sorted(ats, reverse=True):
        spread = contracted(spread, at, keep=keep)
    return spread


def along(place: int, default: int | None = None) -> Rule:
    """All positions along one dimension see each other (softmax); which one is the argument at `place`."""

    def rule(call: Call) -> Spread:
        spread = call.only()
        dim = call.get(place, "dim", default)
        if dim is None:
            raise LostError("without a dimension")
        return mixed(spread, [one % len(spread.dims) for one in integers(dim)])

    return rule


def batch_norm(call: Call) -> Spread:
    """With stored statistics position by position, with its input's own over all positions."""
    spread = call.only()
    # torch's own order of arguments and that of torch.nn.functional differ in places 1 to 4, not in the fifth.
    stored = [call.get(1, "running_mean", None), *call.node.args[2:5], call.node.kwargs.get("running_var")]
    if call.get(5, "training", False) or all(one is None for one in stored):
        return mixed(spread, [0, *range(2, len(spread.dims))])
    return spread


def instance_norm(call: Call) -> Spread:
    """Over each channel's positions, unless it uses stored statistics."""
    spread = call.only()
    return mixed(spread, range(2, spread.rank)) if call.get(5, "use_input_stats", True) else spread


def group_norm(call: Call) -> Spread:
    """Over the positions and some of the channels."""
    spread = call.only()
    return mixed(spread, range(1, len(spread.dims)))


def layer_norm(call: Call) -> Spread:
    """Over the last dimensions."""
    spread = call.only()
    rank = len(spread.dims)
    return mixed(spread, range(rank - len(integers(call.get(1, "normalized_shape", ()))), rank))


def local_response_norm(call: Call) -> Spread:
    """Over neighbouring channels."""
    return mixed(call.only(), [1])


def gated(call: Call) -> Spread:
    """One half of a dimension gates the other: GLU."""
    spread = call.only()
    at = call.get(1, "dim", -1) % spread.rank
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


RULES: dict[str, Rule] = {
    **dict.fromkeys(_ONE_BY_ONE.split(), one_by_one),
    **dict.fromkeys(_REDUCTIONS.split(), reduction),
    **dict.fromkeys(("norm", "linalg_vector_norm"), norm),
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), along(1)),
    "normalize": along(2, 1),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "sort", "argsort"), along(1, -1)),
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    **dict.fromkeys(("layer_norm", "rms_norm"), layer_norm),
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
