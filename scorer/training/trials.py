"""One pair of hyper-parameters tried on the rows of a search: fitted on some of them, scores for others.

A trial is prepared once for a width (bandwidth or gamma), for all second parameters and folds: most of the work of a
kernel machine is its kernel. Quantum trials and those of the twin differ in the kernel alone wherever they can.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from scorer.engine.reference import amplitudes, expectation, fidelity_kernel
from scorer.models.svc import FeatureMap
from scorer.models.twins import gaussian_kernel
from scorer.training.families.fit_nystrom import logistic
from scorer.training.families.fit_projected import fit_projection
from scorer.training.families.fit_vqc import Ansatz, trained

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
States = NDArray[np.complex128]

#: (second parameter, rows to fit, rows to score) -> scores of the latter.
Trial = Callable[[float, Ints, Ints], Floats]
#: (scaled rows (N, n), labels (N,), width) -> trial.
Prepare = Callable[[Floats, Ints, float], Trial]

SEARCH_LANDMARKS = 100
#: Where the second parameter is another one.
FIXED_COST = 3.0
_VQC_STEPS = 15


def quantum_kernel(circuit: FeatureMap) -> Callable[[Floats, float], Floats]:
    """(rows, bandwidth) -> fidelities (N, N)."""

    def kernel(Z: Floats, bandwidth: float) -> Floats:
        psi = amplitudes(circuit.with_bandwidth(bandwidth), Z)
        return fidelity_kernel(psi, psi)

    return kernel


def rbf_kernel(Z: Floats, gamma: float) -> Floats:
    """Gaussians (N, N)."""
    return gaussian_kernel(Z, Z, gamma)


def svc_trial(kernel_of: Callable[[Floats, float], Floats], Z: Floats, y: Ints, width: float) -> Trial:
    """Second parameter: C."""
    return partial(_svc, kernel_of(Z, width), y)


def _svc(kernel: Floats, y: Ints, C: float, fit: Ints, held: Ints) -> Floats:
    machine = SVC(kernel="precomputed", C=C, class_weight="balanced")
    machine.fit(kernel[np.ix_(fit, fit)], y[fit])
    scores: Floats = machine.decision_function(kernel[np.ix_(held, fit)])
    return scores


def nystrom_trial(kernel_of: Callable[[Floats, float], Floats], Z: Floats, y: Ints, width: float) -> Trial:
    """Second parameter: C. Landmarks are spread over the rows to fit."""
    return partial(_nystrom, kernel_of(Z, width), y)


def _nystrom(kernel: Floats, y: Ints, C: float, fit: Ints, held: Ints) -> Floats:
    chosen = fit[:: max(1, len(fit) // SEARCH_LANDMARKS)]
    columns = kernel[:, chosen]
    weights, offset = logistic(columns[fit], y[fit], columns[chosen], lambda rows: rows, C)
    return columns[held] @ weights + offset


def vqc_trial(circuit: FeatureMap, seed: int, Z: Floats, y: Ints, width: float) -> Trial:
    """Second parameter: layers. One short start each: what is compared is how well a setting begins."""
    psi = amplitudes(circuit.with_bandwidth(width), Z)
    return partial(_vqc, psi, y, circuit.qubits, seed)


def _vqc(psi: States, y: Ints, qubits: int, seed: int, layers: float, fit: Ints, held: Ints) -> Floats:
    ansatz = Ansatz(qubits, int(layers))
    found = trained(psi[fit], y[fit], ansatz, FIXED_COST, seed=seed, restarts=1, steps=_VQC_STEPS)
    return expectation(found.values, found.vectors.astype(np.complex128), psi[held])


def density_trial(kernel_of: Callable[[Floats, float], Floats], Z: Floats, _y: Ints, width: float) -> Trial:
    """No second parameter."""
    return partial(_density, kernel_of(Z, width))


def _density(kernel: Floats, _second: float, fit: Ints, held: Ints) -> Floats:
    novelty: Floats = -kernel[np.ix_(held, fit)].mean(axis=1)
    return novelty


def quantum_leverage_trial(circuit: FeatureMap, Z: Floats, _y: Ints, width: float) -> Trial:
    """Second parameter: the ridge lambda."""
    return partial(_quantum_leverage, amplitudes(circuit.with_bandwidth(width), Z))


def _quantum_leverage(psi: States, ridge: float, fit: Ints, held: Ints) -> Floats:
    rho = psi[fit].T @ psi[fit].conj() / len(fit)
    values, columns = np.linalg.eigh((rho + rho.conj().T) / 2)
    weights = np.maximum(values, 0.0)
    novelty: Floats = -fidelity_kernel(psi[held], columns.T) @ (weights / (weights + ridge))
    return novelty


def rbf_leverage_trial(Z: Floats, _y: Ints, width: float) -> Trial:
    """Second parameter: the ridge lambda. Exact, on all rows to fit as landmarks."""
    return partial(_rbf_leverage, rbf_kernel(Z, width))


def _rbf_leverage(kernel: Floats, ridge: float, fit: Ints, held: Ints) -> Floats:
    inner = kernel[np.ix_(fit, fit)] + ridge * len(fit) * np.eye(len(fit))
    across = kernel[np.ix_(fit, held)]
    novelty: Floats = -np.einsum("ij,ij->j", across, np.linalg.solve(inner, across))
    return novelty


def projected_trial(circuit: FeatureMap, Z: Floats, y: Ints, width: float) -> Trial:
    """Second parameter: gamma of the Gaussians on scaled projections."""
    _, rows = fit_projection(circuit.with_bandwidth(width), Z)
    return partial(_projected, rows, y)


def _projected(rows: Floats, y: Ints, gamma: float, fit: Ints, held: Ints) -> Floats:
    return _svc(rbf_kernel(rows, gamma), y, FIXED_COST, fit, held)
