"""Scores and their derivatives with respect to every feature: one pass forwards, one backwards.

For f = <psi|A|psi> and lambda = A|psi>, df = 2 Re <lambda|d psi>. psi and lambda go back through the circuit together,
each step undone on both (adjoint differentiation, Jones and Gacon, arXiv:2009.02823). A diagonal's angles get their
slopes from one product with its parities, a run of one-qubit gates from the 2x2 overlap of psi and lambda on its qubit;
the plan's expressions take slopes of angles to slopes of features. So all n derivatives cost about four scores.

Arrays are (2^n, B): rows of a batch are columns. Chunks bound the memory, whatever the batch. States are complex128,
and derivatives then exact to float64, or complex64, which takes a third of the time and is off in the fifth digit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits, matrices
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step
from scorer.engine.reference import hadamard

Array = NDArray[np.float64]
#: In one precision throughout: float64 or float32, complex128 or complex64.
Reals = NDArray[np.floating]
States = NDArray[np.complexfloating]
#: States (2^n, B) -> values (B,), and lambda (2^n, B) with which a value changes by 2 Re <lambda|d psi>.
Observe = Callable[[States], tuple[Array, States]]

#: Amplitudes of a chunk: psi, lambda and a diagonal of that size lie in a core's second-level cache.
_AMPLITUDES = 1 << 14
_CACHED_DIAGONALS = 1 << 21

_GENERATORS = {
    # d gate / d angle = i G gate.
    "rx": np.array([[0, -0.5], [-0.5, 0]], np.complex128),
    "ry": np.array([[0, 0.5j], [-0.5j, 0]], np.complex128),
    "rz": np.array([[-0.5, 0], [0, 0.5]], np.complex128),
    "p": np.array([[0, 0], [0, 1]], np.complex128),
}


@dataclass(frozen=True)
class Precision:
    """What numbers states and diagonals are made of."""

    real: type[np.floating]
    complex: type[np.complexfloating]


DOUBLE = Precision(np.float64, np.complex128)
SINGLE = Precision(np.float32, np.complex64)


class CircuitGradient:
    """A function of a circuit's state as a function of the scaled features. ``circuit``: anything with a ``plan``.

    ``observe`` is given states of ``precision`` and gives lambda in it.
    """

    def __init__(self, circuit: Any, observe: Observe, precision: Precision = DOUBLE) -> None:
        self._plan: Plan = circuit.plan.without_global_phase
        self._observe = observe
        self._precision = precision
        self._steps = _prepared(self._plan.steps, self._plan.qubits, {}, precision)
        self.chunk = max(8, min(512, _AMPLITUDES >> self._plan.qubits))

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Return values (N,) and derivatives (N, features), float64, at finite, scaled features Z (N, features).

        Raises AngleError where an angle is not finite. A derivative is not where a formula has none: sqrt(x) at 0.
        """
        values, gradient = np.empty(len(Z)), np.empty(Z.shape)
        for start in range(0, len(Z), self.chunk):
            part = slice(start, start + self.chunk)
            values[part], gradient[part] = self._chunk(Z[part])
        return values, gradient

    def values(self, Z: Array) -> Array:
        """Return the values alone, (N,), at finite, scaled features Z (N, features). Raises AngleError."""
        out = np.empty(len(Z))
        for start in range(0, len(Z), self.chunk):
            part = slice(start, start + self.chunk)
            run = _Run(self._plan.angles(Z[part]), self._precision)
            out[part] = self._observe(self._forwards(run))[0]
        return out

    def _chunk(self, Z: Array) -> tuple[Array, Array]:
        run = _Run(self._plan.angles(Z), self._precision)
        psi = self._forwards(run)
        values, slope = self._observe(psi)
        both = np.concatenate([psi, slope], axis=1)
        for step in reversed(self._steps):
            both = step.back(both, run)
        return values, self._plan.pullback(Z, run.slopes.astype(np.float64, copy=False))

    def _forwards(self, run: _Run) -> States:
        psi = np.zeros((1 << self._plan.qubits, run.angles.shape[1]), self._precision.complex)
        psi[0] = 1.0
        for step in self._steps:
            psi = step.forth(psi, run)
        return psi


