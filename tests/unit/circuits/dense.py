"""The slow truth: a plan's steps and a circuit's gates applied one row at a time to plain state vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step

States = NDArray[np.complex128]
_H: NDArray[Any] = np.array([[1, 1], [1, -1]]) / np.sqrt(2)


def plan_states(plan: Plan, Z: NDArray[np.float64]) -> States:
    """States (N, 2^n) by the definition of every kind of step; shares no code with the engine."""
    angles = plan.angles(Z)
    out = np.zeros((len(Z), 2**plan.qubits), np.complex128)
    for row in range(len(Z)):
        state = np.zeros(2**plan.qubits, np.complex128)
        state[0] = 1.0
        for step in plan.steps:
            state = _apply(step, state, angles[:, row])
        out[row] = state
    return out


def _apply(step: Step, state: States, angles: NDArray[np.float64]) -> States:
    if isinstance(step, Fixed):
        for inner in step.steps:
            state = _apply(inner, state, angles)
        return state
    if isinstance(step, Hadamards):
        for qubit in range(step.qubits.bit_length()):
            if step.qubits >> qubit & 1:
                state = _one_qubit(_H, qubit, state)
        return state
    if isinstance(step, Phases):
        turned: States = state * np.exp(1j * _phases(step, len(state), angles))
        return turned
    if isinstance(step, Affine):
        out = np.empty_like(state)
        out[[_moved(step, b) for b in range(len(state))]] = state
        return out
    assert isinstance(step, Local)
    for name, parameter in step.gates:
        angle = angles[parameter] if type(parameter) is int else parameter
        state = _one_qubit(_matrix(name, angle), step.qubit, state)
    return state


def _phases(step: Phases, states: int, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    terms = [(mask, angles[index]) for mask, index in step.terms] + list(step.constants)
    return np.array([sum(a for mask, a in terms if mask == 0 or (b & mask).bit_count() % 2) for b in range(states)])


def _moved(step: Affine, b: int) -> int:
    bits = [((b & row).bit_count() % 2) << i for i, row in enumerate(step.rows)]
    return step.shift ^ sum(bits)


def _one_qubit(matrix: NDArray[Any], qubit: int, state: States) -> States:
    block = state.reshape(-1, 2, 2**qubit)
    turned: States = np.einsum("ij,ajb->aib", matrix, block).reshape(-1)
    return turned


def _matrix(name: str, angle: Any) -> NDArray[Any]:
    if name == "h":
        return _H
    if name == "x":
        return np.array([[0, 1], [1, 0]])
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    known: dict[str, Any] = {
        "rx": [[c, -1j * s], [-1j * s, c]],
        "ry": [[c, -s], [s, c]],
        "rz": [[c - 1j * s, 0], [0, c + 1j * s]],
        "p": [[1, 0], [0, np.exp(1j * angle)]],
    }
    return np.array(known[name])


def qiskit_states(circuit: Any, X: NDArray[np.float64]) -> States:
    """States (N, 2^n) of a parametrised Qiskit circuit, whose parameters are the columns of X in Qiskit's order."""
    return np.array([Statevector(circuit.assign_parameters(row)).data for row in X])
