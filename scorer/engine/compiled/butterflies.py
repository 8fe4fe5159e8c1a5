"""The Walsh-Hadamard transform in place, without its norm: one pass over memory for up to three neighbouring qubits.

LLVM turns a loop into vector instructions where it can prove that what is written does not overlap what is read. The
numbers of a butterfly lie ``stride`` apart in one array. Where the stride is a constant of the compiled loop, that is
proof enough; where it is not, a check is needed before each loop, and LLVM makes it for four places but not for eight.
So passes over three qubits begin at qubits 0, 3, 6, 9 and 12, each with its own constant stride; others take one or
two qubits. Passes over low qubits are done block by block, each block in the nearest cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.jit import compiled, inlined

Single = NDArray[np.float32]
Integers = NDArray[np.int64]
Eight = tuple[np.float32, np.float32, np.float32, np.float32, np.float32, np.float32, np.float32, np.float32]

#: Rows side by side: MANY, so that loops over rows alone are long; FEW, where the amplitudes of many would fill memory.
FEW, MANY = 16, 128
#: Numbers of a block: 32 KiB.
_BLOCK = 1 << 13


@inlined
def _mixed(
    a: np.float32,
    b: np.float32,
    c: np.float32,
    d: np.float32,
    e: np.float32,
    f: np.float32,
    g: np.float32,
    h: np.float32,
) -> Eight:
    """Transform three qubits of one row."""
    a, b, c, d, e, f, g, h = a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h
    a, b, c, d, e, f, g, h = a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h
    return a + e, b + f, c + g, d + h, a - e, b - f, c - g, d - h


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
                a, b, c, d, e, f, g, h = _mixed(a, b, c, d, e, f, g, h)
                p[i], p[i + second], p[i + third], p[i + fourth] = a, b, c, d
                p[i + fifth], p[i + sixth], p[i + seventh], p[i + eighth] = e, f, g, h

    return transform


def _eights_from(stride: int) -> Callable[[Single, Single], None]:
    """Make ``_eights`` for a pass from one array into another."""
    second, third, fourth = stride, 2 * stride, 3 * stride
    fifth, sixth, seventh, eighth = 4 * stride, 5 * stride, 6 * stride, 7 * stride

    @compiled
    def transform(source: Single, target: Single) -> None:
        for first in range(0, len(target), 8 * stride):
            p, q = source[first : first + 8 * stride], target[first : first + 8 * stride]
            for i in range(stride):
                a, b, c, d = p[i], p[i + second], p[i + third], p[i + fourth]
                e, f, g, h = p[i + fifth], p[i + sixth], p[i + seventh], p[i + eighth]
                a, b, c, d, e, f, g, h = _mixed(a, b, c, d, e, f, g, h)
                q[i], q[i + second], q[i + third], q[i + fourth] = a, b, c, d
                q[i + fifth], q[i + sixth], q[i + seventh], q[i + eighth] = e, f, g, h

    return transform


# FEW rows from qubit 0, 3, 6, 9 and 12; MANY from qubit 0, 3, 6 and 9.
_S0, _S1, _S2, _S3, _S4 = (FEW << qubit for qubit in (0, 3, 6, 9, 12))
_eights_0, _eights_1, _eights_2, _eights_3, _eights_4 = (_eights(stride) for stride in (_S0, _S1, _S2, _S3, _S4))
_few_from, _many_from = _eights_from(FEW), _eights_from(MANY)


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
def _twos(flat: Single, stride: int) -> None:
    """A pass over one qubit."""
    for first in range(0, len(flat), 2 * stride):
        zero, one = flat[first : first + stride], flat[first + stride : first + 2 * stride]
        for i in range(stride):
            a, b = zero[i], one[i]
            zero[i], one[i] = a + b, a - b


@compiled
def one_pass(flat: Single, stride: int, qubits: int) -> None:
    """Transform 1 to 3 neighbouring qubits of numbers given flat; the lowest one's two values lie ``stride`` apart."""
    if qubits == 3 and stride == _S0:
        _eights_0(flat)
    elif qubits == 3 and stride == _S1:
        _eights_1(flat)
    elif qubits == 3 and stride == _S2:
        _eights_2(flat)
    elif qubits == 3 and stride == _S3:
        _eights_3(flat)
    elif qubits == 3 and stride == _S4:
        _eights_4(flat)
    else:
        if qubits > 1:
            _fours(flat, stride)
        if qubits != 2:
            _twos(flat, stride << qubits - 1)


@compiled
def transform(source: Single, flat: Single, passes: Integers, lanes: int) -> None:
    """Transform numbers ``flat`` of ``lanes`` rows side by side by ``passes`` (lowest qubit, qubits), lowest first.

    Where ``source`` is not empty, its numbers are transformed into ``flat``; the first pass is then (0, 3).
    """
    near = 0
    while near < len(passes) and lanes << (passes[near, 0] + passes[near, 1]) <= _BLOCK:
        near += 1
    size = min(_BLOCK, len(flat)) if near else len(flat)
    begun = 1 if len(source) else 0
    for first in range(0, len(flat), size):
        block = flat[first : first + size]
        if begun and lanes == FEW:
            _few_from(source[first : first + size], block)
        elif begun:
            _many_from(source[first : first + size], block)
        for k in range(begun, near):
            one_pass(block, lanes << passes[k, 0], passes[k, 1])
    for k in range(near, len(passes)):
        one_pass(flat, lanes << passes[k, 0], passes[k, 1])
