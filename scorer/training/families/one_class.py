"""What the one-class families share: the mean state of normal rows, and how many of its eigenvalues are kept.

Everything is summed over chunks of rows: memory does not grow with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import CHUNK, amplitudes
from scorer.models.observable import FeatureMap, default_rank
from scorer.training.families.checks import Array, check_normal

Matrix = NDArray[np.complex128]

#: Eigenvalues of a cut one-class observable: those above this share of the largest are kept.
TAIL = 0.01


def mean_state(circuit: FeatureMap, Z: Array) -> Matrix:
    """Compute rho = mean over rows of |psi(z)><psi(z)|, (2^n, 2^n), trace 1, for scaled features Z (N, n).

    Raises FitError.
    """
    check_normal(Z)
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
