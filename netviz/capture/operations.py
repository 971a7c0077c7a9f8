"""The functions of torch that netviz knows: what kind of operation each name is, and how its arguments are called.

One table for all rooms. Each keeps rules of its own (what an operation does to a field, to a window, to a cell, to a
stage) and takes from here which names they are for, and how an argument is read: by position, by keyword or from a
module, else its default.
"""

from ast import literal_eval
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

_CONVOLUTION = "input weight bias=None stride=1 padding=0 dilation=1 groups=1"

_TRANSPOSED = "input weight bias=None stride=1 padding=0 output_padding=0 groups=1 dilation=1"

_MAX_POOLING = "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False"

_AVERAGE_POOLING = (
    "input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None"
)

_LP_POOLING = "input norm_type kernel_size stride=None ceil_mode=False"

_INTERPOLATION = (
    "input size=None scale_factor=None mode='nearest' align_corners=None recompute_scale_factor=None "
    "antialias=False"
)

# Kind; names; parameters in their order, as far as any room reads them, with other names after |, defaults, and *
# before one that takes all the rest; and, where a function makes a layer when no module wraps it, that layer's kind
# (its own name for "=").
_ROWS: tuple[tuple[str, str, str] | tuple[str, str, str, str], ...] = (
    # Every number by itself, or with those at the same place of other values.
    (
        "activation",
        "relu leaky_relu elu selu celu gelu silu mish softplus hardswish hardsigmoid sigmoid tanh",
        "input",
        "=",
    ),
    ("activation", "hardtanh", "input min_val=-1.0 max_val=1.0", "="),
    ("activation", "relu6", "input", "relu"),
    (
        "activation",
        "rrelu softsign hardshrink softshrink tanhshrink logsigmoid log_sigmoid swish",
        "input",
    ),
    ("activation", "threshold", "input threshold value"),
    ("prelu", "prelu", "input weight", "="),
    (
        "unary",
        """
        abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh
        bitwise_not ceil cos cosh deg2rad erf erfc erfinv exp exp2 expm1 fix
        floor frac invert isfinite isinf isnan lgamma log log10 log1p log2 logical_not logit nan_to_num neg
        negative pos positive pow rad2deg real reciprocal round rsqrt sgn sign signbit sin sinc sinh sqrt
        square tan trunc
        """,
        "input",
    ),
    ("unary", "clamp clip", "input min=None max=None"),
    ("unary", "clamp_min", "input min"),
    ("unary", "clamp_max", "input max"),
    (
        "arithmetic",
        "add sub subtract rsub mul multiply div divide truediv true_divide maximum minimum",
        "input other",
    ),
    (
        "combination",
        """
        addcdiv addcmul and arctan2 atan2 bitwise_and bitwise_or bitwise_xor copysign eq float_power
        floor_divide floordiv fmax fmin fmod ge greater greater_equal gt heaviside hypot ldexp le lerp less
        less_equal logaddexp logaddexp2 logical_and logical_or logical_xor lt masked_fill mod ne not_equal
        or radd rand rdiv remainder rfloordiv rmod rmul ror rpow rtruediv rxor where xlogy xor
        """,
        "input",
    ),
    (
        "copy",
        """
        clone contiguous detach alias bfloat16 bool byte cpu cuda data dequantize double float half int long
        requires_grad short to type type_as
        """,
        "input",
    ),
    (
        "dropout",
        """
        dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout
        stochastic_depth
        """,
        "input",
    ),
    # Windows.
    ("convolution", "conv2d", _CONVOLUTION, "conv"),
    ("convolution", "conv1d conv3d", _CONVOLUTION),
    ("transposed convolution", "conv_transpose2d", _TRANSPOSED, "deconv"),
    ("transposed convolution", "conv_transpose1d conv_transpose3d", _TRANSPOSED),
    ("pooling", "max_pool2d", _MAX_POOLING, "pool"),
    (
        "pooling",
        "max_pool1d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices",
        _MAX_POOLING,
    ),
    ("pooling", "avg_pool2d", _AVERAGE_POOLING, "pool"),
    ("pooling", "avg_pool1d avg_pool3d", _AVERAGE_POOLING),
    ("pooling", "lp_pool2d", _LP_POOLING, "pool"),
    ("pooling", "lp_pool1d lp_pool3d", _LP_POOLING),
    ("fractional pooling", "fractional_max_pool2d", "input kernel_size", "pool"),
    ("adaptive pooling", "adaptive_avg_pool2d adaptive_max_pool2d", "input output_size", "pool"),
    (
        "adaptive pooling",
        """
        adaptive_avg_pool1d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool3d
        adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices
        """,
        "input output_size",
    ),
    ("interpolation", "interpolate upsample", _INTERPOLATION, "upsample"),
    ("padding", "pad", "input pad mode='constant' value=None"),
    ("pixel shuffle", "pixel_shuffle", "input upscale_factor", "upsample"),
    ("pixel unshuffle", "pixel_unshuffle", "input downscale_factor"),
    # Also Tensor.unfold, with other arguments and one axis more in what it gives.
    ("unfolding", "unfold", "input kernel_size dilation=1 padding=0 stride=1"),
    ("folding", "fold", "input output_size kernel_size dilation=1 padding=0 stride=1"),
    # Normalization.
    (
        "batch norm",
        "batch_norm",
        "input running_mean running_var weight=None bias=None training=False momentum=0.1 eps=1e-5",
        "norm",
    ),
    (
        "instance norm",
        "instance_norm",
        "input running_mean=None running_var=None weight=None bias=None use_input_stats=True momentum=0.1 eps=1e-5",
        "norm",
    ),
    ("group norm", "group_norm", "input num_groups weight=None bias=None eps=1e-5", "norm"),
    ("layer norm", "layer_norm", "input normalized_shape weight=None bias=None eps=1e-5", "norm"),
    ("layer norm", "rms_norm", "input normalized_shape weight=None eps=None"),
    ("local response norm", "local_response_norm", "input size alpha=1e-4 beta=0.75 k=1.0", "norm"),
    # Sums, and other numbers made of many.
    ("linear", "linear", "input weight bias=None"),
    ("matmul", "matmul bmm mm", "input other|mat2"),
    ("rmatmul", "rmatmul", "input other"),
    ("einsum", "einsum", "equation *operands"),
    ("product", "addmm baddbmm addbmm dot tensordot bilinear cdist outer", "input"),
    (
        "attention",
        "scaled_dot_product_attention",
        "query key value attn_mask=None dropout_p=0.0 is_causal=False",
    ),
    (
        "multi-head attention",
        "multi_head_attention_forward",
        """
        query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v add_zero_attn
        dropout_p out_proj_weight out_proj_bias training=True key_padding_mask=None need_weights=True attn_mask=None
        """,
    ),
    # Modules and functions of a network's own that are called so.
    ("any attention", "attention", "query"),
    ("reduction", "mean sum amax max", "input dim|axis=None keepdim=False"),
    (
        "statistic",
        """
        amin min prod std var logsumexp all any median nanmean nansum nanmedian argmax argmin mode
        count_nonzero std_mean var_mean aminmax
        """,
        "input dim|axis=None",
    ),
    ("vector norm", "norm", "input p='fro' dim=None keepdim=False"),
    ("vector norm", "linalg_vector_norm", "input ord=2 dim=None keepdim=False"),
    ("softmax", "softmax log_softmax softmin", "input dim=None"),
    ("channel softmax", "softmax2d", "input"),
    ("normalize", "normalize", "input p=2.0 dim=1 eps=1e-12"),
    ("scan", "cumsum cumprod logcumsumexp sort argsort", "input dim=-1"),
    (
        "recurrence",
        "lstm gru rnn_tanh rnn_relu",
        "input hx params has_biases num_layers dropout train bidirectional batch_first=False",
    ),
    ("ranking", "topk kthvalue", "input k dim=-1"),
    ("glu", "glu", "input dim=-1"),
    # The same numbers in another order or shape, or some of them.
    ("view", "view reshape view_as reshape_as ravel", "input"),
    ("view", "flatten", "input start_dim=0 end_dim=-1"),
    ("view", "unflatten", "input dim sizes"),
    ("squeeze", "squeeze", "input dim=None"),
    ("unsqueeze", "unsqueeze", "input dim"),
    ("permutation", "permute", "input *dims"),
    ("transposition", "transpose swapaxes swapdims", "input dim0|axis0 dim1|axis1"),
    ("transposition", "T mT t H mH adjoint", "input"),
    ("moving", "movedim moveaxis", "input source destination"),
    ("expansion", "expand expand_as broadcast_to", "input"),
    ("repetition", "repeat tile", "input"),
    ("interleaving", "repeat_interleave", "input repeats dim=None"),
    ("concatenation", "cat concat concatenate", "tensors dim|axis=0"),
    ("stack", "stack", "tensors dim=0"),
    ("overwriting", "copy", "input src"),
    ("getitem", "getitem", "input indices"),
    ("assignment", "setitem", "input indices value"),
    ("narrow", "narrow", "input dim start length"),
    ("slice", "slice", "input dim=0 start=None end=None step=1"),
    ("select", "select", "input dim index"),
    ("unbind", "unbind", "input dim=0"),
    ("split", "chunk unsafe_chunk", "input chunks dim=0"),
    ("split", "split split_with_sizes unsafe_split", "input split_size dim=0"),
    ("split", "tensor_split", "input indices_or_sections dim=0"),
    ("reordering", "flip", "input *dims"),
    ("reordering", "roll", "input shifts dims=None"),
    ("indexing", "index_select", "input dim index"),
    ("gathering", "gather", "input dim index"),
    ("gathering", "take_along_dim", "input index|indices dim=None"),
    ("channel shuffle", "channel_shuffle native_channel_shuffle", "input groups"),
    # What these return does not depend on the values of the tensor that they are called with.
    (
        "constant",
        """
        zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones
        new_full new_empty new_tensor new_empty_strided
        """,
        "input",
    ),
)


