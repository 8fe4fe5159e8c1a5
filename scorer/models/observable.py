"""Observables: what every fidelity-kernel machine is once it is trained.

A kernel machine, such as a trained SVM, scores f(x) = sum_i a_i |<psi_i|psi(x)>|^2 + b. With A = sum_i a_i
|psi_i><psi_i| that is <psi(x)|A|psi(x)> + b: the number of support vectors no longer matters, and A may be cut to its r
largest eigenvalues. A circuit trained behind the feature map, and the one-class scores, have the same form.
Fitting is in ``scorer.training.families``, because scoring must never load what fitting needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan
from scorer.circuits.zz import ZZMap
from scorer.engine.fast import ObservableScorer
from scorer.engine.reference import States, amplitudes, expectation

Array = NDArray[np.float64]
Vectors = NDArray[np.complex128] | NDArray[np.complex64]
FeatureMap = ZZMap | Plan

#: Support states, as a share of all basis states, up to which their own span is diagonalised faster than the whole.
_THIN = 0.8


@dataclass(frozen=True, eq=False)
class Observable:
    """A = sum_k values_k |v_k><v_k| and an offset; eigenvalues by falling magnitude.

    ``values``: float64 (r,). ``vectors``: (r, 2^n), rows of unit norm; complex128 as collapsed, complex64 as deployed.
    ``tail``: magnitude of the largest eigenvalue that was cut away, which no score moved beyond; 0 where none was.
    """

    values: Array
    vectors: Vectors
    offset: float
    tail: float = 0.0

    @property
    def rank(self) -> int:
        return len(self.values)

    def truncated(self, rank: int) -> Observable:
        """Keep the ``rank`` largest eigenvalues, vectors rounded to complex64, as an artifact does; then recalibrate.

        No score moves by more than the magnitude of the first eigenvalue left out (``spectral_tail``) and rounding.
        """
        tail = max(self.tail, self.spectral_tail(rank))
        return Observable(self.values[:rank].copy(), self.vectors[:rank].astype(np.complex64), self.offset, tail)

    def spectral_tail(self, rank: int) -> float:
        """Find the magnitude of the largest eigenvalue beyond ``rank``; 0 when there is none."""
        return float(np.abs(self.values[rank:]).max(initial=0.0))

    def exact_scores(self, circuit: FeatureMap, Z: Array) -> Array:
        """Score scaled features Z (N, n) in float64 throughout: (N,)."""
        return expectation(self.values, self.vectors.astype(np.complex128), amplitudes(circuit, Z)) + self.offset

    def scores(self, circuit: FeatureMap, Z: Array) -> Array:
        """Score scaled features Z (N, n) as the worker does: (N,). Calibrate on these."""
        return ObservableScorer(circuit, self.values, self.vectors)(Z) + self.offset


def default_rank(qubits: int) -> int:
    """Give the rank at which held-out AUC is that of the whole within 0.001, as measured at 6 and 8 qubits."""
    return min(1 << qubits, 16 if qubits <= 6 else 32 if qubits <= 8 else 64)


def collapse(circuit: FeatureMap, support: Array, coefficients: Array, offset: float) -> Observable:
    """Collapse support vectors (M, n), scaled, with dual coefficients (M,) to one observable; float64, full rank."""
    return collapse_states(amplitudes(circuit, support), coefficients, offset)


def collapse_states(psi: States, coefficients: Array, offset: float) -> Observable:
    """Collapse support vectors' states (M, 2^n) with dual coefficients (M,) to one observable; float64, full rank.

    Of the 2^n eigenvalues at least 2^n - M are 0. Where M is smaller they are left out, and the matrix (2^n, 2^n) is
    never made: with psi^T = Q R, A = Q (R diag(coefficients) R^dagger) Q^dagger, whose middle is (M, M).
    """
    if not is_thin(*psi.shape):
        return observable_of((psi.T * coefficients) @ psi.conj(), offset)
    # Householder's QR, not a root of the Gram matrix: that would halve the digits of states that are nearly alike.
    basis, triangle = np.linalg.qr(psi.T)
    inner = observable_of((triangle * coefficients) @ triangle.conj().T, offset)
    return Observable(inner.values, inner.vectors @ basis.T, inner.offset)


def is_thin(support: int, states: int) -> bool:
    """Tell whether so many support states are diagonalised faster in their own span than on all basis states."""
    return 0 < support <= _THIN * states


def observable_of(matrix: Vectors, offset: float) -> Observable:
    """Diagonalise the Hermitian matrix A (2^n, 2^n): an observable of full rank.

    The part of A that is not Hermitian is taken for rounding.
    """
    # eigh reads one triangle and returns real eigenvalues; eig on a numerically Hermitian matrix is off by far more.
    values, columns = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    order = np.argsort(-np.abs(values), kind="stable")
    return Observable(values[order], np.ascontiguousarray(columns[:, order].T), float(offset))


def deployed(whole: Observable, rank: int | None, least: int) -> Observable:
    """Cut ``whole`` to ``rank``, or to ``least`` where None is asked for; uncut in float64 at its own rank or more."""
    if rank is not None and rank >= whole.rank:
        return whole
    return whole.truncated(least if rank is None else rank)
