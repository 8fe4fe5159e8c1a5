"""The Walsh-Hadamard transform in place, without its norm: one pass over memory for up to three neighbouring qubits.

LLVM turns a loop into vector instructions where it can prove that what is written does not overlap what is read. The
numbers of a butterfly lie ``stride`` apart in one array. Where the stride is a constant of the compiled loop, that is
proof enough; where it is not, a check is needed before each loop, and LLVM makes it for four places but not for eight.
So passes over three qubits begin at qubits 0, 3 and 6, each with its own constant stride; others take one or two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.jit import compiled

Single = NDArray[np.float32]

#: Rows side by side: a multiple of every processor's vectors, and enough for a loop to be worth its checks.
LANES = 128
#: Real parts of LANES rows, then imaginary ones.
WIDE = 2 * LANES


def _eights(stride: int) -> Callable[[Single], None]:
    """A pass over three qubits, for whose lowest two values lie ``stride`` numbers apart: a constant."""
    second, third, fourth = stride, 2 * stride, 3 * stride
    fifth, sixth, seventh, eighth = 4 * stride, 5 * stride, 6 * stride, 7 * stride

    @compiled
    def transform(flat: Single) -> None:
        for first in range(0, len(flat), 8 * stride):
            p = flat[first : first + 8 * stride]
            for i in range(stride):
                a, b, c, d = p[i], p[i + second], p[i + third], p[i + fourth]
                e, f, g, h = p[i + fifth], p[i + sixth], p[i + seventh], p[i + eighth]
                a, b, c, d, e, f, g, h = a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h
                a, b, c, d, e, f, g, h = a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h
                p[i], p[i + second], p[i + third], p[i + fourth] = a + e, b + f, c + g, d + h
                p[i + fifth], p[i + sixth], p[i + seventh], p[i + eighth] = a - e, b - f, c - g, d - h

    return transform


_eights_at_0, _eights_at_3, _eights_at_6 = (_eights(WIDE << qubit) for qubit in (0, 3, 6))


@compiled
def _fours(flat: Single, stride: int) -> None:
    """A pass over two qubits."""
    for first in range(0, len(flat), 4 * stride):
        p, q = flat[first : first + stride], flat[first + stride : first + 2 * stride]
        r, s = flat[first + 2 * stride : first + 3 * stride], flat[first + 3 * stride : first + 4 * stride]
        for i in range(stride):
            a, b, c, d = p[i], q[i], r[i], s[i]
            a, b, c, d = a + b, a - b, c + d, c - d
            p[i], q[i], r[i], s[i] = a + c, b + d, a - c, b - d


@compiled
def pairs(flat: Single, stride: int) -> None:
    """Transform one qubit of numbers given flat, (groups * 2 * stride,): its two values lie ``stride`` apart."""
    for first in range(0, len(flat), 2 * stride):
        zero, one = flat[first : first + stride], flat[first + stride : first + 2 * stride]
        for i in range(stride):
            a, b = zero[i], one[i]
            zero[i], one[i] = a + b, a - b


@compiled
def transform(flat: Single, low: int, qubits: int) -> None:
    """Transform 1 to 3 neighbouring qubits, the lowest of them ``low``, of numbers (2^n, WIDE) that are given flat."""
    if qubits == 3 and low == 0:
        _eights_at_0(flat)
    elif qubits == 3 and low == 3:
        _eights_at_3(flat)
    elif qubits == 3 and low == 6:
        _eights_at_6(flat)
    else:
        if qubits > 1:
            _fours(flat, WIDE << low)
        if qubits != 2:
            pairs(flat, WIDE << low + qubits - 1)
