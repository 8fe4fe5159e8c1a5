"""Compiled code for a program on a chunk of rows, and for sums of Gaussians: 16 rows at a time, in the nearest cache.

Needs numba (the extra ``fast``). Imported only when a process asks for it (``scorer.engine.fast.enable_compiled``),
because loading the compiler takes part of a second. What was compiled is kept below the package's ``__pycache__``, in a
folder named after the sources' digest (numba itself would look at the age of this one file only). Who can write there
can change the program anyway; where this process cannot, it compiles for itself, which takes some seconds.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from scorer.circuits.expressions import feature
from scorer.circuits.plan import Hadamards, Local, Phases, Plan
from scorer.engine.compiled.loops import weighed
from scorer.engine.generated import lanes
from scorer.engine.generated.encoding import AXIS_X, AXIS_Y, CONSTANT, Kind, encoded
from scorer.engine.generated.lanes import ABREAST
from scorer.engine.program import SLOTS, Program, prepared
from scorer.engine.generated.vectors import LANES

Array = NDArray[np.float64]
Single = NDArray[np.float32]

#: Amplitudes at a time: what is written here is read by a matrix product next, from the second-level cache.
_AMPLITUDES = 1 << 14
_FEWEST_ROWS, _MOST_ROWS = 128, 256
_GAUSSIAN_CHUNK = 512
_TURN = 2.0 * math.pi

# Compiled code knows plain integers only.
_TABLE, _LOAD, _TURN_KIND = int(Kind.TABLE), int(Kind.LOAD), int(Kind.TURN)
_CONSTANT_TURN, _START, _TRANSFORM = int(Kind.CONSTANT_TURN), int(Kind.START), int(Kind.TRANSFORM)
_ROTATE, _ROTATE_REAL = int(Kind.ROTATE), int(Kind.ROTATE_REAL)
_sum: Any = lanes.gaussians


def _cache_folder() -> Path | None:
    """Where compiled code is kept; None where nothing can be written."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.glob("*.py")):
        digest.update(source.read_bytes())
    folder = package / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


_CACHE = _cache_folder()
if _CACHE is not None:
    _settings: Any = numba.config
    _settings.CACHE_DIR = str(_CACHE)


def _jit(function: Callable[..., Any]) -> Any:
    return numba.njit(nogil=True, cache=_CACHE is not None)(function)


# Arguments of compiled functions have the types that CompiledStates and CompiledGaussians give them, always the same.
# ``w`` is the workspace; names of places in it are offsets.


@_jit
def _transform(w, base, qubit, size, states):  # type: ignore[no-untyped-def]
    """One pass of butterflies over ``size`` neighbouring qubits, 1 to 4, the lowest of them ``qubit``."""
    step = 1 << qubit
    h = LANES * step
    for group in range(0, states, step << size):
        for b in range(group, group + step):
            o = base + b * LANES
            p, q, r = o + 4 * h, o + 8 * h, o + 12 * h
            if size == 4:
                first = (o, o + h, o + 2 * h, o + 3 * h, p, p + h, p + 2 * h, p + 3 * h)
                lanes.hadamard16(w, (*first, q, q + h, q + 2 * h, q + 3 * h, r, r + h, r + 2 * h, r + 3 * h))
            elif size == 3:
                lanes.hadamard8(w, (o, o + h, o + 2 * h, o + 3 * h, p, p + h, p + 2 * h, p + 3 * h))
            elif size == 2:
                lanes.hadamard4(w, (o, o + h, o + 2 * h, o + 3 * h))
            else:
                lanes.hadamard2(w, (o, o + h))


@_jit
def _table(w, slot, spectrum, turns, chosen, terms, passes, states):  # type: ignore[no-untyped-def]
    """Cosine and sine of a diagonal from its Walsh spectrum."""
    masks, angles, factors = terms
    plane = states * LANES
    for b in range(states):
        lanes.zero(w, (spectrum + b * LANES,))
    for term in range(chosen[0], chosen[0] + chosen[1]):
        place = spectrum + masks[term] * LANES
        if angles[term] < 0:
            lanes.shift(w, (place,), (factors, term))
        else:
            lanes.accumulate(w, (place, turns + angles[term] * LANES), (factors, term))
    for k in range(len(passes)):
        _transform(w, spectrum, passes[k, 0], passes[k, 1], states)
    for b in range(states):
        lanes.circle(w, (spectrum + b * LANES, slot + b * LANES, slot + plane + b * LANES))


