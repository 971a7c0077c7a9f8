"""The inner loop of the reductions in LLVM's own vectors: Numba's loops over channels take several times as long."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WORD = ir.IntType(32)


class _Vectors:
    """Vectors of one kind, `groups` of them side by side, each of `lanes` neighbouring channels."""

    def __init__(self, builder: Any, lanes: int, groups: int) -> None:
        self.builder, self.lanes, self.groups = builder, lanes, groups

    def of(self, scalar: Any) -> Any:
        """Return the type of a vector."""
        return ir.VectorType(scalar, self.lanes)

    def constant(self, scalar: Any, value: float) -> list[Any]:
        """Return the same number everywhere."""
        return [ir.Constant(self.of(scalar), [value] * self.lanes)] * self.groups

    def phis(self, scalar: Any) -> list[Any]:
        """Return values that a loop carries."""
        return [self.builder.phi(self.of(scalar)) for _ in range(self.groups)]

    def places(self, address: Any, scalar: Any) -> list[Any]:
        """Return where the vectors lie that begin at an address."""
        first = self.builder.inttoptr(address, self.of(scalar).as_pointer())
        return [self.builder.gep(first, [_WORD(at)]) for at in range(self.groups)]

    def load(self, address: Any, scalar: Any) -> list[Any]:
        """Return the vectors that begin at an address."""
        return [self.builder.load(place, align=4) for place in self.places(address, scalar)]

    def spread(self, value: Any) -> list[Any]:
        """Return a whole number in all lanes."""
        vector = ir.Constant(self.of(value.type), ir.Undefined)
        for lane in range(self.lanes):
            vector = self.builder.insert_element(vector, value, _WORD(lane))
        return [vector] * self.groups


def _carry(phis: Sequence[Any], begin: Sequence[Any], entry: Any, again: Sequence[Any], loop: Any) -> None:
    for phi, first, next_ in zip(phis, begin, again, strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(next_, loop)


def fold(lanes: int, groups: int) -> Callable[..., Any]:
    """Return a function for Numba that takes some rows of ``lanes · groups`` neighbouring channels into account.

    Its arguments, whole numbers all: the address of the first value; the first row and the one after the last; the
    columns; bytes from one column, and from one row, to the next; then the addresses of what is known of these
    channels so far and is brought forward: their maximum (float32), the first row that holds it (int32),
    their sum (float64) and the number of non-zeros (int32).

    A row is added up from left to right in float32, the rows one after the other in float64: that order is the same
    for every width of vectors. Not a number is never a maximum, and makes a sum one too.
    """

    @intrinsic
    def function(
        context: Any, base: Any, top: Any, bottom: Any, columns: Any, step: Any, pitch: Any,
        peak: Any, row: Any, total: Any, nonzero: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.intp] * 10), _generate

    def _generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, top, bottom, columns, step, pitch, *known = args
        single, double, whole = ir.FloatType(), ir.DoubleType(), base.type
        kinds = (single, _WORD, double, _WORD)
        vectors = _Vectors(builder, lanes, groups)
        entry = builder.block
        rows, inner, row_end, done = map(builder.append_basic_block, ("rows", "columns", "row_end", "done"))
        so_far = [vectors.load(address, kind) for address, kind in zip(known, kinds, strict=True)]
        builder.branch(rows)

        builder.position_at_end(rows)
        row, start = builder.phi(whole), builder.phi(whole)
        peaks, firsts, totals, counts = (vectors.phis(kind) for kind in kinds)
        builder.branch(inner)

        builder.position_at_end(inner)
        column, place = builder.phi(whole), builder.phi(whole)
        largest, sums, nonzeros = (vectors.phis(kind) for kind in (single, single, _WORD))
        values = vectors.load(place, single)
        more = [builder.fcmp_ordered(">", one, held) for one, held in zip(values, largest, strict=True)]
        largest_ = [builder.select(*one) for one in zip(more, values, largest, strict=True)]
        sums_ = [builder.fadd(*one) for one in zip(sums, values, strict=True)]
        other = [
            builder.fcmp_unordered("!=", *one)
            for one in zip(values, vectors.constant(single, 0.0), strict=True)
        ]
        # True as a whole number of all its bits is -1.
        nonzeros_ = [
            builder.sub(count, builder.sext(flag, vectors.of(_WORD)))
            for count, flag in zip(nonzeros, other, strict=True)
        ]
        column_, place_ = builder.add(column, whole(1)), builder.add(place, step)
        _carry((column, place), (whole(0), start), rows, (column_, place_), inner)
        _carry(largest, vectors.constant(single, -math.inf), rows, largest_, inner)
        _carry(sums, vectors.constant(single, 0.0), rows, sums_, inner)
        _carry(nonzeros, counts, rows, nonzeros_, inner)
        builder.cbranch(builder.icmp_signed("<", column_, columns), inner, row_end)

        builder.position_at_end(row_end)
        better = [builder.fcmp_ordered(">", *one) for one in zip(largest_, peaks, strict=True)]
        peaks_ = [builder.select(*one) for one in zip(better, largest_, peaks, strict=True)]
        here = vectors.spread(builder.trunc(row, _WORD))
        firsts_ = [builder.select(*one) for one in zip(better, here, firsts, strict=True)]
        totals_ = [
            builder.fadd(held, builder.fpext(one, vectors.of(double)))
            for held, one in zip(totals, sums_, strict=True)
        ]
        row_, start_ = builder.add(row, whole(1)), builder.add(start, pitch)
        _carry((row, start), (top, base), entry, (row_, start_), row_end)
        now = (peaks_, firsts_, totals_, nonzeros_)
        for phis, before, after in zip((peaks, firsts, totals, counts), so_far, now, strict=True):
            _carry(phis, before, entry, after, row_end)
        builder.cbranch(builder.icmp_signed("<", row_, bottom), rows, done)

        builder.position_at_end(done)
        for address, kind, after in zip(known, kinds, now, strict=True):
            for place, value in zip(vectors.places(address, kind), after, strict=True):
                builder.store(value, place, align=4)
        return context.get_dummy_value()

    made: Callable[..., Any] = function
    return made