@dataclass(frozen=True)
class Operation:
    """What the table says of one name.

    Attributes
    ----------
    kind : str
        What it is; names of one kind are mostly treated alike.
    parameters : tuple of (tuple of str, object)
        In order: under which names a parameter may be given, the first being ours, and its default (None where it
        must be given). A first name that begins with ``*`` takes all positions from its own on.
    layer : str
        The kind of layer that it makes where no module wraps it; empty if none.
    """

    kind: str
    parameters: tuple[tuple[tuple[str, ...], Any], ...]
    layer: str


def _parameter(text: str) -> tuple[tuple[str, ...], Any]:
    words, _, default = text.partition("=")
    return tuple(words.split("|")), literal_eval(default) if default else None


OPERATIONS: dict[str, Operation] = {
    name: Operation(
        kind, tuple(map(_parameter, parameters.split())), name if layer == ["="] else "".join(layer)
    )
    for kind, names_of_kind, parameters, *layer in _ROWS
    for name in names_of_kind.split()
}

MODULES: dict[type[nn.Module], str] = {
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
    nn.PReLU: "prelu",
    nn.GLU: "glu",
    nn.Softmax2d: "softmax2d",
    nn.Softmin: "softmin",
}
"""Which operation a layer of torch is; a class of its own is what it derives from."""


def names(*kinds: str) -> frozenset[str]:
    """Return the names of all operations of some kinds."""
    found = frozenset(name for name, one in OPERATIONS.items() if one.kind in kinds)
    missing = set(kinds).difference(OPERATIONS[name].kind for name in found)
    if missing:
        raise ValueError(f"no operation is of the kind {missing.pop()!r}")
    return found


def arguments(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], module: nn.Module | None = None
) -> dict[str, Any]:
    """Return what an operation is called with.

    Parameters
    ----------
    name : str
        Of an operation in the table.
    args, kwargs : sequence, mapping
        As in the call.
    module : Module, optional
        The layer that does it: then its attributes count, and not the call.

    Returns
    -------
    dict of str to object
        Every parameter of the table by its first name, with its default where it was not given.
    """
    found: dict[str, Any] = {}
    for place, (words, default) in enumerate(OPERATIONS[name].parameters):
        word = words[0].lstrip("*")
        if module is not None:
            found[word] = getattr(module, word, default)
        elif word != words[0]:
            rest = args[place:] or [kwargs.get(word, ())]
            found[word] = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest
        elif place < len(args):
            found[word] = args[place]
        else:
            found[word] = next((kwargs[one] for one in words if one in kwargs), default)
    return found