class _Run:
    """What belongs to one chunk: angles (a, B), their slopes so far, and diagonals that are used more than once.

    Only angles up to whole turns matter, which a global phase would show alone: large ones lose nothing in float32.
    """

    def __init__(self, angles: Array, precision: Precision) -> None:
        turns = angles if precision is DOUBLE else np.remainder(angles, 2.0 * np.pi)
        self.angles: Reals = turns.astype(precision.real, copy=False)
        self.slopes: Reals = np.zeros_like(self.angles)
        self.diagonals: dict[int, States] = {}


@dataclass(frozen=True, eq=False)
class _Diagonal:
    """``used``: indices of its angles; ``parities``: (len(used), 2^n), how often each is part of a state's phase."""

    used: NDArray[np.intp]
    parities: Reals
    constant: Reals  # (2^n, 1)

    def forth(self, psi: States, run: _Run) -> States:
        return psi * self._of(run)

    def back(self, both: States, run: _Run) -> States:
        rows = both.shape[1] // 2
        psi, slope = both[:, :rows], both[:, rows:]
        weight = -2.0 * (slope.real * psi.imag - slope.imag * psi.real)
        run.slopes[self.used] += self.parities @ weight
        undone: States = both.reshape(len(both), 2, rows) * self._of(run).conj()[:, None, :]
        return undone.reshape(both.shape)

    def _of(self, run: _Run) -> States:
        """exp(i phase) of every basis state and row, kept for the way back while that takes little memory."""
        known = run.diagonals.get(id(self))
        if known is None:
            phase = self.parities.T @ run.angles[self.used] + self.constant
            known = np.empty(phase.shape, SINGLE.complex if phase.dtype == np.float32 else DOUBLE.complex)
            known.real, known.imag = np.cos(phase), np.sin(phase)
            if len(run.diagonals) * known.size < _CACHED_DIAGONALS:
                run.diagonals[id(self)] = known
        return known


@dataclass(frozen=True, eq=False)
class _Hadamards:
    """H on some qubits, as one small real matrix on the high and one on the low half of the bits."""

    high: Reals
    low: Reals

    def forth(self, psi: States, _run: _Run) -> States:
        # Complex amplitudes are pairs of real ones, on which a real matrix acts alike.
        planes = np.ascontiguousarray(psi).view(self.high.dtype)
        turned = (self.high @ planes.reshape(len(self.high), -1)).reshape(len(self.high), len(self.low), -1)
        out: States = np.matmul(self.low, turned).reshape(planes.shape).view(psi.dtype)
        return out

    def back(self, both: States, run: _Run) -> States:
        return self.forth(both, run)


@dataclass(frozen=True, eq=False)
class _Permutation:
    target: NDArray[np.intp]
    source: NDArray[np.intp]

    def forth(self, psi: States, _run: _Run) -> States:
        return psi[self.source]

    def back(self, both: States, _run: _Run) -> States:
        return both[self.target]


@dataclass(frozen=True, eq=False)
class _OneQubit:
    qubit: int
    gates: tuple[tuple[str, int | float | None], ...]

    def forth(self, psi: States, run: _Run) -> States:
        return _on_qubit(matrices.product(self.gates, run.angles), psi, self.qubit)

    def back(self, both: States, run: _Run) -> States:
        rows = both.shape[1] // 2
        if any(type(parameter) is int for _, parameter in self.gates):
            self._add_slopes(both[:, :rows], both[:, rows:], run)
        whole = matrices.product(self.gates, run.angles)
        undo = np.conj(np.swapaxes(whole, 0, 1))
        return _on_qubit(undo if undo.shape[2] == 1 else np.tile(undo, 2), both, self.qubit)

    def _add_slopes(self, psi: States, slope: States, run: _Run) -> None:
        shape = (-1, 2, 1 << self.qubit, psi.shape[1])
        # R[i, j] = sum over the other qubits of conj(lambda_i) psi_j: all that this qubit's gates can see.
        overlap = np.einsum("hilb,hjlb->ijb", slope.reshape(shape).conj(), psi.reshape(shape))
        for name, parameter in reversed(self.gates):
            gate = matrices.matrix(name, run.angles[parameter] if type(parameter) is int else parameter)
            if type(parameter) is int:
                seen = np.einsum("ij,ijb->b", _GENERATORS[name], overlap)
                run.slopes[parameter] += -2.0 * seen.imag
            gate = gate if gate.ndim == 3 else gate[:, :, None]
            overlap = np.einsum("lib,lkb,kjb->ijb", gate, overlap, gate.conj())


