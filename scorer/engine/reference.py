"""Float64 states, kernels and scores: what fitting uses and what every faster path is held against.

A plan's steps are applied one after another to a batch of states (2^n, rows), nothing rearranged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step
from scorer.circuits.steps.matrices import product
from scorer.engine.rows import HasPlan, checked

Array = NDArray[np.float64]
States = NDArray[np.complex128]

#: Amplitudes at a time: memory is bounded whatever the batch, and a chunk (1 MiB of complex128) stays in the caches.
AMPLITUDES = 2**16
#: Most rows at a time.
CHUNK = 512
#: Qubits that one dense Hadamard matrix covers.
_FACTOR = 4
#: Rows of a kernel of states with themselves that are computed at a time, from the diagonal to the right.
_BLOCK = 128


@cache
def hadamard(qubits: int) -> Array:
    """Return the +1/-1 matrix of H^n without its factor 2^(-n/2), (2^n, 2^n), which cannot be written into."""
    matrix = np.ones((1, 1))
    for _ in range(qubits):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    matrix.flags.writeable = False
    return matrix


def amplitudes(circuit: HasPlan, Z: Array) -> States:
    """Return states (N, 2^n), complex128, of scaled features Z (N, features); phases as in Qiskit's ``Statevector``.

    Raises RowsError for another shape, NaN and infinity, AngleError where an angle is not finite.
    """
    plan = circuit.plan
    Z = checked(Z, plan.features)
    out = np.empty((len(Z), 2**plan.qubits), np.complex128)
    rows = max(1, min(CHUNK, AMPLITUDES >> plan.qubits))
    for start in range(0, len(Z), rows):
        out[start : start + rows] = _states(plan, Z[start : start + rows]).T
    return out


def _states(plan: Plan, Z: Array) -> States:
    psi = np.zeros((2**plan.qubits, len(Z)), np.complex128)
    psi[0] = 1.0
    return evolve(plan.steps, plan.angles(Z), psi)


def evolve(steps: Iterable[Step], angles: Array, psi: States) -> States:
    """Apply the steps, in order, to states (2^n, N); ``angles``: (a, N), radians. Returns new states (2^n, N)."""
    steps = list(steps)
    # Kept only where they come again: a circuit may have thousands of different ones.
    often = Counter(step for step in steps if isinstance(step, Phases))
    diagonals: dict[Phases, States] = {}
    for step in steps:
        if isinstance(step, Fixed):
            psi = evolve(step.steps, angles, psi)
        elif isinstance(step, Phases):
            often[step] -= 1
            diagonal = diagonals.pop(step, None)
            if diagonal is None:
                diagonal = _circle(phases(step, angles, len(psi)))
            if often[step]:
                diagonals[step] = diagonal
            psi = psi * diagonal
        elif isinstance(step, Hadamards):
            psi = hadamard_transform(psi, step.qubits)
        elif isinstance(step, Affine):
            psi = _permuted(psi, step)
        else:
            psi = _rotated(psi, step, product(step.gates, angles))
    return psi


def evolve_back(steps: Iterable[Step], psi: States) -> States:
    """Undo steps that no row's angle changes, on states (2^n, N). Returns new states (2^n, N)."""
    none = np.empty((0, 1))
    for step in reversed(list(steps)):
        if isinstance(step, Fixed):
            psi = evolve_back(step.steps, psi)
        elif isinstance(step, Phases):
            psi = psi * _circle(-phases(step, none, len(psi)))
        elif isinstance(step, Hadamards):
            psi = hadamard_transform(psi, step.qubits)
        elif isinstance(step, Affine):
            psi = psi[step.permutation()]
        else:
            psi = _rotated(psi, step, product(step.gates, none).conj().swapaxes(0, 1))
    return psi


def phases(step: Phases, angles: Array, states: int) -> Array:
    """Return every basis state's phase in radians, (2^n, N), for angles (a, N); N is 1 where no term has one."""
    qubits = states.bit_length() - 1
    fixed = np.array([value for _, value in step.constants], np.float64)
    out: Array = (fixed @ bits.parities([mask for mask, _ in step.constants], qubits))[:, None]
    if step.terms:
        parity = bits.parities([mask for mask, _ in step.terms], qubits).T.astype(np.float64)
        out = out + parity @ angles[[index for _, index in step.terms]]
    return out


