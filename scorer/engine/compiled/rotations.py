"""Loops over runs of one-qubit gates, a matrix of its own for every row: [[a, -b*], [b, a*]], by its first column.

A run's matrix is (4, lanes): re a, im a, re b, im b. Amplitudes are (2, 2^n lanes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.diagonals import cosine, sine
from scorer.engine.compiled.encoding import AXIS_X, AXIS_Y, CONSTANT, Gates, Integers
from scorer.engine.compiled.jit import compiled

Single = NDArray[np.float32]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@compiled
def _gate(target: Single, turns: Single, kind: int, k: int, angles: Integers, constants: Single) -> None:
    """(a, b) of the gate ``k`` for every row."""
    if kind == CONSTANT:
        for part in range(4):
            target[part] = constants[4 * k + part]
        return
    target[...] = _ZERO
    place, sign = 1, -_ONE
    if kind == AXIS_X:
        place = 3
    elif kind == AXIS_Y:
        place, sign = 2, _ONE
    half, cosines, sines = turns[angles[k]], target[0], target[place]
    for i in range(len(half)):
        cosines[i] = cosine(half[i])
        sines[i] = sign * sine(half[i])


@compiled
def _product(run: Single, gate: Single) -> None:
    """The run's matrix becomes the gate's times it."""
    cre, cim, dre, dim = run[0], run[1], run[2], run[3]
    are, aim, bre, bim = gate[0], gate[1], gate[2], gate[3]
    for i in range(len(cre)):
        cr, ci, dr, di = cre[i], cim[i], dre[i], dim[i]
        ar, ai, br, bi = are[i], aim[i], bre[i], bim[i]
        cre[i] = ar * cr - ai * ci - (br * dr + bi * di)
        cim[i] = ar * ci + ai * cr - (br * di - bi * dr)
        dre[i] = br * cr - bi * ci + (ar * dr + ai * di)
        dim[i] = br * ci + bi * cr + (ar * di - ai * dr)


@compiled
def matrices(out: Single, gate: Single, turns: Single, runs: Integers, gates: Gates) -> None:
    """Write the matrix of every run of gates for every row: (runs, 4, lanes). ``gate``: room for one (4, lanes)."""
    kinds, angles, constants = gates
    for run in range(len(runs)):
        _gate(out[run], turns, kinds[runs[run, 0]], runs[run, 0], angles, constants)
        for k in range(runs[run, 0] + 1, runs[run, 1]):
            _gate(gate, turns, kinds[k], k, angles, constants)
            _product(out[run], gate)


@compiled
def rotate(states: Single, lows: Integers, flip: int, matrix: Single) -> None:
    """Apply a run's matrix to the pairs (lows, lows xor flip)."""
    re, im = states[0], states[1]
    are, aim, bre, bim = matrix[0], matrix[1], matrix[2], matrix[3]
    lanes = len(are)
    for k in range(len(lows)):
        low, high = lows[k] * lanes, (lows[k] ^ flip) * lanes
        xre, xim, yre, yim = (
            re[low : low + lanes],
            im[low : low + lanes],
            re[high : high + lanes],
            im[high : high + lanes],
        )
        for i in range(lanes):
            ar, ai, br, bi = are[i], aim[i], bre[i], bim[i]
            xr, xi, yr, yi = xre[i], xim[i], yre[i], yim[i]
            xre[i] = ar * xr - ai * xi - (br * yr + bi * yi)
            xim[i] = ar * xi + ai * xr - (br * yi - bi * yr)
            yre[i] = br * xr - bi * xi + (ar * yr + ai * yi)
            yim[i] = br * xi + bi * xr + (ar * yi - ai * yr)


@compiled
def rotate_real(states: Single, lows: Integers, flip: int, matrix: Single) -> None:
    """Apply [[a, -b], [b, a]] to the pairs (lows, lows xor flip): what Y rotations are."""
    cosines, sines = matrix[0], matrix[2]
    lanes = len(cosines)
    for part in range(2):
        plane = states[part]
        for k in range(len(lows)):
            low, high = lows[k] * lanes, (lows[k] ^ flip) * lanes
            x, y = plane[low : low + lanes], plane[high : high + lanes]
            for i in range(lanes):
                a, b, zero, one = cosines[i], sines[i], x[i], y[i]
                x[i], y[i] = a * zero - b * one, b * zero + a * one


@compiled
def fill(states: Single, lows: Integers, flip: int, matrix: Single) -> None:
    """Apply a run's matrix to pairs (x, 0); the second places are written without being read."""
    re, im = states[0], states[1]
    are, aim, bre, bim = matrix[0], matrix[1], matrix[2], matrix[3]
    lanes = len(are)
    for k in range(len(lows)):
        low, high = lows[k] * lanes, (lows[k] ^ flip) * lanes
        xre, xim, yre, yim = (
            re[low : low + lanes],
            im[low : low + lanes],
            re[high : high + lanes],
            im[high : high + lanes],
        )
        for i in range(lanes):
            ar, ai, br, bi, xr, xi = are[i], aim[i], bre[i], bim[i], xre[i], xim[i]
            xre[i], xim[i] = ar * xr - ai * xi, ar * xi + ai * xr
            yre[i], yim[i] = br * xr - bi * xi, br * xi + bi * xr
