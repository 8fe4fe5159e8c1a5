"""How vector instructions for compiled code are written: 16 rows side by side, one workspace, offsets instead of views.

Numba turns loops into vector code only where it can prove that memory does not overlap, which it cannot for a butterfly
in place. So each operation here is written out as LLVM vectors of 16 numbers: it reads every operand at its offset into
one float32 workspace, then writes its results. LLVM cuts the vectors into whatever the processor has.

The operations themselves are in ``scorer.engine.generated.lanes``. Both need numba; only ``scorer.engine.compiled`` loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba.core.cgutils
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

cgutils: Any = numba.core.cgutils

#: Rows that one vector holds.
LANES = 16

INT = ir.IntType(32)
#: Multiply and add may become one instruction; nothing else about the arithmetic is relaxed.
_FLAGS = ("contract",)


class Lanes:
    """16 numbers of an operation under construction, with the operators of arithmetic."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, other.value, flags=_FLAGS))

    def __sub__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, other.value, flags=_FLAGS))

    def __mul__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, other.value, flags=_FLAGS))

    def constant(self, number: float) -> Lanes:
        """16 times the same number, of the same type."""
        return Lanes(self.builder, ir.Constant(self.value.type, [number] * LANES))

    def call(self, name: str, *others: Lanes) -> Lanes:
        """An LLVM function on vectors, such as ``rint`` or ``maxnum``."""
        kind = self.value.type
        signature = ir.FunctionType(kind, [kind] * (1 + len(others)))
        function = cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.{name}.v{LANES}f32")
        return Lanes(self.builder, self.builder.call(function, [self.value, *(other.value for other in others)]))

    def polynomial(self, coefficients: Sequence[float]) -> Lanes:
        """Horner's rule; coefficients by rising power."""
        total = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = total * self + self.constant(coefficient)
        return total


VECTOR = ir.VectorType(ir.FloatType(), LANES)
Body = Callable[..., Sequence[Lanes]]


def operation(reads: int, writes: Sequence[int], body: Body) -> Any:
    """A function f(workspace, (offset_0, offset_1, ...)) for compiled code.

    ``body`` gets the ``reads`` operands at the first offsets and returns what is written at the offsets whose positions
    are ``writes``: those of operands, or ones behind them.
    """

    def typed(_typing: Any, workspace: Any, places: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _emit(context, builder, signature, arguments, reads, writes, body, 0)

        return types.void(workspace, places), generate

    return intrinsic(typed)


def scalar_operation(reads: int, writes: Sequence[int], scalars: int, body: Body) -> Any:
    """As ``operation``: f(workspace, (offset_0, ...), (numbers, index)).

    Behind its operands ``body`` gets ``scalars`` numbers, in all lanes, that start at the index.
    """

    def typed(_typing: Any, workspace: Any, places: Any, source: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _emit(context, builder, signature, arguments, reads, writes, body, scalars)

        return types.void(workspace, places, source), generate

    return intrinsic(typed)


def output_operation(reads: int, body: Body) -> Any:
    """As ``operation``: f(workspace, (offset_0, ...), (output, index_0, ...)), written to another array, one axis."""

    def typed(_typing: Any, workspace: Any, places: Any, target: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            w = context.make_array(signature.args[0])(context, builder, arguments[0])
            parts = cgutils.unpack_tuple(builder, arguments[2])
            out = context.make_array(signature.args[2][0])(context, builder, parts[0])
            operands = [
                Lanes(builder, builder.load(place(builder, w, builder.extract_value(arguments[1], k)), align=4))
                for k in range(reads)
            ]
            for index, result in zip(parts[1:], body(*operands), strict=True):
                builder.store(result.value, place(builder, out, index), align=4)
            return context.get_dummy_value()

        return types.void(workspace, places, target), generate

    return intrinsic(typed)


def place(builder: Any, array: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(array.data, [offset]), VECTOR.as_pointer())


def _emit(
    context: Any,
    builder: Any,
    signature: Any,
    arguments: Any,
    reads: int,
    writes: Sequence[int],
    body: Body,
    scalars: int,
) -> Any:
    """Reads, then the body, then writes."""
    workspace = context.make_array(signature.args[0])(context, builder, arguments[0])

    def at(k: int) -> Any:
        return place(builder, workspace, builder.extract_value(arguments[1], k))

    operands = [Lanes(builder, builder.load(at(k), align=4)) for k in range(reads)]
    if scalars:
        numbers = context.make_array(signature.args[2][0])(context, builder, builder.extract_value(arguments[2], 0))
        first = builder.extract_value(arguments[2], 1)
        for k in range(scalars):
            index = builder.add(first, ir.Constant(first.type, k))
            operands.append(spread(builder, builder.load(builder.gep(numbers.data, [index]))))
    for position, result in zip(writes, body(*operands), strict=True):
        builder.store(result.value, at(position), align=4)
    return context.get_dummy_value()


def spread(builder: Any, number: Any) -> Lanes:
    """The number in all lanes."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(INT, 0))
    mask = ir.Constant(ir.VectorType(INT, LANES), [0] * LANES)
    return Lanes(builder, builder.shuffle_vector(first, undefined, mask))