@_jit
def _gate(w, target, turns, scratch, kind, k, angles, constants):  # type: ignore[no-untyped-def]
    """(a, b) of one gate: four vectors at ``target``. ``scratch``: room for two."""
    if kind == CONSTANT:
        lanes.spread4(w, (target, target + LANES, target + 2 * LANES, target + 3 * LANES), (constants, 4 * k))
        return
    cosine, sine = scratch, scratch + LANES
    lanes.half_circle(w, (turns + angles[k] * LANES, cosine, sine))
    for part in range(4):
        lanes.zero(w, (target + part * LANES,))
    lanes.copy(w, (cosine, target))
    if kind == AXIS_Y:
        lanes.copy(w, (sine, target + 2 * LANES))
    elif kind == AXIS_X:
        lanes.negative(w, (sine, target + 3 * LANES))
    else:
        lanes.negative(w, (sine, target + LANES))


@_jit
def _matrices(w, matrices, scratch, turns, runs, gates):  # type: ignore[no-untyped-def]
    """(a, b) of every run of gates: four vectors each at ``matrices``. ``scratch``: room for six."""
    kinds, angles, constants = gates
    for run in range(len(runs)):
        t = matrices + 4 * LANES * run
        _gate(w, t, turns, scratch + 4 * LANES, kinds[runs[run, 0]], runs[run, 0], angles, constants)
        for k in range(runs[run, 0] + 1, runs[run, 1]):
            s = scratch
            _gate(w, s, turns, scratch + 4 * LANES, kinds[k], k, angles, constants)
            first = (t, t + LANES, t + 2 * LANES, t + 3 * LANES)
            lanes.special_product(w, (*first, s, s + LANES, s + 2 * LANES, s + 3 * LANES))


@_jit
def _rotate(w, re, im, lows, flip, matrix, kind):  # type: ignore[no-untyped-def]
    ar, ai, br, bi = matrix, matrix + LANES, matrix + 2 * LANES, matrix + 3 * LANES
    for k in range(len(lows)):
        low, high = lows[k] * LANES, (lows[k] ^ flip) * LANES
        if kind == _ROTATE_REAL:
            lanes.rotate_real(w, (re + low, im + low, re + high, im + high, ar, br))
        elif kind == _ROTATE:
            lanes.rotate(w, (re + low, im + low, re + high, im + high, ar, ai, br, bi))
        else:
            lanes.fill(w, (ar, ai, br, bi, re + low, im + low, re + high, im + high))


@_jit
def _turn(w, re, im, slot, plane):  # type: ignore[no-untyped-def]
    for b in range(0, plane, LANES):
        lanes.multiply(w, (re + b, im + b, slot + b, slot + plane + b))


@_jit
def _constants(w, re, im, kind, numbers, first, states):  # type: ignore[no-untyped-def]
    """A constant vector becomes, or multiplies, every row's amplitudes."""
    for b in range(states):
        if kind == _START:
            lanes.spread2(w, (re + b * LANES, im + b * LANES), (numbers, first + 2 * b))
        else:
            lanes.multiply_constant(w, (re + b * LANES, im + b * LANES), (numbers, first + 2 * b))


@_jit
def _store(w, re, im, slot, out, column, states, rows):  # type: ignore[no-untyped-def]
    """The amplitudes, times a diagonal where ``slot`` is not negative: real, imaginary, and their sum."""
    plane = states * LANES
    for b in range(states):
        x, y, o = re + b * LANES, im + b * LANES, b * rows + column
        places = (out, o, states * rows + o, 2 * states * rows + o)
        if slot < 0:
            lanes.store(w, (x, y), places)
        else:
            lanes.multiply_store(w, (x, y, slot + b * LANES, slot + plane + b * LANES), places)


@_jit
def _run(w, turns, start, out, operations, terms, passes, full, places, runs, gates, numbers):  # type: ignore[no-untyped-def]  # noqa: C901  # one loop over kinds
    """A program on the rows of ``turns`` (a, ...) from column ``start``, as many as fit into ``out`` (3, N, c)."""
    _, states, rows = out.shape
    flat = out.reshape(-1)
    plane = states * LANES
    re, im, spectrum, slots = 0, plane, 2 * plane, 3 * plane
    angles = slots + 2 * plane * SLOTS
    matrices = angles + turns.shape[0] * LANES
    scratch = matrices + 4 * LANES * len(runs)
    for column in range(0, rows, LANES):
        for a in range(turns.shape[0]):
            for lane in range(LANES):
                w[angles + a * LANES + lane] = turns[a, start + column + lane]
        _matrices(w, matrices, scratch, angles, runs, gates)
        last = -1
        for o in range(len(operations)):
            kind, x, y, z, u = operations[o]
            slot = slots + 2 * plane * x
            if kind == _TABLE:
                _table(w, slot, spectrum, angles, (y, z), terms, passes[:full], states)
            elif kind == _LOAD:
                for b in range(0, 2 * plane, LANES):
                    lanes.copy(w, (slot + b, re + b))
            elif kind == _TURN_KIND and o == len(operations) - 1:
                last = slot
            elif kind == _TURN_KIND:
                _turn(w, re, im, slot, plane)
            elif kind in (_START, _CONSTANT_TURN):
                _constants(w, re, im, kind, numbers, x, states)
            elif kind == _TRANSFORM:
                for k in range(x, x + y):
                    _transform(w, re, passes[k, 0], passes[k, 1], states)
                    _transform(w, im, passes[k, 0], passes[k, 1], states)
            else:
                _rotate(w, re, im, places[x : x + y], z, matrices + 4 * LANES * u, kind)
        _store(w, re, im, last, flat, column, states, rows)


