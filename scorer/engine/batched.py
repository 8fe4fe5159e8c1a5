"""A program on a chunk of rows with NumPy alone: every step is one matrix product or one pass over contiguous memory.

Amplitudes are two float32 planes (2, 2^n, c), real and imaginary, rows of the batch along the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.steps import bits
from scorer.engine.program import SLOTS, ConstantTurn, Factor, Operation, PhaseTerm, Program, Rotate, Transform, Turn
from scorer.engine.reference import hadamard

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Column = NDArray[Any]
Matrix = tuple[Single, Single, Single, Single]

_TURN = 2.0 * math.pi
#: Amplitudes at a time: the planes of a chunk should lie in a core's second-level cache, and calls into NumPy be few.
_AMPLITUDES = 1 << 15


def chunk_rows(qubits: int) -> int:
    """Say how many rows are worked on at a time."""
    return max(128, min(512, _AMPLITUDES >> qubits))


@dataclass(frozen=True, eq=False)
class Workspace:
    """Memory of one thread for chunks of c rows. ``circles``: cosine and sine of each slot's diagonal."""

    angles: Single  # (a, c), reduced
    halves: Single  # (a, c), half the angles, reduced
    phases: Single  # (N, c)
    circles: Single  # (slots, 2, N, c)
    states: Single  # (2, N, c)
    spare: Single  # (2, N, c)


#: Angles, and half the angles, both reduced modulo 2 pi; None where no step needs them.
Reduced = tuple[Single | None, Single | None]
Step = Callable[[Workspace], None]


