"""The compiled path of the engine's scorers. Needs numba (the extra ``fast``).

Imported only when a process asks for it (``scorer.engine.fast.enable_compiled``), because loading the compiler takes
part of a second.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.expressions import feature
from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Hadamards, Local, Phases
from scorer.engine.compiled.butterflies import FEW, MANY
from scorer.engine.compiled.diagonals import reduced
from scorer.engine.compiled.encoding import encoded
from scorer.engine.compiled.loops import Workspace, run
from scorer.engine.compiled.sums import ABREAST, paired, weighed, weighted_powers
from scorer.engine.program import Program, prepared

Array = NDArray[np.float64]
Single = NDArray[np.float32]

#: Amplitudes at a time: what is written here is read by a matrix product next, from the second-level cache.
_AMPLITUDES = 1 << 16
_MOST_ROWS = 2 * MANY
#: Qubits up to which MANY rows lie side by side; above, their amplitudes would take hundreds of MiB.
_MANY_QUBITS = 12
#: Exponents at a time, for the same reason, and rows.
_EXPONENTS = 1 << 17
_MOST_SUMS = 256


class CompiledStates:
    """The amplitudes of a chunk of rows, made by compiled loops from the same program as ``batched.BatchedStates``'."""

    def __init__(self, program: Program) -> None:
        self.qubits = program.qubits
        self.width = MANY if program.qubits <= _MANY_QUBITS else FEW
        self.chunk = max(self.width, min(_MOST_ROWS, _AMPLITUDES >> program.qubits))
        code = encoded(program)
        self._arguments = (*code.code, code.runs, code.gates, code.numbers)
        self._runs, self._slots = len(code.runs), code.slots
        self._angles = len(program.plan.expressions)

    def workspace(self) -> Workspace:
        """Make the working memory of one thread; its layout is ``loops.Workspace``."""
        lanes, amplitudes = self.width, self.width << self.qubits

        def zeros(*shape: int) -> Single:
            return np.zeros(shape, np.float32)

        return (
            zeros(self._slots, 2, amplitudes),
            zeros(self._angles, lanes),
            zeros(self._runs, 4, lanes),
            zeros(4, lanes),
        )

    def reduced(self, angles: Array) -> Single:
        """Return angles (a, rows), radians, as calls take them: float32, in turns, within half a turn of zero."""
        turns = np.empty(angles.shape, np.float32)
        reduced(np.ascontiguousarray(angles).reshape(-1), turns.reshape(-1))
        return turns

    def __call__(self, turns: Single, first: int, work: Workspace, out: Single) -> None:
        """Write the amplitudes of ``chunk`` rows from column ``first``: real, imaginary, sum.

        ``out``: (blocks, 3, 2^n, width), blocks * width = chunk.
        """
        run(work, turns, first, out.reshape(len(out), 3, -1), *self._arguments)

    def weighed(self, overlaps: Single, values: Single) -> Single:
        """Return sum_k values_k ((p_k - q_k)^2 + (p_k - r_k)^2), (chunk,).

        ``overlaps``: (parts, 3, rank, columns), the products r, q and p of each eigenvector.
        """
        scores = np.empty((len(overlaps), overlaps.shape[3]), np.float32)
        weighed(overlaps, values, scores)
        return scores.reshape(-1)

    def paired(self, planes: Single, products: Single, scores: Single) -> None:
        """Write sum_b (s_b p_b - x_b q_b) into ``scores`` (columns,); see ``sums.paired``."""
        paired(planes, products, scores)


class CompiledGaussians:
    """sum_j weights_j exp(table_j . column), ``table`` (M, k), for columns (k, chunk)."""

    def __init__(self, table: Array, weights: Array) -> None:
        missing = -len(table) % ABREAST
        self._table: Single = np.pad(table * math.log2(math.e), ((0, missing), (0, 0))).astype(np.float32)
        self._weights: Single = np.pad(weights, (0, missing)).astype(np.float32)
        self.chunk = max(16, min(_MOST_SUMS, _EXPONENTS // len(self._table) // 16 * 16))

    def workspace(self) -> Single:
        """Make the working memory of one thread: exponents (M, chunk)."""
        return np.empty((len(self._table), self.chunk), np.float32)

    def __call__(self, columns: Single, work: Single) -> Single:
        """Return the sums (chunk,) for columns (k, chunk)."""
        np.matmul(self._table, columns, out=work)
        out = np.empty(self.chunk, np.float32)
        weighted_powers(work, self._weights, out)
        return out


def warm_up() -> None:
    """Compile everything, or load what an earlier process compiled, by running it once."""
    plan = Plan("warm-up", 1, 1, 1.0, (feature(0),), (Local(0, (("rx", 0),)), Phases(((1, 0),)), Hadamards(1)))
    states = CompiledStates(prepared(plan))
    turns = states.reduced(np.zeros((1, states.chunk)))
    planes = np.empty((states.chunk // states.width, 3, 2, states.width), np.float32)
    states(turns, 0, states.workspace(), planes)
    states.weighed(planes, np.zeros(2, np.float32))
    states.paired(planes[0], planes[0, :2].copy(), np.empty(states.width, np.float32))
    sums = CompiledGaussians(np.zeros((1, 3)), np.zeros(1))
    sums(np.zeros((3, sums.chunk), np.float32), sums.workspace())
