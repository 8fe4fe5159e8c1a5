"""Fitting the one-class families on normal rows alone: ``density`` and ``leverage``, and their twins.

With the mean state rho = mean |psi><psi| of normal rows, a row's novelty is

* density: -<psi|rho|psi>, the mean fidelity with normal rows, turned round; the twin is a kernel density;
* leverage: lambda <psi|(rho + lambda)^-1|psi> = 1 - <psi|rho (rho + lambda)^-1|psi>, between 0 and 1: the share of the
  state outside of what normal rows span. Directions of weight far below lambda count as outside. The twin is the same
  formula in the Gaussian kernel's own space (kernel ridge leverage), on landmarks.

The second form of leverage is why it can be cut: its eigenvalues rho_k / (rho_k + lambda) fall to 0 where those of the
inverse grow. Everything is summed over chunks of rows: memory does not grow with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import CHUNK, amplitudes
from scorer.models.svc import FeatureMap, Observable, default_rank, deployed, observable_of
from scorer.models.twins import MAX_LANDMARKS, MAX_SUPPORT, LeverageTwin, RbfTwin, gaussian_kernel
from scorer.training.families.fit_nystrom import whitening
from scorer.training.families.fit_svc import FitError, check_normal, checked_gamma, positive

Array = NDArray[np.float64]
Matrix = NDArray[np.complex128]

#: Eigenvalues of a cut one-class observable: those above this share of the largest are kept.
TAIL = 0.01
#: Rank of a leverage twin at most; each costs one product with all Gaussians.
_TWIN_RANK = 128


def mean_state(circuit: FeatureMap, Z: Array) -> Matrix:
    """rho = mean over rows of |psi(z)><psi(z)|, (2^n, 2^n), trace 1, for scaled features Z (N, n)."""
    check_normal(Z)
    total = np.zeros((2**circuit.qubits,) * 2, np.complex128)
    for start in range(0, len(Z), CHUNK):
        psi = amplitudes(circuit, Z[start : start + CHUNK])
        total += psi.T @ psi.conj()
    mean: Matrix = (total / len(Z)).astype(np.complex128)
    return mean


def fit_density(Z: Array, circuit: FeatureMap, *, rank: int | None = None) -> Observable:
    """-rho of normal rows Z (N, n). ``rank``: None: sufficient_rank; 2^n or more: whole, in float64."""
    whole = observable_of(-mean_state(circuit, Z), 0.0)
    return deployed(whole, rank, sufficient_rank(whole.values, circuit.qubits))


def fit_leverage(Z: Array, circuit: FeatureMap, ridge: float, *, rank: int | None = None) -> Observable:
    """1 - rho (rho + ridge)^-1 of normal rows Z (N, n); ``ridge``: lambda, where the trace of rho is 1."""
    ridge = positive("ridge", ridge)
    states = observable_of(mean_state(circuit, Z), 0.0)
    weights = np.maximum(states.values, 0.0)  # rounding may leave -1e-17
    whole = Observable(-weights / (weights + ridge), states.vectors, 1.0)
    return deployed(whole, rank, sufficient_rank(whole.values, circuit.qubits))


def sufficient_rank(values: Array, qubits: int) -> int:
    """Eigenvalues (falling in magnitude) that are kept: the default rank, or all above TAIL of the first if more."""
    magnitudes = np.abs(values)
    return max(default_rank(qubits), int(np.count_nonzero(magnitudes > TAIL * magnitudes[0])))


def fit_density_twin(Z: Array, gamma: float) -> RbfTwin:
    """Minus the mean Gaussian around normal rows Z (N, n), N at most MAX_SUPPORT. Raises FitError."""
    check_normal(Z)
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel density is fitted on at most {MAX_SUPPORT}")
    weights = np.full(len(Z), -1.0 / len(Z), np.float32)
    return RbfTwin(Z.astype(np.float32), weights, checked_gamma(gamma), 0.0)


def fit_leverage_twin(Z: Array, gamma: float, ridge: float, landmarks: Array) -> LeverageTwin:
    """1 - phi^T C (C + ridge)^-1 phi on Nystrom features phi of normal rows Z (N, n), C their mean phi phi^T.

    ``landmarks``: (m, n), scaled. What of a row lies outside of the landmarks' span counts as outside. Raises FitError.
    """
    check_normal(Z)
    ridge, gamma = positive("ridge", ridge), checked_gamma(gamma)
    if not 1 <= len(landmarks) <= MAX_LANDMARKS:
        raise FitError(f"{len(landmarks)} landmarks; possible are 1 to {MAX_LANDMARKS}")
    basis = whitening(gaussian_kernel(landmarks, landmarks, gamma))
    values, columns = np.linalg.eigh(_second_moment(Z, landmarks, gamma, basis))
    values, columns = np.maximum(values[::-1], 0.0), columns[:, ::-1]
    weights = values / (values + ridge)
    kept = max(1, min(_TWIN_RANK, int(np.count_nonzero(weights > TAIL * weights[0]))))
    vectors = (basis @ columns[:, :kept]).T
    return LeverageTwin(
        landmarks.astype(np.float32), np.ascontiguousarray(vectors, np.float32), -weights[:kept], gamma, 1.0
    )


def _second_moment(Z: Array, landmarks: Array, gamma: float, basis: Array) -> Array:
    """mean phi phi^T (m', m') with phi = basis^T k(landmarks, z)."""
    total = np.zeros((basis.shape[1],) * 2)
    for start in range(0, len(Z), CHUNK):
        phi = gaussian_kernel(Z[start : start + CHUNK], landmarks, gamma) @ basis
        total += phi.T @ phi
    return total / len(Z)
