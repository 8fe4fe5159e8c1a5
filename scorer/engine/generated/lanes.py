"""The vector instructions of compiled code, each on 16 rows: butterflies, sine and cosine, complex products, Gaussians.

Imported by ``scorer.engine.compiled`` only, and only where numba is installed.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from scorer.engine.compiled.series import COSINE, EXP2, SINE
from scorer.engine.generated.vectors import (
    INT,
    LANES,
    VECTOR,
    Lanes,
    cgutils,
    operation,
    output_operation,
    place,
    scalar_operation,
    spread,
)

#: Bits of a float32 behind its exponent, and what is added to the exponent.
_MANTISSA, _BIAS = 23, 127
#: Below this power of two a float32 loses digits, and a processor takes many cycles for what is left.
_SMALLEST_POWER = -115.0


def _butterflies(*values: Lanes) -> list[Lanes]:
    """The Walsh-Hadamard transform of 2^k values."""
    out, step = list(values), 1
    while step < len(out):
        for i in range(len(out)):
            if not i & step:
                out[i], out[i | step] = out[i] + out[i | step], out[i] - out[i | step]
        step *= 2
    return out


def _circle(turns: Lanes) -> tuple[Lanes, Lanes]:
    """Cosine and sine of angles in turns: reduced to half a turn, then both from half the angle."""
    t = turns - turns.call("rint")
    w = t * t
    sine, cosine = t * w.polynomial(SINE), w.polynomial(COSINE)
    twice = sine + sine
    return t.constant(1.0) - twice * sine, twice * cosine


def _multiply(ar: Lanes, ai: Lanes, br: Lanes, bi: Lanes) -> tuple[Lanes, Lanes]:
    return ar * br - ai * bi, ar * bi + ai * br


def _special_product(
    cr: Lanes, ci: Lanes, dr: Lanes, di: Lanes, ar: Lanes, ai: Lanes, br: Lanes, bi: Lanes
) -> tuple[Lanes, ...]:
    """First column of [[a, -b*], [b, a*]] [[c, -d*], [d, c*]]: (ac - b* d, bc + a* d)."""
    return _rotate(cr, ci, dr, di, ar, ai, br, bi)


def _rotate(
    xr: Lanes, xi: Lanes, yr: Lanes, yi: Lanes, ar: Lanes, ai: Lanes, br: Lanes, bi: Lanes
) -> tuple[Lanes, ...]:
    """[[a, -b*], [b, a*]] on the pair (x, y)."""
    return (
        ar * xr - ai * xi - (br * yr + bi * yi),
        ar * xi + ai * xr - (br * yi - bi * yr),
        br * xr - bi * xi + (ar * yr + ai * yi),
        br * xi + bi * xr + (ar * yi - ai * yr),
    )


def _rotate_real(xr: Lanes, xi: Lanes, yr: Lanes, yi: Lanes, a: Lanes, b: Lanes) -> tuple[Lanes, ...]:
    """As ``_rotate`` where a and b are real, as they are for Y rotations."""
    return a * xr - b * yr, a * xi - b * yi, b * xr + a * yr, b * xi + a * yi


def power_of_two(exponent: Lanes) -> Lanes:
    """2^t; below 2^-115 it stays there."""
    builder = exponent.builder
    t = exponent.call("maxnum", exponent.constant(_SMALLEST_POWER))
    whole = t.call("rint")
    integers = ir.VectorType(INT, LANES)
    raised = builder.add(builder.fptosi(whole.value, integers), ir.Constant(integers, [_BIAS] * LANES))
    bits = builder.shl(raised, ir.Constant(integers, [_MANTISSA] * LANES))
    return (t - whole).polynomial(EXP2) * Lanes(builder, builder.bitcast(bits, t.value.type))


def _fill(ar: Lanes, ai: Lanes, br: Lanes, bi: Lanes, xr: Lanes, xi: Lanes) -> tuple[Lanes, ...]:
    """[[a, -b*], [b, a*]] on the pair (x, 0)."""
    return ar * xr - ai * xi, ar * xi + ai * xr, br * xr - bi * xi, br * xi + bi * xr


hadamard2, hadamard4, hadamard8, hadamard16 = (operation(k, range(k), _butterflies) for k in (2, 4, 8, 16))
#: (turns, cosine, sine): writes the last two.
circle = operation(1, (1, 2), _circle)
#: As above for half the angle, which must be within half a turn.
half_circle = operation(1, (1, 2), lambda t: (((t * t).polynomial(COSINE)), t * (t * t).polynomial(SINE)))
#: (re, im, re, im): the first number times the second, in place.
multiply = operation(4, (0, 1), _multiply)
#: (re, im), (numbers, index): times a constant.
multiply_constant = scalar_operation(2, (0, 1), 2, _multiply)
#: (sum, x), (numbers, index): sum + constant * x.
accumulate = scalar_operation(2, (0,), 1, lambda total, x, factor: [total + factor * x])
#: (sum,), (numbers, index): sum + constant.
shift = scalar_operation(1, (0,), 1, lambda total, constant: [total + constant])
#: Constants in all lanes.
spread2 = scalar_operation(0, (0, 1), 2, lambda *numbers: numbers)
spread4 = scalar_operation(0, (0, 1, 2, 3), 4, lambda *numbers: numbers)
#: (a, b, c, d) as eight offsets: the first matrix becomes the second times the first.
special_product = operation(8, (0, 1, 2, 3), _special_product)
#: (x, y, a, b) as eight offsets: the pair in place.
rotate = operation(8, (0, 1, 2, 3), _rotate)
#: (x, y, a, b) as six offsets.
rotate_real = operation(6, (0, 1, 2, 3), _rotate_real)
#: (a, b, x, y) as eight offsets, y not read.
fill = operation(6, (4, 5, 6, 7), _fill)
copy = operation(1, (1,), lambda x: [x])
negative = operation(1, (1,), lambda x: [x.constant(0.0) - x])
#: (target): zeros; the operand is read for its type alone.
zero = operation(1, (0,), lambda x: [x.constant(0.0)])
#: (re, im) -> re, im, re + im.
store = output_operation(2, lambda x, y: (x, y, x + y))


def _multiply_sum(ar: Lanes, ai: Lanes, br: Lanes, bi: Lanes) -> tuple[Lanes, ...]:
    x, y = _multiply(ar, ai, br, bi)
    return x, y, x + y


#: (re, im, re, im): the product, and the sum of its parts.
multiply_store = output_operation(4, _multiply_sum)


#: Supports whose exponents grow side by side, so that each row's number is loaded once for all of them.
ABREAST = 4


@intrinsic
def gaussians(_typing: Any, workspace: Any, places: Any, terms: Any) -> Any:
    """f(workspace, (total, columns), (table, coefficients, count)): sum_j coefficient_j 2^(table_j . columns).

    ``table``: float32 (M, count), flat, M a multiple of ABREAST; ``columns``: ``count`` vectors that lie side by side.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w = context.make_array(signature.args[0])(context, builder, arguments[0])
        parts = cgutils.unpack_tuple(builder, arguments[2])
        table, weights = (context.make_array(signature.args[2][k])(context, builder, parts[k]) for k in range(2))
        count = parts[2]
        target, columns = cgutils.unpack_tuple(builder, arguments[1])
        total = cgutils.alloca_once(builder, VECTOR)
        builder.store(ir.Constant(VECTOR, [0.0] * LANES), total)
        supports = builder.extract_value(weights.shape, 0)
        with cgutils.for_range_slice(builder, supports.type(0), supports, supports.type(ABREAST)) as (j, _):
            exponents = _exponents(builder, w, table, (j, count, columns))
            for k, exponent in enumerate(exponents):
                weight = spread(builder, builder.load(builder.gep(weights.data, [builder.add(j, j.type(k))])))
                term = weight * power_of_two(Lanes(builder, builder.load(exponent)))
                builder.store((Lanes(builder, builder.load(total)) + term).value, total)
        builder.store(builder.load(total), place(builder, w, target), align=4)
        return context.get_dummy_value()

    return types.void(workspace, places, terms), generate


def _exponents(builder: Any, w: Any, table: Any, at: tuple[Any, Any, Any]) -> list[Any]:
    """Variables that hold table_(j + k) . columns for k below ABREAST."""
    j, count, columns = at
    exponents = [cgutils.alloca_once(builder, VECTOR) for _ in range(ABREAST)]
    for exponent in exponents:
        builder.store(ir.Constant(VECTOR, [0.0] * LANES), exponent)
    with cgutils.for_range(builder, count) as loop:
        offset = builder.add(columns, builder.mul(loop.index, loop.index.type(LANES)))
        column = Lanes(builder, builder.load(place(builder, w, offset), align=4))
        for k, exponent in enumerate(exponents):
            row = builder.mul(builder.add(j, j.type(k)), count)
            number = builder.load(builder.gep(table.data, [builder.add(row, loop.index)]))
            sum_ = Lanes(builder, builder.load(exponent)) + spread(builder, number) * column
            builder.store(sum_.value, exponent)
    return exponents