class BatchedStates:
    """The amplitudes of a chunk of rows, in the places and without the norm that ``Program`` states."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.chunk = self.width = chunk_rows(program.qubits)
        slots = {o.slot: o for o in program.operations if isinstance(o, Turn)}
        self._slots = min(SLOTS, len(slots))
        self._turns = any(isinstance(o, Turn) for o in program.operations)
        self._half = any(isinstance(o, Rotate) for o in program.operations)
        self._steps = [self._step(number, o) for number, o in enumerate(program.operations)]

    def workspace(self) -> Workspace:
        """Make the working memory of one thread, for chunks of ``chunk`` rows."""
        count, amplitudes, c = len(self.program.plan.expressions), 2**self.program.qubits, self.chunk

        def empty(*shape: int) -> Single:
            return np.empty((*shape, c), np.float32)

        return Workspace(
            angles=empty(count),
            halves=empty(count),
            phases=empty(amplitudes),
            circles=empty(self._slots, 2, amplitudes),
            states=empty(2, amplitudes),
            spare=empty(2, amplitudes),
        )

    def reduced(self, angles: Array) -> Reduced:
        """Reduce angles (a, rows), radians, and half the angles modulo 2 pi: float32, each where a step needs it."""
        whole = (angles - np.rint(angles * (1.0 / _TURN)) * _TURN).astype(np.float32) if self._turns else None
        half = 0.5 * angles if self._half else None
        return whole, None if half is None else (half - np.rint(half * (1.0 / _TURN)) * _TURN).astype(np.float32)

    def __call__(self, angles: Reduced, first: int, work: Workspace, out: Single) -> None:
        """Write the amplitudes of ``chunk`` rows from column ``first``: real, imaginary, sum.

        ``out``: (1, 3, 2^n, chunk).
        """
        columns = slice(first, first + self.chunk)
        for part, target in zip(angles, (work.angles, work.halves), strict=True):
            if part is not None:
                target[...] = part[:, columns]
        if not self.program.begins_with_turn:
            work.states[0], work.states[1] = self.program.start.real[:, None], self.program.start.imag[:, None]
        for step in self._steps:
            step(work)
        out[0, :2] = work.states
        np.add(out[0, 0], out[0, 1], out=out[0, 2])

    def weighed(self, overlaps: Single, values: Single) -> Single:
        """Return sum_k values_k ((p_k - q_k)^2 + (p_k - r_k)^2), (chunk,).

        ``overlaps``: (parts, 3, rank, columns), the products r, q and p of each eigenvector; they are overwritten.
        """
        parts, sums = overlaps[:, :2], overlaps[:, 2]
        np.subtract(sums[:, None], parts, out=parts)
        np.square(parts, out=parts)
        np.add(parts[:, 0], parts[:, 1], out=sums)
        return (values @ sums).reshape(-1)

    def paired(self, planes: Single, products: Single, scores: Single) -> None:
        """Write sum_b (s_b p_b - x_b q_b) into ``scores`` (columns,).

        ``planes``: (3, 2^n, columns) with x, y and s. ``products``: (2, 2^n, columns) with p and q; overwritten.
        """
        np.multiply(planes[2], products[0], out=products[0])
        np.multiply(planes[0], products[1], out=products[1])
        np.subtract(products[0], products[1], out=products[0])
        np.sum(products[0], axis=0, out=scores)

    def _step(self, number: int, operation: Operation) -> Step:
        if isinstance(operation, Turn):
            return self._turn(operation, first=number == 0 and self.program.begins_with_turn)
        if isinstance(operation, ConstantTurn):
            return _constant_turn(operation)
        if isinstance(operation, Transform):
            return _transform(operation.mask)
        return _rotation(operation)

    def _turn(self, operation: Turn, first: bool) -> Step:
        compute = None if operation.terms is None else _Diagonal(operation.terms, self.program.qubits)

        def step(work: Workspace) -> None:
            circle = work.circles[operation.slot]
            if compute is not None:
                compute(work, circle)
            if first:
                work.states[...] = circle
            else:
                _multiply(work, circle[0], circle[1])

        return step


class _Diagonal:
    """Cosine and sine of every basis state's phase: one product of a matrix of parities with the angles."""

    def __init__(self, terms: tuple[PhaseTerm, ...], qubits: int) -> None:
        moving, fixed = ([t for t in terms if (t.angle is None) is constant] for constant in (False, True))
        self._indices = [term.angle for term in moving if term.angle is not None]
        self._matrix: Single = np.empty((2**qubits, len(moving)), np.float32)
        np.multiply(_parities(moving, qubits), [np.float32(term.factor) for term in moving], out=self._matrix)
        constant = (_parities(fixed, qubits) @ np.array([term.factor for term in fixed]))[:, None]
        self._constant = (constant - np.rint(constant / _TURN) * _TURN).astype(np.float32) if fixed else None

    def __call__(self, work: Workspace, circle: Single) -> None:
        angles = work.angles if self._indices == list(range(len(work.angles))) else work.angles[self._indices]
        np.matmul(self._matrix, angles, out=work.phases)
        if self._constant is not None:
            work.phases[...] += self._constant
        np.cos(work.phases, out=circle[0])
        np.sin(work.phases, out=circle[1])


def _parities(terms: list[PhaseTerm], qubits: int) -> NDArray[np.bool_]:
    """(2^n, terms)."""
    return bits.parities([term.mask for term in terms], qubits).T


def _multiply(work: Workspace, cosine: Single, sine: Single) -> None:
    states, spare = work.states, work.spare
    np.multiply(states, sine, out=spare)
    np.multiply(states, cosine, out=states)
    np.subtract(states[0], spare[1], out=states[0])
    np.add(states[1], spare[0], out=states[1])


def _constant_turn(operation: ConstantTurn) -> Step:
    cosine = operation.diagonal.real.astype(np.float32)[:, None]
    sine = operation.diagonal.imag.astype(np.float32)[:, None]

    def step(work: Workspace) -> None:
        _multiply(work, cosine, sine)

    return step


