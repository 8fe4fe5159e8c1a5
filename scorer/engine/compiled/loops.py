"""A program's operations as loops over 128 rows side by side: states (2^n, 2 x 128), real parts before imaginary ones.

Every innermost loop runs over the rows, and what it reads and writes lies in few rows of arrays, at constant distances
within each: so LLVM turns it into vector instructions (see ``butterflies``). No sum runs across rows, so that a row's
result does not depend on its neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.butterflies import LANES, pairs, transform
from scorer.engine.compiled.encoding import AXIS_X, AXIS_Y, CONSTANT, Gates, Integers, Kind, Terms
from scorer.engine.compiled.jit import compiled, inlined
from scorer.engine.compiled.series import COSINE, SINE

Single = NDArray[np.float32]
#: states (2^n, WIDE), spectrum (2^n, LANES), slots (k, 2^n, WIDE), turns (a, LANES), matrices (runs, 4 LANES) with a
#: run's (re a, im a, re b, im b), and room for one gate (4 LANES).
Workspace = tuple[Single, Single, Single, Single, Single, Single]

# Compiled code knows plain numbers only.
_TABLE, _LOAD, _TURN = int(Kind.TABLE), int(Kind.LOAD), int(Kind.TURN)
_CONSTANT_TURN, _START, _TRANSFORM = int(Kind.CONSTANT_TURN), int(Kind.START), int(Kind.TRANSFORM)
_ROTATE, _ROTATE_REAL = int(Kind.ROTATE), int(Kind.ROTATE_REAL)
_S0, _S1, _S2, _S3, _S4, _S5 = (np.float32(c) for c in SINE)
_C0, _C1, _C2, _C3, _C4, _C5 = (np.float32(c) for c in COSINE)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
#: Added and taken off again, it leaves the nearest whole number.
_ROUND = np.float32(1.5 * 2**23)
_SECOND, _THIRD, _FOURTH = LANES, 2 * LANES, 3 * LANES


@inlined
def _sine(t: np.float32) -> np.float32:
    """sin(pi t) for |t| <= 1/2."""
    w = t * t
    return t * (((((_S5 * w + _S4) * w + _S3) * w + _S2) * w + _S1) * w + _S0)


@inlined
def _cosine(t: np.float32) -> np.float32:
    """cos(pi t) for |t| <= 1/2."""
    w = t * t
    return ((((_C5 * w + _C4) * w + _C3) * w + _C2) * w + _C1) * w + _C0


@compiled
def _copy(source: Single, target: Single) -> None:
    """Copy the first numbers; an assignment of whole arrays compiles for seconds, for the sake of its error message."""
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def _circles(spectrum: Single, slot: Single) -> None:
    """Cosine and sine (2^n, WIDE) of angles in turns (2^n, LANES): reduced, then both from half the angle."""
    for b in range(len(spectrum)):
        turns, out = spectrum[b], slot[b]
        for i in range(LANES):
            t = turns[i]
            t = t - ((t + _ROUND) - _ROUND)
            sine = _sine(t)
            twice = sine + sine
            out[i], out[i + _SECOND] = _ONE - twice * sine, twice * _cosine(t)


@compiled
def _table(slot: Single, work: Workspace, first: int, count: int, terms: Terms, passes: Integers, full: int) -> None:
    """Fill a slot with a diagonal's cosines and sines from its Walsh spectrum: ``count`` terms from ``first``."""
    masks, angles, factors = terms
    spectrum, turns = work[1], work[3]
    spectrum[...] = _ZERO
    for term in range(first, first + count):
        total, factor = spectrum[masks[term]], factors[term]
        if angles[term] < 0:
            for i in range(LANES):
                total[i] += factor
        else:
            x = turns[angles[term]]
            for i in range(LANES):
                total[i] += factor * x[i]
    # Two states of LANES numbers are one of WIDE: behind qubit 0 the others are one lower.
    flat = spectrum.reshape(-1)
    pairs(flat, LANES)
    for k in range(full):
        transform(flat, passes[k, 0], passes[k, 1])
    _circles(spectrum, slot)