def _circle(phase: Array) -> States:
    """exp(i phase), from real functions: several times faster than the complex one, and as exact."""
    out = np.empty(phase.shape, np.complex128)
    out.real, out.imag = np.cos(phase), np.sin(phase)
    return out


def hadamard_transform(psi: States, mask: int) -> States:
    """Apply H to each qubit of the mask, on states (2^n, N): small dense matrices over runs of neighbouring qubits."""
    planes = np.ascontiguousarray(psi).view(np.float64)
    for low, count in _runs(mask):
        block = planes.reshape(-1, 2**count, 2**low * planes.shape[-1])
        planes = (hadamard(count) * 2.0 ** (-count / 2) @ block).reshape(planes.shape)
    out: States = planes.view(np.complex128)
    return out


def _runs(mask: int) -> list[tuple[int, int]]:
    """(lowest qubit, number) of runs of neighbours in the mask, none longer than _FACTOR."""
    return [
        (start, min(_FACTOR, low + count - start))
        for low, count in bits.runs(mask)
        for start in range(low, low + count, _FACTOR)
    ]


def _permuted(psi: States, step: Affine) -> States:
    out = np.empty_like(psi)
    out[step.permutation()] = psi
    return out


def _rotated(psi: States, step: Local, matrix: States) -> States:
    """One 2x2 matrix (2, 2, N or 1) a row on one qubit."""
    pairs = psi.reshape(-1, 2, 2**step.qubit, psi.shape[1])
    zero, one = pairs[:, 0], pairs[:, 1]
    out = np.empty_like(pairs)
    out[:, 0] = matrix[0, 0] * zero + matrix[0, 1] * one
    out[:, 1] = matrix[1, 0] * zero + matrix[1, 1] * one
    return out.reshape(psi.shape)


def fidelity_kernel(left: States, right: States) -> Array:
    """Return |<left_i|right_j>|^2 for states (N, 2^n) and (M, 2^n): (N, M); exactly symmetric where both are one array.

    Havlicek et al., Nature 567 (2019) 209.
    """
    if left is right:
        return _own_kernel(left)
    # Real products of the parts side by side: half the work of a complex one, and results that are squared in place.
    stacked = np.hstack([left.real, left.imag])
    kernel: Array = stacked @ np.hstack([right.real, right.imag]).T
    imaginary = stacked @ np.hstack([right.imag, -right.real]).T
    np.square(kernel, out=kernel)
    kernel += np.square(imaginary, out=imaginary)
    return kernel


def _own_kernel(states: States) -> Array:
    """The kernel of states (N, 2^n) with themselves, (N, N): one triangle computed, by blocks, and mirrored."""
    rows = len(states)
    stacked = np.hstack([states.real, states.imag])
    straight, crossed = stacked.T, np.hstack([states.imag, -states.real]).T
    kernel, spare = np.empty((rows, rows)), np.empty((min(rows, _BLOCK), rows))
    for first in range(0, rows, _BLOCK):
        last = min(first + _BLOCK, rows)
        block, imaginary = kernel[first:last, first:], spare[: last - first, first:]
        np.matmul(stacked[first:last], straight[:, first:], out=block)
        np.matmul(stacked[first:last], crossed[:, first:], out=imaginary)
        np.square(block, out=block)
        block += np.square(imaginary, out=imaginary)
        kernel[last:, first:last] = block[:, last - first :].T
        # Within the block on the diagonal the two triangles are sums of the same terms, in another order.
        square = kernel[first:last, first:last]
        square[...] = (square + square.T) / 2.0
    return kernel


def expectation(values: Array, vectors: States, psi: States) -> Array:
    """Return sum_k values_k |<vector_k|psi>|^2, (N,), for values (r,), vectors (r, 2^n) and states (N, 2^n)."""
    return fidelity_kernel(psi, vectors) @ values