def _transform(mask: int) -> Step:
    """The transform as products with small dense matrices over runs of neighbouring qubits."""
    passes = [(low, hadamard(count).astype(np.float32)) for low, count in _runs(mask)]

    def step(work: Workspace) -> None:
        source, target = work.states, work.spare
        for low, matrix in passes:
            shape = (-1, len(matrix), (1 << low) * source.shape[-1])
            np.matmul(matrix, source.reshape(shape), out=target.reshape(shape))
            source, target = target, source
        if source is work.spare:
            work.states[...] = source

    return step


def _runs(mask: int) -> list[tuple[int, int]]:
    """(lowest qubit, number) of runs of neighbours in a mask, each run in two halves: small matrices, few of them."""
    out: list[tuple[int, int]] = []
    for low, count in bits.runs(mask):
        half = count // 2
        out += [(low, half), (low + half, count - half)] if half else [(low, 1)]
    return out


def _rotation(operation: Rotate) -> Step:
    """The pairs by their places; where they are one qubit's, as views instead of copies."""
    lows, flip = operation.lows, operation.flip
    view = _is_qubit(operation)

    def step(work: Workspace) -> None:
        a_re, a_im, b_re, b_im = _matrix(operation.factors, work.halves)
        if operation.fill:
            x = work.states[:, lows]
            work.states[0, lows | flip] = b_re * x[0] - b_im * x[1]
            work.states[1, lows | flip] = b_re * x[1] + b_im * x[0]
            work.states[0, lows] = a_re * x[0] - a_im * x[1]
            work.states[1, lows] = a_re * x[1] + a_im * x[0]
            return
        if view:
            pairs = work.states.reshape(2, -1, 2, flip, work.states.shape[-1])
            zeros, ones = pairs[:, :, 0], pairs[:, :, 1]
            zeros[...], ones[...] = _pair(zeros, ones, (a_re, a_im, b_re, b_im), operation.real)
        else:
            highs = lows ^ flip
            work.states[:, lows], work.states[:, highs] = _pair(
                work.states[:, lows], work.states[:, highs], (a_re, a_im, b_re, b_im), operation.real
            )

    return step


def _is_qubit(operation: Rotate) -> bool:
    flip = operation.flip
    return flip & (flip - 1) == 0 and not (operation.lows & flip).any()


def _pair(x: Single, y: Single, matrix: Matrix, real: bool) -> tuple[Single, Single]:
    """(a x - b* y, b x + a* y) for planes (2, ...)."""
    a_re, a_im, b_re, b_im = matrix
    if real:
        return a_re * x - b_re * y, b_re * x + a_re * y
    low = np.stack([a_re * x[0] - a_im * x[1], a_re * x[1] + a_im * x[0]])
    low[0] -= b_re * y[0] + b_im * y[1]
    low[1] -= b_re * y[1] - b_im * y[0]
    high = np.stack([b_re * x[0] - b_im * x[1], b_re * x[1] + b_im * x[0]])
    high[0] += a_re * y[0] + a_im * y[1]
    high[1] += a_re * y[1] - a_im * y[0]
    return low, high


def _matrix(factors: tuple[Factor, ...], halves: Single) -> Matrix:
    """(a, b) of a run of gates, real and imaginary parts (c,), for half the angles."""
    a, b = _column(factors[0], halves)
    for factor in factors[1:]:
        c, d = _column(factor, halves)
        # The later gate stands on the left.
        a, b = c * a - np.conj(d) * b, d * a + np.conj(c) * b
    return a.real, a.imag, b.real, b.imag


def _column(factor: Factor, halves: Single) -> tuple[Column, Column]:
    """(a, b) of one gate, (c,) each."""
    rows = halves.shape[1]
    if factor.axis is None:
        return np.full(rows, factor.a, np.complex64), np.full(rows, factor.b, np.complex64)
    a, b = np.zeros(rows, np.complex64), np.zeros(rows, np.complex64)
    a.real, sine = np.cos(halves[factor.angle]), np.sin(halves[factor.angle])
    if factor.axis == "z":
        a.imag = -sine
    elif factor.axis == "y":
        b.real = sine
    else:
        b.imag = -sine
    return a, b
