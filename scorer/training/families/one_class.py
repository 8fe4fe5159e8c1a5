"""What the one-class families share: the mean state of normal rows, and how many of its eigenvalues are kept.

Everything is summed over chunks of rows: memory does not grow with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import CHUNK, amplitudes
from scorer.models.observable import FeatureMap, Observable, collapse_states, default_rank, is_thin, observable_of
from scorer.training.families.checks import Array, normal

Matrix = NDArray[np.complex128]

#: Eigenvalues of a cut one-class observable: those above this share of the largest are kept.
TAIL = 0.01


def mean_spectrum(circuit: FeatureMap, Z: Array) -> Observable:
    """Diagonalise the mean state of rows Z (N, n): float64, eigenvalues falling from at most 1.

    Few rows are diagonalised in the span of their states: min(N, 2^n) eigenvalues, the others are 0. Raises FitError.
    """
    Z = normal(Z)
    if not is_thin(len(Z), 2**circuit.qubits):
        return observable_of(mean_state(circuit, Z), 0.0)
    return collapse_states(amplitudes(circuit, Z), np.full(len(Z), 1.0 / len(Z)), 0.0)


def mean_state(circuit: FeatureMap, Z: Array) -> Matrix:
    """Compute rho = mean over rows of |psi(z)><psi(z)|, (2^n, 2^n), trace 1, for scaled features Z (N, n).

    Raises FitError.
    """
    Z = normal(Z)
    total = np.zeros((2**circuit.qubits,) * 2, np.complex128)
    for start in range(0, len(Z), CHUNK):
        psi = amplitudes(circuit, Z[start : start + CHUNK])
        total += psi.T @ psi.conj()
    mean: Matrix = (total / len(Z)).astype(np.complex128)
    return mean


def sufficient_rank(values: Array, qubits: int) -> int:
    """Count the eigenvalues (r,), falling in magnitude, that are kept.

    That is the default rank, or all above TAIL of the first if more.
    """
    magnitudes = np.abs(values)
    return max(default_rank(qubits), int(np.count_nonzero(magnitudes > TAIL * magnitudes[0])))
