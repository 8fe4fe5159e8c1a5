"""The ``svc`` family: a fidelity-kernel support vector machine as one observable, and its RBF twin.

A trained SVM scores f(x) = sum_i a_i |<psi_i|psi(x)>|^2 + b. With A = sum_i a_i |psi_i><psi_i| that is
<psi(x)|A|psi(x)> + b: the number of support vectors no longer matters, and A may be cut to its r largest eigenvalues.
Fitting is in ``scorer.models.fit``, because scoring must never load what fitting needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import ZZMap
from scorer.engine.fast import GaussianScorer, ObservableScorer
from scorer.engine.reference import amplitudes, expectation

Array = NDArray[np.float64]
Vectors = NDArray[np.complex128] | NDArray[np.complex64]

MAX_SUPPORT = 20_000
MAX_GAMMA = 1e3


@dataclass(frozen=True, eq=False)
class Observable:
    """A = sum_k values_k |v_k><v_k| and an offset; eigenvalues by falling magnitude.

    ``values``: float64 (r,). ``vectors``: (r, 2^n), rows of unit norm; complex128 as collapsed, complex64 as deployed.
    """

    values: Array
    vectors: Vectors
    offset: float

    @property
    def rank(self) -> int:
        return len(self.values)

    def truncated(self, rank: int) -> Observable:
        """The ``rank`` largest eigenvalues, vectors rounded to complex64: what an artifact holds. Recalibrate after it.

        No score moves by more than the magnitude of the first eigenvalue left out (``spectral_tail``) and rounding.
        """
        return Observable(self.values[:rank].copy(), self.vectors[:rank].astype(np.complex64), self.offset)

    def spectral_tail(self, rank: int) -> float:
        """Magnitude of the largest eigenvalue beyond ``rank``; 0 when there is none."""
        return float(np.abs(self.values[rank:]).max(initial=0.0))

    def exact_scores(self, circuit: ZZMap, Z: Array) -> Array:
        """Scores (N,) of scaled features Z (N, n) in float64 throughout."""
        return expectation(self.values, self.vectors.astype(np.complex128), amplitudes(circuit, Z)) + self.offset

    def scores(self, circuit: ZZMap, Z: Array) -> Array:
        """Scores (N,) of scaled features Z (N, n) as the worker computes them: calibrate on these."""
        return ObservableScorer(circuit, self.values, self.vectors)(Z) + self.offset


@dataclass(frozen=True, eq=False)
class RbfTwin:
    """The same machine with k(x, s) = exp(-gamma |x - s|^2). ``support``: float32 (M, n). ``coefficients``: (M,)."""

    support: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    gamma: float
    offset: float

    def scores(self, Z: Array) -> Array:
        """Scores (N,) of scaled features Z (N, n)."""
        return self._scorer(Z) + self.offset

    @cached_property
    def _scorer(self) -> GaussianScorer:
        return GaussianScorer(self.support, self.coefficients, self.gamma)


def default_rank(qubits: int) -> int:
    """Rank at which held-out AUC is that of the whole observable within 0.001, as measured at 6 and 8 qubits."""
    return min(1 << qubits, 16 if qubits <= 6 else 32 if qubits <= 8 else 64)


def collapse(circuit: ZZMap, support: Array, coefficients: Array, offset: float) -> Observable:
    """The whole observable of support vectors (M, n), scaled, with dual coefficients (M,); float64, full rank."""
    psi = amplitudes(circuit, support)
    matrix = (psi.T * coefficients) @ psi.conj()
    # eigh reads one triangle and returns real eigenvalues; eig on a numerically Hermitian matrix is off by far more.
    values, columns = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    order = np.argsort(-np.abs(values), kind="stable")
    return Observable(values[order], np.ascontiguousarray(columns[:, order].T), float(offset))
