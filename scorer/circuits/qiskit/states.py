"""States of a plan by the definition of its steps, one row at a time: what imports are compared with Qiskit by.

Shares no arithmetic of states with the engine, so that a fault of either is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step
from scorer.circuits.steps.matrices import product

Array = NDArray[np.float64]
State = NDArray[np.complex128]


def state_of(plan: Plan, z: Array) -> State:
    """Compute the state (2^n,) of one row of scaled features z (features,); raises AngleError where it has none."""
    angles = plan.angles(z[None, :])[:, 0]
    state: State = np.zeros(1 << plan.qubits, np.complex128)
    state[0] = 1.0
    return _evolved(state, plan.steps, angles, plan.qubits)


def _evolved(state: State, steps: tuple[Step, ...], angles: Array, qubits: int) -> State:
    for step in steps:
        if isinstance(step, Fixed):
            state = _evolved(state, step.steps, angles, qubits)
        elif isinstance(step, Hadamards):
            for qubit in bits.members(step.qubits):
                state = _turned(state, qubit, product((("h", None),), angles[:, None])[:, :, 0])
        elif isinstance(step, Phases):
            state = state * np.exp(1j * _phases(step, angles, qubits))
        elif isinstance(step, Affine):
            moved = np.empty_like(state)
            moved[step.permutation()] = state
            state = moved
        elif isinstance(step, Local):
            state = _turned(state, step.qubit, product(step.gates, angles[:, None])[:, :, 0])
    return state


def _phases(step: Phases, angles: Array, qubits: int) -> Array:
    """The phase of each basis state, (2^n,), term by term: many terms of many qubits then need little memory."""
    out: Array = np.zeros(1 << qubits)
    for mask, angle in [*((mask, angles[index]) for mask, index in step.terms), *step.constants]:
        out += angle * bits.parities((mask,), qubits)[0]
    return out


def _turned(state: State, qubit: int, matrix: NDArray[np.complex128]) -> State:
    """Apply a matrix (2, 2) to one qubit."""
    pairs = state.reshape(-1, 2, 1 << qubit)
    turned: State = np.einsum("ij,ajb->aib", matrix, pairs).reshape(-1)
    return turned
