"""Float64 states, kernels and scores: what fitting uses and what the float32 path is held against."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import ZZMap

Array = NDArray[np.float64]
States = NDArray[np.complex128]

#: Rows at a time, so that memory is bounded: 2^12 amplitudes of 512 rows are 32 MiB.
CHUNK = 512


@cache
def hadamard(qubits: int) -> Array:
    """The +1/-1 matrix of H^n without its factor 2^(-n/2), (2^n, 2^n). Do not write into it."""
    matrix = np.ones((1, 1))
    for _ in range(qubits):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    matrix.flags.writeable = False
    return matrix


def amplitudes(circuit: ZZMap, Z: Array) -> States:
    """States (N, 2^n), complex128, of scaled features Z (N, n); phases as in Qiskit's ``Statevector``."""
    out = np.empty((len(Z), 2**circuit.qubits), np.complex128)
    for start in range(0, len(Z), CHUNK):
        out[start : start + CHUNK] = _states(circuit, Z[start : start + CHUNK])
    return out


def _states(circuit: ZZMap, Z: Array) -> States:
    diagonal = np.exp(1j * (circuit.angles(Z).T @ circuit.signs))
    psi: States = diagonal * 2.0 ** (-circuit.qubits / 2)
    for _ in range(circuit.reps - 1):
        psi = _hadamard_transform(psi, circuit.qubits) * diagonal
    return psi


def _hadamard_transform(psi: States, qubits: int) -> States:
    """H^n on each row of (N, 2^n), as two small matrices instead of one large."""
    low, high = qubits // 2, qubits - qubits // 2
    block = psi.reshape(len(psi), 2**high, 2**low)
    out: States = (hadamard(high) @ block @ hadamard(low)).reshape(psi.shape) * 2.0 ** (-qubits / 2)
    return out


def fidelity_kernel(left: States, right: States) -> Array:
    """|<left_i|right_j>|^2 for states (N, 2^n) and (M, 2^n): (N, M)."""
    overlap = left.conj() @ right.T
    kernel: Array = overlap.real**2 + overlap.imag**2
    return kernel


def expectation(values: Array, vectors: States, psi: States) -> Array:
    """sum_k values_k |<vector_k|psi>|^2 for vectors (r, 2^n) and states (N, 2^n): (N,)."""
    return fidelity_kernel(psi, vectors) @ values