@_jit
def _run_blocks(w, turns, start, out, operations, terms, passes, full, places, runs, gates, numbers):  # type: ignore[no-untyped-def]
    for block in range(len(out)):
        first = start + block * out.shape[3]
        _run(w, turns, first, out[block], operations, terms, passes, full, places, runs, gates, numbers)


@_jit
def _gaussians(w, columns, out, table, weights):  # type: ignore[no-untyped-def]
    """sum_j weights_j 2^(table_j . column) for each column of ``columns`` (k, c), into ``out`` (c,)."""
    count = columns.shape[0]
    for first in range(0, columns.shape[1], LANES):
        for k in range(count):
            for lane in range(LANES):
                w[LANES * (1 + k) + lane] = columns[k, first + lane]
        _sum(w, (0, LANES), (table, weights, count))
        for lane in range(LANES):
            out[first + lane] = w[lane]


class CompiledStates:
    """As ``scorer.engine.batched.BatchedStates``, for the same program."""

    def __init__(self, program: Program) -> None:
        self.qubits = program.qubits
        self.chunk = max(_FEWEST_ROWS, min(_MOST_ROWS, _AMPLITUDES >> program.qubits))
        code = encoded(program)
        self._arguments = (*code.code, code.runs, code.gates, code.numbers)
        self._runs = len(code.runs)
        self._angles = len(program.plan.expressions)

    def workspace(self) -> Single:
        """Working memory of one thread; its layout is in ``_run``."""
        vectors = (3 + 2 * SLOTS) * 2**self.qubits + self._angles + 4 * self._runs + 6
        return np.zeros(LANES * vectors, np.float32)

    def reduced(self, angles: Array) -> Single:
        """Angles (a, rows) in radians as calls take them: in turns, within half a turn of zero."""
        turns = angles * (1.0 / _TURN)
        turns -= np.rint(turns)
        return turns.astype(np.float32, order="C")

    def __call__(self, turns: Single, first: int, work: Single, out: Single) -> None:
        """Amplitudes for ``chunk`` rows from column ``first``, into ``out`` (blocks, 3, 2^n, width)."""
        _run_blocks(work, turns, first, out, *self._arguments)

    def weighed(self, overlaps: Single, values: Single) -> Single:
        scores = np.empty((len(overlaps), overlaps.shape[3]), np.float32)
        weighed(overlaps, values, scores)
        return scores.reshape(-1)


class CompiledGaussians:
    """sum_j weights_j exp(table_j . column), ``table`` (M, k), for columns (k, chunk)."""

    def __init__(self, table: Array, weights: Array) -> None:
        missing = -len(table) % ABREAST
        self._table = np.pad(table * math.log2(math.e), ((0, missing), (0, 0))).astype(np.float32).reshape(-1)
        self._weights = np.pad(weights, (0, missing)).astype(np.float32)
        self._columns = table.shape[1]
        self.chunk = _GAUSSIAN_CHUNK

    def workspace(self) -> Single:
        return np.zeros(LANES * (1 + self._columns), np.float32)

    def __call__(self, columns: Single, work: Single) -> Single:
        """Sums (chunk,) of columns (k, chunk)."""
        out = np.empty(columns.shape[1], np.float32)
        _gaussians(work, columns, out, self._table, self._weights)
        return out


def warm_up() -> None:
    """Compile everything, or load what an earlier process compiled, by running it once."""
    plan = Plan("warm-up", 1, 1, 1.0, (feature(0),), (Local(0, (("rx", 0),)), Phases(((1, 0),)), Hadamards(1)))
    states = CompiledStates(prepared(plan))
    turns = states.reduced(np.zeros((1, states.chunk)))
    states(turns, 0, states.workspace(), np.empty((states.chunk // 64, 3, 2, 64), np.float32))
    sums = CompiledGaussians(np.zeros((1, 3)), np.zeros(1))
    sums(np.zeros((3, sums.chunk), np.float32), sums.workspace())
