"""Vectors of neighbouring channels for Numba: its own loops over channels take several times as long."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
"""Channels in a vector; where a processor has narrower ones, LLVM takes several."""

_SCALAR, _WORD = ir.FloatType(), ir.IntType(32)

_KIND = ir.VectorType(_SCALAR, LANES)


class _Vector(types.Type):
    """So many float32 numbers in a register."""


_vector: Any = _Vector(f"vector of {LANES}")

_memory_copy: Callable[..., Any] = cgutils.raw_memcpy


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        begin: Callable[..., None] = super().__init__
        begin(manager, kind, _KIND)


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for Numba: one that tells its types, and what builds its code."""
    made: Callable[..., Any] = intrinsic(function)
    return made


def _load(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _KIND.as_pointer()), align=4)


def _store(builder: Any, address: Any, value: Any) -> None:
    builder.store(value, builder.inttoptr(address, _KIND.as_pointer()), align=4)


def _fma(builder: Any, one: Any, two: Any, three: Any) -> Any:
    kind = ir.FunctionType(_KIND, [_KIND] * 3)
    name = f"llvm.fma.v{LANES}f32"
    known = builder.module.globals.get(name)
    return builder.call(known or ir.Function(builder.module, kind, name), (one, two, three))


def _clamp(builder: Any, value: Any, low: Any, high: Any) -> Any:
    # What is not a number stays so.
    value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
    return builder.select(builder.fcmp_ordered(">", value, high), high, value)


def _spread(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_KIND, ir.Undefined), value, _WORD(0))
    return builder.shuffle_vector(
        one, ir.Constant(_KIND, ir.Undefined), ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES)
    )


@_intrinsic
def load(context: Any, address: Any) -> Any:
    """Return the vector that begins at an address."""
    return _vector(types.intp), lambda context, builder, signature, args: _load(builder, *args)


@_intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Write a vector to an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(builder, *args)
        return context.get_dummy_value()

    return types.void(types.intp, _vector), generate


@_intrinsic
def put(context: Any, address: Any, value: Any) -> Any:
    """Write one number to an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _SCALAR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.float32), generate


@_intrinsic
def copy(context: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy so many bytes from one address to another; they do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, given = (builder.inttoptr(address, ir.IntType(8).as_pointer()) for address in args[:2])
        _memory_copy(builder, to, given, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@_intrinsic
def spread(context: Any, value: Any) -> Any:
    """Return a number in all lanes."""
    return _vector(types.float32), lambda context, builder, signature, args: _spread(builder, *args)


@_intrinsic
def plus(context: Any, one: Any, two: Any) -> Any:
    """Return a sum."""
    return _vector(_vector, _vector), lambda context, builder, signature, args: builder.fadd(*args)


@_intrinsic
def fused(context: Any, one: Any, two: Any, three: Any) -> Any:
    """Return one · two + three, rounded once."""
    return (
        _vector(_vector, _vector, _vector),
        lambda context, builder, signature, args: _fma(builder, *args),
    )


@_intrinsic
def clamped(context: Any, value: Any, low: Any, high: Any) -> Any:
    """Return what lies between two bounds."""
    return (
        _vector(_vector, _vector, _vector),
        lambda context, builder, signature, args: _clamp(builder, *args),
    )


Matrix = Sequence[Sequence[float]]


def sandwich(matrix: Matrix, ending: bool) -> Callable[..., Any]:
    """Return a function for Numba that computes M · X · Mᵀ for squares of vectors.

    Its arguments: where X begins, bytes from one row and from one column of it to the next; the same of the result.
    With `ending`, then a vector that is added everywhere and the bounds that the sum is brought between.
    """

    def body(builder: Any, args: Sequence[Any]) -> None:
        source, down, across, target, to_down, to_across, *rest = args
        whole = source.type
        given, made = len(matrix[0]), len(matrix)

        def place(first: Any, row: int, pitch: Any, column: int, step: Any) -> Any:
            moved = builder.add(first, builder.mul(pitch, whole(row)))
            return builder.add(moved, builder.mul(step, whole(column)))

        # Column by column first: M · X, then every row of that · Mᵀ.
        half = [
            _products(builder, matrix, [
                _load(builder, place(source, row, down, column, across)) for row in range(given)
            ])
            for column in range(given)
        ]  # fmt: skip
        for row in range(made):
            values = _products(builder, matrix, [half[column][row] for column in range(given)])
            for column, value in enumerate(values):
                if ending:
                    value = _clamp(builder, builder.fadd(value, rest[0]), *rest[1:])
                _store(builder, place(target, row, to_down, column, to_across), value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        body(builder, args)
        return context.get_dummy_value()

    @_intrinsic
    def plain(
        context: Any, source: Any, down: Any, across: Any, target: Any, to_down: Any, to_across: Any
    ) -> Any:
        return types.void(*[types.intp] * 6), generate

    @_intrinsic
    def ended(
        context: Any, source: Any, down: Any, across: Any, target: Any, to_down: Any, to_across: Any,
        offset: Any, low: Any, high: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.intp] * 6, *[_vector] * 3), generate

    return ended if ending else plain


def _products(builder: Any, matrix: Matrix, column: Sequence[Any]) -> list[Any]:
    """Return a matrix times a column of vectors; nothing is multiplied by 0, 1 or -1."""
    result = []
    for row in matrix:
        total = None
        for factor, value in zip(row, column, strict=True):
            if factor == 0:
                continue
            if total is None:
                total = value
                if factor == -1:
                    total = builder.fneg(value)
                elif factor != 1:
                    total = builder.fmul(value, ir.Constant(_KIND, [factor] * LANES))
            elif factor == 1:
                total = builder.fadd(total, value)
            elif factor == -1:
                total = builder.fsub(total, value)
            else:
                total = _fma(builder, value, ir.Constant(_KIND, [factor] * LANES), total)
        result.append(total)
    return result