@compiled
def _gate(target: Single, turns: Single, kind: int, k: int, angles: Integers, constants: Single) -> None:
    """(a, b) of the gate ``k`` for every row: four times LANES numbers."""
    if kind == CONSTANT:
        for part in range(4):
            target[part * LANES : (part + 1) * LANES] = constants[4 * k + part]
        return
    target[...] = _ZERO
    place, sign = 1, -_ONE
    if kind == AXIS_X:
        place = 3
    elif kind == AXIS_Y:
        place, sign = 2, _ONE
    half = turns[angles[k]]
    sines = target[place * LANES : (place + 1) * LANES]
    for i in range(LANES):
        target[i] = _cosine(half[i])
        sines[i] = sign * _sine(half[i])


@compiled
def _product(run: Single, gate: Single) -> None:
    """The run's matrix becomes the gate's times it: [[a, -b*], [b, a*]] by its first column."""
    for i in range(LANES):
        cr, ci, dr, di = run[i], run[i + _SECOND], run[i + _THIRD], run[i + _FOURTH]
        ar, ai, br, bi = gate[i], gate[i + _SECOND], gate[i + _THIRD], gate[i + _FOURTH]
        run[i] = ar * cr - ai * ci - (br * dr + bi * di)
        run[i + _SECOND] = ar * ci + ai * cr - (br * di - bi * dr)
        run[i + _THIRD] = br * cr - bi * ci + (ar * dr + ai * di)
        run[i + _FOURTH] = br * ci + bi * cr + (ar * di - ai * dr)


@compiled
def _matrices(work: Workspace, runs: Integers, gates: Gates) -> None:
    """(a, b) of every run of gates for every row."""
    kinds, angles, constants = gates
    turns, matrices, gate = work[3], work[4], work[5]
    for run in range(len(runs)):
        _gate(matrices[run], turns, kinds[runs[run, 0]], runs[run, 0], angles, constants)
        for k in range(runs[run, 0] + 1, runs[run, 1]):
            _gate(gate, turns, kinds[k], k, angles, constants)
            _product(matrices[run], gate)


@compiled
def _rotate(states: Single, lows: Integers, flip: int, m: Single) -> None:
    """[[a, -b*], [b, a*]] on the pairs (lows, lows xor flip)."""
    for k in range(len(lows)):
        x, y = states[lows[k]], states[lows[k] ^ flip]
        for i in range(LANES):
            ar, ai, br, bi = m[i], m[i + _SECOND], m[i + _THIRD], m[i + _FOURTH]
            xr, xi, yr, yi = x[i], x[i + _SECOND], y[i], y[i + _SECOND]
            x[i] = ar * xr - ai * xi - (br * yr + bi * yi)
            x[i + _SECOND] = ar * xi + ai * xr - (br * yi - bi * yr)
            y[i] = br * xr - bi * xi + (ar * yr + ai * yi)
            y[i + _SECOND] = br * xi + bi * xr + (ar * yi - ai * yr)


@compiled
def _rotate_real(states: Single, lows: Integers, flip: int, m: Single) -> None:
    """[[a, -b], [b, a]] on the pairs (lows, lows xor flip): what Y rotations are."""
    for k in range(len(lows)):
        x, y = states[lows[k]], states[lows[k] ^ flip]
        for i in range(LANES):
            a, b = m[i], m[i + _THIRD]
            xr, xi, yr, yi = x[i], x[i + _SECOND], y[i], y[i + _SECOND]
            x[i], x[i + _SECOND] = a * xr - b * yr, a * xi - b * yi
            y[i], y[i + _SECOND] = b * xr + a * yr, b * xi + a * yi


@compiled
def _fill(states: Single, lows: Integers, flip: int, m: Single) -> None:
    """[[a, -b*], [b, a*]] on pairs (x, 0); the second places are written without being read."""
    for k in range(len(lows)):
        x, y = states[lows[k]], states[lows[k] ^ flip]
        for i in range(LANES):
            ar, ai, br, bi = m[i], m[i + _SECOND], m[i + _THIRD], m[i + _FOURTH]
            xr, xi = x[i], x[i + _SECOND]
            x[i], x[i + _SECOND] = ar * xr - ai * xi, ar * xi + ai * xr
            y[i], y[i + _SECOND] = br * xr - bi * xi, br * xi + bi * xr


