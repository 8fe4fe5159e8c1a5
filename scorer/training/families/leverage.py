"""The ``leverage`` family: share of a row's state outside of what normal rows span; its twin: on the RBF kernel.

Take it for normal rows alone, attacks never seen: usually the better novelty score. With the mean state rho = mean
|psi><psi| of normal rows, a row's novelty is

    lambda <psi|(rho + lambda)^-1|psi> = 1 - <psi|rho (rho + lambda)^-1|psi>,

between 0 and 1. Directions of weight far below lambda count as outside. The twin is the same formula in the Gaussian
kernel's own space (kernel ridge leverage), on landmarks.

The second form is why it can be cut: its eigenvalues rho_k / (rho_k + lambda) fall to 0 where those of the inverse
grow. Everything is summed over chunks of rows: memory does not grow with them.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import CHUNK, amplitudes, fidelity_kernel
from scorer.models.families import Twin
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import FeatureMap, Observable, collapse_states, deployed
from scorer.models.twins import MAX_LANDMARKS, LeverageTwin, gaussian_kernel
from scorer.training.families.checks import Array, FitError, checked_gamma, normal, positive
from scorer.training.families.family import MANY_ROWS, FamilyTraining, FitRows, Floats, Ints
from scorer.training.families.kernels import rbf_kernel
from scorer.training.families.landmarks import whitening
from scorer.training.families.one_class import TAIL, mean_spectrum, sufficient_rank
from scorer.training.search import GAMMAS, Grid, GridPoint, SearchSpace, Trial, grid_widths

States = NDArray[np.complex128]

#: Values of lambda that are tried, where the trace of rho is 1.
RIDGES = (1e-2, 1e-3, 1e-4)
#: Rank of a leverage twin at most; each costs one product with all Gaussians.
_TWIN_RANK = 128


def fit_leverage(Z: Array, circuit: FeatureMap, ridge: float, *, rank: int | None = None) -> Observable:
    """Fit 1 - rho (rho + ridge)^-1 on normal rows Z (N, n); ``ridge``: lambda, where the trace of rho is 1.

    ``rank``: None: sufficient_rank; 2^n or more: whole, in float64. Raises FitError.
    """
    ridge = positive("ridge", ridge)
    states = mean_spectrum(circuit, Z)
    weights = np.maximum(states.values, 0.0)  # rounding may leave -1e-17
    whole = Observable(-weights / (weights + ridge), states.vectors, 1.0)
    return deployed(whole, rank, sufficient_rank(whole.values, circuit.qubits))


def fit_leverage_twin(Z: Array, gamma: float, ridge: float, landmarks: Array) -> LeverageTwin:
    """Fit 1 - phi^T C (C + ridge)^-1 phi on Nystrom features phi of normal rows Z (N, n), C their mean phi phi^T.

    ``landmarks``: (m, n), scaled. What of a row lies outside of the landmarks' span counts as outside. Raises FitError.
    """
    Z = normal(Z)
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


def quantum_leverage_trial(circuit: FeatureMap, Z: Floats, _y: Ints, width: float) -> Trial:
    """Prepare a trial of the quantum machine on rows Z (N, n) at one bandwidth; its second parameter is the ridge."""
    return partial(_quantum_scores, amplitudes(circuit.with_bandwidth(width), Z))


def _quantum_scores(psi: States, ridge: float, fit: Ints, held: Ints) -> Floats:
    states = collapse_states(psi[fit], np.full(len(fit), 1.0 / len(fit)), 0.0)
    weights = np.maximum(states.values, 0.0)
    novelty: Floats = -fidelity_kernel(psi[held], states.vectors.astype(np.complex128, copy=False)) @ (
        weights / (weights + ridge)
    )
    return novelty


def rbf_leverage_trial(Z: Floats, _y: Ints, width: float) -> Trial:
    """Prepare a trial of the twin on rows Z (N, n) at one gamma; its second parameter is the ridge.

    Exact: on all rows to fit as landmarks.
    """
    return partial(_rbf_scores, rbf_kernel(Z, width))


def _rbf_scores(kernel: Floats, ridge: float, fit: Ints, held: Ints) -> Floats:
    inner = kernel[np.ix_(fit, fit)] + ridge * len(fit) * np.eye(len(fit))
    across = kernel[np.ix_(fit, held)]
    novelty: Floats = -np.einsum("ij,ij->j", across, np.linalg.solve(inner, across))
    return novelty


def _space(rows: FitRows) -> SearchSpace:
    widths = grid_widths(rows.circuit, len(GAMMAS))
    return SearchSpace(Grid(widths, "ridge", RIDGES), partial(quantum_leverage_trial, rows.circuit))


def _twin_space(_rows: FitRows) -> SearchSpace:
    return SearchSpace(Grid(GAMMAS, "ridge", RIDGES), rbf_leverage_trial)


def _fit_at(rows: FitRows, point: GridPoint) -> Machine:
    circuit = rows.at(point)
    return ObservableMachine(circuit, fit_leverage(rows.Z, circuit, point.second))


def _fit_twin_at(rows: FitRows, point: GridPoint) -> Twin:
    return fit_leverage_twin(rows.Z, point.width, point.second, rows.landmarks())


TRAINING = FamilyTraining(
    title="share of a row's state outside of what normal rows span",
    twin_title="the same share on the RBF kernel",
    one_class=True,
    fit_rows=MANY_ROWS,
    most_rows=MANY_ROWS,
    space=_space,
    twin_space=_twin_space,
    fit=_fit_at,
    fit_twin=_fit_twin_at,
)
