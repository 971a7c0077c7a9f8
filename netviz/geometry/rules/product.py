"""Geometry of matrix products: matmul and einsum."""

from netviz.capture.operations import names
from netviz.capture.tape import Ref
from netviz.geometry.axes import Dim, LostError, Spread, contracted, neutral
from netviz.geometry.join import joined
from netviz.geometry.rules.call import Call, Rule


def summed(spreads: list[tuple[Spread, str]], letters: str, shape: tuple[int, ...]) -> Spread:
    """Return the geometry of a sum of products, in the words of einsum: a letter for every dimension.

    Of one value, the dimensions without a letter in the output are summed up. Of two values of the network every
    output depends on two places in the image at once: all positions along the dimensions that the two do not
    share, or sum up, are taken together, which is what attention makes of them in the end.
    """
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


PRODUCTS: dict[str, Rule] = {
    **dict.fromkeys(names("matmul"), matmul),
    "rmatmul": rmatmul,
    "einsum": einsum,
}