@compiled
def _turn(states: Single, slot: Single) -> None:
    """Multiply by a slot's diagonal."""
    for b in range(len(states)):
        x, c = states[b], slot[b]
        for i in range(LANES):
            xr, xi, cr, ci = x[i], x[i + _SECOND], c[i], c[i + _SECOND]
            x[i], x[i + _SECOND] = xr * cr - xi * ci, xr * ci + xi * cr


@compiled
def _constant_turn(states: Single, numbers: Single) -> None:
    """Multiply every row's amplitudes by a constant vector: its real and imaginary parts in turn."""
    for b in range(len(states)):
        x, cr, ci = states[b], numbers[2 * b], numbers[2 * b + 1]
        for i in range(LANES):
            xr, xi = x[i], x[i + _SECOND]
            x[i], x[i + _SECOND] = xr * cr - xi * ci, xr * ci + xi * cr


@compiled
def _start(states: Single, numbers: Single) -> None:
    """A constant vector becomes every row's amplitudes."""
    for b in range(len(states)):
        states[b, :LANES], states[b, LANES:] = numbers[2 * b], numbers[2 * b + 1]


@compiled
def _store(states: Single, planes: Single) -> None:
    """Write the amplitudes into planes (blocks, 3, 2^n, width): real, imaginary, and their sum."""
    width = planes.shape[3]
    for block in range(len(planes)):
        first = block * width
        for b in range(len(states)):
            x, re, im, both = states[b, first:], planes[block, 0, b], planes[block, 1, b], planes[block, 2, b]
            for i in range(width):
                xr, xi = x[i], x[i + _SECOND]
                re[i], im[i], both[i] = xr, xi, xr + xi


@compiled
def _turn_and_store(states: Single, slot: Single, planes: Single) -> None:
    """Write the amplitudes times a slot's diagonal, as ``_store`` does."""
    width = planes.shape[3]
    for block in range(len(planes)):
        first = block * width
        for b in range(len(states)):
            x, c = states[b, first:], slot[b, first:]
            re, im, both = planes[block, 0, b], planes[block, 1, b], planes[block, 2, b]
            for i in range(width):
                xr, xi, cr, ci = x[i], x[i + _SECOND], c[i], c[i + _SECOND]
                zr, zi = xr * cr - xi * ci, xr * ci + xi * cr
                re[i], im[i], both[i] = zr, zi, zr + zi


@compiled
def run(  # noqa: C901  # one loop over kinds
    work: Workspace,
    angles: Single,
    start: int,
    out: Single,
    operations: Integers,
    terms: Terms,
    passes: Integers,
    full: int,
    places: Integers,
    runs: Integers,
    gates: Gates,
    numbers: Single,
) -> None:
    """Run a program on the rows of ``angles`` (a, ...), in turns, from column ``start``.

    As many rows as ``out`` (blocks, 3, 2^n, width) has. Everything from ``operations`` on: see ``encoding.Encoded``.
    """
    states, slots, turns, matrices = work[0], work[2], work[3], work[4]
    flat = states.reshape(-1)
    blocks = LANES // out.shape[3]
    for first in range(0, len(out), blocks):
        column = start + first * out.shape[3]
        for a in range(len(turns)):
            _copy(angles[a, column:], turns[a])
        _matrices(work, runs, gates)
        last = -1
        for o in range(len(operations)):
            kind, x, y = operations[o, 0], operations[o, 1], operations[o, 2]
            z, u = operations[o, 3], operations[o, 4]
            if kind == _TABLE:
                _table(slots[x], work, y, z, terms, passes, full)
            elif kind == _LOAD:
                _copy(slots[x].reshape(-1), flat)
            elif kind == _TURN and o == len(operations) - 1:
                last = x
            elif kind == _TURN:
                _turn(states, slots[x])
            elif kind == _START:
                _start(states, numbers[x:])
            elif kind == _CONSTANT_TURN:
                _constant_turn(states, numbers[x:])
            elif kind == _TRANSFORM:
                for k in range(x, x + y):
                    transform(flat, passes[k, 0], passes[k, 1])
            elif kind == _ROTATE:
                _rotate(states, places[x : x + y], z, matrices[u])
            elif kind == _ROTATE_REAL:
                _rotate_real(states, places[x : x + y], z, matrices[u])
            else:
                _fill(states, places[x : x + y], z, matrices[u])
        if last < 0:
            _store(states, out[first : first + blocks])
        else:
            _turn_and_store(states, slots[last], out[first : first + blocks])