def _on_qubit(matrix: States, psi: States, qubit: int) -> States:
    """A matrix (2, 2, B) or (2, 2, 1) on one qubit of states (2^n, B), which keep their precision."""
    matrix = matrix.astype(psi.dtype, copy=False)
    split = psi.reshape(-1, 2, 1 << qubit, psi.shape[1])
    out = np.empty_like(split)
    for row in range(2):
        out[:, row] = matrix[row, 0] * split[:, 0] + matrix[row, 1] * split[:, 1]
    return out.reshape(psi.shape)


def _prepared(
    steps: tuple[Step, ...], qubits: int, diagonals: dict[Phases, _Diagonal], precision: Precision
) -> list[Any]:
    out: list[Any] = []
    for step in steps:
        if isinstance(step, Fixed):
            out += _prepared(step.steps, qubits, diagonals, precision)
        elif isinstance(step, Phases):
            if step not in diagonals:  # equal diagonals are one, so that their cosines are taken once a chunk
                diagonals[step] = _diagonal(step, qubits, precision)
            out.append(diagonals[step])
        elif isinstance(step, Hadamards):
            low = qubits // 2
            masks = (step.qubits >> low, step.qubits & ((1 << low) - 1))
            high, rest = _hadamards(masks[0], qubits - low), _hadamards(masks[1], low)
            out.append(_Hadamards(high.astype(precision.real), rest.astype(precision.real)))
        elif isinstance(step, Affine):
            target = step.permutation()
            out.append(_Permutation(target, np.argsort(target)))
        elif isinstance(step, Local):
            out.append(_OneQubit(step.qubit, step.gates))
    return out


def _diagonal(step: Phases, qubits: int, precision: Precision) -> _Diagonal:
    used = sorted({index for _, index in step.terms})
    parities = np.zeros((len(used), 1 << qubits))
    for (_, index), parity in zip(step.terms, bits.parities((m for m, _ in step.terms), qubits), strict=True):
        parities[used.index(index)] += parity
    constant = np.zeros(1 << qubits)
    for (_, angle), parity in zip(step.constants, bits.parities((m for m, _ in step.constants), qubits), strict=True):
        constant += angle * parity
    used_angles, real = np.array(used, np.intp), precision.real
    return _Diagonal(used_angles, parities.astype(real), constant[:, None].astype(real))


def _hadamards(mask: int, qubits: int) -> Array:
    """H on the qubits of the mask and nothing on the others, (2^n, 2^n)."""
    matrix = np.ones((1, 1))
    for q in range(qubits):
        one = hadamard(1) / np.sqrt(2.0) if mask >> q & 1 else np.eye(2)
        matrix = np.kron(one, matrix)
    return matrix


def of_observable(values: Array, vectors: NDArray[np.complexfloating], precision: Precision = DOUBLE) -> Observe:
    """Observe sum_k values_k |<vector_k|psi>|^2, for values (r,) and vectors (r, 2^n) of unit length."""
    rows = vectors.astype(precision.complex)
    conjugates, weights = rows.conj(), values[:, None].astype(precision.real)

    def observe(psi: States) -> tuple[Array, States]:
        overlaps = conjugates @ psi
        weighted = weights * overlaps
        return np.einsum("kb,kb->b", overlaps.conj(), weighted).real, rows.T @ weighted

    return observe
