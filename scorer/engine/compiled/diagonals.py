"""Loops over diagonals: their cosines and sines from a Walsh spectrum, and amplitudes multiplied by them.

Arrays are flat, ``lanes`` rows side by side behind each basis state, real parts and imaginary ones in arrays of their
own. So a loop runs over all amplitudes at once, and LLVM checks once that what it writes overlaps nothing it reads.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.butterflies import transform
from scorer.engine.compiled.encoding import Integers, Terms
from scorer.engine.compiled.jit import compiled, inlined
from scorer.engine.compiled.series import COSINE, SINE

Array = NDArray[np.float64]
Single = NDArray[np.float32]

_TURNS = 1.0 / (2.0 * math.pi)
# Compiled code knows plain numbers only.
_S0, _S1, _S2, _S3, _S4 = (np.float32(c) for c in SINE)
_C0, _C1, _C2, _C3, _C4, _C5 = (np.float32(c) for c in COSINE)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
#: Added and taken off again, it leaves the nearest whole number.
_ROUND = np.float32(1.5 * 2**23)


@inlined
def sine(t: np.float32) -> np.float32:
    """Compute sin(pi t) for |t| <= 1/2."""
    w = t * t
    return t * ((((_S4 * w + _S3) * w + _S2) * w + _S1) * w + _S0)


@inlined
def cosine(t: np.float32) -> np.float32:
    """Compute cos(pi t) for |t| <= 1/2."""
    w = t * t
    return ((((_C5 * w + _C4) * w + _C3) * w + _C2) * w + _C1) * w + _C0


@compiled
def reduced(angles: Array, out: Single) -> None:
    """Write angles, radians, in turns, within half a turn of zero; both flat."""
    for i in range(len(angles)):
        turns = angles[i] * _TURNS
        out[i] = np.float32(turns - np.rint(turns))


@compiled
def _circles(spectrum: Single, cosines: Single, sines: Single) -> None:
    """Cosine and sine of angles in turns: reduced, then both from half the angle."""
    for i in range(len(spectrum)):
        t = spectrum[i]
        t = t - ((t + _ROUND) - _ROUND)
        half = sine(t)
        twice = half + half
        cosines[i] = _ONE - twice * half
        sines[i] = twice * cosine(t)


@compiled
def table(
    slot: Single, spectrum: Single, turns: Single, first: int, count: int, terms: Terms, passes: Integers
) -> None:
    """Fill a slot (2, 2^n lanes) with a diagonal's cosines and sines from ``count`` terms, the first at ``first``.

    ``spectrum``: room (2^n lanes,). ``turns``: angles (a, lanes) in turns. ``passes``: those of a whole transform.
    """
    masks, angles, factors = terms
    lanes = turns.shape[1]
    spectrum[...] = _ZERO
    for term in range(first, first + count):
        place, factor = masks[term] * lanes, factors[term]
        total = spectrum[place : place + lanes]
        if angles[term] < 0:
            for i in range(lanes):
                total[i] += factor
        else:
            x = turns[angles[term]]
            for i in range(lanes):
                total[i] += factor * x[i]
    transform(spectrum[:0], spectrum, passes, lanes)
    _circles(spectrum, slot[0], slot[1])


@compiled
def turn(states: Single, slot: Single) -> None:
    """Multiply amplitudes (2, 2^n lanes) by a slot's diagonal."""
    re, im, cosines, sines = states[0], states[1], slot[0], slot[1]
    for i in range(len(re)):
        xr, xi, cr, ci = re[i], im[i], cosines[i], sines[i]
        re[i], im[i] = xr * cr - xi * ci, xr * ci + xi * cr


@compiled
def constant_turn(states: Single, numbers: Single, lanes: int) -> None:
    """Multiply every row's amplitudes by a constant vector: its real and imaginary parts in turn."""
    for b in range(states.shape[1] // lanes):
        re, im = states[0, b * lanes : (b + 1) * lanes], states[1, b * lanes : (b + 1) * lanes]
        cr, ci = numbers[2 * b], numbers[2 * b + 1]
        for i in range(lanes):
            xr, xi = re[i], im[i]
            re[i], im[i] = xr * cr - xi * ci, xr * ci + xi * cr


@compiled
def summed(states: Single, both: Single) -> None:
    """Write real plus imaginary parts (2^n lanes,)."""
    re, im = states[0], states[1]
    for i in range(len(re)):
        both[i] = re[i] + im[i]


@compiled
def turn_summed(states: Single, slot: Single, both: Single) -> None:
    """Multiply by a slot's diagonal, and write real plus imaginary parts (2^n lanes,)."""
    re, im, cosines, sines = states[0], states[1], slot[0], slot[1]
    for i in range(len(re)):
        xr, xi, cr, ci = re[i], im[i], cosines[i], sines[i]
        zr, zi = xr * cr - xi * ci, xr * ci + xi * cr
        re[i], im[i], both[i] = zr, zi, zr + zi
